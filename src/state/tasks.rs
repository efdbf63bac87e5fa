//! [`Tasks`]: the table of a loop's tasks and its ready queue. Pure data: it runs no user code.

use std::mem;
use std::panic::Location;

use super::clock::LoopClock;
use super::failure::{FailureLog, Origin};
use super::number::TaskNumber;
use super::places::PlaceId;
use super::shuffle::Shuffle;
use super::slots::{Layout, Slot, Slots};
use super::task::{Blocker, Body, Flags, Rare, Snapshot, SpawnedAt, Task};
use super::waits::{Awaited, TaskWait, Waiter};

pub(crate) struct Tasks {
    pub(crate) slots: Slots<Task>,
    /// The ready queue, in the order of the wakes. The entries before `done` were polled; from
    /// `done` to `batch_end` is the current batch. A panic of the main future leaves the rest of a
    /// batch.
    pub(super) ready: Vec<Slot>,
    done: usize,
    batch_end: usize,
    /// The number of entries that were ever removed from the front of the queue.
    retired: u64,
    /// The number of polls so far. The number of a poll decides whether it is timed.
    polls_made: u64,
    /// The number of tasks that finished in their first poll.
    pub(crate) never_waited: u64,
    /// The task that is being polled, or was polled last.
    pub(crate) polled: Slot,
    /// The same task as its waker names it. A waiter for the polled task needs no lookup.
    pub(crate) polled_number: TaskNumber,
    /// What to check after the poll, as bits: see [`Tasks::UNKEPT`].
    pub(crate) to_check: u8,
}

/// With tasks ready, the kernel is asked at the first turn boundary after this many polls, or sooner:
/// see [`Budget`](super::budget::Budget).
pub(crate) const POLLS_BETWEEN_WAITS: u32 = 64;

/// A queue of up to this many entries never gives memory back.
const KEPT: usize = 1024;

/// Polled entries are removed when there are this many, and they are at least half the queue.
const RETIRED_AT_ONCE: usize = 64;

impl Tasks {
    /// Set when a poll begins, cleared when a waker of the task is stored. If it is still set after
    /// the poll, the task may be lost, unless it was woken or has finished.
    pub(crate) const UNKEPT: u8 = 1;
    /// The polled task waits for a task that itself waits, for a held lock, or for a group.
    pub(crate) const BLOCKED: u8 = 2;
    /// The clock is read after the poll.
    pub(crate) const CHECKED: u8 = 4;
    /// The task was aborted during its poll. (Its flag says so too, but only these bits are checked
    /// after each poll.)
    pub(crate) const ABORTED: u8 = 8;

    /// Code outside the loop can wake or abort a task with one of these flags.
    const REACHABLE: Flags = Flags::FOREIGN.or(Flags::HELD);

