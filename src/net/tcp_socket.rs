//! [`TcpSocket`], a TCP socket that neither is connected nor listens yet, for options and addresses
//! that must be set before (Linux); and its future [`TcpSocketConnect`].
//!
//! It is not registered with a loop. The [`TcpStream`] or [`TcpListener`] that it becomes is.

mod options;

use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll, ready};
use std::{fmt, io, net::SocketAddr, panic::Location, pin::Pin};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{listener::TcpListener, tcp::TcpStream, tcp::connect::Attempt};
use crate::{about::about, door::Door, io::byte_stream::as_raw_fd, io::syscall::set_nonblocking};

/// A TCP socket that neither is connected nor listens yet (Linux).
///
/// For options that must be set before: to connect from a chosen address, to share a port, to let
/// the connections of a listener inherit options. If you need none, [`TcpStream::connect`] and
/// [`TcpListener::bind`] are shorter, and take host names.
///
/// It needs no loop until it is [connected](Self::connect) or [listens](Self::listen), and may be
/// moved to another thread until then. Dropping it closes it.
///
/// ```
/// use std::time::Duration;
///
/// use headwaiter::net::TcpSocket;
///
/// headwaiter::block_on(async {
///     let kitchen = TcpSocket::new_v4()?;
///     kitchen.set_reuseaddr(true)?; // `TcpListener::bind` does so by itself.
///     kitchen.set_keepalive(true)?; // Also of the connections that it accepts.
///     kitchen.set_keepalive_time(Duration::from_secs(60))?;
///     kitchen.bind("127.0.0.1:0".parse().unwrap())?;
///     let kitchen = kitchen.listen(1024)?;
///
///     let guest = TcpSocket::new_v4()?;
///     guest.bind("127.0.0.2:0".parse().unwrap())?; // The address to connect from.
///     let guest = guest.connect(kitchen.local_addr()?).await?;
///     let (_, peer) = kitchen.accept().await?;
///     assert_eq!(peer, guest.local_addr()?);
///     assert_eq!(peer.ip().to_string(), "127.0.0.2");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpSocket {
    fd: OwnedFd,
    /// Whether it was made elsewhere, so that it may be in blocking mode.
    foreign: bool,
}

impl TcpSocket {
    /// Makes an IPv4 socket. As all sockets, it is closed in child processes. No other option is
    /// set.
    ///
    /// # Errors
    ///
    /// If the process has no free file descriptor.
    pub fn new_v4() -> io::Result<Self> {
        TcpSocket::new(AddressFamily::INET)
    }

    /// Makes an IPv6 socket. It also connects to, and listens on, IPv4 addresses that are mapped to
    /// IPv6, unless [`set_only_v6`](Self::set_only_v6) forbids it.
    ///
    /// # Errors
    ///
    /// If the process has no free file descriptor, or the kernel has no IPv6.
    pub fn new_v6() -> io::Result<Self> {
        TcpSocket::new(AddressFamily::INET6)
    }

