//! A loop that was blocked is reported when it is free again: the turn looks at the clock when it asks the kernel, and sees what
//! the last one took. Which of several tasks it was is not known the first time, unless an observer is installed: polls are timed
//! only then, and for a while after a stall. On demand
//! a [`Watcher`] thread reports while it lasts.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use log::Level;

use super::{LOOP, plural, say};
use crate::core::Core;
use crate::remote::Shared;
use crate::slots::Slot;
use crate::task::{self, Id};

/// asyncio's `slow_callback_duration`.
pub(crate) const THRESHOLD: Duration = Duration::from_millis(100);

/// After a stall polls are timed for so long, in nanoseconds.
const TIMED_FOR: u64 = 10_000_000_000;

/// There is one line in so long, in nanoseconds: who blocks the loop often need not fill the log too.
const QUIET_FOR: u64 = 1_000_000_000;

/// What a loop knows of its stalls. Times in nanoseconds of its clock.
pub(crate) struct Stalls {
    pub(crate) threshold: u64,
    /// All polls are timed until then.
    timed_until: u64,
    /// The next line is due then.
    quiet_until: u64,
    /// The last line said all that can be known. If it did not, one that does need not wait.
    is_known: bool,
    /// Stalls since the last line.
    unshown: u64,
    /// A poll since the last look at the kernel was a stall: then the turn has been told of, or counted.
    by_poll: bool,
    /// When the kernel answered last. What follows is of the time since then.
    answered: u64,
    /// How many polls were timed.
    timed: u32,
    /// The longest of them, if it took at least half of a stall, and of which task. (In words: the task may have ended since.)
    longest: Option<(u64, String)>,
    /// How long the drops of sockets have blocked because of SO_LINGER.
    lingered: u64,
}

impl Stalls {
    pub(crate) fn new(threshold: u64) -> Self {
        Stalls {
            threshold,
            timed_until: 0,
            quiet_until: 0,
            is_known: true,
            unshown: 0,
            by_poll: false,
            answered: 0,
            timed: 0,
            longest: None,
            lingered: 0,
        }
    }

    /// Whether the next poll is to be timed.
    pub(crate) fn are_looked_for(&self, now: u64) -> bool {
        now < self.timed_until
    }

    /// What is noted is of the time since the kernel answered, which was at this time.
    pub(super) fn forget_before(&mut self, answered: u64) {
        if self.answered != answered {
            (self.answered, self.timed, self.longest, self.lingered) = (answered, 0, None, 0);
        }
    }

    /// `None`: no line now. Else: how many stalls before this one had none.
    fn line(&mut self, now: u64, is_known: bool) -> Option<u64> {
        if now < self.quiet_until && (self.is_known || !is_known) {
            self.unshown += 1;
            return None;
        }
        self.quiet_until = now + QUIET_FOR;
        self.is_known = is_known;
        Some(mem::take(&mut self.unshown))
    }
}

/// A poll of this task was timed. Called with nothing borrowed.
#[cold]
pub(crate) fn poll_was_timed(task: Slot, nanos: u64) {
    let is_longest = Core::with(|core| {
        let stalls = &mut core.stalls;
        stalls.forget_before(core.clock.turn_nanos());
        stalls.timed = stalls.timed.saturating_add(1);
        let before = stalls.longest.as_ref().map_or(stalls.threshold / 2, |(nanos, _)| *nanos);
        nanos > before
    });
    if is_longest == Some(true) {
        // While it is known: a task that ends is gone.
        let name = super::stats::name_of(Id::new(task));
        Core::with(|core| core.stalls.longest = Some((nanos, name)));
    }
}

