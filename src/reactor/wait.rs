//! [`Wait`]: the entry of one operation among the waiters of a source, and the rare branches of
//! [`poll_io`](super::Registered::poll_io), kept out of line.

use std::io;
use std::panic::Location;
use std::task::{Context, Poll, Waker};

use super::register::is_closing;
use crate::door::{Door, release, yield_to_others};
use crate::state::outbox::Outbox;
use crate::state::waiters::Waiters;
use crate::state::{
    Direction, Key, NO_TICKET, Release, Slot, Source, SourceId, State, Step, TaskNumber, Waiter,
    Wake,
};

/// The entry of one operation among the waiters of a source. Its drop removes the waiter, on any
/// thread.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(super) ticket: Option<Ticket>,
    /// Where the operation was called. `None`: the operation takes no ticket.
    pub(super) place: Option<&'static Location<'static>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) number: u64,
    source: Key,
    pub(super) direction: Direction,
}

impl Wait {
    /// Creates the entry of a future that was made at `place`.
    #[inline]
    pub(crate) fn at(place: &'static Location<'static>) -> Self {
        Wait { ticket: None, place: Some(place) }
    }

    /// Creates an entry for the `poll_` methods of traits, which keep no state between calls.
    #[inline]
    pub(crate) fn unticketed() -> Self {
        Wait { ticket: None, place: None }
    }

    /// Whether this is the first poll of a future. Always `false` without a ticket.
    #[cfg(unix)]
    pub(crate) fn is_first(&self) -> bool {
        self.ticket.is_none() && self.place.is_some()
    }

    /// Takes the next ticket after `last`, by which the waiter is found again. Returns its number.
    #[inline(always)]
    pub(super) fn take_ticket(&mut self, source: Key, direction: Direction, last: &mut u64) -> u64 {
        if self.place.is_none() {
            return NO_TICKET;
        }
        *last += 1;
        self.ticket = Some(Ticket { number: *last, source, direction });
        *last
    }

    /// Removes the waiter that the last poll left.
    #[inline(always)]
    pub(super) fn withdraw(&mut self, waiters: &mut Waiters, outbox: &mut Outbox) {
        if let Some(ticket) = self.ticket {
            waiters.remove(ticket.number, outbox);
            self.ticket = None;
        }
    }

    #[cold]
    fn give_back(&mut self) {
        if let Some(Ticket { number, source, direction }) = self.ticket.take() {
            release(source, Release::Waiter(source.slot, direction, number));
        }
    }
}

impl Drop for Wait {
    #[inline]
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.give_back();
        }
    }
}

/// The rare branches of [`poll_io`](super::Registered::poll_io). `source` is the key of the source.
impl Wait {
    /// Waits with a foreign waker. It is cloned while the door is closed, because the clone runs
    /// foreign code. No event can come in between, because only the turn dispatches events.
    #[cold]
    #[inline(never)]
    pub(super) fn wait_with_foreign(
        &mut self,
        source: Key,
        waker: &Waker,
        direction: Direction,
        would_block: bool,
    ) -> io::Result<()> {
        let wake = Wake::of(waker);
        let Some(mut door) = Door::of(source) else { return Err(is_closing()) };
        self.leave(&mut door, source, wake, direction);
        self.after_wait(door, source, direction, would_block)
    }

    /// Completes a wait after the waker was stored: reports it, and registers a quiet source for
    /// writing when a task first waits for room.
    #[cold]
    #[inline(never)]
    pub(super) fn after_wait(
        &self,
        mut door: Door,
        source: Key,
        direction: Direction,
        would_block: bool,
    ) -> io::Result<()> {
        let (state, slot, place) = (&mut *door, source.slot, self.place);
        if would_block {
            state.report_tried(slot, direction, false);
        }
        let Some(source) = state.sources.get_mut(slot) else { return Ok(()) };
        let (id, kind) = (SourceId(slot), source.kind);
        state.outbox.report(|| Step::AwaitSource { source: id, kind, direction, place });
        match direction {
            Direction::Read => Ok(()),
            Direction::Write => source.ask_for_room(slot, &state.shared.registry),
        }
    }

    /// Refuses an operation because the task has spent its budget. The operation becomes a waiter,
    /// and its task is woken immediately, because a source that is ready need not have another
    /// event.
    #[cold]
    #[inline(never)]
    pub(super) fn refuse<T>(
        &mut self,
        source: Key,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<T> {
        // An operation that waits already stays a waiter.
        if self.ticket.is_none() {
            let wake = Wake::of(cx.waker());
            if let Some(mut door) = Door::of(source) {
                self.leave(&mut door, source, wake, direction);
            }
        }
        yield_to_others(cx)
    }

    fn leave(&mut self, state: &mut State, key: Key, wake: Wake, direction: Direction) {
        let Some(source) = state.sources.get_mut(key.slot) else {
            return state.outbox.drop_wake(Some(wake));
        };
        let ticket = self.take_ticket(key, direction, &mut state.last_ticket);
        let (task, foreign) = match wake {
            Wake::Task(task) => (task, None),
            Wake::Foreign(waker) => (TaskNumber::NONE, Some(waker)),
        };
        let (place, since) = (self.place, state.clock.turn_nanos());
        let polled = state.tasks.polled_number;
        let waiters = source.waiters(direction);
        // As the first waiter, if possible: a later operation must not overtake a refused one.
        if foreign.is_some() || !waiters.set_first(ticket, task, place, since, polled) {
            waiters.add(ticket, Waiter { task, place, since }, foreign, &mut state.outbox);
            source.mark(Source::HAS_MORE, true);
        }
    }
}

impl State {
    /// Reports that an operation was tried. It is `done`, or would have blocked.
    #[cold]
    #[inline(never)]
    pub(super) fn report_tried(&mut self, slot: Slot, direction: Direction, done: bool) {
        let Some(Source { kind, .. }) = self.sources.get(slot) else { return };
        let (source, kind) = (SourceId(slot), *kind);
        self.outbox.report(|| Step::Tried { source, kind, direction, done });
    }
}
