//! hyper 1 on this loop: [`Io`] gives hyper a stream of this crate, [`Executor`] and [`Timer`] give it tasks and timers.

mod io;
mod runtime;

pub use io::Io;
pub use runtime::{Executor, Timer};
