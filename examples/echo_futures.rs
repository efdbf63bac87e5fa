//! The echo server on hand-written futures, without `async`, to show what the compiler generates
//! from it. A future is a state machine: when it is polled it tries to proceed, and it returns
//! `Pending` where it would have to wait.
//!
//! `cargo run --example echo_futures [ADDRESS]`. This is the third of four servers; the last is
//! `echo_server`.

use std::task::{Context, Poll, ready};
use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::Pin};

use futures_lite::{AsyncRead, AsyncWrite, StreamExt};
use headwaiter::net::{Incoming, TcpListener, TcpStream};
use headwaiter::task::TaskGroup;
use log::{info, warn};

fn main() -> io::Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7777".to_owned());
    let mut event_loop = headwaiter::EventLoop::new()?;
    let listener = event_loop.block_on(TcpListener::bind(address))?;
    info!("listening on {}", listener.local_addr()?);
    let clients = event_loop.enter(TaskGroup::isolated);
    event_loop.block_on(Serve { incoming: listener.incoming(), clients })
}

/// Spawns an [`Echo`] for each client, for ever. Each fails alone: a panic in one does not affect
/// the others.
pub(crate) struct Serve<'a> {
    pub(crate) incoming: Incoming<'a>,
    pub(crate) clients: TaskGroup<Infallible>,
}

impl Future for Serve<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(stream) = ready!(self.incoming.poll_next(cx)) {
            match stream.and_then(|stream| Ok((stream.peer_addr()?, stream))) {
                Ok((peer, stream)) => self.clients.try_spawn(Echo::new(stream, peer))?,
                Err(error) => warn!("accept failed: {error}"),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Echoes every byte until the client sends EOF. Its state is the bytes that it has read and not
/// yet written.
struct Echo {
    stream: TcpStream,
    peer: SocketAddr,
    bytes: Vec<u8>,
    unsent: (usize, usize),
    total: u64,
}

impl Echo {
    fn new(stream: TcpStream, peer: SocketAddr) -> Self {
        info!("{peer} connected");
        Echo { stream, peer, bytes: vec![0; 16 * 1024], unsent: (0, 0), total: 0 }
    }

    fn poll_echo(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while let (from, to @ 1..) = self.unsent {
                let sent =
                    ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes[from..to]))?;
                self.unsent = if from + sent < to { (from + sent, to) } else { (0, 0) };
            }
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut self.bytes))? {
                0 => return Poll::Ready(Ok(())),
                read => (self.unsent, self.total) = ((0, read), self.total + read as u64),
            }
        }
    }
}

impl Future for Echo {
    type Output = Result<(), Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(self.poll_echo(cx)) {
            Ok(()) => info!("{} disconnected after {} bytes", self.peer, self.total),
            Err(error) => warn!("{} failed: {error}", self.peer),
        }
        Poll::Ready(Ok(()))
    }
}
