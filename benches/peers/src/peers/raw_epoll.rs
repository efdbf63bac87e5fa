//! What an echo costs with nothing but the calls of the kernel: level-triggered epoll, blocking neither on reads nor on writes.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

#[allow(dead_code, reason = "it uses a part")]
mod programs {
    pub mod run;
    pub mod sockets;
}

use programs::{run, sockets};

fn main() {
    run::main(&[&[("echo", echo)]]);
}

fn echo() {
    const LISTENER: u64 = u64::MAX;
    let listener: TcpListener = sockets::tcp();
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    let watch = |socket: &dyn AsFd, number| {
        let data = epoll::EventData::new_u64(number);
        epoll::add(&epoll, socket.as_fd(), data, epoll::EventFlags::IN).expect("a socket");
    };
    watch(&listener, LISTENER);
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    let mut buffer = vec![0; run::size()];
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None).expect("events");
        for event in &events {
            if event.data.u64() == LISTENER {
                let (stream, _) = listener.accept().expect("a connection");
                stream.set_nonblocking(true).expect("a connection");
                stream.set_nodelay(true).expect("a connection");
                let at = free.pop().unwrap_or(connections.len());
                watch(&stream, at as u64);
                if at == connections.len() {
                    connections.push(Some(stream));
                } else {
                    connections[at] = Some(stream);
                }
                continue;
            }
            let at = event.data.u64() as usize;
            let Some(stream) = &mut connections[at] else { continue };
            if !give_back(stream, &mut buffer) {
                connections[at] = None;
                free.push(at);
            }
        }
    }
}

/// Returns whether the connection is still open.
fn give_back(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    match stream.read(buffer) {
        Ok(0) => false,
        // There is room, because the client waits for a message before it sends the next.
        Ok(n) => stream.write_all(&buffer[..n]).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
