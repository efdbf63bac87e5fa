//! The crate `redis` on headwaiter: one connection over TCP or a Unix socket with many requests in
//! flight, a timeout for each request, publish/subscribe, and reconnecting when the server goes
//! away.
//!
//! ```text
//! cargo run -p kv_server                                  # or: redis-server --port 6380 --save ""
//! cargo run -p kv_client -- redis://127.0.0.1:6380        # shows everything and exits
//! cargo run -p kv_client -- redis://127.0.0.1:6380 watch  # counts and listens until Ctrl-C
//! ```
//!
//! While `watch` runs, stop the server and start it again, pause it (`kill -STOP`, `kill -CONT`),
//! or publish something: `redis-cli -p 6380 publish kv_client:orders soup`.
//!
//! # How the crate `redis` runs on this loop
//!
//! `MultiplexedConnection::new_with_config` accepts any stream with tokio's I/O traits, such as
//! those of headwaiter with the feature `tokio-io`. It returns the connection and its driver, a
//! future that runs on any loop. That part needs no runtime, but the crate does not compile without
//! the feature for one. `tokio-comp` is the better choice here. No tokio runtime is ever started,
//! provided that
//!
//! - the response timeout (half a second by default) is disabled, because it would panic with
//!   "there is no reactor running". A `headwaiter::time::timeout` around each request does the
//!   same;
//! - connections are not opened by `redis::Client`, `ConnectionManager` or `aio::PubSub`, which
//!   spawn their drivers on tokio. So subscriptions use version 3 of the protocol (Redis 6 and
//!   later), in which messages can arrive on any connection.
//!
//! With `smol-comp` the crate's timeouts work, but async-io starts a thread for them. And tasks
//! that the crate spawns would run on another thread, that of smol, where headwaiter's streams
//! cannot be used.
//!
//! To start from this program, copy `client.rs` and `subscriptions.rs`, with this in the
//! `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! env_logger = { version = "0.11", default-features = false, features = ["auto-color", "humantime"] }
//! futures-util = { version = "0.3", default-features = false, features = ["std"] }
//! headwaiter = { version = "0.1", features = ["tokio-io"] }
//! log = "0.4"
//! redis = { version = "1", default-features = false, features = ["tokio-comp"] }
//! tokio = { version = "1", default-features = false, features = ["sync"] }
//! ```

mod client;
mod subscriptions;
mod tour;
mod watch;

use std::env;
use std::process::ExitCode;

use headwaiter::signal::ctrl_c;
use headwaiter::task::CancelToken;
use redis::{ConnectionInfo, IntoConnectionInfo};

use crate::client::{Client, Error};

const USAGE: &str = "\
usage: kv_client URL [tour [REQUESTS] | watch]

URL is one of
  redis://127.0.0.1:6380               over TCP; with a password: redis://:PASSWORD@HOST:PORT
  redis+unix:///run/redis/redis.sock   over a Unix socket; with a password: ...sock?pass=PASSWORD

There must be a server. To start one:
  cargo run -p kv_server               then the URL is redis://127.0.0.1:6380
  redis-server --port 6380 --save \"\"   the same, if Redis is installed";

enum What {
    Tour { requests: usize },
    Watch,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let args: Vec<_> = env::args().skip(1).collect();
    let (info, what) = match parse(&args) {
        Ok(parsed) => parsed,
        Err(mistake) => {
            eprintln!("kv_client: {mistake}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match headwaiter::block_on(run(info, what)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[String]) -> Result<(ConnectionInfo, What), String> {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let (url, what) = match args[..] {
        [] => return Err("no URL is given".to_owned()),
        [url] | [url, "tour"] => (url, What::Tour { requests: 1000 }),
        [url, "tour", requests] => {
            let requests = requests.parse().ok().filter(|number| (1..=1_000_000).contains(number));
            (
                url,
                What::Tour { requests: requests.ok_or("REQUESTS is a number from 1 to 1000000")? },
            )
        }
        [url, "watch"] => (url, What::Watch),
        [_, ref rest @ ..] => return Err(format!("what is {:?}?", rest.join(" "))),
    };
    // The error must not contain the URL, which may have a password in it.
    let info =
        url.into_connection_info().map_err(|error| format!("the URL cannot be used: {error}"))?;
    Ok((info, what))
}

async fn run(info: ConnectionInfo, what: What) -> Result<(), String> {
    let closing = CancelToken::new();
    let close = closing.clone();
    headwaiter::spawn(async move { ctrl_c().await.map(|()| close.cancel()) }).log_error();

    let address = info.addr().to_string();
    let client = match closing.run(Client::connect(info.clone())).await {
        Ok(connected) => connected.map_err(|error| no_connection(&address, &error))?,
        Err(_) => return Ok(()),
    };
    match what {
        What::Tour { requests } => {
            let result = closing.run(tour::tour(&client, info, requests)).await.unwrap_or(Ok(()));
            result.map_err(|error| error.to_string())
        }
        What::Watch => {
            watch::watch(&client, closing).await;
            Ok(())
        }
    }
}

/// Adds advice to an error.
fn no_connection(address: &str, error: &Error) -> String {
    match error {
        Error::Connect(error) => {
            format!("no connection: {error}; `cargo run -p kv_server` starts a server")
        }
        Error::Redis(cause) if cause.code() == Some("NOAUTH") => {
            format!(
                "{address}: {error}: give it in the URL, as redis://:PASSWORD@HOST:PORT or redis+unix:///PATH?pass=PASSWORD"
            )
        }
        error => format!("{address}: {error}"),
    }
}
