//! The options of [`TcpSocket`]. None of them needs the loop.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use nix::sys::socket::sockopt::BindToDevice;
use nix::sys::socket::{getsockopt, setsockopt};
use rustix::net::sockopt;

use super::TcpSocket;
use crate::about::about;

/// Options. For those that are not here see [`from_std_stream`](TcpSocket::from_std_stream).
impl TcpSocket {
    /// Whether it may be bound to an address of which an old connection is not over yet (SO_REUSEADDR): the server that is started again
    /// wants this, and [`TcpListener::bind`](crate::net::TcpListener::bind) sets it. Set it before [`bind`](Self::bind).
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_reuseaddr(&self, reuseaddr: bool) -> io::Result<()> {
        Ok(sockopt::set_socket_reuseaddr(self, reuseaddr)?)
    }

    /// See [`set_reuseaddr`](Self::set_reuseaddr).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn reuseaddr(&self) -> io::Result<bool> {
        Ok(sockopt::socket_reuseaddr(self)?)
    }

    /// Whether several sockets may listen on the same address, if all of them set this (SO_REUSEPORT). The kernel shares the connections
    /// out: socket(7). Set it before [`bind`](Self::bind).
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_reuseport(&self, reuseport: bool) -> io::Result<()> {
        Ok(sockopt::set_socket_reuseport(self, reuseport)?)
    }

    /// See [`set_reuseport`](Self::set_reuseport).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn reuseport(&self) -> io::Result<bool> {
        Ok(sockopt::socket_reuseport(self)?)
    }

    /// Whether a connection on which nothing comes is probed, so that a peer that has vanished is noticed (SO_KEEPALIVE): reading fails with
    /// `TimedOut` then. By default the first probe is sent after two hours.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_keepalive(&self, keepalive: bool) -> io::Result<()> {
        Ok(sockopt::set_socket_keepalive(self, keepalive)?)
    }

    /// See [`set_keepalive`](Self::set_keepalive).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn keepalive(&self) -> io::Result<bool> {
        Ok(sockopt::socket_keepalive(self)?)
    }

    /// After how much silence the first probe is sent (TCP_KEEPIDLE), in whole seconds, rounded up. It has an effect only with
    /// [`set_keepalive`](Self::set_keepalive).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for less than a second or more than 32,767 seconds.
    pub fn set_keepalive_time(&self, time: Duration) -> io::Result<()> {
        Ok(sockopt::set_tcp_keepidle(self, time)?)
    }

    /// See [`set_keepalive_time`](Self::set_keepalive_time).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn keepalive_time(&self) -> io::Result<Duration> {
        Ok(sockopt::tcp_keepidle(self)?)
    }

    /// How long after a probe that is not answered the next is sent (TCP_KEEPINTVL), in whole seconds, rounded up. It has an effect only
    /// with [`set_keepalive`](Self::set_keepalive).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for less than a second or more than 32,767 seconds.
    pub fn set_keepalive_interval(&self, interval: Duration) -> io::Result<()> {
        Ok(sockopt::set_tcp_keepintvl(self, interval)?)
    }

    /// See [`set_keepalive_interval`](Self::set_keepalive_interval).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn keepalive_interval(&self) -> io::Result<Duration> {
        Ok(sockopt::tcp_keepintvl(self)?)
    }

    /// How many probes in a row are not answered until the connection is given up (TCP_KEEPCNT). It has an effect only with
    /// [`set_keepalive`](Self::set_keepalive).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0 and for more than 127.
    pub fn set_keepalive_retries(&self, retries: u32) -> io::Result<()> {
        Ok(sockopt::set_tcp_keepcnt(self, retries)?)
    }

    /// See [`set_keepalive_retries`](Self::set_keepalive_retries).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn keepalive_retries(&self) -> io::Result<u32> {
        Ok(sockopt::tcp_keepcnt(self)?)
    }

    /// Whether small writes are sent at once (TCP_NODELAY) instead of being gathered for some milliseconds.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_nodelay(self, nodelay)?)
    }

    /// See [`set_nodelay`](Self::set_nodelay).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_nodelay(self)?)
    }

    /// How many bytes the kernel keeps that the peer has not acknowledged yet (SO_SNDBUF). Linux takes at most
    /// `net.core.wmem_max` and doubles the number, for its bookkeeping: socket(7). Where it is not set, the kernel adapts the size to
    /// the connection, which is mostly better.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_send_buffer_size(&self, size: u32) -> io::Result<()> {
        Ok(sockopt::set_socket_send_buffer_size(self, clamped(size))?)
    }

    /// See [`set_send_buffer_size`](Self::set_send_buffer_size). On Linux twice what was set.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn send_buffer_size(&self) -> io::Result<u32> {
        Ok(u32::try_from(sockopt::socket_send_buffer_size(self)?).unwrap_or(u32::MAX))
    }

    /// How many bytes the kernel keeps that were not read yet (SO_RCVBUF). Linux takes at most `net.core.rmem_max` and doubles the
    /// number, for its bookkeeping: socket(7). Where it is not set, the kernel adapts the size to the connection, which is mostly
    /// better. (It must be set here, not on the connection: how large the window can become is agreed on when connecting.)
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_recv_buffer_size(&self, size: u32) -> io::Result<()> {
        Ok(sockopt::set_socket_recv_buffer_size(self, clamped(size))?)
    }

    /// See [`set_recv_buffer_size`](Self::set_recv_buffer_size). On Linux twice what was set.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn recv_buffer_size(&self) -> io::Result<u32> {
        Ok(u32::try_from(sockopt::socket_recv_buffer_size(self)?).unwrap_or(u32::MAX))
    }

    /// As [`TcpStream::set_zero_linger`](crate::net::TcpStream::set_zero_linger): closing the connection aborts it. (There is no method for
    /// another time: that would let the drop of the connection block the loop.)
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        Ok(sockopt::set_socket_linger(self, Some(Duration::ZERO))?)
    }

    /// As [`TcpStream::linger`](crate::net::TcpStream::linger).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(sockopt::socket_linger(self)?)
    }

    /// Whether a socket for IPv6 refuses IPv4 addresses that are mapped to IPv6 (IPV6_V6ONLY), so that another may listen on the same port for
    /// IPv4. At first it does so if `net.ipv6.bindv6only` says so. Set it before [`bind`](Self::bind).
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says: for instance that this is a socket for IPv4.
    pub fn set_only_v6(&self, only: bool) -> io::Result<()> {
        Ok(sockopt::set_ipv6_v6only(self, only)?)
    }

    /// See [`set_only_v6`](Self::set_only_v6).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn only_v6(&self) -> io::Result<bool> {
        Ok(sockopt::ipv6_v6only(self)?)
    }

    /// The type of service of the packets of a socket for IPv4 (IP_TOS), one byte: ip(7). The two lowest bits (ECN) are the
    /// kernel's own for TCP, and stay as they are.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for more than 255; else what setsockopt(2) says.
    pub fn set_tos_v4(&self, tos: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_tos(self, one_byte(tos)?)?)
    }

    /// See [`set_tos_v4`](Self::set_tos_v4).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn tos_v4(&self) -> io::Result<u32> {
        Ok(sockopt::ip_tos(self)?.into())
    }

    /// The traffic class of the packets of a socket for IPv6 (IPV6_TCLASS), one byte: what [`set_tos_v4`](Self::set_tos_v4) is for IPv4.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for more than 255; else what setsockopt(2) says: for instance that this is a socket for IPv4.
    pub fn set_tclass_v6(&self, class: u32) -> io::Result<()> {
        Ok(sockopt::set_ipv6_tclass(self, one_byte(class)?.into())?)
    }

    /// See [`set_tclass_v6`](Self::set_tclass_v6).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn tclass_v6(&self) -> io::Result<u32> {
        Ok(sockopt::ipv6_tclass(self)?)
    }

    /// Makes it send and receive by one network interface only, whatever the routes say (SO_BINDTODEVICE). `None` undoes it.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says, with the name of the interface: for instance "no such device". `PermissionDenied` without
    /// CAP_NET_RAW, if it is bound to an interface already; before Linux 5.7, always.
    pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
        bind_device(self, interface)
    }

    /// See [`bind_device`](Self::bind_device).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        device(self)
    }
}

/// More is not an error: the kernel takes as much as the system allows. (It reads the number as signed.)
fn clamped(size: u32) -> usize {
    size.min(i32::MAX as u32) as usize
}

/// For an option of one byte, of which the kernel would cut off the rest.
pub(in crate::net) fn one_byte(value: u32) -> io::Result<u8> {
    value.try_into().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a type of service, or traffic class, is one byte: {value} is too much"),
        )
    })
}

pub(in crate::net) fn bind_device(socket: impl AsFd, interface: Option<&[u8]>) -> io::Result<()> {
    // An empty name means none.
    let name = OsStr::from_bytes(interface.unwrap_or_default());
    let bound = setsockopt(&socket, BindToDevice, &name.to_owned());
    bound.map_err(|errno| about("bind to the interface", format_args!("{name:?}"), errno.into()))
}

pub(in crate::net) fn device(socket: impl AsFd) -> io::Result<Option<Vec<u8>>> {
    let name = getsockopt(&socket, BindToDevice)?.into_vec();
    Ok((!name.is_empty()).then_some(name))
}
