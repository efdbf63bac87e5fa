//! gRPC with tonic, without tonic's transport, which needs a tokio runtime. The server is
//! `headwaiter::compat::hyper::serve`, the client is that of hyper-util, and the generated code is
//! the usual one.
//!
//! ```text
//! cargo run -p grpc                                  # a server and a client in one loop
//! cargo run -p grpc -- server [127.0.0.1:50051]
//! cargo run -p grpc -- client http://127.0.0.1:50051
//! ```
//!
//! The service is in `proto/kitchen.proto`: a plain call, a stream of answers, a stream of
//! requests, and both together. `src/kitchen.rs` is generated from it and checked in, so no
//! `protoc` is needed. To generate it again, use the crates protox (a protobuf compiler in Rust)
//! and tonic-prost-build in a build script or a separate program:
//!
//! ```text
//! let files = protox::compile(["proto/kitchen.proto"], ["proto"])?;
//! tonic_prost_build::configure().build_transport(false).out_dir("src").compile_fds(files)?;
//! ```
//!
//! The program has to do itself what tonic's transport does in addition: timeouts (`deadline` in
//! `server.rs` applies the client's `grpc-timeout`), TLS (`Serve::handshake`, with TLS as in the
//! example `tls_echo`), and several services on one port (tonic's `Routes`, feature `router`).
//!
//! To start from this program, copy `src`, with this in the `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! env_logger = { version = "0.11", default-features = false, features = ["auto-color", "humantime"] }
//! futures-util = { version = "0.3", default-features = false, features = ["std"] }
//! headwaiter = { version = "0.1", features = ["hyper-client"] }
//! hyper-util = { version = "0.1", features = ["client-legacy", "http2"] }
//! log = "0.4"
//! prost = "0.14"
//! tonic = { version = "0.14", default-features = false, features = ["codegen"] }
//! tonic-prost = "0.14"
//! ```

mod client;
#[allow(clippy::all, unused_qualifications)]
mod kitchen;
mod server;

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use headwaiter::net::TcpListener;
use headwaiter::signal::ctrl_c;
use headwaiter::task::CancelToken;
use log::{error, info};

/// How long calls may take to finish after Ctrl-C.
const GRACE: Duration = Duration::from_secs(5);

const USAGE: &str = "usage: grpc [server [ADDRESS] | client URL]";

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = headwaiter::block_on(async {
        match args[..] {
            [] => demonstrate().await,
            ["server"] => serve("127.0.0.1:50051").await,
            ["server", address] => serve(address).await,
            ["client", url] => client::run(url).await,
            _ => Err(USAGE.into()),
        }
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C.
async fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    info!("listening on http://{}", listener.local_addr()?);
    let closing = CancelToken::new();
    let close = closing.clone();
    let on_ctrl_c = async move { ctrl_c().await.map(|()| close.cancel()) };
    headwaiter::spawn(on_ctrl_c).log_error();
    Ok(server::serve(listener, closing, GRACE).await?)
}

/// Runs both sides in one loop.
async fn demonstrate() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let closing = CancelToken::new();
    let server = headwaiter::spawn(server::serve(listener, closing.clone(), GRACE));
    client::run(&url).await?;
    closing.cancel();
    Ok(server.await??)
}
