//! [`Async`]: any file descriptor that the kernel can watch, with operations that the user brings.
//!
//! Its futures are [`With`] for an operation on `&T` and [`WithMut`] for one on `&mut T`. The
//! constructors that return the object on failure are in `async_fd/make.rs`, the traits of
//! futures-io in `async_fd/traits.rs`. An operation is user code, so it never runs while the loop's
//! state is borrowed.

pub(super) mod make;
mod traits;

use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};
use std::{fmt, io, panic::Location, pin::Pin};

use mio::Interest;

use super::byte_stream::as_raw_fd;
use super::readiness::{HasSource, readiness};
use crate::fmt::debug_struct;
use crate::reactor::{Direction, FdSource, Registered, Wait};

/// Anything with a file descriptor that the kernel can watch: inotify, an eventfd, a timerfd, a
/// terminal, a serial line, a foreign epoll, a socket of a kind that [`net`](crate::net) does not
/// know.
///
/// It has no operations of its own. [`read_with`](Self::read_with) and
/// [`write_with`](Self::write_with) try *your* operation, and wait when it returns `WouldBlock`. If
/// `T` is a reader or a writer of std, this is one of futures-io.
///
/// There is no guard as tokio's `AsyncFdReadyGuard`: a readiness that an operation has refuted is
/// cleared by [`try_io`](Self::try_io), [`async_io`](Self::async_io) and `read_with` themselves, and
/// by [`clear_ready`](Self::clear_ready). As the loop has one thread, no event can come between such
/// an operation and the clearing.
///
/// Dropping it closes the descriptor. For a TCP socket with SO_LINGER set, that blocks the loop:
/// see [`TcpStream`](crate::net::TcpStream).
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
    /// The mode belongs to the *open file description*, which all duplicates of a descriptor share,
    /// also those in other processes. So do not pass a descriptor that others use too, such as the
    /// standard input that a program inherits from its shell: use [`stdin`](super::stdin) for that.
    ///
    /// # Errors
    ///
    /// If the kernel cannot watch it: `PermissionDenied` for a regular file or a directory, for
    /// which there is [`fs`](crate::fs); `AlreadyExists` if this loop watches the descriptor
    /// already. `io` is dropped then, and its mode is unchanged; [`try_new`](Self::try_new) returns
    /// it instead.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn new(io: T) -> io::Result<Self> {
        Ok(Async::try_new(io)?)
    }

    readiness!(read and write);

    /// Tries `op` until it returns anything but `WouldBlock`, and waits in between until the kernel
    /// reports that there is something to read.
    ///
    /// `op` should make one system call. It must pass the kernel's `WouldBlock` on, and must not
    /// invent one: the next try follows the kernel's next event, which may never come if there was
    /// no reason to wait.
    ///
    /// Cancel-safe if `op` is: the future is dropped only between two tries, after one that would
    /// have blocked.
    ///
    /// # Errors
    ///
    /// Any other error of `op`. `Interrupted` is tried again.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that this belongs to. The same holds for all operations below.
    #[track_caller]
    pub fn read_with<R, F>(&self, op: F) -> With<'_, T, F>
    where
        F: FnMut(&T) -> io::Result<R>,
    {
        With { io: self, op, direction: Direction::Read, wait: Wait::at(Location::caller()) }
    }

    /// As [`read_with`](Self::read_with), for an operation that waits for room to write.
    ///
    /// A write to a pipe or a socket whose reader is gone raises SIGPIPE unless `op` prevents it.
    /// Rust programs ignore that signal by default.
    ///
    /// # Errors
    ///
    /// Any other error of `op`. `Interrupted` is tried again.
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

    /// Forgets that this counts as ready for `interest`, so that the next wait for it lasts until the
    /// kernel's next event.
    ///
    /// Only needed for events that no operation refutes with `WouldBlock`: that `/proc/self/mounts`
    /// has changed, that a pressure threshold of `/proc/pressure` was exceeded. Call it before you
    /// deal with the event. Something that is still ready, as data that was not read, causes no
    /// further event.
    ///
    /// # Panics
    ///
    /// Outside the loop that this belongs to.
    #[track_caller]
    pub fn clear_ready(&self, interest: Interest) {
        let refuted = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = self.registered.try_own(interest, refuted);
    }

    /// The watched object.
    pub fn get_ref(&self) -> &T {
        self.registered.io().get()
    }

    /// The watched object. Do not put another descriptor in its place: only the first one is
    /// watched, and waiting for the other would never end.
    pub fn get_mut(&mut self) -> &mut T {
        self.registered.io_mut().get_mut()
    }

    /// Stops watching and returns the object, still in non-blocking mode. It may be called on any
    /// thread, and is the way to move a descriptor to another loop.
    ///
    /// Blocking calls fail with `WouldBlock` until the mode is changed back, by fcntl(2) or by
    /// `set_nonblocking(false)` of std's sockets.
    pub fn into_inner(self) -> T {
        self.registered.into_inner()
    }

    /// Tries `op` with nothing borrowed, until it does not block.
    fn poll_with<R>(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(self.registered.poll_ready(wait, cx, direction))?;
            // This clears the readiness if `op` would have blocked, and the loop waits again.
            let result = op(self.get_ref());
            if let Some(result) = self.registered.note_result(direction.interest(), result) {
                return Poll::Ready(result);
            }
        }
    }

    /// As [`poll_with`](Self::poll_with), for an operation that needs `&mut T`.
    fn poll_with_mut<R>(
        &mut self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        direction: Direction,
        mut op: impl FnMut(&mut T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(self.registered.poll_ready(wait, cx, direction))?;
            let result = op(self.get_mut());
            if let Some(result) = self.registered.note_result(direction.interest(), result) {
                return Poll::Ready(result);
            }
        }
    }
}

impl<T: AsFd> HasSource for Async<T> {
    type Io = FdSource<T>;

    fn registered(&self) -> &Registered<FdSource<T>> {
        &self.registered
    }
}

/// Nothing in it is structurally pinned.
impl<T: AsFd> Unpin for Async<T> {}

impl<T: AsFd> AsFd for Async<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.registered.io().as_fd()
    }
}

as_raw_fd!(impl[T: AsFd] for Async<T>;);

impl<T: AsFd + fmt::Debug> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(self.get_ref()).finish()
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

/// Nothing in the futures is structurally pinned.
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

debug_struct!(impl[T: AsFd + fmt::Debug, F] for With<'_, T, F> as "With",
    |this| io: this.io, to: this.direction.verb(), ..);

debug_struct!(impl[T: AsFd + fmt::Debug, F] for WithMut<'_, T, F> as "WithMut",
    |this| io: this.io, to: this.direction.verb(), ..);
