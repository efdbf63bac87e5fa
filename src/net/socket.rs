//! What the sockets share beneath their public types: [`socket!`] makes one of a source, and [`StreamIo`] are the system calls
//! of those that carry bytes. Used by `tcp`, `unix`, `listener` and the datagram sockets.

use std::io::{self, IoSlice, IoSliceMut};

use mio::event::Source;

/// What the public type of every socket has: its descriptor for others, and `Debug`.
macro_rules! socket {
    ($socket:ident, $io:ty) => {
        impl $crate::io::Watched for $socket {
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

        #[cfg(unix)]
        $crate::io::as_raw_fd!(impl for $socket;);

        impl ::std::fmt::Debug for $socket {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.registered.fmt(f)
            }
        }
    };
}
pub(super) use socket;

/// The calls of a stream socket that is mio's. The writing ones must not raise SIGPIPE: on Linux they are made with
/// MSG_NOSIGNAL; elsewhere they are std's, beneath mio's, which set SO_NOSIGPIPE where there is one. The vectored ones
/// are given what fits in one call.
pub(crate) trait StreamIo: Source {
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
    fn send(&self, buf: &[u8]) -> io::Result<usize>;
    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
    use std::os::fd::AsFd;

    impl<S: Source + AsFd> StreamIo for S {
        #[inline]
        fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
            // Not read(2), which first goes by the file system: 70 ns more.
            let (received, _) = rustix::net::recv(self, buf, RecvFlags::empty())?;
            Ok(received)
        }

        fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
            Ok(rustix::io::readv(self, bufs)?)
        }

        #[inline]
        fn send(&self, buf: &[u8]) -> io::Result<usize> {
            Ok(rustix::net::send(self, buf, SendFlags::NOSIGNAL)?)
        }

        fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
            let mut no_ancillary = SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(self, bufs, &mut no_ancillary, SendFlags::NOSIGNAL)?)
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl<S: Source> StreamIo for S
where
    for<'a> &'a S: io::Read + io::Write,
{
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &*self, buf)
    }

    fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        io::Read::read_vectored(&mut &*self, bufs)
    }

    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut &*self, buf)
    }

    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        io::Write::write_vectored(&mut &*self, bufs)
    }
}

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
