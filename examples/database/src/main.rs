//! PostgreSQL with tokio-postgres, and SQLite with rusqlite, in one loop.
//!
//! tokio-postgres needs a runtime only to open its sockets. [`connect`] gives it a `TcpStream` or a
//! `UnixStream` of headwaiter (feature `tokio-io`) and spawns the task that drives the connection.
//! [`pool`] is a pool that you can copy. SQLite's calls block, so each is a job of
//! `spawn_blocking`.
//!
//! Start PostgreSQL if it does not run yet. (Without a URL the program says how to do that, and
//! shows only SQLite.)
//!
//! ```text
//! docker run --rm -e POSTGRES_PASSWORD=soup -p 127.0.0.1:5432:5432 postgres
//! ```
//!
//! Then try, one after another:
//!
//! ```text
//! cargo run -p database -- postgres://postgres:soup@127.0.0.1/postgres
//! cargo run -p database -- 'postgresql:///postgres?host=/run/postgresql' speed notify
//! cargo run -p database -- postgres://postgres:soup@127.0.0.1/postgres watch
//! cargo run -p database -- postgres://postgres:stew@127.0.0.1/postgres
//! ```
//!
//! The second one is for a server that listens on a Unix socket. While `watch` runs, stop the
//! server and start it again. The last one has the wrong password. The URL can also be in the
//! environment variable `DATABASE_URL`, where other users of the machine cannot see the password.
//! The section `transaction` creates a table `headwaiter_orders` and drops it.
//!
//! A login with a password takes 4096 rounds of a hash (SCRAM), which tokio-postgres computes on
//! the loop. In a debug build this takes so long that the loop reports a stall, unless these crates
//! are optimized as in this workspace (`profile.dev.package` in its `Cargo.toml`). With a pool,
//! logins are rare.
//!
//! To start from this program, copy `src`, with this in the `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! env_logger = { version = "0.11", default-features = false, features = ["auto-color", "humantime"] }
//! fastrand = "2"
//! futures-util = { version = "0.3", default-features = false, features = ["std"] }
//! headwaiter = { version = "0.1", features = ["tokio-io"] }
//! log = "0.4"
//! rusqlite = { version = "0.37", features = ["bundled"] }
//! tokio-postgres = { version = "0.7", default-features = false }
//! ```

mod connect;
mod error;
mod notify;
mod outage;
mod pool;
mod speed;
mod sqlite;
mod transaction;

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use headwaiter::signal::ctrl_c;
use headwaiter::task::{CancelToken, Cancelled};
use log::{error, info};
use tokio_postgres::Config;

use crate::connect::connect;
use crate::error::in_full;
use crate::pool::Pool;

/// The number of connections in the pool.
const POOL: u32 = 8;
/// How long a task waits for a connection of the pool.
const GET_TIMEOUT: Duration = Duration::from_secs(5);
/// The limit for a statement, enforced by the server.
const SERVER_TIMEOUT: Duration = Duration::from_secs(5);
/// The limit for a statement, enforced by the program. It is longer, because the server's error is
/// more precise.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(6);
/// How long the program waits for work in flight before it exits.
const GRACE: Duration = Duration::from_secs(2);

/// What is shown by default.
const SECTIONS: [&str; 5] = ["speed", "notify", "transaction", "outage", "sqlite"];

const HELP: &str = "\
usage: database [URL] [SECTION...]
  URL      postgres://user:password@host:port/dbname, or postgresql:///dbname?host=/run/postgresql for a Unix socket;
           by default, the value of the environment variable DATABASE_URL
  SECTION  speed, notify, transaction, outage, sqlite (all of them, if none is given), or watch, which runs until Ctrl-C

To start PostgreSQL, use one of these (the second one not as root):
  docker run --rm -e POSTGRES_PASSWORD=soup -p 127.0.0.1:5432:5432 postgres
      for the URL postgres://postgres:soup@127.0.0.1/postgres
  initdb -D /tmp/kitchen -U kitchen && postgres -D /tmp/kitchen -k /tmp -p 5433
      for the URL postgres://kitchen@127.0.0.1:5433/postgres, or 'postgresql://kitchen@/postgres?host=/tmp&port=5433'
