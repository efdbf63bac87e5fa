//! The timers of a loop: the wheel, and what each timer wakes. Pure data; the futures are in
//! `time/`.

use std::mem;
use std::panic::Location;
use std::task::Waker;

use super::number::Wake;
use super::outbox::Outbox;
use super::slots::Slot;
use super::step::{Step, TimerId};
use super::waits::{Awaited, TaskWait, Waiter};
use super::wheel::Wheel;

pub(crate) struct Timers {
    pub(crate) wheel: Wheel<Armed>,
    /// Kept empty between uses, to reuse its allocation.
    due: Vec<(u64, Slot)>,
}

/// What is stored with a timer.
pub(crate) struct Armed {
    /// The task to wake. Its place is where the timer was created.
    pub(crate) waiter: Waiter,
    /// The waker, if the waiter is not a task of this crate.
    pub(crate) foreign: Option<Waker>,
}

impl Armed {
    pub(crate) fn new(wake: Wake, place: &'static Location<'static>, since: u64) -> Self {
        let mut armed =
            Armed { waiter: Waiter { place: Some(place), since, ..Waiter::NONE }, foreign: None };
        armed.set_wake(wake);
        armed
    }

    /// Stores what to wake. Returns the foreign waker that was stored before.
    pub(crate) fn set_wake(&mut self, wake: Wake) -> Option<Waker> {
        match wake {
            Wake::Task(task) => {
                self.waiter.task = task;
                self.foreign.take()
            }
            Wake::Foreign(waker) => {
                self.waiter.task = Waiter::NONE.task;
                self.foreign.replace(waker)
            }
        }
    }

    /// Takes what to wake. Returns `None` if it was taken before.
    pub(crate) fn take_wake(&mut self) -> Option<Wake> {
        let task = mem::replace(&mut self.waiter.task, Waiter::NONE.task);
        let foreign = self.foreign.take().map(Wake::Foreign);
        foreign.or_else(|| task.is_some().then_some(Wake::Task(task)))
    }
}

impl Timers {
    pub(crate) fn new() -> Self {
        Timers { wheel: Wheel::new(), due: Vec::new() }
    }

    /// Advances the wheel and returns the list of due timers. The caller passes the list to
    /// [`give_back`](Self::give_back) after use.
    pub(crate) fn take_due(&mut self, now: u64) -> Vec<(u64, Slot)> {
        let mut due = mem::take(&mut self.due);
        self.wheel.advance(now, &mut due);
        due
    }

    pub(crate) fn give_back(&mut self, mut due: Vec<(u64, Slot)>) {
        due.clear();
        due.shrink_to(1024);
        self.due = due;
    }

    /// Removes a timer, fired or not.
    #[inline]
    pub(crate) fn cancel(&mut self, slot: Slot, outbox: &mut Outbox) {
        if let Some(armed) = self.wheel.cancel(slot) {
            outbox.drop_wake(armed.foreign.map(Wake::Foreign));
            outbox.report(|| Step::Disarm { timer: TimerId(slot) });
        }
    }

    /// Calls `each` for every wait of a task of this loop for a timer.
    pub(crate) fn each_wait(&self, each: &mut impl FnMut(TaskWait)) {
        self.each_armed(&mut |deadline, waiter| {
            if waiter.task.is_some() {
                each(TaskWait { waiter, what: Awaited::Timer { deadline } });
            }
        });
    }

    /// Calls `each` with the deadline and the waiter of each timer that has not fired. If the
    /// waiter has no task, code outside this crate waits.
    pub(crate) fn each_armed(&self, each: &mut impl FnMut(u64, Waiter)) {
        for (deadline, armed, _) in self.wheel.iter().filter(|(_, _, has_fired)| !has_fired) {
            each(deadline, armed.waiter);
        }
    }

    /// Returns how many timers have not fired.
    pub(crate) fn count(&self) -> usize {
        self.wheel.iter().filter(|(_, _, has_fired)| !has_fired).count()
    }
}
