//! Tasks: futures that run on the loop, concurrently, each woken when it can go on. Groups of tasks that end together, and
//! tokens that tell tasks to stop.

// Spawned by users, woken by number (see `waker.rs`), run by the last phase of a turn. Nothing here knows
// of sockets or timers. A task's life, and the function that draws each arrow:
//
//   spawn ──(1)──► queued ──(2)──► running ──(3)──► waiting ──(4)──► queued ...
//                    │                │                │
//                    └──────(6)───────┼──────(6)───────┤
//                                    (5)               ▼
//                                     └───────────► finished ──(7)──► gone
//
// 1. `enter`  2. `run_batch`  3. `put_back`  4. `Tasks::wake`  5. `finish`  6. `abort`
// 7. the `JoinHandle` takes the output, or is dropped (`detach`)

mod cancel;
mod group;
mod join;
pub(crate) mod waker;

use std::any::Any;
use std::cell;
use std::fmt;
use std::future::Future;
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;

pub use self::cancel::{CancelToken, Cancellable, Cancellation, Cancelled};
pub use self::group::{JoinGroup, Spawner, TaskGroup};
pub(crate) use self::join::Origin;
pub use self::join::{JoinError, JoinHandle};
use self::waker::{TaskNumber, Wake};
use crate::core::{Core, contain, discard};
use crate::observe::stuck::{self, Verdict};
use crate::observe::{self, Outcome, Step};
use crate::places::PlaceId;
use crate::remote::{self, Message, Release};
use crate::shuffle::Shuffle;
use crate::slots::{Key, Layout, Slot, Slots};
use crate::waits::{Wait, What};

/// The tasks of a loop.
pub(crate) struct Tasks {
    slots: Slots<Task>,
    /// The ready queue, in the order of the wakes. Those before `done` had their turn. From there to `batch_end` is the batch
    /// that runs now, of which some are left over after a panic of the main future.
    ready: Vec<Slot>,
    done: usize,
    batch_end: usize,
    /// How many had their turn, and were taken out of the queue, in all.
    retired: u64,
    /// How many polls there were. They are numbered through, so that those that are timed are spread evenly.
    polls: usize,
    /// Who was polled last.
    pub(crate) polled: Slot,
    /// What is to be done or looked at after its poll, as bits: see [`Tasks::UNKEPT`].
    pub(crate) suspicion: u8,
}

/// A queue of up to so many tasks keeps its memory.
const KEPT: usize = 1024;

/// Those who had their turn are taken out of the queue when they are so many, and at least half of it.
const RETIRED_AT_ONCE: usize = 64;

struct Task {
    /// `None` while it is lent to [`run_next`]; for ever so for the main future of `block_on`, which lives on
    /// its stack.
    body: Option<Body>,
    flags: Flags,
    /// The task to wake when it finishes, or [`TaskNumber::NOBODY`].
    joiner: TaskNumber,
    rare: Option<Box<Rare>>,
    /// The task, the lock or the group that it last waited for, as far as that was noted: for [`crate::observe::stuck`].
    hint: Slot,
    birth: Birth,
}

/// Where and when a task was spawned. (One word, for the reason that [`Slot`] is one.)
#[derive(Clone, Copy)]
struct Birth(u64);

impl Birth {
    /// `nanos` of the loop's clock. They are kept to the millisecond or so, and begin anew after 52 days.
    fn new(place: PlaceId, nanos: u64) -> Self {
        Birth(u64::from(place.to_bits()) << 32 | u64::from((nanos >> 20) as u32))
    }

    /// What other threads are told of the task that is being polled: see [`Shared`](crate::remote::Shared).
    fn published(self, slot: Slot) -> u64 {
        (self.0 >> 32) << 32 | u64::from(slot.generation())
    }

    fn place(self) -> PlaceId {
        PlaceId::from_bits((self.0 >> 32) as u32)
    }

