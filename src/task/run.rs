//! What the last phase of a turn does: a [`Batch`] polls the tasks that are ready. [`Spawned`] is a
//! task as it is polled.

use std::any::Any;
use std::future::Future;
use std::mem::{self, ManuallyDrop};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::door::{Door, drop_output, report};
use crate::state::{
    Body, Effect, Flags, Id, JoinError, Outcome, Slot, Stage, State, Step, TaskNumber, Tasks,
    discard,
};

/// The main future of a `block_on`, as a turn sees it.
pub(crate) struct Main<'a> {
    pub(crate) slot: Slot,
    pub(crate) future: Pin<&'a mut dyn Future<Output = ()>>,
}

/// The last phase of a turn. It polls a batch: the tasks that were ready when it began, including
/// the main future. A task that is woken later is in the next batch, so tasks that wake themselves
/// or each other cannot starve the sockets and the timers.
///
/// Inside `block_on`, until the kernel is due (after 64 polls), the next batch follows immediately
/// if the phases in between would find no work. That is the case while tasks only wake each other
/// and no timer is armed.
///
/// If the kernel is due sooner, because the polls take long, the rest of the batch is left to the
/// next turn.
pub(crate) struct Batch {
    /// The body of the polled task. It is taken out of its slot, so the poll can change the slot.
    body: Option<Body>,
    /// The poll has returned `Ready`.
    is_finished: bool,
    /// The loop's number of polls when the first batch began.
    first: u64,
    /// No other batch follows once that number has reached this.
    last: u64,
}

impl Batch {
    pub(crate) fn begin(allowed: u32) -> Self {
        let mut batch = Batch { body: None, is_finished: false, first: 0, last: 0 };
        if let Some(mut door) = Door::open() {
            let state = &mut *door;
            if state.tasks.is_batch_over() {
                state.tasks.begin_batch(&mut state.shuffle);
            }
            state.counts.batch(state.tasks.batch_len(), state.tasks.count());
            batch.first = state.tasks.polls_made();
            batch.last = batch.first + u64::from(allowed);
        }
        batch
    }

    /// Settles the last poll and polls the next task. Returns `false` if the batch is over.
    #[inline(always)]
    pub(crate) fn run_next(&mut self, main: Option<&mut Main<'_>>) -> bool {
        let Some(mut door) = Door::open() else { return false };
        let state = &mut *door;
        let has_output = state.settle(self);
        if has_output || state.outbox.is_posted() {
            // Performed before the next task is taken, because the drop of an output may abort that
            // task.
            drop(door);
            if let Some(output) = self.body.take() {
                drop_output(output);
            }
            return true;
        }
        state.budget.refill();
        if state.tasks.is_batch_over() && !begin_next_batch(state, self.last) {
            return false;
        }
        let Some((slot, published, body)) = state.tasks.take_ready() else { return false };
        state.shared.polled.store(published, Ordering::Relaxed);
        let number = TaskNumber::new(state.key(slot));
        state.tasks.polled_number = number;
        let is_checked = state.budget.is_check_due(state.tasks.polls_made());
        door.shut();
        // Dropping this waker would do nothing; `ManuallyDrop` saves the call.
        let waker = ManuallyDrop::new(number.waker());
        let mut cx = Context::from_waker(&waker);
        if is_checked {
            begin_checked_poll(slot);
        }
        // Only the main future has no body here: `block_on` holds it.
        let Some(body) = body else {
            if let Some(main) = main.filter(|main| main.slot == slot) {
                self.poll_main(main, &mut cx);
            }
            return true;
        };
        // `self.body` is `None` here. `forget` saves the code that would drop an old body.
        mem::forget(self.body.replace(body));
        if let Some(body) = &mut self.body {
            self.is_finished = body.as_mut().poll(&mut cx).is_ready();
        }
        true
    }

    fn poll_main(&mut self, main: &mut Main<'_>, cx: &mut Context<'_>) {
        if main.future.as_mut().poll(cx).is_ready() {
            self.last = 0; // No other batch follows.
            if let Some(mut door) = Door::open() {
                door.end_poll(main.slot, Outcome::Finished);
                door.tasks.to_check = 0;
            }
        }
    }

    /// Ends the task whose poll panicked. A panic of the main future continues through `block_on`.
    #[cold]
    pub(crate) fn end_panicked(&mut self, payload: Box<dyn Any + Send>) {
        let Some(body) = self.body.take() else {
            self.end();
            resume_unwind(payload);
        };
        if let Some(mut door) = Door::open() {
            let slot = door.tasks.polled;
            door.end_poll(slot, Outcome::Panicked);
            let error = JoinError::panicked(door.tasks.origin(slot), payload);
            door.outbox.post(Effect::Fail(slot, body, error));
        }
    }

    /// Ends the batch. Returns how many polls it made.
    pub(crate) fn end(&mut self) -> usize {
        let Some(mut door) = Door::open() else { return 0 };
        // Callbacks and drops that run until the next poll are no tasks, so they cannot yield.
        door.budget.lift();
        door.shared.polled.store(0, Ordering::Relaxed);
        (door.tasks.polls_made() - self.first) as usize
    }
}

