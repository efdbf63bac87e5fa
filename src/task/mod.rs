//! Tasks: futures that run on the loop, concurrently, each woken when it can continue. Also groups
//! of tasks that end together, sets of tasks whose outputs are taken one by one, and tokens that
//! cancel tasks.

// Users spawn tasks, wakers wake them by number (see `door/waker.rs`), and the last phase of a turn
// polls them. The states of a task, and the function behind each transition:
//
//   spawn ──(1)──► queued ──(2)──► running ──(3)──► waiting ──(4)──► queued ...
//                    │                │                │
//                    └──────(6)───────┼──────(6)───────┤
//                                    (5)               ▼
//                                     └───────────► finished ──(7)──► gone
//
// 1. `insert`  2. `run_next`  3. `State::settle`  4. `Tasks::wake`  5. `State::end_task`
// 6. `State::abort`  7. the `JoinHandle` takes the output, or is dropped: `State::detach`

mod spawn;
mod insert;
mod run;
mod join;
mod abort_handle;
mod id;
mod yield_now;
mod group;
mod join_set;
mod cancel;
mod local;
mod budget;
pub(crate) mod wait_record;

pub use self::abort_handle::AbortHandle;
pub use self::budget::{ConsumeBudget, Unconstrained, consume_budget, unconstrained};
pub use self::cancel::{CancelToken, Cancellable, Cancellation, Cancelled};
pub use self::group::{GroupClosed, JoinGroup, Spawner, TaskGroup};
pub use self::id::{id, try_id};
pub use self::join::JoinHandle;
pub use self::join_set::{JoinAll, JoinNext, JoinNextWithId, JoinSet, Shutdown};
#[doc(hidden)]
pub use self::local::Stored as __Stored;
pub use self::local::{AccessError, LocalKey, TaskLocalFuture};
pub(crate) use self::run::{Batch, Main, drop_all};
pub(crate) use self::spawn::spawn_at;
pub use self::spawn::{Builder, spawn};
pub use self::yield_now::{YieldNow, yield_now};
pub use crate::state::failure::JoinError;
pub use crate::state::step::Id;
