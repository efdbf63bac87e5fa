//! Byte streams of all kinds: any file descriptor ([`Async`]), [`pipe()`]s, the standard streams; [`copy()`] from one to another; and
//! the futures of their methods: [`Read`], [`ReadExact`], [`Write`], [`WriteAll`], [`Readiness`], [`ReadyFor`] and [`AsyncIo`]. [`os_error`] gives the
//! number of an error that says what it is about.

// The futures are written once for every kind of stream, also those of `net`. Each holds its stream, its buffer
// and its place among the waiters, and tries the system call when it is polled.

#[cfg(unix)]
mod async_fd;
mod copy;
#[cfg(unix)]
mod pipe;
mod readiness;
#[cfg(unix)]
mod stdio;

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::{Deref, Range};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

#[cfg(unix)]
pub use self::async_fd::{Async, With, WithMut};
pub use self::copy::{Copy, CopyBidirectional, copy, copy_bidirectional};
#[cfg(target_os = "linux")]
pub use self::pipe::Closed;
#[cfg(unix)]
pub use self::pipe::{PipeReader, PipeWriter, pipe};
pub use self::readiness::{AsyncIo, Readiness, ReadyFor};
pub(crate) use self::readiness::{Watched, readiness};
#[cfg(unix)]
pub use self::stdio::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
pub use crate::about::os_error;
use crate::reactor::Wait;

