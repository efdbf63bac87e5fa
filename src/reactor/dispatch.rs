//! The second phase of a turn: [`dispatch`] hands the kernel's events to their sources.

use mio::Events;
use mio::event::Event;

use crate::door::Door;
use crate::state::{ALARM, INBOX, Ready, State, Step};

/// Returns the events in an order that the seed decides. `None` if the loop was built without a
/// seed.
pub(crate) fn shuffled(events: &Events) -> Option<Vec<&Event>> {
    let mut door = Door::open()?;
    let shuffle = door.shuffle.as_mut()?;
    let mut events: Vec<&Event> = events.iter().collect();
    // Sorted first, because the order of the kernel differs from run to run.
    events.sort_by_key(|event| event.token());
    shuffle.permute(&mut events);
    Some(events)
}

/// Hands the kernel's events to their sources. Returns the number of events for sources (stale ones
/// included), and of all events.
#[inline(always)]
pub(crate) fn dispatch<'a>(mut events: impl Iterator<Item = &'a Event>) -> (usize, usize) {
    let (mut all, mut without_source) = (0, 0);
    'doors: while let Some(mut door) = Door::open() {
        for event in events.by_ref() {
            all += 1;
            let ready = Ready::of(event);
            if !door.source_ready(event.token(), ready, false) {
                without_source += usize::from(!note_stale(&mut door, event));
            }
            // A posted callback must run before the next event is dispatched, because it may remove
            // the source of that event. Closing the door runs it.
            if door.outbox.is_posted() {
                continue 'doors;
            }
        }
        break;
    }
    (all - without_source, all)
}

/// Reports an event without a source as stale. Returns `false` for an event of the inbox or the
/// alarm: it was only to end the wait, and the next phases do the work.
#[cold]
#[inline(never)]
fn note_stale(state: &mut State, event: &Event) -> bool {
    if [INBOX, ALARM].contains(&event.token()) {
        return false;
    }
    // A callback for an earlier event of this batch dropped the source. The fd and the slab index
    // may have a new owner already; the generation in the token tells them apart.
    state.outbox.report(|| Step::Stale);
    true
}
