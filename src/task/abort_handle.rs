//! [`AbortHandle`]: the key of a task that other code joins, or that nothing joins. It can only
//! abort the task and ask whether it has finished.

use super::join::{JoinHandle, abort, id_of, is_finished};
use crate::fmt::debug_struct;
use crate::state::{Id, Key, Slot};

/// Aborts a task, without the right to its output. Made by [`JoinHandle::abort_handle`] and by
/// [`JoinSet::spawn`](super::JoinSet::spawn).
///
/// It is a number: clones are free, and dropping it neither aborts nor detaches the task. It may be
/// sent to any thread.
///
/// The loop does not know which abort handles exist. So if a future has returned `Pending` without
/// keeping its waker, and no [`JoinHandle`] of its task is left, that is logged at `warn` although
/// an abort handle may be about to end the task: see [`Deadlock`](crate::Deadlock).
///
/// ```
/// use std::future::pending;
///
/// headwaiter::block_on(async {
///     let order = headwaiter::spawn(pending::<()>());
///     let cancel = order.abort_handle();
///     assert_eq!(cancel.id(), order.id());
///     cancel.abort();
///     assert!(cancel.is_finished());
///     assert!(order.await.unwrap_err().is_cancelled());
/// });
/// ```
#[derive(Clone)]
pub struct AbortHandle {
    /// `None` if the loop was being dropped when the task was spawned.
    key: Option<Key>,
}

impl AbortHandle {
    pub(super) fn new(key: Option<Key>) -> Self {
        AbortHandle { key }
    }

    pub(crate) fn slot(&self) -> Option<Slot> {
        self.key.map(|key| key.slot)
    }

    /// As [`JoinHandle::abort`]: drops the task's future inside this call, if the loop of the task
    /// runs on this thread and the task is not the one that is being polled. Aborting a task that
    /// has finished is a no-op.
    pub fn abort(&self) {
        if let Some(key) = self.key {
            abort(key);
        }
    }

    /// Whether the task has finished. After [`abort`](Self::abort) this may still be false: see
    /// there.
    ///
    /// # Panics
    ///
    /// Outside the loop that runs the task.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        self.key.is_none_or(|key| is_finished(key, "an `AbortHandle`"))
    }

    /// The task's id, which its log lines contain too.
    pub fn id(&self) -> Id {
        id_of(self.key)
    }
}

impl<T> JoinHandle<T> {
    /// Returns a handle that can abort the task too, for code that does not await it.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle::new(self.key)
    }
}

debug_struct!(impl[] for AbortHandle as "AbortHandle", |this| id: this.id(), ..);
