//! The borrowed halves of a stream, for two futures of one task: [`ReadHalf`] and [`WriteHalf`].
//!
//! Made by `split` of a stream. They cost nothing, and close nothing when they are dropped.

#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};

use super::Split;
use super::methods::{peek_methods, read_half_methods, write_half_methods};
use crate::io::byte_stream::{async_read, async_write};
use crate::net::tcp::TcpStream;

#[cfg(unix)]
use crate::io::byte_stream::as_raw_fd;

/// The reading half of a stream that is borrowed: see [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'s, S = TcpStream> {
    stream: &'s S,
}

/// The writing half of a stream that is borrowed: see [`TcpStream::split`]. Dropping it does not
/// shut the write direction down; [`shutdown`](Self::shutdown) does.
#[derive(Debug)]
pub struct WriteHalf<'s, S = TcpStream> {
    stream: &'s S,
}

/// The mutable borrow keeps others from the stream while the halves exist.
pub(crate) fn split<S>(stream: &mut S) -> (ReadHalf<'_, S>, WriteHalf<'_, S>) {
    (ReadHalf { stream }, WriteHalf { stream })
}

impl<S: Split> ReadHalf<'_, S> {
    read_half_methods!(|half| half.stream);
}

impl ReadHalf<'_> {
    peek_methods!();
}

impl<S: Split> WriteHalf<'_, S> {
    write_half_methods!(|half| half.stream);
}

impl<S> AsRef<S> for ReadHalf<'_, S> {
    fn as_ref(&self) -> &S {
        self.stream
    }
}

impl<S> AsRef<S> for WriteHalf<'_, S> {
    fn as_ref(&self) -> &S {
        self.stream
    }
}

#[cfg(unix)]
impl<S: AsFd> AsFd for ReadHalf<'_, S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(unix)]
impl<S: AsFd> AsFd for WriteHalf<'_, S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(unix)]
as_raw_fd! {
    impl[S: AsFd] for ReadHalf<'_, S>;
    impl[S: AsFd] for WriteHalf<'_, S>;
}

async_read!(impl[S: Split] for ReadHalf<'_, S>, S, |half| half.stream);
async_write!(impl[S: Split] for WriteHalf<'_, S>, S, |half| half.stream);
