//! HTTP/3, server and client: quinn and h3 on headwaiter's UDP sockets and timers, with ring for
//! the cryptography.
//!
//! | `cargo run -p http3 --` | |
//! |---|---|
//! | `server [ADDRESS]` | serves until Ctrl-C, with a certificate generated at start |
//! | `client URL` | prints the server's answer |
//! | | without arguments: a server and a client in one loop |
//!
//! The server answers `GET /`, `GET /slow?seconds=N` and `POST /echo`. Its options:
//! `--cert-out FILE` (where to write the certificate; by default a temporary file),
//! `--connections N`, `--streams N` (concurrent requests per connection), `--max-body BYTES`, and,
//! each in seconds, `--idle-timeout`, `--request-timeout` and `--grace`.
//!
//! Options of the client: `--ca FILE` (by default it trusts the certificates of the system),
//! `--post FILE`, `--requests N` (make the same request N times concurrently, over one connection),
//! `--idle-timeout SECONDS` and `--timeout SECONDS` (of each request).
//!
//! Try it in two terminals:
//!
//! ```sh
//! cargo run -p http3 -- server 127.0.0.1:4433 --cert-out /tmp/http3.pem
//! cargo run -p http3 -- client https://localhost:4433/ --ca /tmp/http3.pem
//! cargo run -p http3 -- client https://localhost:4433/ --ca /tmp/http3.pem --requests 1000
//! cargo run -p http3 -- client https://localhost:4433/echo --ca /tmp/http3.pem --post Cargo.lock
//! cargo run -p http3 -- client https://localhost:4433/slow?seconds=20 --ca /tmp/http3.pem   # and Ctrl-C the server meanwhile
//! ```
//!
//! In a project of your own:
//!
//! ```toml
//! [dependencies]
//! bytes = "1"
//! env_logger = { version = "0.11", default-features = false, features = ["auto-color", "humantime"] }
//! futures-util = { version = "0.3", default-features = false, features = ["std"] }
//! h3 = "0.0.8"
//! h3-quinn = "0.0.10"
//! headwaiter = { version = "0.1", features = ["quinn"] }
//! http = "1"
//! log = "0.4"
//! quinn = { version = "0.11", default-features = false, features = ["rustls-ring"] }
//! rcgen = { version = "0.14", default-features = false, features = ["pem", "ring"] }
//! rustls = { version = "0.23", default-features = false, features = ["ring", "std"] }
//! rustls-native-certs = "0.8"
//! ```

mod certificate;
mod client;
mod demo;
mod options;
mod quic;
mod routes;
mod server;

use std::process::ExitCode;
use std::{env, io};

use headwaiter::net::lookup_host;
use headwaiter::signal::unix::{SignalKind, signal};
use headwaiter::task::CancelToken;
use log::{error, info};

use crate::certificate::Certificate;
use crate::options::{Command, USAGE};

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let command = match Command::parse(env::args().skip(1)) {
        Ok(command) => command,
        Err(wrong) => {
            eprintln!("http3: {wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match headwaiter::block_on(run(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> io::Result<()> {
    let (address, certificate_file, limits) = match command {
        Command::Server { address, certificate, limits } => (address, certificate, limits),
        Command::Client(order) => return client::run(order).await,
        Command::Demonstration => return demo::run().await,
    };
    // Starts listening before there is anything to clean up. From here on, Ctrl-C does not kill the
    // program.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let closing = CancelToken::new();
    let close = closing.clone();
    headwaiter::spawn(async move {
        interrupts.recv().await;
        close.cancel();
    });

    let address = lookup_host(address.as_str()).await?.next();
    let address = address.ok_or_else(|| io::Error::other("the host has no address"))?;
    let certificate = Certificate::for_address(address.ip())?;
    // The end of this function removes a temporary file.
    let file = certificate.write(certificate_file)?;
    let endpoint = quic::server(address, certificate, &limits)?;
    info!("the certificate for clients is in {}", file.path().display());
    info!("listening on {}", endpoint.local_addr()?);
    server::serve(endpoint, limits, closing).await
}
