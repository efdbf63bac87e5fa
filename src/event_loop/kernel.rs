//! The wait for the kernel: how long it may be and why, the search for stuck tasks before it, and
//! the accounting of busy time around it. Called by the turn.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use mio::Events;

use super::turn::{Driver, Progress};
use crate::door::{Door, report};
use crate::observe::stuck::{self, Verdict};
use crate::observe::watcher::Watcher;
use crate::state::{POLLS_BETWEEN_WAITS, Shared, State, Step, WaitFor};

/// The longest single wait, in nanoseconds: a day. A later timer costs one idle turn a day.
const LONGEST_WAIT: u64 = 24 * 3600 * 1_000_000_000;

impl Driver {
    /// Decides how long the kernel may wait in this turn. Reports the beginning of the turn, and
    /// searches for stuck tasks when the loop is about to ask the kernel.
    pub(super) fn decide_wait(&mut self, progress: &Progress) -> WaitFor {
        self.accounting.turns += 1;
        let number = self.accounting.turns;
        let mut door = Door::expect("a turn");
        door.update_observed();
        let mut wait = self.wait_for(&mut door, progress);
        if door.outbox.is_observed() {
            door.budget.check_next();
            door.outbox.report(|| Step::Turn { number, wait });
            drop(door);
            // An observer may have woken a task, or armed a timer.
            door = Door::expect("a turn");
            wait = self.wait_for(&mut door, progress);
        }
        let is_look_due = is_look_due(&mut door, wait, progress.in_block_on);
        drop(door);
        if is_look_due {
            let for_ever = progress.in_block_on && matches!(wait, WaitFor::Ever);
            match stuck::look(for_ever) {
                Verdict::Fine => {}
                Verdict::Panic(report) => panic!("headwaiter: {report}"),
                // That may have made a task ready, or armed a timer.
                Verdict::Reported | Verdict::Resolved => {
                    wait = self.wait_for(&mut Door::expect("a turn"), progress);
                }
            }
        }
        wait
    }

    fn wait_for(&self, state: &mut State, progress: &Progress) -> WaitFor {
        let (max_wait, ready) = (progress.max_wait, state.tasks.ready());
        if ready > 0 {
            // Outside `block_on` each turn asks the kernel: an outer loop may have seen our events
            // as an edge, which it will not see again.
            return match self.polls_since_wait {
                0..POLLS_BETWEEN_WAITS if progress.in_block_on && !state.budget.is_overspent => {
                    WaitFor::Skip { ready }
                }
                _ => WaitFor::Tasks { ready },
            };
        }
        let Some(earliest) = state.timers.wheel.earliest_at_best() else {
            return max_wait.map_or(WaitFor::Ever, WaitFor::Caller);
        };
        if state.clock.is_virtual() {
            if let under_way @ 1.. = state.in_flight() {
                return max_wait.map_or(WaitFor::Work { under_way }, WaitFor::Caller);
            }
            let is_awaited = state.sources.is_any_awaited();
            let whole = if is_awaited { self.io_grace } else { Duration::ZERO };
            let given = whole.saturating_sub(self.graced);
            let given = max_wait.map_or(given, |max| max.min(given));
            return WaitFor::Grace { given, whole };
        }
        let left = earliest.saturating_sub(state.clock.now_nanos()).min(LONGEST_WAIT);
        let left = Duration::from_nanos(left);
        match max_wait {
            Some(max) if max < left => WaitFor::Caller(max),
            _ => WaitFor::Timer { left },
        }
    }

    pub(super) fn set_alarm(&mut self, wait: WaitFor) {
        match wait {
            WaitFor::Timer { left } => {
                let deadline = Door::open().and_then(|door| door.timers.wheel.earliest_at_best());
                self.alarm.set(self.poll.registry(), left, deadline);
            }
            WaitFor::Caller(left) => self.alarm.set(self.poll.registry(), left, None),
            _ => {}
        }
    }
}

