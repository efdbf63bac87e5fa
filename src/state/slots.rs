//! Slots and their numbers. A [`Slots`] is a slab whose keys carry a generation; a key is also
//! packed into one machine word, which is what a waker and a mio token are. Tasks, sources, timers
//! and the records of waits each live in a `Slots` of their own. Nothing here knows what a slot
//! holds.

use std::fmt;
use std::num::NonZero;

use slab::Slab;

/// An index of a [`Slots`], with a generation that tells the present occupant from earlier ones. So
/// a late event, wake or release for an earlier occupant misses, and hits no unrelated one.
///
/// It is one word and not two halves: reading a word soon after its halves were written stalls the
/// processor, because the store buffer cannot forward it. It is never zero, and the slab marks
/// vacant entries with zero. So one comparison tells both whether there is an occupant and whether
/// it is this one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Slot(NonZero<u64>);

impl Slot {
    /// Never handed out: see [`Layout::indexes`].
    pub(crate) const NONE: Slot = Slot(NonZero::<u64>::MAX);

    /// Not both zero.
    pub(crate) const fn new(index: u32, generation: u32) -> Self {
        match NonZero::new((generation as u64) << 32 | index as u64) {
            Some(word) => Slot(word),
            None => panic!("generations begin at 1"),
        }
    }

    pub(crate) const fn index(self) -> u32 {
        self.0.get() as u32
    }

    /// Counts the insertions into the whole slab, not those at this index. It is also the number by
    /// which people know the occupant ("task 17").
    pub(crate) const fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.generation(), self.index())
    }
}

/// The number of a loop, never reused. It is not zero, so an optional [`Key`] takes two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoopId(NonZero<u64>);

impl LoopId {
    /// `serial` counts the loops of the process from 1; `narrow` is the loop's index in the table
    /// of living loops.
    pub(crate) fn new(serial: u64, narrow: u64) -> Self {
        let wide = serial * Layout::WAKER.homes() + narrow;
        LoopId(NonZero::new(wide).expect("the first serial is 1"))
    }

    /// The bits that fit into a waker. They are recycled when the loop is gone.
    pub(crate) const fn narrow(self) -> u64 {
        self.0.get() % Layout::WAKER.homes()
    }

    pub(crate) const fn serial(self) -> u64 {
        self.0.get() / Layout::WAKER.homes()
    }

    pub(crate) const fn get(self) -> u64 {
        self.0.get()
    }
}

/// What a handle holds: which loop, and which slot of one of that loop's slabs.
///
/// A slot lives as long as its handle, so no later occupant can take over the key of a living
/// handle, however often the generation wraps around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) home: LoopId,
    pub(crate) slot: Slot,
}

/// How a [`Slot`], and for a waker its loop, are packed into a word: the index in the lowest bits,
/// the generation above it, the loop in the remaining bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    word: u32,
    index: u32,
    generation: u32,
}

impl Layout {
    /// A waker's word. With 64 bits: 4,096 loops, 20 bits of generation, 4 billion tasks in a loop.
    /// With 32 bits: 16 loops, 8 bits of generation, a million tasks.
    ///
    /// The generation is short, so a number that outlives its task can match a later task in the
    /// same index. A wake then costs that task a spurious poll. The stuck-task analysis can mistake
    /// the later task for the earlier one where a guard or a future outlives its task; on 64-bit
    /// machines this takes exactly a multiple of a million spawns in between.
    pub(crate) const WAKER: Layout =
        if usize::BITS >= 64 { Layout::WAKER_64 } else { Layout::WAKER_32 };
    const WAKER_64: Layout = Layout { word: 64, index: 32, generation: 20 };
    const WAKER_32: Layout = Layout { word: 32, index: 20, generation: 8 };

    /// A mio token. There is one poller for each loop, so the loop needs no bits.
    pub(crate) const TOKEN: Layout =
        if usize::BITS >= 64 { Layout::TOKEN_64 } else { Layout::TOKEN_32 };
    const TOKEN_64: Layout = Layout { word: 64, index: 32, generation: 32 };
    const TOKEN_32: Layout = Layout { word: 32, index: 20, generation: 12 };

    /// For slots that are never packed: only the number of indexes matters.
    pub(crate) const UNPACKED: Layout = Layout::TOKEN_64;

    /// How many loops a word can tell apart.
    pub(crate) const fn homes(self) -> u64 {
        1 << (self.word - self.index - self.generation)
    }

