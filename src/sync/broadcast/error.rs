//! The errors of a channel that sends each message to all receivers.

use std::fmt;

use crate::{fmt::error_message, state::plural};

/// There is no receiver. Contains the message, which was not sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

error_message!(impl[T] for SendError<T>, "the channel has no receiver");

/// The error of [`recv`](super::Receiver::recv).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The receiver has received all messages, and all senders are gone.
    Closed,
    /// The receiver was too slow, and has missed this number of messages. The next receive
    /// returns the oldest message that is left.
    Lagged(u64),
}

/// The error of [`try_recv`](super::Receiver::try_recv).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// The receiver has received all messages so far, and there are senders.
    Empty,
    /// The receiver has received all messages, and all senders are gone.
    Closed,
    /// The receiver was too slow, and has missed this number of messages. The next receive
    /// returns the oldest message that is left.
    Lagged(u64),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => TryRecvError::Closed.fmt(f),
            RecvError::Lagged(missed) => TryRecvError::Lagged(*missed).fmt(f),
        }
    }
}

impl std::error::Error for RecvError {}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => f.write_str("the channel is empty"),
            TryRecvError::Closed => f.write_str("the channel is empty and closed"),
            TryRecvError::Lagged(missed) => {
                let plural = plural(*missed as usize);
                write!(
                    f,
                    "the receiver was too slow and has missed {missed} message{plural}: it can go on with the next one, and a larger capacity lets it be slower"
                )
            }
        }
    }
}

impl std::error::Error for TryRecvError {}