    fn age(self, nanos: u64) -> Duration {
        let units = ((nanos >> 20) as u32).wrapping_sub(self.0 as u32);
        Duration::from_nanos(u64::from(units) << 20)
    }
}

/// What few tasks have, kept apart so that a task is small.
struct Rare {
    name: Option<Box<str>>,
    /// Whom to wake when it finishes, if that is a foreign waker.
    joiner: Option<Waker>,
}

impl Rare {
    fn named(name: Box<str>) -> Box<Self> {
        Box::new(Rare { name: Some(name), joiner: None })
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

    fn has_foreign_joiner(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.joiner.is_some())
    }

    /// Leaves whom to wake when it finishes, and takes out who was there before.
    fn swap_joiner(&mut self, joiner: &mut Option<Wake>) {
        let before = self.take_joiner();
        match mem::replace(joiner, before) {
            Some(Wake::Task(task)) => self.joiner = task,
            Some(Wake::Other(waker)) => {
                let rare = self.rare.get_or_insert_with(|| Box::new(Rare { name: None, joiner: None }));
                rare.joiner = Some(waker);
            }
            None => {}
        }
    }

    /// It has ended. Returns the task to wake.
    #[inline]
    fn finish(&mut self) -> TaskNumber {
        self.flags.clear(Flags::QUEUED);
        self.flags.set(Flags::FINISHED);
        mem::replace(&mut self.joiner, TaskNumber::NOBODY)
    }

    #[inline]
    fn take_joiner(&mut self) -> Option<Wake> {
        match mem::replace(&mut self.joiner, TaskNumber::NOBODY) {
            TaskNumber::NOBODY => self.rare.as_mut()?.joiner.take().map(Wake::Other),
            task => Some(Wake::Task(task)),
        }
    }
}

/// What is so of a task. Without the first two it waits, or is being polled, and a wake puts it into the ready queue.
/// (One word, for the reason that [`Slot`] is one.)
#[derive(Clone, Copy)]
struct Flags(u64);

impl Flags {
    /// In the ready queue: a second wake does not queue it again.
    const QUEUED: Flags = Flags(1);
    /// Its body is its output. It may still stand in the ready queue, which then passes over it. Never with `QUEUED`.
    const FINISHED: Flags = Flags(2);
    /// Aborted while it was being polled: dropped when the poll returns.
    const ABORTED: Flags = Flags(4);
    /// Nobody holds its [`JoinHandle`]: it is removed when it finishes.
    const DETACHED: Flags = Flags(8);
    /// Code outside this crate has cloned its waker, and may wake it at any time.
    const FOREIGN: Flags = Flags(16);
    /// What it last waited for is a record of [`Waits`](crate::waits::Waits), not a task: see `Task::hint`.
    const AT_RECORD: Flags = Flags(32);
    /// It was reported as stuck since it was polled last.
    const REPORTED: Flags = Flags(64);
    /// It is among the [`Suspects`](crate::observe::stuck::Suspects).
    const SUSPECT: Flags = Flags(128);

    /// Added for each poll: the upper half counts them.
    const POLL: u64 = 1 << 32;

    /// How often the task was polled (modulo four billion).
    fn polls(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether any of `flags` is set.
    fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 != 0
    }

    fn set(&mut self, flags: Flags) {
        self.0 |= flags.0;
    }

    fn clear(&mut self, flags: Flags) {
        self.0 &= !flags.0;
    }
}

/// The future, and after it its output.
type Body = Pin<Box<dyn Stage>>;

/// A task without its type. The one allocation of a task is the [`Cell`] behind it, or, in a group, the
/// [`Child`](group::Child).
trait Stage {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
    /// Drops the future and puts an error in its place.
    fn fail(self: Pin<&mut Self>, error: JoinError);
    /// Moves the output into `out`, an `Option<Result<T, JoinError>>`.
    fn take(self: Pin<&mut Self>, out: &mut dyn Any);
    fn error(&self) -> Option<&JoinError>;
}

