//! What TCP streams and Unix streams share: [`StreamIo`], the calls of their sockets, through which
//! the futures of [`crate::io`] and the traits of futures-io read and write them, and
//! [`stream_methods!`], their common methods.
//!
//! Nothing here depends on the kind of address.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::task::{Context, Poll};

use mio::event::Source;

use super::split::Split;
use crate::io::byte_stream::{ByteRead, ByteWrite, PollBytes};
use crate::io::readiness::HasSource;
use crate::io::syscall::{in_one_call, is_short};
use crate::reactor::{Direction, Registered, Wait};

impl<S: HasSource<Io: StreamIo>> ByteRead for S {
    type State = Wait;

    fn poll_read(&self, wait: &mut Wait, cx: &mut Context<'_>, buf: &mut [u8]) -> PollBytes {
        let asked = buf.len();
        // For an empty `buf` the kernel would return 0 or EAGAIN, depending on whether data has
        // arrived.
        if asked == 0 {
            return Poll::Ready(Ok(0));
        }
        let exhausted = |n: &usize| S::Io::is_drained(*n, asked);
        self.registered().poll_io(wait, cx, Direction::Read, |io| io.recv(buf), exhausted)
    }

    fn poll_read_vectored(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let (range, asked) = in_one_call(bufs);
        if asked == 0 {
            return Poll::Ready(Ok(0));
        }
        let bufs = &mut bufs[range];
        let exhausted = |n: &usize| S::Io::is_drained(*n, asked);
        self.registered().poll_io(wait, cx, Direction::Read, |io| io.recv_vectored(bufs), exhausted)
    }
}

impl<S: HasSource<Io: StreamIo> + Split> ByteWrite for S {
    type State = Wait;

    fn poll_write(&self, wait: &mut Wait, cx: &mut Context<'_>, buf: &[u8]) -> PollBytes {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let exhausted = |n: &usize| is_short(*n, buf.len());
        self.registered().poll_io(wait, cx, Direction::Write, |io| io.send(buf), exhausted)
    }

    fn poll_write_vectored(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (range, asked) = in_one_call(bufs);
        if asked == 0 {
            return Poll::Ready(Ok(0));
        }
        let bufs = &bufs[range];
        let exhausted = |n: &usize| is_short(*n, asked);
        self.registered().poll_io(
            wait,
            cx,
            Direction::Write,
            |io| io.send_vectored(bufs),
            exhausted,
        )
    }

    /// Shuts the write direction down.
    fn close(&self) -> io::Result<()> {
        match self.shut(Shutdown::Write) {
            // The peer has reset the connection first: it is closed, as requested.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

/// A stream socket of mio, with its calls. The vectored ones are passed no more slices than fit in
/// one call.
///
/// Writing must not raise SIGPIPE: on Linux the calls carry MSG_NOSIGNAL; elsewhere they are those
/// of std, beneath mio's, which set SO_NOSIGPIPE where it exists.
pub(crate) trait StreamIo: Source + SystemSocket {
    /// Whether a short read shows that the kernel's buffer is empty. (A short write always shows
    /// that the buffer is full.)
    const SHORT_READ_EMPTIES: bool;

    /// Whether the next read would block, because this one returned `done` of `asked` bytes.
    #[inline]
    fn is_drained(done: usize, asked: usize) -> bool {
        Self::SHORT_READ_EMPTIES && is_short(done, asked)
    }

    #[cfg(target_os = "linux")]
    #[inline]
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        // Not read(2), which goes through the file system first and takes 70 ns more. The second
        // value is the kernel's count. Without MSG_TRUNC it never exceeds `buf.len()`.
        let (_, received) = rustix::net::recv(self, buf, rustix::net::RecvFlags::empty())?;
        Ok(received)
    }

    #[cfg(target_os = "linux")]
    fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(rustix::io::readv(self, bufs)?)
    }

    #[cfg(target_os = "linux")]
    #[inline]
    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self, buf, rustix::net::SendFlags::NOSIGNAL)?)
    }

    #[cfg(target_os = "linux")]
    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        // sendmsg(2), because writev(2) has no flags.
        let mut no_ancillary = rustix::net::SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(self, bufs, &mut no_ancillary, rustix::net::SendFlags::NOSIGNAL)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.as_std(), buf)
    }

    #[cfg(not(target_os = "linux"))]
    fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        io::Read::read_vectored(&mut self.as_std(), bufs)
    }

    #[cfg(not(target_os = "linux"))]
    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut self.as_std(), buf)
    }

    #[cfg(not(target_os = "linux"))]
    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        io::Write::write_vectored(&mut self.as_std(), bufs)
    }
}

