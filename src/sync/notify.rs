//! [`Notify`]: wakes tasks when something has happened, without data.

use std::task::{Context, Poll};
use std::{cell::Cell, panic::Location, pin::Pin};

use super::wait_list::{ListWait, WaitList};
use crate::fmt::debug_struct;

/// Wakes one waiting task, or all of them.
///
/// If no task waits, [`notify_one`](Self::notify_one) leaves a notice, which the next
/// [`notified`](Self::notified) takes. Several notices coalesce into one. So a task may check
/// whether there is something to do, and await `notified` if there is not:
///
/// ```
/// use headwaiter::sync::Notify;
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// headwaiter::block_on(async {
///     let orders = Rc::new((RefCell::new(Vec::new()), Notify::new()));
///     let kitchen = headwaiter::spawn({
///         let orders = Rc::clone(&orders);
///         async move {
///             loop {
///                 if let Some(order) = orders.0.borrow_mut().pop() {
///                     return order;
///                 }
///                 orders.1.notified().await;
///             }
///         }
///     });
///     orders.0.borrow_mut().push("soup");
///     orders.1.notify_one();
///     assert_eq!(kitchen.await.unwrap(), "soup");
/// });
/// ```
pub struct Notify {
    /// Whether there is a notice that no future has taken. Never set while a future waits.
    notice: Cell<bool>,
    /// Counts the calls of `notify_waiters`, so that a future detects a call since it was made.
    calls: Cell<u64>,
    waiting: WaitList,
}

impl Notify {
    /// Makes a `Notify` without a notice.
    pub const fn new() -> Self {
        Notify {
            notice: Cell::new(false),
            calls: Cell::new(0),
            waiting: WaitList::new("a notification"),
        }
    }

    /// Wakes the task that has waited longest. If no task waits, the next one does not wait.
    pub fn notify_one(&self) {
        match self.waiting.grant(1) {
            Some(next) => next.wake.wake(),
            None => self.notice.set(true),
        }
    }

    /// Wakes all futures that [`notified`](Self::notified) has returned, polled or not. It leaves
    /// no notice for later ones.
    ///
    /// ```
    /// use headwaiter::sync::Notify;
    /// use headwaiter::task::yield_now;
    /// use std::rc::Rc;
    ///
    /// headwaiter::block_on(async {
    ///     let dinner = Rc::new(Notify::new());
    ///     let guests = [1, 2, 3].map(|_| {
    ///         let dinner = Rc::clone(&dinner);
    ///         headwaiter::spawn(async move { dinner.notified().await })
    ///     });
    ///     yield_now().await; // The guests run, and wait.
    ///     dinner.notify_waiters();
    ///     for guest in guests {
    ///         guest.await.unwrap();
    ///     }
    /// });
    /// ```
    pub fn notify_waiters(&self) {
        self.calls.set(self.calls.get().wrapping_add(1));
        self.waiting.call_all();
    }

    /// Waits for a notice. A [`notify_waiters`](Self::notify_waiters) wakes all futures that were
    /// made before it. A [`notify_one`](Self::notify_one) wakes one that waits, and a future waits
    /// from its first poll on; if none waits, the next one that is polled takes the notice.
    ///
    /// Cancel-safe, but the place in the queue is lost: if the future had just been granted the
    /// notice of a `notify_one`, that goes to the next. (A future that is leaked, or kept and not
    /// polled, keeps it.)
    #[track_caller]
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, calls: self.calls.get(), wait: ListWait::at(Location::caller()) }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Notify::new()
    }
}

debug_struct!(impl[] for Notify as "Notify", |this| notice: this.notice.get(), ..);

/// The future of [`Notify::notified`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Notified<'a> {
    notify: &'a Notify,
    /// The count of `notify_waiters` when the future was made.
    calls: u64,
    wait: ListWait,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let (notify, calls) = (this.notify, this.calls);
        let done = |granted| match granted {
            true => Some(true),
            // Woken by `notify_waiters`, so the notice stays.
            false if notify.calls.get() != calls => Some(false),
            false => notify.notice.take().then_some(true),
        };
        notify.waiting.poll(&mut this.wait, cx, done).map(|_| ())
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if self.notify.waiting.leave(&mut self.wait) {
            self.notify.notify_one();
        }
    }
}
