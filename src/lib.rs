#![doc = include_str!("../README.md")]

// In the order in which to read them.
mod event_loop;
mod reactor;
pub mod task;
pub mod time;
pub mod io;
pub mod net;
mod remote;
mod core;
mod slots;
mod observe;

pub use mio::Interest;

pub use event_loop::{Builder, EventLoop, Turn, block_on};
pub use reactor::{Next, Ready, Registration, on_ready};
pub use remote::{Handle, RemoteHandle};
pub use task::spawn;
pub use time::clock::Clock;
