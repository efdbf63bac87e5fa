//! A chat server over WebSockets, with rooms, names, lists of members, and the last messages for
//! new members. It runs on one thread.
//!
//! `cargo run -p chat -- [ADDRESS [GRACE [PATIENCE]]]`, then open <http://127.0.0.1:8080> in two
//! tabs of a browser. Ctrl-C ends the server: each client receives a close frame (code 1001) and
//! has GRACE seconds to answer (5 by default). A second Ctrl-C ends the server immediately. The
//! server pings each client every PATIENCE seconds (20 by default), and closes a client that is
//! silent for twice as long.
//!
//! To try without a browser, in several terminals:
//!
//! ```sh
//! python3 -m websockets 'ws://127.0.0.1:8080/ws?room=kitchen&name=Ada'     # after `pip install websockets`
//! python3 -m websockets 'ws://127.0.0.1:8080/ws?room=kitchen&name=Ada'     # the name is taken: closed with 1008
//! curl -i http://127.0.0.1:8080/rooms                                      # the rooms, and how many are in each
//! curl -i 'http://127.0.0.1:8080/ws?room=kitchen&name=Ben'                 # no WebSocket: 426, with the reason
//! ```
//!
//! A client sends plain messages and receives JSON (see `src/room.rs`). The server closes a client
//!
//! - that does not read, when [`room::QUEUE`] messages are waiting for it (code 1013), so that it
//!   cannot delay the others;
//! - that sends a message of more than [`websocket::MESSAGE`] bytes (1009), or more than
//!   [`session::RATE`] a second (1008);
//! - that violates the protocol (1002, 1003, 1007), or does not answer pings (1008);
//! - whose name is taken or too long (1008), or for which there is no room (1013).
//!
//! There are no passwords and no encryption, so listen only on this machine or behind a proxy that
//! has both. The limits apply to each connection. A server on the internet also needs a limit for
//! the connections of each address.
//!
//! Read the files in this order: this one (routes, shutdown), `lobby` (all rooms), `room`,
//! `session` (one client), `websocket` (the handshakes). To start from this program, copy `src`,
//! with this in `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! async-channel = "2"
//! async-tungstenite = { version = "0.35", features = ["futures-03-sink", "handshake"] }
//! axum = { version = "0.8", default-features = false, features = ["json", "query"] }
//! env_logger = { version = "0.11", default-features = false, features = ["auto-color", "humantime"] }
//! futures-util = { version = "0.3", default-features = false, features = ["io", "sink", "std"] }
//! headwaiter = { version = "0.1", features = ["hyper"] }
//! hyper = "1"
//! log = "0.4"
//! serde = { version = "1", features = ["derive"] }
//! serde_json = "1"
//! ```

mod lobby;
mod room;
mod session;
mod websocket;

