//! The sources of a loop: what tasks and callbacks wait for, one slot each. Usually the poller
//! watches them. A slot holds the sticky readiness of its source, and what to do when the kernel
//! reports it ready: tasks to wake, or a callback to call. Runs no user code; `reactor/` has the
//! operations.

use std::any::Any;
use std::io;
use std::panic::Location;

#[cfg(unix)]
use mio::event::Source as _;
#[cfg(unix)]
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::number::TaskNumber;
use super::ready::{Direction, Ready};
use super::slots::{Layout, Slot, Slots};
use super::tasks::Tasks;
use super::waiters::Waiters;
use super::waits::{Awaited, TaskWait};

/// The token of the waker of the poller: no source's token has all bits set.
pub(crate) const INBOX: Token = Token(usize::MAX);

/// The token of the alarm (`event_loop/alarm.rs`): no source's token has an index with all bits
/// set.
pub(crate) const ALARM: Token = Token(Layout::TOKEN.indexes() as usize);

/// The most events that a turn takes from the kernel. The next turn takes the rest.
pub(crate) const EVENTS: usize = 1024;

/// The interest with which every socket is registered, once.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE);

pub(crate) fn token_of(slot: Slot) -> Token {
    Token(Layout::TOKEN.pack(0, slot) as usize)
}

/// A user's callback and its source, without their types: see [`on_ready`](crate::on_ready). All
/// methods but `place` run user code.
pub(crate) trait Callback {
    fn call(&mut self, ready: Ready) -> Next;
    fn source(&mut self) -> &mut dyn Any;
    /// The kernel reports an edge anew for a source that is registered anew: epoll_ctl(2),
    /// EPOLL_CTL_MOD.
    fn reregister(&mut self, registry: &Registry, token: Token) -> io::Result<()>;
    fn deregister(&mut self, registry: &Registry) -> io::Result<()>;
    fn place(&self) -> &'static Location<'static>;
}

/// What a callback asks the loop to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Call it again at the next event.
    Continue,
    /// Call it again when the kernel is asked next if the source is still ready then, without
    /// waiting for a new event. For a callback that stops before it would block, so that other
    /// tasks get their turn.
    Again,
    /// Deregister the source, and drop it and the callback.
    Remove,
}

pub(crate) struct Source {
    /// What the source counts as: ready at the start or by a report of the kernel, until an
    /// operation would block.
    pub(crate) ready: Ready,
    pub(crate) readers: Waiters,
    pub(crate) writers: Waiters,
    /// `None` while it is being called, and for the sources of futures.
    pub(crate) callback: Option<Box<dyn Callback>>,
    /// Its name in log lines and messages, such as `TCP stream`.
    pub(crate) kind: &'static str,
    /// Further properties, as bits: see [`Source::HAS_CALLBACK`].
    marks: u8,
    /// The descriptor of a [quiet](crate::reactor::Registered::quiet) source until a task waits for
    /// room to write, else [`LOUD`].
    pub(crate) quiet: i32,
}

pub(crate) const LOUD: i32 = -1;

impl Source {
    /// It has a callback, which may be running.
    pub(crate) const HAS_CALLBACK: u8 = 1;
    /// It has a callback, or may have a second or a foreign waiter in a direction. An event for a
    /// source without this wakes at most two tasks.
    pub(crate) const HAS_MORE: u8 = 2;
    /// The callback belongs to this crate and passes events on to other slots. Their waiters are
    /// counted there, so the callback does not count as a waiter.
    pub(crate) const IS_RELAY: u8 = 4;
    /// Work is in flight until this source is ready: a virtual clock stands still until then.
    pub(crate) const IS_WORK: u8 = 8;

    #[inline(always)]
    pub(crate) fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    pub(crate) fn mark(&mut self, mark: u8, value: bool) {
        self.marks = (self.marks & !mark) | if value { mark } else { 0 };
    }

