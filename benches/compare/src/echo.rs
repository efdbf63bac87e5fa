//! Echo of UDP datagrams and over Unix streams, beside a loop that is written on mio by hand: what the server's thread
//! spends of the processor for a message. Each server is a thread of its own. The two take turns, and the
//! medians are compared.
//!
//! A message of 64 bytes is given back; one of a single byte is answered with the time that the server's thread has used so
//! far; one of two bytes ends the server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::thread;

use mio::{Events, Interest, Poll, Token};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 41;
const MESSAGES: usize = 10_000;
const MESSAGE: [u8; 64] = [b'x'; 64];
const ASK: [u8; 1] = [b'?'];
const END: [u8; 2] = [b'.'; 2];
/// What we want to reach.
const GOAL: f64 = 1.1;

pub fn print() -> io::Result<()> {
    println!(
        "{:38}{:>14}{:>14}{:>9}{:>8}",
        "server's CPU a message", "headwaiter", "mio", "ratio", "goal"
    );
    for at_once in [1, 100] {
        let name = format!("UDP echo, {at_once} at a time");
        row(&name, udp(at_once, udp_headwaiter)?, udp(at_once, udp_mio)?)?;
    }
    for at_once in [1, 100] {
        let name = format!("Unix stream echo, {at_once} at a time");
        row(&name, unix(at_once, unix_headwaiter)?, unix(at_once, unix_mio)?)?;
    }
    Ok(())
}

fn row(name: &str, mut ours: impl Client, mut theirs: impl Client) -> io::Result<()> {
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        times.0.push(round(&mut ours)?);
        times.1.push(round(&mut theirs)?);
    }
    ours.end()?;
    theirs.end()?;
    times.0.sort_by(f64::total_cmp);
    times.1.sort_by(f64::total_cmp);
    let (ours, theirs) = (times.0[ROUNDS / 2], times.1[ROUNDS / 2]);
    let ratio = ours / theirs;
    let mark = if ratio <= GOAL { "" } else { "  missed" };
    println!("{name:38}{ours:>11.1} ns{theirs:>11.1} ns{ratio:>8.2}x{GOAL:>7}x{mark}");
    Ok(())
}

/// Nanoseconds of the server's thread for a message.
fn round(client: &mut impl Client) -> io::Result<f64> {
    let before = client.server_time()?;
    let mut sent = 0;
    while sent < MESSAGES {
        sent += client.exchange()?;
    }
    Ok((client.server_time()? - before) as f64 / sent as f64)
}

trait Client {
    /// Sends messages and takes them back. Returns how many.
    fn exchange(&mut self) -> io::Result<usize>;
    fn server_time(&mut self) -> io::Result<u64>;
    fn end(&mut self) -> io::Result<()>;
}

/// What a server answers to what it has got. `None`: it ends.
fn answer<'a>(got: &'a [u8], time: &'a mut [u8; 8]) -> Option<&'a [u8]> {
    match got.len() {
        2 => None,
        1 => {
            let now = clock_gettime(ClockId::ThreadCPUTime);
            *time = (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64).to_le_bytes();
            Some(time)
        }
        _ => Some(got),
    }
}

/// One socket; so many datagrams are sent before they are received.
struct Datagrams {
    socket: UdpSocket,
    at_once: usize,
}

fn udp(at_once: usize, serve: fn(UdpSocket) -> io::Result<()>) -> io::Result<Datagrams> {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server.local_addr()?)?;
    thread::spawn(move || serve(server).expect("the server"));
    Ok(Datagrams { socket, at_once })
}

impl Client for Datagrams {
    fn exchange(&mut self) -> io::Result<usize> {
        for _ in 0..self.at_once {
            self.socket.send(&MESSAGE)?;
        }
        for _ in 0..self.at_once {
            assert_eq!(self.socket.recv(&mut [0; 128])?, MESSAGE.len());
        }
        Ok(self.at_once)
    }

