//! [`UnixDatagram`] and its future [`UnixSendTo`]; the others are those of [`datagram`](crate::net::datagram).

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Retry, about_path, address};
use crate::io::readiness;
use crate::net::datagram::{DatagramSocket, RecvDatagram, SendDatagram};
use crate::net::socket::{own, socket};
use crate::reactor::{Direction, Registered};

/// A socket that sends and receives datagrams between processes of one machine.
///
/// Each datagram is sent whole and received whole, or not at all, and none is lost on the way: who sends faster than the other
/// end receives must wait. All methods take `&self`, and several tasks may share one socket: each datagram goes to
/// one of them.
///
/// A datagram that is larger than the buffer given to a receiving method is cut off, and **the rest of it is lost
/// without a word**. On Linux, `recv_msg` says whether a datagram was cut off.
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
        Ok(UnixDatagram { registered: Registered::quiet(io, "Unix datagram socket")? })
    }

    /// A socket with a path, so that others can send to it; a file is made there for it. It stays when the socket is
    /// dropped: remove it, before the next is bound there or after the last has gone. (Not async: there is nothing to
    /// wait for.)
    ///
    /// On Linux, a path that begins with a NUL is an abstract name, which has no file and ends with the socket: unix(7). This
    /// holds wherever a path is taken.
    ///
    /// # Errors
    ///
    /// What bind(2) says, with the path: for instance `AddrInUse` if there is a file, `NotFound` if there is no such
    /// directory; `InvalidInput` for a path longer than the kernel takes, of 107 bytes on Linux.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let bound = address::bound(path, address::bind_datagram(path), UnixDatagram::new);
        bound.map_err(|error| about_path("bind to", path, error))
    }

    /// A socket without a path: it can send, and nobody can answer, unless they are [connected](Self::connect) to each
    /// other.
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

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// If the process has not two free file descriptors, or the kernel cannot watch them.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = mio::net::UnixDatagram::pair()?;
        Ok((UnixDatagram::new(one)?, UnixDatagram::new(other)?))
    }

    /// Takes over a socket of std, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// If the kernel cannot set the mode or watch the socket.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        UnixDatagram::new(mio::net::UnixDatagram::from_std(socket))
    }

    /// Gives the socket back to std, still in non-blocking mode: also the way to another loop. Blocking calls need
    /// [`set_nonblocking(false)`](std::os::unix::net::UnixDatagram::set_nonblocking) first, else they fail with `WouldBlock`.
    ///
    /// # Errors
    ///
    /// If the process has no free file descriptor, to which the socket could move. It is closed then.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixDatagram> {
        own(self.registered.io()).map(Into::into)
    }

    /// Makes the socket at a path the one that [`send`](Self::send) sends to and the only one from which datagrams are
    /// received. It may be called again, for another path. (Not async: there is nothing to wait for.)
    ///
    /// # Errors
    ///
    /// What connect(2) says, with the path: for instance `NotFound`, or `ConnectionRefused` if there is a file and nobody
    /// receives there.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let connected = address::connect_datagram(self.registered.io(), path);
        connected.map_err(|error| about_path("connect to", path, error))
    }

    /// Sends `buf` as one datagram to the socket that this one is [connected](Self::connect) to, and returns how many bytes that
    /// were: all of them. While the other's queue is full, it waits.
    ///
    /// Cancel-safe: if it is dropped before it was ready, nothing was sent.
    ///
    /// # Errors
    ///
    /// What send(2) says: for instance "message too long", or `ConnectionRefused` if the other is gone.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the socket belongs to. So do all operations below.
    #[track_caller]
    pub fn send<'a>(&'a self, buf: &'a [u8]) -> SendDatagram<'a, UnixDatagram> {
        SendDatagram::new(self, buf)
    }

    /// Receives one datagram. Returns how many bytes of it are in `buf`; what did not fit in there is lost.
    ///
    /// Cancel-safe: if it is dropped before it was ready, no datagram was taken.
    ///
    /// # Errors
    ///
    /// What recv(2) says.
    #[track_caller]
    pub fn recv<'a>(&'a self, buf: &'a mut [u8]) -> RecvDatagram<'a, UnixDatagram> {
        RecvDatagram::new(self, buf, |socket, buf| socket.registered.io().recv(buf))
    }

    /// Sends `buf` as one datagram to the socket at a path, and returns how many bytes that were: all of them.
    ///
    /// While the other's queue is full, the kernel refuses and has no event for when it would not; so this tries again, first
    /// after 1 ms, then less and less often, in the end every 20 ms. To be told at once, [`connect`](Self::connect)
    /// and use [`send`](Self::send).
    ///
    /// Cancel-safe: if it is dropped before it was ready, nothing was sent.
    ///
    /// # Errors
    ///
    /// What sendto(2) says, with the path: for instance `NotFound`, or "message too long".
    #[track_caller]
    pub fn send_to<'a, P: AsRef<Path>>(&'a self, buf: &'a [u8], path: P) -> UnixSendTo<'a, P> {
        UnixSendTo { socket: self, buf, path, retry: Retry::at(Location::caller()) }
    }

    /// Receives one datagram. Returns how many bytes of it are in `buf`, and what its sender is bound to, if it is; what did
    /// not fit in there is lost.
    ///
    /// Cancel-safe: if it is dropped before it was ready, no datagram was taken.
    ///
    /// # Errors
    ///
    /// What recvfrom(2) says.
    #[track_caller]
    pub fn recv_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> RecvDatagram<'a, UnixDatagram, (usize, SocketAddr)> {
        RecvDatagram::new(self, buf, |socket, buf| socket.registered.io().recv_from(buf))
    }

    readiness!(read and write);

    /// As [`send`](Self::send), without waiting.
    ///
    /// Never refused, as a single poll of [`send`](Self::send) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room; else as [`send`](Self::send).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to. So do all `try_` methods.
    #[track_caller]
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.registered.try_io(Direction::Write, |io| io.send(buf), |_| false)
    }

    /// As [`recv`](Self::recv), without waiting.
    ///
    /// Never refused, as a single poll of [`recv`](Self::recv) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no datagram; else as [`recv`](Self::recv).
    #[track_caller]
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.registered.try_io(Direction::Read, |io| io.recv(buf), |_| false)
    }

    /// As [`send_to`](Self::send_to), without waiting.
    ///
    /// Never refused, as a single poll of [`send_to`](Self::send_to) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the other's queue is full. [`writable`](Self::writable) says nothing of that: wait with
    /// [`send_to`](Self::send_to). Else as [`send_to`](Self::send_to).
    #[track_caller]
    pub fn try_send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let path = path.as_ref();
        match self.send_once(buf, path) {
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(Some(bytes)) => Ok(bytes),
            Err(error) => Err(about_path("send to", path, error)),
        }
    }

    /// As [`recv_from`](Self::recv_from), without waiting.
    ///
    /// Never refused, as a single poll of [`recv_from`](Self::recv_from) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    #[track_caller]
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.registered.try_io(Direction::Read, |io| io.recv_from(buf), |_| false)
    }

    /// As [`recv`](Self::recv), for a future of your own. Its waiter stays when it returns, as that of [`poll_readable`](Self::poll_readable).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[track_caller]
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.registered.poll_latest(cx, Direction::Read, |io| io.recv(buf))
    }

    /// As [`recv_from`](Self::recv_from), for a future of your own. Its waiter stays when it returns, as that of [`poll_readable`](Self::poll_readable).
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[track_caller]
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.registered.poll_latest(cx, Direction::Read, |io| io.recv_from(buf))
    }

    /// As [`send`](Self::send), for a future of your own. Its waiter stays when it returns, as that of [`poll_writable`](Self::poll_writable).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[track_caller]
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.registered.poll_latest(cx, Direction::Write, |io| io.send(buf))
    }

    /// `None`: it would block, because the other's queue is full. Nothing of that is remembered as our own readiness.
    #[track_caller]
    fn send_once(&self, buf: &[u8], path: &Path) -> io::Result<Option<usize>> {
        let op = |io: &mio::net::UnixDatagram| match address::send_to(io, buf, path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            sent => sent.map(Some),
        };
        self.registered.try_io(Direction::Write, op, |_| false)
    }

    /// Closes one direction, or both. After `Shutdown::Read`, who is connected to this socket and sends gets `BrokenPipe`.
    ///
    /// # Errors
    ///
    /// What shutdown(2) says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.registered.io().shutdown(how)
    }

    /// What it is bound to.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registered.io().local_addr()
    }

    /// What the socket that it is [connected](Self::connect) to is bound to.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.registered.io().peer_addr()
    }

    /// Takes the error that waits to be reported (SO_ERROR), if there is one.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.registered.io().take_error()
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

/// Nothing in it is ever pinned.
impl<P> Unpin for UnixSendTo<'_, P> {}

impl<P: AsRef<Path>> Future for UnixSendTo<'_, P> {
    type Output = io::Result<usize>;

    /// Not by an event of our own socket: it makes one for each try that fails, and none when the other's queue has
    /// room again.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let path = this.path.as_ref();
        loop {
            ready!(this.retry.poll_go(cx));
            match this.socket.send_once(this.buf, path) {
                Ok(None) => this.retry.pause(),
                Ok(Some(bytes)) => return Poll::Ready(Ok(bytes)),
                Err(error) => return Poll::Ready(Err(about_path("send to", path, error))),
            }
        }
    }
}
