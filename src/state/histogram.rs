//! A histogram whose memory does not depend on the values: see [`Histogram`].
//! [`Counts`](super::counts::Counts) fills it, and the statistics read it. It never allocates.

/// Counts values in steps. Each step is a quarter of a power of two wide.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: [u64; Histogram::STEPS],
    /// The largest value.
    pub(crate) longest: u64,
}

impl Histogram {
    /// Four steps for each of the 64 powers of two.
    pub(crate) const STEPS: usize = 4 * 64;

    pub(crate) fn new() -> Self {
        Histogram { counts: [0; Histogram::STEPS], longest: 0 }
    }

    #[inline]
    pub(crate) fn add(&mut self, value: u64) {
        self.counts[Histogram::step_of(value)] += 1;
        self.longest = self.longest.max(value);
    }

    /// Returns the step of a value. Each value up to 3 has a step of its own. Above that, the two
    /// bits below the highest one select the step.
    #[inline]
    pub(crate) fn step_of(value: u64) -> usize {
        match value.checked_ilog2() {
            None | Some(0 | 1) => value as usize,
            Some(power) => 4 * (power as usize - 1) + (value >> (power - 2)) as usize % 4,
        }
    }

    /// Returns the smallest value beyond a step.
    pub(crate) fn end_of(step: usize) -> u64 {
        match step {
            0..4 => step as u64 + 1,
            // In `u128`, because the end of the last step exceeds `u64`.
            _ => u64::try_from((4 + step as u128 % 4 + 1) << (step / 4 - 1)).unwrap_or(u64::MAX),
        }
    }

    /// Returns the number of values.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns a value that this share of the values does not exceed, accurate to within a step.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let mut left = (self.total() as f64 * share).ceil() as u64;
        for (step, count) in self.counts.iter().enumerate() {
            left = left.saturating_sub(*count);
            if left == 0 {
                // The last value of the step, so that the result is never too low.
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
