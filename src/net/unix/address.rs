//! The system calls of Unix sockets that take an address. Users pass a path; on Linux, one that
//! begins with a NUL is an abstract name: unix(7).
//!
//! mio has no abstract `connect` and `send_to` for datagrams, and truncates names that are empty or
//! begin with another NUL, so these calls are made here. They never wait.

use std::{io, path::Path};

pub(super) use self::imp::{bind_datagram, connect, connect_datagram, listen, send_to};

/// Registers a socket that has just been bound to this path. If that fails, its file is removed
/// again.
#[track_caller]
pub(super) fn register_bound<I, S>(
    path: &Path,
    io: io::Result<I>,
    register: impl FnOnce(I) -> io::Result<S>,
) -> io::Result<S> {
    register(io?).inspect_err(|_| {
        let _ = std::fs::remove_file(path); // An abstract name has no file.
    })
}

#[cfg(target_os = "linux")]
mod imp {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use rustix::net::{self, AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

    /// The address of an abstract name. `None` for a path.
    fn abstract_name(path: &Path) -> io::Result<Option<SocketAddrUnix>> {
        let Some(name) = path.as_os_str().as_bytes().strip_prefix(b"\0") else { return Ok(None) };
        match SocketAddrUnix::new_abstract_name(name) {
            Ok(address) => Ok(Some(address)),
            // The kind of std's error for a path that is too long.
            Err(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an abstract name has at most 107 bytes after its NUL",
            )),
        }
    }

    fn socket(kind: SocketType) -> io::Result<OwnedFd> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        Ok(net::socket_with(AddressFamily::UNIX, kind, flags, None)?)
    }

    pub(crate) fn listen(path: &Path) -> io::Result<mio::net::UnixListener> {
        let Some(name) = abstract_name(path)? else { return mio::net::UnixListener::bind(path) };
        let socket = socket(SocketType::STREAM)?;
        net::bind(&socket, &name)?;
        // As mio and std do: as many as net.core.somaxconn allows.
        net::listen(&socket, -1)?;
        Ok(socket.into())
    }

    pub(crate) fn connect(path: &Path) -> io::Result<mio::net::UnixStream> {
        let Some(name) = abstract_name(path)? else { return mio::net::UnixStream::connect(path) };
        let socket = socket(SocketType::STREAM)?;
        net::connect(&socket, &name)?;
        Ok(socket.into())
    }

    pub(crate) fn bind_datagram(path: &Path) -> io::Result<mio::net::UnixDatagram> {
        let Some(name) = abstract_name(path)? else { return mio::net::UnixDatagram::bind(path) };
        let socket = socket(SocketType::DGRAM)?;
        net::bind(&socket, &name)?;
        Ok(socket.into())
    }

    pub(crate) fn connect_datagram(io: &mio::net::UnixDatagram, path: &Path) -> io::Result<()> {
        match abstract_name(path)? {
            Some(name) => Ok(net::connect(io, &name)?),
            None => io.connect(path),
        }
    }

    pub(crate) fn send_to(
        io: &mio::net::UnixDatagram,
        buf: &[u8],
        path: &Path,
    ) -> io::Result<usize> {
        match abstract_name(path)? {
            Some(name) => Ok(net::sendto(io, buf, SendFlags::NOSIGNAL, &name)?),
            None => io.send_to(buf, path),
        }
    }
}

/// Other systems have no abstract names, and std rejects a path with a NUL.
#[cfg(not(target_os = "linux"))]
mod imp {
    use std::io;
    use std::path::Path;

    pub(crate) fn listen(path: &Path) -> io::Result<mio::net::UnixListener> {
        mio::net::UnixListener::bind(path)
    }

    pub(crate) fn connect(path: &Path) -> io::Result<mio::net::UnixStream> {
        mio::net::UnixStream::connect(path)
    }

    pub(crate) fn bind_datagram(path: &Path) -> io::Result<mio::net::UnixDatagram> {
        mio::net::UnixDatagram::bind(path)
    }

    pub(crate) fn connect_datagram(io: &mio::net::UnixDatagram, path: &Path) -> io::Result<()> {
        io.connect(path)
    }

    pub(crate) fn send_to(
        io: &mio::net::UnixDatagram,
        buf: &[u8],
        path: &Path,
    ) -> io::Result<usize> {
        io.send_to(buf, path)
    }
}
