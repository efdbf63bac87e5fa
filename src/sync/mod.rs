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
//! can be awaited in any executor. In a loop of ours an operation that completes at once spends budget, so that two
//! tasks with a busy channel starve nobody. The two ends of a channel may also stand in two loops of one thread.

mod mutex;
mod notify;
mod semaphore;
mod wait_list;

pub mod mpsc;
pub mod oneshot;

pub use self::mutex::{Lock, Mutex, MutexGuard, TryLockError};
pub use self::notify::{Notified, Notify};
pub use self::semaphore::{
    Acquire, AcquireError, OwnedSemaphorePermit, Permit, Semaphore, SemaphorePermit, TryAcquireError,
};
