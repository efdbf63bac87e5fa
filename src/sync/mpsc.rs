//! [`channel`] and [`unbounded`]: messages from many tasks to one, in the order in which they were sent. A bounded
//! channel makes its senders wait while it is full: room for a message is a permit of the same kind as a
//! [`Semaphore`]'s, which a message has until it is received.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, ready};
use std::{collections::VecDeque, fmt, panic::Location, pin::Pin, rc::Rc};

use futures_core::Stream;

use self::error::{SendError, TryRecvError, TrySendError};
use super::semaphore::{Permits, Semaphore};
use super::single_waiter::SingleWaiter;
use super::wait_list::{Wait, WaitList};
use crate::fmt::debug_struct;

/// A queue that was longer than this gives its memory back when it is empty.
const KEPT: usize = 1024;

/// What both ends share.
struct Channel<T> {
    /// Borrowed to put a message in or take one out, never while one is dropped.
    queue: RefCell<VecDeque<T>>,
    raw: Raw,
}

/// A channel without its messages, and so without their type.
struct Raw {
    /// Closed when the receiver wants no more.
    room: Permits,
    capacity: usize,
    /// How many are in the queue.
    messages: Cell<usize>,
    senders: Cell<usize>,
    receiver_gone: Cell<bool>,
    receiving: SingleWaiter,
    /// Who waits until the receiver wants no more.
    closing: WaitList,
}

/// A channel with room for `capacity` messages. While it is full, senders wait.
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
        "headwaiter: `mpsc::channel` with more than `Semaphore::MAX_PERMITS`: use `mpsc::unbounded` for \"no limit\""
    );
    let (end, receiver) = ends(capacity);
    (Sender { end }, receiver)
}

/// A channel that is never full: its senders do not wait, and nothing keeps them from filling the memory. Prefer
/// [`channel`] where the messages come from outside.
///
/// ```
/// use headwaiter::sync::mpsc;
///
/// headwaiter::block_on(async {
///     let (bell, mut waiter) = mpsc::unbounded();
///     bell.send("table 4").unwrap();
///     assert_eq!(waiter.recv().await, Some("table 4"));
///     drop(waiter);
///     assert_eq!(bell.send("table 5").unwrap_err().0, "table 5");
/// });
/// ```
#[track_caller]
pub fn unbounded<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    let (end, receiver) = ends(Semaphore::MAX_PERMITS);
    (UnboundedSender { end }, receiver)
}

#[track_caller]
fn ends<T>(capacity: usize) -> (End<T>, Receiver<T>) {
    let raw = Raw {
        room: Permits::new(capacity, "room in a channel"),
        capacity,
        messages: Cell::new(0),
        senders: Cell::new(1),
        receiver_gone: Cell::new(false),
        receiving: SingleWaiter::new(),
        closing: WaitList::new("the end of a channel"),
    };
    let channel = Rc::new(Channel { queue: RefCell::new(VecDeque::new()), raw });
    (End(Rc::clone(&channel)), Receiver { channel, place: Location::caller() })
}

impl Raw {
    /// Waits for room for a message. `false`: none is wanted any more.
    fn poll_room(&self, wait: &mut Wait, cx: &Context<'_>) -> Poll<bool> {
        let has_room = ready!(self.room.poll_take(wait, cx));
        Poll::Ready(has_room && !self.receiver_gone.get())
    }

    /// A sender that had been given room is gone, or does not want it.
    fn give_room_back(&self) {
        self.room.give(1);
        self.tell_end();
    }

    fn leave(&self, wait: &mut Wait) {
        self.room.leave(wait);
        self.tell_end();
    }

    /// The receiver may have waited for the last who could still send.
    fn tell_end(&self) {
        if self.is_over() {
            self.receiving.wake();
        }
    }

    /// A message was put into the queue.
    fn sent(&self) {
        self.messages.set(self.messages.get() + 1);
        self.receiving.wake();
    }

