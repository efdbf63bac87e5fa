// The README's links are to files beside it. Of two definitions of a link the first counts: these are of docs.rs.
#![doc = include_str!("links.md")]
#![doc = include_str!("../README.md")]

// In the order in which to read them: from the turn downwards, then what users call.
mod event_loop;
mod reactor;
pub mod task;
pub mod time;
mod door;
mod state;
pub mod io;
pub mod net;
pub mod fs;
mod offload;
mod remote;
pub mod sync;
#[cfg(feature = "signal")]
pub mod signal;
#[cfg(unix)]
pub mod process;
#[cfg(any(feature = "hyper", feature = "tokio-io", feature = "quinn"))]
pub mod compat;
pub mod observe;
mod explore;
mod about;
mod fmt;

pub use mio::Interest;

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

/// The code in `docs/` compiles and runs, as the README's does.
#[cfg(all(doctest, feature = "signal"))]
#[doc = include_str!("../docs/shutdown.md")]
mod shutdown {}

#[cfg(all(doctest, feature = "signal"))]
#[doc = include_str!("../docs/questions.md")]
mod questions {}
