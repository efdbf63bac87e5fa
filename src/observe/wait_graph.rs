//! [`WaitGraph`]: all waits of a loop at one moment, and which tasks they make stuck. `stuck.rs`
//! builds it for each check. It changes nothing.

use std::collections::{HashMap, HashSet};

use crate::state::{Awaited, Slot, State, TaskWait};

pub(crate) struct WaitGraph {
    /// The waits of each task that has any.
    waits: HashMap<Slot, Vec<Edge>>,
}

/// A wait, and the tasks that can end it.
struct Edge {
    wait: TaskWait,
    /// Empty if something other than a task can end the wait, or a task that can continue.
    blockers: Vec<Slot>,
}

impl WaitGraph {
    /// Builds the graph from all wait records of the loop.
    pub(crate) fn new(state: &State) -> Self {
        let mut waits: HashMap<Slot, Vec<Edge>> = HashMap::new();
        state.each_wait(|task, wait| {
            let blockers = blockers(state, &wait);
            waits.entry(task).or_default().push(Edge { wait, blockers });
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
    /// A task has a way out if one of its waits has no blockers, or a blocker with a way out. So
    /// the search starts from the waits without blockers and follows the edges backwards, in time
    /// proportional to the number of waits.
    pub(crate) fn stuck_tasks(&self, is_hopeless: impl Fn(&TaskWait) -> bool) -> HashSet<Slot> {
        let mut stuck: HashSet<Slot> = self.waits.keys().copied().collect();
        let mut waiting_for: HashMap<Slot, Vec<Slot>> = HashMap::new();
        let mut free = Vec::new();
        for (task, edges) in &self.waits {
            for edge in edges.iter().filter(|edge| !is_hopeless(&edge.wait)) {
                if edge.blockers.is_empty() {
                    free.push(*task);
                }
                for blocker in &edge.blockers {
                    waiting_for.entry(*blocker).or_default().push(*task);
                    // A blocker without any wait is not part of a deadlock: it has lost its waker,
                    // which is reported separately.
                    if !self.waits.contains_key(blocker) {
                        free.push(*task);
                    }
                }
            }
        }
        while let Some(task) = free.pop() {
            if stuck.remove(&task) {
                free.extend(waiting_for.remove(&task).unwrap_or_default());
            }
        }
        stuck
    }

    /// Returns this stuck task and all tasks that it waits for, directly or through others.
    pub(crate) fn reach(&self, start: Slot) -> Vec<Slot> {
        let mut known = HashSet::from([start]);
        let mut reached = vec![start];
        let mut next = 0;
        while let Some(task) = reached.get(next).copied() {
            next += 1;
            for edge in self.edges(task) {
                reached.extend(edge.blockers.iter().filter(|blocker| known.insert(**blocker)));
            }
        }
        reached
    }

    /// Follows the first wait of each task from a stuck task until a task repeats. Returns that
    /// cycle, without the path to it.
    pub(crate) fn cycle(&self, start: Slot) -> Vec<(Slot, TaskWait)> {
        let mut path: Vec<(Slot, TaskWait)> = Vec::new();
        let mut known = HashMap::new();
        let mut at = start;
        loop {
            if let Some(first) = known.insert(at, path.len()) {
                return path.split_off(first);
            }
            let edge = &self.waits[&at][0];
            path.push((at, edge.wait));
            at = edge.blockers[0];
        }
    }
}

/// Returns the tasks that can end this wait. Empty if something else can end it, or if one of these
/// tasks can continue.
fn blockers(state: &State, wait: &TaskWait) -> Vec<Slot> {
    let blockers = match wait.what {
        Awaited::Task(task) => vec![task],
        Awaited::Lock(lock) => {
            let holder = state.waits.lock(lock).and_then(|lock| lock.holder);
            holder.and_then(|holder| state.slot_of(holder.task)).into_iter().collect()
        }
        // Each child is a blocker, because any of them can end the group by failing. The next end
        // in a `JoinSet` may be that of any child.
        Awaited::Group(group) => state.waits.group(group).map_or(Vec::new(), |(children, _)| {
            children.borrow().iter().map(|(_, child)| *child).collect()
        }),
        _ => Vec::new(),
    };
    if blockers.iter().all(|task| state.tasks.can_be_stuck(*task)) { blockers } else { Vec::new() }
}
