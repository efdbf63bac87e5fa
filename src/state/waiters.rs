//! The waiters of one direction of a source: the wakers that futures leave in its slot. Pure data:
//! wakers of other code are posted to the outbox, never woken, cloned or dropped here.

use std::mem;
use std::panic::Location;
use std::task::Waker;

use super::number::{TaskNumber, Wake};
use super::outbox::{Effect, Outbox};
use super::tasks::Tasks;
use super::waits::Waiter;

/// The waiters of one direction. One event wakes all of them.
pub(crate) struct Waiters {
    /// A task of this loop, or [`Waiter::NONE`]. Usually there is no other waiter, and nothing is
    /// allocated.
    first: Waiter,
    /// The ticket of `first`.
    ticket: u64,
    /// Boxed, so that a slot is small. (The `Option<Box>` has no spare niche, so the slab marks a
    /// vacant entry in its [`Slot`](super::slots::Slot).)
    others: Option<Box<Others>>,
}

#[derive(Default)]
struct Others(Vec<Other>);

struct Other {
    ticket: u64,
    waiter: Waiter,
    /// The waker, if the waiter is not a task of this crate.
    foreign: Option<Waker>,
}

impl Other {
    fn into_wake(self) -> Wake {
        self.foreign.map_or(Wake::Task(self.waiter.task), Wake::Foreign)
    }
}

/// The ticket of waiters that methods such as `poll_read` leave. They have no future whose drop
/// could remove the waiter, so such a waiter stays until the next event. There is one for each
/// waker. The tickets of futures are never repeated in a loop, so a dropped future removes its own
/// waiter and no other.
pub(crate) const NO_TICKET: u64 = 0;

/// Marks the ticket of a waiter that methods such as `poll_readable` keep without a future. Each
/// direction keeps only the latest.
const LATEST: u64 = 1 << 63;

/// Marks a `LATEST` ticket whose lower half is the number of times that the task had been polled.
/// If that number has changed since, the task waits for something else.
const COUNTED: u64 = 1 << 62;

fn is_latest(ticket: u64) -> bool {
    ticket & LATEST != 0
}

/// Whether the task waits for something else by now. Such a waiter does not prove that the task
/// will be woken.
fn is_stale(ticket: u64, number: TaskNumber, tasks: &Tasks) -> bool {
    let has_gone_on = |task| tasks.polls(task) != ticket as u32;
    ticket & COUNTED != 0 && tasks.slot_of(number).is_none_or(has_gone_on)
}

/// The most waiters without a ticket that one direction keeps. One more wakes the oldest: if its
/// task still waits, it polls again, but usually it was abandoned. (More real waiters than this
/// would wake each other without end.)
const MOST_UNTICKETED: usize = 1024;

impl Waiters {
    pub(crate) const NONE: Waiters =
        Waiters { first: Waiter::NONE, ticket: NO_TICKET, others: None };

    fn others(&self) -> &[Other] {
        self.others.as_ref().map_or(&[], |others| others.0.as_slice())
    }

    fn others_mut(&mut self) -> &mut Vec<Other> {
        &mut self.others.get_or_insert_default().0
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.first.task.is_some() && self.others().is_empty()
    }

    /// Stores the polled task as the first waiter if there is none. Otherwise returns `false`, and
    /// the caller must [add](Self::add) the waiter. (The fields are separate parameters, so that
    /// they stay in registers.)
    #[inline(always)]
    pub(crate) fn set_first(
        &mut self,
        ticket: u64,
        task: TaskNumber,
        place: Option<&'static Location<'static>>,
        since: u64,
        polled: TaskNumber,
    ) -> bool {
        // The polled task belongs to this loop. A comparison with it is cheaper than a lookup.
        let is_usual = !self.first.task.is_some() && task == polled;
        if is_usual {
            self.first.task = task;
            self.first.place = place;
            self.first.since = since;
            self.ticket = ticket;
        }
        is_usual
    }

    /// Adds a waiter of any kind.
    #[cold]
    #[inline(never)]
    pub(crate) fn add(
        &mut self,
        ticket: u64,
        waiter: Waiter,
        foreign: Option<Waker>,
        outbox: &mut Outbox,
    ) {
        let new = Other { ticket, waiter, foreign };
        if ticket == NO_TICKET {
            return self.add_unticketed(new, outbox);
        }
        self.others_mut().push(new);
    }

