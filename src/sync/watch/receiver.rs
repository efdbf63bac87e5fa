//! The receiving ends of a channel that holds one value, and their futures.

use std::task::{Context, Poll, ready};
use std::{panic::Location, pin::Pin, rc::Rc};

use super::error::RecvError;
use super::shared::{Ref, Shared};
use crate::{fmt::debug_struct, sync::wait_list::ListWait};

/// Watches the value of a [`channel`](super::channel()). A clone watches on its own, and has seen
/// what this one has seen.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The version of the value that it has seen last.
    seen: u64,
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: Rc<Shared<T>>) -> Self {
        shared.raw.add_receiver();
        let seen = shared.raw.version.get();
        Receiver { shared, seen }
    }

    /// Borrows the value, without marking it as seen. Keep the borrow
    /// [short](super#borrowing-the-value).
    ///
    /// # Panics
    ///
    /// In the closure of `send_modify` or `send_if_modified` of the same channel.
    #[inline]
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        let value = self.shared.read("`watch::Receiver::borrow`", Location::caller());
        Ref { value, has_changed: self.is_unseen() }
    }

    /// Borrows the value and marks it as seen, so that [`changed`](Self::changed) waits for the
    /// next one. Keep the borrow [short](super#borrowing-the-value).
    ///
    /// # Panics
    ///
    /// In the closure of `send_modify` or `send_if_modified` of the same channel.
    #[inline]
    #[track_caller]
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let has_changed = self.is_unseen();
        self.mark_unchanged();
        let value = self.shared.read("`watch::Receiver::borrow_and_update`", Location::caller());
        Ref { value, has_changed }
    }

    /// Whether there is a value that it has not seen. Marks nothing as seen. It does not compare
    /// values: one that is equal to the value before is new too.
    ///
    /// ```
    /// use headwaiter::sync::watch;
    ///
    /// let (board, mut guest) = watch::channel("soup");
    /// assert_eq!(guest.has_changed(), Ok(false));
    /// board.send("soup").unwrap();
    /// assert_eq!(guest.has_changed(), Ok(true));
    /// guest.mark_unchanged();
    /// assert_eq!(guest.has_changed(), Ok(false));
    /// drop(board);
    /// assert!(guest.has_changed().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`RecvError`], if all senders are gone, whatever it has seen.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        if self.is_closed() { Err(RecvError(())) } else { Ok(self.is_unseen()) }
    }

    /// Whether all senders are gone.
    pub fn is_closed(&self) -> bool {
        self.shared.raw.senders.get() == 0
    }

    /// Marks the value as not seen, so that [`changed`](Self::changed) returns immediately.
    pub fn mark_changed(&mut self) {
        self.seen = self.shared.raw.version.get().wrapping_sub(1);
    }

    /// Marks the value as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.raw.version.get();
    }

    /// Waits for a value that it has not seen, and marks it as seen. It does not wait if there is
    /// one already.
    ///
    /// Cancel-safe: a dropped future has marked nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError`], if it has seen the value and all senders are gone.
    ///
    /// ```
    /// use headwaiter::sync::watch;
    ///
    /// headwaiter::block_on(async {
    ///     let (board, mut guest) = watch::channel("soup");
    ///     board.send("fish").unwrap();
    ///     drop(board);
    ///     assert!(guest.changed().await.is_ok()); // It has not seen the fish.
    ///     assert!(guest.changed().await.is_err());
    ///     assert_eq!(*guest.borrow(), "fish");
    /// });
    /// ```
    #[inline]
    #[track_caller]
    pub fn changed(&mut self) -> Changed<'_, T> {
        Changed { receiver: self, wait: ListWait::at(Location::caller()) }
    }

    /// Waits until the value is one for which `is_wanted` returns `true`, and borrows it. It begins
    /// with the present value, even if that was seen. Values that are replaced before the future is
    /// polled are skipped.
    ///
    /// Each value that it passes to `is_wanted` is marked as seen. Cancel-safe: a dropped future has
    /// marked only values that are not wanted.
    ///
    /// If `is_wanted` panics, so does the future, and the channel stays usable.
    ///
    /// # Errors
    ///
    /// [`RecvError`], if all senders are gone and the last value is not wanted.
    ///
    /// # Panics
    ///
    /// If it is polled again after it was ready, and in the closure of `send_modify` or
    /// `send_if_modified` of the same channel.
    ///
    /// ```
    /// use headwaiter::sync::watch;
    ///
    /// headwaiter::block_on(async {
    ///     let (oven, mut cook) = watch::channel(20);
    ///     let hot = headwaiter::spawn(async move {
    ///         cook.wait_for(|degrees| *degrees >= 180).await.map(|degrees| *degrees)
    ///     });
    ///     for degrees in [100, 150, 200] {
    ///         oven.send(degrees).unwrap();
    ///     }
    ///     assert_eq!(hot.await.unwrap(), Ok(200));
    /// });
    /// ```
    #[track_caller]
    pub fn wait_for<F: FnMut(&T) -> bool>(&mut self, is_wanted: F) -> WaitFor<'_, T, F> {
        WaitFor {
            shared: &self.shared,
            seen: &mut self.seen,
            is_wanted,
            state: Looked::Never,
            wait: ListWait::at(Location::caller()),
        }
    }

    /// Whether both watch the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    #[inline]
    fn is_unseen(&self) -> bool {
        self.seen != self.shared.raw.version.get()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.raw.add_receiver();
        Receiver { shared: Rc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.raw.drop_receiver();
    }
}