    /// How many slots a word can tell apart. This is one less than fits: the word with all bits set
    /// is never a slot, and is the token of the inbox.
    pub(crate) const fn indexes(self) -> u32 {
        ((1_u64 << self.index) - 1) as u32
    }

    /// `home` must be below [`homes`](Self::homes) and the index below [`indexes`](Self::indexes).
    /// The generation is cut to the bits that fit.
    pub(crate) const fn pack(self, home: u64, slot: Slot) -> u64 {
        let generation = self.cut(slot.generation()) as u64;
        let low = slot.index() as u64 | (generation << self.index);
        match self.index + self.generation {
            64 => low,
            used => low | (home << used),
        }
    }

    /// The loop in a word.
    pub(crate) const fn home(self, word: u64) -> u64 {
        match self.index + self.generation {
            64 => 0,
            used => word >> used,
        }
    }

    /// The index in a word.
    const fn index(self, word: u64) -> usize {
        (word & ((1 << self.index) - 1)) as usize
    }

    /// Whether a word names this slot: all bits that were packed are equal.
    #[inline(always)]
    const fn names(self, word: u64, slot: Slot) -> bool {
        (word ^ self.pack(0, slot)) << (64 - self.index - self.generation) == 0
    }

    const fn cut(self, generation: u32) -> u32 {
        generation & ((1_u64 << self.generation) - 1) as u32
    }
}

