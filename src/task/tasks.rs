//! [`Tasks`]: the slab of a loop's tasks, and the queue of those that are ready. It knows what is so of each task, and calls nobody.

use std::mem;
use std::panic::Location;
use std::task::Waker;
use std::time::Duration;

use super::join::{FailureLog, Origin};
use super::waker::{TaskNumber, Wake};
use super::{Body, Id};
use crate::places::PlaceId;
use crate::shuffle::Shuffle;
use crate::slots::{Layout, Slot, Slots};
use crate::waits::{Wait, What};

/// The tasks of a loop.
pub(crate) struct Tasks {
    pub(super) slots: Slots<Task>,
    /// The ready queue, in the order of the wakes. Those before `done` had their turn. From there to `batch_end` is the batch
    /// that runs now, of which some are left over after a panic of the main future.
    ready: Vec<Slot>,
    done: usize,
    batch_end: usize,
    /// How many had their turn, and were taken out of the queue, in all.
    retired: u64,
    /// How many polls there were. They are numbered through, so that those that are timed are spread evenly.
    polls_made: u64,
    /// How many ended in their first poll.
    pub(crate) never_waited: u64,
    /// Who was polled last.
    pub(crate) polled: Slot,
    /// What is to be done or looked at after its poll, as bits: see [`Tasks::UNKEPT`].
    pub(crate) suspicion: u8,
}

/// A queue of up to so many tasks keeps its memory.
const KEPT: usize = 1024;

/// Those who had their turn are taken out of the queue when they are so many, and at least half of it.
const RETIRED_AT_ONCE: usize = 64;

pub(super) struct Task {
    /// `None` while it is lent to [`run_next`](super::run), until the poll is settled; for ever so for the main future of
    /// `block_on`, which lives on its stack.
    pub(super) body: Option<Body>,
    pub(super) flags: Flags,
    /// The task to wake when it finishes, or [`TaskNumber::NOBODY`].
    pub(super) joiner: TaskNumber,
    pub(super) rare: Option<Box<Rare>>,
    /// The task, the lock or the group that it last waited for, as far as that was noted: for [`crate::observe::stuck`].
    hint: Slot,
    pub(super) birth: Birth,
}

/// Where and when a task was spawned. (One word, for the reason that [`Slot`] is one.)
#[derive(Clone, Copy)]
pub(super) struct Birth(u64);

impl Birth {
    /// `nanos` of the loop's clock. They are kept to the millisecond or so, and begin anew after 52 days.
    pub(super) fn new(place: PlaceId, nanos: u64) -> Self {
        Birth(u64::from(place.to_bits()) << 32 | u64::from((nanos >> 20) as u32))
    }

    /// What other threads are told of the task that is being polled: see [`Shared`](crate::remote::Shared).
    pub(super) fn published(self, slot: Slot) -> u64 {
        (self.0 >> 32) << 32 | u64::from(slot.generation())
    }

    pub(super) fn place(self) -> PlaceId {
        PlaceId::from_bits((self.0 >> 32) as u32)
    }

    fn age(self, nanos: u64) -> Duration {
        let units = ((nanos >> 20) as u32).wrapping_sub(self.0 as u32);
        Duration::from_nanos(u64::from(units) << 20)
    }
}

/// The task that another thread was told of by [`Birth::published`]: `task 17, spawned at src/main.rs:3:5`. `None`: none is polled.
pub(crate) fn published(polled: u64) -> Option<String> {
    let place = PlaceId::from_bits((polled >> 32) as u32);
    (polled != 0).then(|| format!("task {}, spawned at {}", polled as u32, place.location()))
}

/// What few tasks have, kept apart so that a task is small.
#[derive(Default)]
pub(super) struct Rare {
    name: Option<Box<str>>,
    /// Whom to wake when it finishes, if that is a foreign waker.
    pub(super) joiner: Option<Waker>,
    /// Logs its failure when it ends detached.
    failure_log: Option<FailureLog>,
}

impl Rare {
    #[inline(never)]
    pub(super) fn named(name: Box<str>) -> Box<Self> {
        Box::new(Rare { name: Some(name), ..Rare::default() })
    }
}

