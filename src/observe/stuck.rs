//! The stuck-task analysis: finds tasks that can never continue, and says why. It reports a
//! **deadlock** (tasks wait for each other), a **lost waker** (a task waits, but nothing holds its
//! waker), and **quiescence** (nothing can wake this loop any more). The turn calls it before it
//! asks the kernel.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use log::Level;

use super::dump::brief;
use super::wait_graph::WaitGraph;
use super::words::{awaited, task_and_place};
use crate::door::Door;
use crate::state::{
    Awaited, Blocker, Deadlock, Effect, Flags, Holder, JoinError, LOOP, Slot, State, TASK,
    TaskWait, plural,
};

/// The result of the analysis.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No stuck task was found.
    Fine,
    /// Something was reported. The logger may have made tasks ready meanwhile.
    Reported,
    /// A task was dropped to resolve a deadlock.
    Resolved,
    /// The main future must panic with this report.
    Panic(String),
}

impl Verdict {
    /// Returns the more important of the two verdicts.
    fn or(self, other: Verdict) -> Verdict {
        match (self, other) {
            (Verdict::Panic(report), _) | (_, Verdict::Panic(report)) => Verdict::Panic(report),
            (Verdict::Resolved, _) | (_, Verdict::Resolved) => Verdict::Resolved,
            (Verdict::Fine, other) => other,
            (one, _) => one,
        }
    }
}

/// Checks all suspects. If none is stuck and the loop is about to sleep without a timeout in
/// `block_on` (`for_ever`), also checks whether anything can wake the loop.
///
/// A task has a *way out* if any of these is true: it is ready; code outside this crate has cloned
/// its waker (the loop cannot follow the clone, so the task is *foreign* from then on); a
/// [`RemoteHandle`](crate::RemoteHandle) that can abort it exists; one of its waits is for
/// something from outside the tasks, such as a timer or a socket; one of its waits is for something
/// that any task may provide, such as a message. Every other wait is for a lock that a task holds,
/// or for the end of a task or a group. Such a wait is a way out if one of the tasks that can end
/// it has a way out. Tasks without a way out that wait only for themselves or each other form a
/// deadlock. `docs/design.md` argues why there are no false deadlock reports.
#[cold]
pub(crate) fn look(for_ever: bool) -> Verdict {
    let mut before = Verdict::Fine;
    loop {
        let Some(mut door) = Door::open() else { return before };
        match door.check_suspects() {
            // Dropping the task may leave another deadlock, so check again. Closing the door has
            // run the drop, so the locks that the task held are free by then.
            Verdict::Resolved => before = Verdict::Resolved,
            verdict if for_ever && before == Verdict::Fine => {
                return verdict.or(door.check_quiescence());
            }
            verdict => return before.or(verdict),
        }
    }
}

/// Returns whether none of these tasks can continue before `outside` ends, an event from outside
/// the tasks.
pub(crate) fn can_only_wait_for(state: &State, tasks: &[Slot], outside: &str) -> bool {
    let is_hopeless =
        |wait: &TaskWait| matches!(wait.what, Awaited::FromOutside(what) if what == outside);
    let stuck = WaitGraph::new(state).stuck_tasks(is_hopeless);
    tasks.iter().all(|task| state.tasks.can_be_stuck(*task) && stuck.contains(task))
}

/// How many lost wakers one check reports. Later checks report the others.
const MOST_LOST: usize = 50;

