//! [`Semaphore`]: a number of permits, which tasks take and release. It is built on [`Permits`],
//! which a channel uses too, for its room for messages.

use std::task::{Context, Poll, ready};
use std::{borrow::Borrow, cell::Cell, panic::Location, pin::Pin, rc::Rc};

use super::permit::{OwnedSemaphorePermit, Permit, SemaphorePermit};
use super::wait_list::{ListWait, WaitList};
use crate::fmt::{debug_struct, error_message};
use crate::state::{Awaited, State};

/// The permits that are free, and the queue of waiters.
pub(super) struct Permits {
    /// While a future waits, these are kept for the first one in the queue, which needs more.
    free: Cell<usize>,
    closed: Cell<bool>,
    waiting: WaitList,
}

impl Permits {
    pub(super) const fn new(free: usize, what: &'static str) -> Self {
        Permits { free: Cell::new(free), closed: Cell::new(false), waiting: WaitList::new(what) }
    }

    /// Returns how many could be taken now.
    pub(super) fn available(&self) -> usize {
        if self.waiting.is_empty() { self.free.get() } else { 0 }
    }

    /// Returns how many are free, also while a future waits for more.
    #[inline]
    pub(super) fn free(&self) -> usize {
        self.free.get()
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Takes permits if they are free and no future waits.
    #[inline]
    pub(super) fn try_take(&self, count: u32) -> bool {
        let left = self.free.get().checked_sub(count as usize);
        let Some(left) = left.filter(|_| !self.closed.get() && self.waiting.is_empty()) else {
            return false;
        };
        self.free.set(left);
        true
    }

    /// Waits for as many as `wait` needs. `false` if they were closed before.
    #[inline]
    pub(super) fn poll_take(&self, wait: &mut ListWait, cx: &Context<'_>) -> Poll<bool> {
        let need = wait.need();
        self.waiting.poll(wait, cx, |granted| self.take_granted(granted, need))
    }

    /// As [`poll_take`](Self::poll_take), but `what` says what a task waits for.
    #[inline]
    pub(super) fn poll_take_for(
        &self,
        wait: &mut ListWait,
        cx: &Context<'_>,
        what: impl Fn(&mut State, &ListWait) -> Awaited,
    ) -> Poll<bool> {
        let need = wait.need();
        self.waiting.poll_for(wait, cx, |granted| self.take_granted(granted, need), what)
    }

    #[inline]
    fn take_granted(&self, granted: bool, need: u32) -> Option<bool> {
        if granted || self.try_take(need) {
            return Some(true);
        }
        self.closed.get().then_some(false)
    }

    /// Whether a future waits.
    #[inline]
    pub(super) fn is_contended(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The queue of waiters.
    #[inline]
    pub(super) fn waiting(&self) -> &WaitList {
        &self.waiting
    }

    /// Releases permits, or adds some.
    #[inline]
    pub(super) fn give(&self, count: usize) {
        self.free.set(self.free.get() + count);
        if !self.waiting.is_empty() {
            self.hand_out();
        }
    }

    /// Releases permits. The caller knows that no future waits.
    #[inline]
    pub(super) fn give_uncontended(&self, count: usize) {
        self.free.set(self.free.get() + count);
    }

    /// Grants permits to the waiters in their order, as long as there are enough.
    fn hand_out(&self) {
        while let Some(next) = self.waiting.grant(self.free.get()) {
            self.free.set(self.free.get() - next.need as usize);
            next.wake();
        }
    }

    /// Takes up to `count` permits that are free for ever. Returns how many there were.
    fn forget(&self, count: usize) -> usize {
        let forgotten = self.available().min(count);
        self.free.set(self.free.get() - forgotten);
        forgotten
    }

    /// Removes a future from the queue, and releases what it had been granted.
    pub(super) fn leave(&self, wait: &mut ListWait) {
        let granted = self.waiting.leave(wait);
        // Called for 0 too: the next waiter may need fewer than the one that has left.
        self.give(if granted { wait.need() as usize } else { 0 });
    }

    /// Closes them, and wakes all waiters.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.waiting.call_all();
    }
}

/// A number of permits, which limits how many tasks do something at the same time.
///
/// Permits are granted in the order of the requests: a request for many permits is not overtaken by
/// later ones for few.
///
/// ```
/// use headwaiter::sync::Semaphore;
///
/// headwaiter::block_on(async {
///     let ovens = Semaphore::new(2);
///     let first = ovens.acquire().await?;
///     let second = ovens.acquire().await?;
///     assert!(ovens.try_acquire().is_err());
///     drop(first); // Dropping a permit gives it back.
///     assert_eq!(ovens.available_permits(), 1);
///     # drop(second);
///     # Ok::<(), headwaiter::sync::AcquireError>(())
/// })?;
/// # Ok::<(), headwaiter::sync::AcquireError>(())
/// ```
pub struct Semaphore {
    pub(super) permits: Permits,
}

impl Semaphore {
    /// The largest number of permits that a semaphore can have.
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    /// Makes a semaphore with this number of permits. It may be 0: permits can be
    /// [added](Self::add_permits).
    ///
    /// # Panics
    ///
    /// With more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    #[track_caller]
    pub const fn new(permits: usize) -> Self {
        assert!(
            permits <= Self::MAX_PERMITS,
            "headwaiter: `Semaphore::new` with more permits than `Semaphore::MAX_PERMITS`: use that for \"no limit\""
        );
        Semaphore { permits: Permits::new(permits, "a semaphore") }
    }

