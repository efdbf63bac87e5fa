//! UDP: [`UdpSocket`] and its futures [`UdpConnect`] and [`SendTo`]; the others are those of
//! [`datagram`](super::datagram).

mod options;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::datagram::{DatagramSocket, RecvDatagram, SendDatagram};
use super::listener::Bind;
use super::resolve::{Resolve, ToSocketAddrs};
use super::socket::{own, socket};
use crate::about::about;
use crate::io::readiness;
use crate::reactor::{Direction, Registered, Wait};

/// A socket that sends and receives UDP datagrams.
///
/// Each datagram is sent whole and received whole, or not at all; a datagram may have no bytes. So all methods
/// take `&self`, and several tasks may share one socket: each datagram goes to one of them.
///
/// Use it in one of two ways: with [`send_to`](Self::send_to) and [`recv_from`](Self::recv_from) it speaks to
/// everybody; after [`connect`](Self::connect) with [`send`](Self::send) and [`recv`](Self::recv) to one peer.
///
/// A datagram that is larger than the buffer given to a receiving method is cut off, and **the rest of it is lost
/// without a word** (on Windows it is an error). A buffer of 65,507 bytes holds any datagram over IPv4. On Linux, `recv_msg` says
/// whether a datagram was cut off.
///
/// ```
/// use headwaiter::net::UdpSocket;
///
/// headwaiter::block_on(async {
///     let kitchen = UdpSocket::bind("127.0.0.1:0").await?;
///     let guest = UdpSocket::bind("127.0.0.1:0").await?;
///     guest.send_to(b"soup", kitchen.local_addr()?).await?;
///
///     let mut order = [0; 2048];
///     let (n, from) = kitchen.recv_from(&mut order).await?;
///     assert_eq!((&order[..n], from), (&b"soup"[..], guest.local_addr()?));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket {
    registered: Registered<mio::net::UdpSocket>,
}

socket!(UdpSocket, mio::net::UdpSocket);

impl DatagramSocket for UdpSocket {
    fn send_connected(io: &mio::net::UdpSocket, buf: &[u8]) -> io::Result<usize> {
        io.send(buf)
    }
}

impl UdpSocket {
    /// Binds to an address; to the first that can be had, if there are several. Port 0 lets the kernel choose:
    /// [`local_addr`](Self::local_addr) tells which.
    ///
    /// Unless there is a host name to resolve, it is ready at the first poll (or, in a task that has had its share of
    /// the turn, at the second). Cancel-safe: a socket that was not returned is closed.
    ///
    /// # Errors
    ///
    /// Each address that was tried, with what came of it: for instance `AddrInUse`. The kind is the last one's. With its name, a
    /// host that does not resolve. `InvalidInput` for what is no address: see [`ToSocketAddrs`].
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> Bind<UdpSocket> {
        let addresses = Resolve::new("`UdpSocket::bind`", "bind to", address, Location::caller());
        Bind::new(addresses, |address| UdpSocket::new(mio::net::UdpSocket::bind(address)?))
    }

    #[track_caller]
    fn new(io: mio::net::UdpSocket) -> io::Result<Self> {
        Ok(UdpSocket { registered: Registered::quiet(io, "UDP socket")? })
    }

