//! [`Io`]: a stream of futures-io as one of hyper, and the other way round.
//!
//! It has no buffer of its own: reading goes through the scratch buffer of the thread.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use pin_project_lite::pin_project;

use crate::io::{byte_stream::PollBytes, scratch};

/// Up to this many bytes in several slices, such as a header and a short body, are written as one
/// slice. Copying them costs less than a vectored system call costs more, and TLS makes one record
/// of them.
const MERGED: usize = 2048;

pin_project! {
    /// A stream of futures-io, such as [`TcpStream`](crate::net::TcpStream), as a stream of hyper;
    /// and a stream of hyper, such as [`Upgraded`](hyper::upgrade::Upgraded), as one of futures-io.
    ///
    /// It has no buffer of its own: what hyper reads goes through one that all connections of a
    /// thread share.
    #[derive(Clone, Copy, Debug)]
    pub struct Io<T> {
        #[pin]
        inner: T,
        // For a client: whether ALPN has negotiated HTTP/2.
        http2: bool,
    }
}

impl<T> Io<T> {
    /// Wraps a stream.
    pub fn new(inner: T) -> Self {
        Io { inner, http2: false }
    }

    /// Sets whether this stream speaks HTTP/2, for hyper-util's client. Use it in a connector with
    /// TLS, if ALPN has chosen HTTP/2.
    #[must_use]
    #[cfg(feature = "hyper-client")]
    pub fn negotiated_http2(mut self, negotiated: bool) -> Self {
        self.http2 = negotiated;
        self
    }

    #[cfg(feature = "hyper-client")]
    pub(super) fn is_http2(&self) -> bool {
        self.http2
    }

    /// The wrapped stream.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The wrapped stream.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Returns the wrapped stream.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead> Read for Io<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        scratch::with(buf.remaining(), |scratch| {
            let n = ready!(self.project().inner.poll_read(cx, scratch))?;
            buf.put_slice(&scratch[..n]);
            Poll::Ready(Ok(()))
        })
    }
}

impl<T: AsyncWrite> Write for Io<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> PollBytes {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = self.project().inner;
        // Whether all slices fit in the buffer together.
        let mut rest = MERGED;
        let is_small = bufs.iter().all(|buf| {
            let fits = buf.len() <= rest;
            rest = rest.saturating_sub(buf.len());
            fits
        });
        if !is_small {
            return inner.poll_write_vectored(cx, bufs);
        }
        scratch::with(MERGED, |scratch| {
            let mut len = 0;
            for buf in bufs {
                scratch[len..len + buf.len()].copy_from_slice(buf);
                len += buf.len();
            }
            inner.poll_write(cx, &scratch[..len])
        })
    }

    /// futures-io does not say. A writer without vectored writes of its own writes the first slice.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_close(cx)
    }
}

impl<T: Read> AsyncRead for Io<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> PollBytes {
        let mut buf = ReadBuf::new(buf);
        ready!(self.project().inner.poll_read(cx, buf.unfilled()))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl<T: Write> AsyncWrite for Io<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> PollBytes {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}
