//! What UDP sockets and Unix datagram sockets share: the futures [`RecvDatagram`] and
//! [`SendDatagram`], and the methods of [`datagram_methods!`].
//!
//! A datagram is sent and received whole, so everything here takes `&self`, and several tasks may
//! share a socket. A short datagram proves nothing, so readiness is never cleared by one. Errors
//! are the kernel's own.

use std::task::{Context, Poll};
use std::{fmt, io, panic::Location, pin::Pin};

use crate::fmt::debug_struct;
use crate::io::readiness::HasSource;
use crate::reactor::{Direction, Wait};

/// A datagram socket beneath its public type.
pub(crate) trait DatagramSocket: HasSource {
    /// Sends to the connected address.
    fn send_connected(io: &Self::Io, buf: &[u8]) -> io::Result<usize>;
}

/// The future of `recv` and `peek`. Also of `recv_from` and `peek_from`, where `T` includes the
/// sender's address.
#[must_use = "futures do nothing unless awaited"]
pub struct RecvDatagram<'a, S, T = usize> {
    socket: &'a S,
    buf: &'a mut [u8],
    /// The system call.
    recv: fn(&S, &mut [u8]) -> io::Result<T>,
    wait: Wait,
}

/// The future of `send`.
#[must_use = "futures do nothing unless awaited"]
pub struct SendDatagram<'a, S> {
    socket: &'a S,
    buf: &'a [u8],
    wait: Wait,
}

impl<'a, S, T> RecvDatagram<'a, S, T> {
    #[track_caller]
    pub(super) fn new(
        socket: &'a S,
        buf: &'a mut [u8],
        recv: fn(&S, &mut [u8]) -> io::Result<T>,
    ) -> Self {
        RecvDatagram { socket, buf, recv, wait: Wait::at(Location::caller()) }
    }
}

impl<'a, S> SendDatagram<'a, S> {
    #[track_caller]
    pub(super) fn new(socket: &'a S, buf: &'a [u8]) -> Self {
        SendDatagram { socket, buf, wait: Wait::at(Location::caller()) }
    }
}

impl<S: DatagramSocket, T> Future for RecvDatagram<'_, S, T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // A short datagram proves nothing, so a success never clears the readiness.
        let op = |_: &S::Io| (this.recv)(this.socket, this.buf);
        this.socket.registered().poll_io(&mut this.wait, cx, Direction::Read, op, |_| false)
    }
}

impl<S: DatagramSocket> Future for SendDatagram<'_, S> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // A datagram is sent whole, so a success does not mean that the buffer is full.
        let op = |io: &S::Io| S::send_connected(io, this.buf);
        this.socket.registered().poll_io(&mut this.wait, cx, Direction::Write, op, |_| false)
    }
}

debug_struct!(impl[S: fmt::Debug, T] for RecvDatagram<'_, S, T> as "RecvDatagram",
    |this| socket: this.socket, room: this.buf.len(), ..);

debug_struct!(impl[S: fmt::Debug] for SendDatagram<'_, S> as "SendDatagram",
    |this| socket: this.socket, bytes: this.buf.len(), ..);

/// A receiving operation in three forms: a future, without waiting (`try_`), and for a future of
/// the user (`poll_`, if it has a name). All make the same system call.
macro_rules! receive_methods {
    ($(
        $(#[$doc:meta])*
        $name:ident, $try_name:ident $(, $poll_name:ident)?: $socket:ty => $output:ty,
        $call:expr;
    )*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name<'a>(
            &'a self,
            buf: &'a mut [u8],
        ) -> $crate::net::datagram::RecvDatagram<'a, $socket, $output> {
            $crate::net::datagram::RecvDatagram::new(self, buf, |socket, buf| {
                ($call)($crate::io::readiness::HasSource::registered(socket).io(), buf)
            })
        }

        #[doc = concat!(
            "As [`", stringify!($name), "`](Self::", stringify!($name), "), without waiting."
        )]
        ///
        #[doc = concat!(
            "It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a ",
            "single poll of [`", stringify!($name), "`](Self::", stringify!($name), ") may be."
        )]
        ///
        /// # Errors
        ///
        #[doc = concat!(
            "`WouldBlock` if there is no datagram; otherwise as [`", stringify!($name), "`](Self::",
            stringify!($name), ")."
        )]
        ///
        /// # Panics
        ///
        /// Outside the loop that the socket belongs to.
        #[track_caller]
        pub fn $try_name(&self, buf: &mut [u8]) -> ::std::io::Result<$output> {
            let call = |io: &_| ($call)(io, buf);
            $crate::io::readiness::HasSource::registered(self).try_io($crate::reactor::Direction::Read, call, |_| false)
        }

        $(
            #[doc = concat!(
                "As [`", stringify!($name), "`](Self::", stringify!($name),
                "), for a future of your own. Its waker stays registered when it returns, as that of ",
                "[`poll_readable`](Self::poll_readable)."
            )]
            ///
            /// # Errors
            ///
            #[doc = concat!("As [`", stringify!($name), "`](Self::", stringify!($name), ").")]
            ///
            /// # Panics
            ///
            /// Outside the loop that the socket belongs to.
            #[track_caller]
            pub fn $poll_name(
                &self,
                cx: &mut ::std::task::Context<'_>,
                buf: &mut [u8],
            ) -> ::std::task::Poll<::std::io::Result<$output>> {
                let call = |io: &_| ($call)(io, buf);
                $crate::io::readiness::HasSource::registered(self).poll_latest(cx, $crate::reactor::Direction::Read, call)
            }
        )?
    )*};
}
pub(super) use receive_methods;

