//! The last phase of a turn: [`run_batch`] polls the tasks that are ready.

use std::future::Future;
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::Context;

use crate::door::{Door, report};
use crate::state::{
    Body, Effect, Flags, Id, JoinError, Outcome, Slot, State, Step, TaskNumber, Tasks, discard,
};

/// The main future of a `block_on`, as a turn sees it.
pub(crate) struct Main<'a> {
    pub(crate) slot: Slot,
    pub(crate) future: Pin<&'a mut dyn Future<Output = ()>>,
}

/// Polls the tasks that are ready now, and the main future when it is its turn. Returns how many.
///
/// The batch is what was ready at its start. So a task that wakes itself, or two that wake each other,
/// cannot keep the loop from the kernel and the timers.
///
/// The next batch follows at once while fewer than `most` polls were made and the phases in between would
/// find nothing to do. That is so while tasks wake each other and no timer is armed.
pub(crate) fn run_batch(mut main: Option<&mut Main<'_>>, most: usize) -> usize {
    let Some(mut door) = Door::open() else { return 0 };
    let state = &mut *door;
    if state.tasks.is_batch_over() {
        state.tasks.begin_batch(&mut state.shuffle);
    }
    state.counts.batch(state.tasks.batch_len(), state.tasks.count());
    let first = state.tasks.polls_made();
    drop(door);
    // It is outside the closure, so that a panic does not drop it.
    let mut current = Current::default();
    let mut last = first + most as u64;
    // `catch_unwind` costs as much as a short poll, so it is entered once for the batch, and again after
    // each panic.
    loop {
        let run = || while run_next(&mut current, main.as_deref_mut(), &mut last) {};
        let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else { break };
        let Some(body) = current.body.take() else {
            // A panic of the main future goes on, through `block_on`.
            end_batch();
            resume_unwind(payload);
        };
        if let Some(mut door) = Door::open() {
            let slot = door.tasks.polled;
            door.end_poll(slot, Outcome::Panicked);
            let error = JoinError::panicked(door.tasks.origin(slot), payload);
            door.outbox.post(Effect::Fail(slot, body, error));
        }
    }
    (end_batch() - first) as usize
}

/// No task is being polled any more. Returns how many polls were made, in all.
fn end_batch() -> u64 {
    let Some(mut door) = Door::open() else { return 0 };
    // What is called from now on, until the next poll of a task, cannot yield.
    door.budget.lift();
    door.shared.polled.store(0, Ordering::Relaxed);
    door.tasks.polls_made()
}

/// The task that is being polled: what was taken out of its slot until it is settled.
#[derive(Default)]
struct Current {
    body: Option<Body>,
    /// The poll has returned `Ready`.
    is_finished: bool,
}

/// Settles the last poll and polls the next task of the batch, or the first of the next batch if that
/// follows at once, which it may until there were `last` polls. `false`: the batch is over.
#[inline(always)]
fn run_next(current: &mut Current, main: Option<&mut Main<'_>>, last: &mut u64) -> bool {
    let Some(mut door) = Door::open() else { return false };
    let state = &mut *door;
    state.settle(current);
    if state.outbox.is_posted() {
        // Performed before the next task is taken: to drop an output may abort that task.
        return true;
    }
    state.budget.refill();
    if state.tasks.is_batch_over() && !begin_next_batch(state, *last) {
        return false;
    }
    let Some((slot, birth, body)) = state.tasks.take_ready() else { return false };
    state.shared.polled.store(birth.published(slot), Ordering::Relaxed);
    let number = TaskNumber::new(state.key(slot));
    state.tasks.polled_number = number;
    let is_timed = state.tasks.polls_made() & state.untimed == 0;
    door.shut();
    // Its drop does nothing.
    let waker = ManuallyDrop::new(number.waker());
    let mut cx = Context::from_waker(&waker);
    if is_timed {
        begin_poll(slot);
    }
    let Some(body) = body else {
        if let Some(main) = main.filter(|main| main.slot == slot) {
            poll_main(main, &mut cx, last);
        }
        return true;
    };
    // There is none in its place, so `forget` spares the code that would drop one.
    mem::forget(current.body.replace(body));
    if let Some(body) = &mut current.body {
        current.is_finished = body.as_mut().poll(&mut cx).is_ready();
    }
    true
}

