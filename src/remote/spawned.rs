//! A task that was spawned from another thread, on its way to its loop and back.
//! [`Handle::spawn`](crate::Handle::spawn) creates the [`Job`], and the loop runs it on its own
//! thread. A result is never lost: the end of the task, a panic and a drop each store one.

use std::any::Any;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::door::Door;
use crate::state::{
    Flags, JoinError, Origin, ResultSlot, Shared, discard, log_panic, result_slot, slots,
};
use crate::task::spawn_at;

/// The data that the [`RemoteHandle`](crate::RemoteHandle) and the task share.
pub(super) struct Packet<T> {
    pub(super) home: Arc<Shared>,
    pub(super) slot: ResultSlot<Result<T, JoinError>, Remote>,
}

/// The contents of a packet while it is locked.
pub(super) type Slot<T> = result_slot::Inner<Result<T, JoinError>, Remote>;

/// The shared data besides the result.
pub(super) struct Remote {
    /// `None` until the loop has created the task.
    pub(super) task: Option<slots::Slot>,
    /// An abort was requested.
    pub(super) abort: bool,
    /// Whether the [`RemoteHandle`](crate::RemoteHandle) exists, because that may abort the task:
    /// see [`Flags::HELD`].
    pub(super) held: bool,
}

impl<T> Packet<T> {
    pub(super) fn new(home: Arc<Shared>) -> Self {
        let remote = Remote { task: None, abort: false, held: true };
        Packet { home, slot: ResultSlot::new(remote) }
    }
}

impl<T> Drop for Packet<T> {
    fn drop(&mut self) {
        // The result was never taken, so a panic in it would go unnoticed.
        if let Some(Err(error)) = self.slot.get_mut().ready() {
            error.log_unseen();
        }
    }
}

/// The message to the loop. The closure is declared before the sender that reports the end, and so
/// is dropped before it, even if the job never runs.
pub(super) struct Job<M, T> {
    make: M,
    sender: Sender<T>,
}

impl<M, T> Job<M, T> {
    pub(super) fn new(make: M, packet: Arc<Packet<T>>, place: &'static Location<'static>) -> Self {
        Job { make, sender: Sender { packet, place } }
    }

    /// Creates the future and spawns it. The loop calls this on its own thread.
    pub(super) fn run<F>(self)
    where
        M: FnOnce() -> F,
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        if self.sender.packet.slot.lock().extra.abort {
            // The drop of `self` reports the cancellation.
            return;
        }
        let Job { make, sender } = self;
        let place = sender.place;
        let packet = Arc::clone(&sender.packet);
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(future) => {
                let task = spawn_at(Deliver { future: Some(future), sender }, None, place);
                // Under one lock, so that an abort or a drop of the handle either finds the task or
                // is found here.
                let aborted = {
                    let mut inner = packet.slot.lock();
                    inner.extra.task = task.slot();
                    if let Some(slot) = task.slot()
                        && let Some(mut door) = Door::open()
                    {
                        door.tasks.set(slot, Flags::HELD, inner.extra.held);
                    }
                    inner.extra.abort
                };
                // The abort was requested while the future was being created.
                if aborted {
                    task.abort();
                }
            }
            Err(payload) => sender.send(Err(sender.panicked(payload))),
        }
    }
}

/// Stores the result of the task. If it is dropped before that, the task was dropped, and the
/// result is the error for a cancelled task.
struct Sender<T> {
    packet: Arc<Packet<T>>,
    place: &'static Location<'static>,
}

impl<T> Sender<T> {
    fn panicked(&self, payload: Box<dyn Any + Send>) -> JoinError {
        JoinError::panicked(Some(Origin::unnamed(self.place)), payload)
    }

    /// Stores the result, unless there is one already, and wakes what waits for it.
    fn send(&self, result: Result<T, JoinError>) {
        let put = self.packet.slot.lock().put(result);
        if let Ok(wake) = put {
            self.packet.slot.notify_all();
            if let Some(wake) = wake {
                wake.wake();
            }
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.send(Err(JoinError::cancelled(Some(Origin::unnamed(self.place)))));
    }
}

pin_project! {
    /// A future whose result is awaited on another thread.
    struct Deliver<F: Future> {
        // `None` at the end: the future is dropped before its end is reported.
        #[pin]
        future: Option<F>,
        sender: Sender<F::Output>,
    }

    impl<F: Future> PinnedDrop for Deliver<F> {
        /// After an abort, the future is dropped before the sender reports the end. If that drop
        /// panics, the panic is reported instead.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
                this.sender.send(Err(this.sender.panicked(payload)));
            }
        }
    }
}

impl<F: Future> Future for Deliver<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let mut result = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(this.sender.panicked(payload)),
        };
        // The future is dropped before its result is stored, so that the drop is over when the
        // task is seen to have ended.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
            match result {
                Ok(_) => discard(mem::replace(&mut result, Err(this.sender.panicked(payload)))),
                // The first panic is the one that is reported.
                Err(_) => log_panic("the drop of a task's future", payload),
            }
        }
        this.sender.send(result);
        Poll::Ready(())
    }
}
