//! What tasks of one thread share and tell each other: locks and channels, without atomics.
//!
//! | | |
//! |---|---|
//! | [`Mutex`] | a value that one task at a time may use, also across an `await` |
//! | [`Semaphore`] | so many at a time |
//! | [`Notify`] | something has happened |
//! | [`oneshot`] | one value, from one task to another |
//! | [`mpsc`] | many messages, from many tasks to one |
//!
//! Names and meaning are tokio's. Nothing here is `Send`: between threads, the channels of the ecosystem do (async-channel,
//! futures-channel, flume), because the wakers of this crate may be woken on any thread.
//!
//! # Who waits
//!
//! First come, first served: what becomes free is handed to who has waited longest, and nobody gets ahead of it. If its
//! future is dropped before it could take it, it goes to the next. If the future is leaked instead, with
//! [`std::mem::forget`], or kept and never polled, it is lost to the others, who then wait for ever: nothing worse happens.
//!
//! What is closed says so on both ends. A panic leaves nothing locked, and nothing poisoned.
//!
//! # Where they work
//!
//! None of it needs a loop: what can be done at once can be done anywhere on the thread, also in a `drop`, and the futures
//! can be awaited in any executor. The two ends of a channel may also be in two loops of one thread.
//!
//! # The cooperative budget
//!
//! In a loop of this crate, an operation that completes at once spends one of the 128 units that a task has in each poll. So two tasks
//! with a busy channel do not starve the rest. The operation that finds the budget spent is *refused*: it returns `Pending` once, with
//! its task woken, and completes at its next poll. It loses nothing by that. It takes its place in the queue like any other; what is free
//! it is granted at once, so no task that asks later gets ahead of it.
//!
//! A refusal grants one unit. A task that ignores it and goes on, as a `select` in a loop does while another of its branches is ready, is
//! from then on refused every second operation, and makes progress.
//!
//! Code that polls a future only once, with `poll_once` or `now_or_never`, sees the one `Pending` in 128, though the value is there. The `try_`
//! methods spend no budget and are never refused: use those to look whether something is there. See also
//! [`task::unconstrained`](crate::task::unconstrained) and [`task::consume_budget`](crate::task::consume_budget).

mod mutex;
mod notify;
mod semaphore;
mod wait_list;
mod single_waiter;

pub mod mpsc;
pub mod oneshot;

pub use self::mutex::{Lock, Mutex, MutexGuard, TryLockError};
pub use self::notify::{Notified, Notify};
pub use self::semaphore::{
    Acquire, AcquireError, OwnedSemaphorePermit, Permit, Semaphore, SemaphorePermit,
    TryAcquireError,
};
