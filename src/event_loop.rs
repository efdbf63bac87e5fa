//! The event loop: [`EventLoop`], how it is built, and [`turn`](EventLoop::turn), which is the whole of it.
//! `block_on` turns it until its future is ready; an embedder turns it by hand. It owns the poller and
//! calls the other parts; none of them calls it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use mio::Events;
use pin_project_lite::pin_project;

use crate::about::about;
use crate::core::{Core, Entered, contain, discard, release_here};
use crate::observe::stall::{self, Stalls, Watcher};
use crate::observe::stuck::{self, Deadlock, Verdict};
use crate::observe::{self, Step, WaitFor};
use crate::observe::{Observer, Observers};
use crate::offload::{self, Pool};
use crate::reactor::{self, INBOX};
use crate::remote::{self, Handle, LoopId, Message, Shared};
use crate::shuffle::Shuffle;
use crate::slots::Slot;
use crate::task::{self, Id, Main};
use crate::time;
use crate::time::alarm::Alarm;
use crate::time::clock::{Clock, LoopClock, nanos};

/// With tasks ready, the kernel is asked at the first turn boundary after so many polls of tasks. (After a stall, also when one
/// took long.)
pub(crate) const POLLS_BETWEEN_WAITS: u32 = 64;

/// The longest single wait. A later timer costs one idle turn a day.
const LONGEST_WAIT: u64 = 24 * 3600 * 1_000_000_000;

/// A single-threaded event loop: a reactor, the tasks, their timers, and the turn that drives them.
///
/// Its tasks and sockets live on between calls of [`block_on`](Self::block_on), [`turn`](Self::turn) and
/// [`enter`](Self::enter), and end with it: dropping the loop drops all its tasks, here, on its thread.
///
/// ```
/// let mut event_loop = headwaiter::EventLoop::new()?;
/// let answer = event_loop.block_on(async { headwaiter::spawn(async { 42 }).await });
/// assert_eq!(answer.unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # fork(2)
///
/// A loop belongs to the process that made it: a forked child shares the kernel's poller with its parent, so it must not use the
/// loop. (This is about a bare fork(2); [`process::Command`](crate::process::Command) and std's are not affected.)
///
/// - The child may drop whatever it has inherited, the loop itself included. That closes its copies of the descriptors and leaves the
///   parent's poller, connections and child processes alone.
/// - [`block_on`](Self::block_on), [`turn`](Self::turn) and [`enter`](Self::enter) of an inherited loop panic in the child. It may
///   make a loop of its own, and move a socket there with `into_std` and `from_std`.
/// - Forking inside a task, a callback or `enter` is supported only if the child ends there, by exec or `_exit`. A child that
///   returns to the loop takes events that are its parent's.
/// - fork(2) copies no other thread: in a program with several (a loop starts threads for files, host names and
///   [`spawn_blocking`](crate::spawn_blocking)), POSIX allows the child little more than exec.
pub struct EventLoop {
    /// In the thread-local of [`crate::core`] while the loop runs.
    core: Option<Box<Core>>,
    driver: Driver,
    shared: Arc<Shared>,
}

/// What turns: the poller, and what only the turn itself needs.
struct Driver {
    poll: mio::Poll,
    /// What the kernel reported in this turn.
    events: Events,
    io_grace: Duration,
    turns: u64,
    /// Makes short waits exact.
    alarm: Alarm,
    /// Polls of tasks since the kernel was asked.
    polls_since_wait: u32,
    /// The same, until it has answered.
    polls_since_answer: u32,
    /// What was done since the kernel answered, or since the loop was resumed, is to be counted.
    is_busy: bool,
    watcher: Option<Watcher>,
    /// The kernel may have more events than it was asked for.
    full: bool,
    /// How much of its grace the kernel has had already, in turns that were allowed less.
    graced: Duration,
}

/// What happened in one [`EventLoop::turn`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// Events that the kernel reported.
    pub events: usize,
    /// Tasks that were polled, and the main future of a `block_on`.
    pub polls: usize,
    /// Timers that fired.
    pub timers: usize,
    /// The kernel filled the whole event buffer: it may have more, which the next turn takes.
    pub full: bool,
}

impl EventLoop {
    /// A loop with default settings.
    ///
    /// # Errors
    ///
    /// If the kernel gives no poller (too many open files), or if 4,096 loops are alive in this process (on a
    /// 32-bit machine: 16).
    pub fn new() -> io::Result<Self> {
        Builder::default().build()
    }