pin_project! {
    #[project = CellProject]
    enum Cell<F: Future> {
        Running { #[pin] future: F },
        Finished { output: Option<Result<F::Output, JoinError>> },
    }
}

impl<F> Stage for Cell<F>
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let CellProject::Running { future } = self.as_mut().project() else {
            unreachable!("a finished task is not polled");
        };
        let Poll::Ready(output) = future.poll(cx) else { return Poll::Pending };
        self.set(Cell::Finished { output: Some(Ok(output)) });
        Poll::Ready(())
    }

    fn fail(mut self: Pin<&mut Self>, error: JoinError) {
        self.set(Cell::Finished { output: Some(Err(error)) });
    }

    fn take(self: Pin<&mut Self>, out: &mut dyn Any) {
        if let (CellProject::Finished { output }, Some(out)) = (self.project(), out.downcast_mut()) {
            // It is empty: so no code is made that drops it.
            mem::forget(mem::replace(out, output.take()));
        }
    }

    fn error(&self) -> Option<&JoinError> {
        match self {
            Cell::Finished { output: Some(Err(error)) } => Some(error),
            _ => None,
        }
    }
}

/// A task's name in logs and errors: a number that counts the tasks of its loop.
///
/// `Display` prints that number. After four billion tasks of one loop the numbers start again; ids of
/// tasks that live at the same time are never equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(Slot);

impl Id {
    pub(crate) fn new(task: Slot) -> Self {
        Id(task)
    }

    pub(crate) fn slot(self) -> Slot {
        self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.generation(), f)
    }
}

