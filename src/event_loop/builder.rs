//! [`Builder`]: the settings of a loop. Users get one from [`EventLoop::builder`].
//! [`Builder::build`] makes the poller, the state and the loop. It starts no thread, except the
//! stall watcher if that is asked for.

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
    /// Sets the clock of the loop's timers. Default: [`Clock::Real`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how much real time the kernel gets before a [virtual clock](Clock::Virtual) jumps while
    /// a task waits for a source. Default: 1 ms. It has no effect on a real clock.
    pub fn io_grace(mut self, grace: Duration) -> Self {
        self.io_grace = grace;
        self
    }

    /// Sets how many threads the loop may start for work that would block it: jobs of
    /// [`spawn_blocking`](crate::spawn_blocking), file operations, and look-ups of host names.
    /// Default: 64. Threads are started when they are needed, and end after ten seconds without
    /// work.
    ///
    /// Look-ups of host names never occupy more than half of the threads, so that a resolver that
    /// does not answer delays neither files nor jobs. (A pool of a single thread has no half: all
    /// jobs take turns.)
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads = threads;
        self
    }

    /// Sets what the loop does when tasks wait for each other in a cycle, when nothing can wake the
    /// loop any more, or when a task's waker was lost. Default: [`Deadlock::Warn`].
    ///
    /// With [`Deadlock::Fail`], a test that would hang panics instead, and the message states the
    /// reason:
    ///
    /// ```should_panic
    /// use headwaiter::sync::oneshot;
    /// use headwaiter::{Deadlock, EventLoop};
    ///
    /// let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap();
    /// event_loop.block_on(async {
    ///     let (_sender, receiver) = oneshot::channel::<()>();
    ///     receiver.await.unwrap(); // No value is ever sent.
    /// });
    /// ```
    pub fn deadlock(mut self, deadlock: Deadlock) -> Self {
        self.deadlock = deadlock;
        self
    }

    /// Makes a seed decide the order of everything that has no order of its own: the tasks that are
    /// ready for one batch, the events that the kernel reports together, and the timers that are
    /// due at the same instant. The same seed gives the same order, so a failure can be replayed.
    ///
    /// The replay is exact for programs of tasks, timers and channels under a [virtual
    /// clock](Clock::Virtual). The seed does not decide what the kernel and other threads report,
    /// or when. Default: first come, first served.
    ///
    /// Only the documented guarantees still hold: a task that yields runs again in the next batch,
    /// but perhaps before a task that has been ready for as long. [`explore`](crate::explore())
    /// runs a test under many seeds.
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

    /// Sets how long a turn may keep the loop busy. A longer turn is a stall: it is logged at
    /// `warn`, and counted in [`Stats`](crate::observe::Stats). Default: 100 ms. [`Duration::MAX`]
    /// reports no stalls; zero is an error of [`build`](Self::build).
    ///
    /// The time that the loop waits in the kernel does not count, and the check does not read the
    /// clock. If only one task was polled in that turn, the line names it. For the next ten seconds
    /// each poll is timed, so that a stall that recurs is reported with its task. There is at most
    /// one line per second (and one more, as soon as the task is known). The next line says how
    /// many stalls were not logged. Under a virtual clock there are no stalls.
    pub fn stall_threshold(mut self, threshold: Duration) -> Self {
        self.stall_threshold = threshold;
        self
    }

    /// Sets whether a thread reports a stall while it lasts, with the task that is being polled.
    /// This is for a loop that may not come back. Default: off. The thread sleeps while the loop
    /// sleeps.
    pub fn stall_watcher(mut self, watch: bool) -> Self {
        self.stall_watcher = watch;
        self
    }

    /// Adds an observer. It receives each step of the loop, from the first turn on. Several
    /// observers receive a step in the order in which they were added.
    ///
    /// Without an observer, and with a log level of `info` or less verbose, a step costs two
    /// instructions: a load and a branch. It costs four where the loop is looked up in a
    /// thread-local: once per turn, when a socket is opened or closed, and for jobs on other
    /// threads.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Creates the loop.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EventLoop::new`]; the error of the operating system if the thread of
    /// the [watcher](Self::stall_watcher) cannot be started; and `InvalidInput` if
    /// [`blocking_threads`](Self::blocking_threads) or the
    /// [`stall_threshold`](Self::stall_threshold) is zero.
    pub fn build(self) -> io::Result<EventLoop> {
        // The settings are checked first, so that an error leaves nothing to undo.
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
        // The log lines come first, so that the line of a step precedes what an observer does about
        // it.
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
        // The loop is already in the table of living loops. If the watcher cannot be started, the
        // drop of `event_loop` removes it.
        if self.stall_watcher {
            let watcher = Watcher::start(&event_loop.shared, self.stall_threshold);
            let watcher = watcher
                .map_err(|error| about("start", "the thread of the stall watcher", error))?;
            event_loop.driver.accounting.watcher = Some(watcher);
        }
        Ok(event_loop)
    }
}
