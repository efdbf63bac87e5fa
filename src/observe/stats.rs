//! [`stats`]: what a loop has done so far, in figures that are always kept, and [`Stats::advice`],
//! which interprets them. The turn updates the counters once per turn, with times that it has read
//! anyway; one poll in 512 is timed. This file only reads the counters.

use std::fmt;
use std::time::Duration;

use crate::door::Door;
use crate::state::{Histogram, State, plural};

/// The distribution of some durations. Quantiles are accurate to within a quarter, and never too
/// low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spread {
    /// The number of durations.
    pub count: u64,
    /// The median: half of the durations are no longer than this.
    pub p50: Duration,
    /// The 99th percentile: 99 of 100 durations are no longer than this.
    pub p99: Duration,
    /// The longest duration.
    pub max: Duration,
}

impl Spread {
    fn of(histogram: &Histogram) -> Self {
        let quantile = |share| Duration::from_nanos(histogram.quantile(share));
        Spread {
            count: histogram.total(),
            p50: quantile(0.5),
            p99: quantile(0.99),
            max: Duration::from_nanos(histogram.longest),
        }
    }
}

/// What a loop has done so far: see [`stats`]. Its `Display` output is a small table.
///
/// Under a [virtual clock](crate::Clock::Virtual) only the counts are meaningful.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of the loop. (Inside `block_on`, unless an observer wants steps, a turn that would
    /// find nothing to do before its tasks is skipped and not counted.)
    pub turns: u64,
    /// Polls of tasks, and of the main future.
    pub polls: u64,
    /// Tasks that were put into the ready queue by a wake.
    pub wakes: u64,
    /// Tasks that were spawned, and main futures.
    pub spawned: u64,
    /// The largest number of tasks at the moment when a turn began to poll tasks.
    pub most_tasks: usize,
    /// Events that the kernel reported.
    pub events: u64,
    /// Timers that fired.
    pub timers: u64,
    /// System calls that were not made: by a turn that did not ask the kernel because tasks were
    /// ready, or by a read or write after one that was short.
    pub syscalls_saved: u64,
    /// The time that the loop was busy.
    pub busy: Duration,
    /// The time that the loop waited for the kernel.
    pub waiting: Duration,
    /// How long the loop was busy between two waits in the kernel.
    pub turn_times: Spread,
    /// By how much timers fired after their deadlines.
    pub lateness: Spread,
    /// How long the timed polls took. One poll in 512 is timed.
    pub poll_times: Spread,
    /// Timed polls that did nothing: the task had been polled before, found nothing done, and
    /// continued to wait.
    pub idle_polls: u64,
    /// The median number of ready tasks at the moment when a turn began to poll tasks.
    pub queue_p50: u64,
    /// The largest number of ready tasks at the moment when a turn began to poll tasks.
    pub queue_max: u64,
    /// Tasks that ended in their first poll. They never waited for anything.
    pub never_waited: u64,
    /// Panics of tasks that were never joined. (An `Err` in a handle that is dropped is not
    /// counted.)
    pub unseen_failures: u64,
    /// Turns that took longer than the [threshold](crate::Builder::stall_threshold).
    pub stalls: u64,
}

/// Returns what the loop that runs on this thread has done so far. (The events, timers and times of
/// a turn are counted when it ends.)
///
/// ```
/// headwaiter::block_on(async {
///     for _ in 0..10 {
///         headwaiter::task::yield_now().await;
///     }
///     let stats = headwaiter::stats();
///     assert!(stats.polls >= 10 && stats.events == 0);
///     println!("{stats}");
/// });
/// ```
///
/// # Panics
///
/// Panics outside any event loop.
#[track_caller]
pub fn stats() -> Stats {
    Stats::of(&Door::expect("`stats`"))
}

impl Stats {
    fn of(state: &State) -> Self {
        let counts = &state.counts;
        let (spawned, queued, polls) = state.tasks.totals();
        Stats {
            turns: counts.turns,
            polls,
            wakes: queued.saturating_sub(spawned),
            spawned,
            most_tasks: counts.most_tasks,
            events: counts.events,
            timers: counts.timers,
            syscalls_saved: counts.skipped + counts.tries_saved,
            busy: Duration::from_nanos(counts.busy),
            waiting: Duration::from_nanos(counts.waiting),
            turn_times: Spread::of(&counts.turn_times),
            lateness: Spread::of(&counts.lateness),
            poll_times: Spread::of(&counts.poll_times),
            idle_polls: counts.idle_polls,
            queue_p50: counts.queue.quantile(0.5),
            queue_max: counts.queue.longest,
            never_waited: state.tasks.never_waited,
            unseen_failures: counts.unseen,
            stalls: counts.stalls,
        }
    }

