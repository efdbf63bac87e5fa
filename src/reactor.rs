//! The reactor: everything that the kernel watches for this loop, as slots of a slab. A slot holds the
//! sticky readiness bits of its source and the *readiness callbacks*: whom to wake, or which closure to
//! call, when the kernel says "ready". [`dispatch`] is called by the loop for each event; futures call
//! [`Registered::poll_io`]; users call [`on_ready`]. It knows nothing of futures beyond their wakers.
//!
//! Everything is registered edge-triggered, once, for both directions (some sockets for reading first):
//! `docs/edge-triggered.md` tells why, and what follows from it.

mod callback;
#[cfg(unix)]
mod fd;
#[cfg(unix)]
mod notice;
mod ready;
mod registered;
mod waiters;

use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;

use mio::event::{Event, Source};
use mio::{Events, Interest, Token};

use self::callback::Closure;
#[cfg(any(target_os = "linux", all(unix, feature = "signal")))]
pub(crate) use self::callback::relay;
pub use self::callback::{Next, Registration, on_ready};
#[cfg(unix)]
pub(crate) use self::fd::FdSource;
#[cfg(unix)]
pub(crate) use self::notice::{Notice, give, give_from_afar};
pub use self::ready::Direction;
pub use self::ready::Ready;
pub(crate) use self::registered::{Registered, Wait};
use self::waiters::{NO_TICKET, Waiters};
use crate::core::{Core, discard};
use crate::observe::{self, SourceId, Step};
use crate::slots::{Key, Layout, Slot, Slots};
use crate::task::Tasks;
use crate::task::waker::{TaskNumber, Wake};
use crate::waits::{self, What};

/// The token of the poller's waker: no source's token has all bits set.
pub(crate) const INBOX: Token = Token(usize::MAX);

/// The token of the [alarm](crate::time::alarm): no source's token has an index with all bits set.
pub(crate) const ALARM: Token = Token(Layout::TOKEN.indexes() as usize);

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
    /// It has a closure, also while that is being called.
    has_callback: bool,
    /// The closure is one of this crate's own, which only passes events on: what they are passed to has its own slot and waiters, so
    /// the closure by itself does not make this source an awaited one.
    is_relay: bool,
    /// Work that is under way until this is ready: a virtual clock stands still meanwhile.
    is_work: bool,
    /// The descriptor of a [quiet](Registered::quiet) source, until somebody waits for room to write; else `LOUD`.
    quiet: i32,
}

const LOUD: i32 = -1;

/// A source as a dump shows it.
pub(crate) struct SourceSnapshot {
    pub(crate) slot: Slot,
    pub(crate) kind: &'static str,
    pub(crate) ready: Ready,
    pub(crate) has_callback: bool,
    /// Where its callback was registered. `None` while that is being called.
    pub(crate) callback: Option<&'static Location<'static>>,
    /// `None`: not a task.
    pub(crate) waiting: Vec<(Direction, Option<TaskNumber>)>,
}

impl Watched {
    /// Without anybody who waits.
    fn new(kind: &'static str, ready: Ready) -> Self {
        Watched {
            ready,
            readers: Waiters::default(),
            writers: Waiters::default(),
            closure: None,
            kind,
            has_callback: false,
            is_relay: false,
            is_work: false,
            quiet: LOUD,
        }
    }

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

    /// Whether a task or a user's callback waits for a source: then a virtual clock gives the kernel a grace before it jumps.
    pub(crate) fn is_awaited(&self) -> bool {
        let awaited = |w: &Watched| {
            (w.closure.is_some() && !w.is_relay) || !w.readers.is_empty() || !w.writers.is_empty()
        };
        self.sources.iter().any(awaited)
    }

    /// How much work is under way whose end this loop will be told.
    pub(crate) fn works(&self) -> usize {
        self.sources.iter().filter(|w| w.is_work && !w.ready.is_readable()).count()
    }

    /// Does all that an event asks for, if that wakes at most tasks of this loop. `false`: it needs more, which
    /// is left to do; or there is no such source.
    #[inline(always)]
    fn dispatch_to_own(&mut self, event: &Event, tasks: &mut Tasks) -> bool {
        let found = self.sources.get_packed_mut(Layout::TOKEN, slot_of(event.token()));
        let Some((_, watched)) = found else { return false };
        // Where it was taken to be ready before, nobody waits.
        let news = watched.ready.learn(Ready::of(event));
        if news.is_readable() && !watched.readers.wake_task(tasks) {
            return false;
        }
        if news.is_writable() && !watched.writers.wake_task(tasks) {
            return false;
        }
        watched.closure.is_none()
    }

