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
use crate::observe::{self, Step, TaskLabel};
use crate::slots::{Key, Slot};

/// The output of a spawned task, when it is there.
///
/// Await it inside the loop that runs the task. Dropping the handle detaches the task: it runs on, and
/// its output is dropped; if it panics, that is logged. The handle may be dropped, or used to abort,
/// on any thread.
///
/// Awaiting it is cancel-safe: the output stays in the task until it is taken.
#[must_use = "dropping a JoinHandle detaches its task: await it, or say `drop(...)` to detach on purpose"]
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
    /// Only then does the handle report [`JoinError::is_cancelled`].
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
        assert!(!self.taken, "headwaiter: a `JoinHandle` was polled again after it had given its output");
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
        let waits = core.tasks.slots.get_mut(key.slot).filter(|task| !task.flags.has(Flags::FINISHED));
        if let Some(task) = waits {
            let Some(joiner) = joiner.filter(|_| !task.has_foreign_joiner()) else {
                return Err(Unfinished::Foreign);
            };
            task.joiner = joiner;
            let is_ready = task.flags.has(Flags::QUEUED);
            core.tasks.keep();
            if !is_ready {
                core.tasks.joins_waiting(joiner, key.slot);
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
    /// Detaches the task, and logs its failure at `error`, with its name and the place where it was
    /// spawned: for a task that nobody awaits but whose errors somebody must see. (A panic of a detached
    /// task is always logged.)
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
        let Some(key) = self.key else { return };
        let origin = Core::at_home(key, "a `JoinHandle`", |core| core.tasks.origin(key.slot));
        let place = Location::caller();
        let watch = async move {
            match (self.await, origin) {
                (Ok(Err(error)), Some(origin)) => {
                    observe::say(Level::Error, observe::TASK, format_args!("{origin} failed: {error}"));
                }
                (Err(error), _) => error.log_unseen(),
                _ => {}
            }
        };
        drop(super::spawn_at(watch, None, place));
    }
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

    /// Nobody has taken this error; but unless the task was cancelled, somebody must hear of it.
    pub(crate) fn log_unseen(&self) {
        if !self.is_cancelled() {
            Core::count_unseen();
            observe::say(Level::Error, observe::TASK, format_args!("{self} (and nobody awaits the task)"));
        }
    }

    /// The task was aborted, or its loop was dropped.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.why.1, Kind::Cancelled)
    }

    /// The task panicked.
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
        let not_a_panic = format!("headwaiter: `JoinError::into_panic` on an error that is no panic: {self}");
        match self.why.1 {
            Kind::Panic { payload, .. } => payload.into_inner().unwrap_or_else(PoisonError::into_inner),
            Kind::Cancelled | Kind::NotStarted(_) | Kind::Deadlock(_) => panic!("{not_a_panic}"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why.0 {
            Some(origin) => write!(f, "{origin}")?,
            None => f.write_str("task")?,
        }
        match &self.why.1 {
            Kind::Cancelled => f.write_str(" was cancelled"),
            Kind::Panic { message, .. } => write!(f, " panicked: {message}"),
            Kind::NotStarted(error) => write!(f, " was not started: {error}"),
            Kind::Deadlock(report) => write!(f, " was dropped. {report}"),
        }
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