/// The loop was busy for so long without asking the kernel. Called with nothing borrowed.
#[cold]
pub(crate) fn turn_took(nanos: u64, polls: u32) {
    let line = Core::with(|core| {
        let now = core.clock.now_nanos();
        let all_timed = core.stalls.timed >= polls;
        let longest = core.stalls.longest.take().filter(|(took, _)| *took > nanos / 2);
        core.counts.stalls += 1;
        core.stalls.timed_until = now + TIMED_FOR;
        core.untimed = 0;
        if mem::take(&mut core.stalls.by_poll) {
            return None;
        }
        let is_known = all_timed || longest.is_some() || polls == 0;
        let unshown = core.stalls.line(now, is_known)?;
        Some((unshown, all_timed, longest, core.tasks.polled))
    });
    let Some((unshown, all_timed, longest, polled)) = line.flatten() else { return };
    let who = match (polls, longest) {
        (_, Some((took, task))) => {
            format!("By {task}: one poll of it took {:.0?}", Duration::from_nanos(took))
        }
        (0, _) => "No task was polled: a callback, an observer or a drop did".to_owned(),
        (1, _) if all_timed => {
            "Not by its one poll: a callback, an observer or a drop did".to_owned()
        }
        _ if all_timed => {
            format!("By no poll alone: {polls} did together, or a callback, an observer or a drop")
        }
        // A callback may have done it, and woken this one.
        (1, _) => {
            format!(
                "Probably by {}, the only one that was polled",
                super::stats::name_of(Id::new(polled))
            )
        }
        _ => format!(
            "These {polls} polls together took so long, or a callback between them: they were not timed. For the next {:?} each poll is, so that a task that does it again is named",
            Duration::from_nanos(TIMED_FOR)
        ),
    };
    warn(nanos, unshown, &who);
}

/// A poll that was timed has taken longer than the threshold.
#[cold]
pub(crate) fn poll_took(task: Slot, nanos: u64) {
    let line = Core::with(|core| {
        core.stalls.by_poll = true;
        core.stalls.forget_before(core.clock.turn_nanos());
        core.stalls.line(core.clock.now_nanos(), true)
    });
    let Some(unshown) = line.flatten() else { return };
    warn(nanos, unshown, &format!("By {}", super::stats::name_of(Id::new(task))));
}

/// The drop of a socket with SO_LINGER set has taken so many nanoseconds.
pub(crate) fn count_linger(core: &mut Core, took: u64) {
    core.stalls.forget_before(core.clock.turn_nanos());
    core.stalls.lingered += took;
}

fn warn(nanos: u64, unshown: u64, who: &str) {
    let known = Core::with(|core| (core.stalls.threshold, mem::take(&mut core.stalls.lingered)));
    let (threshold, lingered) = known.unwrap_or_default();
    // Else something else has taken most of the time, and is to be looked for first.
    let linger = match lingered {
        most if most >= nanos / 2 && most > 0 => format!(
            ". For {:.0?} of that it closed a socket with SO_LINGER set, see `TcpStream::set_zero_linger`",
            Duration::from_nanos(most)
        ),
        _ => String::new(),
    };
    let (took, threshold) = (Duration::from_nanos(nanos), Duration::from_nanos(threshold));
    let before = match unshown {
        0 => String::new(),
        unshown => {
            format!(
                ". Since the last such line it was {unshown} more time{}",
                plural(unshown as usize)
            )
        }
    };
    say(
        Level::Warn,
        LOOP,
        format_args!(
            "the event loop was blocked for {took:.0?} (reported from {threshold:?} on), and no socket was served. {who}{linger}. What computes or blocks belongs into `spawn_blocking`{before}"
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
    let mut told_at: Option<Instant> = None;
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
        let quiet = told_at.is_some_and(|at| at.elapsed() < Duration::from_nanos(QUIET_FOR));
        if blocked >= threshold && !told && !quiet {
            (told, told_at) = (true, Some(Instant::now()));
            tell(now.0, blocked);
        }
        thread::park_timeout((threshold / 4).max(SHORTEST_LOOK));
    }
}

const ONCE_IN_A_WHILE: Duration = Duration::from_secs(1);

/// More often it would keep a processor busy.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);

fn tell(polled: u64, blocked: Duration) {
    let who = match task::published(polled) {
        Some(task) => format!("It polls {task}"),
        None => "It polls no task: a callback, an observer or a drop blocks it".to_owned(),
    };
    say(
        Level::Warn,
        LOOP,
        format_args!(
            "the event loop has been blocked for {blocked:.0?}, and still is. {who}. A debugger shows where: docs/stalls.md"
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_that_comes_back_a_thousand_times_in_ten_seconds_is_told_ten_times() {
        let mut stalls = Stalls::new(1);
        let lines: Vec<_> = (0..1000).filter_map(|n| stalls.line(n * 10_000_000, true)).collect();
        assert_eq!(lines, [vec![0], vec![99; 9]].concat());
    }

    #[test]
    fn whose_stall_it_was_need_not_wait() {
        let mut stalls = Stalls::new(1);
        let lines = [false, false, true, true, false].map(|is_known| stalls.line(5, is_known));
        assert_eq!(lines, [Some(0), None, Some(1), None, None]);
        assert_eq!(stalls.line(5 + QUIET_FOR, false), Some(2));
    }
}
