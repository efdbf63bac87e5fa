//! The echo server without an event loop: one thread per client, which blocks in each read and
//! write.
//!
//! `cargo run --example echo_blocking [ADDRESS]`. This is the first of four servers that do the
//! same; the next is `echo_callbacks`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use log::{info, warn};

fn main() -> io::Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7777".to_owned());
    let listener = TcpListener::bind(&address)
        .map_err(|error| io::Error::new(error.kind(), format!("bind to {address}: {error}")))?;
    info!("listening on {}", listener.local_addr()?);
    serve(&listener)
}

/// A panic in one client's thread does not affect the others: it ends that thread, and std reports
/// it on stderr.
pub(crate) fn serve(listener: &TcpListener) -> ! {
    loop {
        // Blocks until a client connects.
        match listener.accept() {
            Ok((stream, peer)) => {
                let client = thread::Builder::new().spawn(move || serve_client(stream, peer));
                if let Err(error) = client {
                    warn!("{peer} failed: no thread: {error}");
                }
            }
            Err(error) => {
                warn!("accept failed: {error}");
                thread::sleep(Duration::from_millis(20)); // Perhaps out of file descriptors: do not spin.
            }
        }
    }
}

fn serve_client(stream: TcpStream, peer: SocketAddr) {
    info!("{peer} connected");
    match echo(stream) {
        Ok(bytes) => info!("{peer} disconnected after {bytes} bytes"),
        Err(error) => warn!("{peer} failed: {error}"),
    }
}

/// Echoes every byte until the client sends EOF.
fn echo(mut stream: TcpStream) -> io::Result<u64> {
    let mut bytes = [0; 16 * 1024];
    let mut total = 0;
    loop {
        let n = stream.read(&mut bytes)?;
        if n == 0 {
            return Ok(total);
        }
        stream.write_all(&bytes[..n])?;
        total += n as u64;
    }
}
