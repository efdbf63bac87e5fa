//! The queue of the pool's jobs. Look-ups of host names have a lane of their own, so that look-ups
//! that wait for an unresponsive resolver never occupy all threads. [`Pool`](super::pool::Pool)
//! calls this file under its lock. It is pure data: it never starts a thread and never runs or
//! drops a job.

use std::collections::BTreeMap;
use std::mem;
use std::panic::Location;
use std::sync::Arc;

use super::pool::Work;

/// The kind of a job. It decides the job's lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A job of the user, or a file operation. As many may run as there are threads.
    Job,
    /// A look-up of a host name, which may take minutes. Half of the threads are kept free of
    /// these.
    LookUp,
}

const KINDS: [Kind; 2] = [Kind::Job, Kind::LookUp];

/// The jobs that wait for a thread, first come, first served. Jobs of a full lane are skipped.
pub(crate) struct Lanes {
    lanes: [Lane; KINDS.len()],
    /// The number of jobs that have arrived so far, in all lanes.
    arrived: u64,
}

struct Lane {
    /// The waiting jobs, by the number of their arrival. A map, because a job that is no longer
    /// wanted can be removed.
    waiting: BTreeMap<u64, Arc<dyn Work>>,
    /// The number of running jobs.
    running: usize,
    /// The maximum of `running`.
    most: usize,
}

impl Lane {
    /// Returns how many jobs could begin if there were threads for them.
    fn takeable(&self) -> usize {
        self.waiting.len().min(self.most.saturating_sub(self.running))
    }

    /// Returns the number of the job that begins next, if the lane is not full.
    fn next(&self) -> Option<u64> {
        if self.takeable() == 0 { None } else { self.waiting.keys().next().copied() }
    }
}

impl Lanes {
    /// Creates the queue of a pool with a maximum of `threads` threads.
    pub(crate) fn new(threads: usize) -> Self {
        let lane = |kind| Lane {
            waiting: BTreeMap::new(),
            running: 0,
            most: match kind {
                Kind::Job => threads,
                // Half of the threads, the share that libuv gives to getaddrinfo. A pool of one
                // thread cannot keep any thread free.
                Kind::LookUp => (threads / 2).max(1),
            },
        };
        Lanes { lanes: KINDS.map(lane), arrived: 0 }
    }

    fn lane(&mut self, kind: Kind) -> &mut Lane {
        &mut self.lanes[kind as usize]
    }

    /// Queues a job. Returns its number, and whether it could begin if there were a thread for it.
    pub(crate) fn push(&mut self, kind: Kind, work: Arc<dyn Work>) -> (u64, bool) {
        self.arrived += 1;
        let number = self.arrived;
        let lane = self.lane(kind);
        let before = lane.takeable();
        lane.waiting.insert(number, work);
        (number, lane.takeable() > before)
    }

    /// Takes the next job to run. When it has ended, [`end`](Self::end) must be called with its
    /// kind.
    pub(crate) fn take(&mut self) -> Option<(Kind, Arc<dyn Work>)> {
        // The lowest number arrived first, whichever lane it is in.
        let next = KINDS.into_iter().filter_map(|kind| Some((self.lane(kind).next()?, kind)));
        let (number, kind) = next.min()?;
        let lane = self.lane(kind);
        lane.running += 1;
        lane.waiting.remove(&number).map(|work| (kind, work))
    }

    /// Notes that a job that was taken has ended. If that opens its lane, the thread that ran the
    /// job takes the next one.
    pub(crate) fn end(&mut self, kind: Kind) {
        self.lane(kind).running -= 1;
    }

    /// Removes a job that is no longer wanted. Returns `false` if it was taken or is gone.
    pub(crate) fn remove(&mut self, kind: Kind, number: u64) -> bool {
        self.lane(kind).waiting.remove(&number).is_some()
    }

    /// Returns how many jobs could begin if there were threads for them.
    pub(crate) fn takeable(&self) -> usize {
        self.lanes.iter().map(Lane::takeable).sum()
    }

    /// Returns the number of waiting jobs.
    pub(crate) fn len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum()
    }

    /// Returns where the waiting jobs were submitted.
    pub(crate) fn places(&self) -> Vec<&'static Location<'static>> {
        self.lanes.iter().flat_map(|lane| lane.waiting.values()).map(|work| work.place()).collect()
    }

    /// Removes all waiting jobs. The caller drops them.
    pub(crate) fn clear(&mut self) -> Vec<Arc<dyn Work>> {
        self.lanes.iter_mut().flat_map(|lane| mem::take(&mut lane.waiting).into_values()).collect()
    }
}
