//! A histogram whose memory does not depend on the values: see [`Histogram`].

/// Counts values in steps that are a quarter of a power of two wide.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: [u64; Histogram::STEPS],
    pub(crate) longest: u64,
}

impl Histogram {
    /// For 64 powers of two.
    pub(crate) const STEPS: usize = 4 * 64;

    pub(crate) fn new() -> Self {
        Histogram { counts: [0; Histogram::STEPS], longest: 0 }
    }

    #[inline]
    pub(crate) fn add(&mut self, value: u64) {
        self.counts[Histogram::step_of(value)] += 1;
        self.longest = self.longest.max(value);
    }

    /// Up to 3, each value is a step; from there on, the two bits below the highest decide.
    #[inline]
    pub(crate) fn step_of(value: u64) -> usize {
        match value.checked_ilog2() {
            None | Some(0 | 1) => value as usize,
            Some(power) => 4 * (power as usize - 1) + (value >> (power - 2)) as usize % 4,
        }
    }

    /// The smallest value beyond a step.
    pub(crate) fn end_of(step: usize) -> u64 {
        match step {
            0..4 => step as u64 + 1,
            _ => u64::try_from((4 + step as u128 % 4 + 1) << (step / 4 - 1)).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The value that this share of the values does not exceed, to within a step.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let mut left = (self.total() as f64 * share).ceil() as u64;
        for (step, count) in self.counts.iter().enumerate() {
            left = left.saturating_sub(*count);
            if left == 0 {
                return (Histogram::end_of(step) - 1).min(self.longest);
            }
        }
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::shuffle::random::{Random, SEEDS};

    #[test]
    fn a_step_holds_its_values_and_is_no_wider_than_a_quarter() {
        for value in SEEDS.map(|seed| Random::new(seed).number()).chain([0, 1]) {
            let step = Histogram::step_of(value);
            assert!(step < Histogram::STEPS, "{value}");
            let end = Histogram::end_of(step);
            assert!(value < end || end == u64::MAX, "{value}");
            assert!(end - 1 - value <= value / 4 || end == u64::MAX, "{value}");
        }
    }
}
