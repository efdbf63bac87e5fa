//! Accepting connections, for every kind of listener: the future [`Accept`], the stream
//! [`Incoming`] and the methods of [`accept_methods!`].
//!
//! Errors of accept(2) are told apart here, and a shortage of file descriptors is waited out with a
//! [`Backoff`]: `docs/accept.md` explains why.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::{fmt, io, panic::Location, pin::Pin, time::Duration};

use futures_core::Stream;
use log::Level;

use super::listener::TcpListener;
use crate::fmt::debug_struct;
use crate::reactor::{Direction, Wait};
use crate::state::{SOURCE, nanos, say};
use crate::time::{Sleep, sleep_until};
use crate::{door::Door, io::readiness::HasSource};

/// How long accept pauses when the process or the machine has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// How long accept must work before a shortage counts as over. One that comes and goes with each
/// connection that is closed is still the same shortage, and is logged once.
const EPISODE: Duration = Duration::from_secs(1);

/// What a listener accepts. (Public because it is in the output of `Accept`; it cannot be named
/// outside.)
pub trait Accepts {
    type Stream;
    /// The type of a peer's address.
    type Address;
}

/// A listener beneath its public type.
pub(crate) trait Listener: HasSource + Accepts<Stream: HasSource> {
    fn backoff(&self) -> &Backoff;
    /// Makes the system call.
    fn accept_one(io: &Self::Io) -> io::Result<(Accepted<Self>, Self::Address)>;
    /// Registers the connection with the loop that runs here.
    fn register(io: Accepted<Self>) -> io::Result<Self::Stream>;
}

/// A connection that the kernel has returned, and that no loop watches yet.
type Accepted<L> = <<L as Accepts>::Stream as HasSource>::Io;

/// The pause of accept after a shortage of file descriptors.
///
/// It belongs to the listener, not to the future, so that a loop which ignores errors and makes a
/// new future each time does not spin.
#[derive(Default)]
pub(crate) struct Backoff {
    /// The time of the loop's clock, in nanoseconds, before which accept is not tried; 0 if there
    /// is no pause. Atomic only so that the listener is `Sync`.
    until: AtomicU64,
    /// When the shortage counts as over if accept does not meet it again, so that each is logged
    /// once.
    episode_ends: AtomicU64,
    /// The timer of `poll_accept`, which has no future to keep it in. A mutex only so that the
    /// listener is `Sync`.
    sleep: Mutex<Option<Sleep>>,
}

impl Backoff {
    fn is_on(&self) -> bool {
        self.until.load(Ordering::Relaxed) != 0
    }

    fn end(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    fn start(&self, error: &io::Error) {
        let now = Door::expect("a listener").clock.now_nanos();
        // A virtual clock may be near the end of its range.
        self.until.store(now.saturating_add(nanos(PAUSE)), Ordering::Relaxed);
        let episode_ends =
            self.episode_ends.swap(now.saturating_add(nanos(EPISODE)), Ordering::Relaxed);
        if now >= episode_ends {
            say(
                Level::Warn,
                SOURCE,
                format_args!(
                    "accept: {error}: clients wait until file descriptors are free; trying again every {PAUSE:?}"
                ),
            );
        }
    }

    /// Pending while accept pauses.
    fn poll_end(&self, sleep: &mut Option<Sleep>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let until = self.until.load(Ordering::Relaxed);
            if until == 0 {
                *sleep = None;
                return Poll::Ready(());
            }
            let door = Door::expect("a listener");
            let (now, until) = (door.clock.now(), door.clock.instant(until));
            drop(door);
            if now >= until {
                *sleep = None;
                return Poll::Ready(());
            }
            // Another task may have tried meanwhile, and extended the pause.
            let pause = sleep.get_or_insert_with(|| sleep_until(until));
            if pause.deadline() != until {
                pause.reset(until);
            }
            ready!(Pin::new(pause).poll(cx));
            *sleep = None;
        }
    }
}

/// Whether the error is about a connection that has died, not about the listener. accept(2) lists
/// these errors, and says to treat them like EAGAIN.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable,
    };
    // EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, which have no kind. (Not EPERM: from a firewall it is
    // about the connection, but from a sandbox it is permanent.)
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(71 | 92 | 112 | 64) = error.raw_os_error() {
        return true;
    }
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | NetworkDown | NetworkUnreachable
    )
}

/// Whether the error is EMFILE, ENFILE, ENOBUFS or ENOMEM: not about this connection, and not over
/// by the next try.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    let exhausted: &[i32] = if cfg!(windows) {
        &[10024, 10055] // WSAEMFILE, WSAENOBUFS
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        &[24, 23, 105, 12]
    } else {
        &[24, 23, 55, 12] // The BSDs and macOS number ENOBUFS differently.
    };
    error.raw_os_error().is_some_and(|code| exhausted.contains(&code))
}

