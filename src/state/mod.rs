//! Layer 0: the state of a loop, as plain data. A function that changes it takes `&mut State`, runs
//! no user code and returns plain values. It posts work that must run user code to the [outbox].
//!
//! Nothing here uses the layers above. The [door](crate::door) lends the state out and performs
//! what was posted.

// In reading order: what a loop has, then what these are made of.
pub(crate) mod outbox;
pub(crate) mod sources;
pub(crate) mod waiters;
pub(crate) mod ready;
pub(crate) mod tasks;
pub(crate) mod task;
pub(crate) mod lifecycle;
pub(crate) mod timers;
pub(crate) mod wheel;
pub(crate) mod soonest;
pub(crate) mod clock;
pub(crate) mod budget;
pub(crate) mod waits;
pub(crate) mod suspects;
pub(crate) mod counts;
pub(crate) mod histogram;
pub(crate) mod stalls;
pub(crate) mod shuffle;
pub(crate) mod shared;
pub(crate) mod message;
pub(crate) mod inbox;
pub(crate) mod pool;
pub(crate) mod lanes;
pub(crate) mod blocked;
pub(crate) mod result_slot;
pub(crate) mod step;
pub(crate) mod failure;
pub(crate) mod number;
pub(crate) mod slots;
pub(crate) mod places;
pub(crate) mod contain;
pub(crate) mod log;

use std::sync::Arc;
use std::sync::atomic::Ordering;

// The layers above name these without their module.
use self::budget::Budget;
pub(crate) use self::clock::{Clock, LoopClock, nanos};
pub(crate) use self::contain::{contain, discard, drop_payload, log_panic, panic_message, say};
use self::counts::Counts;
pub(crate) use self::counts::SAMPLED;
pub(crate) use self::failure::{FailureLog, JoinError, Origin};
pub(crate) use self::histogram::Histogram;
pub(crate) use self::lanes::Kind;
#[cfg(feature = "hyper")]
pub(crate) use self::log::HTTP;
pub(crate) use self::log::{
    LOOP, OFFLOAD, OneLine, SOURCE, TASK, TIMER, TaskLabel, places, plural, visible,
};
pub(crate) use self::message::{Message, Release};
pub(crate) use self::number::{TaskNumber, Wake};
pub(crate) use self::outbox::Effect;
use self::outbox::Outbox;
pub(crate) use self::places::PlaceId;
pub(crate) use self::pool::{Pool, PoolState, THREADS, Work, is_pool_thread};
pub(crate) use self::ready::{Direction, Ready, is_priority};
pub(crate) use self::result_slot::ResultSlot;
pub(crate) use self::shared::{
    Shared, forget, is_of_this_process, mark_foreign, send_home, wake_from_afar,
};
pub(crate) use self::shuffle::Shuffle;
use self::slots::Slots;
pub(crate) use self::slots::{Key, Layout, LoopId, Slot};
pub(crate) use self::sources::{
    ALARM, ALL, Callback, EVENTS, INBOX, Next, Source, SourceSnapshot, token_of,
};
use self::stalls::Stalls;
pub(crate) use self::stalls::{QUIET_FOR, TIMED_FOR};
pub(crate) use self::step::{Id, Observer, Outcome, SourceId, Step, TimerId, WaitFor};
pub(crate) use self::suspects::Deadlock;
use self::suspects::Suspects;
pub(crate) use self::task::{Blocker, Body, Flags, Rare, Stage, published};
pub(crate) use self::tasks::{POLLS_BETWEEN_WAITS, Tasks};
pub(crate) use self::timers::Armed;
use self::timers::Timers;
pub(crate) use self::waiters::NO_TICKET;
use self::waits::Waits;
pub(crate) use self::waits::{
    Awaited, Children, Holder, Holders, Lock, Record, SharedHolders, TaskWait, Waiter,
};

/// Everything that belongs to a loop, except for the poller, which belongs to the turn.
pub(crate) struct State {
    pub(crate) id: LoopId,
    pub(crate) tasks: Tasks,
    pub(crate) sources: Slots<Source>,
    /// The ticket that was last given to a waiter of a source. Tickets are never repeated.
    pub(crate) last_ticket: u64,
    pub(crate) timers: Timers,
    pub(crate) clock: LoopClock,
    pub(crate) budget: Budget,
    /// Work that must wait until the state is no longer borrowed.
    pub(crate) outbox: Outbox,
    /// The part of the loop that other threads can reach.
    pub(crate) shared: Arc<Shared>,
    /// The threads for work that has no readiness.
    pub(crate) pool: Arc<Pool>,
    /// The number of offloaded jobs in flight. A virtual clock stands still until they have ended.
    pub(crate) jobs: usize,
    /// What tasks wait for besides sources, timers and each other.
    pub(crate) waits: Waits,
    /// Tasks that may be stuck, for the analysis before the kernel is asked.
    pub(crate) suspects: Suspects,
    pub(crate) deadlock: Deadlock,
    /// The listeners for signals, if there are any. Only `signal/` knows the type.
    #[cfg(all(unix, feature = "signal"))]
    pub(crate) signals: Option<std::rc::Rc<dyn std::any::Any>>,
    /// Permutes events and tasks that have no order of their own, if the loop was built with a
    /// seed.
    pub(crate) shuffle: Option<Shuffle>,
    /// The loop is being dropped: a task that is spawned now is dropped at once.
    pub(crate) is_closing: bool,
    /// Taken out while they are told a step.
    /// The first one writes the log lines.
    pub(crate) observers: Vec<Box<dyn Observer>>,
    /// When the poll in progress began, if its duration is measured.
    pub(crate) poll_began: Option<u64>,
    /// Boxed, because it is large and rarely touched.
    pub(crate) counts: Box<Counts>,
    pub(crate) stalls: Stalls,
}

