//! [`sleep`] and [`sleep_until`]: futures that own one timer of the loop each, armed by the first
//! poll. [`timeout`](super::timeout()) and [`interval`](super::interval()) are built on them. A
//! sleep never ends before its deadline.

use std::future::Future;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::door::{Door, release};
use crate::state::{Armed, Key, Release, State, Step, TimerId, Wake};

/// Waits for `duration`: never less, and as little more as the kernel and the other tasks allow.
/// (On Linux, a wait of 5 ms or more ends on a whole millisecond; shorter ones are accurate to
/// about 50 µs.)
///
/// `sleep(Duration::ZERO)` waits for one turn of the loop. A duration that the clock cannot
/// represent, such as [`Duration::MAX`], counts as 30 years.
///
/// The first poll arms the timer and always returns `Pending`. The turn in which the deadline
/// passes makes the sleep ready. If the task polls it again within the same poll, as a `select` in
/// a loop does while another branch is ready, it reads the clock, and is ready once the deadline
/// has passed. So a `timeout` that is polled once does not read the clock.
///
/// The time runs from this call, not from the first poll. This is cancel-safe: dropping the future
/// disarms the timer.
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
/// Panics if it is called or polled outside any event loop.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(deadline_after(duration), Location::caller())
}

/// Waits until `deadline`, an instant of the clock of [`now`](super::now()). A deadline in the past
/// is due in the next turn.
///
/// Otherwise like [`sleep`], with the same panics.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    drop(Door::expect("`time::sleep_until`"));
    Sleep::new(deadline, Location::caller())
}

/// Replaces a duration after which the deadline does not fit into an [`Instant`]: 30 years.
pub(super) const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Returns the instant that is `duration` from now, by the clock of the loop.
#[track_caller]
pub(crate) fn deadline_after(duration: Duration) -> Instant {
    let now = Door::expect("a timer").clock.now();
    now.checked_add(duration).unwrap_or_else(|| now + FAR_FUTURE)
}

/// The future of [`sleep`] and [`sleep_until`]. It may be moved to and dropped on any thread, but
/// may be polled in only one loop.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    deadline: Instant,
    /// The key of the timer. `None` before the first poll and after the last.
    timer: Option<Key>,
    /// A poll has returned `Ready`.
    done: bool,
    /// The number of the task poll in which this was last polled.
    polled_in: u64,
    /// Where the user called, for diagnostics.
    pub(super) place: &'static Location<'static>,
}

impl Sleep {
    pub(crate) fn new(deadline: Instant, place: &'static Location<'static>) -> Self {
        Sleep { deadline, timer: None, done: false, polled_in: u64::MAX, place }
    }

    /// Returns the deadline.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns whether the timer has fired, so that the next poll is ready, or a poll was ready
    /// already. This is `false` before the first poll, which arms the timer, however late that is.
    /// Outside the loop of the timer, only a poll that was ready counts.
    pub fn is_elapsed(&self) -> bool {
        let has_fired = |key: Key| {
            let mut door = Door::of(key)?;
            door.timers.wheel.get(key.slot).map(|(_, has_fired)| has_fired)
        };
        self.done || self.timer.and_then(has_fired).unwrap_or(false)
    }

    /// Sets another deadline, whether the previous one has passed or not, and reuses the timer. A
    /// deadline in the past is due in the next turn, as in [`sleep_until`].
    ///
    /// # Panics
    ///
    /// Panics if it was polled in a loop, and is not reset in that loop.
    #[track_caller]
    pub fn reset(&mut self, deadline: Instant) {
        if let Some(key) = self.timer {
            let mut door = Door::at_home(key, "a `Sleep`");
            let nanos = door.clock.nanos(deadline);
            door.timers.wheel.rearm(key.slot, nanos);
        }
        // After the panic of another loop, so that it and the timer agree.
        self.deadline = deadline;
        self.done = false;
    }

