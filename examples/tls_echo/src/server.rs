//! The server: one task per client. It shuts down as described in headwaiter's `docs/shutdown.md`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use futures_lite::{AsyncReadExt, AsyncWriteExt, StreamExt};
use futures_rustls::TlsAcceptor;
use futures_rustls::server::TlsStream;
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::signal::ctrl_c;
use headwaiter::sync::Semaphore;
use headwaiter::task::{self, CancelToken, Cancelled, TaskGroup};
use headwaiter::time::timeout;
use log::{info, warn};

use crate::tls;

/// How long a client may take to close its side after close_notify.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Clone, Copy)]
pub struct Limits {
    /// The maximum number of connected clients. Others wait in the kernel's queue until one
    /// disconnects.
    pub clients: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long the server waits for the next bytes of a client, and for a client to accept bytes.
    pub idle: Duration,
    /// How long clients have to finish when the server shuts down.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let [handshake, idle, grace] = [10, 60, 5].map(Duration::from_secs);
        Limits { clients: 1000, handshake, idle, grace }
    }
}

struct Server {
    tls: TlsAcceptor,
    limits: Limits,
    closing: CancelToken,
}

/// Serves until the token is cancelled. The clients that are connected then have the grace period
/// to finish.
pub async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    limits: Limits,
    closing: CancelToken,
) -> io::Result<()> {
    let clients = TaskGroup::isolated();
    let server = Rc::new(Server { tls, limits, closing: closing.clone() });
    let _ = closing.run(accept(listener, &server, &clients)).await;

    let (connected, grace) = (clients.len(), limits.grace);
    info!("closing; {connected} clients have {grace:?} to finish");
    let mut finishing = clients.join();
    let asked_again = async { _ = ctrl_c().await };
    let finished = async { _ = (&mut finishing).await };
    let _ = timeout(grace, or(asked_again, finished)).await;
    let dropped = finishing.len();
    info!("closed; {} clients finished, {dropped} were dropped", connected - dropped);
    Ok(()) // Dropping the group drops its tasks.
}

async fn accept(listener: TcpListener, server: &Rc<Server>, clients: &TaskGroup<Infallible>) {
    let free = Rc::new(Semaphore::new(server.limits.clients));
    let mut incoming = listener.incoming();
    loop {
        if free.available_permits() == 0 {
            warn!(
                "{} clients are connected, which is the limit; others have to wait",
                server.limits.clients
            );
        }
        // Acquired before a client is accepted, so that a client that has to wait stays in the
        // kernel's queue.
        let Ok(place) = Rc::clone(&free).acquire_owned().await else { return };
        let Some(stream) = incoming.next().await else { return };
        match stream.and_then(|stream| Ok((stream.peer_addr()?, stream))) {
            Ok((peer, stream)) => {
                let server = Rc::clone(server);
                let client = async move {
                    let _place = place;
                    server.serve_client(stream, peer).await
                };
                let task = task::Builder::new().name(format!("client {peer}"));
                if task.try_spawn_in(clients, client).is_err() {
                    return; // The group is closed, so no further client can be served.
                }
            }
            Err(error) => warn!("accept failed: {error}"),
        }
    }
}

/// Why the server stops serving a client.
enum End {
    Client,
    Idle,
    Closing,
}

impl Server {
    /// A failed connection is not a failure of the server. A panic is; the group logs it and serves
    /// the other clients.
    async fn serve_client(&self, stream: TcpStream, peer: SocketAddr) -> Result<(), Infallible> {
        // The token does not apply here: with TLS 1.3 the client may complete the handshake before
        // the server does.
        let mut stream = match self.handshake(stream).await {
            Ok(stream) => stream,
            Err(error) => {
                warn!("{peer} handshake failed: {error}");
                return Ok(());
            }
        };
        info!("{peer} connected: {}", tls::negotiated(stream.get_ref().1));
        let mut bytes = 0;
        match self.echo(&mut stream, &mut bytes).await {
            Ok(End::Client) => info!("{peer} disconnected after {bytes} bytes"),
            Ok(End::Idle) => {
                warn!(
                    "{peer} sent nothing for {:?}: it is disconnected after {bytes} bytes",
                    self.limits.idle
                );
            }
            Ok(End::Closing) => {
                info!("{peer} is disconnected after {bytes} bytes: the server is closing");
            }
            Err(error) => {
                warn!("{peer} failed after {bytes} bytes: {error}");
                return Ok(());
            }
        }
        // A failure does not matter: everything that the client sent was echoed, and it may be gone
        // already.
        let _ = timeout(LINGER, close(stream)).await;
        Ok(())
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?; // Sends small writes immediately.
        let limit = self.limits.handshake;
        match timeout(limit, self.tls.accept(stream)).await {
            Ok(result) => result.map_err(tls::explain_handshake),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it was not complete after {limit:?}"),
            )),
        }
    }

    /// Echoes every byte until the client sends EOF, and counts the bytes in `total`.
    async fn echo(&self, stream: &mut TlsStream<TcpStream>, total: &mut u64) -> io::Result<End> {
        let mut bytes = [0; 16 * 1024]; // The maximum size of a TLS record.
        loop {
            // The token applies only to the wait: bytes that were read are echoed.
            let n = match self.closing.run(timeout(self.limits.idle, stream.read(&mut bytes))).await
            {
                Ok(Ok(Ok(0))) => return Ok(End::Client),
                Ok(Ok(Ok(n))) => n,
                Ok(Ok(Err(error))) => return Err(tls::explain(error)),
                Ok(Err(_)) => return Ok(End::Idle),
                Err(Cancelled) => return Ok(End::Closing),
            };
            let send_back = async {
                stream.write_all(&bytes[..n]).await?;
                stream.flush().await // Sends what rustls has encrypted and the socket has not accepted yet.
            };
            match timeout(self.limits.idle, send_back).await {
                Ok(result) => result.map_err(tls::explain)?,
                Err(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "it does not take what it is sent",
                    ));
                }
            }
            *total += n as u64;
        }
    }
}

/// Sends close_notify, and then waits until the client closes its side. If a socket is closed while
/// there are bytes to read, the connection is reset, and the client may lose bytes that it has not
/// read yet.
async fn close(mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    stream.close().await?;
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}
