//! The clock of a loop: the machine's monotonic clock, or a virtual one that moves only when it is
//! told to ([`advance`]) or when the loop has nothing else to do.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::core::Core;
use crate::task::{YieldNow, yield_now};

/// Which clock a loop keeps: see [`Builder::clock`](crate::Builder::clock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine's monotonic clock.
    #[default]
    Real,
    /// A clock that stands still while there is anything to do. When no task is ready, no job of
    /// [`spawn_blocking`](crate::spawn_blocking), look-up of a name or child process is under way, no other thread has sent
    /// anything and the kernel has nothing, it jumps to the next timer. So a test of an hour of timeouts takes a
    /// millisecond, and takes the same course every time.
    ///
    /// While a source is waited for, the kernel first gets
    /// [`Builder::io_grace`](crate::Builder::io_grace) of real time. A peer in another process or thread
    /// that takes longer than that cannot be told from one that will never answer: the clock jumps.
    Virtual,
}

/// Times inside the crate: nanoseconds since the loop's start. They last for 584 years.
pub(crate) struct LoopClock {
    start: Instant,
    /// How far a virtual clock has come. `None`: the clock is real.
    moved: Option<u64>,
    /// When the loop last looked at the clock.
    seen: u64,
}

impl LoopClock {
    pub(crate) fn new(kind: Clock) -> Self {
        let moved = match kind {
            Clock::Real => None,
            Clock::Virtual => Some(0),
        };
        LoopClock { start: Instant::now(), moved, seen: 0 }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.moved.is_some()
    }

    pub(crate) fn now(&self) -> Instant {
        match self.moved {
            None => Instant::now(),
            Some(moved) => self.instant(moved),
        }
    }

    pub(crate) fn now_nanos(&self) -> u64 {
        match self.moved {
            None => self.nanos(Instant::now()),
            Some(moved) => moved,
        }
    }

    /// The time of this turn: as good as [`now_nanos`](Self::now_nanos) for telling since when somebody waits, without
    /// reading the clock.
    pub(crate) fn turn_nanos(&self) -> u64 {
        self.seen
    }

    /// Reads the clock for [`turn_nanos`](Self::turn_nanos).
    pub(crate) fn begin_turn(&mut self) {
        self.seen = self.now_nanos();
    }

    /// As [`begin_turn`](Self::begin_turn), where the clock was read just now. Done whenever the kernel was asked.
    pub(crate) fn set_turn(&mut self, now: u64) {
        self.seen = now;
    }

    /// An instant before the start counts as the start, one after the 584 years as their end.
    pub(crate) fn nanos(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.start))
    }

    pub(crate) fn instant(&self, nanos: u64) -> Instant {
        self.start + Duration::from_nanos(nanos)
    }

    /// Moves a virtual clock forward. `false`: the clock is real, and moves by itself.
    pub(crate) fn move_by(&mut self, by: u64) -> bool {
        let Some(moved) = &mut self.moved else { return false };
        *moved = moved.saturating_add(by);
        self.seen = *moved;
        true
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The time of this thread's loop: [`Instant::now`] under a real clock, the loop's own time under a
/// [virtual](Clock::Virtual) one.
///
/// # Panics
///
/// Outside any event loop.
#[track_caller]
pub fn now() -> Instant {
    Core::expect("`time::now`", |core| core.clock.now())
}

/// Moves a [virtual](Clock::Virtual) clock forward by `by`, at once. The timers that come due fire in the
/// next turn, in the order of their deadlines; awaiting what this returns waits for that turn, and is cancel-safe.
///
/// ```
/// use headwaiter::{Clock, EventLoop, time};
/// use std::time::Duration;
///
/// EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
///     let before = time::now();
///     time::advance(Duration::from_secs(3600)).await;
///     assert_eq!(time::now() - before, Duration::from_secs(3600));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
///
/// Outside any event loop, and in a loop with a real clock.
#[track_caller]
pub fn advance(by: Duration) -> Advance {
    let is_virtual = Core::expect("`time::advance`", |core| core.clock.move_by(nanos(by)));
    assert!(
        is_virtual,
        "headwaiter: `time::advance` in a loop with a real clock, which nobody can move: build the loop with `EventLoop::builder().clock(Clock::Virtual)`"
    );
    Advance { yielding: yield_now() }
}

/// The future of [`advance`]: the clock has moved already, this waits for the next turn.
pub struct Advance {
    yielding: YieldNow,
}

impl Future for Advance {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.yielding).poll(cx)
    }
}

impl fmt::Debug for Advance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Advance")
    }
}