    /// Settings for a loop.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs the loop until `future` is ready, and returns its output. The future need not be `'static`.
    ///
    /// Tasks that are not done by then stay in the loop, and run on in the next `block_on` or `turn`.
    ///
    /// # Panics
    ///
    /// Inside a running loop: `.await` the future there, or `spawn` it. In a forked child of the process that made the loop. If
    /// `future` panics, its panic goes on here. If the kernel refuses to wait (epoll_wait(2) fails), which no program can mend.
    #[track_caller]
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let _entered = enter(&mut self.core, self.shared.id, "`block_on`");
        let main = Seat::new(Location::caller());
        let mut output = None;
        let driving = Driving::begin(&mut self.driver, true);
        {
            let future = pin!(Store { future, output: &mut output, done: &main.done });
            let mut main_task = Main { slot: main.slot, future };
            // This is the event loop.
            while !main.done.get() {
                if let Err(error) = driving.0.turn(None, Some(&mut main_task)) {
                    panic!("headwaiter: the kernel refuses to wait for events: {error}");
                }
            }
        }
        drop(driving);
        output.expect("`done` is set with the output")
    }

    /// Drives the loop by hand: one turn, which waits for at most `max_wait` (`None`: for as long as it takes)
    /// and not at all if something is ready.
    ///
    /// In a turn, in this order:
    ///
    /// 1. the kernel is asked for events (inside `block_on`, with tasks ready, only if 64 were polled since the
    ///    last time, or one of them did all it may do in a poll);
    /// 2. its events are dispatched: wakers are woken, callbacks called;
    /// 3. what other threads sent is taken in;
    /// 4. the timers that are due fire; if there was nothing at all so far, a virtual clock jumps before;
    /// 5. the tasks that are ready now are polled. A task that is woken meanwhile, also by itself, runs
    ///    in the next turn.
    ///
    /// Under a [virtual clock](Clock::Virtual), `max_wait` also limits how far the clock jumps.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let mut event_loop = headwaiter::EventLoop::new()?;
    /// let task = event_loop.enter(|| headwaiter::spawn(async { "done" }));
    /// let turn = event_loop.turn(Some(Duration::ZERO))?;
    /// assert_eq!(turn.polls, 1);
    /// assert!(event_loop.enter(|| task.is_finished()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the kernel refuses to wait.
    ///
    /// # Panics
    ///
    /// Inside a running loop, and in a forked child of the process that made this one.
    #[track_caller]
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<Turn> {
        let _entered = enter(&mut self.core, self.shared.id, "`EventLoop::turn`");
        // It asks the kernel at once.
        Driving::begin(&mut self.driver, false).0.turn(max_wait, None)
    }

    /// When the next [`turn`](Self::turn) has something to do, as far as this loop can know: an instant in
    /// the past while anything is ready, else exactly when the next timer is due, or `None` without one.
    /// (Under a [virtual clock](Clock::Virtual): an instant of that clock.)
    ///
    /// An embedder waits until then, or until the loop's file descriptor becomes readable: that is when
    /// a source is ready, or another thread has sent something.
    pub fn next_deadline(&self) -> Option<Instant> {
        let core = self.core.as_deref()?;
        if self.driver.full || core.tasks.is_any_ready() || core.shared.has_mail() {
            return Some(core.clock.now());
        }
        core.timers.earliest().map(|earliest| core.clock.instant(earliest))
    }

    /// Runs `work` with this loop as the thread's current one, so that it can spawn tasks, open sockets and
    /// use handles between turns. Nothing else of the loop runs meanwhile.
    ///
    /// # Panics
    ///
    /// Inside a running loop, and in a forked child of the process that made this one.
    #[track_caller]
    pub fn enter<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let _entered = enter(&mut self.core, self.shared.id, "`EventLoop::enter`");
        Core::with(Core::lift_budget);
        work()
    }

    /// Reaches this loop from other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }
}

/// The driver while `block_on` or `turn` drives it, also if a panic leaves them: the watcher must not take a loop for blocked that
/// nothing drives.
struct Driving<'a>(&'a mut Driver);

impl<'a> Driving<'a> {
    fn begin(driver: &'a mut Driver, is_busy: bool) -> Self {
        driver.resume(is_busy);
        Driving(driver)
    }
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.suspend();
    }
}