    /// Waits for a message, which is then to be taken from the queue. `false`: there will be none.
    fn poll_message(&self, place: &'static Location<'static>, cx: &Context<'_>) -> Poll<bool> {
        let is_there =
            ready!(self.receiving.poll("a message", place, cx, || match self.messages.get() {
                0 => self.is_over().then_some(false),
                messages => {
                    self.messages.set(messages - 1);
                    Some(true)
                }
            }));
        if is_there {
            self.room.give(1);
        }
        Poll::Ready(is_there)
    }

    /// Whether no message is there and none can come: no sender is left, or it was closed and nobody has room who could
    /// still send.
    fn is_over(&self) -> bool {
        let none_can_come = || {
            self.senders.get() == 0 || (self.room.is_closed() && self.room.free() == self.capacity)
        };
        self.messages.get() == 0 && none_can_come()
    }

    fn close(&self) {
        self.room.close();
        self.closing.call_all();
    }
}

impl<T> Channel<T> {
    /// The message must have room.
    #[inline]
    fn put(&self, message: T) {
        if self.raw.receiver_gone.get() {
            return; // And the message is dropped, with nothing borrowed.
        }
        self.queue.borrow_mut().push_back(message);
        self.raw.sent();
    }

    #[inline]
    fn take(&self) -> Option<T> {
        let mut queue = self.queue.borrow_mut();
        let message = queue.pop_front();
        if queue.is_empty() && queue.capacity() > KEPT {
            queue.shrink_to(KEPT);
        }
        message
    }

    #[inline]
    fn poll_take(&self, place: &'static Location<'static>, cx: &Context<'_>) -> Poll<Option<T>> {
        let is_there = ready!(self.raw.poll_message(place, cx));
        Poll::Ready(if is_there { self.take() } else { None })
    }

    fn try_room(&self) -> Result<(), TrySendError<()>> {
        match &self.raw.room {
            room if room.try_take(1) => Ok(()),
            room if room.is_closed() => Err(TrySendError::Closed(())),
            _ => Err(TrySendError::Full(())),
        }
    }
}

/// What a sender of either kind is. The channel knows how many there are.
struct End<T>(Rc<Channel<T>>);

impl<T> End<T> {
    fn is_closed(&self) -> bool {
        self.0.raw.room.is_closed()
    }

    #[track_caller]
    fn closed(&self) -> Closed<'_> {
        Closed { raw: &self.0.raw, wait: Wait::at(Location::caller()) }
    }

    fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for End<T> {
    fn clone(&self) -> Self {
        let senders = &self.0.raw.senders;
        senders.set(senders.get() + 1);
        End(Rc::clone(&self.0))
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        let raw = &self.0.raw;
        raw.senders.set(raw.senders.get() - 1);
        raw.tell_end();
    }
}

/// Sends into a [`channel`]. Clone it for each who sends; the channel ends with the last.
pub struct Sender<T> {
    end: End<T>,
}

