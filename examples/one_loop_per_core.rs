//! The echo server on all cores: one event loop per thread, each with its own listener on the same
//! port. The kernel distributes the clients among the listeners (SO_REUSEPORT, socket(7)). The
//! loops share nothing, so they need no locks. The main thread runs no loop; it reaches the others
//! through their `Handle`s.
//!
//! `cargo run --release --example one_loop_per_core [ADDRESS [LOOPS]]`, then press Enter to see how
//! many clients each loop has served.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::thread;

use headwaiter::net::TcpListener;
use headwaiter::task::TaskGroup;
use headwaiter::{EventLoop, Handle};
use log::{info, warn};
use socket2::{Domain, Protocol, Socket, Type};

thread_local! {
    /// How many clients this thread's loop has served.
    static SERVED: Cell<u64> = const { Cell::new(0) };
}

fn main() -> io::Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let (mut address, loops) = arguments().map_err(|what| {
        let usage = "usage: one_loop_per_core [ADDRESS [LOOPS]]";
        io::Error::new(io::ErrorKind::InvalidInput, format!("{what}; {usage}"))
    })?;

    let mut handles = Vec::new();
    for number in 0..loops {
        let listener = listen(address)?;
        // With port 0, the first listener gets a port, which the others then share.
        address = listener.local_addr()?;
        handles.push(start(number, listener)?);
    }
    info!("listening on {address}, with {loops} loops");
    for line in io::stdin().lines() {
        line?;
        for (number, handle) in handles.iter().enumerate() {
            // Only the closure is sent; the future that it creates stays on that loop's thread.
            let served = handle.spawn(|| async { SERVED.get() }).wait();
            info!("loop {number} has served {} clients", served?);
        }
    }
    loop {
        thread::park(); // stdin has ended.
    }
}

fn arguments() -> Result<(SocketAddr, usize), String> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:7777".to_owned());
    let address = address.parse().map_err(|_| format!("{address:?} is not a numeric address"))?;
    let loops = match args.next() {
        Some(text) => text.parse().map_err(|_| format!("{text:?} is not a number of loops"))?,
        None => thread::available_parallelism().map_or(1, NonZero::get),
    };
    if loops == 0 { Err("at least one loop is needed".to_owned()) } else { Ok((address, loops)) }
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// A loop is not `Send`: it is created on the thread that runs it, and only its handle is sent to
/// the main thread.
fn start(number: usize, listener: std::net::TcpListener) -> io::Result<Handle> {
    let (tell, told) = std::sync::mpsc::channel();
    thread::Builder::new().name(format!("loop {number}")).spawn(move || {
        let made = EventLoop::new();
        let _ = tell.send(made.as_ref().map(EventLoop::handle).map_err(ToString::to_string));
        let Ok(mut event_loop) = made else { return };
        if let Err(error) = event_loop.block_on(serve(listener)) {
            warn!("loop {number} failed: {error}");
        }
    })?;
    told.recv().map_err(io::Error::other)?.map_err(io::Error::other)
}

pub(crate) async fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let clients = TaskGroup::<Infallible>::isolated(); // A panic in one client does not affect the others.
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                SERVED.set(SERVED.get() + 1);
                clients.try_spawn(async move {
                    if let Err(error) = futures_lite::io::copy(&stream, &mut &stream).await {
                        warn!("a connection failed: {error}");
                    }
                    Ok(())
                })?;
            }
            // Without free file descriptors, `accept` itself waits before the next attempt.
            Err(error) => warn!("accept failed: {error}"),
        }
    }
}
