//! A source with its slot, [`Registered`], of which every socket is made, and the one way in which all
//! operations try and wait: [`poll_io`](Registered::poll_io). Called by the futures of `io` and `net`.

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll};

use log::Level;
use mio::Interest;
use mio::event::Source;
#[cfg(unix)]
use mio::unix::SourceFd;

#[cfg(unix)]
use super::token_of;
use super::waiters::{self, NO_TICKET};
use super::{Direction, LOUD, Ready, Watched, is_closing, register};
use crate::core::{Core, contain, release};
use crate::observe::{self, OneLine, SourceId, Step};
use crate::remote::{self, Release, Shared};
use crate::slots::Key;
use crate::task::waker::{TaskNumber, Wake};

/// A source that the poller watches, and the slot it has with its loop: what every socket of this crate
/// is made of. Dropped on any thread, it is deregistered, its slot given back, and closed, in this order.
pub(crate) struct Registered<S: Source> {
    io: S,
    pub(super) key: Key,
    /// What it is called in log lines and messages.
    kind: &'static str,
}

impl<S: Source> Registered<S> {
    /// Watches `io`, which must be in non-blocking mode, for both directions. Until the kernel says
    /// "would block" it is taken to be `ready`: trying first is cheaper than waiting first.
    #[track_caller]
    pub(crate) fn new(io: S, kind: &'static str, ready: Ready) -> io::Result<Self> {
        Registered::try_new(io, kind, ready).map_err(|(error, _)| error)
    }

    /// As [`new`](Self::new), but gives back what the kernel does not watch.
    #[track_caller]
    pub(crate) fn try_new(
        mut io: S,
        kind: &'static str,
        ready: Ready,
    ) -> Result<Self, (io::Error, S)> {
        let watched = Watched::new(kind, ready);
        match register(kind, &mut io, ALL, watched) {
            Ok(key) => Ok(Registered { io, key, kind }),
            Err(error) => Err((error, io)),
        }
    }

