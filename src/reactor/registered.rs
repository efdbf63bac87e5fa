//! [`Registered`], a source with its slot, of which every socket is made, and the one way in which all
//! operations try and wait: [`poll_io`](Registered::poll_io). Called by the futures of `io` and `net`.

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use log::Level;
use mio::Interest;
use mio::event::Source as Io;

use super::register::{is_closing, register};
use super::wait::Wait;
use crate::door::{self, Door, away_from_home, release};
use crate::state::{
    ALL, Direction, Key, OneLine, Ready, Release, SOURCE, Shared, Source, SourceId, Sources, State,
    Step, TaskNumber, Waiter, Wake, contain, say, shared,
};

#[cfg(target_os = "linux")]
const ALL_BUT_ROOM: Interest = Interest::READABLE.add(Interest::PRIORITY);

/// A source that the poller watches, and its slot: what every socket of this crate is made of. Dropped on
/// any thread, it is deregistered, its slot given back, and the descriptor closed, in this order.
pub(crate) struct Registered<S: Io> {
    io: S,
    pub(super) key: Key,
    /// What it is called in log lines and messages.
    kind: &'static str,
}

impl<S: Io> Registered<S> {
    /// Watches `io`, which must be in non-blocking mode, for both directions. It is taken to be `ready`
    /// until an operation would block: trying first is cheaper than waiting first.
    #[track_caller]
    pub(crate) fn new(io: S, kind: &'static str, ready: Ready) -> io::Result<Self> {
        Registered::try_new(io, kind, ready).map_err(|(error, _)| error)
    }

    /// Like [`new`](Self::new), but gives back what the kernel does not watch.
    #[track_caller]
    pub(crate) fn try_new(
        mut io: S,
        kind: &'static str,
        ready: Ready,
    ) -> Result<Self, (io::Error, S)> {
        match register(kind, &mut io, ALL, Source::new(kind, ready)) {
            Ok(key) => Ok(Registered { io, key, kind }),
            Err(error) => Err((error, io)),
        }
    }

    /// Like [`new`](Self::new), for a source of which Linux reports room to write over and over though
    /// there always was some: with each datagram that is sent, and whenever the peer of a Unix socket has
    /// read everything. Room is asked for only when a task first has to wait for it. Taken to be ready for
    /// both directions.
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

