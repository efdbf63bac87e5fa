//! A waker is a number: which loop, which task, and a few bits of generation, in the one word that
//! a [`RawWaker`] carries. Clone copies it, drop does nothing, and `wake` looks the number up: on the loop's
//! own thread in its slab of tasks, on any other thread by way of that loop's inbox.
//!
//! This is the crate's only module with `unsafe` in it.
#![allow(unsafe_code)]

use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::core::Core;
use crate::observe::{self, Step};
use crate::remote::{self, LoopId};
use crate::slots::{Key, Layout, Slot};
use crate::task::Id;

/// A `static`, not a `const`: its address is how [`Wake::of`] knows our own wakers.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, drop_nothing);

/// Whom to wake: what a slot keeps in place of a [`Waker`].
#[derive(Debug)]
pub(crate) enum Wake {
    /// A task of this crate. Taken from its waker without a call through the vtable.
    Task(TaskNumber),
    /// A waker that somebody else made, for instance a combinator that polls its children one by one.
    /// Cloning, waking and dropping it runs foreign code: never do it while something is borrowed.
    Other(Waker),
}

impl Wake {
    /// Runs foreign code for a foreign waker.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Wake {
        match TaskNumber::of(waker) {
            Some(number) => Wake::Task(number),
            None => Wake::Other(waker.clone()),
        }
    }

    /// Whether both wake the same task, as far as can be seen.
    pub(crate) fn same(&self, other: &Wake) -> bool {
        match (self, other) {
            (Wake::Task(mine), Wake::Task(other)) => mine == other,
            (Wake::Other(mine), Wake::Other(other)) => mine.will_wake(other),
            _ => false,
        }
    }

    /// Runs foreign code for a foreign waker; a panic in there is caught and logged.
    #[inline]
    pub(crate) fn wake(self) {
        match self {
            Wake::Task(number) => number.wake(),
            Wake::Other(waker) => {
                crate::core::contain("a foreign waker", || waker.wake());
            }
        }
    }
}

/// The packed word: see [`Layout::WAKER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskNumber(usize);

impl TaskNumber {
    /// No task has this number: see [`Layout::indexes`].
    pub(crate) const NOBODY: TaskNumber = TaskNumber(usize::MAX);

    pub(crate) fn new(task: Key) -> Self {
        let home = task.home.narrow();
        TaskNumber(Layout::WAKER.pack(home, task.slot) as usize)
    }

    #[inline]
    pub(crate) fn of(waker: &Waker) -> Option<Self> {
        ptr::eq(waker.vtable(), &VTABLE).then(|| TaskNumber(waker.data().addr()))
    }

    pub(crate) fn waker(self) -> Waker {
        // SAFETY: `Waker::new` asks that the vtable's functions keep the contract of `RawWaker`.
        // - They may be called from any thread: the data is a number and owns nothing, `clone` and
        //   `drop_nothing` touch no memory of another thread (`clone` marks a task only through the loop
        //   of the calling thread), and `wake` goes through that loop or through a mutex.
        // - The data pointer is never dereferenced: it has no provenance, only an address.
        // - No function needs the loop or the task to be alive: a number that means nobody wakes
        //   nobody, and one that means somebody else causes a poll, which `Future` allows.
        unsafe { Waker::new(self.data(), &VTABLE) }
    }

    /// Whether it is a task of the loop with this id.
    #[inline]
    pub(crate) fn is_of(self, home: LoopId) -> bool {
        Layout::WAKER.unpack(self.0 as u64).0 == home.narrow()
    }

    /// The task, as far as its bits tell.
    pub(crate) fn packed(self) -> Slot {
        Layout::WAKER.unpack(self.0 as u64).1
    }

    fn data(self) -> *const () {
        ptr::without_provenance(self.0)
    }

    fn from_data(data: *const ()) -> Self {
        TaskNumber(data.addr())
    }

    /// On the loop's own thread queues the task; from anywhere else sends a message.
    #[inline]
    pub(crate) fn wake(self) {
        self.wake_after(|_| ());
    }

    /// Wakes the task that is being polled, by the waker it was polled with. (Not inlined: of a future that is polled again soon
    /// the rest should be.)
    #[inline(never)]
    pub(crate) fn wake_again(waker: &Waker) {
        match TaskNumber::of(waker) {
            Some(number) => number.wake(),
            None => waker.wake_by_ref(),
        }
    }

    /// As [`wake`](Self::wake), with something to be done first in the task's loop, if that runs here. Returns whether it does.
    #[inline]
    pub(crate) fn wake_after(self, first: impl FnOnce(&mut Core)) -> bool {
        let (narrow, packed) = Layout::WAKER.unpack(self.0 as u64);
        let queued = Core::with(|core| {
            if core.id.narrow() != narrow {
                return Queued::Elsewhere;
            }
            first(core);
            match core.tasks.wake(packed) {
                Some(task) if core.observed => Queued::ToTell(task),
                _ => Queued::Here,
            }
        });
        match queued {
            Some(Queued::Here) => {}
            Some(Queued::ToTell(task)) => observe::report(|| Step::Wake { task: Id::new(task) }),
            Some(Queued::Elsewhere) | None => {
                remote::wake_narrow(narrow, packed);
                return false;
            }
        }
        true
    }
}

/// Whom a waker wakes, copied as it is and not yet read. That is quicker than [`TaskNumber::of`]: a lock does it each time, and
/// is seldom asked for the task.
#[derive(Clone, Copy)]
pub(crate) struct Unread {
    data: usize,
    vtable: *const RawWakerVTable,
}

impl Unread {
    pub(crate) const NOBODY: Unread = Unread { data: 0, vtable: ptr::null() };

    #[inline]
    pub(crate) fn of(waker: &Waker) -> Self {
        Unread { data: waker.data().addr(), vtable: waker.vtable() }
    }

    pub(crate) fn task(self) -> Option<TaskNumber> {
        ptr::eq(self.vtable, &VTABLE).then_some(TaskNumber(self.data))
    }
}

impl From<TaskNumber> for Unread {
    fn from(task: TaskNumber) -> Self {
        Unread { data: task.0, vtable: &VTABLE }
    }
}

enum Queued {
    /// Now or before; or it has finished, or is gone.
    Here,
    /// Now, and somebody listens.
    ToTell(Slot),
    Elsewhere,
}

/// Called by code outside this crate: from here on somebody whom we do not know may wake this task.
fn clone(data: *const ()) -> RawWaker {
    let (narrow, packed) = Layout::WAKER.unpack(data.addr() as u64);
    let marked = Core::with(|core| {
        let is_home = core.id.narrow() == narrow;
        if is_home {
            core.tasks.mark_foreign(packed);
        }
        is_home
    });
    if marked != Some(true) {
        // By a `&Waker` that was lent to another thread, for instance.
        remote::mark_foreign(narrow, packed);
    }
    RawWaker::new(data, &VTABLE)
}

fn wake(data: *const ()) {
    TaskNumber::from_data(data).wake();
}

fn drop_nothing(_: *const ()) {}
