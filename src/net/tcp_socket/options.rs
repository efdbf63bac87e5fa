//! The options of [`TcpSocket`]. None of them needs the loop.

use std::{io, time::Duration};

use rustix::net::sockopt;

use super::TcpSocket;
use crate::net::options::{packet_options, socket_options};

/// Options. For others see [`from_std_stream`](TcpSocket::from_std_stream).
impl TcpSocket {
    socket_options! {
        /// Sets whether the socket may be bound to an address of which an old connection has not
        /// ended yet (SO_REUSEADDR). A server that is restarted wants this, and
        /// [`TcpListener::bind`](crate::net::TcpListener::bind) sets it. Set it before
        /// [`bind`](Self::bind).
        set_reuseaddr/reuseaddr: bool,
        errors: "Those of setsockopt(2).",
        set: |socket, reuseaddr| Ok(sockopt::set_socket_reuseaddr(socket, reuseaddr)?),
        get: |socket| Ok(sockopt::socket_reuseaddr(socket)?);

        /// Sets whether several sockets may listen on the same address, if all of them set this
        /// (SO_REUSEPORT). The kernel distributes the connections: socket(7). Set it before
        /// [`bind`](Self::bind).
        set_reuseport/reuseport: bool,
        errors: "Those of setsockopt(2).",
        set: |socket, reuseport| Ok(sockopt::set_socket_reuseport(socket, reuseport)?),
        get: |socket| Ok(sockopt::socket_reuseport(socket)?);

        /// Sets whether a silent connection is probed, so that a peer that has vanished is noticed
        /// (SO_KEEPALIVE): reading then fails with `TimedOut`. By default the first probe is sent
        /// after two hours.
        set_keepalive/keepalive: bool,
        errors: "Those of setsockopt(2).",
        set: |socket, keepalive| Ok(sockopt::set_socket_keepalive(socket, keepalive)?),
        get: |socket| Ok(sockopt::socket_keepalive(socket)?);

        /// Sets after how much silence the first probe is sent (TCP_KEEPIDLE), in whole seconds,
        /// rounded up. It has an effect only with [`set_keepalive`](Self::set_keepalive).
        set_keepalive_time/keepalive_time: Duration,
        errors: "`InvalidInput` for less than a second or more than 32,767 seconds.",
        set: |socket, time| Ok(sockopt::set_tcp_keepidle(socket, time)?),
        get: |socket| Ok(sockopt::tcp_keepidle(socket)?);

        /// Sets how long after an unanswered probe the next one is sent (TCP_KEEPINTVL), in whole
        /// seconds, rounded up. It has an effect only with [`set_keepalive`](Self::set_keepalive).
        set_keepalive_interval/keepalive_interval: Duration,
        errors: "`InvalidInput` for less than a second or more than 32,767 seconds.",
        set: |socket, interval| Ok(sockopt::set_tcp_keepintvl(socket, interval)?),
        get: |socket| Ok(sockopt::tcp_keepintvl(socket)?);

        /// Sets how many probes in a row may stay unanswered before the connection fails
        /// (TCP_KEEPCNT). It has an effect only with [`set_keepalive`](Self::set_keepalive).
        set_keepalive_retries/keepalive_retries: u32,
        errors: "`InvalidInput` for 0 and for more than 127.",
        set: |socket, retries| Ok(sockopt::set_tcp_keepcnt(socket, retries)?),
        get: |socket| Ok(sockopt::tcp_keepcnt(socket)?);

        /// Sets whether small writes are sent at once (TCP_NODELAY), instead of being gathered for
        /// some milliseconds.
        set_nodelay/nodelay: bool,
        errors: "Those of setsockopt(2).",
        set: |socket, nodelay| Ok(sockopt::set_tcp_nodelay(socket, nodelay)?),
        get: |socket| Ok(sockopt::tcp_nodelay(socket)?);

        /// Sets how many bytes that the peer has not acknowledged the kernel keeps (SO_SNDBUF).
        ///
        /// Linux takes at most `net.core.wmem_max`, and doubles the number for its bookkeeping:
        /// socket(7). The getter returns the doubled number. If it is not set, the kernel adapts
        /// the size to the connection, which is usually better.
        set_send_buffer_size/send_buffer_size: u32,
        errors: "Those of setsockopt(2).",
        set: |socket, size| Ok(sockopt::set_socket_send_buffer_size(socket, clamped(size))?),
        get: |socket| {
            Ok(u32::try_from(sockopt::socket_send_buffer_size(socket)?).unwrap_or(u32::MAX))
        };

        /// Sets how many bytes that were not read yet the kernel keeps (SO_RCVBUF).
        ///
        /// Linux takes at most `net.core.rmem_max`, and doubles the number for its bookkeeping:
        /// socket(7). The getter returns the doubled number. If it is not set, the kernel adapts
        /// the size to the connection, which is usually better. It must be set here, not on the
        /// connection: the largest size of the window is agreed on when connecting.
        set_recv_buffer_size/recv_buffer_size: u32,
        errors: "Those of setsockopt(2).",
        set: |socket, size| Ok(sockopt::set_socket_recv_buffer_size(socket, clamped(size))?),
        get: |socket| {
            Ok(u32::try_from(sockopt::socket_recv_buffer_size(socket)?).unwrap_or(u32::MAX))
        };

        /// Sets whether an IPv6 socket refuses IPv4 addresses that are mapped to IPv6
        /// (IPV6_V6ONLY), so that another socket may listen on the same port for IPv4. The default
        /// is `net.ipv6.bindv6only`. Set it before [`bind`](Self::bind).
        set_only_v6/only_v6: bool,
        errors: "Those of setsockopt(2), for instance if this is an IPv4 socket.",
        set: |socket, only| Ok(sockopt::set_ipv6_v6only(socket, only)?),
        get: |socket| Ok(sockopt::ipv6_v6only(socket)?);
    }

    packet_options!(
        "The two lowest bits (ECN) are the kernel's own for TCP, and stay as they are."
    );

    /// As [`TcpStream::set_zero_linger`](crate::net::TcpStream::set_zero_linger): closing the
    /// connection aborts it. (There is no method for another time, with which the drop of the
    /// connection would block the loop.)
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_zero_linger(&self) -> io::Result<()> {
        Ok(sockopt::set_socket_linger(self, Some(Duration::ZERO))?)
    }

    /// As [`TcpStream::linger`](crate::net::TcpStream::linger).
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(sockopt::socket_linger(self)?)
    }
}

/// Limits a size to what the kernel can read as a signed number. A larger size is not an error: the
/// kernel takes as much as the system allows.
fn clamped(size: u32) -> usize {
    size.min(i32::MAX as u32) as usize
}
