//! Room for messages in a bounded channel, reserved before they are sent: [`Permit`],
//! [`PermitIterator`], [`OwnedPermit`], and the futures that wait for it.

use std::iter::FusedIterator;
use std::task::{Context, Poll, ready};
use std::{fmt, mem, panic::Location, pin::Pin};

use super::error::{SendError, TrySendError};
use super::sender::Sender;
use super::shared::Channel;
use crate::fmt::debug_struct;
use crate::sync::wait_list::ListWait;

impl<T> Sender<T> {
    /// Waits until there is room, and holds it until the message is sent.
    ///
    /// Cancel-safe, but the place in the queue is lost. Room that the future had just been granted
    /// goes to the next sender.
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
    /// [`SendError`], if the receiver is closed or dropped before there is room.
    #[track_caller]
    pub fn reserve(&self) -> Reserve<'_, T> {
        Reserve { sender: self, wait: ListWait::at(Location::caller()) }
    }

    /// As [`reserve`](Self::reserve), if there is room and no other sender waits for it.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send), without a message.
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        self.end.0.raw.try_room(1)?;
        Ok(Permit { channel: Some(&self.end.0) })
    }

    /// Waits until there is room for `count` messages, and holds it until they are sent. The result
    /// is an iterator of as many permits.
    ///
    /// A request for much room is not overtaken by later ones for less. Cancel-safe, but the place in
    /// the queue is lost.
    ///
    /// ```
    /// use headwaiter::sync::mpsc;
    ///
    /// headwaiter::block_on(async {
    ///     let (orders, mut kitchen) = mpsc::channel(3);
    ///     let room = orders.reserve_many(2).await.unwrap();
    ///     for (room, dish) in room.zip(["soup", "fish"]) {
    ///         room.send(dish); // This neither waits nor fails.
    ///     }
    ///     assert_eq!(kitchen.recv().await, Some("soup"));
    ///     assert_eq!(kitchen.recv().await, Some("fish"));
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError`], if the receiver is closed or dropped before there is room, or if `count` is
    /// more than [`max_capacity`](Self::max_capacity), so that there never is.
    ///
    /// # Panics
    ///
    /// With a `count` above `u32::MAX` in a channel that has so much room.
    #[track_caller]
    pub fn reserve_many(&self, count: usize) -> ReserveMany<'_, T> {
        // Without a meaning if the channel is too small: then the poll is an error.
        let need = if count <= self.max_capacity() { need(count) } else { 0 };
        ReserveMany { sender: self, count, wait: ListWait::for_many(need, Location::caller()) }
    }

    /// As [`reserve_many`](Self::reserve_many), if there is as much room and no other sender waits
    /// for it.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] if there is not as much room, or other senders wait for it, or `count`
    /// is more than [`max_capacity`](Self::max_capacity); [`TrySendError::Closed`] if the receiver
    /// was closed or dropped. No room is taken then.
    ///
    /// # Panics
    ///
    /// As [`reserve_many`](Self::reserve_many).
    #[track_caller]
    pub fn try_reserve_many(
        &self,
        count: usize,
    ) -> Result<PermitIterator<'_, T>, TrySendError<()>> {
        let channel = &*self.end.0;
        match count {
            // No room is needed, so it does not matter whether other senders wait for some.
            0 if channel.raw.room.is_closed() => return Err(TrySendError::Closed(())),
            0 => {}
            count if count > self.max_capacity() => return Err(TrySendError::Full(())),
            count => channel.raw.try_room(need(count))?,
        }
        Ok(PermitIterator { channel, left: count })
    }

    /// As [`reserve`](Self::reserve), for a permit that can be moved into a task. It contains the
    /// sender, and gives it back.
    ///
    /// Cancel-safe, but the sender is dropped with the future, and the place in the queue is lost.
    ///
    /// ```
    /// use headwaiter::sync::mpsc;
    ///
    /// headwaiter::block_on(async {
    ///     let (orders, mut kitchen) = mpsc::channel(1);
    ///     let room = orders.reserve_owned().await.unwrap();
    ///     headwaiter::spawn(async move {
    ///         let orders = room.send("soup");
    ///         orders.send("fish").await
    ///     });
    ///     assert_eq!(kitchen.recv().await, Some("soup"));
    ///     assert_eq!(kitchen.recv().await, Some("fish"));
    ///     assert_eq!(kitchen.recv().await, None);
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError`], if the receiver is closed or dropped before there is room. The sender is
    /// dropped then.
    #[track_caller]
    pub fn reserve_owned(self) -> ReserveOwned<T> {
        ReserveOwned { sender: Some(self), wait: ListWait::at(Location::caller()) }
    }

    /// As [`reserve_owned`](Self::reserve_owned), if there is room and no other sender waits for it.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send), with the sender.
    pub fn try_reserve_owned(self) -> Result<OwnedPermit<T>, TrySendError<Self>> {
        match self.end.0.raw.try_room(1) {
            Ok(()) => Ok(OwnedPermit { sender: Some(self) }),
            Err(TrySendError::Full(())) => Err(TrySendError::Full(self)),
            Err(TrySendError::Closed(())) => Err(TrySendError::Closed(self)),
        }
    }
}

/// The wait list counts with 32 bits.
#[track_caller]
fn need(count: usize) -> u32 {
    let Ok(need) = u32::try_from(count) else {
        panic!(
            "headwaiter: room for more than `u32::MAX` messages cannot be reserved at once: reserve it in parts"
        );
    };
    need
}

/// The future of [`Sender::reserve`].
#[must_use = "futures do nothing unless awaited"]
pub struct Reserve<'a, T> {
    sender: &'a Sender<T>,
    wait: ListWait,
}

impl<'a, T> Future for Reserve<'a, T> {
    type Output = Result<Permit<'a, T>, SendError<()>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let channel = &*this.sender.end.0;
        if ready!(channel.raw.poll_room(&mut this.wait, cx)) {
            Poll::Ready(Ok(Permit { channel: Some(channel) }))
        } else {
            Poll::Ready(Err(SendError(())))
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

/// Room for one message, from [`Sender::reserve`]. Dropping it releases the room.
#[must_use = "dropping it gives the room back"]
pub struct Permit<'a, T> {
    /// `None` once it was used.
    channel: Option<&'a Channel<T>>,
}

impl<T> Permit<'_, T> {
    /// Sends without waiting. If the receiver was closed after the room was granted, it still
    /// receives the message. If it was dropped, so is the message.
    pub fn send(mut self, message: T) {
        if let Some(channel) = self.channel.take() {
            channel.put(message);
        }
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        if let Some(channel) = self.channel {
            channel.raw.give_room_back(1);
        }
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// The future of [`Sender::reserve_many`].
#[must_use = "futures do nothing unless awaited"]
pub struct ReserveMany<'a, T> {
    sender: &'a Sender<T>,
    count: usize,
    wait: ListWait,
}

impl<'a, T> Future for ReserveMany<'a, T> {
    type Output = Result<PermitIterator<'a, T>, SendError<()>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let channel = &*this.sender.end.0;
        let has_room = match this.count {
            0 => !channel.raw.room.is_closed(),
            count if count > this.sender.max_capacity() => false,
            _ => ready!(channel.raw.poll_room(&mut this.wait, cx)),
        };
        // Made only if there is room, because its drop gives room back.
        let permits = has_room.then(|| PermitIterator { channel, left: this.count });
        Poll::Ready(permits.ok_or(SendError(())))
    }
}

impl<T> Drop for ReserveMany<'_, T> {
    fn drop(&mut self) {
        if self.wait.has_place() {
            self.sender.end.0.raw.leave(&mut self.wait);
        }
    }
}

debug_struct!(impl[T] for ReserveMany<'_, T> as "ReserveMany", |this| wait: this.wait, ..);

/// Room for several messages, from [`Sender::reserve_many`]: an iterator of [`Permit`]s. Dropping it
/// releases the rest.
#[must_use = "dropping it gives the room back"]
pub struct PermitIterator<'a, T> {
    channel: &'a Channel<T>,
    left: usize,
}

impl<'a, T> Iterator for PermitIterator<'a, T> {
    type Item = Permit<'a, T>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(Permit { channel: Some(self.channel) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for PermitIterator<'_, T> {}

impl<T> FusedIterator for PermitIterator<'_, T> {}

impl<T> Drop for PermitIterator<'_, T> {
    fn drop(&mut self) {
        if let left @ 1.. = mem::take(&mut self.left) {
            self.channel.raw.give_room_back(left);
        }
    }
}

debug_struct!(impl[T] for PermitIterator<'_, T> as "PermitIterator", |this| left: this.left, ..);

/// The future of [`Sender::reserve_owned`].
#[must_use = "futures do nothing unless awaited"]
pub struct ReserveOwned<T> {
    /// `None` once it was moved into the permit.
    sender: Option<Sender<T>>,
    wait: ListWait,
}

impl<T> Unpin for ReserveOwned<T> {}

impl<T> Future for ReserveOwned<T> {
    type Output = Result<OwnedPermit<T>, SendError<()>>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(sender) = &this.sender else {
            panic!("headwaiter: an `mpsc::ReserveOwned` was polled again after it was ready");
        };
        let has_room = ready!(sender.end.0.raw.poll_room(&mut this.wait, cx));
        let sender = this.sender.take();
        Poll::Ready(if has_room { Ok(OwnedPermit { sender }) } else { Err(SendError(())) })
    }
}

impl<T> Drop for ReserveOwned<T> {
    fn drop(&mut self) {
        if let (Some(sender), true) = (&self.sender, self.wait.has_place()) {
            sender.end.0.raw.leave(&mut self.wait);
        }
    }
}

debug_struct!(impl[T] for ReserveOwned<T> as "ReserveOwned", |this| wait: this.wait, ..);

/// Room for one message, from [`Sender::reserve_owned`], together with the sender. Dropping it
/// releases the room, and drops the sender.
#[must_use = "dropping it gives the room back"]
pub struct OwnedPermit<T> {
    /// `None` once it was given back.
    sender: Option<Sender<T>>,
}

impl<T> OwnedPermit<T> {
    /// Sends without waiting, as [`Permit::send`], and gives the sender back.
    pub fn send(mut self, message: T) -> Sender<T> {
        let sender = self.take();
        sender.end.0.put(message);
        sender
    }

    /// Releases the room, and gives the sender back.
    pub fn release(mut self) -> Sender<T> {
        let sender = self.take();
        sender.end.0.raw.give_room_back(1);
        sender
    }

    /// Whether both are for the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        matches!((&self.sender, &other.sender), (Some(one), Some(other)) if one.same_channel(other))
    }

    /// Whether `sender` sends into the channel of this.
    pub fn same_channel_as_sender(&self, sender: &Sender<T>) -> bool {
        self.sender.as_ref().is_some_and(|own| own.same_channel(sender))
    }

    fn take(&mut self) -> Sender<T> {
        let Some(sender) = self.sender.take() else {
            unreachable!() // Only a method that consumes the permit takes it.
        };
        sender
    }
}

impl<T> Drop for OwnedPermit<T> {
    fn drop(&mut self) {
        if let Some(sender) = &self.sender {
            sender.end.0.raw.give_room_back(1);
        }
    }
}

impl<T> fmt::Debug for OwnedPermit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnedPermit")
    }
}
