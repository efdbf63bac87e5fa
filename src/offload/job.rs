//! [`Job`], one piece of work in the thread pool, and [`Run`], the future of a job that is not a
//! task. `spawn_blocking` uses `Job`; files and look-ups of host names use `Run`. No user code runs
//! or is dropped here while a lock is held.

// The states of a job, and the function that makes each transition:
//
//   made ──(1)──► waiting ──(2)──► running ──(3)──► done ──(4)──► over
//     │              │                │               │            ▲
//     └─────────────(5)──────────────(5)─────────────(5)───────────┘
//
// 1. `Pool::submit`  2., 3. `Packet::run`  4. `Job::poll`  5. `Packet::cancel`, which drops what is
//    in the packet. Only the result of a running job is dropped later, by its thread.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;

use crate::door::{Door, poll_budget, report};
use crate::reactor::is_closing;
use crate::state::{Awaited, Kind, Pool, ResultSlot, Step, TaskNumber, Wake, Work, discard};
use crate::task::wait_record::WaitRecord;

/// What the future of a job waits for, as the log and the dump name it.
pub(super) const A_JOB: &str = "an offloaded job";

/// A job, as seen by the future that awaits it.
trait Outcome<T>: Work {
    /// Whether the job has no result yet.
    fn is_pending(&self) -> bool;
    /// Returns `Ready(None)` if the job was cancelled.
    fn poll(&self, wake: Wake) -> Poll<Option<thread::Result<T>>>;
}

/// What the loop and a thread pass to each other: first the closure, then its result.
struct Packet<F, T> {
    /// Contains the closure until a thread takes it.
    slot: ResultSlot<thread::Result<T>, Option<F>>,
    place: &'static Location<'static>,
}

impl<F, T> Work for Packet<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self, pool: &Pool) -> Option<Wake> {
        let Some(work) = self.slot.lock().extra.take() else {
            // The job was cancelled after the thread had taken it from the queue.
            pool.has_run(self.place);
            return None;
        };
        let result = catch_unwind(AssertUnwindSafe(work));
        let mut inner = self.slot.lock();
        // Noted before any other thread can see the result.
        pool.has_run(self.place);
        match inner.put(result) {
            Ok(wake) => wake,
            Err(unwanted) => {
                // The job was cancelled while it ran. The lock is released first, because the drop
                // of the result runs user code.
                drop(inner);
                discard(unwanted);
                None
            }
        }
    }

    fn cancel(&self) -> Option<Wake> {
        // Both are taken out under the lock, but dropped after it, because that runs user code.
        let (work, (result, wake)) = {
            let mut inner = self.slot.lock();
            (inner.extra.take(), inner.close())
        };
        discard(work);
        discard(result);
        wake
    }

    fn place(&self) -> &'static Location<'static> {
        self.place
    }
}

impl<F, T> Outcome<T> for Packet<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn is_pending(&self) -> bool {
        self.slot.lock().is_pending()
    }

    fn poll(&self, wake: Wake) -> Poll<Option<thread::Result<T>>> {
        self.slot.poll(wake)
    }
}

/// A job, as held by its owner. Dropping it, on any thread, cancels the job.
pub(super) struct Job<T> {
    /// `None` once the result was taken.
    packet: Option<Arc<dyn Outcome<T>>>,
    /// The pool to which it was submitted, and its number there.
    queued: Option<(Arc<Pool>, u64)>,
    kind: Kind,
    record: WaitRecord,
    place: &'static Location<'static>,
}

