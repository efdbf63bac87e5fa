//! TCP streams: [`TcpStream`] and its futures [`Connect`] and [`Peek`]; reading and writing are the
//! futures of [`crate::io`].

pub(super) mod connect;

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
#[cfg(target_os = "linux")]
use std::time::Duration;

pub use self::connect::Connect;
use super::linger::LingeringClose;
use super::resolve::ToSocketAddrs;
use super::socket::{own, socket};
use super::split::{self, OwnedReadHalf, OwnedWriteHalf, Split};
use super::stream::{self, StreamSocket};
use crate::io::{Read, ReadExact, Write, WriteAll, async_read, async_write, readiness};
use crate::reactor::{Direction, Ready, Registered, Wait};

pub(super) const KIND: &str = "TCP stream";

/// A TCP connection.
///
/// Dropping it closes the connection, on any thread. Reading and writing at the same time: both traits of
/// futures-io are also implemented for `&TcpStream`, and [`into_split`](Self::into_split) gives owned
/// halves.
///
/// The kernel sends what was written in the background, also after the drop. With one exception: **where SO_LINGER is set to a time
/// (with another crate, or on the listener that accepted the connection), the drop blocks its thread**, and so the whole loop, until the
/// peer has acknowledged everything, or for that time: socket(7). The non-blocking mode does not change that. The
/// [stall report](crate::Builder::stall_threshold) names such a close. To close at once and drop what was not sent, use
/// `set_zero_linger`; to wait for the peer without blocking, shut the write direction down and read until the end.
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
    closing: LingeringClose,
}

socket!(TcpStream, mio::net::TcpStream);

impl StreamSocket for TcpStream {
    const SHORT_READ_EMPTIES: bool = true;
}

impl Split for TcpStream {
    type Address = SocketAddr;

    fn shut(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }

    fn peer(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }

    fn is_of_this_process(&self) -> bool {
        self.registered.is_of_this_process()
    }
}

async_read!(TcpStream);
async_write!(TcpStream);

impl TcpStream {
    #[track_caller]
    pub(super) fn new(io: mio::net::TcpStream, ready: Ready) -> io::Result<Self> {
        let registered = Registered::new(io, KIND, ready)?;
        Ok(TcpStream { registered, closing: LingeringClose::default() })
    }

    /// Connects to an address; to the first that answers, if there are several, or the host name has several.
    ///
    /// Several are tried as RFC 8305 ("Happy Eyeballs"), section 5, has it, so that an address that does not answer costs a
    /// quarter of a second and not minutes: the next attempt begins when the one before it fails, or is still under way
    /// after 250 ms, and goes on beside it. The first to connect is returned, and the others are closed at once. The addresses
    /// of a host name are tried in the order of the resolver, but alternating between IPv6 and IPv4; a slice of addresses
    /// keeps its order. A single address needs no timer: it fails when the kernel gives up, on Linux after some two minutes
    /// (tcp(7), `tcp_syn_retries`), or with your [`timeout`](crate::time::timeout). (A look-up is awaited first, with all its
    /// addresses.)
    ///
    /// Cancel-safe: dropping it closes all attempts.
    ///
    /// # Errors
    ///
    /// If all attempts fail: each address with what came of it, for instance `ConnectionRefused`, in the order in which they
    /// failed. The kind, and the OS error, are those of the last to fail. With its name, a host that does not resolve.
    /// `InvalidInput` for what is no address: see [`ToSocketAddrs`].
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> Connect {
        Connect::new(address, Location::caller())
    }

