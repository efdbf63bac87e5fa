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
use crate::observe::stats::SAMPLED;
use crate::observe::stuck::{self, Verdict};
use crate::observe::{self, Outcome, Step};
use crate::places::PlaceId;
use crate::remote::{self, Message};
use crate::shuffle::Shuffle;
use crate::slots::{Key, Layout, Slot, Slots};
use crate::waits::{Wait, What};

/// The tasks of a loop.
pub(crate) struct Tasks {
    slots: Slots<Task>,
    /// Who is to be polled in the next batch, in the order of their wakes.
    ready: Vec<Slot>,
    /// The batch that runs now, from `done` on. After a panic of the main future some may be left over.
    batch: Vec<Slot>,
    done: usize,
    /// How many batches have been made of, in all, and how many of them had ended before their turn came.
    queued: u64,
    passed_over: u64,
    /// The number of the last poll, modulo [`SAMPLED`].
    numbered: usize,
    /// Who was polled last.
    pub(crate) polled: Slot,
    /// What is to be looked at more closely in it, as bits: see [`Tasks::UNKEPT`].
    pub(crate) suspicion: u8,
}

/// A queue of up to so many tasks keeps its memory.
const KEPT: usize = 1024;

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
    fn name(&self) -> Option<&str> {
        self.rare.as_ref()?.name.as_deref()
    }

    /// Leaves whom to wake when it finishes: a task, or else a foreign waker. One that was there before is left in
    /// `other`, to be dropped outside the borrow.
    #[inline]
    fn leave_joiner(&mut self, task: TaskNumber, other: &mut Option<Waker>) {
        self.joiner = task;
        match &mut self.rare {
            Some(rare) => mem::swap(&mut rare.joiner, other),
            None if other.is_some() => self.rare = Some(Box::new(Rare { name: None, joiner: other.take() })),
            None => {}
        }
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
    /// It has not finished, was not woken, and nobody has kept its waker.
    pub(crate) const UNKEPT: u8 = 1;
    /// It waits for a task that itself waits, for a lock that is held, or for a group.
    pub(crate) const BLOCKED: u8 = 2;

    /// Somebody has the waker of the task that is being polled.
    #[inline]
    pub(crate) fn keep(&mut self) {
        self.suspicion &= Tasks::BLOCKED;
    }

    pub(crate) fn new() -> Self {
        Tasks {
            slots: Slots::new(),
            ready: Vec::new(),
            batch: Vec::new(),
            done: 0,
            queued: 0,
            passed_over: 0,
            numbered: 0,
            polled: Slot::NONE,
            suspicion: 0,
        }
    }

    /// How many are queued.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len() + self.batch.len() - self.done
    }

    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    /// Whether one of them is still there: it may have been aborted since.
    pub(crate) fn is_any_ready(&self) -> bool {
        let mut queued = self.batch[self.done..].iter().chain(&self.ready);
        queued.any(|slot| self.slots.get(*slot).is_some_and(|task| task.flags.has(Flags::QUEUED)))
    }

    /// What is ready now becomes the batch: the last one is over.
    #[inline]
    fn begin_batch(&mut self, shuffle: &mut Option<Shuffle>) {
        if self.batch.capacity() > KEPT {
            self.shrink_batch();
        }
        self.batch.clear();
        self.done = 0;
        mem::swap(&mut self.batch, &mut self.ready);
        self.queued += self.batch.len() as u64;
        if let Some(shuffle) = shuffle {
            shuffle.permute(&mut self.batch);
        }
    }

    /// A past crowd's memory is given back.
    #[cold]
    fn shrink_batch(&mut self) {
        if self.batch.len() < self.batch.capacity() / 4 {
            self.batch.shrink_to(KEPT.max(2 * self.batch.len()));
        }
    }

    #[inline]
    fn is_batch_over(&self) -> bool {
        self.done == self.batch.len()
    }

    /// Takes the next task of the batch, and its body out of its slot. `None`: the batch is over.
    #[inline]
    fn take_ready(&mut self) -> Option<(Slot, Birth, Option<Body>)> {
        while let Some(&slot) = self.batch.get(self.done) {
            self.done += 1;
            // Whoever was queued may have finished or gone since; the place may even have a new occupant.
            if let Some(task) = self.slots.get_mut(slot)
                && task.flags.has(Flags::QUEUED)
            {
                task.flags.clear(Flags(Flags::QUEUED.0 | Flags::REPORTED.0));
                task.flags.0 = task.flags.0.wrapping_add(Flags::POLL);
                self.polled = slot;
                self.suspicion = Tasks::UNKEPT;
                return Some((slot, task.birth, task.body.take()));
            }
            self.passed_over += 1;
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
        if slot == self.polled {
            self.keep();
        }
        Some(slot)
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

    /// How many were spawned, how many were put into the ready queue, and how many polls were made, in all.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        let left = (self.batch.len() - self.done) as u64;
        let polls = self.queued - left - self.passed_over;
        (self.slots.inserted(), self.queued + self.ready.len() as u64, polls)
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

    #[inline]
    fn insert(
        &mut self,
        body: Option<Body>,
        flags: Flags,
        rare: Option<Box<Rare>>,
        birth: Birth,
    ) -> Result<Slot, Option<Body>> {
        let task = Task { body, flags, joiner: TaskNumber::NOBODY, rare, hint: Slot::NONE, birth };
        let slot = self.slots.insert(Layout::WAKER, task).map_err(|task| task.body)?;
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

    /// Names the task.
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
        core.counts.batch(core.tasks.batch.len(), core.tasks.count());
        core.tasks.numbered
    });
    // Numbered through, so that those that are timed are spread evenly.
    let first = before.unwrap_or_default();
    let (mut polls, most) = (first, first + most);
    // The task whose poll is under way. It stands outside the closure, so that a panic does not drop it.
    let mut polled = None;
    // Entered once for the batch, and again after each panic: it costs as much as a short poll.
    loop {
        let run = || while run_next(&mut polled, main.as_deref_mut(), &mut polls, most) {};
        let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else { break };
        let Some((slot, mut body)) = polled.take() else {
            // The main future's panic goes on, through `block_on`.
            resume_unwind(payload);
        };
        observe::poll_ended(slot, Outcome::Panicked);
        fail(slot, &mut body, |origin| JoinError::panicked(origin, payload));
        finish(slot, body);
    }
    // What is called now, until the next poll of a task, cannot yield.
    Core::with(|core| {
        core.lift_budget();
        core.shared.polled.store(0, Ordering::Relaxed);
        core.tasks.numbered = polls % SAMPLED;
    });
    polls - first
}

