//! The futures of reading and writing: [`Read`], [`ReadExact`], [`Write`] and [`WriteAll`], written
//! once for every kind of stream, those of `net` and `fs` included.
//!
//! Each holds its stream, its buffer and the state of its operation, and tries the system call when
//! it is polled. None of them buffers anything. [`read_methods!`] and [`write_methods!`] are the
//! inherent methods that make them; the arguments are the parts of the documentation that differ.

#![expect(private_bounds, reason = "only the streams of this crate make these futures")]

use super::byte_stream::{ByteRead, ByteWrite, OpState};
use crate::fmt::debug_struct;
use std::task::{Context, Poll, ready};
use std::{fmt, io, panic::Location, pin::Pin};

/// The future of `read`.
#[must_use = "futures do nothing unless awaited"]
pub struct Read<'a, S: ByteRead> {
    stream: &'a S,
    buf: &'a mut [u8],
    state: S::State,
}

/// The future of `read_exact`.
#[must_use = "futures do nothing unless awaited"]
pub struct ReadExact<'a, S: ByteRead> {
    stream: &'a S,
    buf: &'a mut [u8],
    filled: usize,
    state: S::State,
}

/// The future of `write`.
#[must_use = "futures do nothing unless awaited"]
pub struct Write<'a, S: ByteWrite> {
    stream: &'a S,
    buf: &'a [u8],
    state: S::State,
}

/// The future of `write_all`.
#[must_use = "futures do nothing unless awaited"]
pub struct WriteAll<'a, S: ByteWrite> {
    stream: &'a S,
    /// What is left to write.
    buf: &'a [u8],
    state: S::State,
}

/// Nothing in the futures is structurally pinned.
impl<S: ByteRead> Unpin for Read<'_, S> {}
impl<S: ByteRead> Unpin for ReadExact<'_, S> {}
impl<S: ByteWrite> Unpin for Write<'_, S> {}
impl<S: ByteWrite> Unpin for WriteAll<'_, S> {}

impl<'a, S: ByteRead> Read<'a, S> {
    #[track_caller]
    pub(crate) fn new(stream: &'a S, buf: &'a mut [u8]) -> Self {
        Read { stream, buf, state: OpState::at(Location::caller()) }
    }
}

impl<'a, S: ByteRead> ReadExact<'a, S> {
    #[track_caller]
    pub(crate) fn new(stream: &'a S, buf: &'a mut [u8]) -> Self {
        ReadExact { stream, buf, filled: 0, state: OpState::at(Location::caller()) }
    }
}

impl<'a, S: ByteWrite> Write<'a, S> {
    #[track_caller]
    pub(crate) fn new(stream: &'a S, buf: &'a [u8]) -> Self {
        Write { stream, buf, state: OpState::at(Location::caller()) }
    }
}

impl<'a, S: ByteWrite> WriteAll<'a, S> {
    #[track_caller]
    pub(crate) fn new(stream: &'a S, buf: &'a [u8]) -> Self {
        WriteAll { stream, buf, state: OpState::at(Location::caller()) }
    }
}

impl<S: ByteRead> Future for Read<'_, S> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.stream.poll_read(&mut this.state, cx, this.buf)
    }
}

impl<S: ByteRead> Future for ReadExact<'_, S> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while this.filled < this.buf.len() {
            let rest = &mut this.buf[this.filled..];
            match ready!(this.stream.poll_read(&mut this.state, cx, rest))? {
                // `rest` is not empty, so this is EOF.
                0 => {
                    let error = this.stream.unexpected_eof(this.filled, this.buf.len());
                    return Poll::Ready(Err(error));
                }
                n => this.filled += n,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: ByteWrite> Future for Write<'_, S> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.stream.poll_write(&mut this.state, cx, this.buf)
    }
}

impl<S: ByteWrite> Future for WriteAll<'_, S> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while !this.buf.is_empty() {
            match ready!(this.stream.poll_write(&mut this.state, cx, this.buf))? {
                // Writing has no EOF. Without this, the `while` would never end.
                0 => return Poll::Ready(Err(this.stream.write_zero())),
                n => this.buf = &this.buf[n..],
            }
        }
        Poll::Ready(Ok(()))
    }
}

