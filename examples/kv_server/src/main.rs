//! A server for keys and values in memory that speaks RESP, the protocol of Redis: with pipelining, expiry, and publish/subscribe. All clients are
//! served by one thread, one task each.
//!
//! ```text
//! cargo run -p kv_server [-- ADDRESS OPTIONS]      # `-- --help` lists the options
//! ```
//!
//! Then, with the programs of Redis (Debian's package redis-tools), or any library for it:
//!
//! ```text
//! redis-cli -p 6380 set soup hot ex 60
//! redis-cli -p 6380 subscribe orders               # and in another terminal:
//! redis-cli -p 6380 publish orders "two soups"
//! redis-benchmark -p 6380 -q -t set,get -c 50 -P 16
//! cargo run -p kv_client -- redis://127.0.0.1:6380
//! ```
//!
//! It serves the commands in the table of `src/commands.rs`, with the replies and errors of Redis 7.0, in RESP2 and RESP3. There are no
//! passwords and there is no encryption: let it listen on this machine only. Nothing is saved to a disk.
//!
//! What a client cannot do:
//!
//! - send an argument of more than 64 MiB, a command of more than 128 MiB, or one of more than 1,048,576 arguments, or a line of more
//!   than 64 KiB: it is told so, and dropped;
//! - make the server keep replies that it does not read: it is not read from either until it does;
//! - make the server keep messages that it does not read: it is dropped when more than `--mailbox` wait for it;
//! - stay away for longer than `--idle`, be one more than `--max-clients`, or store more than `--max-memory`.
//!
//! Ctrl-C ends it: commands that have begun to arrive are served, and replies are sent, within `--grace`.
//!
//! In this order the files are best read: `resp` (commands in), `reply` (replies out), `db`, `pubsub`, `client` (one connection), `commands`.
//! `measure.sh` compares the processor time of a request with that of Redis.
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

/// How often keys that have expired are looked for, and how many are removed before others have their turn.
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

/// Ends as `docs/shutdown.md` of headwaiter tells.
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
    let (there, grace) = (clients.len(), server.config.grace);
    let mut finishing = clients.join();
    let asked_again = async { _ = ctrl_c().await };
    let finished = async {
        info!("closing; clients that have {grace:?} to finish: {there}");
        _ = (&mut finishing).await;
    };
    let _ = timeout(grace, or(asked_again, finished)).await; // From that line on, a second Ctrl-C is heard.
    let cut_off = finishing.len();
    sweeping.abort();
    info!("closed; {} finished, {cut_off} were cut off", there - cut_off);
    Ok(()) // With `finishing` the tasks end that are left.
}

async fn accept(listener: TcpListener, server: &Rc<Server>, clients: &TaskGroup<Infallible>) {
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                warn!("a client was lost before it was served: {error}");
                continue;
            }
        };
        if clients.len() >= server.config.max_clients {
            warn!("a client was refused: there are {} already, see --max-clients", clients.len());
            // It is gone at once: if it does not take the error, it does not get one.
            let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
            continue;
        }
        let id = server.connections.get() + 1;
        server.connections.set(id);
        let task = task::Builder::new().name(format!("client {id}"));
        if task.try_spawn_in(clients, serve_client(stream, id, Rc::clone(server))).is_err() {
            return; // The group is closed: no client would be served any more.
        }
    }
}

/// A client that is lost is no failure of the server. A panic is: the group logs it, and serves the others.
async fn serve_client(stream: TcpStream, id: u64, server: Rc<Server>) -> Result<(), Infallible> {
    let peer =
        stream.peer_addr().map_or("an unknown address".to_owned(), |address| address.to_string());
    debug!("client {id} is here, from {peer}");
    // A reply is sent in one piece, and the next is not held back until the client has confirmed it.
    if let Err(error) = stream.set_nodelay(true) {
        debug!("client {id}: no TCP_NODELAY: {error}");
    }
    match Client::new(stream, id, server).serve().await {
        end @ (End::Left | End::Closing) => debug!("client {id} {end}"),
        end => warn!("client {id}, from {peer}, {end}"),
    }
    Ok(())
}

/// Removes keys that have expired and are not asked for.
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
