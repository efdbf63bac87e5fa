//! The owned halves of a stream, for two tasks. Both hold the whole stream, which is closed with
//! the last of them. They are the same for TCP streams and Unix streams.
//!
//! Made by `into_split` of a stream. They never wait for each other.

#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::{error, fmt, sync::Arc};
use std::{io, net::Shutdown};

use super::tcp::{Peek, TcpStream};
#[cfg(unix)]
use crate::io::byte_stream::as_raw_fd;
use crate::io::byte_stream::{ByteRead, ByteWrite, async_read, async_write};
use crate::io::futures::{Read, ReadExact, Write, WriteAll};
use crate::reactor::Wait;

/// A stream that has owned halves. (Public because it is a bound of theirs; it cannot be named
/// outside.)
#[expect(private_bounds, reason = "it cannot be named, nor implemented, outside this crate")]
pub trait Split: ByteRead<State = Wait> + ByteWrite<State = Wait> {
    /// The type of a peer's address.
    type Address;

    fn shut(&self, how: Shutdown) -> io::Result<()>;
    fn peer(&self) -> io::Result<Self::Address>;
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
    /// `None` only after [`OwnedReadHalf::reunite`].
    stream: Option<Arc<S>>,
}

pub(super) fn halves<S: Split>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    (OwnedReadHalf { stream: Arc::clone(&stream) }, OwnedWriteHalf { stream: Some(stream) })
}

impl<S: Split> OwnedReadHalf<S> {
    /// As [`TcpStream::read`].
    #[track_caller]
    pub fn read<'a>(&'a mut self, buf: &'a mut [u8]) -> Read<'a, S> {
        Read::new(&self.stream, buf)
    }

    /// As [`TcpStream::read_exact`].
    #[track_caller]
    pub fn read_exact<'a>(&'a mut self, buf: &'a mut [u8]) -> ReadExact<'a, S> {
        ReadExact::new(&self.stream, buf)
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<S::Address> {
        self.stream.peer()
    }

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
        Ok(Arc::into_inner(self.stream).expect("a stream has two halves, and these were they"))
    }
}

impl OwnedReadHalf {
    /// As [`TcpStream::peek`].
    #[track_caller]
    pub fn peek<'a>(&'a mut self, buf: &'a mut [u8]) -> Peek<'a> {
        self.stream.peek(buf)
    }
}

impl<S: Split> OwnedWriteHalf<S> {
    fn stream(&self) -> &Arc<S> {
        self.stream.as_ref().expect("only `reunite` takes it, with the half")
    }

    /// As [`TcpStream::write`].
    #[track_caller]
    pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> Write<'a, S> {
        Write::new(self.stream(), buf)
    }

    /// As [`TcpStream::write_all`].
    #[track_caller]
    pub fn write_all<'a>(&'a mut self, buf: &'a [u8]) -> WriteAll<'a, S> {
        WriteAll::new(self.stream(), buf)
    }

    /// As [`TcpStream::shutdown`] of the write direction.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::shutdown`].
    pub fn shutdown(&self) -> io::Result<()> {
        self.stream().shut(Shutdown::Write)
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<S::Address> {
        self.stream().peer()
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
