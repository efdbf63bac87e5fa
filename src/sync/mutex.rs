//! [`Mutex`]: a value that one task at a time may use, also across an `await`.
//!
//! The lock itself is a [`RawMutex`]. A guard borrows the value for as long as it holds the lock; an
//! owned guard (`owned_lock.rs`) takes the value out, and its drop puts it back.

use std::cell::{RefCell, RefMut};
use std::ops::DerefMut;
use std::task::{Context, Poll, ready};
use std::{fmt, panic::Location, pin::Pin};

use super::raw_mutex::{Held, RawMutex};
use super::wait_list::ListWait;
use crate::fmt::{debug_struct, error_message};

/// A value that one task at a time may use.
///
/// If no `await` happens during the borrow, a [`RefCell`] is enough. The guard of a `Mutex` may be
/// held across an `await`; other tasks wait meanwhile. Unlocking hands the lock to the task that
/// has waited longest, so a later [`lock`](Self::lock) or [`try_lock`](Self::try_lock) does not get
/// ahead of the waiters.
///
/// There is no poisoning: a panic of the holder unlocks, as any drop of the guard does.
///
/// ```
/// use headwaiter::sync::Mutex;
/// use headwaiter::task::yield_now;
/// use std::rc::Rc;
///
/// headwaiter::block_on(async {
///     let count = Rc::new(Mutex::new(0));
///     let add = |count: Rc<Mutex<i32>>| async move {
///         let mut count = count.lock().await;
///         let before = *count;
///         yield_now().await; // No other task gets the lock meanwhile.
///         *count = before + 1;
///     };
///     let tasks: Vec<_> = (0..10).map(|_| headwaiter::spawn(add(Rc::clone(&count)))).collect();
///     for task in tasks {
///         task.await.unwrap();
///     }
///     assert_eq!(*count.lock().await, 10);
/// });
/// ```
pub struct Mutex<T> {
    pub(super) lock: RawMutex,
    /// Borrowed while there is a guard. `None` while an owned guard has the value.
    pub(super) value: RefCell<Option<T>>,
}

pub(super) const IS_THERE: &str = "only an owned guard takes the value, and it excludes others";

impl<T> Mutex<T> {
    /// Makes an unlocked mutex.
    pub const fn new(value: T) -> Self {
        Mutex { lock: RawMutex::new("a mutex", None), value: RefCell::new(Some(value)) }
    }

    /// As [`new`](Self::new), with a name for [`dump`](crate::dump) and for the report of a
    /// [`Deadlock`](crate::Deadlock). It is escaped like the name of a
    /// [task](crate::task::Builder::name).
    ///
    /// ```
    /// use headwaiter::sync::Mutex;
    ///
    /// let till = Mutex::named("till", 100);
    /// assert_eq!(format!("{till:?}"), r#"Mutex { name: "till", value: 100 }"#);
    /// ```
    pub fn named(name: impl Into<String>, value: T) -> Self {
        let lock = RawMutex::new("a mutex", Some(name.into().into()));
        Mutex { lock, value: RefCell::new(Some(value)) }
    }

    /// Returns the value. No guard can be left, except a leaked one, which has no effect.
    pub fn into_inner(self) -> T {
        // An owned guard, leaked or not, keeps the mutex alive, so there is none.
        self.value.into_inner().expect(IS_THERE)
    }

