//! [`Step`], the report of one step of a loop, and [`Observer`], the trait that receives steps.
//! State functions post steps to the [outbox](super::outbox); `door/tell.rs` passes them to the
//! observers. Pure data.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::ready::{Direction, Ready};
use super::slots::Slot;

/// A number that identifies a task in log lines, dumps and errors. It counts the tasks of its loop.
///
/// `Display` prints the number. After four billion tasks of one loop the numbers start again; the
/// ids of tasks that live at the same time are never equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub(crate) Slot);

impl Id {
    /// Of no task.
    pub(crate) const NONE: Id = Id(Slot::new(u32::MAX, 0));
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.generation(), f)
    }
}

/// Receives each step of a loop as it happens, on the loop's thread: see
/// [`Builder::observer`](crate::Builder::observer).
///
/// An observer may do whatever code in the loop may do: spawn, wake, drop, log. Steps that it
/// causes inside [`step`](Self::step) are not reported, so reporting cannot recurse. An observer
/// that panics is removed, which is logged at `error`, and the loop continues.
///
/// ```
/// use headwaiter::EventLoop;
/// use headwaiter::observe::{Observer, Step};
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// /// Counts polls.
/// struct Polls(Rc<Cell<u32>>);
///
/// impl Observer for Polls {
///     fn step(&mut self, step: &Step<'_>) {
///         if let Step::Polled { .. } = step {
///             self.0.set(self.0.get() + 1);
///         }
///     }
/// }
///
/// let polls = Rc::new(Cell::new(0));
/// let mut event_loop = EventLoop::builder().observer(Polls(polls.clone())).build()?;
/// event_loop.block_on(async {
///     headwaiter::task::yield_now().await;
///     headwaiter::spawn(async {}).await.unwrap();
/// });
/// assert_eq!(polls.get(), 4); // The main future three times, the task once.
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Observer {
    /// Receives one step, immediately before or after the loop makes it.
    /// [`time::now`](crate::time::now) returns its time.
    fn step(&mut self, step: &Step<'_>);
}

/// A number that identifies a source. It counts the sources of its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(pub(crate) Slot);

/// A number that identifies a timer. It counts the timers of its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId(pub(crate) Slot);

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.generation(), f)
    }
}

impl fmt::Display for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.generation(), f)
    }
}

