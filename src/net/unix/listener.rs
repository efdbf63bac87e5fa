//! [`UnixListener`]. How it takes connections in is in [`accept`].

use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};

use super::{UnixStream, about_path, address};
use crate::io::readiness;
use crate::net::accept::{self, Accept, Accepts, Hold, Incoming, Listener};
use crate::net::socket::{own, socket};
use crate::reactor::{Ready, Registered};

/// A socket that takes connections of Unix streams in.
///
/// Its path stays when it is dropped: remove the file, before the next listener is bound there or after the last has gone.
///
/// ```
/// use headwaiter::net::{UnixListener, UnixStream};
///
/// # let path = std::env::temp_dir().join(format!("headwaiter-doc-listener-{}", std::process::id()));
/// headwaiter::block_on(async {
///     let listener = UnixListener::bind(&path)?;
///     let mut client = UnixStream::connect(&path).await?;
///     let (mut server, _) = listener.accept().await?;
///     std::fs::remove_file(&path)?;
///
///     client.write_all(b"soup").await?;
///     let mut order = [0; 4];
///     server.read_exact(&mut order).await?;
///     assert_eq!(&order, b"soup");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener {
    registered: Registered<mio::net::UnixListener>,
    hold: Hold,
}

socket!(UnixListener, mio::net::UnixListener);

impl Accepts for UnixListener {
    type Stream = UnixStream;
    type Address = SocketAddr;
}

impl Listener for UnixListener {
    fn hold(&self) -> &Hold {
        &self.hold
    }

    /// Not mio's: it panics if the client is bound to a path of the full 108 bytes, so that any client could end the server,
    /// and it has no abstract addresses.
    #[cfg(target_os = "linux")]
    fn accept_one(io: &mio::net::UnixListener) -> io::Result<(mio::net::UnixStream, SocketAddr)> {
        use rustix::net::{SocketFlags, accept_with};
        let stream = accept_with(io, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        let stream = mio::net::UnixStream::from(stream);
        let peer = stream.peer_addr()?;
        Ok((stream, peer))
    }

    #[cfg(not(target_os = "linux"))]
    fn accept_one(io: &mio::net::UnixListener) -> io::Result<(mio::net::UnixStream, SocketAddr)> {
        io.accept()
    }

    fn take_in(io: mio::net::UnixStream) -> io::Result<UnixStream> {
        // A client mostly speaks first, so reading is tried at once.
        UnixStream::new(io)
    }
}

impl UnixListener {
    /// Listens at a path, where a file for it is made. (Not async: there is nothing to wait for.)
    ///
    /// On Linux, a path that begins with a NUL is an abstract name, which has no file and ends with the listener: unix(7).
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
        let bound = address::bound(path, address::listen(path), UnixListener::new);
        bound.map_err(|error| about_path("bind to", path, error))
    }

    #[track_caller]
    fn new(io: mio::net::UnixListener) -> io::Result<Self> {
        let registered = Registered::new(io, "Unix listener", Ready::BOTH)?;
        Ok(UnixListener { registered, hold: Hold::default() })
    }

    /// Takes over a listening socket of std, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// If the kernel cannot set the mode or watch the socket.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        UnixListener::new(mio::net::UnixListener::from_std(listener))
    }

    /// Waits for the next connection, and returns it with the address that the other end is bound to: mostly none. Several
    /// tasks may wait; each connection goes to one of them.
    ///
    /// When there are no file descriptors left, that error is returned, and the next `accept` holds back for 20 ms before
    /// it tries again: so also a bare loop that ignores errors does not spin.
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
    pub fn accept(&self) -> Accept<'_, UnixListener> {
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
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        accept::poll_latest(self, cx)
    }

    readiness!(read);

    /// All connections to come, as a stream that never ends. When there are no file descriptors left, it logs that
    /// and goes on when there are, as [`TcpListener::incoming`](crate::net::TcpListener::incoming) does. Other errors are items of the stream.
    ///
    /// Cancel-safe: a connection that was not returned stays in the kernel's queue.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the listener belongs to.
    #[track_caller]
    pub fn incoming(&self) -> Incoming<'_, UnixListener> {
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

    /// Takes the error that waits to be reported (SO_ERROR), if there is one.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.registered.io().take_error()
    }

    /// Gives the socket back to std, still in non-blocking mode. Blocking calls need
    /// [`set_nonblocking(false)`](std::os::unix::net::UnixListener::set_nonblocking) first, else they fail with `WouldBlock`.
    ///
    /// # Errors
    ///
    /// If the process has no free file descriptor, to which the socket could move. It is closed then.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        own(self.registered.io()).map(Into::into)
    }
}
