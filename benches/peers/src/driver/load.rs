//! The clients, which are the same for all servers: on raw epoll, on a processor of their own, each connection with one message in
//! flight, so that the server always has something to do.

use std::io;
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, read, write};
use rustix::net::sockopt::set_socket_linger;

const PATIENCE: Duration = Duration::from_secs(10);

/// Connects, with as many connections at once as fit in the backlog of any listener.
const AT_ONCE: usize = 64;

pub struct Clients {
    sockets: Vec<OwnedFd>,
    request: Vec<u8>,
    answer: usize,
}

impl Clients {
    /// Connections that have exchanged a message each. The answer has the request's length.
    pub fn echo(address: &str, connections: usize, size: usize) -> io::Result<Clients> {
        let mut clients = Clients { sockets: Vec::new(), request: vec![b'x'; size], answer: size };
        clients.connect(address, connections)?;
        Ok(clients)
    }

    pub fn http(address: &str, connections: usize) -> io::Result<Clients> {
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec();
        let answer = http_answer(&connect(address)?, &request)?;
        let mut clients = Clients { sockets: Vec::new(), request, answer };
        clients.connect(address, connections)?;
        Ok(clients)
    }

    fn connect(&mut self, address: &str, connections: usize) -> io::Result<()> {
        while self.sockets.len() < connections {
            let from = self.sockets.len();
            for _ in from..connections.min(from + AT_ONCE) {
                self.sockets.push(connect(address)?);
            }
            self.exchange(from)?;
        }
        Ok(())
    }

    /// A message on each connection from that one on.
    fn exchange(&self, from: usize) -> io::Result<()> {
        for socket in &self.sockets[from..] {
            write_all(socket, &self.request)?;
        }
        let mut bytes = vec![0; self.answer];
        for socket in &self.sockets[from..] {
            let mut got = 0;
            while got < self.answer {
                match read(socket, &mut bytes[got..])? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    n => got += n,
                }
            }
        }
        Ok(())
    }

    /// Exchanges so many messages over all connections. Returns how long it takes.
    pub fn keep_busy(&self, messages: usize) -> io::Result<Duration> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (n, socket) in self.sockets.iter().enumerate() {
            let data = epoll::EventData::new_u64(n as u64);
            epoll::add(&epoll, socket, data, epoll::EventFlags::IN)?;
        }
        let start = Instant::now();
        let (mut sent, mut done) = (0, 0);
        for socket in self.sockets.iter().take(messages) {
            write_all(socket, &self.request)?;
            sent += 1;
        }
        let mut missing = vec![self.answer; self.sockets.len()];
        let mut bytes = vec![0; 64 << 10];
        let mut events = Vec::with_capacity(1024);
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        while done < messages {
            events.clear();
            if epoll::wait(&epoll, spare_capacity(&mut events), Some(&patience))? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            for event in &events {
                let n = event.data.u64() as usize;
                missing[n] -= match read(&self.sockets[n], &mut bytes)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    got => got,
                };
                if missing[n] > 0 {
                    continue;
                }
                (missing[n], done) = (self.answer, done + 1);
                if sent < messages {
                    write_all(&self.sockets[n], &self.request)?;
                    sent += 1;
                }
            }
        }
        Ok(start.elapsed())
    }
}

/// So many connections, each of which exchanges a message and is closed.
pub fn come_and_go(address: &str, connections: usize, size: usize) -> io::Result<Duration> {
    let start = Instant::now();
    let mut done = 0;
    while done < connections {
        done += AT_ONCE.min(connections - done);
        Clients::echo(address, AT_ONCE.min(connections), size)?;
    }
    Ok(start.elapsed())
}

/// Sends so many datagrams, some at once, and receives each of them back.
pub fn datagrams(address: &str, count: usize, at_once: usize) -> io::Result<Duration> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let start = Instant::now();
    for _ in 0..count / at_once {
        for _ in 0..at_once {
            socket.send(&[b'x'; 64])?;
        }
        for _ in 0..at_once {
            socket.recv(&mut [0; 128])?;
        }
    }
    Ok(start.elapsed())
}

fn connect(address: &str) -> io::Result<OwnedFd> {
    if address.starts_with('/') {
        let stream = UnixStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        return Ok(stream.into());
    }
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Closed at once, so that no port stays behind.
    set_socket_linger(&stream, Some(Duration::ZERO))?;
    Ok(stream.into())
}

fn write_all(socket: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(&socket, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The length of the answer to a request, headers and all: each has the same.
fn http_answer(socket: &OwnedFd, request: &[u8]) -> io::Result<usize> {
    write_all(socket, request)?;
    let mut bytes = vec![0; 4096];
    let n = read(socket, &mut bytes)?;
    let text = String::from_utf8_lossy(&bytes[..n]).to_lowercase();
    if !text.starts_with("http/1.1 200") || !text.ends_with("please.\n") {
        return Err(io::Error::other(format!("not the answer: {text:?}")));
    }
    Ok(n)
}
