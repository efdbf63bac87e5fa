//! What `recv_msg` of the datagram sockets gives: a [`Received`], which says whether the datagram was cut off. The system calls are
//! here; the future is that of [`datagram`](super::datagram).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net as unix;

use rustix::net::{RecvFlags, SocketAddrAny, recvfrom};

use super::datagram::RecvDatagram;
use super::{UdpSocket, UnixDatagram};
use crate::io::Watched;
use crate::reactor::Direction;

/// A datagram that was received by [`UdpSocket::recv_msg`] or [`UnixDatagram::recv_msg`] (Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received<A = SocketAddr> {
    /// How many of its bytes are in the buffer.
    pub len: usize,
    /// How many bytes it had when it was sent. Those that did not fit in the buffer are lost.
    pub full_len: usize,
    /// The address of its sender.
    pub from: A,
}

impl<A> Received<A> {
    /// Whether it did not fit in the buffer, so that its end is lost.
    pub fn is_truncated(&self) -> bool {
        self.len < self.full_len
    }
}

/// Datagrams that may be cut off (Linux).
impl UdpSocket {
    /// As [`recv_from`](Self::recv_from), and says whether the datagram was cut off.
    ///
    /// ```
    /// use headwaiter::net::UdpSocket;
    ///
    /// headwaiter::block_on(async {
    ///     let kitchen = UdpSocket::bind("127.0.0.1:0").await?;
    ///     let guest = UdpSocket::bind("127.0.0.1:0").await?;
    ///     guest.send_to(b"soup, bread and wine", kitchen.local_addr()?).await?;
    ///
    ///     let mut order = [0; 4];
    ///     let received = kitchen.recv_msg(&mut order).await?;
    ///     assert_eq!((&order[..received.len], received.from), (&b"soup"[..], guest.local_addr()?));
    ///     assert!(received.is_truncated());
    ///     assert_eq!(received.full_len, 20);
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// Cancel-safe: if it is dropped before it was ready, no datagram was taken.
    ///
    /// # Errors
    ///
    /// What recvfrom(2) says.
    #[track_caller]
    pub fn recv_msg<'a>(&'a self, buf: &'a mut [u8]) -> RecvDatagram<'a, UdpSocket, Received> {
        RecvDatagram::new(self, buf, |socket, buf| from_udp(socket.registered().io(), buf))
    }

    /// As `recv_msg`, without waiting.
    ///
    /// Never refused, as a single poll of `recv_msg` may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    #[track_caller]
    pub fn try_recv_msg(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.registered().try_io(Direction::Read, |io| from_udp(io, buf), |_| false)
    }
}

/// Datagrams that may be cut off (Linux).
impl UnixDatagram {
    /// As [`recv_from`](Self::recv_from), and says whether the datagram was cut off. An example is at
    /// [`UdpSocket::recv_msg`].
    ///
    /// A sender whose path has 108 bytes, one more than std can make an address of, is reported as unnamed.
    ///
    /// Cancel-safe: if it is dropped before it was ready, no datagram was taken.
    ///
    /// # Errors
    ///
    /// What recvfrom(2) says.
    #[track_caller]
    pub fn recv_msg<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> RecvDatagram<'a, UnixDatagram, Received<unix::SocketAddr>> {
        RecvDatagram::new(self, buf, |socket, buf| from_unix(socket.registered().io(), buf))
    }

    /// As `recv_msg`, without waiting.
    ///
    /// Never refused, as a single poll of `recv_msg` may be: see [the budget](crate::sync#the-cooperative-budget).
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    #[track_caller]
    pub fn try_recv_msg(&self, buf: &mut [u8]) -> io::Result<Received<unix::SocketAddr>> {
        self.registered().try_io(Direction::Read, |io| from_unix(io, buf), |_| false)
    }
}

fn received<A>(
    socket: impl AsFd,
    buf: &mut [u8],
    address: fn(Option<SocketAddrAny>) -> io::Result<A>,
) -> io::Result<Received<A>> {
    let room = buf.len();
    // With MSG_TRUNC it gives the length of the datagram, also if that is more than there was room for: recv(2).
    let (_, full_len, from) = recvfrom(socket, buf, RecvFlags::TRUNC)?;
    Ok(Received { len: full_len.min(room), full_len, from: address(from)? })
}

fn from_udp(socket: impl AsFd, buf: &mut [u8]) -> io::Result<Received> {
    received(socket, buf, |from| match from {
        Some(address) => Ok(address.try_into()?),
        None => Err(io::Error::other("a UDP datagram without the address of its sender")),
    })
}

fn from_unix(socket: impl AsFd, buf: &mut [u8]) -> io::Result<Received<unix::SocketAddr>> {
    received(socket, buf, |from| unix_address(from.as_ref()))
}

fn unix_address(from: Option<&SocketAddrAny>) -> io::Result<unix::SocketAddr> {
    use rustix::net::SocketAddrUnix;
    use std::ffi::OsStr;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;

    /// The size of a `sockaddr_un`. The kernel reports more for a path that leaves no room for its NUL.
    const LARGEST: u32 = 110;

    // A sender may be bound to such a path, and must not be able to make rustix panic. std cannot make an address of it.
    let Some(from) = from.filter(|from| from.addr_len() <= LARGEST) else {
        return unix::SocketAddr::from_pathname("");
    };
    let from = SocketAddrUnix::try_from(from.clone())?;
    match from.abstract_name() {
        Some(name) => unix::SocketAddr::from_abstract_name(name),
        None => {
            // rustix keeps the NUL of a path of 107 bytes.
            let path = from.path_bytes().and_then(|path| path.split(|byte| *byte == 0).next());
            unix::SocketAddr::from_pathname(OsStr::from_bytes(path.unwrap_or_default()))
        }
    }
}
