//! [`Permit`]: permits of a [`Semaphore`] that a task has. They can be merged and split, and are
//! released when they are dropped.

use std::borrow::Borrow;
use std::ptr;
use std::rc::Rc;

use super::semaphore::{Semaphore, TryAcquireError};

/// Permits of a [`Semaphore`]. Dropping them releases them.
#[must_use = "a permit that is dropped at once permits nothing"]
#[derive(Debug)]
pub struct Permit<S: Borrow<Semaphore>> {
    semaphore: S,
    count: usize,
}

/// A [`Permit`] that borrows its semaphore.
pub type SemaphorePermit<'a> = Permit<&'a Semaphore>;

/// A [`Permit`] that can be moved into a task.
pub type OwnedSemaphorePermit = Permit<Rc<Semaphore>>;

impl<S: Borrow<Semaphore>> Permit<S> {
    /// The caller must have taken `count` permits of the semaphore.
    pub(super) fn new(semaphore: S, count: u32) -> Self {
        Permit { semaphore, count: count as usize }
    }

    pub(super) fn try_new(semaphore: S, count: u32) -> Result<Self, TryAcquireError> {
        let permits = &semaphore.borrow().permits;
        if permits.is_closed() {
            return Err(TryAcquireError::Closed);
        }
        if !permits.try_take(count) {
            return Err(TryAcquireError::NoPermits);
        }
        Ok(Permit::new(semaphore, count))
    }

    /// Returns how many permits this is.
    pub fn num_permits(&self) -> usize {
        self.count
    }

    /// Drops it without releasing the permits, which reduces the permits of the semaphore.
    pub fn forget(mut self) {
        self.count = 0;
    }

    /// Adds the permits of `other` to this.
    ///
    /// ```
    /// use headwaiter::sync::Semaphore;
    ///
    /// let ovens = Semaphore::new(3);
    /// let mut taken = ovens.try_acquire().unwrap();
    /// taken.merge(ovens.try_acquire_many(2).unwrap());
    /// assert_eq!(taken.num_permits(), 3);
    /// drop(taken);
    /// assert_eq!(ovens.available_permits(), 3);
    /// ```
    ///
    /// # Panics
    ///
    /// If they are permits of different semaphores, or more than [`Semaphore::MAX_PERMITS`]. Then
    /// `other` is released.
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(
            ptr::eq(self.semaphore.borrow(), other.semaphore.borrow()),
            "headwaiter: `merge` of permits of two semaphores: keep them apart, each is released to its own"
        );
        let count = self.count.saturating_add(other.count);
        assert!(
            count <= Semaphore::MAX_PERMITS,
            "headwaiter: `merge` would make a permit of more than `Semaphore::MAX_PERMITS`: keep the two apart"
        );
        (self.count, other.count) = (count, 0);
    }

    /// Takes `permits` of these permits out, as a permit of their own. Returns `None`, and leaves
    /// this as it is, if there are not so many.
    ///
    /// ```
    /// use headwaiter::sync::Semaphore;
    ///
    /// let ovens = Semaphore::new(3);
    /// let mut taken = ovens.try_acquire_many(3).unwrap();
    /// let one = taken.split(1).unwrap();
    /// assert_eq!((one.num_permits(), taken.num_permits()), (1, 2));
    /// assert!(taken.split(3).is_none());
    /// drop(one);
    /// assert_eq!(ovens.available_permits(), 1);
    /// ```
    pub fn split(&mut self, permits: usize) -> Option<Self>
    where
        S: Clone,
    {
        let rest = self.count.checked_sub(permits)?;
        let semaphore = self.semaphore.clone();
        self.count = rest;
        Some(Permit { semaphore, count: permits })
    }
}

impl<'a> SemaphorePermit<'a> {
    /// Returns the semaphore.
    pub fn semaphore(&self) -> &'a Semaphore {
        self.semaphore
    }
}

impl OwnedSemaphorePermit {
    /// Returns the semaphore.
    pub fn semaphore(&self) -> &Rc<Semaphore> {
        &self.semaphore
    }
}

impl<S: Borrow<Semaphore>> Drop for Permit<S> {
    fn drop(&mut self) {
        self.semaphore.borrow().permits.give(self.count);
    }
}
