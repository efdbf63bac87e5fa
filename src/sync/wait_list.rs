//! Where everything in `sync` waits: in a [`WaitList`], first come, first served; or on a [`Seat`], where only one can
//! wait. A future keeps its place in a list as a [`Wait`], and gives it up when it is dropped, in constant time. Lists and
//! seats do not know what is waited for, and need no loop. If a loop of ours runs, they show it who waits (see `waits.rs`).
//! They never clone, wake or drop a waker while something is borrowed: wakers may be foreign.

use std::cell::{Cell, RefCell};
use std::iter;
use std::marker::PhantomData;
use std::mem;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::core::{Core, discard};
use crate::observe::{self, Step};
use crate::task::waker::{TaskNumber, Wake};
use crate::waits::{Shown, What};

/// No index: the end of the list, or a future that has no place in it.
const NIL: usize = usize::MAX;

/// A list for one, where there cannot be more: the receiver of a channel, or the sender of a `oneshot`. Who waits is handed
/// nothing: it is woken, and looks again.
pub(super) struct Seat {
    /// The task to wake. If it is [`TaskNumber::NOBODY`], there may be a foreign waker.
    task: Cell<TaskNumber>,
    other: Cell<Option<Waker>>,
    shown: Cell<Shown>,
    /// As with a [`WaitList`].
    here: PhantomData<Rc<()>>,
}

impl Seat {
    #[inline]
    pub(super) const fn new() -> Self {
        Seat {
            task: Cell::new(TaskNumber::NOBODY),
            other: Cell::new(None),
            shown: Cell::new(Shown::NOTHING),
            here: PhantomData,
        }
    }

    /// The poll of a future that was made at `place`, and waits for `what`, as log lines call it. As [`WaitList::poll`].
    #[inline]
    pub(super) fn poll<R>(
        &self,
        what: &'static str,
        place: &'static Location<'static>,
        cx: &Context<'_>,
        done: impl Fn() -> Option<R>,
    ) -> Poll<R> {
        let mut waits = false;
        let polled = Core::on_budget(|core| {
            let result = done();
            if result.is_none()
                && let (Some(core), Some(task)) = (core, TaskNumber::of(cx.waker()))
            {
                waits = self.shown(|shown| shown.wait_in(core, task, What::Gift(what), place))
                    && !core.observed;
                self.task.set(task);
            }
            result
        });
        match polled {
            Some(Some(result)) => Poll::Ready(result),
            Some(None) if waits => Poll::Pending,
            Some(None) => self.pend(what, place, cx, done),
            None => self.refuse(what, place, cx),
        }
    }

    /// The wait of a task under observation, of a task of another loop, or of foreign code.
    #[cold]
    fn pend<R>(
        &self,
        what: &'static str,
        place: &'static Location<'static>,
        cx: &Context<'_>,
        done: impl Fn() -> Option<R>,
    ) -> Poll<R> {
        let wake = Wake::of(cx.waker());
        // To clone a foreign waker may have done anything, also what is waited for.
        if let Wake::Other(_) = wake
            && let Some(result) = done()
        {
            discard(wake);
            return Poll::Ready(result);
        }
        self.enter(wake, what, place);
        Poll::Pending
    }

    /// The task has spent its budget. It waits here, and is woken at once to look again.
    #[cold]
    fn refuse<R>(
        &self,
        what: &'static str,
        place: &'static Location<'static>,
        cx: &Context<'_>,
    ) -> Poll<R> {
        self.enter(Wake::of(cx.waker()), what, place);
        yield_to_others(cx)
    }

    /// Leaves the waker, in place of the last poll's.
    fn enter(&self, wake: Wake, what: &'static str, place: &'static Location<'static>) {
        let before = match wake {
            Wake::Task(task) => {
                self.task.set(task);
                self.shown(|shown| shown.wait(task, What::Gift(what), place));
                self.other.take()
            }
            Wake::Other(waker) => {
                self.task.set(TaskNumber::NOBODY);
                self.shown(Shown::end);
                self.other.replace(Some(waker))
            }
        };
        observe::report(|| Step::AwaitSync { what, place });
        drop(before);
    }

    /// Wakes who waits, if anybody does. From here on it does not wait any more.
    #[inline]
    pub(super) fn call(&self) {
        self.rouse(Shown::pause_in);
    }

