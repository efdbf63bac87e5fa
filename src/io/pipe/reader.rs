//! [`PipeReader`], the reading end of a pipe or FIFO. It is also the standard output and error of a
//! child.
//!
//! The futures are those of [`crate::io`]. It never writes.

use std::fmt;
use std::io::{self, IoSliceMut, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use crate::io::byte_stream::{ByteRead, as_raw_fd, async_read};
use crate::io::readiness::{HasSource, poll_ready_names, readiness};
use crate::io::syscall::{in_one_call, is_short, read_fifo, set_nonblocking};
use crate::reactor::{Direction, FdSource, Ready, Registered, Wait};
use crate::{io::byte_stream::PollBytes, io::futures::read_methods};

/// The reading end of a [`pipe`](crate::io::pipe()).
pub struct PipeReader {
    registered: Registered<FdSource<io::PipeReader>>,
    /// Whether the pipe was made by [`pipe`](crate::io::pipe()), with a writer of ours.
    ///
    /// The writer of a foreign pipe may keep its packets apart (O_DIRECT in pipe(2)), which cannot
    /// be seen from this end. A short read then does not prove that there is no more.
    ours: bool,
}

impl PipeReader {
    /// Takes over a reader of std, and sets it to non-blocking mode. With
    /// [`From<OwnedFd>`](std::io::PipeReader#impl-From<OwnedFd>-for-PipeReader) that can be any
    /// descriptor of the reading end of a pipe or FIFO.
    ///
    /// A FIFO that no writer has opened yet is not at EOF: on Linux its first read waits for a
    /// writer, as tokio's does.
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
    pub fn from_std(reader: io::PipeReader) -> io::Result<Self> {
        PipeReader::new(reader, false)
    }

    #[track_caller]
    pub(super) fn new(reader: io::PipeReader, ours: bool) -> io::Result<Self> {
        let registered = Registered::new(FdSource::new(reader), "pipe reader", Ready::BOTH)?;
        // After the registration, so that a descriptor that is refused keeps its mode.
        set_nonblocking(registered.io(), true)?;
        Ok(PipeReader { registered, ours })
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
        PipeReader::from_std(fd.into())
    }

    /// As [`from_std`](Self::from_std), for the file of a FIFO. It must be one, and open for reading.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is not a FIFO, or not open for reading; otherwise as
    /// [`from_std`](Self::from_std). The file is closed then.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub fn from_file(file: std::fs::File) -> io::Result<Self> {
        super::open::expect_end(&file, super::open::End::Reading)?;
        PipeReader::from_file_unchecked(file)
    }

    /// As [`from_file`](Self::from_file), without checking the file first. A read of something that
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
        PipeReader::from_fd(file.into())
    }

    /// Returns the reader of std, in blocking mode again, for instance to be the standard input of
    /// a child.
    ///
    /// The mode belongs to the open file description, which all duplicates of this descriptor
    /// share: they block too from now on. To keep them non-blocking, set O_NONBLOCK again by
    /// fcntl(2), or duplicate the descriptor of [`as_fd`](AsFd::as_fd) instead.
    ///
    /// # Errors
    ///
    /// If the kernel cannot set the mode. The reader is closed then.
    pub fn into_std(self) -> io::Result<io::PipeReader> {
        let reader = self.registered.into_inner();
        set_nonblocking(&reader, false)?;
        Ok(reader)
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

    read_methods! {
        PipeReader,
        eof: "EOF: every writer is gone",
        cancelled: "nothing was read.",
        errors: "Those of read(2).",
        panics: "Polling it outside the loop that the pipe belongs to.",
    }

    readiness!(read);

    poll_ready_names!(poll_read_ready = poll_readable;);

    /// Reads without waiting.
    ///
    /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
    /// single poll of [`read`](Self::read) may be.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing to read (and `buf` is not empty); otherwise as
    /// [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// Outside the loop that the pipe belongs to.
    #[track_caller]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let asked = buf.len();
        let op = |io: &FdSource<io::PipeReader>| {
            // `read_fifo` would take the 0 of an empty buffer for that of a FIFO without a writer.
            if asked == 0 { Ok(0) } else { self.read_with(io, |mut io| io.read(buf)) }
        };
        self.registered.try_io(Direction::Read, op, |n| self.ours && is_short(*n, asked))
    }

    /// As [`try_read`](Self::try_read), into several buffers in turn. At most 1,024 of them are used.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    ///
    /// # Panics
    ///
    /// Outside the loop that the pipe belongs to.
    #[track_caller]
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let (range, asked) = in_one_call(bufs);
        let bufs = &mut bufs[range];
        let op = |io: &FdSource<io::PipeReader>| {
            if asked == 0 { Ok(0) } else { self.read_with(io, |mut io| io.read_vectored(bufs)) }
        };
        self.registered.try_io(Direction::Read, op, |n| self.ours && is_short(*n, asked))
    }

    #[cfg(feature = "bytes")]
    crate::io::buffers::try_read_buf_methods!();

    /// Calls `read`, and again if it returns the 0 of a FIFO that has no writer yet.
    fn read_with(
        &self,
        io: &FdSource<io::PipeReader>,
        mut read: impl FnMut(&io::PipeReader) -> io::Result<usize>,
    ) -> io::Result<usize> {
        // A pipe of ours has had a writer from the start, so its 0 is always EOF.
        if self.ours { read(io.get()) } else { read_fifo(&mut io.get(), |io| read(io)) }
    }
}

impl ByteRead for PipeReader {
    type State = Wait;

    fn poll_read(&self, wait: &mut Wait, cx: &mut Context<'_>, buf: &mut [u8]) -> PollBytes {
        let asked = buf.len();
        if asked == 0 {
            return Poll::Ready(Ok(0));
        }
        let op = |io: &FdSource<io::PipeReader>| self.read_with(io, |mut io| io.read(buf));
        // A short read empties only a pipe whose writer is known.
        self.registered.poll_io(wait, cx, Direction::Read, op, |n| self.ours && is_short(*n, asked))
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
        let op =
            |io: &FdSource<io::PipeReader>| self.read_with(io, |mut io| io.read_vectored(bufs));
        self.registered.poll_io(wait, cx, Direction::Read, op, |n| self.ours && is_short(*n, asked))
    }
}

async_read!(PipeReader);

impl HasSource for PipeReader {
    type Io = FdSource<io::PipeReader>;

    fn registered(&self) -> &Registered<Self::Io> {
        &self.registered
    }
}

impl AsFd for PipeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.registered.io().as_fd()
    }
}

as_raw_fd!(impl for PipeReader;);

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registered.fmt(f)
    }
}
