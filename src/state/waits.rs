//! Records which task waits for what, since when and where. [`Waiter`] is part of everything that a
//! task can wait for. [`Waits`] holds the waits that are stored in no source, timer or task: for
//! locks, permits, messages, jobs and groups. Only the dump and the stuck-task analysis read them.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;

use slab::Slab;

use super::number::TaskNumber;
use super::ready::Direction;
use super::slots::{Layout, Slot, Slots};

/// A task that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    /// [`TaskNumber::NONE`] if no task of this crate waits here.
    pub(crate) task: TaskNumber,
    /// Where the operation was called, if that is known.
    pub(crate) place: Option<&'static Location<'static>>,
    /// When the wait began, as the time of that turn, in nanoseconds of the loop's clock.
    /// [`Waiter::UNKNOWN`] if unknown.
    pub(crate) since: u64,
}

impl Waiter {
    pub(crate) const UNKNOWN: u64 = u64::MAX;
    pub(crate) const NONE: Waiter =
        Waiter { task: TaskNumber::NONE, place: None, since: Waiter::UNKNOWN };
}

/// A wait as the dump and the stuck-task analysis see it.
#[derive(Clone, Copy)]
pub(crate) struct TaskWait {
    pub(crate) waiter: Waiter,
    pub(crate) what: Awaited,
}

/// What a task waits for.
#[derive(Clone, Copy)]
pub(crate) enum Awaited {
    /// A lock that tasks hold, by the lock's record: all of them must release it.
    Lock(Slot),
    /// Access for reading to a lock that others may read too, by the lock's record: the task that
    /// writes must release it, or the first task that waits to write must have its turn or leave.
    Read(Slot),
    /// The end of a task.
    Task(Slot),
    /// The end of all tasks of a group, or of any task of a `JoinSet`, by the record of this wait.
    Group(Slot),
    /// Something that any task may provide and no task owns: a message, a permit, a notification.
    FromTasks(&'static str),
    /// Something that may come from outside the tasks: the end of a job, a cancellation.
    FromOutside(&'static str),
    Source {
        slot: Slot,
        kind: &'static str,
        direction: Direction,
    },
    /// A timer with this deadline, in nanoseconds of the loop's clock.
    Timer {
        deadline: u64,
    },
}

/// A lock for which a task waits or has waited.
pub(crate) struct Lock {
    /// What it is, as the reports call it if it has no name.
    pub(crate) kind: &'static str,
    pub(crate) name: Option<Rc<str>>,
    pub(crate) holders: Holders,
}

/// The tasks that hold a lock, as far as they are known.
pub(crate) enum Holders {
    /// Of a lock that one task at a time holds. Updated when a task begins to wait and when the
    /// lock is handed over. `None` if unknown.
    One(Option<Holder>),
    /// Of a lock that several tasks may read. The lock itself updates it.
    Shared(Rc<SharedHolders>),
}

/// The tasks that hold a lock for reading or for writing, and the first that waits to write. It is
/// the lock's own state, so that the analysis sees each change.
#[derive(Default)]
pub(crate) struct SharedHolders {
    /// The task that writes, or one that reads. The usual lock has no other.
    pub(crate) first: Cell<Option<Holder>>,
    /// Whether the first one writes. Then there are no others.
    pub(crate) is_written: Cell<bool>,
    pub(crate) other_readers: RefCell<Slab<Holder>>,
    /// No reader that comes after it gets the lock before it.
    pub(crate) next_writer: Cell<Option<Holder>>,
}

/// A task that holds a lock, and where it locked it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    /// [`TaskNumber::NONE`] if unknown.
    pub(crate) task: TaskNumber,
    pub(crate) place: &'static Location<'static>,
}

impl Lock {
    pub(crate) fn holders(&self) -> Vec<Holder> {
        match &self.holders {
            Holders::One(holder) => holder.iter().copied().collect(),
            Holders::Shared(shared) => {
                let others = shared.other_readers.borrow();
                let others = others.iter().map(|(_, reader)| *reader);
                shared.first.get().into_iter().chain(others).collect()
            }
        }
    }

    /// Returns the task for which those wait that want to read: the one that writes, or the first
    /// that waits to write.
    pub(crate) fn ahead_of_readers(&self) -> Option<Holder> {
        match &self.holders {
            Holders::One(holder) => *holder,
            Holders::Shared(shared) => {
                if shared.is_written.get() {
                    shared.first.get()
                } else {
                    shared.next_writer.get()
                }
            }
        }
    }

    pub(crate) fn is_written(&self) -> bool {
        match &self.holders {
            Holders::One(_) => true,
            Holders::Shared(shared) => shared.is_written.get(),
        }
    }
}

/// The tasks of a group that have not ended.
pub(crate) type Children = Rc<RefCell<Slab<Slot>>>;

pub(crate) enum Record {
    Wait(TaskWait),
    Lock(Lock),
    /// A task waits for tasks that belong together: for the end of all, or for the next to end. The
    /// text says which.
    Group(Waiter, Children, &'static str),
}

impl Record {
    pub(crate) const EMPTY: (Slot, Record) = (
        Slot::NONE,
        Record::Wait(TaskWait { waiter: Waiter::NONE, what: Awaited::FromTasks("nothing") }),
    );

    #[inline]
    pub(crate) fn waiter(&mut self) -> Option<&mut Waiter> {
        match self {
            Record::Wait(TaskWait { waiter, .. }) | Record::Group(waiter, ..) => Some(waiter),
            Record::Lock(_) => None,
        }
    }
}

/// The wait records of a loop.
pub(crate) struct Waits {
    records: Slots<Record>,
}

impl Waits {
    pub(crate) fn new() -> Self {
        Waits { records: Slots::new() }
    }

    /// Inserts a record in which nothing waits. Returns `None` if four billion records are in use.
    #[inline]
    pub(crate) fn insert(&mut self) -> Option<(Slot, &mut Record)> {
        if self.records.has_room(Layout::UNPACKED) {
            Some(self.records.insert_empty(Record::EMPTY))
        } else {
            None
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Record> {
        self.records.get_mut(slot)
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        self.records.remove(slot);
    }

    pub(crate) fn lock(&self, slot: Slot) -> Option<&Lock> {
        match self.records.get(slot)? {
            Record::Lock(lock) => Some(lock),
            _ => None,
        }
    }

    /// The tasks that a task waits for, and in words what of them.
    pub(crate) fn group(&self, slot: Slot) -> Option<(&Children, &'static str)> {
        match self.records.get(slot)? {
            Record::Group(_, children, what) => Some((children, what)),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = TaskWait> {
        let waits = self.records.iter_with_slots().filter_map(|(slot, record)| match record {
            Record::Wait(wait) => Some(*wait),
            Record::Lock(_) => None,
            Record::Group(waiter, ..) => {
                Some(TaskWait { waiter: *waiter, what: Awaited::Group(slot) })
            }
        });
        waits.filter(|wait| wait.waiter.task.is_some())
    }
}
