//! What TCP streams and Unix streams share: how they are read, written and closed, for the futures of
//! [`crate::io`] and the traits of futures-io.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::task::{Context, Poll};

use super::socket::StreamIo;
use super::split::Split;
use crate::io::{ByteRead, ByteWrite, Watched, in_one_call, is_short};
use crate::reactor::{Direction, Wait};

/// A stream beneath its public type.
pub(crate) trait StreamSocket: Watched<Io: StreamIo> + Split {
    /// Whether a short read has emptied the kernel's buffer, so that the next would block. (A short write has always
    /// filled it.)
    const SHORT_READ_EMPTIES: bool;
}

impl<S: StreamSocket> ByteRead for S {
    fn poll_read(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let asked = buf.len();
        if asked == 0 {
            return Poll::Ready(Ok(0));
        }
        let exhausted = |n: &usize| S::SHORT_READ_EMPTIES && is_short(*n, asked);
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
        let exhausted = |n: &usize| S::SHORT_READ_EMPTIES && is_short(*n, asked);
        self.registered().poll_io(wait, cx, Direction::Read, |io| io.recv_vectored(bufs), exhausted)
    }
}

impl<S: StreamSocket> ByteWrite for S {
    fn poll_write(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
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
            // The peer was faster: closed is what was asked for.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

/// `try_read` of both streams.
#[track_caller]
pub(crate) fn try_read<S: StreamSocket>(stream: &S, buf: &mut [u8]) -> io::Result<usize> {
    let asked = buf.len();
    let exhausted = |n: &usize| S::SHORT_READ_EMPTIES && is_short(*n, asked);
    // Without data the kernel answers EAGAIN to an empty buffer too.
    let op = |io: &S::Io| if asked == 0 { Ok(0) } else { io.recv(buf) };
    stream.registered().try_io(Direction::Read, op, exhausted)
}

#[track_caller]
pub(crate) fn try_read_vectored<S: StreamSocket>(
    stream: &S,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let (range, asked) = in_one_call(bufs);
    let bufs = &mut bufs[range];
    let exhausted = |n: &usize| S::SHORT_READ_EMPTIES && is_short(*n, asked);
    let op = |io: &S::Io| if asked == 0 { Ok(0) } else { io.recv_vectored(bufs) };
    stream.registered().try_io(Direction::Read, op, exhausted)
}

#[track_caller]
pub(crate) fn try_write<S: StreamSocket>(stream: &S, buf: &[u8]) -> io::Result<usize> {
    let exhausted = |n: &usize| is_short(*n, buf.len());
    stream.registered().try_io(Direction::Write, |io| io.send(buf), exhausted)
}

#[track_caller]
pub(crate) fn try_write_vectored<S: StreamSocket>(
    stream: &S,
    bufs: &[IoSlice<'_>],
) -> io::Result<usize> {
    let (range, asked) = in_one_call(bufs);
    let bufs = &bufs[range];
    let op = |io: &S::Io| if asked == 0 { Ok(0) } else { io.send_vectored(bufs) };
    stream.registered().try_io(Direction::Write, op, |n| is_short(*n, asked))
}
