//! [`interval`]: a [`Sleep`] that is reset after each tick.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::now::now;
use super::sleep::{FAR, Sleep};

/// Ticks every `period`, for the first time at once.
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
/// Outside any event loop, and for a period of zero.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// Ticks every `period`, for the first time at `start`. Otherwise as [`interval`].
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

/// What an [`Interval`] does when a tick is awaited after the next was due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// Ticks as fast as it can until it has caught up: no tick is lost.
    #[default]
    Burst,
    /// The next tick comes a period after the late one, if that was more than 5 ms late.
    Delay,
    /// Missed ticks are left out: the next comes at a multiple of the period from the start.
    Skip,
}

/// A tick that is no later than this is not taken for a missed one. The figure is tokio's.
const LATENESS: Duration = Duration::from_millis(5);

/// Made by [`interval`].
#[derive(Debug)]
pub struct Interval {
    /// Its deadline is the next tick.
    sleep: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick, and returns the instant at which it was due.
    ///
    /// Cancel-safe: a tick that was not returned is not lost.
    ///
    /// # Panics
    ///
    /// In another loop than the one of its first tick, and outside any.
    #[track_caller]
    pub fn tick(&mut self) -> Tick<'_> {
        self.sleep.place = Location::caller();
        Tick { interval: self }
    }

    /// As [`tick`](Self::tick), for futures written by hand.
    ///
    /// # Panics
    ///
    /// As [`tick`](Self::tick).
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        if Pin::new(&mut self.sleep).poll(cx).is_pending() {
            return Poll::Pending;
        }
        let due = self.sleep.deadline();
        let now = now();
        let next = match self.missed {
            MissedTickBehavior::Burst => due.checked_add(self.period),
            MissedTickBehavior::Delay if now <= due + LATENESS => due.checked_add(self.period),
            MissedTickBehavior::Delay => now.checked_add(self.period),
            MissedTickBehavior::Skip => {
                let past = now.saturating_duration_since(due).as_nanos() % self.period.as_nanos();
                let past =
                    Duration::new((past / 1_000_000_000) as u64, (past % 1_000_000_000) as u32);
                now.max(due).checked_add(self.period - past)
            }
        };
        // Beyond what an `Instant` can hold, the next tick is as far as it can be told.
        self.sleep.reset(next.unwrap_or_else(|| due + FAR));
        Poll::Ready(due)
    }

    /// The next tick comes a period from now.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn reset(&mut self) {
        let next = super::deadline_after(self.period);
        self.sleep.reset(next);
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What it does about missed ticks.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Decides what it does about missed ticks.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
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
