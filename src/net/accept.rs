//! Taking connections in, for every kind of listener: the future [`Accept`] and the stream [`Incoming`]. What goes
//! wrong there, and what is done about it, is in [`Hold`]; `docs/accept.md` tells why.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use log::Level;

use super::listener::TcpListener;
use crate::door::Door;
use crate::io::Watched;
use crate::reactor::{Direction, Wait};
use crate::state::clock::nanos;
use crate::state::contain::say;
use crate::state::log::SOURCE;
use crate::time::{Sleep, sleep_until};

/// How long accept holds back when the process or the machine has no more file descriptors.
const HOLD: Duration = Duration::from_millis(20);

/// A shortage is over when accept has not met it for so long. One that comes and goes with each connection that is closed
/// is still the same, and is logged once.
const EPISODE: Duration = Duration::from_secs(1);

/// What a listener takes in. (Public because `Accept`'s output is; nobody outside can reach it.)
pub trait Accepts {
    type Stream;
    /// What the other end of a connection is called.
    type Address;
}

/// A listener beneath its public type.
pub(crate) trait Listener: Watched + Accepts<Stream: Watched> {
    fn hold(&self) -> &Hold;
    /// The system call.
    fn accept_one(io: &Self::Io) -> io::Result<(Accepted<Self>, Self::Address)>;
    /// A stream of this loop.
    fn take_in(io: Accepted<Self>) -> io::Result<Self::Stream>;
}

/// A connection that the kernel has given, and no loop watches yet.
type Accepted<L> = <<L as Accepts>::Stream as Watched>::Io;

/// Whether accept holds back, because there were no file descriptors. It is of the listener, not of the future, so that
/// also a bare loop which makes a new future each time does not spin.
#[derive(Default)]
pub(crate) struct Hold {
    /// Not before this time of the loop's clock (in nanoseconds) is accept tried again; 0 while all is
    /// well. Atomic only so that the listener is `Sync`.
    until: AtomicU64,
    /// When the shortage will be over if accept does not meet it again, so that each is logged once.
    episode_ends: AtomicU64,
    /// Of `poll_accept`, which has no future to keep it in. A mutex only so that the listener is `Sync`.
    sleep: Mutex<Option<Sleep>>,
}

impl Hold {
    fn is_on(&self) -> bool {
        self.until.load(Ordering::Relaxed) != 0
    }

    fn release(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    fn start(&self, error: &io::Error) {
        let now = Door::expect("a listener").clock.now_nanos();
        // A virtual clock may have been moved to its very end.
        self.until.store(now.saturating_add(nanos(HOLD)), Ordering::Relaxed);
        let episode_ends =
            self.episode_ends.swap(now.saturating_add(nanos(EPISODE)), Ordering::Relaxed);
        if now >= episode_ends {
            say(
                Level::Warn,
                SOURCE,
                format_args!(
                    "accept: {error}: clients wait until file descriptors are free; trying again every {HOLD:?}"
                ),
            );
        }
    }

    /// Pending while accept is held back.
    fn poll_over(&self, sleep: &mut Option<Sleep>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let until = self.until.load(Ordering::Relaxed);
            if until == 0 {
                *sleep = None;
                return Poll::Ready(());
            }
            let (now, until) = {
                let door = Door::expect("a listener");
                (door.clock.now(), door.clock.instant(until))
            };
            if now >= until {
                *sleep = None;
                return Poll::Ready(());
            }
            // Another task may have tried meanwhile, and prolonged it.
            let held = sleep.get_or_insert_with(|| sleep_until(until));
            if held.deadline() != until {
                held.reset(until);
            }
            ready!(Pin::new(held).poll(cx));
            *sleep = None;
        }
    }
}

/// Errors of a connection that is no more, not of the listener: accept(2) lists them, and says to
/// treat them like EAGAIN.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable,
    };
    // EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, which have no kind. (Not EPERM: of a firewall it is of the
    // connection, of a sandbox it is for ever.)
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(71 | 92 | 112 | 64) = error.raw_os_error() {
        return true;
    }
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | NetworkDown | NetworkUnreachable
    )
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM: not of this connection, and not over by the next try.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    let exhausted: &[i32] = if cfg!(windows) {
        &[10024, 10055] // WSAEMFILE, WSAENOBUFS
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        &[24, 23, 105, 12]
    } else {
        &[24, 23, 55, 12] // The BSDs and macOS have another ENOBUFS.
    };
    error.raw_os_error().is_some_and(|code| exhausted.contains(&code))
}

