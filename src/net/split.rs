//! The owned halves of a stream, for two tasks. Both hold the whole stream, which is closed with
//! the last of them. They are the same for TCP streams and Unix streams.
//!
//! Made by `into_split` of a stream. They never wait for each other. The borrowed halves are in
//! `split/borrowed.rs`, and the methods that all halves share in `split/methods.rs`.

pub(super) mod borrowed;
mod methods;

#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::{error, fmt, sync::Arc};
use std::{io, net::Shutdown};

use self::methods::{peek_methods, read_half_methods, write_half_methods};
use super::stream::StreamIo;
use super::tcp::TcpStream;
#[cfg(unix)]
use crate::io::byte_stream::as_raw_fd;
use crate::io::byte_stream::{ByteRead, ByteWrite, async_read, async_write};
use crate::io::readiness::HasSource;
use crate::reactor::Wait;

/// A stream that has owned halves. (Public because it is a bound of theirs; it cannot be named
/// outside.)
#[expect(private_bounds, reason = "it cannot be named, nor implemented, outside this crate")]
pub trait Split:
    HasSource<Io: StreamIo> + ByteRead<State = Wait> + ByteWrite<State = Wait>
{
    /// The type of a peer's address.
    type Address;

    fn shut(&self, how: Shutdown) -> io::Result<()>;
    fn peer(&self) -> io::Result<Self::Address>;
    fn local(&self) -> io::Result<Self::Address>;
    fn is_of_this_process(&self) -> bool;
}

/// The reading half of a stream: see [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf<S = TcpStream> {
    stream: Arc<S>,
}

/// The writing half of a stream: see [`TcpStream::into_split`]. Dropping it shuts the write
/// direction down: the peer reads EOF.
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Split = TcpStream> {
    /// `None` only after [`OwnedReadHalf::reunite`] and in `forget`.
    stream: Option<Arc<S>>,
}

pub(super) fn halves<S: Split>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    (OwnedReadHalf { stream: Arc::clone(&stream) }, OwnedWriteHalf { stream: Some(stream) })
}

impl<S: Split> OwnedReadHalf<S> {
    read_half_methods!(|half| &*half.stream);
}

impl<S: Split> OwnedReadHalf<S> {
    /// Joins two halves to one stream again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], with both halves in it, if they do not belong to the same stream.
    pub fn reunite(self, mut write: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.stream, write.stream()) {
            return Err(ReuniteError(self, write));
        }
        // Taken out first: the drop of the write half must not shut the stream down.
        drop(write.stream.take());
        Ok(Arc::into_inner(self.stream).expect("a stream has no more than these two halves"))
    }
}

impl OwnedReadHalf {
    peek_methods!();
}

impl<S: Split> OwnedWriteHalf<S> {
    write_half_methods!(|half| &**half.stream());
}

impl<S: Split> OwnedWriteHalf<S> {
    fn stream(&self) -> &Arc<S> {
        self.stream.as_ref().expect("only `reunite` takes it, with the half")
    }

    /// Drops this half without shutting the write direction down: the peer reads EOF when the
    /// reading half is dropped too.
    pub fn forget(mut self) {
        self.stream = None;
    }
}

impl<S> AsRef<S> for OwnedReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: Split> AsRef<S> for OwnedWriteHalf<S> {
    fn as_ref(&self) -> &S {
        self.stream()
    }
}

impl<S: Split> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        // Not in a forked child: shutdown(2) would end the stream of the parent too.
        if let Some(stream) = self.stream.take()
            && stream.is_of_this_process()
        {
            // `NotConnected`: the peer has reset the connection first.
            let _ = stream.shut(Shutdown::Write);
        }
    }
}

#[cfg(unix)]
impl<S: AsFd> AsFd for OwnedReadHalf<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(unix)]
impl<S: Split + AsFd> AsFd for OwnedWriteHalf<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream().as_fd()
    }
}

#[cfg(unix)]
as_raw_fd! {
    impl[S: AsFd] for OwnedReadHalf<S>;
    impl[S: Split + AsFd] for OwnedWriteHalf<S>;
}

async_read!(impl[S: Split] for OwnedReadHalf<S>, S, |half| &half.stream);
async_write!(impl[S: Split] for OwnedWriteHalf<S>, S, |half| half.stream());

/// The error of [`OwnedReadHalf::reunite`] if the halves do not belong to the same stream. It
/// returns both.
#[derive(Debug)]
pub struct ReuniteError<S: Split = TcpStream>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

impl<S: Split> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves are not of the same stream")
    }
}

impl<S: Split + fmt::Debug> error::Error for ReuniteError<S> {}
