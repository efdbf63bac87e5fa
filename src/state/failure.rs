//! Why a task has no output ([`JoinError`]), which task that was ([`Origin`]), and how the error
//! that a detached task returned is logged ([`FailureLog`]).

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use log::Level;

use super::contain::{panic_message, say};
use super::log::{OneLine, TASK, TaskLabel};
use super::step::Id;
use super::task::Body;

/// Logs the error that a detached task returned: see
/// [`JoinHandle::log_error_at`](crate::task::JoinHandle::log_error_at).
pub(crate) struct FailureLog {
    pub(crate) level: Level,
    /// Set where the type of the output is known, because the task's type is erased.
    pub(crate) write: fn(Body, &Origin, Level),
}

impl FailureLog {
    /// Runs user code: `body` is the output of the task.
    pub(crate) fn write(self, body: Body, origin: &Origin) {
        (self.write)(body, origin, self.level);
    }
}

/// Identifies the task that an error is about.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) id: Option<Id>,
    pub(crate) name: Option<Box<str>>,
    pub(crate) place: &'static Location<'static>,
}

impl Origin {
    pub(crate) fn unnamed(place: &'static Location<'static>) -> Self {
        Origin { id: None, name: None, place }
    }

    /// Logs an error that the task returned, at `level`.
    pub(crate) fn log_failure(&self, level: Level, error: &impl fmt::Display) {
        say(level, TASK, format_args!("{self} failed: {}", OneLine(error)));
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(Id(slot)) => write!(f, "{}", TaskLabel { slot, name: self.name.as_deref() })?,
            None => f.write_str("task")?,
        }
        write!(f, " (spawned at {})", self.place)
    }
}

/// Why a task has no output: it panicked, its future was dropped before it was ready, or no thread
/// could be started for it.
///
/// `Display` names the task and the place where it was spawned, and gives the message of the panic.
pub struct JoinError {
    /// Boxed, because every task reserves room for its error and few have one.
    why: Box<(Option<Origin>, Kind)>,
}

enum Kind {
    Cancelled,
    /// The mutex is there only to make the error `Sync`.
    Panic {
        message: String,
        payload: Mutex<Box<dyn Any + Send>>,
    },
    /// The system could not start a thread.
    NotStarted(io::Error),
    /// The task was in a deadlock. Holds the report.
    Deadlock(String),
}

impl JoinError {
    pub(crate) fn cancelled(origin: Option<Origin>) -> Self {
        JoinError { why: Box::new((origin, Kind::Cancelled)) }
    }

    pub(crate) fn panicked(origin: Option<Origin>, payload: Box<dyn Any + Send>) -> Self {
        let message = panic_message(&*payload).to_owned();
        let kind = Kind::Panic { message, payload: Mutex::new(payload) };
        JoinError { why: Box::new((origin, kind)) }
    }

    pub(crate) fn deadlocked(origin: Option<Origin>, report: String) -> Self {
        JoinError { why: Box::new((origin, Kind::Deadlock(report))) }
    }

    /// Makes the error of a job for which no thread could be started.
    pub(crate) fn not_started(origin: Option<Origin>, error: io::Error) -> Self {
        JoinError { why: Box::new((origin, Kind::NotStarted(error))) }
    }

    /// Logs the failure of a task, unless it was cancelled: a cancelled task has not failed.
    pub(crate) fn log(&self) {
        if !self.is_cancelled() {
            self.log_with("");
        }
    }

    pub(crate) fn log_with(&self, remark: &str) {
        say(Level::Error, TASK, format_args!("{}{remark}", ForLog(self)));
    }