impl Tasks {
    /// Nobody has kept its waker. Of no interest if it was woken or has finished.
    pub(crate) const UNKEPT: u8 = 1;
    /// It waits for a task that itself waits, for a lock that is held, or for a group.
    pub(crate) const BLOCKED: u8 = 2;
    /// Its poll is timed.
    pub(crate) const TIMED: u8 = 4;
    /// It was aborted during its poll.
    const ABORTED: u8 = 8;

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
            polls: 0,
            polled: Slot::NONE,
            suspicion: 0,
        }
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
    fn begin_batch(&mut self, shuffle: &mut Option<Shuffle>) {
        if self.done >= RETIRED_AT_ONCE {
            self.retire();
        }
        self.batch_end = self.ready.len();
        if shuffle.is_some() {
            self.shuffle_batch(shuffle);
        }
    }

    #[cold]
    fn shuffle_batch(&mut self, shuffle: &mut Option<Shuffle>) {
        if let Some(shuffle) = shuffle {
            shuffle.permute(&mut self.ready[self.done..]);
        }
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

    #[inline]
    fn is_batch_over(&self) -> bool {
        self.done == self.batch_end
    }

    /// Takes the next task of the batch, and its body out of its slot. `None`: the batch is over.
    #[inline]
    fn take_ready(&mut self) -> Option<(Slot, Birth, Option<Body>)> {
        while self.done != self.batch_end {
            let slot = self.ready[self.done];
            self.done += 1;
            // Whoever was queued may have finished or gone since; the place may even have a new occupant.
            if let Some(task) = self.slots.get_mut(slot)
                && task.flags.has(Flags::QUEUED)
            {
                task.flags.clear(Flags(Flags::QUEUED.0 | Flags::REPORTED.0));
                task.flags.0 = task.flags.0.wrapping_add(Flags::POLL);
                self.polls = self.polls.wrapping_add(1);
                self.polled = slot;
                self.suspicion = Tasks::UNKEPT;
                return Some((slot, task.birth, task.body.take()));
            }
        }
        None
    }

    /// Queues the task that a waker's bits mean. `None` if it is queued already, has finished or is gone.
    #[inline]
    pub(crate) fn wake(&mut self, packed: Slot) -> Option<Slot> {
        let (slot, task) = self.slots.get_packed_mut(Layout::WAKER, packed)?;
        if task.flags.has(Flags(Flags::QUEUED.0 | Flags::FINISHED.0)) {
            return None;
        }
        task.flags.set(Flags::QUEUED);
        self.ready.push(slot);
        Some(slot)
    }

    /// Nobody holds the task's [`JoinHandle`] any more. Returns what is to be dropped outside the borrow.
    fn detach(&mut self, slot: Slot) -> (Option<Wake>, Option<Body>) {
        let Some(task) = self.slots.get_mut(slot) else { return (None, None) };
        task.flags.set(Flags::DETACHED);
        let joiner = task.take_joiner().filter(|joiner| matches!(joiner, Wake::Other(_)));
        let is_over = task.flags.has(Flags::FINISHED);
        let body = if is_over { self.slots.remove(slot).and_then(|task| task.body) } else { None };
        (joiner, body)
    }

    /// A task waits for the end of another, which itself waits.
    #[cold]
    fn joins_waiting(&mut self, joiner: TaskNumber, joined: Slot) {
        self.suspicion |= Tasks::BLOCKED;
        self.hint_at_task(joiner, joined);
    }

    fn hint_at_task(&mut self, joiner: TaskNumber, joined: Slot) {
        if let Some((_, task)) = self.slots.get_packed_mut(Layout::WAKER, joiner.packed()) {
            task.flags.clear(Flags::AT_RECORD);
            task.hint = joined;
        }
    }

    /// Who waits for the end of a task that waits gets the hint, and who waits for that, and so on. (Not done when they
    /// begin to wait, because nearly always the task is ready then.)
    pub(crate) fn hint_joiners(&mut self, task: Slot, most: usize) {
        let mut at = task;
        for _ in 0..most {
            let joiner = self.slots.get(at).map_or(TaskNumber::NOBODY, |task| task.joiner);
            let Some(next) = self.slot_of(joiner).filter(|_| joiner != TaskNumber::NOBODY) else { return };
            self.hint_at_task(joiner, at);
            at = next;
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

    /// Whether it waits, and nobody outside this crate can wake it.
    pub(crate) fn can_be_stuck(&self, slot: Slot) -> bool {
        const BUSY: Flags = Flags(Flags::QUEUED.0 | Flags::FINISHED.0 | Flags::ABORTED.0 | Flags::FOREIGN.0);
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
        (self.slots.inserted(), self.retired + self.ready.len() as u64, self.polls as u64)
    }

    pub(crate) fn is_any_foreign(&self) -> bool {
        self.slots.iter().any(|task| task.flags.has(Flags::FOREIGN) && !task.flags.has(Flags::FINISHED))
    }

    /// All tasks in words, in the order of their numbers.
    pub(crate) fn snapshot(&self, now: u64, is_polling: bool) -> Vec<Snapshot> {
        let mut tasks: Vec<_> =
            self.slots.iter_with_slots().map(|(slot, task)| Snapshot::of(slot, task, now)).collect();
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
        let task = self.slots.get(slot)?;
        Some(Origin {
            id: Some(Id(slot)),
            name: task.name().map(Into::into),
            place: task.birth.place().location(),
        })
    }

    #[inline(always)]
    fn insert(
        &mut self,
        body: Option<Body>,
        flags: Flags,
        rare: Option<Box<Rare>>,
        birth: Birth,
    ) -> Result<Slot, Option<Body>> {
        if !self.slots.has_room(Layout::WAKER) {
            return Err(body);
        }
        let (slot, task) = self.slots.insert_empty(Task::EMPTY);
        // There are none in their places: so no code is made that drops them.
        mem::forget(mem::replace(&mut task.body, body));
        mem::forget(mem::replace(&mut task.rare, rare));
        task.flags = flags;
        task.birth = birth;
        self.ready.push(slot);
        Ok(slot)
    }

    /// The seat of `block_on`'s main future: woken, named and queued like any task, and new for each
    /// `block_on`, so that a waker kept from an earlier one means nobody.
    pub(crate) fn seat_main(&mut self, place: &'static Location<'static>, now: u64) -> Option<Slot> {
        let birth = Birth::new(PlaceId::of(place), now);
        self.insert(None, Flags::QUEUED, Some(Rare::named("main".into())), birth).ok()
    }

    pub(crate) fn unseat_main(&mut self, main: Slot) {
        self.slots.remove(main);
    }
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

/// Runs `future` on this thread's loop, concurrently with all its other tasks. It is polled for the
/// first time in the next batch, not inside this call.
///
/// The future need not be `Send`. Dropping the [`JoinHandle`] detaches the task, which runs on; if
/// it then panics, that is logged at `error`. On a loop that is being dropped the future is dropped
/// at once, and the handle reports [`JoinError::is_cancelled`].
///
/// ```
/// headwaiter::block_on(async {
///     let task = headwaiter::spawn(async { 6 * 7 });
///     assert_eq!(task.await.unwrap(), 42);
/// });
/// ```
///
/// # Panics
///
/// Outside any event loop; and if the loop has as many tasks as a waker can tell apart (four billion; on
/// a 32-bit machine a million).
#[inline]
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_at(future, None, Location::caller())
}

/// Spawns a task with a name, which then stands in log lines and errors.
///
/// ```
/// headwaiter::block_on(async {
///     let task = headwaiter::task::Builder::new().name("oven").spawn(async { panic!("on fire") });
///     let error: headwaiter::task::JoinError = task.await.map(|()| ()).unwrap_err();
///     assert!(error.to_string().contains("oven"));
/// });
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder spawns nothing until `spawn` is called"]
pub struct Builder {
    name: Option<Box<str>>,
}

impl Builder {
    /// A builder without a name.
    pub fn new() -> Self {
        Builder::default()
    }

    /// Names the task. In the log, in dumps and reports and in a [`Timeline`](crate::observe::Timeline) a name stands as it would in
    /// Rust's source: a line break as `\n`, an escape as `\u{1b}`. So it may be anything.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// As [`spawn`], with the same panics.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        spawn_at(future, self.name, Location::caller())
    }

    /// As [`TaskGroup::spawn`], with the same panics.
    #[track_caller]
    pub fn spawn_in<E, F>(self, group: &TaskGroup<E>, future: F)
    where
        E: 'static,
        F: Future<Output = Result<(), E>> + 'static,
    {
        group.spawn_at(future, self.name, Location::caller());
    }
}

#[inline]
#[track_caller]
pub(crate) fn spawn_at<F>(
    future: F,
    name: Option<Box<str>>,
    place: &'static Location<'static>,
) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    match enter(Box::pin(Cell::Running { future }), Flags::QUEUED, name, place) {
        Some(key) => JoinHandle::new(key),
        None => JoinHandle::stillborn(),
    }
}

