//! Any file descriptor that the kernel can watch: [`Async`] and its futures [`With`] and [`WithMut`]. What is
//! done with the descriptor is the user's code, so it is called with nothing borrowed.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::{Watched, in_one_call, read_fifo, readiness, within};
use crate::about::about;
use crate::reactor::{Direction, FdSource, Ready, Registered, Wait};

/// Anything with a file descriptor that the kernel can watch: inotify, an eventfd, a timerfd, a terminal, a serial
/// line, someone else's epoll, a socket of a kind that [`net`](crate::net) does not know.
///
/// It brings no operations of its own. [`read_with`](Self::read_with) and [`write_with`](Self::write_with)
/// try *your* operation, and wait when it says that it would block. If `T` is a reader or a writer of std, so is
/// this one of futures-io.
///
/// Dropping it closes the descriptor, which blocks the loop if it is a TCP socket with SO_LINGER set: see
/// [`TcpStream`](crate::net::TcpStream).
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use headwaiter::io::Async;
/// use rustix::event::{EventfdFlags, eventfd};
///
/// headwaiter::block_on(async {
///     let counter = Async::new(eventfd(0, EventfdFlags::CLOEXEC)?)?;
///     rustix::io::write(counter.get_ref(), &3_u64.to_ne_bytes())?;
///
///     let mut count = [0; 8];
///     counter.read_with(|fd| Ok(rustix::io::read(fd, &mut count)?)).await?;
///     assert_eq!(u64::from_ne_bytes(count), 3);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Async<T: AsFd> {
    registered: Registered<FdSource<T>>,
}

impl<T: AsFd> Async<T> {
    /// Watches `io`, and sets it to non-blocking mode.
    ///
    /// That mode is of the *open file description*, which all duplicates of a descriptor share, also those in other
    /// processes: so do not give it what others use too, such as the standard input that a program has from its
    /// shell. For that there is [`stdin`](super::stdin).
    ///
    /// # Errors
    ///
    /// If the kernel cannot watch it: `PermissionDenied` for a regular file or a folder, which are for
    /// [`fs`](crate::fs); `AlreadyExists` if this descriptor is watched by this loop already. `io` is dropped
    /// then, its mode as it was.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn new(io: T) -> io::Result<Self> {
        let registered =
            match Registered::try_new(FdSource::new(io), "file descriptor", Ready::BOTH) {
                Ok(registered) => registered,
                Err((error, io)) => return Err(unwatched(io.as_fd(), error)),
            };
        super::set_nonblocking(registered.io(), true)?;
        Ok(Async { registered })
    }

    readiness!(read and write);

    /// Tries `op` until it does something else than `WouldBlock`, and waits in between until the kernel says
    /// that there is something to read.
    ///
    /// `op` should make one system call, and must hand the kernel's `WouldBlock` through and make up none: the
    /// next try comes with the kernel's next event, and if there was no reason to wait there may be none.
    ///
    /// Cancel-safe if `op` is: it is dropped only between two tries, after one that would have blocked.
    ///
    /// # Errors
    ///
    /// What `op` says. `Interrupted` is tried again.
    #[track_caller]
    pub fn read_with<R, F>(&self, op: F) -> With<'_, T, F>
    where
        F: FnMut(&T) -> io::Result<R>,
    {
        With { io: self, op, direction: Direction::Read, wait: Wait::at(Location::caller()) }
    }

    /// As [`read_with`](Self::read_with), for an operation that waits for room to write.
    ///
    /// A write to a pipe or a socket whose reader is gone raises SIGPIPE, as far as `op` does not prevent it; Rust programs
    /// ignore that signal by default.
    ///
    /// # Errors
    ///
    /// What `op` says. `Interrupted` is tried again.
    #[track_caller]
    pub fn write_with<R, F>(&self, op: F) -> With<'_, T, F>
    where
        F: FnMut(&T) -> io::Result<R>,
    {
        With { io: self, op, direction: Direction::Write, wait: Wait::at(Location::caller()) }
    }

    /// As [`read_with`](Self::read_with), for an operation that changes `T` itself.
    #[track_caller]
    pub fn read_with_mut<R, F>(&mut self, op: F) -> WithMut<'_, T, F>
    where
        F: FnMut(&mut T) -> io::Result<R>,
    {
        WithMut { io: self, op, direction: Direction::Read, wait: Wait::at(Location::caller()) }
    }

    /// As [`write_with`](Self::write_with), for an operation that changes `T` itself.
    #[track_caller]
    pub fn write_with_mut<R, F>(&mut self, op: F) -> WithMut<'_, T, F>
    where
        F: FnMut(&mut T) -> io::Result<R>,
    {
        WithMut { io: self, op, direction: Direction::Write, wait: Wait::at(Location::caller()) }
    }

    /// What is watched.
    pub fn get_ref(&self) -> &T {
        self.registered.io().get()
    }

    /// What is watched. Whoever puts another descriptor in its place waits in vain: only the first is watched.
    pub fn get_mut(&mut self) -> &mut T {
        self.registered.io_mut().get_mut()
    }

    /// Gives it back, not watched any more, still in non-blocking mode. On any thread: also the way to another
    /// loop. Blocking calls need the mode to be changed first, by fcntl(2) or std's `set_nonblocking(false)` of sockets, else they
    /// fail with `WouldBlock`.
    pub fn into_inner(self) -> T {
        self.registered.into_inner()
    }

    fn poll_with<R>(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            match self.registered.poll_ready(wait, cx, direction) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            let result = op(self.get_ref());
            if let Some(result) = self.registered.settle(direction.interest(), result) {
                return Poll::Ready(result);
            }
        }
    }

    fn poll_with_mut<R>(
        &mut self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
        mut op: impl FnMut(&mut T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            match self.registered.poll_ready(wait, cx, direction) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            let result = op(self.get_mut());
            if let Some(result) = self.registered.settle(direction.interest(), result) {
                return Poll::Ready(result);
            }
        }
    }
}