impl State {
    fn check_suspects(&mut self) -> Verdict {
        if self.deadlock == Deadlock::Ignore {
            while self.suspects.pop(&mut self.tasks).is_some() {}
        }
        // While other threads can reach the loop, they may free a task that looks stuck, so the
        // list keeps its tasks for later.
        if self.suspects.is_empty() || self.can_be_reached() {
            return Verdict::Fine;
        }
        let suspects = self.take_suspects();
        if suspects.is_empty() {
            return Verdict::Fine;
        }
        let graph = WaitGraph::new(self);
        let stuck = graph.stuck_tasks(|_| false);
        // Tasks of the deadlocks found in this check, including those reported before.
        let mut done = HashSet::new();
        let (mut verdict, mut lost) = (Verdict::Fine, 0);
        for (task, suspicion) in suspects {
            if suspicion.has_any(Flags::MAY_BE_DEADLOCKED) && stuck.contains(&task) {
                if !done.contains(&task) {
                    let found = FoundDeadlock::new(&graph, task, &stuck);
                    let is_done = found.cycle.iter().any(|(task, _)| done.contains(task));
                    done.extend(found.stuck.iter().copied());
                    if is_done {
                        // The cycle that this task waits for was handled in this check. If a victim
                        // was dropped, this task may be free now, so the next check decides.
                        if self.deadlock == Deadlock::Fail {
                            self.suspects.add(task, Flags::MAY_BE_DEADLOCKED, &mut self.tasks);
                        }
                    } else if found.is_new(self) {
                        verdict = verdict.or(self.resolve(&graph, found));
                    }
                }
            } else if suspicion.has_any(Flags::MAY_BE_LOST) && graph.waits_of(task).len() == 0 {
                if lost == MOST_LOST {
                    self.suspects.add(task, Flags::MAY_BE_LOST, &mut self.tasks);
                } else if !self.tasks.has(task, Flags::REPORTED) {
                    lost += 1;
                    self.report_lost_waker(task);
                    verdict = verdict.or(Verdict::Reported);
                }
            }
            if let Verdict::Panic(_) = verdict {
                break;
            }
        }
        verdict
    }

    /// Takes the suspects from the list, the last first, without those that a cheap check clears.
    /// Following a chain is cheap, while building the graph visits all records of the loop.
    fn take_suspects(&mut self) -> Vec<(Slot, Flags)> {
        let mut noted = HashSet::new();
        for task in self.suspects.tasks() {
            // Note the wait of its joiner, of the joiner's joiner, and so on. They did not note it
            // when they began to wait, because most often the awaited task is ready and about to
            // finish.
            let mut joined = *task;
            while let Some(joiner) = self.tasks.note_joiner(joined)
                && noted.insert(joined)
            {
                joined = joiner;
            }
        }
        let mut chains = Chains::default();
        let mut suspects = Vec::new();
        while let Some((task, mut suspicion)) = self.suspects.pop(&mut self.tasks) {
            if suspicion.has_any(Flags::MAY_BE_DEADLOCKED) && !chains.lead_to_cycle(self, task) {
                suspicion.clear(Flags::MAY_BE_DEADLOCKED);
            }
            if suspicion.has_any(Flags::SUSPECT) && self.tasks.can_be_stuck(task) {
                suspects.push((task, suspicion));
            }
        }
        suspects
    }

    fn report_lost_waker(&mut self, task: Slot) {
        self.tasks.set(task, Flags::REPORTED, true);
        let label = task_and_place(self, task);
        let (level, advice) = if self.tasks.is_abortable(task) {
            self.tasks.set(task, Flags::TOLD_AT_INFO, true);
            (Level::Info, "It may be meant so, as long as its `JoinHandle` can abort it")
        } else {
            let advice =
                "A future must keep `cx.waker().clone()` for whoever makes it ready, or wake it";
            (Level::Warn, advice)
        };
        let line = format!(
            "{label} returned `Pending`, and nobody has kept its waker: it will never be polled again. {advice}"
        );
        self.outbox.post(Effect::Log(level, TASK, line));
    }

    fn resolve(&mut self, graph: &WaitGraph, found: FoundDeadlock) -> Verdict {
        let report = report_text(self, graph, &found);
        let FoundDeadlock { victim, stuck, .. } = found;
        if self.deadlock != Deadlock::Fail {
            for task in stuck {
                self.tasks.set(task, Flags::REPORTED, true);
            }
            self.outbox.post(Effect::Log(Level::Error, TASK, report));
            return Verdict::Reported;
        }
        // Another cycle may remain without the victim, so all of these tasks are checked again.
        for task in stuck {
            self.suspects.add(task, Flags::MAY_BE_DEADLOCKED, &mut self.tasks);
        }
        if self.tasks.is_main(victim) {
            return Verdict::Panic(report);
        }
        self.fail(victim, |origin| JoinError::deadlocked(origin, report));
        Verdict::Resolved
    }

