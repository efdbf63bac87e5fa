//! The owned halves of a TCP stream, for two tasks. Both hold the whole stream, which is closed
//! with the last of them.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{error, fmt};

use futures_io::{AsyncRead, AsyncWrite};

use super::tcp::{Peek, TcpStream};
use crate::io::{Read, ReadExact, Write, WriteAll};

/// The half that reads: see [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf {
    stream: Arc<TcpStream>,
}

/// The half that writes: see [`TcpStream::into_split`]. Dropping it shuts the write direction down: the peer
/// reads the end.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    /// `None` only after [`OwnedReadHalf::reunite`].
    stream: Option<Arc<TcpStream>>,
}

impl OwnedReadHalf {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        OwnedReadHalf { stream }
    }

    /// As [`TcpStream::read`].
    #[track_caller]
    pub fn read<'a>(&'a mut self, buf: &'a mut [u8]) -> Read<'a, TcpStream> {
        Read::new(&self.stream, buf)
    }

    /// As [`TcpStream::read_exact`].
    #[track_caller]
    pub fn read_exact<'a>(&'a mut self, buf: &'a mut [u8]) -> ReadExact<'a, TcpStream> {
        ReadExact::new(&self.stream, buf)
    }

    /// As [`TcpStream::peek`].
    #[track_caller]
    pub fn peek<'a>(&'a mut self, buf: &'a mut [u8]) -> Peek<'a> {
        self.stream.peek(buf)
    }

    /// The other end.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Makes one stream of two halves again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], with both halves in it, if they are not of the same stream.
    pub fn reunite(self, mut write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.stream, write.stream()) {
            return Err(ReuniteError(self, write));
        }
        drop(write.stream.take());
        Ok(Arc::into_inner(self.stream).expect("a stream has two halves, and these were they"))
    }
}

impl OwnedWriteHalf {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        OwnedWriteHalf { stream: Some(stream) }
    }

    fn stream(&self) -> &Arc<TcpStream> {
        self.stream.as_ref().expect("only `reunite` takes it, with the half")
    }

    /// As [`TcpStream::write`].
    #[track_caller]
    pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> Write<'a, TcpStream> {
        Write::new(self.stream(), buf)
    }

    /// As [`TcpStream::write_all`].
    #[track_caller]
    pub fn write_all<'a>(&'a mut self, buf: &'a [u8]) -> WriteAll<'a, TcpStream> {
        WriteAll::new(self.stream(), buf)
    }

    /// As [`TcpStream::shutdown`] of the write direction.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::shutdown`].
    pub fn shutdown(&self) -> io::Result<()> {
        self.stream().shutdown(Shutdown::Write)
    }

    /// The other end.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream().peer_addr()
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            // `NotConnected`: the peer was faster.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self.stream).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self.stream).poll_read_vectored(cx, bufs)
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &**self.stream()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &**self.stream()).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &**self.stream()).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &**self.stream()).poll_close(cx)
    }
}

/// The two halves given to [`OwnedReadHalf::reunite`] were not of the same stream. Both are in here.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves are not of the same TCP stream")
    }
}

impl error::Error for ReuniteError {}
