//! Pipes: [`pipe`] makes one, [`PipeReader`] and [`PipeWriter`] are its ends. Used by users, and by `process`
//! for what a child reads and writes.

use std::fmt;
#[cfg(target_os = "linux")]
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{
    ByteRead, ByteWrite, Read, ReadExact, Watched, Write, WriteAll, async_read, async_write,
    in_one_call, is_short, read_fifo, readiness, set_nonblocking,
};
use crate::reactor::{Direction, FdSource, Ready, Registered, Wait};

/// A pipe: what is written to the second can be read from the first. For bytes between tasks, and to and from
/// child processes. Both ends are closed on exec.
///
/// ```
/// headwaiter::block_on(async {
///     let (mut reader, mut writer) = headwaiter::io::pipe()?;
///     writer.write_all(b"soup").await?;
///     drop(writer);
///     let mut order = [0; 10];
///     assert_eq!(reader.read(&mut order).await?, 4);
///     assert_eq!(reader.read(&mut order).await?, 0, "the end: its writer is gone");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// If the process has no two free file descriptors, or the user too many pipes.
///
/// # Panics
///
/// Outside any event loop.
#[track_caller]
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((PipeReader::new(reader, true)?, PipeWriter::from_std(writer)?))
}

/// The end of a [`pipe`] that is read.
pub struct PipeReader {
    registered: Registered<FdSource<io::PipeReader>>,
    /// Its writer is ours. Another's may keep its packets apart (O_DIRECT in pipe(2)), which cannot be seen from
    /// here; then a short read does not mean that there is no more.
    ours: bool,
}

/// The end of a [`pipe`] that is written. Dropping it ends the stream for the reader.
pub struct PipeWriter {
    registered: Registered<FdSource<io::PipeWriter>>,
}

impl ByteRead for PipeReader {
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
        let op = |io: &FdSource<io::PipeReader>| self.read_begun(io, |mut io| io.read(buf));
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
            |io: &FdSource<io::PipeReader>| self.read_begun(io, |mut io| io.read_vectored(bufs));
        self.registered.poll_io(wait, cx, Direction::Read, op, |n| self.ours && is_short(*n, asked))
    }
}