debug_struct!(impl[S: ByteRead + fmt::Debug] for Read<'_, S> as "Read",
    |this| stream: this.stream, bytes_left: this.buf.len());
debug_struct!(impl[S: ByteRead + fmt::Debug] for ReadExact<'_, S> as "ReadExact",
    |this| stream: this.stream, bytes_left: this.buf.len() - this.filled);
debug_struct!(impl[S: ByteWrite + fmt::Debug] for Write<'_, S> as "Write",
    |this| stream: this.stream, bytes_left: this.buf.len());
debug_struct!(impl[S: ByteWrite + fmt::Debug] for WriteAll<'_, S> as "WriteAll",
    |this| stream: this.stream, bytes_left: this.buf.len());

/// `read` and `read_exact`.
macro_rules! read_methods {
    (
        $stream:ty,
        eof: $eof:literal,
        cancelled: $cancelled:literal,
        errors: $errors:literal,
        panics: $panics:literal $(,)?
    ) => {
        /// Reads some bytes into `buf`, at least one, and returns how many.
        ///
        #[doc = concat!("0 means ", $eof, ", or that `buf` is empty.")]
        ///
        #[doc = concat!("Cancel-safe: if the future is dropped before it is ready, ", $cancelled)]
        ///
        /// # Errors
        ///
        #[doc = $errors]
        ///
        /// # Panics
        ///
        #[doc = $panics]
        #[track_caller]
        pub fn read<'a>(&'a mut self, buf: &'a mut [u8]) -> $crate::io::futures::Read<'a, $stream> {
            $crate::io::futures::Read::new(self, buf)
        }

        /// Reads until `buf` is full.
        ///
        /// Not cancel-safe: if the future is dropped before it is ready, the start of `buf` may
        /// hold bytes that were read, and their number is lost.
        ///
        /// # Errors
        ///
        /// `UnexpectedEof` if the end comes first; otherwise as [`read`](Self::read).
        ///
        /// # Panics
        ///
        /// As [`read`](Self::read).
        #[track_caller]
        pub fn read_exact<'a>(
            &'a mut self,
            buf: &'a mut [u8],
        ) -> $crate::io::futures::ReadExact<'a, $stream> {
            $crate::io::futures::ReadExact::new(self, buf)
        }

        #[cfg(feature = "bytes")]
        $crate::io::buffers::read_buf_methods!($stream, |this| this);
    };
}
pub(crate) use read_methods;

/// `write` and `write_all`. Attributes in front of the type are added to the documentation of
/// `write`.
macro_rules! write_methods {
    (
        $(#[$more:meta])*
        $stream:ty,
        cancelled: $cancelled:literal,
        errors: $errors:literal,
        panics: $panics:literal $(,)?
    ) => {
        /// Writes some of `buf`, at least one byte unless it is empty, and returns how many.
        $(#[$more])*
        ///
        #[doc = $cancelled]
        ///
        /// # Errors
        ///
        #[doc = $errors]
        ///
        /// # Panics
        ///
        #[doc = $panics]
        #[track_caller]
        pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> $crate::io::futures::Write<'a, $stream> {
            $crate::io::futures::Write::new(self, buf)
        }

        /// Writes all of `buf`.
        ///
        /// Not cancel-safe: if the future is dropped before it is ready, a part of `buf` may have
        /// been written, and its length is lost.
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write); `WriteZero` if the stream accepts no more bytes.
        ///
        /// # Panics
        ///
        /// As [`write`](Self::write).
        #[track_caller]
        pub fn write_all<'a>(
            &'a mut self,
            buf: &'a [u8],
        ) -> $crate::io::futures::WriteAll<'a, $stream> {
            $crate::io::futures::WriteAll::new(self, buf)
        }

        #[cfg(feature = "bytes")]
        $crate::io::buffers::write_buf_methods!($stream, |this| this);
    };
}
pub(crate) use write_methods;