/// The part of spawning that does not depend on the future's type. `None`: the loop is being dropped, and
/// the future was.
#[track_caller]
fn enter(body: Body, flags: Flags, name: Option<Box<str>>, place: &'static Location<'static>) -> Option<Key> {
    let mut body = Some(body);
    let rare = name.map(Rare::named);
    let place_id = PlaceId::of(place);
    let inserted = Core::expect("`spawn`", |core| {
        if core.closing {
            return Ok(None);
        }
        let birth = Birth::new(place_id, core.clock.turn_nanos());
        core.tasks.insert(body.take(), flags, rare, birth).map(|slot| Some(core.key(slot)))
    });
    let Ok(key) = inserted else {
        panic!(
            "headwaiter: this loop has {} tasks, and a waker cannot tell more apart: await some before you spawn more",
            Layout::WAKER.indexes()
        );
    };
    match key {
        Some(key) if observe::is_on() => report_spawn(key.slot, place),
        Some(_) => {}
        None => discard(body),
    }
    key
}

#[cold]
fn report_spawn(slot: Slot, place: &'static Location<'static>) {
    let name = Core::with(|core| core.tasks.name(slot).map(str::to_owned)).flatten();
    observe::report(|| Step::Spawn { task: Id(slot), name: name.as_deref(), place });
}

