//! Feature `bytes`: reading into a `BufMut` and writing from a `Buf` of the crate bytes, with the
//! names of tokio. The futures are [`ReadBuf`], [`WriteBuf`] and [`WriteAllBuf`]; the macros are the
//! methods that make them.
//!
//! A `BufMut` lends memory that is not initialized, and this crate has no `unsafe` to write there. So
//! what was read passes through the [scratch buffer](super::scratch) of the thread, which costs a
//! copy.

#![expect(private_bounds, reason = "only the streams of this crate make these futures")]

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::{fmt, panic::Location, pin::Pin};

use bytes::{Buf, BufMut};

use super::byte_stream::{ByteRead, ByteWrite, OpState, PollBytes};
use super::scratch;
use crate::fmt::debug_struct;

/// The future of `read_buf`.
#[must_use = "futures do nothing unless awaited"]
pub struct ReadBuf<'a, S: ByteRead, B: ?Sized> {
    stream: &'a S,
    buf: &'a mut B,
    state: S::State,
}

/// The future of `write_buf`.
#[must_use = "futures do nothing unless awaited"]
pub struct WriteBuf<'a, S: ByteWrite, B: ?Sized> {
    stream: &'a S,
    buf: &'a mut B,
    state: S::State,
}

/// The future of `write_all_buf`.
#[must_use = "futures do nothing unless awaited"]
pub struct WriteAllBuf<'a, S: ByteWrite, B: ?Sized>(WriteBuf<'a, S, B>);

/// Nothing in the futures is structurally pinned.
impl<S: ByteRead, B: ?Sized> Unpin for ReadBuf<'_, S, B> {}
impl<S: ByteWrite, B: ?Sized> Unpin for WriteBuf<'_, S, B> {}
impl<S: ByteWrite, B: ?Sized> Unpin for WriteAllBuf<'_, S, B> {}

impl<'a, S: ByteRead, B: ?Sized> ReadBuf<'a, S, B> {
    #[track_caller]
    pub(crate) fn new(stream: &'a S, buf: &'a mut B) -> Self {
        ReadBuf { stream, buf, state: OpState::at(Location::caller()) }
    }
}

impl<'a, S: ByteWrite, B: ?Sized> WriteBuf<'a, S, B> {
    #[track_caller]
    pub(crate) fn new(stream: &'a S, buf: &'a mut B) -> Self {
        WriteBuf { stream, buf, state: OpState::at(Location::caller()) }
    }
}

impl<'a, S: ByteWrite, B: ?Sized> WriteAllBuf<'a, S, B> {
    #[track_caller]
    pub(crate) fn new(stream: &'a S, buf: &'a mut B) -> Self {
        WriteAllBuf(WriteBuf::new(stream, buf))
    }
}

/// How many bytes one call may read into a buffer: as many as it has room for without growing. A
/// buffer that grows does so first if it is full.
pub(crate) fn room<B: BufMut + ?Sized>(buf: &mut B) -> usize {
    if buf.has_remaining_mut() { buf.chunk_mut().len() } else { 0 }
}

/// Calls `read` once, and appends what it has read.
pub(crate) fn read_into<B: BufMut + ?Sized>(
    buf: &mut B,
    read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    scratch::with(room(buf), |scratch| {
        let n = read(scratch)?;
        buf.put_slice(&scratch[..n]);
        Ok(n)
    })
}

impl<S: ByteRead, B: BufMut + ?Sized> Future for ReadBuf<'_, S, B> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        scratch::with(room(this.buf), |scratch| {
            let n = ready!(this.stream.poll_read(&mut this.state, cx, scratch))?;
            this.buf.put_slice(&scratch[..n]);
            Poll::Ready(Ok(n))
        })
    }
}

impl<S: ByteWrite, B: Buf + ?Sized> WriteBuf<'_, S, B> {
    fn poll_once(&mut self, cx: &mut Context<'_>) -> PollBytes {
        // As many as usually make up a message: a head, a body, and what is between them.
        let mut slices = [IoSlice::new(&[]); 16];
        let count = self.buf.chunks_vectored(&mut slices);
        let slices = &slices[..count];
        let n = ready!(self.stream.poll_write_vectored(&mut self.state, cx, slices))?;
        self.buf.advance(n);
        Poll::Ready(Ok(n))
    }
}

impl<S: ByteWrite, B: Buf + ?Sized> Future for WriteBuf<'_, S, B> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_once(cx)
    }
}