    pub(crate) fn new() -> Self {
        Tasks {
            slots: Slots::new(),
            ready: Vec::new(),
            done: 0,
            batch_end: 0,
            retired: 0,
            polls_made: 0,
            never_waited: 0,
            polled: Slot::NONE,
            polled_number: TaskNumber::NONE,
            to_check: 0,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    fn get(&self, slot: Slot) -> Option<&Task> {
        self.slots.get(slot)
    }

    /// The task that a number names, if it is still there, and its whole slot.
    #[inline]
    pub(super) fn find_mut(&mut self, number: TaskNumber) -> Option<(Slot, &mut Task)> {
        self.slots.find_mut(Layout::WAKER, number.bits() as u64)
    }
}

/// The ready queue.
impl Tasks {
    /// How many entries the queue has.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len() - self.done
    }

    /// Whether any task in the queue is still to be polled. It may have been aborted since.
    pub(crate) fn is_any_ready(&self) -> bool {
        self.ready[self.done..].iter().any(|slot| self.is_queued(*slot))
    }

    /// The entries that are in the queue now become the batch. The last batch must be over.
    #[inline]
    pub(crate) fn begin_batch(&mut self, shuffle: &mut Option<Shuffle>) {
        if self.done >= RETIRED_AT_ONCE {
            self.retire();
        }
        self.batch_end = self.ready.len();
        if let Some(shuffle) = shuffle {
            self.shuffle_batch(shuffle);
        }
    }

    #[cold]
    fn shuffle_batch(&mut self, shuffle: &mut Shuffle) {
        shuffle.permute(&mut self.ready[self.done..]);
    }

    /// Removes the polled entries, unless more entries would have to move than are removed. So an
    /// entry moves at most once on average.
    #[inline(never)]
    fn retire(&mut self) {
        if self.done < self.ready() {
            return;
        }
        self.ready.drain(..self.done);
        self.retired += mem::take(&mut self.done) as u64;
        // Gives the memory of a past peak back.
        if self.ready.capacity() > KEPT && self.ready.len() < self.ready.capacity() / 4 {
            self.ready.shrink_to(KEPT.max(2 * self.ready.len()));
        }
    }

    /// Leaves the rest of the batch to the next one, which it begins.
    pub(crate) fn cut_batch(&mut self) {
        self.batch_end = self.done;
    }

    /// How many entries of the batch are left.
    pub(crate) fn batch_len(&self) -> usize {
        self.batch_end - self.done
    }

    #[inline]
    pub(crate) fn is_batch_over(&self) -> bool {
        self.done == self.batch_end
    }

    /// Takes the next task of the batch and its body, and begins its poll. Also returns what other
    /// threads may read about it: see [`Shared::polled`](super::shared::Shared::polled). Returns
    /// `None` if no task of the batch is left. The batch must not be over, unless the queue is
    /// empty.
    #[inline]
    pub(crate) fn take_ready(&mut self) -> Option<(Slot, u64, Option<Body>)> {
        loop {
            let slot = *self.ready.get(self.done)?;
            self.done += 1;
            // A queued task may have finished or been removed since. The generation tells a new
            // occupant of its index apart.
            if let Some(task) = self.slots.get_mut(slot)
                && task.flags.has_any(Flags::QUEUED)
            {
                task.flags.begin_poll();
                self.polls_made += 1;
                self.polled = slot;
                self.to_check = Tasks::UNKEPT;
                return Some((slot, task.spawned_at.published(slot), task.body.take()));
            }
            if self.is_batch_over() {
                return None;
            }
        }
    }

    /// How many polls were made. This is also the number of the poll in progress.
    #[inline]
    pub(crate) fn polls_made(&self) -> u64 {
        self.polls_made
    }

    pub(crate) fn is_queued(&self, slot: Slot) -> bool {
        self.get(slot).is_some_and(|task| task.flags.has_any(Flags::QUEUED))
    }

    /// How many tasks were spawned, entries queued and polls made, in all.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        (self.slots.inserted(), self.retired + self.ready.len() as u64, self.polls_made)
    }
}

/// The table.
impl Tasks {
    /// Whether a waker can tell one more task apart.
    pub(crate) fn has_room(&self) -> bool {
        self.slots.has_room(Layout::WAKER)
    }

    /// Inserts a task, queued, where [there is room](Self::has_room).
    #[inline(always)]
    pub(crate) fn insert(
        &mut self,
        body: Option<Body>,
        flags: Flags,
        rare: Option<Box<Rare>>,
        place: PlaceId,
        clock: &LoopClock,
    ) -> Slot {
        let (slot, task) = self.slots.insert_empty(Task::EMPTY);
        task.give_back(body);
        // As with the body: the field is empty.
        mem::forget(mem::replace(&mut task.rare, rare));
        task.flags = flags;
        task.spawned_at = SpawnedAt::new(place, clock.turn_nanos());
        self.ready.push(slot);
        slot
    }

    /// Inserts the main future of a `block_on`. It is woken, named and queued like any task, and is
    /// a new task for each `block_on`, so a waker kept from an earlier one wakes nothing.
    pub(crate) fn insert_main(
        &mut self,
        place: &'static Location<'static>,
        clock: &LoopClock,
    ) -> Option<Slot> {
        let rare = Some(Rare::named("main".into()));
        let place = PlaceId::of(place);
        self.has_room().then(|| self.insert(None, Flags::QUEUED, rare, place, clock))
    }

    pub(crate) fn remove_main(&mut self, main: Slot) {
        self.slots.remove(main);
    }

    /// Whether this is the main future: only that has no body while it is not being polled.
    pub(crate) fn is_main(&self, slot: Slot) -> bool {
        self.get(slot).is_some_and(|task| task.body.is_none())
    }

    pub(crate) fn slot_of(&self, number: TaskNumber) -> Option<Slot> {
        Some(self.slots.find(Layout::WAKER, number.bits() as u64)?.0)
    }

    pub(crate) fn name(&self, slot: Slot) -> Option<&str> {
        self.get(slot)?.name()
    }

    /// What an error or a log line says of the task.
    pub(crate) fn origin(&self, slot: Slot) -> Option<Origin> {
        Some(self.get(slot)?.origin(slot))
    }

