//! [`RawRwLock`]: the lock without the value, and so without its type. The guards and the futures
//! of this folder use it. It counts with [`Permits`], and records which tasks hold the lock for the
//! stuck-task analysis. It never touches the value.

use std::task::{Context, Poll};
use std::{mem, panic::Location, rc::Rc};

use super::RwLock;
use crate::door::Door;
use crate::state::{Awaited, Holder, Holders, SharedHolders, State, TaskNumber};
use crate::sync::lock_record::LockRecord;
use crate::sync::semaphore::Permits;
use crate::sync::wait_list::ListWait;

/// What the reports and the log lines call a lock without a name.
const KIND: &str = "a lock";

pub(super) struct RawRwLock {
    /// One for each task that may read at the same time. A task that writes takes all of them.
    permits: Permits,
    max_readers: u32,
    /// The record of the lock shares it.
    holders: Rc<SharedHolders>,
    record: LockRecord,
}

/// What a guard holds. Dropping it unlocks.
pub(super) struct Held<L: Locked> {
    lock: L,
    key: HolderKey,
}

/// Which of the [`SharedHolders`] a guard is: the one of the other readers with this index, or as
/// below. One word, because each guard has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct HolderKey(usize);

impl HolderKey {
    /// The first holder, which writes.
    const WRITE: HolderKey = HolderKey(usize::MAX);
    /// The first holder, which reads.
    const READ: HolderKey = HolderKey(usize::MAX - 1);
}

/// How a [`Held`] refers to its lock.
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
            permits: Permits::new(max_readers as usize, KIND),
            max_readers,
            holders: Rc::default(),
            record: LockRecord::new(name),
        }
    }

    pub(super) fn name(&self) -> Option<&Rc<str>> {
        self.record.name()
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

    /// Waits for the lock. The caller makes a [`Held`] of the result.
    #[inline]
    pub(super) fn poll_lock(
        &self,
        access: Access,
        wait: &mut ListWait,
        cx: &Context<'_>,
        is_owned: bool,
    ) -> Poll<HolderKey> {
        let place = wait.place();
        let what = |state: &mut State, wait: &ListWait| self.awaited_in(state, wait);
        if self.permits.poll_take_for(wait, cx, what).is_pending() {
            if self.permits.waiting().is_first(wait) {
                self.update_next_writer();
            }
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
    ) -> Option<HolderKey> {
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
    ) -> HolderKey {
        let holders = &*self.holders;
        let holder = Holder { task: owner.unwrap_or(TaskNumber::NONE), place };
        let key = match access {
            Access::Read if holders.first.get().is_some() => {
                return HolderKey(holders.other_readers.borrow_mut().insert(holder));
            }
            Access::Read => HolderKey::READ,
            Access::Write => {
                holders.is_written.set(true);
                HolderKey::WRITE
            }
        };
        holders.first.set(Some(holder));
        key
    }

    #[inline]
    fn unlock(&self, key: HolderKey) {
        let holders = &*self.holders;
        let mut permits = 1;
        if key == HolderKey::WRITE {
            holders.is_written.set(false);
            permits = self.max_readers;
        }
        if key == HolderKey::WRITE || key == HolderKey::READ {
            holders.first.set(None);
        } else {
            holders.other_readers.borrow_mut().remove(key.0);
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
    fn awaited_in(&self, state: &mut State, wait: &ListWait) -> Awaited {
        let holders = || Holders::Shared(Rc::clone(&self.holders));
        let is_alone = || self.permits.waiting().is_alone(wait);
        match self.record.describe_in(state, KIND, holders, is_alone) {
            // With one reader at most, reading excludes as writing does.
            Some(lock) if wait.need() == self.max_readers => Awaited::Lock(lock),
            Some(lock) => Awaited::Read(lock),
            None => Awaited::FromTasks(KIND),
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

impl<L: Locked> Held<L> {
    #[inline]
    pub(super) fn new(lock: L, key: HolderKey) -> Self {
        Held { lock, key }
    }

    pub(super) fn lock(&self) -> &L {
        &self.lock
    }

    /// Turns a hold for writing into one for reading. Tasks that are next and wait to read may read
    /// too.
    pub(super) fn downgrade(&mut self) {
        let raw = self.lock.raw();
        raw.holders.is_written.set(false);
        self.key = HolderKey::READ;
        raw.give(raw.max_readers - 1);
    }
}

impl<'a, T> Held<&'a RwLock<T>> {
    /// Forgets the type of the value.
    pub(super) fn into_raw(self) -> Held<&'a RawRwLock> {
        let held = Held { lock: &self.lock.raw, key: self.key };
        mem::forget(self);
        held
    }
}

impl<L: Locked> Drop for Held<L> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw().unlock(self.key);
    }
}
