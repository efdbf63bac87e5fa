//! The echo server with async/await: one task per client, all on one thread. This is the last of
//! four servers; the first is `echo_blocking`.
//!
//! `cargo run --example echo_server [ADDRESS [GRACE]]`, then for example `nc 127.0.0.1 7777`. After
//! Ctrl-C, connected clients have GRACE seconds to finish (5 by default). A second Ctrl-C ends the
//! server immediately.

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

/// Shuts down as described in `docs/shutdown.md`.
pub(crate) async fn serve(address: &str, grace: Duration) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    info!("listening on {}", listener.local_addr()?);
    let (closing, clients) = (CancelToken::new(), TaskGroup::isolated());
    let close = closing.clone();
    let on_ctrl_c = async move { ctrl_c().await.map(|()| close.cancel()) };
    headwaiter::spawn(on_ctrl_c).log_error();
    let _ = closing.run(accept(listener, &clients)).await;

    let connected = clients.len();
    let mut finishing = clients.join();
    let asked_again = async { _ = ctrl_c().await };
    let finished = async {
        // By now, `asked_again` listens for a second Ctrl-C.
        info!("closing; {connected} clients have {grace:?} to finish");
        _ = (&mut finishing).await;
    };
    let _ = timeout(grace, or(asked_again, finished)).await;
    let dropped = finishing.len();
    info!("closed; {} clients finished, {dropped} were dropped", connected - dropped);
    Ok(()) // Dropping the group drops its tasks.
}

async fn accept(listener: TcpListener, clients: &TaskGroup<Infallible>) {
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        match stream.and_then(|stream| Ok((stream.peer_addr()?, stream))) {
            Ok((peer, stream)) => {
                let task = task::Builder::new().name(format!("client {peer}"));
                if task.try_spawn_in(clients, serve_client(stream, peer)).is_err() {
                    return; // The group is closed, so no further client can be served.
                }
            }
            Err(error) => warn!("accept failed: {error}"),
        }
    }
}

/// A failed connection is not a failure of the server. A panic is; the group logs it and serves the
/// other clients.
async fn serve_client(stream: TcpStream, peer: SocketAddr) -> Result<(), Infallible> {
    info!("{peer} connected");
    match echo(stream).await {
        Ok(bytes) => info!("{peer} disconnected after {bytes} bytes"),
        Err(error) => warn!("{peer} failed: {error}"),
    }
    Ok(())
}

/// Echoes every byte until the client sends EOF.
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
