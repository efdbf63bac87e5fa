//! Waiting for what is exceptional: urgent data and errors, which is `Interest::PRIORITY`. Called by
//! `ready` and `async_io` of all sources.
//!
//! Such a wait is one of the readers of its source, so that it needs no list of its own. Ordinary
//! data wakes it too, and then it waits again. It never touches the readiness of reads.

use std::io;
use std::task::{Context, Poll};

use mio::event::Source as Io;

use super::register::is_closing;
use super::wait::Wait;
use super::{Direction, Registered};
use crate::state::Source;

impl<S: Io> Registered<S> {
    /// Waits until the kernel has reported something exceptional that was not
    /// [settled](crate::state::Ready::settle_exceptional) yet.
    #[track_caller]
    pub(crate) fn poll_priority(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut door = self.open();
        let state = &mut *door;
        if !state.budget.allows() {
            drop(door);
            return wait.refuse(self.key, cx, Direction::Read);
        }
        let Some(source) = state.sources.get_mut(self.key.slot) else {
            return Poll::Ready(Err(is_closing()));
        };
        // Removes the waiter of the last poll, as `poll_io` does.
        wait.withdraw(source.waiters(Direction::Read), &mut state.outbox);
        if source.ready.is_exceptional() {
            state.budget.count();
            return Poll::Ready(Ok(()));
        }
        // The usual dispatch of an event looks only for readable and writable sources. This makes
        // it look at the waiters one by one.
        source.mark(Source::HAS_MORE, true);
        state.tasks.keep();
        drop(door);
        wait.wait_with_foreign(self.key, cx.waker(), Direction::Read, false)?;
        Poll::Pending
    }
}
