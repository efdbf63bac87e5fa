//! Making an [`Async`] in ways that return the object if it cannot be watched, and for chosen events
//! only. [`AsyncTryNewError`] holds the object and the error.
//!
//! Called by users, and by [`Async::new`]. Nothing here waits.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::{error, fmt, io};

use mio::Interest;

use super::Async;
use crate::about::about;
use crate::io::syscall::set_nonblocking;
use crate::reactor::{ALL, Direction, FdSource, Ready, Registered};

/// Objects that are returned if they cannot be watched, and chosen events.
impl<T: AsFd> Async<T> {
    /// As [`new`](Self::new), but returns `io` with the error.
    ///
    /// ```
    /// use headwaiter::io::Async;
    ///
    /// headwaiter::block_on(async {
    ///     let menu = std::fs::File::open("Cargo.toml")?;
    ///     let error = Async::try_new(menu).unwrap_err();
    ///     let (menu, error) = error.into_parts();
    ///     assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    ///     let mut menu = headwaiter::fs::File::from_std(menu)?; // A regular file: `fs` reads it.
    ///     assert_eq!(menu.read(&mut [0; 9]).await?, 9);
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AsyncTryNewError`], in the same cases as [`new`](Self::new). The mode of `io` is unchanged.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn try_new(io: T) -> Result<Self, AsyncTryNewError<T>> {
        Async::try_with_interest(io, ALL)
    }

    /// As [`new`](Self::new), for the events of `interest` only.
    ///
    /// [`new`](Self::new) watches for all events: readable, writable and (on Linux) priority. Use
    /// this to save wakeups for events that the program never waits for. A wait for an event outside
    /// `interest` ends only when the kernel reports a hang-up or an error, which it always does.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn with_interest(io: T, interest: Interest) -> io::Result<Self> {
        Ok(Async::try_with_interest(io, interest)?)
    }

    /// As [`with_interest`](Self::with_interest), but returns `io` with the error.
    ///
    /// # Errors
    ///
    /// As [`try_new`](Self::try_new).
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn try_with_interest(io: T, interest: Interest) -> Result<Self, AsyncTryNewError<T>> {
        // A direction is tried before the first wait, unless no event would follow that.
        let ready = match [Direction::Read, Direction::Write].map(|way| way.is_in(interest)) {
            [true, true] => Ready::BOTH,
            [true, false] => Ready::READ,
            [false, true] => Ready::WRITE,
            [false, false] => Ready::NONE,
        };
        let source = FdSource::new(io);
        let registered = match Registered::try_new_for(source, "file descriptor", interest, ready) {
            Ok(registered) => registered,
            Err((error, source)) => {
                let error = unwatched(source.as_fd(), error);
                return Err(AsyncTryNewError { io: source.into_inner(), error });
            }
        };
        // After the registration, so that a descriptor that is refused keeps its mode.
        if let Err(error) = set_nonblocking(registered.io(), true) {
            return Err(AsyncTryNewError { io: registered.into_inner(), error });
        }
        Ok(Async { registered })
    }
}

/// Explains why the kernel refuses to watch a descriptor.
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

/// The error of [`Async::try_new`] and [`Async::try_with_interest`], with the object that cannot be
/// watched.
pub struct AsyncTryNewError<T> {
    io: T,
    error: io::Error,
}

impl<T> AsyncTryNewError<T> {
    /// Returns the object, and why it cannot be watched.
    pub fn into_parts(self) -> (T, io::Error) {
        (self.io, self.error)
    }
}

impl<T> fmt::Display for AsyncTryNewError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> fmt::Debug for AsyncTryNewError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> error::Error for AsyncTryNewError<T> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Drops the object.
impl<T> From<AsyncTryNewError<T>> for io::Error {
    fn from(error: AsyncTryNewError<T>) -> io::Error {
        error.error
    }
}
