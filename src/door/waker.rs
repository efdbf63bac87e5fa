//! The waker of a task is a number: which loop, which task, and a few bits of generation, in the one word
//! that a [`RawWaker`] carries. Clone copies it, drop does nothing. Wake looks the number up: on the
//! loop's own thread in its task table, on any other thread through that loop's inbox.
//!
//! This is the only module with `unsafe` in it.
#![allow(unsafe_code)]

use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::Door;
use crate::state::{TaskNumber, Wake, contain, mark_foreign, wake_narrow};

/// A `static`, not a `const`: its address is how [`TaskNumber::of`] recognises our own wakers.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, drop_nothing);

impl TaskNumber {
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Option<Self> {
        let is_ours = ptr::eq(waker.vtable(), &VTABLE);
        is_ours.then(|| TaskNumber::from_bits(waker.data().addr()))
    }

    #[inline]
    pub(crate) fn waker(self) -> Waker {
        // SAFETY: `Waker::new` asks that the vtable's functions keep the contract of `RawWaker`.
        // - They may be called from any thread: the data is a number and owns nothing, `clone` and
        //   `drop_nothing` touch no memory of another thread (`clone` marks a task only through the loop
        //   of the calling thread), and `wake` goes through that loop or through a mutex.
        // - The data pointer is never dereferenced: it has no provenance, only an address.
        // - No function needs the loop or the task to be alive: a number that names no task wakes
        //   nothing, and one that names another task causes a poll, which `Future` allows.
        unsafe { Waker::new(ptr::without_provenance(self.bits()), &VTABLE) }
    }

    /// On the loop's own thread queues the task; from anywhere else sends a message.
    #[inline]
    pub(crate) fn wake(self) {
        match Door::open().filter(|door| door.id.narrow() == self.narrow()) {
            Some(mut door) => door.wake_task(self.packed()),
            None => wake_elsewhere(self),
        }
    }
}

#[cold]
#[inline(never)]
fn wake_elsewhere(number: TaskNumber) {
    wake_narrow(number.narrow(), number.packed());
}

/// Wakes the task that is being polled, given its waker. Not inlined, so that the rest of a future that is
/// polled again soon can be.
#[inline(never)]
pub(crate) fn wake_by_ref(waker: &Waker) {
    match TaskNumber::of(waker) {
        Some(number) => number.wake(),
        None => waker.wake_by_ref(),
    }
}

impl Wake {
    /// Runs foreign code for a foreign waker.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Wake {
        match TaskNumber::of(waker) {
            Some(number) => Wake::Task(number),
            None => Wake::Foreign(waker.clone()),
        }
    }

    /// Runs foreign code for a foreign waker. Its panic is caught and logged.
    #[inline]
    pub(crate) fn wake(self) {
        match self {
            Wake::Task(number) => number.wake(),
            Wake::Foreign(waker) => {
                contain("a foreign waker", || waker.wake());
            }
        }
    }
}

/// A copy of a waker's two words that was not looked at yet. A lock stores one each time it is locked, and
/// is rarely asked for its holder, so this is cheaper than [`TaskNumber::of`].
#[derive(Clone, Copy)]
pub(crate) struct RawNumber {
    data: usize,
    vtable: *const RawWakerVTable,
}

impl RawNumber {
    pub(crate) const NONE: RawNumber = RawNumber { data: 0, vtable: ptr::null() };

    #[inline]
    pub(crate) fn of(waker: &Waker) -> Self {
        RawNumber { data: waker.data().addr(), vtable: waker.vtable() }
    }

    pub(crate) fn task(self) -> Option<TaskNumber> {
        ptr::eq(self.vtable, &VTABLE).then_some(TaskNumber::from_bits(self.data))
    }
}

impl From<TaskNumber> for RawNumber {
    fn from(task: TaskNumber) -> Self {
        RawNumber { data: task.bits(), vtable: &VTABLE }
    }
}

/// Called by code outside this crate, which from here on may wake the task at any time.
fn clone(data: *const ()) -> RawWaker {
    let number = TaskNumber::from_bits(data.addr());
    match Door::open().filter(|door| door.id.narrow() == number.narrow()) {
        Some(mut door) => door.tasks.mark_foreign(number.packed()),
        // For instance by a `&Waker` that was lent to another thread.
        None => mark_foreign(number.narrow(), number.packed()),
    }
    RawWaker::new(data, &VTABLE)
}

fn wake(data: *const ()) {
    TaskNumber::from_bits(data.addr()).wake();
}

fn drop_nothing(_: *const ()) {}
