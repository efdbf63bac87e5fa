//! An in-memory key-value server that speaks RESP, the protocol of Redis, with pipelining, expiry
//! and publish/subscribe. One thread serves all clients, each in a task.
//!
//! ```text
//! cargo run -p kv_server [-- ADDRESS OPTIONS]      # `-- --help` lists the options
//! ```
//!
//! Then use the programs of Redis (Debian's package redis-tools), or any library for it:
//!
//! ```text
//! redis-cli -p 6380 set soup hot ex 60
//! redis-cli -p 6380 subscribe orders               # and in another terminal:
//! redis-cli -p 6380 publish orders "two soups"
//! redis-benchmark -p 6380 -q -t set,get -c 50 -P 16
//! cargo run -p kv_client -- redis://127.0.0.1:6380
//! ```
//!
//! It serves the commands in the table of `src/commands.rs`, with the replies and errors of Redis
//! 7.0, in RESP2 and RESP3. There are no passwords and no encryption, so listen on this machine
//! only. Nothing is saved to disk.
//!
//! What a client cannot do:
//!
//! - send an argument of more than 64 MiB, a command of more than 128 MiB, or one of more than
//!   1,048,576 arguments, or a line of more than 64 KiB: it receives an error and is disconnected;
//! - make the server store replies that it does not read: until it reads them, the server does not
//!   read from it;
//! - make the server store messages that it does not read: it is disconnected when more than
//!   `--mailbox` are waiting for it;
//! - be silent for longer than `--idle`, exceed `--max-clients`, or store more than `--max-memory`.
//!
//! Ctrl-C ends the server: commands that have started to arrive are run, and replies are sent,
//! within `--grace`.
//!
//! Read the files in this order: `resp` (commands in), `reply` (replies out), `db`, `pubsub`,
//! `client` (one connection), `commands`. `measure.sh` compares the processor time per request with
//! that of Redis.
//!
//! To start from this program, copy `src`, with this in the `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! env_logger = { version = "0.11", default-features = false, features = ["auto-color", "humantime"] }
//! futures-lite = { version = "2.6", default-features = false, features = ["std"] }
//! headwaiter = { version = "0.1" }
//! log = "0.4"
//! ```

mod client;
mod commands;
mod config;
mod db;
mod glob;
mod inline;
mod pubsub;
mod reply;
mod resp;
mod server;

use std::convert::Infallible;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use std::{env, io};

use futures_lite::{StreamExt, future::or};
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::signal::ctrl_c;
use headwaiter::task::{self, CancelToken, TaskGroup};
use headwaiter::time::{MissedTickBehavior, interval, timeout};
use log::{debug, info, warn};

use crate::client::{Client, End};
use crate::server::{Config, Server};

/// How often expired keys are removed, and how many before other tasks run.
const SWEEP: Duration = Duration::from_millis(100);
const SWEPT_AT_ONCE: usize = 1000;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let args: Vec<_> = env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{}", config::USAGE);
        return ExitCode::SUCCESS;
    }
    let config = match Config::parse(args) {
        Ok(config) => config,
        Err(mistake) => {
            eprintln!("kv_server: {mistake}\n{}", config::USAGE);
            return ExitCode::from(2);
        }
    };
    match headwaiter::block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Shuts down as described in headwaiter's `docs/shutdown.md`.
async fn serve(config: Config) -> io::Result<()> {
    let listener = TcpListener::bind(config.address.as_str()).await?;
    info!("listening on {}", listener.local_addr()?);
    let (server, clients) = (Rc::new(Server::new(config)), TaskGroup::isolated());
    let closing = CancelToken::new();
    let close = closing.clone();
    headwaiter::spawn(async move { ctrl_c().await.map(|()| close.cancel()) }).log_error();
    let sweeping = headwaiter::spawn(sweep(Rc::clone(&server)));
    let _ = closing.run(accept(listener, &server, &clients)).await;

    server.close();
    let (connected, grace) = (clients.len(), server.config.grace);
    let mut finishing = clients.join();
    let asked_again = async { _ = ctrl_c().await };
    let finished = async {
        info!("closing; {connected} clients have {grace:?} to finish");
        _ = (&mut finishing).await;
    };
    let _ = timeout(grace, or(asked_again, finished)).await; // From now on, a second Ctrl-C has an effect.
    let dropped = finishing.len();
    sweeping.abort();
    info!("closed; {} clients finished, {dropped} were dropped", connected - dropped);
    Ok(()) // Dropping `finishing` drops the remaining tasks.
}

async fn accept(listener: TcpListener, server: &Rc<Server>, clients: &TaskGroup<Infallible>) {
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                warn!("accept failed: {error}");
                continue;
            }
        };
        if clients.len() >= server.config.max_clients {
            warn!("a client was refused: there are {} already, see --max-clients", clients.len());
            // It is dropped immediately. If its socket does not accept the error, it gets none.
            let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
            continue;
        }
        let id = server.connections.get() + 1;
        server.connections.set(id);
        let task = task::Builder::new().name(format!("client {id}"));
        if task.try_spawn_in(clients, serve_client(stream, id, Rc::clone(server))).is_err() {
            return; // The group is closed, so no further client can be served.
        }
    }
}

/// A failed connection is not a failure of the server. A panic is; the group logs it and serves the
/// other clients.
async fn serve_client(stream: TcpStream, id: u64, server: Rc<Server>) -> Result<(), Infallible> {
    let peer =
        stream.peer_addr().map_or("an unknown address".to_owned(), |address| address.to_string());
    debug!("client {id} connected from {peer}");
    // Sends small replies immediately.
    if let Err(error) = stream.set_nodelay(true) {
        debug!("client {id}: no TCP_NODELAY: {error}");
    }
    match Client::new(stream, id, server).serve().await {
        end @ (End::Left | End::Closing) => debug!("client {id} {end}"),
        end => warn!("client {id}, from {peer}, {end}"),
    }
    Ok(())
}

/// Removes expired keys that are never read.
async fn sweep(server: Rc<Server>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        while server.db.borrow_mut().sweep(SWEPT_AT_ONCE) == SWEPT_AT_ONCE {
            task::yield_now().await;
        }
    }
}
