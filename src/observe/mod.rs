//! What the loop says about its work: the [steps](Step) that an [`Observer`] receives, [`Timeline`], which
//! draws them, and [`Stats`].

// Readers of the state, of layer 2: `docs/design.md`. They change only their own notes in it, but for
// `stuck`, which ends a task of a deadlock if the loop is told to.
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
