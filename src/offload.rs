//! Work for other threads: [`spawn_blocking`] for users, [`run`] for files, and [`look_up`] for
//! host names. The jobs of a loop go to its [pool](crate::state::pool).

pub(crate) mod blocked;
mod job;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use log::Level;

use self::job::Job;
pub(crate) use self::job::{Run, look_up, run};
use crate::door::Door;
use crate::state::{JoinError, Kind, OFFLOAD, Slot, is_of_this_process, places, say};
use crate::task::{AbortHandle, JoinHandle, JoinSet, spawn_at};

/// Runs `work`, which may block, on a thread of the loop's pool, while the loop continues.
///
/// The pool has [`Builder::blocking_threads`](crate::Builder::blocking_threads) threads at most, 64
/// by default. While all of them are busy, jobs wait in an unbounded FIFO queue;
/// [`try_spawn_blocking`] limits its length. For work that computes instead of waiting, give the
/// loop no more threads than there are processors.
///
/// The job is a task like any other, with an ordinary [`JoinHandle`]. A panic in `work` becomes its
/// [`JoinError`]. [`abort`](JoinHandle::abort) drops `work` if it has not begun. If it has, the
/// handle reports at once that the task is cancelled, but `work` runs to its end, because nothing
/// can stop it; its output is then dropped on the pool's thread. The same holds when the loop is
/// dropped: it waits for no job, but logs at `warn` where the running ones were called.
///
/// While a job is in flight, a [virtual clock](crate::Clock::Virtual) stands still.
///
/// A job runs outside any event loop: [`spawn`](crate::spawn), timers, sockets and
/// [`Handle::current`](crate::Handle::current) panic there. To come back to the loop, take a
/// [`Handle`](crate::Handle) along:
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
/// The handle gives an error with [`is_not_started`](JoinError::is_not_started) if the system
/// refuses to start a thread (there are too many, or no memory is left for one) and the pool has no
/// other thread that would take the job.
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
    let task = spawn_at(Offloaded(job), None, place);
    fail_unless(submitted, task.slot());
    task
}

impl<T: Send + 'static> JoinSet<T> {
    /// Runs `work` as [`spawn_blocking`] does, as a task of this set. Aborting the task follows the
    /// rules given there.
    ///
    /// ```
    /// use headwaiter::task::JoinSet;
    ///
    /// headwaiter::block_on(async {
    ///     let mut sums = JoinSet::new();
    ///     sums.spawn_blocking(|| (1..=100).sum::<u32>());
    ///     assert_eq!(sums.join_next().await.unwrap().unwrap(), 5050);
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, work: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
    {
        const NAME: &str = "`JoinSet::spawn_blocking`";
        // Before the job is submitted, because this may panic.
        self.bind(NAME);
        let place = Location::caller();
        let mut job = Job::new(Kind::Job, work, place);
        let submitted = job.submit(NAME);
        let task = self.spawn_at(Offloaded(job), None, place);
        fail_unless(submitted, task.slot());
        task
    }
}

/// Ends the task of a job that could not be submitted.
fn fail_unless(submitted: io::Result<()>, task: Option<Slot>) {
    if let (Err(error), Some(slot)) = (submitted, task)
        && let Some(mut door) = Door::open()
    {
        door.fail(slot, |origin| JoinError::not_started(origin, error));
    }
}

/// Offloads like [`spawn_blocking`], but returns `work` if 1,024 jobs already wait for a thread.
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
/// Returns `work` itself if the queue is full.
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
    if Door::expect("`try_spawn_blocking`").pool.is_full() {
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
            // The panic continues as a panic of the task, and so becomes its `JoinError`.
            Poll::Ready(Some(Err(payload))) => resume_unwind(payload),
            // `None`: the loop is being dropped, and this task with it, so nothing polls it again.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Cancels the jobs of a loop that is being dropped, except for running jobs. Does not wait for
/// those.
pub(crate) fn close() {
    let Some(pool) = Door::open().map(|door| Arc::clone(&door.pool)) else { return };
    let left = pool.close();
    // In a forked child no job runs, because the threads stayed with the parent.
    if !left.running.is_empty() && is_of_this_process(pool.shared.id) {
        let count = left.running.len();
        say(
            Level::Warn,
            OFFLOAD,
            format_args!(
                "the event loop is dropped while {count} offloaded job{} still running, called at {}: not waited for, and what comes of it is dropped",
                if count == 1 { " is" } else { "s are" },
                places(left.running)
            ),
        );
    }
    for work in left.waiting {
        if let Some(wake) = work.cancel() {
            wake.wake();
        }
    }
}