impl Task {
    const EMPTY: (Slot, Task) = {
        let (body, flags, joiner, rare) = (None, Flags(0), TaskNumber::NOBODY, None);
        (Slot::NONE, Task { body, flags, joiner, rare, hint: Slot::NONE, birth: Birth(0) })
    };

    fn name(&self) -> Option<&str> {
        self.rare.as_ref()?.name.as_deref()
    }

    /// The main future has no body in its slot.
    fn is_abortable(&self) -> bool {
        let is_held = self.body.is_some() && !self.flags.has(Flags::DETACHED.and(Flags::FINISHED));
        is_held && self.joiner == TaskNumber::NOBODY && !self.has_foreign_joiner()
    }

    pub(super) fn has_foreign_joiner(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.joiner.is_some())
    }

    /// Whether its end takes more than to wake a task or to drop an output.
    pub(super) fn ends_unusually(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.joiner.is_some() || rare.failure_log.is_some())
    }

    /// Taken when it ends, together with what the log line says of it.
    pub(super) fn take_failure_log(&mut self, slot: Slot) -> Option<(FailureLog, Origin)> {
        let log = self.rare.as_mut()?.failure_log.take()?;
        Some((log, self.origin(slot)))
    }

    fn origin(&self, slot: Slot) -> Origin {
        Origin {
            id: Some(Id(slot)),
            name: self.name().map(Into::into),
            place: self.birth.place().location(),
        }
    }

    /// Leaves whom to wake when it finishes. Returns who was there before.
    pub(super) fn replace_joiner(&mut self, joiner: Wake) -> Option<Wake> {
        let before = self.take_joiner();
        match joiner {
            Wake::Task(task) => self.joiner = task,
            Wake::Other(waker) => {
                self.rare.get_or_insert_default().joiner = Some(waker);
            }
        }
        before
    }

    /// There is none in its place: nothing of a user's is dropped here, and no code made for it.
    #[inline]
    pub(super) fn give_back(&mut self, body: Option<Body>) {
        mem::forget(mem::replace(&mut self.body, body));
    }

    #[inline]
    pub(super) fn take_joiner(&mut self) -> Option<Wake> {
        match mem::replace(&mut self.joiner, TaskNumber::NOBODY) {
            TaskNumber::NOBODY => self.rare.as_mut()?.joiner.take().map(Wake::Other),
            task => Some(Wake::Task(task)),
        }
    }
}

/// What is so of a task. Without the first two it waits, or is being polled, and a wake puts it into the ready queue.
/// (One word, for the reason that [`Slot`] is one.)
#[derive(Clone, Copy)]
pub(super) struct Flags(u64);

impl Flags {
    /// In the ready queue: a second wake does not queue it again.
    pub(super) const QUEUED: Flags = Flags(1);
    /// Its body is its output. It may still stand in the ready queue, which then passes over it. Never with `QUEUED`.
    pub(super) const FINISHED: Flags = Flags(2);
    /// Aborted while it was being polled: dropped when the poll returns.
    pub(super) const ABORTED: Flags = Flags(4);
    /// Nobody holds its [`JoinHandle`](super::JoinHandle): it is removed when it finishes.
    pub(super) const DETACHED: Flags = Flags(8);
    /// Code outside this crate has cloned its waker, and may wake it at any time.
    pub(super) const FOREIGN: Flags = Flags(16);
    /// What it last waited for is a record of [`Waits`](crate::waits::Waits), not a task: see `Task::hint`.
    const AT_RECORD: Flags = Flags(32);
    /// It was reported as stuck since it was polled last.
    const REPORTED: Flags = Flags(64);
    /// It is among the [`Suspects`](crate::observe::stuck::Suspects).
    const SUSPECT: Flags = Flags(128);

    /// It lacks a waker, which was told at `info`: see [`Tasks::is_abortable`].
    const TOLD_AT_INFO: Flags = Flags(256);

