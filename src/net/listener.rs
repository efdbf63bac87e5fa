//! TCP listeners: [`TcpListener`], and the future [`Bind`]. How it takes connections in is in
//! [`accept`].

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::accept::{self, Accept, Accepts, Hold, Incoming, Listener};
use super::resolve::{Resolve, ToSocketAddrs};
use super::socket::{own, socket};
use super::tcp::TcpStream;
use crate::io::readiness;
use crate::reactor::{Ready, Registered};

/// How many connections the kernel completes and keeps for us until we accept them. tokio's figure; std's 128
/// makes a crowd of clients wait a second each for their SYN to be sent again.
const BACKLOG: i32 = 1024;

/// A socket that takes TCP connections in.
///
/// On Linux a connection inherits the SO_LINGER of its listener. Where that is set to a time, the drop of each
/// [`TcpStream`] may block the loop.
///
/// ```
/// use headwaiter::net::{TcpListener, TcpStream};
///
/// headwaiter::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, peer) = listener.accept().await?;
///     assert_eq!(peer, client.local_addr()?);
///     assert_eq!(server.local_addr()?, listener.local_addr()?);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener {
    registered: Registered<mio::net::TcpListener>,
    hold: Hold,
}

socket!(TcpListener, mio::net::TcpListener);

impl Accepts for TcpListener {
    type Stream = TcpStream;
    type Address = SocketAddr;
}

impl Listener for TcpListener {
    fn hold(&self) -> &Hold {
        &self.hold
    }

    fn accept_one(io: &mio::net::TcpListener) -> io::Result<(mio::net::TcpStream, SocketAddr)> {
        io.accept()
    }

    fn take_in(io: mio::net::TcpStream) -> io::Result<TcpStream> {
        // A client mostly speaks first, so reading is tried at once.
        TcpStream::new(io, Ready::BOTH)
    }
}

impl TcpListener {
    /// Listens on an address; on the first that can be had, if there are several. Port 0 lets the kernel choose:
    /// [`local_addr`](Self::local_addr) tells which. On Unix with SO_REUSEADDR.
    ///
    /// Unless there is a host name to resolve, it is ready at the first poll (or, in a task that has had its share of
    /// the turn, at the second). Cancel-safe: a listener that was not returned is closed.
    ///
    /// # Errors
    ///
    /// Each address that was tried, with what came of it: for instance `AddrInUse`. The kind is the last one's. With its name, a
    /// host that does not resolve. `InvalidInput` for what is no address: see [`ToSocketAddrs`].
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> Bind {
        let addresses = Resolve::new("`TcpListener::bind`", "bind to", address, Location::caller());
        Bind::new(addresses, TcpListener::bind_one)
    }

    fn bind_one(address: SocketAddr) -> io::Result<Self> {
        let io = mio::net::TcpListener::bind(address)?;
        // mio has called listen with std's backlog; on Linux a second call changes it.
        #[cfg(target_os = "linux")]
        rustix::net::listen(&io, BACKLOG)?;
        TcpListener::new(io)
    }

    #[track_caller]
    pub(super) fn new(io: mio::net::TcpListener) -> io::Result<Self> {
        let registered = Registered::new(io, "TCP listener", Ready::BOTH)?;
        Ok(TcpListener { registered, hold: Hold::default() })
    }

    /// Takes over a listening socket of std, and sets it to non-blocking mode. For options that must be set before
    /// `bind`, make it with the crate socket2.
    ///
    /// # Errors
    ///
    /// If the kernel cannot set the mode or watch the socket.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        TcpListener::new(mio::net::TcpListener::from_std(listener))
    }

    /// Waits for the next connection. Several tasks may wait; each connection goes to one of them.
    ///
    /// A connection that died before it was accepted is passed over. When there are no file descriptors left,
    /// that error is returned, and the next `accept` holds back for 20 ms before it tries again: so also a bare
    /// loop that ignores errors does not spin.
    ///
    /// Cancel-safe: a connection that was not returned stays in the kernel's queue.
    ///
    /// # Errors
    ///
    /// What accept(2) says, of the listener or the process: for instance "too many open files".
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the listener belongs to.
    #[track_caller]
    pub fn accept(&self) -> Accept<'_> {
        Accept::new(self)
    }

    /// As [`accept`](Self::accept), for a future of your own. Its waiter stays when it returns, as that of
    /// [`poll_readable`](Self::poll_readable).
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    ///
    /// # Panics
    ///
    /// Outside the loop that the listener belongs to.
    #[track_caller]
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        accept::poll_latest(self, cx)
    }

    readiness!(read);

    /// All connections to come, as a stream that never ends. When there are no file descriptors left, it logs
    /// that and goes on when there are: one line at `warn`, and another only after a second without a shortage. Other errors are items of the stream: what accept(2) says of the
    /// listener, or that the kernel cannot watch a connection, which is then closed.
    ///
    /// Cancel-safe: a connection that was not returned stays in the kernel's queue.
    ///
    /// ```no_run
    /// use futures_lite::StreamExt;
    /// use headwaiter::net::TcpListener;
    ///
    /// headwaiter::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:7777").await?;
    ///     while let Some(stream) = listener.incoming().next().await {
    ///         println!("{} is here", stream?.peer_addr()?);
    ///     }
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the listener belongs to.
    #[track_caller]
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming::new(self)
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registered.io().local_addr()
    }

    /// How many routers a packet may pass (IP_TTL). On Linux the connections that it accepts from then on inherit it.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.registered.io().set_ttl(ttl)
    }

    /// See [`set_ttl`](Self::set_ttl).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.registered.io().ttl()
    }

    /// Takes the error that waits to be reported (SO_ERROR), if there is one.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.registered.io().take_error()
    }

    /// Gives the socket back to std, still in non-blocking mode. Blocking calls need
    /// [`set_nonblocking(false)`](std::net::TcpListener::set_nonblocking) first, else they fail with `WouldBlock`.
    ///
    /// # Errors
    ///
    /// If the process has no free file descriptor, to which the socket could move. It is closed then.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        own(self.registered.io()).map(Into::into)
    }
}

/// The future of [`TcpListener::bind`] and [`UdpSocket::bind`](super::UdpSocket::bind).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Bind<S = TcpListener> {
    addresses: Resolve,
    bind: fn(SocketAddr) -> io::Result<S>,
}

impl<S> Bind<S> {
    pub(super) fn new(addresses: Resolve, bind: fn(SocketAddr) -> io::Result<S>) -> Self {
        Bind { addresses, bind }
    }
}

impl<S> Future for Bind<S> {
    type Output = io::Result<S>;

    /// # Panics
    ///
    /// Outside any event loop, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.addresses.poll_any(cx, this.bind)
    }
}
