//! The guards that own a reference to their [`RwLock`], so that they can be moved into a task. They
//! have no `map`: that needs `unsafe` code.

use std::ops::DerefMut;
use std::rc::Rc;

use super::RwLock;
use super::raw::{Held, HolderKey};
use super::value::Taken;
use crate::sync::mutex::guard_traits;

/// A guard that reads, from [`RwLock::read_owned`]. Dropping it unlocks.
///
/// A leaked guard leaves the lock locked for reading for ever.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct OwnedRwLockReadGuard<T> {
    // Dropped in this order: a task that then gets the lock to write needs the only reference.
    value: Rc<T>,
    held: Held<Rc<RwLock<T>>>,
}

/// A guard that writes, from [`RwLock::write_owned`]. Dropping it unlocks.
///
/// A leaked guard leaves the lock locked for writing for ever.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct OwnedRwLockWriteGuard<T> {
    // Dropped in this order: the value is back when the lock is free.
    value: Taken<T>,
    held: Held<Rc<RwLock<T>>>,
}

impl<T> OwnedRwLockReadGuard<T> {
    /// The caller must have locked it for reading.
    pub(super) fn new(lock: Rc<RwLock<T>>, key: HolderKey) -> Self {
        let value = lock.value.share();
        let held = Held::new(lock, key);
        OwnedRwLockReadGuard { value, held }
    }

    /// Returns the lock.
    pub fn rwlock(this: &Self) -> &Rc<RwLock<T>> {
        this.held.lock()
    }
}

impl<T> OwnedRwLockWriteGuard<T> {
    /// The caller must have locked it for writing.
    pub(super) fn new(lock: Rc<RwLock<T>>, key: HolderKey) -> Self {
        let value = Taken::from(Rc::clone(&lock));
        let held = Held::new(lock, key);
        OwnedRwLockWriteGuard { value, held }
    }

    /// Turns the guard into one that reads, as
    /// [`RwLockWriteGuard::downgrade`](super::RwLockWriteGuard::downgrade).
    pub fn downgrade(self) -> OwnedRwLockReadGuard<T> {
        let OwnedRwLockWriteGuard { value, mut held } = self;
        drop(value);
        let value = held.lock().value.share();
        held.downgrade();
        OwnedRwLockReadGuard { value, held }
    }

    /// Returns the lock.
    pub fn rwlock(this: &Self) -> &Rc<RwLock<T>> {
        this.held.lock()
    }
}

guard_traits! {
    [T] OwnedRwLockReadGuard<T> => T, |this| &this.value;
    [T] OwnedRwLockWriteGuard<T> => T, |this| this.value.get();
}

impl<T> DerefMut for OwnedRwLockWriteGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}
