//! [`WaitGraph`]: all waits of a loop at one moment, and which tasks they make stuck. `stuck.rs`
//! builds it for each check. It changes nothing.

use std::collections::{HashMap, HashSet};

use crate::state::{Awaited, Lock, Slot, State, TaskWait};

pub(crate) struct WaitGraph {
    /// The waits of each task that has any.
    waits: HashMap<Slot, Vec<Edge>>,
}

/// A wait, and the tasks that can end it.
struct Edge {
    wait: TaskWait,
    /// Empty if something other than a task can end the wait, or tasks that can continue.
    blockers: Vec<Slot>,
    /// Whether all of the blockers must continue to end the wait, as those that read a lock.
    /// Otherwise one of them is enough.
    needs_all: bool,
}

impl WaitGraph {
    /// Builds the graph from all wait records of the loop.
    pub(crate) fn new(state: &State) -> Self {
        let mut waits: HashMap<Slot, Vec<Edge>> = HashMap::new();
        state.each_wait(|task, wait| {
            let (blockers, needs_all) = blockers(state, &wait);
            waits.entry(task).or_default().push(Edge { wait, blockers, needs_all });
        });
        WaitGraph { waits }
    }

    fn edges(&self, task: Slot) -> &[Edge] {
        self.waits.get(&task).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn waits_of(&self, task: Slot) -> impl ExactSizeIterator<Item = &TaskWait> {
        self.edges(task).iter().map(|edge| &edge.wait)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &TaskWait> {
        self.waits.values().flatten().map(|edge| &edge.wait)
    }

    /// Returns all tasks without a way out. A wait for which `is_hopeless` returns true counts as
    /// no way out.
    ///
    /// A task has a way out if one of its waits has no blockers, or a blocker with a way out; all of
    /// them must have one if the wait needs all. So the search starts from the waits without
    /// blockers and follows the edges backwards, in time proportional to the number of waits.
    pub(crate) fn stuck_tasks(&self, is_hopeless: impl Fn(&TaskWait) -> bool) -> HashSet<Slot> {
        let mut waiting_for: HashMap<Slot, Vec<(Slot, Option<usize>)>> = HashMap::new();
        // For each wait that needs all of its blockers, how many are not known to have a way out.
        let mut missing = Vec::new();
        let mut free = Vec::new();
        for (task, edges) in &self.waits {
            for edge in edges.iter().filter(|edge| !is_hopeless(&edge.wait)) {
                if edge.blockers.is_empty() {
                    free.push(*task);
                }
                let counter = edge.needs_all.then(|| {
                    missing.push(edge.blockers.len());
                    missing.len() - 1
                });
                for blocker in &edge.blockers {
                    waiting_for.entry(*blocker).or_default().push((*task, counter));
                    // A blocker without any wait is not part of a deadlock: it has lost its waker,
                    // which is reported separately.
                    if !self.waits.contains_key(blocker) {
                        free.push(*blocker);
                    }
                }
            }
        }
        let mut freed = HashSet::new();
        while let Some(task) = free.pop() {
            if !freed.insert(task) {
                continue;
            }
            for (waiter, counter) in waiting_for.remove(&task).unwrap_or_default() {
                let left = counter.map_or(0, |counter| {
                    missing[counter] -= 1;
                    missing[counter]
                });
                if left == 0 {
                    free.push(waiter);
                }
            }
        }
        self.waits.keys().filter(|task| !freed.contains(task)).copied().collect()
    }

    /// Returns this stuck task and all stuck tasks that it waits for, directly or through others.
    pub(crate) fn reach(&self, start: Slot, stuck: &HashSet<Slot>) -> Vec<Slot> {
        let mut known = HashSet::from([start]);
        let mut reached = vec![start];
        let mut next = 0;
        while let Some(task) = reached.get(next).copied() {
            next += 1;
            for edge in self.edges(task) {
                let blockers = edge.blockers.iter().filter(|blocker| stuck.contains(blocker));
                reached.extend(blockers.filter(|blocker| known.insert(**blocker)));
            }
        }
        reached
    }

    /// Follows the first wait of each task from a stuck task until a task repeats. Returns that
    /// cycle, without the path to it.
    pub(crate) fn cycle(&self, start: Slot, stuck: &HashSet<Slot>) -> Vec<(Slot, TaskWait)> {
        let mut path: Vec<(Slot, TaskWait)> = Vec::new();
        let mut known = HashMap::new();
        let mut at = start;
        loop {
            if let Some(first) = known.insert(at, path.len()) {
                return path.split_off(first);
            }
            let edge = &self.waits[&at][0];
            path.push((at, edge.wait));
            // Of those that read a lock, only some may be stuck.
            let next = edge.blockers.iter().find(|blocker| stuck.contains(blocker));
            at = *next.expect("each wait of a stuck task has a stuck blocker");
        }
    }
}

/// Returns the tasks that can end this wait, and whether that takes all of them. Returns no tasks if
/// something else can end it, or if tasks that can continue are enough.
fn blockers(state: &State, wait: &TaskWait) -> (Vec<Slot>, bool) {
    let can_be_stuck = |task: &Slot| state.tasks.can_be_stuck(*task);
    let blockers = match wait.what {
        Awaited::Task(task) => vec![task],
        Awaited::Lock(lock) => {
            let holders = state.waits.lock(lock).map_or(Vec::new(), Lock::holders);
            let holders = holders.iter().filter_map(|holder| state.slot_of(holder.task));
            // A holder that is not known or can continue does not help against one that is stuck.
            return (holders.filter(can_be_stuck).collect(), true);
        }
        Awaited::Read(lock) => {
            let writer = state.waits.lock(lock).and_then(Lock::ahead_of_readers);
            writer.and_then(|writer| state.slot_of(writer.task)).into_iter().collect()
        }
        // Each child is a blocker, because any of them can end the group by failing. The next end
        // in a `JoinSet` may be that of any child.
        Awaited::Group(group) => state.waits.group(group).map_or(Vec::new(), |(children, _)| {
            children.borrow().iter().map(|(_, child)| *child).collect()
        }),
        _ => Vec::new(),
    };
    (if blockers.iter().all(can_be_stuck) { blockers } else { Vec::new() }, false)
}
