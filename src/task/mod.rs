//! Tasks: futures that run on the loop, concurrently, each woken when it can go on. Groups of tasks that end together, and
//! tokens that tell tasks to stop.

// Spawned by users, woken by number (see `waker.rs`), run by the last phase of a turn. Nothing here knows
// of sockets or timers. A task's life, and the function that draws each arrow:
//
//   spawn ──(1)──► queued ──(2)──► running ──(3)──► waiting ──(4)──► queued ...
//                    │                │                │
//                    └──────(6)───────┼──────(6)───────┤
//                                    (5)               ▼
//                                     └───────────► finished ──(7)──► gone
//
// 1. `enter`  2. `run_next`  3. `settle`  4. `Tasks::wake`  5. `settle`, or `finish`  6. `abort`
// 7. the `JoinHandle` takes the output, or is dropped (`detach`)

mod tasks;
mod run;
pub(crate) mod waker;
mod join;
mod group;
mod cancel;
mod coop;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

pub use self::cancel::{CancelToken, Cancellable, Cancellation, Cancelled};
pub use self::coop::{ConsumeBudget, Unconstrained, consume_budget, unconstrained};
pub use self::group::{GroupClosed, JoinGroup, Spawner, TaskGroup};
pub(crate) use self::join::Origin;
pub use self::join::{JoinError, JoinHandle};
pub(crate) use self::run::{
    Main, abort, abort_from_anywhere, detach, drop_all, give_up, run_batch,
};
use self::tasks::{Birth, Flags, Rare};
pub(crate) use self::tasks::{Hint, Tasks, published};
use self::waker::TaskNumber;
use crate::core::{Core, discard};
use crate::observe::{self, Step};
use crate::places::PlaceId;
use crate::slots::{Key, Layout, Slot};

/// The future, and after it its output.
type Body = Pin<Box<dyn Stage>>;

/// A task without its type. The one allocation of a task is the [`Cell`] behind it, or, in a group, the
/// [`Child`](group::Child).
trait Stage {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
    /// Drops the future and puts an error in its place.
    fn fail(self: Pin<&mut Self>, error: JoinError);
    /// Moves the output into `out`, an `Option<Result<T, JoinError>>`.
    fn take(self: Pin<Box<Self>>, out: &mut dyn Any);
    fn error(&self) -> Option<&JoinError>;
}

pin_project! {
    #[project = CellProject]
    enum Cell<F: Future> {
        Running { #[pin] future: F },
        Finished { output: Option<Result<F::Output, JoinError>> },
    }
}

impl<F> Stage for Cell<F>
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let CellProject::Running { future } = self.as_mut().project() else {
            unreachable!("a finished task is not polled");
        };
        let Poll::Ready(output) = future.poll(cx) else { return Poll::Pending };
        self.set(Cell::Finished { output: Some(Ok(output)) });
        Poll::Ready(())
    }

    fn fail(mut self: Pin<&mut Self>, error: JoinError) {
        self.set(Cell::Finished { output: Some(Err(error)) });
    }

    fn take(mut self: Pin<Box<Self>>, out: &mut dyn Any) {
        if let (CellProject::Finished { output }, Some(out)) =
            (self.as_mut().project(), out.downcast_mut())
        {
            // It is empty: so no code is made that drops it.
            mem::forget(mem::replace(out, output.take()));
        }
    }

    fn error(&self) -> Option<&JoinError> {
        match self {
            Cell::Finished { output: Some(Err(error)) } => Some(error),
            _ => None,
        }
    }
}

/// A task's name in logs and errors: a number that counts the tasks of its loop.
///
/// `Display` prints that number. After four billion tasks of one loop the numbers start again; ids of
/// tasks that live at the same time are never equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(Slot);

impl Id {
    pub(crate) fn new(task: Slot) -> Self {
        Id(task)
    }

    pub(crate) fn slot(self) -> Slot {
        self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.generation(), f)
    }
}

/// Runs `future` on this thread's loop, concurrently with all its other tasks. It is polled for the
/// first time in the next batch, not inside this call.
///
/// The future need not be `Send`. Dropping the [`JoinHandle`] detaches the task, which runs on; if
/// it then panics, that is logged at `error`. On a loop that is being dropped the future is dropped
/// at once, and the handle reports [`JoinError::is_cancelled`].
///
/// ```
/// headwaiter::block_on(async {
///     let task = headwaiter::spawn(async { 6 * 7 });
///     assert_eq!(task.await.unwrap(), 42);
/// });
/// ```
///
/// # Panics
///
/// Outside any event loop; and if the loop has as many tasks as a waker can tell apart (four billion; on
/// a 32-bit machine a million).
#[inline]
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_at(future, None, Location::caller())
}

