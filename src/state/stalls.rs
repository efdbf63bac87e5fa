//! What a loop knows of its stalls, the turns that took too long: which polls to time, and when the
//! next log line is due. `observe/stall.rs` decides and writes the lines. Pure data.

use std::mem;

/// After a stall, polls are timed for this long, in nanoseconds.
pub(crate) const TIMED_FOR: u64 = 10_000_000_000;

/// At most one log line is written in this time, in nanoseconds, so that a program that often
/// blocks its loop does not also flood the log.
pub(crate) const QUIET_FOR: u64 = 1_000_000_000;

/// The stall record of a loop. Times are in nanoseconds of the loop's clock.
pub(crate) struct Stalls {
    pub(crate) threshold: u64,
    /// Until this time all polls are timed.
    pub(crate) timed_until: u64,
    /// Before this time no log line is due.
    quiet_until: u64,
    /// Whether the last line named the cause. If not, a line that does is written even within the
    /// quiet time.
    is_known: bool,
    /// Stalls since the last line.
    unreported: u64,
    /// A poll since the kernel last answered was a stall and was reported or counted, so the turn
    /// must not be reported as well.
    pub(crate) by_poll: bool,
    /// When the kernel last answered. The following fields belong to the time since then.
    answered: u64,
    /// How many polls were timed since then.
    pub(crate) timed: u32,
    /// The longest of these polls, if it took at least half the threshold, and its task. The task
    /// is stored as text, because it may be gone when it is reported.
    pub(crate) longest: Option<(u64, String)>,
    /// How long the drops of sockets have blocked because of SO_LINGER.
    pub(crate) lingered: u64,
}

impl Stalls {
    pub(crate) fn new(threshold: u64) -> Self {
        Stalls {
            threshold,
            timed_until: 0,
            quiet_until: 0,
            is_known: true,
            unreported: 0,
            by_poll: false,
            answered: 0,
            timed: 0,
            longest: None,
            lingered: 0,
        }
    }

    /// Returns whether the next poll must be timed.
    pub(crate) fn is_timing(&self, now: u64) -> bool {
        now < self.timed_until
    }

    /// Forgets what was noted before `answered`, the time at which the kernel last answered.
    pub(crate) fn forget_before(&mut self, answered: u64) {
        if self.answered != answered {
            (self.answered, self.timed, self.longest, self.lingered) = (answered, 0, None, 0);
        }
    }

    /// Returns the number of unreported stalls before this one if a log line is due, otherwise
    /// `None`.
    pub(crate) fn line(&mut self, now: u64, is_known: bool) -> Option<u64> {
        if now < self.quiet_until && (self.is_known || !is_known) {
            self.unreported += 1;
            return None;
        }
        self.quiet_until = now + QUIET_FOR;
        self.is_known = is_known;
        Some(mem::take(&mut self.unreported))
    }

    /// Records a timed poll. Calls `task`, which names the task, only if this was the longest poll.
    pub(crate) fn poll_was_timed(&mut self, nanos: u64, task: impl FnOnce() -> String) {
        self.timed = self.timed.saturating_add(1);
        let longest = self.longest.as_ref().map_or(self.threshold / 2, |(nanos, _)| *nanos);
        if nanos > longest {
            self.longest = Some((nanos, task()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_that_comes_back_a_thousand_times_in_ten_seconds_is_told_ten_times() {
        let mut stalls = Stalls::new(1);
        let lines: Vec<_> = (0..1000).filter_map(|n| stalls.line(n * 10_000_000, true)).collect();
        assert_eq!(lines, [vec![0], vec![99; 9]].concat());
    }

    #[test]
    fn whose_stall_it_was_need_not_wait() {
        let mut stalls = Stalls::new(1);
        let lines = [false, false, true, true, false].map(|is_known| stalls.line(5, is_known));
        assert_eq!(lines, [Some(0), None, Some(1), None, None]);
        assert_eq!(stalls.line(5 + QUIET_FOR, false), Some(2));
    }
}
