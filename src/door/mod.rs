//! Layer 1: the one way to the [`State`] of the loop that runs on this thread.
//!
//! A [`Door`] is a guard that borrows the state. While it exists, no user code runs: functions of
//! the state post such work to the [outbox](crate::state::outbox). The drop of the guard puts the
//! state back, and then `perform.rs` performs what was posted. So callbacks, drops and observers
//! may use the loop in any way, and each call has had its effects when it returns.
//!
//! While a door is open, `Door::open` returns `None`, as if there were no loop. So a door must not
//! stay open across user code. Take care with guards in the scrutinee of a `match` or an `if let`,
//! which live until its end.

mod perform;
mod tell;
pub(crate) mod waker;

use std::cell::Cell;
use std::mem::{self, ManuallyDrop};
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll};

pub(crate) use self::perform::{drop_output, put_back};
pub(crate) use self::tell::report;
use crate::state::{Key, Release, State, is_pool_thread, send_home};

thread_local! {
    /// The state of the loop that runs on this thread. A door takes it out and puts it back, which
    /// costs two stores. `ManuallyDrop` spares each access the check whether the thread-local was
    /// dropped; [`Entered`] takes the state out in any case.
    static RUNNING: Cell<ManuallyDrop<Option<Box<State>>>> = const { Cell::new(ManuallyDrop::new(None)) };
}

/// A borrow of the state of the loop that runs on this thread: see the module.
pub(crate) struct Door(ManuallyDrop<Option<Box<State>>>);

impl Door {
    /// Opens the door to the loop that runs on this thread, if there is one.
    #[inline(always)]
    pub(crate) fn open() -> Option<Self> {
        let door = Door(RUNNING.with(Cell::take));
        if door.0.is_some() { Some(door) } else { None }
    }

    /// Opens the door to the loop that `key` belongs to, if that loop runs on this thread.
    #[inline(always)]
    pub(crate) fn of(key: Key) -> Option<Self> {
        let door = Door(RUNNING.with(Cell::take));
        match door.0.as_deref() {
            Some(state) if state.id == key.home => Some(door),
            _ => None,
        }
    }

    /// Opens the door to the loop that runs on this thread. Panics if there is none. `what` names
    /// in the message what needs one.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn expect(what: &str) -> Self {
        match Door::open() {
            Some(door) => door,
            None => outside_any_loop(what),
        }
    }

    /// Opens the door to the loop that `key` belongs to. Panics if that loop does not run on this
    /// thread.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn at_home(key: Key, what: &str) -> Self {
        match Door::of(key) {
            Some(door) => door,
            None => away_from_home(what),
        }
    }

    /// Spends one unit of the task's cooperative budget. Returns `Pending` if none is left, and
    /// wakes the task.
    #[inline]
    pub(crate) fn poll_budget(mut self, cx: &Context<'_>) -> Poll<()> {
        if self.budget.spend() {
            return Poll::Ready(());
        }
        drop(self);
        yield_to_others(cx)
    }

    /// Closes the door without a check of the outbox. The caller knows that nothing was posted.
    #[inline(always)]
    pub(crate) fn shut(mut self) {
        self.put_back();
        mem::forget(self);
    }

    #[inline(always)]
    fn put_back(&mut self) {
        let state = mem::take(&mut self.0);
        RUNNING.with(|running| running.set(state));
    }
}

impl Deref for Door {
    type Target = State;

    #[inline(always)]
    fn deref(&self) -> &State {
        let Some(state) = self.0.as_deref() else {
            unreachable!() // No constructor makes a door without a state.
        };
        state
    }
}

impl DerefMut for Door {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut State {
        let Some(state) = self.0.as_deref_mut() else { unreachable!() };
        state
    }
}

impl Drop for Door {
    #[inline(always)]
    fn drop(&mut self) {
        let is_posted = self.0.as_deref().is_some_and(|state| state.outbox.is_posted());
        self.put_back();
        if is_posted {
            perform::perform_all();
        }
    }
}

/// Whether a loop runs on this thread.
pub(crate) fn is_running() -> bool {
    Door::open().is_some()
}

/// Releases what a dropped handle held: immediately if its loop runs on this thread, otherwise by
/// message.
pub(crate) fn release(key: Key, what: Release) {
    match Door::of(key) {
        Some(mut door) => door.release(what),
        None => send_home(key.home, what),
    }
}

/// Spends one unit of the task's cooperative budget. Returns `Pending` if none is left, and wakes
/// the task. Without a loop there is no budget.
#[inline]
pub(crate) fn poll_budget(cx: &Context<'_>) -> Poll<()> {
    Door::open().map_or(Poll::Ready(()), |door| door.poll_budget(cx))
}

/// Makes the task ready again, behind the other ready tasks.
#[cold]
#[inline(never)]
pub(crate) fn yield_to_others<T>(cx: &Context<'_>) -> Poll<T> {
    waker::wake_by_ref(cx.waker());
    Poll::Pending
}

#[cold]
#[inline(never)]
#[track_caller]
fn outside_any_loop(what: &str) -> ! {
    assert!(
        !is_pool_thread(),
        "headwaiter: {what} was used in a job of `spawn_blocking`, on a thread that runs no event loop: take `Handle::current()` along, by calling it before the job and moving it in, and use `Handle::spawn` there"
    );
    panic!(
        "headwaiter: {what} was used outside any event loop: use it inside the `async` block that is given to `headwaiter::block_on` (not before that, to make the argument), in a task spawned there, or inside `EventLoop::enter`"
    );
}

#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn away_from_home(what: &str) -> ! {
    assert!(
        !is_running(),
        "headwaiter: {what} was used in another event loop than the one that made it: handles stay with their loop. Send the data instead, or run the code at home with `Handle::spawn`"
    );
    assert!(
        !is_pool_thread(),
        "headwaiter: {what} was used in a job of `spawn_blocking`, on a thread that does not run the event loop that made it: take `Handle::current()` along, by calling it before the job and moving it in, and run the code at home with `Handle::spawn`"
    );
    panic!(
        "headwaiter: {what} was used outside any event loop: use it inside `block_on`, a task or `EventLoop::enter` of the loop that made it"
    );
}

/// Makes the loop in `home` the one that runs on this thread, until the guard is dropped.
pub(crate) fn enter(home: &mut Option<Box<State>>) -> Entered<'_> {
    let mut state = home.take();
    if let Some(state) = &mut state {
        state.update_observed();
    }
    let before = RUNNING.replace(ManuallyDrop::new(state));
    Entered { home, before: ManuallyDrop::into_inner(before) }
}

/// The guard of [`enter`]. Its drop puts the state back into `home`.
pub(crate) struct Entered<'a> {
    home: &'a mut Option<Box<State>>,
    /// Set only where a loop is dropped inside another.
    before: Option<Box<State>>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let state = RUNNING.replace(ManuallyDrop::new(self.before.take()));
        *self.home = ManuallyDrop::into_inner(state);
    }
}
