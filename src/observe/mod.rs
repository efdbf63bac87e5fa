//! Everything that reports on the loop's work: the [steps](Step) that an [`Observer`] receives,
//! [`Timeline`], which draws them, [`Stats`], dumps, log lines, and the detection of stuck tasks
//! and stalls.

// These modules read the state and belong to layer 2: see `docs/design.md`. They change only their
// own notes in it. The exception is `stuck`, which drops a task of a deadlock under
// `Deadlock::Fail`.
pub(crate) mod stats;
pub(crate) mod dump;
pub(crate) mod stuck;
mod wait_graph;
mod words;
pub(crate) mod stall;
pub(crate) mod watcher;
pub(crate) mod log_lines;
mod timeline;

pub use self::stats::{Spread, Stats};
pub use self::timeline::Timeline;
pub use crate::state::ready::Direction;
pub use crate::state::step::{Observer, Outcome, SourceId, Step, TimerId, WaitFor};
