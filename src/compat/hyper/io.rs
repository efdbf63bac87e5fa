//! [`Io`]: a stream of futures-io as one of hyper, and the other way round.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use pin_project_lite::pin_project;

use crate::compat::scratch;

/// So few bytes in several slices, such as a header and a short body, are written as one: copying
/// them costs less than what a system call with several slices costs more, and TLS makes one record
/// of them.
const MERGED: usize = 2048;

pin_project! {
    /// A stream of futures-io, such as [`TcpStream`](crate::net::TcpStream), as a stream of hyper;
    /// and a stream of hyper, such as [`Upgraded`](hyper::upgrade::Upgraded), as one of futures-io.
    ///
    /// It keeps no buffer of its own: what hyper reads goes through one that all connections of a
    /// thread share.
    #[derive(Clone, Copy, Debug)]
    pub struct Io<T> {
        #[pin]
        inner: T,
        // What a client is told of it.
        http2: bool,
    }
}

impl<T> Io<T> {
    /// Wraps a stream.
    pub fn new(inner: T) -> Self {
        Io { inner, http2: false }
    }

    /// Tells hyper-util's client that HTTP/2 is spoken on this stream. For a connector with TLS:
    /// HTTP/2 is what ALPN has chosen.
    #[cfg(feature = "hyper-client")]
    pub fn negotiated_http2(mut self, negotiated: bool) -> Self {
        self.http2 = negotiated;
        self
    }

    #[cfg(feature = "hyper-client")]
    pub(super) fn is_http2(&self) -> bool {
        self.http2
    }

    /// The stream.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The stream.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives the stream back.
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
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = self.project().inner;
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

    /// futures-io does not tell. A writer that has no vectored writes of its own takes the first
    /// slice of those it is given.
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
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(self.project().inner.poll_read(cx, buf.unfilled()))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl<T: Write> AsyncWrite for Io<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
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
