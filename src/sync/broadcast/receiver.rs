//! The receiving ends of a channel that sends each message to all receivers, and their future.

use std::task::{Context, Poll, ready};
use std::{panic::Location, pin::Pin, rc::Rc};

use super::error::{RecvError, TryRecvError};
use super::shared::Shared;
use crate::{fmt::debug_struct, sync::wait_list::ListWait};

/// Receives each message that was sent after it was made, by [`channel`](super::channel()),
/// [`subscribe`](super::Sender::subscribe) or [`resubscribe`](Self::resubscribe).
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The number of the next message that it gets.
    next: u64,
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: Rc<Shared<T>>) -> Self {
        let receivers = &shared.raw.receivers;
        receivers.set(receivers.get() + 1);
        let next = shared.raw.tail.get();
        Receiver { shared, next }
    }

    /// Returns how many messages were sent that it has not received, including those that it has
    /// [missed](super#lagging) and was not told about.
    ///
    /// ```
    /// use headwaiter::sync::broadcast;
    ///
    /// let (kitchen, mut waiter) = broadcast::channel(1);
    /// kitchen.send("soup").unwrap();
    /// kitchen.send("fish").unwrap();
    /// assert_eq!(waiter.len(), 2);
    /// assert!(waiter.try_recv().is_err()); // It lags.
    /// assert_eq!(waiter.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        (self.shared.raw.tail.get() - self.next) as usize
    }

    /// Whether it has received all messages that were sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all senders are gone. There may still be messages to receive.
    pub fn is_closed(&self) -> bool {
        self.sender_strong_count() == 0
    }

    /// Whether both receive from the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    /// Returns how many senders there are, without weak ones.
    pub fn sender_strong_count(&self) -> usize {
        self.shared.raw.senders.get()
    }

    /// Returns how many weak senders there are.
    pub fn sender_weak_count(&self) -> usize {
        self.shared.raw.weak_senders.get()
    }
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next message.
    ///
    /// Cancel-safe: a dropped future has received nothing. If the `Clone` of a message panics, this
    /// receiver skips the message; the others are not affected.
    ///
    /// # Errors
    ///
    /// [`RecvError::Lagged`], if it has [missed](super#lagging) messages;
    /// [`RecvError::Closed`], if it has received all of them and all senders are gone.
    #[inline]
    #[track_caller]
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv { receiver: self, wait: ListWait::at(Location::caller()) }
    }

    /// Receives the next message if there is one.
    ///
    /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
    /// single poll of [`recv`](Self::recv) may be.
    ///
    /// ```
    /// use headwaiter::sync::broadcast::{self, error::TryRecvError};
    ///
    /// let (kitchen, mut waiter) = broadcast::channel(16);
    /// assert_eq!(waiter.try_recv(), Err(TryRecvError::Empty));
    /// kitchen.send("soup").unwrap();
    /// drop(kitchen);
    /// assert_eq!(waiter.try_recv(), Ok("soup"));
    /// assert_eq!(waiter.try_recv(), Err(TryRecvError::Closed));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and [`TryRecvError::Empty`] if a message may still come.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.shared.take(&mut self.next)
    }

    /// Makes a receiver for the messages that are sent from now on, whatever this one has received.
    ///
    /// ```
    /// use headwaiter::sync::broadcast;
    ///
    /// let (kitchen, anna) = broadcast::channel(16);
    /// kitchen.send("soup").unwrap();
    /// let mut ben = anna.resubscribe();
    /// kitchen.send("fish").unwrap();
    /// assert_eq!(ben.try_recv(), Ok("fish"));
    /// ```
    #[must_use]
    pub fn resubscribe(&self) -> Self {
        Receiver::new(Rc::clone(&self.shared))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.drop_receiver(self.next);
    }
}

debug_struct!(impl[T] for Receiver<T> as "Receiver",
    |this| len: this.len(), closed: this.is_closed(), ..);

/// The future of [`Receiver::recv`].
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
    wait: ListWait,
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Receiver { shared, next } = &mut *this.receiver;
        ready!(shared.raw.poll_message(&mut this.wait, cx, *next));
        Poll::Ready(match shared.take(next) {
            Ok(message) => Ok(message),
            Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            // No other receiver takes its messages, and a closed channel stays closed.
            Err(TryRecvError::Empty) => unreachable!(),
        })
    }
}

impl<T> Drop for Recv<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.shared.raw.receiving.leave(&mut self.wait);
    }
}

debug_struct!(impl[T] for Recv<'_, T> as "Recv", |this| wait: this.wait, ..);
