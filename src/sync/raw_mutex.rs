//! [`RawMutex`]: a lock without a value. Unlocking hands it to the first waiter. It records which
//! task holds it and where that task locked it, for the detection of deadlocks.
//!
//! [`Mutex`](super::Mutex) is built on it, and so is [`OnceCell`](super::OnceCell), whose initialiser
//! holds the lock. It runs no user code, except foreign wakers.

use std::task::{Context, Poll};
use std::{cell::Cell, panic::Location, rc::Rc};

use super::lock_record::LockRecord;
use super::wait_list::{ListWait, WaitList};
use crate::door::{Door, waker::RawNumber};
use crate::state::{Awaited, Holder, Holders, State, TaskLabel, TaskNumber};

/// A lock without a value, and so without its type.
pub(super) struct RawMutex {
    /// Where it was locked. `None` if it is free; then no task waits.
    held_at: Cell<Option<&'static Location<'static>>>,
    /// The task that locked it, if known. Meaningless while it is free.
    owner: Cell<RawNumber>,
    waiting: WaitList,
    record: LockRecord,
}

impl RawMutex {
    /// `what` is what waiters wait for, as log lines call it.
    pub(super) const fn new(what: &'static str, name: Option<Rc<str>>) -> Self {
        RawMutex {
            held_at: Cell::new(None),
            owner: Cell::new(RawNumber::NONE),
            waiting: WaitList::new(what),
            record: LockRecord::new(name),
        }
    }

    pub(super) fn name(&self) -> Option<&Rc<str>> {
        self.record.name()
    }

    /// Where it was locked, or `None` if it is free.
    pub(super) fn held_at(&self) -> Option<&'static Location<'static>> {
        self.held_at.get()
    }

    /// Names the task that holds the lock, if that is a task of the loop that runs here.
    pub(super) fn owner_label(&self) -> Option<String> {
        let door = Door::open()?;
        let slot = door.slot_of(self.owner.get().task()?)?;
        Some(TaskLabel { slot, name: door.tasks.name(slot) }.to_string())
    }

    /// Locks for the task that is being polled, if the lock is free.
    #[inline]
    pub(super) fn try_lock(&self, place: &'static Location<'static>) -> bool {
        if self.held_at.get().is_some() {
            return false;
        }
        let owner = Door::open().and_then(|door| door.polled());
        self.hold(place, owner.map_or(RawNumber::NONE, RawNumber::from));
        true
    }

    /// Waits for the lock. The result is always `true`.
    #[inline]
    pub(super) fn poll_lock(&self, wait: &mut ListWait, cx: &Context<'_>) -> Poll<bool> {
        self.poll_lock_unless("a lock", wait, cx, || false)
    }

    /// Like [`poll_lock`](Self::poll_lock), but the wait also ends, without the lock, when
    /// `is_over`: then the result is `false`. `kind` is what the reports call the lock.
    #[inline(always)]
    pub(super) fn poll_lock_unless(
        &self,
        kind: &'static str,
        wait: &mut ListWait,
        cx: &Context<'_>,
        is_over: impl Fn() -> bool,
    ) -> Poll<bool> {
        let place = wait.place();
        let done = |granted: bool| {
            if !granted && is_over() {
                return Some(false);
            }
            let is_ours = granted || self.held_at.get().is_none();
            is_ours.then(|| {
                self.hold(place, RawNumber::of(cx.waker()));
                true
            })
        };
        self.waiting.poll_for(wait, cx, done, |state, wait| self.awaited_in(state, kind, wait))
    }

    /// Describes to the loop the lock that a task begins to wait for, and its holder.
    fn awaited_in(&self, state: &mut State, kind: &'static str, wait: &ListWait) -> Awaited {
        let holders = || Holders::One(self.holder());
        let lock = self.record.describe_in(state, kind, holders, || self.waiting.is_alone(wait));
        lock.map_or(Awaited::FromTasks(kind), Awaited::Lock)
    }

    /// Returns the task that holds the lock, if known, and where it was locked. `None` if it is free.
    fn holder(&self) -> Option<Holder> {
        let task = self.owner.get().task().unwrap_or(TaskNumber::NONE);
        Some(Holder { task, place: self.held_at.get()? })
    }

    #[inline]
    fn hold(&self, place: &'static Location<'static>, owner: RawNumber) {
        self.held_at.set(Some(place));
        self.owner.set(owner);
    }

    /// Forgets which task holds the lock, because its guard can be moved to another one.
    pub(super) fn disown(&self) {
        self.set_owner(RawNumber::NONE);
    }

    /// Records that the task of this poll holds the lock: the future that holds it may have moved.
    pub(super) fn own(&self, cx: &Context<'_>) {
        self.set_owner(RawNumber::of(cx.waker()));
    }

    fn set_owner(&self, owner: RawNumber) {
        self.owner.set(owner);
        self.record.hand_over(self.holder());
    }

    #[inline]
    pub(super) fn unlock(&self) {
        if self.waiting.is_empty() {
            self.held_at.set(None);
        } else {
            self.hand_over();
        }
    }

    /// Grants the lock to the first waiter. It is never free in between, because a later task could
    /// then get ahead of the waiters.
    fn hand_over(&self) {
        let Some(next) = self.waiting.grant(1) else { return };
        self.held_at.set(Some(next.place));
        self.set_owner(next.task().map_or(RawNumber::NONE, RawNumber::from));
        next.wake();
    }

    /// Unlocks for the last time, and wakes all waiters: what they wait for is over.
    pub(super) fn unlock_for_all(&self) {
        self.held_at.set(None);
        self.waiting.call_all();
    }

    /// Removes a future from the queue, and unlocks if it had been granted the lock.
    pub(super) fn leave(&self, wait: &mut ListWait) {
        if self.leave_queue(wait) {
            self.unlock();
        }
    }

    /// Removes a future from the queue. Returns whether it had been granted the lock, which is then
    /// still locked.
    pub(super) fn leave_queue(&self, wait: &mut ListWait) -> bool {
        self.waiting.leave(wait)
    }
}

/// Unlocks when it is dropped.
pub(super) struct Held<'a>(pub(super) &'a RawMutex);

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.unlock();
    }
}