    /// Its [`RemoteHandle`](crate::RemoteHandle) exists, and may abort it at any time.
    const HELD: Flags = Flags(512);

    /// Added for each poll: the upper half counts them.
    const POLL: u64 = 1 << 32;

    /// How often the task was polled (modulo four billion).
    pub(super) fn polls(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether any of `flags` is set.
    pub(super) fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 != 0
    }

    pub(super) fn set(&mut self, flags: Flags) {
        self.0 |= flags.0;
    }

    pub(super) fn clear(&mut self, flags: Flags) {
        self.0 &= !flags.0;
    }
}

impl Tasks {
    /// Nobody has kept its waker, as far as was seen: [`stuck::look`](crate::observe::stuck::look) makes sure. Of no interest if it was
    /// woken or has finished.
    pub(crate) const UNKEPT: u8 = 1;
    /// It waits for a task that itself waits, for a lock that is held, or for a group.
    pub(crate) const BLOCKED: u8 = 2;
    /// Its poll is timed.
    pub(crate) const TIMED: u8 = 4;
    /// What is outside the tasks can go on with one of these.
    const OUTSIDE: Flags = Flags::FOREIGN.and(Flags::HELD);
    /// It was aborted during its poll. (So says its flag as well, but these bits are all that each poll looks at.)
    pub(super) const ABORTED: u8 = 8;