/// What can be read, as the futures see it. Its methods are compiled once, with the stream, not with each
/// user of the futures. A transfer of no bytes gives 0 at once: it does not wait, and makes no system call.
pub(crate) trait ByteRead {
    fn poll_read(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>>;
    fn poll_read_vectored(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>>;
}

/// What can be written. As with [`ByteRead`], a transfer of no bytes gives 0 at once.
pub(crate) trait ByteWrite {
    fn poll_write(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>>;
    fn poll_write_vectored(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;
    /// Ends the stream for its reader, as far as this can be done without dropping it.
    fn close(&self) -> io::Result<()>;
}

/// `AsRawFd` of what has `AsFd`.
#[cfg(unix)]
macro_rules! as_raw_fd {
    ($(impl$([$($bounds:tt)*])? for $owner:ty;)*) => {$(
        impl$(<$($bounds)*>)? ::std::os::fd::AsRawFd for $owner {
            fn as_raw_fd(&self) -> ::std::os::fd::RawFd {
                ::std::os::fd::AsRawFd::as_raw_fd(&::std::os::fd::AsFd::as_fd(self))
            }
        }
    )*};
}
#[cfg(unix)]
pub(crate) use as_raw_fd;

#[cfg(unix)]
as_raw_fd! {
    impl[T: ::std::os::fd::AsFd] for Async<T>;
    impl for PipeReader;
    impl for PipeWriter;
    impl for Stdin;
    impl for Stdout;
    impl for Stderr;
}

/// The reading trait of futures-io, for a [`ByteRead`] and for a reference to it.
macro_rules! async_read {
    ($stream:ty) => {
        $crate::io::async_read!($stream, for $stream);
        $crate::io::async_read!($stream, for &$stream);
    };
    ($stream:ty, for $receiver:ty) => {
        impl ::futures_io::AsyncRead for $receiver {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                <$stream as $crate::io::ByteRead>::poll_read(&self, &mut Wait::unticketed(), cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [::std::io::IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                <$stream as $crate::io::ByteRead>::poll_read_vectored(&self, &mut Wait::unticketed(), cx, bufs)
            }
        }
    };
}
pub(crate) use async_read;

/// The writing trait of futures-io, for a [`ByteWrite`] and for a reference to it. Nothing is buffered on this
/// side of the kernel, so a flush has nothing to do.
macro_rules! async_write {
    ($stream:ty) => {
        $crate::io::async_write!($stream, for $stream);
        $crate::io::async_write!($stream, for &$stream);
    };
    ($stream:ty, for $receiver:ty) => {
        impl ::futures_io::AsyncWrite for $receiver {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                <$stream as $crate::io::ByteWrite>::poll_write(&self, &mut Wait::unticketed(), cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[::std::io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                <$stream as $crate::io::ByteWrite>::poll_write_vectored(&self, &mut Wait::unticketed(), cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(<$stream as $crate::io::ByteWrite>::close(&self))
            }
        }
    };
}
pub(crate) use async_write;

/// More than this in one call proves nothing when it is less than was asked for. Linux moves no more than INT_MAX bytes at a
/// time, less a part of a page (read(2), "NOTES"); pages have up to 256 KiB, so a round figure below that is safe everywhere.
const PROVES_NOTHING: usize = 1 << 30;

/// More slices in one call are EINVAL: writev(2). std passes no more either.
const IOV_MAX: usize = 1024;

/// A short read or write of a stream means that the next would block. One of zero bytes says nothing: it
/// is the end, or the buffer was empty.
#[inline]
pub(crate) fn is_short(done: usize, asked: usize) -> bool {
    (1..PROVES_NOTHING).contains(&done) && done < asked
}

/// The slices that one system call takes, and how many bytes they are: what it moves is compared with these, not with
/// what the caller has passed. Empty slices at the front are left out: 1,024 of them would look like the end.
pub(crate) fn in_one_call<B: Deref<Target = [u8]>>(bufs: &[B]) -> (Range<usize>, usize) {
    let start = bufs.iter().take_while(|buf| buf.is_empty()).count();
    let end = bufs.len().min(start + IOV_MAX);
    // The same bytes may be in many slices, so that the sum may overflow.
    let asked = bufs[start..end].iter().fold(0_usize, |sum, buf| sum.saturating_add(buf.len()));
    (start..end, asked)
}

/// Reads what may be a FIFO, non-blocking, into a buffer that is not empty. A FIFO without a writer says that it has ended,
/// but one that no writer has opened since this reader has, has not begun: then the kernel reports no hang-up, and
/// will report an edge when there is one, or data. So that is `WouldBlock`.
#[cfg(target_os = "linux")]
pub(crate) fn read_fifo<T: std::os::fd::AsFd>(
    io: &mut T,
    mut read: impl FnMut(&mut T) -> io::Result<usize>,
) -> io::Result<usize> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let first = read(io);
    let is_fifo = |io: &T| {
        let stat = rustix::fs::fstat(io);
        stat.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo())
    };
    if !matches!(first, Ok(0)) || !is_fifo(io) {
        return first;
    }
    let asked =
        poll(&mut [PollFd::new(io, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    match asked {
        Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
        // A writer that came and went since the read may have left something.
        _ => read(io),
    }
}

/// There a FIFO is opened with a thread that waits for its first writer.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn read_fifo<T>(
    io: &mut T,
    mut read: impl FnMut(&mut T) -> io::Result<usize>,
) -> io::Result<usize> {
    read(io)
}

/// O_NONBLOCK, of the open file description.
#[cfg(target_os = "linux")]
pub(crate) fn set_nonblocking(fd: impl std::os::fd::AsFd, nonblocking: bool) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, nonblocking)?)
}

/// As on Linux: std does it for sockets only, with a call that takes any descriptor.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn set_nonblocking(fd: impl std::os::fd::AsFd, nonblocking: bool) -> io::Result<()> {
    let duplicate = fd.as_fd().try_clone_to_owned()?;
    std::os::unix::net::UnixStream::from(duplicate).set_nonblocking(nonblocking)
}

/// A reader or writer that is not ours may say anything.
fn within(most: usize, moved: io::Result<usize>) -> io::Result<usize> {
    match moved {
        Ok(n) if n > most => {
            let message =
                format!("a stream claims to have moved {n} bytes where there were {most}");
            Err(io::Error::new(io::ErrorKind::InvalidData, message))
        }
        moved => moved,
    }
}

/// The future of `read`.
#[must_use = "futures do nothing unless awaited"]
pub struct Read<'a, S> {
    stream: &'a S,
    buf: &'a mut [u8],
    wait: Wait,
}

/// The future of `read_exact`.
#[must_use = "futures do nothing unless awaited"]
pub struct ReadExact<'a, S> {
    stream: &'a S,
    buf: &'a mut [u8],
    filled: usize,
    wait: Wait,
}

/// The future of `write`.
#[must_use = "futures do nothing unless awaited"]
pub struct Write<'a, S> {
    stream: &'a S,
    buf: &'a [u8],
    wait: Wait,
}

