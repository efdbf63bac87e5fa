//! [`dump`]: what a loop has, and who waits for what. Made when somebody asks, from what the loop keeps anyway.

use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{TaskLabel, stuck};
use crate::core::Core;
use crate::reactor::Direction;
use crate::waits::{Wait, What};

/// What a loop has, and who waits for what, at one moment: see [`dump`]. Its `Display` is for people, in lines of up to 100 columns
/// (longer only where a path or a name is).
#[derive(Clone, Debug)]
pub struct Dump {
    text: String,
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
}

/// The tasks of the loop that runs here (number, name, where spawned, age, polls; what each waits for, where, and for how long), and how
/// many sources, timers and jobs it has.
///
/// ```
/// use headwaiter::time::sleep;
/// use std::time::Duration;
///
/// headwaiter::block_on(async {
///     let nap = headwaiter::task::Builder::new().name("nap").spawn(sleep(Duration::from_secs(60)));
///     headwaiter::task::yield_now().await;
///     let dump = headwaiter::dump().to_string();
///     assert!(dump.contains("\"nap\"") && dump.contains("waits for a timer"), "{dump}");
///     nap.abort();
/// });
/// ```
///
/// # Panics
///
/// Outside any event loop.
#[track_caller]
pub fn dump() -> Dump {
    Core::expect("`dump`", |core| Dump { text: text(core) })
}

impl Dump {
    /// What can be said of a loop that does not answer.
    pub(crate) fn of(text: String) -> Self {
        Dump { text }
    }
}

fn text(core: &Core) -> String {
    let waits = stuck::all_waits(core);
    let now = core.clock.now_nanos();
    let (sources, timers, jobs) = (core.reactor.count(), core.timers.count(), core.jobs);
    let tasks = core.tasks.snapshot(now, core.shared.polled.load(Ordering::Relaxed) != 0);
    let count = |n: usize, what: &str| format!("{n} {what}{}", super::plural(n));
    let mut text = format!(
        "{}, {}, {}, {}\n",
        count(tasks.len(), "task"),
        count(sources, "source"),
        count(timers, "timer"),
        count(jobs, "job")
    );
    for task in &tasks {
        let label = TaskLabel { slot: task.slot, name: task.name.as_deref() };
        let (age, polls) = (short(task.age), count(task.polls as usize, "poll"));
        line(&mut text, &format!("{label}: {}, {polls}, {age} old, spawned at {}", task.state, task.place));
        for wait in waits.get(&task.slot).into_iter().flatten() {
            line(&mut text, &format!("    waits for {}", wait_text(core, wait, now)));
        }
        if task.foreign {
            line(&mut text, "    may be woken by code outside this crate, which has its waker");
        }
    }
    text
}

fn wait_text(core: &Core, wait: &Wait, now: u64) -> String {
    let what = match wait.what {
        What::Source { slot, kind, direction } => {
            let what = match direction {
                Direction::Read => "read",
                Direction::Write => "be written",
            };
            format!("{kind} {} to {what}", slot.generation())
        }
        What::Timer { due } => match due.checked_sub(now) {
            Some(left) => format!("a timer, due in {}", short(Duration::from_nanos(left))),
            None => "a timer, which is due".to_owned(),
        },
        what => stuck::what_text(core, what),
    };
    let place = wait.place.map(|place: &Location<'_>| format!(", at {place}")).unwrap_or_default();
    let since = wait.since.map(|since| now.saturating_sub(since));
    let since =
        since.map(|since| format!(", for {}", short(Duration::from_nanos(since)))).unwrap_or_default();
    format!("{what}{place}{since}")
}

/// Appends a line, broken at commas so that each piece fits a terminal.
fn line(text: &mut String, line: &str) {
    const WIDTH: usize = 100;
    let indent = line.len() - line.trim_start().len();
    let mut width = 0;
    for (number, piece) in line.split_inclusive(", ").enumerate() {
        let length = piece.chars().count();
        if number > 0 && width + piece.trim_end().chars().count() > WIDTH {
            text.truncate(text.trim_end().len());
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent + 4));
            width = indent + 4;
        }
        text.push_str(piece);
        width += length;
    }
    text.push('\n');
}

/// A duration of which only the first few digits count.
fn short(duration: Duration) -> String {
    match duration.as_nanos() {
        ..10_000 => format!("{} ns", duration.as_nanos()),
        10_000..10_000_000 => format!("{} µs", duration.as_micros()),
        10_000_000..10_000_000_000 => format!("{} ms", duration.as_millis()),
        _ => format!("{} s", duration.as_secs()),
    }
}
