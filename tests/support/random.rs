//! Random numbers that are the same in every run.

use std::cell::Cell;

/// The generator SplitMix64. Its state is in a `Cell`, so that what shares it need not borrow it mutably.
pub struct Random(Cell<u64>);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(Cell::new(seed))
    }

    pub fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound`, which is not included. Of any integer type, but not negative.
    pub fn below<N: TryFrom<u64> + TryInto<u64>>(&self, bound: N) -> N {
        let number = bound.try_into().ok().map(|bound| self.next() % bound);
        number.and_then(|number| N::try_from(number).ok()).expect("a bound above 0")
    }
}