/// `send`, `recv` and `recv_from` with their `try_` and `poll_` forms, readiness, and `peer_addr`.
/// The attributes in front are added to the documentation of `send`.
macro_rules! datagram_methods {
    (
        $(#[$send:meta])*
        $socket:ident, $address:ty,
        send_errors: $send_errors:literal,
        recv: $recv:literal,
        recv_errors: $recv_errors:literal,
        recv_from: $recv_from:literal,
        peer_addr: $peer_addr:literal $(,)?
    ) => {
        $(#[$send])*
        ///
        /// Cancel-safe: if the future is dropped before it is ready, nothing was sent.
        ///
        /// # Errors
        ///
        #[doc = $send_errors]
        ///
        /// # Panics
        ///
        /// Polling it outside the loop that the socket belongs to. The same holds for all
        /// operations below.
        #[track_caller]
        pub fn send<'a>(
            &'a self,
            buf: &'a [u8],
        ) -> $crate::net::datagram::SendDatagram<'a, $socket> {
            $crate::net::datagram::SendDatagram::new(self, buf)
        }

        /// As [`send`](Self::send), without waiting.
        ///
        /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
        /// single poll of [`send`](Self::send) may be.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if there is no room; otherwise as [`send`](Self::send).
        ///
        /// # Panics
        ///
        /// Outside the loop that the socket belongs to.
        #[track_caller]
        pub fn try_send(&self, buf: &[u8]) -> ::std::io::Result<usize> {
            self.registered.try_io($crate::reactor::Direction::Write, |io| io.send(buf), |_| false)
        }

        /// As [`send`](Self::send), for a future of your own. Its waker stays registered when it
        /// returns, as that of [`poll_writable`](Self::poll_writable).
        ///
        /// # Errors
        ///
        /// As [`send`](Self::send).
        ///
        /// # Panics
        ///
        /// Outside the loop that the socket belongs to.
        #[track_caller]
        pub fn poll_send(
            &self,
            cx: &mut ::std::task::Context<'_>,
            buf: &[u8],
        ) -> ::std::task::Poll<::std::io::Result<usize>> {
            self.registered.poll_latest(cx, $crate::reactor::Direction::Write, |io| io.send(buf))
        }

        $crate::net::datagram::receive_methods! {
            #[doc = $recv]
            /// Returns how many of its bytes are in `buf`; bytes that do not fit are lost.
            ///
            /// Cancel-safe: if the future is dropped before it is ready, no datagram was taken.
            ///
            /// # Errors
            ///
            #[doc = $recv_errors]
            recv, try_recv, poll_recv: $socket => usize,
            |io: &mio::net::$socket, buf: &mut [u8]| io.recv(buf);

            /// Receives one datagram. Returns how many of its bytes are in `buf`, and
            #[doc = $recv_from]
            ///
            /// Bytes that do not fit in `buf` are lost.
            ///
            /// Cancel-safe: if the future is dropped before it is ready, no datagram was taken.
            ///
            /// # Errors
            ///
            /// Those of recvfrom(2).
            recv_from, try_recv_from, poll_recv_from: $socket => (usize, $address),
            |io: &mio::net::$socket, buf: &mut [u8]| io.recv_from(buf);
        }

        #[cfg(feature = "bytes")]
        $crate::net::recv_buf::recv_buf_methods!($socket, $address);

        $crate::io::readiness::readiness!(read and write);

        $crate::io::readiness::poll_ready_names! {
            poll_recv_ready = poll_readable;
            poll_send_ready = poll_writable;
        }

        #[doc = $peer_addr]
        ///
        /// # Errors
        ///
        /// `NotConnected` if it is not connected.
        pub fn peer_addr(&self) -> ::std::io::Result<$address> {
            self.registered.io().peer_addr()
        }
    };
}
pub(super) use datagram_methods;
