//! The timers of a [`Wheel`](super::wheel::Wheel) that are due soonest, in order: kept only where the exact earliest deadline is asked
//! for after the earliest timer was cancelled. To find it takes a walk over a whole bucket of the wheel. One walk finds as
//! many as the square root of all timers, so that as many cancellations pass before the next walk.

use std::collections::BinaryHeap;

use super::slots::Slot;

#[derive(Default)]
pub(super) struct Soonest {
    /// The latest first. Some may have been cancelled, have fired, or be due at another time by now.
    timers: Vec<(u64, Slot)>,
    /// Every timer that is due before this is among them. 0: nothing is known.
    bound: u64,
    /// How many there may be.
    most: usize,
    #[cfg(test)]
    pub(super) walks: usize,
}

impl Soonest {
    /// A timer is armed.
    #[inline]
    pub(super) fn armed(&mut self, deadline: u64, timer: Slot) {
        if deadline < self.bound {
            self.insert(deadline, timer);
        }
    }

    #[cold]
    fn insert(&mut self, deadline: u64, timer: Slot) {
        if self.timers.len() >= self.most {
            // It is filled again when it is asked. Until then, arming a timer must not cost more and more.
            self.timers.clear();
            self.bound = 0;
            return;
        }
        let at = self.timers.partition_point(|(other, _)| *other > deadline);
        self.timers.insert(at, (deadline, timer));
    }

    /// The earliest deadline, if it is known. `is_armed` says whether a timer is still due at that time.
    pub(super) fn earliest(&mut self, is_armed: impl Fn(u64, Slot) -> bool) -> Option<u64> {
        while let Some((deadline, timer)) = self.timers.last().copied() {
            if is_armed(deadline, timer) {
                return Some(deadline);
            }
            self.timers.pop();
        }
        None
    }

    /// Takes the soonest out of `bucket`, which is the wheel's first, and tells the earliest deadline. `all` is how many timers the
    /// wheel has.
    pub(super) fn fill(
        &mut self,
        bucket: impl Iterator<Item = (u64, Slot)>,
        all: usize,
    ) -> Option<u64> {
        let kept = all.isqrt().max(16);
        let mut soonest = BinaryHeap::with_capacity(kept);
        // Their order, as they are due at the same time or not: of slots, only that they are told apart.
        for (deadline, timer) in bucket {
            let entry = (deadline, timer.index(), timer.generation());
            if soonest.len() < kept {
                soonest.push(entry);
            } else if let Some(mut latest) = soonest.peek_mut()
                && entry < *latest
            {
                *latest = entry;
            }
        }
        #[cfg(test)]
        {
            self.walks += 1;
        }
        self.most = 2 * kept;
        let sorted = soonest.into_sorted_vec();
        self.timers.clear();
        self.timers.extend(
            sorted
                .iter()
                .rev()
                .map(|(due, index, generation)| (*due, Slot::new(*index, *generation))),
        );
        self.bound = self.timers.first().map_or(0, |(latest, _)| *latest);
        self.timers.last().map(|(earliest, _)| *earliest)
    }
}