impl ByteWrite for PipeWriter {
    fn poll_write(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
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

    /// A pipe has no half-close: only dropping its writer ends it.
    fn close(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Watched for PipeReader {
    type Io = FdSource<io::PipeReader>;

    fn registered(&self) -> &Registered<Self::Io> {
        &self.registered
    }
}

impl Watched for PipeWriter {
    type Io = FdSource<io::PipeWriter>;

    fn registered(&self) -> &Registered<Self::Io> {
        &self.registered
    }
}

async_read!(PipeReader);
async_write!(PipeWriter);

impl PipeReader {
    /// Takes over a reader of std, or with [`From<OwnedFd>`](std::io::PipeReader#impl-From<OwnedFd>-for-PipeReader)
    /// any descriptor of a pipe's or FIFO's end, and sets it to non-blocking mode.
    ///
    /// A FIFO that no writer has opened yet has not ended: on Linux its first read waits for a writer, as tokio's does.
    ///
    /// # Errors
    ///
    /// If the kernel cannot set the mode or watch the descriptor (`PermissionDenied`: it is no pipe).
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn from_std(reader: io::PipeReader) -> io::Result<Self> {
        PipeReader::new(reader, false)
    }

    #[track_caller]
    fn new(reader: io::PipeReader, ours: bool) -> io::Result<Self> {
        set_nonblocking(&reader, true)?;
        Ok(PipeReader {
            registered: Registered::new(FdSource::new(reader), "pipe reader", Ready::BOTH)?,
            ours,
        })
    }

    /// A pipe of our own has a writer from its first moment, so that it needs no look at its end.
    fn read_begun(
        &self,
        io: &FdSource<io::PipeReader>,
        mut read: impl FnMut(&io::PipeReader) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.ours { read(io.get()) } else { read_fifo(&mut io.get(), |io| read(io)) }
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

    /// Gives the reader to std, in blocking mode again, for instance to be the standard input of a child
    /// process. (The mode is of the description, which duplicates of this descriptor share: they block too from now on. To have it
    /// non-blocking, set O_NONBLOCK again by fcntl(2), or duplicate the descriptor of [`as_fd`](AsFd::as_fd) instead.)
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

    /// Reads some bytes, at least one; 0 is the end: every writer is gone (or `buf` is empty).
    ///
    /// Cancel-safe: if it is dropped before it was ready, nothing was read.
    ///
    /// # Errors
    ///
    /// What read(2) says.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the pipe belongs to. So do all operations below.
    #[track_caller]
    pub fn read<'a>(&'a mut self, buf: &'a mut [u8]) -> Read<'a, PipeReader> {
        Read::new(self, buf)
    }

    /// Reads until `buf` is full.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, what it had read is in `buf`, but nobody knows
    /// how much.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the stream ends before; else as [`read`](Self::read).
    #[track_caller]
    pub fn read_exact<'a>(&'a mut self, buf: &'a mut [u8]) -> ReadExact<'a, PipeReader> {
        ReadExact::new(self, buf)
    }

    readiness!(read);

    /// Reads without waiting.
    ///
    /// Never refused, as a single poll of [`read`](Self::read) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing to read (and `buf` is not empty); else as [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// Outside the loop that the pipe belongs to.
    #[track_caller]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let asked = buf.len();
        let op = |io: &FdSource<io::PipeReader>| {
            // `read_fifo` would take the 0 for that of a FIFO that has not begun.
            if asked == 0 { Ok(0) } else { self.read_begun(io, |mut io| io.read(buf)) }
        };
        self.registered.try_io(Direction::Read, op, |n| self.ours && is_short(*n, asked))
    }
}

impl PipeWriter {
    /// Takes over a writer of std, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// If the kernel cannot set the mode or watch the descriptor (`PermissionDenied`: it is no pipe).
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn from_std(writer: io::PipeWriter) -> io::Result<Self> {
        set_nonblocking(&writer, true)?;
        Ok(PipeWriter {
            registered: Registered::new(FdSource::new(writer), "pipe writer", Ready::BOTH)?,
        })
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

    /// Gives the writer to std, in blocking mode again, for instance to be the standard output of a child
    /// process. (The mode is of the description, which duplicates of this descriptor share: they block too from now on. To have it
    /// non-blocking, set O_NONBLOCK again by fcntl(2), or duplicate the descriptor of [`as_fd`](AsFd::as_fd) instead.)
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

    /// Writes some of `buf`, at least one byte (unless it is empty), and returns how many. Up to 4096 bytes
    /// (PIPE_BUF) are written in one piece or not at all, and do not mix with other writers'.
    ///
    /// Cancel-safe: if it is dropped before it was ready, nothing was written.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if no reader is left. There is no SIGPIPE, except where the program has changed what Rust does with that
    /// signal (it ignores it) *and* the kernel cannot leave it out: Linux before 6.18, and other systems.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the pipe belongs to. So do all operations below.
    #[track_caller]
    pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> Write<'a, PipeWriter> {
        Write::new(self, buf)
    }

    /// Writes all of `buf`.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, some of it was written, and nobody knows how much.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn write_all<'a>(&'a mut self, buf: &'a [u8]) -> WriteAll<'a, PipeWriter> {
        WriteAll::new(self, buf)
    }

    readiness!(write only);

    /// Waits until every reader is gone: whatever is written from then on is an error (`BrokenPipe`). For a producer that should stop
    /// when nothing takes its output any more, also while it has nothing to write. A [`ChildStdin`](crate::process::ChildStdin) is a
    /// `PipeWriter` too: its reader is the child, and each process that has inherited its standard input.
    ///
    /// Cancel-safe. It is ready at once if the reader is gone already. It borrows the writer shared, so that writing can go on beside it,
    /// by the traits of futures-io for `&PipeWriter`.
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
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub fn closed(&self) -> Closed<'_> {
        Closed { writer: self, wait: Wait::at(Location::caller()) }
    }

    /// Writes without waiting.
    ///
    /// Never refused, as a single poll of [`write`](Self::write) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room; else as [`write`](Self::write).
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
        // There is nothing to read from this end, so the reading direction is free for its only other news: EPOLLERR, which counts
        // as readable. The writing direction must keep its bit: a pipe with room gives no new edge for it.
        this.writer.registered.poll_io(
            &mut this.wait,
            cx,
            Direction::Read,
            |io| {
                if linux::has_reader(io)? { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            },
            |()| false,
        )
    }
}

impl AsFd for PipeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.registered.io().as_fd()
    }
}