    /// Takes over a socket of std, and sets it to non-blocking mode. For options that must be set before `bind`,
    /// make it with the crate socket2.
    ///
    /// # Errors
    ///
    /// If the kernel cannot set the mode or watch the socket.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        UdpSocket::new(mio::net::UdpSocket::from_std(socket))
    }

    /// Gives the socket back to std, still in non-blocking mode: also the way to another loop. Blocking calls need
    /// [`set_nonblocking(false)`](std::net::UdpSocket::set_nonblocking) first, else they fail with `WouldBlock`.
    ///
    /// # Errors
    ///
    /// If the process has no free file descriptor, to which the socket could move. It is closed then.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        own(self.registered.io()).map(Into::into)
    }

    /// Makes an address the one that [`send`](Self::send) sends to and the only one from which datagrams are
    /// received; the first that the kernel has a way to, if there are several, tried in order. Nothing is sent for it, so
    /// there is nothing to wait for, and it does not tell whether anything receives there. It may be called again, for another address.
    ///
    /// Unless there is a host name to resolve, it is ready at the first poll (or, in a task that has had its share of
    /// the turn, at the second). Cancel-safe: if it is dropped before it was ready, nothing has changed.
    ///
    /// # Errors
    ///
    /// Each address that was tried, with what came of it: for instance `NetworkUnreachable`. The kind is the last one's. With its name, a
    /// host that does not resolve. `InvalidInput` for what is no address: see [`ToSocketAddrs`].
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn connect(&self, address: impl ToSocketAddrs) -> UdpConnect<'_> {
        let addresses =
            Resolve::new("`UdpSocket::connect`", "connect to", address, Location::caller());
        UdpConnect { socket: self, addresses }
    }

    /// Sends `buf` as one datagram to the address that the socket is [connected](Self::connect) to, and returns how many
    /// bytes that were: all of them.
    ///
    /// Cancel-safe: if it is dropped before it was ready, nothing was sent.
    ///
    /// # Errors
    ///
    /// What send(2) says: for instance "message too long" for more than 65,507 bytes over IPv4.
    /// `ConnectionRefused` is the answer to an earlier datagram: nobody was there. It is reported once, by this or by
    /// [`recv`](Self::recv), and the socket goes on.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the socket belongs to. So do all operations below.
    #[track_caller]
    pub fn send<'a>(&'a self, buf: &'a [u8]) -> SendDatagram<'a, UdpSocket> {
        SendDatagram::new(self, buf)
    }

    /// Receives one datagram from the address that the socket is [connected](Self::connect) to. (From anybody, if it is not
    /// connected.) Returns how many bytes of it are in `buf`; what did not fit in there is lost.
    ///
    /// Cancel-safe: if it is dropped before it was ready, no datagram was taken.
    ///
    /// # Errors
    ///
    /// What recv(2) says: see [`send`](Self::send) for `ConnectionRefused`.
    #[track_caller]
    pub fn recv<'a>(&'a self, buf: &'a mut [u8]) -> RecvDatagram<'a, UdpSocket> {
        RecvDatagram::new(self, buf, |socket, buf| socket.registered.io().recv(buf))
    }

    /// As [`recv`](Self::recv), but leaves the datagram in the kernel, for the next to receive.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    #[track_caller]
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> RecvDatagram<'a, UdpSocket> {
        RecvDatagram::new(self, buf, |socket, buf| socket.registered.io().peek(buf))
    }

    /// Sends `buf` as one datagram to `target` and returns how many bytes that were: all of them. If there are several
    /// addresses, it goes to the first that the kernel has a way to, tried in order.
    ///
    /// Cancel-safe: if it is dropped before it was ready, nothing was sent.
    ///
    /// # Errors
    ///
    /// What sendto(2) says, with the address: for instance "message too long" for more than 65,507 bytes over
    /// IPv4. With its name, a host that does not resolve. `InvalidInput` for what is no address: see
    /// [`ToSocketAddrs`].
    #[track_caller]
    pub fn send_to<'a>(&'a self, buf: &'a [u8], target: impl ToSocketAddrs) -> SendTo<'a> {
        let place = Location::caller();
        let addresses = Resolve::new("`UdpSocket::send_to`", "send to", target, place);
        SendTo { socket: self, buf, addresses, target: None, wait: Wait::at(place) }
    }

    /// Receives one datagram. Returns how many bytes of it are in `buf`, and who sent it; what did not fit in there
    /// is lost.
    ///
    /// Cancel-safe: if it is dropped before it was ready, no datagram was taken.
    ///
    /// # Errors
    ///
    /// What recvfrom(2) says.
    #[track_caller]
    pub fn recv_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> RecvDatagram<'a, UdpSocket, (usize, SocketAddr)> {
        RecvDatagram::new(self, buf, |socket, buf| socket.registered.io().recv_from(buf))
    }

    /// As [`recv_from`](Self::recv_from), but leaves the datagram in the kernel, for the next to receive.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    #[track_caller]
    pub fn peek_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> RecvDatagram<'a, UdpSocket, (usize, SocketAddr)> {
        RecvDatagram::new(self, buf, |socket, buf| socket.registered.io().peek_from(buf))
    }

    /// What has sent the next datagram, which stays in the kernel.
    ///
    /// Another task may take that datagram before this one does. So a decision about it should not depend on the answer.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// What recvfrom(2) says.
    #[cfg(unix)]
    #[track_caller]
    pub fn peek_sender(&self) -> RecvDatagram<'_, UdpSocket, SocketAddr> {
        RecvDatagram::new(self, &mut [], |socket, buf| {
            socket.registered.io().peek_from(buf).map(|(_, sender)| sender)
        })
    }

    readiness!(read and write);

    /// As [`send`](Self::send), without waiting.
    ///
    /// Never refused, as a single poll of [`send`](Self::send) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room; else as [`send`](Self::send).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to. So do all `try_` methods.
    #[track_caller]
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.registered.try_io(Direction::Write, |io| io.send(buf), |_| false)
    }

    /// As [`recv`](Self::recv), without waiting.
    ///
    /// Never refused, as a single poll of [`recv`](Self::recv) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no datagram; else as [`recv`](Self::recv).
    #[track_caller]
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_read(|io| io.recv(buf))
    }

    /// As [`peek`](Self::peek), without waiting.
    ///
    /// Never refused, as a single poll of [`peek`](Self::peek) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    #[track_caller]
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_read(|io| io.peek(buf))
    }

    /// As [`send_to`](Self::send_to), without waiting, so for an address in numbers.
    ///
    /// Never refused, as a single poll of [`send_to`](Self::send_to) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room; else as [`send_to`](Self::send_to).
    #[track_caller]
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        match self.registered.try_io(Direction::Write, |io| io.send_to(buf, target), |_| false) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                Err(about("send to", target, error))
            }
            sent => sent,
        }
    }

    /// As [`recv_from`](Self::recv_from), without waiting.
    ///
    /// Never refused, as a single poll of [`recv_from`](Self::recv_from) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    #[track_caller]
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.try_read(|io| io.recv_from(buf))
    }

    /// As [`peek_from`](Self::peek_from), without waiting.
    ///
    /// Never refused, as a single poll of [`peek_from`](Self::peek_from) may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    #[track_caller]
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.try_read(|io| io.peek_from(buf))
    }

    /// As [`recv`](Self::recv), for a future of your own. Its waiter stays when it returns, as that of [`poll_readable`](Self::poll_readable).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[track_caller]
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.registered.poll_latest(cx, Direction::Read, |io| io.recv(buf))
    }

    /// As [`recv_from`](Self::recv_from), for a future of your own. Its waiter stays when it returns, as that of [`poll_readable`](Self::poll_readable).
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[track_caller]
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.registered.poll_latest(cx, Direction::Read, |io| io.recv_from(buf))
    }

    /// As [`peek_from`](Self::peek_from), for a future of your own. Its waiter stays when it returns, as that of [`poll_readable`](Self::poll_readable).
    ///
    /// # Errors
    ///
    /// As [`peek_from`](Self::peek_from).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[track_caller]
    pub fn poll_peek_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.registered.poll_latest(cx, Direction::Read, |io| io.peek_from(buf))
    }

    /// As [`send`](Self::send), for a future of your own. Its waiter stays when it returns, as that of [`poll_writable`](Self::poll_writable).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[track_caller]
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.registered.poll_latest(cx, Direction::Write, |io| io.send(buf))
    }

    /// As [`send_to`](Self::send_to), for a future of your own. Its waiter stays when it returns, as that of [`poll_writable`](Self::poll_writable).
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[track_caller]
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let sent = self.registered.poll_latest(cx, Direction::Write, |io| io.send_to(buf, target));
        sent.map_err(|error| about("send to", target, error))
    }

    /// As [`peek_sender`](Self::peek_sender), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    #[cfg(unix)]
    #[track_caller]
    pub fn try_peek_sender(&self) -> io::Result<SocketAddr> {
        self.try_read(|io| io.peek_from(&mut []).map(|(_, sender)| sender))
    }

    #[track_caller]
    fn try_read<T>(&self, op: impl FnOnce(&mio::net::UdpSocket) -> io::Result<T>) -> io::Result<T> {
        self.registered.try_io(Direction::Read, op, |_| false)
    }

    /// Where it is bound.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registered.io().local_addr()
    }

    /// The address that it is [connected](Self::connect) to.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.registered.io().peer_addr()
    }

    /// Takes the error that waits to be reported (SO_ERROR), if there is one.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.registered.io().take_error()
    }
}

