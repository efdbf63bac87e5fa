//! The futures of reading and writing: [`Read`], [`ReadExact`], [`Write`] and [`WriteAll`], written
//! once for every kind of stream, those of `net` and `fs` included.
//!
//! Each holds its stream, its buffer and the state of its operation, and tries the system call when
//! it is polled. None of them buffers anything.

#![expect(private_bounds, reason = "only the streams of this crate make these futures")]

use std::task::{Context, Poll, ready};
use std::{fmt, io, panic::Location, pin::Pin};

use super::byte_stream::{ByteRead, ByteWrite, OpState};

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
                // Not EOF, which writing does not have: without this the loop would spin.
                0 => return Poll::Ready(Err(this.stream.write_zero())),
                n => this.buf = &this.buf[n..],
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Implements `Debug` for a future: its stream and how much of its buffer is left.
macro_rules! debug {
    ($($name:ident<$bound:ident>: |$this:ident| $left:expr;)*) => {$(
        impl<S: $bound + fmt::Debug> fmt::Debug for $name<'_, S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $this = self;
                let mut debug = f.debug_struct(stringify!($name));
                debug.field("stream", self.stream).field("bytes_left", &$left).finish()
            }
        }
    )*};
}

debug! {
    Read<ByteRead>: |this| this.buf.len();
    ReadExact<ByteRead>: |this| this.buf.len() - this.filled;
    Write<ByteWrite>: |this| this.buf.len();
    WriteAll<ByteWrite>: |this| this.buf.len();
}