debug_struct!(impl[T] for Receiver<T> as "Receiver",
    |this| has_changed: this.is_unseen(), closed: this.is_closed(), ..);

/// The future of [`Receiver::changed`].
#[must_use = "futures do nothing unless awaited"]
pub struct Changed<'a, T> {
    receiver: &'a mut Receiver<T>,
    wait: ListWait,
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<(), RecvError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Receiver { shared, seen } = &mut *this.receiver;
        ready!(shared.raw.poll_changed(&mut this.wait, cx, Some(*seen)));
        let version = shared.raw.version.get();
        let before = std::mem::replace(seen, version);
        Poll::Ready(if before == version { Err(RecvError(())) } else { Ok(()) })
    }
}

impl<T> Drop for Changed<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.shared.raw.changing.leave(&mut self.wait);
    }
}

debug_struct!(impl[T] for Changed<'_, T> as "Changed", |this| wait: this.wait, ..);

/// The future of [`Receiver::wait_for`].
#[must_use = "futures do nothing unless awaited"]
pub struct WaitFor<'a, T, F> {
    shared: &'a Shared<T>,
    /// The receiver's.
    seen: &'a mut u64,
    is_wanted: F,
    state: Looked,
    wait: ListWait,
}

/// What a [`WaitFor`] has looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looked {
    Never,
    /// At the value of this version, which was not wanted.
    At(u64),
    /// It was ready.
    Done,
}

impl<T, F> Unpin for WaitFor<'_, T, F> {}

impl<'a, T, F: FnMut(&T) -> bool> Future for WaitFor<'a, T, F> {
    type Output = Result<Ref<'a, T>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let shared = this.shared;
        loop {
            let looked_at = match this.state {
                Looked::Never => None,
                Looked::At(version) => Some(version),
                Looked::Done => {
                    panic!("headwaiter: a `watch::WaitFor` was polled again after it was ready")
                }
            };
            ready!(shared.raw.poll_changed(&mut this.wait, cx, looked_at));
            let version = shared.raw.version.get();
            if looked_at == Some(version) {
                this.state = Looked::Done;
                return Poll::Ready(Err(RecvError(())));
            }
            let value = shared.read("`watch::Receiver::wait_for`", this.wait.place());
            let has_changed = std::mem::replace(this.seen, version) != version;
            this.state = Looked::At(version);
            if (this.is_wanted)(&value) {
                this.state = Looked::Done;
                return Poll::Ready(Ok(Ref { value, has_changed }));
            }
        }
    }
}

impl<T, F> Drop for WaitFor<'_, T, F> {
    fn drop(&mut self) {
        self.shared.raw.changing.leave(&mut self.wait);
    }
}

debug_struct!(impl[T, F] for WaitFor<'_, T, F> as "WaitFor", |this| wait: this.wait, ..);
