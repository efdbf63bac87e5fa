//! [`WaitList`]: where the futures of `sync` wait, first come, first served. A future keeps its
//! place in the list as a [`ListWait`], and gives it up when it is dropped, in constant time. The
//! list does not know what is waited for, and needs no loop; if one runs, it gets a
//! [record](WaitRecord) of each wait. Wakers are never cloned, woken or dropped while the list is
//! borrowed, because they may be foreign.

use std::task::{Context, Poll, Waker};
use std::{cell::RefCell, iter, marker::PhantomData, mem, panic::Location, rc::Rc};

use slab::Slab;

use crate::door::{Door, report, yield_to_others};
use crate::state::{Awaited, Step, TaskNumber, Wake, discard};
use crate::task::wait_record::WaitRecord;

/// No index: the end of the list, or a future that has no place in it.
const NIL: usize = usize::MAX;

/// The waiters for one thing, first come, first served.
pub(super) struct WaitList {
    /// What is waited for, as log lines call it.
    what: &'static str,
    list: RefCell<List>,
    /// Nothing in `sync` may leave its thread.
    not_send: PhantomData<Rc<()>>,
}

struct List {
    /// The entry with index 0. Most lists never have more than this one, and so allocate nothing.
    first: Entry,
    /// The others, whose indexes begin at 1. Allocated for the second waiter.
    others: Option<Box<Slab<Entry>>>,
    head: usize,
    tail: usize,
}

/// A future's entry. It stays until the future leaves, so its index is not reused before.
struct Entry {
    state: EntryState,
    /// How many permits it waits for. Only a semaphore uses it.
    need: u32,
    /// The task to wake while it waits, unless there is a foreign waker.
    task: TaskNumber,
    /// A foreign waker to wake while it waits. Kept apart, because one word is moved faster than
    /// two.
    foreign: Option<Waker>,
    place: &'static Location<'static>,
    /// While a task of this crate waits.
    record: WaitRecord,
    prev: usize,
    next: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryState {
    /// Unused. Only the first entry is ever so.
    Vacant,
    /// It is linked into the list. In the other states it is not.
    Waits,
    /// It was woken to look again.
    Called,
    /// It was woken and granted what it waited for. If it is dropped before it takes that, the next
    /// gets it.
    Granted,
}

/// A future's place in a list.
#[derive(Debug)]
pub(super) struct ListWait {
    index: usize,
    need: u32,
    place: &'static Location<'static>,
}

/// A waiter that was granted what it waits for.
pub(super) struct Granted {
    pub(super) need: u32,
    pub(super) place: &'static Location<'static>,
    /// To be woken when the caller has updated its own state, with nothing borrowed.
    pub(super) wake: Wake,
}

impl ListWait {
    /// For an operation called at `place`. It takes a place in the list only when it must wait.
    #[inline]
    pub(super) fn at(place: &'static Location<'static>) -> Self {
        ListWait::for_many(1, place)
    }

    #[inline]
    pub(super) fn for_many(need: u32, place: &'static Location<'static>) -> Self {
        ListWait { index: NIL, need, place }
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
        let list = List { first: Entry::VACANT, others: None, head: NIL, tail: NIL };
        WaitList { what, list: RefCell::new(list), not_send: PhantomData }
    }

    /// Whether nothing waits. A future that was woken does not wait any more.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.list.borrow().head == NIL
    }

    /// Returns what the first waiter needs, its task, and where it waits.
    pub(super) fn first(&self) -> Option<(u32, TaskNumber, &'static Location<'static>)> {
        let mut list = self.list.borrow_mut();
        let index = Some(list.head).filter(|index| *index != NIL)?;
        let first = list.at_mut(index);
        Some((first.need, first.task, first.place))
    }

    /// Whether at most one future waits.
    pub(super) fn is_single(&self) -> bool {
        let list = self.list.borrow();
        list.head == list.tail
    }

