//! The guards that borrow their [`RwLock`].

use std::cell::{Ref, RefMut};
use std::ops::DerefMut;

use super::RwLock;
use super::raw::{Held, Hold, RawRwLock};
use crate::sync::mutex::guard_traits;

/// A guard of an [`RwLock`] that reads its value. Dropping it unlocks.
///
/// A leaked guard leaves the lock locked for reading for ever.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    // Dropped in this order: dropping the second wakes a task, which may borrow the value at once.
    value: Ref<'a, T>,
    hold: Hold<&'a RawRwLock>,
}

/// A guard of an [`RwLock`] that writes its value. Dropping it unlocks.
///
/// A leaked guard leaves the lock locked for writing for ever.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct RwLockWriteGuard<'a, T> {
    value: RefMut<'a, T>,
    hold: Hold<&'a RwLock<T>>,
}

/// As [`RwLockWriteGuard`], for a part of the value.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct RwLockMappedWriteGuard<'a, T: ?Sized> {
    value: RefMut<'a, T>,
    hold: Hold<&'a RawRwLock>,
}

impl<'a, T> RwLockReadGuard<'a, T> {
    /// The caller must have locked it for reading.
    #[inline]
    pub(super) fn new(lock: &'a RwLock<T>, held: Held) -> Self {
        RwLockReadGuard { value: lock.value.read(), hold: Hold::new(&lock.raw, held) }
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
        RwLockReadGuard { value: Ref::map(this.value, part), hold: this.hold }
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
            Ok(value) => Ok(RwLockReadGuard { value, hold: this.hold }),
            Err(value) => Err(RwLockReadGuard { value, hold: this.hold }),
        }
    }
}

impl<'a, T> RwLockWriteGuard<'a, T> {
    /// The caller must have locked it for writing.
    #[inline]
    pub(super) fn new(lock: &'a RwLock<T>, held: Held) -> Self {
        RwLockWriteGuard { value: lock.value.write(), hold: Hold::new(lock, held) }
    }

    /// Goes on reading what it has written. No other task writes in between, and tasks that are
    /// next in the queue and want to read may do so too.
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
        let RwLockWriteGuard { value, mut hold } = self;
        drop(value);
        let value = hold.lock().value.read();
        hold.downgrade();
        RwLockReadGuard { value, hold: hold.into_raw() }
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
        let RwLockWriteGuard { value, mut hold } = this;
        drop(value);
        let lock: &'a RwLock<T> = hold.lock();
        match Ref::filter_map(lock.value.read(), part) {
            Ok(value) => {
                hold.downgrade();
                Ok(RwLockReadGuard { value, hold: hold.into_raw() })
            }
            Err(value) => {
                drop(value);
                Err(RwLockWriteGuard { value: lock.value.write(), hold })
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
            Ok(value) => Ok(RwLockMappedWriteGuard { value, hold: this.hold.into_raw() }),
            Err(value) => Err(RwLockWriteGuard { value, hold: this.hold }),
        }
    }

    /// Returns a guard for the whole value, of the type that [`map`](Self::map) returns.
    pub fn into_mapped(this: Self) -> RwLockMappedWriteGuard<'a, T> {
        RwLockMappedWriteGuard { value: this.value, hold: this.hold.into_raw() }
    }
}

impl<'a, T: ?Sized> RwLockMappedWriteGuard<'a, T> {
    /// Returns a guard for a part of the part.
    pub fn map<U: ?Sized>(
        this: Self,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> RwLockMappedWriteGuard<'a, U> {
        RwLockMappedWriteGuard { value: RefMut::map(this.value, part), hold: this.hold }
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
            Ok(value) => Ok(RwLockMappedWriteGuard { value, hold: this.hold }),
            Err(value) => Err(RwLockMappedWriteGuard { value, hold: this.hold }),
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
