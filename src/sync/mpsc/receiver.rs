//! The receiving end of a channel, and its futures.
//!
//! It takes messages by way of `shared.rs`, which releases their room. Its drop drops the messages
//! with nothing borrowed.

use std::task::{Context, Poll};
use std::{panic::Location, pin::Pin, rc::Rc};

use futures_core::Stream;

use super::error::TryRecvError;
use super::shared::Channel;
use crate::fmt::debug_struct;

/// Receives from a [`channel`](super::channel()) or an
/// [`unbounded_channel`](super::unbounded_channel). It is also a [`Stream`].
///
/// Dropping it drops the messages that it has not received, and wakes the waiting senders.
pub struct Receiver<T> {
    pub(super) channel: Rc<Channel<T>>,
    /// Where the channel was made: reported for waits other than [`recv`](Self::recv), because a
    /// stream has no place of its own.
    pub(super) place: &'static Location<'static>,
}

/// Receives from an [`unbounded_channel`](super::unbounded_channel).
pub type UnboundedReceiver<T> = Receiver<T>;

impl<T> Receiver<T> {
    /// Waits for a message. Returns `None` at the end of the channel: when the queue is empty and
    /// all senders are gone, or the receiver was [closed](Self::close).
    ///
    /// Cancel-safe: a dropped future has received nothing.
    #[inline]
    #[track_caller]
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv { receiver: self, place: Location::caller() }
    }

    /// As [`recv`](Self::recv), for a future of your own. Only the waker of the last poll is woken.
    /// The wait is reported at the place where the channel was made.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.channel.poll_take(self.place, cx)
    }

    /// Waits for a message, and moves up to `limit` messages from the channel to the end of `buffer`.
    /// Returns how many: 0 at the end of the channel, or if `limit` is 0.
    ///
    /// It returns as soon as there is one message, so `limit` is not a number to wait for. It costs
    /// one unit of the [budget](crate::sync#the-cooperative-budget), however many messages there
    /// are.
    ///
    /// Cancel-safe: a dropped future has received nothing.
    ///
    /// ```
    /// use headwaiter::sync::mpsc;
    ///
    /// headwaiter::block_on(async {
    ///     let (orders, mut kitchen) = mpsc::unbounded_channel();
    ///     for dish in ["soup", "fish", "cake"] {
    ///         orders.send(dish).unwrap();
    ///     }
    ///     drop(orders);
    ///     let mut tray = Vec::new();
    ///     assert_eq!(kitchen.recv_many(&mut tray, 2).await, 2);
    ///     assert_eq!(kitchen.recv_many(&mut tray, 2).await, 1);
    ///     assert_eq!(tray, ["soup", "fish", "cake"]);
    ///     assert_eq!(kitchen.recv_many(&mut tray, 2).await, 0); // The end.
    /// });
    /// ```
    #[track_caller]
    pub fn recv_many<'a>(&'a mut self, buffer: &'a mut Vec<T>, limit: usize) -> RecvMany<'a, T> {
        RecvMany { receiver: self, buffer, limit, place: Location::caller() }
    }

    /// As [`recv_many`](Self::recv_many), for a future of your own. Only the waker of the last poll
    /// is woken. The wait is reported at the place where the channel was made.
    pub fn poll_recv_many(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        self.channel.poll_take_many(self.place, cx, buffer, limit)
    }

    /// Takes a message if there is one.
    ///
    /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
    /// single poll of [`recv`](Self::recv) may be.
    ///
    /// ```
    /// use headwaiter::sync::mpsc::{self, error::TryRecvError};
    ///
    /// let (orders, mut kitchen) = mpsc::unbounded();
    /// assert_eq!(kitchen.try_recv(), Err(TryRecvError::Empty));
    /// orders.send("soup").unwrap();
    /// drop(orders);
    /// assert_eq!(kitchen.try_recv(), Ok("soup"));
    /// assert_eq!(kitchen.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if a message may still come, [`TryRecvError::Disconnected`]
    /// otherwise.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let raw = &self.channel.raw;
        match raw.messages.get() {
            0 if raw.is_over() => Err(TryRecvError::Disconnected),
            0 => Err(TryRecvError::Empty),
            messages => {
                raw.messages.set(messages - 1);
                raw.room.give(1);
                self.channel.take().ok_or(TryRecvError::Empty)
            }
        }
    }

    /// Closes the channel: from now on every send fails, except into room that was granted before.
    /// Messages that were sent before can still be received. Closing a second time is a no-op.
    ///
    /// ```
    /// use headwaiter::sync::mpsc;
    ///
    /// headwaiter::block_on(async {
    ///     let (orders, mut kitchen) = mpsc::channel(2);
    ///     orders.send("soup").await.unwrap();
    ///     kitchen.close();
    ///     assert_eq!(orders.send("fish").await.unwrap_err().0, "fish");
    ///     assert_eq!(kitchen.recv().await, Some("soup"));
    ///     assert_eq!(kitchen.recv().await, None);
    /// });
    /// ```
    pub fn close(&mut self) {
        self.channel.raw.close();
    }

    /// Whether the receiver was closed, or all senders are gone.
    pub fn is_closed(&self) -> bool {
        let raw = &self.channel.raw;
        raw.room.is_closed() || raw.senders.get() == 0
    }

    /// Whether no message is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many messages are in the channel.
    pub fn len(&self) -> usize {
        self.channel.raw.messages.get()
    }

    /// Returns for how many more messages there is room now: 0 while a sender waits for room.
    ///
    /// For an unbounded channel this is a number that is never reached.
    pub fn capacity(&self) -> usize {
        self.channel.raw.room.available()
    }

    /// Returns for how many messages there is room when the channel is empty.
    ///
    /// For an unbounded channel this is a number that is never reached.
    pub fn max_capacity(&self) -> usize {
        self.channel.raw.capacity
    }

    /// Returns how many senders there are.
    pub fn sender_strong_count(&self) -> usize {
        self.channel.raw.senders.get()
    }

    /// Returns how many weak senders there are.
    pub fn sender_weak_count(&self) -> usize {
        self.channel.raw.weak_senders.get()
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(cx)
    }
}