impl<T> Sender<T> {
    /// Waits until there is room, and sends.
    ///
    /// First come, first served. Cancel-safe in that a future that is dropped has sent nothing; but the message is
    /// dropped with it, and the place in the queue is lost. If it had just been given room, that goes to the next.
    /// Where the message must not be lost, [`reserve`](Self::reserve) room first.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message, if the receiver was closed or dropped, or is while this waits.
    #[inline]
    #[track_caller]
    pub fn send(&self, message: T) -> Send<'_, T> {
        Send { sender: self, message: Some(message), wait: Wait::at(Location::caller()) }
    }

    /// Sends, if there is room and no other sender waits for it.
    ///
    /// Never refused, as a single poll of [`send`](Self::send) may be: see [the budget](crate::sync#the-cooperative-budget).
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
    /// [`TrySendError::Full`] if there is no room, or others wait for it; [`TrySendError::Closed`] if the receiver was closed
    /// or dropped. Either has the message.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        match self.end.0.try_room() {
            Ok(()) => {
                self.end.0.put(message);
                Ok(())
            }
            Err(TrySendError::Full(())) => Err(TrySendError::Full(message)),
            Err(TrySendError::Closed(())) => Err(TrySendError::Closed(message)),
        }
    }

    /// Waits until there is room, and keeps it until the message is sent.
    ///
    /// Cancel-safe, but the place in the queue is lost. If the future had just been given room, that goes to the next.
    ///
    /// ```
    /// use headwaiter::sync::mpsc;
    ///
    /// headwaiter::block_on(async {
    ///     let (orders, mut kitchen) = mpsc::channel(1);
    ///     let room = orders.reserve().await.unwrap();
    ///     assert!(orders.try_send("fish").is_err()); // The room is taken.
    ///     room.send("soup"); // This neither waits nor fails.
    ///     assert_eq!(kitchen.recv().await, Some("soup"));
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError`], if the receiver was closed or dropped, or is while this waits.
    #[track_caller]
    pub fn reserve(&self) -> Reserve<'_, T> {
        Reserve { sender: self, wait: Wait::at(Location::caller()) }
    }

    /// As [`reserve`](Self::reserve), if there is room and nobody waits for it.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send), without a message.
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        self.end.0.try_room()?;
        Ok(Permit { channel: Some(&self.end.0) })
    }

    /// Whether the receiver was closed or dropped: then there is no use in sending.
    pub fn is_closed(&self) -> bool {
        self.end.is_closed()
    }

    /// Waits until the receiver is closed or dropped. Cancel-safe: there is nothing to lose.
    #[track_caller]
    pub fn closed(&self) -> Closed<'_> {
        self.end.closed()
    }

    /// For how many more messages there is room now. None while somebody waits for some.
    pub fn capacity(&self) -> usize {
        self.end.0.raw.room.available()
    }

    /// For how many messages there is room when it is empty.
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

/// Sends into an [`unbounded`] channel. Clone it for each who sends; the channel ends with the last.
pub struct UnboundedSender<T> {
    end: End<T>,
}

impl<T> UnboundedSender<T> {
    /// Sends. It does not wait, and needs no loop.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message, if the receiver was closed or dropped.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        match self.end.0.try_room() {
            Ok(()) => {
                self.end.0.put(message);
                Ok(())
            }
            Err(_) => Err(SendError(message)),
        }
    }

    /// Whether the receiver was closed or dropped: then there is no use in sending.
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
    /// `None` once it was sent, or given back.
    message: Option<T>,
    wait: Wait,
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
        if self.wait.has_place() {
            self.sender.end.0.raw.leave(&mut self.wait);
        }
    }
}

debug_struct!(impl[T] for Send<'_, T> as "Send", |this| wait: this.wait, ..);

/// The future of [`Sender::reserve`].
#[must_use = "futures do nothing unless awaited"]
pub struct Reserve<'a, T> {
    sender: &'a Sender<T>,
    wait: Wait,
}

impl<'a, T> Future for Reserve<'a, T> {
    type Output = Result<Permit<'a, T>, SendError<()>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let channel = &*this.sender.end.0;
        match ready!(channel.raw.poll_room(&mut this.wait, cx)) {
            true => Poll::Ready(Ok(Permit { channel: Some(channel) })),
            false => Poll::Ready(Err(SendError(()))),
        }
    }
}

impl<T> Drop for Reserve<'_, T> {
    fn drop(&mut self) {
        if self.wait.has_place() {
            self.sender.end.0.raw.leave(&mut self.wait);
        }
    }
}

debug_struct!(impl[T] for Reserve<'_, T> as "Reserve", |this| wait: this.wait, ..);

/// Room for one message, from [`Sender::reserve`]. Dropped unused it is given back.
#[must_use = "dropping it gives the room back"]
pub struct Permit<'a, T> {
    /// `None` once it was used.
    channel: Option<&'a Channel<T>>,
}

impl<T> Permit<'_, T> {
    /// Sends, without waiting. It works also if the receiver was closed since the room was given, and receives what is left.
    /// If it was dropped since, so is the message.
    pub fn send(mut self, message: T) {
        if let Some(channel) = self.channel.take() {
            channel.put(message);
        }
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        if let Some(channel) = self.channel {
            channel.raw.give_room_back();
        }
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// The future of [`Sender::closed`] and [`UnboundedSender::closed`].
#[must_use = "futures do nothing unless awaited"]
pub struct Closed<'a> {
    raw: &'a Raw,
    wait: Wait,
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

/// Receives from a [`channel`] or an [`unbounded`] one. It is also a [`Stream`].
///
/// Dropping it drops the messages that it has not received. Senders are told.
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    /// Where the channel was made, for waits that are not [`recv`](Self::recv)'s: a stream does not know who polls it.
    place: &'static Location<'static>,
}

/// Receives from an [`unbounded`] channel.
pub type UnboundedReceiver<T> = Receiver<T>;

impl<T> Receiver<T> {
    /// Waits for a message. `None`: there will be none, because all senders are gone, or this was
    /// [closed](Self::close) and what was left has been received.
    ///
    /// Cancel-safe: a future that is dropped has received nothing.
    #[inline]
    #[track_caller]
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv { receiver: self, place: Location::caller() }
    }

    /// As [`recv`](Self::recv), for a future of your own. Only the waker of the last poll is woken. What it waits for is
    /// shown at the place where the channel was made.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.channel.poll_take(self.place, cx)
    }

    /// Takes a message, if one is there.
    ///
    /// Never refused, as a single poll of [`recv`](Self::recv) may be: see [the budget](crate::sync#the-cooperative-budget).
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
    /// [`TryRecvError::Empty`] if one may still come, else [`TryRecvError::Disconnected`].
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

    /// From now on nobody can send, except who has been given room already. What was sent before can still be received.
    /// Closing a second time does nothing.
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

    /// Whether nobody can send any more: it was closed, or all senders are gone.
    pub fn is_closed(&self) -> bool {
        let raw = &self.channel.raw;
        raw.room.is_closed() || raw.senders.get() == 0
    }

    /// Whether no message is there now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages are there now.
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
        // Taken out first: the drop of a message may use the channel.
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

/// Why a message was not sent or received.
pub mod error {
    use std::fmt;

    use crate::fmt::error_message;

    /// The receiver was closed or dropped. Here is the message.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub struct SendError<T>(pub T);

    impl<T> fmt::Debug for SendError<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("SendError(..)")
        }
    }

    error_message!(impl[T] for SendError<T>, "the channel is closed");

    /// Why [`try_send`](super::Sender::try_send) did not send. Here is the message.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum TrySendError<T> {
        /// There is no room, or others wait for it.
        Full(T),
        /// The receiver was closed or dropped.
        Closed(T),
    }

    impl<T> TrySendError<T> {
        /// The message.
        pub fn into_inner(self) -> T {
            match self {
                TrySendError::Full(message) | TrySendError::Closed(message) => message,
            }
        }
    }

    impl<T> fmt::Debug for TrySendError<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                TrySendError::Full(_) => "Full(..)",
                TrySendError::Closed(_) => "Closed(..)",
            })
        }
    }

    error_message!(impl[T] for TrySendError<T>, |this| match this {
        TrySendError::Full(_) => "the channel is full",
        TrySendError::Closed(_) => "the channel is closed",
    });

    impl<T> From<SendError<T>> for TrySendError<T> {
        fn from(error: SendError<T>) -> Self {
            TrySendError::Closed(error.0)
        }
    }

    /// Why [`try_recv`](super::Receiver::try_recv) has no message.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TryRecvError {
        /// None is there, but one may still come.
        Empty,
        /// None is there, and none can come any more.
        Disconnected,
    }

    error_message!(impl[] for TryRecvError, |this| match this {
        TryRecvError::Empty => "the channel is empty",
        TryRecvError::Disconnected => "the channel is empty and closed",
    });
}
