//! The echo server on callbacks of the loop, without any future. When the kernel reports a source
//! as ready, the loop calls a closure, which does what it can without blocking. This is the second
//! of four servers; the next is `echo_futures`.

use std::io::{self, ErrorKind::WouldBlock, Read, Write};
use std::{net::SocketAddr, time::Duration, time::Instant};

use headwaiter::{EventLoop, Interest, Next, Ready, Registration, on_ready};
use log::{info, warn};
use mio::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7777".to_owned());
    let listener = address.parse().map_err(io::Error::other).and_then(TcpListener::bind);
    let listener =
        listener.map_err(|e| io::Error::new(e.kind(), format!("bind to {address}: {e}")))?;
    info!("listening on {}", listener.local_addr()?);
    let (mut event_loop, mut looked) = (EventLoop::new()?, Instant::now());
    let listener = event_loop.enter(|| on_ready(listener, Interest::READABLE, accept_all))?;
    loop {
        event_loop.turn(Some(Duration::from_millis(100)))?;
        // Clients that are queued for want of file descriptors cause no further event, so try
        // without one.
        if looked.elapsed().as_millis() > 100 {
            event_loop.enter(|| listener.with(|listener| accept_all(listener, Ready::default())));
            looked = Instant::now();
        }
    }
}

/// Events are edge-triggered: one event may stand for many clients.
pub(crate) fn accept_all(listener: &mut TcpListener, _: Ready) -> Next {
    loop {
        if let Err(error) = listener.accept().and_then(|(stream, peer)| watch_client(stream, peer))
        {
            if error.kind() != WouldBlock {
                warn!("accept failed: {error}"); // Perhaps out of file descriptors: do not spin.
            }
            return Next::Continue;
        }
    }
}

fn watch_client(stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    info!("{peer} connected");
    let mut client = Client { bytes: vec![0; 16 * 1024], ..Client::default() };
    let callback = move |stream: &mut TcpStream, _ready| {
        match client.echo(stream) {
            Ok(Next::Remove) => info!("{peer} disconnected after {} bytes", client.total),
            Ok(next) => return next,
            Err(error) if error.kind() == WouldBlock => return Next::Continue,
            Err(error) => warn!("{peer} failed: {error}"),
        }
        Next::Remove
    };
    on_ready(stream, Interest::READABLE | Interest::WRITABLE, callback).map(Registration::detach)
}

#[derive(Default)] // In an async function, these would be local variables.
struct Client {
    bytes: Vec<u8>,
    unsent: (usize, usize),
    total: u64,
}

impl Client {
    /// Echoes every byte until the client sends EOF, or until a call would block.
    fn echo(&mut self, stream: &mut TcpStream) -> io::Result<Next> {
        for _ in 0..64 {
            let (from, to) = self.unsent;
            if from < to {
                self.unsent.0 += stream.write(&self.bytes[from..to])?;
                continue;
            }
            match stream.read(&mut self.bytes)? {
                0 => return Ok(Next::Remove),
                read => (self.unsent, self.total) = ((0, read), self.total + read as u64),
            }
        }
        Ok(Next::Again) // Lets other clients run: a fast client may never block.
    }
}