impl Driver {
    fn turn(
        &mut self,
        max_wait: Option<Duration>,
        main: Option<&mut Main<'_>>,
    ) -> io::Result<Turn> {
        let mut turn = Turn::default();
        self.turns += 1;

        // 1. Ask the kernel.
        observe::look_again();
        let in_block_on = main.is_some();
        let mut wait = self.wait_for(max_wait, in_block_on);
        if observe::is_on() {
            Core::with(|core| core.untimed = 0);
            observe::report(|| Step::Turn { number: self.turns, wait });
            // The logger may have woken a task, or armed a timer.
            wait = self.wait_for(max_wait, in_block_on);
        }
        let for_ever = matches!(wait, WaitFor::Ever) && in_block_on;
        if self.may_be_stuck(wait, for_ever) && look_before_sleep(for_ever) {
            wait = self.wait_for(max_wait, in_block_on);
        }
        let timeout = wait.timeout().map(|timeout| self.put_off_looks(wait, timeout));
        self.events.clear();
        let (mut idle, mut interrupted) = (true, false);
        if let Some((timeout, puts_off)) = timeout {
            self.polls_since_wait = 0;
            match wait {
                WaitFor::Timer { left } => {
                    let deadline = Core::with(|core| core.timers.earliest_at_best()).flatten();
                    self.alarm.set(self.poll.registry(), left, deadline);
                }
                WaitFor::Caller(left) => self.alarm.set(self.poll.registry(), left, None),
                _ => {}
            }
            let sleeps = timeout != Some(Duration::ZERO);
            let asked = if sleeps { self.go_to_sleep() } else { None };
            match self.poll.poll(&mut self.events, timeout) {
                // A signal handler ran: a turn without events, and the wait is computed anew.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => interrupted = true,
                result => result?,
            }
            self.count_answer(asked);
            if puts_off && self.events.is_empty() {
                Core::with(|core| core.suspects.pay_by_idleness());
            }
        }

        // 2. Dispatch its events.
        if !self.events.is_empty() {
            (turn.events, turn.full) = reactor::dispatch(&self.events);
            // Also by the inbox's own event, whose mail may have been taken before.
            idle = false;
        }
        self.full = turn.full;

        // 3. Take what other threads sent.
        idle &= !take_mail();

        // 4. Fire the timers that are due.
        if !interrupted {
            self.give_grace(wait, idle, max_wait);
        }
        turn.timers = time::fire();

        // 5. Run the tasks that are ready now.
        let most =
            if in_block_on { POLLS_BETWEEN_WAITS.saturating_sub(self.polls_since_wait) } else { 0 };
        turn.polls = task::run_batch(main, most as usize);
        self.polls_since_wait = self.polls_since_wait.saturating_add(turn.polls as u32);
        self.polls_since_answer = self.polls_since_answer.saturating_add(turn.polls as u32);
        Core::with(|core| core.counts.turn(&turn, !matches!(wait, WaitFor::Skip { .. })));
        Ok(turn)
    }

    /// After an idle turn: once the kernel has had its whole grace, the virtual clock jumps.
    fn give_grace(&mut self, wait: WaitFor, idle: bool, max_wait: Option<Duration>) {
        let had = mem::take(&mut self.graced);
        match wait {
            WaitFor::Grace { given, whole } if idle && had + given >= whole => jump(max_wait),
            WaitFor::Grace { given, .. } if idle => self.graced = had + given,
            _ => {}
        }
    }

    /// Starts busy-time accounting.
    fn resume(&mut self, is_busy: bool) {
        Core::with(|core| core.clock.begin_turn());
        self.is_busy = is_busy;
        self.tell_watcher(false);
    }

    /// Stops busy-time accounting.
    fn suspend(&mut self) {
        // The time that a panic hook took, for instance for a backtrace, is no stall.
        if self.is_busy && !thread::panicking() {
            let stall = Core::with(|core| core.count_busy(core.clock.now_nanos()));
            self.report_stall(stall.flatten());
        }
        self.tell_watcher(true);
    }

    /// Returns when that is, in nanoseconds.
    fn go_to_sleep(&mut self) -> Option<u64> {
        self.tell_watcher(true);
        Core::with(|core| core.clock.now_nanos())
    }

