//! A single-threaded event loop, built on mio: it runs async tasks, timers, sockets and files on
//! one thread, so tasks share data without atomics, mutexes or `Send` bounds. It reports each of its
//! steps, so you can watch it work, and its source is written to be read.
//!
//! ```
//! use headwaiter::net::{TcpListener, TcpStream};
//! use headwaiter::time::timeout;
//! use std::time::Duration;
//!
//! fn main() -> std::io::Result<()> {
//!     headwaiter::block_on(async {
//!         let listener = TcpListener::bind("127.0.0.1:0").await?;
//!         let address = listener.local_addr()?;
//!
//!         let server = headwaiter::spawn(async move {
//!             let (mut stream, _) = listener.accept().await?;
//!             let mut order = [0; 4];
//!             stream.read_exact(&mut order).await?;
//!             stream.write_all(&order).await
//!         });
//!
//!         let mut client = TcpStream::connect(address).await?;
//!         client.write_all(b"soup").await?;
//!         let mut served = [0; 4];
//!         timeout(Duration::from_secs(5), client.read_exact(&mut served)).await??;
//!         assert_eq!(&served, b"soup");
//!         server.await.expect("the server did not panic")
//!     })
//! }
//! ```
//!
//! [`block_on`] makes a loop and runs a future on it. [`EventLoop`] is a loop of your own:
//! [`Builder`] configures it, and another event loop can drive it, one [`turn`](EventLoop::turn) at
//! a time. Inside the loop, [`spawn`] starts a task; from other threads, use a [`Handle`].
//! Functions that need a running loop use the one that runs on their thread, and panic with advice
//! if there is none.
//!
//! # Where to find what
//!
//! | module or function | what it has |
//! |---|---|
//! | [`task`] | tasks, groups of tasks that end together, cancellation, the cooperative budget |
//! | [`time`] | sleeps, timeouts and intervals, on a real or a virtual [`Clock`] |
//! | [`net`] | TCP, UDP and Unix sockets, look-ups of host names |
//! | [`io`] | byte streams: pipes, the standard streams, any file descriptor, copying |
//! | [`fs`] | files and directories |
//! | [`sync`] | locks and channels for the tasks of one thread |
#![cfg_attr(unix, doc = "| [`process`] | child processes |")]
#![cfg_attr(feature = "signal", doc = "| [`signal`] | signals |")]
#![cfg_attr(
    any(feature = "hyper", feature = "tokio-io", feature = "quinn"),
    doc = "| [`compat`] | this loop beneath hyper, tokio's I/O traits and quinn |"
)]
//! | [`on_ready`] | callbacks for sources of the kernel, without futures |
//! | [`spawn_blocking`] | a pool of threads for calls that block |
//! | [`Handle`], [`RemoteHandle`] | the loop as other threads reach it |
//! | [`observe`], [`stats`], [`dump()`] | what the loop does, has done, and waits for |
//! | [`Deadlock`] | what the loop does about tasks that can never continue |
#![cfg_attr(feature = "macros", doc = "| [`#[main]`](macro@main) | a `main` that is async |")]
#![cfg_attr(
    feature = "macros",
    doc = "| [`#[test]`](macro@test) | an async test, under many orders of tasks and with a time limit if you like |"
)]
//! | [`explore()`] | a test under many orders of tasks, which can be replayed |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `macros` (default) | the attributes `#[headwaiter::main]` and `#[headwaiter::test]` |
//! | `signal` (default) | the module `signal` |
//! | `bytes` | `read_buf`, `write_buf`, `recv_buf` and the like, for the buffers of the crate bytes |
//! | `hyper` | `compat::hyper`: an HTTP/1.1 and HTTP/2 server, and the traits of hyper |
//! | `hyper-client` | `compat::hyper::Connector`, for hyper-util's client; also enables `hyper` |
//! | `tokio-io` | tokio's `AsyncRead` and `AsyncWrite` on all streams |
//! | `quinn` | `compat::quinn::Runtime`, for QUIC and HTTP/3 |
//!
//! # More
//!
//! The README of the repository has a tour, and its folder `docs` has pages on the design, on what
//! blocks a loop, on classic mistakes, on shutting down a server, and on the differences from
//! tokio. With `RUST_LOG=headwaiter=trace`, and a logger, the loop logs each of its steps.

// Ordered by layer, from the state upwards: see `docs/design.md`. A module imports only from its
// own layer and from those below it.
mod fmt;
mod state;
mod about;
mod door;
mod reactor;
pub mod task;
pub mod time;
mod offload;
mod remote;
pub mod observe;
mod event_loop;
pub mod io;
pub mod net;
pub mod fs;
pub mod sync;
#[cfg(feature = "signal")]
pub mod signal;
#[cfg(unix)]
pub mod process;
#[cfg(any(feature = "hyper", feature = "tokio-io", feature = "quinn"))]
pub mod compat;
mod explore;
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod testing;
#[cfg(feature = "macros")]
mod attributes;

pub use mio::Interest;

#[cfg(feature = "macros")]
pub use attributes::{main, test};
pub use event_loop::{Builder, EventLoop, Turn, block_on};
pub use explore::explore;
pub use observe::dump::{Dump, dump};
pub use observe::stats::stats;
pub use offload::{spawn_blocking, try_spawn_blocking};
pub use reactor::{Next, Ready, Registration, on_ready};
pub use remote::{Handle, RemoteHandle};
pub use state::clock::Clock;
pub use state::suspects::Deadlock;
pub use task::spawn;

/// Runs the code in the README and in `docs/` as doctests.
#[cfg(all(doctest, feature = "signal"))]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(all(doctest, feature = "signal"))]
#[doc = include_str!("../docs/shutdown.md")]
mod shutdown {}

#[cfg(all(doctest, feature = "signal"))]
#[doc = include_str!("../docs/questions.md")]
mod questions {}

#[cfg(all(doctest, unix))]
#[doc = include_str!("../docs/from-tokio.md")]
mod from_tokio {}