/// What the calls of [`StreamIo`] need.
#[cfg(target_os = "linux")]
pub(crate) use std::os::fd::AsFd as SystemSocket;

/// What the calls of [`StreamIo`] need.
#[cfg(not(target_os = "linux"))]
pub(crate) trait SystemSocket {
    fn as_std(&self) -> impl io::Read + io::Write;
}

#[cfg(not(target_os = "linux"))]
impl<S> SystemSocket for S
where
    for<'a> &'a S: io::Read + io::Write,
{
    fn as_std(&self) -> impl io::Read + io::Write {
        self
    }
}

#[track_caller]
pub(super) fn try_read<S: StreamIo>(stream: &Registered<S>, buf: &mut [u8]) -> io::Result<usize> {
    let asked = buf.len();
    let exhausted = |n: &usize| S::is_drained(*n, asked);
    // If there is no data, the kernel returns EAGAIN also for an empty buffer.
    let op = |io: &S| if asked == 0 { Ok(0) } else { io.recv(buf) };
    stream.try_io(Direction::Read, op, exhausted)
}

#[track_caller]
pub(super) fn try_read_vectored<S: StreamIo>(
    stream: &Registered<S>,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let (range, asked) = in_one_call(bufs);
    let bufs = &mut bufs[range];
    let exhausted = |n: &usize| S::is_drained(*n, asked);
    let op = |io: &S| if asked == 0 { Ok(0) } else { io.recv_vectored(bufs) };
    stream.try_io(Direction::Read, op, exhausted)
}

#[track_caller]
pub(super) fn try_write<S: StreamIo>(stream: &Registered<S>, buf: &[u8]) -> io::Result<usize> {
    let exhausted = |n: &usize| is_short(*n, buf.len());
    stream.try_io(Direction::Write, |io| io.send(buf), exhausted)
}

