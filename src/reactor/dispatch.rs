//! The second phase of a turn: the events of the kernel reach their sources.

use mio::Events;
use mio::event::Event;

use crate::door::Door;
use crate::state::{ALARM, INBOX, Ready, State, Step, slot_of};

/// The events in an order that the seed decides, if the loop was built with one.
pub(crate) fn shuffled(events: &Events) -> Option<Vec<&Event>> {
    let mut door = Door::open()?;
    let Some(shuffle) = &mut door.shuffle else {
        door.shut();
        return None;
    };
    let mut events: Vec<&Event> = events.iter().collect();
    // First into an order of our own: the kernel's is not the same in each run.
    events.sort_by_key(|event| event.token());
    shuffle.permute(&mut events);
    Some(events)
}

/// Hands the kernel's events to their sources. Returns how many events of sources there were, and how many
/// in all.
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
            // What a callback does must be done before the next event is looked at: it may have removed the
            // source of that event. So the door closes.
            if door.outbox.is_posted() {
                continue 'doors;
            }
        }
        break;
    }
    (all - others, all)
}

/// An event that no source has. `false`: it is one of our own, of the inbox or the alarm. Messages and timers
/// are looked at in the next phases of the turn in any case.
#[cold]
#[inline(never)]
fn is_stale(state: &mut State, event: &Event) -> bool {
    if [INBOX, ALARM].contains(&event.token()) {
        return false;
    }
    // An earlier event of the same batch made its task or callback drop this source. The fd number and the
    // place in the slab may have a new owner already; the generation tells the owners apart.
    state.outbox.report(|| Step::Stale);
    true
}
