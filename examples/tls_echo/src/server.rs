//! The server: one task a client. Ends as `docs/shutdown.md` of headwaiter tells.

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

/// How long a client that was told the end may take to end its side.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Clone, Copy)]
pub struct Limits {
    /// The most clients served at once. Others wait in the kernel's queue of connections until one leaves.
    pub clients: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long the server waits for the next bytes of a client, and for a client to take the bytes that it is sent.
    pub idle: Duration,
    /// How long clients have to finish when the server is told to end.
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

/// Serves until the token is cancelled. The clients that are connected then have the grace period to finish.
pub async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    limits: Limits,
    closing: CancelToken,
) -> io::Result<()> {
    let clients = TaskGroup::isolated();
    let server = Rc::new(Server { tls, limits, closing: closing.clone() });
    let _ = closing.run(accept(listener, &server, &clients)).await;

    let (there, grace) = (clients.len(), limits.grace);
    info!("closing; clients that have {grace:?} to finish: {there}");
    let mut finishing = clients.join();
    let asked_again = async { _ = ctrl_c().await };
    let finished = async { _ = (&mut finishing).await };
    let _ = timeout(grace, or(asked_again, finished)).await;
    let cut_off = finishing.len();
    info!("closed; {} finished, {cut_off} were cut off", there - cut_off);
    Ok(()) // With the group its tasks end.
}

async fn accept(listener: TcpListener, server: &Rc<Server>, clients: &TaskGroup<Infallible>) {
    let free = Rc::new(Semaphore::new(server.limits.clients));
    let mut incoming = listener.incoming();
    loop {
        if free.available_permits() == 0 {
            warn!(
                "{} clients are connected, which is the limit: others have to wait",
                server.limits.clients
            );
        }
        // Acquired before a client is accepted, so that a client that has to wait stays in the kernel's queue.
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
                    return; // The group is closed: no client would be served any more.
                }
            }
            Err(error) => warn!("a client was lost: {error}"), // Before we had its address.
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
    /// A lost client is no failure of the server. A panic is: the group logs it, and serves the others.
    async fn serve_client(&self, stream: TcpStream, peer: SocketAddr) -> Result<(), Infallible> {
        // Not under the token: with TLS 1.3 the client may have completed the handshake before the server has.
        let mut stream = match self.handshake(stream).await {
            Ok(stream) => stream,
            Err(error) => {
                warn!("{peer} was lost in the handshake: {error}");
                return Ok(());
            }
        };
        info!("{peer} is here: {}", tls::negotiated(stream.get_ref().1));
        let mut bytes = 0;
        match self.echo(&mut stream, &mut bytes).await {
            Ok(End::Client) => info!("{peer} left after {bytes} bytes"),
            Ok(End::Idle) => {
                warn!(
                    "{peer} said nothing for {:?}: it is sent away after {bytes} bytes",
                    self.limits.idle
                )
            }
            Ok(End::Closing) => {
                info!("{peer} is sent away after {bytes} bytes: the server is closing")
            }
            Err(error) => {
                warn!("{peer} was lost after {bytes} bytes: {error}");
                return Ok(());
            }
        }
        // A failure is no news: all that the client sent was served, and it may have gone already.
        let _ = timeout(LINGER, close(stream)).await;
        Ok(())
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?; // An answer does not wait for the acknowledgement of the one before.
        let limit = self.limits.handshake;
        match timeout(limit, self.tls.accept(stream)).await {
            Ok(result) => result.map_err(tls::explain_handshake),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it was not complete after {limit:?}"),
            )),
        }
    }

    /// Sends every byte back until the client ends its side, and counts them in `total`.
    async fn echo(&self, stream: &mut TlsStream<TcpStream>, total: &mut u64) -> io::Result<End> {
        let mut bytes = [0; 16 * 1024]; // A record of TLS has no more.
        loop {
            // The token is around the waiting only: what was read is sent back.
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
                stream.flush().await // What rustls has encrypted and the socket has not taken.
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

/// Tells the client that this is all (close_notify), and then waits for its end. A socket that is closed while there are bytes to
/// read is reset, and that may take from the client what it has not read yet.
async fn close(mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    stream.close().await?;
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}
