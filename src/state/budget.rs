//! The cooperative budgets. One limits how many operations that complete at once a task may do in
//! one poll: every operation of the crate spends one unit. `task/budget.rs` has its user-facing API.
//! The other limits how long polls may follow each other before the kernel is asked; the turn and
//! the batch spend it. Pure data.

use super::tasks::POLLS_BETWEEN_WAITS;

/// The budget of one poll. The figure is tokio's: large enough to cost nothing, and small enough
/// that 128 reads of a full socket stay well under a millisecond.
const UNITS: u32 = 128;

/// While tasks are ready, the kernel is asked at the end of the poll in which this time has passed
/// since it last answered, in nanoseconds.
const TIME: u64 = 5_000_000;

/// A wait for the kernel of more than this, in nanoseconds, is a sleep.
const SLEEP: u64 = 1_000_000;

/// After a sleep, the tasks that run may be others than before, so their polls may be longer: the
/// time is checked every so many polls, or more often. A power of two.
const CHECKED_AFTER_SLEEP: u64 = 8;

pub(crate) struct Budget {
    /// What is left of [`UNITS`] for the user code that runs now.
    left: u32,
    /// A task has spent its units, or the polls since the kernel last answered have spent their
    /// time. Then the kernel is asked before the next batch, although fewer polls were made than
    /// usual between two waits.
    pub(crate) is_overspent: bool,
    /// When the kernel last answered, in nanoseconds of the loop's clock.
    answered: u64,
    /// The number of polls that the loop had made when the time was last checked, and that time.
    checked: (u64, u64),
    /// The time is checked after the polls whose numbers have none of these bits: every 1 to 64
    /// polls. Reading the clock takes longer than a short poll, so this adapts to how long polls
    /// take.
    check_mask: u64,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Budget {
            left: UNITS,
            is_overspent: false,
            answered: 0,
            checked: (0, 0),
            check_mask: CHECKED_AFTER_SLEEP - 1,
        }
    }

    /// Starts the time anew: the kernel has answered, after `waited` nanoseconds.
    pub(crate) fn kernel_answered(&mut self, polls: u64, now: u64, waited: u64) {
        (self.is_overspent, self.answered, self.checked) = (false, now, (polls, now));
        if waited > SLEEP {
            self.check_mask = self.check_mask.min(CHECKED_AFTER_SLEEP - 1);
        }
    }

    /// Whether to [check the time](Self::check_time) after the poll that is made now.
    #[inline]
    pub(crate) fn is_check_due(&self, polls: u64) -> bool {
        polls & self.check_mask == 0
    }

    /// Makes the next poll [due](Self::is_check_due).
    pub(crate) fn check_next(&mut self) {
        self.check_mask = 0;
    }

    /// Returns whether the time is over. Then the budget is overspent. Chooses how many polls are
    /// made until the next check: as many as fit into the time that is left, if they take as long as
    /// those since the last check did, but no more than twice as many as last time.
    ///
    /// `now` is `None` under a virtual clock: a poll takes no time then, even if it advances the
    /// clock.
    pub(crate) fn check_time(&mut self, polls: u64, now: Option<u64>) -> bool {
        let now = now.unwrap_or(self.checked.1);
        let left = TIME.saturating_sub(now.saturating_sub(self.answered));
        let made = polls - self.checked.0;
        let took = now.saturating_sub(self.checked.1);
        let fit = left.saturating_mul(made) / took.max(1);
        let next = fit.min(2 * (self.check_mask + 1)).clamp(1, u64::from(POLLS_BETWEEN_WAITS));
        self.check_mask = (1 << next.ilog2()) - 1;
        self.checked = (polls, now);
        self.is_overspent |= left == 0;
        left == 0
    }

    /// Refills the budget. Called before a task is polled.
    #[inline]
    pub(crate) fn refill(&mut self) {
        self.left = UNITS;
    }

    /// Lifts the limit. Called before user code outside tasks, which cannot yield. Returns the rest
    /// of the budget, for [`restore`](Self::restore).
    pub(crate) fn lift(&mut self) -> u32 {
        std::mem::replace(&mut self.left, u32::MAX)
    }

    pub(crate) fn restore(&mut self, left: u32) {
        self.left = left;
    }

    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    /// Returns whether no operation has completed since the poll began.
    pub(crate) fn is_whole(&self) -> bool {
        self.left == UNITS
    }

    /// Returns whether an operation that may complete at once is allowed. If not, the task has
    /// spent its budget, and the operation must wake it and return `Pending`. An allowed operation
    /// that completes then [counts](Self::count).
    #[inline]
    pub(crate) fn allows(&mut self) -> bool {
        // Every operation takes this path, so it has no store.
        if self.left > 0 { true } else { self.refuse() }
    }

    /// Refuses this operation, but grants one unit for the next attempt. A program that ignores the
    /// `Pending`, such as a `select` in a loop with a branch that is always ready, would otherwise
    /// be refused until it yields, which it may never do.
    #[cold]
    fn refuse(&mut self) -> bool {
        self.is_overspent = true;
        self.left = 1;
        false
    }

    /// Counts a completed operation that was [allowed](Self::allows).
    #[inline]
    pub(crate) fn count(&mut self) {
        self.left -= 1;
    }

    /// Checks and counts an operation that always completes at once.
    #[inline]
    pub(crate) fn spend(&mut self) -> bool {
        let is_allowed = self.allows();
        self.left -= u32::from(is_allowed);
        is_allowed
    }

    /// Charges extra units for an operation that took as long as `more` others.
    pub(crate) fn charge(&mut self, more: u32) {
        self.left = self.left.saturating_sub(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_grants_one_unit_so_that_attempts_alternate_once_the_budget_is_spent() {
        let mut budget = Budget::new();
        let spent = (0..UNITS).filter(|_| budget.spend()).count();
        assert_eq!(spent, UNITS as usize);
        let more: Vec<bool> = (0..6).map(|_| budget.spend()).collect();
        assert_eq!(more, [false, true, false, true, false, true]);
        assert!(budget.is_overspent);
        budget.refill();
        assert!(budget.is_whole() && budget.spend());
    }

    /// Makes `count` polls of `nanos` each, with the kernel asked whenever it is due. Returns the
    /// longest time in which it was not, and how often the clock was read.
    fn poll(budget: &mut Budget, at: &mut (u64, u64), count: u64, nanos: u64) -> (u64, u64) {
        let (polls, now) = at;
        let (mut longest, mut reads) = (0, 0);
        let mut asked = (*polls, *now);
        for _ in 0..count {
            *polls += 1;
            *now += nanos;
            if budget.is_check_due(*polls) {
                reads += 1;
                assert_eq!(budget.check_time(*polls, Some(*now)), budget.is_overspent);
            }
            if budget.is_overspent || *polls - asked.0 == u64::from(POLLS_BETWEEN_WAITS) {
                longest = longest.max(*now - asked.1);
                budget.kernel_answered(*polls, *now, 0);
                asked = (*polls, *now);
            }
        }
        (longest, reads)
    }

    #[test]
    fn polls_of_any_length_leave_the_kernel_unasked_for_5_ms_and_the_poll_that_runs() {
        for nanos in (0..22).map(|power| 10 << power) {
            let (mut budget, mut at) = (Budget::new(), (0, 0));
            budget.kernel_answered(0, 0, 0);
            poll(&mut budget, &mut at, 200, nanos);
            let (longest, _) = poll(&mut budget, &mut at, 2000, nanos);
            assert!(longest <= TIME + nanos, "{longest} with polls of {nanos}");
        }
    }

    #[test]
    fn the_clock_is_read_once_in_64_short_polls_at_most() {
        let (mut budget, mut at) = (Budget::new(), (0, 0));
        poll(&mut budget, &mut at, 200, 20);
        let (_, reads) = poll(&mut budget, &mut at, 64_000, 20);
        assert!(reads <= 1000, "{reads}");
    }

    #[test]
    fn polls_that_become_long_delay_the_kernel_for_64_of_them_once() {
        let (mut budget, mut at) = (Budget::new(), (0, 0));
        poll(&mut budget, &mut at, 10_000, 20);
        let (longest, _) = poll(&mut budget, &mut at, 130, 1_000_000);
        assert!(longest <= 64_000_000 + TIME, "{longest}");
        let (longest, _) = poll(&mut budget, &mut at, 1000, 1_000_000);
        assert!(longest <= TIME + 1_000_000, "{longest}");
        // After a sleep, a few suffice.
        poll(&mut budget, &mut at, 10_000, 20);
        budget.kernel_answered(at.0, at.1, 2 * SLEEP);
        let (longest, _) = poll(&mut budget, &mut at, 1000, 1_000_000);
        assert!(longest <= 8_000_000, "{longest}");
    }
}