    /// The poll of a future that may wait here. `done` is told whether the future was granted what
    /// it waits for, and says whether its wait is over: `Some(true)` if it was granted it or has
    /// just taken it, `Some(false)` if it ends without. It may be called several times, must be
    /// quick, and runs no user code: the door may be open around it.
    #[inline]
    pub(super) fn poll(
        &self,
        wait: &mut ListWait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<bool>,
    ) -> Poll<bool> {
        self.poll_for(wait, cx, done, || Awaited::FromTasks(self.what))
    }

    /// Like [`poll`](Self::poll). `what` says what the future waits for, and is called only if it
    /// must wait.
    #[inline]
    pub(super) fn poll_for(
        &self,
        wait: &mut ListWait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<bool>,
        what: impl FnOnce() -> Awaited,
    ) -> Poll<bool> {
        let is_over = |wait: &ListWait| done(wait.has_place() && self.is_granted(wait.index));
        let Some(mut door) = Door::open() else {
            return match is_over(wait) {
                Some(result) => self.end(wait, result),
                None => self.wait(wait, cx, done, what),
            };
        };
        if !door.budget.allows() {
            drop(door);
            return self.refuse(wait, cx, done, what);
        }
        if let Some(result) = is_over(wait) {
            door.budget.count();
            door.shut();
            return self.end(wait, result);
        }
        door.shut();
        self.wait(wait, cx, done, what)
    }

    #[inline]
    fn end(&self, wait: &mut ListWait, result: bool) -> Poll<bool> {
        if wait.has_place() {
            self.leave(wait);
        }
        Poll::Ready(result)
    }

    /// The task has spent its budget. What is free is granted to it now and completes at its next
    /// poll, so that no other task gets ahead of it meanwhile. What is not free it waits for like
    /// any other.
    #[cold]
    fn refuse(
        &self,
        wait: &mut ListWait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<bool>,
        what: impl FnOnce() -> Awaited,
    ) -> Poll<bool> {
        let is_over = wait.has_place()
            && self.list.borrow_mut().at_mut(wait.index).state != EntryState::Waits;
        if !is_over {
            match done(false) {
                Some(true) => self.list.borrow_mut().grant_now(wait),
                Some(false) => {}
                None => return self.wait(wait, cx, done, what),
            }
        }
        yield_to_others(cx)
    }

    /// Stores the waker, in place of the last poll's if there was one.
    fn wait(
        &self,
        wait: &mut ListWait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<bool>,
        what: impl FnOnce() -> Awaited,
    ) -> Poll<bool> {
        if let Some(task) = TaskNumber::of(cx.waker()) {
            self.enter(wait, task, None);
            let what = what();
            self.list.borrow_mut().at_mut(wait.index).record.wait(task, what, wait.place);
            return Poll::Pending;
        }
        let waker = cx.waker().clone();
        // The clone may have done anything, also what is waited for.
        if let Some(result) = done(wait.has_place() && self.is_granted(wait.index)) {
            discard(waker);
            self.leave(wait);
            return Poll::Ready(result);
        }
        self.enter(wait, TaskNumber::NONE, Some(waker));
        // Of an earlier poll by a task.
        self.list.borrow_mut().at_mut(wait.index).record.end();
        Poll::Pending
    }

    fn enter(&self, wait: &mut ListWait, task: TaskNumber, foreign: Option<Waker>) {
        let before = mem::replace(self.list.borrow_mut().enter(wait, task), foreign);
        report(|| Step::AwaitSync { what: self.what, place: wait.place });
        drop(before);
    }

    #[inline(never)]
    fn is_granted(&self, index: usize) -> bool {
        self.list.borrow_mut().at_mut(index).state == EntryState::Granted
    }

    /// Gives the future's place up. Returns whether it had been granted what it waited for.
    pub(super) fn leave(&self, wait: &mut ListWait) -> bool {
        if !wait.has_place() {
            return false;
        }
        let left = self.list.borrow_mut().leave(mem::replace(&mut wait.index, NIL));
        if let Some(waker) = left.foreign {
            discard(waker);
        }
        left.state == EntryState::Granted
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
        let wake = self.call(EntryState::Granted)?;
        Some(Granted { need, place, wake })
    }

