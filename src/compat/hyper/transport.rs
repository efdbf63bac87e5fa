//! [`Transport`]: the stream of a connection as hyper's server uses it. It notes in [`Traffic`] how
//! much was written and whether a write is blocked, for the guard of the connection.
//!
//! It closes gracefully: a peer that is still sending gets its answer.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::{pin::Pin, sync::Arc, time::Duration};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};

use super::io::Io;
use crate::io::{byte_stream::PollBytes, scratch};
use crate::time::{Sleep, sleep};

/// How long a closed connection is read from, for a peer that is still sending.
const LINGER: Duration = Duration::from_secs(5);

/// What is known about a stream. Atomic only because hyper requires streams that are `Send`: except
/// where noted, it is used on the loop's thread only.
#[derive(Default)]
pub(super) struct Traffic {
    /// How many bytes were written, wrapping.
    written: AtomicUsize,
    /// The last write is pending: the peer takes nothing.
    blocked: AtomicBool,
    /// A write was pending at some time since this was last asked.
    was_blocked: AtomicBool,
    /// How many bodies of requests are being received, or will be.
    bodies: AtomicUsize,
    /// The peer may be in the middle of sending a request.
    receiving: AtomicBool,
    /// The connection speaks HTTP/2.
    is_http2: AtomicBool,
    /// A request has become a tunnel (CONNECT over HTTP/2), whose end is not visible here.
    has_tunnel: AtomicBool,
    /// hyper has ended the connection. If the stream still exists, it was upgraded, and belongs to
    /// the program.
    is_over: AtomicBool,
}

impl Traffic {
    pub(super) fn written(&self) -> usize {
        self.written.load(Relaxed)
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    pub(super) fn take_was_blocked(&self) -> bool {
        self.was_blocked.swap(false, Relaxed)
    }

    /// A body may be dropped on another thread, so these are counted by atomic additions.
    pub(super) fn body_begins(&self) {
        self.bodies.fetch_add(1, Relaxed);
    }

    pub(super) fn body_ends(&self) {
        self.bodies.fetch_sub(1, Relaxed);
    }

    pub(super) fn has_bodies(&self) -> bool {
        self.bodies.load(Relaxed) > 0
    }

    fn set_blocked(&self) {
        self.blocked.store(true, Relaxed);
        self.was_blocked.store(true, Relaxed);
    }

    /// All of a request was received.
    pub(super) fn received(&self) {
        self.receiving.store(false, Relaxed);
    }

    pub(super) fn is_receiving(&self) -> bool {
        self.receiving.load(Relaxed)
    }

    pub(super) fn set_http2(&self) {
        self.is_http2.store(true, Relaxed);
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Relaxed)
    }

    pub(super) fn set_tunnel(&self) {
        self.has_tunnel.store(true, Relaxed);
    }

    pub(super) fn has_tunnel(&self) -> bool {
        self.has_tunnel.load(Relaxed)
    }

    pub(super) fn set_over(&self) {
        self.is_over.store(true, Relaxed);
    }

    /// Notes the result of a write.
    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(n)) => {
                self.written.store(self.written().wrapping_add(*n), Relaxed);
                self.blocked.store(false, Relaxed);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.set_blocked(),
        }
    }
}

/// The stream of one connection.
pub(super) struct Transport<T> {
    io: Io<T>,
    traffic: Arc<Traffic>,
    /// The timer of a lingering close: set at the shutdown if the peer was still sending.
    linger: Option<Box<Sleep>>,
    is_shut: bool,
}

impl<T> Transport<T> {
    pub(super) fn new(stream: T, traffic: Arc<Traffic>) -> Self {
        Transport { io: Io::new(stream), traffic, linger: None, is_shut: false }
    }
}

impl<T: AsyncRead + Unpin> Read for Transport<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.io.get_mut();
        // As `Io` does, which does not return the number of bytes.
        let n = ready!(scratch::with(buf.remaining(), |scratch| {
            let n = ready!(Pin::new(stream).poll_read(cx, scratch))?;
            buf.put_slice(&scratch[..n]);
            Poll::Ready(Ok::<_, io::Error>(n))
        }))?;
        if n > 0 {
            self.traffic.receiving.store(true, Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Write for Transport<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> PollBytes {
        let result = Write::poll_write(Pin::new(&mut self.io), cx, buf);
        self.traffic.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Write::poll_write_vectored(Pin::new(&mut self.io), cx, bufs);
        self.traffic.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Write::poll_flush(Pin::new(&mut self.io), cx);
        match &result {
            Poll::Pending => self.traffic.set_blocked(),
            // A buffered stream, such as TLS, accepts a write and blocks in the flush.
            Poll::Ready(Ok(())) => self.traffic.blocked.store(false, Relaxed),
            Poll::Ready(Err(_)) => {}
        }
        result
    }

    /// Closing a TCP socket with unread bytes resets the connection, and the peer may lose an
    /// answer (such as 413) that it has not read yet. So after the write direction is shut down,
    /// incoming bytes are read and discarded for a while: the "lingering close" of other servers.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.is_shut {
            ready!(Write::poll_shutdown(Pin::new(&mut this.io), cx))?;
            this.is_shut = true;
            // HTTP/2 refuses a request without ending the connection, and the bytes of an upgraded
            // connection belong to the program.
            let is_over = this.traffic.is_over.load(Relaxed);
            if this.traffic.is_receiving() && !this.traffic.is_http2() && !is_over {
                this.linger = Some(Box::new(sleep(LINGER)));
            }
        }
        let Some(linger) = &mut this.linger else { return Poll::Ready(Ok(())) };
        let stream = this.io.get_mut();
        if let Poll::Ready(_end) = scratch::with(usize::MAX, |scratch| {
            loop {
                // At EOF or an error the peer sends no more.
                match ready!(Pin::new(&mut *stream).poll_read(cx, scratch)) {
                    Ok(n) if n > 0 => {}
                    _ => return Poll::Ready(()),
                }
            }
        }) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut **linger).poll(cx).map(Ok)
    }
}
