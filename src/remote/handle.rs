//! [`Handle`]: controls a loop from any thread. It sends closures through the loop's inbox, which
//! the loop runs on its own thread. It never touches the loop's state.

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

/// Controls a loop from any thread: see [`Handle::spawn`].
///
/// A handle does not keep its loop alive; it keeps only two file descriptors of the loop open. A
/// task that is spawned on a loop that is gone ends immediately with
/// [`JoinError::is_cancelled`](crate::task::JoinError::is_cancelled).
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
            // This was the last handle, so the loop wakes up to check whether anything can still
            // wake its tasks.
            self.shared.notify(true);
        }
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Handle { shared }
    }

    /// Returns the handle of the loop that runs on this thread.
    ///
    /// # Panics
    ///
    /// Panics outside any event loop, for instance in a job of
    /// [`spawn_blocking`](crate::spawn_blocking). The documentation of that function shows how to
    /// pass a handle to a job.
    #[track_caller]
    pub fn current() -> Self {
        Handle::new(Arc::clone(&Door::expect("`Handle::current`").shared))
    }

    /// Runs `make` on the loop's thread and spawns the future that it returns. Only the closure
    /// moves to that thread, so the future need not be `Send`.
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
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

impl Handle {
    /// Returns the contents of the loop, and which task waits for what: like [`dump`], from another
    /// thread. It blocks this thread until the loop answers. If the loop does not answer within a
    /// second, the dump names the task that is being polled, which blocks the loop, and the place
    /// where that task was spawned.
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
    /// Panics on the thread of the loop, which would wait for itself: use [`dump`] there.
    #[track_caller]
    pub fn dump(&self) -> Dump {
        assert!(
            self.shared.thread != thread::current().id(),
            "headwaiter: `Handle::dump` was called on the thread of the loop it asks: call `headwaiter::dump` inside the loop instead"
        );
        // The state can be read only on the loop's own thread, so a closure makes the dump there.
        let (give, take) = mpsc::channel();
        self.shared.send(Message::Run(Box::new(move || {
            let _ = give.send(dump()); // Fails if the caller has stopped waiting.
        })));
        match take.recv_timeout(ANSWER_TIMEOUT) {
            Ok(dump) => dump,
            Err(RecvTimeoutError::Disconnected) => Dump::of("the event loop is gone".to_owned()),
            Err(RecvTimeoutError::Timeout) => Dump::of(why_busy(&self.shared)),
        }
    }
}

/// Describes what keeps a loop from answering for [`ANSWER_TIMEOUT`].
pub(crate) fn why_busy(shared: &Shared) -> String {
    match published(shared.polled.load(Ordering::Relaxed)) {
        Some(task) => {
            format!("the event loop has not answered for {ANSWER_TIMEOUT:?}: it polls {task}")
        }
        None => format!(
            "the event loop has not answered for {ANSWER_TIMEOUT:?}, and polls no task: nobody turns it, or a callback blocks it"
        ),
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("loop", &self.shared.id.get()).finish()
    }
}