    /// Returns the fraction of its time during which the loop was busy, from 0 to 1. It is 0 until
    /// the kernel was asked for the first time.
    pub fn utilisation(&self) -> f64 {
        let whole = self.busy + self.waiting;
        if whole.is_zero() { 0.0 } else { self.busy.as_secs_f64() / whole.as_secs_f64() }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_poll = |n: u64| if self.polls == 0 { 0.0 } else { n as f64 / self.polls as f64 };
        writeln!(
            f,
            "{:<14} {} turns, {:.0} % busy: {:.1?} busy, {:.1?} waiting",
            "loop",
            self.turns,
            100.0 * self.utilisation(),
            self.busy,
            self.waiting
        )?;
        writeln!(
            f,
            "{:<14} {} spawned, {} at once at most, {} ended in their first poll, {} failures unseen",
            "tasks", self.spawned, self.most_tasks, self.never_waited, self.unseen_failures
        )?;
        writeln!(
            f,
            "{:<14} {}, {} wakes ({:.2} a poll), {} of {} timed ones did nothing",
            "polls",
            self.polls,
            self.wakes,
            per_poll(self.wakes),
            self.idle_polls,
            self.poll_times.count
        )?;
        writeln!(
            f,
            "{:<14} {} events, {} timers fired, {} system calls saved, {} stalls",
            "kernel", self.events, self.timers, self.syscalls_saved, self.stalls
        )?;
        writeln!(f, "{:<14} {:>10} {:>12} {:>12} {:>12}", "", "count", "p50", "p99", "max")?;
        // Only these are durations. The ready queue below has no unit and no 99th percentile.
        for (name, spread) in [
            ("turn time", &self.turn_times),
            ("poll time", &self.poll_times),
            ("timers late by", &self.lateness),
        ] {
            let Spread { count, p50, p99, max } = spread;
            writeln!(f, "{name:<14} {count:>10} {p50:>12.1?} {p99:>12.1?} {max:>12.1?}")?;
        }
        write!(
            f,
            "{:<14} {:>10} {:>12} {:>12} {:>12}",
            "ready tasks", "", self.queue_p50, "", self.queue_max
        )
    }
}

impl Stats {
    /// Returns what these figures mean, in plain words. Each sentence contains the figure on which
    /// it rests. The list is empty if there is nothing to report.
    ///
    /// ```
    /// headwaiter::block_on(async {
    ///     let sum: u64 = (0..50_000_000).sum(); // No other task runs meanwhile.
    ///     assert!(std::hint::black_box(sum) > 0);
    ///     headwaiter::time::sleep(std::time::Duration::from_millis(1)).await;
    ///     for advice in headwaiter::stats().advice() {
    ///         println!("{advice}");
    ///     }
    /// });
    /// ```
    pub fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        let mut say = |applies: bool, sentence: &dyn Fn() -> String| {
            if applies {
                advice.push(sentence());
            }
        };
        let busy = 100.0 * self.utilisation();
        let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        let outside = self.events + self.timers;
        // A single stall is enough, because each of them exceeded the threshold that the user
        // chose.
        say(self.stalls > 0, &|| {
            format!(
                "Somebody blocked the loop: {} turn{} took longer than the threshold, the longest {:.0?}. If one task does it again within ten seconds, the log names it. What computes or blocks belongs into `spawn_blocking`.",
                self.stalls,
                plural(self.stalls as usize),
                self.turn_times.max
            )
        });
        say(
            // In less than 50 ms the start of the program outweighs everything else.
            busy > 90.0 && self.busy > Duration::from_millis(50) && outside * 100 < self.polls,
            &|| {
                format!(
                    "This program computes more than it waits: the loop was busy for {busy:.0} % of the time, and {} polls met {outside} events and timers. Async makes waiting cheap, and computing no faster: a plain loop, or threads, may do.",
                    self.polls
                )
            },
        );
        let late = self.lateness.p99;
        // Fewer than ten timers are too few for a percentile.
        say(self.lateness.count >= 10 && late > Duration::from_millis(20), &|| {
            format!(
                "Timers come late: one in a hundred by {late:.0?} or more (of {}). They wait for the turn to end; the longest took {:.0?}.",
                self.lateness.count, self.turn_times.max
            )
        });
        // A hundred such tasks cost too little to mention, unless they are most of the tasks.
        say(self.never_waited >= 100 && share(self.never_waited, self.spawned) > 50.0, &|| {
            format!(
                "Tasks that never wait need not be tasks: {} of {} ended in their first poll. Call what they do.",
                self.never_waited, self.spawned
            )
        });
        say(self.unseen_failures > 0, &|| {
            format!(
                "Nobody looked when {} task{} failed. Await their handles, use `log_error()`, or a `TaskGroup`.",
                self.unseen_failures,
                plural(self.unseen_failures as usize)
            )
        });
        let idle = share(self.idle_polls, self.poll_times.count);
        // Fewer than 32 timed polls are too few for a percentage.
        say(self.poll_times.count >= 32 && idle > 50.0, &|| {
            format!(
                "Many tasks are woken for nothing: {idle:.0} % of {} timed polls did nothing. Wake one instead of all, or wait for what is needed.",
                self.poll_times.count
            )
        });
        let short = self.poll_times.p50;
        say(
            // If the loop is not busy, short polls do no harm.
            busy > 90.0 && self.poll_times.count >= 128 && short < Duration::from_micros(1),
            &|| {
                format!(
                    "Much switching for little work: {} polls, half of them of no more than {short:.0?}, while the loop was busy for {busy:.0} % of the time. Do more in each: larger buffers, several messages at once, fewer tasks.",
                    self.polls
                )
            },
        );
        advice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(count: u64, p50: Duration, p99: Duration, max: Duration) -> Spread {
        Spread { count, p50, p99, max }
    }