    fn tell_watcher(&self, sleeps: bool) {
        let Some(watcher) = &self.watcher else { return };
        Core::with(|core| {
            core.shared.turns.store(self.turns, Ordering::Relaxed);
            core.shared.sleeps.store(sleeps, Ordering::Release);
        });
        if !sleeps {
            watcher.wake();
        }
    }

    /// The kernel has answered: it was asked at this time, or just now.
    fn count_answer(&mut self, asked: Option<u64>) {
        let is_busy = mem::replace(&mut self.is_busy, true);
        let counted = Core::with(|core| {
            let now = core.clock.now_nanos();
            let asked = asked.unwrap_or(now);
            let stall = if is_busy { core.count_busy(asked) } else { None };
            let waited = now.saturating_sub(asked);
            core.counts.waited(waited);
            core.clock.set_turn(now);
            core.suspects.give_credit();
            core.budget.overspent = false;
            (stall, waited)
        });
        let (stall, waited) = counted.expect(A_LOOP_RUNS);
        // Also of a loop that did not sleep: it turns.
        self.tell_watcher(false);
        observe::report(|| Step::Answer {
            events: self.events.iter().count(),
            waited: Duration::from_nanos(waited),
        });
        self.report_stall(stall);
    }

    fn report_stall(&mut self, stall: Option<u64>) {
        let polls = mem::take(&mut self.polls_since_answer);
        if let Some(busy) = stall {
            stall::turn_took(busy, polls);
        }
    }

    /// Whether the loop is about to sleep, and some task may be stuck, or all: most often somebody waits for a source.
    fn may_be_stuck(&self, wait: WaitFor, for_ever: bool) -> bool {
        let is_stuck =
            |core: &mut Core| !core.suspects.is_empty() || (for_ever && !core.reactor.is_awaited());
        !matches!(wait, WaitFor::Skip { .. } | WaitFor::Tasks { .. })
            && Core::with(is_stuck) == Some(true)
    }

    /// Tasks that may be stuck, and that there is no credit to look at, are looked at once the loop has been idle for a while. Returns
    /// for how long the kernel may wait, and whether that is why.
    fn put_off_looks(&self, wait: WaitFor, timeout: Option<Duration>) -> (Option<Duration>, bool) {
        // A grace must be as long as it is counted.
        let is_long = timeout.is_none_or(|timeout| timeout > stuck::IDLE)
            && !matches!(wait, WaitFor::Grace { .. });
        match is_long && Core::with(|core| core.puts_looks_off()) == Some(true) {
            true => (Some(stuck::IDLE), true),
            false => (timeout, false),
        }
    }

    /// How long this turn may wait, and why.
    fn wait_for(&self, max_wait: Option<Duration>, in_block_on: bool) -> WaitFor {
        let wait = Core::with(|core| {
            let ready = core.tasks.ready();
            if ready > 0 {
                // An embedder may have been told of our events by an edge, which must not be spent in vain.
                return match self.polls_since_wait {
                    0..POLLS_BETWEEN_WAITS if in_block_on && !core.budget.overspent => {
                        WaitFor::Skip { ready }
                    }
                    _ => WaitFor::Tasks { ready },
                };
            }
            let Some(earliest) = core.timers.earliest_at_best() else {
                return max_wait.map_or(WaitFor::Ever, WaitFor::Caller);
            };
            if core.clock.is_virtual() {
                if let under_way @ 1.. = core.under_way() {
                    return max_wait.map_or(WaitFor::Work { under_way }, WaitFor::Caller);
                }
                let whole = if core.reactor.is_awaited() { self.io_grace } else { Duration::ZERO };
                let given = whole.saturating_sub(self.graced);
                return WaitFor::Grace {
                    given: max_wait.map_or(given, |max| max.min(given)),
                    whole,
                };
            }
            let left = earliest.saturating_sub(core.clock.now_nanos()).min(LONGEST_WAIT);
            let left = Duration::from_nanos(left);
            match max_wait {
                Some(max) if max < left => WaitFor::Caller(max),
                _ => WaitFor::Timer { left },
            }
        });
        wait.expect(A_LOOP_RUNS)
    }
}

/// Returns whether that has changed anything.
#[cold]
fn look_before_sleep(for_ever: bool) -> bool {
    match stuck::look_before_sleep(for_ever) {
        Verdict::Fine => false,
        Verdict::Acted => true,
        Verdict::Panic(report) => panic!("headwaiter: {report}"),
    }
}

const A_LOOP_RUNS: &str = "a turn is made by the loop that runs here";