    /// Checks whether anything that this loop knows of can ever wake it. If not, reports that, once
    /// per `block_on`.
    fn check_quiescence(&mut self) -> Verdict {
        let may_be_woken = self.deadlock == Deadlock::Ignore
            || self.suspects.is_quiescence_reported
            || self.jobs > 0
            || self.can_be_reached()
            || self.sources.is_any_awaited()
            || self.tasks.is_any_reachable()
            || self.waits.iter().any(|wait| matches!(wait.what, Awaited::FromOutside(_)));
        if may_be_woken {
            return Verdict::Fine;
        }
        self.suspects.is_quiescence_reported = true;
        let exception = if self.tasks.is_any_abortable() { ABORTABLE } else { "" };
        let report = format!(
            "nothing can wake this event loop any more: no task is ready, no timer is armed, no source is waited for, and no other thread can reach it{exception}\n{}",
            brief(self)
        );
        if self.deadlock == Deadlock::Fail {
            return Verdict::Panic(report);
        }
        self.outbox.post(Effect::Log(Level::Warn, LOOP, report));
        Verdict::Reported
    }
}

/// A [`JoinHandle`](crate::task::JoinHandle) may be on any thread, because the loop cannot see
/// where it is. So the report names this exception.
const ABORTABLE: &str = " (but for a thread that was given the `JoinHandle` of a task, and may abort it: give it a `Handle` too, and this is not reported)";

/// Chains of tasks, each of which waits for the next, as [noted](Blocker) by its last wait. They
/// branch where several tasks read a lock. Visits each task once while nothing changes, however many
/// chains lead through it.
#[derive(Default)]
struct Chains {
    /// The visited tasks, and whether the chain from there leads to a cycle. `None` while that
    /// chain is being followed.
    passed: HashMap<Slot, Option<bool>>,
}

impl Chains {
    fn lead_to_cycle(&mut self, state: &State, start: Slot) -> bool {
        if ends_soon(state, start) {
            return false;
        }
        // The tasks on the way from the start, each with those that it waits for and that are left
        // to follow.
        let mut path: Vec<(Slot, Vec<Slot>)> = Vec::new();
        let mut next = Some(start);
        let is_cycle = loop {
            if let Some(at) = next {
                match self.passed.get(&at) {
                    Some(Some(false)) => {}
                    Some(_) => break true,
                    None => {
                        self.passed.insert(at, None);
                        path.push((at, next_in_chain(state, at)));
                    }
                }
            }
            let Some((at, left)) = path.last_mut() else { break false };
            next = left.pop();
            if next.is_none() {
                self.passed.insert(*at, Some(false));
                path.pop();
            }
        };
        for (task, _) in path {
            self.passed.insert(task, Some(is_cycle));
        }
        is_cycle
    }
}

/// Whether a few joins lead from here to a task that can continue. Most chains are like that, and
/// need no record of visits.
fn ends_soon(state: &State, start: Slot) -> bool {
    const SHORT: usize = 8;
    let mut at = start;
    for _ in 0..SHORT {
        match state.tasks.blocker(at) {
            Some(Blocker::Task(next)) if state.tasks.can_be_stuck(next) => at = next,
            Some(Blocker::Record(_)) => return false,
            _ => return true,
        }
    }
    false
}

/// Returns the tasks that this one waits for and that can be stuck. Several only if they read a
/// lock: each of them may be the one that never releases it. Of a group, one is enough.
fn next_in_chain(state: &State, task: Slot) -> Vec<Slot> {
    let mut next = match state.tasks.blocker(task) {
        Some(Blocker::Task(task)) => vec![task],
        Some(Blocker::Record(record)) => match state.waits.lock(record) {
            Some(lock) => {
                let slot_of = |holder: Holder| state.slot_of(holder.task);
                let mut next: Vec<Slot> = lock.holders().into_iter().filter_map(slot_of).collect();
                let writer = lock.ahead_of_readers().and_then(slot_of);
                // The first that waits to write does not wait for itself.
                next.extend(writer.filter(|writer| *writer != task && !lock.is_written()));
                next
            }
            None => {
                let group = state.waits.group(record).map(|(children, _)| children.borrow());
                let first = group.and_then(|children| Some(*children.iter().next()?.1));
                first.into_iter().collect()
            }
        },
        None => Vec::new(),
    };
    next.retain(|task| state.tasks.can_be_stuck(*task));
    next
}