/// The main future of a `block_on`, as a turn sees it.
pub(crate) struct Main<'a> {
    pub(crate) slot: Slot,
    pub(crate) future: Pin<&'a mut dyn Future<Output = ()>>,
    pub(crate) done: &'a cell::Cell<bool>,
}

/// Polls the tasks that are ready now, and the main future when it is its turn. Returns how many.
///
/// The batch is what was ready at its start. So a task that wakes itself, or two that wake each
/// other, cannot keep the loop from the kernel and the timers.
///
/// The next batch follows at once while fewer than `most` polls were made and the turn between them would find nothing
/// to do: so it is with tasks that wake each other while no timer is armed.
pub(crate) fn run_batch(mut main: Option<&mut Main<'_>>, most: usize) -> usize {
    let before = Core::with(|core| {
        if core.tasks.is_batch_over() {
            core.tasks.begin_batch(&mut core.shuffle);
        }
        core.counts.batch(core.tasks.batch_end - core.tasks.done, core.tasks.count());
        core.tasks.polls
    });
    let first = before.unwrap_or_default();
    // It stands outside the closure, so that a panic does not drop it.
    let mut lent = Lent::default();
    // Entered once for the batch, and again after each panic: it costs as much as a short poll.
    loop {
        let run = || while run_next(&mut lent, main.as_deref_mut(), first.wrapping_add(most)) {};
        let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else { break };
        let Some(mut body) = lent.body.take() else {
            // The main future's panic goes on, through `block_on`.
            resume_unwind(payload);
        };
        let slot = polled_last();
        observe::poll_ended(slot, Outcome::Panicked);
        fail(slot, &mut body, |origin| JoinError::panicked(origin, payload));
        finish(slot, body);
    }
    // What is called now, until the next poll of a task, cannot yield.
    let after = Core::with(|core| {
        core.lift_budget();
        core.shared.polled.store(0, Ordering::Relaxed);
        core.tasks.polls
    });
    after.unwrap_or_default().wrapping_sub(first)
}

/// What was taken out of the slot of the task that is polled, until it is given back.
#[derive(Default)]
struct Lent {
    body: Option<Body>,
    /// The poll has returned `Ready`.
    is_finished: bool,
}

impl Core {
    /// After a poll: gives the task its body back, and wakes its joiner if it has finished. `Some`: that is left to do first.
    #[inline]
    fn settle(&mut self, lent: &mut Lent) -> Option<Next> {
        let tasks = &mut self.tasks;
        let task = tasks.slots.get_mut(tasks.polled)?;
        let is_done = lent.is_finished || task.flags.has(Flags(Flags::QUEUED.0 | Flags::FINISHED.0));
        let is_usual = tasks.suspicion == 0 || (tasks.suspicion == Tasks::UNKEPT && is_done);
        if !is_usual {
            return Some(Next::Unsettled);
        }
        let mut joiner = TaskNumber::NOBODY;
        if lent.is_finished {
            let is_detached = task.flags.has(Flags::DETACHED);
            let is_joined_here = match task.joiner {
                TaskNumber::NOBODY => task.rare.is_none(),
                number => number.is_of(self.id),
            };
            if self.observed || !(is_detached || is_joined_here) {
                return Some(Next::Unsettled);
            }
            lent.is_finished = false;
            self.counts.never_waited += u64::from(task.flags.polls() == 1);
            if is_detached {
                tasks.slots.remove(tasks.polled);
                return lent.body.take().map(Next::Unwanted);
            }
            joiner = task.finish();
        }
        if lent.body.is_some() {
            // There is none in its place: nothing of a user's is dropped here, and no code made for it.
            mem::forget(mem::replace(&mut task.body, lent.body.take()));
        }
        if joiner != TaskNumber::NOBODY {
            tasks.wake(joiner.packed());
        }
        None
    }
}