/// Returns whether there was any.
#[inline]
fn take_mail() -> bool {
    let has_mail = Core::with(|core| core.shared.has_mail()) == Some(true);
    if has_mail {
        sort_mail();
    }
    has_mail
}

fn sort_mail() {
    let mail = Core::with(|core| {
        let mail = core.shared.take();
        core.jobs -= mail.jobs;
        mail.foreign.iter().for_each(|task| core.tasks.mark_foreign(*task));
        mail
    });
    let Some(mail) = mail else { return };
    observe::report(|| Step::Mail {
        wakes: mail.wakes.len(),
        messages: mail.messages.len() + mail.foreign.len(),
        jobs: mail.jobs,
    });
    for task in mail.wakes {
        if let Some(task) = Core::with(|core| core.tasks.wake(task)).flatten() {
            observe::report(|| Step::Wake { task: Id::new(task) });
        }
    }
    for message in mail.messages {
        match message {
            Message::Release(what) => release_here(what),
            Message::Abort(task) => task::abort(task),
            Message::Unheld(task) => {
                Core::with(|core| core.unhold(task));
            }
            Message::Run(job) => {
                Core::with(Core::lift_budget);
                contain("a job from another thread", job);
            }
        }
    }
}

/// Moves a virtual clock to its next timer, if the loop is idle: the kernel and the other threads had
/// nothing, no task is ready, and no job or child is under way.
fn jump(max_wait: Option<Duration>) {
    let by = Core::with(|core| {
        if core.tasks.ready() > 0 || core.under_way() > 0 || core.shared.has_mail() {
            return 0;
        }
        let Some(next) = core.timers.earliest() else { return 0 };
        let left = next.saturating_sub(core.clock.now_nanos());
        let by = max_wait.map_or(left, |max| left.min(nanos(max)));
        core.clock.move_by(by);
        by
    });
    if let Some(by @ 1..) = by {
        observe::report(|| Step::Jump { by: Duration::from_nanos(by) });
    }
}

impl WaitFor {
    /// `None`: do not ask the kernel. `Some(None)`: wait for as long as it takes.
    fn timeout(self) -> Option<Option<Duration>> {
        match self {
            WaitFor::Skip { .. } => None,
            WaitFor::Tasks { .. } => Some(Some(Duration::ZERO)),
            WaitFor::Ever | WaitFor::Work { .. } => Some(None),
            WaitFor::Timer { left, .. } | WaitFor::Caller(left) => Some(Some(left)),
            WaitFor::Grace { given, .. } => Some(Some(given)),
        }
    }
}

#[track_caller]
fn enter<'a>(core: &'a mut Option<Box<Core>>, id: LoopId, what: &str) -> Entered<'a> {
    assert_not_running(what);
    assert!(
        remote::is_of_this_process(id),
        "headwaiter: {what} was called in a forked child, on the event loop of its parent, whose events it would take: make a new loop in the child, and move sockets there with `into_std` and `from_std`"
    );
    Core::enter(core)
}

#[track_caller]
fn assert_not_running(what: &str) {
    let Some(running) = Core::with(|core| core.id) else { return };
    assert!(
        remote::is_of_this_process(running),
        "headwaiter: {what} was called in a child that was forked inside a running event loop, which is its parent's: fork before the loop runs, or let the child do nothing but exec or exit"
    );
    panic!(
        "headwaiter: {what} was called inside a running event loop, which would block it: `.await` the future there, or `spawn` it"
    );
}

/// The main future's place among the tasks, given back also when the future panics.
struct Seat {
    slot: Slot,
    done: Cell<bool>,
}

impl Seat {
    fn new(place: &'static Location<'static>) -> Self {
        let slot = Core::with(|core| {
            core.quiescent = false;
            core.tasks.seat_main(place, core.clock.turn_nanos())
        })
        .flatten();
        let slot = slot.expect(
            "headwaiter: this loop has so many tasks that there is no number left for `block_on`",
        );
        observe::report(|| Step::Spawn { task: Id::new(slot), name: Some("main"), place });
        Seat { slot, done: Cell::new(false) }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        Core::with(|core| {
            core.poll_began = None; // It may have panicked in a poll that was timed.
            core.tasks.unseat_main(self.slot);
        });
    }
}

pin_project! {
    /// The main future, made into one without output, so that the turn need not know its type.
    struct Store<'a, F: Future> {
        #[pin]
        future: F,
        output: &'a mut Option<F::Output>,
        done: &'a Cell<bool>,
    }
}

