//! [`JoinHandle`]: the key of a task, by which its output is fetched, and [`JoinError`]: why there is none.
//! Made by `spawn`. The typed output passes through the untyped task as `&mut dyn Any`.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use log::Level;

use super::tasks::Flags;
use super::waker::{TaskNumber, Wake};
use super::{Body, Id, Stage, abort_from_anywhere};
use crate::core::{Core, discard, panic_message};
use crate::observe::{self, OneLine, Step, TaskLabel};
use crate::slots::{Key, Slot};

/// The output of a spawned task, when it is there.
///
/// Await it inside the loop that runs the task. Dropping the handle detaches the task: it runs on, and
/// its output is dropped. If the task panics, that is logged at `error`; an `Err` that it returns is logged only after
/// [`log_error`](Self::log_error). The handle may be dropped, or used to abort, on any thread.
///
/// Awaiting it is cancel-safe: the output stays in the task until it is taken.
///
/// In a function that returns [`io::Result`], `handle.await??` hands on both the failure of the task and the error that it
/// returned:
///
/// ```
/// use headwaiter::net::TcpListener;
/// use std::io;
///
/// async fn free_port() -> io::Result<u16> {
///     let bound = headwaiter::spawn(TcpListener::bind("127.0.0.1:0"));
///     bound.await??.local_addr().map(|address| address.port())
/// }
///
/// assert_ne!(headwaiter::block_on(free_port())?, 0);
/// # Ok::<(), io::Error>(())
/// ```
pub struct JoinHandle<T> {
    /// `None` for a task that was spawned on a loop that was being dropped.
    key: Option<Key>,
    taken: bool,
    output: PhantomData<fn() -> T>,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(key: Key) -> Self {
        JoinHandle { key: Some(key), taken: false, output: PhantomData }
    }

    pub(super) fn stillborn() -> Self {
        JoinHandle { key: None, taken: false, output: PhantomData }
    }

    pub(crate) fn slot(&self) -> Option<Slot> {
        self.key.map(|key| key.slot)
    }

    /// Drops the task's future: inside this call; after its poll, if the task is the one that
    /// is running; when the loop takes the message, if this is another thread (or no loop runs on it).
    /// Only then does the handle report [`JoinError::is_cancelled`]; or [`JoinError::is_panic`], if the drop of the future
    /// panicked.
    ///
    /// Aborting a task that has finished does nothing: its output stays. Of a job that runs on another thread see
    /// [`spawn_blocking`](crate::spawn_blocking).
    pub fn abort(&self) {
        if let Some(key) = self.key {
            abort_from_anywhere(key);
        }
    }

    /// Whether awaiting it would give the output at once.
    ///
    /// # Panics
    ///
    /// Outside the loop that runs the task.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        let Some(key) = self.key else { return true };
        Core::at_home(key, "a `JoinHandle`", |core| {
            core.tasks.slots.get(key.slot).is_none_or(|task| task.flags.has(Flags::FINISHED))
        })
    }

    /// The task's id, which also stands in its log lines.
    pub fn id(&self) -> Id {
        Id(self.slot().unwrap_or(Slot::new(u32::MAX, 0)))
    }
}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// In another loop than the task's, or in none; and if it is polled again after it was ready.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(
            !self.taken,
            "headwaiter: a `JoinHandle` was polled again after it had given its output"
        );
        let Some(key) = self.key else {
            self.taken = true;
            return Poll::Ready(Err(JoinError::cancelled(None)));
        };
        let Poll::Ready(body) = poll_finished(key, cx) else { return Poll::Pending };
        self.taken = true;
        let mut output: Option<Self::Output> = None;
        body.take(&mut output);
        Poll::Ready(output.unwrap_or_else(|| Err(JoinError::cancelled(None))))
    }
}

/// Why a task's output is not there.
enum Unfinished {
    Waits,
    /// As it does, but somebody listens.
    Told,
    OutOfBudget,
    /// A foreign waker was left there before, or is to be.
    Foreign,
}

