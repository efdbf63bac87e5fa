//! Who waits for a source: the wakers that futures leave in its slot. Only the reactor and its
//! [`Registered`](super::Registered) sources use it, and always inside a borrow: so it hands foreign wakers out, and
//! never wakes, clones or drops one.

use std::panic::Location;

use crate::remote::LoopId;
use crate::task::Tasks;
use crate::task::waker::{TaskNumber, Wake};

/// Who waits for one direction of one source. All of them are woken by one event.
#[derive(Default)]
pub(super) struct Waiters {
    /// Nearly always there is one task of this loop, or nobody: no allocation then, and nothing foreign.
    pub(super) task: Option<(u64, TaskNumber)>,
    /// Of the task, if there is one.
    origin: Origin,
    /// Whoever else.
    pub(super) others: Vec<Other>,
}

/// Where the operation was called, if that is known, and since when it waits, in nanoseconds of the loop's clock as of the turn:
/// for a dump.
#[derive(Clone, Copy, Default)]
pub(super) struct Origin {
    pub(super) place: Option<&'static Location<'static>>,
    pub(super) since: u64,
}

pub(super) struct Other {
    ticket: u64,
    pub(super) wake: Wake,
    origin: Origin,
}

/// Tickets are never repeated in a loop, so that a dropped future finds its own place and no other. This one
/// is of a `poll_read` and its kin, which have no future of their own to come back for it: such a waiter
/// stays until the next event, one for each waker.
pub(super) const NO_TICKET: u64 = 0;

/// Marks the ticket of a waiter that is kept without a future: by `poll_readable` and its kin, of which each direction has one, the latest.
const LATEST: u64 = 1 << 63;

/// Marks such a ticket that also holds, in its lower half, how often the task had been polled. A task that has been polled since
/// without coming here again waits for something else.
const COUNTED: u64 = 1 << 62;

fn is_latest(ticket: u64) -> bool {
    ticket & LATEST != 0
}

/// Whether the task has gone on to something else: then this waiter is no reason to think that it will be woken.
fn is_stale(ticket: u64, number: TaskNumber, tasks: &Tasks) -> bool {
    ticket & COUNTED != 0
        && tasks.slot_of(number).is_none_or(|task| tasks.polls(task) != ticket as u32)
}

/// How many waiters without a ticket there may be on one side of a source. One more wakes another of them, which
/// polls again if it is still there: most often it was abandoned. (More real ones than this would wake each
/// other without end.)
const MOST_UNTICKETED: usize = 1024;

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.task.is_none() && self.others.is_empty()
    }

    /// A task waits. `false`: it must be left among the others. (A call of its own: it is inlined into functions that
    /// have no registers left for it.)
    #[inline(never)]
    pub(super) fn leave_task(
        &mut self,
        ticket: u64,
        number: TaskNumber,
        home: LoopId,
        origin: Origin,
    ) -> bool {
        if self.task.is_none() && number.is_of(home) {
            self.task = Some((ticket, number));
            self.origin = origin;
            return true;
        }
        self.task == Some((NO_TICKET, number)) && ticket == NO_TICKET
    }

    /// Leaves any waker. Returns one to drop, and one to wake to make room, both outside the borrow.
    pub(super) fn leave(
        &mut self,
        ticket: u64,
        wake: Wake,
        home: LoopId,
        origin: Origin,
    ) -> (Option<Wake>, Option<Wake>) {
        if let Wake::Task(number) = wake
            && self.leave_task(ticket, number, home, origin)
        {
            return (None, None);
        }
        let mut displaced = None;
        if ticket == NO_TICKET {
            if self.others.iter().any(|other| other.ticket == NO_TICKET && other.wake.same(&wake)) {
                return (Some(wake), None);
            }
            let mut unticketed =
                self.others.iter().enumerate().filter(|(_, other)| other.ticket == NO_TICKET);
            if let (Some((oldest, _)), MOST_UNTICKETED..) =
                (unticketed.next(), unticketed.count() + 1)
            {
                displaced = Some(self.others.remove(oldest).wake);
            }
        }
        self.others.push(Other { ticket, wake, origin });
        (None, displaced)
    }

    /// `false`: it may be among the others, and is not a task's.
    #[inline]
    pub(super) fn forget_task(&mut self, ticket: u64) -> bool {
        if self.task.is_some_and(|(tasks, _)| tasks == ticket) {
            self.task = None;
            return true;
        }
        self.others.is_empty()
    }

    /// Keeps the waiter with this ticket without its future, in place of the one that was kept before. `polled` is the task that is
    /// being polled, and how often it was. Returns a waker to drop outside the borrow.
    pub(super) fn keep_latest(
        &mut self,
        ticket: u64,
        polled: Option<(TaskNumber, u32)>,
    ) -> Option<Wake> {
        let kept = self.others.iter().position(|other| is_latest(other.ticket));
        let unwanted = kept.map(|at| self.others.swap_remove(at).wake);
        self.task.take_if(|(ticket, _)| is_latest(*ticket));
        // A task of another loop, or one whose waker was handed on, is counted elsewhere.
        let latest = |number| match polled {
            Some((polled, polls)) if polled == number => LATEST | COUNTED | u64::from(polls),
            _ => LATEST,
        };
        if let Some((found, number)) = self.task.as_mut().filter(|(found, _)| *found == ticket) {
            *found = latest(*number);
        } else if let Some(other) = self.others.iter_mut().find(|other| other.ticket == ticket) {
            other.ticket = match other.wake {
                Wake::Task(number) => latest(number),
                Wake::Other(_) => LATEST,
            };
        }
        unwanted
    }

    pub(super) fn forget_other(&mut self, ticket: u64) -> Option<Wake> {
        let at = self.others.iter().position(|other| other.ticket == ticket)?;
        Some(self.others.swap_remove(at).wake)
    }

    /// Wakes the task. `false`: there are others besides.
    #[inline]
    pub(super) fn wake_task(&mut self, tasks: &mut Tasks) -> bool {
        if let Some((_, number)) = self.task.take() {
            tasks.wake(number.packed());
        }
        self.others.is_empty()
    }

    pub(super) fn take_all(&mut self, all: &mut Vec<Wake>) {
        all.extend(self.task.take().map(|(_, number)| Wake::Task(number)));
        all.extend(self.others.drain(..).map(|other| other.wake));
        self.others.shrink_to(16);
    }

    /// Everybody, as a task if it is one.
    pub(super) fn all(&self) -> impl Iterator<Item = Option<TaskNumber>> {
        let others = self.others.iter().map(|other| match other.wake {
            Wake::Task(number) => Some(number),
            Wake::Other(_) => None,
        });
        self.task.iter().map(|(_, number)| Some(*number)).chain(others)
    }

    /// Those that are tasks, and have not gone on to wait for something else.
    pub(super) fn tasks(&self, tasks: &Tasks) -> impl Iterator<Item = (TaskNumber, Origin)> {
        let others = self.others.iter().filter_map(|other| match other.wake {
            Wake::Task(number) => Some((other.ticket, number, other.origin)),
            Wake::Other(_) => None,
        });
        let task = self.task.iter().map(|(ticket, number)| (*ticket, *number, self.origin));
        let current =
            task.chain(others).filter(|(ticket, number, _)| !is_stale(*ticket, *number, tasks));
        current.map(|(_, number, origin)| (number, origin))
    }
}