/// The future of [`UdpSocket::connect`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct UdpConnect<'a> {
    socket: &'a UdpSocket,
    addresses: Resolve,
}

impl Future for UdpConnect<'_> {
    type Output = io::Result<()>;

    /// # Panics
    ///
    /// Outside any event loop, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.addresses.poll_any(cx, |address| this.socket.registered.io().connect(address))
    }
}

/// The future of [`UdpSocket::send_to`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct SendTo<'a> {
    socket: &'a UdpSocket,
    buf: &'a [u8],
    /// What is left to try.
    addresses: Resolve,
    /// What is being tried.
    target: Option<SocketAddr>,
    wait: Wait,
}

impl Future for SendTo<'_> {
    type Output = io::Result<usize>;

    /// # Panics
    ///
    /// Outside the loop that the socket belongs to, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let target = match this.target {
                Some(target) => target,
                None => match ready!(this.addresses.poll_next(cx)) {
                    Ok(target) => *this.target.insert(target),
                    Err(error) => return Poll::Ready(Err(error)),
                },
            };
            let op = |io: &mio::net::UdpSocket| io.send_to(this.buf, target);
            let sent =
                this.socket.registered.poll_io(&mut this.wait, cx, Direction::Write, op, |_| false);
            match ready!(sent) {
                Ok(bytes) => {
                    this.target = None;
                    this.addresses.end();
                    return Poll::Ready(Ok(bytes));
                }
                Err(error) => {
                    this.target = None;
                    this.addresses.failed(target, error);
                }
            }
        }
    }
}
