//! [`channel`]: sends one value from one task to another. The [`Receiver`] is the future of the
//! value.

use std::task::{Context, Poll, ready};
use std::{cell::Cell, panic::Location, pin::Pin, rc::Rc};

use self::error::{RecvError, TryRecvError};
use super::single_waiter::SingleWaiter;
use crate::fmt::debug_struct;

/// What both ends share. User code may use it at any time, so nothing in it is ever borrowed.
struct Channel<T> {
    value: Cell<Option<T>>,
    raw: Raw,
}

/// A channel without its value, and so without its type.
struct Raw {
    /// Whether `value` was sent and not received.
    filled: Cell<bool>,
    /// Whether the sender is gone.
    sender_gone: Cell<bool>,
    /// Whether the receiver was closed or dropped.
    closed: Cell<bool>,
    receiving: SingleWaiter,
    /// The sender's wait for `closed`.
    closing: SingleWaiter,
}

/// Makes a channel for one value.
///
/// ```
/// use headwaiter::sync::oneshot;
///
/// headwaiter::block_on(async {
///     let (order, dish) = oneshot::channel();
///     headwaiter::spawn(async move {
///         // The only error is that the receiver is gone. It contains the value.
///         order.send("soup").expect("somebody waits for it");
///     });
///     assert_eq!(dish.await, Ok("soup"));
/// });
/// ```
#[inline]
#[track_caller]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let raw = Raw {
        filled: Cell::new(false),
        sender_gone: Cell::new(false),
        closed: Cell::new(false),
        receiving: SingleWaiter::new(),
        closing: SingleWaiter::new(),
    };
    let channel = Rc::new(Channel { value: Cell::new(None), raw });
    let (place, done, told_closed) = (Location::caller(), false, false);
    let receiver = Receiver { channel: Rc::clone(&channel), place, done, told_closed };
    (Sender { channel, has_polled: false }, receiver)
}

impl Raw {
    fn poll_value(&self, place: &'static Location<'static>, cx: &Context<'_>) -> Poll<bool> {
        self.receiving.poll("the value of a oneshot channel", place, cx, || {
            if self.filled.replace(false) {
                Some(true)
            } else {
                (self.sender_gone.get() || self.closed.get()).then_some(false)
            }
        })
    }

    fn poll_closed(&self, place: &'static Location<'static>, cx: &Context<'_>) -> Poll<()> {
        self.closing
            .poll("the end of a oneshot channel", place, cx, || self.closed.get().then_some(()))
    }

    fn drop_sender(&self) {
        self.sender_gone.set(true);
        self.receiving.wake_last();
    }

    fn close(&self) {
        self.closed.set(true);
        self.closing.wake_last();
    }
}

/// The sending end. If it is dropped without sending, the receiver returns an error.
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
    /// `poll_closed` may have left a waker, which must not outlive the sender.
    has_polled: bool,
}

impl<T> Sender<T> {
    /// Sends the value without waiting.
    ///
    /// # Errors
    ///
    /// Returns the value if the receiver was closed or dropped.
    pub fn send(self, value: T) -> Result<(), T> {
        let raw = &self.channel.raw;
        if raw.closed.get() {
            return Err(value);
        }
        self.channel.value.set(Some(value));
        raw.filled.set(true);
        Ok(())
        // The drop of the sender wakes the receiver.
    }

    /// Whether the receiver was closed or dropped, so that sending fails.
    pub fn is_closed(&self) -> bool {
        self.channel.raw.closed.get()
    }

    /// Waits until the receiver is closed or dropped, to stop work whose result is not needed.
    ///
    /// Cancel-safe: there is nothing to lose.
    ///
    /// ```
    /// use futures_lite::future::or;
    /// use headwaiter::sync::oneshot;
    /// use headwaiter::time::sleep;
    /// use std::time::Duration;
    ///
    /// headwaiter::block_on(async {
    ///     let (mut dish, guest) = oneshot::channel::<&str>();
    ///     let cook = headwaiter::spawn(async move {
    ///         let cooked = async {
    ///             sleep(Duration::from_secs(600)).await;
    ///             "cooked"
    ///         };
    ///         let given_up = async {
    ///             dish.closed().await;
    ///             "given up"
    ///         };
    ///         or(cooked, given_up).await
    ///     });
    ///     drop(guest);
    ///     assert_eq!(cook.await.unwrap(), "given up");
    /// });
    /// ```
    #[track_caller]
    pub fn closed(&mut self) -> Closed<'_> {
        Closed { raw: &self.channel.raw, place: Location::caller() }
    }

    /// As [`closed`](Self::closed), for a future of your own. The waker of the last poll stays
    /// registered, and is woken when the receiver is closed or dropped. (A `closed()` that is made
    /// anew for each poll removes its waker when it is dropped.)
    ///
    /// ```
    /// use headwaiter::sync::oneshot;
    /// use std::future::poll_fn;
    ///
    /// headwaiter::block_on(async {
    ///     let (mut dish, guest) = oneshot::channel::<&str>();
    ///     let cook = headwaiter::spawn(async move { poll_fn(|cx| dish.poll_closed(cx)).await });
    ///     drop(guest);
    ///     cook.await.unwrap();
    /// });
    /// ```
    #[track_caller]
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.has_polled = true;
        self.channel.raw.poll_closed(Location::caller(), cx)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.has_polled {
            self.channel.raw.closing.leave();
        }
        self.channel.raw.drop_sender();
    }
}

