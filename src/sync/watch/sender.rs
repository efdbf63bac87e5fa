//! The sending ends of a channel that holds one value.

use std::panic::Location;
use std::rc::Rc;

use super::error::SendError;
use super::receiver::Receiver;
use super::shared::{Ref, Shared};
use crate::fmt::debug_struct;
use crate::sync::closed::Closed;

/// Changes the value of a [`channel`](super::channel()). Clone it for each task that does. The
/// channel is closed when the last clone is dropped.
pub struct Sender<T> {
    pub(super) shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Makes a channel without a receiver: [`subscribe`](Self::subscribe) makes one.
    pub fn new(init: T) -> Self {
        Sender { shared: Rc::new(Shared::new(init)) }
    }

    /// Replaces the value, and wakes the receivers that wait for a change. It needs no loop.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the new value, if there is no receiver. The value of the channel stays as
    /// it is. To change it anyway, use [`send_replace`](Self::send_replace).
    ///
    /// # Panics
    ///
    /// While the value is [borrowed](super#borrowing-the-value).
    ///
    /// ```
    /// use headwaiter::sync::watch;
    ///
    /// let (board, guest) = watch::channel("soup");
    /// board.send("fish").unwrap();
    /// assert_eq!(*guest.borrow(), "fish");
    /// drop(guest);
    /// assert_eq!(board.send("cake").unwrap_err().0, "cake");
    /// assert_eq!(*board.borrow(), "fish");
    /// ```
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        drop(self.shared.replace(value, "`watch::Sender::send`"));
        Ok(())
    }

    /// Changes the value in place, and wakes the receivers, if there are any.
    ///
    /// If `modify` panics, what it has changed stays changed, and no receiver is woken.
    ///
    /// # Panics
    ///
    /// While the value is [borrowed](super#borrowing-the-value).
    ///
    /// ```
    /// use headwaiter::sync::watch;
    ///
    /// let (board, guest) = watch::channel(vec!["soup"]);
    /// board.send_modify(|dishes| dishes.push("fish"));
    /// assert_eq!(*guest.borrow(), ["soup", "fish"]);
    /// ```
    #[track_caller]
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        let modify = |value: &mut T| {
            modify(value);
            true
        };
        self.shared.modify(modify, "`watch::Sender::send_modify`");
    }

    /// Changes the value in place, and wakes the receivers if `modify` returns `true`. Returns that
    /// too.
    ///
    /// If `modify` changes the value and returns `false`, receivers see the change when they
    /// borrow the value, but are not woken.
    ///
    /// # Panics
    ///
    /// While the value is [borrowed](super#borrowing-the-value).
    ///
    /// ```
    /// use headwaiter::sync::watch;
    ///
    /// let (guests, waiter) = watch::channel(3);
    /// let arrive = |count: &mut i32| {
    ///     let has_room = *count < 4;
    ///     *count += i32::from(has_room);
    ///     has_room
    /// };
    /// assert!(guests.send_if_modified(arrive));
    /// assert!(waiter.has_changed().unwrap());
    /// assert!(!guests.send_if_modified(arrive));
    /// assert_eq!(*waiter.borrow(), 4);
    /// ```
    #[track_caller]
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        self.shared.modify(modify, "`watch::Sender::send_if_modified`")
    }

    /// Replaces the value, also if there is no receiver, and returns the one before.
    ///
    /// # Panics
    ///
    /// While the value is [borrowed](super#borrowing-the-value).
    #[track_caller]
    pub fn send_replace(&self, value: T) -> T {
        self.shared.replace(value, "`watch::Sender::send_replace`")
    }

    /// Borrows the value. Keep the borrow [short](super#borrowing-the-value).
    ///
    /// # Panics
    ///
    /// In the closure of `send_modify` or `send_if_modified` of the same channel.
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        let value = self.shared.read("`watch::Sender::borrow`", Location::caller());
        Ref { value, has_changed: false }
    }

    /// Makes a receiver, which has seen the present value.
    ///
    /// ```
    /// use headwaiter::sync::watch;
    ///
    /// let board = watch::Sender::new("soup");
    /// assert!(board.send("fish").is_err());
    /// let guest = board.subscribe();
    /// assert!(board.send("cake").is_ok());
    /// assert!(guest.has_changed().unwrap());
    /// ```
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(Rc::clone(&self.shared))
    }

    /// Whether there is no receiver. [`subscribe`](Self::subscribe) may make one.
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Waits until there is no receiver. It is cancel-safe.
    ///
    /// ```
    /// use headwaiter::sync::watch;
    ///
    /// headwaiter::block_on(async {
    ///     let (board, guest) = watch::channel("soup");
    ///     let cook = headwaiter::spawn(async move { board.closed().await });
    ///     drop(guest);
    ///     cook.await.unwrap();
    /// });
    /// ```
    #[track_caller]
    pub fn closed(&self) -> Closed<'_> {
        let raw = &self.shared.raw;
        Closed::new(&raw.closing, &raw.receivers)
    }

    /// Returns how many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.raw.receivers.get()
    }

    /// Returns how many senders there are, with this one.
    pub fn sender_count(&self) -> usize {
        self.shared.raw.senders.get()
    }

    /// Whether both send into the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.raw.add_sender();
        Sender { shared: Rc::clone(&self.shared) }
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Self {
        Sender::new(T::default())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.raw.drop_sender();
    }
}

debug_struct!(impl[T] for Sender<T> as "Sender",
    |this| receivers: this.receiver_count(), ..);