    fn add_unticketed(&mut self, new: Other, outbox: &mut Outbox) {
        let is_same = |other: &Other| match (&other.foreign, &new.foreign) {
            (None, None) => other.waiter.task == new.waiter.task,
            (Some(other), Some(waker)) => other.will_wake(waker),
            _ => false,
        };
        let is_first_task = self.ticket == NO_TICKET && self.first.task == new.waiter.task;
        let is_first = is_first_task && new.foreign.is_none();
        let mut unticketed =
            self.others().iter().enumerate().filter(|(_, other)| other.ticket == NO_TICKET);
        if is_first || unticketed.clone().any(|(_, other)| is_same(other)) {
            return outbox.drop_wake(Some(new.into_wake()));
        }
        if let (Some((oldest, _)), MOST_UNTICKETED..) = (unticketed.next(), unticketed.count() + 1)
        {
            outbox.post(Effect::Wake(self.others_mut().remove(oldest).into_wake()));
        }
        self.others_mut().push(new);
    }

    /// Removes the waiter with this ticket.
    #[inline(always)]
    pub(crate) fn remove(&mut self, ticket: u64, outbox: &mut Outbox) {
        if self.ticket == ticket {
            self.first.task = TaskNumber::NONE;
        } else if self.others.is_some() {
            self.remove_other(ticket, outbox);
        }
    }

    #[cold]
    #[inline(never)]
    fn remove_other(&mut self, ticket: u64, outbox: &mut Outbox) {
        if let Some(at) = self.others().iter().position(|other| other.ticket == ticket) {
            outbox.drop_wake(Some(self.others_mut().swap_remove(at).into_wake()));
        }
    }

    /// Keeps the waiter with this ticket when its future ends, in place of the one kept before.
    /// `polled` is the polled task with its number of polls.
    pub(crate) fn keep_latest(
        &mut self,
        ticket: u64,
        polled: Option<(TaskNumber, u32)>,
        outbox: &mut Outbox,
    ) {
        if let Some(at) = self.others().iter().position(|other| is_latest(other.ticket)) {
            outbox.drop_wake(Some(self.others_mut().swap_remove(at).into_wake()));
        }
        if self.first.task.is_some() && is_latest(self.ticket) {
            self.first.task = TaskNumber::NONE;
        }
        // The number of polls is known only of the polled task, which need not be the waiter.
        let latest = |task| match polled {
            Some((polled, polls)) if polled == task => LATEST | COUNTED | u64::from(polls),
            _ => LATEST,
        };
        if self.first.task.is_some() && self.ticket == ticket {
            self.ticket = latest(self.first.task);
        } else if let Some(other) =
            self.others_mut().iter_mut().find(|other| other.ticket == ticket)
        {
            other.ticket = latest(other.waiter.task);
        }
    }

    /// Takes the first waiter, which may be [`TaskNumber::NONE`].
    #[inline(always)]
    pub(crate) fn take_first(&mut self) -> TaskNumber {
        mem::replace(&mut self.first.task, TaskNumber::NONE)
    }

    /// Takes all waiters.
    pub(crate) fn take_all(&mut self, all: &mut Vec<Wake>) {
        let first = self.take_first();
        all.extend(first.is_some().then_some(Wake::Task(first)));
        if let Some(others) = self.others.take() {
            all.extend(others.0.into_iter().map(Other::into_wake));
        }
    }

    fn iter(&self) -> impl Iterator<Item = (u64, Waiter)> {
        let first = self.first.task.is_some().then_some((self.ticket, self.first));
        first.into_iter().chain(self.others().iter().map(|other| (other.ticket, other.waiter)))
    }

    /// Returns all waiters. One of foreign code has [no task](TaskNumber::NONE).
    pub(crate) fn all(&self) -> impl Iterator<Item = TaskNumber> {
        self.iter().map(|(_, waiter)| waiter.task)
    }

    /// Returns the waiters that are tasks and are not stale.
    pub(crate) fn tasks(&self, tasks: &Tasks) -> impl Iterator<Item = Waiter> {
        let is_awaited = |&(ticket, waiter): &(u64, Waiter)| {
            waiter.task.is_some() && !is_stale(ticket, waiter.task, tasks)
        };
        self.iter().filter(is_awaited).map(|(_, waiter)| waiter)
    }
}
