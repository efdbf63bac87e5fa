//! A hierarchical timing wheel over a slab. Arming, re-arming and cancelling a timer take constant
//! time, whatever the number of timers. Only [`Timers`](super::timers::Timers) calls it. It never
//! reads a clock and never touches tasks or threads: times are plain nanoseconds since the loop's
//! start.
//!
//! The wheel has eleven levels of 64 buckets. A bucket of level 0 is 1 ns wide, a bucket of level 1
//! is 64 ns wide, and so on: at six bits per level, eleven levels cover every `u64`. A timer is
//! stored on the level of the highest group of six bits in which its deadline differs from
//! `elapsed`, the time up to which the wheel has been emptied:
//!
//! ```text
//!   deadline  = ...000101 110000 000000   differs from elapsed first in the middle group:
//!   elapsed   = ...000101 010011 101100   level 1, bucket 110000
//! ```
//!
//! So every timer on a lower level is due before every timer on a higher level, and within a level
//! the buckets are due in order. The first occupied bucket of the lowest occupied level therefore
//! holds the earliest timer. When `elapsed` reaches the start of a bucket, the timers of that
//! bucket differ from `elapsed` in lower bits only, so they move down to lower levels. A timer
//! moves at most ten times in its life, and most timers are cancelled before their first move.
//! Firing compares whole deadlines, so the width of a bucket never makes a timer fire early or
//! late.

use std::cell::RefCell;
use std::iter;

use super::slots::{Layout, Slot, Slots};
use super::soonest::Soonest;

const LEVEL_BITS: u32 = 6;
const BUCKETS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = u64::BITS.div_ceil(LEVEL_BITS) as usize;

/// The index that marks the end of a list.
const NIL: u32 = u32::MAX;

/// The timing wheel. `T` is the value that is kept with each timer.
pub(crate) struct Wheel<T> {
    /// All timers, armed or fired, until their owners cancel them.
    timers: Slots<Timer<T>>,
    /// Boxed because of its size, about 17 kB.
    levels: Box<[Level; LEVELS]>,
    /// One bit per level, set while that level has a timer.
    occupied: u32,
    /// Every timer that is due up to this time has fired.
    elapsed: u64,
    /// A cache for [`earliest`](Self::earliest). In a `RefCell`, because `earliest` takes `&self`
    /// and changes nothing else.
    soonest: RefCell<Soonest>,
}

/// One level of the wheel.
struct Level {
    /// One bit per bucket, set while that bucket has a timer.
    occupied: u64,
    buckets: [Bucket; BUCKETS],
}

/// A doubly linked list of timers in the order of arming. The links are indices.
#[derive(Clone, Copy)]
struct Bucket {
    head: u32,
    tail: u32,
    /// A lower bound of the deadlines in this bucket. Exact unless `stale` is set.
    earliest: u64,
    /// Set when a timer with the earliest deadline was cancelled, so that `earliest` may be too
    /// early. The exact deadline is searched for only when a caller needs it.
    stale: bool,
}

#[derive(Debug)]
struct Timer<T> {
    deadline: u64,
    prev: u32,
    next: u32,
    /// The level and the bucket. `None` once the timer has fired. A fired timer keeps its slot
    /// until its owner cancels it.
    place: Option<(u8, u8)>,
    value: T,
}

const EMPTY: Bucket = Bucket { head: NIL, tail: NIL, earliest: u64::MAX, stale: false };

impl<T> Wheel<T> {
    pub(crate) fn new() -> Self {
        let level = || Level { occupied: 0, buckets: [EMPTY; BUCKETS] };
        Wheel {
            timers: Slots::new(),
            levels: Box::new(std::array::from_fn(|_| level())),
            occupied: 0,
            elapsed: 0,
            soonest: RefCell::default(),
        }
    }

    /// Arms a new timer. Its owner must eventually [`cancel`](Self::cancel) it, whether it has
    /// fired or not.
    ///
    /// # Errors
    ///
    /// Returns the value if the wheel already has four billion timers.
    pub(crate) fn arm(&mut self, deadline: u64, value: T) -> Result<Slot, T> {
        let timer = Timer { deadline, prev: NIL, next: NIL, place: None, value };
        let slot = self.timers.insert(Layout::UNPACKED, timer).map_err(|timer| timer.value)?;
        self.link(slot.index());
        Ok(slot)
    }

