//! TCP listeners: [`TcpListener`], and the future [`Bind`] of its `bind` and that of `UdpSocket`.
//!
//! How connections are accepted is in `accept.rs`.

use std::task::{Context, Poll};
use std::{io, net::SocketAddr, panic::Location, pin::Pin};

use super::accept::{Accepts, Backoff, Listener, accept_methods};
use super::resolve::{Resolve, address::ToSocketAddrs};
use super::socket::{socket, socket_methods};
use super::{options::socket_options, tcp::TcpStream};
use crate::reactor::{Ready, Registered};

/// How many connections the kernel completes and queues until they are accepted. This is tokio's
/// number; with std's 128, a burst of clients waits a second each until their SYN is sent again.
#[cfg(target_os = "linux")]
const BACKLOG: i32 = 1024;

/// A socket that accepts TCP connections.
///
/// On Linux a connection inherits the SO_LINGER of its listener. If that is set to a time, the drop
/// of each [`TcpStream`] may block the loop.
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
    backoff: Backoff,
}

socket!(TcpListener, mio::net::TcpListener);

impl Accepts for TcpListener {
    type Stream = TcpStream;
    type Address = SocketAddr;
}

impl Listener for TcpListener {
    fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    fn accept_one(io: &mio::net::TcpListener) -> io::Result<(mio::net::TcpStream, SocketAddr)> {
        io.accept()
    }

    fn register(io: mio::net::TcpStream) -> io::Result<TcpStream> {
        TcpStream::new(io)
    }
}

impl TcpListener {
    /// Listens on an address. If there are several, on the first that works. Port 0 lets the kernel
    /// choose: [`local_addr`](Self::local_addr) returns it. On Unix, SO_REUSEADDR is set.
    ///
    /// Unless there is a host name to resolve, it is ready at the first poll (or, in a task that
    /// has spent its budget, at the second). Cancel-safe: a listener that was not returned is
    /// closed.
    ///
    /// # Errors
    ///
    /// Each address that was tried, with its error: for instance `AddrInUse`. The kind is that of
    /// the last. If a host does not resolve: its name. `InvalidInput` for what is not an address:
    /// see [`ToSocketAddrs`].
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
        // mio has called listen(2) with std's backlog. On Linux a second call changes it.
        #[cfg(target_os = "linux")]
        rustix::net::listen(&io, BACKLOG)?;
        TcpListener::new(io)
    }

    #[track_caller]
    pub(super) fn new(io: mio::net::TcpListener) -> io::Result<Self> {
        let registered = Registered::new(io, "TCP listener", Ready::BOTH)?;
        Ok(TcpListener { registered, backoff: Backoff::default() })
    }

    socket_methods! {
        ///
        /// For options that must be set before `bind`, make the socket with the crate socket2.
        std::net::TcpListener as listener,
        mio: mio::net::TcpListener,
        local_addr: SocketAddr,
        "The address that it listens on.",
    }

    accept_methods! {
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
        TcpListener => TcpStream, SocketAddr,
        accept: "A connection that died before it was accepted is skipped.",
        incoming: "If no file descriptor is left, that is logged, and the stream goes on when \
                   there is one: one line at `warn`, and another only after a second without a \
                   shortage. Other errors are items of the stream: those of accept(2) about the \
                   listener, or that the kernel cannot watch a connection, which is then closed.",
    }

    socket_options! {
        /// Sets how many routers a packet may pass (IP_TTL). On Linux the connections that are
        /// accepted from then on inherit it.
        set_ttl/ttl: u32,
        errors: "Those of setsockopt(2).",
        set: |listener, ttl| listener.registered.io().set_ttl(ttl),
        get: |listener| listener.registered.io().ttl();
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
