//! [`SingleWaiter`]: where at most one task can wait, such as the receiver of a channel. It is
//! handed nothing: it is woken and looks again.

use std::task::{Context, Poll, Waker};
use std::{cell::Cell, marker::PhantomData, mem, panic::Location, rc::Rc};

use crate::door::{Door, report, yield_to_others};
use crate::state::{Awaited, State, Step, TaskNumber, Wake, discard};
use crate::task::wait_record::WaitRecord;

pub(super) struct SingleWaiter {
    /// The task to wake. If it is [`TaskNumber::NONE`], there may be a foreign waker.
    task: Cell<TaskNumber>,
    foreign: Cell<Option<Waker>>,
    record: Cell<WaitRecord>,
    /// Nothing in `sync` may leave its thread.
    not_send: PhantomData<Rc<()>>,
}

impl SingleWaiter {
    #[inline]
    pub(super) const fn new() -> Self {
        SingleWaiter {
            task: Cell::new(TaskNumber::NONE),
            foreign: Cell::new(None),
            record: Cell::new(WaitRecord::NONE),
            not_send: PhantomData,
        }
    }

    /// The poll of a future that was made at `place` and waits for `what`, as log lines call it.
    /// `done` says whether the wait is over. It may be called several times, must be quick, and
    /// runs no user code: the door may be open around it.
    #[inline]
    pub(super) fn poll<R>(
        &self,
        what: &'static str,
        place: &'static Location<'static>,
        cx: &Context<'_>,
        done: impl Fn() -> Option<R>,
    ) -> Poll<R> {
        let Some(mut door) = Door::open() else {
            return match done() {
                Some(result) => Poll::Ready(result),
                None => self.wait(what, place, cx, done),
            };
        };
        let state = &mut *door;
        if !state.budget.allows() {
            drop(door);
            return self.refuse(cx);
        }
        if let Some(result) = done() {
            state.budget.count();
            door.shut();
            return Poll::Ready(result);
        }
        if let Some(task) = TaskNumber::of(cx.waker()) {
            let what = Awaited::FromTasks(what);
            let is_recorded = self.with_record(|record| record.wait_in(state, task, what, place));
            if is_recorded && !state.outbox.is_active() {
                self.task.set(task);
                door.shut();
                return Poll::Pending;
            }
        }
        drop(door);
        self.wait(what, place, cx, done)
    }

    /// The wait of any waker: of a task of this loop or of another, or of foreign code.
    #[cold]
    fn wait<R>(
        &self,
        what: &'static str,
        place: &'static Location<'static>,
        cx: &Context<'_>,
        done: impl Fn() -> Option<R>,
    ) -> Poll<R> {
        let wake = Wake::of(cx.waker());
        // The clone of a foreign waker may have done anything, also what is waited for.
        if let Wake::Foreign(_) = wake
            && let Some(result) = done()
        {
            discard(wake);
            return Poll::Ready(result);
        }
        self.enter(wake, what, place);
        Poll::Pending
    }

    /// The task has spent its budget. Its waker is stored, and it is woken at once to look again. No
    /// wait is recorded, because the next poll may find what it asks for, which ends no record.
    #[cold]
    fn refuse<R>(&self, cx: &Context<'_>) -> Poll<R> {
        discard(self.store(Wake::of(cx.waker())));
        yield_to_others(cx)
    }

    /// Begins a wait.
    fn enter(&self, wake: Wake, what: &'static str, place: &'static Location<'static>) {
        let task = wake.task();
        let before = self.store(wake);
        self.with_record(|record| match task {
            Some(task) => record.wait(task, Awaited::FromTasks(what), place),
            None => record.end(),
        });
        report(|| Step::AwaitSync { what, place });
        discard(before);
    }

    /// Stores the waker in place of the last poll's. Returns that if it is foreign, to be dropped.
    fn store(&self, wake: Wake) -> Option<Waker> {
        match wake {
            Wake::Task(task) => {
                self.task.set(task);
                self.foreign.take()
            }
            Wake::Foreign(waker) => {
                self.task.set(TaskNumber::NONE);
                self.foreign.replace(Some(waker))
            }
        }
    }

    /// Wakes the waiter, if there is one. From here on it does not wait any more.
    #[inline]
    pub(super) fn wake(&self) {
        self.wake_with(WaitRecord::pause_in);
    }

    /// Like [`wake`](Self::wake), for the last time.
    #[inline]
    pub(super) fn wake_last(&self) {
        self.wake_with(WaitRecord::end_in);
    }

    #[inline]
    fn wake_with(&self, end_wait: impl FnOnce(&mut WaitRecord, &mut State)) {
        let task = self.task.replace(TaskNumber::NONE);
        let foreign = self.foreign.take();
        if task.is_some() {
            if let Some(mut door) = Door::open().filter(|door| task.is_of(door.id)) {
                self.with_record(|record| end_wait(record, &mut door));
                door.wake_task(task);
            } else {
                self.with_record(WaitRecord::end);
                task.wake();
            }
        }
        match foreign {
            None => {}
            Some(waker) if !task.is_some() => Wake::Foreign(waker).wake(),
            Some(earlier) => discard(earlier),
        }
    }

    /// For a future that is dropped. If it waited, from here on it does not any more.
    #[inline]
    pub(super) fn leave(&self) {
        if self.task.replace(TaskNumber::NONE).is_some() {
            self.with_record(WaitRecord::end);
        }
        if let Some(waker) = self.foreign.take() {
            discard(waker);
        }
    }

    #[inline(always)]
    fn with_record<R>(&self, change: impl FnOnce(&mut WaitRecord) -> R) -> R {
        let mut record = self.record.take();
        let result = change(&mut record);
        // What is replaced is empty, because it was taken: `forget` spares the code that would drop
        // it.
        mem::forget(self.record.replace(record));
        result
    }
}
