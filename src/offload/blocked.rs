//! Detects a pool whose threads all wait, in [`RemoteHandle::wait`](crate::RemoteHandle::wait), for
//! tasks of their own loop that need queued jobs. Such a pool waits forever, and a warning says so.
//! `RemoteHandle::wait` calls it; the waiting threads do the check, so it costs nothing elsewhere.

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;

use super::job::A_JOB;
use crate::door::Door;
use crate::observe::stuck::can_only_wait_for;
use crate::state::{
    Deadlock, Message, OFFLOAD, Pool, PoolState, Shared, Slot, places, plural, say,
};

/// The wait of a pool thread for a task of the pool's own loop. Dropping it ends the wait.
pub(crate) struct Blocked {
    pool: Arc<Pool>,
    number: u64,
}

/// How often a waiting thread checks for this deadlock.
pub(crate) const CHECK_AFTER: Duration = Duration::from_secs(1);

/// Records that this thread begins to wait for a task of that loop. Returns `None` if the thread
/// belongs to no pool, or to the pool of another loop.
pub(crate) fn begin(home: &Shared, place: &'static Location<'static>) -> Option<Blocked> {
    let pool = Pool::of_this_thread().filter(|pool| pool.shared.id == home.id)?;
    let number = pool.lock().blocked.begin(place);
    Some(Blocked { pool, number })
}

impl Blocked {
    /// Checks whether all threads wait for their own loop. Called after each [`CHECK_AFTER`] of
    /// waiting for `task`, which is known by then if the loop has spawned it, because the loop has
    /// handled earlier messages. Asks the loop what the tasks wait for, because only the loop's own
    /// thread can read that.
    pub(crate) fn check(&self, task: Option<Slot>) {
        let mut state = self.pool.lock();
        if let Some(wait) = state.blocked.waits.get_mut(&self.number) {
            wait.task = task;
        }
        // One check covers the tasks of all threads, so the threads share one interval.
        let is_due = state.blocked.checked.is_none_or(|checked| checked.elapsed() >= CHECK_AFTER);
        if is_due && all_wait(&state).is_some() {
            state.blocked.checked = Some(Instant::now());
            drop(state);
            let pool = Arc::clone(&self.pool);
            self.pool.shared.send(Message::Run(Box::new(move || report(&pool))));
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.pool.lock().blocked.end(self.number);
    }
}

/// Returns the tasks for which all threads wait while jobs are queued. Returns `None` if a thread
/// is not waiting, or has not named its task yet, or if this was reported already.
fn all_wait(state: &PoolState) -> Option<Vec<Slot>> {
    let is_none_free = state.blocked.waits.len() == state.threads && state.lanes.len() > 0;
    if is_none_free && !state.blocked.reported { state.blocked.tasks() } else { None }
}

/// Reports the deadlock if it is real. Runs on the loop's own thread, after all earlier messages.
fn report(pool: &Pool) {
    let Some(door) = Door::open() else { return };
    let mut state = pool.lock();
    let Some(tasks) = all_wait(&state) else { return };
    // A task that can continue without the pool, for instance after a timer, ends the wait of its
    // thread, which then takes a job. So this is no deadlock.
    if door.deadlock == Deadlock::Ignore || !can_only_wait_for(&door, &tasks, A_JOB) {
        return;
    }
    state.blocked.reported = true;
    let (threads, jobs) = (state.threads, state.lanes.len());
    let text = format!(
        "the pool waits for itself: {} `RemoteHandle::wait` for tasks of the loop, at {}, which wait for {jobs} queued job{}, called at {}, and no thread is left to run {}. Give the loop more `blocking_threads`, or do not wait for a task in a job: `.await` it in another task",
        if threads == 1 {
            "its one thread is in".to_owned()
        } else {
            format!("all its {threads} threads are in")
        },
        places(state.blocked.waits.values().map(|wait| wait.place)),
        plural(jobs),
        places(state.lanes.places()),
        if jobs == 1 { "it" } else { "them" },
    );
    drop(state);
    drop(door);
    say(Level::Warn, OFFLOAD, format_args!("{text}"));
}
