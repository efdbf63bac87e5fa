//! The options of UDP sockets that have a method of their own. None of them needs the loop.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::UdpSocket;
#[cfg(target_os = "linux")]
use crate::net::options::packet_options;
use crate::net::options::socket_options;

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