fn poll_main(main: &mut Main<'_>, cx: &mut Context<'_>, last: &mut u64) {
    if main.future.as_mut().poll(cx).is_ready() {
        *last = 0; // No other batch follows.
        if let Some(mut door) = Door::open() {
            door.tasks.suspicion = 0;
            door.end_poll(main.slot, Outcome::Finished);
        }
    }
}

/// Begins the next batch at once, if the phases before it would find nothing to do.
#[inline]
fn begin_next_batch(state: &mut State, last: u64) -> bool {
    let have_phases_work = state.budget.is_overspent
        || state.timers.wheel.has_armed()
        || state.shared.has_mail()
        || state.outbox.is_observed();
    let begins = state.tasks.polls_made() < last && !have_phases_work;
    if begins {
        state.tasks.begin_batch(&mut state.shuffle);
    }
    begins
}

/// The poll that begins is timed: because somebody observes, because one of the last polls was a stall, or
/// as one of the sample.
#[cold]
#[inline(never)]
fn begin_poll(slot: Slot) {
    report(|| Step::Poll { task: Id(slot) });
    if let Some(mut door) = Door::open() {
        door.begin_timed_poll();
    }
}

impl State {
    /// After a poll: puts the body back, or ends the task.
    #[inline(always)]
    fn settle(&mut self, current: &mut Current) {
        let Some(task) = self.tasks.slots.get_mut(self.tasks.polled) else { return };
        // Nothing is suspicious about a task that has finished, or was woken already.
        let is_done = current.is_finished || task.flags.has(Flags::QUEUED.and(Flags::FINISHED));
        let is_usual =
            self.tasks.suspicion == 0 || (self.tasks.suspicion == Tasks::UNKEPT && is_done);
        if !is_usual {
            return self.settle_unusual(current);
        }
        if current.is_finished {
            current.is_finished = false;
            self.end_task(self.tasks.polled, &mut current.body);
        } else if current.body.is_some() {
            task.give_back(current.body.take());
        }
    }

    /// As [`settle`](Self::settle), after a poll that was timed, in which the task was aborted, or after
    /// which it may be stuck.
    #[cold]
    #[inline(never)]
    fn settle_unusual(&mut self, current: &mut Current) {
        let slot = self.tasks.polled;
        let suspicion = mem::take(&mut self.tasks.suspicion);
        if mem::take(&mut current.is_finished) {
            self.end_poll(slot, Outcome::Finished);
            self.end_task(slot, &mut current.body);
            return;
        }
        self.end_poll(slot, Outcome::Pending);
        if let Some(body) = current.body.take() {
            match self.tasks.slots.get_mut(slot) {
                Some(task) if suspicion & Tasks::ABORTED == 0 => task.give_back(Some(body)),
                _ => return self.cancel(slot, body),
            }
        }
        let mut suspect = Flags::NONE;
        if suspicion & Tasks::UNKEPT != 0 {
            suspect.set(Flags::MAY_BE_LOST);
        }
        if suspicion & Tasks::BLOCKED != 0 {
            suspect.set(Flags::MAY_BE_DEADLOCKED);
        }
        if suspect.has(Flags::SUSPECT) {
            self.suspects.add(slot, suspect, &mut self.tasks);
        }
    }
}

/// Drops every task of a loop that is being dropped. What their drops spawn is dropped at once.
pub(crate) fn drop_all() {
    while let Some(task) = Door::open().and_then(|mut door| door.tasks.slots.pop()) {
        discard(task.body);
        discard(task.rare);
    }
}
