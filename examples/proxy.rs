//! A TCP proxy: it copies bytes between a client and the target, in both directions, until both
//! have sent EOF.
//!
//! `cargo run --example proxy 127.0.0.1:8080 example.org:80`, then for example
//! `curl -H 'Host: example.org' http://127.0.0.1:8080/`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::StreamExt;
use headwaiter::io::copy_bidirectional;
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::task::{self, TaskGroup};
use headwaiter::time::timeout;
use log::{error, info, warn};

/// How long connecting to the target may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [listen, target] = &args[..] else {
        eprintln!(
            "usage: proxy LISTEN TARGET, two addresses such as 127.0.0.1:8080 and example.org:80"
        );
        return ExitCode::from(2);
    };
    match headwaiter::block_on(serve(listen, target.as_str().into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) async fn serve(listen: &str, target: Rc<str>) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    info!("listening on {}, forwarding to {target}", listener.local_addr()?);
    let clients = TaskGroup::isolated(); // A panic in one client does not affect the others.
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        match stream.and_then(|stream| Ok((stream.peer_addr()?, stream))) {
            Ok((peer, stream)) => {
                let task = task::Builder::new().name(format!("client {peer}"));
                task.try_spawn_in(&clients, serve_client(stream, peer, Rc::clone(&target)))?;
            }
            Err(error) => warn!("accept failed: {error}"),
        }
    }
    Ok(())
}

async fn serve_client(
    client: TcpStream,
    peer: SocketAddr,
    target: Rc<str>,
) -> Result<(), Infallible> {
    info!("{peer} connected");
    match carry(client, &target).await {
        Ok((sent, received)) => {
            info!("{peer} disconnected after sending {sent} and receiving {received} bytes");
        }
        Err(error) => warn!("{peer} failed: {error}"),
    }
    Ok(())
}

async fn carry(mut client: TcpStream, target: &str) -> io::Result<(u64, u64)> {
    let mut server = timeout(PATIENCE, TcpStream::connect(target)).await??;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await
}
