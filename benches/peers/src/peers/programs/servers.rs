//! Servers that give back what they get. Each prints its address and goes on until it is killed.

use std::net::{TcpListener, TcpStream};

use super::memory::{COUNT, count_allocations, let_all_run, print_bytes};
use super::run::{Program, size};
use super::sockets;
use crate::rt;

pub const PROGRAMS: &[Program] = &[
    ("echo", echo),
    ("unix", unix),
    ("udp", udp),
    ("idle_connection", || idle_connection(1)),
    ("idle_connection_4k", || idle_connection(4 << 10)),
];

/// `echo SIZE`: each connection is a task with a buffer of so many bytes.
fn echo() {
    let listener = sockets::tcp();
    rt::block_on(async {
        let listener = rt::TcpListener::from_std(listener).expect("the listener");
        loop {
            let stream = rt::accept(&listener).await;
            rt::detach(rt::spawn(rt::echo(stream, size())));
        }
    });
}

fn unix() {
    let listener = sockets::unix();
    rt::block_on(async {
        let listener = rt::UnixListener::from_std(listener).expect("the listener");
        loop {
            let stream = rt::accept_unix(&listener).await;
            rt::detach(rt::spawn(rt::echo_unix(stream, size())));
        }
    });
}

fn udp() {
    let socket = sockets::udp();
    rt::block_on(async {
        rt::echo_udp(rt::UdpSocket::from_std(socket).expect("the socket")).await;
    });
}

/// Bytes that the allocator gives out for a connection whose task waits in a read, its buffer of so many bytes among them.
fn idle_connection(buffer: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    let address = listener.local_addr().expect("its address");
    let mut clients = Vec::with_capacity(COUNT + 1);
    rt::block_on(async {
        let listener = rt::TcpListener::from_std(listener).expect("the listener");
        // The first is not counted: with it comes what is there once.
        for n in 0..=COUNT {
            if n == 1 {
                count_allocations();
            }
            clients.push(TcpStream::connect(address).expect("a connection"));
            let stream = rt::accept(&listener).await;
            rt::detach(rt::spawn(rt::echo(stream, buffer)));
        }
        let_all_run().await;
        print_bytes(0);
    });
}
