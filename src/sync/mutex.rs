//! [`Mutex`]: a value that one task at a time may use, also across an `await`.
//!
//! Unlocking hands the lock to the first waiter. The mutex records which task holds it and where
//! that task locked it, for the detection of deadlocks.

use std::cell::{Cell, RefCell, RefMut};
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll, ready};
use std::{fmt, panic::Location, pin::Pin, rc::Rc};

use super::wait_list::{ListWait, WaitList};
use crate::fmt::{debug_struct, error_message};
use crate::state::{Awaited, Holder, Holders, TaskLabel, Wake};
use crate::{door::Door, door::waker::RawNumber, task::wait_record::WaitRecord};

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
pub struct Mutex<T: ?Sized> {
    lock: RawMutex,
    /// Borrowed while there is a guard.
    value: RefCell<T>,
}

/// The lock without the value, and so without its type.
struct RawMutex {
    /// Where it was locked. `None` if it is free; then no task waits.
    held_at: Cell<Option<&'static Location<'static>>>,
    /// The task that locked it, if known. Meaningless while it is free.
    owner: Cell<RawNumber>,
    waiting: WaitList,
    name: Option<Rc<str>>,
    /// Its entry in the loop's table of waits, from the first wait on.
    record: Cell<WaitRecord>,
}

impl<T> Mutex<T> {
    /// Makes an unlocked mutex.
    pub const fn new(value: T) -> Self {
        Mutex { lock: RawMutex::new(None), value: RefCell::new(value) }
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
        Mutex { lock: RawMutex::new(Some(name.into().into())), value: RefCell::new(value) }
    }

    /// Returns the value. No guard can be left, except a leaked one, which has no effect.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
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
        if self.lock.held_at.get().is_some() {
            return Err(TryLockError("the mutex is locked"));
        }
        let owner = Door::open().and_then(|door| door.polled());
        self.lock.hold(Location::caller(), owner.map_or(RawNumber::NONE, RawNumber::from));
        Ok(self.guard())
    }

    /// Returns the value without locking: the exclusive borrow excludes other uses.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The caller must have locked it.
    #[inline]
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { value: self.value.borrow_mut(), _held: Held(&self.lock) }
    }
}

impl RawMutex {
    const fn new(name: Option<Rc<str>>) -> Self {
        RawMutex {
            held_at: Cell::new(None),
            owner: Cell::new(RawNumber::NONE),
            waiting: WaitList::new("a mutex"),
            name,
            record: Cell::new(WaitRecord::NONE),
        }
    }

    /// Waits for the lock. The result is always `true`.
    #[inline]
    fn poll_lock(&self, wait: &mut ListWait, cx: &Context<'_>) -> Poll<bool> {
        let place = wait.place();
        let done = |granted| {
            let is_ours = granted || self.held_at.get().is_none();
            is_ours.then(|| {
                self.hold(place, RawNumber::of(cx.waker()));
                true
            })
        };
        self.waiting.poll_for(wait, cx, done, || self.awaited())
    }

    /// Describes to the loop the lock that a task begins to wait for, and its holder.
    fn awaited(&self) -> Awaited {
        let mut record = self.record.take();
        let mut lock = record.lock(self.name.as_ref(), Holders::One(self.holder()));
        if lock.is_none() && self.waiting.is_single() {
            // The record is of another loop, in which no task waits any more.
            record.end();
            lock = record.lock(self.name.as_ref(), Holders::One(self.holder()));
        }
        self.record.set(record);
        lock.map_or(Awaited::FromTasks("a lock"), Awaited::Lock)
    }

    /// Returns the task that holds the lock. `None` if it was taken outside any task of this crate.
    fn holder(&self) -> Option<Holder> {
        Some(Holder { task: self.owner.get().task()?, place: self.held_at.get()? })
    }

    #[inline]
    fn hold(&self, place: &'static Location<'static>, owner: RawNumber) {
        self.held_at.set(Some(place));
        self.owner.set(owner);
    }

    #[inline]
    fn unlock(&self) {
        if self.waiting.is_empty() {
            self.held_at.set(None);
        } else {
            self.hand_over();
        }
    }

    /// Grants the lock to the first waiter. It is never free in between, because a later task could
    /// then get ahead of the waiters.
    fn hand_over(&self) {
        let Some(next) = self.waiting.grant(1) else { return };
        let owner =
            if let Wake::Task(number) = next.wake { number.into() } else { RawNumber::NONE };
        self.hold(next.place, owner);
        let mut record = self.record.take();
        record.hand_over(self.holder());
        self.record.set(record);
        next.wake.wake();
    }

    /// Removes a future from the queue, and unlocks if it had been granted the lock.
    fn leave(&self, wait: &mut ListWait) {
        if self.waiting.leave(wait) {
            self.unlock();
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    /// Shows the value, or where it was locked, and the task that locked it if known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut mutex = f.debug_struct("Mutex");
        if let Some(name) = &self.lock.name {
            mutex.field("name", name);
        }
        match (self.lock.held_at.get(), self.try_lock()) {
            (_, Ok(guard)) => mutex.field("value", &&*guard),
            (Some(place), Err(_)) => {
                mutex.field("locked_at", &format_args!("{place}"));
                let owner = Door::open().and_then(|door| {
                    let slot = door.slot_of(self.lock.owner.get().task()?)?;
                    Some(TaskLabel { slot, name: door.tasks.name(slot) }.to_string())
                });
                match owner {
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
pub struct Lock<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    wait: ListWait,
}

impl<'a, T: ?Sized> Future for Lock<'a, T> {
    type Output = MutexGuard<'a, T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        ready!(this.mutex.lock.poll_lock(&mut this.wait, cx));
        Poll::Ready(this.mutex.guard())
    }
}

impl<T: ?Sized> Drop for Lock<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.wait.has_place() {
            self.mutex.lock.leave(&mut self.wait);
        }
    }
}

debug_struct!(impl[T: ?Sized] for Lock<'_, T> as "Lock", |this| wait: this.wait, ..);

/// The guard of a [`Mutex`], which gives access to its value. Dropping it unlocks.
///
/// A leaked guard leaves the mutex locked for ever.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct MutexGuard<'a, T: ?Sized> {
    // Dropped in this order: dropping the second wakes a task, which may borrow the value at once.
    value: RefMut<'a, T>,
    _held: Held<'a>,
}

/// Unlocks when it is dropped.
struct Held<'a>(&'a RawMutex);

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.unlock();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// The error of [`Mutex::try_lock`] and of the `try_` methods of [`RwLock`](super::RwLock): it is
/// locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryLockError(pub(super) &'static str);

error_message!(impl[] for TryLockError, |this| this.0);
