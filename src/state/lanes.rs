//! The queue of the pool's jobs. Look-ups of host names have a lane of their own, so that those that a dead resolver keeps
//! waiting never occupy all threads. Pure data, under the pool's lock.

use std::collections::BTreeMap;
use std::mem;
use std::panic::Location;
use std::sync::Arc;

use super::pool::Work;

/// What kind of job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A user's job, or a file: as many may run as there are threads.
    Job,
    /// A host name for the resolver, which may take minutes: half of the threads are kept free of them.
    LookUp,
}

const KINDS: [Kind; 2] = [Kind::Job, Kind::LookUp];

/// The jobs that wait for a thread, first come, first served; those of a full lane are passed by.
pub(crate) struct Lanes {
    lanes: [Lane; KINDS.len()],
    arrived: u64,
}

struct Lane {
    /// By the order of their arrival, across the lanes. One that is no longer wanted can be taken out.
    waiting: BTreeMap<u64, Arc<dyn Work>>,
    running: usize,
    /// So many may run at once.
    most: usize,
}

impl Lane {
    /// How many could begin if there were threads.
    fn takeable(&self) -> usize {
        self.waiting.len().min(self.most.saturating_sub(self.running))
    }

    /// The number of the job that is to begin next.
    fn next(&self) -> Option<u64> {
        if self.takeable() == 0 { None } else { self.waiting.keys().next().copied() }
    }
}

impl Lanes {
    /// For a pool of so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        let lane = |kind| Lane {
            waiting: BTreeMap::new(),
            running: 0,
            most: match kind {
                Kind::Job => threads,
                // libuv's share for getaddrinfo: half. A pool of one thread cannot keep any free.
                Kind::LookUp => (threads / 2).max(1),
            },
        };
        Lanes { lanes: KINDS.map(lane), arrived: 0 }
    }

    fn lane(&mut self, kind: Kind) -> &mut Lane {
        &mut self.lanes[kind as usize]
    }

    /// Returns its number, and whether it could begin if there were a thread.
    pub(crate) fn push(&mut self, kind: Kind, work: Arc<dyn Work>) -> (u64, bool) {
        self.arrived += 1;
        let number = self.arrived;
        let lane = self.lane(kind);
        let before = lane.takeable();
        lane.waiting.insert(number, work);
        (number, lane.takeable() > before)
    }

    /// The next job to run. [`end`](Self::end) is to be told of its kind.
    pub(crate) fn take(&mut self) -> Option<(Kind, Arc<dyn Work>)> {
        let next = KINDS.into_iter().filter_map(|kind| Some((self.lane(kind).next()?, kind)));
        let (number, kind) = next.min()?;
        let lane = self.lane(kind);
        lane.running += 1;
        lane.waiting.remove(&number).map(|work| (kind, work))
    }

    /// A job that was taken has ended. If that opens its lane, the thread that ran it is the one to take the next.
    pub(crate) fn end(&mut self, kind: Kind) {
        self.lane(kind).running -= 1;
    }

    /// Takes a job out that is no longer wanted. `false`: it was taken, or is gone.
    pub(crate) fn remove(&mut self, kind: Kind, number: u64) -> bool {
        self.lane(kind).waiting.remove(&number).is_some()
    }

    /// How many could begin if there were threads.
    pub(crate) fn takeable(&self) -> usize {
        self.lanes.iter().map(Lane::takeable).sum()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum()
    }

    /// Where those that wait were called.
    pub(crate) fn places(&self) -> Vec<&'static Location<'static>> {
        self.lanes.iter().flat_map(|lane| lane.waiting.values()).map(|work| work.place()).collect()
    }

    /// All that wait, to be dropped.
    pub(crate) fn clear(&mut self) -> Vec<Arc<dyn Work>> {
        self.lanes.iter_mut().flat_map(|lane| mem::take(&mut lane.waiting).into_values()).collect()
    }
}