    fn new(family: AddressFamily) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        Ok(TcpSocket { fd, foreign: false })
    }

    /// Takes over a socket that is not connected yet, for options that have no method here.
    ///
    /// std has no type for such a socket; crates such as [socket2](https://docs.rs/socket2) make
    /// it. (A connected stream is taken over by [`TcpStream::from_std`].) It need not be in
    /// non-blocking mode: [`connect`](Self::connect) and [`listen`](Self::listen) set that.
    ///
    /// ```
    /// use headwaiter::net::{TcpListener, TcpSocket};
    /// use socket2::{Domain, Socket, Type};
    ///
    /// headwaiter::block_on(async {
    ///     let kitchen = TcpListener::bind("127.0.0.1:0").await?;
    ///
    ///     let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    ///     socket.set_tcp_user_timeout(Some(std::time::Duration::from_secs(20)))?;
    ///     let guest = TcpSocket::from_std_stream(socket.into());
    ///     guest.connect(kitchen.local_addr()?).await?;
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn from_std_stream(stream: std::net::TcpStream) -> Self {
        TcpSocket { fd: stream.into(), foreign: true }
    }

    /// Binds it to a local address: the one to listen on, or to connect from. Port 0 lets the
    /// kernel choose: [`local_addr`](Self::local_addr) returns it. (Not async: there is nothing to
    /// wait for.)
    ///
    /// A port whose last connection was closed a short time ago is still in use, unless
    /// [`set_reuseaddr`](Self::set_reuseaddr) was called before.
    ///
    /// # Errors
    ///
    /// Those of bind(2), with the address: for instance `AddrInUse`, `AddrNotAvailable` if this
    /// machine does not have it, `PermissionDenied` for a port below 1024. `InvalidInput` if it is
    /// bound already.
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        rustix::net::bind(&self.fd, &address)
            .map_err(|error| about("bind to", address, error.into()))
    }

    /// Connects to an address. If it does not answer, that fails when the kernel stops trying,
    /// after some two minutes (tcp(7), `tcp_syn_retries`), or with your
    /// [`timeout`](crate::time::timeout).
    ///
    /// Cancel-safe: dropping the future closes the socket.
    ///
    /// # Errors
    ///
    /// Those of connect(2), with the address: for instance `ConnectionRefused`, or
    /// `AddrNotAvailable` if the same connection exists already, or was closed a short time ago.
    /// The socket is closed then.
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn connect(self, address: SocketAddr) -> TcpSocketConnect {
        TcpSocketConnect { socket: Some(self), attempt: None, address, place: Location::caller() }
    }

    /// Listens on the address that it was [bound](Self::bind) to; if it was not, on all addresses
    /// of this machine with a port that the kernel chooses.
    ///
    /// `backlog` is how many connections the kernel queues until they are accepted, at most
    /// `net.core.somaxconn`; [`TcpListener::bind`] takes 1,024. Beyond that, clients must try
    /// again.
    ///
    /// On Linux the connections that it accepts inherit the options that were set here, for
    /// instance `keepalive`, `nodelay` and the sizes of the buffers.
    ///
    /// # Errors
    ///
    /// Those of listen(2), with the address: for instance `AddrInUse` if another socket that was
    /// bound with [`set_reuseaddr`](Self::set_reuseaddr) listens there. Also if the kernel cannot
    /// watch the socket. It is closed then.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        drop(Door::expect("`TcpSocket::listen`"));
        let address = self.local_addr();
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let listening = self.into_nonblocking().and_then(|fd| {
            rustix::net::listen(&fd, backlog)?;
            TcpListener::new(fd.into())
        });
        listening.map_err(|error| match address {
            Ok(address) => about("listen on", address, error),
            Err(_) => error,
        })
    }

    fn into_nonblocking(self) -> io::Result<OwnedFd> {
        if self.foreign {
            set_nonblocking(&self.fd, true)?;
        }
        Ok(self.fd)
    }

    /// The address that it is bound to: all zeros if it is not bound.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(rustix::net::getsockname(&self.fd)?.try_into()?)
    }

    /// Takes the pending error of the socket (SO_ERROR), if there is one.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(rustix::net::sockopt::socket_error(&self.fd)?.err().map(io::Error::from))
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

as_raw_fd!(impl for TcpSocket;);

impl From<TcpSocket> for OwnedFd {
    fn from(socket: TcpSocket) -> OwnedFd {
        socket.fd
    }
}

impl IntoRawFd for TcpSocket {
    fn into_raw_fd(self) -> RawFd {
        self.fd.into_raw_fd()
    }
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpSocket");
        if let Ok(address) = self.local_addr() {
            debug.field("addr", &address);
        }
        debug.field("fd", &std::os::fd::AsRawFd::as_raw_fd(self)).finish()
    }
}

/// The future of [`TcpSocket::connect`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct TcpSocketConnect {
    /// `None` from the first poll on.
    socket: Option<TcpSocket>,
    /// `Some` from the first poll until the future is ready. Dropping it closes the socket.
    attempt: Option<Attempt>,
    address: SocketAddr,
    place: &'static Location<'static>,
}

impl TcpSocketConnect {
    /// Starts to connect. The kernel goes on in the background.
    fn start(&self, socket: TcpSocket) -> io::Result<Attempt> {
        let fd = socket.into_nonblocking()?;
        match rustix::net::connect(&fd, &self.address) {
            // Over the loopback it may be connected at once. The poller reports that too.
            Ok(()) | Err(Errno::INPROGRESS) => {
                Attempt::started(fd.into(), self.address, self.place)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        if self.socket.is_some() {
            // Outside a loop this panics, before anything is sent to the peer.
            drop(Door::expect("`TcpSocket::connect`"));
        }
        if let Some(socket) = self.socket.take() {
            self.attempt = Some(self.start(socket)?);
        }
        let Some(attempt) = &mut self.attempt else {
            panic!(
                "headwaiter: the future of `TcpSocket::connect` was polled again after it was ready"
            );
        };
        let connected = ready!(attempt.poll(cx));
        let stream = self.attempt.take().map(Attempt::into_stream);
        Poll::Ready(connected.map(|()| stream.expect("it was polled just now")))
    }
}

impl Future for TcpSocketConnect {
    type Output = io::Result<TcpStream>;

    /// # Panics
    ///
    /// Outside any event loop, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let connected = ready!(self.poll_connected(cx));
        Poll::Ready(connected.map_err(|error| about("connect to", self.address, error)))
    }
}
