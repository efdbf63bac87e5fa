//! [`WaitRecord`]: how a future, a lock or a group tells the loop which task waits for it. Without
//! a loop of this crate, or with a foreign waker, there is no record. Only the dump and the
//! stuck-task analysis read the records; nothing else depends on them.

use std::panic::Location;
use std::rc::Rc;

use crate::door::{Door, release};
use crate::state::{
    Awaited, Blocker, Children, Holder, Holders, Key, Lock, Record, Release, Slot, State,
    TaskNumber, TaskWait, Waiter,
};

/// A record in the [`Waits`](crate::state::waits::Waits) of a loop, or none. It may be dropped on
/// any loop or outside of loops.
#[derive(Debug, Default)]
pub(crate) struct WaitRecord(Option<Key>);

impl WaitRecord {
    pub(crate) const NONE: WaitRecord = WaitRecord(None);

    /// Records that a task begins to wait or still waits. The record is made in the task's own
    /// loop, if that loop runs on this thread.
    #[inline]
    pub(crate) fn wait(
        &mut self,
        task: TaskNumber,
        what: Awaited,
        place: &'static Location<'static>,
    ) {
        let mut is_recorded = false;
        if let Some(mut door) = Door::open() {
            is_recorded = self.wait_in(&mut door, task, what, place);
        }
        if !is_recorded && self.0.is_some() {
            // The record is in another loop: either the future has moved to this loop, or its task
            // belongs to no loop that runs here.
            self.end();
            self.wait(task, what, place);
        }
    }

    /// Like [`wait`](Self::wait), but only in the current loop. Returns `false` if the task belongs
    /// to another loop, or if a record in another loop must end first.
    #[inline(always)]
    pub(crate) fn wait_in(
        &mut self,
        state: &mut State,
        task: TaskNumber,
        what: Awaited,
        place: &'static Location<'static>,
    ) -> bool {
        if !task.is_of(state.id) {
            return false;
        }
        // The caller has stored the task's waker, so the task is no suspect for a lost waker.
        state.tasks.keep();
        // Noted with the task too, so that the analysis can follow a chain without the whole graph.
        if let Awaited::Lock(lock) | Awaited::Read(lock) = what {
            state.tasks.block(task, Blocker::Record(lock));
        }
        let since = state.clock.turn_nanos();
        let Some(record) = self.get_or_insert(state) else { return false };
        match record {
            Record::Wait(wait) => wait.what = what,
            Record::Group(..) => {}
            Record::Lock(_) => return false,
        }
        let Some(waiter) = record.waiter() else { return false };
        // While the same task still waits, `since` keeps the start of its wait.
        if waiter.task != task {
            (waiter.task, waiter.since) = (task, since);
        }
        waiter.place = Some(place);
        true
    }

    /// Like [`wait`](Self::wait), but for these tasks. `what` says in words what of them.
    pub(crate) fn wait_for_tasks(
        &mut self,
        task: TaskNumber,
        children: &Children,
        what: &'static str,
        place: &'static Location<'static>,
    ) {
        self.wait(task, Awaited::FromTasks(what), place);
        let Some(key) = self.0 else { return };
        let Some(mut door) = Door::open() else { return };
        door.tasks.block(task, Blocker::Record(key.slot));
        if let Some(record) = self.get(&mut door)
            && let Record::Wait(TaskWait { waiter, .. }) = *record
        {
            *record = Record::Group(waiter, Rc::clone(children), what);
        }
    }

    /// Removes the record if it is in this loop.
    #[inline(always)]
    pub(crate) fn end_in(&mut self, state: &mut State) {
        if let Some(key) = self.0
            && key.home == state.id
        {
            state.waits.remove(key.slot);
            self.0 = None;
        }
    }

    /// Marks the record idle without freeing it if it is in this loop.
    #[inline(always)]
    pub(crate) fn pause_in(&mut self, state: &mut State) {
        if let Some(waiter) = self.get(state).and_then(Record::waiter) {
            waiter.task = Waiter::NONE.task;
        }
    }

    /// Records in the current loop a lock for which a task waits, and its holders. Returns `None` if
    /// the lock cannot have a record in this loop, for instance because it has one in another.
    pub(crate) fn lock_in(
        &mut self,
        state: &mut State,
        kind: &'static str,
        name: Option<&Rc<str>>,
        holders: impl FnOnce() -> Holders,
    ) -> Option<Slot> {
        let is_new = self.0.is_none();
        match self.get_or_insert(state)? {
            // The lock itself updates them.
            Record::Lock(Lock { holders: Holders::Shared(_), .. }) => {}
            Record::Lock(lock) => lock.holders = holders(),
            record if is_new => {
                *record = Record::Lock(Lock { kind, name: name.cloned(), holders: holders() });
            }
            _ => return None,
        }
        self.0.map(|key| key.slot)
    }

    /// Records another holder of the lock, or `None` if it is unknown.
    pub(crate) fn hand_over(&mut self, holder: Option<Holder>) {
        let Some(key) = self.0 else { return };
        match Door::of(key) {
            Some(mut door) => {
                if let Some(Record::Lock(lock)) = self.get(&mut door) {
                    lock.holders = Holders::One(holder);
                }
            }
            // The record is in another loop. Remove it, so that the lock looks free there rather
            // than held by a stale holder.
            None => self.end(),
        }
    }

    /// Removes the record, in whichever loop it is.
    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some(key) = self.0.take() {
            release(key, Release::Record(key.slot));
        }
    }

    #[inline]
    fn get<'a>(&self, state: &'a mut State) -> Option<&'a mut Record> {
        let key = self.0.filter(|key| key.home == state.id)?;
        state.waits.get_mut(key.slot)
    }

    /// Returns the record, inserting one if there is none. Returns `None` if four billion records
    /// are in use, or if this one is in another loop.
    #[inline(always)]
    fn get_or_insert<'a>(&mut self, state: &'a mut State) -> Option<&'a mut Record> {
        if self.0.is_some() {
            return self.get(state);
        }
        let home = state.id;
        let (slot, record) = state.waits.insert()?;
        self.0 = Some(Key { home, slot });
        Some(record)
    }
}

impl Drop for WaitRecord {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}
