//! How the futures of [`crate::io`], the traits of futures-io and those of std use a [`File`].
//!
//! The futures take `&File`, so they lock its state for each poll. The traits of futures-io take
//! `&mut File`, and need no lock.

use std::io::{self, IoSlice, IoSliceMut, SeekFrom};
use std::task::{Context, Poll};
use std::{fmt, pin::Pin};

use super::{file::File, state::Op};
use crate::io::byte_stream::PollBytes;
#[cfg(unix)]
use crate::io::byte_stream::as_raw_fd;
use crate::io::byte_stream::{ByteRead, ByteWrite, OpState};

impl ByteRead for File {
    type State = Op;

    fn poll_read(&self, op: &mut Op, cx: &mut Context<'_>, buf: &mut [u8]) -> PollBytes {
        self.poll_read_vectored(op, cx, &mut [IoSliceMut::new(buf)])
    }

    fn poll_read_vectored(
        &self,
        op: &mut Op,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_read(op, cx, bufs)
    }

    fn unexpected_eof(&self, filled: usize, wanted: usize) -> io::Error {
        self.lock().unexpected_eof(filled, wanted)
    }
}

impl ByteWrite for File {
    type State = Op;

    fn poll_write(&self, op: &mut Op, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(op, cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        &self,
        op: &mut Op,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_write(op, cx, bufs)
    }

    fn write_zero(&self) -> io::Error {
        self.lock().write_zero()
    }
}

impl futures_io::AsyncRead for File {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> PollBytes {
        self.poll_read_vectored(cx, &mut [IoSliceMut::new(buf)])
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.state_mut().poll_read(&mut Op::unticketed(), cx, bufs)
    }
}

impl futures_io::AsyncWrite for File {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> PollBytes {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.state_mut().poll_write(&mut Op::unticketed(), cx, bufs)
    }

    /// Nothing is buffered in this process. It only waits for the job of a dropped operation.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state_mut().poll_idle(cx)
    }

    /// As a flush: only dropping the file closes it.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state_mut().poll_idle(cx)
    }
}

impl futures_io::AsyncSeek for File {
    fn poll_seek(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        self.state_mut().poll_seek(&mut Op::unticketed(), cx, to)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for File {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.std.as_fd()
    }
}

#[cfg(unix)]
as_raw_fd!(impl for File;);

#[cfg(windows)]
impl std::os::windows::io::AsHandle for File {
    fn as_handle(&self) -> std::os::windows::io::BorrowedHandle<'_> {
        self.std.as_handle()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("File");
        let state = self.lock();
        match &state.path {
            Some(path) => debug.field("path", path),
            None => debug.field("std", &self.std),
        };
        debug
            .field("under_way", &state.job.as_ref().map(|job| job.kind.verb()))
            .finish_non_exhaustive()
    }
}
