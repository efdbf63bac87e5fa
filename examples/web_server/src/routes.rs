//! The routes. axum requires the futures of handlers to be `Send`, although all of them run on one
//! thread. The sockets, files and timers of headwaiter are `Send`; `headwaiter::sync` is not.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_tungstenite::tungstenite::{Error, Message};
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Form, Json, Router};
use futures_util::{Stream, StreamExt, stream};
use headwaiter::compat::hyper::Peer;
use headwaiter::task::CancelToken;
use headwaiter::time::{self, Interval, MissedTickBehavior, interval_at, sleep, timeout};
use headwaiter::try_spawn_blocking;
use log::debug;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::websocket::{Sockets, Upgrade, WebSocket};

/// The maximum size of a request body that a handler keeps in memory, in bytes.
pub const LARGEST_MESSAGE: usize = 64 * 1024;

/// The time limit for handlers of short requests.
const SHORT: Duration = Duration::from_secs(10);

/// The interval between two events of `/events`, and between two messages that `/ws` sends by
/// itself.
const TICK: Duration = Duration::from_secs(1);

/// The state that the handlers share.
pub struct App {
    closing: CancelToken,
    pub folder: Option<PathBuf>,
    sockets: Sockets,
    requests: AtomicU64,
}

impl App {
    pub fn new(closing: CancelToken, folder: Option<PathBuf>, sockets: Sockets) -> App {
        App { closing, folder, sockets, requests: AtomicU64::new(0) }
    }
}

pub fn router(app: Arc<App>) -> Router {
    let short = Router::new()
        .route("/json", get(menu).post(order))
        .route("/form", post(book))
        .route("/compute", get(compute))
        .route_layer(from_fn(limit_time));
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/plain", get(async || "One soup, please.\n").post(echo_body))
        .route("/big", get(files::big))
        .route("/file/{*name}", get(files::file))
        .route("/events", get(events))
        .route("/slow", get(slow))
        .route("/panic", get(panics))
        // `any`, because over HTTP/2 a WebSocket begins with CONNECT.
        .route("/ws", any(websocket))
        // On a public server, protect these two.
        .route("/dump", get(async || headwaiter::dump().to_string()))
        .route("/stats", get(async || headwaiter::stats().to_string()))
        .merge(short)
        .fallback(async || (StatusCode::NOT_FOUND, "There is no such page.\n"))
        // The limit applies to extractors that collect a body, such as `Json`. Both are one layer,
        // because each layer clones everything below it for each request.
        .layer((
            from_fn_with_state(Arc::clone(&app), log_request),
            DefaultBodyLimit::max(LARGEST_MESSAGE),
        ))
        .with_state(app)
}

/// Logs each request, with the time until its response starts.
async fn log_request(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    app.requests.fetch_add(1, Ordering::Relaxed);
    let logged = log::log_enabled!(log::Level::Debug).then(|| {
        let peer =
            request.extensions().get::<Peer<SocketAddr>>().map(|Peer(peer)| peer.to_string());
        // Without the query, which may contain confidential data.
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        (peer.unwrap_or_default(), method, path, time::now())
    });
    let response = next.run(request).await;
    if let Some((peer, method, path, began)) = logged {
        let (status, took) = (response.status().as_u16(), time::now() - began);
        debug!("{peer} {method} {path} {status} {took:.1?}");
    }
    response
}

/// Does what `TimeoutLayer` of tower does with timers of tokio.
async fn limit_time(request: Request, next: Next) -> Response {
    let answered = timeout(SHORT, next.run(request)).await;
    answered.unwrap_or_else(|_| {
        (StatusCode::SERVICE_UNAVAILABLE, "This took too long.\n").into_response()
    })
}

#[derive(Serialize)]
struct Dish {
    name: &'static str,
    price: f64,
}

async fn menu() -> Json<[Dish; 2]> {
    Json([Dish { name: "soup", price: 4.5 }, Dish { name: "bread", price: 1.25 }])
}

#[derive(Deserialize)]
struct Order {
    dish: String,
    portions: u32,
}

#[derive(Serialize)]
struct Bill {
    dish: String,
    portions: u32,
    total: f64,
}

/// For other input, axum answers with 4xx and the reason.
async fn order(Json(order): Json<Order>) -> Json<Bill> {
    let Order { dish, portions } = order;
    Json(Bill { total: f64::from(portions) * 4.5, dish, portions })
}