impl<T> Unpin for Receiver<T> {}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let Channel { queue, raw } = &*self.channel;
        raw.receiving.leave();
        raw.receiver_gone.set(true);
        raw.close();
        raw.messages.set(0);
        // The queue is not borrowed meanwhile, because the drop of a message may use the channel.
        let messages = queue.take();
        drop(messages);
    }
}

debug_struct!(impl[T] for Receiver<T> as "Receiver",
    |this| len: this.len(), closed: this.is_closed(), ..);

/// The future of [`Receiver::recv`].
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
    place: &'static Location<'static>,
}

impl<T> Future for Recv<'_, T> {
    type Output = Option<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.receiver.channel.poll_take(self.place, cx)
    }
}

impl<T> Drop for Recv<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.channel.raw.receiving.leave();
    }
}

debug_struct!(impl[T] for Recv<'_, T> as "Recv", |this| place: this.place, ..);

/// The future of [`Receiver::recv_many`].
#[must_use = "futures do nothing unless awaited"]
pub struct RecvMany<'a, T> {
    receiver: &'a mut Receiver<T>,
    buffer: &'a mut Vec<T>,
    limit: usize,
    place: &'static Location<'static>,
}

impl<T> Future for RecvMany<'_, T> {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        let this = &mut *self;
        this.receiver.channel.poll_take_many(this.place, cx, this.buffer, this.limit)
    }
}

impl<T> Drop for RecvMany<'_, T> {
    fn drop(&mut self) {
        self.receiver.channel.raw.receiving.leave();
    }
}

debug_struct!(impl[T] for RecvMany<'_, T> as "RecvMany",
    |this| limit: this.limit, place: this.place, ..);
