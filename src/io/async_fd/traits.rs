//! The traits of futures-io for [`Async`] over a reader or writer of std, owned (`T: Read`) and
//! shared (`&T: Read`).
//!
//! `T` is user code: it is not called for a transfer of no bytes, and what it claims is checked.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::task::{Context, Poll};
use std::{os::fd::AsFd, pin::Pin};

use futures_io::{AsyncRead, AsyncWrite};

use super::Async;
use crate::io::syscall::{in_one_call, read_fifo, within};
use crate::reactor::{Direction, Wait};

/// Implements the trait methods. `$poll` is the method of [`Async`] that tries an operation, and
/// `$io` binds what the operation is given: `&mut T`, or `&T` as a mutable variable.
macro_rules! poll_reads {
    ($poll:ident($io:pat, $ty:ty) => $reader:expr) => {
        fn poll_read(
            #[allow(unused_mut)] mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let size = buf.len();
            // `read_fifo` relies on a buffer that is not empty.
            if size == 0 {
                return Poll::Ready(Ok(0));
            }
            let op = |$io: $ty| within(size, read_fifo($reader, |io| io.read(buf)));
            self.$poll(&mut Wait::unticketed(), cx, Direction::Read, op)
        }

        fn poll_read_vectored(
            #[allow(unused_mut)] mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &mut [IoSliceMut<'_>],
        ) -> Poll<io::Result<usize>> {
            let (range, size) = in_one_call(bufs);
            if size == 0 {
                return Poll::Ready(Ok(0));
            }
            let bufs = &mut bufs[range];
            let op = |$io: $ty| within(size, read_fifo($reader, |io| io.read_vectored(bufs)));
            self.$poll(&mut Wait::unticketed(), cx, Direction::Read, op)
        }
    };
}

/// As [`poll_reads!`].
macro_rules! poll_writes {
    ($poll:ident($io:pat, $ty:ty) => $writer:expr) => {
        fn poll_write(
            #[allow(unused_mut)] mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            if buf.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let op = |$io: $ty| within(buf.len(), $writer.write(buf));
            self.$poll(&mut Wait::unticketed(), cx, Direction::Write, op)
        }

        fn poll_write_vectored(
            #[allow(unused_mut)] mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let (range, size) = in_one_call(bufs);
            if size == 0 {
                return Poll::Ready(Ok(0));
            }
            let bufs = &bufs[range];
            let op = |$io: $ty| within(size, $writer.write_vectored(bufs));
            self.$poll(&mut Wait::unticketed(), cx, Direction::Write, op)
        }

        fn poll_flush(
            #[allow(unused_mut)] mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            let op = |$io: $ty| $writer.flush();
            self.$poll(&mut Wait::unticketed(), cx, Direction::Write, op)
        }

        /// Only flushes: std's traits do not say how to end a stream.
        fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_flush(cx)
        }
    };
}

/// On Linux, a read of 0 bytes from a FIFO that no writer has opened yet is not EOF: the read waits
/// for a writer.
impl<T: AsFd + Read> AsyncRead for Async<T> {
    poll_reads!(poll_with_mut(io, &mut T) => io);
}

impl<T: AsFd> AsyncRead for &Async<T>
where
    for<'a> &'a T: Read,
{
    poll_reads!(poll_with(mut io, &T) => &mut io);
}

impl<T: AsFd + Write> AsyncWrite for Async<T> {
    poll_writes!(poll_with_mut(io, &mut T) => io);
}

impl<T: AsFd> AsyncWrite for &Async<T>
where
    for<'a> &'a T: Write,
{
    poll_writes!(poll_with(mut io, &T) => io);
}
