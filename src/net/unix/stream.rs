//! [`UnixStream`] and its future [`UnixConnect`].
//!
//! Reading and writing are the futures of [`crate::io`], through `net/stream.rs`. This file adds
//! how it connects.

use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};
use std::{io, os::unix::net::SocketAddr, panic::Location, pin::Pin};

use super::address;
use super::{Retry, about_path};
use crate::fmt::debug_struct;
use crate::net::socket::{socket, socket_methods};
use crate::net::stream::{StreamIo, stream_methods, stream_traits};
use crate::reactor::Registered;

/// A connection between two processes of one machine, or two parts of one.
///
/// Dropping it, on any thread, closes the connection. To read and write at the same time, use the
/// traits of futures-io, which are also implemented for `&UnixStream`, or the owned halves of
/// [`into_split`](Self::into_split).
///
/// On Linux it also passes file descriptors (`send_fds`, `recv_fds`), and `peer_cred` returns the
/// credentials of the peer. If the bytes around passed descriptors are read with another method,
/// the kernel closes the descriptors.
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

stream_traits!(UnixStream, SocketAddr);

impl StreamIo for mio::net::UnixStream {
    // A read also ends before or after a message with credentials or file descriptors, for which
    // the kernel makes no further event. (recvmsg(2) would tell, but costs as much more as the
    // system call that it would save.)
    const SHORT_READ_EMPTIES: bool = false;
}

impl UnixStream {
    #[track_caller]
    pub(super) fn new(io: mio::net::UnixStream) -> io::Result<Self> {
        Ok(UnixStream { registered: Registered::quiet(io, "Unix stream")? })
    }

    /// Connects to the listener at a path.
    ///
    /// A connection is established as soon as it is in the listener's queue, so the future is
    /// usually ready at the first poll (or, in a task that has spent its budget, at the second).
    /// While the queue is full, the kernel (Linux) refuses, and has no event for when it would not.
    /// So this tries again, first after 1 ms, then less often, at last every 20 ms, for as long as
    /// it takes: see [`timeout`](crate::time::timeout).
    ///
    /// Cancel-safe: a connection that was not returned is closed.
    ///
    /// On Linux, a path that begins with a NUL is an abstract name: unix(7).
    ///
    /// # Errors
    ///
    /// Those of connect(2), with the path: for instance `NotFound`, or `ConnectionRefused` if the
    /// file exists and nothing listens. (Other systems than Linux report that for a full queue
    /// too.)
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(path: P) -> UnixConnect<P> {
        UnixConnect { path, is_over: false, retry: Retry::at(Location::caller()) }
    }

    /// Makes two streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// If the process does not have two free file descriptors, or the kernel cannot watch them.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = mio::net::UnixStream::pair()?;
        Ok((UnixStream::new(one)?, UnixStream::new(other)?))
    }

    socket_methods! {
        std::os::unix::net::UnixStream as stream,
        mio: mio::net::UnixStream,
        local_addr: SocketAddr,
        "The address that this end is bound to: the path of a listener, or usually none.",
    }

    stream_methods! {
        UnixStream, SocketAddr,
        peer_addr: "The address that the other end is bound to: the path of a listener, or usually \
                    none.",
        "Those of getpeername(2)."
    }
}

/// The future of [`UnixStream::connect`].
///
/// It keeps the path that was passed: a path that removes its file on drop is dropped with this,
/// not before.
#[must_use = "futures do nothing unless awaited"]
pub struct UnixConnect<P = PathBuf> {
    path: P,
    is_over: bool,
    retry: Retry,
}

/// Nothing in it is structurally pinned.
impl<P> Unpin for UnixConnect<P> {}

impl<P: AsRef<Path>> Future for UnixConnect<P> {
    type Output = io::Result<UnixStream>;

    /// # Panics
    ///
    /// Outside any event loop, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            ready!(this.retry.poll_ready(cx));
            assert!(
                !this.is_over,
                "headwaiter: a `UnixConnect` was polled again after it was ready"
            );
            let path = this.path.as_ref();
            // It succeeds or fails at once: a Unix socket is never in the middle of connecting.
            let connected = match address::connect(path).and_then(UnixStream::new) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    this.retry.pause();
                    continue;
                }
                Err(error) => Err(about_path("connect to", path, error)),
                connected => connected,
            };
            this.is_over = true;
            return Poll::Ready(connected);
        }
    }
}

debug_struct!(impl[P: AsRef<Path>] for UnixConnect<P> as "UnixConnect",
    |this| path: this.path.as_ref(), ..);