    /// Waits for the lock, and returns its guard.
    ///
    /// Cancel-safe, but the place in the queue is lost: a dropped future has no lock. If it had
    /// just been granted the lock, that goes to the next waiter.
    ///
    /// A task that already holds the lock waits for itself for ever, which is reported as a
    /// [`Deadlock`](crate::Deadlock). A future that is kept but not polled again, or leaked with
    /// [`std::mem::forget`], is granted the lock in its turn too. Then all other tasks wait for
    /// ever.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Lock<'_, T> {
        Lock { mutex: self, wait: ListWait::at(Location::caller()) }
    }

    /// Locks without waiting, if the mutex is free. It needs no loop.
    ///
    /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
    /// single poll of [`lock`](Self::lock) may be.
    ///
    /// ```
    /// use headwaiter::sync::Mutex;
    ///
    /// let till = Mutex::new(100);
    /// let mut open = till.try_lock().unwrap();
    /// *open += 5;
    /// assert!(till.try_lock().is_err());
    /// drop(open); // Unlocks.
    /// assert_eq!(*till.try_lock().unwrap(), 105);
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryLockError`], if it is locked, or was just handed to a waiter.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        if self.lock.try_lock(Location::caller()) {
            Ok(self.guard())
        } else {
            Err(TryLockError("the mutex is locked"))
        }
    }

    /// Returns the value without locking: the exclusive borrow excludes other uses.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut().as_mut().expect(IS_THERE)
    }

    /// The caller must have locked it.
    #[inline]
    fn guard(&self) -> MutexGuard<'_, T> {
        let value = RefMut::map(self.value.borrow_mut(), |value| value.as_mut().expect(IS_THERE));
        MutexGuard { value, held: Held(&self.lock) }
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    /// Shows the value, or where it was locked, and the task that locked it if known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut mutex = f.debug_struct("Mutex");
        if let Some(name) = self.lock.name() {
            mutex.field("name", name);
        }
        match (self.lock.held_at(), self.try_lock()) {
            (_, Ok(guard)) => mutex.field("value", &&*guard),
            (Some(place), Err(_)) => {
                mutex.field("locked_at", &format_args!("{place}"));
                match self.lock.owner_label() {
                    Some(owner) => mutex.field("locked_by", &format_args!("{owner}")),
                    None => &mut mutex,
                }
            }
            (None, Err(_)) => &mut mutex,
        };
        mutex.finish()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

/// The future of [`Mutex::lock`].
#[must_use = "futures do nothing unless awaited"]
pub struct Lock<'a, T> {
    mutex: &'a Mutex<T>,
    wait: ListWait,
}

impl<'a, T> Future for Lock<'a, T> {
    type Output = MutexGuard<'a, T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        ready!(this.mutex.lock.poll_lock(&mut this.wait, cx));
        Poll::Ready(this.mutex.guard())
    }
}

impl<T> Drop for Lock<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.wait.has_place() {
            self.mutex.lock.leave(&mut self.wait);
        }
    }
}

debug_struct!(impl[T] for Lock<'_, T> as "Lock", |this| wait: this.wait, ..);

/// The guard of a [`Mutex`], which gives access to its value. Dropping it unlocks.
///
/// A leaked guard leaves the mutex locked for ever.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct MutexGuard<'a, T: ?Sized> {
    // Dropped in this order: dropping the second wakes a task, which may borrow the value at once.
    value: RefMut<'a, T>,
    held: Held<'a>,
}

/// The guard of a part of a [`Mutex`]'s value, from [`MutexGuard::map`].
pub type MappedMutexGuard<'a, T> = MutexGuard<'a, T>;

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Makes a guard of a part of the value. The mutex stays locked until that guard is dropped.
    ///
    /// This is an associated function, so call it as `MutexGuard::map(guard, ..)`: a method would
    /// hide one of the value.
    ///
    /// ```
    /// use headwaiter::sync::{Mutex, MutexGuard};
    ///
    /// let table = Mutex::new((4, vec!["soup"]));
    /// let mut orders = MutexGuard::map(table.try_lock().unwrap(), |table| &mut table.1);
    /// orders.push("fish");
    /// assert!(table.try_lock().is_err());
    /// drop(orders); // Unlocks.
    /// assert_eq!(table.try_lock().unwrap().1, ["soup", "fish"]);
    /// ```
    pub fn map<U: ?Sized, F>(this: Self, f: F) -> MappedMutexGuard<'a, U>
    where
        F: FnOnce(&mut T) -> &mut U,
    {
        let MutexGuard { value, held } = this;
        MutexGuard { value: RefMut::map(value, f), held }
    }

    /// Like [`map`](Self::map), for a part that may be missing.
    ///
    /// ```
    /// use headwaiter::sync::{Mutex, MutexGuard};
    ///
    /// let orders = Mutex::new(vec!["soup"]);
    /// let last = MutexGuard::try_map(orders.try_lock().unwrap(), |orders| orders.last_mut());
    /// assert_eq!(*last.unwrap(), "soup");
    /// let third = MutexGuard::try_map(orders.try_lock().unwrap(), |orders| orders.get_mut(2));
    /// assert_eq!(third.unwrap_err().len(), 1); // The guard of the whole.
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the guard itself if `f` returns `None`.
    pub fn try_map<U: ?Sized, F>(this: Self, f: F) -> Result<MappedMutexGuard<'a, U>, Self>
    where
        F: FnOnce(&mut T) -> Option<&mut U>,
    {
        let MutexGuard { value, held } = this;
        match RefMut::filter_map(value, f) {
            Ok(value) => Ok(MutexGuard { value, held }),
            Err(value) => Err(MutexGuard { value, held }),
        }
    }
}

/// Implements what all guards have in common: `Deref`, `Debug` and `Display`.
macro_rules! guard_traits {
    ($([$($generics:tt)*] $guard:ty => $target:ty, |$this:ident| $value:expr;)*) => {$(
        impl<$($generics)*> ::std::ops::Deref for $guard {
            type Target = $target;

            #[inline]
            fn deref(&self) -> &$target {
                let $this = self;
                $value
            }
        }

        impl<$($generics)*> ::std::fmt::Debug for $guard
        where
            $target: ::std::fmt::Debug,
        {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Debug::fmt(&**self, f)
            }
        }

        impl<$($generics)*> ::std::fmt::Display for $guard
        where
            $target: ::std::fmt::Display,
        {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&**self, f)
            }
        }
    )*};
}
pub(super) use guard_traits;

guard_traits! {
    [T: ?Sized] MutexGuard<'_, T> => T, |this| &this.value;
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// The error of [`Mutex::try_lock`] and of the `try_` methods of [`RwLock`](super::RwLock): it is
/// locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryLockError(pub(super) &'static str);

error_message!(impl[] for TryLockError, |this| this.0);
