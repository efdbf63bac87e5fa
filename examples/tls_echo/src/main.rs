//! An echo server and its client over TLS 1.2 and 1.3: futures-rustls on headwaiter's streams, with
//! ring for the cryptography.
//!
//! | `cargo run -p tls_echo --` | |
//! |---|---|
//! | `server [ADDRESS]` | serves until Ctrl-C, with a certificate generated at start |
//! | `client ADDRESS [--ca FILE]` | sends its standard input and prints the answer |
//! | | without arguments: a server and seven clients in one loop; four of the clients misbehave |
//!
//! Options of the server: `--cert-out FILE` (where to write the certificate; by default a temporary
//! file), `--clients N`, `--handshake-timeout`, `--idle-timeout` and `--grace`, each in seconds.
//! Without `--ca` the client trusts the certificates of the system.
//!
//! Try it in three terminals:
//!
//! ```sh
//! cargo run -p tls_echo -- server 127.0.0.1:7443 --cert-out /tmp/echo.pem
//! cargo run -p tls_echo -- client localhost:7443 --ca /tmp/echo.pem
//! openssl s_client -connect 127.0.0.1:7443 -CAfile /tmp/echo.pem -tls1_2
//! ```
//!
//! and see how the server handles clients that misbehave:
//!
//! ```sh
//! echo hello | nc 127.0.0.1 7443                                 # does not speak TLS
//! nc 127.0.0.1 7443                                              # sends nothing: disconnected after 10 s
//! cargo run -p tls_echo -- client localhost:7443                 # does not trust the certificate
//! openssl s_client -connect 127.0.0.1:7443 -alpn http/1.1        # wants another protocol
//! ```
//!
//! In a project of your own:
//!
//! ```toml
//! [dependencies]
//! env_logger = { version = "0.11", default-features = false, features = ["auto-color", "humantime"] }
//! futures-lite = "2"
//! futures-rustls = { version = "0.26", default-features = false, features = ["logging", "ring", "tls12"] }
//! headwaiter = { version = "0.1" }
//! log = "0.4"
//! rcgen = { version = "0.14", default-features = false, features = ["pem", "ring"] }
//! rustls-native-certs = "0.8"
//! ```

mod certificate;
mod client;
mod demo;
mod options;
mod server;
mod tls;

use std::env;
use std::io;
use std::process::ExitCode;

use headwaiter::net::TcpListener;
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
            eprintln!("tls_echo: {wrong}\n{USAGE}");
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
        Command::Client { address, ca } => return client::run(&address, ca.as_deref()).await,
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

    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let certificate = Certificate::for_address(address.ip())?;
    // The end of this function removes a temporary file.
    let file = certificate.write(certificate_file)?;
    info!("the certificate for clients is in {}", file.path().display());
    info!("listening on {address}");
    server::serve(listener, tls::acceptor(certificate)?, limits, closing).await
}
