//! [`Builder`]: the settings of a loop.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::Events;

use super::EventLoop;
use super::alarm::Alarm;
use super::kernel::Accounting;
use super::turn::Driver;
use crate::about::about;
use crate::observe::log_lines::LogLines;
use crate::observe::stall::THRESHOLD;
use crate::observe::watcher::Watcher;
use crate::state::{
    Clock, Deadlock, EVENTS, INBOX, LoopClock, Observer, Pool, Shuffle, State, THREADS, nanos,
    shared,
};

/// Settings of an [`EventLoop`].
///
/// ```
/// use headwaiter::{Clock, EventLoop};
///
/// let mut event_loop = EventLoop::builder().clock(Clock::Virtual).build()?;
/// # event_loop.block_on(async {});
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder {
    clock: Clock,
    io_grace: Duration,
    blocking_threads: usize,
    deadlock: Deadlock,
    shuffle: Option<u64>,
    observers: Vec<Box<dyn Observer>>,
    stall_threshold: Duration,
    stall_watcher: bool,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("clock", &self.clock)
            .field("io_grace", &self.io_grace)
            .field("blocking_threads", &self.blocking_threads)
            .field("deadlock", &self.deadlock)
            .field("shuffle", &self.shuffle)
            .field("observers", &self.observers.len())
            .field("stall_threshold", &self.stall_threshold)
            .field("stall_watcher", &self.stall_watcher)
            .finish()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            clock: Clock::Real,
            io_grace: Duration::from_millis(1),
            blocking_threads: THREADS,
            deadlock: Deadlock::default(),
            shuffle: None,
            observers: Vec::new(),
            stall_threshold: THRESHOLD,
            stall_watcher: false,
        }
    }
}

impl Builder {
    /// Which clock its timers keep. Default: [`Clock::Real`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How much real time the kernel gets, while a source is waited for, before a
    /// [virtual clock](Clock::Virtual) jumps. Default: 1 ms. It has no meaning for a real clock.
    pub fn io_grace(mut self, grace: Duration) -> Self {
        self.io_grace = grace;
        self
    }

