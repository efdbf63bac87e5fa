//! A source for any file descriptor, which `io`, `fs` and `process` give to [`Registered`]. It only tells
//! mio which descriptor to watch. It never reads, writes or changes the mode.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::Registered;

/// Anything with a file descriptor, as a source.
pub(crate) struct FdSource<T> {
    /// `None` only while [`Registered::into_inner`] gives it back.
    io: Option<T>,
}

impl<T: AsFd> FdSource<T> {
    pub(crate) fn new(io: T) -> Self {
        FdSource { io: Some(io) }
    }

    #[inline]
    pub(crate) fn get(&self) -> &T {
        self.io.as_ref().expect(IT_IS_THERE)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.io.as_mut().expect(IT_IS_THERE)
    }
}

const IT_IS_THERE: &str = "it is taken out with the end of its registration";

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
            None => Ok(()), // Done before it was taken out.
        }
    }
}

impl<T: AsFd> Registered<FdSource<T>> {
    /// Ends the registration, on any thread, and returns what was registered.
    pub(crate) fn into_inner(mut self) -> T {
        self.deregister();
        self.io_mut().io.take().expect(IT_IS_THERE)
    }
}

impl<T: fmt::Debug> fmt::Debug for FdSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
