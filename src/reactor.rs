//! The reactor: everything that the kernel watches for this loop, as slots of a slab. A slot holds the
//! sticky readiness bits of its source and the *readiness callbacks*: whom to wake, or which closure to
//! call, when the kernel says "ready". [`dispatch`] is called by the loop for each event; futures call
//! [`Registered::poll_io`]; users call [`on_ready`]. It knows nothing of futures beyond their wakers.
//!
//! Everything is registered edge-triggered, once, for both directions: `docs/edge-triggered.md`
//! tells why, and what follows from it.

mod callback;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use log::Level;
use mio::event::{Event, Source};
use mio::{Events, Interest, Token};

use self::callback::Closure;
pub use self::callback::{Next, Registration, on_ready};
use crate::core::{Core, contain, discard, release};
use crate::observe::{self, Step};
use crate::remote::{self, Release, Shared};
use crate::slots::{Key, Layout, Slot, Slots};
use crate::task::Tasks;
use crate::task::waker::{TaskNumber, Wake};

/// The token of the poller's waker: no source's token has all bits set.
pub(crate) const INBOX: Token = Token(usize::MAX);

/// How many events a turn takes from the kernel at most. The rest comes in the next turn.
pub(crate) const EVENTS: usize = 1024;

/// The sources of a loop.
pub(crate) struct Reactor {
    sources: Slots<Watched>,
    last_ticket: u64,
}

struct Watched {
    /// What the kernel has said and nobody has disproved yet.
    ready: Ready,
    readers: Waiters,
    writers: Waiters,
    /// A user's callback with the source it belongs to. `None` while it is being called, and for the
    /// sources of futures.
    closure: Option<Box<dyn Closure>>,
    /// For log lines.
    kind: &'static str,
}

/// Which side of a source an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Direction::Read => "read",
            Direction::Write => "write",
        }
    }
}

/// What the kernel says of a source.
///
/// A side that was closed, or an error, also counts as readable or writable: the operation would not
/// block, it would report the end or the error.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    const READABLE: u8 = 1;
    const WRITABLE: u8 = 2;
    const READ_CLOSED: u8 = 4;
    const WRITE_CLOSED: u8 = 8;
    const ERROR: u8 = 16;
    /// Urgent data: a read stops before it, so that a short one does not mean that there is no more.
    const URGENT: u8 = 32;
    pub(crate) const NONE: Ready = Ready(0);
    pub(crate) const BOTH: Ready = Ready(Ready::READABLE | Ready::WRITABLE);

    fn of(event: &Event) -> Ready {
        let mut bits = 0;
        if event.is_readable() {
            bits |= Ready::READABLE;
        }
        if event.is_writable() {
            bits |= Ready::WRITABLE;
        }
        if event.is_read_closed() {
            bits |= Ready::READ_CLOSED | Ready::READABLE;
        }
        if event.is_write_closed() {
            bits |= Ready::WRITE_CLOSED | Ready::WRITABLE;
        }
        if event.is_priority() {
            bits |= Ready::URGENT;
        }
        if event.is_error() {
            bits |= Ready::ERROR | Ready::READABLE | Ready::WRITABLE;
        }
        Ready(bits)
    }

    fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// There is something to read, or the end, or an error.
    pub fn is_readable(self) -> bool {
        self.has(Ready::READABLE)
    }

    /// There is room to write, or an error.
    pub fn is_writable(self) -> bool {
        self.has(Ready::WRITABLE)
    }

    /// The peer will send no more.
    pub fn is_read_closed(self) -> bool {
        self.has(Ready::READ_CLOSED)
    }

    /// The peer will take no more.
    pub fn is_write_closed(self) -> bool {
        self.has(Ready::WRITE_CLOSED)
    }

    /// The source has an error to report.
    pub fn is_error(self) -> bool {
        self.has(Ready::ERROR)
    }

    fn allows(self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.is_readable(),
            Direction::Write => self.is_writable(),
        }
    }

    /// The kernel said "would block": whatever it said of this side before is over. It will report an
    /// edge when that changes.
    fn disprove(&mut self, direction: Direction) {
        self.0 &= match direction {
            Direction::Read => !(Ready::READABLE | Ready::READ_CLOSED | Ready::URGENT),
            Direction::Write => !(Ready::WRITABLE | Ready::WRITE_CLOSED),
        };
    }

    /// A short read or write emptied or filled the kernel's buffer, so the next would block: epoll(7)
    /// says so for stream-oriented files, and kqueue's edges are alike. But the end and errors are
    /// reported once only: where the kernel has reported one on this side, it is still to be read. And a
    /// read also ends short before urgent data.
    fn exhaust(&mut self, direction: Direction) {
        if !cfg!(any(
            target_os = "linux",
            target_os = "android",
            target_vendor = "apple",
            target_os = "freebsd"
        )) {
            return;
        }
        let last_word = match direction {
            Direction::Read => Ready::READ_CLOSED | Ready::URGENT | Ready::ERROR,
            Direction::Write => Ready::WRITE_CLOSED | Ready::ERROR,
        };
        if !self.has(last_word) {
            self.disprove(direction);
        }
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Ready::READABLE, "readable"),
            (Ready::WRITABLE, "writable"),
            (Ready::READ_CLOSED, "read-closed"),
            (Ready::WRITE_CLOSED, "write-closed"),
            (Ready::ERROR, "in error"),
        ];
        let mut first = true;
        for (_, name) in names.iter().filter(|(bit, _)| self.has(*bit)) {
            f.write_str(if first { "" } else { " + " })?;
            f.write_str(name)?;
            first = false;
        }
        if first { f.write_str("not ready") } else { Ok(()) }
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ready({self})")
    }
}

