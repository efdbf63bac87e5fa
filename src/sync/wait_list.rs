//! The one list in which everything in `sync` waits: first come, first served. A future keeps its place in it, a
//! [`Wait`], and must [`leave`](WaitList::leave) when it is dropped, which takes constant time. The list knows
//! nothing of what is waited for, and needs no loop. It never clones, wakes or drops a waker while it is borrowed:
//! wakers may be foreign.

use std::cell::RefCell;
use std::iter;
use std::marker::PhantomData;
use std::mem;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::core::{Core, discard};
use crate::observe::{self, Step};
use crate::slots::Key;
use crate::task::waker::{TaskNumber, Wake};
use crate::waits::{self, What};

/// No index: the end of the list, or a future that has no place in it.
const NIL: usize = usize::MAX;

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
    /// The wait as the loop knows it, while a task of ours waits: for the stuck-task analysis and the dump.
    seen: Option<Key>,
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

    /// For who waits again with the same `Wait`.
    #[inline]
    pub(super) fn set_place(&mut self, place: &'static Location<'static>) {
        self.place = place;
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

    /// The poll of every future in `sync`. `done` says whether its wait is over and with what, and is told
    /// whether this waiter was granted what it waits for. It may be asked several times, and must be quick: the loop
    /// is borrowed around it.
    #[inline]
    pub(super) fn poll<R>(
        &self,
        wait: &mut Wait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<R>,
    ) -> Poll<R> {
        self.poll_for(wait, cx, done, || What::Gift(self.what))
    }

    /// As [`poll`](Self::poll). `what` tells what it waits for, if it must.
    #[inline]
    pub(super) fn poll_for<R>(
        &self,
        wait: &mut Wait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<R>,
        what: impl FnOnce() -> What,
    ) -> Poll<R> {
        match Core::on_budget(|| done(self.is_granted(wait))) {
            Some(Some(result)) => {
                if wait.has_place() {
                    self.leave(wait);
                }
                Poll::Ready(result)
            }
            Some(None) => self.pend(wait, cx, done, what),
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Leaves the waker, new or in place of the last poll's.
    #[inline]
    fn pend<R>(
        &self,
        wait: &mut Wait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<R>,
        what: impl FnOnce() -> What,
    ) -> Poll<R> {
        let Some(task) = TaskNumber::of(cx.waker()) else { return self.pend_foreign(wait, cx, done) };
        self.enter(wait, task, None);
        self.show(wait, task, what);
        Poll::Pending
    }

    #[cold]
    fn pend_foreign<R>(
        &self,
        wait: &mut Wait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<R>,
    ) -> Poll<R> {
        let waker = cx.waker().clone();
        // That may have done anything, also what is waited for.
        if let Some(result) = done(self.is_granted(wait)) {
            discard(waker);
            self.leave(wait);
            return Poll::Ready(result);
        }
        self.enter(wait, TaskNumber::NOBODY, Some(waker));
        Poll::Pending
    }

    #[inline]
    fn enter(&self, wait: &mut Wait, task: TaskNumber, other: Option<Waker>) {
        let before = mem::replace(self.list.borrow_mut().enter(wait, task), other);
        observe::report(|| Step::AwaitSync { what: self.what, place: wait.place });
        drop(before);
    }

    /// Shows the loop that a task of it waits.
    #[inline]
    fn show(&self, wait: &Wait, task: TaskNumber, what: impl FnOnce() -> What) {
        let seen = self.list.borrow_mut().at_mut(wait.index).seen;
        match seen {
            Some(seen) => waits::goes_on(seen),
            None => {
                let seen = waits::begin(task, what(), wait.place);
                self.list.borrow_mut().at_mut(wait.index).seen = seen;
            }
        }
    }

    #[inline]
    fn is_granted(&self, wait: &Wait) -> bool {
        wait.has_place() && self.list.borrow_mut().at_mut(wait.index).state == State::Granted
    }

    /// Gives the future's place up. Returns whether it had been granted what it waited for.
    pub(super) fn leave(&self, wait: &mut Wait) -> bool {
        if !wait.has_place() {
            return false;
        }
        let (state, other) = self.list.borrow_mut().leave(mem::replace(&mut wait.index, NIL));
        if let Some(waker) = other {
            discard(waker);
        }
        state == State::Granted
    }

    /// Grants the first waiter what it waits for, if that is no more than `free`.
    pub(super) fn grant(&self, free: usize) -> Option<Granted> {
        let mut list = self.list.borrow_mut();
        let index = Some(list.head).filter(|index| *index != NIL)?;
        let first = list.at_mut(index);
        let (need, place) = (first.need, first.place);
        if need as usize > free {
            return None;
        }
        let wake = list.call(State::Granted)?;
        Some(Granted { need, place, wake })
    }

    /// Wakes the first waiter, so that it looks again. It is granted nothing.
    #[inline]
    pub(super) fn call_one(&self) {
        let wake = self.list.borrow_mut().call(State::Called);
        if let Some(wake) = wake {
            wake.wake();
        }
    }

    /// Wakes all who wait now, so that they look again. They are granted nothing.
    pub(super) fn call_all(&self) {
        let wakes: Vec<Wake> = {
            let mut list = self.list.borrow_mut();
            iter::from_fn(|| list.call(State::Called)).collect()
        };
        for wake in wakes {
            wake.wake();
        }
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

    /// Here it ceases to, because it is woken: the first.
    #[inline]
    fn call(&mut self, state: State) -> Option<Wake> {
        let index = Some(self.head).filter(|index| *index != NIL)?;
        let waiter = self.at_mut(index);
        waiter.state = state;
        waiter.end_seen();
        let wake = waiter.other.take().map_or(Wake::Task(waiter.task), Wake::Other);
        self.unlink(index);
        Some(wake)
    }

    /// Here it ceases to, because it has been dropped; or it had before.
    #[inline]
    fn leave(&mut self, index: usize) -> (State, Option<Waker>) {
        let waiter = self.at_mut(index);
        let state = mem::replace(&mut waiter.state, State::Vacant);
        waiter.end_seen();
        let other = waiter.other.take();
        if state == State::Waits {
            self.unlink(index);
        }
        if let (Some(index), Some(others)) = (index.checked_sub(1), &mut self.others) {
            others.remove(index);
        }
        (state, other)
    }

    #[inline]
    fn unlink(&mut self, index: usize) {
        let waiter = self.at_mut(index);
        let (prev, next) = (waiter.prev, waiter.next);
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
            Some(index) => &mut self.others.as_mut().expect("an index of 1 or more is of the others")[index],
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
        seen: None,
        prev: NIL,
        next: NIL,
    };

    #[inline]
    fn end_seen(&mut self) {
        if let Some(seen) = self.seen.take() {
            waits::end(seen);
        }
    }
}