use std::env;
use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use axum::extract::{Extension, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::future::{Either, join, select};
use headwaiter::compat::hyper::{Peer, serve};
use headwaiter::net::TcpListener;
use headwaiter::signal::ctrl_c;
use headwaiter::task::CancelToken;
use headwaiter::time::timeout;
use log::{error, info, warn};
use serde::Deserialize;

use crate::lobby::{Ask, Visit};

/// The maximum number of connections that are not WebSockets yet. Others wait in the kernel's
/// queue.
const HTTP_CONNECTIONS: usize = 1000;

/// How long the header of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The sender that handlers use to reach the lobby.
type Door = async_channel::Sender<Ask>;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let ended = Config::from_args(env::args().skip(1))
        .and_then(|config| headwaiter::block_on(run(config)).map_err(|error| error.to_string()));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Config {
    address: String,
    grace: Duration,
    patience: Duration,
}

impl Config {
    fn from_args(args: impl Iterator<Item = String>) -> Result<Config, String> {
        let args: Vec<_> = args.collect();
        if args.len() > 3 || args.iter().any(|arg| arg.starts_with('-')) {
            return Err(
                "usage: chat [ADDRESS [GRACE [PATIENCE]]], such as: chat 127.0.0.1:8080 5 20"
                    .to_owned(),
            );
        }
        let seconds = |at: usize, name, default| match args.get(at) {
            None => Ok(Duration::from_secs(default)),
            Some(arg) => match arg.parse() {
                // A `u32` of seconds cannot overflow any clock.
                Ok(seconds @ 1..=u32::MAX) => Ok(Duration::from_secs(seconds.into())),
                _ => {
                    Err(format!("{name} is a whole number of seconds, 1 or more, and not {arg:?}"))
                }
            },
        };
        Ok(Config {
            address: args.first().cloned().unwrap_or_else(|| "127.0.0.1:8080".to_owned()),
            grace: seconds(1, "GRACE", 5)?,
            patience: seconds(2, "PATIENCE", 20)?,
        })
    }
}

async fn run(config: Config) -> io::Result<()> {
    let listener = TcpListener::bind(&config.address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", config.address))
    })?;
    info!("listening on http://{}", listener.local_addr()?);

    let closing = CancelToken::new();
    let (door, asks) = async_channel::bounded(64);
    let server = serve(listener, router(door))
        .header_timeout(HEADER_TIMEOUT)
        .max_connections(HTTP_CONNECTIONS)
        .max_body(0) // No route accepts a body.
        .graceful(closing.clone(), config.grace);
    let lobby = lobby::run(asks, config.patience, closing.clone());

    // The order of the shutdown: when its connections have ended, the server drops the router,
    // which drops the sender to the lobby. The lobby then waits for the sessions, which the token
    // ends.
    let serving = pin!(join(server.into_future(), lobby));
    match select(serving, pin!(out_of_time(closing, config.grace))).await {
        Either::Left(((served, ()), _)) => {
            info!("closed");
            served
        }
        Either::Right((interrupted, _)) => {
            warn!("closed; clients that had not answered were dropped");
            interrupted
        }
    } // Drops the remaining sessions.
}

/// The first Ctrl-C starts the shutdown. Returns at the second one, or when the grace period is
/// over.
async fn out_of_time(closing: CancelToken, grace: Duration) -> io::Result<()> {
    ctrl_c().await?;
    info!("closing; clients have {grace:?} to answer");
    closing.cancel();
    timeout(grace, ctrl_c()).await.unwrap_or(Ok(()))
}

fn router(door: Door) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/rooms", get(rooms))
        .route("/ws", get(enter))
        .with_state(door)
}

async fn page() -> impl IntoResponse {
    // A second line of defence. The page shows messages only as text; if that fails, it still loads
    // nothing from other sites.
    const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; script-src 'unsafe-inline'; \
        style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    (
        [(CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")],
        Html(include_str!("page.html")),
    )
}

async fn rooms(State(door): State<Door>) -> Response {
    let (answer, rooms) = async_channel::bounded(1);
    let _ = door.send(Ask::Rooms(answer)).await; // If the lobby is gone, `answer` is dropped.
    match rooms.recv().await {
        Ok(rooms) => ([(CACHE_CONTROL, "no-store")], Json(rooms)).into_response(),
        Err(_) => ending(),
    }
}

#[derive(Deserialize)]
struct Place {
    room: String,
    name: String,
}

/// Opens a WebSocket even for a client that may not enter the room: a page in a browser cannot read
/// the response to a failed handshake, but it can read the code and the reason of a close frame.
async fn enter(
    State(door): State<Door>,
    Extension(Peer(peer)): Extension<Peer<SocketAddr>>,
    Query(Place { room, name }): Query<Place>,
    mut request: Request,
) -> Response {
    let (response, upgrade) = match websocket::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(refusal) => {
            warn!("{peer}: no WebSocket: {}", refusal.2.trim_end());
            return refusal.into_response();
        }
    };
    match door.send(Ask::Enter(Visit { peer, room, name, upgrade })).await {
        Ok(()) => response,
        Err(_) => ending(),
    }
}

fn ending() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the server is ending").into_response()
}