    /// As [`call`](Self::call), for the last time.
    #[inline]
    pub(super) fn call_last(&self) {
        self.rouse(Shown::end_in);
    }

    #[inline]
    fn rouse(&self, cease: impl FnOnce(&mut Shown, &mut Core)) {
        let task = self.task.replace(TaskNumber::NOBODY);
        let other = self.other.take();
        if task != TaskNumber::NOBODY {
            self.shown(|shown| {
                if !task.wake_after(|core| cease(shown, core)) {
                    shown.end();
                }
            });
        }
        match other {
            None => {}
            Some(waker) if task == TaskNumber::NOBODY => Wake::Other(waker).wake(),
            Some(earlier) => discard(earlier),
        }
    }

    /// For a future that is dropped. If it waited, from here on it does not any more.
    #[inline]
    pub(super) fn leave(&self) {
        if self.task.replace(TaskNumber::NOBODY) != TaskNumber::NOBODY {
            self.shown(Shown::end);
        }
        if let Some(waker) = self.other.take() {
            discard(waker);
        }
    }

    #[inline]
    fn shown<R>(&self, change: impl FnOnce(&mut Shown) -> R) -> R {
        let mut shown = self.shown.take();
        let result = change(&mut shown);
        mem::forget(self.shown.replace(shown)); // It shows nothing: it was taken.
        result
    }
}