    /// Wakes all that wait now, so that they look again. They are granted nothing.
    pub(super) fn call_all(&self) {
        // Taken out first: a foreign waker may make others begin to wait.
        let wakes: Vec<Wake> = iter::from_fn(|| self.call(EntryState::Called)).collect();
        for wake in wakes {
            wake.wake();
        }
    }

    /// Unlinks the first waiter and puts it into this state. Returns what to wake.
    fn call(&self, state: EntryState) -> Option<Wake> {
        let (wake, _record) = self.list.borrow_mut().call(state)?;
        Some(wake)
    }
}

impl List {
    /// Stores the task to wake. Returns where a foreign waker is stored, or may be from before. A
    /// future that is new, or was woken, goes to the end.
    #[inline]
    fn enter(&mut self, wait: &mut ListWait, task: TaskNumber) -> &mut Option<Waker> {
        if !wait.has_place() {
            wait.index = self.find_vacant();
        }
        let entry = self.at_mut(wait.index);
        entry.task = task;
        if entry.state != EntryState::Waits {
            entry.state = EntryState::Waits;
            entry.need = wait.need;
            entry.place = wait.place;
            self.link(wait.index);
        }
        &mut self.at_mut(wait.index).foreign
    }

    /// A future has taken what it asks for without having waited, and keeps it here until its next
    /// poll.
    fn grant_now(&mut self, wait: &mut ListWait) {
        if !wait.has_place() {
            wait.index = self.find_vacant();
        }
        let entry = self.at_mut(wait.index);
        debug_assert!(
            entry.state != EntryState::Waits,
            "nothing is free while a future waits for it"
        );
        entry.state = EntryState::Granted;
    }

    /// Links an entry at the end.
    #[inline]
    fn link(&mut self, index: usize) {
        let before = mem::replace(&mut self.tail, index);
        let entry = self.at_mut(index);
        (entry.prev, entry.next) = (before, NIL);
        match before {
            NIL => self.head = index,
            before => self.at_mut(before).next = index,
        }
    }

    /// Unlinks the first entry, which is woken.
    fn call(&mut self, state: EntryState) -> Option<(Wake, WaitRecord)> {
        let index = Some(self.head).filter(|index| *index != NIL)?;
        let entry = self.at_mut(index);
        entry.state = state;
        let record = mem::take(&mut entry.record);
        let wake = entry.foreign.take().map_or(Wake::Task(entry.task), Wake::Foreign);
        let (prev, next) = (entry.prev, entry.next);
        self.unlink(prev, next);
        Some((wake, record))
    }

    /// Frees an entry, linked or not.
    fn leave(&mut self, index: usize) -> Entry {
        let left = mem::replace(self.at_mut(index), Entry::VACANT);
        if left.state == EntryState::Waits {
            self.unlink(left.prev, left.next);
        }
        if let (Some(index), Some(others)) = (index.checked_sub(1), &mut self.others) {
            others.remove(index);
        }
        left
    }

    /// Closes the gap between these.
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
        if self.first.state == EntryState::Vacant { 0 } else { self.add_entry() }
    }

    #[cold]
    fn add_entry(&mut self) -> usize {
        1 + self.others.get_or_insert_default().insert(Entry::VACANT)
    }

    #[inline]
    fn at_mut(&mut self, index: usize) -> &mut Entry {
        match index.checked_sub(1) {
            None => &mut self.first,
            Some(index) => {
                &mut self.others.as_mut().expect("an index of 1 or more is of the others")[index]
            }
        }
    }
}

impl Entry {
    const VACANT: Entry = Entry {
        state: EntryState::Vacant,
        need: 0,
        task: TaskNumber::NONE,
        foreign: None,
        place: Location::caller(),
        record: WaitRecord::NONE,
        prev: NIL,
        next: NIL,
    };
}
