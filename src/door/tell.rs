//! Reports the steps of the loop to its observers. Operations call [`report`], and the door calls
//! [`tell`]. If no observer wants steps, a step costs one branch. An observer is never called while
//! the state is borrowed.

use std::mem;

use super::Door;
use crate::state::{Step, contain, discard};

/// Reports a step from a place where the state is not borrowed. `step` is called only if an
/// observer wants steps.
#[inline]
pub(crate) fn report<'a>(step: impl FnOnce() -> Step<'a>) {
    if Door::open().is_some_and(|door| door.outbox.is_observed()) {
        tell(&step());
    }
}

/// Passes a step to the observers. An observer of the program that panics is removed.
#[cold]
#[inline(never)]
pub(super) fn tell(step: &Step<'_>) {
    let Some(mut door) = Door::open() else { return };
    // Steps that an observer causes are not reported: reporting them would never end.
    if !door.outbox.set_observed(false) {
        return;
    }
    // The observers are taken out of the state, because they may use the loop, which borrows it.
    let mut observers = mem::take(&mut door.observers);
    drop(door);
    let mut index = 0;
    while let Some(observer) = observers.get_mut(index) {
        // The log lines, which come first, stay: the logger may accept the next one.
        let is_log = index == 0;
        let what = if is_log { "the logger" } else { "an observer, which is removed," };
        match contain(what, || observer.step(step)) {
            None if !is_log => discard(observers.remove(index)),
            _ => index += 1,
        }
    }
    if let Some(mut door) = Door::open() {
        door.outbox.set_observed(true);
        mem::swap(&mut door.observers, &mut observers);
    }
    // Empty, unless an observer has dropped the loop. Their drop runs user code, so nothing may be
    // borrowed here.
    discard(observers);
}