    /// Tries `op` while the source is taken to be ready. Once it would block, leaves the waker and returns
    /// `Pending`. `is_exhausted` says of a result that the next try would block, which saves that try.
    ///
    /// The door is open around `op`, which saves a second lookup of the slot: so `op` must be a system call
    /// and nothing else.
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
        let Some(mut door) = Door::of(self.key) else { away_from_home(self.kind) };
        let state = &mut *door;
        if !state.budget.allows() {
            drop(door);
            return self.refuse(wait, cx, direction);
        }
        let Sources { slots, last_ticket } = &mut state.sources;
        let Some(source) = slots.get_mut(self.key.slot) else {
            return Poll::Ready(Err(is_closing()));
        };
        // Of the last poll. If the operation must wait again, it goes to the end of the waiters: one event
        // wakes all of them, so there is no order to keep.
        if let Some(ticket) = wait.ticket {
            source.waiters(direction).remove(ticket.number, &mut state.outbox);
            wait.ticket = None;
        }
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
                        would_block = !source.ready.allows(direction);
                        continue;
                    }
                },
            };
            state.budget.count();
            if state.outbox.is_active() {
                self.report_tried(state, direction, true);
                drop(door);
            } else {
                door.shut();
            }
            return Poll::Ready(result);
        }
        let Some(task) = TaskNumber::of(cx.waker()) else {
            drop(door);
            return self.wait_with_foreign(wait, cx.waker(), direction, would_block);
        };
        state.tasks.keep();
        let ticket = wait.take_ticket(self.key, direction, last_ticket);
        let (place, since) = (wait.place, state.clock.turn_nanos());
        let polled = state.tasks.polled_number;
        if !source.waiters(direction).set_first(ticket, task, place, since, polled) {
            source.mark(Source::HAS_MORE, true);
            let waiter = Waiter { task, place, since };
            source.waiters(direction).add(ticket, waiter, None, &mut state.outbox);
        }
        if state.outbox.is_active() {
            self.report_wait(state, direction, would_block, wait.place);
        } else if direction == Direction::Read {
            door.shut();
            return Poll::Pending;
        }
        self.wait_for_room(&mut door, direction)
    }

    /// Where the waiter waits for room to write, a quiet source becomes like all others.
    #[inline(always)]
    fn wait_for_room<T>(&self, state: &mut State, direction: Direction) -> Poll<io::Result<T>> {
        match state.sources.slots.get_mut(self.key.slot) {
            Some(source) if direction == Direction::Write => {
                source.ask_for_room(self.key.slot, &state.shared.registry)
            }
            _ => Poll::Pending,
        }
    }

    /// The waker is not one of ours.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn wait_with_foreign<T>(
        &self,
        wait: &mut Wait,
        waker: &Waker,
        direction: Direction,
        would_block: bool,
    ) -> Poll<io::Result<T>> {
        self.leave_waker(wait, waker, direction);
        let mut door = Door::at_home(self.key, self.kind);
        self.report_wait(&mut door, direction, would_block, wait.place);
        self.wait_for_room(&mut door, direction)
    }

    /// The task has spent its budget. It takes its place among the waiters, so that a task that comes later
    /// does not get ahead of it, and is woken at once to try: no event need come for a source that is ready.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn refuse<T>(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<T>> {
        // An operation that waits already keeps its place.
        if wait.ticket.is_none() {
            self.leave_waker(wait, cx.waker(), direction);
        }
        door::yield_to_others(cx)
    }

    /// Leaves any waker. One of other code is cloned with the door closed, because that runs its code. No
    /// event can come in between: events are dispatched by the turn.
    #[track_caller]
    fn leave_waker(&self, wait: &mut Wait, waker: &Waker, direction: Direction) {
        let wake = Wake::of(waker);
        let mut door = Door::at_home(self.key, self.kind);
        let state = &mut *door;
        let Sources { slots, last_ticket } = &mut state.sources;
        let Some(source) = slots.get_mut(self.key.slot) else {
            return state.outbox.drop_wake(Some(wake));
        };
        let ticket = wait.take_ticket(self.key, direction, last_ticket);
        let (task, foreign) = match wake {
            Wake::Task(task) => (task, None),
            Wake::Foreign(waker) => (TaskNumber::NONE, Some(waker)),
        };
        let (place, since) = (wait.place, state.clock.turn_nanos());
        let polled = state.tasks.polled_number;
        let waiters = source.waiters(direction);
        if foreign.is_some() || !waiters.set_first(ticket, task, place, since, polled) {
            waiters.add(ticket, Waiter { task, place, since }, foreign, &mut state.outbox);
            source.mark(Source::HAS_MORE, true);
        }
    }

    #[cold]
    #[inline(never)]
    fn report_tried(&self, state: &mut State, direction: Direction, done: bool) {
        let (source, kind) = (SourceId(self.key.slot), self.kind);
        state.outbox.report(|| Step::Tried { source, kind, direction, done });
    }

    #[cold]
    #[inline(never)]
    fn report_wait(
        &self,
        state: &mut State,
        direction: Direction,
        would_block: bool,
        place: Option<&'static Location<'static>>,
    ) {
        if would_block {
            self.report_tried(state, direction, false);
        }
        let (source, kind) = (SourceId(self.key.slot), self.kind);
        state.outbox.report(|| Step::AwaitSource { source, kind, direction, place });
    }

    /// Waits until the source is taken to be ready, without trying anything.
    #[track_caller]
    pub(crate) fn poll_ready(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        self.poll_io(wait, cx, direction, |_| Ok(()), |()| false)
    }

    /// Like [`poll_io`](Self::poll_io), for the `poll_` methods of users' own futures, which keep nothing
    /// between calls: its waiter stays.
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

    /// Keeps the waiter of an operation without the operation, in place of the one that was kept before.
    pub(crate) fn leave_behind(&self, mut wait: Wait) {
        let Some(ticket) = wait.ticket.take() else { return };
        let mut door = Door::at_home(self.key, self.kind);
        let state = &mut *door;
        let polled = state.polled().map(|number| (number, state.tasks.polls(state.tasks.polled)));
        if let Some(source) = state.sources.slots.get_mut(self.key.slot) {
            let waiters = source.waiters(ticket.direction);
            waiters.keep_latest(ticket.number, polled, &mut state.outbox);
        }
    }

    /// What the source is taken to be ready for, of what `interest` asks.
    pub(crate) fn readiness(&self, interest: Interest) -> Ready {
        let door = Door::at_home(self.key, self.kind);
        let source = door.sources.slots.get(self.key.slot);
        source.map_or(Ready::NONE, |source| source.ready).of_interest(interest)
    }

    /// Takes the result of an operation that is user code and so cannot be given to
    /// [`poll_io`](Self::poll_io): it is called after [`poll_ready`](Self::poll_ready), with nothing
    /// borrowed. `None`: it is to be tried again, after the next `poll_ready`.
    pub(crate) fn settle<T>(
        &self,
        interest: Interest,
        result: io::Result<T>,
    ) -> Option<io::Result<T>> {
        self.note_would_block(interest, &result);
        match &result {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                None
            }
            _ => Some(result),
        }
    }

    /// If an operation that was tried with nothing borrowed would have blocked, its source is not ready. No
    /// event can have come since: events are dispatched by the turn, not while a task is polled.
    fn note_would_block<T>(&self, interest: Interest, result: &io::Result<T>) {
        if !matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            return;
        }
        let mut door = Door::at_home(self.key, self.kind);
        let Some(source) = door.sources.slots.get_mut(self.key.slot) else { return };
        for direction in [Direction::Read, Direction::Write] {
            if direction.is_in(interest) {
                source.ready.disprove(direction);
            }
        }
    }

    /// Tries an operation that is user code once, without waiting and with nothing borrowed.
    #[track_caller]
    pub(crate) fn try_own<T>(
        &self,
        interest: Interest,
        op: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        drop(Door::at_home(self.key, self.kind)); // Panics elsewhere, before anything is tried.
        let result = op();
        self.note_would_block(interest, &result);
        result
    }

    /// Tries `op`, a system call and nothing else, once and without waiting. What it says of the readiness
    /// is noted as in [`poll_io`](Self::poll_io).
    #[track_caller]
    pub(crate) fn try_io<T>(
        &self,
        direction: Direction,
        op: impl FnOnce(&S) -> io::Result<T>,
        is_exhausted: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        let mut door = Door::at_home(self.key, self.kind);
        let result = op(&self.io);
        let Some(source) = door.sources.slots.get_mut(self.key.slot) else { return result };
        match &result {
            Ok(value) if is_exhausted(value) => source.ready.exhaust(direction),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                source.ready.disprove(direction);
            }
            _ => {}
        }
        result
    }

    /// Whether it was registered by this process: see [`shared::is_of_this_process`].
    pub(crate) fn is_of_this_process(&self) -> bool {
        shared::is_of_this_process(self.key.home)
    }

    /// Whether the loop that watches it runs on this thread.
    #[cfg(feature = "quinn")]
    pub(crate) fn is_at_home(&self) -> bool {
        door::is_home_of(self.key)
    }

    /// Removes it from the poller, on any thread. The slot stays.
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
