//! A source for any file descriptor. `io`, `fs` and `process` wrap their descriptors in it and give
//! it to [`Registered`]. It only tells mio which descriptor to watch. It never reads, writes or
//! changes the mode.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::Registered;

/// Wraps any value that has a file descriptor, and makes it a source.
pub(crate) struct FdSource<T> {
    /// `None` only after [`Registered::into_inner`] has taken it out.
    io: Option<T>,
}

impl<T: AsFd> FdSource<T> {
    pub(crate) fn new(io: T) -> Self {
        FdSource { io: Some(io) }
    }

    #[inline]
    pub(crate) fn get(&self) -> &T {
        self.io.as_ref().expect(IS_PRESENT)
    }

    /// Returns what was never registered.
    pub(crate) fn into_inner(self) -> T {
        self.io.expect(IS_PRESENT)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.io.as_mut().expect(IS_PRESENT)
    }
}

/// Why `io` is `Some`: only the function that consumes the source takes it out.
const IS_PRESENT: &str = "it is taken out with the end of its registration";

impl<T: AsFd> AsFd for FdSource<T> {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get().as_fd()
    }
}

impl<T: AsFd> Source for FdSource<T> {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.as_fd().as_raw_fd()).register(registry, token, interest)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.as_fd().as_raw_fd()).reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match &self.io {
            Some(io) => SourceFd(&io.as_fd().as_raw_fd()).deregister(registry),
            None => Ok(()), // `into_inner` has deregistered it.
        }
    }
}

impl<T: AsFd> Registered<FdSource<T>> {
    /// Ends the registration and returns what was registered. This works on any thread.
    pub(crate) fn into_inner(mut self) -> T {
        self.deregister();
        self.io_mut().io.take().expect(IS_PRESENT)
    }
}

impl<T: fmt::Debug> fmt::Debug for FdSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
