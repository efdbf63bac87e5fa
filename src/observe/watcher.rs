//! The stall watcher: a thread that reports a stall while it lasts, for a loop that may not come
//! back. The builder starts it, and the loop wakes it after each sleep. It only reads the loop's
//! atomics and never touches its state.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use log::Level;

use crate::state::{LOOP, QUIET_FOR, Shared, published, say};

/// The owner of the watcher's thread, which checks whether the loop still turns. The thread sleeps
/// while the loop sleeps.
pub(crate) struct Watcher {
    thread: Thread,
    is_parked: Arc<AtomicBool>,
}

impl Watcher {
    /// Starts the thread. `threshold` is how long a turn may keep the loop busy.
    pub(crate) fn start(shared: &Arc<Shared>, threshold: Duration) -> io::Result<Self> {
        let is_parked = Arc::new(AtomicBool::new(false));
        let watch = {
            let (shared, is_parked) = (Arc::clone(shared), Arc::clone(&is_parked));
            move || watch(&shared, &is_parked, threshold)
        };
        let thread = thread::Builder::new().name("headwaiter-watcher".to_owned()).spawn(watch)?;
        Ok(Watcher { thread: thread.thread().clone(), is_parked })
    }

    /// Wakes the thread when the loop continues after a sleep.
    pub(crate) fn wake(&self) {
        // Usually the thread has not parked since the last call, so no system call is needed.
        if self.is_parked.swap(false, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

impl Drop for Watcher {
    /// Unparks the thread, which finds that the loop is gone and ends. It is not joined.
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

/// The body of the thread.
fn watch(shared: &Shared, is_parked: &AtomicBool, threshold: Duration) {
    let (mut last, mut since, mut is_reported) = (None, Instant::now(), false);
    let mut reported_at: Option<Instant> = None;
    while !shared.is_closed() {
        let now = (shared.polled.load(Ordering::Relaxed), shared.turns.load(Ordering::Relaxed));
        // Any progress, a poll or a turn, restarts the measurement.
        if last != Some(now) {
            (last, since, is_reported) = (Some(now), Instant::now(), false);
        }
        if shared.sleeps.load(Ordering::Acquire) {
            is_parked.store(true, Ordering::Release);
            // The loop, or its end, unparks this thread. If the loop continued just before
            // `is_parked` was set, it does not; then the timeout is soon enough.
            if shared.sleeps.load(Ordering::Acquire) {
                thread::park_timeout(LONGEST_SLEEP);
            }
            last = None;
            continue;
        }
        let blocked = since.elapsed();
        // One report per stall, and none soon after another, so that the log stays readable.
        let quiet = reported_at.is_some_and(|at| at.elapsed() < Duration::from_nanos(QUIET_FOR));
        if blocked >= threshold && !is_reported && !quiet {
            (is_reported, reported_at) = (true, Some(Instant::now()));
            report(now.0, blocked);
        }
        thread::park_timeout((threshold / 4).max(SHORTEST_CHECK));
    }
}

/// How long the thread stays parked before it checks whether the loop still sleeps.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The shortest interval between two checks. Shorter ones would keep a processor busy.
const SHORTEST_CHECK: Duration = Duration::from_millis(1);

/// Logs the stall, with the task that is being polled.
fn report(polled: u64, blocked: Duration) {
    let culprit = match published(polled) {
        Some(task) => format!("It polls {task}"),
        None => "It polls no task: a callback, an observer or a drop blocks it".to_owned(),
    };
    say(
        Level::Warn,
        LOOP,
        format_args!(
            "the event loop has been blocked for {blocked:.0?}, and still is. {culprit}. A debugger shows where: docs/stalls.md"
        ),
    );
}
