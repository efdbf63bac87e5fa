//! [`OwnedMutexGuard`]: holds a [`Mutex`] locked without borrowing it, so that it can be moved into
//! another task. It has no owner for the detection of deadlocks, because any task may unlock.

use std::ops::DerefMut;
use std::task::{Context, Poll, ready};
use std::{panic::Location, pin::Pin, rc::Rc};

use super::mutex::{IS_THERE, Mutex, TryLockError, guard_traits};
use super::wait_list::ListWait;
use crate::fmt::debug_struct;

impl<T> Mutex<T> {
    /// As [`lock`](Self::lock), for a guard that can be moved into another task.
    ///
    /// Cancel-safe, but the place in the queue is lost, as with [`lock`](Self::lock).
    ///
    /// Because any task may have the guard and unlock, a deadlock through this lock is not reported.
    ///
    /// ```
    /// use headwaiter::sync::Mutex;
    /// use std::rc::Rc;
    ///
    /// headwaiter::block_on(async {
    ///     let orders = Rc::new(Mutex::new(Vec::new()));
    ///     let mut held = Rc::clone(&orders).lock_owned().await;
    ///     headwaiter::spawn(async move {
    ///         held.push("soup");
    ///         // Dropping the guard unlocks.
    ///     });
    ///     assert_eq!(*orders.lock().await, ["soup"]);
    /// });
    /// ```
    #[track_caller]
    pub fn lock_owned(self: Rc<Self>) -> LockOwned<T> {
        LockOwned { mutex: Some(self), wait: ListWait::at(Location::caller()) }
    }

    /// As [`try_lock`](Self::try_lock), for a guard that can be moved into another task.
    ///
    /// # Errors
    ///
    /// [`TryLockError`], if it is locked, or was just handed to a waiter.
    #[track_caller]
    pub fn try_lock_owned(self: Rc<Self>) -> Result<OwnedMutexGuard<T>, TryLockError> {
        if self.lock.try_lock(Location::caller()) {
            Ok(OwnedMutexGuard::new(self))
        } else {
            Err(TryLockError("the mutex is locked"))
        }
    }
}

/// The future of [`Mutex::lock_owned`].
#[must_use = "futures do nothing unless awaited"]
pub struct LockOwned<T> {
    /// `None` once it was moved into the guard.
    mutex: Option<Rc<Mutex<T>>>,
    wait: ListWait,
}

impl<T> Unpin for LockOwned<T> {}

impl<T> Future for LockOwned<T> {
    type Output = OwnedMutexGuard<T>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(mutex) = &this.mutex {
            ready!(mutex.lock.poll_lock(&mut this.wait, cx));
        }
        let Some(mutex) = this.mutex.take() else {
            panic!("headwaiter: a `LockOwned` was polled again after it was ready");
        };
        Poll::Ready(OwnedMutexGuard::new(mutex))
    }
}

impl<T> Drop for LockOwned<T> {
    fn drop(&mut self) {
        if let (Some(mutex), true) = (&self.mutex, self.wait.has_place()) {
            mutex.lock.leave(&mut self.wait);
        }
    }
}

debug_struct!(impl[T] for LockOwned<T> as "LockOwned", |this| wait: this.wait, ..);

/// The guard of a [`Mutex`] in an [`Rc`], from [`Mutex::lock_owned`]. Dropping it unlocks.
///
/// It contains the value while it lives, because a guard that refers into a mutex that it owns would
/// need `unsafe` code. So locking and unlocking move the value (put a large one into a [`Box`]), the
/// value must have a size, and there is no `map`.
///
/// A leaked guard leaves the mutex locked for ever.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct OwnedMutexGuard<T> {
    /// `None` only after the drop has put it back.
    value: Option<T>,
    mutex: Rc<Mutex<T>>,
}

impl<T> OwnedMutexGuard<T> {
    /// The caller must have locked the mutex.
    fn new(mutex: Rc<Mutex<T>>) -> Self {
        mutex.lock.disown();
        let value = mutex.value.take();
        OwnedMutexGuard { value, mutex }
    }

    /// Returns the mutex. This is an associated function, so that it hides no method of the value.
    pub fn mutex(this: &Self) -> &Rc<Mutex<T>> {
        &this.mutex
    }
}

guard_traits! {
    [T] OwnedMutexGuard<T> => T, |this| this.value.as_ref().expect(IS_THERE);
}

impl<T> DerefMut for OwnedMutexGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect(IS_THERE)
    }
}

impl<T> Drop for OwnedMutexGuard<T> {
    fn drop(&mut self) {
        // Before the unlock, which may wake a task that uses the value at once.
        self.mutex.value.replace(self.value.take());
        self.mutex.lock.unlock();
    }
}