/// Spawns a task with a name, which then stands in log lines and errors.
///
/// ```
/// headwaiter::block_on(async {
///     let task = headwaiter::task::Builder::new().name("oven").spawn(async { panic!("on fire") });
///     let error: headwaiter::task::JoinError = task.await.map(|()| ()).unwrap_err();
///     assert!(error.to_string().contains("oven"));
/// });
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder spawns nothing until `spawn` is called"]
pub struct Builder {
    name: Option<Box<str>>,
}

impl Builder {
    /// A builder without a name.
    pub fn new() -> Self {
        Builder::default()
    }

    /// Names the task. In the log, in dumps and reports and in a [`Timeline`](crate::observe::Timeline) a name stands as it would in
    /// Rust's source: a line break as `\n`, an escape as `\u{1b}`. So it may be anything.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// As [`spawn`], with the same panics.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        spawn_at(future, self.name, Location::caller())
    }

    /// As [`TaskGroup::spawn`], with the same panics.
    #[track_caller]
    pub fn spawn_in<E, F>(self, group: &TaskGroup<E>, future: F)
    where
        E: 'static,
        F: Future<Output = Result<(), E>> + 'static,
    {
        group.shared.spawn(future, self.name, Location::caller());
    }

    /// As [`TaskGroup::try_spawn`], with the same errors and panics.
    ///
    /// ```
    /// use headwaiter::task::{Builder, GroupClosed, TaskGroup};
    ///
    /// headwaiter::block_on(async {
    ///     let guests = TaskGroup::<std::io::Error>::isolated();
    ///     let seat = |name: &str| Builder::new().name(name).try_spawn_in(&guests, async { Ok(()) });
    ///     assert_eq!(seat("Anna"), Ok(()));
    ///     guests.cancel();
    ///     assert_eq!(seat("Ben"), Err(GroupClosed));
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// [`GroupClosed`]. The future was dropped.
    #[track_caller]
    pub fn try_spawn_in<E, F>(self, group: &TaskGroup<E>, future: F) -> Result<(), GroupClosed>
    where
        E: 'static,
        F: Future<Output = Result<(), E>> + 'static,
    {
        group.shared.try_spawn(future, self.name, Location::caller())
    }
}

#[inline]
#[track_caller]
pub(crate) fn spawn_at<F>(
    future: F,
    name: Option<Box<str>>,
    place: &'static Location<'static>,
) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    match enter(Box::pin(Cell::Running { future }), Flags::QUEUED, name, place) {
        Some(key) => JoinHandle::new(key),
        None => JoinHandle::stillborn(),
    }
}

/// The part of spawning that does not depend on the future's type. `None`: the loop is being dropped, and
/// the future was.
#[track_caller]
fn enter(
    body: Body,
    flags: Flags,
    name: Option<Box<str>>,
    place: &'static Location<'static>,
) -> Option<Key> {
    let mut body = Some(body);
    let rare = name.map(Rare::named);
    let place_id = PlaceId::of(place);
    let entered = Core::expect("`spawn`", |core| {
        if core.closing || !core.tasks.has_room() {
            return None;
        }
        let birth = Birth::new(place_id, core.clock.turn_nanos());
        let slot = core.tasks.insert(body.take(), flags, rare, birth);
        Some((core.key(slot), core.observed))
    });
    let Some((key, is_told)) = entered else {
        refuse(body);
        return None;
    };
    if is_told {
        report_spawn(key.slot, place);
    }
    Some(key)
}

#[cold]
#[track_caller]
fn refuse(body: Option<Body>) {
    let is_closing = Core::with(|core| core.closing) == Some(true);
    discard(body);
    assert!(
        is_closing,
        "headwaiter: this loop has {} tasks, and a waker cannot tell more apart: await some before you spawn more",
        Layout::WAKER.indexes()
    );
}

#[cold]
fn report_spawn(slot: Slot, place: &'static Location<'static>) {
    let name = Core::with(|core| core.tasks.name(slot).map(str::to_owned)).flatten();
    observe::report(|| Step::Spawn { task: Id(slot), name: name.as_deref(), place });
}

/// Lets all other ready tasks run before this one goes on: it is polled again in the next batch, which most often is the next turn's.
/// (Inside `block_on`, a turn that would find nothing to do before its tasks is not made; the batch follows at once. In a loop with
/// [`shuffle`](crate::Builder::shuffle) it lets all of this batch run. Those of the next come before it or after.)
///
/// Cancel-safe: there is nothing to lose.
///
/// ```
/// headwaiter::block_on(async {
///     let task = headwaiter::spawn(async {});
///     assert!(!task.is_finished());
///     headwaiter::task::yield_now().await;
///     assert!(task.is_finished());
/// });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        TaskNumber::wake_again(cx.waker());
        Poll::Pending
    }
}
