//! [`PipeWriter`], the writing end of a pipe or FIFO, and the future [`Closed`]. It is also the
//! standard input of a child.
//!
//! The other futures are those of [`crate::io`]. It never reads.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};
#[cfg(target_os = "linux")]
use std::{panic::Location, pin::Pin};

use super::nosignal::{write, write_vectored};
use crate::io::byte_stream::{ByteWrite, as_raw_fd, async_write};
use crate::io::readiness::{HasSource, poll_ready_names, readiness};
use crate::io::syscall::{in_one_call, is_short, set_nonblocking};
use crate::reactor::{Direction, FdSource, Ready, Registered, Wait};
use crate::{io::byte_stream::PollBytes, io::futures::write_methods};

/// The writing end of a [`pipe`](crate::io::pipe()). Dropping it ends the stream for the reader.
pub struct PipeWriter {
    registered: Registered<FdSource<io::PipeWriter>>,
}

impl PipeWriter {
    /// Takes over a writer of std, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// If the kernel cannot watch the descriptor (`PermissionDenied`: it is not a pipe) or set the
    /// mode. The descriptor is closed then. The mode, which its duplicates share, is unchanged.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn from_std(writer: io::PipeWriter) -> io::Result<Self> {
        let registered = Registered::new(FdSource::new(writer), "pipe writer", Ready::BOTH)?;
        // After the registration, so that a descriptor that is refused keeps its mode.
        set_nonblocking(registered.io(), true)?;
        Ok(PipeWriter { registered })
    }

    /// As [`from_std`](Self::from_std), for a descriptor.
    ///
    /// # Errors
    ///
    /// As [`from_std`](Self::from_std).
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        PipeWriter::from_std(fd.into())
    }

    /// As [`from_std`](Self::from_std), for the file of a FIFO. It must be one, and open for writing.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is not a FIFO, or not open for writing; otherwise as
    /// [`from_std`](Self::from_std). The file is closed then.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub fn from_file(file: std::fs::File) -> io::Result<Self> {
        super::open::expect_end(&file, super::open::End::Writing)?;
        PipeWriter::from_file_unchecked(file)
    }

    /// As [`from_file`](Self::from_file), without checking the file first. A write to something that
    /// is not a pipe may give other results, but never blocks the loop.
    ///
    /// # Errors
    ///
    /// As [`from_std`](Self::from_std).
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn from_file_unchecked(file: std::fs::File) -> io::Result<Self> {
        PipeWriter::from_fd(file.into())
    }

    /// Returns the writer of std, in blocking mode again, for instance to be the standard output of
    /// a child.
    ///
    /// The mode belongs to the open file description, which all duplicates of this descriptor
    /// share: they block too from now on. To keep them non-blocking, set O_NONBLOCK again by
    /// fcntl(2), or duplicate the descriptor of [`as_fd`](AsFd::as_fd) instead.
    ///
    /// # Errors
    ///
    /// If the kernel cannot set the mode. The writer is closed then.
    pub fn into_std(self) -> io::Result<io::PipeWriter> {
        let writer = self.registered.into_inner();
        set_nonblocking(&writer, false)?;
        Ok(writer)
    }

    /// As [`into_std`](Self::into_std), as a descriptor.
    ///
    /// # Errors
    ///
    /// As [`into_std`](Self::into_std).
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        Ok(self.into_std()?.into())
    }

    /// As [`into_fd`](Self::into_fd), but the descriptor stays in non-blocking mode.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn into_nonblocking_fd(self) -> io::Result<OwnedFd> {
        Ok(self.registered.into_inner().into())
    }

    write_methods! {
        ///
        /// A write of up to 4096 bytes (PIPE_BUF) is atomic: it is written whole, and does not mix
        /// with the bytes of other writers.
        PipeWriter,
        cancelled: "Cancel-safe: if the future is dropped before it is ready, nothing was written.",
        errors: "`BrokenPipe` if no reader is left. There is no SIGPIPE, unless the program has \
                 changed the disposition of that signal (Rust ignores it) *and* the kernel cannot \
                 suppress it: Linux before 6.18, and other systems.",
        panics: "Polling it outside the loop that the pipe belongs to.",
    }

    readiness!(write only);

    poll_ready_names!(poll_write_ready = poll_writable;);

    /// Waits until every reader is gone: every write from then on fails with `BrokenPipe`.
    ///
    /// For a producer that should stop when nothing takes its output any more, also while it has
    /// nothing to write. A [`ChildStdin`](crate::process::ChildStdin) is a `PipeWriter` too: its
    /// readers are the child and each process that has inherited its standard input.
    ///
    /// Cancel-safe. It is ready at once if the readers are gone already. It takes `&self`, so you
    /// can write at the same time, with the traits of futures-io for `&PipeWriter`.
    ///
    /// ```
    /// headwaiter::block_on(async {
    ///     let (reader, writer) = headwaiter::io::pipe()?;
    ///     let stopped = headwaiter::spawn(async move { writer.closed().await });
    ///     drop(reader);
    ///     stopped.await.unwrap()
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// None at present.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the pipe belongs to.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub fn closed(&self) -> Closed<'_> {
        Closed { writer: self, wait: Wait::at(Location::caller()) }
    }

    /// Writes without waiting.
    ///
    /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
    /// single poll of [`write`](Self::write) may be.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room; otherwise as [`write`](Self::write).
    ///
    /// # Panics
    ///
    /// Outside the loop that the pipe belongs to.
    #[track_caller]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.registered.try_io(
            Direction::Write,
            |io| write(io.get(), buf),
            |n| is_short(*n, buf.len()),
        )
    }

    /// As [`try_write`](Self::try_write), from several buffers in turn. At most 1,024 of them are
    /// used.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    ///
    /// # Panics
    ///
    /// Outside the loop that the pipe belongs to.
    #[track_caller]
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let (range, asked) = in_one_call(bufs);
        let bufs = &bufs[range];
        let op = |io: &FdSource<io::PipeWriter>| write_vectored(io.get(), bufs);
        self.registered.try_io(Direction::Write, op, |n| is_short(*n, asked))
    }
}