";

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let args = env::args().skip(1);
    let (urls, mut sections): (Vec<_>, Vec<_>) =
        args.partition(|arg| arg.contains("://") || arg.contains('='));
    let unknown = sections.iter().find(|arg| !SECTIONS.contains(&&***arg) && *arg != "watch");
    let wrong = match unknown {
        Some(arg) => Some(format!("{arg:?} is neither a URL nor a section")),
        None if urls.len() > 1 => Some("more than one URL".to_owned()),
        None => None,
    };
    if let Some(wrong) = wrong {
        eprint!("{wrong}\n{HELP}");
        return ExitCode::from(2);
    }
    let url = urls.into_iter().next().or_else(|| env::var("DATABASE_URL").ok());
    if sections.is_empty() {
        let default = if url.is_some() { &SECTIONS[..] } else { &["sqlite"] };
        sections = default.iter().map(|&section| section.to_owned()).collect();
        if url.is_none() {
            println!("{HELP}");
        }
    }
    match headwaiter::block_on(run(url, sections)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Shows the sections until Ctrl-C.
async fn run(url: Option<String>, sections: Vec<String>) -> Result<(), Box<dyn Error>> {
    let closing = CancelToken::new();
    let close = closing.clone();
    headwaiter::spawn(async move { ctrl_c().await.map(|()| close.cancel()) }).log_error();

    let config = url.map(|url| configure(&url)).transpose()?;
    let server = config.map(|config| (Pool::new(config.clone(), POOL, GET_TIMEOUT), config));
    let shown = closing.run(show(&sections, server.as_ref())).await;
    if let Some((pool, _)) = server {
        pool.close(GRACE).await;
    }
    shown.unwrap_or_else(|Cancelled| {
        info!("ended by Ctrl-C");
        Ok(())
    })
}

fn configure(url: &str) -> Result<Config, Box<dyn Error>> {
    // The error must not contain the URL, which may have a password in it.
    let mut config: Config =
        url.parse().map_err(|error| format!("the URL of the server: {}", in_full(&error)))?;
    // The server itself cancels a statement after this time, even if its client is gone. If there
    // are two settings, the last one counts.
    let theirs = config.get_options().unwrap_or_default();
    let options = format!("-c statement_timeout={} {theirs}", SERVER_TIMEOUT.as_millis());
    config.options(options);
    if config.get_application_name().is_none() {
        config.application_name("headwaiter database");
    }
    Ok(config)
}

async fn show(
    sections: &[String],
    server: Option<&(Rc<Pool>, Config)>,
) -> Result<(), Box<dyn Error>> {
    if let Some((_, config)) = server {
        // Makes a single attempt, so that a wrong URL is reported immediately. The pool would
        // retry.
        let session = connect(config, None).await?;
        let sql = "select current_setting('server_version'), current_setting('statement_timeout')";
        let row =
            session.client.query_one(sql, &[]).await.map_err(|error| session.explain(error))?;
        let (version, limit): (&str, &str) = (row.get(0), row.get(1));
        println!(
            "connected to {session}: PostgreSQL {version}, where a statement may take {limit}"
        );
        session.close().await;
    }
    for section in sections {
        println!("\n== {section}");
        match (&**section, server) {
            ("sqlite", _) => sqlite::show().await?,
            (_, None) => {
                return Err(format!("the section {section} needs the URL of a server").into());
            }
            ("speed", Some((pool, config))) => speed::show(config, pool).await?,
            ("notify", Some((pool, config))) => notify::show(config, pool).await?,
            ("transaction", Some((pool, config))) => transaction::show(config, pool).await?,
            ("outage", Some((pool, _))) => outage::show(pool).await?,
            (_, Some((pool, _))) => outage::watch(pool).await?,
        }
    }
    Ok(())
}
