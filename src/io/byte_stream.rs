//! What the futures of this module need from a byte stream: [`ByteRead`] and [`ByteWrite`],
//! implemented by sockets, pipes, standard streams and files. The macros here derive the traits of
//! futures-io, and the methods that all these streams share, from the two traits.

use std::io::{self, IoSlice, IoSliceMut};
use std::panic::Location;
use std::task::{Context, Poll};

use crate::reactor::Wait;

/// The result of a transfer: how many bytes were moved.
pub(crate) type PollBytes = Poll<io::Result<usize>>;

/// What one operation keeps between two polls.
pub(crate) trait OpState {
    /// The state of a future whose method was called at `place`.
    fn at(place: &'static Location<'static>) -> Self;

    /// The state for a `poll_` method of a foreign trait, which keeps nothing between calls.
    fn unticketed() -> Self;
}

impl OpState for Wait {
    #[inline]
    fn at(place: &'static Location<'static>) -> Self {
        Wait::at(place)
    }

    #[inline]
    fn unticketed() -> Self {
        Wait::unticketed()
    }
}

/// A stream that can be read, as the futures see it.
///
/// The methods are compiled once, with the stream, not with each user of the futures. A transfer of
/// no bytes is ready with 0 at once: it does not wait, and makes no system call.
pub(crate) trait ByteRead {
    /// [`Wait`] for what the reactor watches. A file adds a job of the thread pool.
    type State: OpState;

    fn poll_read(&self, state: &mut Self::State, cx: &mut Context<'_>, buf: &mut [u8])
    -> PollBytes;

    /// By default, reads into the first slice that is not empty.
    fn poll_read_vectored(
        &self,
        state: &mut Self::State,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> PollBytes {
        let first = bufs.iter_mut().find(|buf| !buf.is_empty());
        self.poll_read(state, cx, first.map_or(&mut [][..], |buf| buf))
    }

    /// The error of a `read_exact` that met EOF after `filled` of `wanted` bytes.
    fn unexpected_eof(&self, filled: usize, wanted: usize) -> io::Error {
        let message = format!("the stream ended after {filled} of {wanted} bytes");
        io::Error::new(io::ErrorKind::UnexpectedEof, message)
    }
}

/// A stream that can be written, as the futures see it. As with [`ByteRead`], a transfer of no
/// bytes is ready with 0 at once.
pub(crate) trait ByteWrite {
    /// As [`ByteRead::State`].
    type State: OpState;

    fn poll_write(&self, state: &mut Self::State, cx: &mut Context<'_>, buf: &[u8]) -> PollBytes;

    /// By default, writes only the first slice that is not empty.
    fn poll_write_vectored(
        &self,
        state: &mut Self::State,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> PollBytes {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.poll_write(state, cx, first.map_or(&[][..], |buf| buf))
    }

    /// Ends the stream for its reader, as far as this is possible without dropping it. By default
    /// that is a no-op.
    fn close(&self) -> io::Result<()> {
        Ok(())
    }

    /// The error of a `write_all` when the stream accepts no more bytes.
    fn write_zero(&self) -> io::Error {
        io::ErrorKind::WriteZero.into()
    }
}

/// Implements `AsRawFd` for types that have `AsFd`.
#[cfg(unix)]
macro_rules! as_raw_fd {
    ($(impl$([$($bounds:tt)*])? for $owner:ty;)*) => {$(
        impl$(<$($bounds)*>)? ::std::os::fd::AsRawFd for $owner {
            fn as_raw_fd(&self) -> ::std::os::fd::RawFd {
                ::std::os::fd::AsRawFd::as_raw_fd(&::std::os::fd::AsFd::as_fd(self))
            }
        }
    )*};
}
#[cfg(unix)]
pub(crate) use as_raw_fd;

/// Implements `AsyncRead` of futures-io for a [`ByteRead`], and for a reference to it. With
/// `for RECEIVER`, only for that receiver; with `via STREAM`, by delegating to `self.STREAM`.
macro_rules! async_read {
    ($stream:ty) => {
        $crate::io::byte_stream::async_read!($stream, for $stream);
        $crate::io::byte_stream::async_read!($stream, for &$stream);
    };
    ($stream:ty, for $receiver:ty) => {
        $crate::io::byte_stream::async_read!(impl[] for $receiver, $stream, |this| this);
    };
    (impl[$($bounds:tt)*] for $receiver:ty, $stream:ty, |$this:ident| $get:expr) => {
        impl<$($bounds)*> ::futures_io::AsyncRead for $receiver {
            fn poll_read(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &mut [u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                use $crate::io::byte_stream::{ByteRead, OpState};
                let $this = &*self;
                let stream: &$stream = $get;
                // Nothing is kept between two calls, so each waits as a new operation.
                let mut state = <<$stream as ByteRead>::State as OpState>::unticketed();
                ByteRead::poll_read(stream, &mut state, cx, buf)
            }

            fn poll_read_vectored(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                bufs: &mut [::std::io::IoSliceMut<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                use $crate::io::byte_stream::{ByteRead, OpState};
                let $this = &*self;
                let stream: &$stream = $get;
                let mut state = <<$stream as ByteRead>::State as OpState>::unticketed();
                ByteRead::poll_read_vectored(stream, &mut state, cx, bufs)
            }
        }
    };
}
pub(crate) use async_read;

/// Implements `AsyncWrite` of futures-io, as [`async_read!`] does `AsyncRead`. Nothing is buffered
/// in this process, so a flush has nothing to do.
macro_rules! async_write {
    ($stream:ty) => {
        $crate::io::byte_stream::async_write!($stream, for $stream);
        $crate::io::byte_stream::async_write!($stream, for &$stream);
    };
    ($stream:ty, for $receiver:ty) => {
        $crate::io::byte_stream::async_write!(impl[] for $receiver, $stream, |this| this);
    };
    (impl[$($bounds:tt)*] for $receiver:ty, $stream:ty, |$this:ident| $get:expr) => {
        impl<$($bounds)*> ::futures_io::AsyncWrite for $receiver {
            fn poll_write(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                use $crate::io::byte_stream::{ByteWrite, OpState};
                let $this = &*self;
                let stream: &$stream = $get;
                // Nothing is kept between two calls, so each waits as a new operation.
                let mut state = <<$stream as ByteWrite>::State as OpState>::unticketed();
                ByteWrite::poll_write(stream, &mut state, cx, buf)
            }

            fn poll_write_vectored(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                bufs: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                use $crate::io::byte_stream::{ByteWrite, OpState};
                let $this = &*self;
                let stream: &$stream = $get;
                let mut state = <<$stream as ByteWrite>::State as OpState>::unticketed();
                ByteWrite::poll_write_vectored(stream, &mut state, cx, bufs)
            }

            fn poll_flush(
                self: ::std::pin::Pin<&mut Self>,
                _: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::task::Poll::Ready(Ok(()))
            }

            fn poll_close(
                self: ::std::pin::Pin<&mut Self>,
                _: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                let $this = &*self;
                let stream: &$stream = $get;
                ::std::task::Poll::Ready($crate::io::byte_stream::ByteWrite::close(stream))
            }
        }
    };
}
pub(crate) use async_write;
