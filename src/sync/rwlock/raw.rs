//! [`RawRwLock`]: the lock without the value, and so without its type. The guards and the futures
//! of this folder use it. It counts with [`Permits`] and tells the stuck-task analysis which tasks
//! hold the lock. It never touches the value.

use std::cell::Cell;
use std::task::{Context, Poll};
use std::{mem, panic::Location, rc::Rc};

use super::RwLock;
use crate::door::Door;
use crate::state::{Awaited, Holder, Holders, SharedHolders, TaskNumber};
use crate::sync::semaphore::Permits;
use crate::sync::wait_list::ListWait;
use crate::task::wait_record::WaitRecord;

pub(super) struct RawRwLock {
    /// One for each task that may read at the same time. A task that writes takes all of them.
    permits: Permits,
    max_readers: u32,
    /// The record of the lock shares it.
    holders: Rc<SharedHolders>,
    name: Option<Rc<str>>,
    /// Its entry in the loop's table of waits, from the first wait on.
    record: Cell<WaitRecord>,
}

/// What a guard holds. Dropping it unlocks.
pub(super) struct Hold<L: Locked> {
    lock: L,
    held: Held,
}

/// How a lock is held: by one of the other readers, with this index, or as below. One word, because
/// each guard has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Held(usize);

impl Held {
    const WRITE: Held = Held(usize::MAX);
    /// Reads, as the first holder.
    const READ: Held = Held(usize::MAX - 1);
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

impl<T> Locked for &RwLock<T> {
    #[inline]
    fn raw(&self) -> &RawRwLock {
        &self.raw
    }
}

impl<T> Locked for Rc<RwLock<T>> {
    #[inline]
    fn raw(&self) -> &RawRwLock {
        &self.raw
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
            holders: Rc::default(),
            name,
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

    /// Waits for the lock. The caller makes a [`Hold`] of the result.
    #[inline]
    pub(super) fn poll_lock(
        &self,
        access: Access,
        wait: &mut ListWait,
        cx: &Context<'_>,
        is_owned: bool,
    ) -> Poll<Held> {
        let (need, place) = (wait.need(), wait.place());
        if self.permits.poll_take_for(wait, cx, || self.awaited(need)).is_pending() {
            self.update_next_writer();
            return Poll::Pending;
        }
        // An owned guard may end in another task.
        let owner = if is_owned { None } else { TaskNumber::of(cx.waker()) };
        Poll::Ready(self.hold(access, owner, place))
    }

    #[inline]
    pub(super) fn try_lock(
        &self,
        access: Access,
        owner: impl FnOnce() -> Option<TaskNumber>,
        place: &'static Location<'static>,
    ) -> Option<Held> {
        let is_locked = self.permits.try_take(self.need(access));
        is_locked.then(|| self.hold(access, owner(), place))
    }

    /// Records a holder, which has taken the permits.
    #[inline]
    fn hold(
        &self,
        access: Access,
        owner: Option<TaskNumber>,
        place: &'static Location<'static>,
    ) -> Held {
        let holders = &*self.holders;
        let holder = Holder { task: owner.unwrap_or(TaskNumber::NONE), place };
        let held = match access {
            Access::Read if holders.first.get().is_some() => {
                return Held(holders.other_readers.borrow_mut().insert(holder));
            }
            Access::Read => Held::READ,
            Access::Write => {
                holders.is_written.set(true);
                Held::WRITE
            }
        };
        holders.first.set(Some(holder));
        held
    }

    #[inline]
    fn unlock(&self, held: Held) {
        let holders = &*self.holders;
        let mut permits = 1;
        if held == Held::WRITE {
            holders.is_written.set(false);
            permits = self.max_readers;
        }
        if held == Held::WRITE || held == Held::READ {
            holders.first.set(None);
        } else {
            holders.other_readers.borrow_mut().remove(held.0);
        }
        self.give(permits);
    }

    #[inline]
    fn give(&self, permits: u32) {
        if self.permits.is_contended() {
            self.give_contended(permits);
        } else {
            self.permits.give_uncontended(permits as usize);
        }
    }

    #[cold]
    fn give_contended(&self, permits: u32) {
        self.permits.give(permits as usize);
        self.update_next_writer();
    }

    /// Removes a future from the queue, and unlocks if it had been granted the lock.
    pub(super) fn leave(&self, wait: &mut ListWait) {
        let before = self.holders.next_writer.get();
        self.permits.leave(wait);
        self.update_next_writer();
        // Those that have waited for the future that left may wait for this one now.
        if let Some(Holder { task, .. }) = self.holders.next_writer.get()
            && before.is_none_or(|before| before.task != task)
            && let Some(mut door) = Door::open()
        {
            door.suspect_waiter(task);
        }
    }

    /// Describes to the loop the lock that a task begins to wait for, and its holders.
    fn awaited(&self, need: u32) -> Awaited {
        let mut record = self.record.take();
        let holders = || Holders::Shared(Rc::clone(&self.holders));
        let mut lock = record.lock("a lock", self.name.as_ref(), holders());
        if lock.is_none() && self.permits.waiting().is_single() {
            // The record is of another loop, in which no task waits any more.
            record.end();
            lock = record.lock("a lock", self.name.as_ref(), holders());
        }
        self.record.set(record);
        match lock {
            // With one reader at most, reading excludes as writing does.
            Some(lock) if need == self.max_readers => Awaited::Lock(lock),
            Some(lock) => Awaited::Read(lock),
            None => Awaited::FromTasks("a lock"),
        }
    }

    /// Updates which task waits to write before all others. While tasks read, it is the first
    /// waiter, unless there are as many readers as there may be.
    fn update_next_writer(&self) {
        let first = self.permits.waiting().first();
        let next = first
            .filter(|(need, ..)| *need == self.max_readers)
            .map(|(_, task, place)| Holder { task, place });
        self.holders.next_writer.set(next);
    }

    /// Returns where one of the holders has locked. `None` if it is free.
    pub(super) fn locked_at(&self) -> Option<(Access, &'static Location<'static>)> {
        let holders = &*self.holders;
        let access = if holders.is_written.get() { Access::Write } else { Access::Read };
        let others = holders.other_readers.borrow();
        let other = || others.iter().next().map(|(_, reader)| *reader);
        Some((access, holders.first.get().or_else(other)?.place))
    }
}

impl<L: Locked> Hold<L> {
    #[inline]
    pub(super) fn new(lock: L, held: Held) -> Self {
        Hold { lock, held }
    }

    pub(super) fn lock(&self) -> &L {
        &self.lock
    }

    /// Goes on reading what it has written. What waits to read may read too.
    pub(super) fn downgrade(&mut self) {
        let raw = self.lock.raw();
        raw.holders.is_written.set(false);
        self.held = Held::READ;
        raw.give(raw.max_readers - 1);
    }
}

impl<'a, T> Hold<&'a RwLock<T>> {
    /// Forgets the type of the value.
    pub(super) fn into_raw(self) -> Hold<&'a RawRwLock> {
        let hold = Hold { lock: &self.lock.raw, held: self.held };
        mem::forget(self);
        hold
    }
}

impl<L: Locked> Drop for Hold<L> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw().unlock(self.held);
    }
}