    /// Returns whether the task was aborted or its loop was dropped, and the drop of its future did
    /// not panic.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.why.1, Kind::Cancelled)
    }

    /// Returns whether the task panicked: in a poll, or when its future was dropped, for instance
    /// by [`abort`](crate::task::JoinHandle::abort). If a future panics again while it is dropped
    /// because of a first panic, the second panic is only logged.
    ///
    /// ```
    /// struct Bomb;
    ///
    /// impl Drop for Bomb {
    ///     fn drop(&mut self) {
    ///         panic!("the drop failed");
    ///     }
    /// }
    ///
    /// headwaiter::block_on(async {
    ///     let bomb = Bomb;
    ///     let task = headwaiter::spawn(async move {
    ///         let _held = &bomb;
    ///         std::future::pending::<()>().await
    ///     });
    ///     task.abort();
    ///     let error = task.await.unwrap_err();
    ///     assert!(error.is_panic() && !error.is_cancelled());
    /// });
    /// ```
    pub fn is_panic(&self) -> bool {
        matches!(self.why.1, Kind::Panic { .. })
    }

    /// Returns whether this was a job of [`spawn_blocking`](crate::spawn_blocking) for which no
    /// thread could be started. `Display` says why.
    pub fn is_not_started(&self) -> bool {
        matches!(self.why.1, Kind::NotStarted(_))
    }

    /// Returns whether the task waited for itself, directly or through other tasks, and its loop
    /// was built with [`Deadlock::Fail`](crate::Deadlock::Fail). `Display` gives the whole report.
    ///
    /// ```
    /// use headwaiter::sync::Mutex;
    /// use headwaiter::{Deadlock, EventLoop};
    ///
    /// let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build()?;
    /// event_loop.block_on(async {
    ///     let task = headwaiter::spawn(async {
    ///         let till = Mutex::named("till", ());
    ///         let _open = till.lock().await;
    ///         let _again = till.lock().await;
    ///     });
    ///     let error = task.await.unwrap_err();
    ///     assert!(error.is_deadlock());
    ///     assert!(error.to_string().contains("waits for itself"));
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_deadlock(&self) -> bool {
        matches!(self.why.1, Kind::Deadlock(_))
    }

    /// Returns the id of the task. It equals the id of no task if that is unknown: if the task was
    /// spawned on a loop that was being dropped, or if this is the error of a
    /// [`RemoteHandle`](crate::RemoteHandle).
    pub fn id(&self) -> Id {
        self.why.0.as_ref().and_then(|origin| origin.id).unwrap_or(Id::NONE)
    }

    /// Returns the payload of the task's panic, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// If the task did not panic: check [`is_panic`](Self::is_panic) first.
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        let not_a_panic =
            format!("headwaiter: `JoinError::into_panic` on an error that is no panic: {self}");
        match self.why.1 {
            Kind::Panic { payload, .. } => {
                payload.into_inner().unwrap_or_else(PoisonError::into_inner)
            }
            Kind::Cancelled | Kind::NotStarted(_) | Kind::Deadlock(_) => panic!("{not_a_panic}"),
        }
    }

    /// As [`into_panic`](Self::into_panic), but returns the error if the task did not panic.
    ///
    /// # Errors
    ///
    /// This error itself, if it is no panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        if self.is_panic() { Ok(self.into_panic()) } else { Err(self) }
    }
}

impl JoinError {
    /// Describes the error. Escapes a panic message only for the log, where it must stay on one
    /// line.
    fn describe(&self, f: &mut fmt::Formatter<'_>, is_for_log: bool) -> fmt::Result {
        match &self.why.0 {
            Some(origin) => write!(f, "{origin}")?,
            None => f.write_str("task")?,
        }
        match &self.why.1 {
            Kind::Cancelled => f.write_str(" was cancelled"),
            Kind::Panic { message, .. } if is_for_log => {
                write!(f, " panicked: {}", OneLine(message))
            }
            Kind::Panic { message, .. } => write!(f, " panicked: {message}"),
            Kind::NotStarted(error) => write!(f, " was not started: {error}"),
            Kind::Deadlock(report) => write!(f, " was dropped. {report}"),
        }
    }
}

/// A [`JoinError`] as a log line prints it.
struct ForLog<'a>(&'a JoinError);

impl fmt::Display for ForLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f, true)
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f, false)
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl Error for JoinError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.why.1 {
            Kind::NotStarted(error) => Some(error),
            _ => None,
        }
    }
}

impl From<JoinError> for io::Error {
    /// Converts the error. Its kind is [`Deadlock`](io::ErrorKind::Deadlock) if the task was
    /// dropped because of one, else `Other`. A cancelled task also gives `Other`, because
    /// `Interrupted` would make many callers retry. [`io::Error::get_ref`] and
    /// [`into_inner`](io::Error::into_inner) return the `JoinError`.
    ///
    /// ```
    /// use headwaiter::task::JoinError;
    /// use std::io;
    ///
    /// async fn cook() -> io::Result<u32> {
    ///     headwaiter::spawn(async { panic!("on fire") }).await?
    /// }
    ///
    /// let error = headwaiter::block_on(cook()).unwrap_err();
    /// assert!(error.to_string().contains("on fire"));
    /// let of_task = error.into_inner().unwrap().downcast::<JoinError>().unwrap();
    /// assert!(of_task.is_panic());
    /// ```
    fn from(error: JoinError) -> Self {
        let kind = if error.is_deadlock() { io::ErrorKind::Deadlock } else { io::ErrorKind::Other };
        io::Error::new(kind, error)
    }
}