    /// Waits for one permit.
    ///
    /// Cancel-safe, but the place in the queue is lost: a dropped future has no permit. If it had
    /// just been granted one, that goes to the next waiter. (A future that is leaked, or kept and
    /// not polled, keeps what it is granted.)
    ///
    /// # Errors
    ///
    /// [`AcquireError`], if the semaphore is closed, also while this waits.
    #[track_caller]
    pub fn acquire(&self) -> Acquire<&Self> {
        self.acquire_many(1)
    }

    /// Waits for this number of permits, and takes them together. Otherwise as
    /// [`acquire`](Self::acquire).
    ///
    /// A request for more permits than there ever are waits for ever, and so do all later requests.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_many(&self, permits: u32) -> Acquire<&Self> {
        Acquire { semaphore: Some(self), wait: ListWait::for_many(permits, Location::caller()) }
    }

    /// As [`acquire`](Self::acquire), for a permit that can be moved into a task.
    ///
    /// ```
    /// use headwaiter::sync::Semaphore;
    /// use headwaiter::task::yield_now;
    /// use std::rc::Rc;
    ///
    /// headwaiter::block_on(async {
    ///     let ovens = Rc::new(Semaphore::new(2));
    ///     for dish in ["soup", "fish", "cake"] {
    ///         // For the cake it waits until an oven is free again.
    ///         let oven = Rc::clone(&ovens).acquire_owned().await.unwrap();
    ///         headwaiter::spawn(async move {
    ///             yield_now().await;
    ///             println!("{dish} is ready");
    ///             drop(oven);
    ///         });
    ///     }
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_owned(self: Rc<Self>) -> Acquire<Rc<Self>> {
        self.acquire_many_owned(1)
    }