/// What [`run_next`] found.
enum Next {
    /// Whom to poll, with its body (the main future has none), and whether that is timed.
    Poll(Key, Option<Body>, bool),
    /// The last poll is not settled: see [`settle_unusually`].
    Unsettled,
    /// The last poll ended a task, whose output nobody wants.
    Unwanted(Body),
    Over,
}

/// Polls the next task of the batch, or the first of the next if it follows at once, which it may until there were `last` polls.
/// `false`: the batch is over.
#[inline]
fn run_next(lent: &mut Lent, main: Option<&mut Main<'_>>, last: usize) -> bool {
    let next = Core::with(|core| {
        if let Some(first) = core.settle(lent) {
            return first;
        }
        core.refill_budget();
        if core.tasks.is_batch_over() && !go_on(core, main.as_deref(), last) {
            return Next::Over;
        }
        let Some((slot, birth, body)) = core.tasks.take_ready() else { return Next::Over };
        core.shared.polled.store(birth.published(slot), Ordering::Relaxed);
        Next::Poll(core.key(slot), body, core.tasks.polls & core.untimed == 0)
    });
    let (key, body, is_timed) = match next {
        Some(Next::Poll(key, body, is_timed)) => (key, body, is_timed),
        Some(Next::Unsettled) => {
            settle_unusually(lent);
            return true;
        }
        Some(Next::Unwanted(body)) => {
            discard_output(body);
            return true;
        }
        Some(Next::Over) | None => return false,
    };
    // Not dropped: its drop does nothing.
    let waker = ManuallyDrop::new(TaskNumber::new(key).waker());
    let mut cx = Context::from_waker(&waker);
    if is_timed {
        observe::poll_begins(key.slot);
    }
    let Some(body) = body else {
        if let Some(main) = main.filter(|main| main.slot == key.slot) {
            let outcome = Outcome::of(main.future.as_mut().poll(&mut cx));
            if let Outcome::Finished = outcome {
                observe::poll_ended(key.slot, outcome);
                Core::with(|core| core.tasks.suspicion = 0);
            }
        }
        return true;
    };
    lent.is_finished = lent.body.insert(body).as_mut().poll(&mut cx).is_ready();
    true
}

/// Begins the next batch, if the phases that come before it would find nothing to do.
#[inline]
fn go_on(core: &mut Core, main: Option<&Main<'_>>, last: usize) -> bool {
    let is_done = main.is_none_or(|main| main.done.get());
    let has_phases = core.overspent || core.timers.has_armed() || core.shared.has_mail() || core.observed;
    let goes_on = core.tasks.polls < last && !is_done && !has_phases;
    if goes_on {
        core.tasks.begin_batch(&mut core.shuffle);
    }
    goes_on
}

fn polled_last() -> Slot {
    Core::expect("a poll", |core| core.tasks.polled)
}

/// After a poll that was timed, or during which the task was aborted; after which the task may be stuck, or has finished unheard.
#[cold]
fn settle_unusually(lent: &mut Lent) {
    let slot = polled_last();
    let body = lent.body.take();
    if mem::take(&mut lent.is_finished) {
        Core::with(|core| core.tasks.suspicion = 0);
        observe::poll_ended(slot, Outcome::Finished);
        body.into_iter().for_each(|body| finish(slot, body));
        return;
    }
    observe::poll_ended(slot, Outcome::Pending);
    let aborted = Core::with(|core| {
        let was_aborted = core.tasks.suspicion & Tasks::ABORTED != 0;
        core.tasks.suspicion &= Tasks::UNKEPT | Tasks::BLOCKED;
        let task = core.tasks.slots.get_mut(slot).filter(|_| !was_aborted && body.is_some());
        let Some(task) = task else { return body };
        task.body = body;
        None
    });
    if let Some(body) = aborted.flatten() {
        cancel(slot, body);
    }
    if let Verdict::Panic(report) = stuck::look() {
        panic!("headwaiter: {report}");
    }
}

