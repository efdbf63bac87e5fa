//! [`UnixDatagram`] and its future [`UnixSendTo`].
//!
//! What it shares with UDP sockets is in `net/datagram.rs`. This file adds what only Unix datagram
//! sockets have: paths, and a receiver whose queue is full.

use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::{io, net::Shutdown, os::unix::net::SocketAddr, panic::Location, path::Path, pin::Pin};

use super::address;
use super::{Retry, about_path};
use crate::net::datagram::{DatagramSocket, datagram_methods};
use crate::net::socket::{socket, socket_methods};
use crate::reactor::{Direction, Registered};

/// A socket that sends and receives datagrams between processes of one machine.
///
/// Each datagram is sent whole and received whole, or not at all, and none is lost on the way: a
/// sender that is faster than the receiver must wait. All methods take `&self`, and several tasks
/// may share one socket: each datagram goes to one of them.
///
/// A datagram that is larger than the buffer of a receiving method is truncated, and **the rest is
/// lost silently**. On Linux, `recv_msg` reports whether a datagram was truncated.
///
/// ```
/// use headwaiter::net::UnixDatagram;
///
/// headwaiter::block_on(async {
///     let (guest, kitchen) = UnixDatagram::pair()?;
///     guest.send(b"soup").await?;
///     let mut order = [0; 2048];
///     let n = kitchen.recv(&mut order).await?;
///     assert_eq!(&order[..n], b"soup");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram {
    registered: Registered<mio::net::UnixDatagram>,
    /// The pause of `poll_send_to`, which has no future that could keep it.
    resend: Mutex<Option<Retry>>,
}

socket!(UnixDatagram, mio::net::UnixDatagram);

impl DatagramSocket for UnixDatagram {
    fn send_connected(io: &mio::net::UnixDatagram, buf: &[u8]) -> io::Result<usize> {
        io.send(buf)
    }
}

impl UnixDatagram {
    #[track_caller]
    fn new(io: mio::net::UnixDatagram) -> io::Result<Self> {
        let registered = Registered::quiet(io, "Unix datagram socket")?;
        Ok(UnixDatagram { registered, resend: Mutex::new(None) })
    }

