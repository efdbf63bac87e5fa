//! Describes tasks, locks and waits in words. Dumps and reports of stuck tasks and stalls use it.
//! It only reads the state.

use crate::state::{Awaited, Holder, Lock, Slot, State, TaskLabel, TaskNumber, visible};

/// How many holders of a lock are named.
const MOST_HOLDERS: usize = 4;

pub(super) fn lock_name(lock: Option<&Lock>) -> String {
    let name = lock.and_then(|lock| lock.name.as_deref());
    name.map_or_else(|| "a lock".to_owned(), |name| format!("the lock \"{}\"", visible(name)))
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