impl<F: Future> Future for Store<'_, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.done.get() {
            return Poll::Ready(());
        }
        match this.future.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(output) => {
                **this.output = Some(output);
                this.done.set(true);
                Poll::Ready(())
            }
        }
    }
}

impl Drop for EventLoop {
    /// Drops the offloaded jobs that have not begun, all tasks, then unread messages, callbacks and timers' wakers.
    /// Whatever their drops do: what they spawn is dropped at once, what they open is refused, and a panic is logged.
    fn drop(&mut self) {
        // Also inside another loop, for instance when one of its tasks owns this loop.
        let _entered = Core::enter(&mut self.core);
        Core::with(|core| core.closing = true);
        Core::with(Core::lift_budget);
        offload::close();
        task::drop_all();
        for message in self.shared.close().messages {
            discard(message);
        }
        reactor::drop_all();
        time::drop_all();
        // Last, so that no new loop gets our narrow id while a drop may still wake one of its tasks from here.
        remote::forget(&self.shared);
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for EventLoop {
    /// The poller's descriptor: readable when a turn would find events. For another loop to watch.
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.driver.poll.registry().as_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for EventLoop {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.driver.poll.as_raw_fd()
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("id", &self.shared.id)
            .field("turns", &self.driver.turns)
            .finish_non_exhaustive()
    }
}

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
    observers: Observers,
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
            blocking_threads: offload::THREADS,
            deadlock: Deadlock::default(),
            shuffle: None,
            observers: Observers::new(),
            stall_threshold: stall::THRESHOLD,
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
    /// ready as long. [`explore`](crate::explore) runs a test under many seeds.
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
        let shared = remote::open(waker, poll.registry().try_clone()?)?;
        let pool = Pool::new(self.blocking_threads, Arc::clone(&shared));
        let shuffle = self.shuffle.map(Shuffle::new);
        let mut core = Core::new(LoopClock::new(self.clock), Arc::clone(&shared), pool, shuffle);
        core.deadlock = self.deadlock;
        core.stalls = Stalls::new(nanos(self.stall_threshold));
        core.observers = self.observers;
        let driver = Driver {
            poll,
            events: Events::with_capacity(reactor::EVENTS),
            io_grace: self.io_grace,
            turns: 0,
            alarm: Alarm::default(),
            polls_since_wait: 0,
            polls_since_answer: 0,
            is_busy: false,
            watcher: None,
            full: false,
            graced: Duration::ZERO,
        };
        let mut event_loop = EventLoop { core: Some(Box::new(core)), driver, shared };
        // The loop is in the table of living loops already. If this fails it is dropped, which takes it out.
        if self.stall_watcher {
            let watcher = Watcher::start(&event_loop.shared, self.stall_threshold);
            event_loop.driver.watcher = Some(
                watcher
                    .map_err(|error| about("start", "the thread of the stall watcher", error))?,
            );
        }
        Ok(event_loop)
    }
}

/// Runs `future` on a new [`EventLoop`] with default settings, on this thread, until it is ready.
///
/// ```
/// assert_eq!(headwaiter::block_on(async { 6 * 7 }), 42);
/// ```
///
/// # Panics
///
/// Inside a running loop; if the future panics; and if the kernel gives no poller (then use
/// [`EventLoop::new`], which returns the error).
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    // Asked first, so that the message is about the nesting.
    assert_not_running("`block_on`");
    match EventLoop::new() {
        Ok(mut event_loop) => event_loop.block_on(future),
        Err(error) => panic!("headwaiter: cannot make an event loop: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn the_watcher_is_told_that_nothing_drives_the_loop_also_after_a_panic() {
        let mut event_loop = EventLoop::builder().stall_watcher(true).build().expect("a loop");
        let sleeps = |event_loop: &EventLoop| event_loop.shared.sleeps.load(Ordering::Acquire);
        event_loop.block_on(async {});
        assert!(sleeps(&event_loop));
        let panics = AssertUnwindSafe(|| {
            event_loop.block_on(async {
                assert_eq!(
                    Core::with(|core| core.shared.sleeps.load(Ordering::Acquire)),
                    Some(false)
                );
                panic!("the main future is gone");
            })
        });
        assert!(catch_unwind(panics).is_err());
        assert!(sleeps(&event_loop));
    }
}