/// One step of a loop. Durations are measured by the loop's [clock](crate::Clock), so under a
/// virtual clock a poll takes no time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// A turn begins.
    #[non_exhaustive]
    Turn {
        /// Counts the turns, from 1.
        number: u64,
        /// How long the kernel may wait, and why.
        wait: WaitFor,
    },
    /// The kernel was asked for events and has answered.
    #[non_exhaustive]
    Answer {
        /// How many events it reported.
        events: usize,
        /// How long that took.
        waited: Duration,
    },
    /// The virtual clock jumped to the next timer.
    #[non_exhaustive]
    Jump {
        /// By how much.
        by: Duration,
    },
    /// The kernel reported an event for a source.
    #[non_exhaustive]
    Ready {
        /// Which source.
        source: SourceId,
        /// What it is, such as `TCP stream`.
        kind: &'static str,
        /// What the kernel reported.
        ready: Ready,
        /// The tasks that this event wakes.
        woken: &'a [Id],
        /// The number of wakers of code outside this crate that it wakes.
        foreign: usize,
        /// Whether it calls a callback.
        callback: bool,
    },
    /// The kernel reported an event for a source that is gone.
    #[non_exhaustive]
    Stale,
    /// The loop took messages from other threads.
    #[non_exhaustive]
    Mail {
        /// How many tasks they woke.
        wakes: usize,
        /// How many other requests there were.
        messages: usize,
        /// How many offloaded jobs have ended.
        jobs: usize,
    },
    /// A timer fired.
    #[non_exhaustive]
    Fire {
        /// Which timer.
        timer: TimerId,
        /// How long after its deadline.
        late: Duration,
        /// The task that it wakes. `None` if it wakes no task of this loop.
        woken: Option<Id>,
    },
    /// A task entered the ready queue.
    #[non_exhaustive]
    Wake {
        /// Which task.
        task: Id,
    },
    /// A task is about to be polled. The steps until [`Polled`](Step::Polled) happen in this poll.
    #[non_exhaustive]
    Poll {
        /// Which task.
        task: Id,
    },
    /// A task was polled.
    #[non_exhaustive]
    Polled {
        /// Which task.
        task: Id,
        /// Its result.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
    /// An operation on a source made its system call.
    #[non_exhaustive]
    Tried {
        /// Which source.
        source: SourceId,
        /// What it is.
        kind: &'static str,
        /// The direction of the operation.
        direction: Direction,
        /// Whether it completed, with or without an error. If not, it would have blocked.
        done: bool,
    },
    /// A future waits for a source.
    #[non_exhaustive]
    AwaitSource {
        /// Which source.
        source: SourceId,
        /// What it is.
        kind: &'static str,
        /// The direction of the operation.
        direction: Direction,
        /// Where the operation was called, if that is known.
        place: Option<&'static Location<'static>>,
    },
    /// A future has armed a timer.
    #[non_exhaustive]
    AwaitTimer {
        /// Which timer.
        timer: TimerId,
        /// How long until it is due.
        left: Duration,
        /// Where it was made.
        place: &'static Location<'static>,
    },
    /// A timer was removed, because its future has completed or was dropped.
    #[non_exhaustive]
    Disarm {
        /// Which timer.
        timer: TimerId,
    },
    /// A future waits for the end of another task.
    #[non_exhaustive]
    AwaitTask {
        /// Which task.
        task: Id,
    },
    /// A future waits for something else, such as a lock, a message or an offloaded job.
    #[non_exhaustive]
    AwaitSync {
        /// What it waits for.
        what: &'static str,
        /// Where the operation was called.
        place: &'static Location<'static>,
    },
    /// A task was spawned, or a `block_on` began.
    #[non_exhaustive]
    Spawn {
        /// Which task.
        task: Id,
        /// Its name.
        name: Option<&'a str>,
        /// Where that call is.
        place: &'static Location<'static>,
    },
    /// The future of a task was dropped before it was ready.
    #[non_exhaustive]
    Abort {
        /// Which task.
        task: Id,
    },
    /// A job was queued for the thread pool.
    #[non_exhaustive]
    Offload {
        /// Where that call is.
        place: &'static Location<'static>,
    },
    /// The result of a job was taken.
    #[non_exhaustive]
    Fetch {
        /// Where it was offloaded.
        place: &'static Location<'static>,
    },
    /// The future of a job was dropped. The job may still run.
    #[non_exhaustive]
    Forget {
        /// Where it was offloaded.
        place: &'static Location<'static>,
    },
    /// A source was registered.
    #[non_exhaustive]
    Register {
        /// Which source.
        source: SourceId,
        /// What it is.
        kind: &'static str,
    },
    /// A source was deregistered.
    #[non_exhaustive]
    Deregister {
        /// Which source.
        source: SourceId,
        /// What it was.
        kind: &'static str,
    },
}

/// How long a turn may wait in the kernel, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitFor {
    /// Tasks are ready and the kernel was asked recently: it is not asked.
    Skip {
        /// How many.
        ready: usize,
    },
    /// Tasks are ready: the kernel is asked without waiting.
    Tasks {
        /// How many.
        ready: usize,
    },
    /// Until the next timer is due.
    Timer {
        /// For this long.
        left: Duration,
    },
    /// As long as the caller of [`turn`](crate::EventLoop::turn) allows.
    Caller(Duration),
    /// Until a source is ready or another thread sends something.
    Ever,
    /// Until an offloaded job or a child process ends; the virtual clock stands still until then.
    Work {
        /// How many.
        under_way: usize,
    },
    /// The grace period in real time that the kernel gets before a virtual clock jumps.
    Grace {
        /// In this turn.
        given: Duration,
        /// The whole grace period. Earlier turns may have used a part of it.
        whole: Duration,
    },
}

/// The result of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The task waits, or has been woken already.
    Pending,
    /// The task has finished.
    Finished,
    /// The task panicked, which ends it.
    Panicked,
}