/// Who waits for one direction of one source. All of them are woken by one event.
#[derive(Default)]
struct Waiters {
    /// Nearly always there is one task of this loop, or nobody: no allocation then, and nothing foreign.
    task: Option<(u64, TaskNumber)>,
    /// Whoever else.
    others: Vec<(u64, Wake)>,
}

/// Tickets are never repeated in a loop, so that a dropped future finds its own place and no other. This one
/// is of a `poll_read` and its kin, which have no future of their own to come back for it: such a waiter
/// stays until the next event, one for each waker.
const NO_TICKET: u64 = 0;

/// How many waiters without a ticket there may be on one side of a source. One more wakes the oldest, which
/// polls again if it is still there: most often it was abandoned.
const MOST_UNTICKETED: usize = 64;

impl Waiters {
    fn is_empty(&self) -> bool {
        self.task.is_none() && self.others.is_empty()
    }

    /// A task waits. `false`: it must be left among the others.
    #[inline]
    fn leave_task(&mut self, ticket: u64, number: TaskNumber, home: u64) -> bool {
        if self.task.is_none() && number.is_of(home) {
            self.task = Some((ticket, number));
            return true;
        }
        self.task == Some((NO_TICKET, number)) && ticket == NO_TICKET
    }

    /// Whoever must be dropped, or woken to make room, outside the borrow.
    fn leave_other(&mut self, ticket: u64, wake: Wake) -> (Option<Wake>, Option<Wake>) {
        let mut displaced = None;
        if ticket == NO_TICKET {
            if self.others.iter().any(|(others, other)| *others == NO_TICKET && other.same(&wake)) {
                return (Some(wake), None);
            }
            let mut unticketed = self.others.iter().enumerate().filter(|(_, other)| other.0 == NO_TICKET);
            if let (Some((oldest, _)), MOST_UNTICKETED..) = (unticketed.next(), unticketed.count() + 1) {
                displaced = Some(self.others.remove(oldest).1);
            }
        }
        self.others.push((ticket, wake));
        (None, displaced)
    }

    /// `false`: it may be among the others, and is not a task's.
    #[inline]
    fn forget_task(&mut self, ticket: u64) -> bool {
        if self.task.is_some_and(|(tasks, _)| tasks == ticket) {
            self.task = None;
            return true;
        }
        self.others.is_empty()
    }

    fn forget_other(&mut self, ticket: u64) -> Option<Wake> {
        let at = self.others.iter().position(|(others, _)| *others == ticket)?;
        Some(self.others.swap_remove(at).1)
    }