/// The part of joining that does not depend on the output's type: takes a finished task out of its slot.
#[track_caller]
fn poll_finished(key: Key, cx: &Context<'_>) -> Poll<Body> {
    let joiner = TaskNumber::of(cx.waker());
    let taken = Core::at_home(key, "a `JoinHandle`", |core| {
        let waits =
            core.tasks.slots.get_mut(key.slot).filter(|task| !task.flags.has(Flags::FINISHED));
        if let Some(task) = waits {
            let Some(joiner) = joiner.filter(|_| !task.has_foreign_joiner()) else {
                return Err(Unfinished::Foreign);
            };
            task.joiner = joiner;
            let is_ready = task.flags.has(Flags::QUEUED);
            core.tasks.keep();
            if !is_ready {
                core.tasks.joins_waiting(joiner, key.slot);
                core.reconsider(key.slot);
            }
            return Err(if core.observed { Unfinished::Told } else { Unfinished::Waits });
        }
        // Only an output that is there costs budget. A join that must wait leaves its waker, whatever is left of the budget.
        if !core.spend() {
            return Err(Unfinished::OutOfBudget);
        }
        Ok(core.tasks.slots.remove(key.slot).and_then(|task| task.body))
    });
    match taken {
        Ok(Some(body)) => Poll::Ready(body),
        Ok(None) => Poll::Ready(Box::pin(Emptied)),
        Err(why) => {
            match why {
                Unfinished::Waits => {}
                Unfinished::Told => report_wait(key.slot),
                Unfinished::OutOfBudget => cx.waker().wake_by_ref(),
                Unfinished::Foreign => join_by_foreign(key.slot, cx.waker()),
            }
            Poll::Pending
        }
    }
}

#[cold]
fn report_wait(slot: Slot) {
    observe::report(|| Step::AwaitTask { task: Id(slot) });
}

/// A foreign waker is left for the task's end, or was before.
#[cold]
fn join_by_foreign(slot: Slot, waker: &Waker) {
    // Made before the borrow, and what is there before is dropped after it: both are foreign.
    let joiner = Wake::of(waker);
    let left = Core::with(|core| {
        core.tasks.keep();
        core.reconsider(slot);
        if let Wake::Task(joiner) = joiner {
            core.tasks.joins_waiting(joiner, slot);
        }
        match core.tasks.slots.get_mut(slot) {
            Some(task) if !task.flags.has(Flags::FINISHED) => Ok(task.replace_joiner(joiner)),
            _ => Err(joiner),
        }
    });
    match left {
        // It ended while the waker was cloned.
        Some(Err(joiner)) => joiner.wake(),
        Some(Ok(before)) => discard(before),
        None => {}
    }
    report_wait(slot);
}

/// A task that the loop's own end has emptied: it has no output.
struct Emptied;

