//! [`interval`]: a [`Sleep`] that is reset after each tick. It has no other timer, and never ticks
//! early.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;

use super::now::now;
use super::sleep::{FAR_FUTURE, Sleep, deadline_after};

/// Returns an [`Interval`] that ticks every `period`. The first tick is due immediately.
///
/// ```
/// use headwaiter::{Clock, EventLoop, time};
/// use std::time::Duration;
///
/// EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
///     let start = time::now();
///     let mut ticks = time::interval(Duration::from_secs(10));
///     for n in 0..3 {
///         assert_eq!(ticks.tick().await - start, n * Duration::from_secs(10));
///     }
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
///
/// Panics outside any event loop, and if `period` is zero.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// Returns an [`Interval`] that ticks every `period`. The first tick is due at `start`.
///
/// # Panics
///
/// Panics if `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(
        !period.is_zero(),
        "headwaiter: an interval of zero would tick without end: give it a period, or use `task::yield_now`"
    );
    Interval {
        sleep: Sleep::new(start, Location::caller()),
        period,
        missed: MissedTickBehavior::default(),
    }
}

/// What an [`Interval`] does about a tick that is more than 5 ms late. A tick that is less late does
/// not count as missed: the next one is due one period after it was due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// Ticks as fast as possible until it has caught up. No tick is lost.
    #[default]
    Burst,
    /// Puts the next tick one period after the time at which the late one was returned.
    Delay,
    /// Skips missed ticks. The next tick is at a multiple of the period from the start.
    Skip,
}

/// A tick that is no later than this does not count as missed. The value is tokio's.
const LATENESS: Duration = Duration::from_millis(5);

/// A sequence of ticks at a fixed period. Created by [`interval`] and [`interval_at`].
///
/// It is also an endless [`Stream`] of the instants at which the ticks were due. (tokio has that in
/// the crate tokio-stream, as `IntervalStream`.) A wait of the stream is reported at the place of
/// the last call of [`tick`](Self::tick), or else where the interval was made.
///
/// ```
/// use futures_lite::StreamExt;
/// use headwaiter::{Clock, EventLoop, time};
/// use std::time::Duration;
///
/// EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
///     let start = time::now();
///     let ticks = time::interval(Duration::from_secs(10));
///     let minute: Vec<_> = ticks.take(6).map(|due| (due - start).as_secs()).collect().await;
///     assert_eq!(minute, [0, 10, 20, 30, 40, 50]);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Interval {
    /// The deadline is the next tick.
    sleep: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick, and returns the instant at which it was due.
    ///
    /// This is cancel-safe: a tick that was not returned is not lost.
    ///
    /// # Panics
    ///
    /// Polling it panics outside any event loop, and in another loop than the one in which this tick
    /// was polled first.
    #[track_caller]
    pub fn tick(&mut self) -> Tick<'_> {
        self.sleep.place = Location::caller();
        Tick { interval: self }
    }

    /// Like [`tick`](Self::tick), for hand-written futures.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`tick`](Self::tick).
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        if Pin::new(&mut self.sleep).poll(cx).is_pending() {
            return Poll::Pending;
        }
        let due = self.sleep.deadline();
        let now = now();
        let is_missed = now > due + LATENESS;
        let next = match self.missed {
            MissedTickBehavior::Delay if is_missed => now.checked_add(self.period),
            MissedTickBehavior::Skip if is_missed => {
                // How long ago the last multiple of the period was. The next tick is one period
                // after it.
                let past = (now - due).as_nanos() % self.period.as_nanos();
                let past =
                    Duration::new((past / 1_000_000_000) as u64, (past % 1_000_000_000) as u32);
                now.checked_add(self.period - past)
            }
            // Computed from the deadline, not from now, so that lateness does not add up.
            _ => due.checked_add(self.period),
        };
        // If an `Instant` cannot represent the next tick, the tick is put 30 years away.
        self.sleep.reset(next.unwrap_or_else(|| due + FAR_FUTURE));
        Poll::Ready(due)
    }

    /// Restarts the interval: the next tick is due one period from now. Ticks that were missed
    /// before are forgotten, whatever the [`MissedTickBehavior`].
    ///
    /// ```
    /// use headwaiter::{Clock, EventLoop, time};
    /// use std::time::Duration;
    ///
    /// EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
    ///     let second = Duration::from_secs(1);
    ///     let mut ticks = time::interval(10 * second);
    ///     ticks.tick().await;
    ///     time::sleep(7 * second).await;
    ///     let before = time::now();
    ///     ticks.reset();
    ///     assert_eq!(ticks.tick().await - before, 10 * second);
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics outside any event loop, and in another loop than the one in which the next tick was
    /// polled.
    #[track_caller]
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// As [`reset`](Self::reset), but the next tick is due now, so in the next turn. The one after
    /// it is due one period later.
    ///
    /// # Panics
    ///
    /// As [`reset`](Self::reset).
    #[track_caller]
    pub fn reset_immediately(&mut self) {
        self.reset_at(now());
    }

    /// As [`reset`](Self::reset), but the next tick is due after this duration, which may be longer
    /// than the period or zero. A duration that the clock cannot represent counts as 30 years.
    ///
    /// # Panics
    ///
    /// As [`reset`](Self::reset).
    #[track_caller]
    pub fn reset_after(&mut self, after: Duration) {
        self.sleep.reset(deadline_after(after));
    }

    /// As [`reset`](Self::reset), but the next tick is due at `deadline`, however far that is. If
    /// it has passed, the ticks since then count as missed, and are treated as the
    /// [`MissedTickBehavior`] says.
    ///
    /// # Panics
    ///
    /// If the next tick was polled in a loop, panics outside that loop.
    #[track_caller]
    pub fn reset_at(&mut self, deadline: Instant) {
        self.sleep.reset(deadline);
    }

    /// Returns the time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Returns what the interval does about missed ticks.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Sets what the interval does about missed ticks.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

/// The future of [`Interval::tick`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Tick<'a> {
    interval: &'a mut Interval,
}

impl Future for Tick<'_> {
    type Output = Instant;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        self.interval.poll_tick(cx)
    }
}
