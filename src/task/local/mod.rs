//! Task-local values: [`task_local!`](crate::task_local) and [`LocalKey`], for what all code of a
//! task needs and no function passes on, such as the number of a request.
//!
//! `inherit.rs` passes the values of `scope_inherited` on to the tasks that are spawned inside.

pub(super) mod inherit;

use std::cell::RefCell;
use std::task::{Context, Poll, ready};
use std::{fmt, mem, pin::Pin, thread};

use pin_project_lite::pin_project;

use self::inherit::Asked;
use crate::fmt::{debug_struct, error_message};

/// The key of a task-local value, declared by [`task_local!`](crate::task_local).
///
/// A key has a value only inside a scope: while the future of [`scope`](Self::scope) is polled or
/// dropped, or the closure of [`sync_scope`](Self::sync_scope) runs. All code that runs there sees
/// the value, also the drop of another task that it aborts. A spawned task is no part of the scope:
/// it sees the value only inside [`scope_inherited`](Self::scope_inherited).
///
/// It works in any executor, and outside of all.
pub struct LocalKey<T: 'static> {
    stored: thread::LocalKey<Stored<T>>,
}

/// The place of the current value. Public for the macro only.
#[doc(hidden)]
pub struct Stored<T>(RefCell<Option<Value<T>>>);

impl<T> Stored<T> {
    #[doc(hidden)]
    #[allow(clippy::new_without_default)] // Not for users.
    pub const fn new() -> Self {
        Stored(RefCell::new(None))
    }
}

/// A value, and how to clone it if spawned tasks inherit it. A pointer, so that only
/// `scope_inherited` requires `T: Clone`.
struct Value<T> {
    value: T,
    clone: Option<fn(&T) -> T>,
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn __new(stored: thread::LocalKey<Stored<T>>) -> Self {
        LocalKey { stored }
    }

    /// Runs `future` with this value. The value is dropped with the returned future, after `future`.
    ///
    /// A scope inside a scope of the same key hides the outer value. The tasks that the future
    /// spawns do not see the value.
    ///
    /// ```
    /// headwaiter::task_local! {
    ///     static TABLE: u32;
    /// }
    ///
    /// headwaiter::block_on(TABLE.scope(1, async {
    ///     assert_eq!(TABLE.get(), 1);
    ///     TABLE.scope(2, async { assert_eq!(TABLE.get(), 2) }).await;
    ///     assert_eq!(TABLE.get(), 1);
    ///     assert!(headwaiter::spawn(async { TABLE.try_get() }).await.unwrap().is_err());
    /// }));
    /// ```
    ///
    /// # Panics
    ///
    /// The future panics if it is polled inside [`with`](Self::with) of the same key.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> TaskLocalFuture<T, F> {
        self.scope_of(Value { value, clone: None }, future)
    }

    /// As [`scope`](Self::scope), but the tasks that are spawned inside inherit the value.
    ///
    /// Each such task, however it is spawned on this loop, gets a clone of the value for its whole
    /// life, and so do the tasks that it spawns in its turn, also after this scope has ended. If a
    /// plain `scope` of the same key lies between the spawn and this one, the task gets none. The
    /// closure of a [`spawn_blocking`](crate::spawn_blocking) runs on another thread and sees no
    /// value.
    ///
    /// To pass a value on to one task only, wrap that one: `spawn(KEY.scope(KEY.get(), future))`.
    ///
    /// ```
    /// use headwaiter::spawn;
    ///
    /// headwaiter::task_local! {
    ///     static REQUEST: u64;
    /// }
    ///
    /// headwaiter::block_on(REQUEST.scope_inherited(17, async {
    ///     let child = spawn(async {
    ///         let grandchild = spawn(async { REQUEST.get() });
    ///         (REQUEST.get(), grandchild.await.unwrap())
    ///     });
    ///     assert_eq!(child.await.unwrap(), (17, 17));
    /// }));
    /// ```
    ///
    /// # Panics
    ///
    /// As [`scope`](Self::scope).
    pub fn scope_inherited<F: Future>(&'static self, value: T, future: F) -> TaskLocalFuture<T, F>
    where
        T: Clone,
    {
        self.scope_of(Value { value, clone: Some(T::clone) }, future)
    }

    fn scope_of<F>(&'static self, value: Value<T>, future: F) -> TaskLocalFuture<T, F> {
        TaskLocalFuture { key: self, value: Some(value), future: Some(future) }
    }

    /// Calls `f` with this value as the current one. The value is dropped after the call.
    ///
    /// ```
    /// headwaiter::task_local! {
    ///     static TABLE: u32;
    /// }
    ///
    /// assert_eq!(TABLE.sync_scope(1, || TABLE.get() + 1), 2);
    /// ```
    ///
    /// # Panics
    ///
    /// Inside [`with`](Self::with) of the same key.
    #[track_caller]
    pub fn sync_scope<F, R>(&'static self, value: T, f: F) -> R
    where
        F: FnOnce() -> R,
    {
        let mut value = Some(Value { value, clone: None });
        let _inside = Inside::enter(self, &mut value).unwrap_or_else(|refused| refused.panic());
        f()
    }

    /// Calls `f` with the current value.
    ///
    /// # Panics
    ///
    /// Outside a scope of this key: see [`try_with`](Self::try_with).
    #[track_caller]
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        match self.try_with(f) {
            Ok(result) => result,
            Err(AccessError(())) => panic!(
                "headwaiter: a task-local value was read outside a `scope` of its key: put this code into one, and note that a spawned task inherits only the values of `scope_inherited`"
            ),
        }
    }

    /// As [`with`](Self::with), but returns an error outside a scope of this key.
    ///
    /// # Errors
    ///
    /// [`AccessError`] outside a scope of this key. `f` was not called.
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        let read = |stored: &Stored<T>| {
            // A scope that is being entered or left borrows the place too, but runs no user code.
            let current = stored.0.try_borrow().ok()?;
            Some(f(&current.as_ref()?.value))
        };
        self.stored.try_with(read).ok().flatten().ok_or(AccessError(()))
    }

    /// Returns a clone of the current value.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// As [`get`](Self::get), but returns an error outside a scope of this key.
    ///
    /// # Errors
    ///
    /// As [`try_with`](Self::try_with).
    pub fn try_get(&'static self) -> Result<T, AccessError>
    where
        T: Clone,
    {
        self.try_with(T::clone)
    }

    /// Exchanges the current value with the one that is stored elsewhere.
    fn swap(&'static self, other: &mut Option<Value<T>>) -> Result<(), Refused> {
        let swap = |stored: &Stored<T>| match stored.0.try_borrow_mut() {
            Ok(mut current) => {
                mem::swap(&mut *current, other);
                Ok(())
            }
            Err(_) => Err(Refused::Borrowed),
        };
        self.stored.try_with(swap).unwrap_or(Err(Refused::Destroyed))
    }
}

