//! Stalls: a turn that kept the loop busy for too long is reported when it is over. The first
//! report may not name the task that caused it: all polls are timed only while an observer wants
//! steps, and for a while after a stall. A [`Watcher`](super::watcher::Watcher) thread, if enabled,
//! reports while the stall lasts.

use std::mem;
use std::time::Duration;

use log::Level;

use super::words::task_and_place;
use crate::state::{
    Effect, Id, LOOP, Outcome, SAMPLED, Slot, State, Step, TIMED_FOR, Tasks, plural,
};

/// The default threshold, which equals asyncio's `slow_callback_duration`.
pub(crate) const THRESHOLD: Duration = Duration::from_millis(100);

impl State {
    /// Begins a poll after which the clock is read. While an observer wants steps and soon after a
    /// stall, the next poll is such a poll too, and their durations are measured; otherwise that of
    /// a sample is.
    pub(crate) fn begin_checked_poll(&mut self) {
        self.tasks.to_check |= Tasks::CHECKED;
        if self.are_all_timed() || self.tasks.polls_made().is_multiple_of(SAMPLED) {
            self.poll_began = Some(self.clock.now_nanos());
        }
    }

    fn are_all_timed(&self) -> bool {
        self.outbox.is_observed() || self.stalls.is_timing(self.clock.turn_nanos())
    }

    /// Ends a poll. Does nothing unless the clock is to be read after it. If the kernel is due, the
    /// rest of the batch is left to the next turn.
    #[cold]
    #[inline(never)]
    pub(crate) fn end_poll(&mut self, slot: Slot, outcome: Outcome) {
        if self.tasks.to_check & Tasks::CHECKED == 0 {
            return;
        }
        self.tasks.to_check &= !Tasks::CHECKED;
        let now = self.clock.now_nanos();
        if self
            .budget
            .check_time(self.tasks.polls_made(), (!self.clock.is_virtual()).then_some(now))
        {
            self.tasks.cut_batch();
        }
        if let Some(began) = self.poll_began.take() {
            self.poll_was_timed(slot, outcome, now.saturating_sub(began));
        }
        if self.are_all_timed() {
            self.budget.check_next();
        }
    }

    /// Records the duration of a poll.
    fn poll_was_timed(&mut self, slot: Slot, outcome: Outcome, took: u64) {
        // A task that yields has woken itself and may have computed, so its poll does not count as
        // one that did nothing.
        let waits = outcome == Outcome::Pending && !self.tasks.is_queued(slot);
        let did_nothing = waits && self.budget.is_whole() && self.tasks.polls(slot) > 1;
        self.counts.polled(took, did_nothing);
        let (task, duration) = (Id(slot), Duration::from_nanos(took));
        self.outbox.report(|| Step::Polled { task, outcome, took: duration });
        let answered = self.clock.turn_nanos();
        self.stalls.forget_before(answered);
        let tasks = &self.tasks;
        self.stalls.poll_was_timed(took, || name(tasks, slot));
        if self.stalls.is_timing(answered) && took > self.stalls.threshold {
            self.stalls.by_poll = true;
            if let Some(unreported) = self.stalls.line(self.clock.now_nanos(), true) {
                let cause = format!("By {}", task_and_place(self, slot));
                self.report_stall(took, unreported, &cause);
            }
        }
    }

    /// Records how long the loop was busy before it asks the kernel, and reports a stall. `polls`
    /// is the number of polls in that time.
    #[inline]
    pub(crate) fn end_busy(&mut self, now: u64, polls: u32) {
        let busy = now.saturating_sub(self.clock.turn_nanos());
        self.counts.busy(busy);
        if busy > self.stalls.threshold {
            self.turn_was_stall(busy, polls);
        }
    }

    #[cold]
    #[inline(never)]
    fn turn_was_stall(&mut self, busy: u64, polls: u32) {
        self.stalls.forget_before(self.clock.turn_nanos());
        let now = self.clock.now_nanos();
        let all_timed = self.stalls.timed >= polls;
        let longest = self.stalls.longest.take().filter(|(took, _)| *took > busy / 2);
        self.counts.stalls += 1;
        self.stalls.timed_until = now + TIMED_FOR;
        self.budget.check_next();
        if mem::take(&mut self.stalls.by_poll) {
            return;
        }
        let is_known = all_timed || longest.is_some() || polls == 0;
        let Some(unreported) = self.stalls.line(now, is_known) else { return };
        let cause = match (polls, longest) {
            (_, Some((took, task))) => {
                format!("By {task}: one poll of it took {:.0?}", Duration::from_nanos(took))
            }
            (0, _) => "No task was polled: a callback, an observer or a drop did".to_owned(),
            (1, _) if all_timed => {
                "Not by its one poll: a callback, an observer or a drop did".to_owned()
            }
            _ if all_timed => {
                format!(
                    "By no poll alone: {polls} did together, or a callback, an observer or a drop"
                )
            }
            // A callback may have caused the stall and woken this task.
            (1, _) => {
                let task = task_and_place(self, self.tasks.polled);
                format!("Probably by {task}, the only one that was polled")
            }
            _ => format!(
                "These {polls} polls together took so long, or a callback between them: they were not timed. For the next {:?} each poll is, so that a task that does it again is named",
                Duration::from_nanos(TIMED_FOR)
            ),
        };
        self.report_stall(busy, unreported, &cause);
    }

    /// Records how long the drop of a socket with SO_LINGER set took, in nanoseconds.
    pub(crate) fn count_linger(&mut self, took: u64) {
        self.stalls.forget_before(self.clock.turn_nanos());
        self.stalls.lingered += took;
    }

    fn report_stall(&mut self, nanos: u64, unreported: u64, cause: &str) {
        // If closing took less than half of the time, the main cause is something else, so do not
        // mention it.
        let linger = match mem::take(&mut self.stalls.lingered) {
            most if most >= nanos / 2 && most > 0 => format!(
                ". For {:.0?} of that it closed a socket with SO_LINGER set, see `TcpStream::set_zero_linger`",
                Duration::from_nanos(most)
            ),
            _ => String::new(),
        };
        let (took, threshold) =
            (Duration::from_nanos(nanos), Duration::from_nanos(self.stalls.threshold));
        let before = match unreported {
            0 => String::new(),
            count => {
                let plural = plural(count as usize);
                format!(". Since the last such line it was {count} more time{plural}")
            }
        };
        let line = format!(
            "the event loop was blocked for {took:.0?} (reported from {threshold:?} on), and no socket was served. {cause}{linger}. What computes or blocks belongs into `spawn_blocking`{before}"
        );
        self.outbox.post(Effect::Log(Level::Warn, LOOP, line));
    }
}

fn name(tasks: &Tasks, slot: Slot) -> String {
    let origin = tasks.origin(slot);
    origin.map_or_else(|| format!("task {}", slot.generation()), |origin| origin.to_string())
}