/// Drops the future and leaves an error in its place.
fn fail(slot: Slot, body: &mut Body, error: impl FnOnce(Option<Origin>) -> JoinError) {
    let origin = Core::with(|core| core.tasks.origin(slot)).flatten();
    contain("the drop of a task's future", || body.as_mut().fail(error(origin)));
}

fn cancel(slot: Slot, mut body: Body) {
    fail(slot, &mut body, JoinError::cancelled);
    observe::report(|| Step::Abort { task: Id(slot) });
    finish(slot, body);
}

/// Leaves the output to the joiner, or drops it with the task if there is none.
fn finish(slot: Slot, body: Body) {
    let mut body = Some(body);
    let joiner = Core::with(|core| {
        let task = core.tasks.slots.get_mut(slot)?;
        core.counts.never_waited += u64::from(task.flags.polls() == 1);
        if task.flags.has(Flags::DETACHED) {
            core.tasks.slots.remove(slot);
            return None;
        }
        mem::swap(&mut task.body, &mut body);
        let joiner = task.take_joiner();
        task.finish();
        joiner
    });
    if let Some(joiner) = joiner.flatten() {
        joiner.wake();
    }
    if let Some(body) = body {
        discard_output(body);
    }
}

/// Nobody wants the output of a task.
fn discard_output(body: Body) {
    if let Some(error) = body.error() {
        error.log_unseen();
    }
    discard(body);
}

/// Drops a task's future, inside this call unless the task is running right now.
pub(crate) fn abort(slot: Slot) {
    let body = Core::with(|core| {
        let task = core.tasks.slots.get_mut(slot).filter(|task| !task.flags.has(Flags::FINISHED))?;
        let body = task.body.take();
        task.flags.set(Flags::ABORTED);
        if body.is_none() && slot == core.tasks.polled {
            core.tasks.suspicion |= Tasks::ABORTED;
        }
        body
    });
    if let Some(body) = body.flatten() {
        cancel(slot, body);
    }
}

/// As [`abort`], from wherever this is: inside this call at home, else when the loop takes the message.
pub(crate) fn abort_from_anywhere(key: Key) {
    if Core::is_home_of(key) {
        abort(key.slot);
    } else if let Some(shared) = remote::find(key.home) {
        shared.send(Message::Abort(key.slot));
    }
}

/// A task that cannot do what it was spawned for.
pub(crate) fn give_up(slot: Slot, error: impl FnOnce(Option<Origin>) -> JoinError) {
    let body = Core::with(|core| core.tasks.slots.get_mut(slot)?.body.take());
    if let Some(mut body) = body.flatten() {
        fail(slot, &mut body, error);
        finish(slot, body);
    }
}

/// The task's [`JoinHandle`] was dropped, anywhere.
pub(crate) fn detach(key: Key) {
    let gone = Core::if_at_home(key, |core| core.tasks.detach(key.slot));
    match gone {
        None => remote::release(key.home, Release::Join(key.slot)),
        Some((None, None)) => {}
        Some((joiner, body)) => {
            // They are a user's: a foreign waker, and an output.
            discard(joiner);
            body.into_iter().for_each(discard_output);
        }
    }
}

/// Drops every task of a loop that is being dropped. What their drops spawn is dropped at once.
pub(crate) fn drop_all() {
    while let Some(task) = Core::with(|core| core.tasks.slots.pop()).flatten() {
        discard(task.body);
        discard(task.rare);
    }
}

/// Lets all other ready tasks run before this one goes on: it is polled again in the next turn. (In a loop with
/// [`shuffle`](crate::Builder::shuffle): all of this turn. Those of the next come before it or after.)
///
/// Cancel-safe: there is nothing to lose.
///
/// ```
/// headwaiter::block_on(async {
///     let task = headwaiter::spawn(async {});
///     assert!(!task.is_finished());
///     headwaiter::task::yield_now().await;
///     assert!(task.is_finished());
/// });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        TaskNumber::wake_again(cx.waker());
        Poll::Pending
    }
}
