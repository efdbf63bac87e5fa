//! UDP: [`UdpSocket`] and its futures [`UdpConnect`] and [`SendTo`].
//!
//! What it shares with Unix datagram sockets is in `datagram.rs`. This file adds what only UDP has:
//! addresses that are resolved, peeking, and its options, none of which needs the loop.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, ready};
use std::{io, panic::Location, pin::Pin};

use super::datagram::{DatagramSocket, RecvDatagram, datagram_methods, receive_methods};
use super::socket::{socket, socket_methods};
use super::{listener::Bind, resolve::Resolve, resolve::address::ToSocketAddrs};
use crate::about::about;
#[cfg(target_os = "linux")]
use crate::net::options::packet_options;
use crate::net::options::socket_options;
use crate::reactor::{Direction, Registered, Wait};

/// A socket that sends and receives UDP datagrams.
///
/// Each datagram is sent whole and received whole, or not at all; a datagram may be empty. So all
/// methods take `&self`, and several tasks may share one socket: each datagram goes to one of them.
///
/// Use it in one of two ways: with [`send_to`](Self::send_to) and [`recv_from`](Self::recv_from) it
/// talks to any address; after [`connect`](Self::connect), with [`send`](Self::send) and
/// [`recv`](Self::recv), to one peer.
///
/// A datagram that is larger than the buffer of a receiving method is truncated, and **the rest is
/// lost silently** (on Windows it is an error). A buffer of 65,507 bytes holds any datagram over
/// IPv4. On Linux, `recv_msg` reports whether a datagram was truncated.
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
    /// Binds to an address. If there are several, to the first that works. Port 0 lets the kernel
    /// choose: [`local_addr`](Self::local_addr) returns it.
    ///
    /// Unless there is a host name to resolve, it is ready at the first poll (or, in a task that
    /// has spent its budget, at the second). Cancel-safe: a socket that was not returned is closed.
    ///
    /// # Errors
    ///
    /// Each address that was tried, with its error: for instance `AddrInUse`. The kind is that of
    /// the last. If a host does not resolve: its name. `InvalidInput` for what is not an address:
    /// see [`ToSocketAddrs`].
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

    socket_methods! {
        ///
        /// For options that must be set before `bind`, make the socket with the crate socket2.
        std::net::UdpSocket as socket,
        mio: mio::net::UdpSocket,
        local_addr: SocketAddr,
        "The address that it is bound to.",
    }

    /// Sets the address that [`send`](Self::send) sends to, the only one from which datagrams are
    /// then received. If there are several, the first to which the kernel has a route, tried in
    /// order.
    ///
    /// Nothing is sent for this, so there is nothing to wait for, and success does not mean that
    /// anything receives there. It may be called again, with another address.
    ///
    /// Unless there is a host name to resolve, it is ready at the first poll (or, in a task that
    /// has spent its budget, at the second). Cancel-safe: if the future is dropped before it is
    /// ready, nothing has changed.
    ///
    /// # Errors
    ///
    /// Each address that was tried, with its error: for instance `NetworkUnreachable`. The kind is
    /// that of the last. If a host does not resolve: its name. `InvalidInput` for what is not an
    /// address: see [`ToSocketAddrs`].
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

    datagram_methods! {
        /// Sends `buf` as one datagram to the address that the socket is [connected](Self::connect)
        /// to, and returns how many bytes that were: all of them.
        UdpSocket, SocketAddr,
        send_errors: "Those of send(2): for instance \"message too long\" for more than 65,507 \
                      bytes over IPv4. `ConnectionRefused` is the answer to an earlier datagram: \
                      nothing received there. It is reported once, here or by \
                      [`recv`](Self::recv), and the socket stays usable.",
        recv: "Receives one datagram, from the address that the socket is \
               [connected](Self::connect) to. (From any address, if it is not connected.)",
        recv_errors: "Those of recv(2): see [`send`](Self::send) for `ConnectionRefused`.",
        recv_from: "the address of its sender.",
        peer_addr: "The address that it is [connected](Self::connect) to.",
    }

    receive_methods! {
        /// As [`recv`](Self::recv), but leaves the datagram in the kernel, for the next to receive.
        ///
        /// Cancel-safe.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        peek, try_peek, poll_peek: UdpSocket => usize,
        |io: &mio::net::UdpSocket, buf: &mut [u8]| io.peek(buf);

        /// As [`recv_from`](Self::recv_from), but leaves the datagram in the kernel, for the next
        /// to receive.
        ///
        /// Cancel-safe.
        ///
        /// # Errors
        ///
        /// As [`recv_from`](Self::recv_from).
        peek_from, try_peek_from, poll_peek_from: UdpSocket => (usize, SocketAddr),
        |io: &mio::net::UdpSocket, buf: &mut [u8]| io.peek_from(buf);
    }

    /// Returns the sender of the next datagram, which stays in the kernel.
    ///
    /// Another task may take that datagram first, so do not base a decision about it on this
    /// address.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// Those of recvfrom(2).
    #[cfg(unix)]
    #[track_caller]
    pub fn peek_sender(&self) -> RecvDatagram<'_, UdpSocket, SocketAddr> {
        RecvDatagram::new(self, &mut [], |socket, buf| {
            socket.registered.io().peek_from(buf).map(|(_, sender)| sender)
        })
    }

    /// As [`peek_sender`](Self::peek_sender), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[cfg(unix)]
    #[track_caller]
    pub fn try_peek_sender(&self) -> io::Result<SocketAddr> {
        let sender = |io: &mio::net::UdpSocket| io.peek_from(&mut []).map(|(_, sender)| sender);
        self.registered.try_io(Direction::Read, sender, |_| false)
    }

    /// As [`peek_sender`](Self::peek_sender), for a future of your own. Its waker stays registered
    /// when it returns, as that of [`poll_readable`](Self::poll_readable).
    ///
    /// # Errors
    ///
    /// As [`peek_sender`](Self::peek_sender).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[cfg(unix)]
    #[track_caller]
    pub fn poll_peek_sender(&self, cx: &mut Context<'_>) -> Poll<io::Result<SocketAddr>> {
        let sender = |io: &mio::net::UdpSocket| io.peek_from(&mut []).map(|(_, sender)| sender);
        self.registered.poll_latest(cx, Direction::Read, sender)
    }

    /// Sends `buf` as one datagram to `target`, and returns how many bytes that were: all of them.
    /// If there are several addresses, it goes to the first to which the kernel has a route, tried
    /// in order.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing was sent.
    ///
    /// # Errors
    ///
    /// Those of sendto(2), with the address: for instance "message too long" for more than 65,507
    /// bytes over IPv4. If a host does not resolve: its name. `InvalidInput` for what is not an
    /// address: see [`ToSocketAddrs`].
    #[track_caller]
    pub fn send_to<'a>(&'a self, buf: &'a [u8], target: impl ToSocketAddrs) -> SendTo<'a> {
        let place = Location::caller();
        let addresses = Resolve::new("`UdpSocket::send_to`", "send to", target, place);
        SendTo { socket: self, buf, addresses, target: None, wait: Wait::at(place) }
    }

    /// As [`send_to`](Self::send_to), without waiting, so only for a numeric address.
    ///
    /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
    /// single poll of [`send_to`](Self::send_to) may be.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room; otherwise as [`send_to`](Self::send_to).
    ///
    /// # Panics
    ///
    /// Outside the loop that the socket belongs to.
    #[track_caller]
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        match self.registered.try_io(Direction::Write, |io| io.send_to(buf, target), |_| false) {
            // `WouldBlock` is returned plain, as by all `try_` methods.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                Err(about("send to", target, error))
            }
            sent => sent,
        }
    }

    /// As [`send_to`](Self::send_to), for a future of your own. Its waker stays registered when it
    /// returns, as that of [`poll_writable`](Self::poll_writable).
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
    /// The addresses that are left to try.
    addresses: Resolve,
    /// The address that is being tried. It stays while the socket has no room.
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
            // An address that is waiting for room is kept; otherwise the next one is taken.
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
                    // From now on polling again is a mistake, and panics.
                    this.addresses.end();
                    return Poll::Ready(Ok(bytes));
                }
                // The next address may still work, so the error is only noted.
                Err(error) => {
                    this.target = None;
                    this.addresses.failed(target, error);
                }
            }
        }
    }
}