    /// How many threads the loop may start for what would block it: jobs of
    /// [`spawn_blocking`](crate::spawn_blocking), files, and host names to resolve. Default: 64. They are started
    /// when they are needed, and end when they had nothing to do for ten seconds.
    ///
    /// Host names never occupy more than half of them, so that a resolver that does not answer holds up neither files nor jobs.
    /// (A single thread has no half: there they all take turns.)
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads = threads;
        self
    }

    /// What is done when tasks wait for each other in a circle, when nothing can wake the loop any more, or when nobody
    /// has kept a task's waker. Default: [`Deadlock::Warn`].
    ///
    /// With [`Deadlock::Fail`], a test that would hang panics instead, and says why:
    ///
    /// ```should_panic
    /// use headwaiter::sync::oneshot;
    /// use headwaiter::{Deadlock, EventLoop};
    ///
    /// let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap();
    /// event_loop.block_on(async {
    ///     let (_sender, receiver) = oneshot::channel::<()>();
    ///     receiver.await.unwrap(); // Nobody will ever send.
    /// });
    /// ```
    pub fn deadlock(mut self, deadlock: Deadlock) -> Self {
        self.deadlock = deadlock;
        self
    }

    /// Makes the loop do what has no order of its own in an order that the seed decides: the tasks that are ready for one
    /// batch, the events that the kernel reports at once, the timers that are due at the same instant. The same
    /// seed gives the same order, so that a failure can be replayed.
    ///
    /// That is exact for programs of tasks, timers and channels under a [virtual clock](Clock::Virtual). What the kernel
    /// and other threads report, and when, is their own. Default: first come, first served.
    ///
    /// Only what was promised elsewhere is kept: whoever yields runs again in the next batch, but perhaps before a task that was
    /// ready as long. [`explore`](crate::explore()) runs a test under many seeds.
    ///
    /// ```
    /// use headwaiter::{Clock, EventLoop};
    /// use std::{cell::RefCell, io, rc::Rc};
    ///
    /// fn order(seed: u64) -> io::Result<Vec<u32>> {
    ///     let mut event_loop = EventLoop::builder().clock(Clock::Virtual).shuffle(seed).build()?;
    ///     let order = Rc::new(RefCell::new(Vec::new()));
    ///     event_loop.block_on(async {
    ///         let guests = (0..10).map(|guest| {
    ///             let order = Rc::clone(&order);
    ///             headwaiter::spawn(async move { order.borrow_mut().push(guest) })
    ///         });
    ///         for guest in guests.collect::<Vec<_>>() {
    ///             guest.await.unwrap();
    ///         }
    ///     });
    ///     Ok(order.take())
    /// }
    ///
    /// assert_eq!(order(1)?, order(1)?);
    /// assert_ne!(order(1)?, order(2)?);
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.shuffle = Some(seed);
        self
    }

    /// A turn that keeps the loop busy for longer is a stall: it is logged at `warn`, and counted in [`Stats`](crate::observe::Stats).
    /// 100 ms unless set; [`Duration::MAX`] reports none; zero is an error of [`build`](Self::build).
    ///
    /// The time that the kernel waits does not count, and no clock is read for this. Where only one task was polled in that
    /// turn it is named. For the next ten seconds each poll is timed, so that a stall that comes back is reported with its task.
    /// There is at most one line a second (and one more, as soon as the task is known); the next says how many stalls had
    /// none. Under a virtual clock there are no stalls.
    pub fn stall_threshold(mut self, threshold: Duration) -> Self {
        self.stall_threshold = threshold;
        self
    }

    /// A thread reports a stall while it lasts, with the task that is being polled: for a loop that may not come back. Off
    /// unless set. The thread sleeps while the loop does.
    pub fn stall_watcher(mut self, watch: bool) -> Self {
        self.stall_watcher = watch;
        self
    }

    /// Tells this observer each step of the loop, from the first turn on. There may be several: they are told in the order
    /// in which they were given here.
    ///
    /// Without any, and with the log at `info` or above, a step costs two instructions: a load and a branch. (Four, where a thread-local
    /// is looked up for it: once a turn, at the opening and closing of a socket, and for jobs on other threads.)
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Makes the loop.
    ///
    /// # Errors
    ///
    /// As [`EventLoop::new`]; what the system says if there is no thread for the [watcher](Self::stall_watcher); and `InvalidInput`
    /// for no [`blocking_threads`](Self::blocking_threads) at all, or a [`stall_threshold`](Self::stall_threshold) of zero.
    pub fn build(self) -> io::Result<EventLoop> {
        if self.blocking_threads == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "`blocking_threads(0)`: an event loop needs at least one thread for what would block it; it starts none before there is a job",
            ));
        }
        if self.stall_threshold.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "`stall_threshold(Duration::ZERO)` would report every turn: give it some milliseconds, or `Duration::MAX` to report none",
            ));
        }
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), INBOX)?;
        let shared = shared::open(waker, poll.registry().try_clone()?)?;
        let pool = Pool::new(self.blocking_threads, Arc::clone(&shared));
        let shuffle = self.shuffle.map(Shuffle::new);
        let threshold = nanos(self.stall_threshold);
        let clock = LoopClock::new(self.clock);
        let mut state = State::new(clock, Arc::clone(&shared), pool, shuffle, threshold);
        state.deadlock = self.deadlock;
        state.observers = self.observers;
        state.observers.insert(0, Box::new(LogLines));
        let driver = Driver {
            poll,
            events: Events::with_capacity(EVENTS),
            is_full: false,
            polls_since_wait: 0,
            io_grace: self.io_grace,
            graced: Duration::ZERO,
            alarm: Alarm::default(),
            accounting: Accounting::new(Arc::clone(&shared)),
        };
        let mut event_loop = EventLoop { state: Some(Box::new(state)), driver, shared };
        // The loop is in the table of living loops already. If this fails it is dropped, which removes it.
        if self.stall_watcher {
            let watcher = Watcher::start(&event_loop.shared, self.stall_threshold);
            let watcher = watcher
                .map_err(|error| about("start", "the thread of the stall watcher", error))?;
            event_loop.driver.accounting.watcher = Some(watcher);
        }
        Ok(event_loop)
    }
}