impl<S: ByteWrite, B: Buf + ?Sized> Future for WriteAllBuf<'_, S, B> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut self.0;
        while this.buf.has_remaining() {
            // Without this, the `while` would never end.
            if ready!(this.poll_once(cx))? == 0 {
                return Poll::Ready(Err(this.stream.write_zero()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

debug_struct!(impl[S: ByteRead + fmt::Debug, B: ?Sized] for ReadBuf<'_, S, B> as "ReadBuf",
    |this| stream: this.stream, ..);
debug_struct!(impl[S: ByteWrite + fmt::Debug, B: ?Sized] for WriteBuf<'_, S, B> as "WriteBuf",
    |this| stream: this.stream, ..);
debug_struct!(impl[S: ByteWrite + fmt::Debug, B: ?Sized] for WriteAllBuf<'_, S, B>
    as "WriteAllBuf", |this| stream: this.0.stream, ..);

/// `read_buf`. The second argument says how `self` reaches its stream.
macro_rules! read_buf_methods {
    ($stream:ty, |$this:ident| $get:expr) => {
        /// Reads some bytes and appends them to `buf` (feature `bytes`), at least one, and returns
        /// how many.
        ///
        /// It reads at most as many as `buf` has room for, and at most 64 KiB. If a buffer that
        /// grows by itself, such as a `BytesMut`, is full, it grows first, by a few bytes: reserve
        /// more. 0 means EOF, or that `buf` can have no more bytes.
        ///
        /// Cancel-safe: if the future is dropped before it is ready, nothing was read.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read).
        ///
        /// # Panics
        ///
        /// As [`read`](Self::read).
        #[track_caller]
        pub fn read_buf<'a, B: ::bytes::BufMut + ?Sized>(
            &'a mut self,
            buf: &'a mut B,
        ) -> $crate::io::buffers::ReadBuf<'a, $stream, B> {
            let $this = &*self;
            $crate::io::buffers::ReadBuf::new($get, buf)
        }
    };
}
pub(crate) use read_buf_methods;

/// `try_read_buf`, by `try_read`.
macro_rules! try_read_buf_methods {
    () => {
        /// As [`try_read`](Self::try_read), and appends the bytes to `buf` (feature `bytes`). It
        /// reads as many as `read_buf` does.
        ///
        /// # Errors
        ///
        /// As [`try_read`](Self::try_read).
        ///
        /// # Panics
        ///
        /// As [`try_read`](Self::try_read).
        #[track_caller]
        pub fn try_read_buf<B: ::bytes::BufMut + ?Sized>(
            &self,
            buf: &mut B,
        ) -> ::std::io::Result<usize> {
            $crate::io::buffers::read_into(buf, |bytes| self.try_read(bytes))
        }
    };
}
pub(crate) use try_read_buf_methods;

/// `write_buf` and `write_all_buf`. The second argument says how `self` reaches its stream.
macro_rules! write_buf_methods {
    ($stream:ty, |$this:ident| $get:expr) => {
        /// Writes some of `buf` (feature `bytes`), at least one byte unless it is empty, and returns
        /// how many. `buf` is advanced by as many. If it has several parts, one system call writes
        /// from several.
        ///
        /// If the future is dropped before it is ready, `buf` was not advanced. Otherwise as
        /// [`write`](Self::write).
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write).
        ///
        /// # Panics
        ///
        /// As [`write`](Self::write).
        #[track_caller]
        pub fn write_buf<'a, B: ::bytes::Buf + ?Sized>(
            &'a mut self,
            buf: &'a mut B,
        ) -> $crate::io::buffers::WriteBuf<'a, $stream, B> {
            let $this = &*self;
            $crate::io::buffers::WriteBuf::new($get, buf)
        }

        /// Writes all of `buf` (feature `bytes`).
        ///
        /// If the future is dropped before it is ready, `buf` holds what was not written yet, as far
        /// as [`write_buf`](Self::write_buf) is cancel-safe: so it can be continued.
        ///
        /// # Errors
        ///
        /// As [`write_all`](Self::write_all).
        ///
        /// # Panics
        ///
        /// As [`write`](Self::write).
        #[track_caller]
        pub fn write_all_buf<'a, B: ::bytes::Buf + ?Sized>(
            &'a mut self,
            buf: &'a mut B,
        ) -> $crate::io::buffers::WriteAllBuf<'a, $stream, B> {
            let $this = &*self;
            $crate::io::buffers::WriteAllBuf::new($get, buf)
        }
    };
}
pub(crate) use write_buf_methods;
