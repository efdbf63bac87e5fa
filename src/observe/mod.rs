//! What the loop says about its steps. Every part of the crate reports through the one function
//! [`report`]; the `log` lines are written from there. With logging off, a step costs a load, a
//! comparison and a branch that is not taken.

pub(crate) mod dump;
mod log_lines;
pub(crate) mod stuck;

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use log::Level;

use crate::core::Core;
use crate::reactor::{Direction, Ready};
use crate::slots::Slot;
use crate::task::waker::Wake;

/// One step of the loop.
pub(crate) enum Step<'a> {
    /// A turn begins, and what it asks of the kernel.
    Turn {
        number: u64,
        wait: WaitFor,
    },
    /// The kernel has answered.
    Events {
        count: usize,
    },
    /// The clock of a virtual loop jumped to its next timer.
    Jump {
        by: Duration,
    },
    /// An event of the kernel, and whom it wakes.
    Ready {
        source: Slot,
        kind: &'static str,
        ready: Ready,
        woken: &'a [Wake],
        callback: bool,
    },
    /// An event for a source that is gone.
    Stale,
    /// What other threads left.
    Mail {
        wakes: usize,
        messages: usize,
        /// Offloaded jobs that have ended.
        jobs: usize,
    },
    /// A timer is due, and whom it wakes.
    Fire {
        timer: Slot,
        late: Duration,
        woken: Option<&'a Wake>,
    },
    /// A task entered the ready queue.
    Wake {
        task: Slot,
    },
    /// A task was polled.
    Poll {
        task: Slot,
        outcome: Outcome,
    },
    /// A future left a waker with a source.
    AwaitSource {
        source: Slot,
        kind: &'static str,
        direction: Direction,
        place: Option<&'static Location<'static>>,
    },
    /// A future armed a timer.
    AwaitTimer {
        timer: Slot,
        left: Duration,
        place: &'static Location<'static>,
    },
    /// A future waits for another task: for a lock, a message and the like.
    AwaitSync {
        what: &'static str,
        place: &'static Location<'static>,
    },
    Spawn {
        task: Slot,
        place: &'static Location<'static>,
    },
    Abort {
        task: Slot,
    },
    /// A job was queued for the pool of threads.
    Offload {
        place: &'static Location<'static>,
    },
    /// The result of a job was fetched.
    Fetch {
        place: &'static Location<'static>,
    },
    Register {
        source: Slot,
        kind: &'static str,
    },
    Deregister {
        source: Slot,
        kind: &'static str,
    },
}

/// How long a turn lets the kernel wait, and why.
#[derive(Clone, Copy)]
pub(crate) enum WaitFor {
    /// Tasks are ready and the kernel was asked lately: not asked at all.
    Skip { ready: usize },
    /// Tasks are ready: asked without waiting.
    Tasks { ready: usize },
    /// The next timer is due in this time, at this time of the loop's clock in nanoseconds.
    Timer { left: Duration, deadline: u64 },
    /// The caller of `turn` wants no longer wait.
    Caller(Duration),
    /// Nothing but a source or another thread can end the wait.
    Ever,
    /// A virtual clock, which stands still until offloaded jobs and child processes have ended.
    Work { under_way: usize },
    /// A virtual clock: so long in real time, of this in all, before it jumps.
    Grace { given: Duration, whole: Duration },
}

#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Pending,
    Finished,
    Panicked,
}

impl Outcome {
    pub(crate) fn of(poll: Poll<()>) -> Self {
        match poll {
            Poll::Pending => Outcome::Pending,
            Poll::Ready(()) => Outcome::Finished,
        }
    }
}

/// Whether anybody listens.
#[inline]
pub(crate) fn is_on() -> bool {
    log::max_level() >= log::LevelFilter::Debug
}

/// Tells whoever listens. Must not be called while anything of the loop is borrowed: a logger is user code.
#[inline]
pub(crate) fn report<'a>(step: impl FnOnce() -> Step<'a>) {
    if is_on() {
        listen(step);
    }
}

#[cold]
#[inline(never)]
fn listen<'a>(step: impl FnOnce() -> Step<'a>) {
    // Every step is one of the loop that runs here.
    if Core::with(|core| mem::replace(&mut core.reporting, true)) == Some(false) {
        crate::core::contain("a logger", || log_lines::write(&step()));
        Core::with(|core| core.reporting = false);
    }
}

/// Logs what somebody must see whether or not steps are traced. A logger that panics is passed over: it can
/// not be told so.
pub(crate) fn say(level: Level, target: &'static str, line: fmt::Arguments<'_>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| log::log!(target: target, level, "{line}"))) {
        crate::core::bury(payload);
    }
}

pub(crate) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The targets of the log lines.
pub(crate) const LOOP: &str = "headwaiter::loop";
pub(crate) const TASK: &str = "headwaiter::task";
pub(crate) const SOURCE: &str = "headwaiter::source";
pub(crate) const TIMER: &str = "headwaiter::timer";
pub(crate) const OFFLOAD: &str = "headwaiter::offload";

/// How a task is called in a line of text: `task 17 "oven"`.
pub(crate) struct TaskLabel<'a> {
    pub(crate) slot: Slot,
    pub(crate) name: Option<&'a str>,
}

impl fmt::Display for TaskLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.slot.generation())?;
        match self.name {
            Some(name) => write!(f, " {name:?}"),
            None => Ok(()),
        }
    }
}
