//! hyper 1 on this loop. [`serve()`] is an HTTP server in one line, with limits, for axum's routers
//! and the services of tower and hyper. For other uses of hyper, [`Io`] adapts a stream of this
//! crate, and [`Executor`] and [`Timer`] provide tasks and timers.
#![cfg_attr(
    feature = "hyper-client",
    doc = "\n[`Connector`] makes the connections of hyper-util's client, [`UnixConnector`] those to a \
           Unix socket."
)]

// In the order in which to read them.
mod serve;
mod server;
mod connection;
mod guard;
mod watch;
mod service;
mod body;
mod transport;
mod listener;
mod handshake;
#[cfg(feature = "hyper-client")]
mod connector;
mod io;
mod runtime;

pub use body::{Body, BodyTimeout};
#[cfg(all(feature = "hyper-client", unix))]
pub use connector::UnixConnector;
#[cfg(feature = "hyper-client")]
pub use connector::{Connecting, Connector};
pub use io::Io;
pub use listener::{Listener, Peer};
pub use runtime::{Executor, Timer};
pub use serve::{Serve, serve};
pub use service::{HttpService, IntoService};
