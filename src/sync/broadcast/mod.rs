//! [`channel`]: messages from many tasks to many. Each receiver gets a clone of each message that
//! was sent after the receiver was made.
//!
//! # Lagging
//!
//! A send does not wait. A channel that is full drops its oldest message, even if not all
//! receivers have received it. A receiver that has missed messages is told how many, by
//! [`RecvError::Lagged`](error::RecvError::Lagged) in place of the next message. It stays
//! subscribed, and goes on with the oldest message that is left.
//!
//! ```
//! use headwaiter::sync::broadcast::{self, error::RecvError};
//!
//! headwaiter::block_on(async {
//!     let (kitchen, mut waiter) = broadcast::channel(2);
//!     for dish in ["soup", "fish", "cake"] {
//!         kitchen.send(dish).unwrap();
//!     }
//!     assert_eq!(waiter.recv().await, Err(RecvError::Lagged(1)));
//!     assert_eq!(waiter.recv().await, Ok("fish"));
//! });
//! ```
//!
//! # Messages
//!
//! A message is dropped when all its receivers have received it. The last of them gets the message
//! itself, the others get clones. A large message is cheaper in an [`Rc`].
//!
//! While a message is being cloned, it is out of the channel. Code in its `Clone` may use the
//! channel, and may even push the message out, but to receive the same message there panics.

mod shared;
mod sender;
mod receiver;
pub mod error;

use std::rc::Rc;

pub use self::receiver::{Receiver, Recv};
pub use self::sender::{Sender, WeakSender};
pub use super::closed::Closed;

/// Makes a channel that keeps at least `capacity` messages for receivers that have not received
/// them: `capacity` rounded up to a power of two, as in tokio. The memory is allocated as it is needed.
///
/// ```
/// use headwaiter::sync::broadcast::{self, error::RecvError};
///
/// headwaiter::block_on(async {
///     let (kitchen, mut anna) = broadcast::channel(16);
///     let mut ben = kitchen.subscribe();
///     let served = headwaiter::spawn(async move { (anna.recv().await, ben.recv().await) });
///     assert_eq!(kitchen.send("soup"), Ok(2)); // Two receivers.
///     assert_eq!(served.await.unwrap(), (Ok("soup"), Ok("soup")));
///
///     let mut late = kitchen.subscribe();
///     drop(kitchen);
///     assert_eq!(late.recv().await, Err(RecvError::Closed));
/// });
/// ```
///
/// # Panics
///
/// If `capacity` is 0, or more than `usize::MAX / 2`.
#[track_caller]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(shared::Shared::new(capacity));
    let receiver = Receiver::new(Rc::clone(&shared));
    (Sender { shared }, receiver)
}
