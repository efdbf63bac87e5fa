//! The cooperative budget: how many operations that complete at once a task may do in one poll.
//! Every operation of the crate spends one unit. `task/budget.rs` has the user-facing API. Pure
//! data.

/// The budget of one poll. The figure is tokio's: large enough to cost nothing, and small enough
/// that 128 reads of a full socket stay well under a millisecond.
const UNITS: u32 = 128;

pub(crate) struct Budget {
    /// What is left of [`UNITS`] for the user code that runs now.
    left: u32,
    /// A task has spent its budget, or a timed poll took long, since the kernel was last asked.
    /// Then the kernel is asked before the next batch: otherwise 64 polls of 128 operations each
    /// could run first.
    pub(crate) is_overspent: bool,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Budget { left: UNITS, is_overspent: false }
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
}