    /// As [`acquire_many`](Self::acquire_many), for permits that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_many_owned(self: Rc<Self>, permits: u32) -> Acquire<Rc<Self>> {
        Acquire { semaphore: Some(self), wait: ListWait::for_many(permits, Location::caller()) }
    }

    /// Takes one permit without waiting, if one is free and no task waits.
    ///
    /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
    /// single poll of [`acquire`](Self::acquire) may be.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::NoPermits`] or [`TryAcquireError::Closed`].
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        Permit::try_new(self, 1)
    }

    /// Takes this number of permits without waiting, if they are free and no task waits.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire). No permit is taken then.
    pub fn try_acquire_many(&self, permits: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        Permit::try_new(self, permits)
    }

    /// As [`try_acquire`](Self::try_acquire), for a permit that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_owned(self: Rc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Permit::try_new(self, 1)
    }

    /// As [`try_acquire_many`](Self::try_acquire_many), for permits that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire). No permit is taken then.
    pub fn try_acquire_many_owned(
        self: Rc<Self>,
        permits: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Permit::try_new(self, permits)
    }

    /// Adds permits. They are granted to the waiters first.
    ///
    /// # Panics
    ///
    /// If there would be more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    #[track_caller]
    pub fn add_permits(&self, permits: usize) {
        let most = Self::MAX_PERMITS - self.permits.free().min(Self::MAX_PERMITS);
        assert!(
            permits <= most,
            "headwaiter: `Semaphore::add_permits` would make more permits than `Semaphore::MAX_PERMITS`: add no more than were taken with `forget`"
        );
        self.permits.give(permits);
    }

    /// Reduces the permits of the semaphore by those of `permits` that are free now. Returns how many
    /// that were: 0 while a task waits.
    ///
    /// To reduce them also by permits that are in use, acquire these and
    /// [`forget`](Permit::forget) them.
    ///
    /// ```
    /// use headwaiter::sync::Semaphore;
    ///
    /// let ovens = Semaphore::new(3);
    /// let oven = ovens.try_acquire().unwrap();
    /// assert_eq!(ovens.forget_permits(5), 2);
    /// drop(oven);
    /// assert_eq!(ovens.available_permits(), 1);
    /// ```
    pub fn forget_permits(&self, permits: usize) -> usize {
        self.permits.forget(permits)
    }

    /// Returns how many permits [`try_acquire_many`](Self::try_acquire_many) could take now: 0
    /// while a task waits.
    pub fn available_permits(&self) -> usize {
        self.permits.available()
    }

    /// Closes the semaphore for ever: waiting and later requests end with an error. Permits that
    /// were granted before stay valid. Closing a second time is a no-op.
    ///
    /// ```
    /// use headwaiter::sync::{Semaphore, TryAcquireError};
    /// use headwaiter::task::yield_now;
    /// use std::rc::Rc;
    ///
    /// headwaiter::block_on(async {
    ///     let tables = Rc::new(Semaphore::new(0));
    ///     let guest = headwaiter::spawn(Rc::clone(&tables).acquire_owned());
    ///     yield_now().await; // The guest runs, and waits.
    ///     tables.close();
    ///     assert!(guest.await.unwrap().is_err());
    ///     assert_eq!(tables.try_acquire().unwrap_err(), TryAcquireError::Closed);
    /// });
    /// ```
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether the semaphore was closed.
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }
}

debug_struct!(impl[] for Semaphore as "Semaphore",
    |this| available_permits: this.available_permits(), closed: this.is_closed());

/// The future of [`Semaphore::acquire`] and its variants.
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Acquire<S: Borrow<Semaphore>> {
    /// `None` once it was moved into the permit.
    semaphore: Option<S>,
    wait: ListWait,
}

impl<S: Borrow<Semaphore>> Unpin for Acquire<S> {}

impl<S: Borrow<Semaphore>> Future for Acquire<S> {
    type Output = Result<Permit<S>, AcquireError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let semaphore: &Semaphore = match &this.semaphore {
            Some(semaphore) => semaphore.borrow(),
            None => panic!("headwaiter: an `Acquire` was polled again after it was ready"),
        };
        let taken = ready!(semaphore.permits.poll_take(&mut this.wait, cx));
        let semaphore = this.semaphore.take();
        Poll::Ready(match semaphore.filter(|_| taken) {
            Some(semaphore) => Ok(Permit::new(semaphore, this.wait.need())),
            None => Err(AcquireError(())),
        })
    }
}

impl<S: Borrow<Semaphore>> Drop for Acquire<S> {
    fn drop(&mut self) {
        if let (Some(semaphore), true) = (&self.semaphore, self.wait.has_place()) {
            semaphore.borrow().permits.leave(&mut self.wait);
        }
    }
}

/// The error of [`Semaphore::acquire`]: the semaphore is closed, or was closed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcquireError(());

error_message!(impl[] for AcquireError, "the semaphore is closed");

/// The error of [`Semaphore::try_acquire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryAcquireError {
    /// The semaphore was closed.
    Closed,
    /// There are not enough free permits, or other tasks wait for them.
    NoPermits,
}

error_message!(impl[] for TryAcquireError, |this| match this {
    TryAcquireError::Closed => "the semaphore is closed",
    TryAcquireError::NoPermits => "the semaphore has no permits to give now",
});