    /// As [`new`](Self::new), for a source of which Linux reports room to write again and again though there always was
    /// some: with each datagram that is sent, and with all that the other end of a Unix socket reads. Room is
    /// asked for only when somebody must wait for it first, and from then on. Taken to be ready for both.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn quiet(mut io: S, kind: &'static str) -> io::Result<Self>
    where
        S: std::os::fd::AsRawFd,
    {
        let mut watched = Watched::new(kind, Ready::BOTH);
        watched.quiet = io.as_raw_fd();
        let key = register(kind, &mut io, ALL_BUT_ROOM, watched)?;
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

    /// Tries `op` while the source is taken to be ready; once the kernel says "would block", leaves the waker
    /// and returns `Pending`. `exhausted` says of a result that the next try would block, which saves
    /// that try.
    ///
    /// The reactor is borrowed around `op`, which saves looking the slot up again: so `op` must be a
    /// system call and nothing else.
    #[inline(always)] // So that `direction` is a constant in there.
    #[track_caller]
    pub(crate) fn poll_io<T>(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
        mut op: impl FnMut(&S) -> io::Result<T>,
        exhausted: impl Fn(&T) -> bool,
    ) -> Poll<io::Result<T>> {
        match self.attempt(wait, cx, direction, &mut op, &exhausted) {
            Ok(result) => Poll::Ready(result),
            Err(Unready::Waiting) if direction == Direction::Write => self.pend_for_room(),
            Err(Unready::Waiting) => Poll::Pending,
            Err(unready) => self.pend_unusually(unready, wait, cx, direction, op, exhausted),
        }
    }

    /// The hot path of every operation.
    #[inline(always)]
    #[track_caller]
    fn attempt<T>(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
        op: &mut impl FnMut(&S) -> io::Result<T>,
        exhausted: &impl Fn(&T) -> bool,
    ) -> Result<io::Result<T>, Unready<T>> {
        let io = &self.io;
        Core::at_home(self.key, self.kind, |core| {
            if !core.budget.may_go_on() {
                return Err(Unready::OutOfBudget);
            }
            let Some(watched) = core.reactor.sources.get_mut(self.key.slot) else {
                return Ok(Err(is_closing()));
            };
            if let Some(ticket) = wait.taken {
                if !watched.waiters(direction).forget_task(ticket.number) {
                    return Err(Unready::Crowded);
                }
                wait.taken = None;
            }
            let mut blocked = false;
            while watched.ready.allows(direction) {
                let result = op(io);
                match &result {
                    Ok(value) => {
                        if exhausted(value) {
                            watched.ready.exhaust(direction);
                            core.counts.tries_saved += 1;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        watched.ready.disprove(direction);
                        blocked = true;
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => {}
                }
                core.budget.completed();
                return if core.observed { Err(Unready::DoneAndTold(result)) } else { Ok(result) };
            }
            let ticket = wait.take_ticket(self.key, direction, &mut core.reactor.last_ticket);
            let Some(number) = TaskNumber::of(cx.waker()) else {
                return Err(Unready::Other(ticket));
            };
            let since = core.clock.turn_nanos();
            let origin = waiters::Origin { place: wait.place, since };
            core.tasks.keep();
            if !watched.waiters(direction).leave_task(ticket, number, core.id, origin) {
                return Err(Unready::Other(ticket));
            }
            Err(if core.observed { Unready::Told { blocked } } else { Unready::Waiting })
        })
    }

    /// What is left to do outside the borrow.
    #[cold]
    #[track_caller]
    fn pend_unusually<T>(
        &self,
        unready: Unready<T>,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
        mut op: impl FnMut(&S) -> io::Result<T>,
        exhausted: impl Fn(&T) -> bool,
    ) -> Poll<io::Result<T>> {
        let unready = match unready {
            Unready::Crowded => {
                wait.give_up();
                match self.attempt(wait, cx, direction, &mut op, &exhausted) {
                    Ok(result) => return Poll::Ready(result),
                    Err(unready) => unready,
                }
            }
            unready => unready,
        };
        match unready {
            Unready::OutOfBudget => {
                self.refuse(wait, cx, direction);
                return Poll::Pending;
            }
            Unready::Other(ticket) => self.leave_other(ticket, wait.place, cx, direction),
            Unready::DoneAndTold(result) => {
                self.report_tried(direction, true);
                return Poll::Ready(result);
            }
            Unready::Told { blocked: true } => self.report_tried(direction, false),
            Unready::Waiting | Unready::Told { blocked: false } => {}
            Unready::Crowded => unreachable!("the place was given up just now"),
        }
        let (source, kind, place) = (SourceId(self.key.slot), self.kind, wait.place);
        observe::report(|| Step::AwaitSource { source, kind, direction, place });
        match direction {
            Direction::Read => Poll::Pending,
            Direction::Write => self.pend_for_room(),
        }
    }

    #[cold]
    fn report_tried(&self, direction: Direction, done: bool) {
        let (source, kind) = (SourceId(self.key.slot), self.kind);
        observe::report(|| Step::Tried { source, kind, direction, done });
    }

    /// The task has spent its budget. It takes its place among the waiters, so that a task that comes later does not get ahead of it,
    /// and is woken at once to try: of a source that is ready no event need come.
    fn refuse(&self, wait: &mut Wait, cx: &mut Context<'_>, direction: Direction) {
        // One that waits already keeps the place that it has.
        if wait.taken.is_none() {
            let ticket = Core::at_home(self.key, self.kind, |core| {
                wait.take_ticket(self.key, direction, &mut core.reactor.last_ticket)
            });
            self.leave_other(ticket, wait.place, cx, direction);
        }
        cx.waker().wake_by_ref();
    }

    /// Leaves a waker that may be foreign, or not alone, cloned outside the borrow.
    fn leave_other(
        &self,
        ticket: u64,
        place: Option<&'static Location<'static>>,
        cx: &Context<'_>,
        direction: Direction,
    ) {
        let wake = Wake::of(cx.waker());
        let (unwanted, displaced) = Core::at_home(self.key, self.kind, |core| {
            let origin = waiters::Origin { place, since: core.clock.turn_nanos() };
            match core.reactor.sources.get_mut(self.key.slot) {
                Some(watched) => watched.waiters(direction).leave(ticket, wake, core.id, origin),
                None => (Some(wake), None),
            }
        });
        drop(unwanted);
        if let Some(displaced) = displaced {
            displaced.wake();
        }
    }

    /// The waker is left: now a quiet source becomes one like all others. The kernel reports anew what there is already:
    /// epoll_ctl(2), EPOLL_CTL_MOD.
    #[cfg(unix)]
    #[cold]
    fn pend_for_room<T>(&self) -> Poll<io::Result<T>> {
        let asked = Core::at_home(self.key, self.kind, |core| {
            let slot = self.key.slot;
            let Some(watched) = core.reactor.sources.get_mut(slot) else { return Ok(()) };
            if watched.quiet != LOUD {
                core.shared.registry.reregister(
                    &mut SourceFd(&watched.quiet),
                    token_of(slot),
                    ALL,
                )?;
                watched.quiet = LOUD;
            }
            Ok(())
        });
        match asked {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    #[cfg(not(unix))]
    fn pend_for_room<T>(&self) -> Poll<io::Result<T>> {
        Poll::Pending
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

    /// As [`poll_io`](Self::poll_io), for the `poll_` methods of users' own futures, which keep nothing between calls: its waiter stays.
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

    /// Lets the waiter of an operation stay, in place of the one that was left in this way before.
    pub(crate) fn leave_behind(&self, mut wait: Wait) {
        let Some(ticket) = wait.taken.take() else { return };
        let unwanted = Core::at_home(self.key, self.kind, |core| {
            let polled = core.polled().map(|number| (number, core.tasks.polls(core.tasks.polled)));
            let waiters = core.reactor.sources.get_mut(self.key.slot)?.waiters(ticket.direction);
            waiters.keep_latest(ticket.number, polled)
        });
        drop(unwanted);
    }

    /// What the source is taken to be ready for, of what `interest` asks.
    pub(crate) fn readiness(&self, interest: Interest) -> Ready {
        let ready = |core: &mut Core| {
            core.reactor.sources.get_mut(self.key.slot).map(|watched| watched.ready)
        };
        Core::at_home(self.key, self.kind, ready).unwrap_or(Ready::NONE).of_interest(interest)
    }

    /// For an operation that is a user's code, so that it cannot be given to [`poll_io`](Self::poll_io): it is
    /// called after [`poll_ready`](Self::poll_ready), with nothing borrowed, and what came of it is given here.
    /// `None`: it is to be tried again, after the next `poll_ready`.
    pub(crate) fn settle<T>(
        &self,
        interest: Interest,
        result: io::Result<T>,
    ) -> Option<io::Result<T>> {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.would_block(interest);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            _ => Some(result),
        }
    }

    /// An operation that was tried with nothing borrowed would have blocked. No event can have come since: events are taken in by the
    /// loop's turn, which is not made while a task is polled.
    fn would_block(&self, interest: Interest) {
        Core::at_home(self.key, self.kind, |core| {
            let Some(watched) = core.reactor.sources.get_mut(self.key.slot) else { return };
            for direction in [Direction::Read, Direction::Write] {
                if direction.is_in(interest) {
                    watched.ready.disprove(direction);
                }
            }
        });
    }

    /// Tries an operation that is a user's code once and without waiting, with nothing borrowed. "Would block" is remembered.
    #[track_caller]
    pub(crate) fn try_own<T>(
        &self,
        interest: Interest,
        op: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        Core::at_home(self.key, self.kind, |_| ());
        let result = op();
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.would_block(interest);
        }
        result
    }

    /// Tries `op`, a system call and nothing else, once and without waiting. "Would block" is remembered, and so is that of a
    /// result which says that the next try would block: see [`poll_io`](Self::poll_io).
    #[track_caller]
    pub(crate) fn try_io<T>(
        &self,
        direction: Direction,
        op: impl FnOnce(&S) -> io::Result<T>,
        exhausted: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        Core::at_home(self.key, self.kind, |core| {
            let result = op(&self.io);
            let Some(watched) = core.reactor.sources.get_mut(self.key.slot) else { return result };
            match &result {
                Ok(value) if exhausted(value) => watched.ready.exhaust(direction),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    watched.ready.disprove(direction)
                }
                _ => {}
            }
            result
        })
    }
}

/// What a socket of ours is registered for, once.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(target_os = "linux")]
const ALL_BUT_ROOM: Interest = Interest::READABLE.add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Outcomes that need work outside the borrow.
enum Unready<T> {
    /// It has, and that is to be reported.
    DoneAndTold(io::Result<T>),
    /// The task's number was left.
    Waiting,
    /// So it was, and it is to be reported; also that the system call would have blocked, if it was made.
    Told {
        blocked: bool,
    },
    /// A waker is to be left among others, or is foreign.
    Other(u64),
    OutOfBudget,
    /// It waits already, among others, and must give that place up first.
    Crowded,
}

impl<S: Source> Registered<S> {
    /// Whether it was registered by this process: see [`remote::is_of_this_process`].
    pub(crate) fn is_of_this_process(&self) -> bool {
        remote::is_of_this_process(self.key.home)
    }

    /// Whether the loop that watches it runs on this thread.
    #[cfg(feature = "quinn")]
    pub(crate) fn is_at_home(&self) -> bool {
        Core::is_home_of(self.key)
    }

    /// Takes it from the poller, on any thread. The slot stays.
    pub(super) fn deregister(&mut self) {
        // The poller of a forked child is its parent's, which still waits for the source.
        if !self.is_of_this_process() {
            return;
        }
        let shared = Core::if_at_home(self.key, |core| Arc::clone(&core.shared));
        // With a loop that is gone there is nobody to be reported to.
        let shared = shared.or_else(|| remote::find(self.key.home));
        let mut deregister = |shared: Arc<Shared>| shared.registry.deregister(&mut self.io);
        let result =
            shared.and_then(|shared| contain("deregistering a source", || deregister(shared)));
        if let Some(Err(error)) = result {
            let (kind, number) = (self.kind, self.key.slot.generation());
            observe::say(
                Level::Debug,
                observe::SOURCE,
                format_args!("{kind} {number}: deregistering failed: {}", OneLine(error)),
            );
        }
    }
}

impl<S: Source> Drop for Registered<S> {
    /// Deregistered here, closed when the fields are dropped.
    fn drop(&mut self) {
        self.deregister();
        release(self.key, Release::Source(self.key.slot));
    }
}

impl<S: Source + fmt::Debug> fmt::Debug for Registered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}

/// One operation's place among the waiters of a source. Dropping it gives the place up, on any thread.
#[derive(Debug)]
pub(crate) struct Wait {
    taken: Option<Ticket>,
    /// Where the operation was called. Without a place it takes no ticket.
    place: Option<&'static Location<'static>>,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    number: u64,
    source: Key,
    direction: Direction,
}

impl Wait {
    /// For an operation of a future, called at `place`.
    #[inline]
    pub(crate) fn at(place: &'static Location<'static>) -> Self {
        Wait { taken: None, place: Some(place) }
    }

    /// For the `poll_` methods of traits, which keep nothing between calls.
    #[inline]
    pub(crate) fn unticketed() -> Self {
        Wait { taken: None, place: None }
    }

    /// Whether this is the first poll of a future. (Of a trait's method it cannot be known.)
    #[cfg(unix)]
    pub(crate) fn is_first(&self) -> bool {
        self.taken.is_none() && self.place.is_some()
    }

    #[inline]
    fn take_ticket(&mut self, source: Key, direction: Direction, last: &mut u64) -> u64 {
        if self.place.is_none() {
            return NO_TICKET;
        }
        *last += 1;
        self.taken = Some(Ticket { number: *last, source, direction });
        *last
    }

    #[cold]
    fn give_up(&mut self) {
        if let Some(Ticket { number, source, direction }) = self.taken.take() {
            release(source, Release::Waiter(source.slot, direction, number));
        }
    }
}

impl Drop for Wait {
    #[inline]
    fn drop(&mut self) {
        if self.taken.is_some() {
            self.give_up();
        }
    }
}
