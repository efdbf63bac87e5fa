//! The waker of a task: a number made of the loop's narrow id, the task's index and a few bits of
//! its generation, in the one word that a [`RawWaker`] carries. Clone copies the word, and drop
//! does nothing. Wake looks the number up: on the loop's own thread in its task table, on any other
//! thread through that loop's inbox. Std's [`Waker`] calls the functions of the vtable.
//!
//! This is the only module that contains `unsafe`. It never dereferences the data pointer of a
//! waker.
#![allow(unsafe_code)]

use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::Door;
use crate::state::{TaskNumber, Wake, contain, mark_foreign, wake_from_afar};

/// A `static`, not a `const`, because [`TaskNumber::of`] recognises the wakers of this crate by its
/// address.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, drop_nothing);

impl TaskNumber {
    /// Returns the task of a waker of this crate, or `None` for a foreign waker.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Option<Self> {
        let is_ours = ptr::eq(waker.vtable(), &VTABLE);
        is_ours.then(|| TaskNumber::from_bits(waker.data().addr()))
    }

    /// Creates a waker of this task.
    #[inline]
    pub(crate) fn waker(self) -> Waker {
        // SAFETY: `Waker::new` requires that the vtable's functions uphold the contract of
        // `RawWaker`.
        // - They may be called from any thread: the data is a number and owns nothing, `clone` and
        //   `drop_nothing` touch no memory of another thread (`clone` marks a task only through the
        //   loop of the calling thread), and `wake` goes through that loop or through a mutex.
        // - The data pointer is never dereferenced: it has no provenance, only an address.
        // - No function needs the loop or the task to be alive: a number that names no task wakes
        //   nothing, and one that names another task causes a poll, which `Future` allows.
        unsafe { Waker::new(ptr::without_provenance(self.bits()), &VTABLE) }
    }

    /// Wakes the task. On the loop's own thread this queues it, and elsewhere it sends a message.
    #[inline]
    pub(crate) fn wake(self) {
        match Door::open().filter(|door| door.id.narrow() == self.narrow()) {
            Some(mut door) => door.wake_task(self),
            None => wake_from_afar(self),
        }
    }
}

/// Wakes the task that is being polled, given its waker. It is not inlined, so that the compiler
/// can inline the rest of a future that is polled again soon.
#[inline(never)]
pub(crate) fn wake_by_ref(waker: &Waker) {
    match TaskNumber::of(waker) {
        Some(number) => number.wake(),
        None => waker.wake_by_ref(),
    }
}

impl Wake {
    /// Copies a waker. Runs foreign code if the waker is foreign.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Wake {
        match TaskNumber::of(waker) {
            Some(number) => Wake::Task(number),
            None => Wake::Foreign(waker.clone()),
        }
    }

    /// Wakes. Runs foreign code if the waker is foreign; a panic of that code is caught and logged.
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

/// A copy of a waker's two words that has not been examined yet. A lock stores one each time it is
/// locked, and rarely needs to know its holder, so this is cheaper than [`TaskNumber::of`].
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

/// The `clone` of the vtable. Code outside this crate calls it, and may wake the task at any time
/// from then on.
fn clone(data: *const ()) -> RawWaker {
    let number = TaskNumber::from_bits(data.addr());
    match Door::open().filter(|door| door.id.narrow() == number.narrow()) {
        Some(mut door) => door.tasks.mark_foreign(number),
        // For instance, a `&Waker` was passed to another thread.
        None => mark_foreign(number),
    }
    RawWaker::new(data, &VTABLE)
}

fn wake(data: *const ()) {
    TaskNumber::from_bits(data.addr()).wake();
}

fn drop_nothing(_: *const ()) {}
