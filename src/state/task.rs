//! One task: its body, its flags, and where and when it was spawned. Pure data. The table of all
//! tasks and the ready queue are in `tasks.rs`.

use std::any::Any;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::failure::{FailureLog, JoinError, Origin};
use super::number::{TaskNumber, Wake};
use super::places::PlaceId;
use super::slots::Slot;
use super::step::Id;

/// The future of a task or, after its end, its output.
pub(crate) type Body = Pin<Box<dyn Stage>>;

/// A task with its type erased. The value behind this trait is the one allocation of a task.
pub(crate) trait Stage {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Drops the future and stores an error instead.
    fn fail(self: Pin<&mut Self>, error: JoinError);

    /// Moves the output into `out`, an `Option<Result<T, JoinError>>`.
    fn take(self: Pin<Box<Self>>, out: &mut dyn Any);

    fn error(&self) -> Option<&JoinError>;
}

pub(crate) struct Task {
    /// `None` while `Batch::run_next` polls it; always `None` for the main future of `block_on`,
    /// which lives on the stack.
    pub(crate) body: Option<Body>,
    pub(crate) flags: Flags,
    /// The task to wake at its end, or [`TaskNumber::NONE`].
    pub(crate) joiner: TaskNumber,
    pub(crate) rare: Option<Box<Rare>>,
    /// The task or the record (a lock or a group) that it last waited for, or [`Slot::NONE`]: see
    /// [`Blocker`].
    pub(crate) blocker: Slot,
    pub(crate) spawned_at: SpawnedAt,
}

/// What only few tasks have, stored apart so that a task stays small.
#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) name: Option<Box<str>>,
    /// The waker of the joiner, if that is not a task of this crate.
    pub(crate) joiner: Option<Waker>,
    /// Logs the error of a task that ends detached.
    pub(crate) failure_log: Option<FailureLog>,
}

impl Rare {
    #[inline(never)]
    pub(crate) fn named(name: Box<str>) -> Box<Self> {
        Box::new(Rare { name: Some(name), ..Rare::default() })
    }
}

/// What a task last began to wait for. It may have other waits, so this is only where the search of
/// the [stuck-task analysis](crate::observe) begins.
#[derive(Clone, Copy)]
pub(crate) enum Blocker {
    /// The end of this task.
    Task(Slot),
    /// A lock or a group: a record of [`Waits`](super::waits::Waits).
    Record(Slot),
}

impl Task {
    pub(crate) const EMPTY: (Slot, Task) = {
        let (body, flags, joiner, rare) = (None, Flags(0), TaskNumber::NONE, None);
        let (blocker, spawned_at) = (Slot::NONE, SpawnedAt(0));
        (Slot::NONE, Task { body, flags, joiner, rare, blocker, spawned_at })
    };

    pub(crate) fn name(&self) -> Option<&str> {
        self.rare.as_ref()?.name.as_deref()
    }

    /// Whether its `JoinHandle` exists and is not awaited, so the program may still abort the task.
    /// (The main future has no body in its slot.)
    pub(crate) fn is_abortable(&self) -> bool {
        let is_held =
            self.body.is_some() && !self.flags.has_any(Flags::DETACHED.or(Flags::FINISHED));
        is_held && self.joiner == TaskNumber::NONE && !self.has_foreign_joiner()
    }

    pub(crate) fn has_foreign_joiner(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.joiner.is_some())
    }

    /// Takes the function that logs its failure, and the origin that the log line begins with.
    pub(crate) fn take_failure_log(&mut self, slot: Slot) -> Option<(FailureLog, Origin)> {
        let log = self.rare.as_mut()?.failure_log.take()?;
        Some((log, self.origin(slot)))
    }

    pub(crate) fn origin(&self, slot: Slot) -> Origin {
        let name = self.name().map(Into::into);
        Origin { id: Some(Id(slot)), name, place: self.spawned_at.place().location() }
    }

    /// Stores what to wake at its end. Returns what was stored before.
    pub(crate) fn replace_joiner(&mut self, joiner: Wake) -> Option<Wake> {
        let before = self.take_joiner();
        match joiner {
            Wake::Task(task) => self.joiner = task,
            Wake::Foreign(waker) => self.rare.get_or_insert_default().joiner = Some(waker),
        }
        before
    }

    #[inline]
    pub(crate) fn take_joiner(&mut self) -> Option<Wake> {
        match mem::replace(&mut self.joiner, TaskNumber::NONE) {
            TaskNumber::NONE => self.rare.as_mut()?.joiner.take().map(Wake::Foreign),
            task => Some(Wake::Task(task)),
        }
    }

    /// Puts the body back after a poll. The field is empty, so `forget` saves the code that would
    /// drop a body.
    #[inline]
    pub(crate) fn give_back(&mut self, body: Option<Body>) {
        debug_assert!(self.body.is_none());
        mem::forget(mem::replace(&mut self.body, body));
    }
}

/// Where and when a task was spawned. One word, for the same reason as [`Slot`].
#[derive(Clone, Copy)]
pub(crate) struct SpawnedAt(u64);

impl SpawnedAt {
    /// `nanos` of the loop's clock. They are kept in units of 2^20 ns and wrap around after 52
    /// days.
    pub(crate) fn new(place: PlaceId, nanos: u64) -> Self {
        SpawnedAt(u64::from(place.to_bits()) << 32 | u64::from((nanos >> 20) as u32))
    }

    /// What other threads can read of the task that is being polled: see
    /// [`Shared::polled`](super::shared::Shared::polled).
    pub(crate) fn published(self, slot: Slot) -> u64 {
        (self.0 >> 32) << 32 | u64::from(slot.generation())
    }

