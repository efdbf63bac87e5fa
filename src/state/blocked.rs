//! The threads of a pool that wait for tasks of the pool's own loop, in
//! [`RemoteHandle::wait`](crate::RemoteHandle::wait). Pure data, protected by the pool's lock.
//! `offload/blocked.rs` reports when all threads wait.

use std::collections::BTreeMap;
use std::panic::Location;
use std::time::Instant;

use super::slots::Slot;

#[derive(Default)]
pub(crate) struct BlockedThreads {
    /// The current waits, by their numbers.
    pub(crate) waits: BTreeMap<u64, ThreadWait>,
    begun: u64,
    /// When the last check for a deadlock of the pool was.
    pub(crate) checked: Option<Instant>,
    /// The deadlock was reported, and no wait has ended since.
    pub(crate) reported: bool,
}

pub(crate) struct ThreadWait {
    pub(crate) place: &'static Location<'static>,
    /// `None` until the loop has spawned the task.
    pub(crate) task: Option<Slot>,
}

impl BlockedThreads {
    /// Records that a thread begins to wait. Returns the number of the wait.
    pub(crate) fn begin(&mut self, place: &'static Location<'static>) -> u64 {
        self.begun += 1;
        self.waits.insert(self.begun, ThreadWait { place, task: None });
        self.begun
    }

    pub(crate) fn end(&mut self, number: u64) {
        self.waits.remove(&number);
        self.reported = false;
    }

    /// Returns the tasks that the threads wait for, if the loop has spawned all of them.
    pub(crate) fn tasks(&self) -> Option<Vec<Slot>> {
        self.waits.values().map(|wait| wait.task).collect()
    }
}
