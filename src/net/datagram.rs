//! What UDP sockets and Unix datagram sockets share: the futures [`RecvDatagram`] and [`SendDatagram`].
//! Their errors are the kernel's own: the address is the one that the caller has connected to. A datagram is sent and received whole, so these take `&self`: several
//! tasks may share a socket. A datagram that is short proves nothing, so the readiness is never cleared by one.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::io::Watched;
use crate::reactor::{Direction, Wait};

/// A socket of datagrams.
pub(crate) trait DatagramSocket: Watched {
    /// To the address that it is connected to.
    fn send_connected(io: &Self::Io, buf: &[u8]) -> io::Result<usize>;
}

/// The future of `recv` and `peek`; and of `recv_from` and `peek_from`, where `T` has the sender's address too.
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
        let op = |_: &S::Io| (this.recv)(this.socket, this.buf);
        this.socket.registered().poll_io(&mut this.wait, cx, Direction::Read, op, |_| false)
    }
}

impl<S: DatagramSocket> Future for SendDatagram<'_, S> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let op = |io: &S::Io| S::send_connected(io, this.buf);
        this.socket.registered().poll_io(&mut this.wait, cx, Direction::Write, op, |_| false)
    }
}

impl<S: fmt::Debug, T> fmt::Debug for RecvDatagram<'_, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RecvDatagram");
        debug.field("socket", self.socket).field("room", &self.buf.len()).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for SendDatagram<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("SendDatagram");
        debug.field("socket", self.socket).field("bytes", &self.buf.len()).finish_non_exhaustive()
    }
}
