//! Tells the observers what the loop does. With no observer that wants steps, a step costs one branch.

use std::mem;

use super::Door;
use crate::state::{Step, contain, discard};

/// Reports a step from a place where the state is not borrowed. `step` is called only if somebody
/// observes.
#[inline]
pub(crate) fn report<'a>(step: impl FnOnce() -> Step<'a>) {
    if Door::open().is_some_and(|door| door.outbox.is_observed()) {
        tell(&step());
    }
}

/// Hands a step to the observers.
#[cold]
#[inline(never)]
pub(super) fn tell(step: &Step<'_>) {
    let Some(mut door) = Door::open() else { return };
    // What an observer does is not reported, or this would not end.
    if !door.outbox.set_observed(false) {
        return;
    }
    let mut observers = mem::take(&mut door.observers);
    drop(door);
    let mut at = 0;
    while let Some(observer) = observers.get_mut(at) {
        match contain("an observer, which is removed,", || observer.step(step)) {
            Some(()) => at += 1,
            None => discard(observers.remove(at)),
        }
    }
    if let Some(mut door) = Door::open() {
        door.outbox.set_observed(true);
        mem::swap(&mut door.observers, &mut observers);
    }
    // Empty, unless an observer has dropped the loop.
    discard(observers);
}
