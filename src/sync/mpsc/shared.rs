//! What both ends of a channel share: the queue of messages, and the waits for room and for
//! messages.
//!
//! Used by `sender.rs` and `receiver.rs`. [`Raw`] does not depend on the type of the messages.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, ready};
use std::{collections::VecDeque, panic::Location};

use super::error::TrySendError;
use crate::sync::semaphore::Permits;
use crate::sync::single_waiter::SingleWaiter;
use crate::sync::wait_list::{ListWait, WaitList};

/// A queue with more capacity than this is shrunk to it when it becomes empty.
const KEPT: usize = 1024;

/// What both ends share.
pub(super) struct Channel<T> {
    /// Borrowed only to push and pop, never while a message is dropped.
    pub(super) queue: RefCell<VecDeque<T>>,
    pub(super) raw: Raw,
}

/// A channel without its messages, and so without their type.
pub(super) struct Raw {
    /// A permit per message that fits. Closed when the receiver is closed.
    pub(super) room: Permits,
    pub(super) capacity: usize,
    /// The length of the queue.
    pub(super) messages: Cell<usize>,
    pub(super) senders: Cell<usize>,
    pub(super) weak_senders: Cell<usize>,
    pub(super) receiver_gone: Cell<bool>,
    pub(super) receiving: SingleWaiter,
    /// The waiters of `closed`.
    pub(super) closing: WaitList,
}

impl Raw {
    /// Waits for room for a message. `false` if the channel was closed.
    pub(super) fn poll_room(&self, wait: &mut ListWait, cx: &Context<'_>) -> Poll<bool> {
        let has_room = ready!(self.room.poll_take(wait, cx));
        Poll::Ready(has_room && !self.receiver_gone.get())
    }

    /// Takes room for `count` messages if there is as much and no sender waits for it.
    #[inline]
    pub(super) fn try_room(&self, count: u32) -> Result<(), TrySendError<()>> {
        match &self.room {
            room if room.try_take(count) => Ok(()),
            room if room.is_closed() => Err(TrySendError::Closed(())),
            _ => Err(TrySendError::Full(())),
        }
    }

    /// Releases room that was granted and is not used.
    pub(super) fn give_room_back(&self, count: usize) {
        self.room.give(count);
        self.tell_end();
    }

    pub(super) fn leave(&self, wait: &mut ListWait) {
        self.room.leave(wait);
        self.tell_end();
    }

    /// Wakes the receiver if no message can come any more.
    pub(super) fn tell_end(&self) {
        if self.is_over() {
            self.receiving.wake();
        }
    }

    /// Counts a message that was pushed, and wakes the receiver.
    pub(super) fn sent(&self) {
        self.messages.set(self.messages.get() + 1);
        self.receiving.wake();
    }

    /// Waits for a message, which the caller then takes from the queue. `false` at the end of the
    /// channel.
    pub(super) fn poll_message(
        &self,
        place: &'static Location<'static>,
        cx: &Context<'_>,
    ) -> Poll<bool> {
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

    /// Like [`poll_message`](Self::poll_message), for up to `limit` messages. Returns how many there
    /// are, or 0 at the end of the channel.
    pub(super) fn poll_messages(
        &self,
        place: &'static Location<'static>,
        cx: &Context<'_>,
        limit: usize,
    ) -> Poll<usize> {
        self.receiving.poll("a message", place, cx, || match self.messages.get() {
            0 => self.is_over().then_some(0),
            messages => {
                let count = messages.min(limit);
                self.messages.set(messages - count);
                Some(count)
            }
        })
    }

    /// Whether the queue is empty and no message can come: no sender is left, or the channel was
    /// closed and no sender holds room.
    pub(super) fn is_over(&self) -> bool {
        let none_can_come = || {
            self.senders.get() == 0 || (self.room.is_closed() && self.room.free() == self.capacity)
        };
        self.messages.get() == 0 && none_can_come()
    }

    pub(super) fn close(&self) {
        self.room.close();
        self.closing.call_all();
        self.tell_end();
    }
}

impl<T> Channel<T> {
    /// Pushes a message for which the caller has room.
    #[inline]
    pub(super) fn put(&self, message: T) {
        if self.raw.receiver_gone.get() {
            return; // The message is dropped here, with nothing borrowed.
        }
        self.queue.borrow_mut().push_back(message);
        self.raw.sent();
    }

    #[inline]
    pub(super) fn take(&self) -> Option<T> {
        let mut queue = self.queue.borrow_mut();
        let message = queue.pop_front();
        shrink(&mut queue);
        message
    }

    /// Moves up to `limit` messages into `buffer`. Returns how many, or 0 at the end of the channel.
    pub(super) fn poll_take_many(
        &self,
        place: &'static Location<'static>,
        cx: &Context<'_>,
        buffer: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        let count = ready!(self.raw.poll_messages(place, cx, limit));
        let mut queue = self.queue.borrow_mut();
        buffer.extend(queue.drain(..count));
        shrink(&mut queue);
        drop(queue);
        // Last, because it may wake a foreign waker.
        self.raw.room.give(count);
        Poll::Ready(count)
    }

    #[inline]
    pub(super) fn poll_take(
        &self,
        place: &'static Location<'static>,
        cx: &Context<'_>,
    ) -> Poll<Option<T>> {
        let is_there = ready!(self.raw.poll_message(place, cx));
        Poll::Ready(if is_there { self.take() } else { None })
    }
}

/// Frees what an empty queue does not need.
#[inline]
fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > KEPT {
        queue.shrink_to(KEPT);
    }
}