    /// Wakes the task. `false`: there are others besides.
    #[inline]
    fn wake_task(&mut self, tasks: &mut Tasks) -> bool {
        if let Some((_, number)) = self.task.take() {
            tasks.wake(number.packed());
        }
        self.others.is_empty()
    }

    fn take_all(&mut self, all: &mut Vec<Wake>) {
        all.extend(self.task.take().map(|(_, number)| Wake::Task(number)));
        all.extend(self.others.drain(..).map(|(_, wake)| wake));
        self.others.shrink_to(16);
    }
}

impl Watched {
    fn waiters(&mut self, direction: Direction) -> &mut Waiters {
        match direction {
            Direction::Read => &mut self.readers,
            Direction::Write => &mut self.writers,
        }
    }
}

impl Reactor {
    pub(crate) fn new() -> Self {
        Reactor { sources: Slots::new(), last_ticket: NO_TICKET }
    }

    /// Whether anybody waits for a source: then a virtual clock gives the kernel a grace before it jumps.
    pub(crate) fn is_awaited(&self) -> bool {
        let awaited = |w: &Watched| w.closure.is_some() || !w.readers.is_empty() || !w.writers.is_empty();
        self.sources.iter().any(awaited)
    }

    /// Does all that an event asks for, if that wakes at most tasks of this loop. `false`: it needs more, which
    /// is left to do; or there is no such source.
    #[inline]
    fn dispatch_to_own(&mut self, event: &Event, tasks: &mut Tasks) -> bool {
        let found = self.sources.get_packed_mut(Layout::TOKEN, slot_of(event.token()));
        let Some((_, watched)) = found else { return false };
        let ready = Ready::of(event);
        watched.ready.0 |= ready.0;
        let read = !ready.is_readable() || watched.readers.wake_task(tasks);
        let write = !ready.is_writable() || watched.writers.wake_task(tasks);
        read && write && watched.closure.is_none()
    }

    /// A future that waited here and was dropped.
    pub(crate) fn forget(&mut self, slot: Slot, direction: Direction, ticket: u64) -> Option<Wake> {
        let waiters = self.sources.get_mut(slot)?.waiters(direction);
        if waiters.forget_task(ticket) { None } else { waiters.forget_other(ticket) }
    }
}

/// Hands the kernel's events to their sources: makes the readiness stick, wakes who waits, and calls the
/// callbacks. Returns how many events of sources there were, and whether the kernel filled the whole buffer.
pub(crate) fn dispatch(events: &Events) -> (usize, bool) {
    let mut events = events.iter();
    let (mut count, mut inbox) = (0, 0);
    loop {
        // The usual case, in which nobody listens and nothing foreign is called, is done for all events
        // in a row.
        let unusual = Core::with(|core| {
            events.find(|event| {
                count += 1;
                observe::is_on() || !core.reactor.dispatch_to_own(event, &mut core.tasks)
            })
        });
        match unusual.flatten() {
            // Its mail is taken in the turn's next phase.
            Some(event) if event.token() == INBOX => inbox = 1,
            Some(event) => dispatch_to_any(event),
            None => return (count - inbox, count == EVENTS),
        }
    }
}

fn token_of(slot: Slot) -> Token {
    Token(Layout::TOKEN.pack(0, slot) as usize)
}

fn slot_of(token: Token) -> Slot {
    Layout::TOKEN.unpack(token.0 as u64).1
}

#[cold]
fn dispatch_to_any(event: &Event) {
    let ready = Ready::of(event);
    let found = Core::with(|core| {
        let (slot, watched) = core.reactor.sources.get_packed_mut(Layout::TOKEN, slot_of(event.token()))?;
        watched.ready.0 |= ready.0;
        let mut woken = Vec::new();
        if ready.is_readable() {
            watched.readers.take_all(&mut woken);
        }
        if ready.is_writable() {
            watched.writers.take_all(&mut woken);
        }
        Some((slot, watched.kind, watched.closure.take(), woken))
    });
    let Some((slot, kind, closure, woken)) = found.flatten() else {
        // Stale: an earlier event of the same batch made its task or callback drop this source. The fd
        // number and the place in the slab may have a new owner already; the generation has not.
        observe::report(|| Step::Stale);
        return;
    };
    let callback = closure.is_some();
    observe::report(|| Step::Ready { source: slot, kind, ready, woken: &woken, callback });
    woken.into_iter().for_each(Wake::wake);
    if let Some(closure) = closure {
        callback::call(slot, closure, ready);
    }
}

