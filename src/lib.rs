// The README's links are to files beside it. Of two definitions of a link the first counts: these are of docs.rs.
#![doc = include_str!("links.md")]
#![doc = include_str!("../README.md")]

// In the order in which to read them.
mod event_loop;
mod reactor;
pub mod task;
pub mod time;
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
mod core;
mod slots;
mod budget;
mod places;
mod waits;
mod shuffle;
pub mod observe;
mod about;

pub use mio::Interest;

pub use event_loop::{Builder, EventLoop, Turn, block_on};
pub use observe::dump::{Dump, dump};
pub use observe::stats::stats;
pub use observe::stuck::Deadlock;
pub use offload::{spawn_blocking, try_spawn_blocking};
pub use reactor::{Next, Ready, Registration, on_ready};
pub use remote::{Handle, RemoteHandle};
pub use shuffle::explore;
pub use task::spawn;
pub use time::clock::Clock;

/// The code in `docs/` compiles and runs, as the README's does.
#[cfg(all(doctest, feature = "signal"))]
#[doc = include_str!("../docs/shutdown.md")]
mod shutdown {}

#[cfg(all(doctest, feature = "signal"))]
#[doc = include_str!("../docs/questions.md")]
mod questions {}