    /// Somebody has the waker of the task that is being polled.
    #[inline]
    pub(crate) fn keep(&mut self) {
        self.suspicion &= !Tasks::UNKEPT;
    }

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
            suspicion: 0,
        }
    }

    /// How many polls there were, and so the number of the one that is under way.
    #[inline]
    pub(crate) fn polls_made(&self) -> u64 {
        self.polls_made
    }

    /// How many are queued.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len() - self.done
    }

    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    /// Whether one of them is still there: it may have been aborted since.
    pub(crate) fn is_any_ready(&self) -> bool {
        let mut queued = self.ready[self.done..].iter();
        queued.any(|slot| self.slots.get(*slot).is_some_and(|task| task.flags.has(Flags::QUEUED)))
    }

    /// What is ready now becomes the batch: the last one is over.
    #[inline]
    pub(super) fn begin_batch(&mut self, shuffle: &mut Option<Shuffle>) {
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

    /// Those who had their turn leave the queue, unless more would have to move up than leave.
    #[inline(never)]
    fn retire(&mut self) {
        if self.done < self.ready() {
            return;
        }
        self.ready.drain(..self.done);
        self.retired += mem::take(&mut self.done) as u64;
        // A past crowd's memory is given back.
        if self.ready.capacity() > KEPT && self.ready.len() < self.ready.capacity() / 4 {
            self.ready.shrink_to(KEPT.max(2 * self.ready.len()));
        }
    }

    /// How many are left of the batch.
    pub(super) fn batch_len(&self) -> usize {
        self.batch_end - self.done
    }

    #[inline]
    pub(super) fn is_batch_over(&self) -> bool {
        self.done == self.batch_end
    }

    /// Takes the next task of the batch, which is not over unless the queue is empty, and its body out of its slot. `None`: none of
    /// them is left.
    #[inline]
    pub(super) fn take_ready(&mut self) -> Option<(Slot, Birth, Option<Body>)> {
        loop {
            let slot = *self.ready.get(self.done)?;
            self.done += 1;
            // Whoever was queued may have finished or gone since; the place may even have a new occupant.
            if let Some(task) = self.slots.get_mut(slot)
                && task.flags.has(Flags::QUEUED)
            {
                task.flags.clear(Flags::QUEUED.and(Flags::REPORTED).and(Flags::TOLD_AT_INFO));
                task.flags.0 = task.flags.0.wrapping_add(Flags::POLL);
                self.polls_made += 1;
                self.polled = slot;
                self.suspicion = Tasks::UNKEPT;
                return Some((slot, task.birth, task.body.take()));
            }
            if self.is_batch_over() {
                return None;
            }
        }
    }

    /// Queues the task that a waker's bits mean. `None` if it is queued already, has finished or is gone.
    #[inline]
    pub(crate) fn wake(&mut self, packed: Slot) -> Option<Slot> {
        let (slot, task) = self.slots.get_packed_mut(Layout::WAKER, packed)?;
        if task.flags.has(Flags::QUEUED.and(Flags::FINISHED)) {
            return None;
        }
        task.flags.set(Flags::QUEUED);
        self.ready.push(slot);
        Some(slot)
    }

    /// A task has ended. Its body, which was lent, is left for who holds its [`JoinHandle`](super::JoinHandle); if nobody does, it
    /// stays where it is, and the task is removed. Returns the task to wake, but no foreign waker.
    #[inline(always)]
    pub(super) fn end(&mut self, slot: Slot, body: &mut Option<Body>) -> TaskNumber {
        let Some(task) = self.slots.get_mut(slot) else { return TaskNumber::NOBODY };
        self.never_waited += u64::from(task.flags.polls() == 1);
        if task.flags.has(Flags::DETACHED) {
            drop(task.rare.take());
            // Nothing is left in it. To drop it would mean to move it, soon after it was written to.
            mem::forget(self.slots.remove(slot));
            return TaskNumber::NOBODY;
        }
        task.give_back(body.take());
        task.flags.clear(Flags::QUEUED);
        task.flags.set(Flags::FINISHED);
        mem::replace(&mut task.joiner, TaskNumber::NOBODY)
    }

    /// Nobody holds the task's [`JoinHandle`](super::JoinHandle) any more. `Some`: that is to be dropped outside the borrow.
    #[inline]
    pub(super) fn detach(&mut self, slot: Slot) -> Option<Left> {
        let task = self.slots.get_mut(slot)?;
        task.flags.set(Flags::DETACHED);
        if task.flags.has(Flags::FINISHED) {
            return self.slots.remove(slot).map(Left::Task);
        }
        task.joiner = TaskNumber::NOBODY;
        task.rare.as_mut()?.joiner.take().map(Left::Joiner)
    }

    /// A task waits for the end of another, which itself waits.
    #[cold]
    pub(super) fn joins_waiting(&mut self, joiner: TaskNumber, joined: Slot) {
        self.suspicion |= Tasks::BLOCKED;
        self.hint_at_task(joiner, joined);
    }

    fn hint_at_task(&mut self, joiner: TaskNumber, joined: Slot) {
        if let Some((_, task)) = self.slots.get_packed_mut(Layout::WAKER, joiner.packed()) {
            task.flags.clear(Flags::AT_RECORD);
            task.hint = joined;
        }
    }

    /// The task that waits for the end of a task that waits gets the hint, and the one that waits for that, and so on, as long as
    /// `go_on` says so of the task that is waited for. (Not done when they begin to wait, because nearly always the task is
    /// ready then.) Returns whether all have got it.
    pub(crate) fn hint_joiners(&mut self, task: Slot, mut go_on: impl FnMut(Slot) -> bool) -> bool {
        let mut at = task;
        loop {
            let joiner = self.slots.get(at).map_or(TaskNumber::NOBODY, |task| task.joiner);
            let Some(next) = self.slot_of(joiner).filter(|_| joiner != TaskNumber::NOBODY) else {
                return true;
            };
            if !go_on(at) {
                return false;
            }
            self.hint_at_task(joiner, at);
            at = next;
            if at == task {
                return true; // They join each other in a circle.
            }
        }
    }

    /// It waits for a lock or a group, whose record this is.
    pub(crate) fn blocked(&mut self, task: TaskNumber, record: Slot) {
        self.suspicion |= Tasks::BLOCKED;
        if let Some((_, task)) = self.slots.get_packed_mut(Layout::WAKER, task.packed()) {
            task.flags.set(Flags::AT_RECORD);
            task.hint = record;
        }
    }

    /// What a task last waited for, if that was a lock, a group or a task. It may wait for it no longer, or for other things
    /// besides.
    pub(crate) fn hint(&self, slot: Slot) -> Option<Hint> {
        let task = self.slots.get(slot)?;
        match task.hint {
            Slot::NONE => None,
            record if task.flags.has(Flags::AT_RECORD) => Some(Hint::Record(record)),
            joined => Some(Hint::Task(joined)),
        }
    }

    /// Whether its [`JoinHandle`](super::JoinHandle) exists and nothing awaits it: then it may be meant to be aborted.
    pub(crate) fn is_abortable(&self, slot: Slot) -> bool {
        self.slots.get(slot).is_some_and(Task::is_abortable)
    }

    /// Whether any task [is](Self::is_abortable).
    pub(crate) fn is_any_abortable(&self) -> bool {
        self.slots.iter().any(Task::is_abortable)
    }

    pub(crate) fn mark_told_at_info(&mut self, slot: Slot) {
        if let Some(task) = self.slots.get_mut(slot) {
            task.flags.set(Flags::TOLD_AT_INFO);
        }
    }

    /// Whether it was [marked](Self::mark_told_at_info) and has waited since then, once.
    pub(crate) fn take_told_at_info(&mut self, slot: Slot) -> bool {
        const MARKS: Flags = Flags::TOLD_AT_INFO.and(Flags::REPORTED);
        let Some(task) =
            self.slots.get_mut(slot).filter(|task| task.flags.has(Flags::TOLD_AT_INFO))
        else {
            return false;
        };
        task.flags.clear(MARKS);
        true
    }

    /// Its [`RemoteHandle`](crate::RemoteHandle) exists, or was dropped.
    pub(crate) fn hold(&mut self, slot: Slot, held: bool) {
        if let Some(task) = self.slots.get_mut(slot) {
            if held { task.flags.set(Flags::HELD) } else { task.flags.clear(Flags::HELD) }
        }
    }

    /// Whether it waits, and nothing outside the tasks can wake or abort it.
    pub(crate) fn can_be_stuck(&self, slot: Slot) -> bool {
        const BUSY: Flags =
            Flags::QUEUED.and(Flags::FINISHED).and(Flags::ABORTED).and(Tasks::OUTSIDE);
        self.slots.get(slot).is_some_and(|task| !task.flags.has(BUSY))
    }

    pub(crate) fn slot_of(&self, number: TaskNumber) -> Option<Slot> {
        Some(self.slots.get_packed(Layout::WAKER, number.packed())?.0)
    }

    pub(crate) fn was_reported(&self, slot: Slot) -> bool {
        self.slots.get(slot).is_some_and(|task| task.flags.has(Flags::REPORTED))
    }

    pub(crate) fn mark_reported(&mut self, slot: Slot) {
        if let Some(task) = self.slots.get_mut(slot) {
            task.flags.set(Flags::REPORTED);
        }
    }

    /// Returns whether that is new. (One that was polled since then may suspect other things of itself.)
    pub(crate) fn mark_suspect(&mut self, slot: Slot, suspect: bool) -> bool {
        let Some(task) = self.slots.get_mut(slot) else { return false };
        let is_new = task.flags.has(Flags::SUSPECT) != suspect;
        if suspect {
            task.flags.set(Flags::SUSPECT)
        } else {
            task.flags.clear(Flags::SUSPECT)
        }
        is_new
    }

    /// The main future has no body in its slot, and nothing that waits is lent out.
    pub(crate) fn is_main(&self, slot: Slot) -> bool {
        self.slots.get(slot).is_some_and(|task| task.body.is_none())
    }

    /// How often a task was polled.
    pub(crate) fn polls(&self, slot: Slot) -> u32 {
        self.slots.get(slot).map_or(0, |task| task.flags.polls())
    }

    /// Whether it stands in the ready queue.
    pub(crate) fn is_queued(&self, slot: Slot) -> bool {
        self.slots.get(slot).is_some_and(|task| task.flags.has(Flags::QUEUED))
    }

    /// How many were spawned, how many were put into the ready queue, and how many polls were made, in all.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        (self.slots.inserted(), self.retired + self.ready.len() as u64, self.polls_made)
    }

    /// Whether code outside this crate can wake any of them, or another thread abort it.
    pub(crate) fn is_any_foreign(&self) -> bool {
        self.slots
            .iter()
            .any(|task| task.flags.has(Tasks::OUTSIDE) && !task.flags.has(Flags::FINISHED))
    }

    /// All tasks in words, in the order of their numbers.
    pub(crate) fn snapshot(&self, now: u64, is_polling: bool) -> Vec<Snapshot> {
        let mut tasks: Vec<_> = self
            .slots
            .iter_with_slots()
            .map(|(slot, task)| Snapshot::of(slot, task, now))
            .collect();
        tasks.sort_by_key(|task| task.slot.generation());
        for task in &mut tasks {
            if task.slot == self.polled && task.state == "waiting" && is_polling {
                task.state = "running";
            }
        }
        tasks
    }

    /// Which task waits for the end of which.
    pub(crate) fn each_join(&self, each: &mut impl FnMut(Wait)) {
        for (slot, task) in self.slots.iter_with_slots() {
            if task.joiner != TaskNumber::NOBODY {
                each(Wait { task: task.joiner, what: What::Task(slot), place: None, since: None });
            }
        }
    }

    pub(crate) fn mark_foreign(&mut self, packed: Slot) {
        if let Some((_, task)) = self.slots.get_packed_mut(Layout::WAKER, packed) {
            task.flags.set(Flags::FOREIGN);
        }
    }

    pub(crate) fn is_foreign(&self, slot: Slot) -> bool {
        self.slots.get(slot).is_some_and(|task| task.flags.has(Flags::FOREIGN))
    }

    pub(crate) fn name(&self, slot: Slot) -> Option<&str> {
        self.slots.get(slot)?.name()
    }

    /// Which task an error or a log line is about.
    pub(crate) fn origin(&self, slot: Slot) -> Option<Origin> {
        Some(self.slots.get(slot)?.origin(slot))
    }

    /// Its failure is logged when it ends detached.
    pub(super) fn set_failure_log(&mut self, slot: Slot, log: FailureLog) {
        if let Some(task) = self.slots.get_mut(slot) {
            task.rare.get_or_insert_default().failure_log = Some(log);
        }
    }

    /// Whether a waker can tell one more task apart.
    pub(super) fn has_room(&self) -> bool {
        self.slots.has_room(Layout::WAKER)
    }

    /// Where [there is room](Self::has_room).
    #[inline(always)]
    pub(super) fn insert(
        &mut self,
        body: Option<Body>,
        flags: Flags,
        rare: Option<Box<Rare>>,
        birth: Birth,
    ) -> Slot {
        let (slot, task) = self.slots.insert_empty(Task::EMPTY);
        // There are none in their places: so no code is made that drops them.
        mem::forget(mem::replace(&mut task.body, body));
        mem::forget(mem::replace(&mut task.rare, rare));
        task.flags = flags;
        task.birth = birth;
        self.ready.push(slot);
        slot
    }

    /// The seat of `block_on`'s main future: woken, named and queued like any task, and new for each
    /// `block_on`, so that a waker kept from an earlier one means nobody.
    pub(crate) fn seat_main(
        &mut self,
        place: &'static Location<'static>,
        now: u64,
    ) -> Option<Slot> {
        let birth = Birth::new(PlaceId::of(place), now);
        self.has_room()
            .then(|| self.insert(None, Flags::QUEUED, Some(Rare::named("main".into())), birth))
    }

    pub(crate) fn unseat_main(&mut self, main: Slot) {
        self.slots.remove(main);
    }
}