impl<T: Send + 'static> Job<T> {
    pub(super) fn new(
        kind: Kind,
        work: impl FnOnce() -> T + Send + 'static,
        place: &'static Location<'static>,
    ) -> Self {
        let packet = Packet { slot: ResultSlot::new(Some(work)), place };
        Job { packet: Some(Arc::new(packet)), queued: None, kind, record: WaitRecord::NONE, place }
    }

    /// Queues the job in the pool of the loop that runs on this thread. `what` is the caller, for
    /// the panic outside any event loop.
    ///
    /// # Errors
    ///
    /// Returns an error if the loop is being dropped, or if there is no thread for the job.
    #[track_caller]
    pub(super) fn submit(&mut self, what: &str) -> io::Result<()> {
        let Some(packet) = &self.packet else { return Ok(()) };
        let work: Arc<dyn Work> = Arc::<dyn Outcome<T>>::clone(packet);
        let mut door = Door::expect(what);
        if door.is_closing {
            return Err(is_closing());
        }
        // Counted first, because a thread may report the end before `submit` returns.
        door.jobs += 1;
        let pool = Arc::clone(&door.pool);
        drop(door);
        match pool.submit(self.kind, work) {
            Ok(number) => {
                self.queued = Some((pool, number));
                let place = self.place;
                report(|| Step::Offload { place });
                Ok(())
            }
            Err(error) => {
                // The job will never run, so it does not count.
                if let Some(mut door) = Door::open() {
                    door.jobs -= 1;
                }
                Err(error)
            }
        }
    }
}

impl<T> Job<T> {
    /// Returns `Ready(None)` if the job was cancelled because its loop is being dropped.
    ///
    /// # Panics
    ///
    /// Panics if it is polled again after it was ready.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<thread::Result<T>>> {
        let Some(packet) = &self.packet else {
            panic!("headwaiter: an offloaded job was polled again after it was ready");
        };
        let place = self.place;
        // Only a poll that finds a result costs budget.
        if !packet.is_pending() {
            ready!(poll_budget(cx));
        }
        let Poll::Ready(result) = packet.poll(Wake::of(cx.waker())) else {
            // Recorded for the dump and the stuck-task analysis, which know no foreign wakers.
            if let Some(task) = TaskNumber::of(cx.waker()) {
                self.record.wait(task, Awaited::FromOutside(A_JOB), place);
            }
            report(|| Step::AwaitSync { what: A_JOB, place });
            return Poll::Pending;
        };
        self.packet = None;
        self.record.end();
        report(|| Step::Fetch { place });
        Poll::Ready(result)
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        let Some(packet) = self.packet.take() else { return };
        if let Some((pool, number)) = &self.queued {
            // No thread will report the end of a job that leaves the queue. Its closure is dropped
            // below, while nothing is locked.
            if pool.remove(self.kind, *number) {
                pool.shared.job_ended(None);
            }
            let place = self.place;
            report(|| Step::Forget { place });
        }
        drop(packet.cancel());
    }
}

/// Work that would block the loop, and its result, for this crate's own futures. The first poll
/// submits it to the pool, unless [`start`](Self::start) did so before. A panic in the work resumes
/// in the task that awaits it.
///
/// If it is dropped before the work has begun, the work leaves the queue. If it is dropped later,
/// the work runs to its end, and its result is dropped. So the queue is never longer than the
/// number of futures that wait, and their waiting is the backpressure.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Run<T> {
    job: Job<T>,
    /// Why it could not be submitted.
    error: Option<io::Error>,
}

/// Creates a [`Run`]. `place` is where the user called.
pub(crate) fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    place: &'static Location<'static>,
) -> Run<T> {
    Run { job: Job::new(Kind::Job, work, place), error: None }
}

/// Like [`run`], for a host name. At most half of the threads run such look-ups, so that a resolver
/// that does not answer delays nothing else.
pub(crate) fn look_up<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    place: &'static Location<'static>,
) -> Run<T> {
    Run { job: Job::new(Kind::LookUp, work, place), error: None }
}

impl<T: Send + 'static> Run<T> {
    /// Submits the work to the pool now. It is awaited later.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        if self.job.queued.is_none() && self.error.is_none() {
            self.error = self.job.submit("what goes to the threads of a loop").err();
        }
    }
}

impl<T: Send + 'static> Future for Run<T> {
    /// The error has the kind `Other` if no thread could be started for the work.
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.start();
        if let Some(error) = this.error.take() {
            return Poll::Ready(Err(error));
        }
        this.job.poll(cx).map(|result| match result {
            Some(Ok(output)) => Ok(output),
            Some(Err(payload)) => resume_unwind(payload),
            None => Err(is_closing()),
        })
    }
}

impl<T> fmt::Debug for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("queued", &self.job.queued.is_some()).finish_non_exhaustive()
    }
}
