//! [`JoinHandle`]: the key of a task, with which its output is taken. The typed output passes
//! through the untyped task as `&mut dyn Any`.

use std::task::{Context, Poll, ready};
use std::{fmt, marker::PhantomData, pin::Pin};

use log::Level;

use crate::door::{Door, release, yield_to_others};
use crate::fmt::debug_struct;
use crate::state::{
    Blocker, Body, FailureLog, Flags, Id, JoinError, Key, Message, Origin, Release, Slot, State,
    Step, TaskNumber, Wake, discard, shared,
};

/// Awaits the output of a spawned task.
///
/// Await it inside the loop that runs the task. Dropping the handle detaches the task: it runs on,
/// and its output is dropped. If the task then panics, that is logged at `error`; an `Err` that it
/// returns is logged only after [`log_error`](Self::log_error). The handle may be dropped, or used
/// to abort, on any thread.
///
/// Awaiting it is cancel-safe: the output stays in the task until it is taken.
///
/// In a function that returns [`io::Result`](std::io::Result), `handle.await??` returns both the
/// failure of the task and the error that the task returned:
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
    /// `None` if the loop was being dropped when the task was spawned.
    pub(super) key: Option<Key>,
    taken: bool,
    output: PhantomData<fn() -> T>,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(key: Key) -> Self {
        JoinHandle { key: Some(key), taken: false, output: PhantomData }
    }

    /// For a task whose loop was being dropped.
    pub(super) fn cancelled() -> Self {
        JoinHandle { key: None, taken: false, output: PhantomData }
    }

    pub(crate) fn slot(&self) -> Option<Slot> {
        self.key.map(|key| key.slot)
    }

    /// Drops the task's future: inside this call; if the task is the one that is being polled,
    /// after that poll; and if this is another thread, or no loop runs on it, when the loop takes
    /// the message. Only then does the handle report [`JoinError::is_cancelled`], or
    /// [`JoinError::is_panic`] if the drop of the future panicked.
    ///
    /// Aborting a task that has finished does nothing: its output stays. For a job that runs on
    /// another thread see [`spawn_blocking`](crate::spawn_blocking).
    pub fn abort(&self) {
        if let Some(key) = self.key {
            abort(key);
        }
    }

    /// Whether the task has finished, so that awaiting it gives the output at once.
    ///
    /// # Panics
    ///
    /// Outside the loop that runs the task.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        self.key.is_none_or(|key| is_finished(key, "a `JoinHandle`"))
    }

    /// The task's id, which its log lines contain too.
    pub fn id(&self) -> Id {
        id_of(self.key)
    }
}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// In another loop than the task's, or in none, and if it is polled again after it was ready.
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
        let body = ready!(poll_finished(key, cx));
        self.taken = true;
        let mut output: Option<Self::Output> = None;
        if let Some(body) = body {
            body.take(&mut output);
        }
        Poll::Ready(output.unwrap_or_else(|| Err(JoinError::cancelled(None))))
    }
}

/// The part of joining that does not depend on the type of the output: takes a finished task out of
/// its slot. Returns `None` if the end of its loop has emptied the slot.
#[track_caller]
fn poll_finished(key: Key, cx: &Context<'_>) -> Poll<Option<Body>> {
    let mut door = Door::at_home(key, "a `JoinHandle`");
    let state = &mut *door;
    let is_finished =
        state.tasks.slots.get(key.slot).is_none_or(|task| task.flags.has_any(Flags::FINISHED));
    if !is_finished {
        match TaskNumber::of(cx.waker()) {
            Some(joiner) => state.join(key.slot, Wake::Task(joiner)),
            None => join_foreign(door, key, cx),
        }
        return Poll::Pending;
    }
    // Only an output that is there costs budget. A join that must wait leaves its waker in any
    // case.
    if !state.budget.spend() {
        drop(door);
        return yield_to_others(cx);
    }
    Poll::Ready(state.tasks.slots.remove(key.slot).and_then(|task| task.body))
}

/// Leaves a foreign waker. It is cloned with the door closed, because that runs foreign code, which
/// may even end the task.
#[cold]
#[track_caller]
fn join_foreign(door: Door, key: Key, cx: &Context<'_>) {
    drop(door);
    let joiner = Wake::of(cx.waker());
    Door::at_home(key, "a `JoinHandle`").join(key.slot, joiner);
}

impl State {
    /// Leaves what to wake at the end of a task.
    #[inline(always)]
    fn join(&mut self, slot: Slot, joiner: Wake) {
        self.tasks.keep();
        let task = match self.tasks.slots.get_mut(slot) {
            Some(task) if !task.flags.has_any(Flags::FINISHED) => task,
            // It has ended while a foreign waker was cloned.
            _ => return self.wake(joiner),
        };
        // A task that is ready is no reason to think that its joiner may be stuck.
        let is_ready = task.flags.has_any(Flags::QUEUED);
        let number = joiner.task();
        match number {
            Some(number) if task.rare.is_none() => task.joiner = number,
            _ => {
                let before = task.replace_joiner(joiner);
                self.outbox.drop_wake(before);
            }
        }
        if !is_ready {
            self.join_waiting(slot, number);
        }
        self.outbox.report(|| Step::AwaitTask { task: Id(slot) });
    }

    /// The awaited task itself waits.
    #[cold]
    #[inline(never)]
    fn join_waiting(&mut self, slot: Slot, joiner: Option<TaskNumber>) {
        self.reconsider(slot);
        if let Some(joiner) = joiner {
            self.tasks.block(joiner, Blocker::Task(slot));
        }
    }
}

/// Whether a task has finished. `what` names the handle in the message of the panic outside its
/// loop.
#[track_caller]
pub(super) fn is_finished(key: Key, what: &str) -> bool {
    let door = Door::at_home(key, what);
    door.tasks.slots.get(key.slot).is_none_or(|task| task.flags.has_any(Flags::FINISHED))
}

/// The id of a task, or [`Id::NONE`] if it was never spawned because its loop was being dropped.
pub(super) fn id_of(key: Option<Key>) -> Id {
    key.map_or(Id::NONE, |key| Id(key.slot))
}

/// Aborts a task, from any thread.
pub(super) fn abort(key: Key) {
    match Door::of(key) {
        Some(mut door) => door.abort(key.slot),
        None => {
            if let Some(shared) = shared::find(key.home) {
                shared.send(Message::Abort(key.slot));
            }
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let (Some(key), false) = (self.key, self.taken) {
            release(key, Release::Join(key.slot));
        }
    }
}

debug_struct!(impl[T] for JoinHandle<T> as "JoinHandle", |this| id: this.id(), ..);

impl<T, E> JoinHandle<Result<T, E>>
where
    T: 'static,
    E: fmt::Display + 'static,
{
    /// Detaches the task, and logs the `Err` that it returns at `error`, with the task's name and
    /// the place where it was spawned. Use it for a task that nothing awaits but whose errors must
    /// be seen. (A panic of a detached task is always logged.)
    ///
    /// The error is logged when the task ends, or inside this call if it has ended already. Control
    /// characters in its text are escaped, as those of a name are, so that it stays one line. A
    /// task that is still running when its loop is dropped has not failed, and nothing is logged.
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

    /// As [`log_error`](Self::log_error), at a level of your choice: for expected errors, such as
    /// those of a client that has disconnected. A panic is always logged at `error`.
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
        Door::at_home(key, "a `JoinHandle`").tasks.set_failure_log(key.slot, log);
        // The task is detached by the drop of the handle. If it has ended, its failure is logged
        // there.
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
