//! TCP streams: [`TcpStream`] and its future [`Peek`]. Connecting is in `tcp/connect.rs`.
//!
//! Reading and writing are the futures of [`crate::io`], through `stream.rs`. This file adds what
//! only TCP has, and [`LingeringClose`], which measures a close that SO_LINGER may block, so that the
//! report of a stall can name it.

pub(super) mod connect;

use std::task::{Context, Poll};
#[cfg(target_os = "linux")]
use std::time::Duration;
use std::{io, net::SocketAddr, num::NonZero, panic::Location, pin::Pin};

use self::connect::Connect;
use super::socket::{socket, socket_methods};
use super::stream::{StreamIo, stream_methods, stream_traits};
use super::{options::socket_options, resolve::address::ToSocketAddrs};
use crate::door::Door;
use crate::reactor::{Direction, Ready, Registered, Wait};

/// What the loop calls these sockets in log lines and messages.
const KIND: &str = "TCP stream";

/// A TCP connection.
///
/// Dropping it, on any thread, closes the connection. To read and write at the same time, use the
/// traits of futures-io, which are also implemented for `&TcpStream`, or the owned halves of
/// [`into_split`](Self::into_split).
///
/// The kernel sends what was written in the background, also after the drop. There is one
/// exception: **where SO_LINGER is set to a time (by another crate, or on the listener that
/// accepted the connection), the drop blocks its thread**, and so the whole loop, until the peer
/// has acknowledged everything, or for that time: socket(7). Non-blocking mode does not change
/// that. The [stall report](crate::Builder::stall_threshold) names such a close. To close at once
/// and discard what was not sent, use `set_zero_linger`. To wait for the peer without blocking,
/// shut the write direction down and read until EOF.
///
/// ```
/// use headwaiter::net::{TcpListener, TcpStream};
///
/// headwaiter::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
///     let (mut server, _) = listener.accept().await?;
///
///     client.write_all(b"soup").await?;
///     let mut order = [0; 4];
///     server.read_exact(&mut order).await?;
///     assert_eq!(&order, b"soup");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpStream {
    registered: Registered<mio::net::TcpStream>,
    /// Declared, and so dropped, after the socket.
    closing: LingeringClose,
}

socket!(TcpStream, mio::net::TcpStream);
stream_traits!(TcpStream, SocketAddr);

impl StreamIo for mio::net::TcpStream {
    const SHORT_READ_EMPTIES: bool = true;
}

impl TcpStream {
    /// Takes in a connected socket. Both directions are tried at once.
    #[track_caller]
    pub(super) fn new(io: mio::net::TcpStream) -> io::Result<Self> {
        TcpStream::with_readiness(io, Ready::BOTH)
    }

    /// Takes in a socket that the kernel is still connecting. Nothing is tried before an event.
    #[track_caller]
    fn connecting(io: mio::net::TcpStream) -> io::Result<Self> {
        TcpStream::with_readiness(io, Ready::NONE)
    }

    #[track_caller]
    fn with_readiness(io: mio::net::TcpStream, ready: Ready) -> io::Result<Self> {
        let registered = Registered::new(io, KIND, ready)?;
        Ok(TcpStream { registered, closing: LingeringClose::default() })
    }

    /// Connects to an address. If there are several, or the host name has several, to the first
    /// that answers.
    ///
    /// Several are tried as in RFC 8305 ("Happy Eyeballs"), section 5, so that an address that does
    /// not answer costs a quarter of a second and not minutes. The next attempt starts when the one
    /// before it fails, or after 250 ms while that goes on. The first to connect is returned, and
    /// the others are closed at once. The addresses of a host name are tried in the order of the
    /// resolver, but alternating between IPv6 and IPv4; a slice of addresses keeps its order. The
    /// look-up of a name completes before the first attempt.
    ///
    /// A single address needs no timer: the attempt fails when the kernel stops trying, on Linux
    /// after some two minutes (tcp(7), `tcp_syn_retries`), or with your
    /// [`timeout`](crate::time::timeout).
    ///
    /// Cancel-safe: dropping the future closes all attempts.
    ///
    /// # Errors
    ///
    /// If all attempts fail: each address with its error, for instance `ConnectionRefused`, in the
    /// order in which they failed. The kind and the OS error are those of the last. If a host does
    /// not resolve: its name. `InvalidInput` for what is not an address: see [`ToSocketAddrs`].
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> Connect {
        Connect::new(address, Location::caller())
    }

    socket_methods! {
        std::net::TcpStream as stream,
        mio: mio::net::TcpStream,
        local_addr: SocketAddr,
        "The address of this end.",
    }

    stream_methods! {
        TcpStream, SocketAddr,
        peer_addr: "The address of the peer.",
        "`NotConnected` if the connection has ended."
    }

