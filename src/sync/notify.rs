//! [`Notify`]: wakes tasks when something has happened, without data. It is a [`WaitList`] with one
//! notice to give, and a count by which a future detects that all were woken since it was made.

use std::task::{Context, Poll};
use std::{cell::Cell, panic::Location, pin::Pin, rc::Rc};

use super::wait_list::{End, ListWait, WaitList};
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
        self.notify_at(End::First);
    }

    /// Wakes the task that began to wait last. If no task waits, the next one does not wait.
    ///
    /// Otherwise as [`notify_one`](Self::notify_one). It suits a pool of workers: the one that was
    /// busy last has its data in the caches. The first in the queue may wait for ever.
    ///
    /// ```
    /// use headwaiter::sync::Notify;
    /// use headwaiter::task::yield_now;
    /// use std::rc::Rc;
    ///
    /// headwaiter::block_on(async {
    ///     let orders = Rc::new(Notify::new());
    ///     let [first, last] = [1, 2].map(|_| {
    ///         headwaiter::spawn(Rc::clone(&orders).notified_owned())
    ///     });
    ///     yield_now().await; // Both run, and wait.
    ///     orders.notify_last();
    ///     last.await.unwrap();
    ///     assert!(!first.is_finished());
    ///     # first.abort();
    /// });
    /// ```
    pub fn notify_last(&self) {
        self.notify_at(End::Last);
    }

    #[inline]
    fn notify_at(&self, end: End) {
        match self.waiting.grant_at(end) {
            Some(next) => next.wake(),
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
        Notified { notify: self, notice: self.await_notice(Location::caller()) }
    }

    /// As [`notified`](Self::notified), for a future that can be moved into a task.
    ///
    /// ```
    /// use headwaiter::sync::Notify;
    /// use std::rc::Rc;
    ///
    /// headwaiter::block_on(async {
    ///     let dinner = Rc::new(Notify::new());
    ///     let guest = headwaiter::spawn(Rc::clone(&dinner).notified_owned());
    ///     dinner.notify_waiters(); // The future was made before, so it is woken.
    ///     guest.await.unwrap();
    /// });
    /// ```
    #[track_caller]
    pub fn notified_owned(self: Rc<Self>) -> OwnedNotified {
        let notice = self.await_notice(Location::caller());
        OwnedNotified { notify: self, notice }
    }

    fn await_notice(&self, place: &'static Location<'static>) -> AwaitedNotice {
        AwaitedNotice { calls: self.calls.get(), wait: ListWait::at(place) }
    }

    /// Whether the wait of a future is over: see [`WaitList::poll`].
    fn is_over(&self, calls: u64, is_granted: bool) -> Option<bool> {
        if is_granted {
            return Some(true);
        }
        if self.calls.get() != calls {
            return Some(false); // Woken by `notify_waiters`, so the notice stays.
        }
        self.notice.take().then_some(true)
    }

    #[inline]
    fn poll(&self, notice: &mut AwaitedNotice, cx: &Context<'_>) -> Poll<()> {
        let AwaitedNotice { calls, wait } = notice;
        let poll = self.waiting.poll(wait, cx, |is_granted| self.is_over(*calls, is_granted));
        if poll.is_ready() {
            *calls = self.ready_calls();
        }
        poll.map(|_| ())
    }

    fn enable(&self, notice: &mut AwaitedNotice) -> bool {
        let AwaitedNotice { calls, wait } = notice;
        let is_over = self.waiting.enroll(wait, |is_granted| self.is_over(*calls, is_granted));
        if is_over {
            *calls = self.ready_calls();
        }
        is_over
    }

    /// The count of a future that has its notice: it stays ready, as after a `notify_waiters`.
    #[inline]
    fn ready_calls(&self) -> u64 {
        self.calls.get().wrapping_sub(1)
    }

    /// Removes a future from the queue. A notice that it was granted and has not taken goes to the
    /// next one.
    #[inline]
    fn leave(&self, notice: &mut AwaitedNotice) {
        if notice.wait.has_place()
            && let Some(end) = self.waiting.leave_granted(&mut notice.wait)
        {
            self.notify_at(end);
        }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Notify::new()
    }
}

debug_struct!(impl[] for Notify as "Notify", |this| notice: this.notice.get(), ..);

/// What a future keeps of its wait for a notice.
#[derive(Debug)]
struct AwaitedNotice {
    /// The count of `notify_waiters` when the future was made. Any other count makes it ready.
    calls: u64,
    wait: ListWait,
}

/// The future of [`Notify::notified`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Notified<'a> {
    notify: &'a Notify,
    notice: AwaitedNotice,
}

/// The future of [`Notify::notified_owned`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct OwnedNotified {
    notify: Rc<Notify>,
    notice: AwaitedNotice,
}

macro_rules! future_of_notice {
    ($name:ty) => {
        impl $name {
            /// Begins to wait without a poll: from now on a [`notify_one`](Notify::notify_one) may
            /// wake this future. Returns whether it is ready. Then it has taken the notice, and
            /// does not wait when it is awaited.
            ///
            /// Call it before you check whether there is something to do, if several tasks check.
            /// Two calls of `notify_one` that come between the checks and the first polls then wake
            /// two of the tasks. Otherwise both notices coalesce into one.
            ///
            /// ```
            /// use headwaiter::sync::Notify;
            /// use std::pin::pin;
            ///
            /// headwaiter::block_on(async {
            ///     let orders = Notify::new();
            ///     let (mut one, mut two) = (pin!(orders.notified()), pin!(orders.notified()));
            ///     assert!(!one.as_mut().enable());
            ///     assert!(!two.as_mut().enable());
            ///     orders.notify_one();
            ///     orders.notify_one();
            ///     one.await;
            ///     two.await;
            /// });
            /// ```
            pub fn enable(mut self: Pin<&mut Self>) -> bool {
                let this = &mut *self;
                this.notify.enable(&mut this.notice)
            }
        }

        impl Future for $name {
            type Output = ();

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
                let this = &mut *self;
                this.notify.poll(&mut this.notice, cx)
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.notify.leave(&mut self.notice);
            }
        }
    };
}

future_of_notice!(Notified<'_>);
future_of_notice!(OwnedNotified);
