//! Weak senders, which do not keep a channel open, and the counts of the senders of both kinds.
//!
//! Made by `downgrade`. They hold no permits and wake nothing: only strong senders end a channel.

use std::rc::Rc;

use super::sender::{End, Sender, UnboundedSender};
use super::shared::Channel;
use crate::fmt::debug_struct;

/// The common part of both kinds of weak senders. The channel counts them.
pub(super) struct WeakEnd<T>(Rc<Channel<T>>);

impl<T> WeakEnd<T> {
    pub(super) fn new(end: &End<T>) -> Self {
        WeakEnd::count(&end.0)
    }

    fn count(channel: &Rc<Channel<T>>) -> Self {
        let weak = &channel.raw.weak_senders;
        weak.set(weak.get() + 1);
        WeakEnd(Rc::clone(channel))
    }

    /// Makes a sender, unless the last one is gone: the end of a channel is final.
    fn upgrade(&self) -> Option<End<T>> {
        (self.0.raw.senders.get() > 0).then(|| End::count(&self.0))
    }
}

impl<T> Clone for WeakEnd<T> {
    fn clone(&self) -> Self {
        WeakEnd::count(&self.0)
    }
}

impl<T> Drop for WeakEnd<T> {
    fn drop(&mut self) {
        let weak = &self.0.raw.weak_senders;
        weak.set(weak.get() - 1);
    }
}

/// A sender that does not keep its channel open, made by [`Sender::downgrade`].
///
/// It cannot send by itself: [`upgrade`](Self::upgrade) it for each time that it is needed. So a task
/// that is kept by the receiver of a channel can have a way to send to it, and the channel still ends
/// when the other senders are gone.
///
/// ```
/// use headwaiter::sync::mpsc;
///
/// headwaiter::block_on(async {
///     let (orders, mut kitchen) = mpsc::channel(2);
///     let weak = orders.downgrade();
///     weak.upgrade().unwrap().send("soup").await.unwrap();
///     drop(orders); // The last one.
///     assert!(weak.upgrade().is_none());
///     assert_eq!(kitchen.recv().await, Some("soup"));
///     assert_eq!(kitchen.recv().await, None);
/// });
/// ```
pub struct WeakSender<T> {
    end: WeakEnd<T>,
}

/// A sender that does not keep its channel open, made by [`UnboundedSender::downgrade`]. Otherwise as
/// [`WeakSender`].
pub struct WeakUnboundedSender<T> {
    end: WeakEnd<T>,
}

macro_rules! weak_sender {
    ($sender:ident, $weak:ident, $name:literal) => {
        impl<T> $sender<T> {
            /// Makes a weak sender, which does not keep the channel open.
            pub fn downgrade(&self) -> $weak<T> {
                $weak { end: WeakEnd::new(&self.end) }
            }

            /// Returns how many senders there are. A future or a permit that contains a sender counts
            /// as one.
            pub fn strong_count(&self) -> usize {
                self.end.0.raw.senders.get()
            }

            /// Returns how many weak senders there are.
            pub fn weak_count(&self) -> usize {
                self.end.0.raw.weak_senders.get()
            }
        }

        impl<T> $weak<T> {
            /// Makes a sender. Returns `None` if the last one is gone, whether or not the receiver
            /// is.
            pub fn upgrade(&self) -> Option<$sender<T>> {
                self.end.upgrade().map(|end| $sender { end })
            }

            /// Returns how many senders there are that are not weak.
            pub fn strong_count(&self) -> usize {
                self.end.0.raw.senders.get()
            }

            /// Returns how many weak senders there are, with this one.
            pub fn weak_count(&self) -> usize {
                self.end.0.raw.weak_senders.get()
            }
        }

        impl<T> Clone for $weak<T> {
            fn clone(&self) -> Self {
                $weak { end: self.end.clone() }
            }
        }

        debug_struct!(impl[T] for $weak<T> as $name, |this| strong_count: this.strong_count(), ..);
    };
}

weak_sender!(Sender, WeakSender, "WeakSender");
weak_sender!(UnboundedSender, WeakUnboundedSender, "WeakUnboundedSender");
