//! [`Registered`]: a source and its slot. Every socket contains one. [`poll_io`](Registered::poll_io) is
//! how all operations try their system call and wait. Called by the futures of `io` and `net`.

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll};

use log::Level;
use mio::Interest;
use mio::event::Source as Io;

use super::register::{is_closing, register};
use super::wait::Wait;
use crate::door::{Door, away_from_home, release};
use crate::state::{
    ALL, Direction, Key, OneLine, Ready, Release, SOURCE, Shared, Source, TaskNumber, Waiter,
    contain, is_priority, say, shared,
};

#[cfg(target_os = "linux")]
const ALL_BUT_ROOM: Interest = Interest::READABLE.add(Interest::PRIORITY);

/// A source that the poller watches, and the key of its slot. Its drop, on any thread, deregisters
/// the source, frees the slot and closes the descriptor, in this order.
pub(crate) struct Registered<S: Io> {
    io: S,
    pub(super) key: Key,
    /// The name of the source in log lines and messages, such as `TCP stream`.
    kind: &'static str,
}

impl<S: Io> Registered<S> {
    /// Registers `io`, which must be in non-blocking mode, for both directions. The source counts
    /// as `ready` until an operation would block, because trying first is cheaper than waiting
    /// first.
    #[track_caller]
    pub(crate) fn new(io: S, kind: &'static str, ready: Ready) -> io::Result<Self> {
        Registered::try_new(io, kind, ready).map_err(|(error, _)| error)
    }

    /// Like [`new`](Self::new), but returns `io` with the error.
    #[track_caller]
    pub(crate) fn try_new(io: S, kind: &'static str, ready: Ready) -> Result<Self, (io::Error, S)> {
        Registered::try_new_for(io, kind, ALL, ready)
    }

    /// Like [`try_new`](Self::try_new), for the events of `interest` only.
    #[track_caller]
    pub(crate) fn try_new_for(
        mut io: S,
        kind: &'static str,
        interest: Interest,
        ready: Ready,
    ) -> Result<Self, (io::Error, S)> {
        match register(kind, &mut io, interest, Source::new(kind, ready)) {
            Ok(key) => Ok(Registered { io, key, kind }),
            Err(error) => Err((error, io)),
        }
    }

    /// Like [`new`](Self::new), for a source that Linux reports as writable again and again
    /// although it always was: after each datagram sent, and each time the peer of a Unix socket
    /// has read all data. The source is registered for writing only when a task first has to wait
    /// for room. It counts as ready for both directions.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn quiet(mut io: S, kind: &'static str) -> io::Result<Self>
    where
        S: std::os::fd::AsRawFd,
    {
        let mut source = Source::new(kind, Ready::BOTH);
        source.quiet = io.as_raw_fd();
        let key = register(kind, &mut io, ALL_BUT_ROOM, source)?;
        Ok(Registered { io, key, kind })
    }

    #[cfg(not(target_os = "linux"))]
    #[track_caller]
    pub(crate) fn quiet(io: S, kind: &'static str) -> io::Result<Self> {
        Registered::new(io, kind, Ready::BOTH)
    }

    #[inline]
    pub(crate) fn io(&self) -> &S {
        &self.io
    }

    #[cfg(unix)]
    pub(crate) fn io_mut(&mut self) -> &mut S {
        &mut self.io
    }

    /// Opens the door to the loop that watches the source. Panics if it does not run here.
    #[track_caller]
    pub(super) fn open(&self) -> Door {
        Door::at_home(self.key, self.kind)
    }