    /// The figures of a healthy server, which get no advice.
    fn healthy() -> Stats {
        let (micros, millis) = (Duration::from_micros, Duration::from_millis);
        Stats {
            turns: 10_000,
            polls: 50_000,
            wakes: 49_000,
            spawned: 1000,
            most_tasks: 100,
            events: 40_000,
            timers: 1000,
            syscalls_saved: 5000,
            busy: millis(950),
            waiting: millis(1000),
            turn_times: spread(9000, micros(80), micros(300), millis(3)),
            lateness: spread(1000, micros(50), millis(1), millis(3)),
            poll_times: spread(100, micros(4), micros(20), micros(90)),
            idle_polls: 10,
            queue_p50: 3,
            queue_max: 50,
            never_waited: 90,
            unseen_failures: 0,
            stalls: 0,
        }
    }

    /// Checks each sentence alone, with its figure.
    #[test]
    fn each_kind_of_advice_names_the_figure_on_which_it_rests() {
        let (nanos, millis) = (Duration::from_nanos, Duration::from_millis);
        let well = healthy();
        assert_eq!((Stats::default().advice(), well.advice()), (vec![], vec![]));
        let computes = Stats { waiting: millis(10), events: 3, timers: 1, ..well };
        let stalls =
            Stats { stalls: 7, turn_times: Spread { max: millis(312), ..well.turn_times }, ..well };
        let starves = Stats { lateness: Spread { p99: millis(35), ..well.lateness }, ..well };
        let never_waits = Stats { never_waited: 999, ..well };
        let unseen = Stats { unseen_failures: 3, ..well };
        let idle = Stats { idle_polls: 80, ..well };
        let polls = spread(200, nanos(400), nanos(900), nanos(900));
        let switches = Stats { waiting: millis(10), poll_times: polls, ..well };
        let (one_stall, one_failure) =
            (Stats { stalls: 1, ..well }, Stats { unseen_failures: 1, ..well });
        for (stats, begins, figures) in [
            (
                computes,
                "This program computes more",
                ["busy for 99 %", "50000 polls met 4 events and timers"],
            ),
            (stalls, "Somebody blocked the loop", ["7 turns took longer", "the longest 312ms"]),
            (
                starves,
                "Timers come late",
                ["one in a hundred by 35ms or more (of 1000)", "the longest took 3ms"],
            ),
            (never_waits, "Tasks that never wait", ["999 of 1000", "in their first poll"]),
            (unseen, "Nobody looked", ["3 tasks failed", "`log_error()`"]),
            (idle, "Many tasks are woken for nothing", ["80 % of 100 timed polls", "did nothing"]),
            (
                switches,
                "Much switching for little work",
                ["50000 polls, half of them of no more than 400ns", "busy for 99 %"],
            ),
            (
                one_stall,
                "Somebody",
                ["1 turn took", "If one task does it again within ten seconds, the log names it"],
            ),
            (one_failure, "Nobody", ["1 task failed", ""]),
        ] {
            let advice = stats.advice();
            let [sentence] = &advice[..] else { panic!("one sentence: {advice:#?}") };
            assert!(sentence.starts_with(begins), "{sentence}");
            assert!(
                figures.iter().all(|figure| sentence.contains(figure)),
                "{figures:?}: {sentence}"
            );
        }
    }

    #[test]
    fn quantiles_are_never_too_low_and_within_a_quarter() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|value| histogram.add(value));
        for (share, exact) in [(0.5, 500), (0.99, 990), (1.0, 1000)] {
            let told = histogram.quantile(share);
            assert!(told >= exact && told <= exact * 5 / 4, "{share}: {told}");
        }
        assert_eq!(Histogram::new().quantile(0.5), 0);
    }
}
