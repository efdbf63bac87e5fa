//! The second phase of a turn: [`dispatch`] hands the kernel's events to their sources.

use mio::Events;
use mio::event::Event;

use crate::door::Door;
use crate::state::{ALARM, INBOX, Ready, State, Step, slot_of};

/// Returns the events in an order that the seed decides. `None` if the loop was built without a
/// seed.
pub(crate) fn shuffled(events: &Events) -> Option<Vec<&Event>> {
    let mut door = Door::open()?;
    let Some(shuffle) = &mut door.shuffle else {
        door.shut();
        return None;
    };
    let mut events: Vec<&Event> = events.iter().collect();
    // Sorted first, because the order of the kernel differs from run to run.
    events.sort_by_key(|event| event.token());
    shuffle.permute(&mut events);
    Some(events)
}

/// Hands the kernel's events to their sources. Returns how many events of sources there were, and
/// how many in all.
#[inline(always)]
pub(crate) fn dispatch<'a>(mut events: impl Iterator<Item = &'a Event>) -> (usize, usize) {
    let (mut all, mut others) = (0, 0);
    'doors: while let Some(mut door) = Door::open() {
        for event in events.by_ref() {
            all += 1;
            let ready = Ready::of(event);
            if !door.source_ready(slot_of(event.token()), ready, false) {
                others += usize::from(!is_stale(&mut door, event));
            }
            // A posted callback must run before the next event is dispatched, because it may remove
            // the source of that event. Closing the door runs it.
            if door.outbox.is_posted() {
                continue 'doors;
            }
        }
        break;
    }
    (all - others, all)
}

/// Returns whether an event without a source is stale. `false`: it is the event of the inbox or of
/// the alarm, which has ended the wait; the next phases take the messages and the timers in any
/// case.
#[cold]
#[inline(never)]
fn is_stale(state: &mut State, event: &Event) -> bool {
    if [INBOX, ALARM].contains(&event.token()) {
        return false;
    }
    // A callback for an earlier event of this batch dropped the source. The fd and the place in the
    // slab may have a new owner already; the generation in the token tells them apart.
    state.outbox.report(|| Step::Stale);
    true
}
