//! The echo server with async/await: one task a client, all on one thread.
//!
//! `cargo run --example echo_server [ADDRESS]`, then for instance `nc 127.0.0.1 7777`.

use std::io;
use std::net::SocketAddr;

use futures_lite::StreamExt;
use headwaiter::net::{TcpListener, TcpStream};
use log::{info, warn};

fn main() -> io::Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7777".to_owned());
    headwaiter::block_on(serve(&address))
}

async fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    info!("listening on {}", listener.local_addr()?);
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        match stream.and_then(|stream| Ok((stream.peer_addr()?, stream))) {
            Ok((peer, stream)) => {
                let task = headwaiter::task::Builder::new().name(format!("client {peer}"));
                drop(task.spawn(serve_client(stream, peer)));
            }
            // It was gone before we had its address.
            Err(error) => warn!("a client was lost: {error}"),
        }
    }
    Ok(())
}

async fn serve_client(stream: TcpStream, peer: SocketAddr) {
    info!("{peer} is here");
    match echo(stream).await {
        Ok(bytes) => info!("{peer} left after {bytes} bytes"),
        Err(error) => warn!("{peer} was lost: {error}"),
    }
}

/// Gives every byte back until the client ends its side.
async fn echo(mut stream: TcpStream) -> io::Result<u64> {
    let mut bytes = [0; 16 * 1024];
    let mut total = 0;
    loop {
        let n = stream.read(&mut bytes).await?;
        if n == 0 {
            return Ok(total);
        }
        stream.write_all(&bytes[..n]).await?;
        total += n as u64;
    }
}
