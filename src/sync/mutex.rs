//! [`Mutex`]: a value that one task at a time may use, also across an `await`. The lock is handed from who unlocks it
//! to who waits longest. It knows who holds it since which line.

use std::cell::{Cell, RefCell, RefMut};
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll, ready};
use std::{fmt, panic::Location, pin::Pin, rc::Rc};

use super::wait_list::{Wait, WaitList};
use crate::fmt::{debug_struct, error_message};
use crate::state::{Awaited, Holder, TaskLabel, Wake};
use crate::{door::Door, door::waker::RawNumber, task::wait_record::WaitRecord};

/// A value that one task at a time may use.
///
/// A [`RefCell`] does where no `await` stands between taking the borrow and giving it back. This is for where one
/// does: a guard may be held across it, and whoever comes meanwhile waits. First come, first served: who unlocks hands
/// the lock to who has waited longest, so a [`lock`](Self::lock) or [`try_lock`](Self::try_lock) that comes now does not
/// get ahead of those who wait.
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
///         yield_now().await; // Nobody else gets in between.
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
    /// Where it was locked. `None`: it is free, and so nobody waits.
    held_at: Cell<Option<&'static Location<'static>>>,
    /// The task that locked it, as far as that is known. It means nothing while it is free.
    owner: Cell<RawNumber>,
    waiting: WaitList,
    name: Option<Rc<str>>,
    /// Since somebody waited for it first.
    record: Cell<WaitRecord>,
}

impl<T> Mutex<T> {
    /// A mutex that is not locked.
    pub const fn new(value: T) -> Self {
        Mutex { lock: RawMutex::new(None), value: RefCell::new(value) }
    }

    /// As [`new`](Self::new), with a name. It stands in [`dump`](crate::dump) and in the report of a
    /// [`Deadlock`](crate::Deadlock), written as that of a [task](crate::task::Builder::name).
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

    /// The value. No guard can be left; one that was leaked does not count.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until it is this caller's turn, and locks.
    ///
    /// Cancel-safe, but the place in the queue is lost: a future that is dropped has no lock, and if it had just been
    /// handed one, that goes to the next.
    ///
    /// A task that already holds the lock waits for itself, for ever; that is reported as a [`Deadlock`](crate::Deadlock).
    /// A future that is kept but not polled again, or leaked with [`std::mem::forget`], is handed the lock in its turn too.
    /// Then all others wait for ever.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Lock<'_, T> {
        Lock { mutex: self, wait: Wait::at(Location::caller()) }
    }

    /// Locks, if that can be done at once. Tasks that wait come first. It needs no loop.
    ///
    /// Never refused, as a single poll of [`lock`](Self::lock) may be: see [the budget](crate::sync#the-cooperative-budget).
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
    /// [`TryLockError`], if it is locked, or has just been handed to somebody who waited.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        if self.lock.held_at.get().is_some() {
            return Err(TryLockError(()));
        }
        let owner = Door::open().and_then(|door| door.polled());
        self.lock.hold(Location::caller(), owner.map_or(RawNumber::NONE, RawNumber::from));
        Ok(self.guard())
    }

    /// The value, without locking: nobody else can use the mutex meanwhile.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The lock must be ours.
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

    /// Always `true`.
    fn poll_lock(&self, wait: &mut Wait, cx: &Context<'_>) -> Poll<bool> {
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

    /// Shows the loop for which lock somebody has begun to wait, and who holds it.
    fn awaited(&self) -> Awaited {
        let mut record = self.record.take();
        let mut lock = record.lock(self.name.as_ref(), self.holder());
        if lock.is_none() && self.waiting.is_single() {
            // In the other loop nobody waits any more.
            record.end();
            lock = record.lock(self.name.as_ref(), self.holder());
        }
        self.record.set(record);
        lock.map_or(Awaited::FromTasks("a lock"), Awaited::Lock)
    }

    /// `None`: the lock was taken outside any task of ours.
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

    /// It is never free in between, or somebody might get ahead of who waits.
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

    /// Gives a future's place up, and the lock if it had been handed to it.
    fn leave(&self, wait: &mut Wait) {
        if self.waiting.leave(wait) {
            self.unlock();
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    /// Shows the value, or where it was locked, and by whom as far as that is known.
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
    wait: Wait,
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

/// The lock of a [`Mutex`], and the way to its value. Dropping it unlocks.
///
/// One that is leaked leaves the mutex locked for ever.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct MutexGuard<'a, T: ?Sized> {
    // Dropped in this order: who is woken by the second may want the value at once.
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

/// A [`Mutex::try_lock`] found the mutex locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryLockError(());

error_message!(impl[] for TryLockError, "the mutex is locked");