debug_struct!(impl[T] for Sender<T> as "Sender", |this| closed: this.is_closed(), ..);

/// The future of [`Sender::closed`].
#[must_use = "futures do nothing unless awaited"]
pub struct Closed<'a> {
    raw: &'a Raw,
    place: &'static Location<'static>,
}

impl Future for Closed<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.raw.poll_closed(self.place, cx)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.raw.closing.leave();
    }
}

debug_struct!(impl[] for Closed<'_> as "Closed", |this| place: this.place, ..);

/// The receiving end, which is the future of the value. Returns [`RecvError`] if the sender is
/// dropped without sending.
///
/// Awaiting `&mut receiver` is cancel-safe: the receiver can be awaited again. Dropping the
/// receiver itself drops a value that was sent and not received.
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    /// Where [`channel`] was called, which made the future.
    place: &'static Location<'static>,
    /// Whether it has returned its result.
    done: bool,
    /// Whether `try_recv` has reported that no value can come. A poll is still an error then, not a
    /// panic.
    told_closed: bool,
}

impl<T> Receiver<T> {
    /// Takes the value if it was sent.
    ///
    /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
    /// single poll of the receiver may be.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if it may still come, [`TryRecvError::Closed`] otherwise.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let raw = &self.channel.raw;
        if raw.filled.replace(false) {
            self.done = true;
            return self.channel.value.take().ok_or(TryRecvError::Closed);
        }
        self.told_closed = raw.sender_gone.get() || raw.closed.get();
        Err(if self.told_closed { TryRecvError::Closed } else { TryRecvError::Empty })
    }

    /// Whether there is no value to receive now: none was sent yet, it was received, or none can
    /// come.
    pub fn is_empty(&self) -> bool {
        !self.channel.raw.filled.get()
    }

    /// Whether the receiver has given its result, as a future or by [`try_recv`](Self::try_recv): the
    /// value, or that none can come. Then it should not be polled any more.
    ///
    /// ```
    /// use headwaiter::sync::oneshot;
    ///
    /// headwaiter::block_on(async {
    ///     let (order, mut dish) = oneshot::channel();
    ///     order.send("soup").unwrap();
    ///     assert!(!dish.is_empty() && !dish.is_terminated());
    ///     assert_eq!((&mut dish).await, Ok("soup"));
    ///     assert!(dish.is_empty() && dish.is_terminated());
    /// });
    /// ```
    pub fn is_terminated(&self) -> bool {
        self.done || self.told_closed
    }

    /// Closes the channel: sending fails from now on. A value that was sent before can still be
    /// received.
    pub fn close(&mut self) {
        self.channel.raw.close();
    }
}

impl<T> Unpin for Receiver<T> {}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        assert!(
            !this.done,
            "headwaiter: a `oneshot::Receiver` was polled again after it had given its value"
        );
        let filled = ready!(this.channel.raw.poll_value(this.place, cx));
        this.done = true;
        let value = if filled { this.channel.value.take() } else { None };
        Poll::Ready(value.ok_or(RecvError(())))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let Channel { value, raw } = &*self.channel;
        raw.receiving.leave();
        raw.close();
        drop(value.take());
    }
}

debug_struct!(impl[T] for Receiver<T> as "Receiver",
    |this| filled: this.channel.raw.filled.get(), ..);

/// The errors of a receiver.
pub mod error {
    use crate::fmt::error_message;

    /// No value was sent and none can come: the sender is gone, or the receiver was closed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RecvError(pub(super) ());

    error_message!(impl[] for RecvError, "the channel was closed before a value was sent");

    /// The error of [`try_recv`](super::Receiver::try_recv).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TryRecvError {
        /// No value was sent yet.
        Empty,
        /// No value can come any more, or it was received already.
        Closed,
    }

    error_message!(impl[] for TryRecvError, |this| match this {
        TryRecvError::Empty => "nothing has been sent yet",
        TryRecvError::Closed => "nothing can be sent any more",
    });
}