/// Polls the next task of the batch, or the first of the next if it follows at once. `false`: the batch is
/// over.
#[inline]
fn run_next(
    polled: &mut Option<(Slot, Body)>,
    main: Option<&mut Main<'_>>,
    polls: &mut usize,
    most: usize,
) -> bool {
    let (mut suspicious, mut timed) = (false, false);
    let taken = Core::with(|core| {
        suspicious = core.tasks.suspicion != 0;
        if suspicious {
            return None;
        }
        core.refill_budget();
        if core.tasks.is_batch_over() && !go_on(core, main.as_deref(), *polls < most) {
            return None;
        }
        let (slot, birth, body) = core.tasks.take_ready()?;
        core.shared.polled.store(birth.published(slot), Ordering::Relaxed);
        *polls += 1;
        timed = *polls & core.untimed == 0;
        Some((core.key(slot), body))
    });
    let Some((key, body)) = taken.flatten() else {
        if suspicious {
            look();
        }
        return suspicious;
    };
    // Not dropped: its drop does nothing.
    let waker = ManuallyDrop::new(TaskNumber::new(key).waker());
    let mut cx = Context::from_waker(&waker);
    let slot = key.slot;
    if timed {
        observe::poll_begins(slot);
    }
    let Some(body) = body else {
        if let Some(main) = main.filter(|main| main.slot == slot) {
            let outcome = Outcome::of(main.future.as_mut().poll(&mut cx));
            if timed {
                observe::poll_ended(slot, outcome);
            }
            if main.done.get() {
                Core::with(|core| core.tasks.suspicion = 0);
            }
        }
        return true;
    };
    let (_, body) = polled.insert((slot, body));
    let outcome = Outcome::of(body.as_mut().poll(&mut cx));
    let Some((_, body)) = polled.take() else { return true };
    if let Outcome::Finished = outcome {
        // Asked anew: to remember it would cost each poll more.
        if Core::with(|core| core.poll_began.is_some()) == Some(true) {
            observe::poll_ended(slot, outcome);
        }
        finish(slot, body);
    } else if let Some(body) = put_back(slot, body) {
        put_back_unusually(slot, body);
    }
    true
}

