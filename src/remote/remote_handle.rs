//! [`RemoteHandle`]: the result of a task that runs on another thread's loop. It shares a
//! [`Packet`] with the task, and sends messages to the loop. It never touches the loop's state.

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;

use super::spawned::{Packet, Slot};
use crate::door::{is_running, poll_budget};
use crate::offload::blocked;
use crate::state::{JoinError, Message, Wake};

/// The result of [`Handle::spawn`](crate::Handle::spawn). Await it in any loop or other executor,
/// or [`wait`](Self::wait) for it on a thread that runs none.
///
/// Dropping it detaches the task. If the task panics after that, the panic is logged. Awaiting it
/// is cancel-safe: the result stays until it is taken. Polling it again after that panics.
pub struct RemoteHandle<T> {
    packet: Arc<Packet<T>>,
}

impl<T> RemoteHandle<T> {
    pub(super) fn new(packet: Arc<Packet<T>>) -> Self {
        RemoteHandle { packet }
    }
}

impl<T> RemoteHandle<T> {
    /// Blocks this thread until the task has ended.
    ///
    /// If a job of [`spawn_blocking`](crate::spawn_blocking) waits for a task of the same loop, it
    /// occupies a thread that the task may need, for a file, a host name or a job of its own. If
    /// all threads of the pool wait like that, and their tasks wait for queued jobs, they wait for
    /// ever. This is logged at `warn` after a second or two, with the places of the waits and of
    /// the jobs. `.await` the task in another task instead, or give the loop more
    /// [threads](crate::Builder::blocking_threads).
    ///
    /// # Errors
    ///
    /// Returns a [`JoinError`] if the task panicked, was aborted, or its loop was dropped.
    ///
    /// # Panics
    ///
    /// Panics on a thread that runs an event loop, and on the thread that owns the loop of the
    /// task, because that loop would stand still. `.await` the handle there.
    #[track_caller]
    pub fn wait(self) -> Result<T, JoinError> {
        assert!(
            !is_running(),
            "headwaiter: `RemoteHandle::wait` was called inside an event loop, which would block it: `.await` the handle instead"
        );
        assert!(
            self.packet.home.thread != thread::current().id()
                || self.is_finished()
                || self.packet.home.is_closed(),
            "headwaiter: `RemoteHandle::wait` was called on the thread of the loop that it waits for, which would stand still: turn the loop, or `block_on` the handle"
        );
        // `self` is consumed, so nothing can abort the task any more.
        self.release_hold();
        // `Some` in a job of the loop of the task: if all threads of the pool wait like this, they
        // may wait for ever.
        let blocked = blocked::begin(&self.packet.home, Location::caller());
        let mut inner = self.packet.slot.lock();
        loop {
            if let Some(result) = take(&mut inner) {
                return result;
            }
            let arrived = self.packet.slot.arrived();
            // Only a thread of the pool wakes up to check; any other thread sleeps until the result
            // arrives.
            inner = match &blocked {
                None => arrived.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(blocked) => {
                    let waited = arrived.wait_timeout(inner, blocked::CHECK_AFTER);
                    let (inner, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() {
                        let task = inner.extra.task;
                        // The check locks the pool, so the packet is unlocked first.
                        drop(inner);
                        blocked.check(task);
                        self.packet.slot.lock()
                    } else {
                        inner
                    }
                }
            };
        }
    }

    /// Asks the loop to drop the task. The future is dropped before [`JoinError::is_cancelled`] is
    /// reported.
    pub fn abort(&self) {
        let task = {
            let mut inner = self.packet.slot.lock();
            // One message is enough. If the task does not exist yet, the loop finds the flag.
            let is_first = !mem::replace(&mut inner.extra.abort, true);
            inner.extra.task.filter(|_| is_first)
        };
        if let Some(task) = task {
            self.packet.home.send(Message::Abort(task));
        }
    }

    /// Returns whether the task has ended.
    pub fn is_finished(&self) -> bool {
        !self.packet.slot.lock().is_pending()
    }

    /// Notes that nothing can abort the task any more, so that its loop checks again whether it is
    /// stuck.
    fn release_hold(&self) {
        let unheld = {
            let mut inner = self.packet.slot.lock();
            let was_held = mem::replace(&mut inner.extra.held, false);
            inner.extra.task.filter(|_| was_held && inner.is_pending())
        };
        if let Some(task) = unheld {
            self.packet.home.send(Message::Unheld(task));
        }
    }
}

impl<T> Drop for RemoteHandle<T> {
    fn drop(&mut self) {
        self.release_hold();
    }
}

/// Takes the result, if there is one.
#[track_caller]
fn take<T>(inner: &mut Slot<T>) -> Option<Result<T, JoinError>> {
    assert!(
        !inner.is_closed(),
        "headwaiter: a `RemoteHandle` was polled again after it had given its result"
    );
    inner.take()
}

impl<T> Future for RemoteHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Only a poll that finds a result costs budget.
        if self.packet.slot.lock().is_ready() {
            ready!(poll_budget(cx));
        }
        // A plain clone of the waker, because this waits for another thread, which the loop cannot
        // see.
        let wake = Wake::Foreign(cx.waker().clone());
        match ready!(self.packet.slot.poll(wake)) {
            Some(result) => Poll::Ready(result),
            None => panic!(
                "headwaiter: a `RemoteHandle` was polled again after it had given its result"
            ),
        }
    }
}

impl<T> fmt::Debug for RemoteHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle").field("finished", &self.is_finished()).finish()
    }
}
