//! Timers: [`sleep`], [`timeout`] and [`interval()`], and the time by which they go: [`now`], [`advance`].

// One timing wheel and one clock a loop. Armed by futures when they are first polled, fired by the
// fourth phase of a turn (`fire`). Nothing here knows of sockets.

pub(crate) mod alarm;
pub(crate) mod clock;
mod interval;
mod soonest;
mod wheel;

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{error, fmt, io, mem};

use pin_project_lite::pin_project;

pub use self::clock::{Advance, advance, now};
pub use self::interval::{Interval, MissedTickBehavior, Tick, interval, interval_at};
use self::wheel::Wheel;
use crate::core::{Core, discard, release};
use crate::observe::{self, Step, TimerId};
use crate::remote::Release;
use crate::slots::{Key, Slot};
use crate::task::waker::{TaskNumber, Wake};
use crate::waits::{Wait, What};

/// The timers of a loop.
pub(crate) struct Timers {
    wheel: Wheel<Armed>,
    /// Kept for its memory.
    due: Vec<(u64, Slot)>,
}

/// What is kept with a timer.
struct Armed {
    /// Whom to wake. `None` once it has fired.
    wake: Option<Wake>,
    /// Where it was made, and in which turn it was armed: for a dump.
    place: &'static Location<'static>,
    since: u64,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Timers { wheel: Wheel::new(), due: Vec::new() }
    }

    pub(crate) fn has_armed(&self) -> bool {
        self.wheel.has_armed()
    }

    pub(crate) fn earliest_at_best(&self) -> Option<u64> {
        self.wheel.earliest_at_best()
    }

    pub(crate) fn earliest(&self) -> Option<u64> {
        self.wheel.earliest()
    }

    pub(crate) fn cancel(&mut self, slot: Slot) -> Option<Wake> {
        self.wheel.cancel(slot)?.wake
    }

    /// What the tasks of this loop wait for here.
    pub(crate) fn each_wait(&self, each: &mut impl FnMut(Wait)) {
        for (due, armed, has_fired) in self.wheel.iter() {
            if let (Some(Wake::Task(task)), false) = (&armed.wake, has_fired) {
                let (what, place) = (What::Timer { due }, Some(armed.place));
                each(Wait { task: *task, what, place, since: Some(armed.since) });
            }
        }
    }

    /// When each is due, where it was made, and which task it wakes, if it wakes a task.
    pub(crate) fn each_armed(
        &self,
        each: &mut impl FnMut(u64, &'static Location<'static>, Option<TaskNumber>),
    ) {
        for (due, armed, _) in self.wheel.iter().filter(|(_, _, has_fired)| !has_fired) {
            let task = if let Some(Wake::Task(task)) = armed.wake { Some(task) } else { None };
            each(due, armed.place, task);
        }
    }

    pub(crate) fn is_armed(&mut self, slot: Slot) -> bool {
        self.wheel.get(slot).is_some_and(|(_, has_fired)| !has_fired)
    }

    /// How many there are, armed or fired.
    pub(crate) fn slots(&self) -> usize {
        self.wheel.len()
    }

    /// How many are armed.
    pub(crate) fn count(&self) -> usize {
        self.wheel.iter().filter(|(_, _, has_fired)| !has_fired).count()
    }
}

/// Fires all timers that are due, in the order of their deadlines; in a shuffled loop those of the same instant in any
/// order. Returns how many. Without any timer
/// the clock is not read.
#[inline]
pub(crate) fn fire() -> usize {
    if Core::with(|core| core.timers.has_armed()) == Some(true) { fire_due() } else { 0 }
}

fn fire_due() -> usize {
    let due = Core::with(|core| {
        let now = core.clock.now_nanos();
        let mut due = mem::take(&mut core.timers.due);
        core.timers.wheel.advance(now, &mut due);
        if let Some(shuffle) = &mut core.shuffle {
            due.chunk_by_mut(|one, next| one.0 == next.0).for_each(|same| shuffle.permute(same));
        }
        (now, due)
    });
    let Some((now, mut due)) = due else { return 0 };
    for (deadline, slot) in &due {
        let wake = Core::with(|core| {
            core.counts.late(now - deadline);
            let wake = match core.timers.wheel.get(*slot) {
                Some((armed, true)) => armed.wake.take(),
                // Cancelled, or armed anew, by a foreign waker that was woken just now.
                _ => None,
            };
            (wake, core.observed)
        });
        let Some((wake, is_told)) = wake else { break };
        if is_told {
            report_fire(*slot, now - deadline, wake.as_ref());
        }
        if let Some(wake) = wake {
            wake.wake();
        }
    }
    let fired = due.len();
    due.clear();
    due.shrink_to(1024);
    Core::with(|core| core.timers.due = due);
    fired
}

