//! [`channel`]: one value that changes, and tasks that watch it. A receiver sees only the
//! latest value: earlier ones that it has not borrowed are gone.
//!
//! A receiver has *seen* the value that was there when it was made. Each send makes a newer one,
//! equal or not. [`Receiver::changed`] waits for a value that the receiver has not seen, and marks
//! it as seen.
//!
//! # Borrowing the value
//!
//! [`Ref`] borrows the value where it is. A send while a [`Ref`] exists panics, because both are on
//! one thread, where neither can wait for the other. So copy what you need, or drop the [`Ref`]
//! before the next `await`:
//!
//! ```
//! use headwaiter::sync::watch;
//! use headwaiter::task::yield_now;
//!
//! headwaiter::block_on(async {
//!     let (board, guest) = watch::channel("soup");
//!     let dish = *guest.borrow(); // The `Ref` is dropped at the end of this line.
//!     yield_now().await;
//!     board.send("fish").unwrap();
//!     assert_eq!(dish, "soup");
//! });
//! ```
//!
//! The closures of [`Sender::send_modify`], [`Sender::send_if_modified`] and [`Receiver::wait_for`]
//! run while the value is borrowed. If they use the same channel's value, or send, they panic with
//! a message that says so. The channel stays usable.

mod shared;
mod sender;
mod receiver;
pub mod error;

use std::rc::Rc;

pub use self::receiver::{Changed, Receiver, WaitFor};
pub use self::sender::Sender;
pub use self::shared::Ref;
use self::shared::Shared;
pub use super::closed::Closed;

/// Makes a channel that holds one value, `init` at first.
///
/// ```
/// use headwaiter::sync::watch;
///
/// headwaiter::block_on(async {
///     let (board, mut guest) = watch::channel("soup");
///     let seen = headwaiter::spawn(async move {
///         let mut seen = vec![*guest.borrow()];
///         while guest.changed().await.is_ok() {
///             seen.push(*guest.borrow_and_update());
///         }
///         seen // The sender is gone.
///     });
///     board.send("fish").unwrap(); // No task has seen this one when the next replaces it.
///     board.send("cake").unwrap();
///     drop(board);
///     assert_eq!(seen.await.unwrap(), ["cake", "cake"]);
/// });
/// ```
pub fn channel<T>(init: T) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared::new(init));
    let receiver = Receiver::new(Rc::clone(&shared));
    (Sender { shared }, receiver)
}