/// The future of `accept`.
#[must_use = "futures do nothing unless awaited"]
pub struct Accept<'a, L = TcpListener> {
    listener: &'a L,
    wait: Wait,
    /// While it is held back.
    sleep: Option<Sleep>,
}

impl<'a, L> Accept<'a, L> {
    #[track_caller]
    pub(super) fn new(listener: &'a L) -> Self {
        Accept { listener, wait: Wait::at(Location::caller()), sleep: None }
    }
}

impl<L: Listener> Future for Accept<'_, L> {
    type Output = io::Result<(L::Stream, L::Address)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Accept { listener, wait, sleep } = &mut *self;
        poll_accept(*listener, wait, sleep, cx)
    }
}

/// The `poll_accept` of a listener: its waiter stays, and so does its timer.
#[track_caller]
pub(super) fn poll_latest<L: Listener>(
    listener: &L,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(L::Stream, L::Address)>> {
    let mut wait = Wait::at(Location::caller());
    // Taken out, because a panic must not poison it.
    let mut sleep = listener.hold().sleep.lock().unwrap_or_else(PoisonError::into_inner).take();
    let accepted = poll_accept(listener, &mut wait, &mut sleep, cx);
    *listener.hold().sleep.lock().unwrap_or_else(PoisonError::into_inner) = sleep;
    listener.registered().leave_behind(wait);
    accepted
}

/// Takes the next connection in, unless accept is held back.
fn poll_accept<L: Listener>(
    listener: &L,
    wait: &mut Wait,
    sleep: &mut Option<Sleep>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(L::Stream, L::Address)>> {
    let (listener, hold) = (listener.registered(), listener.hold());
    loop {
        ready!(hold.poll_over(sleep, cx));
        match ready!(listener.poll_io(wait, cx, Direction::Read, L::accept_one, |_| false)) {
            Ok((io, peer)) => {
                hold.release();
                return Poll::Ready(L::take_in(io).map(|stream| (stream, peer)));
            }
            Err(error) if is_of_the_connection(&error) => {
                say(
                    Level::Debug,
                    SOURCE,
                    format_args!("a connection died before it was accepted: {error}"),
                );
            }
            Err(error) => {
                if is_out_of_files(&error) {
                    hold.start(&error);
                }
                return Poll::Ready(Err(error));
            }
        }
    }
}

/// The stream of `incoming`.
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a, L = TcpListener> {
    accept: Accept<'a, L>,
}

impl<'a, L> Incoming<'a, L> {
    #[track_caller]
    pub(super) fn new(listener: &'a L) -> Self {
        Incoming { accept: Accept::new(listener) }
    }
}

impl<L: Listener> Stream for Incoming<'_, L> {
    type Item = io::Result<L::Stream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.accept).poll(cx)) {
                Ok((stream, _)) => return Poll::Ready(Some(Ok(stream))),
                // Logged; the next poll holds back. (If accept had gone well, and only the kernel could
                // not watch the connection, there is nothing to hold back for.)
                Err(error) if is_out_of_files(&error) && self.accept.listener.hold().is_on() => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl<L: fmt::Debug> fmt::Debug for Accept<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").field("listener", self.listener).finish_non_exhaustive()
    }
}

impl<L: fmt::Debug> fmt::Debug for Incoming<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("listener", self.accept.listener).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_errors_of_accept_are_told_apart() {
        let is = |code, check: fn(&io::Error) -> bool| check(&io::Error::from_raw_os_error(code));
        // ECONNABORTED, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, ENETDOWN, ENETUNREACH, EHOSTUNREACH.
        for code in [103, 71, 92, 112, 64, 100, 101, 113] {
            assert!(is(code, is_of_the_connection) && !is(code, is_out_of_files), "{code}");
        }
        // EMFILE, ENFILE, ENOBUFS, ENOMEM.
        for code in [24, 23, 105, 12] {
            assert!(is(code, is_out_of_files) && !is(code, is_of_the_connection), "{code}");
        }
        // EINVAL, EBADF, EPERM: of the listener.
        for code in [22, 9, 1] {
            assert!(!is(code, is_out_of_files) && !is(code, is_of_the_connection), "{code}");
        }
    }
}
