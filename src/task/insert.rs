//! The part of spawning that does not depend on the type of the future, kept separate so that it is
//! compiled once. `spawn_at` calls it.

use std::panic::Location;

use super::local::inherit;
use crate::door::Door;
use crate::state::{Body, Effect, Flags, Key, Layout, PlaceId, Rare, discard};

/// Inserts a task, ready to be polled. Returns `None` if the loop is being dropped; the future is
/// then dropped at once.
#[track_caller]
pub(super) fn insert(
    body: Body,
    flags: Flags,
    rare: Option<Box<Rare>>,
    place: &'static Location<'static>,
) -> Option<Key> {
    let body = if inherit::is_asked() { inherit::wrap(body) } else { body };
    let place_id = PlaceId::of(place);
    let mut door = Door::expect("`spawn`");
    let state = &mut *door;
    if state.is_closing || !state.tasks.has_room() {
        drop(door);
        refuse(body);
        return None;
    }
    let slot = state.tasks.insert(Some(body), flags, rare, place_id, &state.clock);
    if state.outbox.is_observed() {
        state.outbox.post(Effect::ReportSpawn(slot, place));
    }
    Some(state.key(slot))
}

#[cold]
#[inline(never)]
#[track_caller]
fn refuse(body: Body) {
    let is_closing = Door::open().is_some_and(|door| door.is_closing);
    discard(body);
    assert!(
        is_closing,
        "headwaiter: this loop has {} tasks, and a waker cannot tell more apart: await some before you spawn more",
        Layout::WAKER.indexes()
    );
}