    /// Tries `op` while the source counts as ready. When `op` would block, stores the waker and
    /// returns `Pending`. `is_exhausted` returns whether a result proves that the next try would
    /// block, which saves that try.
    ///
    /// The door stays open around `op`, which saves a second lookup of the slot. So `op` must be a
    /// system call and nothing else.
    #[inline(always)] // So that `direction` is a constant in here.
    #[track_caller]
    pub(crate) fn poll_io<T>(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
        mut op: impl FnMut(&S) -> io::Result<T>,
        is_exhausted: impl Fn(&T) -> bool,
    ) -> Poll<io::Result<T>> {
        let key = self.key;
        let Some(mut door) = Door::of(key) else { away_from_home(self.kind) };
        let state = &mut *door;
        if !state.budget.allows() {
            drop(door);
            return wait.refuse(key, cx, direction);
        }
        let Some(source) = state.sources.get_mut(key.slot) else {
            return Poll::Ready(Err(is_closing()));
        };
        // Removes the waiter of the last poll. Its position does not matter, because one event
        // wakes all.
        wait.withdraw(source.waiters(direction), &mut state.outbox);
        let mut would_block = false;
        while source.ready.allows(direction) {
            let result = match op(&self.io) {
                Ok(value) => {
                    if is_exhausted(&value) {
                        source.ready.exhaust(direction);
                        state.counts.tries_saved += 1;
                    }
                    Ok(value)
                }
                Err(error) => match source.ready.after_error(direction, error) {
                    Some(error) => Err(error),
                    None => {
                        // Otherwise a signal interrupted the call, which is tried again.
                        would_block = !source.ready.allows(direction);
                        continue;
                    }
                },
            };
            state.budget.count();
            if state.outbox.is_active() {
                state.report_tried(key.slot, direction, true);
                drop(door);
            } else {
                door.shut();
            }
            return Poll::Ready(result);
        }
        let waited = if let Some(task) = TaskNumber::of(cx.waker()) {
            state.tasks.keep();
            let ticket = wait.take_ticket(key, direction, &mut state.last_ticket);
            let (place, since) = (wait.place, state.clock.turn_nanos());
            let polled = state.tasks.polled_number;
            let waiters = source.waiters(direction);
            if !waiters.set_first(ticket, task, place, since, polled) {
                waiters.add(ticket, Waiter { task, place, since }, None, &mut state.outbox);
                source.mark(Source::HAS_MORE, true);
            }
            // Nothing to report, and no room to ask for.
            if direction == Direction::Read && !state.outbox.is_active() {
                door.shut();
                return Poll::Pending;
            }
            wait.after_wait(door, key, direction, would_block)
        } else {
            drop(door);
            wait.wait_with_foreign(key, cx.waker(), direction, would_block)
        };
        match waited {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Waits until the source counts as ready, without trying anything.
    #[track_caller]
    pub(crate) fn poll_ready(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        self.poll_io(wait, cx, direction, |_| Ok(()), |()| false)
    }

    /// Like [`poll_io`](Self::poll_io), for `poll_` methods that users call in their own futures.
    /// These keep no `Wait` between calls, so the source keeps the waiter.
    #[track_caller]
    pub(crate) fn poll_latest<T>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        op: impl FnMut(&S) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let mut wait = Wait::at(Location::caller());
        let polled = self.poll_io(&mut wait, cx, direction, op, |_| false);
        self.leave_behind(wait);
        polled
    }

    /// Keeps the waiter in the source when the operation ends, in place of the last one that was
    /// kept.
    pub(crate) fn leave_behind(&self, mut wait: Wait) {
        let Some(ticket) = wait.ticket.take() else { return };
        let mut door = self.open();
        let state = &mut *door;
        let polled = state.polled().map(|number| (number, state.tasks.polls(state.tasks.polled)));
        if let Some(source) = state.sources.get_mut(self.key.slot) {
            let waiters = source.waiters(ticket.direction);
            waiters.keep_latest(ticket.number, polled, &mut state.outbox);
        }
    }

    /// Returns for which directions of `interest` the source counts as ready.
    pub(crate) fn readiness(&self, interest: Interest) -> Ready {
        let door = self.open();
        let source = door.sources.get(self.key.slot);
        source.map_or(Ready::NONE, |source| source.ready).of_interest(interest)
    }

    /// Takes the result of an operation that is user code. Such an operation cannot run inside
    /// [`poll_io`](Self::poll_io), so the caller runs it after [`poll_ready`](Self::poll_ready),
    /// with nothing borrowed. Returns `None` if the caller must try again after the next
    /// `poll_ready`.
    pub(crate) fn note_result<T>(
        &self,
        interest: Interest,
        result: io::Result<T>,
    ) -> Option<io::Result<T>> {
        self.note_would_block(interest, &result);
        let kind = result.as_ref().err().map(io::Error::kind);
        let tries_again =
            matches!(kind, Some(io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted));
        if tries_again { None } else { Some(result) }
    }

    /// Records that the source is not ready if an operation would have blocked. No event can have
    /// come in between, because only the turn dispatches events.
    fn note_would_block<T>(&self, interest: Interest, result: &io::Result<T>) {
        if !matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            return;
        }
        let mut door = self.open();
        let Some(source) = door.sources.get_mut(self.key.slot) else { return };
        for direction in [Direction::Read, Direction::Write] {
            if direction.is_in(interest) {
                source.ready.disprove(direction);
            }
        }
        if is_priority(interest) {
            source.ready.settle_exceptional();
        }
    }

