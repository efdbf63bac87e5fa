//! The options of UDP sockets that have a method. None of them needs the loop.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

#[cfg(target_os = "linux")]
use rustix::net::sockopt;

use super::UdpSocket;
#[cfg(target_os = "linux")]
use crate::net::tcp_socket::{bind_device, device, one_byte};

/// Options. For those that are not here see [socket options](crate::net#socket-options).
impl UdpSocket {
    /// Whether it may send to broadcast addresses (SO_BROADCAST). At first it may not.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.registered.io().set_broadcast(broadcast)
    }

    /// See [`set_broadcast`](Self::set_broadcast).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.registered.io().broadcast()
    }

    /// How many routers a datagram may pass (IP_TTL).
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.registered.io().set_ttl(ttl)
    }

    /// See [`set_ttl`](Self::set_ttl).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.registered.io().ttl()
    }

    /// The type of service of the packets of a socket for IPv4 (IP_TOS), one byte: ip(7).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for more than 255; else what setsockopt(2) says.
    #[cfg(target_os = "linux")]
    pub fn set_tos_v4(&self, tos: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_tos(self, one_byte(tos)?)?)
    }

    /// See [`set_tos_v4`](Self::set_tos_v4).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    #[cfg(target_os = "linux")]
    pub fn tos_v4(&self) -> io::Result<u32> {
        Ok(sockopt::ip_tos(self)?.into())
    }

    /// The traffic class of the packets of a socket for IPv6 (IPV6_TCLASS), one byte: what [`set_tos_v4`](Self::set_tos_v4) is for IPv4.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for more than 255; else what setsockopt(2) says: for instance that this is a socket for IPv4.
    #[cfg(target_os = "linux")]
    pub fn set_tclass_v6(&self, class: u32) -> io::Result<()> {
        Ok(sockopt::set_ipv6_tclass(self, one_byte(class)?.into())?)
    }

    /// See [`set_tclass_v6`](Self::set_tclass_v6).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    #[cfg(target_os = "linux")]
    pub fn tclass_v6(&self) -> io::Result<u32> {
        Ok(sockopt::ipv6_tclass(self)?)
    }

    /// Makes it send and receive by one network interface only, whatever the routes say (SO_BINDTODEVICE). `None` undoes it.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says, with the name of the interface: for instance "no such device". `PermissionDenied` without
    /// CAP_NET_RAW, if it is bound to an interface already; before Linux 5.7, always.
    #[cfg(target_os = "linux")]
    pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
        bind_device(self, interface)
    }

    /// See [`bind_device`](Self::bind_device).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    #[cfg(target_os = "linux")]
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        device(self)
    }

    /// Also receives what is sent to a multicast group, on the interface with this address; `UNSPECIFIED` lets the
    /// kernel choose one.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.registered.io().join_multicast_v4(&group, &interface)
    }

    /// Undoes [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.registered.io().leave_multicast_v4(&group, &interface)
    }

    /// Also receives what is sent to a multicast group, on the interface with this index; 0 lets the kernel
    /// choose one.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.registered.io().join_multicast_v6(group, interface)
    }

    /// Undoes [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.registered.io().leave_multicast_v6(group, interface)
    }

    /// Whether what it sends to a group over IPv4 also comes to this machine's own members (IP_MULTICAST_LOOP).
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_multicast_loop_v4(&self, looped: bool) -> io::Result<()> {
        self.registered.io().set_multicast_loop_v4(looped)
    }

    /// See [`set_multicast_loop_v4`](Self::set_multicast_loop_v4).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.registered.io().multicast_loop_v4()
    }

    /// As [`set_multicast_loop_v4`](Self::set_multicast_loop_v4), over IPv6.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_multicast_loop_v6(&self, looped: bool) -> io::Result<()> {
        self.registered.io().set_multicast_loop_v6(looped)
    }

    /// See [`set_multicast_loop_v6`](Self::set_multicast_loop_v6).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.registered.io().multicast_loop_v6()
    }

    /// How many routers a datagram to a group may pass (IP_MULTICAST_TTL); at first 1: none.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.registered.io().set_multicast_ttl_v4(ttl)
    }

    /// See [`set_multicast_ttl_v4`](Self::set_multicast_ttl_v4).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.registered.io().multicast_ttl_v4()
    }
}
