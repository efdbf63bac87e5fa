//! Threads of the pool that wait for tasks of their own loop, in
//! [`RemoteHandle::wait`](crate::RemoteHandle::wait). If all of them do, and their tasks wait for queued jobs,
//! they wait for ever: that is reported. The waiting threads check it themselves, so nothing else pays for it.

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

/// A thread that waits for a task of the loop whose pool it belongs to. The drop ends the wait.
pub(crate) struct Blocked {
    pool: Arc<Pool>,
    number: u64,
}

/// How often a waiting thread checks whether it waits in vain.
pub(crate) const CHECK_AFTER: Duration = Duration::from_secs(1);

/// This thread begins to wait for a task of that loop. `None`: it belongs to no pool, or to another loop's.
pub(crate) fn begin(home: &Shared, place: &'static Location<'static>) -> Option<Blocked> {
    let pool = Pool::of_this_thread().filter(|pool| pool.shared.id == home.id)?;
    let number = pool.lock().blocked.begin(place);
    Some(Blocked { pool, number })
}

impl Blocked {
    /// The thread has waited for [`CHECK_AFTER`] for this task. What happened before it began to wait has
    /// reached the loop by then, so the task is known if the loop has made it. If all threads have, the loop is
    /// asked what their tasks wait for: only its own thread can tell.
    pub(crate) fn check(&self, task: Option<Slot>) {
        let mut state = self.pool.lock();
        if let Some(wait) = state.blocked.waits.get_mut(&self.number) {
            wait.task = task;
        }
        // Many threads wait, but one check is enough: it looks at all tasks.
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

/// The tasks for which all threads wait while jobs are queued. `None`: a thread does something else, or did
/// so a moment ago, or this was reported already.
fn all_wait(state: &PoolState) -> Option<Vec<Slot>> {
    let is_none_free = state.blocked.waits.len() == state.threads && state.lanes.len() > 0;
    if is_none_free && !state.blocked.reported { state.blocked.tasks() } else { None }
}

/// Runs on the loop's own thread, which has taken all messages that were sent before.
fn report(pool: &Pool) {
    let Some(door) = Door::open() else { return };
    let mut state = pool.lock();
    let Some(tasks) = all_wait(&state) else { return };
    // A task that can go on without the pool, say by a timer, ends the wait of its thread, which then takes a
    // job.
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