fn unwatched(fd: BorrowedFd<'_>, error: io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            " (as a regular file or a folder it is always ready for the kernel: use `headwaiter::fs`)"
        }
        io::ErrorKind::AlreadyExists => " (this loop watches it already)",
        _ => "",
    };
    about("watch", format_args!("file descriptor {}{why}", fd.as_raw_fd()), error)
}

impl<T: AsFd> Watched for Async<T> {
    type Io = FdSource<T>;

    fn registered(&self) -> &Registered<FdSource<T>> {
        &self.registered
    }
}

impl<T: AsFd> AsFd for Async<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.registered.io().as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(self.get_ref()).finish()
    }
}

/// Nothing in it is ever pinned.
impl<T: AsFd> Unpin for Async<T> {}

/// `T` is not called for a transfer of no bytes. On Linux, a read of 0 bytes from a FIFO that is empty and has not been closed by
/// a writer is not its end: no writer has opened it yet, and the read waits for one.
impl<T: AsFd + Read> AsyncRead for Async<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let size = buf.len();
        if size == 0 {
            return Poll::Ready(Ok(0));
        }
        let op = |io: &mut T| within(size, read_fifo(io, |io| io.read(buf)));
        self.poll_with_mut(&mut Wait::unticketed(), cx, Direction::Read, op)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let (range, size) = in_one_call(bufs);
        if size == 0 {
            return Poll::Ready(Ok(0));
        }
        let bufs = &mut bufs[range];
        let op = |io: &mut T| within(size, read_fifo(io, |io| io.read_vectored(bufs)));
        self.poll_with_mut(&mut Wait::unticketed(), cx, Direction::Read, op)
    }
}

impl<T: AsFd> AsyncRead for &Async<T>
where
    for<'a> &'a T: Read,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let size = buf.len();
        if size == 0 {
            return Poll::Ready(Ok(0));
        }
        let op = |mut io: &T| within(size, read_fifo(&mut io, |io| io.read(buf)));
        self.poll_with(&mut Wait::unticketed(), cx, Direction::Read, op)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let (range, size) = in_one_call(bufs);
        if size == 0 {
            return Poll::Ready(Ok(0));
        }
        let bufs = &mut bufs[range];
        let op = |mut io: &T| within(size, read_fifo(&mut io, |io| io.read_vectored(bufs)));
        self.poll_with(&mut Wait::unticketed(), cx, Direction::Read, op)
    }
}

impl<T: AsFd + Write> AsyncWrite for Async<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let op = |io: &mut T| within(buf.len(), io.write(buf));
        self.poll_with_mut(&mut Wait::unticketed(), cx, Direction::Write, op)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (range, size) = in_one_call(bufs);
        if size == 0 {
            return Poll::Ready(Ok(0));
        }
        let bufs = &bufs[range];
        let op = |io: &mut T| within(size, io.write_vectored(bufs));
        self.poll_with_mut(&mut Wait::unticketed(), cx, Direction::Write, op)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with_mut(&mut Wait::unticketed(), cx, Direction::Write, Write::flush)
    }

    /// Only flushes: what it takes to end the stream, std's traits do not tell.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl<T: AsFd> AsyncWrite for &Async<T>
where
    for<'a> &'a T: Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let op = |mut io: &T| within(buf.len(), io.write(buf));
        self.poll_with(&mut Wait::unticketed(), cx, Direction::Write, op)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (range, size) = in_one_call(bufs);
        if size == 0 {
            return Poll::Ready(Ok(0));
        }
        let bufs = &bufs[range];
        let op = |mut io: &T| within(size, io.write_vectored(bufs));
        self.poll_with(&mut Wait::unticketed(), cx, Direction::Write, op)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(&mut Wait::unticketed(), cx, Direction::Write, |mut io| io.flush())
    }

    /// Only flushes: what it takes to end the stream, std's traits do not tell.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// The future of [`Async::read_with`] and [`Async::write_with`].
#[must_use = "futures do nothing unless awaited"]
pub struct With<'a, T: AsFd, F> {
    io: &'a Async<T>,
    op: F,
    direction: Direction,
    wait: Wait,
}

/// The future of [`Async::read_with_mut`] and [`Async::write_with_mut`].
#[must_use = "futures do nothing unless awaited"]
pub struct WithMut<'a, T: AsFd, F> {
    io: &'a mut Async<T>,
    op: F,
    direction: Direction,
    wait: Wait,
}

impl<T: AsFd, F> Unpin for With<'_, T, F> {}
impl<T: AsFd, F> Unpin for WithMut<'_, T, F> {}

impl<T: AsFd, F: FnMut(&T) -> io::Result<R>, R> Future for With<'_, T, F> {
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.io.poll_with(&mut this.wait, cx, this.direction, &mut this.op)
    }
}

impl<T: AsFd, F: FnMut(&mut T) -> io::Result<R>, R> Future for WithMut<'_, T, F> {
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.io.poll_with_mut(&mut this.wait, cx, this.direction, &mut this.op)
    }
}

impl<T: AsFd + fmt::Debug, F> fmt::Debug for With<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("With")
            .field("io", self.io)
            .field("to", &self.direction.verb())
            .finish_non_exhaustive()
    }
}

impl<T: AsFd + fmt::Debug, F> fmt::Debug for WithMut<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithMut")
            .field("io", self.io)
            .field("to", &self.direction.verb())
            .finish_non_exhaustive()
    }
}
