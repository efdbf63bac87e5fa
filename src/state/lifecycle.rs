//! What changes a task or a source from outside: how a task is woken, how it ends, and what an event does.
//! The two diagrams of a task's life are in `task/mod.rs`.

use super::State;
use super::failure::{JoinError, Origin};
use super::number::{TaskNumber, Wake};
use super::outbox::Effect;
use super::ready::{Direction, Ready};
use super::slots::{Layout, Slot};
use super::step::{Id, Step};
use super::task::{Body, Flags};
use super::tasks::Tasks;

impl State {
    /// Wakes a task of this loop, given the bits that its waker has.
    #[inline(always)]
    pub(crate) fn wake_task(&mut self, packed: Slot) {
        if let Some(task) = self.tasks.wake(packed) {
            self.outbox.report(|| Step::Wake { task: Id(task) });
        }
    }

    /// Wakes a task of this loop at once, and anything else when the state is no longer borrowed.
    pub(crate) fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Task(number) if number.is_of(self.id) => self.wake_task(number.packed()),
            wake => self.outbox.post(Effect::Wake(wake)),
        }
    }

    /// A source is ready: makes that stick, wakes what waits for it and calls its callback. `packed` is the
    /// slot as its token has it. `false`: there is no such source.
    ///
    /// With `again`, waiters are also woken where the source was taken to be ready before. An event of the
    /// kernel need not do that: nothing waits for what is ready already.
    #[inline(always)]
    pub(crate) fn source_ready(&mut self, packed: Slot, ready: Ready, again: bool) -> bool {
        let Some((slot, source)) = self.sources.slots.get_packed_mut(Layout::TOKEN, packed) else {
            return false;
        };
        let news = source.ready.learn(ready);
        if source.has_more || self.outbox.is_observed() {
            self.source_ready_unusual(slot, ready);
            return true;
        }
        let woken = if again { ready } else { news };
        // `TaskNumber::NONE` wakes nothing: no slot has its index.
        if woken.is_readable() {
            self.tasks.wake(source.readers.take_first().packed());
        }
        if woken.is_writable() {
            self.tasks.wake(source.writers.take_first().packed());
        }
        true
    }

    /// As [`source_ready`](Self::source_ready), for a source that has a callback or several waiters, or
    /// while somebody observes.
    #[cold]
    #[inline(never)]
    fn source_ready_unusual(&mut self, slot: Slot, ready: Ready) {
        let Some(source) = self.sources.slots.get_mut(slot) else { return };
        let mut woken = Vec::new();
        for direction in [Direction::Read, Direction::Write] {
            if ready.allows(direction) {
                source.waiters(direction).take_all(&mut woken);
            }
        }
        source.has_more =
            source.has_callback || !source.readers.is_empty() || !source.writers.is_empty();
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
    /// A task has ended, with its output or its error in `body`. Leaves the output for the holder of the
    /// `JoinHandle` and wakes the joiner. A detached task is removed, and its output dropped.
    #[inline(always)]
    pub(crate) fn end_task(&mut self, slot: Slot, body: &mut Option<Body>) {
        let Some(task) = self.tasks.slots.get_mut(slot) else {
            return self.drop_output(body.take(), None); // The loop is being dropped.
        };
        self.tasks.never_waited += u64::from(task.flags.polls() == 1);
        if task.rare.is_some() {
            return self.end_rare_task(slot, body);
        }
        if task.flags.has(Flags::DETACHED) {
            // Nothing is left in the slot. `forget` spares moving it out to drop it.
            std::mem::forget(self.tasks.slots.remove(slot));
            return self.drop_output(body.take(), None);
        }
        task.give_back(body.take());
        task.flags.clear(Flags::QUEUED);
        task.flags.set(Flags::FINISHED);
        let joiner = std::mem::replace(&mut task.joiner, TaskNumber::NONE);
        if joiner.is_some() {
            self.wake(Wake::Task(joiner));
        }
    }

    /// As [`end_task`](Self::end_task), for a task with a name, a foreign joiner or a failure log.
    #[cold]
    #[inline(never)]
    fn end_rare_task(&mut self, slot: Slot, body: &mut Option<Body>) {
        let Some(task) = self.tasks.slots.get_mut(slot) else { return };
        let (joiner, log) = (task.take_joiner(), task.take_failure_log(slot));
        if task.flags.has(Flags::DETACHED) {
            self.tasks.slots.remove(slot);
            self.drop_output(body.take(), log);
        } else {
            task.give_back(body.take());
            task.flags.clear(Flags::QUEUED);
            task.flags.set(Flags::FINISHED);
        }
        if let Some(joiner) = joiner {
            self.wake(joiner);
        }
    }

    #[inline(always)]
    fn drop_output(
        &mut self,
        body: Option<Body>,
        log: Option<(super::failure::FailureLog, Origin)>,
    ) {
        if let Some(body) = body {
            self.outbox.post(Effect::DropOutput(body, log));
        }
    }

    /// Aborts a task: its future is dropped as soon as the state is no longer borrowed; if the task is being
    /// polled, when the poll returns.
    pub(crate) fn abort(&mut self, slot: Slot) {
        let task = self.tasks.slots.get_mut(slot);
        let Some(task) = task.filter(|task| !task.flags.has(Flags::FINISHED)) else { return };
        task.flags.set(Flags::ABORTED);
        match task.body.take() {
            Some(body) => self.cancel(slot, body),
            None if slot == self.tasks.polled => self.tasks.suspicion |= Tasks::ABORTED,
            None => {}
        }
    }

    /// Ends a task whose body was taken out of its slot, as cancelled.
    pub(crate) fn cancel(&mut self, slot: Slot, body: Body) {
        let error = JoinError::cancelled(self.tasks.origin(slot));
        self.outbox.post(Effect::Fail(slot, body, error));
    }

    /// Ends a task with an error, if its body is in its slot.
    pub(crate) fn fail(&mut self, slot: Slot, error: impl FnOnce(Option<Origin>) -> JoinError) {
        let body = self.tasks.slots.get_mut(slot).and_then(|task| task.body.take());
        if let Some(body) = body {
            let error = error(self.tasks.origin(slot));
            self.outbox.post(Effect::Fail(slot, body, error));
        }
    }

    /// The `JoinHandle` of a task was dropped. A task that has finished is removed.
    pub(crate) fn detach(&mut self, slot: Slot) {
        self.reconsider(slot);
        let Some(task) = self.tasks.slots.get_mut(slot) else { return };
        task.flags.set(Flags::DETACHED);
        if task.flags.has(Flags::FINISHED) {
            let log = task.take_failure_log(slot);
            let body = task.body.take();
            self.tasks.slots.remove(slot);
            self.drop_output(body, log);
        } else {
            let joiner = task.take_joiner();
            self.outbox.drop_wake(joiner);
        }
    }
}
