//! The guards that borrow their [`RwLock`].

use std::cell::{Ref, RefMut};
use std::ops::DerefMut;

use super::RwLock;
use super::raw::{Held, HolderKey, RawRwLock};
use crate::sync::mutex::guard_traits;

/// A guard of an [`RwLock`] that reads its value. Dropping it unlocks.
///
/// A leaked guard leaves the lock locked for reading for ever.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    // Dropped in this order: dropping the second wakes a task, which may borrow the value at once.
    value: Ref<'a, T>,
    held: Held<&'a RawRwLock>,
}

/// A guard of an [`RwLock`] that writes its value. Dropping it unlocks.
///
/// A leaked guard leaves the lock locked for writing for ever.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct RwLockWriteGuard<'a, T> {
    value: RefMut<'a, T>,
    held: Held<&'a RwLock<T>>,
}

/// As [`RwLockWriteGuard`], for a part of the value.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct RwLockMappedWriteGuard<'a, T: ?Sized> {
    value: RefMut<'a, T>,
    held: Held<&'a RawRwLock>,
}

impl<'a, T> RwLockReadGuard<'a, T> {
    /// The caller must have locked it for reading.
    #[inline]
    pub(super) fn new(lock: &'a RwLock<T>, key: HolderKey) -> Self {
        RwLockReadGuard { value: lock.value.read(), held: Held::new(&lock.raw, key) }
    }
}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// Returns a guard for a part of the value. Call it as `RwLockReadGuard::map(guard, ..)`.
    ///
    /// ```
    /// use headwaiter::sync::{RwLock, RwLockReadGuard};
    ///
    /// let order = RwLock::new(("soup", 4));
    /// let dish = RwLockReadGuard::map(order.try_read().unwrap(), |order| &order.0);
    /// assert_eq!(*dish, "soup");
    /// assert!(order.try_write().is_err());
    /// ```
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&T) -> &U) -> RwLockReadGuard<'a, U> {
        RwLockReadGuard { value: Ref::map(this.value, part), held: this.held }
    }

    /// As [`map`](Self::map), for a part that may be missing.
    ///
    /// # Errors
    ///
    /// Returns the guard if `part` returns `None`.
    pub fn try_map<U: ?Sized>(
        this: Self,
        part: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<RwLockReadGuard<'a, U>, Self> {
        match Ref::filter_map(this.value, part) {
            Ok(value) => Ok(RwLockReadGuard { value, held: this.held }),
            Err(value) => Err(RwLockReadGuard { value, held: this.held }),
        }
    }
}

impl<'a, T> RwLockWriteGuard<'a, T> {
    /// The caller must have locked it for writing.
    #[inline]
    pub(super) fn new(lock: &'a RwLock<T>, key: HolderKey) -> Self {
        RwLockWriteGuard { value: lock.value.write(), held: Held::new(lock, key) }
    }

    /// Turns the guard into one that reads. No other task writes in between. Tasks that are next in
    /// the queue and wait to read get the lock too.
    ///
    /// ```
    /// use headwaiter::sync::RwLock;
    ///
    /// headwaiter::block_on(async {
    ///     let menu = RwLock::new("soup");
    ///     let mut writing = menu.write().await;
    ///     *writing = "fish";
    ///     let reading = writing.downgrade();
    ///     assert_eq!(*menu.read().await, "fish");
    ///     assert_eq!(*reading, "fish");
    /// });
    /// ```
    pub fn downgrade(self) -> RwLockReadGuard<'a, T> {
        let RwLockWriteGuard { value, mut held } = self;
        drop(value);
        let value = held.lock().value.read();
        held.downgrade();
        RwLockReadGuard { value, held: held.into_raw() }
    }

    /// As [`downgrade`](Self::downgrade) and then [`map`](RwLockReadGuard::map).
    pub fn downgrade_map<U: ?Sized>(
        this: Self,
        part: impl FnOnce(&T) -> &U,
    ) -> RwLockReadGuard<'a, U> {
        RwLockReadGuard::map(this.downgrade(), part)
    }

    /// As [`downgrade_map`](Self::downgrade_map), for a part that may be missing.
    ///
    /// # Errors
    ///
    /// Returns the guard, which still writes, if `part` returns `None`.
    pub fn try_downgrade_map<U: ?Sized>(
        this: Self,
        part: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<RwLockReadGuard<'a, U>, Self> {
        let RwLockWriteGuard { value, mut held } = this;
        drop(value);
        let lock: &'a RwLock<T> = held.lock();
        match Ref::filter_map(lock.value.read(), part) {
            Ok(value) => {
                held.downgrade();
                Ok(RwLockReadGuard { value, held: held.into_raw() })
            }
            Err(value) => {
                drop(value);
                Err(RwLockWriteGuard { value: lock.value.write(), held })
            }
        }
    }

    /// Returns a guard for a part of the value. Call it as `RwLockWriteGuard::map(guard, ..)`.
    ///
    /// ```
    /// use headwaiter::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let order = RwLock::new(("soup", 4));
    /// *RwLockWriteGuard::map(order.try_write().unwrap(), |order| &mut order.1) = 5;
    /// assert_eq!(order.into_inner(), ("soup", 5));
    /// ```
    pub fn map<U: ?Sized>(
        this: Self,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> RwLockMappedWriteGuard<'a, U> {
        RwLockMappedWriteGuard::map(RwLockWriteGuard::into_mapped(this), part)
    }

    /// As [`map`](Self::map), for a part that may be missing.
    ///
    /// # Errors
    ///
    /// Returns the guard if `part` returns `None`.
    pub fn try_map<U: ?Sized>(
        this: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<RwLockMappedWriteGuard<'a, U>, Self> {
        match RefMut::filter_map(this.value, part) {
            Ok(value) => Ok(RwLockMappedWriteGuard { value, held: this.held.into_raw() }),
            Err(value) => Err(RwLockWriteGuard { value, held: this.held }),
        }
    }

    /// Returns a guard for the whole value, of the type that [`map`](Self::map) returns.
    pub fn into_mapped(this: Self) -> RwLockMappedWriteGuard<'a, T> {
        RwLockMappedWriteGuard { value: this.value, held: this.held.into_raw() }
    }
}

impl<'a, T: ?Sized> RwLockMappedWriteGuard<'a, T> {
    /// Returns a guard for a part of the part.
    pub fn map<U: ?Sized>(
        this: Self,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> RwLockMappedWriteGuard<'a, U> {
        RwLockMappedWriteGuard { value: RefMut::map(this.value, part), held: this.held }
    }

    /// As [`map`](Self::map), for a part that may be missing.
    ///
    /// # Errors
    ///
    /// Returns the guard if `part` returns `None`.
    pub fn try_map<U: ?Sized>(
        this: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<RwLockMappedWriteGuard<'a, U>, Self> {
        match RefMut::filter_map(this.value, part) {
            Ok(value) => Ok(RwLockMappedWriteGuard { value, held: this.held }),
            Err(value) => Err(RwLockMappedWriteGuard { value, held: this.held }),
        }
    }
}

guard_traits! {
    [T: ?Sized] RwLockReadGuard<'_, T> => T, |this| &this.value;
    [T] RwLockWriteGuard<'_, T> => T, |this| &this.value;
    [T: ?Sized] RwLockMappedWriteGuard<'_, T> => T, |this| &this.value;
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized> DerefMut for RwLockMappedWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
