//! [`Handle`]: reaches a loop from any thread.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::remote_handle::RemoteHandle;
use super::spawned::{Job, Packet};
use crate::door::Door;
use crate::observe::dump::{Dump, dump};
use crate::state::{Message, Shared, is_of_this_process, published};

/// Reaches a loop from any thread: see [`Handle::spawn`].
///
/// A handle does not keep its loop alive, only two file descriptors of it. A task that is spawned on a loop that
/// is gone ends at once with [`JoinError::is_cancelled`](crate::task::JoinError::is_cancelled).
pub struct Handle {
    shared: Arc<Shared>,
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Handle::new(Arc::clone(&self.shared))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let before = self.shared.handles.fetch_sub(1, Ordering::Release);
        if before == 1
            && thread::current().id() != self.shared.thread
            && is_of_this_process(self.shared.id)
        {
            // The loop may find now that nothing can wake its tasks.
            self.shared.notify(true);
        }
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Handle { shared }
    }

    /// The handle of the loop that runs on this thread.
    ///
    /// # Panics
    ///
    /// Outside any event loop, for instance in a job of [`spawn_blocking`](crate::spawn_blocking), whose page shows
    /// how to take a handle along.
    #[track_caller]
    pub fn current() -> Self {
        Handle::new(Arc::clone(&Door::expect("`Handle::current`").shared))
    }

    /// Runs `make` on the loop's thread and spawns the future that it returns. Only the closure moves to that
    /// thread, so the future need not be `Send`.
    ///
    /// The result comes back through the [`RemoteHandle`]. Dropping that handle detaches the task.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// let event_loop = headwaiter::EventLoop::new()?;
    /// let handle = event_loop.handle();
    /// let plain_thread = std::thread::spawn(move || {
    ///     let six = handle.spawn(|| async {
    ///         let not_send = Rc::new(6);
    ///         headwaiter::task::yield_now().await;
    ///         *not_send
    ///     });
    ///     six.wait().unwrap()
    /// });
    /// let mut event_loop = event_loop;
    /// while !plain_thread.is_finished() {
    ///     event_loop.turn(Some(std::time::Duration::from_millis(1)))?;
    /// }
    /// assert_eq!(plain_thread.join().unwrap(), 6);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<M, F>(&self, make: M) -> RemoteHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let place = Location::caller();
        let packet = Arc::new(Packet::new(Arc::clone(&self.shared)));
        let job = Job::new(make, Arc::clone(&packet), place);
        self.shared.send(Message::Run(Box::new(move || job.run())));
        RemoteHandle::new(packet)
    }
}

/// How long [`Handle::dump`] waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

impl Handle {
    /// What the loop has, and which task waits for what: like [`dump`], from another thread. It blocks this thread
    /// until the loop answers. If the loop does not within a second, the dump names the task that is being polled,
    /// which blocks it, and the place where that was spawned.
    ///
    /// ```
    /// let mut event_loop = headwaiter::EventLoop::new()?;
    /// let handle = event_loop.handle();
    /// let asked = std::thread::spawn(move || handle.dump().to_string());
    /// while !asked.is_finished() {
    ///     event_loop.turn(Some(std::time::Duration::from_millis(1)))?;
    /// }
    /// assert!(asked.join().unwrap().contains("0 tasks"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// On the thread of the loop, which would wait for itself: use [`dump`] there.
    #[track_caller]
    pub fn dump(&self) -> Dump {
        assert!(
            self.shared.thread != thread::current().id(),
            "headwaiter: `Handle::dump` was called on the thread of the loop it asks: call `headwaiter::dump` inside the loop instead"
        );
        let (give, take) = mpsc::channel();
        self.shared.send(Message::Run(Box::new(move || {
            let _ = give.send(dump()); // It fails if the caller has stopped waiting.
        })));
        match take.recv_timeout(PATIENCE) {
            Ok(dump) => dump,
            Err(RecvTimeoutError::Disconnected) => Dump::of("the event loop is gone".to_owned()),
            Err(RecvTimeoutError::Timeout) => Dump::of(self.why_busy()),
        }
    }

    fn why_busy(&self) -> String {
        match published(self.shared.polled.load(Ordering::Relaxed)) {
            Some(task) => {
                format!("the event loop has not answered for {PATIENCE:?}: it polls {task}")
            }
            None => format!(
                "the event loop has not answered for {PATIENCE:?}, and polls no task: nobody turns it, or a callback blocks it"
            ),
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("loop", &self.shared.id.get()).finish()
    }
}
