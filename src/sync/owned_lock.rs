//! [`OwnedMutexGuard`]: holds a [`Mutex`] locked without borrowing it, so that it can be moved into
//! another task. It has no owner for the detection of deadlocks, because any task may unlock.

use std::cell::{Ref, RefMut};
use std::task::{Context, Poll, ready};
use std::{fmt, panic::Location, pin::Pin, rc::Rc};

use super::mutex::{Mutex, TryLockError};
use super::wait_list::ListWait;
use crate::fmt::debug_struct;

impl<T: ?Sized> Mutex<T> {
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
    ///         held.borrow_mut().push("soup");
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
pub struct LockOwned<T: ?Sized> {
    /// `None` once it was moved into the guard.
    mutex: Option<Rc<Mutex<T>>>,
    wait: ListWait,
}

impl<T: ?Sized> Unpin for LockOwned<T> {}

impl<T: ?Sized> Future for LockOwned<T> {
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

impl<T: ?Sized> Drop for LockOwned<T> {
    fn drop(&mut self) {
        if let (Some(mutex), true) = (&self.mutex, self.wait.has_place()) {
            mutex.lock.leave(&mut self.wait);
        }
    }
}

debug_struct!(impl[T: ?Sized] for LockOwned<T> as "LockOwned", |this| wait: this.wait, ..);

/// The guard of a [`Mutex`] in an [`Rc`], from [`Mutex::lock_owned`]. Dropping it unlocks.
///
/// Unlike the guard of [`Mutex::lock`] it does not dereference to the value: call
/// [`borrow`](Self::borrow) and [`borrow_mut`](Self::borrow_mut). (A guard that owns the mutex and
/// also refers into it would need unsafe code, which this crate does not use for that.)
///
/// A leaked guard leaves the mutex locked for ever.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct OwnedMutexGuard<T: ?Sized> {
    mutex: Rc<Mutex<T>>,
}

impl<T: ?Sized> OwnedMutexGuard<T> {
    /// The caller must have locked the mutex.
    fn new(mutex: Rc<Mutex<T>>) -> Self {
        mutex.lock.disown();
        OwnedMutexGuard { mutex }
    }

    /// Gives access to the value.
    ///
    /// # Panics
    ///
    /// If what [`borrow_mut`](Self::borrow_mut) returned was leaked.
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.mutex.value.borrow()
    }

    /// Gives exclusive access to the value.
    ///
    /// # Panics
    ///
    /// If what an earlier `borrow_mut` or [`borrow`](Self::borrow) returned was leaked.
    #[track_caller]
    pub fn borrow_mut(&mut self) -> RefMut<'_, T> {
        self.mutex.value.borrow_mut()
    }

    /// Returns the mutex. This is an associated function, as tokio's is.
    pub fn mutex(this: &Self) -> &Rc<Mutex<T>> {
        &this.mutex
    }
}

impl<T: ?Sized> Drop for OwnedMutexGuard<T> {
    fn drop(&mut self) {
        self.mutex.lock.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.borrow(), f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.borrow(), f)
    }
}
