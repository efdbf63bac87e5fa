//! The echo server with async/await: one task a client, all on one thread.
//!
//! `cargo run --example echo_server [ADDRESS [GRACE]]`, then for instance `nc 127.0.0.1 7777`.
//! Ctrl-C ends it: those who are there then have GRACE seconds to finish, 5 if not given. A second
//! Ctrl-C ends it at once.

use std::{convert::Infallible, env, io, net::SocketAddr, time::Duration};

use futures_lite::{StreamExt, future::or};
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::signal::ctrl_c;
use headwaiter::task::{self, CancelToken, TaskGroup};
use headwaiter::time::timeout;
use log::{info, warn};

fn main() -> io::Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7777".to_owned());
    let grace =
        env::args().nth(2).map_or(Ok(5), |seconds| seconds.parse()).map_err(io::Error::other)?;
    headwaiter::block_on(serve(&address, Duration::from_secs(grace)))
}

/// Ends as `docs/shutdown.md` tells.
pub(crate) async fn serve(address: &str, grace: Duration) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    info!("listening on {}", listener.local_addr()?);
    let (closing, clients) = (CancelToken::new(), TaskGroup::isolated());
    let close = closing.clone();
    let on_ctrl_c = async move { ctrl_c().await.map(|()| close.cancel()) };
    headwaiter::spawn(on_ctrl_c).log_error();
    let _ = closing.run(accept(listener, &clients)).await;

    let there = clients.len();
    let mut finishing = clients.join();
    let asked_again = async { _ = ctrl_c().await };
    let finished = async {
        info!("closing; clients that have {grace:?} to finish: {there}"); // A second Ctrl-C is heard by now.
        _ = (&mut finishing).await;
    };
    let _ = timeout(grace, or(asked_again, finished)).await;
    let cut_off = finishing.len();
    info!("closed; {} finished, {cut_off} were cut off", there - cut_off);
    Ok(()) // With the group its tasks end.
}

async fn accept(listener: TcpListener, clients: &TaskGroup<Infallible>) {
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        match stream.and_then(|stream| Ok((stream.peer_addr()?, stream))) {
            Ok((peer, stream)) => {
                let task = task::Builder::new().name(format!("client {peer}"));
                if task.try_spawn_in(clients, serve_client(stream, peer)).is_err() {
                    return; // The group is closed: no client would be served any more.
                }
            }
            Err(error) => warn!("a client was lost: {error}"), // Before we had its address.
        }
    }
}

/// A lost client is no failure of the server. A panic is: the group logs it, and serves the others.
async fn serve_client(stream: TcpStream, peer: SocketAddr) -> Result<(), Infallible> {
    info!("{peer} is here");
    match echo(stream).await {
        Ok(bytes) => info!("{peer} left after {bytes} bytes"),
        Err(error) => warn!("{peer} was lost: {error}"),
    }
    Ok(())
}

/// Gives every byte back until the client ends its side.
async fn echo(mut stream: TcpStream) -> io::Result<u64> {
    let (mut bytes, mut total) = ([0; 16 * 1024], 0);
    loop {
        let n = stream.read(&mut bytes).await?;
        if n == 0 {
            return Ok(total);
        }
        stream.write_all(&bytes[..n]).await?;
        total += n as u64;
    }
}