/// Enters a source into a new slot and registers it with the poller of the loop that runs here.
#[track_caller]
fn register(what: &str, source: &mut impl Source, interest: Interest, watched: Watched) -> io::Result<Key> {
    let kind = watched.kind;
    // Inserted first, because the token is made of the slot. Registered outside the borrow, because the
    // source may be a user's.
    let (shared, inserted) = Core::expect(what, |core| {
        if core.closing {
            return Err(is_closing());
        }
        let inserted = core.reactor.sources.insert(Layout::TOKEN, watched);
        Ok((Arc::clone(&core.shared), inserted.map(|slot| core.key(slot))))
    })?;
    let Ok(key) = inserted else {
        let most = Layout::TOKEN.indexes();
        return Err(io::Error::other(format!(
            "this event loop watches {most} sources, and a token cannot tell more apart: drop some first"
        )));
    };
    let register = || shared.registry.register(source, token_of(key.slot), interest);
    let registered = catch_unwind(AssertUnwindSafe(register));
    if !matches!(registered, Ok(Ok(()))) {
        // It has no waiters and no callback yet: nothing of a user's is dropped here.
        Core::with(|core| core.reactor.sources.remove(key.slot));
    }
    match registered {
        Ok(result) => result?,
        Err(payload) => resume_unwind(payload),
    }
    observe::report(|| Step::Register { source: key.slot, kind });
    Ok(key)
}

/// Empties a slot. Its source must have been deregistered, or be in the slot.
pub(crate) fn remove(slot: Slot) {
    let watched = Core::with(|core| core.reactor.sources.remove(slot));
    let Some(watched) = watched.flatten() else { return };
    let kind = watched.kind;
    if let Some(closure) = watched.closure {
        callback::remove(closure);
    }
    discard_waiters(watched.readers);
    discard_waiters(watched.writers);
    observe::report(|| Step::Deregister { source: slot, kind });
}

/// One by one: two drops that panic, in one, would end the process.
fn discard_waiters(waiters: Waiters) {
    waiters.others.into_iter().for_each(discard);
}

/// Drops all sources of a loop that is being dropped.
pub(crate) fn drop_all() {
    while let Some(watched) = Core::with(|core| core.reactor.sources.pop()).flatten() {
        if let Some(closure) = watched.closure {
            callback::remove(closure);
        }
        discard_waiters(watched.readers);
        discard_waiters(watched.writers);
    }
}

/// A source that the poller watches, and the slot it has with its loop: what every socket of this crate
/// is made of. Dropped on any thread, it is deregistered, its slot given back, and closed, in this order.
pub(crate) struct Registered<S: Source> {
    io: S,
    key: Key,
    /// What it is called in log lines and messages.
    kind: &'static str,
}

impl<S: Source> Registered<S> {
    /// Watches `io`, which must be in non-blocking mode, for both directions. Until the kernel says
    /// "would block" it is taken to be `ready`: trying first is cheaper than waiting first.
    #[track_caller]
    pub(crate) fn new(mut io: S, kind: &'static str, ready: Ready) -> io::Result<Self> {
        let watched =
            Watched { ready, readers: Waiters::default(), writers: Waiters::default(), closure: None, kind };
        let key = register(kind, &mut io, ALL, watched)?;
        Ok(Registered { io, key, kind })
    }