/// A deadlock that was found.
struct FoundDeadlock {
    /// The task whose future is dropped to resolve it.
    victim: Slot,
    cycle: Vec<(Slot, TaskWait)>,
    /// The tasks that can be reached from the start, including the whole cycle. None of them can
    /// continue.
    stuck: Vec<Slot>,
}

impl FoundDeadlock {
    /// Describes the deadlock that the stuck task `start` is part of or waits for.
    fn new(graph: &WaitGraph, start: Slot, stuck: &HashSet<Slot>) -> Self {
        let cycle = graph.cycle(start, stuck);
        // Drop the task that closed the cycle. If `start` only waits for the cycle, dropping it
        // would not help.
        let is_in_cycle = cycle.iter().any(|(task, _)| *task == start);
        let victim = if is_in_cycle { start } else { cycle[0].0 };
        FoundDeadlock { victim, cycle, stuck: graph.reach(start, stuck) }
    }

    fn is_new(&self, state: &State) -> bool {
        !self.cycle.iter().all(|(task, _)| state.tasks.has(*task, Flags::REPORTED))
    }
}

/// How many tasks of the cycle a report describes.
const MOST_IN_CYCLE: usize = 50;

/// How many tasks a report describes that wait for the cycle without being part of it.
const MOST_OTHERS: usize = 10;

fn report_text(state: &State, graph: &WaitGraph, found: &FoundDeadlock) -> String {
    let FoundDeadlock { cycle, stuck, .. } = found;
    let count = cycle.len();
    let mut lines = format!("deadlock: {count} task{} wait for each other", plural(count));
    if count == 1 {
        lines = String::from("deadlock: a task waits for itself");
    }
    for (task, wait) in cycle.iter().take(MOST_IN_CYCLE) {
        let _ = write!(lines, "\n  {}", describe(state, *task, wait));
    }
    if let more @ 1.. = count.saturating_sub(MOST_IN_CYCLE) {
        let _ = write!(lines, "\n  and {more} more task{}, up to the first again", plural(more));
    }
    let in_cycle: HashSet<Slot> = cycle.iter().map(|(task, _)| *task).collect();
    let is_new =
        |task: &&Slot| !in_cycle.contains(task) && !state.tasks.has(**task, Flags::REPORTED);
    for (number, task) in stuck.iter().filter(is_new).enumerate() {
        let Some(wait) = graph.waits_of(*task).next() else { continue };
        if number == MOST_OTHERS {
            let all = stuck.len();
            let _ = write!(lines, "\n  and more tasks wait for these: {all} in all");
            break;
        }
        let _ = write!(lines, "\n  so {}", describe(state, *task, wait));
    }
    lines
}

/// Describes one task of a deadlock.
fn describe(state: &State, task: Slot, wait: &TaskWait) -> String {
    let place = wait.waiter.place.map(|at| format!(" at {at}")).unwrap_or_default();
    format!("{} waits{place} for {}", task_and_place(state, task), awaited(state, wait.what))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::event_loop::EventLoop;
    use crate::sync::Notify;
    use crate::task::{JoinHandle, spawn, yield_now};

    struct NotifyOnDrop(Rc<Notify>);

    impl Drop for NotifyOnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    /// Nothing wakes the loop once it sleeps, so the check before that must find the cycle.
    #[test]
    fn a_cycle_of_any_length_is_found() {
        for length in [2, 3, 48, 49, 5000] {
            let mut event_loop =
                EventLoop::builder().deadlock(Deadlock::Fail).build().expect("a loop");
            event_loop.block_on(async {
                let ended = Rc::new(Notify::new());
                let (last_of_all, notify) = (Rc::new(Cell::new(None)), Rc::clone(&ended));
                let joined = Rc::clone(&last_of_all);
                let mut last: JoinHandle<()> = spawn(async move {
                    let _notify = NotifyOnDrop(notify);
                    yield_now().await;
                    let last: Option<JoinHandle<()>> = joined.take();
                    drop(last.expect("a task").await);
                });
                for _ in 1..length {
                    let before = last;
                    last = spawn(async move { drop(before.await) });
                }
                last_of_all.set(Some(last));
                ended.notified().await; // By the drop of a task that was cut out.
            });
        }
    }
}
