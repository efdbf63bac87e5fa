//! [`RawRwLock`]: the lock without the value, and so without its type. The guards and the futures
//! of this folder use it. It counts with [`Permits`] and tells the stuck-task analysis which tasks
//! hold the lock. It never touches the value.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll};
use std::{panic::Location, rc::Rc};

use crate::state::{Awaited, Holder, Holders, SharedHolders, TaskNumber};
use crate::sync::semaphore::Permits;
use crate::sync::wait_list::ListWait;
use crate::{door::Door, task::wait_record::WaitRecord};

pub(super) struct RawRwLock {
    /// One for each task that may read at the same time. A task that writes takes all of them.
    permits: Permits,
    max_readers: u32,
    name: Option<Rc<str>>,
    /// The record of the lock shares it, so that the analysis sees each change.
    holders: Rc<RefCell<SharedHolders>>,
    /// Its entry in the loop's table of waits, from the first wait on.
    record: Cell<WaitRecord>,
}

/// What a guard holds. Dropping it unlocks.
pub(super) struct Hold<L: Locked> {
    lock: L,
    /// The reader's index among the holders. `None` if this writes.
    reader: Option<usize>,
}

/// How a [`Hold`] refers to its lock.
pub(super) trait Locked {
    fn raw(&self) -> &RawRwLock;
}

impl Locked for &RawRwLock {
    #[inline]
    fn raw(&self) -> &RawRwLock {
        self
    }
}

/// What a task asks a lock for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl RawRwLock {
    pub(super) fn new(max_readers: u32, name: Option<Rc<str>>) -> Self {
        RawRwLock {
            permits: Permits::new(max_readers as usize, "a lock"),
            max_readers,
            name,
            holders: Rc::default(),
            record: Cell::new(WaitRecord::NONE),
        }
    }

    pub(super) fn name(&self) -> Option<&Rc<str>> {
        self.name.as_ref()
    }

    /// For an operation called at `place`.
    #[inline]
    pub(super) fn wait(&self, access: Access, place: &'static Location<'static>) -> ListWait {
        ListWait::for_many(self.need(access), place)
    }

    #[inline]
    fn need(&self, access: Access) -> u32 {
        match access {
            Access::Read => 1,
            Access::Write => self.max_readers,
        }
    }

    /// Waits for the lock, which the caller then [holds](Self::hold).
    #[inline]
    pub(super) fn poll_lock(&self, wait: &mut ListWait, cx: &Context<'_>) -> Poll<()> {
        let need = wait.need();
        if self.permits.poll_take_for(wait, cx, || self.awaited(need)).is_ready() {
            return Poll::Ready(());
        }
        self.update_next_writer();
        Poll::Pending
    }

    #[inline]
    pub(super) fn try_lock(&self, access: Access) -> bool {
        self.permits.try_take(self.need(access))
    }

    /// Records a holder. `task` is [`TaskNumber::NONE`] if it is unknown.
    #[inline]
    pub(super) fn hold<L: Locked>(
        lock: L,
        access: Access,
        task: TaskNumber,
        place: &'static Location<'static>,
    ) -> Hold<L> {
        let holder = Holder { task, place };
        let mut holders = lock.raw().holders.borrow_mut();
        let reader = match access {
            Access::Read => Some(holders.readers.insert(holder)),
            Access::Write => {
                holders.writer = Some(holder);
                None
            }
        };
        drop(holders);
        Hold { lock, reader }
    }

    /// Describes to the loop the lock that a task begins to wait for, and its holders.
    fn awaited(&self, need: u32) -> Awaited {
        let mut record = self.record.take();
        let holders = || Holders::Shared(Rc::clone(&self.holders));
        let mut lock = record.lock(self.name.as_ref(), holders());
        if lock.is_none() && self.permits.waiting().is_single() {
            // The record is of another loop, in which no task waits any more.
            record.end();
            lock = record.lock(self.name.as_ref(), holders());
        }
        self.record.set(record);
        match lock {
            // With one reader at most, reading excludes as writing does.
            Some(lock) if need == self.max_readers => Awaited::Lock(lock),
            Some(lock) => Awaited::Read(lock),
            None => Awaited::FromTasks("a lock"),
        }
    }

    /// Updates what the analysis knows of the queue. While others read, its first waiter waits to
    /// write, unless there are as many readers as there may be.
    fn update_next_writer(&self) {
        let first = self.permits.waiting().first();
        let next = first
            .filter(|(need, ..)| *need == self.max_readers)
            .map(|(_, task, place)| Holder { task, place });
        let before = std::mem::replace(&mut self.holders.borrow_mut().next_writer, next);
        let is_new = |task| before.is_none_or(|before| before.task != task);
        if let Some(Holder { task, .. }) = next
            && is_new(task)
            && let Some(mut door) = Door::open()
        {
            door.suspect_waiter(task);
        }
    }

    #[inline]
    fn give(&self, permits: u32) {
        let is_contended = !self.permits.waiting().is_empty();
        self.permits.give(permits as usize);
        if is_contended {
            self.update_next_writer();
        }
    }

    /// Removes a future from the queue, and unlocks if it had been granted the lock.
    pub(super) fn leave(&self, wait: &mut ListWait) {
        self.permits.leave(wait);
        self.update_next_writer();
    }

    /// Returns where it was locked: for writing, or first for reading. `None` if it is free.
    pub(super) fn locked_at(&self) -> Option<(Access, &'static Location<'static>)> {
        let holders = self.holders.borrow();
        let reader = || Some((Access::Read, holders.readers.iter().next()?.1.place));
        holders.writer.map_or_else(reader, |writer| Some((Access::Write, writer.place)))
    }
}

impl<L: Locked> Hold<L> {
    pub(super) fn lock(&self) -> &L {
        &self.lock
    }

    /// Goes on reading what it has written. What waits to read may read too.
    pub(super) fn downgrade(&mut self) {
        let raw = self.lock.raw();
        let mut holders = raw.holders.borrow_mut();
        let Some(writer) = holders.writer.take() else { return };
        self.reader = Some(holders.readers.insert(writer));
        drop(holders);
        raw.give(raw.max_readers - 1);
    }
}

impl<L: Locked> Drop for Hold<L> {
    #[inline]
    fn drop(&mut self) {
        let raw = self.lock.raw();
        let mut holders = raw.holders.borrow_mut();
        let permits = match self.reader {
            Some(reader) => {
                holders.readers.remove(reader);
                1
            }
            None => {
                holders.writer = None;
                raw.max_readers
            }
        };
        drop(holders);
        raw.give(permits);
    }
}
