//! What the ends of a channel share: the queue of messages, and the waits for a message and for the
//! end. [`Raw`] does not depend on the type of the messages.
//!
//! No message is cloned or dropped while the queue is borrowed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Poll};

use super::error::TryRecvError;
use crate::state::discard;
use crate::sync::wait_list::{ListWait, WaitList};

pub(super) struct Shared<T> {
    /// The messages that some receiver has not received. Receivers take them in order, so one that
    /// has not received a message has not received any later one either.
    queue: RefCell<VecDeque<Message<T>>>,
    pub(super) raw: Raw,
}

struct Message<T> {
    /// `None` while it is being cloned.
    value: Option<T>,
    /// How many receivers have not received it. Never 0 in the queue.
    unread: usize,
}

/// A channel without its messages, and so without their type.
pub(super) struct Raw {
    capacity: usize,
    /// The number of the first message in the queue. They count up from the channel's first.
    head: Cell<u64>,
    /// The number of the next message that is sent.
    pub(super) tail: Cell<u64>,
    pub(super) senders: Cell<usize>,
    pub(super) weak_senders: Cell<usize>,
    pub(super) receivers: Cell<usize>,
    /// The receivers that wait for a message.
    pub(super) receiving: WaitList,
    /// The waiters of `closed`.
    pub(super) closing: WaitList,
}

impl Raw {
    /// Waits until the message `next` was sent, or all senders are gone.
    #[inline]
    pub(super) fn poll_message(
        &self,
        wait: &mut ListWait,
        cx: &Context<'_>,
        next: u64,
    ) -> Poll<()> {
        let done = |_| (next != self.tail.get() || self.senders.get() == 0).then_some(false);
        self.receiving.poll(wait, cx, done).map(|_| ())
    }

    pub(super) fn add_sender(&self) {
        self.senders.set(self.senders.get() + 1);
    }

    pub(super) fn drop_sender(&self) {
        self.senders.set(self.senders.get() - 1);
        if self.senders.get() == 0 {
            self.receiving.call_all();
        }
    }
}

impl<T> Shared<T> {
    /// With one sender and no receiver.
    #[track_caller]
    pub(super) fn new(capacity: usize) -> Self {
        assert!(
            capacity > 0,
            "headwaiter: a `broadcast` channel with a capacity of 0 could never keep a message: give it room for one at least"
        );
        assert!(
            capacity <= usize::MAX / 2,
            "headwaiter: a `broadcast` channel with a capacity of more than `usize::MAX / 2`: a receiver that never receives would use up the memory, so choose how much a slow one may miss"
        );
        let raw = Raw {
            capacity: capacity.next_power_of_two(),
            head: Cell::new(0),
            tail: Cell::new(0),
            senders: Cell::new(1),
            weak_senders: Cell::new(0),
            receivers: Cell::new(0),
            receiving: WaitList::new("a broadcast message"),
            closing: WaitList::new("the end of a channel"),
        };
        Shared { queue: RefCell::new(VecDeque::new()), raw }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Appends a message and wakes the receivers, of which there must be at least one.
    pub(super) fn send(&self, value: T) {
        let Raw { capacity, head, tail, receivers, receiving, .. } = &self.raw;
        let mut queue = self.queue.borrow_mut();
        let mut pushed_out = None;
        if queue.len() == *capacity {
            pushed_out = queue.pop_front();
            head.set(head.get() + 1);
        }
        queue.push_back(Message { value: Some(value), unread: receivers.get() });
        drop(queue);
        tail.set(tail.get() + 1);
        receiving.call_all();
        drop(pushed_out);
    }

    /// Takes the message `next` for a receiver, and counts it up.
    pub(super) fn take(&self, next: &mut u64) -> Result<T, TryRecvError>
    where
        T: Clone,
    {
        let Raw { head, senders, .. } = &self.raw;
        let mut queue = self.queue.borrow_mut();
        if let Some(missed @ 1..) = head.get().checked_sub(*next) {
            *next = head.get();
            return Err(TryRecvError::Lagged(missed));
        }
        let Some(message) = queue.get_mut((*next - head.get()) as usize) else {
            let is_over = senders.get() == 0;
            return Err(if is_over { TryRecvError::Closed } else { TryRecvError::Empty });
        };
        let Some(value) = message.value.take() else {
            drop(queue);
            taken_while_cloned();
        };
        let number = *next;
        *next += 1;
        if message.unread == 1 {
            // A receiver that had not received an earlier message would not have received this one
            // either, so it is the first.
            queue.pop_front();
            head.set(head.get() + 1);
            return Ok(value);
        }
        drop(queue);
        let cloning = Cloning { shared: self, number, value: Some(value) };
        // If this panics, the message is put back for the others, and this receiver skips it.
        Ok(cloning.value.clone().expect("only the drop takes the value out"))
    }

    /// Removes a receiver, which has not received the messages from `next` on.
    pub(super) fn drop_receiver(&self, next: u64) {
        let Raw { head, receivers, closing, .. } = &self.raw;
        receivers.set(receivers.get() - 1);
        let mut queue = self.queue.borrow_mut();
        for message in queue.iter_mut().skip(next.saturating_sub(head.get()) as usize) {
            message.unread -= 1;
        }
        let count = queue.iter().take_while(|message| message.unread == 0).count();
        head.set(head.get() + count as u64);
        let received_by_all: Vec<_> = queue.drain(..count).collect();
        drop(queue);
        if receivers.get() == 0 {
            closing.call_all();
        }
        drop(received_by_all);
    }
}

/// A message that is being cloned. Its drop puts the message back, unless it was pushed out
/// meanwhile or no other receiver needs it any more.
struct Cloning<'a, T> {
    shared: &'a Shared<T>,
    number: u64,
    value: Option<T>,
}

impl<T> Drop for Cloning<'_, T> {
    fn drop(&mut self) {
        let head = &self.shared.raw.head;
        let mut queue = self.shared.queue.borrow_mut();
        let at = self.number.checked_sub(head.get());
        if let Some(message) = at.and_then(|at| queue.get_mut(at as usize)) {
            message.unread -= 1;
            if message.unread > 0 {
                message.value = self.value.take();
                return;
            }
            // Its `Clone` has dropped all other receivers that had not received it.
            queue.pop_front();
            head.set(head.get() + 1);
        }
        drop(queue);
        // Contained, because the clone may have panicked.
        discard(self.value.take());
    }
}

#[cold]
#[track_caller]
fn taken_while_cloned() -> ! {
    panic!(
        "headwaiter: the `Clone` of a message of a `broadcast` channel has received, from the same channel, the message that is being cloned: receive in another place than `Clone`, or send it in an `Rc`"
    );
}