    /// What the tasks of this loop wait for here.
    pub(crate) fn each_wait(&self, tasks: &Tasks, each: &mut impl FnMut(waits::Wait)) {
        for (slot, watched) in self.sources.iter_with_slots() {
            for (direction, waiters) in
                [(Direction::Read, &watched.readers), (Direction::Write, &watched.writers)]
            {
                for (task, origin) in waiters.tasks(tasks) {
                    let what = What::Source { slot, kind: watched.kind, direction };
                    each(waits::Wait {
                        task,
                        what,
                        place: origin.place,
                        since: Some(origin.since),
                    });
                }
            }
        }
    }

    /// All sources as a dump shows them.
    pub(crate) fn snapshot(&self) -> Vec<SourceSnapshot> {
        let snapshot = |(slot, watched): (Slot, &Watched)| {
            let readers = watched.readers.all().map(|task| (Direction::Read, task));
            let writers = watched.writers.all().map(|task| (Direction::Write, task));
            SourceSnapshot {
                slot,
                kind: watched.kind,
                ready: watched.ready,
                has_callback: watched.has_callback,
                callback: watched.closure.as_ref().map(|closure| closure.place()),
                waiting: readers.chain(writers).collect(),
            }
        };
        self.sources.iter_with_slots().map(snapshot).collect()
    }

