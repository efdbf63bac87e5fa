//! The server: one task per connection and one per request. It shuts down as described in
//! headwaiter's `docs/shutdown.md`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select;
use futures_util::pin_mut;
use headwaiter::signal::ctrl_c;
use headwaiter::task::{self, CancelToken, Cancelled, TaskGroup};
use headwaiter::time::timeout;
use log::{info, warn};
use quinn::{Connection, Endpoint, Incoming};

use crate::{quic, routes};

#[derive(Clone, Copy)]
pub struct Limits {
    /// The maximum number of connections. Others are refused.
    pub connections: usize,
    /// The maximum number of concurrent requests per connection. A client with more requests has to
    /// wait.
    pub streams: u32,
    /// The largest body of a request.
    pub body: u64,
    /// How long a client may be silent, and how long its handshake may take.
    pub idle: Duration,
    /// How long a client may take to send the header of a request or the next part of a body, or to
    /// read a part of an answer.
    pub request: Duration,
    /// How long clients have to finish when the server shuts down.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let [idle, request, grace] = [30, 10, 5].map(Duration::from_secs);
        Limits { connections: 1000, streams: 100, body: 16 * 1024 * 1024, idle, request, grace }
    }
}

struct Server {
    limits: Limits,
    closing: CancelToken,
}

/// Serves until the token is cancelled. The clients that are connected then have the grace period
/// to finish.
pub async fn serve(endpoint: Endpoint, limits: Limits, closing: CancelToken) -> io::Result<()> {
    let connections = TaskGroup::isolated();
    let server = Rc::new(Server { limits, closing: closing.clone() });
    let asked = closing.run(accept(&endpoint, &server, &connections)).await.is_err();

    let (connected, grace) = (connections.len(), limits.grace);
    info!("closing; {connected} connections have {grace:?} to finish");
    let mut finishing = connections.join();
    let (asked_again, refused) = (ctrl_c(), refuse(&endpoint));
    pin_mut!(asked_again, refused);
    let _ = timeout(grace, select(&mut finishing, select(asked_again, refused))).await;
    let dropped = finishing.len();
    drop(finishing); // Dropping the group drops its tasks.
    endpoint.close(quic::NO_ERROR, b"the server is closing");
    // Waits until the clients have acknowledged the close or do not answer any more.
    let _ = timeout(limits.grace, endpoint.wait_idle()).await;
    info!("closed; {} connections finished, {dropped} were dropped", connected - dropped);
    if asked { Ok(()) } else { Err(io::Error::other("the UDP socket of the server has failed")) }
}

/// A refused client learns that immediately and can try another server.
async fn refuse(endpoint: &Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        incoming.refuse();
    }
}

async fn accept(endpoint: &Endpoint, server: &Rc<Server>, connections: &TaskGroup<Infallible>) {
    while let Some(incoming) = endpoint.accept().await {
        let (peer, open, most) =
            (incoming.remote_address(), connections.len(), server.limits.connections);
        if open >= most {
            warn!("{peer} is refused: {most} connections are open, which is the limit");
            incoming.refuse();
            continue;
        }
        // When half of the connections are in use, new clients must prove that they own their
        // address, which costs a round trip. Otherwise forged datagrams from one sender could use
        // up all connections.
        if open >= most / 2 && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        let server = Rc::clone(server);
        let task = task::Builder::new().name(format!("connection {peer}"));
        if task
            .try_spawn_in(connections, async move { server.serve_connection(incoming, peer).await })
            .is_err()
        {
            return; // The group is closed, so no further connection can be served.
        }
    }
}

impl Server {
    /// A failed connection is not a failure of the server. A panic is; the group logs it and serves
    /// the other connections.
    async fn serve_connection(
        &self,
        incoming: Incoming,
        peer: SocketAddr,
    ) -> Result<(), Infallible> {
        let handshake = async { incoming.accept()?.await };
        let connection = match timeout(self.limits.idle, handshake).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                warn!("{peer} handshake failed: {}", quic::explain(&error));
                return Ok(());
            }
            Err(_) => {
                warn!("{peer} handshake failed: it was not complete after {:?}", self.limits.idle);
                return Ok(());
            }
        };
        info!("{peer} connected");
        let mut requests = 0;
        let end = self.serve_requests(&connection, peer, &mut requests).await;
        let sent = connection.stats().udp_tx;
        match end {
            Ok(()) => info!(
                "{peer} disconnected after {requests} requests; {} datagrams were sent to it by {} system calls",
                sent.datagrams, sent.ios
            ),
            Err(why) => warn!("{peer} failed after {requests} requests: {why}"),
        }
        Ok(())
    }

    /// Serves the connection until its end, and counts the requests. Returns an error if the
    /// connection did not end properly.
    async fn serve_requests(
        &self,
        quic: &Connection,
        peer: SocketAddr,
        count: &mut u64,
    ) -> Result<(), String> {
        let mut builder = h3::server::builder();
        builder.max_field_section_size(routes::MAX_HEADER);
        let transport = h3_quinn::Connection::new(quic.clone());
        let Ok(mut connection) = builder.build::<_, Bytes>(transport).await else {
            return quic::end_of(quic);
        };
        // Dropped together with the connection, so no request outlives it.
        let requests = TaskGroup::isolated();
        let mut told = false;
        loop {
            let accepted = match told {
                false => self.closing.run(connection.accept()).await,
                true => Ok(connection.accept().await),
            };
            match accepted {
                Ok(Ok(Some(request))) => {
                    *count += 1;
                    let task = task::Builder::new().name(format!("request {count} of {peer}"));
                    let limits = self.limits;
                    task.spawn_in(
                        &requests,
                        async move { routes::serve(request, peer, limits).await },
                    );
                }
                // All requests are answered. The client closes the connection when it has the
                // answers; a close from this side could overtake answers in flight.
                Ok(Ok(None)) => {
                    quic.closed().await;
                    break;
                }
                Ok(Err(_)) => break,
                // Requests in flight are served, and later ones are rejected (GOAWAY).
                Err(Cancelled) => {
                    told = true;
                    if connection.shutdown(0).await.is_err() {
                        break;
                    }
                }
            }
        }
        // Read before `connection` is dropped, because the drop closes it again, and then the
        // reason is lost.
        quic::end_of(quic)
    }
}
