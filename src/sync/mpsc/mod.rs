//! [`channel`] and [`unbounded_channel`]: messages from many tasks to one, in the order in which
//! they were sent.
//!
//! A bounded channel makes its senders wait while it is full: room for a message is a permit like
//! that of a [`Semaphore`], which a message holds until it is received.

mod shared;
mod sender;
mod permit;
mod send_timeout;
mod weak;
mod receiver;
pub mod error;

use std::cell::{Cell, RefCell};
use std::{collections::VecDeque, panic::Location, rc::Rc};

pub use self::permit::{OwnedPermit, Permit, PermitIterator, Reserve, ReserveMany, ReserveOwned};
pub use self::receiver::{Receiver, Recv, RecvMany, UnboundedReceiver};
pub use self::send_timeout::SendTimeout;
use self::sender::End;
pub use self::sender::{Closed, Send, Sender, UnboundedSender};
use self::shared::{Channel, Raw};
pub use self::weak::{WeakSender, WeakUnboundedSender};
use super::semaphore::{Permits, Semaphore};
use super::single_waiter::SingleWaiter;
use super::wait_list::WaitList;

/// Makes a channel with room for `capacity` messages. While it is full, senders wait.
///
/// ```
/// use headwaiter::sync::mpsc;
///
/// headwaiter::block_on(async {
///     let (orders, mut kitchen) = mpsc::channel(2);
///     for table in 1..=3 {
///         let orders = orders.clone();
///         headwaiter::spawn(async move { orders.send(table).await });
///     }
///     drop(orders);
///     // It ends when the last sender is gone.
///     let mut sum = 0;
///     while let Some(table) = kitchen.recv().await {
///         sum += table;
///     }
///     assert_eq!(sum, 6);
/// });
/// ```
///
/// # Panics
///
/// With a capacity of 0, or of more than [`Semaphore::MAX_PERMITS`].
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(
        capacity > 0,
        "headwaiter: `mpsc::channel(0)` could never hold a message: give it room for one at least"
    );
    assert!(
        capacity <= Semaphore::MAX_PERMITS,
        "headwaiter: `mpsc::channel` with more than `Semaphore::MAX_PERMITS`: use `mpsc::unbounded_channel` for \"no limit\""
    );
    let (end, receiver) = ends(capacity);
    (Sender { end }, receiver)
}

/// Makes a channel that is never full. Its senders do not wait, so there is no backpressure, and
/// the queue can grow until memory runs out. Prefer [`channel`] where the messages come from
/// outside.
///
/// ```
/// use headwaiter::sync::mpsc;
///
/// headwaiter::block_on(async {
///     let (bell, mut waiter) = mpsc::unbounded_channel();
///     bell.send("table 4").unwrap();
///     assert_eq!(waiter.recv().await, Some("table 4"));
///     drop(waiter);
///     assert_eq!(bell.send("table 5").unwrap_err().0, "table 5");
/// });
/// ```
#[track_caller]
pub fn unbounded_channel<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    let (end, receiver) = ends(Semaphore::MAX_PERMITS);
    (UnboundedSender { end }, receiver)
}

/// A shorter name of [`unbounded_channel`].
#[track_caller]
pub fn unbounded<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    unbounded_channel()
}

#[track_caller]
fn ends<T>(capacity: usize) -> (End<T>, Receiver<T>) {
    let raw = Raw {
        room: Permits::new(capacity, "room in a channel"),
        capacity,
        messages: Cell::new(0),
        senders: Cell::new(1),
        weak_senders: Cell::new(0),
        receiver_gone: Cell::new(false),
        receiving: SingleWaiter::new(),
        closing: WaitList::new("the end of a channel"),
    };
    let channel = Rc::new(Channel { queue: RefCell::new(VecDeque::new()), raw });
    (End(Rc::clone(&channel)), Receiver { channel, place: Location::caller() })
}
