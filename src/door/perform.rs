//! Performs the effects that were posted while the state was borrowed. Except for the polls of
//! tasks, all user code that the loop calls is called here, with nothing borrowed and with panics
//! contained.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use log::Level;

use super::{Door, report, tell::tell};
use crate::state::{
    Body, Callback, Effect, Id, JoinError, Next, OneLine, Ready, Release, SOURCE, Slot, SourceId,
    Step, contain, discard, drop_payload, is_of_this_process, log_panic, panic_message, say,
    token_of,
};

/// Performs the effects in the outbox. They are taken out first: user code that is called here
/// opens doors of its own, and each of these performs what was posted inside it.
#[cold]
#[inline(never)]
pub(super) fn perform_all() {
    let Some(mut door) = Door::open() else { return };
    if let Some(only) = door.outbox.take_only() {
        door.shut();
        return perform(only);
    }
    let mut batch = door.outbox.take();
    door.shut(); // Nothing is posted now; a check would recurse.
    batch.drain(..).for_each(perform);
    if let Some(mut door) = Door::open() {
        door.outbox.recycle(batch);
    }
}

fn perform(effect: Effect) {
    match effect {
        Effect::Wake(wake) => wake.wake(),
        Effect::DropWaker(waker) => discard(waker),
        Effect::DropOutput(body, Some((log, origin))) => log.write(body, &origin),
        Effect::DropOutput(body, None) => drop_output(body),
        Effect::Fail(slot, body, error) => fail(slot, body, error),
        Effect::Call(slot, callback, ready) => call(slot, callback, ready),
        Effect::DropCallback(callback) => drop_callback(callback),
        Effect::Report(step) => tell(&step),
        Effect::ReportReady { source, kind, ready, woken, foreign, callback } => {
            let source = SourceId(source);
            tell(&Step::Ready { source, kind, ready, woken: &woken, foreign, callback });
        }
        Effect::ReportSpawn(slot, place) => {
            let name = Door::open().and_then(|door| door.tasks.name(slot).map(str::to_owned));
            tell(&Step::Spawn { task: Id(slot), name: name.as_deref(), place });
        }
        Effect::Log(level, target, line) => say(level, target, format_args!("{line}")),
    }
}

/// Drops the output of a task that ended detached, and logs its error. (If an `Err` in the output
/// is a failure too, a [`FailureLog`](crate::state::FailureLog) drops it instead, because only that
/// knows the type of the output.)
pub(crate) fn drop_output(body: Body) {
    if let Some(error) = body.error() {
        error.log_unseen();
    }
    discard(body);
}

/// Replaces the future of a task by an error, and ends the task.
fn fail(slot: Slot, mut body: Body, error: JoinError) {
    let (is_abort, is_panic) = (error.is_cancelled(), error.is_panic());
    let dropped = catch_unwind(AssertUnwindSafe(|| body.as_mut().fail(error)));
    match dropped {
        Ok(()) => {}
        // An abort is no failure, but this panic is, so the joiner gets the panic.
        Err(payload) if is_abort => {
            let origin = Door::open().and_then(|door| door.tasks.origin(slot));
            body.as_mut().fail(JoinError::panicked(origin, payload));
        }
        // The first failure may have caused this one, so the joiner gets the first.
        Err(payload) => log_panic("the drop of a task's future", payload),
    }
    if !is_panic {
        report(|| Step::Abort { task: Id(slot) });
    }
    let mut body = Some(body);
    if let Some(mut door) = Door::open() {
        door.end_task(slot, &mut body);
    }
    if let Some(body) = body {
        drop_output(body);
    }
}

/// Calls the callback of a source. It is out of its slot meanwhile, so the call may even remove the
/// source.
fn call(slot: Slot, mut callback: Box<dyn Callback>, ready: Ready) {
    let Some(mut door) = Door::open() else { return drop_callback(callback) };
    door.budget.lift(); // A callback cannot yield.
    let shared = Arc::clone(&door.shared);
    drop(door);
    let place = callback.place();
    let called = catch_unwind(AssertUnwindSafe(|| match callback.call(ready) {
        Next::Again => {
            callback.reregister(&shared.registry, token_of(slot)).map(|()| Next::Continue)
        }
        next => Ok(next),
    }));
    let next = match called {
        Ok(Ok(next)) => next,
        Ok(Err(error)) => {
            let error = OneLine(error);
            say(
                Level::Error,
                SOURCE,
                format_args!("the callback registered at {place} cannot be called again: {error}"),
            );
            Next::Remove
        }
        Err(payload) => {
            let message = OneLine(panic_message(&*payload));
            say(
                Level::Error,
                SOURCE,
                format_args!(
                    "the callback registered at {place} panicked and is removed: {message}"
                ),
            );
            drop_payload(payload);
            Next::Remove
        }
    };
    put_back(slot, callback);
    if next == Next::Remove
        && let Some(mut door) = Door::open()
    {
        door.release(Release::Source(slot));
    }
}

/// Puts a callback back into its slot, or drops it if the source was removed meanwhile.
pub(crate) fn put_back(slot: Slot, callback: Box<dyn Callback>) {
    let mut callback = Some(callback);
    if let Some(mut door) = Door::open()
        && let Some(source) = door.sources.get_mut(slot)
    {
        mem::swap(&mut source.callback, &mut callback);
    }
    if let Some(callback) = callback {
        drop_callback(callback);
    }
}

/// Deregisters the source of a callback that is out of its slot, and drops both.
fn drop_callback(mut callback: Box<dyn Callback>) {
    let shared = Door::open().map(|door| Arc::clone(&door.shared));
    // A forked child must not deregister it: the poller is its parent's.
    let shared = shared.filter(|shared| is_of_this_process(shared.id));
    let deregistered =
        shared.map(|shared| contain("a source", || callback.deregister(&shared.registry)));
    if let Some(Some(Err(error))) = deregistered {
        // For instance, the fd was closed elsewhere. There is nothing left to undo.
        let error = OneLine(error);
        say(
            Level::Debug,
            SOURCE,
            format_args!("deregistering a callback's source failed: {error}"),
        );
    }
    discard(callback);
}

impl JoinError {
    /// Logs and counts an error that no code will see. A cancelled task has not failed.
    pub(crate) fn log_unseen(&self) {
        if !self.is_cancelled() {
            if let Some(mut door) = Door::open() {
                door.counts.unseen += 1;
            }
            self.log_with(" (and nobody awaits the task)");
        }
    }
}
