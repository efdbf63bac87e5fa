//! The requests that other threads send to a loop, through its [inbox](super::inbox). Pure data.

use super::ready::Direction;
use super::slots::Slot;

/// A request from another thread.
pub(crate) enum Message {
    /// A handle was dropped on another thread.
    Release(Release),
    /// Abort this task.
    Abort(Slot),
    /// The [`RemoteHandle`](crate::RemoteHandle) of this task was dropped before the task ended.
    Unheld(Slot),
    /// Run this on the loop's thread.
    Run(Box<dyn FnOnce() + Send>),
}

/// What a dropped handle gives back to its loop: see [`State::release`](super::State::release).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Release {
    Source(Slot),
    Waiter(Slot, Direction, u64),
    Timer(Slot),
    Join(Slot),
    /// A record of [`Waits`](super::waits::Waits).
    Record(Slot),
}
