//! [`RwLock`]: a value that several tasks at a time may read, or one may write, also across an
//! `await`.

mod raw;
mod value;
mod lock;
mod guard;
mod owned;

use std::{fmt, panic::Location, rc::Rc};

pub use self::guard::{RwLockMappedWriteGuard, RwLockReadGuard, RwLockWriteGuard};
pub use self::lock::{LockRead, LockReadOwned, LockWrite, LockWriteOwned};
pub use self::owned::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};
use self::raw::{Access, HolderKey, RawRwLock};
use self::value::Value;
use super::mutex::TryLockError;
use crate::door::Door;
use crate::state::TaskNumber;

/// A value that several tasks at a time may read, or one may write.
///
/// The guards may be held across an `await`. (If no `await` happens during the borrow, a
/// [`RefCell`](std::cell::RefCell) is enough.) Tasks get the lock in the order in which they began
/// to wait, whether they want to read or to write. So a task that waits to write is not overtaken
/// by later readers, and readers are not starved either: those that wait side by side read
/// together.
///
/// There is no poisoning: a panic of the holder unlocks, as any drop of the guard does.
///
/// **A task that reads must not ask to read again.** If another task waits to write meanwhile, the
/// second read waits for that task, which waits for the first read. The loop reports this
/// [`Deadlock`](crate::Deadlock).
///
/// ```
/// use headwaiter::sync::RwLock;
/// use std::rc::Rc;
///
/// headwaiter::block_on(async {
///     let menu = Rc::new(RwLock::new(vec!["soup"]));
///     {
///         let (one, other) = (menu.read().await, menu.read().await); // Side by side.
///         assert_eq!(one.len() + other.len(), 2);
///     }
///     let cook = headwaiter::spawn({
///         let menu = Rc::clone(&menu);
///         async move { menu.write().await.push("fish") }
///     });
///     cook.await.unwrap();
///     assert_eq!(*menu.read().await, ["soup", "fish"]);
/// });
/// ```
pub struct RwLock<T> {
    raw: RawRwLock,
    value: Value<T>,
}

/// As many as tokio's.
const MAX_READERS: u32 = u32::MAX >> 3;

impl<T> RwLock<T> {
    /// Makes an unlocked lock. Up to `u32::MAX >> 3` tasks may read at the same time.
    pub fn new(value: T) -> Self {
        RwLock::with(value, MAX_READERS, None)
    }

    /// As [`new`](Self::new), with a name for [`dump`](crate::dump) and for the report of a
    /// [`Deadlock`](crate::Deadlock). It is escaped like the name of a
    /// [task](crate::task::Builder::name).
    ///
    /// ```
    /// use headwaiter::sync::RwLock;
    ///
    /// let menu = RwLock::named("menu", "soup");
    /// assert_eq!(format!("{menu:?}"), r#"RwLock { name: "menu", value: "soup" }"#);
    /// ```
    pub fn named(name: impl Into<String>, value: T) -> Self {
        RwLock::with(value, MAX_READERS, Some(name.into().into()))
    }

    /// As [`new`](Self::new), for at most this number of tasks that read at the same time. Others
    /// wait. A task that waits until another has stopped reading is not part of any reported
    /// [`Deadlock`](crate::Deadlock), unless the number is 1.
    ///
    /// ```
    /// use headwaiter::sync::RwLock;
    ///
    /// let menu = RwLock::with_max_readers("soup", 2);
    /// let (_one, _other) = (menu.try_read().unwrap(), menu.try_read().unwrap());
    /// assert!(menu.try_read().is_err());
    /// ```
    ///
    /// # Panics
    ///
    /// If `max_readers` is 0, or more than `u32::MAX >> 3`.
    #[track_caller]
    pub fn with_max_readers(value: T, max_readers: u32) -> Self {
        assert!(
            max_readers > 0,
            "headwaiter: `RwLock::with_max_readers` with 0 readers could never be read: allow one at least, or use a `Mutex`"
        );
        assert!(
            max_readers <= MAX_READERS,
            "headwaiter: `RwLock::with_max_readers` with more than `u32::MAX >> 3` readers: use `RwLock::new` for \"no limit\""
        );
        RwLock::with(value, max_readers, None)
    }

    fn with(value: T, max_readers: u32, name: Option<Rc<str>>) -> Self {
        RwLock { raw: RawRwLock::new(max_readers, name), value: Value::new(value) }
    }