/// Begins the next batch, if the phases that come before it would find nothing to do.
#[inline]
fn go_on(core: &mut Core, main: Option<&Main<'_>>, may_go_on: bool) -> bool {
    let is_done = main.is_none_or(|main| main.done.get());
    let has_phases = core.overspent || core.timers.has_armed() || core.shared.has_mail() || observe::is_on();
    let goes_on = may_go_on && !is_done && !has_phases;
    if goes_on {
        core.tasks.begin_batch(&mut core.shuffle);
    }
    goes_on
}

/// Looks at the task that was polled last: it may be stuck.
#[cold]
fn look() {
    if let Verdict::Panic(report) = stuck::look() {
        panic!("headwaiter: {report}");
    }
}

/// Gives the body back if the task was aborted during the poll, or the poll is timed.
#[inline]
fn put_back(slot: Slot, body: Body) -> Option<Body> {
    let mut body = Some(body);
    Core::with(|core| {
        if core.poll_began.is_none()
            && let Some(task) = core.tasks.slots.get_mut(slot).filter(|task| !task.flags.has(Flags::ABORTED))
        {
            // There is none in its place: nothing of a user's is dropped here, and no code made for it.
            mem::forget(mem::replace(&mut task.body, body.take()));
        }
    });
    body
}

#[cold]
fn put_back_unusually(slot: Slot, body: Body) {
    observe::poll_ended(slot, Outcome::Pending);
    if let Some(body) = put_back(slot, body) {
        cancel(slot, body);
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
        core.tasks.keep();
        let task = core.tasks.slots.get_mut(slot)?;
        core.counts.never_waited += u64::from(task.flags.polls() == 1);
        if task.flags.has(Flags::DETACHED) {
            core.tasks.slots.remove(slot);
            return None;
        }
        mem::swap(&mut task.body, &mut body);
        task.flags.clear(Flags::QUEUED);
        task.flags.set(Flags::FINISHED);
        match task.take_joiner() {
            // The usual case, in which nobody listens and nothing foreign is called.
            Some(Wake::Task(number)) if number.is_of(core.id) && !observe::is_on() => {
                core.tasks.wake(number.packed());
                None
            }
            other => other,
        }
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
        // For the poll that it may be in.
        task.flags.set(Flags::ABORTED);
        task.body.take()
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

/// The task's [`JoinHandle`] was dropped.
pub(crate) fn detach(slot: Slot) {
    let gone = Core::with(|core| {
        let task = core.tasks.slots.get_mut(slot)?;
        let joiner = task.take_joiner();
        task.flags.set(Flags::DETACHED);
        let body = if task.flags.has(Flags::FINISHED) { core.tasks.slots.remove(slot)?.body } else { None };
        Some((joiner, body))
    });
    let Some((joiner, body)) = gone.flatten() else { return };
    if let Some(Wake::Other(waker)) = joiner {
        discard(waker);
    }
    if let Some(body) = body {
        discard_output(body);
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

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        match TaskNumber::of(cx.waker()) {
            Some(number) => number.wake(),
            None => cx.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}
