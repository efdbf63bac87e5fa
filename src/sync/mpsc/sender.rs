//! The sending ends of a channel, and their futures.
//!
//! They take room and push messages by way of `shared.rs`. What holds room without a message is in
//! `permit.rs`.

use std::task::{Context, Poll, ready};
use std::{panic::Location, pin::Pin, rc::Rc};

use super::error::{SendError, TrySendError};
use super::shared::{Channel, Raw};
use crate::{fmt::debug_struct, sync::wait_list::ListWait};

/// The common part of both kinds of senders. The channel counts them.
pub(super) struct End<T>(pub(super) Rc<Channel<T>>);

impl<T> End<T> {
    pub(super) fn count(channel: &Rc<Channel<T>>) -> Self {
        let senders = &channel.raw.senders;
        senders.set(senders.get() + 1);
        End(Rc::clone(channel))
    }

    fn is_closed(&self) -> bool {
        self.0.raw.room.is_closed()
    }

    #[track_caller]
    fn closed(&self) -> Closed<'_> {
        Closed { raw: &self.0.raw, wait: ListWait::at(Location::caller()) }
    }

    fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for End<T> {
    fn clone(&self) -> Self {
        End::count(&self.0)
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        let raw = &self.0.raw;
        raw.senders.set(raw.senders.get() - 1);
        raw.tell_end();
    }
}

/// Sends into a [`channel`](super::channel()). Clone it for each task that sends; the channel ends
/// when the last clone is dropped.
pub struct Sender<T> {
    pub(super) end: End<T>,
}

impl<T> Sender<T> {
    /// Waits until there is room, and sends.
    ///
    /// Senders get room in the order in which they began to wait. Cancel-safe in that a dropped
    /// future has sent nothing; but the message is dropped with it, and the place in the queue is
    /// lost. Room that it had just been granted goes to the next sender. If the message must not be
    /// lost, [`reserve`](Self::reserve) room first.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message, if the receiver is closed or dropped before there is room.
    #[inline]
    #[track_caller]
    pub fn send(&self, message: T) -> Send<'_, T> {
        Send { sender: self, message: Some(message), wait: ListWait::at(Location::caller()) }
    }

    /// Sends if there is room and no other sender waits for it.
    ///
    /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
    /// single poll of [`send`](Self::send) may be.
    ///
    /// ```
    /// use headwaiter::sync::mpsc::{self, error::TrySendError};
    ///
    /// let (orders, kitchen) = mpsc::channel(1);
    /// assert_eq!(orders.try_send("soup"), Ok(()));
    /// assert_eq!(orders.try_send("fish"), Err(TrySendError::Full("fish")));
    /// drop(kitchen);
    /// assert_eq!(orders.try_send("fish"), Err(TrySendError::Closed("fish")));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] if there is no room, or other senders wait for it;
    /// [`TrySendError::Closed`] if the receiver was closed or dropped. Both contain the message.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        match self.end.0.raw.try_room(1) {
            Ok(()) => {
                self.end.0.put(message);
                Ok(())
            }
            Err(TrySendError::Full(())) => Err(TrySendError::Full(message)),
            Err(TrySendError::Closed(())) => Err(TrySendError::Closed(message)),
        }
    }

    /// Whether the receiver was closed or dropped, so that every send fails.
    pub fn is_closed(&self) -> bool {
        self.end.is_closed()
    }

    /// Waits until the receiver is closed or dropped. Cancel-safe: there is nothing to lose.
    #[track_caller]
    pub fn closed(&self) -> Closed<'_> {
        self.end.closed()
    }

    /// Returns for how many more messages there is room now: 0 while a sender waits for room.
    pub fn capacity(&self) -> usize {
        self.end.0.raw.room.available()
    }

    /// Returns for how many messages there is room when the channel is empty.
    pub fn max_capacity(&self) -> usize {
        self.end.0.raw.capacity
    }

    /// Whether both send into the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.end.is_same(&other.end)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender { end: self.end.clone() }
    }
}

debug_struct!(impl[T] for Sender<T> as "Sender",
    |this| capacity: this.capacity(), closed: this.is_closed(), ..);

/// Sends into an [`unbounded_channel`](super::unbounded_channel). Clone it for each task that sends;
/// the channel ends when the last clone is dropped.
pub struct UnboundedSender<T> {
    pub(super) end: End<T>,
}

impl<T> UnboundedSender<T> {
    /// Sends without waiting. It needs no loop.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message, if the receiver was closed or dropped.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        match self.end.0.raw.try_room(1) {
            Ok(()) => {
                self.end.0.put(message);
                Ok(())
            }
            Err(_) => Err(SendError(message)),
        }
    }

    /// Whether the receiver was closed or dropped, so that every send fails.
    pub fn is_closed(&self) -> bool {
        self.end.is_closed()
    }

    /// Waits until the receiver is closed or dropped. Cancel-safe: there is nothing to lose.
    #[track_caller]
    pub fn closed(&self) -> Closed<'_> {
        self.end.closed()
    }

    /// Whether both send into the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.end.is_same(&other.end)
    }
}

impl<T> Clone for UnboundedSender<T> {
    fn clone(&self) -> Self {
        UnboundedSender { end: self.end.clone() }
    }
}

debug_struct!(impl[T] for UnboundedSender<T> as "UnboundedSender",
    |this| closed: this.is_closed(), ..);

/// The future of [`Sender::send`].
#[must_use = "futures do nothing unless awaited"]
pub struct Send<'a, T> {
    sender: &'a Sender<T>,
    /// `None` once it was sent or returned.
    message: Option<T>,
    wait: ListWait,
}

impl<T> Send<'_, T> {
    /// Takes the message back. If room had just been granted for it, that goes to the next sender.
    pub(super) fn take_back(&mut self) -> Option<T> {
        self.leave();
        self.message.take()
    }

    #[inline]
    fn leave(&mut self) {
        if self.wait.has_place() {
            self.sender.end.0.raw.leave(&mut self.wait);
        }
    }
}

impl<T> Unpin for Send<'_, T> {}

impl<T> Future for Send<'_, T> {
    type Output = Result<(), SendError<T>>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        assert!(
            this.message.is_some(),
            "headwaiter: an `mpsc::Send` was polled again after it was ready"
        );
        let channel = &*this.sender.end.0;
        let has_room = ready!(channel.raw.poll_room(&mut this.wait, cx));
        match this.message.take() {
            Some(message) if has_room => channel.put(message),
            Some(message) => return Poll::Ready(Err(SendError(message))),
            None => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for Send<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

debug_struct!(impl[T] for Send<'_, T> as "Send", |this| wait: this.wait, ..);

/// The future of [`Sender::closed`] and [`UnboundedSender::closed`].
#[must_use = "futures do nothing unless awaited"]
pub struct Closed<'a> {
    raw: &'a Raw,
    wait: ListWait,
}

impl Future for Closed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let raw = this.raw;
        raw.closing.poll(&mut this.wait, cx, |_| raw.room.is_closed().then_some(false)).map(|_| ())
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.raw.closing.leave(&mut self.wait);
    }
}

debug_struct!(impl[] for Closed<'_> as "Closed", |this| wait: this.wait, ..);