debug_struct!(impl[T] for LocalKey<T> as "LocalKey", |_this| ..);

/// Why a scope cannot be entered.
enum Refused {
    Borrowed,
    Destroyed,
}

impl Refused {
    #[cold]
    #[track_caller]
    fn panic(&self) -> ! {
        match self {
            Refused::Borrowed => panic!(
                "headwaiter: a scope of a task-local key was entered inside `with` of the same key: clone the value with `get` instead, and enter the scope after that"
            ),
            Refused::Destroyed => panic!(
                "headwaiter: a scope of a task-local key was entered while its thread ends, after the thread-local values were destroyed"
            ),
        }
    }
}

/// A guard: while it lives, the value is the current one of its key.
struct Inside<'a, T: 'static> {
    key: &'static LocalKey<T>,
    /// Meanwhile, what was current before.
    value: &'a mut Option<Value<T>>,
    _asked: Option<Asked>,
}

impl<'a, T> Inside<'a, T> {
    fn enter(key: &'static LocalKey<T>, value: &'a mut Option<Value<T>>) -> Result<Self, Refused> {
        let is_inherited = value.as_ref().is_some_and(|value| value.clone.is_some());
        key.swap(value)?;
        Ok(Inside { key, value, _asked: is_inherited.then(|| Asked::new(key)) })
    }
}

impl<T> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        // Nothing borrows the place any more, so this is refused only while the thread ends.
        let _ = self.key.swap(self.value);
    }
}

pin_project! {
    /// The future of [`LocalKey::scope`] and [`LocalKey::scope_inherited`]. It is as cancel-safe as
    /// the future inside.
    #[must_use = "futures do nothing unless awaited"]
    pub struct TaskLocalFuture<T: 'static, F> {
        key: &'static LocalKey<T>,
        value: Option<Value<T>>,
        // `None` at the end: the future is dropped inside the scope.
        #[pin]
        future: Option<F>,
    }

    impl<T, F> PinnedDrop for TaskLocalFuture<T, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                // If it is refused, the future is dropped outside the scope.
                let _inside = Inside::enter(this.key, this.value);
                this.future.set(None);
            }
        }
    }
}

impl<T, F> TaskLocalFuture<T, F> {
    /// Takes the value out, also after the future was ready. If the future is polled after that, it
    /// runs without a value.
    ///
    /// ```
    /// use std::{cell::Cell, pin::pin};
    ///
    /// headwaiter::task_local! {
    ///     static BILL: Cell<u32>;
    /// }
    ///
    /// headwaiter::block_on(async {
    ///     let dinner = async { BILL.with(|bill| bill.set(bill.get() + 12)) };
    ///     let mut dinner = pin!(BILL.scope(Cell::new(30), dinner));
    ///     dinner.as_mut().await;
    ///     assert_eq!(dinner.take_value().unwrap().get(), 42);
    /// });
    /// ```
    pub fn take_value(self: Pin<&mut Self>) -> Option<T> {
        self.project().value.take().map(|value| value.value)
    }
}

impl<T, F: Future> Future for TaskLocalFuture<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("headwaiter: a `TaskLocalFuture` was polled again after it was ready");
        };
        let _inside = match Inside::enter(this.key, this.value) {
            Ok(inside) => inside,
            Err(refused) => refused.panic(),
        };
        let output = ready!(future.poll(cx));
        this.future.set(None);
        Poll::Ready(output)
    }
}

impl<T, F> fmt::Debug for TaskLocalFuture<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocalFuture").field("is_ready", &self.future.is_none()).finish()
    }
}

/// A task-local value was read outside a scope of its key: see [`LocalKey::try_with`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessError(());

error_message!(impl[] for AccessError, "no task-local value is set here: this code runs outside a scope of the key");