    /// Makes a socket that is bound to a path, so that others can send to it. A file is made there,
    /// which stays when the socket is dropped: remove it before the next socket is bound to the
    /// path, or after the last one is gone. (Not async: there is nothing to wait for.)
    ///
    /// On Linux, a path that begins with a NUL is an abstract name, which has no file and ends with
    /// the socket: unix(7). This holds for every method that takes a path.
    ///
    /// # Errors
    ///
    /// Those of bind(2), with the path: for instance `AddrInUse` if the file exists, `NotFound` if
    /// the directory does not; `InvalidInput` for a path longer than the kernel takes, 107 bytes on
    /// Linux.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let bound = address::register_bound(path, address::bind_datagram(path), UnixDatagram::new);
        bound.map_err(|error| about_path("bind to", path, error))
    }

    /// Makes a socket without a path. It can send, and nothing can send to it, unless the two are
    /// [connected](Self::connect) to each other.
    ///
    /// # Errors
    ///
    /// If the process has no free file descriptor, or the kernel cannot watch it.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn unbound() -> io::Result<Self> {
        mio::net::UnixDatagram::unbound().and_then(UnixDatagram::new)
    }

    /// Makes two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// If the process does not have two free file descriptors, or the kernel cannot watch them.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = mio::net::UnixDatagram::pair()?;
        Ok((UnixDatagram::new(one)?, UnixDatagram::new(other)?))
    }

    socket_methods! {
        std::os::unix::net::UnixDatagram as socket,
        mio: mio::net::UnixDatagram,
        local_addr: SocketAddr,
        "The address that it is bound to.",
    }

    /// Connects to the socket at a path: [`send`](Self::send) sends there, and datagrams are
    /// received only from there. It may be called again, with another path. (Not async: there is
    /// nothing to wait for.)
    ///
    /// # Errors
    ///
    /// Those of connect(2), with the path: for instance `NotFound`, or `ConnectionRefused` if the
    /// file exists and no socket is bound to it.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let connected = address::connect_datagram(self.registered.io(), path);
        connected.map_err(|error| about_path("connect to", path, error))
    }

    datagram_methods! {
        /// Sends `buf` as one datagram to the socket that this one is [connected](Self::connect)
        /// to, and returns how many bytes that were: all of them. It waits while the receiver's
        /// queue is full.
        UnixDatagram, SocketAddr,
        send_errors: "Those of send(2): for instance \"message too long\", or `ConnectionRefused` \
                      if the receiver is gone.",
        recv: "Receives one datagram.",
        recv_errors: "Those of recv(2).",
        recv_from: "the address that its sender is bound to, if it is.",
        peer_addr: "The address of the socket that it is [connected](Self::connect) to.",
    }

    /// Sends `buf` as one datagram to the socket at a path, and returns how many bytes that were:
    /// all of them.
    ///
    /// While the receiver's queue is full, the kernel refuses, and has no event for when it would
    /// not. So this tries again, first after 1 ms, then less often, at last every 20 ms. To be
    /// woken at once, [`connect`](Self::connect) and use [`send`](Self::send).
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing was sent.
    ///
    /// # Errors
    ///
    /// Those of sendto(2), with the path: for instance `NotFound`, or "message too long".
    #[track_caller]
    pub fn send_to<'a, P: AsRef<Path>>(&'a self, buf: &'a [u8], path: P) -> UnixSendTo<'a, P> {
        UnixSendTo { socket: self, buf, path, retry: Retry::at(Location::caller()) }
    }

    /// As [`send_to`](Self::send_to), without waiting.
    ///
    /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
    /// single poll of [`send_to`](Self::send_to) may be.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the receiver's queue is full. [`writable`](Self::writable) says nothing
    /// about that: wait with [`send_to`](Self::send_to). Otherwise as [`send_to`](Self::send_to).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[track_caller]
    pub fn try_send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let path = path.as_ref();
        match self.send_once(buf, path) {
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(Some(bytes)) => Ok(bytes),
            Err(error) => Err(about_path("send to", path, error)),
        }
    }

    /// As [`send_to`](Self::send_to), for a future of your own.
    ///
    /// While the receiver's queue is full, the task of `cx` is woken for the next try. The socket
    /// keeps one timer for that, and one waker: of all calls that were pending, the last decides
    /// which task is woken. The timer ends when a call is ready.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[track_caller]
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        path: impl AsRef<Path>,
    ) -> Poll<io::Result<usize>> {
        // Taken out, so that no lock is held while the timer drops a foreign waker.
        let lock = || self.resend.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = lock().take();
        let mut retry = kept.unwrap_or_else(|| Retry::at(Location::caller()));
        let polled = self.poll_resend(cx, buf, path.as_ref(), &mut retry);
        if polled.is_pending() {
            *lock() = Some(retry);
        }
        polled
    }

    #[track_caller]
    fn poll_resend(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        path: &Path,
        retry: &mut Retry,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(retry.poll_ready(cx));
            // After `pause`, the next iteration polls the timer, which registers the waker.
            match self.send_once(buf, path) {
                Ok(None) => retry.pause(),
                Ok(Some(bytes)) => return Poll::Ready(Ok(bytes)),
                Err(error) => return Poll::Ready(Err(about_path("send to", path, error))),
            }
        }
    }

    /// Sends once. `None` if that would block because the receiver's queue is full. It is hidden
    /// from the reactor, because it is not about the readiness of this socket.
    #[track_caller]
    fn send_once(&self, buf: &[u8], path: &Path) -> io::Result<Option<usize>> {
        // `WouldBlock` here is about the receiver's queue. Were it returned, the reactor would
        // clear the readiness of this socket, and no event would ever set it again.
        let op = |io: &mio::net::UnixDatagram| match address::send_to(io, buf, path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            sent => sent.map(Some),
        };
        self.registered.try_io(Direction::Write, op, |_| false)
    }

    /// Closes one direction, or both. After `Shutdown::Read`, a connected sender gets `BrokenPipe`.
    ///
    /// # Errors
    ///
    /// Those of shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.registered.io().shutdown(how)
    }
}

/// The future of [`UnixDatagram::send_to`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct UnixSendTo<'a, P> {
    socket: &'a UnixDatagram,
    buf: &'a [u8],
    path: P,
    retry: Retry,
}

/// Nothing in it is structurally pinned.
impl<P> Unpin for UnixSendTo<'_, P> {}

impl<P: AsRef<Path>> Future for UnixSendTo<'_, P> {
    type Output = io::Result<usize>;

    /// It waits by a timer, not for an event of this socket, which has one for each try that fails,
    /// and none when the other's queue has room again.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.socket.poll_resend(cx, this.buf, this.path.as_ref(), &mut this.retry)
    }
}
