//! [`Wait`]: the place of one operation among the waiters of a source.

use std::panic::Location;

use crate::door::release;
use crate::state::{Direction, Key, NO_TICKET, Release};

/// One operation's place among the waiters of a source. Dropping it gives the place up, on any thread.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(super) ticket: Option<Ticket>,
    /// Where the operation was called. An operation without a place takes no ticket.
    pub(super) place: Option<&'static Location<'static>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) number: u64,
    source: Key,
    pub(super) direction: Direction,
}

impl Wait {
    /// For an operation of a future, called at `place`.
    #[inline]
    pub(crate) fn at(place: &'static Location<'static>) -> Self {
        Wait { ticket: None, place: Some(place) }
    }

    /// For the `poll_` methods of traits, which keep nothing between calls.
    #[inline]
    pub(crate) fn unticketed() -> Self {
        Wait { ticket: None, place: None }
    }

    /// Whether this is the first poll of a future. (For a method of a trait it cannot be known.)
    #[cfg(unix)]
    pub(crate) fn is_first(&self) -> bool {
        self.ticket.is_none() && self.place.is_some()
    }

    /// Takes the ticket after the `last`, by which the waiter is found again. Returns its number.
    #[inline(always)]
    pub(super) fn take_ticket(&mut self, source: Key, direction: Direction, last: &mut u64) -> u64 {
        if self.place.is_none() {
            return NO_TICKET;
        }
        *last += 1;
        self.ticket = Some(Ticket { number: *last, source, direction });
        *last
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
