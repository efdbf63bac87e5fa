//! What the sockets share beneath their public types: [`Socket`], and the calls of stream sockets that must not raise
//! SIGPIPE. On Linux they are made with MSG_NOSIGNAL; elsewhere they are std's, beneath mio's, which set
//! SO_NOSIGPIPE where there is one.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use mio::event::Source;

use crate::io::PollReady;
use crate::reactor::{Direction, Registered, Wait};

/// A socket beneath its public type.
pub(crate) trait Socket {
    /// mio's.
    type Io: Source;

    fn registered(&self) -> &Registered<Self::Io>;
}

impl<S: Socket> PollReady for S {
    fn poll_ready(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        self.registered().poll_ready(wait, cx, direction)
    }
}

/// What the public type of every socket has: its descriptor for others, and `Debug`.
macro_rules! socket {
    ($socket:ident, $io:ty) => {
        impl $crate::net::socket::Socket for $socket {
            type Io = $io;

            fn registered(&self) -> &Registered<$io> {
                &self.registered
            }
        }

        #[cfg(unix)]
        impl ::std::os::fd::AsFd for $socket {
            fn as_fd(&self) -> ::std::os::fd::BorrowedFd<'_> {
                self.registered.io().as_fd()
            }
        }

        impl ::std::fmt::Debug for $socket {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.registered.fmt(f)
            }
        }
    };
}
pub(super) use socket;

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use rustix::net::{SendAncillaryBuffer, SendFlags};
    use std::os::fd::AsFd;

    /// More slices in one call are EMSGSIZE: sendmsg(2).
    const IOV_MAX: usize = 1024;

    #[inline]
    pub(crate) fn recv(socket: impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(socket, buf)?)
    }

    #[inline]
    pub(crate) fn send(socket: impl AsFd, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(socket, buf, SendFlags::NOSIGNAL)?)
    }

    pub(crate) fn send_vectored(socket: impl AsFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = &bufs[..bufs.len().min(IOV_MAX)];
        let mut no_ancillary = SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(socket, bufs, &mut no_ancillary, SendFlags::NOSIGNAL)?)
    }
}
#[cfg(target_os = "linux")]
pub(crate) use linux::{recv, send, send_vectored};

#[cfg(not(target_os = "linux"))]
mod other {
    use super::*;

    pub(crate) fn recv(mut socket: impl io::Read, buf: &mut [u8]) -> io::Result<usize> {
        socket.read(buf)
    }

    pub(crate) fn send(mut socket: impl io::Write, buf: &[u8]) -> io::Result<usize> {
        socket.write(buf)
    }

    pub(crate) fn send_vectored(mut socket: impl io::Write, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        socket.write_vectored(bufs)
    }
}
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{recv, send, send_vectored};

/// A second descriptor of a socket whose first is about to be deregistered and closed.
#[cfg(unix)]
pub(crate) fn own(socket: &impl std::os::fd::AsFd) -> io::Result<std::os::fd::OwnedFd> {
    socket.as_fd().try_clone_to_owned()
}

#[cfg(windows)]
pub(crate) fn own(
    socket: &impl std::os::windows::io::AsSocket,
) -> io::Result<std::os::windows::io::OwnedSocket> {
    socket.as_socket().try_clone_to_owned()
}