/// The future of `accept`.
#[must_use = "futures do nothing unless awaited"]
pub struct Accept<'a, L = TcpListener> {
    listener: &'a L,
    wait: Wait,
    /// The timer of a pause.
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

/// The `poll_accept` of a listener: its waker stays registered, and so does its timer.
#[track_caller]
pub(super) fn poll_latest<L: Listener>(
    listener: &L,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(L::Stream, L::Address)>> {
    let mut wait = Wait::at(Location::caller());
    // The timer is taken out, so that the lock is not held while user code (a waker) may run.
    let mut sleep = listener.backoff().sleep.lock().unwrap_or_else(PoisonError::into_inner).take();
    let accepted = poll_accept(listener, &mut wait, &mut sleep, cx);
    *listener.backoff().sleep.lock().unwrap_or_else(PoisonError::into_inner) = sleep;
    listener.registered().leave_behind(wait);
    accepted
}

/// Accepts the next connection, after the pause if there is one.
fn poll_accept<L: Listener>(
    listener: &L,
    wait: &mut Wait,
    sleep: &mut Option<Sleep>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(L::Stream, L::Address)>> {
    let (listener, backoff) = (listener.registered(), listener.backoff());
    loop {
        ready!(backoff.poll_end(sleep, cx));
        match ready!(listener.poll_io(wait, cx, Direction::Read, L::accept_one, |_| false)) {
            Ok((io, peer)) => {
                backoff.end();
                return Poll::Ready(L::register(io).map(|stream| (stream, peer)));
            }
            // The listener is fine, and the next connection may be: try again at once.
            Err(error) if is_of_the_connection(&error) => {
                say(
                    Level::Debug,
                    SOURCE,
                    format_args!("a connection died before it was accepted: {error}"),
                );
            }
            Err(error) => {
                if is_out_of_files(&error) {
                    backoff.start(&error);
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
                // It is logged, and the next poll pauses. (There is no pause if accept itself
                // succeeded, and only registering the connection failed: that error is returned.)
                Err(error) if is_out_of_files(&error) && self.accept.listener.backoff().is_on() => {
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

/// `accept`, `poll_accept` and `incoming`. The literals are added to the documentation of `accept`
/// and of `incoming`, and the attributes in front to that of `incoming`.
macro_rules! accept_methods {
    (
        $(#[$incoming_more:meta])*
        $listener:ty => $stream:ty, $address:ty,
        accept: $accept:literal,
        incoming: $incoming:literal $(,)?
    ) => {
        /// Waits for the next connection, and returns it with the address of its peer. Several
        /// tasks may wait; each connection goes to one of them.
        ///
        #[doc = $accept]
        ///
        /// If no file descriptor is left, that error is returned, and the next `accept` pauses for
        /// 20 ms before it tries again: so even a loop that ignores errors does not spin.
        ///
        /// Cancel-safe: a connection that was not returned stays in the kernel's queue.
        ///
        /// # Errors
        ///
        /// Those of accept(2) about the listener or the process: for instance "too many open
        /// files".
        ///
        /// # Panics
        ///
        /// Polling it outside the loop that the listener belongs to.
        #[track_caller]
        pub fn accept(&self) -> $crate::net::accept::Accept<'_, $listener> {
            $crate::net::accept::Accept::new(self)
        }

        /// As [`accept`](Self::accept), for a future of your own. Its waker stays registered when
        /// it returns, as that of [`poll_readable`](Self::poll_readable).
        ///
        /// # Errors
        ///
        /// As [`accept`](Self::accept).
        ///
        /// # Panics
        ///
        /// Outside the loop that the listener belongs to.
        #[track_caller]
        pub fn poll_accept(
            &self,
            cx: &mut ::std::task::Context<'_>,
        ) -> ::std::task::Poll<::std::io::Result<($stream, $address)>> {
            $crate::net::accept::poll_latest(self, cx)
        }

        $crate::io::readiness::readiness!(read);

        /// All connections to come, as a stream that never ends.
        ///
        #[doc = $incoming]
        ///
        /// Cancel-safe: a connection that was not returned stays in the kernel's queue.
        $(#[$incoming_more])*
        ///
        /// # Panics
        ///
        /// Polling it outside the loop that the listener belongs to.
        #[track_caller]
        pub fn incoming(&self) -> $crate::net::accept::Incoming<'_, $listener> {
            $crate::net::accept::Incoming::new(self)
        }
    };
}
pub(super) use accept_methods;

debug_struct!(impl[L: fmt::Debug] for Accept<'_, L> as "Accept",
    |this| listener: this.listener, ..);

debug_struct!(impl[L: fmt::Debug] for Incoming<'_, L> as "Incoming",
    |this| listener: this.accept.listener, ..);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_errors_of_accept_are_told_apart() {
        let is = |code, check: fn(&io::Error) -> bool| check(&io::Error::from_raw_os_error(code));
        // ECONNABORTED, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, ENETDOWN, ENETUNREACH,
        // EHOSTUNREACH.
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