#[track_caller]
pub(super) fn try_write_vectored<S: StreamIo>(
    stream: &Registered<S>,
    bufs: &[IoSlice<'_>],
) -> io::Result<usize> {
    let (range, asked) = in_one_call(bufs);
    let bufs = &bufs[range];
    let op = |io: &S| if asked == 0 { Ok(0) } else { io.send_vectored(bufs) };
    stream.try_io(Direction::Write, op, |n| is_short(*n, asked))
}

/// The methods of both kinds of streams: reading, writing, readiness, the `try_` methods,
/// `shutdown`, `peer_addr` and `into_split`.
macro_rules! stream_methods {
    ($stream:ty, $address:ty, peer_addr: $peer_addr:literal, $peer_errors:literal) => {
        $crate::io::futures::read_methods! {
            $stream,
            eof: "EOF",
            cancelled: "nothing was read.",
            errors: "Those of recv(2), for instance `ConnectionReset`.",
            panics: "Polling it outside the loop that the stream belongs to.",
        }

        $crate::io::futures::write_methods! {
            $stream,
            cancelled: "Cancel-safe: if the future is dropped before it is ready, nothing was \
                        written.",
            errors: "Those of send(2), for instance `BrokenPipe`. There is no SIGPIPE.",
            panics: "Polling it outside the loop that the stream belongs to.",
        }

        $crate::io::readiness::readiness!(read and write);

        $crate::io::readiness::poll_ready_names! {
            poll_read_ready = poll_readable;
            poll_write_ready = poll_writable;
        }

        /// Reads without waiting.
        ///
        /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
        /// single poll of [`read`](Self::read) may be.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if there is nothing to read (and `buf` is not empty); otherwise as
        /// [`read`](Self::read).
        ///
        /// # Panics
        ///
        /// Outside the loop that the stream belongs to.
        #[track_caller]
        pub fn try_read(&self, buf: &mut [u8]) -> ::std::io::Result<usize> {
            $crate::net::stream::try_read(&self.registered, buf)
        }

        /// As [`try_read`](Self::try_read), into several buffers in turn. At most 1,024 of them are
        /// used.
        ///
        /// # Errors
        ///
        /// As [`try_read`](Self::try_read).
        ///
        /// # Panics
        ///
        /// Outside the loop that the stream belongs to.
        #[track_caller]
        pub fn try_read_vectored(
            &self,
            bufs: &mut [::std::io::IoSliceMut<'_>],
        ) -> ::std::io::Result<usize> {
            $crate::net::stream::try_read_vectored(&self.registered, bufs)
        }

        /// Writes without waiting.
        ///
        /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
        /// single poll of [`write`](Self::write) may be.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if there is no room; otherwise as [`write`](Self::write).
        ///
        /// # Panics
        ///
        /// Outside the loop that the stream belongs to.
        #[track_caller]
        pub fn try_write(&self, buf: &[u8]) -> ::std::io::Result<usize> {
            $crate::net::stream::try_write(&self.registered, buf)
        }

        /// As [`try_write`](Self::try_write), from several buffers in turn. At most 1,024 of them
        /// are used.
        ///
        /// # Errors
        ///
        /// As [`try_write`](Self::try_write).
        ///
        /// # Panics
        ///
        /// Outside the loop that the stream belongs to.
        #[track_caller]
        pub fn try_write_vectored(
            &self,
            bufs: &[::std::io::IoSlice<'_>],
        ) -> ::std::io::Result<usize> {
            $crate::net::stream::try_write_vectored(&self.registered, bufs)
        }

        #[cfg(feature = "bytes")]
        $crate::io::buffers::try_read_buf_methods!();

        /// Closes one direction, or both. After `Shutdown::Write` the peer reads EOF.
        ///
        /// # Errors
        ///
        /// Those of shutdown(2): `NotConnected` if the peer has reset the connection.
        pub fn shutdown(&self, how: ::std::net::Shutdown) -> ::std::io::Result<()> {
            self.registered.io().shutdown(how)
        }

        #[doc = $peer_addr]
        ///
        /// # Errors
        ///
        #[doc = $peer_errors]
        pub fn peer_addr(&self) -> ::std::io::Result<$address> {
            self.registered.io().peer_addr()
        }

        /// Splits the stream into a half that reads and one that writes, for two futures of one
        /// task. Both borrow the stream, which is whole again when they are dropped. For two tasks
        /// there is [`into_split`](Self::into_split).
        ///
        /// ```
        /// use headwaiter::io::copy;
        /// use headwaiter::net::{TcpListener, TcpStream};
        ///
        /// headwaiter::block_on(async {
        ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
        ///     let mut guest = TcpStream::connect(listener.local_addr()?).await?;
        ///     let (mut kitchen, _) = listener.accept().await?;
        ///
        ///     guest.write_all(b"soup").await?;
        ///     guest.shutdown(std::net::Shutdown::Write)?;
        ///     let (mut reader, mut writer) = kitchen.split();
        ///     assert_eq!(copy(&mut reader, &mut writer).await?, 4); // An echo.
        ///     guest.read_exact(&mut [0; 4]).await?;
        ///     Ok::<(), std::io::Error>(())
        /// })?;
        /// # Ok::<(), std::io::Error>(())
        /// ```
        pub fn split(
            &mut self,
        ) -> (
            $crate::net::split::borrowed::ReadHalf<'_, $stream>,
            $crate::net::split::borrowed::WriteHalf<'_, $stream>,
        ) {
            $crate::net::split::borrowed::split(self)
        }

        /// Splits the stream into two halves that can be moved to different tasks. Dropping the
        /// write half ends the stream for the peer; the connection is closed when both are dropped.
        pub fn into_split(
            self,
        ) -> (
            $crate::net::split::OwnedReadHalf<$stream>,
            $crate::net::split::OwnedWriteHalf<$stream>,
        ) {
            $crate::net::split::halves(self)
        }
    };
}
pub(super) use stream_methods;

/// Implements the traits through which the halves, the futures and futures-io use a stream.
macro_rules! stream_traits {
    ($stream:ty, $address:ty) => {
        impl $crate::net::split::Split for $stream {
            type Address = $address;

            fn shut(&self, how: ::std::net::Shutdown) -> ::std::io::Result<()> {
                self.shutdown(how)
            }

            fn peer(&self) -> ::std::io::Result<$address> {
                self.peer_addr()
            }

            fn local(&self) -> ::std::io::Result<$address> {
                self.local_addr()
            }

            fn is_of_this_process(&self) -> bool {
                self.registered.is_of_this_process()
            }
        }

        $crate::io::byte_stream::async_read!($stream);
        $crate::io::byte_stream::async_write!($stream);
    };
}
pub(super) use stream_traits;
