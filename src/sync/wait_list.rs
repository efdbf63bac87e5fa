//! [`WaitList`]: where the futures of `sync` wait, first come, first served. A future keeps its
//! place in the list as a [`ListWait`], and gives it up when it is dropped, in constant time. The
//! list does not know what is waited for, and needs no loop; if one runs, it gets a
//! [record](crate::task::wait_record::WaitRecord) of each wait. Wakers are never cloned, woken or
//! dropped while the list is borrowed, because they may be foreign.

mod list;

use std::task::{Context, Poll, Waker};
use std::{cell::RefCell, iter, marker::PhantomData, mem, panic::Location, rc::Rc};

pub(super) use self::list::End;
use self::list::{EntryState, List, NIL};
use crate::door::{Door, report, yield_to_others};
use crate::state::{Awaited, State, Step, TaskNumber, Wake, discard};
use crate::task::wait_record::WaitRecord;

/// The waiters for one thing, first come, first served.
pub(super) struct WaitList {
    /// What is waited for, as log lines call it.
    what: &'static str,
    list: RefCell<List>,
    /// Nothing in `sync` may leave its thread.
    not_send: PhantomData<Rc<()>>,
}

/// A future's place in a list.
#[derive(Debug)]
pub(super) struct ListWait {
    index: usize,
    need: u32,
    place: &'static Location<'static>,
}

/// A waiter that was taken out of the queue. The caller [wakes](Self::wake) it when it has updated
/// its own state, with nothing borrowed.
#[must_use]
pub(super) struct Dequeued {
    pub(super) need: u32,
    pub(super) place: &'static Location<'static>,
    wake: Wake,
    record: WaitRecord,
}

impl Dequeued {
    /// The task to wake, if it is one of this crate.
    pub(super) fn task(&self) -> Option<TaskNumber> {
        self.wake.task()
    }

    /// Ends its wait and wakes it.
    pub(super) fn wake(self) {
        let rest = match Door::open() {
            Some(mut door) => self.wake_in(&mut door),
            None => Some(self),
        };
        if let Some(Dequeued { wake, record, .. }) = rest {
            drop(record);
            wake.wake();
        }
    }

    /// Wakes a task of this loop. Returns any other waiter.
    #[inline]
    fn wake_in(mut self, state: &mut State) -> Option<Self> {
        match self.wake {
            Wake::Task(task) if task.is_of(state.id) => {
                self.record.end_in(state);
                state.wake_task(task);
                None
            }
            _ => Some(self),
        }
    }
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
        WaitList { what, list: RefCell::new(List::new()), not_send: PhantomData }
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

    /// Whether this future is the first waiter.
    #[inline]
    pub(super) fn is_first(&self, wait: &ListWait) -> bool {
        self.list.borrow().head == wait.index
    }

    /// Whether no future waits, or only this one.
    pub(super) fn is_alone(&self, wait: &ListWait) -> bool {
        let list = self.list.borrow();
        list.head == list.tail && [NIL, wait.index].contains(&list.head)
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
        self.poll_for(wait, cx, done, |_, _| Awaited::FromTasks(self.what))
    }

