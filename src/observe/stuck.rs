//! Which tasks can never go on, and why. Three reports come from here: a **deadlock** (tasks that wait for each other in
//! a knot), a **lost waker** (a task that waits for nothing), and **quiescence** (nothing can wake this loop any more).
//! Called by the batch after a poll that looks suspicious, and by the turn before it sleeps for ever.
//!
//! A task has a *way out* while it waits for something that comes from outside the tasks, or that some task may give without
//! holding it; while it is ready; and if it is foreign, that is if code outside this crate has its waker. Tasks without one, each of
//! whose waits is for a lock or for the end of a task, which again such a task holds or is, form a knot. `docs/design.md` argues why no
//! correct program is accused.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::panic::Location;

use log::Level;

use super::TaskLabel;
use crate::core::Core;
use crate::observe;
use crate::slots::Slot;
use crate::task::waker::TaskNumber;
use crate::task::{self, Hint, JoinError, Tasks};
use crate::waits::{Holder, Wait, What};

/// What is done about a deadlock among tasks: see [`Builder::deadlock`](crate::Builder::deadlock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deadlock {
    /// It is logged at `error`, and the tasks stay where they are.
    #[default]
    Warn,
    /// The future of the task that closed the knot is dropped, which frees its locks. Its
    /// [`JoinHandle`](crate::task::JoinHandle) gets the report as an error; in the main future of `block_on` it is a panic.
    Fail,
    /// It is not looked for.
    Ignore,
}

/// How far a chain of tasks, each waiting for the next, is followed after one poll.
const LONGEST_CHAIN: usize = 1000;

/// Whether a waker was lost is found out by looking at all waits. With many tasks that may take long; so each turn gives credit for
/// so many records, up to so many, and without credit a task is not looked at.
pub(crate) const CREDIT: usize = 1000;
pub(crate) const MOST_CREDIT: usize = 1_000_000;

/// What a closer look has come to.
pub(crate) enum Verdict {
    Fine,
    /// The main future is to panic with this.
    Panic(String),
}

/// Looks at the task that was polled last: nobody seems to have kept its waker, or it waits for a task or a lock.
#[cold]
pub(crate) fn look() -> Verdict {
    let looked = Core::with(|core| {
        let polled = core.tasks.polled;
        let suspicion = std::mem::take(&mut core.tasks.suspicion);
        if core.deadlock == Deadlock::Ignore || !core.tasks.can_be_stuck(polled) || core.shared.has_mail() {
            return None;
        }
        if suspicion & Tasks::BLOCKED != 0 {
            core.tasks.hint_joiners(polled, LONGEST_CHAIN);
            if has_chain_with_a_loop(core, polled) {
                return knot(core, polled).map(Found::Knot);
            }
        }
        (suspicion & Tasks::UNKEPT != 0 && is_lost(core, polled)).then_some(Found::Lost(polled))
    });
    match looked.flatten() {
        None => Verdict::Fine,
        Some(Found::Lost(slot)) => {
            let origin = Core::with(|core| core.tasks.origin(slot)).flatten();
            let who = origin.map(|origin| origin.to_string()).unwrap_or_default();
            say_error(&format!(
                "{who} returned `Pending`, and nobody has kept its waker: it will never be polled again. A future must keep `cx.waker().clone()` for whoever makes it ready, or wake it"
            ));
            Verdict::Fine
        }
        Some(Found::Knot(knot)) => report_knot(knot),
    }
}

enum Found {
    Lost(Slot),
    Knot(Knot),
}

/// Tasks that wait for each other, as their last lines.
struct Knot {
    closed_by: Slot,
    is_main: bool,
    fail: bool,
    lines: String,
}

fn report_knot(knot: Knot) -> Verdict {
    if !knot.fail {
        say_error(&knot.lines);
        return Verdict::Fine;
    }
    if knot.is_main {
        return Verdict::Panic(knot.lines);
    }
    task::give_up(knot.closed_by, |origin| JoinError::deadlocked(origin, knot.lines));
    Verdict::Fine
}

fn say_error(text: &str) {
    observe::say(Level::Error, observe::TASK, format_args!("{text}"));
}

/// Follows one hint from task to task. In a knot every wait stays within it, so any path must come back to where it was;
/// nearly always it soon ends at a task that waits for something else.
fn has_chain_with_a_loop(core: &Core, start: Slot) -> bool {
    let mut path = vec![start];
    let mut at = start;
    while path.len() < LONGEST_CHAIN {
        let next = match core.tasks.hint(at) {
            Some(Hint::Task(task)) => Some(task),
            Some(Hint::Lock(lock)) => {
                core.waits.lock(lock).and_then(|lock| core.tasks.slot_of(lock.holder?.task))
            }
            None => None,
        };
        let Some(next) = next.filter(|next| core.tasks.can_be_stuck(*next)) else { return false };
        if path.contains(&next) {
            return true;
        }
        path.push(next);
        at = next;
    }
    false
}

/// Every wait of every task, of those that could be stuck.
fn all_waits(core: &Core) -> HashMap<Slot, Vec<Wait>> {
    let mut waits: HashMap<Slot, Vec<Wait>> = HashMap::new();
    core.each_wait(|wait| {
        if let Some(slot) = core.tasks.slot_of(wait.task) {
            waits.entry(slot).or_default().push(wait);
        }
    });
    waits
}