impl AsFd for PipeWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.registered.io().as_fd()
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registered.fmt(f)
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registered.fmt(f)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec};
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// RWF_NOSIGNAL, since Linux 6.18: what MSG_NOSIGNAL is for sockets.
    const NOSIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);

    /// An offset that pwritev2(2) takes to mean "where write(2) would".
    const NOWHERE: u64 = u64::MAX;

    /// The kernel knows [`NOSIGNAL`], as far as we know.
    static SILENT: AtomicBool = AtomicBool::new(true);

    /// POLLERR, which is always looked for, says that a pipe has no reader: poll(2).
    pub(crate) fn has_reader(pipe: impl AsFd) -> io::Result<bool> {
        let mut pipe = [PollFd::new(&pipe, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut pipe, Some(&at_once))?;
        Ok(!pipe[0].revents().contains(PollFlags::ERR))
    }

    /// write(2) without SIGPIPE, where the kernel can do that.
    pub(crate) fn write(pipe: impl AsFd, buf: &[u8]) -> io::Result<usize> {
        write_vectored(pipe, &[IoSlice::new(buf)])
    }

    /// `bufs` fit in one call.
    pub(crate) fn write_vectored(pipe: impl AsFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if SILENT.load(Ordering::Relaxed) {
            match pwritev2(&pipe, bufs, NOWHERE, NOSIGNAL) {
                Err(error) if may_be_unknown(error) => SILENT.store(false, Ordering::Relaxed),
                result => return Ok(result?),
            }
        }
        Ok(rustix::io::writev(&pipe, bufs)?)
    }

    /// Whether it may be the call or the flag that is refused, and not this write: of an old kernel, or of a sandbox, most of
    /// which say EPERM to calls they do not know (seccomp filters of containers). If it is the write, writev(2) says so.
    fn may_be_unknown(error: Errno) -> bool {
        matches!(error, Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_call_that_a_sandbox_refuses_is_made_another_way() {
            for unknown in [Errno::PERM, Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL] {
                assert!(may_be_unknown(unknown), "{unknown}");
            }
            for of_the_write in [Errno::AGAIN, Errno::PIPE, Errno::INTR] {
                assert!(!may_be_unknown(of_the_write), "{of_the_write}");
            }
        }

        #[test]
        fn an_error_of_the_write_itself_is_told_whichever_call_is_made() {
            use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
            let sealed =
                memfd_create("sealed", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
            fcntl_add_seals(&sealed, SealFlags::WRITE).unwrap();
            let error = write(&sealed, b"soup").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::PERM.raw_os_error()));
        }
    }
}
#[cfg(target_os = "linux")]
pub(super) use linux::{write, write_vectored};

#[cfg(not(target_os = "linux"))]
mod other {
    use super::*;

    pub(crate) fn write(mut pipe: impl io::Write, buf: &[u8]) -> io::Result<usize> {
        pipe.write(buf)
    }

    pub(crate) fn write_vectored(
        mut pipe: impl io::Write,
        bufs: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        pipe.write_vectored(bufs)
    }
}
#[cfg(not(target_os = "linux"))]
pub(super) use other::{write, write_vectored};
