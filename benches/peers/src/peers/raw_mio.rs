//! What the servers cost on mio alone, with no futures and no tasks: a floor for a runtime that stands on mio.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::ops::Range;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};

#[allow(dead_code, reason = "it uses a part")]
mod programs {
    pub mod run;
    pub mod sockets;
}

use programs::{run, sockets};

fn main() {
    run::main(&[&[("echo", echo), ("unix", unix), ("udp", udp)]]);
}

fn echo() {
    serve(TcpListener::from_std(sockets::tcp()), |listener| -> io::Result<TcpStream> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    });
}

fn unix() {
    serve(UnixListener::from_std(sockets::unix()), |listener| -> io::Result<UnixStream> {
        Ok(listener.accept()?.0)
    });
}

/// A connection, and what of its buffer is still to be given back.
struct Connection<S> {
    stream: S,
    buffer: Vec<u8>,
    unsent: Range<usize>,
    drained: bool,
}

fn serve<L: Source, S: Source + Read + Write>(
    mut listener: L,
    accept: impl Fn(&mut L) -> io::Result<S>,
) {
    const LISTENER: Token = Token(usize::MAX);
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<Option<Connection<S>>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).expect("the listener");
    loop {
        poll.poll(&mut events, None).expect("events");
        for event in &events {
            if event.token() == LISTENER {
                while let Ok(mut stream) = accept(&mut listener) {
                    let at = free.pop().unwrap_or(connections.len());
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(at), both).expect("the connection");
                    let connection = Some(Connection {
                        stream,
                        buffer: vec![0; run::size()],
                        unsent: 0..0,
                        drained: false,
                    });
                    if at == connections.len() {
                        connections.push(connection);
                    } else {
                        connections[at] = connection;
                    }
                }
                continue;
            }
            let place = &mut connections[event.token().0];
            if place.as_mut().is_some_and(|connection| !connection.go_on()) {
                *place = None;
                free.push(event.token().0);
            }
        }
    }
}

impl<S: Read + Write> Connection<S> {
    /// Reads and gives back until the socket has no more. Returns whether the connection is still open.
    fn go_on(&mut self) -> bool {
        loop {
            while !self.unsent.is_empty() {
                match self.stream.write(&self.buffer[self.unsent.clone()]) {
                    Ok(n) => self.unsent.start += n,
                    Err(error) => return error.kind() == ErrorKind::WouldBlock,
                }
            }
            // Less was there than there was room for: with the next comes an event.
            if mem::take(&mut self.drained) {
                return true;
            }
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return false,
                Ok(n) => (self.unsent, self.drained) = (0..n, n < self.buffer.len()),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}

fn udp() {
    let mut socket = UdpSocket::from_std(sockets::udp());
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(1024);
    poll.registry().register(&mut socket, Token(0), Interest::READABLE).expect("the socket");
    let mut buffer = vec![0; 2048];
    loop {
        poll.poll(&mut events, None).expect("events");
        loop {
            match socket.recv_from(&mut buffer) {
                Ok((n, from)) => socket.send_to(&buffer[..n], from).expect("it is sent"),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            };
        }
    }
}
