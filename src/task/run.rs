//! The last phase of a turn: [`run_batch`] polls the tasks that are ready. And all ways in which a task ends.

use std::future::Future;
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::Context;

use super::join::{FailureLog, JoinError, Origin};
use super::tasks::{Flags, Left, Tasks};
use super::waker::TaskNumber;
use super::{Body, Id};
use crate::core::{Core, discard, log_panic};
use crate::observe::stuck::{self, Verdict};
use crate::observe::{self, Outcome, Step};
use crate::remote::{self, Message, Release};
use crate::slots::{Key, Slot};

/// The main future of a `block_on`, as a turn sees it.
pub(crate) struct Main<'a> {
    pub(crate) slot: Slot,
    pub(crate) future: Pin<&'a mut dyn Future<Output = ()>>,
}

/// Polls the tasks that are ready now, and the main future when it is its turn. Returns how many.
///
/// The batch is what was ready at its start. So a task that wakes itself, or two that wake each
/// other, cannot keep the loop from the kernel and the timers.
///
/// The next batch follows at once while fewer than `most` polls were made and the turn between them would find nothing
/// to do: so it is with tasks that wake each other while no timer is armed.
pub(crate) fn run_batch(mut main: Option<&mut Main<'_>>, most: usize) -> usize {
    let before = Core::with(|core| {
        if core.tasks.is_batch_over() {
            core.tasks.begin_batch(&mut core.shuffle);
        }
        core.counts.batch(core.tasks.batch_len(), core.tasks.count());
        core.tasks.polls_made()
    });
    let first = before.unwrap_or_default();
    // It stands outside the closure, so that a panic does not drop it.
    let mut lent = Lent::default();
    let mut last = first + most as u64;
    // Entered once for the batch, and again after each panic: it costs as much as a short poll.
    loop {
        let run = || while run_next(&mut lent, main.as_deref_mut(), &mut last) {};
        let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else { break };
        let Some(mut body) = lent.body.take() else {
            // The main future's panic goes on, through `block_on`.
            end_batch();
            resume_unwind(payload);
        };
        let slot = polled_last();
        observe::poll_ended(slot, Outcome::Panicked);
        fail(slot, &mut body, |origin| JoinError::panicked(origin, payload));
        finish(slot, body);
    }
    (end_batch() - first) as usize
}

/// No task is polled any more. Returns how many polls there were.
fn end_batch() -> u64 {
    let polls = Core::with(|core| {
        // What is called now, until the next poll of a task, cannot yield.
        core.lift_budget();
        core.shared.polled.store(0, Ordering::Relaxed);
        core.tasks.polls_made()
    });
    polls.unwrap_or_default()
}

/// What was taken out of the slot of the task that is polled, until it is given back.
#[derive(Default)]
struct Lent {
    body: Option<Body>,
    /// The poll has returned `Ready`.
    is_finished: bool,
}

impl Core {
    /// After a poll: gives the task its body back, and wakes its joiner if it has finished. `Some`: that is left to do first.
    #[inline]
    fn settle(&mut self, lent: &mut Lent) -> Option<Next> {
        let tasks = &mut self.tasks;
        let task = tasks.slots.get_mut(tasks.polled)?;
        let is_done = lent.is_finished || task.flags.has(Flags::QUEUED.and(Flags::FINISHED));
        let is_usual = tasks.suspicion == 0 || (tasks.suspicion == Tasks::UNKEPT && is_done);
        if !is_usual {
            return Some(Next::Unsettled);
        }
        if lent.is_finished {
            let wakes_only_ours = match task.joiner {
                TaskNumber::NOBODY => !task.ends_unusually(),
                joiner => joiner.is_of(self.id),
            };
            if !wakes_only_ours {
                return Some(Next::Unsettled);
            }
            lent.is_finished = false;
            let joiner = tasks.end(tasks.polled, &mut lent.body);
            if joiner != TaskNumber::NOBODY {
                tasks.wake(joiner.packed());
            }
            return lent.body.take().map(Next::Unwanted);
        }
        if lent.body.is_some() {
            task.give_back(lent.body.take());
        }
        None
    }
}