    /// Reads the next bytes without removing them from the kernel's buffer.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the stream belongs to.
    #[track_caller]
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> Peek<'a> {
        Peek { stream: self, buf, wait: Wait::at(Location::caller()) }
    }

    /// As [`peek`](Self::peek), for a future of your own. Its waker stays registered when it
    /// returns, as that of [`poll_readable`](Self::poll_readable).
    ///
    /// # Errors
    ///
    /// As [`peek`](Self::peek).
    ///
    /// # Panics
    ///
    /// Outside the loop that the stream belongs to.
    #[track_caller]
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.registered.poll_latest(cx, Direction::Read, |io| io.peek(buf))
    }

    socket_options! {
        /// Sets whether small writes are sent at once (TCP_NODELAY), instead of being gathered for
        /// some milliseconds.
        set_nodelay/nodelay: bool,
        errors: "Those of setsockopt(2).",
        set: |stream, nodelay| stream.registered.io().set_nodelay(nodelay),
        get: |stream| stream.registered.io().nodelay();

        /// Sets how many routers a packet of this connection may pass (IP_TTL).
        set_ttl/ttl: u32,
        errors: "Those of setsockopt(2).",
        set: |stream, ttl| stream.registered.io().set_ttl(ttl),
        get: |stream| stream.registered.io().ttl();
    }
}

/// Options of Linux.
#[cfg(target_os = "linux")]
impl TcpStream {
    socket_options! {
        /// Sets whether incoming data is acknowledged at once (TCP_QUICKACK), instead of with the
        /// next data that is sent or after some 40 ms. The kernel changes it by itself as the
        /// connection goes on: tcp(7).
        set_quickack/quickack: bool,
        errors: "Those of setsockopt(2).",
        set: |stream, quickack| Ok(rustix::net::sockopt::set_tcp_quickack(stream, quickack)?),
        get: |stream| Ok(rustix::net::sockopt::tcp_quickack(stream)?);
    }

    /// Makes the drop of this stream abort the connection (SO_LINGER with a time of zero): what was
    /// not sent yet is discarded, the peer gets an error (`ConnectionReset`) instead of EOF, and no
    /// TIME_WAIT is left behind. The drop never blocks then.
    ///
    /// For a peer that breaks the protocol, or to undo an SO_LINGER that blocks the loop. Not for
    /// an ordinary end: the peer may lose data that it has not read yet.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_zero_linger(&self) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_linger(self, Some(Duration::ZERO))?)
    }

    /// How long dropping this stream may block (SO_LINGER), in whole seconds. `None`, which is the
    /// default: it does not block, and the kernel sends what was written in the background. Zero:
    /// see [`set_zero_linger`](Self::set_zero_linger).
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(rustix::net::sockopt::socket_linger(self)?)
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        // The field `closing` measures the time until it is dropped itself, after the socket.
        self.closing.begin(self.registered.io());
    }
}

/// The future of [`TcpStream::peek`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Peek<'a> {
    stream: &'a TcpStream,
    buf: &'a mut [u8],
    wait: Wait,
}

impl Future for Peek<'_> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // A short peek proves nothing, because the bytes stay in the kernel.
        this.stream.registered.poll_io(
            &mut this.wait,
            cx,
            Direction::Read,
            |io| io.peek(this.buf),
            |_| false,
        )
    }
}

/// Reports to the loop how long a close took. In a stream it is declared, and so dropped, after the
/// socket.
#[derive(Default)]
struct LingeringClose {
    /// The time of the loop's clock, in nanoseconds, just before the close, if the close may block.
    /// (One word, because each stream has it.)
    began: Option<NonZero<u64>>,
}

impl LingeringClose {
    /// Notes the time: the socket is about to be closed.
    #[cfg(target_os = "linux")]
    fn begin(&mut self, socket: &impl std::os::fd::AsFd) {
        // Another crate may have set the option, also on the listener, so the socket is asked. That
        // is cheap compared to the close.
        let lingers = || {
            let linger = rustix::net::sockopt::socket_linger(socket).ok().flatten();
            linger.is_some_and(|linger| !linger.is_zero())
        };
        // On a thread without a loop there is no stall to report.
        if crate::door::is_running() && lingers() {
            self.began = Door::open().and_then(|door| NonZero::new(door.clock.now_nanos()));
        }
    }

    /// Other systems are not measured.
    #[cfg(not(target_os = "linux"))]
    fn begin(&mut self, _: &impl mio::event::Source) {
        self.began = None;
    }
}

impl Drop for LingeringClose {
    fn drop(&mut self) {
        if let Some(began) = self.began
            && let Some(mut door) = Door::open()
        {
            let took = door.clock.now_nanos().saturating_sub(began.get());
            door.count_linger(took);
        }
    }
}