    /// How many sources there are.
    pub(crate) fn count(&self) -> usize {
        self.sources.len()
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
    let shuffled = Core::with(|core| {
        let shuffle = core.shuffle.as_mut()?;
        let mut events: Vec<&Event> = events.iter().collect();
        // First into an order of our own: the kernel's is not the same in each run.
        events.sort_by_key(|event| event.token());
        shuffle.permute(&mut events);
        Some(events)
    });
    match shuffled.flatten() {
        None => dispatch_each(events.iter()),
        Some(events) => dispatch_each(events.into_iter()),
    }
}

fn dispatch_each<'a>(mut events: impl Iterator<Item = &'a Event>) -> (usize, bool) {
    let (mut count, mut ours) = (0, 0);
    loop {
        // The usual case, in which nobody listens and nothing foreign is called, is done for all events
        // in a row.
        let told = observe::is_on();
        let unusual = Core::with(|core| {
            events.find(|event| {
                count += 1;
                told || !core.reactor.dispatch_to_own(event, &mut core.tasks)
            })
        });
        match unusual.flatten() {
            // What they announce, mail and timers, is seen to in the turn's next phases.
            Some(event) if [INBOX, ALARM].contains(&event.token()) => ours += 1,
            Some(event) => dispatch_to_any(event),
            None => return (count - ours, count == EVENTS),
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
    if !tell(slot_of(event.token()), Ready::of(event)) {
        // Stale: an earlier event of the same batch made its task or callback drop this source. The fd
        // number and the place in the slab may have a new owner already; the generation has not.
        observe::report(|| Step::Stale);
    }
}

/// Tells a source that it is ready: makes that stick, wakes who waits and calls its callback. The slot is that of a
/// token. `false`: there is no such source.
fn tell(slot: Slot, ready: Ready) -> bool {
    let found = Core::with(|core| {
        let (slot, watched) = core.reactor.sources.get_packed_mut(Layout::TOKEN, slot)?;
        watched.ready.learn(ready);
        let mut woken = Vec::new();
        if ready.is_readable() {
            watched.readers.take_all(&mut woken);
        }
        if ready.is_writable() {
            watched.writers.take_all(&mut woken);
        }
        Some((slot, watched.kind, watched.closure.take(), woken))
    });
    let Some((slot, kind, closure, woken)) = found.flatten() else { return false };
    let callback = closure.is_some();
    if observe::is_on() {
        report_ready(slot, kind, ready, &woken, callback);
    }
    woken.into_iter().for_each(Wake::wake);
    if let Some(closure) = closure {
        callback::call(slot, closure, ready);
    }
    true
}

#[cold]
fn report_ready(slot: Slot, kind: &'static str, ready: Ready, woken: &[Wake], callback: bool) {
    let ids = Core::with(|core| {
        let number =
            |wake: &Wake| if let Wake::Task(number) = wake { core.id_of(*number) } else { None };
        woken.iter().filter_map(number).collect::<Vec<_>>()
    });
    let ids = ids.unwrap_or_default();
    let foreign = woken.len() - ids.len();
    observe::report(|| Step::Ready {
        source: SourceId(slot),
        kind,
        ready,
        woken: &ids,
        foreign,
        callback,
    });
}

/// Enters a source into a new slot and registers it with the poller of the loop that runs here.
#[track_caller]
fn register(
    what: &str,
    source: &mut impl Source,
    interest: Interest,
    watched: Watched,
) -> io::Result<Key> {
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
    observe::report(|| Step::Register { source: SourceId(key.slot), kind });
    Ok(key)
}

/// Empties a slot. Its source must have been deregistered, or be in the slot.
pub(crate) fn remove(slot: Slot) {
    let watched = Core::with(|core| core.reactor.sources.remove(slot));
    let Some(watched) = watched.flatten() else { return };
    let kind = watched.kind;
    discard_all(watched);
    observe::report(|| Step::Deregister { source: SourceId(slot), kind });
}

/// Drops all sources of a loop that is being dropped.
pub(crate) fn drop_all() {
    while let Some(watched) = Core::with(|core| core.reactor.sources.pop()).flatten() {
        discard_all(watched);
    }
}

/// One by one: two drops that panic, in one, would end the process.
fn discard_all(watched: Watched) {
    if let Some(closure) = watched.closure {
        callback::remove(closure);
    }
    for waiters in [watched.readers, watched.writers] {
        waiters.others.into_iter().for_each(|other| discard(other.wake));
    }
}

/// A slot lives as long as its handle, but for the time in which the loop is dropped: then what is awaited or
/// opened in the drop of something else gets this.
pub(crate) fn is_closing() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the event loop is being dropped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{TcpListener, TcpStream};
    use crate::{EventLoop, Next, block_on};
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

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
    fn a_registration_that_fails_a_hundred_thousand_times_gives_the_same_error_and_leaves_no_slot()
    {
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
        /// The highest number, which is never open. One that was just closed might be another test's by now.
        const CLOSED: RawFd = RawFd::MAX;
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let folder = std::fs::File::open(".").unwrap();
        let mut event_loop = EventLoop::new().unwrap();
        for (fd, code) in [(file.as_raw_fd(), 1), (folder.as_raw_fd(), 1), (CLOSED, 9)] {
            for _ in 0..100_000 {
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
                    assert!(
                        std::pin::Pin::new(&mut &client).poll_read(&mut cx, &mut [0]).is_pending()
                    );
                }
            }
            assert_eq!(left(), (3, 2));
            drop((client, server, listener));
            assert_eq!(left(), (0, 0));
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn files_that_the_kernel_does_not_watch_have_no_slot_and_a_fifo_gives_its_own_back() {
        use crate::fs::File;
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        block_on(async {
            for path in ["Cargo.toml", ".", "/dev/null", "/proc/version", "/proc/self/mountinfo"] {
                let _opened = File::open(path).await.unwrap();
                assert_eq!(left(), (0, 0), "{path}");
            }
            let path = std::env::temp_dir().join(format!("headwaiter-fifo-{}", std::process::id()));
            mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
            let fifo = File::open(&path).await;
            std::fs::remove_file(&path).unwrap();
            let mut fifo = fifo.unwrap();
            assert_eq!(left(), (1, 0));
            assert!(polls_pending(fifo.read(&mut [0]), Waker::noop()));
            assert_eq!(left(), (1, 0));
            drop(fifo.into_std().await.unwrap());
            assert_eq!(left(), (0, 0));
        });
    }

    #[test]
    #[cfg(unix)]
    fn dropped_operations_on_any_descriptor_leave_no_waiter_and_no_slot() {
        use crate::io::{Async, pipe};
        block_on(async {
            let (mut reader, mut writer) = pipe().unwrap();
            while writer.try_write(&[0; 4096]).is_ok() {}
            let other = Async::new(io::pipe().unwrap().0).unwrap();
            let own = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            assert_eq!(left(), (3, 0));
            let would_block = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            for waker in [&own, Waker::noop()] {
                for _ in 0..100 {
                    assert!(polls_pending(writer.write(&[0]), waker));
                    assert!(polls_pending(writer.write_all(&[0]), waker));
                    assert!(polls_pending(writer.writable(), waker));
                    assert!(polls_pending(other.read_with(|_| would_block()), waker));
                    assert!(polls_pending(other.write_with(|_| would_block()), waker));
                    assert!(polls_pending(other.readable(), waker));
                }
            }
            assert_eq!(left(), (3, 0));
            // Given back, its place is free; dropped on another thread, once the loop has heard of it.
            drop(other.into_inner());
            assert_eq!(left(), (2, 0));
            assert!(!polls_pending(reader.read(&mut [0]), &own));
            std::thread::spawn(move || drop((reader, writer))).join().unwrap();
            while left() != (0, 0) {
                crate::task::yield_now().await;
            }
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
}
