//! The errors of a channel that holds one value.

use std::fmt;

use crate::fmt::error_message;

/// There is no receiver. Contains the value, which was not sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

error_message!(impl[T] for SendError<T>, "the channel has no receiver");

/// All senders are gone, so the value does not change any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError(pub(super) ());

error_message!(impl[] for RecvError, "all senders are gone");