#[derive(Deserialize)]
struct Booking {
    name: String,
    guests: u8,
}

async fn book(Form(booking): Form<Booking>) -> String {
    format!("A table for {} in the name of {}.\n", booking.guests, booking.name)
}

/// Sends the body back while it arrives: if the client reads slowly, the server reads slowly too.
async fn echo_body(body: Body) -> Body {
    body
}

/// Waits, without affecting other clients.
async fn slow() -> &'static str {
    sleep(Duration::from_secs(3)).await;
    "Sorry to keep you waiting.\n"
}

#[derive(Deserialize)]
struct Compute {
    below: Option<u64>,
}

/// Computes on a thread of the pool, so that the loop serves other clients meanwhile.
async fn compute(
    Query(Compute { below }): Query<Compute>,
) -> Result<String, (StatusCode, &'static str)> {
    let below = below.unwrap_or(100_000);
    if below > 10_000_000 {
        return Err((
            StatusCode::BAD_REQUEST,
            "That would take too long: ask for less than 10000000.\n",
        ));
    }
    let count = move || {
        (2..below).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
    };
    let too_busy = (StatusCode::SERVICE_UNAVAILABLE, "There is too much to compute already.\n");
    let primes = try_spawn_blocking(count).map_err(|_| too_busy)?.await;
    let primes =
        primes.map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "The computation has failed.\n"))?;
    Ok(format!("There are {primes} primes below {below}.\n"))
}

/// The server answers with 500, logs the message, and continues.
async fn panics() -> &'static str {
    panic!("the soup boils over");
}

/// Server-sent events: one per second, until the client disconnects or the server shuts down.
async fn events(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer<SocketAddr>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let left = LogOnDrop(peer);
    let closing = app.closing.cancelled();
    let events = ticks(TICK).map(move |tick| {
        let requests = app.requests.load(Ordering::Relaxed);
        Event::default()
            .event("tick")
            .data(format!(r#"{{"tick": {tick}, "requests": {requests}}}"#))
    });
    // Does what axum's `keep_alive` does with timers of tokio. Streams that are silent for long
    // need it, because proxies would cut them off.
    let comments = ticks(Duration::from_secs(15)).map(|_| Event::default().comment("still there"));
    let events = stream::select(events, comments).take_until(closing);
    Sse::new(events.map(move |event| {
        let _moved_here = &left; // Dropped with the stream.
        Ok(event)
    }))
}

/// Yields 1, 2, 3, ... with this much time before each.
fn ticks(period: Duration) -> impl Stream<Item = usize> + Send {
    let mut ticks = every(period);
    stream::poll_fn(move |cx| ticks.poll_tick(cx).map(Some)).enumerate().map(|(n, _)| n + 1)
}

/// If the receiver is late, it misses ticks; they are not delivered together later.
fn every(period: Duration) -> Interval {
    let mut ticks = interval_at(time::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

struct LogOnDrop(SocketAddr);

impl Drop for LogOnDrop {
    fn drop(&mut self) {
        debug!("{}: the stream of events has ended", self.0);
    }
}

/// Sends each message back, and messages of its own from time to time.
async fn websocket(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer<SocketAddr>>,
    upgrade: Upgrade,
) -> Response {
    let name = format!("websocket {peer}");
    upgrade.serve(&Arc::clone(&app).sockets, name, async move |socket| {
        echo_messages(socket, &app).await
    })
}

enum Todo {
    Answer(Option<Message>),
    Tick,
}

async fn echo_messages(socket: &mut WebSocket, app: &App) -> Result<(), Error> {
    let mut ticks = every(TICK);
    loop {
        let todo = poll_fn(|cx| match socket.poll_next(cx) {
            Poll::Ready(message) => Poll::Ready(Todo::Answer(message)),
            Poll::Pending => ticks.poll_tick(cx).map(|_| Todo::Tick),
        });
        match todo.await {
            Todo::Answer(Some(message)) => socket.send(message).await?,
            Todo::Answer(None) => return Ok(()),
            Todo::Tick => {
                let requests = app.requests.load(Ordering::Relaxed);
                socket
                    .send(Message::text(format!("The server has had {requests} requests.")))
                    .await?;
            }
        }
    }
}
