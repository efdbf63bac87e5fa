//! The echo server on the loop's callbacks: no future anywhere. The kernel says "ready", the loop calls a
//! closure, which does what can be done without waiting. The second rung: next is `echo_futures`.

use std::io::{self, ErrorKind::WouldBlock, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use headwaiter::{EventLoop, Interest, Next, Registration, on_ready};
use log::{info, warn};
use mio::net::{TcpListener, TcpStream};

/// Clients that found no free file descriptor cause no further event: so they are looked for without one.
const NOW_AND_THEN: Duration = Duration::from_millis(100);

fn main() -> io::Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7777".to_owned());
    let listener = std::net::TcpListener::bind(&address)
        .map_err(|e| io::Error::new(e.kind(), format!("bind to {address}: {e}")))?;
    listener.set_nonblocking(true)?;
    info!("listening on {}", listener.local_addr()?);
    let (listener, mut event_loop) = (TcpListener::from_std(listener), EventLoop::new()?);
    let register = || on_ready(listener, Interest::READABLE, |listener, _| accept_all(listener));
    let (listener, mut looked) = (event_loop.enter(register)?, Instant::now());
    loop {
        event_loop.turn(Some(NOW_AND_THEN))?;
        if looked.elapsed() > NOW_AND_THEN {
            event_loop.enter(|| listener.with(accept_all));
            looked = Instant::now();
        }
    }
}

/// Edge-triggered: one event may be for many clients.
fn accept_all(listener: &mut TcpListener) -> Next {
    loop {
        if let Err(error) = listener.accept().and_then(|(stream, peer)| watch_client(stream, peer)) {
            if error.kind() != WouldBlock {
                warn!("a client was lost: {error}"); // Out of files, perhaps: do not spin.
            }
            return Next::Continue;
        }
    }
}

/// What an async function would keep in its variables.
struct Client {
    bytes: Vec<u8>,
    unsent: (usize, usize),
    total: u64,
}

fn watch_client(stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    info!("{peer} is here");
    let mut client = Client { bytes: vec![0; 16 * 1024], unsent: (0, 0), total: 0 };
    let callback = move |stream: &mut TcpStream, _ready| {
        match client.echo(stream) {
            Ok(Next::Remove) => info!("{peer} left after {} bytes", client.total),
            Ok(next) => return next,
            Err(error) if error.kind() == WouldBlock => return Next::Continue,
            Err(error) => warn!("{peer} was lost: {error}"),
        }
        Next::Remove
    };
    on_ready(stream, Interest::READABLE | Interest::WRITABLE, callback).map(Registration::detach)
}

impl Client {
    /// Gives every byte back until the client ends its side, or until that would block.
    fn echo(&mut self, stream: &mut TcpStream) -> io::Result<Next> {
        for _ in 0..64 {
            let (from, to) = self.unsent;
            if from < to {
                self.unsent.0 += stream.write(&self.bytes[from..to])?;
                continue;
            }
            self.unsent = (0, stream.read(&mut self.bytes)?);
            self.total += self.unsent.1 as u64;
            if self.unsent.1 == 0 {
                return Ok(Next::Remove);
            }
        }
        Ok(Next::Again) // The others' turn: a greedy client may never let it block.
    }
}