    /// Gives a timer another deadline, whether it has fired or not. Does nothing if the timer is
    /// gone.
    pub(crate) fn rearm(&mut self, slot: Slot, deadline: u64) {
        if self.timers.get(slot).is_some() {
            self.unlink(slot.index());
            self.timers.at_mut(slot.index()).deadline = deadline;
            self.link(slot.index());
        }
    }

    /// Removes a timer, whether it has fired or not, and returns its value.
    pub(crate) fn cancel(&mut self, slot: Slot) -> Option<T> {
        self.timers.get(slot)?;
        self.unlink(slot.index());
        Some(self.timers.remove(slot)?.value)
    }

    /// Returns the value of a timer, and whether the timer has fired.
    pub(crate) fn get(&mut self, slot: Slot) -> Option<(&mut T, bool)> {
        let timer = self.timers.get_mut(slot)?;
        Some((&mut timer.value, timer.place.is_none()))
    }

    /// Removes an arbitrary timer. A loop that is being dropped empties its wheel with this.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let slot = self.timers.any()?;
        self.cancel(slot)
    }

    /// Iterates over all timers. Yields the deadline, the value, and whether the timer has fired.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T, bool)> {
        self.timers.iter().map(|timer| (timer.deadline, &timer.value, timer.place.is_none()))
    }

    /// Whether any timer is armed.
    pub(crate) fn has_armed(&self) -> bool {
        self.occupied != 0
    }

    /// Returns a time before which no timer is due. After a cancellation it may be too early, but
    /// it is never too late. Waiting until then and calling [`advance`](Self::advance) makes it
    /// exact.
    pub(crate) fn earliest_at_best(&self) -> Option<u64> {
        let (level, bucket) = self.first()?;
        Some(self.levels[level].buckets[bucket].earliest)
    }

    /// Returns the earliest deadline. If cancellations have made it unknown, the call may walk over
    /// one bucket. With n timers, about one in √n such calls does.
    pub(crate) fn earliest(&self) -> Option<u64> {
        let (level, index) = self.first()?;
        let bucket = &self.levels[level].buckets[index];
        if !bucket.stale {
            return Some(bucket.earliest);
        }
        let mut soonest = self.soonest.borrow_mut();
        // An entry of `soonest` is outdated if its timer was cancelled, has fired or was re-armed.
        let is_armed = |deadline, slot| {
            self.timers
                .get(slot)
                .is_some_and(|timer| timer.place.is_some() && timer.deadline == deadline)
        };
        // The walk covers only the first bucket, because the earliest timer is in it.
        let walk = || {
            let next = |index: &u32| Some(self.timers.at(*index).next).filter(|next| *next != NIL);
            let indexes = iter::successors(Some(bucket.head), next);
            indexes.map(|index| (self.timers.at(index).deadline, self.timers.slot_at(index)))
        };
        soonest.earliest(is_armed).or_else(|| soonest.fill(walk(), self.timers.len()))
    }

    /// Fires every timer that is due at `now`. Appends them to `due` in the order of their
    /// deadlines; timers with the same deadline keep the order in which they were armed.
    pub(crate) fn advance(&mut self, now: u64, due: &mut Vec<(u64, Slot)>) {
        while let Some((level, index)) = self.first() {
            let width = LEVEL_BITS * level as u32;
            // The bits above this level equal those of `elapsed`; otherwise the timers would be on
            // a higher level. The shifts are checked because the highest level shifts by more than
            // 63 bits.
            let above = self.elapsed.checked_shr(width + LEVEL_BITS).unwrap_or(0);
            let start =
                above.checked_shl(width + LEVEL_BITS).unwrap_or(0) | (index as u64) << width;
            if start > now {
                break;
            }
            // `elapsed` advances first, because `link` compares deadlines with it to find the new
            // level.
            self.elapsed = self.elapsed.max(start);
            let first_due = due.len();
            // The list is detached as a whole: each of its timers either fires or moves to a lower
            // level.
            let mut next = self.empty(level, index).head;
            while next != NIL {
                let timer = self.timers.at_mut(next);
                let current = next;
                next = timer.next;
                if timer.deadline <= now {
                    timer.place = None;
                    let deadline = timer.deadline;
                    due.push((deadline, self.timers.slot_at(current)));
                } else {
                    self.link(current);
                }
            }
            // A bucket may hold several deadlines. The sort is stable, so timers with the same
            // deadline keep the order of arming.
            due[first_due..].sort_by_key(|(deadline, _)| *deadline);
        }
        // No occupied bucket starts between the old and the new `elapsed`, so every timer is still
        // in the right place.
        self.elapsed = self.elapsed.max(now);
    }

    /// Returns the level and the index of the bucket that holds the earliest timer.
    fn first(&self) -> Option<(usize, usize)> {
        if self.occupied == 0 {
            return None;
        }
        let level = self.occupied.trailing_zeros() as usize;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// Appends a timer to the bucket that its deadline and `elapsed` determine.
    fn link(&mut self, index: u32) {
        let slot = self.timers.slot_at(index);
        let timer = self.timers.at_mut(index);
        let deadline = timer.deadline;
        self.soonest.get_mut().armed(deadline, slot);
        // A deadline in the past goes into the bucket of `elapsed` itself, which is emptied first.
        let due = deadline.max(self.elapsed);
        // Setting the low six bits makes the smallest level 0, and keeps `ilog2` from seeing zero.
        let differing = (due ^ self.elapsed) | (BUCKETS as u64 - 1);
        let level = (differing.ilog2() / LEVEL_BITS) as usize;
        let bucket_index = (due >> (LEVEL_BITS * level as u32)) as usize % BUCKETS;
        let bucket = &mut self.levels[level].buckets[bucket_index];
        timer.place = Some((level as u8, bucket_index as u8));
        timer.prev = bucket.tail;
        timer.next = NIL;
        // A timer that is due no later than a stale bound makes the bound exact again.
        if deadline <= bucket.earliest {
            bucket.earliest = deadline;
            bucket.stale = false;
        }
        let before = std::mem::replace(&mut bucket.tail, index);
        if before == NIL {
            bucket.head = index;
            self.levels[level].occupied |= 1 << bucket_index;
            self.occupied |= 1 << level;
        } else {
            self.timers.at_mut(before).next = index;
        }
    }

    /// Removes a timer from its bucket. Does nothing if the timer has fired.
    fn unlink(&mut self, index: u32) {
        let timer = self.timers.at_mut(index);
        let Some((level, bucket_index)) = timer.place.take() else { return };
        let (prev, next, deadline) = (timer.prev, timer.next, timer.deadline);
        let (level, bucket_index) = (level as usize, bucket_index as usize);
        let bucket = &mut self.levels[level].buckets[bucket_index];
        // Finding the next earliest timer here would cost a walk for each cancellation.
        bucket.stale |= deadline == bucket.earliest;
        match (prev, next) {
            // The only timer of its bucket: the bits that mark the bucket as occupied change too.
            (NIL, NIL) => {
                self.empty(level, bucket_index);
            }
            (NIL, next) => {
                bucket.head = next;
                self.timers.at_mut(next).prev = NIL;
            }
            (prev, NIL) => {
                bucket.tail = prev;
                self.timers.at_mut(prev).next = NIL;
            }
            (prev, next) => {
                self.timers.at_mut(prev).next = next;
                self.timers.at_mut(next).prev = prev;
            }
        }
    }

    /// Takes the whole list out of a bucket and clears the bits that mark it as occupied.
    fn empty(&mut self, level_index: usize, bucket_index: usize) -> Bucket {
        let level = &mut self.levels[level_index];
        level.occupied &= !(1 << bucket_index);
        if level.occupied == 0 {
            self.occupied &= !(1 << level_index);
        }
        std::mem::replace(&mut level.buckets[bucket_index], EMPTY)
    }
}

#[cfg(test)]
mod tests;
