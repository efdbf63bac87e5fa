//! A loop that was blocked is reported when it is free again: the turn looks at the clock when it asks the kernel, and sees what
//! the last one took. Which of several tasks it was is not known the first time; then all polls are timed for a while. On demand
//! a [`Watcher`] thread reports while it lasts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use log::Level;

use super::{LOOP, say};
use crate::core::Core;
use crate::places::PlaceId;
use crate::remote::Shared;
use crate::slots::Slot;
use crate::task::Id;

/// asyncio's `slow_callback_duration`.
pub(crate) const THRESHOLD: Duration = Duration::from_millis(100);

/// After a stall polls are timed for so long, in nanoseconds.
const TIMED_FOR: u64 = 10_000_000_000;

/// Of turns there is one line in so long, in nanoseconds: who blocks the loop often need not fill the log too.
const QUIET_FOR: u64 = 1_000_000_000;

/// What a loop knows of its stalls. Times in nanoseconds of its clock.
pub(crate) struct Stalls {
    pub(crate) threshold: u64,
    /// All polls are timed until then.
    timed_until: u64,
    /// The next line is due then.
    quiet_until: u64,
}

impl Stalls {
    pub(crate) fn new(threshold: u64) -> Self {
        Stalls { threshold, timed_until: 0, quiet_until: 0 }
    }

    /// Whether the next poll is to be timed.
    pub(crate) fn are_looked_for(&self, now: u64) -> bool {
        now < self.timed_until
    }
}

/// The loop was busy for so long without asking the kernel. Called with nothing borrowed.
#[cold]
pub(crate) fn turn_took(nanos: u64, polls: u32) {
    let told = Core::with(|core| {
        core.counts.stalls += 1;
        let now = core.clock.now_nanos();
        core.stalls.timed_until = now + TIMED_FOR;
        core.untimed = 0;
        if now < core.stalls.quiet_until {
            return None;
        }
        core.stalls.quiet_until = now + QUIET_FOR;
        Some((core.tasks.polled, core.stalls.threshold))
    });
    let Some((polled, threshold)) = told.flatten() else { return };
    let who = match polls {
        0 => "No task was polled: a callback, an observer or a drop did.".to_owned(),
        1 => format!("By {}.", super::stats::name_of(Id::new(polled))),
        _ => format!(
            "In one of {polls} polls; for the next {:?} each is timed, and the log will tell whose.",
            Duration::from_nanos(TIMED_FOR)
        ),
    };
    warn(nanos, threshold, &who);
}

/// A poll that was timed has taken longer than the threshold.
#[cold]
pub(crate) fn poll_took(task: Slot, nanos: u64) {
    let threshold = Core::with(|core| {
        core.stalls.quiet_until = core.clock.now_nanos() + QUIET_FOR;
        core.stalls.threshold
    });
    warn(nanos, threshold.unwrap_or_default(), &format!("By {}.", super::stats::name_of(Id::new(task))));
}

fn warn(nanos: u64, threshold: u64, who: &str) {
    let (took, threshold) = (Duration::from_nanos(nanos), Duration::from_nanos(threshold));
    say(
        Level::Warn,
        LOOP,
        format_args!(
            "the event loop was blocked for {took:.0?} (reported from {threshold:?} on), and nobody else had a turn. {who} What computes or blocks belongs into `spawn_blocking`"
        ),
    );
}

/// Looks from another thread whether the loop still turns. It sleeps while the loop does.
pub(crate) struct Watcher {
    thread: Thread,
    is_parked: Arc<AtomicBool>,
}

impl Watcher {
    pub(crate) fn start(shared: &Arc<Shared>, threshold: Duration) -> io::Result<Self> {
        let is_parked = Arc::new(AtomicBool::new(false));
        let watch = {
            let (shared, is_parked) = (Arc::clone(shared), Arc::clone(&is_parked));
            move || watch(&shared, &is_parked, threshold)
        };
        let thread = thread::Builder::new().name("headwaiter-watcher".to_owned()).spawn(watch)?;
        Ok(Watcher { thread: thread.thread().clone(), is_parked })
    }

    /// The loop goes on after a sleep.
    pub(crate) fn wake(&self) {
        // Mostly it has not come to sleep since the last time.
        if self.is_parked.swap(false, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

impl Drop for Watcher {
    /// It finds the loop gone. It is not waited for.
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

fn watch(shared: &Shared, is_parked: &AtomicBool, threshold: Duration) {
    let (mut last, mut since, mut told) = (None, Instant::now(), false);
    while !shared.is_closed() {
        let now = (shared.polled.load(Ordering::Relaxed), shared.turns.load(Ordering::Relaxed));
        if last != Some(now) {
            (last, since, told) = (Some(now), Instant::now(), false);
        }
        if shared.sleeps.load(Ordering::Acquire) {
            is_parked.store(true, Ordering::Release);
            // Woken by the loop, or by its end. It may have gone on just now: then once in a while is soon enough.
            if shared.sleeps.load(Ordering::Acquire) {
                thread::park_timeout(ONCE_IN_A_WHILE);
            }
            last = None;
            continue;
        }
        let blocked = since.elapsed();
        if blocked >= threshold && !told {
            told = true;
            tell(now.0, blocked);
        }
        thread::park_timeout(threshold / 4);
    }
}

const ONCE_IN_A_WHILE: Duration = Duration::from_secs(1);

fn tell(polled: u64, blocked: Duration) {
    let who = match polled {
        0 => "It polls no task: a callback, an observer or a drop blocks it".to_owned(),
        _ => format!(
            "It polls task {}, spawned at {}",
            polled as u32,
            PlaceId::from_bits((polled >> 32) as u32).location()
        ),
    };
    say(
        Level::Warn,
        LOOP,
        format_args!(
            "the event loop has been blocked for {blocked:.0?}, and still is. {who}. A debugger shows where: docs/stalls.md"
        ),
    );
}