#[cold]
fn report_fire(timer: Slot, late: u64, wake: Option<&Wake>) {
    observe::report(|| Step::Fire {
        timer: TimerId(timer),
        late: Duration::from_nanos(late),
        woken: match wake {
            Some(Wake::Task(number)) => Core::with(|core| core.id_of(*number)).flatten(),
            _ => None,
        },
    });
}

/// Drops all timers' wakers of a loop that is being dropped.
pub(crate) fn drop_all() {
    while let Some(armed) = Core::with(|core| core.timers.wheel.pop()).flatten() {
        discard(armed.wake);
    }
}

/// Waits for `duration`: not less, and as little more as the kernel and the other tasks allow. (On
/// Linux a wait of 5 ms or more ends with a whole millisecond; shorter ones are exact to some 50 µs.)
///
/// `sleep(Duration::ZERO)` waits for one turn of the loop. A duration that leads beyond what the clock can
/// count, such as [`Duration::MAX`], is 30 years.
///
/// The first poll arms the timer and is always `Pending`; the turn in which the deadline passes makes it ready. If its task polls it
/// again in the same poll, as a `select` in a loop does while another branch is ready, it reads the clock, and is ready once the deadline
/// has passed. So a `timeout` that is polled once costs no read of the clock.
///
/// The time runs from this call on, not from the first poll. Cancel-safe: dropping it disarms the timer.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// headwaiter::block_on(async {
///     let start = Instant::now();
///     headwaiter::time::sleep(Duration::from_millis(5)).await;
///     assert!(start.elapsed() >= Duration::from_millis(5));
/// });
/// ```
///
/// # Panics
///
/// Outside any event loop: where it is called, and where it is polled.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(deadline_after(duration), Location::caller())
}

/// Waits until `deadline`, an instant of [`now`]'s clock. One in the past yields once, and is due in the next turn.
///
/// Otherwise as [`sleep`], with the same panics.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Core::expect("`time::sleep_until`", |_| ());
    Sleep::new(deadline, Location::caller())
}

/// As far as a deadline is put that an [`Instant`] cannot hold: 30 years.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

#[track_caller]
pub(crate) fn deadline_after(duration: Duration) -> Instant {
    let now = Core::expect("a timer", |core| core.clock.now());
    now.checked_add(duration).unwrap_or_else(|| now + FAR)
}

/// The future of [`sleep`] and [`sleep_until`]. It may be moved and dropped on any thread, but must be
/// polled in one loop only.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    deadline: Instant,
    /// The armed timer. `None` before the first poll and after the last.
    timer: Option<Key>,
    done: bool,
    /// The number of the task poll in which it was polled last.
    polled_in: u64,
    place: &'static Location<'static>,
}

impl Sleep {
    pub(crate) fn new(deadline: Instant, place: &'static Location<'static>) -> Self {
        Sleep { deadline, timer: None, done: false, polled_in: u64::MAX, place }
    }

    /// When it is due.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether its `await` is over: `false` before the first poll, however late it is.
    pub fn is_elapsed(&self) -> bool {
        self.done
    }