    /// Like [`poll`](Self::poll). `what` says what the future waits for. It is called only if the
    /// future must wait, with the door open, so it runs no user code either.
    #[inline]
    pub(super) fn poll_for(
        &self,
        wait: &mut ListWait,
        cx: &Context<'_>,
        done: impl Fn(bool) -> Option<bool>,
        what: impl Fn(&mut State, &ListWait) -> Awaited,
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
        let mut has_entered = false;
        if let Some(task) = TaskNumber::of(cx.waker())
            && task.is_of(door.id)
            && !door.outbox.is_active()
        {
            let what = what(&mut door, wait);
            has_entered = self.enter_in(&mut door, wait, task, what);
        }
        door.shut();
        if has_entered { Poll::Pending } else { self.wait(wait, cx, done, what) }
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
        what: impl Fn(&mut State, &ListWait) -> Awaited,
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
        what: impl Fn(&mut State, &ListWait) -> Awaited,
    ) -> Poll<bool> {
        if let Some(task) = TaskNumber::of(cx.waker()) {
            self.enter(wait, task, None);
            let what = match Door::open() {
                Some(mut door) => what(&mut door, wait),
                None => Awaited::FromTasks(self.what),
            };
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

    /// The usual case of [`wait`](Self::wait), with one opening of the door: a task of this loop
    /// waits, and no observer is told. Returns `false` if it needs the other cases.
    fn enter_in(
        &self,
        state: &mut State,
        wait: &mut ListWait,
        task: TaskNumber,
        what: Awaited,
    ) -> bool {
        let mut list = self.list.borrow_mut();
        let entry = list.enter(wait, task);
        // A foreign waker of an earlier poll is dropped with nothing borrowed.
        entry.foreign.is_none() && entry.record.wait_in(state, task, what, wait.place)
    }

    fn enter(&self, wait: &mut ListWait, task: TaskNumber, foreign: Option<Waker>) {
        let before = mem::replace(&mut self.list.borrow_mut().enter(wait, task).foreign, foreign);
        report(|| Step::AwaitSync { what: self.what, place: wait.place });
        if let Some(waker) = before {
            discard(waker);
        }
    }

    #[inline(never)]
    fn is_granted(&self, index: usize) -> bool {
        matches!(self.list.borrow_mut().at_mut(index).state, EntryState::Granted(_))
    }

    /// Takes a place in the queue without a waker, unless the wait is over. Returns whether it is.
    /// `done` is that of [`poll`](Self::poll).
    pub(super) fn enroll(&self, wait: &mut ListWait, done: impl Fn(bool) -> Option<bool>) -> bool {
        if done(wait.has_place() && self.is_granted(wait.index)).is_some() {
            self.leave(wait);
            return true;
        }
        let mut list = self.list.borrow_mut();
        // A place that it has already keeps its waker.
        if !wait.has_place() || list.at_mut(wait.index).state != EntryState::Waits {
            list.enter(wait, TaskNumber::NONE);
        }
        false
    }

    /// Gives the future's place up. Returns whether it had been granted what it waited for.
    pub(super) fn leave(&self, wait: &mut ListWait) -> bool {
        self.leave_granted(wait).is_some()
    }

    /// Like [`leave`](Self::leave). Returns from which end of the queue it was granted that.
    pub(super) fn leave_granted(&self, wait: &mut ListWait) -> Option<End> {
        if !wait.has_place() {
            return None;
        }
        let (state, foreign, _record) =
            self.list.borrow_mut().leave(mem::replace(&mut wait.index, NIL));
        if let Some(waker) = foreign {
            discard(waker);
        }
        match state {
            EntryState::Granted(end) => Some(end),
            _ => None,
        }
    }

    /// Grants the first waiter what it waits for, if that is no more than `free`.
    pub(super) fn grant(&self, free: usize) -> Option<Dequeued> {
        let mut list = self.list.borrow_mut();
        let first = Some(list.head).filter(|index| *index != NIL)?;
        if list.at_mut(first).need as usize > free {
            return None;
        }
        list.call(EntryState::Granted(End::First))
    }

    /// Grants the waiter at this end what it waits for, whatever that needs.
    pub(super) fn grant_at(&self, end: End) -> Option<Dequeued> {
        self.list.borrow_mut().call(EntryState::Granted(end))
    }

    /// Wakes all that wait now, so that they look again. They are granted nothing.
    pub(super) fn call_all(&self) {
        // Woken after all were taken out: a foreign waker may make others begin to wait.
        let mut others = Vec::new();
        if let Some(mut door) = Door::open() {
            let mut list = self.list.borrow_mut();
            while let Some(waiter) = list.call(EntryState::Called) {
                others.extend(waiter.wake_in(&mut door));
            }
        } else {
            let mut list = self.list.borrow_mut();
            others.extend(iter::from_fn(|| list.call(EntryState::Called)));
        }
        others.into_iter().for_each(Dequeued::wake);
    }
}
