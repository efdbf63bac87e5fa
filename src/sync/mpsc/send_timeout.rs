//! [`Sender::send_timeout`]: a send with a time limit, which gives the message back. It is the one
//! operation of a channel that needs a loop, for its timer.

use std::task::{Context, Poll, ready};
use std::{pin::Pin, time::Duration};

use super::error::{SendError, SendTimeoutError};
use super::sender::{Send, Sender};
use crate::fmt::debug_struct;
use crate::time::{Sleep, sleep};

impl<T> Sender<T> {
    /// As [`send`](Self::send), but waits for room no longer than `timeout`, and gives the message
    /// back if there is none in time.
    ///
    /// The room is looked for first, so a `timeout` of zero still sends if there is room now.
    /// Cancel-safe as [`send`](Self::send) is: a dropped future has sent nothing, and the message is
    /// dropped with it.
    ///
    /// ```
    /// use headwaiter::sync::mpsc::{self, error::SendTimeoutError};
    /// use std::time::Duration;
    ///
    /// headwaiter::block_on(async {
    ///     let (orders, _kitchen) = mpsc::channel(1);
    ///     let patience = Duration::from_millis(5);
    ///     assert_eq!(orders.send_timeout("soup", patience).await, Ok(()));
    ///     let error = orders.send_timeout("fish", patience).await.unwrap_err();
    ///     assert_eq!(error, SendTimeoutError::Timeout("fish"));
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError::Timeout`], if there was no room in time; [`SendTimeoutError::Closed`], if
    /// the receiver is closed or dropped before there is room. Both contain the message.
    ///
    /// # Panics
    ///
    /// If it is called or polled outside any event loop of this crate, as [`sleep`].
    #[track_caller]
    pub fn send_timeout(&self, message: T, timeout: Duration) -> SendTimeout<'_, T> {
        SendTimeout { sleep: sleep(timeout), send: self.send(message) }
    }
}

/// The future of [`Sender::send_timeout`].
#[must_use = "futures do nothing unless awaited"]
pub struct SendTimeout<'a, T> {
    send: Send<'a, T>,
    sleep: Sleep,
}

impl<T> Unpin for SendTimeout<'_, T> {}

impl<T> Future for SendTimeout<'_, T> {
    type Output = Result<(), SendTimeoutError<T>>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(sent) = Pin::new(&mut this.send).poll(cx) {
            let closed = |SendError(message)| SendTimeoutError::Closed(message);
            return Poll::Ready(sent.map_err(closed));
        }
        ready!(Pin::new(&mut this.sleep).poll(cx));
        let Some(message) = this.send.take_back() else {
            unreachable!() // The send is not ready, so it still has the message.
        };
        Poll::Ready(Err(SendTimeoutError::Timeout(message)))
    }
}

debug_struct!(impl[T] for SendTimeout<'_, T> as "SendTimeout",
    |this| send: this.send, sleep: this.sleep);