    /// Gives it another deadline, whether it was over or not, without another timer. One in the past may yield once, as in
    /// [`sleep_until`].
    ///
    /// # Panics
    ///
    /// If it has been polled, and this is not the loop it was polled in.
    #[track_caller]
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.done = false;
        if let Some(key) = self.timer {
            Core::at_home(key, "a `Sleep`", |core| {
                core.timers.wheel.rearm(key.slot, core.clock.nanos(deadline));
            });
        }
    }

    /// Whether a poll could be left out: its timer is armed and has not fired. Only for a task that alone polls it, and whose waker it
    /// has therefore: cheaper than a poll, which leaves it anew.
    #[cfg(feature = "hyper")]
    pub(crate) fn still_waits(&self) -> bool {
        let Some(key) = self.timer else { return false };
        Core::at_home(key, "a `Sleep`", |core| {
            core.tasks.keep();
            core.timers.is_armed(key.slot)
        })
    }

    /// Returns whether it was due already.
    fn arm(&mut self, cx: &Context<'_>) -> bool {
        let wake = Wake::of(cx.waker());
        let armed = Core::expect("a timer", |core| {
            if self.is_overdue(core) {
                return Ok(Err(wake));
            }
            let deadline = core.clock.nanos(self.deadline);
            let armed =
                Armed { wake: Some(wake), place: self.place, since: core.clock.turn_nanos() };
            core.tasks.keep();
            core.timers.wheel.arm(deadline, armed).map(|slot| Ok((core.key(slot), core.observed)))
        });
        let (key, is_told) = match armed {
            Ok(Ok(armed)) => armed,
            // The waker may be foreign: it is dropped outside the borrow.
            Ok(Err(_unused)) => return true,
            Err(_) => {
                panic!(
                    "headwaiter: this loop has four billion timers, and cannot count more: drop some first"
                )
            }
        };
        self.timer = Some(key);
        if is_told {
            self.report(key.slot);
        }
        false
    }

    /// Whether its deadline has passed, if that is to be looked for. The clock is read only from the second poll within one poll
    /// of the task on: a first poll, such as that of a plain `timeout`, need not pay for it, because the turn fires what is due.
    /// But a task that goes on polling in a loop of its own, for instance by a `select` with a branch that is always ready,
    /// may not let the loop take that turn.
    #[inline]
    fn is_overdue(&mut self, core: &mut Core) -> bool {
        let this_poll = core.tasks.polls_made();
        // To be ready costs budget, or a task could catch up with the missed ticks of an interval without end.
        mem::replace(&mut self.polled_in, this_poll) == this_poll
            && core.clock.now() >= self.deadline
            && core.spend()
    }

    #[cold]
    fn report(&self, timer: Slot) {
        observe::report(|| Step::AwaitTimer {
            timer: TimerId(timer),
            left: self.deadline.saturating_duration_since(now()),
            place: self.place,
        });
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.done {
            return Poll::Ready(());
        }
        let Some(key) = self.timer else {
            // Also a deadline in the past is armed, and fires in the next turn: so the first poll is always `Pending`.
            self.done = self.arm(cx);
            return if self.done { Poll::Ready(()) } else { Poll::Pending };
        };
        let wake = Wake::of(cx.waker());
        let mut wake = Some(wake);
        // The old waker, dropped outside the borrow as ours is: they may be foreign.
        let (old, done) = Core::at_home(key, "a `Sleep`", |core| {
            let is_overdue = self.is_overdue(core);
            match core.timers.wheel.get(key.slot) {
                Some((armed, false)) if !is_overdue => {
                    core.tasks.keep();
                    (mem::replace(&mut armed.wake, wake.take()), false)
                }
                _ => (core.timers.cancel(key.slot), true),
            }
        });
        if done {
            self.timer = None;
            self.done = true;
        }
        drop(old);
        if self.done { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            release(key, Release::Timer(key.slot));
        }
    }
}

/// Gives `future` at most `duration`. If it is not ready by then it is dropped, and [`Elapsed`] returned.
///
/// The future is polled first: one that is ready at once wins over a duration of zero. As cancel-safe as
/// `future` is.
///
/// ```
/// use headwaiter::time::{sleep, timeout};
/// use std::time::Duration;
///
/// headwaiter::block_on(async {
///     assert_eq!(timeout(Duration::from_secs(1), async { 5 }).await, Ok(5));
///     assert!(timeout(Duration::from_millis(1), sleep(Duration::MAX)).await.is_err());
/// });
/// ```
///
/// # Panics
///
/// Outside any event loop: where it is called, and where it is polled.
#[track_caller]
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout {
        future: Some(future),
        sleep: Sleep::new(deadline_after(duration), Location::caller()),
    }
}

/// Gives `future` until `deadline`, an instant of [`now`]'s clock. Otherwise as [`timeout`].
#[track_caller]
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Core::expect("`time::timeout_at`", |_| ());
    Timeout { future: Some(future), sleep: Sleep::new(deadline, Location::caller()) }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        // `None` once it is over: the future is dropped before its end is reported.
        #[pin]
        future: Option<F>,
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("headwaiter: a `Timeout` was polled again after it was ready");
        };
        if let Poll::Ready(output) = future.poll(cx) {
            this.future.set(None);
            return Poll::Ready(Ok(output));
        }
        if Pin::new(this.sleep).poll(cx).is_ready() {
            this.future.set(None);
            return Poll::Ready(Err(Elapsed(())));
        }
        Poll::Pending
    }
}

/// The time of a [`timeout`] was over before its future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over before the operation was done")
    }
}

impl error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}
