//! The outbox: work that must run user code, and so must wait until the state is no longer
//! borrowed. Functions that change the state *post* it here as an [`Effect`]. The
//! [door](crate::door) through which the state was borrowed takes the effects out and performs them
//! when the borrow ends, in the order of posting. The outbox itself never runs user code.

use std::panic::Location;
use std::task::Waker;

use log::Level;

use super::failure::{FailureLog, JoinError, Origin};
use super::number::Wake;
use super::ready::Ready;
use super::slots::Slot;
use super::sources::Callback;
use super::step::{Id, Step};
use super::task::Body;

/// One piece of such work. `door/perform.rs` performs each of them.
pub(crate) enum Effect {
    /// Wake a foreign waker, or a task of another loop.
    Wake(Wake),
    /// Drop a foreign waker.
    DropWaker(Waker),
    /// Drop the output of a task that ended detached, and log its failure.
    DropOutput(Body, Option<(FailureLog, Origin)>),
    /// Drop the future of a task, which then ends with this error.
    Fail(Slot, Body, JoinError),
    /// Call the callback of a source.
    Call(Slot, Box<dyn Callback>, Ready),
    /// Deregister and drop a callback with its source.
    DropCallback(Box<dyn Callback>),
    /// Report a step to the observers.
    Report(Step<'static>),
    /// Report [`Step::Ready`], whose list of tasks a [`Step`] can only borrow.
    ReportReady {
        source: Slot,
        kind: &'static str,
        ready: Ready,
        woken: Vec<Id>,
        foreign: usize,
        callback: bool,
    },
    /// Report [`Step::Spawn`] with the name of the task.
    ReportSpawn(Slot, &'static Location<'static>),
    /// Write a log line that is due with or without observers.
    Log(Level, &'static str, String),
}

/// The effects that were posted, and whether an observer wants steps.
#[derive(Default)]
pub(crate) struct Outbox {
    effects: Vec<Effect>,
    /// [`POSTED`] and [`OBSERVED`]. They share one byte, so that the usual case, no effects and no
    /// observers, takes one comparison.
    state: u8,
}

/// Set while there are effects that were not taken.
const POSTED: u8 = 1;

/// Set while an observer wants steps, so that they are posted.
const OBSERVED: u8 = 2;

impl Outbox {
    #[inline(always)]
    pub(crate) fn is_posted(&self) -> bool {
        self.state & POSTED != 0
    }

    #[inline(always)]
    pub(crate) fn is_observed(&self) -> bool {
        self.state & OBSERVED != 0
    }

    /// Whether effects were posted or an observer wants steps.
    #[inline(always)]
    pub(crate) fn is_active(&self) -> bool {
        self.state != 0
    }

    /// Sets whether an observer wants steps. Returns the previous value.
    pub(crate) fn set_observed(&mut self, observed: bool) -> bool {
        let before = self.is_observed();
        self.state = (self.state & !OBSERVED) | if observed { OBSERVED } else { 0 };
        before
    }

    /// Posts an effect. Out of line, because most borrows post none.
    #[cold]
    #[inline(never)]
    pub(crate) fn post(&mut self, effect: Effect) {
        self.effects.push(effect);
        self.state |= POSTED;
    }

    /// Posts the drop of a waker, if that drop runs foreign code.
    pub(crate) fn drop_wake(&mut self, wake: Option<Wake>) {
        if let Some(Wake::Foreign(waker)) = wake {
            self.post(Effect::DropWaker(waker));
        }
    }

    /// Posts a step, if an observer wants steps. `step` is called only in that case.
    #[inline(always)]
    pub(crate) fn report(&mut self, step: impl FnOnce() -> Step<'static>) {
        if self.is_observed() {
            self.post(Effect::Report(step()));
        }
    }

    /// Takes the effect that was posted, if there is only one.
    pub(crate) fn take_only(&mut self) -> Option<Effect> {
        if self.effects.len() != 1 {
            return None;
        }
        self.state &= !POSTED;
        self.effects.pop()
    }

    /// Takes the effects that were posted.
    pub(crate) fn take(&mut self) -> Vec<Effect> {
        self.state &= !POSTED;
        std::mem::take(&mut self.effects)
    }

    /// Returns the memory of an emptied batch, so that the next post does not allocate.
    pub(crate) fn recycle(&mut self, emptied: Vec<Effect>) {
        // The memory of a larger batch is freed, because such batches are rare.
        const KEPT: usize = 64;
        if self.effects.capacity() == 0 && emptied.capacity() <= KEPT {
            self.effects = emptied;
        }
    }
}
