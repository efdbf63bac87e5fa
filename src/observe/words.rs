//! Describes tasks, locks, waits and durations in words. Dumps and reports of stuck tasks and stalls
//! use it. It only reads the state.

use std::time::Duration;

use crate::state::{Awaited, Holder, Lock, Slot, State, TaskLabel, TaskNumber, plural, visible};

/// How many holders of a lock are named.
const MOST_HOLDERS: usize = 4;

pub(super) fn lock_name(lock: Option<&Lock>) -> String {
    match lock {
        Some(Lock { name: Some(name), .. }) => format!("the lock \"{}\"", visible(name)),
        Some(Lock { kind, name: None, .. }) => (*kind).to_owned(),
        None => "a lock".to_owned(),
    }
}

/// Describes what a task waits for. Names locks and tasks; for a source or a timer gives only its
/// kind.
pub(super) fn awaited(state: &State, what: Awaited) -> String {
    match what {
        Awaited::Lock(lock) => {
            let lock = state.waits.lock(lock);
            format!("{}{}", lock_name(lock), holders_text(state, lock))
        }
        Awaited::Read(lock) => {
            let lock = state.waits.lock(lock);
            let text = format!("{}, to read", lock_name(lock));
            match lock.and_then(Lock::ahead_of_readers) {
                Some(writer) if !lock.is_some_and(Lock::is_written) => {
                    let task = task_of_number(state, writer.task);
                    format!("{text}, before which {task} waits to write since {}", writer.place)
                }
                _ => format!("{text}{}", holders_text(state, lock)),
            }
        }
        Awaited::Task(task) => format!("the end of {}", task_label(state, task)),
        Awaited::Group(group) => {
            let Some((children, what)) = state.waits.group(group) else {
                return "tasks that are gone".to_owned();
            };
            let children = children.borrow();
            let Some((_, first)) = children.iter().next() else { return what.to_owned() };
            let others = children.len() - 1;
            let more = if others > 0 { format!(" and {others} more") } else { String::new() };
            format!("{what}: of {}{more}", task_label(state, *first))
        }
        Awaited::FromTasks(what) | Awaited::FromOutside(what) => what.to_owned(),
        Awaited::Source { kind, .. } => kind.to_owned(),
        Awaited::Timer { .. } => "a timer".to_owned(),
    }
}

/// Names the tasks that hold a lock, as far as they are known.
fn holders_text(state: &State, lock: Option<&Lock>) -> String {
    let holders = lock.map_or(Vec::new(), Lock::holders);
    let named: Vec<String> = (holders.iter().take(MOST_HOLDERS).enumerate())
        .map(|(number, Holder { task, place })| {
            let verb = if number == 0 { " holds" } else { "" };
            format!("{}{verb} since {place}", task_of_number(state, *task))
        })
        .collect();
    if named.is_empty() {
        return String::new();
    }
    let more = match holders.len().saturating_sub(MOST_HOLDERS) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!(", which {}{more}", named.join(", "))
}

fn task_of_number(state: &State, task: TaskNumber) -> String {
    state.slot_of(task).map_or_else(|| "a task".to_owned(), |slot| task_label(state, slot))
}

pub(super) fn task_label(state: &State, slot: Slot) -> String {
    TaskLabel { slot, name: state.tasks.name(slot) }.to_string()
}

/// Describes a task together with the place where it was spawned.
pub(super) fn task_and_place(state: &State, slot: Slot) -> String {
    let origin = state.tasks.origin(slot);
    origin.map_or_else(|| format!("task {}", slot.generation()), |origin| origin.to_string())
}

pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", plural(n))
}

/// Appends a line. It is broken at commas so that each part fits a terminal.
pub(super) fn line(text: &mut String, line: &str) {
    const WIDTH: usize = 100;
    let indent = line.len() - line.trim_start().len();
    let mut width = 0;
    for (number, piece) in line.split_inclusive(", ").enumerate() {
        let length = piece.chars().count();
        // The first part stays on its line, however long it is.
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

/// Formats a duration with only its first few digits.
pub(super) fn short(duration: Duration) -> String {
    match (duration.as_nanos(), duration.as_secs()) {
        (..10_000, _) => format!("{} ns", duration.as_nanos()),
        (..10_000_000, _) => format!("{} µs", duration.as_micros()),
        (..10_000_000_000, _) => format!("{} ms", duration.as_millis()),
        (_, ..10_000) => format!("{} s", duration.as_secs()),
        (_, ..360_000) => format!("{} min", duration.as_secs() / 60),
        (_, ..8_640_000) => format!("{} h", duration.as_secs() / 3600),
        (_, seconds) => format!("{} days", seconds / 86400),
    }
}

/// Formats an age, which is known to about a millisecond.
pub(super) fn age(age: Duration) -> String {
    match age.as_secs() {
        ..10 => format!("{} ms", (age + Duration::from_micros(500)).as_millis()),
        _ => short(age),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_a_few_digits() {
        let told = [
            (9_999, "9999 ns"),
            (10_000, "10 µs"),
            (9_999_999, "9999 µs"),
            (10_000_000, "10 ms"),
            (9_999_999_999, "9999 ms"),
            (10_000_000_000, "10 s"),
            (9_999_999_999_999, "9999 s"),
            (10_000_000_000_000, "166 min"),
            (360_000_000_000_000, "100 h"),
            (8_640_000_000_000_000, "100 days"),
        ];
        for (nanos, text) in told {
            assert_eq!(short(Duration::from_nanos(nanos)), text);
        }
        // Ages are kept in units of 2^20 ns.
        for (units, text) in
            [(0, "0 ms"), (1, "1 ms"), (19, "20 ms"), (954, "1000 ms"), (9_537, "10 s")]
        {
            assert_eq!(age(Duration::from_nanos(units << 20)), text);
        }
    }
}