/// Begins the next batch if the phases before it would find no work.
#[inline]
fn begin_next_batch(state: &mut State, last: u64) -> bool {
    let phases_have_work = state.budget.is_overspent
        || state.timers.wheel.has_armed()
        || state.shared.has_mail()
        || state.outbox.is_observed();
    let begins = state.tasks.polls_made() < last && !phases_have_work;
    if begins {
        state.tasks.begin_batch(&mut state.shuffle);
    }
    begins
}

/// Begins a poll after which the clock is read.
#[cold]
#[inline(never)]
fn begin_checked_poll(slot: Slot) {
    report(|| Step::Poll { task: Id(slot) });
    if let Some(mut door) = Door::open() {
        door.begin_checked_poll();
    }
}

impl State {
    /// Puts the body of the polled task back into its slot, or ends the task. Returns whether it
    /// left an output in the batch that must be dropped.
    #[inline(always)]
    fn settle(&mut self, batch: &mut Batch) -> bool {
        let Some(task) = self.tasks.slots.get_mut(self.tasks.polled) else { return false };
        // A task that has finished or was woken again cannot be stuck.
        let is_done = batch.is_finished || task.flags.has_any(Flags::QUEUED.or(Flags::FINISHED));
        let is_usual =
            self.tasks.to_check == 0 || (self.tasks.to_check == Tasks::UNKEPT && is_done);
        if !is_usual {
            return self.settle_unusual(batch);
        }
        if batch.is_finished {
            batch.is_finished = false;
            return self.end_task(self.tasks.polled, &mut batch.body);
        }
        if batch.body.is_some() {
            task.give_back(batch.body.take());
        }
        false
    }

    /// As [`settle`](Self::settle), after a poll after which the clock is read, in which the task was
    /// aborted, or after which it may be stuck.
    #[cold]
    #[inline(never)]
    fn settle_unusual(&mut self, batch: &mut Batch) -> bool {
        let slot = self.tasks.polled;
        let is_finished = mem::take(&mut batch.is_finished);
        self.end_poll(slot, if is_finished { Outcome::Finished } else { Outcome::Pending });
        let to_check = mem::take(&mut self.tasks.to_check);
        if is_finished {
            return self.end_task(slot, &mut batch.body);
        }
        if let Some(body) = batch.body.take() {
            match self.tasks.slots.get_mut(slot) {
                Some(task) if to_check & Tasks::ABORTED == 0 => task.give_back(Some(body)),
                _ => {
                    self.cancel(slot, body);
                    return false;
                }
            }
        }
        let mut suspect = Flags::NONE;
        if to_check & Tasks::UNKEPT != 0 {
            suspect.set(Flags::MAY_BE_LOST);
        }
        if to_check & Tasks::BLOCKED != 0 {
            suspect.set(Flags::MAY_BE_DEADLOCKED);
        }
        if suspect.has_any(Flags::SUSPECT) {
            self.suspects.add(slot, suspect, &mut self.tasks);
        }
        false
    }
}

pin_project! {
    /// A task with its type. This is the one allocation of a task.
    #[project = SpawnedProject]
    pub(super) enum Spawned<F: Future> {
        Running { #[pin] future: F },
        Finished { output: Option<Result<F::Output, JoinError>> },
    }
}

impl<F: Future> Spawned<F> {
    /// Takes the output, or drops the future if there is none yet.
    #[inline]
    pub(super) fn end(mut self: Pin<&mut Self>) -> Option<Result<F::Output, JoinError>> {
        if let SpawnedProject::Finished { output } = self.as_mut().project() {
            return output.take();
        }
        self.set(Spawned::Finished { output: None });
        None
    }
}

impl<F> Stage for Spawned<F>
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let SpawnedProject::Running { future } = self.as_mut().project() else {
            unreachable!("a finished task is not polled");
        };
        let Poll::Ready(output) = future.poll(cx) else { return Poll::Pending };
        self.set(Spawned::Finished { output: Some(Ok(output)) });
        Poll::Ready(())
    }

    fn fail(mut self: Pin<&mut Self>, error: JoinError) {
        self.set(Spawned::Finished { output: Some(Err(error)) });
    }

    fn take(mut self: Pin<Box<Self>>, out: &mut dyn Any) {
        if let (SpawnedProject::Finished { output }, Some(out)) =
            (self.as_mut().project(), out.downcast_mut())
        {
            // `out` is empty, so `forget` spares the code that would drop a value.
            mem::forget(mem::replace(out, output.take()));
        }
    }

    fn error(&self) -> Option<&JoinError> {
        match self {
            Spawned::Finished { output: Some(Err(error)) } => Some(error),
            _ => None,
        }
    }
}

/// Drops every task of a loop that is being dropped. Tasks that these drops spawn are dropped too.
pub(crate) fn drop_all() {
    while let Some(task) = Door::open().and_then(|mut door| door.tasks.slots.pop()) {
        discard(task.body);
        discard(task.rare);
    }
}
