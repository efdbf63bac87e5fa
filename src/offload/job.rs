//! [`Job`], one piece of work on its way through the pool, and [`Run`], the future of a job that is not a
//! task.

// A job's life, and the function that draws each arrow:
//
//   made ──(1)──► waiting ──(2)──► running ──(3)──► done ──(4)──► over
//     │              │                │               │            ▲
//     └─────────────(5)──────────────(5)─────────────(5)───────────┘
//
// 1. `Pool::submit`  2., 3. `Packet::run`  4. `Job::poll`  5. `Packet::cancel`: what is in the packet is
// dropped; only the result of a running job is dropped later, by its thread.

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

/// What the future of a job waits for.
pub(super) const A_JOB: &str = "an offloaded job";

/// A job as the future that awaits it sees it.
trait Outcome<T>: Work {
    fn is_pending(&self) -> bool;
    /// `Ready(None)`: the job was cancelled.
    fn poll(&self, wake: Wake) -> Poll<Option<thread::Result<T>>>;
}

/// What the loop and a thread hand to each other: first the closure, then its result.
struct Packet<F, T> {
    /// The closure is there until a thread takes it.
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
            // Cancelled after the thread had taken it from the queue.
            pool.has_run(self.place);
            return None;
        };
        let result = catch_unwind(AssertUnwindSafe(work));
        let mut inner = self.slot.lock();
        // Before anything can see the result.
        pool.has_run(self.place);
        match inner.put(result) {
            Ok(wake) => wake,
            Err(unwanted) => {
                // Cancelled while it ran.
                drop(inner);
                discard(unwanted);
                None
            }
        }
    }

    fn cancel(&self) -> Option<Wake> {
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

/// A job as its owner holds it. Dropping it, on any thread, cancels the job.
pub(super) struct Job<T> {
    /// `None` once the result was taken.
    packet: Option<Arc<dyn Outcome<T>>>,
    /// The pool that it was submitted to, and its number there.
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

    /// Queues it for the pool of the loop that runs here.
    #[track_caller]
    pub(super) fn submit(&mut self, what: &str) -> io::Result<()> {
        let Some(packet) = &self.packet else { return Ok(()) };
        let work: Arc<dyn Work> = Arc::<dyn Outcome<T>>::clone(packet);
        let mut door = Door::expect(what);
        if door.is_closing {
            return Err(is_closing());
        }
        // Counted before a thread can report the end.
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
                if let Some(mut door) = Door::open() {
                    door.jobs -= 1;
                }
                Err(error)
            }
        }
    }
}

impl<T> Job<T> {
    /// `Ready(None)`: the job was cancelled, because its loop is being dropped.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<thread::Result<T>>> {
        let Some(packet) = &self.packet else {
            panic!("headwaiter: an offloaded job was polled again after it was ready");
        };
        let place = self.place;
        // Only a result that is there costs budget.
        if !packet.is_pending() {
            ready!(poll_budget(cx));
        }
        let Poll::Ready(result) = packet.poll(Wake::of(cx.waker())) else {
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
            // The closure is dropped below, with nothing locked.
            if pool.remove(self.kind, *number) {
                pool.shared.job_ended(None);
            }
            let place = self.place;
            report(|| Step::Forget { place });
        }
        drop(packet.cancel());
    }
}

/// Work that would block the loop, and its result, for this crate's own futures. It is handed to the pool when it
/// is first polled, or [`started`](Self::start). A panic in the work goes on in who awaits it.
///
/// Dropping it before the work has begun takes it out of the queue; dropped later, the work is done to its end, and its
/// result is dropped. So the queue is never longer than there are futures that wait, and that they wait is the
/// back-pressure.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Run<T> {
    job: Job<T>,
    /// Why it could not be started.
    error: Option<io::Error>,
}

/// See [`Run`]. `place` is where the user called.
pub(crate) fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    place: &'static Location<'static>,
) -> Run<T> {
    Run { job: Job::new(Kind::Job, work, place), error: None }
}

/// As [`run`], for a host name. At most half of the threads do that, so that a resolver that does not answer holds up nothing
/// else.
pub(crate) fn look_up<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    place: &'static Location<'static>,
) -> Run<T> {
    Run { job: Job::new(Kind::LookUp, work, place), error: None }
}

impl<T: Send + 'static> Run<T> {
    /// Hands it to the pool now, to be awaited later.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        if self.job.queued.is_none() && self.error.is_none() {
            self.error = self.job.submit("what goes to the threads of a loop").err();
        }
    }
}

impl<T: Send + 'static> Future for Run<T> {
    /// An error of the kind `Other` if no thread could be started for the work.
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
