//! The sockets of servers, which are the same for all: on a port of the kernel's choice, not blocking, and the address printed.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

pub fn tcp() -> TcpListener {
    alone();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    println!("{}", listener.local_addr().expect("its address"));
    listener
}

pub fn udp() -> UdpSocket {
    alone();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_nonblocking(true).expect("a socket that does not block");
    println!("{}", socket.local_addr().expect("its address"));
    socket
}

pub fn unix() -> UnixListener {
    alone();
    let path = std::env::temp_dir().join(format!("headwaiter-peers-{}", std::process::id()));
    let listener = UnixListener::bind(&path).expect("a path");
    listener.set_nonblocking(true).expect("a listener that does not block");
    println!("{}", path.display());
    listener
}

/// Keeps the server on its first processor: the client has the second.
fn alone() {
    let allowed = sched_getaffinity(None).expect("the processors");
    let mut first = CpuSet::new();
    first.set((0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).expect("one of them"));
    sched_setaffinity(None, &first).expect("an allowed one");
}
