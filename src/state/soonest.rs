//! A cache of the timers of a [`Wheel`](super::wheel::Wheel) that are due soonest, in order. The
//! wheel fills it only if the exact earliest deadline is asked for after the earliest timer was
//! cancelled, because finding that deadline takes a walk over a whole bucket. One walk finds as
//! many timers as the square root of their total number, so that as many cancellations pass before
//! the next walk. The cache never arms or fires a timer.

use std::collections::BinaryHeap;

use super::slots::Slot;

#[derive(Default)]
pub(super) struct Soonest {
    /// Sorted by deadline, the latest first. An entry may be outdated: its timer was cancelled, has
    /// fired, or is due at another time by now.
    timers: Vec<(u64, Slot)>,
    /// Every timer that is due before this time is in `timers`. Zero means that nothing is known.
    bound: u64,
    /// The maximum length of `timers`.
    most: usize,
    /// The number of calls of `fill`.
    #[cfg(test)]
    pub(super) walks: usize,
}

impl Soonest {
    /// Notes a timer that was just armed, if it is due before `bound`.
    #[inline]
    pub(super) fn armed(&mut self, deadline: u64, timer: Slot) {
        if deadline < self.bound {
            self.insert(deadline, timer);
        }
    }

    #[cold]
    fn insert(&mut self, deadline: u64, timer: Slot) {
        if self.timers.len() >= self.most {
            // The cache is filled again when the earliest deadline is next asked for. Until then,
            // arming a timer must not become more and more expensive.
            self.timers.clear();
            self.bound = 0;
            return;
        }
        let at = self.timers.partition_point(|(other, _)| *other > deadline);
        self.timers.insert(at, (deadline, timer));
    }

    /// Returns the earliest deadline, if it is known. `is_armed` returns whether a timer is still
    /// armed for that deadline.
    pub(super) fn earliest(&mut self, is_armed: impl Fn(u64, Slot) -> bool) -> Option<u64> {
        // Outdated entries are removed only here, so that cancelling a timer does not search the
        // cache.
        while let Some((deadline, timer)) = self.timers.last().copied() {
            if is_armed(deadline, timer) {
                return Some(deadline);
            }
            self.timers.pop();
        }
        None
    }

    /// Copies the timers that are due soonest from `bucket`, the first occupied bucket of the
    /// wheel, and returns the earliest deadline. `all` is the number of timers in the wheel.
    pub(super) fn fill(
        &mut self,
        bucket: impl Iterator<Item = (u64, Slot)>,
        all: usize,
    ) -> Option<u64> {
        let kept = all.isqrt().max(16);
        let mut soonest = BinaryHeap::with_capacity(kept);
        // A slot has no order of its own. Index and generation only distinguish timers that are due
        // at the same time.
        for (deadline, timer) in bucket {
            let entry = (deadline, timer.index(), timer.generation());
            // The heap holds the `kept` earliest entries so far, with the latest of them on top.
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
        // Leaves room for as many newly armed timers as the walk found.
        self.most = 2 * kept;
        let sorted = soonest.into_sorted_vec();
        self.timers.clear();
        self.timers.extend(
            sorted
                .iter()
                .rev()
                .map(|(due, index, generation)| (*due, Slot::new(*index, *generation))),
        );
        // Timers that are due after the last entry were left out.
        self.bound = self.timers.first().map_or(0, |(latest, _)| *latest);
        self.timers.last().map(|(earliest, _)| *earliest)
    }
}
