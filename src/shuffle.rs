//! Schedules that can be replayed: [`Shuffle`] permutes what has no order of its own, for the same seed always in the
//! same way, and [`explore`] runs a test under many seeds. The turn asks it where something begins: a batch of tasks, of
//! events, of timers that are due at the same instant. A loop without a seed has none, and pays a branch for each of these.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::Level;

use crate::core::panic_message;
use crate::event_loop::EventLoop;
use crate::observe;
use crate::observe::stuck::Deadlock;
use crate::time::clock::Clock;

/// The generator SplitMix64, from Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014):
/// small, and good from its first number on, whatever the seed.
pub(crate) struct Shuffle {
    state: u64,
}

impl Shuffle {
    pub(crate) fn new(seed: u64) -> Self {
        Shuffle { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The same on machines of every word size. Some orders come up a little more often than others, which is of no
    /// account here.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// By Fisher and Yates. For one item nothing is drawn.
    pub(crate) fn permute<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Runs a test under many schedules: for each seed in a loop of its own, with a [virtual clock](Clock::Virtual), that
/// [`shuffle`](crate::Builder::shuffle) and [`Deadlock::Fail`]. At the first seed under which the test panics it stops, and
/// says which it was.
///
/// Finds what only goes wrong in an order of tasks that a plain run never shows, and shows it again:
///
/// ```should_panic
/// use headwaiter::{spawn, task::yield_now};
/// use std::{cell::Cell, rc::Rc};
///
/// headwaiter::explore(0..100, || async {
///     let tips = Rc::new(Cell::new(0));
///     let waiters = [1, 2].map(|tip| {
///         let tips = Rc::clone(&tips);
///         spawn(async move {
///             let before = tips.get();
///             if tip == 2 {
///                 yield_now().await; // Whoever runs meanwhile is not seen in `before`.
///             }
///             tips.set(before + tip);
///         })
///     });
///     for waiter in waiters {
///         waiter.await.unwrap();
///     }
///     assert_eq!(tips.get(), 3);
/// });
/// ```
///
/// That panics with `under the seed 0: assertion ... left: 2, right: 3`, or with whichever seed is the first to let the one with
/// the pause begin first. (A test that fails in every order needs no seeds.) To replay it alone, `explore([seed], ...)`, or build a
/// loop with that `shuffle`.
///
/// A panic of a task that nobody joins is only logged, here as elsewhere: join the tasks, or use a
/// [`TaskGroup`](crate::task::TaskGroup).
///
/// # Panics
///
/// If the test does, inside a running loop, or if the kernel gives no poller. The message names the seed and holds the
/// test's own.
#[track_caller]
pub fn explore<F>(seeds: impl IntoIterator<Item = u64>, test: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    for seed in seeds {
        observe::say(
            Level::Debug,
            observe::LOOP,
            format_args!("explores the schedule of seed {seed}"),
        );
        let run = || {
            let event_loop = EventLoop::builder()
                .clock(Clock::Virtual)
                .shuffle(seed)
                .deadlock(Deadlock::Fail)
                .build();
            let mut event_loop = event_loop.expect("headwaiter: cannot make an event loop");
            // Called in there, so that it may spawn before its first `await`.
            event_loop.block_on(async { test().await });
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            panic!(
                "headwaiter: under the seed {seed}: {}\n(`explore([{seed}], ...)` replays this schedule alone, and so does a loop of `EventLoop::builder().clock(Clock::Virtual).shuffle({seed})`)",
                panic_message(&*payload)
            );
        }
    }
}

/// Random cases for the unit tests: the same ones in every run.
#[cfg(test)]
pub(crate) mod random {
    use std::ops::Range;

    use super::Shuffle;

    /// A test of random cases runs once with each of these seeds.
    pub(crate) const SEEDS: Range<u64> = 0..256;

    pub(crate) struct Random(Shuffle);

    impl Random {
        pub(crate) fn new(seed: u64) -> Self {
            Random(Shuffle::new(seed))
        }

        pub(crate) fn any(&mut self) -> u64 {
            self.0.next()
        }

        /// Small numbers come up as often as large ones: it has any number of bits.
        pub(crate) fn number(&mut self) -> u64 {
            self.any() >> self.below(64)
        }

        pub(crate) fn below(&mut self, bound: usize) -> usize {
            self.0.below(bound)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Against the numbers that other implementations give for this seed.
    #[test]
    fn the_generator_is_split_mix_64() {
        let mut shuffle = Shuffle::new(1_234_567);
        let first: Vec<_> = (0..5).map(|_| shuffle.next()).collect();
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn every_order_of_four_comes_up_about_as_often_as_any_other() {
        let mut shuffle = Shuffle::new(1);
        let mut orders = HashMap::new();
        for _ in 0..24_000 {
            let mut order = [0, 1, 2, 3];
            shuffle.permute(&mut order);
            *orders.entry(order).or_insert(0) += 1;
        }
        assert_eq!(orders.len(), 24);
        // 1000 each, with a standard deviation of 31; and the seed is fixed.
        assert!(orders.values().all(|times| (850..1150).contains(times)), "{orders:?}");
    }
}