impl Stage for Emptied {
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        unreachable!("it is not in the slab");
    }

    fn fail(self: Pin<&mut Self>, _: JoinError) {}

    fn take(self: Pin<Box<Self>>, _: &mut dyn Any) {}

    fn error(&self) -> Option<&JoinError> {
        None
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let (Some(key), false) = (self.key, self.taken) {
            super::detach(key);
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl<T, E> JoinHandle<Result<T, E>>
where
    T: 'static,
    E: fmt::Display + 'static,
{
    /// Detaches the task, and logs its failure at `error`: the `Err` that it returns, with the task's name and the place where it
    /// was spawned. For a task that nothing awaits but whose errors must be seen. (A panic of a detached task is always
    /// logged.)
    ///
    /// The error is logged when the task ends, or inside this call if it has ended already. Control characters in its text are
    /// escaped, as those of a name are, so that it stays one line. A task that is still running when its loop is dropped
    /// has not failed, and nothing is logged.
    ///
    /// ```
    /// headwaiter::block_on(async {
    ///     let upload = async { Err::<(), _>(std::io::Error::other("the disk is full")) };
    ///     headwaiter::task::Builder::new().name("upload").spawn(upload).log_error();
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside the loop that runs the task.
    #[track_caller]
    pub fn log_error(self) {
        self.log_error_at(Level::Error);
    }

    /// As [`log_error`](Self::log_error), at a level of your choice: for errors that are to be expected, such as those of a client
    /// that is gone. A panic is logged at `error` whatever the level.
    ///
    /// ```
    /// headwaiter::block_on(async {
    ///     let metrics = async { Err::<(), _>("the collector does not answer") };
    ///     headwaiter::spawn(metrics).log_error_at(log::Level::Debug);
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside the loop that runs the task.
    #[track_caller]
    pub fn log_error_at(self, level: Level) {
        let Some(key) = self.key else { return };
        let log = FailureLog { level, write: log_failure::<T, E> };
        Core::at_home(key, "a `JoinHandle`", |core| core.tasks.set_failure_log(key.slot, log));
        // The task is detached by the drop of the handle. If it has ended, its failure is logged there.
    }
}

/// Logs the failure of a task that ends detached: see [`JoinHandle::log_error_at`].
pub(super) struct FailureLog {
    level: Level,
    /// Made where the type of the output is known: the task does not know it.
    write: fn(Body, &Origin, Level),
}

impl FailureLog {
    /// `body` is the output of the task.
    pub(super) fn write(self, body: Body, origin: &Origin) {
        (self.write)(body, origin, self.level);
    }
}

fn log_failure<T, E>(body: Body, origin: &Origin, level: Level)
where
    T: 'static,
    E: fmt::Display + 'static,
{
    let mut output: Option<Result<Result<T, E>, JoinError>> = None;
    body.take(&mut output);
    match &output {
        Some(Ok(Err(error))) => origin.log_failure(level, error),
        Some(Err(error)) => error.log(),
        Some(Ok(Ok(_))) | None => {}
    }
    discard(output);
}

/// Which task an error is about.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(super) id: Option<Id>,
    pub(super) name: Option<Box<str>>,
    pub(super) place: &'static Location<'static>,
}

impl Origin {
    pub(crate) fn unnamed(place: &'static Location<'static>) -> Self {
        Origin { id: None, name: None, place }
    }

    /// The task has returned an error.
    pub(super) fn log_failure(&self, level: Level, error: &impl fmt::Display) {
        observe::say(level, observe::TASK, format_args!("{self} failed: {}", OneLine(error)));
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

/// Why a task has no output: it panicked, its future was dropped before it was ready, or there was no thread for
/// it.
///
/// `Display` names the task, the place where it was spawned, and what the panic said.
pub struct JoinError {
    /// Boxed, because every task has room for its error, and few have one.
    why: Box<(Option<Origin>, Kind)>,
}

enum Kind {
    Cancelled,
    /// In a mutex only so that the error is `Sync`.
    Panic {
        message: String,
        payload: Mutex<Box<dyn Any + Send>>,
    },
    /// The system gave no thread.
    NotStarted(io::Error),
    /// It was stuck in a knot of tasks, of which this is the report.
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

    /// A job for which there was no thread.
    pub(crate) fn not_started(origin: Option<Origin>, error: io::Error) -> Self {
        JoinError { why: Box::new((origin, Kind::NotStarted(error))) }
    }

    /// Nothing has taken this error, and nothing will. It is logged and counted, unless the task was cancelled.
    pub(crate) fn log_unseen(&self) {
        if !self.is_cancelled() {
            Core::count_unseen();
            self.log_with(" (and nobody awaits the task)");
        }
    }

    /// As [`log_unseen`](Self::log_unseen), for a task whose failures are meant to go to the log.
    pub(super) fn log(&self) {
        if !self.is_cancelled() {
            self.log_with("");
        }
    }

    fn log_with(&self, remark: &str) {
        observe::say(Level::Error, observe::TASK, format_args!("{}{remark}", ForLog(self)));
    }

    /// The task was aborted, or its loop was dropped, and its future was dropped without a panic.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.why.1, Kind::Cancelled)
    }

    /// The task panicked: in a poll, or when its future was dropped, also if that was by [`abort`](JoinHandle::abort). If
    /// its future panics a second time while it is dropped for the first panic, the second is only logged.
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

    /// It was a job for [`spawn_blocking`](crate::spawn_blocking), and no thread could be started that would have
    /// taken it. `Display` says why.
    pub fn is_not_started(&self) -> bool {
        matches!(self.why.1, Kind::NotStarted(_))
    }

    /// The task waited for itself, alone or in a circle with other tasks, and its loop was built with
    /// [`Deadlock::Fail`](crate::Deadlock::Fail). `Display` has the whole report.
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

    /// What the task's panic carried, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// If the task did not panic: ask [`is_panic`](Self::is_panic) first.
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
}

impl JoinError {
    /// What a panic said stands there as it is, but for the log.
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

/// A [`JoinError`] as it is logged.
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
    /// Of the kind [`Deadlock`](io::ErrorKind::Deadlock) if the task was dropped for one, else `Other`, also for a task that was
    /// cancelled: `Interrupted` asks many a caller to try again. [`io::Error::get_ref`] and
    /// [`into_inner`](io::Error::into_inner) give the `JoinError` back.
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
