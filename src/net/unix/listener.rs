//! [`UnixListener`]. How connections are accepted is in `net/accept.rs`.

use std::{io, os::unix::net::SocketAddr, path::Path};

use super::{about_path, address, stream::UnixStream};
use crate::net::accept::{Accepts, Backoff, Listener, accept_methods};
use crate::net::socket::{socket, socket_methods};
use crate::reactor::{Ready, Registered};

/// A socket that accepts connections of Unix streams.
///
/// Its file stays when it is dropped: remove it before the next listener is bound to the path, or
/// after the last one is gone.
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
    backoff: Backoff,
}

socket!(UnixListener, mio::net::UnixListener);

impl Accepts for UnixListener {
    type Stream = UnixStream;
    type Address = SocketAddr;
}

impl Listener for UnixListener {
    fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// Not mio's call: it panics if the client is bound to a path of the full 108 bytes, so that
    /// any client could end the server, and it has no abstract addresses.
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

    fn register(io: mio::net::UnixStream) -> io::Result<UnixStream> {
        UnixStream::new(io)
    }
}

impl UnixListener {
    /// Listens at a path, where a file is made for it. (Not async: there is nothing to wait for.)
    ///
    /// On Linux, a path that begins with a NUL is an abstract name, which has no file and ends with
    /// the listener: unix(7).
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
        let bound = address::register_bound(path, address::listen(path), UnixListener::new);
        bound.map_err(|error| about_path("bind to", path, error))
    }

    #[track_caller]
    fn new(io: mio::net::UnixListener) -> io::Result<Self> {
        let registered = Registered::new(io, "Unix listener", Ready::BOTH)?;
        Ok(UnixListener { registered, backoff: Backoff::default() })
    }

    socket_methods! {
        std::os::unix::net::UnixListener as listener,
        mio: mio::net::UnixListener,
        local_addr: SocketAddr,
        "The address that it listens on.",
    }

    accept_methods! {
        UnixListener => UnixStream, SocketAddr,
        accept: "A client is usually bound to no path, so its address is unnamed.",
        incoming: "If no file descriptor is left, that is logged, and the stream goes on when \
                   there is one, as that of a `TcpListener`. Other errors are items of the stream.",
    }
}
