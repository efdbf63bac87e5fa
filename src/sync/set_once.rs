//! [`SetOnce`]: a value that is set once, and for which tasks can wait. Nothing is borrowed while
//! user code runs.

use std::task::{Context, Poll, ready};
use std::{cell::OnceCell, fmt, panic::Location, pin::Pin};

use super::wait_list::{ListWait, WaitList};
use crate::fmt::{debug_struct, error_message};

/// A value that is set once, and then only read. Tasks can wait until it is set.
///
/// Use a [`oneshot`](super::oneshot) to move a value to one task, and this one where several tasks
/// read it. Where the tasks that need the value also make it, use a [`OnceCell`](super::OnceCell).
///
/// ```
/// use headwaiter::sync::SetOnce;
/// use std::rc::Rc;
///
/// headwaiter::block_on(async {
///     let menu = Rc::new(SetOnce::new());
///     let guests = [1, 2].map(|_| {
///         let menu = Rc::clone(&menu);
///         headwaiter::spawn(async move { *menu.wait().await })
///     });
///     menu.set("soup, then fish").unwrap();
///     for guest in guests {
///         assert_eq!(guest.await.unwrap(), "soup, then fish");
///     }
/// });
/// ```
pub struct SetOnce<T> {
    value: OnceCell<T>,
    waiting: WaitList,
}

impl<T> SetOnce<T> {
    /// Makes one that is not set.
    pub const fn new() -> Self {
        SetOnce { value: OnceCell::new(), waiting: WaitList::new("a value that is set once") }
    }

    /// Makes one that is set, if there is a value.
    pub fn new_with(value: Option<T>) -> Self {
        let this = SetOnce::new();
        match value.map(|value| this.value.set(value)) {
            Some(Err(_)) => unreachable!(), // It is new.
            Some(Ok(())) | None => this,
        }
    }

    /// Whether it is set.
    pub fn initialized(&self) -> bool {
        self.value.get().is_some()
    }

    /// Returns the value if it is set.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Sets the value, and wakes all tasks that wait for it.
    ///
    /// # Errors
    ///
    /// [`SetOnceError`] with the value, if one was set before. That one stays.
    ///
    /// ```
    /// use headwaiter::sync::SetOnce;
    ///
    /// let menu = SetOnce::new();
    /// assert_eq!(menu.set("soup"), Ok(()));
    /// assert_eq!(menu.set("fish").unwrap_err().0, "fish");
    /// assert_eq!(menu.get(), Some(&"soup"));
    /// ```
    pub fn set(&self, value: T) -> Result<(), SetOnceError<T>> {
        self.value.set(value).map_err(SetOnceError)?;
        self.waiting.call_all();
        Ok(())
    }

    /// Returns the value if it is set.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Waits until the value is set. It is cancel-safe.
    #[track_caller]
    pub fn wait(&self) -> SetOnceWait<'_, T> {
        SetOnceWait { cell: self, wait: ListWait::at(Location::caller()) }
    }
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        SetOnce::new()
    }
}

impl<T> From<T> for SetOnce<T> {
    fn from(value: T) -> Self {
        SetOnce::new_with(Some(value))
    }
}

impl<T: Clone> Clone for SetOnce<T> {
    /// Copies the value, if it is set. Setting one of the two does not set the other.
    fn clone(&self) -> Self {
        SetOnce::new_with(self.get().cloned())
    }
}

impl<T: PartialEq> PartialEq for SetOnce<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for SetOnce<T> {}

debug_struct!(impl[T: fmt::Debug] for SetOnce<T> as "SetOnce", |this| value: this.get());

/// The future of [`SetOnce::wait`].
#[must_use = "futures do nothing unless awaited"]
pub struct SetOnceWait<'a, T> {
    cell: &'a SetOnce<T>,
    wait: ListWait,
}

impl<'a, T> Future for SetOnceWait<'a, T> {
    type Output = &'a T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let SetOnceWait { cell, wait } = &mut *self;
        ready!(cell.waiting.poll(wait, cx, |_| cell.initialized().then_some(false)));
        let Some(value) = cell.get() else {
            unreachable!() // A value that is set stays.
        };
        Poll::Ready(value)
    }
}

impl<T> Drop for SetOnceWait<'_, T> {
    fn drop(&mut self) {
        self.cell.waiting.leave(&mut self.wait);
    }
}

debug_struct!(impl[T] for SetOnceWait<'_, T> as "SetOnceWait", |this| wait: this.wait, ..);

/// The error of [`SetOnce::set`]: it was set before. Contains the value that was not set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SetOnceError<T>(pub T);

impl<T> fmt::Debug for SetOnceError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetOnceError(..)")
    }
}

error_message!(impl[T] for SetOnceError<T>, "the value is set already");
