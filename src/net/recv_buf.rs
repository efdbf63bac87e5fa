//! Feature `bytes`: receiving a datagram into a `BufMut` of the crate bytes. The future is
//! [`RecvBuf`]; [`recv_buf_methods!`] is a part of the methods that all datagram sockets share.
//!
//! As in `io/buffers.rs`, the bytes pass through the scratch buffer of the thread.

use std::task::{Context, Poll, ready};
use std::{fmt, io, panic::Location, pin::Pin};

use bytes::BufMut;

use super::datagram::DatagramSocket;
use crate::fmt::debug_struct;
use crate::io::{buffers::room, scratch};
use crate::reactor::{Direction, Wait};

/// Receives a datagram. Returns its length in the buffer, and what the method returns.
type Recv<S, T> = fn(&S, &mut [u8]) -> io::Result<(usize, T)>;

/// The future of `recv_buf`. Also of `recv_buf_from`, where `T` includes the sender's address.
#[must_use = "futures do nothing unless awaited"]
pub struct RecvBuf<'a, S, B: ?Sized, T = usize> {
    socket: &'a S,
    buf: &'a mut B,
    recv: Recv<S, T>,
    wait: Wait,
}

impl<'a, S, B: ?Sized, T> RecvBuf<'a, S, B, T> {
    #[track_caller]
    pub(super) fn new(socket: &'a S, buf: &'a mut B, recv: Recv<S, T>) -> Self {
        RecvBuf { socket, buf, recv, wait: Wait::at(Location::caller()) }
    }
}

impl<S: DatagramSocket, B: BufMut + ?Sized, T> Future for RecvBuf<'_, S, B, T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        scratch::whole(room(this.buf), |bytes| {
            let op = |_: &S::Io| (this.recv)(this.socket, bytes);
            let registered = this.socket.registered();
            let received = registered.poll_io(&mut this.wait, cx, Direction::Read, op, |_| false);
            let (n, output) = ready!(received)?;
            this.buf.put_slice(&bytes[..n]);
            Poll::Ready(Ok(output))
        })
    }
}

/// Receives without waiting, by the `try_` method that is passed, and appends the bytes.
pub(super) fn try_recv_into<B: BufMut + ?Sized, T>(
    buf: &mut B,
    recv: impl FnOnce(&mut [u8]) -> io::Result<(usize, T)>,
) -> io::Result<T> {
    scratch::whole(room(buf), |bytes| {
        let (n, output) = recv(bytes)?;
        buf.put_slice(&bytes[..n]);
        Ok(output)
    })
}

debug_struct!(impl[S: fmt::Debug, B: ?Sized, T] for RecvBuf<'_, S, B, T> as "RecvBuf",
    |this| socket: this.socket, ..);

/// `recv_buf` and `recv_buf_from`, with their `try_` forms.
macro_rules! recv_buf_methods {
    ($socket:ident, $address:ty) => {
        /// As [`recv`](Self::recv), and appends the bytes to `buf` (feature `bytes`).
        ///
        /// Bytes that do not fit are lost. There is room for as many as `buf` has without growing;
        /// one that grows by itself, such as a `BytesMut`, grows by a few bytes if it is full. So
        /// reserve enough for a datagram.
        ///
        /// Cancel-safe: if the future is dropped before it is ready, no datagram was taken.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        #[track_caller]
        pub fn recv_buf<'a, B: ::bytes::BufMut + ?Sized>(
            &'a self,
            buf: &'a mut B,
        ) -> $crate::net::recv_buf::RecvBuf<'a, $socket, B> {
            $crate::net::recv_buf::RecvBuf::new(self, buf, |socket, bytes| {
                socket.registered.io().recv(bytes).map(|n| (n, n))
            })
        }

        /// As [`recv_buf`](Self::recv_buf), without waiting.
        ///
        /// # Errors
        ///
        /// As [`try_recv`](Self::try_recv).
        ///
        /// # Panics
        ///
        /// Outside the loop that the socket belongs to.
        #[track_caller]
        pub fn try_recv_buf<B: ::bytes::BufMut + ?Sized>(
            &self,
            buf: &mut B,
        ) -> ::std::io::Result<usize> {
            let recv = |bytes: &mut [u8]| self.try_recv(bytes).map(|n| (n, n));
            $crate::net::recv_buf::try_recv_into(buf, recv)
        }

        /// As [`recv_from`](Self::recv_from), and appends the bytes to `buf` (feature `bytes`), as
        /// [`recv_buf`](Self::recv_buf) does.
        ///
        /// Cancel-safe: if the future is dropped before it is ready, no datagram was taken.
        ///
        /// # Errors
        ///
        /// As [`recv_from`](Self::recv_from).
        #[track_caller]
        pub fn recv_buf_from<'a, B: ::bytes::BufMut + ?Sized>(
            &'a self,
            buf: &'a mut B,
        ) -> $crate::net::recv_buf::RecvBuf<'a, $socket, B, (usize, $address)> {
            $crate::net::recv_buf::RecvBuf::new(self, buf, |socket, bytes| {
                socket.registered.io().recv_from(bytes).map(|(n, from)| (n, (n, from)))
            })
        }

        /// As [`recv_buf_from`](Self::recv_buf_from), without waiting.
        ///
        /// # Errors
        ///
        /// As [`try_recv_from`](Self::try_recv_from).
        ///
        /// # Panics
        ///
        /// Outside the loop that the socket belongs to.
        #[track_caller]
        pub fn try_recv_buf_from<B: ::bytes::BufMut + ?Sized>(
            &self,
            buf: &mut B,
        ) -> ::std::io::Result<(usize, $address)> {
            let recv = |bytes: &mut [u8]| self.try_recv_from(bytes).map(|(n, from)| (n, (n, from)));
            $crate::net::recv_buf::try_recv_into(buf, recv)
        }
    };
}
pub(super) use recv_buf_methods;
