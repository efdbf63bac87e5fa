//! The cooperative budget: how many operations that complete at once a task may do in one poll. Plain state, kept in the core;
//! every operation of the crate asks it, and nothing here runs user code. `task/coop.rs` has what users can do with it.

/// How many operations that complete at once a task may do in one poll. The figure is tokio's: large enough to cost nothing, small
/// enough that 128 reads of a full socket stay well under a millisecond.
const UNITS: u32 = 128;

pub(crate) struct Budget {
    /// What is left of [`UNITS`] to the user code that runs now.
    left: u32,
    /// Some task has spent its budget since the kernel was asked. The kernel is then asked before the next batch, or 64 polls could
    /// be of 128 operations each.
    pub(crate) overspent: bool,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Budget { left: UNITS, overspent: false }
    }

    /// Done before a task is polled.
    #[inline]
    pub(crate) fn refill(&mut self) {
        self.left = UNITS;
    }

    /// Done before other user code is run, which cannot yield. Returns what was left, for [`restore`](Self::restore).
    pub(crate) fn lift(&mut self) -> u32 {
        std::mem::replace(&mut self.left, u32::MAX)
    }

    pub(crate) fn restore(&mut self, left: u32) {
        self.left = left;
    }

    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    /// Whether no operation has completed since the task was polled.
    pub(crate) fn is_whole(&self) -> bool {
        self.left == UNITS
    }

    /// Asked before an operation that could complete at once. `false`: the task has spent its budget. The operation must return
    /// `Pending`, with the task woken.
    #[inline]
    pub(crate) fn may_go_on(&mut self) -> bool {
        if self.left > 0 {
            return true; // No store on this path: every operation comes by.
        }
        self.refuse();
        false
    }

    /// Each refusal grants one unit for the next attempt. A program that ignores the `Pending`, such as a `select` in a loop
    /// with a branch that is always ready, would otherwise be refused until it yields, which it may never do.
    #[cold]
    fn refuse(&mut self) {
        self.overspent = true;
        self.left = 1;
    }

    /// An operation has completed, which [could go on](Self::may_go_on).
    #[inline]
    pub(crate) fn completed(&mut self) {
        self.left -= 1;
    }

    /// As [`may_go_on`](Self::may_go_on), for an operation that always completes at once.
    pub(crate) fn spend(&mut self) -> bool {
        let may_go_on = self.may_go_on();
        self.left -= u32::from(may_go_on);
        may_go_on
    }

    /// For an operation that took as long as so many more.
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
        assert!(budget.overspent);
        budget.refill();
        assert!(budget.is_whole() && budget.spend());
    }
}
