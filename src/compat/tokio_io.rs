//! Feature `tokio-io`: tokio's `AsyncRead` and `AsyncWrite` for the streams of this crate, on top
//! of their traits of futures-io. Reading goes through the scratch buffer of the thread.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::{os::fd::AsFd, pin::Pin};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::io::{Async, PipeReader, PipeWriter, Stderr, Stdin, Stdout, scratch};
use crate::net::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, TcpStream, UnixStream, WriteHalf};
use crate::{fs::File, io::byte_stream::PollBytes};

/// Implements `AsyncRead` of tokio.
macro_rules! async_read {
    ($(impl$([$($bounds:tt)*])? for $stream:ty;)*) => {$(
        impl$(<$($bounds)*>)? AsyncRead for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                scratch::with(buf.remaining(), |scratch| {
                    let n = ready!(futures_io::AsyncRead::poll_read(self, cx, scratch))?;
                    buf.put_slice(&scratch[..n]);
                    Poll::Ready(Ok(()))
                })
            }
        }
    )*};
}

/// Implements `AsyncWrite` of tokio.
macro_rules! async_write {
    ($(impl$([$($bounds:tt)*])? for $stream:ty;)*) => {$(
        impl$(<$($bounds)*>)? AsyncWrite for $stream {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> PollBytes {
                futures_io::AsyncWrite::poll_write(self, cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                futures_io::AsyncWrite::poll_write_vectored(self, cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                futures_io::AsyncWrite::poll_flush(self, cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                futures_io::AsyncWrite::poll_close(self, cx)
            }
        }
    )*};
}

async_read! {
    impl for TcpStream;
    impl for OwnedReadHalf<TcpStream>;
    impl for ReadHalf<'_, TcpStream>;
    impl for UnixStream;
    impl for OwnedReadHalf<UnixStream>;
    impl for ReadHalf<'_, UnixStream>;
    impl[T: AsFd + io::Read] for Async<T>;
    impl for PipeReader;
    impl for Stdin;
    impl for File;
}

async_write! {
    impl for TcpStream;
    impl for OwnedWriteHalf<TcpStream>;
    impl for WriteHalf<'_, TcpStream>;
    impl for UnixStream;
    impl for OwnedWriteHalf<UnixStream>;
    impl for WriteHalf<'_, UnixStream>;
    impl[T: AsFd + io::Write] for Async<T>;
    impl for PipeWriter;
    impl for Stdout;
    impl for Stderr;
    impl for File;
}
