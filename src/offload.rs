//! Threads for what cannot be waited for: [`spawn_blocking`] for users, [`run`] for files, and [`look_up`] for host names. The
//! jobs of a loop stand in one queue, in which look-ups have a lane of their own. A thread is started when a job finds none
//! idle, and retires when it has been idle for long. The end of a job comes to its loop through the inbox, together with the wake of who awaits it. No
//! thread of the pool ever touches what belongs to the loop's own thread.

// A job's life, and the function that draws each arrow:
//
//   made ──(1)──► waiting ──(2)──► running ──(3)──► done ──(4)──► over
//     │              │                │               │            ▲
//     └─────────────(5)──────────────(5)─────────────(5)───────────┘
//
// 1. `Pool::submit`  2., 3. `Packet::run`  4. `Packet::poll`  5. `Packet::give_up`: what is in the packet is
// dropped; only the result of a job that runs is dropped later, by its thread.

pub(crate) mod blocked;
mod lanes;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use log::Level;

use self::blocked::BlockedThreads;
use self::lanes::{Kind, Lanes};
use crate::core::{Core, discard};
use crate::observe::{self, Step};
use crate::reactor::is_closing;
use crate::remote::{self, Shared};
use crate::task::waker::{TaskNumber, Wake};
use crate::task::{self, Id, JoinError, JoinHandle};
use crate::waits::{Shown, What};

/// How many threads a loop may start, unless its builder says otherwise. Waiting for a disk they cost no processor.
pub(crate) const THREADS: usize = 64;

/// So many jobs may wait before [`try_spawn_blocking`] gives its closure back.
const FULL: usize = 1024;

/// A thread that has had nothing to do for so long retires.
const IDLE: Duration = Duration::from_secs(10);

/// The name of each thread.
const THREAD: &str = "headwaiter-blocking";

/// For what its future waits.
const A_JOB: &str = "an offloaded job";

/// The threads of a loop, and the queue of their jobs. The loop's [`Core`] and each thread have a share of it.
pub(crate) struct Pool {
    /// May be locked while a packet is, but no packet while this is.
    state: Mutex<State>,
    /// Notified for each job that an idle thread can take, and at the end.
    changed: Condvar,
    /// How many threads there may be.
    most: usize,
    /// How long a thread stays without a job.
    idle_for: Duration,
    /// Where the end of a job is told.
    shared: Arc<Shared>,
}

struct State {
    lanes: Lanes,
    /// Where the jobs that run were called, for a dump and the last word of a dying loop.
    running: Vec<&'static Location<'static>>,
    threads: usize,
    /// Those of them that wait for a job, or were just started for one. One that was notified and has not got up yet
    /// counts: so does its job.
    idle: usize,
    /// Those of them that wait for tasks of the loop.
    blocked: BlockedThreads,
    /// The loop is gone, or about to go: there are no more jobs.
    closed: bool,
}

/// A job as the threads see it.
trait Work: Send + Sync {
    /// Returns whom to wake.
    fn run(&self, pool: &Pool) -> Option<Wake>;
    /// Drops what is in there. It never begins then; if it runs, its thread drops the result. Returns whom to wake.
    fn give_up(&self) -> Option<Wake>;
    fn place(&self) -> &'static Location<'static>;
}

/// A job as the future that awaits it sees it.
trait Outcome<T>: Work {
    /// `None`: the job was given up.
    fn poll(&self, wake: Wake) -> Poll<Option<thread::Result<T>>>;
}

/// What the loop and a thread hand to each other: first the closure, then its result.
struct Packet<F, T> {
    state: Mutex<PacketState<F, T>>,
    place: &'static Location<'static>,
}

struct PacketState<F, T> {
    content: Content<F, T>,
    /// Whom to wake when it is done.
    wake: Option<Wake>,
}

enum Content<F, T> {
    Waiting(F),
    Running,
    Done(thread::Result<T>),
    /// The result was fetched, or nobody wants it.
    Over,
}