/// The task has spent its budget.
#[cold]
fn yield_to_others<R>(cx: &Context<'_>) -> Poll<R> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Who waits for one thing.
pub(super) struct WaitList {
    /// What is waited for, as log lines call it.
    what: &'static str,
    list: RefCell<List>,
    /// Nothing in `sync` may leave its thread.
    here: PhantomData<Rc<()>>,
}

struct List {
    /// The record with index 0. Most lists never have more than this one, and so allocate nothing.
    first: Waiter,
    /// The others, whose indexes begin at 1. Allocated when there is a second waiter.
    others: Option<Box<Slab<Waiter>>>,
    head: usize,
    tail: usize,
}

/// A future's record. It stays until the future leaves, so nobody else can have its index meanwhile.
struct Waiter {
    state: State,
    /// How much it waits for. Only a semaphore asks.
    need: u32,
    /// The task to wake while it waits, unless there is a foreign waker.
    task: TaskNumber,
    /// A foreign waker to wake while it waits. Kept apart, because one word is quicker moved than two.
    other: Option<Waker>,
    place: &'static Location<'static>,
    /// While a task of ours waits.
    shown: Shown,
    prev: usize,
    next: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody's. Only the first record is ever so.
    Vacant,
    /// It stands in the list. In the other states it does not.
    Waits,
    /// It was woken, to look again.
    Called,
    /// It was woken, and handed what it waited for. If it is dropped before it takes that, it goes to the next.
    Granted,
}

/// A future's place in a list.
#[derive(Debug)]
pub(super) struct Wait {
    index: usize,
    need: u32,
    place: &'static Location<'static>,
}

/// What the first waiter had left in the list, when it was granted what it waits for.
pub(super) struct Granted {
    pub(super) need: u32,
    pub(super) place: &'static Location<'static>,
    /// To be woken with nothing borrowed.
    pub(super) wake: Wake,
}

impl Wait {
    /// For an operation called at `place`. It takes no place in the list before it must wait.
    #[inline]
    pub(super) fn at(place: &'static Location<'static>) -> Self {
        Wait::for_many(1, place)
    }

    #[inline]
    pub(super) fn for_many(need: u32, place: &'static Location<'static>) -> Self {
        Wait { index: NIL, need, place }
    }

    #[inline]
    pub(super) fn place(&self) -> &'static Location<'static> {
        self.place
    }

    #[inline]
    pub(super) fn need(&self) -> u32 {
        self.need
    }

    #[inline]
    pub(super) fn has_place(&self) -> bool {
        self.index != NIL
    }
}

impl WaitList {
    #[inline]
    pub(super) const fn new(what: &'static str) -> Self {
        let list = List { first: Waiter::VACANT, others: None, head: NIL, tail: NIL };
        WaitList { what, list: RefCell::new(list), here: PhantomData }
    }

    /// Whether nobody waits. Who was woken waits no longer.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.list.borrow().head == NIL
    }

    /// Whether one waits, or none.
    pub(super) fn is_single(&self) -> bool {
        let list = self.list.borrow();
        list.head == list.tail
    }

    /// The poll of a future that may wait here. `done` is told whether the future was granted what it waits for, and says whether
    /// its wait is over: `Some(true)` if it was granted it or has just taken it, `Some(false)` if it ends without. It may be called
    /// several times. It must be quick, and call no user code: the loop is borrowed around it.
    #[inline]
    pub(super) fn poll(
        &self,
        wait: &mut Wait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<bool>,
    ) -> Poll<bool> {
        self.poll_for(wait, cx, done, || What::Gift(self.what))
    }

    /// As [`poll`](Self::poll). `what` tells what it waits for, if it must.
    #[inline]
    pub(super) fn poll_for(
        &self,
        wait: &mut Wait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<bool>,
        what: impl FnOnce() -> What,
    ) -> Poll<bool> {
        match Core::on_budget(|_| done(wait.has_place() && self.is_granted(wait.index))) {
            Some(Some(result)) => {
                if wait.has_place() {
                    self.leave(wait);
                }
                Poll::Ready(result)
            }
            Some(None) => self.pend(wait, cx, done, what),
            None => self.refuse(wait, cx, done, what),
        }
    }

    /// The task has spent its budget. What is free is granted to it now, and completes at its next poll, so that no other task gets
    /// ahead of it meanwhile. What is not free it waits for like any other.
    #[cold]
    fn refuse(
        &self,
        wait: &mut Wait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<bool>,
        what: impl FnOnce() -> What,
    ) -> Poll<bool> {
        let is_over =
            wait.has_place() && self.list.borrow_mut().at_mut(wait.index).state != State::Waits;
        if !is_over {
            match done(false) {
                Some(true) => self.list.borrow_mut().grant_now(wait),
                Some(false) => {}
                None => return self.pend(wait, cx, done, what),
            }
        }
        yield_to_others(cx)
    }

    /// Leaves the waker, new or in place of the last poll's.
    fn pend(
        &self,
        wait: &mut Wait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<bool>,
        what: impl FnOnce() -> What,
    ) -> Poll<bool> {
        if let Some(task) = TaskNumber::of(cx.waker()) {
            self.enter(wait, task, None);
            let what = what();
            self.list.borrow_mut().at_mut(wait.index).shown.wait(task, what, wait.place);
            return Poll::Pending;
        }
        let waker = cx.waker().clone();
        // That may have done anything, also what is waited for.
        if let Some(result) = done(wait.has_place() && self.is_granted(wait.index)) {
            discard(waker);
            self.leave(wait);
            return Poll::Ready(result);
        }
        self.enter(wait, TaskNumber::NOBODY, Some(waker));
        self.list.borrow_mut().at_mut(wait.index).shown.end(); // Of an earlier poll, by a task.
        Poll::Pending
    }

    fn enter(&self, wait: &mut Wait, task: TaskNumber, other: Option<Waker>) {
        let before = mem::replace(self.list.borrow_mut().enter(wait, task), other);
        observe::report(|| Step::AwaitSync { what: self.what, place: wait.place });
        drop(before);
    }

    #[inline(never)]
    fn is_granted(&self, index: usize) -> bool {
        self.list.borrow_mut().at_mut(index).state == State::Granted
    }

    /// Gives the future's place up. Returns whether it had been granted what it waited for.
    pub(super) fn leave(&self, wait: &mut Wait) -> bool {
        if !wait.has_place() {
            return false;
        }
        let left = self.list.borrow_mut().leave(mem::replace(&mut wait.index, NIL));
        if let Some(waker) = left.other {
            discard(waker);
        }
        left.state == State::Granted
    }

    /// Grants the first waiter what it waits for, if that is no more than `free`.
    pub(super) fn grant(&self, free: usize) -> Option<Granted> {
        let (need, place) = {
            let mut list = self.list.borrow_mut();
            let index = Some(list.head).filter(|index| *index != NIL)?;
            let first = list.at_mut(index);
            (first.need, first.place)
        };
        if need as usize > free {
            return None;
        }
        let wake = self.call(State::Granted)?;
        Some(Granted { need, place, wake })
    }

    /// Wakes all who wait now, so that they look again. They are granted nothing.
    pub(super) fn call_all(&self) {
        // Taken out first: a foreign waker may let others begin to wait.
        let wakes: Vec<Wake> = iter::from_fn(|| self.call(State::Called)).collect();
        for wake in wakes {
            wake.wake();
        }
    }

    /// Takes the first waiter out of the list, and leaves it in this state. Returns whom to wake.
    fn call(&self, state: State) -> Option<Wake> {
        let (wake, _shown) = self.list.borrow_mut().call(state)?;
        Some(wake)
    }
}

