//! The counters of a loop, which [`stats`](crate::stats) reads. The turn updates them once per
//! turn, with times that it has read anyway; one poll in [`SAMPLED`] is timed. They never read a
//! clock themselves.

use super::histogram::Histogram;

/// One poll in this many is timed, unless all of them are. A power of two, and a multiple of the
/// number of polls after which the [budget](super::budget::Budget) checks the time.
pub(crate) const SAMPLED: u64 = 512;

/// The counters of a loop. Times are in nanoseconds.
pub(crate) struct Counts {
    pub(crate) turns: u64,
    /// Turns that did not ask the kernel.
    pub(crate) skipped: u64,
    pub(crate) events: u64,
    pub(crate) timers: u64,
    pub(crate) busy: u64,
    pub(crate) waiting: u64,
    /// Busy times between two waits in the kernel.
    pub(crate) turn_times: Histogram,
    /// By how much timers fired after their deadlines.
    pub(crate) lateness: Histogram,
    /// Numbers of tasks that were ready when a batch began.
    pub(crate) queue: Histogram,
    /// Durations of the timed polls.
    pub(crate) poll_times: Histogram,
    /// Timed polls that did nothing.
    pub(crate) idle_polls: u64,
    /// The largest number of tasks when a batch began.
    pub(crate) most_tasks: usize,
    /// Read and write calls that were not made because the previous one was short.
    pub(crate) tries_saved: u64,
    /// Failures of tasks that nothing awaited.
    pub(crate) unseen: u64,
    /// Turns that took longer than the threshold.
    pub(crate) stalls: u64,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Counts {
            turns: 0,
            skipped: 0,
            events: 0,
            timers: 0,
            busy: 0,
            waiting: 0,
            turn_times: Histogram::new(),
            lateness: Histogram::new(),
            queue: Histogram::new(),
            poll_times: Histogram::new(),
            idle_polls: 0,
            most_tasks: 0,
            tries_saved: 0,
            unseen: 0,
            stalls: 0,
        }
    }

    /// Counts a turn that has ended. `asked` is whether it asked the kernel.
    #[inline]
    pub(crate) fn turn(&mut self, events: usize, timers: usize, asked: bool) {
        self.turns += 1;
        self.skipped += u64::from(!asked);
        self.events += events as u64;
        self.timers += timers as u64;
    }

    /// Adds the time that the loop was busy since the kernel last answered.
    #[inline]
    pub(crate) fn busy(&mut self, nanos: u64) {
        self.busy += nanos;
        self.turn_times.add(nanos);
    }

    /// Adds the time that the kernel took to answer.
    #[inline]
    pub(crate) fn waited(&mut self, nanos: u64) {
        self.waiting += nanos;
    }

    /// Notes the number of ready tasks and of all tasks when a batch begins.
    pub(crate) fn batch(&mut self, ready: usize, tasks: usize) {
        self.queue.add(ready as u64);
        self.most_tasks = self.most_tasks.max(tasks);
    }

    /// Notes by how much a timer fired after its deadline.
    pub(crate) fn late(&mut self, nanos: u64) {
        self.lateness.add(nanos);
    }

    /// Notes the duration of a timed poll, and whether the poll did nothing.
    pub(crate) fn polled(&mut self, nanos: u64, idle: bool) {
        self.poll_times.add(nanos);
        self.idle_polls += u64::from(idle);
    }
}