    pub(crate) fn place(self) -> PlaceId {
        PlaceId::from_bits((self.0 >> 32) as u32)
    }

    fn age(self, nanos: u64) -> Duration {
        let units = ((nanos >> 20) as u32).wrapping_sub(self.0 as u32);
        Duration::from_nanos(u64::from(units) << 20)
    }
}

/// The task that [`SpawnedAt::published`] names, in words: `task 17, spawned at src/main.rs:3:5`.
/// `None` if no task is being polled.
pub(crate) fn published(polled: u64) -> Option<String> {
    let place = PlaceId::from_bits((polled >> 32) as u32);
    (polled != 0).then(|| format!("task {}, spawned at {}", polled as u32, place.location()))
}

/// The state of a task. A task with neither `QUEUED` nor `FINISHED` waits, or is being polled, and
/// a wake puts it into the ready queue. One word, for the same reason as [`Slot`]; its upper half
/// counts the polls.
#[derive(Clone, Copy)]
pub(crate) struct Flags(u64);

impl Flags {
    pub(crate) const NONE: Flags = Flags(0);
    /// In the ready queue. Excludes a second entry there, and `FINISHED`.
    pub(crate) const QUEUED: Flags = Flags(1);
    /// Its body is its output. It may still have an entry in the ready queue, which is then
    /// skipped.
    pub(crate) const FINISHED: Flags = Flags(2);
    /// Aborted while it was being polled: its future is dropped when the poll returns.
    pub(crate) const ABORTED: Flags = Flags(4);
    /// Its `JoinHandle` was dropped: the task is removed when it finishes.
    pub(crate) const DETACHED: Flags = Flags(8);
    /// Code outside this crate has cloned its waker and may wake it at any time.
    pub(crate) const FOREIGN: Flags = Flags(16);
    /// `blocker` is a record, not a task: see [`Blocker`].
    const AT_RECORD: Flags = Flags(32);
    /// Reported as stuck since it was last polled.
    pub(crate) const REPORTED: Flags = Flags(64);
    /// In the list of [`Suspects`](super::suspects::Suspects), because no waker of it was stored.
    pub(crate) const MAY_BE_LOST: Flags = Flags(128);
    /// In that list, because it waits for other tasks.
    pub(crate) const MAY_BE_DEADLOCKED: Flags = Flags(1024);
    pub(crate) const SUSPECT: Flags = Flags::MAY_BE_LOST.or(Flags::MAY_BE_DEADLOCKED);
    /// Its lost waker was reported at `info`: see [`Task::is_abortable`].
    pub(crate) const TOLD_AT_INFO: Flags = Flags(256);
    /// Its [`RemoteHandle`](crate::RemoteHandle) exists and may abort it at any time.
    pub(crate) const HELD: Flags = Flags(512);

    /// Added for each poll.
    const POLL: u64 = 1 << 32;

    /// How often the task was polled (modulo four billion).
    pub(crate) fn polls(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether any of `flags` is set.
    #[inline]
    pub(crate) fn has_any(self, flags: Flags) -> bool {
        self.0 & flags.0 != 0
    }

    #[inline]
    pub(crate) fn set(&mut self, flags: Flags) {
        self.0 |= flags.0;
    }

    #[inline]
    pub(crate) fn clear(&mut self, flags: Flags) {
        self.0 &= !flags.0;
    }

    /// Counts a poll, and clears what was reported about the last wait.
    #[inline]
    pub(crate) fn begin_poll(&mut self) {
        const ENDED: Flags = Flags::QUEUED.or(Flags::REPORTED).or(Flags::TOLD_AT_INFO);
        self.clear(ENDED);
        self.0 = self.0.wrapping_add(Flags::POLL);
    }
}

impl Task {
    /// Records what the task waits for.
    pub(crate) fn block(&mut self, blocker: Blocker) {
        self.blocker = match blocker {
            Blocker::Task(task) => {
                self.flags.clear(Flags::AT_RECORD);
                task
            }
            Blocker::Record(record) => {
                self.flags.set(Flags::AT_RECORD);
                record
            }
        };
    }

    /// Returns what was last recorded. The task may have ended that wait, or may have other waits.
    pub(crate) fn blocker(&self) -> Option<Blocker> {
        match self.blocker {
            Slot::NONE => None,
            record if self.flags.has_any(Flags::AT_RECORD) => Some(Blocker::Record(record)),
            task => Some(Blocker::Task(task)),
        }
    }
}

/// A task as a dump prints it.
pub(crate) struct Snapshot {
    pub(crate) slot: Slot,
    pub(crate) name: Option<String>,
    pub(crate) state: &'static str,
    pub(crate) age: Duration,
    pub(crate) polls: u32,
    pub(crate) place: &'static Location<'static>,
    pub(crate) is_foreign: bool,
}

impl Snapshot {
    /// `now` in nanoseconds of the loop's clock.
    pub(crate) fn of(slot: Slot, task: &Task, now: u64) -> Self {
        let state = match task.flags {
            flags if flags.has_any(Flags::FINISHED) => "finished",
            flags if flags.has_any(Flags::QUEUED) => "ready",
            _ => "waiting",
        };
        Snapshot {
            slot,
            name: task.name().map(str::to_owned),
            state,
            age: task.spawned_at.age(now),
            polls: task.flags.polls(),
            place: task.spawned_at.place().location(),
            is_foreign: task.flags.has_any(Flags::FOREIGN),
        }
    }
}