impl Pool {
    pub(crate) fn new(most: usize, shared: Arc<Shared>) -> Self {
        let state = State {
            lanes: Lanes::new(most),
            running: Vec::new(),
            threads: 0,
            idle: 0,
            blocked: BlockedThreads::default(),
            closed: false,
        };
        Pool { state: Mutex::new(state), changed: Condvar::new(), most, idle_for: IDLE, shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        self.state().lanes.len() >= FULL
    }

    /// Where the jobs that run were called, and where those that wait.
    pub(crate) fn under_way(
        &self,
    ) -> (Vec<&'static Location<'static>>, Vec<&'static Location<'static>>) {
        let state = self.state();
        (state.running.clone(), state.lanes.places())
    }

    /// Queues a job, and sees to it that some thread takes it. Returns its number in the queue.
    ///
    /// Only the loop's own thread calls this, so there is never more than one call under way.
    fn submit(self: &Arc<Self>, kind: Kind, work: Arc<dyn Work>) -> io::Result<u64> {
        let mut state = self.state();
        let (number, is_takeable) = state.lanes.push(kind, work);
        if !is_takeable {
            // Its lane is full. A thread that ends a job of that lane will take it.
            return Ok(number);
        }
        // Each job that could begin has notified an idle thread, as long as there are as many.
        if state.lanes.takeable() <= state.idle {
            drop(state);
            self.changed.notify_one();
        } else if state.threads < self.most {
            state.threads += 1;
            state.idle += 1;
            drop(state);
            if let Err(error) = self.start_thread() {
                let mut state = self.state();
                state.threads -= 1;
                state.idle -= 1;
                // Else some other thread will take it.
                if state.threads == 0 && state.lanes.remove(kind, number) {
                    return Err(error);
                }
            }
        }
        Ok(number)
    }

    fn start_thread(self: &Arc<Self>) -> io::Result<()> {
        let pool = Arc::clone(self);
        let thread = thread::Builder::new().name(THREAD.to_owned());
        match thread.spawn(move || pool.serve()) {
            Ok(_) => Ok(()),
            // The kernel's kind is `WouldBlock`, which would be misunderstood.
            Err(error) => {
                Err(io::Error::other(format!("no thread could be started for it: {error}")))
            }
        }
    }

    /// The life of a thread.
    ///
    /// It counts as idle only when it is about to sleep. So jobs that follow one another alternate between two threads,
    /// of which one tends to stand on the loop's processor: 14 µs a job, where one thread on the other processor, with
    /// both to be woken in turn, took 40 (measured with two processors of a virtual machine).
    fn serve(self: &Arc<Self>) {
        blocked::serves(self);
        let mut state = self.state();
        loop {
            state.idle -= 1;
            while let Some((kind, work)) = state.lanes.take() {
                state.running.push(work.place());
                drop(state);
                let wake = work.run(self);
                drop(work);
                self.tell_end(wake);
                state = self.state();
                state.lanes.end(kind);
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let nothing_to_do = |state: &mut State| state.lanes.takeable() == 0 && !state.closed;
            let waited = self.changed.wait_timeout_while(state, self.idle_for, nothing_to_do);
            let (got_up, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = got_up;
            if waited.timed_out() {
                state.idle -= 1;
                break;
            }
        }
        state.threads -= 1;
    }

    /// A job no longer runs. Called before anybody can see its end: a loop must not say that it left behind what it has
    /// seen to end.
    fn has_run(&self, place: &'static Location<'static>) {
        let mut state = self.state();
        if let Some(index) = state.running.iter().position(|running| *running == place) {
            state.running.swap_remove(index);
        }
    }

    /// Tells the loop that a job has ended, and wakes who awaits it: both at once, or the wake first. So a virtual
    /// clock cannot jump between them.
    fn tell_end(&self, wake: Option<Wake>) {
        let task = match wake {
            Some(Wake::Task(number)) if number.is_of(self.shared.id) => Some(number.packed()),
            Some(other) => {
                other.wake();
                None
            }
            None => None,
        };
        self.shared.job_ended(task);
    }
}

/// Whether this is a thread of some loop's pool. Asked for a panic's message only, so it may be slow, and its name is enough.
pub(crate) fn is_thread_of_pool() -> bool {
    thread::current().name() == Some(THREAD)
}

/// Drops the jobs of a loop that is being dropped, but for those that run: they are not waited for.
pub(crate) fn close() {
    let Some(pool) = Core::with(|core| Arc::clone(&core.pool)) else { return };
    let (waiting, running) = {
        let mut state = pool.state();
        state.closed = true;
        (state.lanes.clear(), state.running.clone())
    };
    pool.changed.notify_all();
    // In a forked child they do not run: their threads stayed with the parent.
    if !running.is_empty() && remote::is_of_this_process(pool.shared.id) {
        let count = running.len();
        observe::say(
            Level::Warn,
            observe::OFFLOAD,
            format_args!(
                "the event loop is dropped while {count} offloaded job{} still running, called at {}: not waited for, and what comes of it is dropped",
                if count == 1 { " is" } else { "s are" },
                places(running)
            ),
        );
    }
    for work in waiting {
        if let Some(wake) = work.give_up() {
            wake.wake();
        }
    }
}

/// Places in a log line: each once.
fn places(places: impl IntoIterator<Item = &'static Location<'static>>) -> String {
    let places: BTreeSet<_> = places.into_iter().collect();
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl<F, T> Packet<F, T> {
    fn state(&self) -> MutexGuard<'_, PacketState<F, T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F, T> Work for Packet<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self, pool: &Pool) -> Option<Wake> {
        let content = mem::replace(&mut self.state().content, Content::Running);
        let Content::Waiting(work) = content else {
            // Given up after the thread had taken it from the queue: nobody will ask what became of it.
            pool.has_run(self.place);
            return None;
        };
        let result = catch_unwind(AssertUnwindSafe(work));
        let mut state = self.state();
        if let Content::Running = state.content {
            pool.has_run(self.place);
            state.content = Content::Done(result);
            return state.wake.take();
        }
        drop(state);
        discard(result);
        pool.has_run(self.place);
        None
    }

    fn give_up(&self) -> Option<Wake> {
        let (content, wake) = {
            let mut state = self.state();
            (mem::replace(&mut state.content, Content::Over), state.wake.take())
        };
        discard(content);
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
    fn poll(&self, wake: Wake) -> Poll<Option<thread::Result<T>>> {
        let mut state = self.state();
        match mem::replace(&mut state.content, Content::Over) {
            Content::Done(result) => Poll::Ready(Some(result)),
            Content::Over => Poll::Ready(None),
            under_way => {
                state.content = under_way;
                let old = state.wake.replace(wake);
                drop(state);
                drop(old); // It may be foreign.
                Poll::Pending
            }
        }
    }
}

/// A job, in the hands of who awaits it. Dropping it, on any thread, gives the job up.
struct Job<T> {
    /// `None` once it is over.
    packet: Option<Arc<dyn Outcome<T>>>,
    /// Since it was submitted: where, and its number in that queue.
    queued: Option<(Arc<Pool>, u64)>,
    kind: Kind,
    shown: Shown,
    place: &'static Location<'static>,
}

impl<T: Send + 'static> Job<T> {
    fn new(
        kind: Kind,
        work: impl FnOnce() -> T + Send + 'static,
        place: &'static Location<'static>,
    ) -> Self {
        let state = PacketState { content: Content::Waiting(work), wake: None };
        Job {
            packet: Some(Arc::new(Packet { state: Mutex::new(state), place })),
            queued: None,
            kind,
            shown: Shown::NOTHING,
            place,
        }
    }

    /// Hands the job to the pool of the loop that runs here.
    #[track_caller]
    fn submit(&mut self, what: &str) -> io::Result<()> {
        let Some(packet) = &self.packet else { return Ok(()) };
        let work: Arc<dyn Work> = Arc::<dyn Outcome<T>>::clone(packet);
        let pool = Core::expect(what, |core| {
            if core.closing {
                return None;
            }
            core.jobs += 1;
            Some(Arc::clone(&core.pool))
        });
        let Some(pool) = pool else { return Err(is_closing()) };
        match pool.submit(self.kind, work) {
            Ok(number) => {
                self.queued = Some((pool, number));
                let place = self.place;
                observe::report(|| Step::Offload { place });
                Ok(())
            }
            Err(error) => {
                Core::with(|core| core.jobs -= 1);
                Err(error)
            }
        }
    }
}

impl<T> Job<T> {
    /// `None`: its loop was dropped before it began.
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<thread::Result<T>>> {
        if Core::with(|core| core.budget.may_go_on()) == Some(false) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(packet) = &self.packet else {
            panic!("headwaiter: an offloaded job was polled again after it was ready");
        };
        let Poll::Ready(result) = packet.poll(Wake::of(cx.waker())) else {
            if let Some(task) = TaskNumber::of(cx.waker()) {
                self.shown.wait(task, What::Outside(A_JOB), self.place);
            }
            let place = self.place;
            observe::report(|| Step::AwaitSync { what: A_JOB, place });
            return Poll::Pending;
        };
        self.packet = None;
        self.shown.end();
        Core::with(Core::spend);
        let place = self.place;
        observe::report(|| Step::Fetch { place });
        Poll::Ready(result)
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        let Some(packet) = self.packet.take() else { return };
        if let Some((pool, number)) = &self.queued {
            // The closure is dropped below, outside the lock.
            let never_begins = pool.state().lanes.remove(self.kind, *number);
            if never_begins {
                pool.shared.job_ended(None);
            }
            let place = self.place;
            observe::report(|| Step::Forget { place });
        }
        drop(packet.give_up());
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

/// Runs `work`, which may block, on a thread of the loop's pool, while the loop goes on.
///
/// The pool has [`Builder::blocking_threads`](crate::Builder::blocking_threads) threads at most, 64 by default. While
/// all of them are busy, jobs wait in a queue without end, first come, first served;
/// [`try_spawn_blocking`] has one with an end. For work that computes, as opposed to waiting, give the
/// loop no more threads than there are processors.
///
/// The job is a task like any other, and its [`JoinHandle`] the ordinary one. A panic in `work` is its
/// [`JoinError`]. [`abort`](JoinHandle::abort) drops `work` if it has not begun. If it has, the handle reports
/// that it is cancelled at once, but `work` runs to its end, for nobody can stop it; then its output is dropped, on
/// the pool's thread. The same goes for the drop of the loop, which waits for no job but logs, at `warn`,
/// where those that still run were called.
///
/// While a job is under way, a [virtual clock](crate::Clock::Virtual) stands still.
///
/// A job runs outside any event loop: [`spawn`](crate::spawn), timers, sockets and [`Handle::current`](crate::Handle::current) panic
/// there. To come back to the loop, take a [`Handle`](crate::Handle) along:
///
/// ```
/// headwaiter::block_on(async {
///     let handle = headwaiter::Handle::current();
///     let job = headwaiter::spawn_blocking(move || {
///         let on_the_loop = handle.spawn(|| async { 6 * 7 });
///         on_the_loop.wait().unwrap()
///     });
///     assert_eq!(job.await.unwrap(), 42);
/// });
/// ```
///
/// ```
/// headwaiter::block_on(async {
///     let digits = headwaiter::spawn_blocking(|| (1..=20_u64).product::<u64>().to_string());
///     assert_eq!(digits.await.unwrap(), "2432902008176640000");
/// });
/// ```
///
/// # Errors
///
/// The handle gives an error with [`is_not_started`](JoinError::is_not_started) if the system refuses to start a
/// thread (there are too many, or there is no memory for one) and the pool has no other that would take the job in
/// its turn.
///
/// # Panics
///
/// Outside any event loop.
#[track_caller]
pub fn spawn_blocking<F, T>(work: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let place = Location::caller();
    let mut job = Job::new(Kind::Job, work, place);
    let submitted = job.submit("`spawn_blocking`");
    let task = task::spawn_at(Offloaded(job), None, place);
    if let (Err(error), Some(slot)) = (submitted, task.slot()) {
        observe::report(|| Step::Abort { task: Id::new(slot) });
        task::give_up(slot, |origin| JoinError::not_started(origin, error));
    }
    task
}

/// As [`spawn_blocking`], but gives `work` back if 1,024 jobs wait for a thread already.
///
/// ```
/// headwaiter::block_on(async {
///     match headwaiter::try_spawn_blocking(|| std::fs::metadata(".").is_ok()) {
///         Ok(task) => assert!(task.await.unwrap()),
///         Err(_work) => println!("too much to do, come back later"),
///     }
/// });
/// ```
///
/// # Errors
///
/// `work` itself.
///
/// # Panics
///
/// Outside any event loop.
#[track_caller]
pub fn try_spawn_blocking<F, T>(work: F) -> Result<JoinHandle<T>, F>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if Core::expect("`try_spawn_blocking`", |core| core.pool.is_full()) {
        return Err(work);
    }
    Ok(spawn_blocking(work))
}

/// The future of a job that is a task.
struct Offloaded<T>(Job<T>);

impl<T> Future for Offloaded<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.0.poll(cx) {
            Poll::Ready(Some(Ok(output))) => Poll::Ready(output),
            // The task's panic, then.
            Poll::Ready(Some(Err(payload))) => resume_unwind(payload),
            // The loop is being dropped, and this task with it.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{block_on, spawn};
    use std::sync::mpsc;

    fn with_pool<R>(look: impl FnOnce(&mut Arc<Pool>) -> R) -> R {
        Core::with(|core| look(&mut core.pool)).expect("a loop runs")
    }

    /// Threads, jobs that run, and jobs that wait.
    fn counts() -> (usize, usize, usize) {
        with_pool(|pool| {
            let state = pool.state();
            (state.threads, state.running.len(), state.lanes.len())
        })
    }

    fn jobs() -> usize {
        Core::with(|core| core.jobs).expect("a loop runs")
    }

    /// Lets the loop and the other threads go on until it is so.
    async fn until(mut is_so: impl FnMut() -> bool) {
        let start = std::time::Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(60), "it never is so");
            thread::yield_now();
            task::yield_now().await;
        }
    }

    #[test]
    fn a_thread_retires_when_idle_and_another_is_started_when_needed() {
        block_on(async {
            with_pool(|pool| {
                Arc::get_mut(pool).expect("no thread has it yet").idle_for =
                    Duration::from_millis(1)
            });
            for _ in 0..3 {
                let together: Vec<_> =
                    (0..4).map(|_| spawn_blocking(|| thread::current().id())).collect();
                for job in together {
                    job.await.unwrap();
                }
                until(|| counts().0 == 0).await;
            }
        });
    }

    #[test]
    fn idle_threads_are_used_before_another_is_started() {
        block_on(async {
            with_pool(|pool| {
                Arc::get_mut(pool).expect("no thread has it yet").idle_for = Duration::MAX
            });
            for _ in 0..100 {
                let together = Arc::new(std::sync::Barrier::new(4));
                let jobs = (0..4)
                    .map(|_| Arc::clone(&together))
                    .map(|together| spawn_blocking(move || together.wait()));
                let jobs: Vec<_> = jobs.collect();
                for job in jobs {
                    job.await.unwrap();
                }
                until(|| with_pool(|pool| pool.state().idle) == 4).await;
                assert_eq!(counts(), (4, 0, 0));
            }
        });
    }

    #[test]
    fn idle_threads_end_with_their_loop() {
        let mut event_loop = crate::EventLoop::new().unwrap();
        let pool = event_loop.block_on(async {
            with_pool(|pool| {
                Arc::get_mut(pool).expect("no thread has it yet").idle_for = Duration::MAX
            });
            let jobs: Vec<_> = (0..8).map(|_| spawn_blocking(|| ())).collect();
            for job in jobs {
                job.await.unwrap();
            }
            assert!(counts().0 > 0);
            with_pool(|pool| Arc::clone(pool))
        });
        drop(event_loop);
        let start = std::time::Instant::now();
        while Arc::strong_count(&pool) > 1 {
            assert!(start.elapsed() < Duration::from_secs(60), "some thread lives on");
            thread::yield_now();
        }
    }

    #[test]
    fn a_hundred_thousand_jobs_leave_nothing_behind() {
        block_on(async {
            for round in 0..100 {
                let mut tasks: Vec<_> = (0..1000).map(|n| spawn_blocking(move || n)).collect();
                // Some are detached, some aborted, some awaited.
                tasks.truncate(800);
                for task in &tasks[..100] {
                    task.abort();
                }
                for (n, task) in tasks.into_iter().enumerate().skip(round) {
                    match task.await {
                        Ok(output) => assert_eq!(output, n),
                        Err(error) => assert!(error.is_cancelled() && n < 100, "{error}"),
                    }
                }
            }
            until(|| jobs() == 0).await;
            let (threads, running, waiting) = counts();
            assert!(threads <= THREADS, "{threads}");
            assert_eq!((running, waiting), (0, 0));
            // Of tasks, only the main future is left, and those that were detached have ended.
            until(|| Core::with(|core| core.tasks.count()) == Some(1)).await;
        });
    }

    #[test]
    fn a_run_that_is_dropped_before_it_has_begun_leaves_the_queue_at_once() {
        let mut event_loop = crate::EventLoop::builder().blocking_threads(1).build().unwrap();
        event_loop.block_on(async {
            let (end, ends) = mpsc::channel::<()>();
            let held = spawn_blocking(move || ends.recv());
            until(|| counts() == (1, 1, 0)).await;
            let place = Location::caller();
            for _ in 0..10_000 {
                let mut run = run(|| unreachable!("it was dropped"), place);
                run.start();
                assert_eq!(counts(), (1, 1, 1));
                drop(run);
                assert_eq!(counts(), (1, 1, 0));
            }
            // Made and never started, it was never there.
            drop(run(|| unreachable!("it was dropped"), place));
            until(|| jobs() == 1).await;
            drop(end);
            assert!(held.await.unwrap().is_err());
        });
    }

    #[test]
    fn a_run_that_was_started_is_done_before_it_is_polled() {
        block_on(async {
            let (done, is_done) = mpsc::channel();
            let mut run = run(
                move || {
                    done.send(()).unwrap();
                    5
                },
                Location::caller(),
            );
            run.start();
            run.start();
            is_done.recv().unwrap();
            // Its end is known, though nobody polls it: a virtual clock may go on.
            until(|| jobs() == 0).await;
            assert_eq!(run.await.unwrap(), 5);
        });
    }

    /// As a resolver that does not answer makes them.
    #[test]
    fn slow_look_ups_leave_half_of_the_threads_to_files_and_jobs() {
        for (threads, look_ups) in [(2, 1), (3, 1), (4, 2), (64, 32)] {
            let mut event_loop =
                crate::EventLoop::builder().blocking_threads(threads).build().unwrap();
            event_loop.block_on(async {
                let (answer, answers) = mpsc::channel::<()>();
                let answers = Arc::new(Mutex::new(answers));
                let place = Location::caller();
                let asking: Vec<_> = (0..200)
                    .map(|n| {
                        let answers = Arc::clone(&answers);
                        let ask = move || {
                            let _ = answers.lock().unwrap().recv();
                            n
                        };
                        spawn(async move { look_up(ask, place).await.unwrap() })
                    })
                    .collect();
                until(|| counts() == (look_ups, look_ups, 200 - look_ups)).await;
                assert!(
                    crate::fs::read_to_string("Cargo.toml").await.unwrap().contains("headwaiter")
                );
                // All the other threads at once.
                let together = Arc::new(std::sync::Barrier::new(threads - look_ups));
                let jobs: Vec<_> = (0..threads - look_ups)
                    .map(|_| Arc::clone(&together))
                    .map(|together| spawn_blocking(move || together.wait()))
                    .collect();
                for job in jobs {
                    job.await.unwrap();
                }
                until(|| counts().1 == look_ups).await;
                assert_eq!(counts(), (threads, look_ups, 200 - look_ups));
                // One that is no longer wanted leaves its lane.
                asking[199].abort();
                until(|| counts().2 == 199 - look_ups).await;
                drop(answer);
                for (n, asked) in asking.into_iter().enumerate().take(199) {
                    assert_eq!(asked.await.unwrap(), n);
                }
                assert_eq!(counts().0, threads);
            });
        }
    }

    #[test]
    fn a_single_thread_takes_look_ups_and_jobs_in_the_order_of_their_arrival() {
        let mut event_loop = crate::EventLoop::builder().blocking_threads(1).build().unwrap();
        event_loop.block_on(async {
            let (end, ends) = mpsc::channel::<()>();
            let held = spawn_blocking(move || ends.recv());
            let order = Arc::new(Mutex::new(Vec::new()));
            let place = Location::caller();
            let mut runs: Vec<Run<()>> = Vec::new();
            for n in 0..20 {
                let order = Arc::clone(&order);
                let work = move || order.lock().unwrap().push(n);
                let mut run = if n % 3 == 0 { look_up(work, place) } else { run(work, place) };
                run.start();
                runs.push(run);
            }
            drop(end);
            assert!(held.await.unwrap().is_err());
            for run in runs {
                run.await.unwrap();
            }
            assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
        });
    }

    #[test]
    fn a_panic_in_a_run_goes_on_in_who_awaits_it() {
        block_on(async {
            let place = Location::caller();
            let task = spawn(async move { run(|| panic!("on fire"), place).await });
            let error = task.await.unwrap_err();
            assert!(error.is_panic() && error.to_string().contains("on fire"), "{error}");
        });
    }

    #[test]
    fn more_runs_than_threads_all_get_their_turn() {
        let mut event_loop = crate::EventLoop::builder().blocking_threads(2).build().unwrap();
        event_loop.block_on(async {
            let place = Location::caller();
            let tasks: Vec<_> = (0..1000)
                .map(|n| spawn(async move { run(move || n, place).await.unwrap() }))
                .collect();
            for (n, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), n);
            }
            let (threads, ..) = counts();
            assert!(threads <= 2, "{threads}");
        });
    }
}
