//! The timing wheel against a model: an ordered map.

use super::*;
use crate::state::shuffle::random::{Random, SEEDS};
use std::collections::BTreeMap;

/// A wheel and its model, a map from (deadline, order of arming) to the timer.
struct Pair {
    wheel: Wheel<()>,
    model: BTreeMap<(u64, u64), Slot>,
    keys: Vec<(Slot, u64, u64)>,
    now: u64,
    armed: u64,
}

impl Pair {
    fn new() -> Self {
        Pair { wheel: Wheel::new(), model: BTreeMap::new(), keys: Vec::new(), now: 0, armed: 0 }
    }

    fn arm(&mut self, deadline: u64) {
        let slot = self.wheel.arm(deadline, ()).unwrap();
        self.armed += 1;
        self.model.insert((deadline, self.armed), slot);
        self.keys.push((slot, deadline, self.armed));
    }

    fn rearm(&mut self, pick: usize, deadline: u64) {
        if self.keys.is_empty() {
            return;
        }
        let pick = pick % self.keys.len();
        let (slot, old, order) = self.keys[pick];
        self.wheel.rearm(slot, deadline);
        self.armed += 1;
        self.model.remove(&(old, order));
        self.model.insert((deadline, self.armed), slot);
        self.keys[pick] = (slot, deadline, self.armed);
    }

    fn cancel(&mut self, pick: usize) {
        if self.keys.is_empty() {
            return;
        }
        let pick = pick % self.keys.len();
        let (slot, deadline, order) = self.keys.swap_remove(pick);
        assert!(self.wheel.cancel(slot).is_some());
        assert!(self.wheel.cancel(slot).is_none());
        self.model.remove(&(deadline, order));
    }

    fn advance(&mut self, by: u64) {
        self.now = self.now.saturating_add(by);
        let now = self.now;
        let mut due = Vec::new();
        self.wheel.advance(now, &mut due);
        let later = match now.checked_add(1) {
            Some(after) => self.model.split_off(&(after, 0)),
            None => BTreeMap::new(),
        };
        let expected: Vec<_> = std::mem::replace(&mut self.model, later)
            .into_iter()
            .map(|((deadline, _), slot)| (deadline, slot))
            .collect();
        assert_eq!(due, expected);
        for (_, slot) in &due {
            assert!(matches!(self.wheel.get(*slot), Some(((), true))));
            // A fired timer keeps its slot, and its keys stay valid, until its owner cancels
            // it.
        }
    }

    fn check_earliest(&mut self) {
        let expected = self.model.keys().next().map(|(deadline, _)| *deadline);
        let at_best = self.wheel.earliest_at_best();
        assert_eq!(at_best.is_some(), expected.is_some());
        assert!(at_best <= expected, "{at_best:?} is later than {expected:?}");
        assert_eq!(self.wheel.earliest(), expected);
    }
}

enum Op {
    Arm(u64),
    Rearm(usize, u64),
    Cancel(usize),
    Advance(u64),
    Earliest,
}

/// Returns spans of every magnitude, many of them equal.
fn span(random: &mut Random) -> u64 {
    match random.below(3) {
        0 => random.below(4) as u64,
        1 => (1_u64 << random.below(64)).wrapping_add(random.below(64) as u64),
        _ => random.any(),
    }
}

fn op(random: &mut Random) -> Op {
    match random.below(10) {
        0..=3 => Op::Arm(span(random)),
        4 => Op::Rearm(random.any() as usize, span(random)),
        5 | 6 => Op::Cancel(random.any() as usize),
        7 | 8 => Op::Advance(span(random) % (1 << 40)),
        _ => Op::Earliest,
    }
}

fn play(ops: impl IntoIterator<Item = Op>) {
    let mut pair = Pair::new();
    for op in ops {
        match op {
            Op::Arm(span) => pair.arm(pair.now.saturating_add(span)),
            Op::Rearm(pick, span) => pair.rearm(pick, pair.now.saturating_add(span)),
            Op::Cancel(pick) => pair.cancel(pick),
            Op::Advance(by) => pair.advance(by),
            Op::Earliest => pair.check_earliest(),
        }
    }
    pair.check_earliest();
    pair.advance(u64::MAX);
    assert!(!pair.wheel.has_armed());
}

