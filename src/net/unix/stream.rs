//! [`UnixStream`] and its future [`UnixConnect`]; reading and writing are the futures of [`crate::io`].

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Retry, about_path, address};
use crate::io::{Read, ReadExact, Write, WriteAll, async_read, async_write, readiness};
use crate::net::socket::{own, socket};
use crate::net::split::{self, OwnedReadHalf, OwnedWriteHalf, Split};
use crate::net::stream::{self, StreamSocket};
use crate::reactor::{Registered, Wait};

/// A connection between two processes of one machine, or two parts of one.
///
/// Dropping it closes the connection, on any thread. Reading and writing at the same time: both traits of
/// futures-io are also implemented for `&UnixStream`, and [`into_split`](Self::into_split) gives owned halves.
///
/// On Linux, file descriptors travel too (`send_fds`, `recv_fds`), and `peer_cred` gives the credentials of the peer. Descriptors that come while
/// the bytes around them are read with another method are closed by the kernel.
///
/// ```
/// use headwaiter::net::UnixStream;
///
/// headwaiter::block_on(async {
///     let (mut guest, mut kitchen) = UnixStream::pair()?;
///     guest.write_all(b"soup").await?;
///     let mut order = [0; 4];
///     kitchen.read_exact(&mut order).await?;
///     assert_eq!(&order, b"soup");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream {
    registered: Registered<mio::net::UnixStream>,
}

socket!(UnixStream, mio::net::UnixStream);

impl StreamSocket for UnixStream {
    /// It also ends before or after a message with credentials or file descriptors, for which the kernel makes no further
    /// event. (recvmsg(2) would tell, but costs as much more as the try that it would save.)
    const SHORT_READ_EMPTIES: bool = false;
}

impl Split for UnixStream {
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

async_read!(UnixStream);
async_write!(UnixStream);

impl UnixStream {
    #[track_caller]
    pub(super) fn new(io: mio::net::UnixStream) -> io::Result<Self> {
        Ok(UnixStream { registered: Registered::quiet(io, "Unix stream")? })
    }

    /// Connects to the listener at a path.
    ///
    /// A connection is there as soon as it is in the listener's queue. While that is full, the kernel (Linux) refuses and
    /// has no event for when it would not; so this tries again, first after 1 ms, then less and less often, in the
    /// end every 20 ms, for as long as it takes: see [`timeout`](crate::time::timeout). Otherwise it is ready at
    /// the first poll (or, in a task that has had its share of the turn, at the second).
    ///
    /// Cancel-safe: a connection that was not returned is closed.
    ///
    /// On Linux, a path that begins with a NUL is an abstract name: unix(7).
    ///
    /// # Errors
    ///
    /// What connect(2) says, with the path: for instance `NotFound`, or `ConnectionRefused` if there is a file and nobody
    /// listens. (On other systems than Linux, that is also what a full queue comes to.)
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(path: P) -> UnixConnect<P> {
        UnixConnect { path, over: false, retry: Retry::at(Location::caller()) }
    }

    /// Two streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// If the process has not two free file descriptors, or the kernel cannot watch them.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = mio::net::UnixStream::pair()?;
        Ok((UnixStream::new(one)?, UnixStream::new(other)?))
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
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        UnixStream::new(mio::net::UnixStream::from_std(stream))
    }

    /// Gives the socket back to std, still in non-blocking mode: also the way to another loop. Blocking calls need
    /// [`set_nonblocking(false)`](std::os::unix::net::UnixStream::set_nonblocking) first, else they fail with `WouldBlock`.
    ///
    /// # Errors
    ///
    /// If the process has no free file descriptor, to which the socket could move. It is closed then.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        own(self.registered.io()).map(Into::into)
    }

    /// Reads some bytes, at least one; 0 is the end of the stream (or `buf` is empty).
    ///
    /// Cancel-safe: if it is dropped before it was ready, nothing was read.
    ///
    /// # Errors
    ///
    /// What recv(2) says, for instance `ConnectionReset`.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the stream belongs to. So do all operations below.
    #[track_caller]
    pub fn read<'a>(&'a mut self, buf: &'a mut [u8]) -> Read<'a, UnixStream> {
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
    pub fn read_exact<'a>(&'a mut self, buf: &'a mut [u8]) -> ReadExact<'a, UnixStream> {
        ReadExact::new(self, buf)
    }

    /// Writes some of `buf`, at least one byte (unless it is empty), and returns how many.
    ///
    /// Cancel-safe: if it is dropped before it was ready, nothing was written.
    ///
    /// # Errors
    ///
    /// What send(2) says, for instance `BrokenPipe`. There is no SIGPIPE.
    #[track_caller]
    pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> Write<'a, UnixStream> {
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
    pub fn write_all<'a>(&'a mut self, buf: &'a [u8]) -> WriteAll<'a, UnixStream> {
        WriteAll::new(self, buf)
    }

    readiness!(read and write);

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
    /// What shutdown(2) says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.registered.io().shutdown(how)
    }

    /// What the other end is bound to: a listener's path, or mostly nothing.
    ///
    /// # Errors
    ///
    /// What getpeername(2) says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.registered.io().peer_addr()
    }

    /// What this end is bound to: a listener's path, or mostly nothing.
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
    pub fn into_split(self) -> (OwnedReadHalf<UnixStream>, OwnedWriteHalf<UnixStream>) {
        split::halves(self)
    }
}

/// The future of [`UnixStream::connect`]. It keeps the path that it was given: one that removes its file when it is
/// dropped is dropped with this and not before.
#[must_use = "futures do nothing unless awaited"]
pub struct UnixConnect<P = PathBuf> {
    path: P,
    over: bool,
    retry: Retry,
}

/// Nothing in it is ever pinned.
impl<P> Unpin for UnixConnect<P> {}

impl<P: AsRef<Path>> Future for UnixConnect<P> {
    type Output = io::Result<UnixStream>;

    /// # Panics
    ///
    /// Outside any event loop, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            ready!(this.retry.poll_go(cx));
            assert!(!this.over, "headwaiter: a `UnixConnect` was polled again after it was ready");
            let path = this.path.as_ref();
            // It is connected now or it fails: a Unix socket is never on its way.
            let connected = match address::connect(path).and_then(UnixStream::new) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    this.retry.pause();
                    continue;
                }
                Err(error) => Err(about_path("connect to", path, error)),
                connected => connected,
            };
            this.over = true;
            return Poll::Ready(connected);
        }
    }
}

impl<P: AsRef<Path>> fmt::Debug for UnixConnect<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixConnect").field("path", &self.path.as_ref()).finish_non_exhaustive()
    }
}