    pub(crate) fn io(&self) -> &S {
        &self.io
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
    ) -> Result<io::Result<T>, Unready> {
        let io = &self.io;
        Core::at_home(self.key, self.kind, |core| {
            if core.budget == 0 {
                core.overspent = true;
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
            while watched.ready.allows(direction) {
                let result = op(io);
                match &result {
                    Ok(value) => {
                        if exhausted(value) {
                            watched.ready.exhaust(direction);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        watched.ready.disprove(direction);
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => {}
                }
                core.budget -= 1;
                return Ok(result);
            }
            let ticket = wait.take_ticket(self.key, direction, &mut core.reactor.last_ticket);
            let Some(number) = TaskNumber::of(cx.waker()) else { return Err(Unready::Other(ticket)) };
            if !watched.waiters(direction).leave_task(ticket, number, core.id) {
                return Err(Unready::Other(ticket));
            }
            Err(if observe::is_on() { Unready::Told } else { Unready::Waiting })
        })
    }

    /// What is left to do outside the borrow.
    #[cold]
    #[track_caller]
    fn pend_unusually<T>(
        &self,
        unready: Unready,
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
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Unready::Other(ticket) => self.leave_other(ticket, cx, direction),
            Unready::Waiting | Unready::Told => {}
            Unready::Crowded => unreachable!("the place was given up just now"),
        }
        let (source, kind, place) = (self.key.slot, self.kind, wait.place);
        observe::report(|| Step::AwaitSource { source, kind, direction, place });
        Poll::Pending
    }

    /// Leaves a waker that is foreign, or not alone, cloned outside the borrow.
    fn leave_other(&self, ticket: u64, cx: &Context<'_>, direction: Direction) {
        let wake = Wake::of(cx.waker());
        let (unwanted, displaced) =
            Core::at_home(self.key, self.kind, |core| match core.reactor.sources.get_mut(self.key.slot) {
                Some(watched) => watched.waiters(direction).leave_other(ticket, wake),
                None => (Some(wake), None),
            });
        drop(unwanted);
        if let Some(displaced) = displaced {
            displaced.wake();
        }
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

    /// Tries `op`, a system call and nothing else, once and without waiting. "Would block" is remembered.
    #[track_caller]
    pub(crate) fn try_io<T>(
        &self,
        direction: Direction,
        op: impl FnOnce(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        Core::at_home(self.key, self.kind, |core| {
            let result = op(&self.io);
            if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
                && let Some(watched) = core.reactor.sources.get_mut(self.key.slot)
            {
                watched.ready.disprove(direction);
            }
            result
        })
    }
}

/// Why an operation has no result.
/// What a socket of ours is registered for, once.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE);

enum Unready {
    /// The task's number was left.
    Waiting,
    /// So it was, and it is to be reported.
    Told,
    /// A waker is to be left among others, or is foreign.
    Other(u64),
    OutOfBudget,
    /// It waits already, among others, and must give that place up first.
    Crowded,
}

/// A slot lives as long as its handle, but for the time in which the loop is dropped: then what is used or
/// opened in the drop of something else gets this.
fn is_closing() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the event loop is being dropped")
}

impl<S: Source> Drop for Registered<S> {
    /// Deregistered here, closed when the fields are dropped.
    fn drop(&mut self) {
        let shared = Core::if_at_home(self.key, |core| Arc::clone(&core.shared));
        // With a loop that is gone there is nobody to be reported to.
        let shared = shared.or_else(|| remote::find(self.key.home));
        let mut deregister = |shared: Arc<Shared>| shared.registry.deregister(&mut self.io);
        let result = shared.and_then(|shared| contain("deregistering a source", || deregister(shared)));
        if let Some(Err(error)) = result {
            let (kind, number) = (self.kind, self.key.slot.generation);
            observe::say(
                Level::Debug,
                observe::SOURCE,
                format_args!("{kind} {number}: deregistering failed: {error}"),
            );
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{TcpListener, TcpStream};
    use crate::{EventLoop, Next, block_on};
    use std::future::Future;
    use std::pin::pin;
    use std::task::Waker;

    /// How many sources there are, and how many waiters.
    fn left() -> (usize, usize) {
        let waiters = |w: &Waiters| usize::from(w.task.is_some()) + w.others.len();
        let count = |core: &mut Core| {
            let sources = &core.reactor.sources;
            (sources.len(), sources.iter().map(|w| waiters(&w.readers) + waiters(&w.writers)).sum())
        };
        Core::with(count).expect("a loop")
    }

    fn polls_pending(future: impl Future, waker: &Waker) -> bool {
        pin!(future).poll(&mut Context::from_waker(waker)).is_pending()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_registration_that_fails_a_hundred_thousand_times_gives_the_same_error_and_leaves_no_slot() {
        use mio::unix::SourceFd;
        use std::os::fd::{AsRawFd, RawFd};
        struct Fd(RawFd);
        impl Source for Fd {
            fn register(&mut self, r: &mio::Registry, t: Token, i: Interest) -> io::Result<()> {
                SourceFd(&self.0).register(r, t, i)
            }
            fn reregister(&mut self, r: &mio::Registry, t: Token, i: Interest) -> io::Result<()> {
                SourceFd(&self.0).reregister(r, t, i)
            }
            fn deregister(&mut self, r: &mio::Registry) -> io::Result<()> {
                SourceFd(&self.0).deregister(r)
            }
        }
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let folder = std::fs::File::open(".").unwrap();
        let mut event_loop = EventLoop::new().unwrap();
        for (fd, code) in [(file.as_raw_fd(), 1), (folder.as_raw_fd(), 1), (1_000_000, 9)] {
            for _ in 0..33_334 {
                let error = event_loop
                    .enter(|| on_ready(Fd(fd), Interest::READABLE, |_, _| Next::Continue).map(drop))
                    .unwrap_err();
                assert_eq!(error.raw_os_error(), Some(code), "EPERM is 1, EBADF is 9");
            }
        }
        assert_eq!(event_loop.enter(left), (0, 0));
    }

    #[test]
    fn dropped_futures_and_sockets_leave_no_waiter_and_no_slot() {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            let own = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            assert_eq!(left(), (3, 0));
            for waker in [&own, Waker::noop()] {
                for _ in 0..100 {
                    assert!(polls_pending(server.read(&mut [0]), waker));
                    assert!(polls_pending(server.read_exact(&mut [0]), waker));
                    assert!(polls_pending(listener.accept(), waker));
                }
            }
            assert_eq!(left(), (3, 0));
            // Several at once, dropped out of order.
            let mut waits: Vec<_> = (0..10).map(|_| Box::pin(client.readable())).collect();
            assert_eq!(client.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            for (n, wait) in waits.iter_mut().enumerate() {
                let waker = if n % 3 == 0 { Waker::noop() } else { &own };
                assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            }
            assert_eq!(left(), (3, 10));
            // Polled again, each has one place still.
            for wait in &mut waits {
                assert!(wait.as_mut().poll(&mut Context::from_waker(&own)).is_pending());
            }
            assert_eq!(left(), (3, 10));
            for at in [3, 0, 7, 0, 1, 4, 2, 0, 1, 0] {
                drop(waits.swap_remove(at));
            }
            assert_eq!(left(), (3, 0));
            // The traits' methods leave one place for each waker, however often they are polled.
            for _ in 0..100 {
                use futures_io::AsyncRead;
                for waker in [&own, Waker::noop()] {
                    let mut cx = Context::from_waker(waker);
                    assert!(std::pin::Pin::new(&mut &client).poll_read(&mut cx, &mut [0]).is_pending());
                }
            }
            assert_eq!(left(), (3, 2));
            drop((client, server, listener));
            assert_eq!(left(), (0, 0));
        });
    }

    #[test]
    fn a_socket_dropped_on_another_thread_leaves_no_slot_once_the_loop_has_its_message() {
        let mut event_loop = EventLoop::new().unwrap();
        let listener = event_loop.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        assert_eq!(event_loop.enter(left), (1, 0));
        std::thread::spawn(move || drop(listener)).join().unwrap();
        event_loop.turn(None).unwrap();
        assert_eq!(event_loop.enter(left), (0, 0));
    }

    #[test]
    fn a_short_read_or_write_saves_the_next_try_unless_the_kernel_has_reported_the_end() {
        let mut ready = Ready::BOTH;
        ready.exhaust(Direction::Read);
        assert!(!ready.is_readable() && ready.is_writable());
        let mut ended = Ready(Ready::READABLE | Ready::READ_CLOSED);
        ended.exhaust(Direction::Read);
        assert!(ended.is_readable());
        ended.disprove(Direction::Read);
        assert!(!ended.is_readable() && !ended.is_read_closed());
        assert_eq!(Ready(Ready::READABLE | Ready::ERROR).to_string(), "readable + in error");
        assert_eq!(Ready::NONE.to_string(), "not ready");
    }
}