    /// How often a task was polled.
    pub(crate) fn polls(&self, slot: Slot) -> u32 {
        self.get(slot).map_or(0, |task| task.flags.polls())
    }

    pub(crate) fn set_failure_log(&mut self, slot: Slot, log: FailureLog) {
        if let Some(task) = self.slots.get_mut(slot) {
            task.rare.get_or_insert_default().failure_log = Some(log);
        }
    }

    /// All tasks as a dump prints them, in the order of their numbers.
    pub(crate) fn snapshot(&self, now: u64, is_polling: bool) -> Vec<Snapshot> {
        let snapshot = |(slot, task)| Snapshot::of(slot, task, now);
        let mut tasks: Vec<_> = self.slots.iter_with_slots().map(snapshot).collect();
        tasks.sort_by_key(|task| task.slot.generation());
        for task in &mut tasks {
            if task.slot == self.polled && task.state == "waiting" && is_polling {
                task.state = "running";
            }
        }
        tasks
    }
}

/// What the stuck-task analysis needs.
impl Tasks {
    /// A waker of the polled task was stored.
    #[inline]
    pub(crate) fn keep(&mut self) {
        self.to_check &= !Tasks::UNKEPT;
    }

    /// Records what a task waits for. (It is the polled task, unless that polls another task's
    /// future.)
    #[cold]
    pub(crate) fn block(&mut self, task: TaskNumber, blocker: Blocker) {
        self.to_check |= Tasks::BLOCKED;
        if let Some((_, task)) = self.find_mut(task) {
            task.block(blocker);
        }
    }

    /// Returns the task of this loop that waits for the end of this one, and records that as its
    /// blocker. The join itself does not record it while the awaited task is ready.
    pub(crate) fn note_joiner(&mut self, slot: Slot) -> Option<Slot> {
        let joiner = self.get(slot).map(|task| task.joiner).filter(|joiner| joiner.is_some())?;
        let (joiner, task) = self.find_mut(joiner)?;
        task.block(Blocker::Task(slot));
        Some(joiner)
    }

    pub(crate) fn blocker(&self, slot: Slot) -> Option<Blocker> {
        self.get(slot)?.blocker()
    }

    /// Whether the task waits, and nothing outside the tasks can wake or abort it.
    pub(crate) fn can_be_stuck(&self, slot: Slot) -> bool {
        const BUSY: Flags =
            Flags::QUEUED.or(Flags::FINISHED).or(Flags::ABORTED).or(Tasks::REACHABLE);
        self.get(slot).is_some_and(|task| !task.flags.has_any(BUSY))
    }

    pub(crate) fn is_abortable(&self, slot: Slot) -> bool {
        self.get(slot).is_some_and(Task::is_abortable)
    }

    pub(crate) fn is_any_abortable(&self) -> bool {
        self.slots.iter().any(Task::is_abortable)
    }

    /// Whether something outside the tasks can wake or abort any of them.
    pub(crate) fn is_any_reachable(&self) -> bool {
        let is_alive = |task: &Task| !task.flags.has_any(Flags::FINISHED);
        self.slots.iter().any(|task| task.flags.has_any(Tasks::REACHABLE) && is_alive(task))
    }

    pub(crate) fn mark_foreign(&mut self, task: TaskNumber) {
        if let Some((_, task)) = self.find_mut(task) {
            task.flags.set(Flags::FOREIGN);
        }
    }

    pub(crate) fn has(&self, slot: Slot, flag: Flags) -> bool {
        self.get(slot).is_some_and(|task| task.flags.has_any(flag))
    }

    /// Sets or clears a flag. Returns whether that changed it.
    pub(crate) fn set(&mut self, slot: Slot, flag: Flags, value: bool) -> bool {
        let Some(task) = self.slots.get_mut(slot) else { return false };
        let changes = task.flags.has_any(flag) != value;
        if value {
            task.flags.set(flag);
        } else {
            task.flags.clear(flag);
        }
        changes
    }

    /// Which task waits for the end of which.
    pub(crate) fn each_join(&self, each: &mut impl FnMut(TaskWait)) {
        for (slot, task) in self.slots.iter_with_slots() {
            if task.joiner.is_some() {
                let waiter = Waiter { task: task.joiner, ..Waiter::NONE };
                each(TaskWait { waiter, what: Awaited::Task(slot) });
            }
        }
    }
}

#[cfg(test)]
mod tests;