    /// Waits until no task writes or waits to write, and returns a guard that reads.
    ///
    /// Cancel-safe, but the place in the queue is lost: a dropped future has no lock. If it had
    /// just been granted the lock, that goes to the next waiter.
    ///
    /// A task that already holds the lock may wait for itself for ever, which is reported as a
    /// [`Deadlock`](crate::Deadlock). A future that is kept but not polled again, or leaked with
    /// [`std::mem::forget`], is granted the lock in its turn too. Then no other task can write any
    /// more.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> LockRead<'_, T> {
        LockRead::new(self, self.raw.wait(Access::Read, Location::caller()))
    }

    /// Waits until no task reads or writes, and returns a guard that writes.
    ///
    /// Cancel-safe as [`read`](Self::read): what waits behind a future that is dropped gets its
    /// turn.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> LockWrite<'_, T> {
        LockWrite::new(self, self.raw.wait(Access::Write, Location::caller()))
    }

    /// As [`read`](Self::read), for a guard that can be moved into a task.
    ///
    /// Such a guard may end in any task, so the loop does not know which task holds the lock, and
    /// reports no [`Deadlock`](crate::Deadlock) through it.
    ///
    /// ```
    /// use headwaiter::sync::RwLock;
    /// use std::rc::Rc;
    ///
    /// headwaiter::block_on(async {
    ///     let menu = Rc::new(RwLock::new("soup"));
    ///     let reading = Rc::clone(&menu).read_owned().await;
    ///     let guest = headwaiter::spawn(async move { reading.len() });
    ///     *menu.write().await = "fish and chips"; // When the guest has dropped the guard.
    ///     assert_eq!(guest.await.unwrap(), 4);
    /// });
    /// ```
    #[track_caller]
    pub fn read_owned(self: Rc<Self>) -> LockReadOwned<T> {
        let wait = self.raw.wait(Access::Read, Location::caller());
        LockReadOwned::new(self, wait)
    }

    /// As [`write`](Self::write), for a guard that can be moved into a task. See
    /// [`read_owned`](Self::read_owned).
    #[track_caller]
    pub fn write_owned(self: Rc<Self>) -> LockWriteOwned<T> {
        let wait = self.raw.wait(Access::Write, Location::caller());
        LockWriteOwned::new(self, wait)
    }

    /// Locks for reading without waiting, if no task writes and none waits. It needs no loop.
    ///
    /// It spends no [budget](crate::sync#the-cooperative-budget), so it is never refused as a
    /// single poll of [`read`](Self::read) may be.
    ///
    /// ```
    /// use headwaiter::sync::RwLock;
    ///
    /// let menu = RwLock::new("soup");
    /// let reading = menu.try_read().unwrap();
    /// assert!(menu.try_read().is_ok());
    /// assert!(menu.try_write().is_err());
    /// drop(reading);
    /// *menu.try_write().unwrap() = "fish";
    /// assert_eq!(menu.into_inner(), "fish");
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryLockError`], if it is locked for writing, or others wait for it.
    #[track_caller]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        let key = self.try_lock(Access::Read, polled_task, Location::caller())?;
        Ok(RwLockReadGuard::new(self, key))
    }

    /// Locks for writing without waiting, if no task reads or writes and none waits. It needs no
    /// loop.
    ///
    /// # Errors
    ///
    /// [`TryLockError`], if it is locked, or others wait for it.
    #[track_caller]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        let key = self.try_lock(Access::Write, polled_task, Location::caller())?;
        Ok(RwLockWriteGuard::new(self, key))
    }

    /// As [`try_read`](Self::try_read), for a guard that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    #[track_caller]
    pub fn try_read_owned(self: Rc<Self>) -> Result<OwnedRwLockReadGuard<T>, TryLockError> {
        let key = self.try_lock(Access::Read, || None, Location::caller())?;
        Ok(OwnedRwLockReadGuard::new(self, key))
    }

    /// As [`try_write`](Self::try_write), for a guard that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    #[track_caller]
    pub fn try_write_owned(self: Rc<Self>) -> Result<OwnedRwLockWriteGuard<T>, TryLockError> {
        let key = self.try_lock(Access::Write, || None, Location::caller())?;
        Ok(OwnedRwLockWriteGuard::new(self, key))
    }

    fn try_lock(
        &self,
        access: Access,
        owner: fn() -> Option<TaskNumber>,
        place: &'static Location<'static>,
    ) -> Result<HolderKey, TryLockError> {
        self.raw.try_lock(access, owner, place).ok_or(TryLockError(match access {
            Access::Read => "the lock is being written, or others wait for it",
            Access::Write => "the lock is in use, or others wait for it",
        }))
    }

    /// Returns the value without locking: the exclusive borrow excludes other uses.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Returns the value. No guard can be left, except a leaked one, which has no effect.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

/// Returns the task that runs now.
fn polled_task() -> Option<TaskNumber> {
    Door::open().and_then(|door| door.polled())
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    /// Shows the value if it can be read now, or else where it was locked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lock = f.debug_struct("RwLock");
        if let Some(name) = self.raw.name() {
            lock.field("name", name);
        }
        let locked_at = self.raw.locked_at();
        match (self.try_read(), locked_at) {
            (Ok(guard), _) => lock.field("value", &&*guard),
            (Err(_), Some((Access::Write, place))) => {
                lock.field("written_at", &format_args!("{place}"))
            }
            (Err(_), Some((Access::Read, place))) => {
                lock.field("read_at", &format_args!("{place}"))
            }
            (Err(_), None) => &mut lock,
        };
        lock.finish()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}