    /// Returns whether a poll can be skipped because the timer has not fired. This is cheaper than
    /// a poll, which stores the waker again. Call it only if a single task polls this sleep, so
    /// that the timer has that task's waker.
    #[cfg(feature = "hyper")]
    pub(crate) fn still_waits(&self) -> bool {
        let Some(key) = self.timer else { return false };
        let mut door = Door::at_home(key, "a `Sleep`");
        door.tasks.keep();
        door.timers.wheel.get(key.slot).is_some_and(|(_, has_fired)| !has_fired)
    }

    /// Arms the timer. Returns whether the deadline has already passed.
    fn arm(&mut self, cx: &Context<'_>) -> bool {
        // Cloned before the door opens, because cloning a foreign waker runs foreign code.
        let wake = Wake::of(cx.waker());
        let mut door = Door::expect("a timer");
        let state = &mut *door;
        if self.is_overdue(state) {
            state.outbox.drop_wake(Some(wake));
            return true;
        }
        let armed = Armed::new(wake, self.place, state.clock.turn_nanos());
        // The timer stores the waker, so the task does not count as one with a lost waker.
        state.tasks.keep();
        match state.timers.wheel.arm(state.clock.nanos(self.deadline), armed) {
            Ok(slot) => {
                self.timer = Some(state.key(slot));
                let (timer, place) = (TimerId(slot), self.place);
                let (deadline, clock) = (self.deadline, &state.clock);
                state.outbox.report(|| {
                    let left = deadline.saturating_duration_since(clock.now());
                    Step::AwaitTimer { timer, left, place }
                });
                false
            }
            Err(armed) => {
                // The door is closed before the panic, because unwinding runs user code.
                state.outbox.drop_wake(armed.foreign.map(Wake::Foreign));
                drop(door);
                panic!(
                    "headwaiter: this loop has four billion timers, and cannot count more: drop some first"
                )
            }
        }
    }

    /// Stores the waker of this poll. Returns whether the timer has fired.
    fn rearm(&mut self, key: Key, cx: &Context<'_>) -> bool {
        let wake = Wake::of(cx.waker());
        let mut door = Door::at_home(key, "a `Sleep`");
        let state = &mut *door;
        let is_overdue = self.is_overdue(state);
        match state.timers.wheel.get(key.slot) {
            // This poll may have another waker than the last one, so the stored waker is replaced.
            Some((armed, false)) if !is_overdue => {
                state.tasks.keep();
                // Each tick of an interval has a place of its own.
                armed.waiter.place = Some(self.place);
                let before = armed.set_wake(wake);
                state.outbox.drop_wake(before.map(Wake::Foreign));
                false
            }
            _ => {
                // The timer has no further use, so its slot is freed before the sleep is dropped.
                state.outbox.drop_wake(Some(wake));
                state.timers.cancel(key.slot, &mut state.outbox);
                self.timer = None;
                true
            }
        }
    }

    /// Returns whether the deadline has passed, if this poll has to check that.
    ///
    /// The clock is read only from the second poll within one poll of the task on. The first poll,
    /// such as that of a plain `timeout`, does not need it, because the turn fires the timers that
    /// are due. But a task may poll in a loop of its own, for instance with a `select` that has a
    /// branch that is always ready. Such a task may keep the loop from reaching that turn.
    #[inline]
    fn is_overdue(&mut self, state: &mut State) -> bool {
        let this_poll = state.tasks.polls_made();
        // Being ready costs budget. Otherwise a task could catch up with the missed ticks of an
        // interval without ever yielding.
        mem::replace(&mut self.polled_in, this_poll) == this_poll
            && state.clock.now() >= self.deadline
            && state.budget.spend()
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.done {
            // A deadline in the past is armed too, and fires in the next turn. So the first poll is
            // always `Pending`.
            self.done = match self.timer {
                None => self.arm(cx),
                Some(key) => self.rearm(key, cx),
            };
        }
        if self.done { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            cancel(key);
        }
    }
}

/// As `release` does, without the choice among all kinds of handles.
#[inline(never)]
fn cancel(key: Key) {
    match Door::of(key).as_deref_mut() {
        Some(state) => state.timers.cancel(key.slot, &mut state.outbox),
        None => release(key, Release::Timer(key.slot)),
    }
}
