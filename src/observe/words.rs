//! Describes tasks, locks and waits in words. Dumps and reports of stuck tasks and stalls use it.
//! It only reads the state.

use crate::state::{Awaited, Holder, Lock, Slot, State, TaskLabel, TaskNumber, visible};

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
            let holder = lock.and_then(|lock| lock.holder).map(|Holder { task, place }| {
                format!(", which {} holds since {place}", task_of_number(state, task))
            });
            format!("{}{}", lock_name(lock), holder.unwrap_or_default())
        }
        Awaited::Task(task) => format!("the end of {}", task_label(state, task)),
        Awaited::Group(group) => {
            let children = state.waits.group(group).map(|children| children.borrow());
            let children = children.as_ref();
            let first = children.and_then(|children| children.iter().next());
            let others = children.map_or(0, |children| children.len()).saturating_sub(1);
            let Some((_, first)) = first else { return "the end of a group".to_owned() };
            let more = if others > 0 { format!(" and {others} more") } else { String::new() };
            format!("the end of a group: of {}{more}", task_label(state, *first))
        }
        Awaited::FromTasks(what) | Awaited::FromOutside(what) => what.to_owned(),
        Awaited::Source { kind, .. } => kind.to_owned(),
        Awaited::Timer { .. } => "a timer".to_owned(),
    }
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
