//! Synchronization between the tasks of one thread: locks and channels, without atomics.
//!
//! | | |
//! |---|---|
//! | [`Mutex`] | a value that one task at a time may use, also across an `await` |
//! | [`RwLock`] | a value that several tasks at a time may read, or one may write |
//! | [`Semaphore`] | a limited number of permits |
//! | [`Notify`] | an event without data |
//! | [`Barrier`] | a number of tasks that wait for each other |
//! | [`OnceCell`], [`SetOnce`] | a value that is made once, or set once |
//! | [`oneshot`] | one value, from one task to another |
//! | [`watch`] | one value that changes, and tasks that watch it |
//! | [`mpsc`] | many messages, from many tasks to one |
//! | [`broadcast`] | many messages, from many tasks to many |
//!
//! The names and their meaning are those of tokio. Nothing here is `Send`. Between threads, use the
//! channels of the ecosystem (async-channel, futures-channel, flume): the wakers of this crate may
//! be woken on any thread. Nothing is `Sync` either, so a `static` needs
//! [`thread_local!`](std::thread_local), or std's [`OnceLock`](std::sync::OnceLock).
//!
//! # Fairness
//!
//! Waiters are served in the order in which they began to wait (FIFO). What becomes free is granted
//! to the first waiter, and no later one gets ahead of it. If its future is dropped before it takes
//! what it was granted, that goes to the next waiter. If the future is leaked instead, with
//! [`std::mem::forget`], or kept and never polled, the other waiters wait for ever.
//!
//! Closing one end of a channel is reported at the other. A panic unlocks what it held, and there
//! is no poisoning.
//!
//! # Where they work
//!
//! Nothing here needs a loop: operations that complete immediately work anywhere on the thread,
//! also in a `drop`, and the futures can be awaited in any executor. The two ends of a channel may
//! be in two loops of one thread. (The exception is [`mpsc::Sender::send_timeout`], for its timer.)
//!
//! # The cooperative budget
//!
//! In a loop of this crate, an operation that completes immediately spends one of the 128 units
//! that a task has in each poll. So two tasks with a busy channel do not starve the others. An
//! operation that finds the budget spent is *refused*: it returns `Pending` once, with its task
//! woken, and completes at its next poll. It keeps its place in the queue, and what is free is
//! granted to it immediately, so no later task gets ahead of it.
//!
//! A refusal grants one unit. A task that ignores it, as a `select` in a loop does while another of
//! its branches is ready, is refused every second operation from then on, and makes progress.
//!
//! Code that polls a future only once, with `poll_once` or `now_or_never`, sees that one `Pending`
//! in 128 although the value is there. The `try_` methods spend no budget and are never refused:
//! use them to check for a value. See also [`task::unconstrained`](crate::task::unconstrained) and
//! [`task::consume_budget`](crate::task::consume_budget).

mod mutex;
mod owned_lock;
mod raw_mutex;
mod rwlock;
mod notify;
mod semaphore;
mod permit;
mod barrier;
mod once_cell;
mod set_once;
mod closed;
mod lock_record;
mod wait_list;
mod single_waiter;

pub mod watch;
pub mod broadcast;
pub mod mpsc;
pub mod oneshot;

pub use self::barrier::{Barrier, BarrierWait, BarrierWaitResult};
pub use self::mutex::{Lock, MappedMutexGuard, Mutex, MutexGuard, TryLockError};
pub use self::notify::{Notified, Notify, OwnedNotified};
pub use self::once_cell::{GetOrInit, GetOrTryInit, OnceCell, SetError};
pub use self::owned_lock::{LockOwned, OwnedMutexGuard};
pub use self::permit::{OwnedSemaphorePermit, Permit, SemaphorePermit};
pub use self::rwlock::{
    LockRead, LockReadOwned, LockWrite, LockWriteOwned, OwnedRwLockReadGuard,
    OwnedRwLockWriteGuard, RwLock, RwLockMappedWriteGuard, RwLockReadGuard, RwLockWriteGuard,
};
pub use self::semaphore::{Acquire, AcquireError, Semaphore, TryAcquireError};
pub use self::set_once::{SetOnce, SetOnceError, SetOnceWait};
