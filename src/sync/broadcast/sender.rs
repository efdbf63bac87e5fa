//! The sending ends of a channel that sends each message to all receivers.

use std::rc::Rc;

use super::error::SendError;
use super::receiver::Receiver;
use super::shared::Shared;
use crate::fmt::debug_struct;
use crate::sync::closed::Closed;

/// Sends to all receivers of a [`channel`](super::channel()). Clone it for each task that sends; the
/// channel ends when the last clone is dropped.
pub struct Sender<T> {
    pub(super) shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Makes a channel without a receiver: [`subscribe`](Self::subscribe) makes one. For the
    /// capacity see [`channel`](super::channel()).
    ///
    /// # Panics
    ///
    /// If `capacity` is 0, or more than `usize::MAX / 2`.
    #[track_caller]
    pub fn new(capacity: usize) -> Self {
        Sender { shared: Rc::new(Shared::new(capacity)) }
    }

    /// Sends without waiting, and returns how many receivers there are. It needs no loop.
    ///
    /// Not all of them may receive the message: a slow one may [miss](super#lagging) it, and one may
    /// be dropped before.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message, if there is no receiver.
    ///
    /// ```
    /// use headwaiter::sync::broadcast;
    ///
    /// let (kitchen, waiter) = broadcast::channel(16);
    /// assert_eq!(kitchen.send("soup"), Ok(1));
    /// drop(waiter);
    /// assert_eq!(kitchen.send("fish").unwrap_err().0, "fish");
    /// ```
    pub fn send(&self, message: T) -> Result<usize, SendError<T>> {
        let receivers = self.receiver_count();
        if receivers == 0 {
            return Err(SendError(message));
        }
        self.shared.send(message);
        Ok(receivers)
    }

    /// Makes a receiver, for the messages that are sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(Rc::clone(&self.shared))
    }

    /// Returns a sender that does not keep the channel open.
    pub fn downgrade(&self) -> WeakSender<T> {
        let weak_senders = &self.shared.raw.weak_senders;
        weak_senders.set(weak_senders.get() + 1);
        WeakSender { shared: Rc::clone(&self.shared) }
    }

    /// Returns how many messages are in the channel: those that some receiver has not received.
    ///
    /// ```
    /// use headwaiter::sync::broadcast;
    ///
    /// let (kitchen, mut anna) = broadcast::channel(16);
    /// let mut ben = kitchen.subscribe();
    /// kitchen.send("soup").unwrap();
    /// kitchen.send("fish").unwrap();
    /// anna.try_recv().unwrap();
    /// assert_eq!(kitchen.len(), 2);
    /// ben.try_recv().unwrap();
    /// assert_eq!(kitchen.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no message is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.raw.receivers.get()
    }

    /// Whether both send into the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    /// Waits until there is no receiver. It is cancel-safe.
    ///
    /// ```
    /// use headwaiter::sync::broadcast;
    ///
    /// headwaiter::block_on(async {
    ///     let (kitchen, waiter) = broadcast::channel::<&str>(16);
    ///     let cook = headwaiter::spawn(async move { kitchen.closed().await });
    ///     drop(waiter);
    ///     cook.await.unwrap();
    /// });
    /// ```
    #[track_caller]
    pub fn closed(&self) -> Closed<'_> {
        let raw = &self.shared.raw;
        Closed::new(&raw.closing, &raw.receivers)
    }

    /// Returns how many senders there are, with this one and without weak ones.
    pub fn strong_count(&self) -> usize {
        self.shared.raw.senders.get()
    }

    /// Returns how many weak senders there are.
    pub fn weak_count(&self) -> usize {
        self.shared.raw.weak_senders.get()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.raw.add_sender();
        Sender { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.raw.drop_sender();
    }
}

debug_struct!(impl[T] for Sender<T> as "Sender",
    |this| len: this.len(), receivers: this.receiver_count(), ..);

/// A [`Sender`] that does not keep the channel open.
///
/// ```
/// use headwaiter::sync::broadcast;
///
/// let (kitchen, mut waiter) = broadcast::channel(16);
/// let weak = kitchen.downgrade();
/// weak.upgrade().unwrap().send("soup").unwrap();
/// assert_eq!(waiter.try_recv(), Ok("soup"));
/// drop(kitchen);
/// assert!(weak.upgrade().is_none());
/// ```
pub struct WeakSender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> WeakSender<T> {
    /// Returns a sender, or `None` if all of them are gone.
    pub fn upgrade(&self) -> Option<Sender<T>> {
        if self.strong_count() == 0 {
            return None;
        }
        self.shared.raw.add_sender();
        Some(Sender { shared: Rc::clone(&self.shared) })
    }

    /// Returns how many senders there are, without weak ones.
    pub fn strong_count(&self) -> usize {
        self.shared.raw.senders.get()
    }

    /// Returns how many weak senders there are, with this one.
    pub fn weak_count(&self) -> usize {
        self.shared.raw.weak_senders.get()
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        let weak_senders = &self.shared.raw.weak_senders;
        weak_senders.set(weak_senders.get() + 1);
        WeakSender { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for WeakSender<T> {
    fn drop(&mut self) {
        let weak_senders = &self.shared.raw.weak_senders;
        weak_senders.set(weak_senders.get() - 1);
    }
}

debug_struct!(impl[T] for WeakSender<T> as "WeakSender",
    |this| strong_count: this.strong_count(), ..);