/// See [`Tasks::detach`].
pub(super) enum Left {
    Task(Task),
    Joiner(Waker),
}

/// See [`Tasks::hint`].
pub(crate) enum Hint {
    Task(Slot),
    /// Of [`Waits`](crate::waits::Waits).
    Record(Slot),
}

/// A task as a dump shows it.
pub(crate) struct Snapshot {
    pub(crate) slot: Slot,
    pub(crate) name: Option<String>,
    pub(crate) state: &'static str,
    pub(crate) age: Duration,
    pub(crate) polls: u32,
    pub(crate) place: &'static Location<'static>,
    pub(crate) foreign: bool,
}

impl Snapshot {
    fn of(slot: Slot, task: &Task, now: u64) -> Self {
        let state = match task.flags {
            flags if flags.has(Flags::FINISHED) => "finished",
            flags if flags.has(Flags::QUEUED) => "ready",
            _ => "waiting",
        };
        Snapshot {
            slot,
            name: task.name().map(str::to_owned),
            state,
            age: task.birth.age(now),
            polls: task.flags.polls(),
            place: task.birth.place().location(),
            foreign: task.flags.has(Flags::FOREIGN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Core;
    use crate::event_loop::EventLoop;
    use crate::task::{spawn, yield_now};

    /// How many entries the queue has, with those that had their turn, and for how many it has room.
    fn queue() -> (usize, usize) {
        Core::expect("a test", |core| (core.tasks.ready.len(), core.tasks.ready.capacity()))
    }

    async fn yield_for(turns: usize) {
        for _ in 0..turns {
            yield_now().await;
        }
    }

    fn turn(event_loop: &mut EventLoop) -> (usize, usize) {
        event_loop.turn(Some(Duration::ZERO)).expect("a turn");
        event_loop.enter(queue)
    }

    #[test]
    fn however_many_yield_for_ever_the_queue_is_about_twice_as_long() {
        for crowd in [1, 2, 3, 63, 64, 65, 500] {
            let mut event_loop = EventLoop::new().expect("a loop");
            event_loop.enter(|| (0..crowd).for_each(|_| drop(spawn(yield_for(usize::MAX)))));
            for _ in 0..1000 {
                let (length, room) = turn(&mut event_loop);
                let most = 2 * crowd + RETIRED_AT_ONCE;
                assert!(
                    length <= most && room <= 2 * most,
                    "{crowd} tasks: {length} entries, room for {room}"
                );
            }
        }
    }

    #[test]
    fn a_past_crowd_leaves_no_queue_behind() {
        let mut event_loop = EventLoop::new().expect("a loop");
        for _ in 0..3 {
            event_loop.enter(|| (0..100_000).for_each(|_| drop(spawn(yield_for(1)))));
            for _ in 0..2 {
                assert!(turn(&mut event_loop).0 >= 100_000);
            }
            event_loop.enter(|| drop(spawn(yield_for(5))));
            let (length, room) = turn(&mut event_loop);
            assert!(length < RETIRED_AT_ONCE && room <= KEPT, "{length} entries, room for {room}");
        }
    }

    #[test]
    fn crowds_that_grow_and_shrink_keep_the_queue_in_proportion() {
        let mut event_loop = EventLoop::new().expect("a loop");
        let mut before = 0;
        for round in 0..200 {
            let crowd = [1, 10, 100, 1000, 100, 10, 1, 1][round % 8];
            event_loop.enter(|| (0..crowd).for_each(|_| drop(spawn(yield_for(1)))));
            let (length, _) = turn(&mut event_loop);
            // This batch, who waits for the next, and who had their turn: no more of these than of the others.
            let most = 2 * (before + 2 * crowd) + RETIRED_AT_ONCE;
            assert!(length <= most, "round {round}: {length} entries after {before} and {crowd}");
            before = crowd;
        }
        for _ in 0..2 {
            turn(&mut event_loop);
        }
        assert_eq!(event_loop.enter(|| Core::expect("a test", |core| core.tasks.ready())), 0);
    }

    #[test]
    fn tasks_that_end_before_their_turn_do_not_stay_in_the_queue() {
        let mut event_loop = EventLoop::new().expect("a loop");
        event_loop.enter(|| (0..10_000).for_each(|_| spawn(async {}).abort()));
        let event_loop = &mut event_loop;
        assert_eq!(event_loop.next_deadline(), None);
        assert_eq!(event_loop.turn(Some(Duration::ZERO)).expect("a turn").polls, 0);
        let (length, room) = turn(event_loop);
        assert!(length == 0 && room <= KEPT, "{length} entries, room for {room}");
    }
}
