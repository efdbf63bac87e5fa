//! The transitions of tasks and sources: an event makes a source ready, a task is woken, a task
//! ends. Called by the reactor, the timers, wakers and the run phase. `task/mod.rs` draws the life
//! of a task.

use super::State;
use super::failure::{FailureLog, JoinError, Origin};
use super::number::{TaskNumber, Wake};
use super::outbox::Effect;
use super::ready::{Direction, Ready};
use mio::Token;

use super::slots::Slot;
use super::sources::Source;
use super::step::{Id, Step};
use super::task::{Body, Flags};
use super::tasks::Tasks;

impl Tasks {
    /// Puts a task into the ready queue. Returns `None` if the task is queued
    /// already, has finished or is gone.
    #[inline]
    pub(crate) fn wake(&mut self, task: TaskNumber) -> Option<Slot> {
        let (slot, task) = self.find_mut(task)?;
        if task.flags.has_any(Flags::QUEUED.or(Flags::FINISHED)) {
            return None;
        }
        task.flags.set(Flags::QUEUED);
        self.ready.push(slot);
        Some(slot)
    }
}

impl State {
    /// Wakes the task of this loop that a waker names, and reports it.
    #[inline(always)]
    pub(crate) fn wake_task(&mut self, task: TaskNumber) {
        if let Some(task) = self.tasks.wake(task) {
            self.outbox.report(|| Step::Wake { task: Id(task) });
        }
    }

    /// Wakes a task of this loop immediately. Posts any other wake, because that runs foreign code.
    pub(crate) fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Task(number) if number.is_of(self.id) => self.wake_task(number),
            wake => self.outbox.post(Effect::Wake(wake)),
        }
    }

    /// Records that a source is ready, wakes its waiters and posts the call of its callback.
    /// Returns `false` if there is no source with this token.
    ///
    /// Without `again`, it wakes only the waiters of directions that were not ready before. For
    /// events of the kernel that is enough: an operation waits in a ready direction only if it was
    /// refused for its budget, and then its task is woken already.
    #[inline(always)]
    pub(crate) fn source_ready(&mut self, token: Token, ready: Ready, again: bool) -> bool {
        let Some((slot, source)) = self.sources.of_token(token) else {
            return false;
        };
        let news = source.ready.learn(ready);
        if source.is(Source::HAS_MORE) || self.outbox.is_observed() {
            self.source_ready_unusual(slot, ready);
            return true;
        }
        let woken = if again { ready } else { news };
        // `TaskNumber::NONE` wakes nothing: no slot has its index.
        if woken.is_readable() {
            self.tasks.wake(source.readers.take_first());
        }
        if woken.is_writable() {
            self.tasks.wake(source.writers.take_first());
        }
        true
    }

    /// As [`source_ready`](Self::source_ready), for a source with a callback or with several
    /// waiters, or while an observer wants steps.
    #[cold]
    #[inline(never)]
    fn source_ready_unusual(&mut self, slot: Slot, ready: Ready) {
        let Some(source) = self.sources.get_mut(slot) else { return };
        let mut woken = Vec::new();
        for direction in [Direction::Read, Direction::Write] {
            if ready.wakes(direction) {
                source.waiters(direction).take_all(&mut woken);
            }
        }
        let has_waiters = !source.readers.is_empty() || !source.writers.is_empty();
        source.mark(Source::HAS_MORE, source.is(Source::HAS_CALLBACK) || has_waiters);
        let (kind, callback) = (source.kind, source.callback.take());
        if self.outbox.is_observed() {
            let id = |wake: &Wake| self.slot_of(wake.task()?).map(Id);
            let ids: Vec<_> = woken.iter().filter_map(id).collect();
            let (foreign, callback) = (woken.len() - ids.len(), callback.is_some());
            let source = slot;
            self.outbox.post(Effect::ReportReady {
                source,
                kind,
                ready,
                woken: ids,
                foreign,
                callback,
            });
        }
        for wake in woken {
            self.wake(wake);
        }
        if let Some(callback) = callback {
            self.outbox.post(Effect::Call(slot, callback, ready));
        }
    }
}

