//! The receiving end of a channel, and its future.

use std::task::{Context, Poll};
use std::{panic::Location, pin::Pin, rc::Rc};

use futures_core::Stream;

use super::error::TryRecvError;
use super::shared::Channel;
use crate::fmt::debug_struct;

/// Receives from a [`channel`](super::channel()) or an [`unbounded`](super::unbounded()) one. It is
/// also a [`Stream`].
///
/// Dropping it drops the messages that it has not received, and wakes the waiting senders.
pub struct Receiver<T> {
    pub(super) channel: Rc<Channel<T>>,
    /// Where the channel was made: reported for waits other than [`recv`](Self::recv), because a
    /// stream has no place of its own.
    pub(super) place: &'static Location<'static>,
}

/// Receives from an [`unbounded`](super::unbounded()) channel.
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