/// A slab whose occupants are told apart by generation.
pub(crate) struct Slots<T> {
    /// Each occupant is stored with its slot, which tells it from a later occupant.
    slab: Slab<(Slot, T)>,
    /// The number of the next insertion, whose lower half is its generation.
    next: u64,
    /// Where [`any`](Self::any) looks first.
    next_pop: usize,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Slots { slab: Slab::new(), next: 1, next_pop: 0 }
    }

    /// Gives the value back where a word of `layout` has no room for one more index. It is not
    /// dropped here, because the caller holds the state and the value may belong to a user.
    #[inline]
    pub(crate) fn insert(&mut self, layout: Layout, value: T) -> Result<Slot, T> {
        if self.has_room(layout) {
            Ok(self.insert_empty((Slot::NONE, value)).0)
        } else {
            Err(value)
        }
    }

    /// Whether a word of `layout` has room for one more index.
    pub(crate) fn has_room(&self, layout: Layout) -> bool {
        self.slab.vacant_key() < layout.indexes() as usize
    }

    /// Like [`insert`](Self::insert) for a large value, where [there is room](Self::has_room):
    /// inserts a constant that the caller fills in place. (Copying a value in pairs of words soon
    /// after its words were written one by one stalls the processor.)
    #[inline(always)]
    pub(crate) fn insert_empty(&mut self, empty: (Slot, T)) -> (Slot, &mut T) {
        let index = self.slab.insert(empty);
        let slot = Slot::new(index as u32, self.next as u32);
        self.next += 1;
        if self.next as u32 == 0 {
            self.next += 1; // No generation is zero.
        }
        let occupant = &mut self.slab[index];
        occupant.0 = slot;
        (slot, &mut occupant.1)
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        let (occupant, value) = self.slab.get(slot.index() as usize)?;
        (*occupant == slot).then_some(value)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let (occupant, value) = self.slab.get_mut(slot.index() as usize)?;
        (*occupant == slot).then_some(value)
    }

    /// The occupant that a word of `layout` names, if it is still there, and its whole slot.
    #[inline]
    pub(super) fn find(&self, layout: Layout, word: u64) -> Option<(Slot, &T)> {
        let (occupant, value) = self.slab.get(layout.index(word))?;
        layout.names(word, *occupant).then_some((*occupant, value))
    }

    #[inline]
    pub(super) fn find_mut(&mut self, layout: Layout, word: u64) -> Option<(Slot, &mut T)> {
        let (occupant, value) = self.slab.get_mut(layout.index(word))?;
        layout.names(word, *occupant).then_some((*occupant, value))
    }

    #[inline]
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        self.get(slot)?;
        Some(self.slab.remove(slot.index() as usize).1)
    }

    /// The occupant of an index that is known to have one, such as a link of a list.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> &T {
        &self.slab[index as usize].1
    }

    /// Like [`at`](Self::at).
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut T {
        &mut self.slab[index as usize].1
    }

    /// The whole slot of an index that is known to have an occupant.
    pub(crate) fn slot_at(&self, index: u32) -> Slot {
        self.slab[index as usize].0
    }

    /// Any one occupant, for a loop that is being dropped. The search continues where the last one
    /// ended, so emptying the slab takes linear time.
    pub(crate) fn any(&mut self) -> Option<Slot> {
        while !self.slab.is_empty() {
            let index = self.next_pop % self.slab.capacity();
            if let Some((occupant, _)) = self.slab.get(index) {
                return Some(*occupant);
            }
            self.next_pop = index + 1;
        }
        None
    }

    /// Takes any one occupant out.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let slot = self.any()?;
        self.remove(slot)
    }

    pub(crate) fn iter_with_slots(&self) -> impl Iterator<Item = (Slot, &T)> {
        self.slab.iter().map(|(_, (slot, value))| (*slot, value))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slab.iter().map(|(_, (_, value))| value)
    }

    /// How many values have been inserted.
    pub(crate) fn inserted(&self) -> u64 {
        self.next - 1
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::shuffle::random::{Random, SEEDS};

    const LAYOUTS: [Layout; 4] =
        [Layout::WAKER_64, Layout::WAKER_32, Layout::TOKEN_64, Layout::TOKEN_32];

    #[test]
    fn a_packed_word_gives_back_what_was_packed() {
        for seed in SEEDS {
            let mut random = Random::new(seed);
            let (home, index) = (random.number(), random.number() as u32);
            let generation = (random.number() as u32).max(1);
            for layout in LAYOUTS {
                let home = home % layout.homes();
                let slot = Slot::new(index % layout.indexes(), generation);
                let word = layout.pack(home, slot);
                assert!(layout.word == 64 || word < 1 << 32, "seed {seed}");
                assert_ne!(word, u64::MAX >> (64 - layout.word), "seed {seed}");
                assert_eq!(layout.home(word), home, "seed {seed}");
                assert_eq!(layout.index(word), slot.index() as usize, "seed {seed}");
                assert!(layout.names(word, slot), "seed {seed}");
                // Every bit of the generation that was packed counts, and no other.
                let other = generation ^ 1 << random.below(32);
                let is_equal = layout.cut(other) == layout.cut(generation);
                let other = Slot::new(slot.index(), other.max(1));
                assert!(
                    other.generation() == 1 || layout.names(word, other) == is_equal,
                    "seed {seed}"
                );
            }
        }
    }

    /// Against a list of every slot ever given out and what is in it now.
    #[test]
    fn slots_agree_with_a_model() {
        for seed in SEEDS {
            let mut random = Random::new(seed);
            let mut slots = Slots::new();
            let (mut model, mut len) = (Vec::<(Slot, Option<u32>)>::new(), 0);
            for number in 0..1 + random.below(399) as u32 {
                if random.below(2) == 0 || model.is_empty() {
                    let slot = slots.insert(Layout::TOKEN_64, number).unwrap();
                    assert!(model.iter().all(|(given, _)| *given != slot), "seed {seed}");
                    model.push((slot, Some(number)));
                    len += 1;
                } else {
                    let at = random.below(model.len());
                    let (slot, expected) = &mut model[at];
                    len -= usize::from(expected.is_some());
                    assert_eq!(slots.remove(*slot), expected.take(), "seed {seed}");
                }
                assert_eq!(slots.len(), len, "seed {seed}");
                for (slot, expected) in &model {
                    assert_eq!(slots.get(*slot), expected.as_ref(), "seed {seed}");
                    let word = Layout::TOKEN_64.pack(0, *slot);
                    let found = slots.find(Layout::TOKEN_64, word).map(|(_, v)| *v);
                    assert_eq!(found, *expected, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn an_index_beyond_the_layout_is_refused() {
        let tiny = Layout { word: 32, index: 2, generation: 8 };
        let mut slots = Slots::new();
        let first = slots.insert(tiny, 'a').unwrap();
        assert!(slots.insert(tiny, 'b').is_ok());
        assert!(slots.insert(tiny, 'c').is_ok());
        assert_eq!(slots.insert(tiny, 'd'), Err('d'));
        slots.remove(first);
        assert!(slots.insert(tiny, 'd').is_ok());
    }

    #[test]
    fn both_word_sizes_have_room() {
        assert_eq!(Layout::WAKER_64.homes(), 4096);
        assert_eq!(Layout::WAKER_64.indexes(), u32::MAX);
        assert_eq!(Layout::WAKER_32.homes(), 16);
        assert_eq!(Layout::WAKER_32.indexes(), (1 << 20) - 1);
        assert_eq!(Layout::TOKEN_64.homes(), 1);
        assert_eq!(Layout::TOKEN_32.homes(), 1);
    }
}