/// How a task ends.
impl State {
    /// Ends a task whose output or error is in `body`. Keeps the output for the `JoinHandle` and
    /// wakes the joiner. Removes a detached task, and returns `true` if its output is left in
    /// `body`: the caller drops it with [`drop_output`](crate::door::drop_output) when the borrow
    /// has ended.
    #[inline(always)]
    pub(crate) fn end_task(&mut self, slot: Slot, body: &mut Option<Body>) -> bool {
        let Some(task) = self.tasks.slots.get_mut(slot) else { return true };
        self.tasks.never_waited += u64::from(task.flags.polls() == 1);
        if task.rare.is_some() {
            return self.end_rare_task(slot, body);
        }
        if task.flags.has_any(Flags::DETACHED) {
            // The slot owns nothing any more: `forget` saves the code that would drop it.
            std::mem::forget(self.tasks.slots.remove(slot));
            return true;
        }
        task.give_back(body.take());
        task.flags.clear(Flags::QUEUED);
        task.flags.set(Flags::FINISHED);
        let joiner = std::mem::replace(&mut task.joiner, TaskNumber::NONE);
        if joiner.is_some() {
            self.wake(Wake::Task(joiner));
        }
        false
    }

    /// As [`end_task`](Self::end_task), for a task with a name, a foreign joiner or a failure log.
    #[cold]
    #[inline(never)]
    fn end_rare_task(&mut self, slot: Slot, body: &mut Option<Body>) -> bool {
        let Some(task) = self.tasks.slots.get_mut(slot) else { return true };
        let (joiner, log) = (task.take_joiner(), task.take_failure_log(slot));
        if task.flags.has_any(Flags::DETACHED) {
            self.tasks.slots.remove(slot);
            if log.is_some() {
                self.post_output(body.take(), log);
            }
        } else {
            task.give_back(body.take());
            task.flags.clear(Flags::QUEUED);
            task.flags.set(Flags::FINISHED);
        }
        if let Some(joiner) = joiner {
            self.wake(joiner);
        }
        body.is_some()
    }

    /// Posts the drop of an output, with the log of its failure.
    fn post_output(&mut self, body: Option<Body>, log: Option<(FailureLog, Origin)>) {
        if let Some(body) = body {
            self.outbox.post(Effect::DropOutput(body, log));
        }
    }

    /// Aborts a task. Its future is dropped after the borrow ends or, if the task is being polled,
    /// after that poll.
    pub(crate) fn abort(&mut self, slot: Slot) {
        let task = self.tasks.slots.get_mut(slot);
        let Some(task) = task.filter(|task| !task.flags.has_any(Flags::FINISHED)) else { return };
        task.flags.set(Flags::ABORTED);
        match task.body.take() {
            Some(body) => self.cancel(slot, body),
            None if slot == self.tasks.polled => self.tasks.to_check |= Tasks::ABORTED,
            None => {}
        }
    }

    /// Ends a task as cancelled. `body` was taken out of its slot.
    pub(crate) fn cancel(&mut self, slot: Slot, body: Body) {
        let error = JoinError::cancelled(self.tasks.origin(slot));
        self.outbox.post(Effect::Fail(slot, body, error));
    }

    /// Ends a task with an error, unless it is being polled or has ended.
    pub(crate) fn fail(&mut self, slot: Slot, error: impl FnOnce(Option<Origin>) -> JoinError) {
        let body = self.tasks.slots.get_mut(slot).and_then(|task| task.body.take());
        if let Some(body) = body {
            let error = error(self.tasks.origin(slot));
            self.outbox.post(Effect::Fail(slot, body, error));
        }
    }

    /// Detaches a task, because its `JoinHandle` was dropped. Removes it if it has finished.
    pub(crate) fn detach(&mut self, slot: Slot) {
        self.reconsider(slot);
        let Some(task) = self.tasks.slots.get_mut(slot) else { return };
        task.flags.set(Flags::DETACHED);
        if task.flags.has_any(Flags::FINISHED) {
            let log = task.take_failure_log(slot);
            let body = task.body.take();
            self.tasks.slots.remove(slot);
            self.post_output(body, log);
        } else {
            let joiner = task.take_joiner();
            self.outbox.drop_wake(joiner);
        }
    }
}