    /// Tries an operation that is user code once, without waiting and with nothing borrowed.
    #[track_caller]
    pub(crate) fn try_own<T>(
        &self,
        interest: Interest,
        op: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        drop(self.open()); // Panics in another loop, before anything is tried.
        let result = op();
        self.note_would_block(interest, &result);
        result
    }

    /// Tries `op`, a system call and nothing else, once and without waiting. Records the readiness
    /// that the result implies, as [`poll_io`](Self::poll_io) does.
    #[track_caller]
    pub(crate) fn try_io<T>(
        &self,
        direction: Direction,
        op: impl FnOnce(&S) -> io::Result<T>,
        is_exhausted: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        let mut door = self.open();
        let result = op(&self.io);
        let Some(source) = door.sources.get_mut(self.key.slot) else { return result };
        match &result {
            Ok(value) if is_exhausted(value) => source.ready.exhaust(direction),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                source.ready.disprove(direction);
            }
            _ => {}
        }
        result
    }

    /// Whether this process registered the source: see [`shared::is_of_this_process`].
    pub(crate) fn is_of_this_process(&self) -> bool {
        shared::is_of_this_process(self.key.home)
    }

    /// Whether the loop that watches it runs on this thread.
    #[cfg(feature = "quinn")]
    pub(crate) fn is_at_home(&self) -> bool {
        Door::of(self.key).is_some()
    }

    /// Removes the source from the poller, on any thread. The slot stays.
    pub(super) fn deregister(&mut self) {
        // The poller of a forked child belongs to its parent, which still waits for the source.
        if !self.is_of_this_process() {
            return;
        }
        let shared = Door::of(self.key).map(|door| Arc::clone(&door.shared));
        // Without a loop there is no poller either.
        let shared = shared.or_else(|| shared::find(self.key.home));
        let mut deregister = |shared: Arc<Shared>| shared.registry.deregister(&mut self.io);
        let result =
            shared.and_then(|shared| contain("deregistering a source", || deregister(shared)));
        if let Some(Err(error)) = result {
            let (kind, number) = (self.kind, self.key.slot.generation());
            say(
                Level::Debug,
                SOURCE,
                format_args!("{kind} {number}: deregistering failed: {}", OneLine(error)),
            );
        }
    }
}

impl<S: Io> Drop for Registered<S> {
    /// The descriptor is closed when the fields are dropped, after this.
    fn drop(&mut self) {
        self.deregister();
        release(self.key, Release::Source(self.key.slot));
    }
}

impl<S: Io + fmt::Debug> fmt::Debug for Registered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
