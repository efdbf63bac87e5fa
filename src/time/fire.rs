//! The fourth phase of a turn: [`fire`] wakes what waits for the timers that are due.

use std::time::Duration;

use crate::door::Door;
use crate::state::{Id, Slot, State, Step, TimerId};

/// Fires all timers that are due, in the order of their deadlines; in a shuffled loop those with the
/// same deadline in any order. Returns how many. Without any timer the clock is not read.
#[inline]
pub(crate) fn fire() -> usize {
    let Some(mut door) = Door::open() else { return 0 };
    if !door.timers.wheel.has_armed() {
        door.shut();
        return 0;
    }
    let now = door.clock.now_nanos();
    let mut due = door.timers.take_due(now);
    if let Some(shuffle) = &mut door.shuffle {
        due.chunk_by_mut(|one, next| one.0 == next.0).for_each(|same| shuffle.permute(same));
    }
    drop(door);
    for (deadline, slot) in &due {
        // The door closes after each: a foreign waker may cancel the next timer, or arm it anew.
        let Some(mut door) = Door::open() else { break };
        door.fire_one(*slot, now - deadline);
    }
    let fired = due.len();
    if let Some(mut door) = Door::open() {
        door.timers.give_back(due);
    }
    fired
}

impl State {
    fn fire_one(&mut self, slot: Slot, late: u64) {
        self.counts.late(late);
        let wake = match self.timers.wheel.get(slot) {
            Some((armed, true)) => armed.take_wake(),
            // Cancelled, or armed anew, by a foreign waker that was woken just now.
            _ => None,
        };
        let woken = wake.as_ref().and_then(|wake| self.slot_of(wake.task()?)).map(Id);
        let late = Duration::from_nanos(late);
        self.outbox.report(|| Step::Fire { timer: TimerId(slot), late, woken });
        if let Some(wake) = wake {
            self.wake(wake);
        }
    }
}

/// Drops the wakers of all timers of a loop that is being dropped.
pub(crate) fn drop_all() {
    while let Some(mut door) = Door::open()
        && let Some(mut armed) = door.timers.wheel.pop()
    {
        let wake = armed.take_wake();
        door.outbox.drop_wake(wake);
    }
}
