//! Threads of a pool that wait for tasks of the pool's own loop, in [`RemoteHandle::wait`](crate::RemoteHandle::wait). If all do, and
//! their tasks wait for jobs that are queued, none of them will ever go on: that is reported. The threads themselves look,
//! while they wait, so that nothing else pays for it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use log::Level;

use super::{A_JOB, Pool};
use crate::core::Core;
use crate::observe::stuck::{self, Deadlock};
use crate::observe::{self, plural};
use crate::remote::{Message, Shared};
use crate::slots::Slot;

thread_local! {
    /// Of which pool this thread is.
    static POOL: RefCell<Weak<Pool>> = const { RefCell::new(Weak::new()) };
}

/// Called once by each thread of a pool.
pub(super) fn serves(pool: &Arc<Pool>) {
    POOL.set(Arc::downgrade(pool));
}

/// The threads of a pool that wait for tasks of the pool's own loop. Under the pool's lock.
#[derive(Default)]
pub(super) struct BlockedThreads {
    waits: BTreeMap<u64, ThreadWait>,
    begun: u64,
    /// When the loop was last asked to look what they wait for.
    looked: Option<Instant>,
    /// That all wait in vain was reported, and none has gone on since.
    reported: bool,
}

struct ThreadWait {
    /// Where it called `wait`.
    place: &'static Location<'static>,
    /// For which task. Known when the thread has waited for [`PATIENCE`]: what happened before it began to wait has reached the
    /// loop by then.
    task: Option<Slot>,
}

/// As long as this thread waits for a task of the loop whose pool it is of.
pub(crate) struct Blocked {
    pool: Arc<Pool>,
    number: u64,
}

/// How often a thread that waits looks whether it waits in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// This thread begins to wait for a task of that loop. `None`: it is of no pool, or of another loop's.
pub(crate) fn begin(home: &Shared, place: &'static Location<'static>) -> Option<Blocked> {
    let pool = POOL.with_borrow(Weak::upgrade)?;
    if pool.shared.id != home.id {
        return None;
    }
    let number = {
        let mut state = pool.state();
        state.blocked.begun += 1;
        let number = state.blocked.begun;
        state.blocked.waits.insert(number, ThreadWait { place, task: None });
        number
    };
    Some(Blocked { pool, number })
}

impl Blocked {
    /// It has waited for [`PATIENCE`], for this task. If all threads have, the loop is to look what their tasks wait for: only
    /// its own thread can.
    pub(crate) fn look(&self, task: Option<Slot>) {
        let ask = {
            let mut state = self.pool.state();
            if let Some(wait) = state.blocked.waits.get_mut(&self.number) {
                wait.task = task;
            }
            // Many threads wait, but one look is enough: it goes through all tasks.
            let is_time = state.blocked.looked.is_none_or(|looked| looked.elapsed() >= PATIENCE);
            let ask = is_time && state.all_wait().is_some();
            if ask {
                state.blocked.looked = Some(Instant::now());
            }
            ask
        };
        if ask {
            let pool = Arc::clone(&self.pool);
            self.pool.shared.send(Message::Run(Box::new(move || report(&pool))));
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.blocked.waits.remove(&self.number);
        state.blocked.reported = false;
    }
}

impl super::State {
    /// The tasks for which all threads wait while jobs are queued. `None`: some thread does something else, or may have done
    /// so a moment ago, or it was reported already.
    fn all_wait(&self) -> Option<Vec<Slot>> {
        let no_thread_is_free = self.blocked.waits.len() == self.threads && self.lanes.len() > 0;
        if !no_thread_is_free || self.blocked.reported {
            return None;
        }
        self.blocked.waits.values().map(|wait| wait.task).collect()
    }
}

/// On the loop's own thread, with its mail taken in.
fn report(pool: &Pool) {
    let text = Core::with(|core| {
        let mut state = pool.state();
        let tasks = state.all_wait()?;
        // A task that may go on without the pool, say by a timer, ends the wait of its thread, which then takes a job.
        if core.deadlock == Deadlock::Ignore || !stuck::can_only_wait_for(core, tasks, A_JOB) {
            return None;
        }
        state.blocked.reported = true;
        let (threads, jobs) = (state.threads, state.lanes.len());
        Some(format!(
            "the pool waits for itself: {} `RemoteHandle::wait` for tasks of the loop, at {}, which wait for {jobs} queued job{}, called at {}, and no thread is left to run {}. Give the loop more `blocking_threads`, or do not wait for a task in a job: `.await` it in another task",
            if threads == 1 {
                "its one thread is in".to_owned()
            } else {
                format!("all its {threads} threads are in")
            },
            super::places(state.blocked.waits.values().map(|wait| wait.place)),
            plural(jobs),
            super::places(state.lanes.places()),
            if jobs == 1 { "it" } else { "them" },
        ))
    });
    if let Some(text) = text.flatten() {
        observe::say(Level::Warn, observe::OFFLOAD, format_args!("{text}"));
    }
}
