//! The clock of a loop: the machine's monotonic clock, or a virtual one that moves only when it is
//! [advanced](crate::time::advance) or when the loop has nothing else to do. The turn and the
//! timers read it. It never fires a timer.

use std::time::{Duration, Instant};

/// Which clock a loop uses: see [`Builder::clock`](crate::Builder::clock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine's monotonic clock.
    #[default]
    Real,
    /// A clock that stands still while there is anything to do. It jumps to the next timer when no
    /// task is ready, no job of [`spawn_blocking`](crate::spawn_blocking), look-up of a name or
    /// child process is in flight, no other thread has sent anything, and the kernel has no event.
    /// So a test with an hour of timeouts takes a millisecond and always takes the same course.
    ///
    /// While a task waits for a source, the kernel first gets
    /// [`Builder::io_grace`](crate::Builder::io_grace) of real time. The loop cannot distinguish a
    /// peer in another process or thread that takes longer from one that never answers: the clock
    /// jumps.
    Virtual,
}

/// The clock of one loop. Times inside the crate are nanoseconds since the start of the loop,
/// enough for 584 years.
pub(crate) struct LoopClock {
    start: Instant,
    /// How far a virtual clock has advanced. `None` for a real clock.
    moved: Option<u64>,
    /// The time at which the loop last read the clock.
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

    /// Returns the time at which the kernel last answered. It is accurate enough for the start of a
    /// wait, and does not read the clock.
    pub(crate) fn turn_nanos(&self) -> u64 {
        self.seen
    }

    /// Reads the clock for [`turn_nanos`](Self::turn_nanos).
    pub(crate) fn begin_turn(&mut self) {
        self.seen = self.now_nanos();
    }

    /// Like [`begin_turn`](Self::begin_turn), with a time that the caller has just read.
    pub(crate) fn set_turn(&mut self, now: u64) {
        self.seen = now;
    }

    /// Converts an instant. An instant before the start counts as the start, and one after 584
    /// years as the end of those years.
    pub(crate) fn nanos(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.start))
    }

    pub(crate) fn instant(&self, nanos: u64) -> Instant {
        self.start + Duration::from_nanos(nanos)
    }

    /// Advances a virtual clock by `by` nanoseconds. Returns `false`, and does nothing, for a real
    /// clock.
    pub(crate) fn move_by(&mut self, by: u64) -> bool {
        let Some(moved) = &mut self.moved else { return false };
        *moved = moved.saturating_add(by);
        self.seen = *moved;
        true
    }
}

/// Converts a duration to nanoseconds. A duration of more than 584 years becomes `u64::MAX`.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
