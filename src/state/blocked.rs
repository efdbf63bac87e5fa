//! The threads of a pool that wait for tasks of the pool's own loop, in
//! [`RemoteHandle::wait`](crate::RemoteHandle::wait). Pure data, under the pool's lock;
//! `offload/blocked.rs` reports it if all of them do.

use std::collections::BTreeMap;
use std::panic::Location;
use std::time::Instant;

use super::slots::Slot;

#[derive(Default)]
pub(crate) struct BlockedThreads {
    /// By the number of the wait.
    pub(crate) waits: BTreeMap<u64, ThreadWait>,
    begun: u64,
    /// When it was last checked whether all threads wait for each other.
    pub(crate) checked: Option<Instant>,
    /// It was reported, and no wait has ended since.
    pub(crate) reported: bool,
}

pub(crate) struct ThreadWait {
    pub(crate) place: &'static Location<'static>,
    /// `None` while the loop has not made the task.
    pub(crate) task: Option<Slot>,
}

impl BlockedThreads {
    /// A thread begins to wait. Returns the number of the wait.
    pub(crate) fn begin(&mut self, place: &'static Location<'static>) -> u64 {
        self.begun += 1;
        self.waits.insert(self.begun, ThreadWait { place, task: None });
        self.begun
    }

    pub(crate) fn end(&mut self, number: u64) {
        self.waits.remove(&number);
        self.reported = false;
    }

    /// The tasks that the threads wait for, if the loop has made all of them.
    pub(crate) fn tasks(&self) -> Option<Vec<Slot>> {
        self.waits.values().map(|wait| wait.task).collect()
    }
}