impl List {
    /// Leaves the task to wake. Returns where a foreign waker is left, or may be from before. A future that is new, or has
    /// been called, goes to the end.
    #[inline]
    fn enter(&mut self, wait: &mut Wait, task: TaskNumber) -> &mut Option<Waker> {
        if !wait.has_place() {
            wait.index = self.find_vacant();
        }
        let waiter = self.at_mut(wait.index);
        waiter.task = task;
        if waiter.state != State::Waits {
            waiter.state = State::Waits;
            waiter.need = wait.need;
            waiter.place = wait.place;
            self.link(wait.index);
        }
        &mut self.at_mut(wait.index).other
    }

    /// A future took what it came for without having waited, and keeps it here until its next poll, as if it had.
    fn grant_now(&mut self, wait: &mut Wait) {
        if !wait.has_place() {
            wait.index = self.find_vacant();
        }
        let waiter = self.at_mut(wait.index);
        debug_assert!(waiter.state != State::Waits, "nothing is free while a future waits for it");
        waiter.state = State::Granted;
    }

    /// Here a future begins to wait.
    #[inline]
    fn link(&mut self, index: usize) {
        let before = mem::replace(&mut self.tail, index);
        let waiter = self.at_mut(index);
        (waiter.prev, waiter.next) = (before, NIL);
        match before {
            NIL => self.head = index,
            before => self.at_mut(before).next = index,
        }
    }

    /// Here the first of the list ceases to wait, because it is woken.
    fn call(&mut self, state: State) -> Option<(Wake, Shown)> {
        let index = Some(self.head).filter(|index| *index != NIL)?;
        let waiter = self.at_mut(index);
        waiter.state = state;
        let shown = mem::take(&mut waiter.shown);
        let wake = waiter.other.take().map_or(Wake::Task(waiter.task), Wake::Other);
        let (prev, next) = (waiter.prev, waiter.next);
        self.unlink(prev, next);
        Some((wake, shown))
    }

    /// Here a future ceases to wait, because it has been dropped; or it had ceased before.
    fn leave(&mut self, index: usize) -> Waiter {
        let left = mem::replace(self.at_mut(index), Waiter::VACANT);
        if left.state == State::Waits {
            self.unlink(left.prev, left.next);
        }
        if let (Some(index), Some(others)) = (index.checked_sub(1), &mut self.others) {
            others.remove(index);
        }
        left
    }

    /// Closes the gap of one who stood between these.
    fn unlink(&mut self, prev: usize, next: usize) {
        match prev {
            NIL => self.head = next,
            prev => self.at_mut(prev).next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => self.at_mut(next).prev = prev,
        }
    }

    #[inline]
    fn find_vacant(&mut self) -> usize {
        if self.first.state == State::Vacant { 0 } else { self.add_record() }
    }

    #[cold]
    fn add_record(&mut self) -> usize {
        1 + self.others.get_or_insert_default().insert(Waiter::VACANT)
    }

    #[inline]
    fn at_mut(&mut self, index: usize) -> &mut Waiter {
        match index.checked_sub(1) {
            None => &mut self.first,
            Some(index) => {
                &mut self.others.as_mut().expect("an index of 1 or more is of the others")[index]
            }
        }
    }
}

impl Waiter {
    const VACANT: Waiter = Waiter {
        state: State::Vacant,
        need: 0,
        task: TaskNumber::NOBODY,
        other: None,
        place: Location::caller(),
        shown: Shown::NOTHING,
        prev: NIL,
        next: NIL,
    };
}
