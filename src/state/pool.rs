//! The thread pool of a loop, for work that has no readiness to wait for. It has a queue of jobs,
//! starts a thread when a job finds none idle, and ends threads that stay idle. `offload.rs`
//! submits the jobs. The threads never touch data of the loop's own thread: the end of a job
//! reaches the loop through its inbox, together with the wakeup of the task that awaits it.

use std::cell::RefCell;
use std::io;
use std::panic::Location;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::blocked::BlockedThreads;
use super::lanes::{Kind, Lanes};
use super::number::Wake;
use super::shared::{Shared, wake_from_other_thread};

/// The default limit of threads. It may exceed the number of processors, because a thread that
/// waits for a disk uses no processor.
pub(crate) const THREADS: usize = 64;

/// [`try_spawn_blocking`](crate::try_spawn_blocking) returns its closure when this many jobs wait.
const FULL: usize = 1024;

/// A thread that has been idle for this long ends.
const IDLE: Duration = Duration::from_secs(10);

/// The name of each thread.
const THREAD: &str = "headwaiter-blocking";

thread_local! {
    /// The pool that this thread belongs to.
    static POOL: RefCell<Weak<Pool>> = const { RefCell::new(Weak::new()) };
}

/// The pool of one loop, shared by the loop and the threads.
pub(crate) struct Pool {
    /// May be locked while a job's [result slot](super::result_slot) is locked, but not the other
    /// way round, to avoid a lock-order deadlock.
    state: Mutex<PoolState>,
    /// Notified for each job that an idle thread can take, and when the pool closes.
    changed: Condvar,
    /// The maximum number of threads.
    most: usize,
    pub(crate) idle_for: Duration,
    /// The inbox that receives the end of each job.
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct PoolState {
    pub(crate) lanes: Lanes,
    /// Where the running jobs were called, for a dump and for the log line when the loop is
    /// dropped.
    pub(crate) running: Vec<&'static Location<'static>>,
    pub(crate) threads: usize,
    /// How many threads wait for a job or were just started for one. Includes a notified thread
    /// that is not awake yet; the queue still counts its job too.
    pub(crate) idle: usize,
    /// The threads that wait for tasks of the loop.
    pub(crate) blocked: BlockedThreads,
    /// The loop is being dropped, and no more jobs come.
    closed: bool,
}

/// A job as the threads see it.
pub(crate) trait Work: Send + Sync {
    /// Runs the job. Returns what to wake.
    fn run(&self, pool: &Pool) -> Option<Wake>;
    /// Cancels the job and drops its closure or its result. If the job is running, its thread drops
    /// the result. Returns what to wake.
    fn cancel(&self) -> Option<Wake>;
    fn place(&self) -> &'static Location<'static>;
}

/// The jobs that remain in a closed pool.
pub(crate) struct Left {
    /// Jobs that have not begun, to be [cancelled](Work::cancel).
    pub(crate) waiting: Vec<Arc<dyn Work>>,
    /// Where the running jobs were called. The loop does not wait for them.
    pub(crate) running: Vec<&'static Location<'static>>,
}

impl Pool {
    pub(crate) fn new(most: usize, shared: Arc<Shared>) -> Self {
        let state = PoolState {
            lanes: Lanes::new(most),
            running: Vec::new(),
            threads: 0,
            idle: 0,
            blocked: BlockedThreads::default(),
            closed: false,
        };
        Pool { state: Mutex::new(state), changed: Condvar::new(), most, idle_for: IDLE, shared }
    }

    /// Returns the pool that the calling thread belongs to.
    pub(crate) fn of_this_thread() -> Option<Arc<Pool>> {
        POOL.with_borrow(Weak::upgrade)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lock().lanes.len() >= FULL
    }

    /// Returns where the running and the waiting jobs were called.
    pub(crate) fn places(&self) -> [Vec<&'static Location<'static>>; 2] {
        let state = self.lock();
        [state.running.clone(), state.lanes.places()]
    }

