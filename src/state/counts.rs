//! What a loop counts of its work, for [`stats`](crate::stats). The turn counts once in each turn, with
//! times that it has read anyway; of the polls, one in [`SAMPLED`] is timed.

use super::histogram::Histogram;

/// One poll in this many is timed, unless all of them are to be. (With one in 64, reading the clock twice
/// costs a tenth of a short poll.) A power of two.
pub(crate) const SAMPLED: u64 = 512;

/// What a loop counts. Times in nanoseconds.
pub(crate) struct Counts {
    pub(crate) turns: u64,
    /// Turns in which the kernel was not asked.
    pub(crate) skipped: u64,
    pub(crate) events: u64,
    pub(crate) timers: u64,
    pub(crate) busy: u64,
    pub(crate) waiting: u64,
    pub(crate) turn_times: Histogram,
    pub(crate) lateness: Histogram,
    pub(crate) queue: Histogram,
    pub(crate) poll_times: Histogram,
    /// How many of the timed polls did nothing.
    pub(crate) idle_polls: u64,
    pub(crate) most_tasks: usize,
    /// Read and write calls that were not made because the last one was short.
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

    /// A turn is over.
    #[inline]
    pub(crate) fn turn(&mut self, events: usize, timers: usize, asked: bool) {
        self.turns += 1;
        self.skipped += u64::from(!asked);
        self.events += events as u64;
        self.timers += timers as u64;
    }

    /// The loop was busy for this long since the kernel last answered.
    #[inline]
    pub(crate) fn busy(&mut self, nanos: u64) {
        self.busy += nanos;
        self.turn_times.add(nanos);
    }

    /// The kernel answered after this long.
    #[inline]
    pub(crate) fn waited(&mut self, nanos: u64) {
        self.waiting += nanos;
    }

    /// A turn begins to run its tasks.
    pub(crate) fn batch(&mut self, ready: usize, tasks: usize) {
        self.queue.add(ready as u64);
        self.most_tasks = self.most_tasks.max(tasks);
    }

    pub(crate) fn late(&mut self, nanos: u64) {
        self.lateness.add(nanos);
    }

    /// A poll was timed.
    pub(crate) fn polled(&mut self, nanos: u64, idle: bool) {
        self.poll_times.add(nanos);
        self.idle_polls += u64::from(idle);
    }
}
