//! `recv_msg` of the datagram sockets (Linux), whose result [`Received`] says whether the datagram
//! was truncated.
//!
//! The system calls are here; the future is that of `datagram.rs`.

use std::os::unix::net as unix;
use std::{io, net::SocketAddr, os::fd::AsFd};

use rustix::net::{RecvFlags, SocketAddrAny, recvfrom};

use super::{datagram::receive_methods, udp::UdpSocket, unix::datagram::UnixDatagram};

/// A datagram that was received by [`UdpSocket::recv_msg`] or [`UnixDatagram::recv_msg`] (Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received<A = SocketAddr> {
    /// How many of its bytes are in the buffer.
    pub len: usize,
    /// How many bytes were sent. Those that did not fit in the buffer are lost.
    pub full_len: usize,
    /// The address of its sender.
    pub from: A,
}

impl<A> Received<A> {
    /// Whether the datagram did not fit in the buffer, so that its end is lost.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.len < self.full_len
    }
}

/// Datagrams that may be truncated (Linux).
impl UdpSocket {
    receive_methods! {
        /// As [`recv_from`](Self::recv_from), and reports whether the datagram was truncated.
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
        /// Cancel-safe: if the future is dropped before it is ready, no datagram was taken.
        ///
        /// # Errors
        ///
        /// Those of recvfrom(2).
        recv_msg, try_recv_msg: UdpSocket => Received,
        from_udp;
    }
}

/// Datagrams that may be truncated (Linux).
impl UnixDatagram {
    receive_methods! {
        /// As [`recv_from`](Self::recv_from), and reports whether the datagram was truncated. An
        /// example is at [`UdpSocket::recv_msg`].
        ///
        /// A sender whose path has 108 bytes, one more than std can put into an address, is
        /// reported as unnamed.
        ///
        /// Cancel-safe: if the future is dropped before it is ready, no datagram was taken.
        ///
        /// # Errors
        ///
        /// Those of recvfrom(2).
        recv_msg, try_recv_msg: UnixDatagram => Received<unix::SocketAddr>,
        from_unix;
    }
}

/// Receives one datagram with its full length.
fn received<A>(
    socket: impl AsFd,
    buf: &mut [u8],
    address: fn(Option<SocketAddrAny>) -> io::Result<A>,
) -> io::Result<Received<A>> {
    let room = buf.len();
    // With MSG_TRUNC the call returns the full length of the datagram, also if the buffer is
    // smaller: recv(2).
    let (_, full_len, from) = recvfrom(socket, buf, RecvFlags::TRUNC)?;
    Ok(Received { len: full_len.min(room), full_len, from: address(from)? })
}

fn from_udp(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<Received> {
    received(socket, buf, |from| match from {
        Some(address) => Ok(address.try_into()?),
        None => Err(io::Error::other("a UDP datagram without the address of its sender")),
    })
}

fn from_unix(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<Received<unix::SocketAddr>> {
    received(socket, buf, |from| unix_address(from.as_ref()))
}

/// Converts an address of rustix to one of std.
fn unix_address(from: Option<&SocketAddrAny>) -> io::Result<unix::SocketAddr> {
    use rustix::net::SocketAddrUnix;
    use std::ffi::OsStr;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;

    /// The size of a `sockaddr_un`. The kernel reports more for a path that leaves no room for its
    /// NUL.
    const LARGEST: u32 = 110;

    // A sender may be bound to such a path, and must not be able to make rustix panic. std has no
    // address for it.
    let Some(from) = from.filter(|from| from.addr_len() <= LARGEST) else {
        return unix::SocketAddr::from_pathname("");
    };
    let from = SocketAddrUnix::try_from(from.clone())?;
    match from.abstract_name() {
        Some(name) => unix::SocketAddr::from_abstract_name(name),
        None => {
            // rustix includes the NUL of a path of 107 bytes.
            let path = from.path_bytes().and_then(|path| path.split(|byte| *byte == 0).next());
            unix::SocketAddr::from_pathname(OsStr::from_bytes(path.unwrap_or_default()))
        }
    }
}