/// The future of `write_all`.
#[must_use = "futures do nothing unless awaited"]
pub struct WriteAll<'a, S> {
    stream: &'a S,
    buf: &'a [u8],
    wait: Wait,
}

impl<'a, S> Read<'a, S> {
    #[track_caller]
    pub(crate) fn new(stream: &'a S, buf: &'a mut [u8]) -> Self {
        Read { stream, buf, wait: Wait::at(Location::caller()) }
    }
}

impl<'a, S> ReadExact<'a, S> {
    #[track_caller]
    pub(crate) fn new(stream: &'a S, buf: &'a mut [u8]) -> Self {
        ReadExact { stream, buf, filled: 0, wait: Wait::at(Location::caller()) }
    }
}

impl<'a, S> Write<'a, S> {
    #[track_caller]
    pub(crate) fn new(stream: &'a S, buf: &'a [u8]) -> Self {
        Write { stream, buf, wait: Wait::at(Location::caller()) }
    }
}

impl<'a, S> WriteAll<'a, S> {
    #[track_caller]
    pub(crate) fn new(stream: &'a S, buf: &'a [u8]) -> Self {
        WriteAll { stream, buf, wait: Wait::at(Location::caller()) }
    }
}

impl<S: ByteRead> Future for Read<'_, S> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.stream.poll_read(&mut this.wait, cx, this.buf)
    }
}

impl<S: ByteRead> Future for ReadExact<'_, S> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while this.filled < this.buf.len() {
            match this.stream.poll_read(&mut this.wait, cx, &mut this.buf[this.filled..]) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    let (filled, wanted) = (this.filled, this.buf.len());
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("the stream ended after {filled} of {wanted} bytes"),
                    )));
                }
                Poll::Ready(Ok(n)) => this.filled += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: ByteWrite> Future for Write<'_, S> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.stream.poll_write(&mut this.wait, cx, this.buf)
    }
}

impl<S: ByteWrite> Future for WriteAll<'_, S> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while !this.buf.is_empty() {
            match this.stream.poll_write(&mut this.wait, cx, this.buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => this.buf = &this.buf[n..],
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// `Debug` of a future: its stream and how much of its buffer is left.
macro_rules! debug {
    ($($name:ident: $left:expr;)*) => {$(
        impl<S: fmt::Debug> fmt::Debug for $name<'_, S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let left: fn(&Self) -> usize = $left;
                f.debug_struct(stringify!($name)).field("stream", self.stream).field("bytes_left", &left(self)).finish()
            }
        }
    )*};
}

debug! {
    Read: |this| this.buf.len();
    ReadExact: |this| this.buf.len() - this.filled;
    Write: |this| this.buf.len();
    WriteAll: |this| this.buf.len();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_has_cut_is_not_short() {
        assert!(is_short(1, 2) && !is_short(2, 2));
        assert!(!is_short(0, 2), "the end is not short");
        // MAX_RW_COUNT, with pages of 4 KiB and of 64 KiB.
        for cut in [0x7fff_f000, 0x7fff_0000] {
            assert!(!is_short(cut, 3 << 30));
        }
        assert!(is_short(4096, 3 << 30), "it is short of any cut");
    }

    #[test]
    fn slices_that_are_cut_off_are_not_asked_for() {
        let full = vec![IoSlice::new(b"soup"); 2000];
        assert_eq!(in_one_call(&full), (0..1024, 4096));
        assert_eq!(in_one_call(&full[..3]), (0..3, 12));
        let mut behind_empty = vec![IoSlice::new(b""); 2000];
        assert_eq!(in_one_call(&behind_empty).1, 0);
        behind_empty.push(IoSlice::new(b"soup"));
        assert_eq!(in_one_call(&behind_empty), (2000..2001, 4));
    }
}