    fn server_time(&mut self) -> io::Result<u64> {
        let mut time = [0; 8];
        self.socket.send(&ASK)?;
        self.socket.recv(&mut time)?;
        Ok(u64::from_le_bytes(time))
    }

    fn end(&mut self) -> io::Result<()> {
        self.socket.send(&END).map(drop)
    }
}

fn udp_headwaiter(socket: UdpSocket) -> io::Result<()> {
    headwaiter::block_on(async {
        let socket = headwaiter::net::UdpSocket::from_std(socket)?;
        let mut bytes = [0; 2048];
        loop {
            let (n, from) = socket.recv_from(&mut bytes).await?;
            match answer(&bytes[..n], &mut [0; 8]) {
                Some(back) => socket.send_to(back, from).await?,
                None => return Ok(()),
            };
        }
    })
}

fn udp_mio(socket: UdpSocket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let mut socket = mio::net::UdpSocket::from_std(socket);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    let mut bytes = [0; 2048];
    loop {
        poll.poll(&mut events, None)?;
        loop {
            match socket.recv_from(&mut bytes) {
                Ok((n, from)) => match answer(&bytes[..n], &mut [0; 8]) {
                    Some(back) => drop(socket.send_to(back, from)?),
                    None => return Ok(()),
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
}

/// So many connections, with one message under way on each.
struct Streams(Vec<UnixStream>);

fn unix(at_once: usize, serve: fn(Vec<UnixStream>) -> io::Result<()>) -> io::Result<Streams> {
    let pairs: Vec<_> = (0..at_once).map(|_| UnixStream::pair()).collect::<io::Result<_>>()?;
    let (ours, theirs) = pairs.into_iter().unzip();
    thread::spawn(move || serve(theirs).expect("the server"));
    Ok(Streams(ours))
}

impl Client for Streams {
    fn exchange(&mut self) -> io::Result<usize> {
        for stream in &mut self.0 {
            stream.write_all(&MESSAGE)?;
        }
        for stream in &mut self.0 {
            stream.read_exact(&mut [0; MESSAGE.len()])?;
        }
        Ok(self.0.len())
    }

    fn server_time(&mut self) -> io::Result<u64> {
        let mut time = [0; 8];
        self.0[0].write_all(&ASK)?;
        self.0[0].read_exact(&mut time)?;
        Ok(u64::from_le_bytes(time))
    }

    fn end(&mut self) -> io::Result<()> {
        self.0[0].write_all(&END)
    }
}

fn unix_headwaiter(streams: Vec<UnixStream>) -> io::Result<()> {
    async fn serve(stream: UnixStream) -> io::Result<()> {
        let mut stream = headwaiter::net::UnixStream::from_std(stream)?;
        let mut bytes = [0; 2048];
        loop {
            let n = stream.read(&mut bytes).await?;
            match answer(&bytes[..n], &mut [0; 8]) {
                Some(back) => stream.write_all(back).await?,
                None => return Ok(()),
            }
        }
    }
    headwaiter::block_on(async {
        let tasks: Vec<_> =
            streams.into_iter().map(|stream| headwaiter::spawn(serve(stream))).collect();
        tasks.into_iter().next().expect("a stream").await.expect("no panic")
    })
}

fn unix_mio(streams: Vec<UnixStream>) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut watched = Vec::new();
    for (n, stream) in streams.into_iter().enumerate() {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::UnixStream::from_std(stream);
        poll.registry().register(&mut stream, Token(n), Interest::READABLE)?;
        watched.push(stream);
    }
    let mut bytes = [0; 2048];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let stream = &mut watched[event.token().0];
            loop {
                match stream.read(&mut bytes) {
                    Ok(n) => match answer(&bytes[..n], &mut [0; 8]) {
                        Some(back) => stream.write_all(back)?,
                        None => return Ok(()),
                    },
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }
}