#[test]
fn the_wheel_agrees_with_an_ordered_map() {
    for seed in SEEDS {
        println!("seed {seed}"); // Printed only if the test fails.
        let mut random = Random::new(seed);
        let count = 1 + random.below(299);
        play((0..count).map(|_| op(&mut random)));
    }
}

/// A regression test for a case that random operations found.
#[test]
fn a_case_that_failed_once_agrees_with_an_ordered_map() {
    let first = [0, 0, 0, 0, 3, 0, 3].map(Op::Arm);
    let cancelled = [15993288223011167750, 14186862542839698327].map(Op::Cancel);
    let then = [0, 4, 0, 0, 4].map(Op::Arm);
    let last = [Op::Advance(0), Op::Arm(4)];
    play(first.into_iter().chain(cancelled).chain(then).chain(last));
}

#[test]
fn a_million_random_operations_agree_with_an_ordered_map() {
    let mut pair = Pair::new();
    let mut random = Random::new(0);
    for _ in 0..1_000_000 {
        let dice = random.any();
        let span = random.any() >> (dice % 40 + 24);
        match dice >> 32 & 7 {
            0..=2 => pair.arm(pair.now.saturating_add(span)),
            3 => pair.rearm(span as usize, pair.now.saturating_add(span)),
            4 | 5 => pair.cancel(span as usize),
            6 => pair.advance(span >> 6),
            _ => pair.check_earliest(),
        }
    }
}

#[test]
fn ten_million_armed_and_cancelled_leave_nothing_behind() {
    let mut wheel = Wheel::new();
    let mut random = Random::new(7);
    for now in 0..10_000_000_u64 {
        let slot = wheel.arm(now + (random.any() >> 30), ()).unwrap();
        if now % 1024 == 0 {
            wheel.advance(now, &mut Vec::new());
        }
        wheel.cancel(slot);
    }
    assert!(!wheel.has_armed());
    assert_eq!(wheel.timers.len(), 0);
    assert!(
        wheel
            .timers
            .insert(
                Layout::UNPACKED,
                Timer { deadline: 0, prev: NIL, next: NIL, place: None, value: () }
            )
            .unwrap()
            .index()
            < 4
    );
}

/// Timeouts of the same length, which end in the order in which they began, with shorter ones
/// between them.
#[test]
fn a_hundred_thousand_cancellations_with_the_exact_deadline_asked_after_each_take_a_few_hundred_walks()
 {
    const TIMERS: u64 = 100_000;
    let mut wheel = Wheel::new();
    let far = 1 << 40;
    let slots: Vec<_> = (0..TIMERS).map(|n| wheel.arm(far + n * 10, ()).unwrap()).collect();
    for (n, slot) in (0..TIMERS - 1).zip(slots) {
        wheel.cancel(slot);
        assert_eq!(wheel.earliest(), Some(far + (n + 1) * 10));
        if n % 7 == 0 {
            let sooner = wheel.arm(far + n * 10 + 3, ()).unwrap();
            assert_eq!(wheel.earliest(), Some(far + n * 10 + 3));
            wheel.cancel(sooner);
        }
    }
    let walks = wheel.soonest.get_mut().walks;
    assert!(walks < 1_000, "{walks} walks");
}

#[test]
fn waiting_for_the_earliest_at_best_ends_at_the_earliest() {
    let mut wheel = Wheel::new();
    let first = wheel.arm(1_000_000, ()).unwrap();
    let second = wheel.arm(1_000_001, ()).unwrap();
    wheel.cancel(first);
    let mut waits = 0;
    let mut due = Vec::new();
    while due.is_empty() {
        let until = wheel.earliest_at_best().unwrap();
        wheel.advance(until, &mut due);
        waits += 1;
    }
    assert_eq!(due, [(1_000_001, second)]);
    assert!(waits <= 2, "{waits}");
}
