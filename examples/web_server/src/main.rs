//! A web server: an axum `Router` on [`headwaiter::compat::hyper::serve`], HTTP/1.1 and HTTP/2 on
//! one port, all on one thread.
//!
//! `cargo run -p web_server -- [ADDRESS [FOLDER]]`, then open <http://127.0.0.1:8080> in a browser:
//! the page uses all of the routes. Files are served from FOLDER; without it, none are. Ctrl-C ends
//! the server: requests in flight have five seconds to finish, and WebSockets and event streams are
//! closed. A second Ctrl-C ends it immediately. `RUST_LOG=web_server=debug` logs each request.
//!
//! To try:
//!
//! ```sh
//! curl -i http://127.0.0.1:8080/json
//! curl -i http://127.0.0.1:8080/json --json '{"dish": "soup", "portions": 2}'
//! curl -i http://127.0.0.1:8080/json --json '{"dish": "soup"}'          # 422, with the reason
//! curl -i http://127.0.0.1:8080/form -d name=Ada -d guests=4
//! curl -N http://127.0.0.1:8080/events                                  # server-sent events
//! curl -o /dev/null http://127.0.0.1:8080/big?mib=500 --http2-prior-knowledge
//! curl -i http://127.0.0.1:8080/file/NAME -r 0-99                       # the first 100 bytes
//! curl http://127.0.0.1:8080/slow & curl http://127.0.0.1:8080/plain    # the slow request does not delay the other one
//! python3 -m websockets ws://127.0.0.1:8080/ws                          # after `pip install websockets`
//! ```
//!
//! To start from this program, copy `src`, with this in the `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! async-tungstenite = { version = "0.35", features = ["futures-03-sink", "handshake"] }
//! axum = { version = "0.8", default-features = false, features = ["form", "json", "query"] }
//! env_logger = { version = "0.11", default-features = false, features = ["auto-color", "humantime"] }
//! futures-util = { version = "0.3", default-features = false, features = ["sink", "std"] }
//! headwaiter = { version = "0.1", features = ["hyper"] }
//! hyper = "1"
//! log = "0.4"
//! serde = { version = "1", features = ["derive"] }
//! ```

mod files;
mod routes;
mod websocket;

use std::future::IntoFuture;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use futures_util::future::select;
use headwaiter::compat::hyper::serve;
use headwaiter::net::TcpListener;
use headwaiter::signal::ctrl_c;
use headwaiter::task::CancelToken;
use headwaiter::time::timeout;
use log::{error, info};

use crate::routes::App;
use crate::websocket::Sockets;

/// How long a client may keep the server waiting: for the header of a request, for more of a body,
/// for the answer to a ping.
const PATIENCE: Duration = Duration::from_secs(30);

/// If a body arrives more slowly than this, in bytes per second, it is cut off when the patience is
/// used up.
const SLOWEST_UPLOAD: u64 = 1024;

/// The largest request, in bytes. [`routes::LARGEST_MESSAGE`] limits how much is kept in memory.
const LARGEST_BODY: u64 = 256 * 1024 * 1024;

/// The maximum number of connections. Others wait in the kernel's queue. Each needs a file
/// descriptor: see `ulimit -n`.
const MOST_CONNECTIONS: usize = 1000;

/// How long requests in flight may take to finish when the server shuts down.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let folder = env::args_os().nth(2).map(PathBuf::from);
    match headwaiter::block_on(run(&address, folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(address: &str, folder: Option<PathBuf>) -> io::Result<()> {
    let folder = folder.map(readable_folder).transpose()?;
    let listener = TcpListener::bind(address).await?;
    info!("listening on http://{}", listener.local_addr()?);

    let closing = CancelToken::new();
    let patience = patience()?;
    let sockets = Sockets::new(closing.clone(), patience);
    let sockets_ended = sockets.ended();
    let app = Arc::new(App::new(closing.clone(), folder, sockets));
    let server = serve(listener, routes::router(app))
        .header_timeout(patience)
        .write_timeout(patience)
        .body_timeout(patience, SLOWEST_UPLOAD)
        .max_body(LARGEST_BODY)
        .max_connections(MOST_CONNECTIONS)
        .graceful(closing.clone(), GRACE)
        .into_future();

    let end_on_ctrl_c = async move {
        ctrl_c().await?;
        closing.cancel();
        // Tasks that are left when the main future returns are dropped together with the loop.
        ctrl_c().await
    };
    let ended = async {
        server.await?;
        // The WebSockets have left their HTTP connections, so the server does not wait for them.
        // The same token has notified them.
        let _ = timeout(websocket::GOODBYE, sockets_ended.cancelled()).await;
        Ok(())
    };
    let result = select(pin!(ended), pin!(end_on_ctrl_c)).await.factor_first().0;
    info!("closed");
    result
}

/// Checked once at the start, so that a wrong argument is reported before the first request.
fn readable_folder(folder: PathBuf) -> io::Result<PathBuf> {
    let wrong = |error| {
        let advice = "give a folder to serve files from, or none";
        io::Error::other(format!("cannot serve files from {}: {error}: {advice}", folder.display()))
    };
    // Resolves links, so that it can be compared with the paths of files.
    let real = fs::canonicalize(&folder).map_err(wrong)?;
    fs::read_dir(&real).map_err(wrong)?;
    Ok(real)
}

/// The tests set a shorter patience.
fn patience() -> io::Result<Duration> {
    let Ok(seconds) = env::var("WEB_SERVER_PATIENCE") else { return Ok(PATIENCE) };
    let duration =
        seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| {
        io::Error::other(format!(
            "WEB_SERVER_PATIENCE is no number of seconds above 0: {seconds:?}"
        ))
    })
}
