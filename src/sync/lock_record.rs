//! [`LockRecord`]: how a lock of `sync` tells the loop which tasks hold it. The dump and the
//! stuck-task analysis read that. [`RawMutex`](super::raw_mutex::RawMutex) and the lock of an
//! [`RwLock`](super::RwLock) have one each. It runs no user code.

use std::{cell::Cell, mem, rc::Rc};

use crate::state::{Holder, Holders, Slot, State};
use crate::task::wait_record::WaitRecord;

pub(super) struct LockRecord {
    /// The name that the user has given to the lock.
    name: Option<Rc<str>>,
    /// Its entry in the loop's table of waits, from the first wait on.
    record: Cell<WaitRecord>,
}

impl LockRecord {
    pub(super) const fn new(name: Option<Rc<str>>) -> Self {
        LockRecord { name, record: Cell::new(WaitRecord::NONE) }
    }

    pub(super) fn name(&self) -> Option<&Rc<str>> {
        self.name.as_ref()
    }

    /// Describes the lock to the loop, because a task begins to wait for it. Returns its entry, or
    /// `None` if it cannot have one, for instance because tasks of another loop wait too: `is_alone`
    /// says whether no other task waits. `kind` is what the reports call a lock without a name.
    pub(super) fn describe_in(
        &self,
        state: &mut State,
        kind: &'static str,
        holders: impl Fn() -> Holders,
        is_alone: impl FnOnce() -> bool,
    ) -> Option<Slot> {
        self.with(|record| {
            let name = self.name.as_ref();
            let slot = record.lock_in(state, kind, name, &holders);
            if slot.is_some() || !is_alone() {
                return slot;
            }
            // The record is of another loop, in which no task waits any more.
            record.end();
            record.lock_in(state, kind, name, &holders)
        })
    }

    /// Records another holder, or `None` if it is unknown.
    #[inline]
    pub(super) fn hand_over(&self, holder: Option<Holder>) {
        self.with(|record| record.hand_over(holder));
    }

    #[inline]
    fn with<R>(&self, change: impl FnOnce(&mut WaitRecord) -> R) -> R {
        let mut record = self.record.take();
        let result = change(&mut record);
        // What is replaced is empty, because it was taken: `forget` spares the code that would drop
        // it.
        mem::forget(self.record.replace(record));
        result
    }
}
