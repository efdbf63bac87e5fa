//! What UDP sockets and Unix datagram sockets share: the futures [`RecvDatagram`] and [`SendDatagram`], and how
//! their errors name the other end. A datagram is sent and received whole, so these take `&self`: several
//! tasks may share a socket. A datagram that is short proves nothing, so the readiness is never cleared by one.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::socket::Socket;
use crate::about::about;
use crate::reactor::{Direction, Wait};

/// A socket of datagrams.
pub(crate) trait DatagramSocket: Socket {
    /// To the address that it is connected to.
    fn send_connected(io: &Self::Io, buf: &[u8]) -> io::Result<usize>;

    /// The address that it is connected to, as messages name it.
    fn peer(io: &Self::Io) -> Option<String>;
}

/// An error with the address that the socket is connected to, if it is to any.
pub(super) fn about_peer<S: DatagramSocket>(socket: &S, doing: &'static str, error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return error; // Of a `try_` method, where it is no mishap.
    }
    match S::peer(socket.registered().io()) {
        Some(peer) => about(doing, peer, error),
        None => error,
    }
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
    pub(super) fn new(socket: &'a S, buf: &'a mut [u8], recv: fn(&S, &mut [u8]) -> io::Result<T>) -> Self {
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
        let received = this.socket.registered().poll_io(&mut this.wait, cx, Direction::Read, op, |_| false);
        received.map_err(|error| about_peer(this.socket, "receive from", error))
    }
}

impl<S: DatagramSocket> Future for SendDatagram<'_, S> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let op = |io: &S::Io| S::send_connected(io, this.buf);
        let sent = this.socket.registered().poll_io(&mut this.wait, cx, Direction::Write, op, |_| false);
        sent.map_err(|error| about_peer(this.socket, "send to", error))
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