impl State {
    pub(crate) fn new(
        clock: LoopClock,
        shared: Arc<Shared>,
        pool: Pool,
        shuffle: Option<Shuffle>,
        stall_threshold: u64,
    ) -> Self {
        State {
            id: shared.id,
            tasks: Tasks::new(),
            sources: Slots::new(),
            last_ticket: NO_TICKET,
            timers: Timers::new(),
            clock,
            budget: Budget::new(),
            outbox: Outbox::default(),
            shared,
            pool: Arc::new(pool),
            jobs: 0,
            waits: Waits::new(),
            suspects: Suspects::default(),
            deadlock: Deadlock::default(),
            #[cfg(all(unix, feature = "signal"))]
            signals: None,
            shuffle,
            is_closing: false,
            observers: Vec::new(),
            poll_began: None,
            counts: Box::new(Counts::new()),
            stalls: Stalls::new(stall_threshold),
        }
    }

    pub(crate) fn key(&self, slot: Slot) -> Key {
        Key { home: self.id, slot }
    }

    /// The task that is being polled.
    pub(crate) fn polled(&self) -> Option<TaskNumber> {
        let is_polling = self.shared.polled.load(Ordering::Relaxed) != 0;
        is_polling.then_some(self.tasks.polled_number)
    }

    /// The task that a number names, if it is a task of this loop.
    pub(crate) fn slot_of(&self, number: TaskNumber) -> Option<Slot> {
        if number.is_of(self.id) { self.tasks.slot_of(number) } else { None }
    }

    /// How many jobs and child processes are in flight whose end the loop will be told.
    pub(crate) fn in_flight(&self) -> usize {
        self.jobs + self.sources.works()
    }

    /// Whether other threads can reach this loop, or have sent a message that it has not taken yet.
    /// They may help a task that looks stuck.
    pub(crate) fn can_be_reached(&self) -> bool {
        self.shared.has_mail() || self.shared.has_handles()
    }

    /// Notes whether any observer wants steps. The log lines want them from level `debug` on.
    pub(crate) fn update_observed(&mut self) {
        let is_logged = ::log::max_level() >= ::log::LevelFilter::Debug;
        let is_observed = is_logged || self.observers.len() > 1;
        self.outbox.set_observed(is_observed);
    }

    /// Calls `each` with all waits of tasks of this loop. (The waits of foreign wakers are not
    /// known.)
    pub(crate) fn each_wait(&self, mut each: impl FnMut(Slot, TaskWait)) {
        let mut each = |wait: TaskWait| {
            if let Some(task) = self.slot_of(wait.waiter.task) {
                each(task, wait);
            }
        };
        self.sources.each_wait(&self.tasks, &mut each);
        self.timers.each_wait(&mut each);
        self.tasks.each_join(&mut each);
        self.waits.iter().for_each(each);
    }

    /// Releases what a dropped handle held.
    #[inline]
    pub(crate) fn release(&mut self, what: Release) {
        match what {
            Release::Source(slot) => self.remove_source(slot),
            Release::Waiter(slot, direction, ticket) => {
                if let Some(source) = self.sources.get_mut(slot) {
                    source.waiters(direction).remove(ticket, &mut self.outbox);
                }
            }
            Release::Timer(slot) => self.timers.cancel(slot, &mut self.outbox),
            Release::Join(slot) => self.detach(slot),
            Release::Record(slot) => self.waits.remove(slot),
        }
    }

    /// Empties the slot of a source that is deregistered, or whose callback deregisters it when it
    /// is dropped.
    fn remove_source(&mut self, slot: Slot) {
        let Some(source) = self.sources.remove(slot) else { return };
        let kind = source.kind;
        self.drop_source(source);
        self.outbox.report(|| Step::Deregister { source: SourceId(slot), kind });
    }

    /// Posts the drop of what a source held.
    pub(crate) fn drop_source(&mut self, mut source: Source) {
        if let Some(callback) = source.callback.take() {
            self.outbox.post(Effect::DropCallback(callback));
        }
        let mut waiting = Vec::new();
        source.readers.take_all(&mut waiting);
        source.writers.take_all(&mut waiting);
        for wake in waiting {
            self.outbox.drop_wake(Some(wake));
        }
    }
}

/// Notes for the stuck-task analysis.
impl State {
    /// Suspects a waiting task, because what it waits for has changed without waking it: a task of
    /// its group has ended, or a waiter ahead of it has left. What is left may wait for it.
    pub(crate) fn suspect_waiter(&mut self, waiter: TaskNumber) {
        if let Some(task) = self.slot_of(waiter) {
            self.suspects.add(task, Flags::MAY_BE_DEADLOCKED, &mut self.tasks);
        }
    }

    /// Suspects a task again, because it is awaited now or can no longer be aborted through its
    /// `JoinHandle`. If its lost waker was reported at `info`, it is reported as a warning now.
    pub(crate) fn reconsider(&mut self, task: Slot) {
        if self.tasks.set(task, Flags::TOLD_AT_INFO, false) {
            self.tasks.set(task, Flags::REPORTED, false);
            self.suspects.add(task, Flags::MAY_BE_LOST, &mut self.tasks);
        }
    }

    /// Suspects a task whose [`RemoteHandle`](crate::RemoteHandle) was dropped.
    pub(crate) fn unhold(&mut self, task: Slot) {
        self.tasks.set(task, Flags::HELD, false);
        self.suspects.add(task, Flags::SUSPECT, &mut self.tasks);
    }
}