/// Whom a task waits for there. `None`: this is a way out.
fn blocker(core: &Core, wait: &Wait) -> Option<Slot> {
    let task = match wait.what {
        What::Task(task) => task,
        What::Lock(lock) => core.tasks.slot_of(core.waits.lock(lock)?.holder?.task)?,
        _ => return None,
    };
    core.tasks.can_be_stuck(task).then_some(task)
}

/// The knot that `start` is in or leads to, if there is one that was not reported before.
fn knot(core: &mut Core, start: Slot) -> Option<Knot> {
    if core.shared.has_handles() {
        return None;
    }
    let waits = all_waits(core);
    let mut reached = vec![start];
    let mut known = HashSet::from([start]);
    let mut next = 0;
    while let Some(task) = reached.get(next).copied() {
        next += 1;
        if core.tasks.was_reported(task) {
            return None;
        }
        for wait in waits.get(&task)? {
            let blocker = blocker(core, wait)?;
            if known.insert(blocker) {
                reached.push(blocker);
            }
        }
    }
    // All are stuck. Those that stand in a circle explain it.
    let circle = circle(core, &waits, start);
    for task in &reached {
        core.tasks.mark_reported(*task);
    }
    let mut lines =
        format!("deadlock: {} task{} wait for each other", circle.len(), super::plural(circle.len()));
    if let [_] = circle[..] {
        lines = "deadlock: a task waits for itself".to_owned();
    }
    for (task, wait) in &circle {
        let _ = write!(lines, "\n  {}", describe(core, *task, wait));
    }
    let others = reached.len() - circle.len();
    if others > 0 {
        let _ = write!(lines, "\n  and {others} more task{} wait for these", super::plural(others));
    }
    let is_main = core.tasks.is_main(start);
    Some(Knot { closed_by: start, is_main, fail: core.deadlock == Deadlock::Fail, lines })
}

/// A way from `start` by first waits, without what leads to the circle.
fn circle(core: &Core, waits: &HashMap<Slot, Vec<Wait>>, start: Slot) -> Vec<(Slot, Wait)> {
    let mut path: Vec<(Slot, Wait)> = Vec::new();
    let mut at = start;
    loop {
        if let Some(first) = path.iter().position(|(task, _)| *task == at) {
            return path.split_off(first);
        }
        let wait = waits[&at][0];
        path.push((at, wait));
        at = blocker(core, &wait).expect("it was looked at just now");
    }
}

/// One task of a knot, in words.
fn describe(core: &Core, task: Slot, wait: &Wait) -> String {
    let who = core.tasks.origin(task).map(|origin| origin.to_string()).unwrap_or_default();
    let place =
        |place: Option<&'static Location<'static>>| place.map(|at| format!(" at {at}")).unwrap_or_default();
    let what = match wait.what {
        What::Lock(lock) => {
            let lock = core.waits.lock(lock);
            let name = lock.and_then(|lock| lock.name.as_deref());
            let name = name.map_or_else(|| "a lock".to_owned(), |name| format!("the lock {name:?}"));
            let holder = lock
                .and_then(|lock| lock.holder)
                .map(|Holder { task, place }| format!(", which {} holds since {place}", label(core, task)));
            format!("{name}{}", holder.unwrap_or_default())
        }
        What::Task(task) => format!("the end of {}", slot_label(core, task)),
        _ => "something else".to_owned(),
    };
    format!("{who} waits{} for {what}", place(wait.place))
}

fn label(core: &Core, task: TaskNumber) -> String {
    core.tasks.slot_of(task).map_or_else(|| "a task".to_owned(), |slot| slot_label(core, slot))
}

fn slot_label(core: &Core, slot: Slot) -> String {
    TaskLabel { slot, name: core.tasks.name(slot) }.to_string()
}

/// Whether a task that is not ready waits for nothing at all.
fn is_lost(core: &mut Core, task: Slot) -> bool {
    let records = core.tasks.count() + core.timers.slots() + core.reactor.count();
    if core.tasks.was_reported(task) || records > core.look_credit {
        return false;
    }
    core.look_credit -= records;
    let mut waits = false;
    core.each_wait(|wait| waits |= core.tasks.slot_of(wait.task) == Some(task));
    if !waits {
        core.tasks.mark_reported(task);
    }
    !waits
}

/// Asked before the loop sleeps for ever, in `block_on`: whether anything that it knows of can wake it. If not,
/// that is said, once.
#[cold]
pub(crate) fn look_before_sleep() -> Verdict {
    let quiescent = Core::with(|core| {
        let may_be_woken = core.deadlock == Deadlock::Ignore
            || core.quiescent
            || core.jobs > 0
            || core.shared.has_mail()
            || core.shared.has_handles()
            || core.reactor.is_awaited()
            || core.tasks.is_any_foreign();
        core.quiescent |= !may_be_woken;
        !may_be_woken
    });
    if quiescent != Some(true) {
        return Verdict::Fine;
    }
    let text = format!(
        "nothing can wake this event loop any more: no task is ready, no timer is armed, no source is waited for, and no other thread can reach it\n{}",
        super::dump::dump()
    );
    if Core::with(|core| core.deadlock) == Some(Deadlock::Fail) {
        return Verdict::Panic(text);
    }
    observe::say(Level::Warn, observe::LOOP, format_args!("{text}"));
    Verdict::Fine
}