impl ByteWrite for PipeWriter {
    type State = Wait;

    fn poll_write(&self, wait: &mut Wait, cx: &mut Context<'_>, buf: &[u8]) -> PollBytes {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let op = |io: &FdSource<io::PipeWriter>| write(io.get(), buf);
        self.registered.poll_io(wait, cx, Direction::Write, op, |n| is_short(*n, buf.len()))
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
        let op = |io: &FdSource<io::PipeWriter>| write_vectored(io.get(), bufs);
        self.registered.poll_io(wait, cx, Direction::Write, op, |n| is_short(*n, asked))
    }

    // A close is a no-op: a pipe has no half-close, only dropping its writer ends it.
}

async_write!(PipeWriter);

impl HasSource for PipeWriter {
    type Io = FdSource<io::PipeWriter>;

    fn registered(&self) -> &Registered<Self::Io> {
        &self.registered
    }
}

impl AsFd for PipeWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.registered.io().as_fd()
    }
}

as_raw_fd!(impl for PipeWriter;);

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registered.fmt(f)
    }
}

/// The future of [`PipeWriter::closed`].
#[cfg(target_os = "linux")]
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Closed<'a> {
    writer: &'a PipeWriter,
    wait: Wait,
}

#[cfg(target_os = "linux")]
impl Future for Closed<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let has_no_reader = |io: &FdSource<io::PipeWriter>| {
            if super::nosignal::has_reader(io)? {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            }
        };
        // There is nothing to read from this end, so the reading direction is free for the only
        // other event: EPOLLERR, which counts as readable. The writing direction must keep its
        // readiness: a pipe with room would get no new edge for it.
        let registered = &this.writer.registered;
        registered.poll_io(&mut this.wait, cx, Direction::Read, has_no_reader, |()| false)
    }
}