/// What [`run_next`] found.
enum Next {
    /// Whom to poll, with its body (the main future has none), and whether that is timed.
    Poll(Key, Option<Body>, bool),
    /// The last poll is not settled: see [`settle_unusually`].
    Unsettled,
    /// The last poll ended a task, whose output nobody wants.
    Unwanted(Body),
    Over,
}

/// Polls the next task of the batch, or the first of the next if it follows at once, which it may until there were `last` polls.
/// `false`: the batch is over.
#[inline]
fn run_next(lent: &mut Lent, main: Option<&mut Main<'_>>, last: &mut u64) -> bool {
    let next = Core::with(|core| {
        if let Some(first) = core.settle(lent) {
            return first;
        }
        core.budget.refill();
        if core.tasks.is_batch_over() && !go_on(core, *last) {
            return Next::Over;
        }
        let Some((slot, birth, body)) = core.tasks.take_ready() else { return Next::Over };
        core.shared.polled.store(birth.published(slot), Ordering::Relaxed);
        Next::Poll(core.key(slot), body, core.tasks.polls_made() & core.untimed == 0)
    });
    let (key, body, is_timed) = match next {
        Some(Next::Poll(key, body, is_timed)) => (key, body, is_timed),
        Some(Next::Unsettled) => {
            settle_unusually(lent);
            return true;
        }
        Some(Next::Unwanted(body)) => {
            discard_output(body, None);
            return true;
        }
        Some(Next::Over) | None => return false,
    };
    // Not dropped: its drop does nothing.
    let waker = ManuallyDrop::new(TaskNumber::new(key).waker());
    let mut cx = Context::from_waker(&waker);
    if is_timed {
        observe::poll_begins(key.slot);
    }
    let Some(body) = body else {
        if let Some(main) = main.filter(|main| main.slot == key.slot) {
            let outcome = Outcome::of(main.future.as_mut().poll(&mut cx));
            if let Outcome::Finished = outcome {
                observe::poll_ended(key.slot, outcome);
                Core::with(|core| core.tasks.suspicion = 0);
                *last = 0; // No other batch follows.
            }
        }
        return true;
    };
    lent.is_finished = lent.body.insert(body).as_mut().poll(&mut cx).is_ready();
    true
}

/// Begins the next batch, if the phases that come before it would find nothing to do.
#[inline]
fn go_on(core: &mut Core, last: u64) -> bool {
    let has_phases =
        core.budget.overspent || core.timers.has_armed() || core.shared.has_mail() || core.observed;
    let goes_on = core.tasks.polls_made() < last && !has_phases;
    if goes_on {
        core.tasks.begin_batch(&mut core.shuffle);
    }
    goes_on
}

fn polled_last() -> Slot {
    Core::expect("a poll", |core| core.tasks.polled)
}

/// After a poll that was timed, or during which the task was aborted; after which the task may be stuck, or has finished unheard.
#[cold]
fn settle_unusually(lent: &mut Lent) {
    let slot = polled_last();
    let body = lent.body.take();
    if mem::take(&mut lent.is_finished) {
        Core::with(|core| core.tasks.suspicion = 0);
        observe::poll_ended(slot, Outcome::Finished);
        body.into_iter().for_each(|body| finish(slot, body));
        return;
    }
    observe::poll_ended(slot, Outcome::Pending);
    let aborted = Core::with(|core| {
        let was_aborted = core.tasks.suspicion & Tasks::ABORTED != 0;
        core.tasks.suspicion &= Tasks::UNKEPT | Tasks::BLOCKED;
        let task = core.tasks.slots.get_mut(slot).filter(|_| !was_aborted && body.is_some());
        let Some(task) = task else { return body };
        task.body = body;
        None
    });
    if let Some(body) = aborted.flatten() {
        cancel(slot, body);
    }
    if let Verdict::Panic(report) = stuck::look() {
        panic!("headwaiter: {report}");
    }
}