    /// Returns the source with these marks set.
    pub(crate) fn marked(mut self, marks: u8) -> Self {
        self.marks |= marks;
        self
    }

    /// Creates a source without waiters.
    pub(crate) fn new(kind: &'static str, ready: Ready) -> Self {
        Source {
            ready,
            readers: Waiters::NONE,
            writers: Waiters::NONE,
            callback: None,
            kind,
            marks: 0,
            quiet: LOUD,
        }
    }

    #[inline(always)]
    pub(crate) fn waiters(&mut self, direction: Direction) -> &mut Waiters {
        match direction {
            Direction::Read => &mut self.readers,
            Direction::Write => &mut self.writers,
        }
    }

    /// Registers a quiet source for writing, because a task waits for room. The kernel then reports
    /// readiness that exists already: epoll_ctl(2), EPOLL_CTL_MOD.
    #[cfg(unix)]
    #[cold]
    #[inline(never)]
    pub(crate) fn ask_for_room(&mut self, slot: Slot, registry: &Registry) -> io::Result<()> {
        if self.quiet != LOUD {
            SourceFd(&self.quiet).reregister(registry, token_of(slot), ALL)?;
            self.quiet = LOUD;
        }
        Ok(())
    }

    #[cfg(not(unix))]
    pub(crate) fn ask_for_room(&mut self, _: Slot, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}

/// A source as a dump prints it.
pub(crate) struct SourceSnapshot {
    pub(crate) slot: Slot,
    pub(crate) kind: &'static str,
    pub(crate) ready: Ready,
    pub(crate) has_callback: bool,
    /// Where its callback was registered. `None` while that is being called.
    pub(crate) callback: Option<&'static Location<'static>>,
    /// A waiter of foreign code has [no task](TaskNumber::NONE).
    pub(crate) waiting: Vec<(Direction, TaskNumber)>,
}

impl Slots<Source> {
    /// The source that a token names, if it is still there, and its slot.
    #[inline(always)]
    pub(super) fn of_token(&mut self, token: Token) -> Option<(Slot, &mut Source)> {
        self.find_mut(Layout::TOKEN, token.0 as u64)
    }

    /// Whether a task or a user's callback waits for a source. A virtual clock then gives the
    /// kernel a grace period before it jumps.
    pub(crate) fn is_any_awaited(&self) -> bool {
        let is_awaited = |source: &Source| {
            (source.callback.is_some() && !source.is(Source::IS_RELAY))
                || !source.readers.is_empty()
                || !source.writers.is_empty()
        };
        self.iter().any(is_awaited)
    }

    /// How many pieces of work are in flight whose end will make a source ready.
    pub(crate) fn works(&self) -> usize {
        self.iter()
            .filter(|source| source.is(Source::IS_WORK) && !source.ready.is_readable())
            .count()
    }

    /// What the tasks of this loop wait for here.
    pub(crate) fn each_wait(&self, tasks: &Tasks, each: &mut impl FnMut(TaskWait)) {
        for (slot, source) in self.iter_with_slots() {
            for (direction, waiters) in
                [(Direction::Read, &source.readers), (Direction::Write, &source.writers)]
            {
                let what = Awaited::Source { slot, kind: source.kind, direction };
                waiters.tasks(tasks).for_each(|waiter| each(TaskWait { waiter, what }));
            }
        }
    }

    /// All sources as a dump prints them.
    pub(crate) fn snapshot(&self) -> Vec<SourceSnapshot> {
        let snapshot = |(slot, source): (Slot, &Source)| {
            let readers = source.readers.all().map(|task| (Direction::Read, task));
            let writers = source.writers.all().map(|task| (Direction::Write, task));
            SourceSnapshot {
                slot,
                kind: source.kind,
                ready: source.ready,
                has_callback: source.is(Source::HAS_CALLBACK),
                callback: source.callback.as_ref().map(|callback| callback.place()),
                waiting: readers.chain(writers).collect(),
            }
        };
        self.iter_with_slots().map(snapshot).collect()
    }
}
