//! [`WaitGraph`]: all waits of a loop at one moment, and which tasks are stuck by them. Pure: it changes
//! nothing.

use std::collections::{HashMap, HashSet};

use crate::state::{Awaited, Slot, State, Wait};

pub(crate) struct WaitGraph {
    /// The waits of each task that has any.
    waits: HashMap<Slot, Vec<Edge>>,
}

/// A wait, and the tasks that can end it.
struct Edge {
    wait: Wait,
    /// Empty: something else can end it, or a task that can go on.
    blockers: Vec<Slot>,
}

impl WaitGraph {
    /// Goes through all records of the loop.
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

    pub(crate) fn waits_of(&self, task: Slot) -> impl ExactSizeIterator<Item = &Wait> {
        self.edges(task).iter().map(|edge| &edge.wait)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Wait> {
        self.waits.values().flatten().map(|edge| &edge.wait)
    }

    /// All tasks without a way out. A wait that `is_hopeless` is none.
    ///
    /// A task has a way out if one of its waits has no blockers, or a blocker with a way out. So this starts
    /// from the waits without blockers and goes backwards, which takes a time proportional to the waits.
    pub(crate) fn stuck_tasks(&self, is_hopeless: impl Fn(&Wait) -> bool) -> HashSet<Slot> {
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
                    // A blocker that waits for nothing is not stuck by a wait: it has lost its waker, and that is
                    // reported instead.
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

    /// This stuck task and all tasks that it waits for, directly or through others.
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

    /// Goes from a stuck task by the first wait of each task until it comes to a task again. Returns that
    /// cycle, without the way to it.
    pub(crate) fn cycle(&self, start: Slot) -> Vec<(Slot, Wait)> {
        let mut path: Vec<(Slot, Wait)> = Vec::new();
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

/// The tasks that can end this wait. Empty: something else can, or one of them can go on.
fn blockers(state: &State, wait: &Wait) -> Vec<Slot> {
    let blockers = match wait.what {
        Awaited::Task(task) => vec![task],
        Awaited::Lock(lock) => {
            let holder = state.waits.lock(lock).and_then(|lock| lock.holder);
            holder.and_then(|holder| state.slot_of(holder.task)).into_iter().collect()
        }
        // Any of them may end the group, by failing.
        Awaited::Group(group) => state.waits.group(group).map_or(Vec::new(), |children| {
            children.borrow().iter().map(|(_, child)| *child).collect()
        }),
        _ => Vec::new(),
    };
    if blockers.iter().all(|task| state.tasks.can_be_stuck(*task)) { blockers } else { Vec::new() }
}