/// Options. For others see [socket options](crate::net#socket-options).
impl UdpSocket {
    socket_options! {
        /// Sets whether the socket may send to broadcast addresses (SO_BROADCAST). The default is
        /// no.
        set_broadcast/broadcast: bool,
        errors: "Those of setsockopt(2).",
        set: |socket, broadcast| socket.registered.io().set_broadcast(broadcast),
        get: |socket| socket.registered.io().broadcast();

        /// Sets how many routers a datagram may pass (IP_TTL).
        set_ttl/ttl: u32,
        errors: "Those of setsockopt(2).",
        set: |socket, ttl| socket.registered.io().set_ttl(ttl),
        get: |socket| socket.registered.io().ttl();

        /// Sets whether what is sent to a group over IPv4 also reaches the members on this machine
        /// (IP_MULTICAST_LOOP).
        set_multicast_loop_v4/multicast_loop_v4: bool,
        errors: "Those of setsockopt(2).",
        set: |socket, looped| socket.registered.io().set_multicast_loop_v4(looped),
        get: |socket| socket.registered.io().multicast_loop_v4();

        /// As [`set_multicast_loop_v4`](Self::set_multicast_loop_v4), over IPv6.
        set_multicast_loop_v6/multicast_loop_v6: bool,
        errors: "Those of setsockopt(2).",
        set: |socket, looped| socket.registered.io().set_multicast_loop_v6(looped),
        get: |socket| socket.registered.io().multicast_loop_v6();

        /// Sets how many routers a datagram to a group may pass (IP_MULTICAST_TTL). The default is
        /// 1, which means none.
        set_multicast_ttl_v4/multicast_ttl_v4: u32,
        errors: "Those of setsockopt(2).",
        set: |socket, ttl| socket.registered.io().set_multicast_ttl_v4(ttl),
        get: |socket| socket.registered.io().multicast_ttl_v4();
    }

    #[cfg(target_os = "linux")]
    packet_options!();

    /// Joins a multicast group on the interface with this address; `UNSPECIFIED` lets the kernel
    /// choose one.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.registered.io().join_multicast_v4(&group, &interface)
    }

    /// Undoes [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.registered.io().leave_multicast_v4(&group, &interface)
    }

    /// Joins a multicast group on the interface with this index; 0 lets the kernel choose one.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.registered.io().join_multicast_v6(group, interface)
    }

    /// Undoes [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.registered.io().leave_multicast_v6(group, interface)
    }
}
