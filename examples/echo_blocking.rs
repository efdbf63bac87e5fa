//! The echo server without any event loop: one thread a client, each standing and waiting.
//!
//! `cargo run --example echo_blocking [ADDRESS]`. The first rung of a ladder of four servers that
//! do the same: next is `echo_callbacks`.

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

/// A panic in one client's thread costs the others nothing: it ends that thread, and std says so on
/// stderr.
pub(crate) fn serve(listener: &TcpListener) -> ! {
    loop {
        // The thread stands still in here until a client comes.
        match listener.accept() {
            Ok((stream, peer)) => {
                let client = thread::Builder::new().spawn(move || serve_client(stream, peer));
                if let Err(error) = client {
                    warn!("{peer} was lost: no thread for it: {error}");
                }
            }
            Err(error) => {
                warn!("a client was lost: {error}");
                thread::sleep(Duration::from_millis(20)); // Out of files, perhaps: do not spin.
            }
        }
    }
}

fn serve_client(stream: TcpStream, peer: SocketAddr) {
    info!("{peer} is here");
    match echo(stream) {
        Ok(bytes) => info!("{peer} left after {bytes} bytes"),
        Err(error) => warn!("{peer} was lost: {error}"),
    }
}

/// Gives every byte back until the client ends its side.
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