/// Drops the future and leaves an error in its place.
fn fail(slot: Slot, body: &mut Body, error: impl FnOnce(Option<Origin>) -> JoinError) {
    let origin = || Core::with(|core| core.tasks.origin(slot)).flatten();
    let error = error(origin());
    let was_asked_for = error.is_cancelled();
    let dropped = catch_unwind(AssertUnwindSafe(|| body.as_mut().fail(error)));
    let Err(payload) = dropped else { return };
    if was_asked_for {
        // To abort it was no failure, but this is one, and its joiner must be told.
        body.as_mut().fail(JoinError::panicked(origin(), payload));
    } else {
        // The first failure is what led to this one, so it is the one that the task's joiner gets.
        log_panic("the drop of a task's future", payload);
    }
}

fn cancel(slot: Slot, mut body: Body) {
    fail(slot, &mut body, JoinError::cancelled);
    observe::report(|| Step::Abort { task: Id(slot) });
    finish(slot, body);
}

/// Leaves the output to the joiner, or drops it with the task if there is none.
fn finish(slot: Slot, body: Body) {
    let mut body = Some(body);
    let ended = Core::with(|core| {
        let task = core.tasks.slots.get_mut(slot)?;
        let (joiner, log) = (task.take_joiner(), task.take_failure_log(slot));
        core.tasks.end(slot, &mut body);
        Some((joiner, log))
    });
    let (joiner, log) = ended.flatten().unwrap_or_default();
    if let Some(joiner) = joiner {
        joiner.wake();
    }
    if let Some(body) = body {
        discard_output(body, log);
    }
}

/// The task has ended detached: its output is dropped, and its failure logged. An `Err` is a failure only if there is a `log` for it,
/// which alone knows the output's type.
fn discard_output(body: Body, log: Option<(FailureLog, Origin)>) {
    if let Some((log, origin)) = log {
        return log.write(body, &origin);
    }
    if let Some(error) = body.error() {
        error.log_unseen();
    }
    discard(body);
}

/// Drops a task's future, inside this call unless the task is running right now.
pub(crate) fn abort(slot: Slot) {
    let body = Core::with(|core| {
        let task =
            core.tasks.slots.get_mut(slot).filter(|task| !task.flags.has(Flags::FINISHED))?;
        let body = task.body.take();
        task.flags.set(Flags::ABORTED);
        if body.is_none() && slot == core.tasks.polled {
            core.tasks.suspicion |= Tasks::ABORTED;
        }
        body
    });
    if let Some(body) = body.flatten() {
        cancel(slot, body);
    }
}

/// As [`abort`], from wherever this is: inside this call at home, else when the loop takes the message.
pub(crate) fn abort_from_anywhere(key: Key) {
    if Core::is_home_of(key) {
        abort(key.slot);
    } else if let Some(shared) = remote::find(key.home) {
        shared.send(Message::Abort(key.slot));
    }
}

/// A task that cannot do what it was spawned for.
pub(crate) fn give_up(slot: Slot, error: impl FnOnce(Option<Origin>) -> JoinError) {
    let body = Core::with(|core| core.tasks.slots.get_mut(slot)?.body.take());
    if let Some(mut body) = body.flatten() {
        fail(slot, &mut body, error);
        finish(slot, body);
    }
}

/// The task's [`JoinHandle`](super::JoinHandle) was dropped, anywhere.
pub(crate) fn detach(key: Key) {
    let gone = Core::if_at_home(key, |core| {
        core.reconsider(key.slot);
        core.tasks.detach(key.slot)
    });
    match gone {
        None => remote::release(key.home, Release::Join(key)),
        Some(None) => {}
        Some(Some(Left::Joiner(foreign))) => discard(foreign),
        Some(Some(Left::Task(mut task))) => {
            let log = task.take_failure_log(key.slot);
            if let Some(body) = task.body {
                discard_output(body, log);
            }
            discard(task.rare);
        }
    }
}

/// Drops every task of a loop that is being dropped. What their drops spawn is dropped at once.
pub(crate) fn drop_all() {
    while let Some(task) = Core::with(|core| core.tasks.slots.pop()).flatten() {
        discard(task.body);
        discard(task.rare);
    }
}