    /// Queues a job and makes sure that a thread takes it. Returns the number of the job.
    ///
    /// Only the loop's own thread calls this, so there is never more than one call at a time.
    pub(crate) fn submit(self: &Arc<Self>, kind: Kind, work: Arc<dyn Work>) -> io::Result<u64> {
        let mut state = self.lock();
        let (number, is_takeable) = state.lanes.push(kind, work);
        if !is_takeable {
            // The job's lane is at its limit, so a thread that finishes a job of that lane takes
            // this one.
            return Ok(number);
        }
        // Each job that can begin has an idle thread of its own, so no new thread is needed.
        if state.lanes.takeable() <= state.idle {
            drop(state);
            self.changed.notify_one();
        } else if state.threads < self.most {
            state.threads += 1;
            state.idle += 1;
            drop(state);
            if let Err(error) = self.start_thread() {
                let mut state = self.lock();
                state.threads -= 1;
                state.idle -= 1;
                // With other threads, one of them takes the job later, so the failure does not
                // matter.
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
            // The kernel's error is of kind `WouldBlock`, which would make callers retry.
            Err(error) => {
                Err(io::Error::other(format!("no thread could be started for it: {error}")))
            }
        }
    }

    /// Runs a thread of the pool.
    ///
    /// The thread counts as idle only when it is about to sleep. So consecutive jobs alternate
    /// between two threads, one of which tends to run on the loop's processor. That takes 14 µs per
    /// job. A single thread on the other processor, which has to be woken for each job, took 40 µs
    /// (two virtual processors).
    fn serve(self: &Arc<Self>) {
        POOL.set(Arc::downgrade(self));
        let mut state = self.lock();
        loop {
            state.idle -= 1;
            while let Some((kind, work)) = state.lanes.take() {
                state.running.push(work.place());
                drop(state);
                let wake = work.run(self);
                drop(work);
                self.report_end(wake);
                state = self.lock();
                state.lanes.end(kind);
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let nothing_to_do =
                |state: &mut PoolState| state.lanes.takeable() == 0 && !state.closed;
            let waited = self.changed.wait_timeout_while(state, self.idle_for, nothing_to_do);
            let (relocked, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = relocked;
            if waited.timed_out() {
                state.idle -= 1;
                break;
            }
        }
        state.threads -= 1;
    }

    /// Removes a job that has run from the running jobs. Called before its end is visible, so that
    /// a loop that has seen the end does not report the job as running when it is dropped.
    pub(crate) fn has_run(&self, place: &'static Location<'static>) {
        let mut state = self.lock();
        if let Some(index) = state.running.iter().position(|running| *running == place) {
            state.running.swap_remove(index);
        }
    }

    /// Reports the end of a job to the loop and wakes the task that awaits it. Both happen at once,
    /// or the wakeup comes first, so that a virtual clock cannot jump in between.
    fn report_end(&self, wake: Option<Wake>) {
        let task = match wake {
            Some(Wake::Task(number)) if number.is_of(self.shared.id) => Some(number),
            Some(other) => {
                wake_from_other_thread(other);
                None
            }
            None => None,
        };
        self.shared.job_ended(task);
    }

    /// Removes a job that has not begun from the queue. Returns `false` if it has begun or was
    /// removed before.
    pub(crate) fn remove(&self, kind: Kind, number: u64) -> bool {
        self.lock().lanes.remove(kind, number)
    }

    pub(crate) fn close(&self) -> Left {
        let mut state = self.lock();
        state.closed = true;
        let left = Left { waiting: state.lanes.clear(), running: state.running.clone() };
        drop(state);
        self.changed.notify_all();
        left
    }
}

/// Returns whether the calling thread belongs to a pool. Checking the thread's name is enough,
/// because only a panic message depends on it.
pub(crate) fn is_pool_thread() -> bool {
    thread::current().name() == Some(THREAD)
}
