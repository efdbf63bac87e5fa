//! The errors of a channel: why a message was not sent or received.

use std::fmt;

use crate::fmt::error_message;

/// The receiver was closed or dropped. Contains the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

// An error without a message is usually that of a reservation, and one for too many messages fails as
// if the channel were closed or full, as in tokio.
error_message!(impl[T] for SendError<T>, |_this| match size_of::<T>() {
    0 => "the channel is closed, or can never hold so many messages",
    _ => "the channel is closed",
});

/// The error of [`try_send`](super::Sender::try_send). Contains the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room, or other senders wait for it.
    Full(T),
    /// The receiver was closed or dropped.
    Closed(T),
}

impl<T> TrySendError<T> {
    /// Returns the message.
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
    TrySendError::Full(_) if size_of::<T>() == 0 =>
        "the channel is full, or can never hold so many messages",
    TrySendError::Full(_) => "the channel is full",
    TrySendError::Closed(_) => "the channel is closed",
});

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(error: SendError<T>) -> Self {
        TrySendError::Closed(error.0)
    }
}

/// The error of [`send_timeout`](super::Sender::send_timeout). Contains the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// There was no room in time.
    Timeout(T),
    /// The receiver was closed or dropped.
    Closed(T),
}

impl<T> SendTimeoutError<T> {
    /// Returns the message.
    pub fn into_inner(self) -> T {
        match self {
            SendTimeoutError::Timeout(message) | SendTimeoutError::Closed(message) => message,
        }
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendTimeoutError::Timeout(_) => "Timeout(..)",
            SendTimeoutError::Closed(_) => "Closed(..)",
        })
    }
}

error_message!(impl[T] for SendTimeoutError<T>, |this| match this {
    SendTimeoutError::Timeout(_) => "the channel stayed full until the time was over",
    SendTimeoutError::Closed(_) => "the channel is closed",
});

/// The error of [`try_recv`](super::Receiver::try_recv).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// The channel is empty, but a message may still come.
    Empty,
    /// The channel is empty, and no message can come any more.
    Disconnected,
}

error_message!(impl[] for TryRecvError, |this| match this {
    TryRecvError::Empty => "the channel is empty",
    TryRecvError::Disconnected => "the channel is empty and closed",
});