    /// Takes over a connected stream of std, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// If the kernel cannot set the mode or watch the socket.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        TcpStream::new(mio::net::TcpStream::from_std(stream), Ready::BOTH)
    }

    /// Gives the socket back to std, still in non-blocking mode: also the way to another loop. Blocking calls need
    /// [`set_nonblocking(false)`](std::net::TcpStream::set_nonblocking) first, else they fail with `WouldBlock`.
    ///
    /// # Errors
    ///
    /// If the process has no free file descriptor, to which the socket could move. It is closed then.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        own(self.registered.io()).map(Into::into)
    }

    /// Reads some bytes, at least one; 0 is the end of the stream (or `buf` is empty).
    ///
    /// Cancel-safe: if it is dropped before it was ready, nothing was read.
    ///
    /// # Errors
    ///
    /// What read(2) says, for instance `ConnectionReset`.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the stream belongs to. So do all operations below.
    #[track_caller]
    pub fn read<'a>(&'a mut self, buf: &'a mut [u8]) -> Read<'a, TcpStream> {
        Read::new(self, buf)
    }

    /// Reads until `buf` is full.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, what it had read is in `buf`, but nobody knows
    /// how much.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the stream ends before; else as [`read`](Self::read).
    #[track_caller]
    pub fn read_exact<'a>(&'a mut self, buf: &'a mut [u8]) -> ReadExact<'a, TcpStream> {
        ReadExact::new(self, buf)
    }

    /// Looks at the next bytes without taking them.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> Peek<'a> {
        Peek { stream: self, buf, wait: Wait::at(Location::caller()) }
    }

    /// Writes some of `buf`, at least one byte (unless it is empty), and returns how many.
    ///
    /// Cancel-safe: if it is dropped before it was ready, nothing was written.
    ///
    /// # Errors
    ///
    /// What send(2) says, for instance `BrokenPipe`. There is no SIGPIPE.
    #[track_caller]
    pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> Write<'a, TcpStream> {
        Write::new(self, buf)
    }

    /// Writes all of `buf`.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, some of it was written, and nobody knows how much.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn write_all<'a>(&'a mut self, buf: &'a [u8]) -> WriteAll<'a, TcpStream> {
        WriteAll::new(self, buf)
    }

    readiness!(read and write);

    /// As [`peek`](Self::peek), for a future of your own. Its waiter stays when it returns, as that of [`poll_readable`](Self::poll_readable).
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

    /// Reads without waiting.
    ///
    /// Never refused, as a single poll of [`read`](Self::read) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing to read (and `buf` is not empty); else as [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// Outside the loop that the stream belongs to.
    #[track_caller]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        stream::try_read(self, buf)
    }

    /// As [`try_read`](Self::try_read), into several buffers, one after the other. At most 1,024 of them are used.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    ///
    /// # Panics
    ///
    /// Outside the loop that the stream belongs to.
    #[track_caller]
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        stream::try_read_vectored(self, bufs)
    }

    /// Writes without waiting.
    ///
    /// Never refused, as a single poll of [`write`](Self::write) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room; else as [`write`](Self::write).
    ///
    /// # Panics
    ///
    /// Outside the loop that the stream belongs to.
    #[track_caller]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        stream::try_write(self, buf)
    }

    /// As [`try_write`](Self::try_write), from several buffers, one after the other. At most 1,024 of them are used.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    ///
    /// # Panics
    ///
    /// Outside the loop that the stream belongs to.
    #[track_caller]
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        stream::try_write_vectored(self, bufs)
    }

    /// Closes one direction, or both. After `Shutdown::Write` the peer reads the end.
    ///
    /// # Errors
    ///
    /// What shutdown(2) says: `NotConnected` if the peer has reset the connection.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.registered.io().shutdown(how)
    }

    /// Whether small writes are sent at once (TCP_NODELAY) instead of being gathered for some milliseconds.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.registered.io().set_nodelay(nodelay)
    }

    /// See [`set_nodelay`](Self::set_nodelay).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.registered.io().nodelay()
    }

    /// How many routers a packet of this connection may pass (IP_TTL).
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

    /// Whether data that comes is acknowledged at once (TCP_QUICKACK), instead of with the next data that is sent or after some 40 ms. The kernel
    /// changes it by itself as the connection goes on: tcp(7).
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    #[cfg(target_os = "linux")]
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_tcp_quickack(self, quickack)?)
    }

    /// See [`set_quickack`](Self::set_quickack).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    #[cfg(target_os = "linux")]
    pub fn quickack(&self) -> io::Result<bool> {
        Ok(rustix::net::sockopt::tcp_quickack(self)?)
    }

    /// Makes the drop of this stream abort the connection (SO_LINGER with a time of zero): what was not sent yet is thrown away, the peer
    /// gets an error (`ConnectionReset`) instead of the end, and no TIME_WAIT is left behind. The drop never blocks then.
    ///
    /// For a peer that does not keep to the protocol, or to undo an SO_LINGER that blocks the loop. Not for an ordinary end: the
    /// peer may lose data that it has not read yet.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    #[cfg(target_os = "linux")]
    pub fn set_zero_linger(&self) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_linger(self, Some(Duration::ZERO))?)
    }

    /// How long dropping this stream may block (SO_LINGER), in whole seconds. `None`, which is the default: not at all, the kernel sends
    /// what was written in the background. Zero: see [`set_zero_linger`](Self::set_zero_linger).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    #[cfg(target_os = "linux")]
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(rustix::net::sockopt::socket_linger(self)?)
    }

    /// The other end.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection is over.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.registered.io().peer_addr()
    }

    /// This end.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registered.io().local_addr()
    }

    /// Takes the error that waits to be reported (SO_ERROR), if there is one.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.registered.io().take_error()
    }

    /// Two halves that can be moved to different tasks. Dropping the write half ends the stream for
    /// the peer; the connection is closed when both are dropped.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::halves(self)
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
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
        // A short peek proves nothing: the bytes stay.
        this.stream.registered.poll_io(
            &mut this.wait,
            cx,
            Direction::Read,
            |io| io.peek(this.buf),
            |_| false,
        )
    }
}
