//! Copying from one stream to another: [`copy()`]. Copying in both directions, which is what a proxy
//! does, is in `copy/bidirectional.rs`.
//!
//! It takes any streams with the traits of futures-io, foreign ones included, so what they claim is
//! checked.

pub(super) mod bidirectional;

use std::task::{Context, Poll, ready};
use std::{io, ops::Range, pin::Pin};

use futures_io::{AsyncRead, AsyncWrite};

use super::syscall::within;
use crate::about::about;
use crate::door::{Door, poll_budget};
use crate::fmt::debug_struct;

/// The size of the buffer, in bytes, at first and at most.
///
/// It grows when a read fills it, so that many quiet connections are cheap. (Carrying 2 GiB over
/// the loopback cost a proxy 2.2 s of processor time with 8 KiB, 1.5 s with 16, 1.0 s with 32, and
/// 1.0 s with 64, which had the best throughput.)
const FIRST: usize = 8 * 1024;
const MOST: usize = 64 * 1024;

/// Copies everything from `reader` to `writer`, until EOF, and returns the number of bytes.
///
/// It reads only when everything read before is written, which gives backpressure. It flushes the
/// writer at the end, and whenever there is nothing to read for the moment. It does not close the
/// writer.
///
/// Not cancel-safe: if the future is dropped before it is ready, up to 64 KiB that were read and
/// not yet written are lost, and so is the number of bytes that were written.
///
/// ```
/// headwaiter::block_on(async {
///     let (mut reader, mut writer) = headwaiter::io::pipe()?;
///     let mut served = Vec::new();
///     writer.write_all(b"soup").await?;
///     drop(writer);
///     assert_eq!(headwaiter::io::copy(&mut reader, &mut served).await?, 4);
///     assert_eq!(served, b"soup");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of the reader and the writer; the message says which of them failed. `WriteZero` if the
/// writer accepts nothing, `InvalidData` if one of them claims to have moved more bytes than there
/// were.
pub fn copy<'a, R, W>(reader: &'a mut R, writer: &'a mut W) -> Copy<'a, R, W>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    Copy { reader, writer, pump: Pump::new("the reader", "the writer", FIRST, MOST) }
}

/// The future of [`copy()`].
#[must_use = "futures do nothing unless awaited"]
pub struct Copy<'a, R: ?Sized, W: ?Sized> {
    reader: &'a mut R,
    writer: &'a mut W,
    pump: Pump,
}

/// The state of one direction.
struct Pump {
    buffer: Vec<u8>,
    /// The most bytes that the buffer grows to.
    most: usize,
    /// The last read filled the buffer, so a larger one may save system calls.
    is_full: bool,
    /// The part of the buffer that was read and not yet written.
    unwritten: Range<usize>,
    /// The reader is at EOF.
    is_at_eof: bool,
    /// Something was written since the last flush.
    is_unflushed: bool,
    /// The writer was closed.
    is_closed: bool,
    written: u64,
    /// What errors call the reader and the writer.
    from: &'static str,
    to: &'static str,
}

impl Pump {
    /// A direction with a buffer of `first` bytes that grows to `most`.
    fn new(from: &'static str, to: &'static str, first: usize, most: usize) -> Self {
        Pump {
            buffer: vec![0; first],
            most,
            is_full: false,
            unwritten: 0..0,
            is_at_eof: false,
            is_unflushed: false,
            is_closed: false,
            written: 0,
            from,
            to,
        }
    }

    /// Copies until the reader is at EOF and everything is written and flushed.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        loop {
            // Everything is written before more is read: that is the backpressure.
            while !self.unwritten.is_empty() {
                let bytes = &self.buffer[self.unwritten.clone()];
                let result = ready!(Pin::new(&mut *writer).poll_write(cx, bytes));
                self.wrote(result)?;
            }
            if self.is_at_eof {
                return self.poll_flush(cx, writer);
            }
            if self.is_full && self.buffer.len() < self.most {
                self.buffer = vec![0; self.buffer.len() * 2];
            }
            let budget = || Door::open().map(|door| door.budget.left());
            let before = budget();
            match Pin::new(&mut *reader).poll_read(cx, &mut self.buffer) {
                Poll::Ready(result) => {
                    self.read(result)?;
                    // A stream of this crate has spent a unit. A foreign one spends none, and may
                    // always be ready: without this it would keep the loop here.
                    if budget() == before {
                        ready!(poll_budget(cx));
                    }
                }
                // The peer behind the writer may wait for bytes that a buffered writer holds back,
                // and the reader for that peer. So it is flushed before this waits.
                Poll::Pending => {
                    return match self.poll_flush(cx, writer) {
                        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                        _ => Poll::Pending,
                    };
                }
            }
        }
    }

    fn read(&mut self, result: io::Result<usize>) -> io::Result<()> {
        match within(self.buffer.len(), result) {
            Ok(0) => self.is_at_eof = true,
            Ok(n) => {
                self.unwritten = 0..n;
                self.is_full = n == self.buffer.len();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(about("read from", self.from, error)),
        }
        Ok(())
    }

    fn wrote(&mut self, result: io::Result<usize>) -> io::Result<()> {
        match within(self.unwritten.len(), result) {
            Ok(0) => Err(about("write to", self.to, io::ErrorKind::WriteZero.into())),
            Ok(n) => {
                self.unwritten.start += n;
                self.written += n as u64;
                self.is_unflushed = true;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(about("write to", self.to, error)),
        }
    }

    fn poll_flush<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        if !self.is_unflushed {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(writer).poll_flush(cx);
        self.is_unflushed = flushed.is_pending();
        flushed.map_err(|error| about("flush", self.to, error))
    }

    /// As [`poll`](Self::poll), and then closes the writer.
    fn poll_and_close<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        if self.is_closed {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll(cx, reader, writer))?;
        let closed = Pin::new(writer).poll_close(cx);
        self.is_closed = closed.is_ready();
        closed.map_err(|error| about("close", self.to, error))
    }
}

impl<R, W> Future for Copy<'_, R, W>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    type Output = io::Result<u64>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let done = this.pump.poll(cx, this.reader, this.writer);
        done.map_ok(|()| this.pump.written)
    }
}

debug_struct!(impl[R: ?Sized, W: ?Sized] for Copy<'_, R, W> as "Copy",
    |this| written: this.pump.written, ..);
