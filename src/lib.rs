#![doc = include_str!("../README.md")]

mod core;
mod event_loop;
pub mod io;
pub mod net;
mod observe;
mod reactor;
mod remote;
mod slots;
pub mod task;
pub mod time;

pub use mio::Interest;

pub use event_loop::{Builder, EventLoop, Turn, block_on};
pub use reactor::{Next, Ready, Registration, on_ready};
pub use remote::{Handle, RemoteHandle};
pub use task::spawn;
pub use time::clock::Clock;