/// Whether to search for stuck tasks now. Usually a task waits for a source, so the loop can be
/// woken and there is nothing to search.
fn is_look_due(state: &mut State, wait: WaitFor, in_block_on: bool) -> bool {
    match wait {
        WaitFor::Skip { .. } => false,
        WaitFor::Tasks { .. } => state.suspects.is_due_while_busy(),
        _ if !state.suspects.is_empty() => true,
        WaitFor::Ever => in_block_on && !state.sources.is_any_awaited(),
        _ => false,
    }
}

impl WaitFor {
    /// Returns the timeout of the wait: `None` if the kernel is not asked, `Some(None)` without a
    /// limit.
    pub(super) fn timeout(self) -> Option<Option<Duration>> {
        match self {
            WaitFor::Skip { .. } => None,
            WaitFor::Tasks { .. } => Some(Some(Duration::ZERO)),
            WaitFor::Ever | WaitFor::Work { .. } => Some(None),
            WaitFor::Timer { left } | WaitFor::Caller(left) => Some(Some(left)),
            WaitFor::Grace { given, .. } => Some(Some(given)),
        }
    }
}

/// Measures how long the loop works and how long it waits, and feeds the stall watcher.
pub(super) struct Accounting {
    shared: Arc<Shared>,
    pub(super) watcher: Option<Watcher>,
    pub(super) turns: u64,
    /// The number of task polls since the kernel answered.
    polls: u32,
    /// Whether the time since the kernel answered, or since the loop was resumed, counts as busy.
    is_busy: bool,
    /// When the loop last began to sleep, in nanoseconds of its clock. `None` if it did not.
    asked: Option<u64>,
}

impl Accounting {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Accounting { shared, watcher: None, turns: 0, polls: 0, is_busy: false, asked: None }
    }

    /// Starts busy-time accounting. With `is_busy`, work before the first wait counts.
    pub(super) fn resume(&mut self, is_busy: bool) {
        if let Some(mut door) = Door::open() {
            door.clock.begin_turn();
        }
        self.is_busy = is_busy;
        self.tell_watcher(false);
    }

    /// Stops busy-time accounting.
    pub(super) fn suspend(&mut self) {
        // The time of a panic hook, for instance to print a backtrace, is no stall.
        if self.is_busy
            && !thread::panicking()
            && let Some(mut door) = Door::open()
        {
            let now = door.clock.now_nanos();
            door.end_busy(now, mem::take(&mut self.polls));
        }
        self.tell_watcher(true);
    }

    pub(super) fn before_wait(&mut self, timeout: Option<Duration>) {
        self.asked = None;
        if timeout != Some(Duration::ZERO) {
            self.tell_watcher(true);
            self.asked = Door::open().map(|door| door.clock.now_nanos());
        }
    }

    pub(super) fn after_wait(&mut self, events: &Events) {
        let Some(mut door) = Door::open() else { return };
        let state = &mut *door;
        let now = state.clock.now_nanos();
        let asked = self.asked.unwrap_or(now);
        let polls = mem::take(&mut self.polls);
        if mem::replace(&mut self.is_busy, true) {
            state.end_busy(asked, polls);
        }
        let waited = now.saturating_sub(asked);
        state.counts.waited(waited);
        state.clock.set_turn(now);
        state.budget.kernel_answered(state.tasks.polls_made(), now, waited);
        drop(door);
        // Even if the loop did not sleep: the watcher sees that the loop makes progress.
        self.tell_watcher(false);
        report(|| Step::Answer {
            events: events.iter().count(),
            waited: Duration::from_nanos(waited),
        });
    }

    pub(super) fn end_turn(&mut self, progress: &Progress) {
        self.polls = self.polls.saturating_add(progress.turn.polls as u32);
        if let Some(mut door) = Door::open() {
            let turn = &progress.turn;
            let was_asked = !matches!(progress.wait, WaitFor::Skip { .. });
            door.counts.turn(turn.events, turn.timers, was_asked);
        }
    }

    #[inline]
    fn tell_watcher(&self, sleeps: bool) {
        let Some(watcher) = &self.watcher else { return };
        self.shared.turns.store(self.turns, Ordering::Relaxed);
        self.shared.sleeps.store(sleeps, Ordering::Release);
        if !sleeps {
            watcher.wake();
        }
    }
}
