//! [`OnceCell`]: a value that is initialised by the first task that needs it, while others wait. That
//! task holds the cell's lock meanwhile, so that it takes part in the detection of deadlocks. Nothing
//! is borrowed while user code runs.

use std::task::{Context, Poll, ready};
use std::{cell, convert::Infallible, fmt, mem, panic::Location, pin::Pin};

use pin_project_lite::pin_project;

use super::raw_mutex::RawMutex;
use super::wait_list::ListWait;
use crate::fmt::{debug_struct, error_message};

/// What the reports and the log lines call a cell.
const KIND: &str = "a once cell";

/// A value that is initialised once, by an asynchronous function, when it is first needed.
///
/// ```
/// use headwaiter::sync::OnceCell;
/// use headwaiter::task::yield_now;
/// use std::rc::Rc;
///
/// headwaiter::block_on(async {
///     let menu = Rc::new(OnceCell::new());
///     let guests = [1, 2, 3].map(|_| {
///         let menu = Rc::clone(&menu);
///         headwaiter::spawn(async move {
///             // It is written once. The other guests wait for it.
///             let written = menu.get_or_init(|| async {
///                 yield_now().await;
///                 String::from("soup, then fish")
///             });
///             written.await.len()
///         })
///     });
///     for guest in guests {
///         assert_eq!(guest.await.unwrap(), 15);
///     }
/// });
/// ```
pub struct OnceCell<T> {
    value: cell::OnceCell<T>,
    /// Held while an initialiser runs, or may begin to. Free before and after that.
    lock: RawMutex,
}

impl<T> OnceCell<T> {
    /// Makes an empty cell.
    pub const fn new() -> Self {
        OnceCell { value: cell::OnceCell::new(), lock: RawMutex::new(KIND, None) }
    }

    /// Makes a cell that is initialised, if there is a value.
    pub fn new_with(value: Option<T>) -> Self {
        let this = OnceCell::new();
        if let Some(value) = value {
            this.fill(value);
        }
        this
    }

    /// Whether there is a value.
    pub fn initialized(&self) -> bool {
        self.value.get().is_some()
    }

    /// Returns the value if there is one.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Returns the value if there is one, to change it.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Sets the value without waiting.
    ///
    /// # Errors
    ///
    /// [`SetError`] with the value, if there is one already, or if an initialiser runs, which may
    /// still fail.
    ///
    /// ```
    /// use headwaiter::sync::{OnceCell, SetError};
    ///
    /// let menu = OnceCell::new();
    /// assert_eq!(menu.set("soup"), Ok(()));
    /// assert_eq!(menu.set("fish"), Err(SetError::AlreadyInitializedError("fish")));
    /// ```
    pub fn set(&self, value: T) -> Result<(), SetError<T>> {
        if self.initialized() {
            return Err(SetError::AlreadyInitializedError(value));
        }
        if self.lock.held_at().is_some() {
            return Err(SetError::InitializingError(value));
        }
        // Nothing waits, because the lock is free.
        self.fill(value);
        Ok(())
    }

    /// Returns the value. If there is none, makes it by calling `init`; if another task does so
    /// already, waits for that.
    ///
    /// If the initialiser panics, or its future is dropped, the cell stays empty, and the initialiser
    /// of the next waiter runs. Waiters are served in the order in which they began to wait.
    ///
    /// Cancel-safe, except that the progress of the initialiser is lost if it is the one that runs. A
    /// future that is kept and not polled makes the other tasks wait, as with
    /// [`Mutex::lock`](super::Mutex::lock).
    ///
    /// An initialiser that awaits the same cell waits for itself for ever, which is reported as a
    /// [`Deadlock`](crate::Deadlock).
    #[track_caller]
    pub fn get_or_init<F, Fut>(&self, init: F) -> GetOrInit<'_, T, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        GetOrInit { inner: Initialise::new(self, init, Location::caller()) }
    }

    /// As [`get_or_init`](Self::get_or_init), with an initialiser that may fail.
    ///
    /// ```
    /// use headwaiter::sync::OnceCell;
    ///
    /// headwaiter::block_on(async {
    ///     let till = OnceCell::new();
    ///     assert_eq!(till.get_or_try_init(|| async { Err("locked") }).await, Err("locked"));
    ///     assert_eq!(till.get_or_try_init(|| async { Ok::<_, &str>(100) }).await, Ok(&100));
    ///     assert_eq!(till.get_or_try_init(|| async { Err("broken") }).await, Ok(&100));
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of `init`. The cell stays empty then, and the initialiser of the next waiter
    /// runs.
    #[track_caller]
    pub fn get_or_try_init<E, F, Fut>(&self, init: F) -> GetOrTryInit<'_, T, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        GetOrTryInit { inner: Initialise::new(self, init, Location::caller()) }
    }

    /// Returns the value if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Returns the value if there is one, and leaves an empty cell.
    pub fn take(&mut self) -> Option<T> {
        mem::take(self).into_inner()
    }

    /// Stores the value in the cell, which must be empty.
    fn fill(&self, value: T) {
        let filled = self.value.set(value);
        debug_assert!(filled.is_ok(), "only the holder of the lock fills the cell");
    }

    /// Ends the attempt of the task that holds the lock.
    fn unlock(&self) {
        if self.initialized() {
            self.lock.unlock_for_all();
        } else {
            self.lock.unlock();
        }
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        OnceCell::new_with(Some(value))
    }
}

impl<T: Clone> Clone for OnceCell<T> {
    /// Copies the value, if there is one. Initialising one of the two does not initialise the other.
    fn clone(&self) -> Self {
        OnceCell::new_with(self.get().cloned())
    }
}

impl<T: PartialEq> PartialEq for OnceCell<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceCell<T> {}

debug_struct!(impl[T: fmt::Debug] for OnceCell<T> as "OnceCell", |this| value: this.get());

/// The right to initialise a cell. Dropping it ends the attempt.
struct Initialising<'a, T>(&'a OnceCell<T>);

impl<T> Drop for Initialising<'_, T> {
    fn drop(&mut self) {
        self.0.unlock();
    }
}

pin_project! {
    /// What both futures of a cell do.
    struct Initialise<'a, T, F, Fut> {
        cell: &'a OnceCell<T>,
        init: Option<F>,
        #[pin]
        running: Option<Fut>,
        // Dropped after `running`, because it lets the next task begin.
        right: Option<Initialising<'a, T>>,
        wait: ListWait,
    }

    impl<T, F, Fut> PinnedDrop for Initialise<'_, T, F, Fut> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.cell.lock.leave_queue(this.wait) {
                this.cell.unlock(); // It was its turn, and it has not begun.
            }
        }
    }
}

impl<'a, T, F, Fut> Initialise<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future,
{
    fn new(cell: &'a OnceCell<T>, init: F, place: &'static Location<'static>) -> Self {
        let wait = ListWait::at(place);
        Initialise { cell, init: Some(init), running: None, right: None, wait }
    }

    /// `value_of` gets the output of the initialiser.
    fn poll<E>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        value_of: impl FnOnce(Fut::Output) -> Result<T, E>,
    ) -> Poll<Result<&'a T, E>> {
        let mut this = self.project();
        let cell = *this.cell;
        assert!(
            this.init.is_some() || this.running.is_some(),
            "headwaiter: a future of a `OnceCell` was polled again after its initialiser had ended"
        );
        if this.right.is_none() {
            let is_over = || cell.initialized();
            let has_lock = ready!(cell.lock.poll_lock_unless(KIND, this.wait, cx, is_over));
            if !has_lock {
                return Poll::Ready(Ok(initialised(cell)));
            }
            *this.right = Some(Initialising(cell));
        }
        // The future may have moved to another task since its last poll.
        cell.lock.own(cx);
        if let Some(init) = this.init.take() {
            // A panic here or below ends the attempt when this future is dropped.
            this.running.set(Some(init()));
        }
        let Some(running) = this.running.as_mut().as_pin_mut() else {
            unreachable!() // One of the two was there.
        };
        let result = value_of(ready!(running.poll(cx))).map(|value| cell.fill(value));
        // The drop of the future is user code: the value is in the cell by then.
        this.running.set(None);
        *this.right = None;
        Poll::Ready(result.map(|()| initialised(cell)))
    }
}

fn initialised<T>(cell: &OnceCell<T>) -> &T {
    let Some(value) = cell.get() else {
        unreachable!() // A value stays while the cell is borrowed.
    };
    value
}

pin_project! {
    /// The future of [`OnceCell::get_or_init`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct GetOrInit<'a, T, F, Fut> {
        #[pin]
        inner: Initialise<'a, T, F, Fut>,
    }
}

impl<'a, T, F, Fut> Future for GetOrInit<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T>,
{
    type Output = &'a T;

    /// # Panics
    ///
    /// If it is polled again after its initialiser was ready or has panicked.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx, Ok::<_, Infallible>).map(|Ok(value)| value)
    }
}

debug_struct!(impl[T, F, Fut] for GetOrInit<'_, T, F, Fut> as "GetOrInit",
    |this| wait: this.inner.wait, ..);

pin_project! {
    /// The future of [`OnceCell::get_or_try_init`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct GetOrTryInit<'a, T, F, Fut> {
        #[pin]
        inner: Initialise<'a, T, F, Fut>,
    }
}

impl<'a, T, E, F, Fut> Future for GetOrTryInit<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<&'a T, E>;

    /// # Panics
    ///
    /// If it is polled again after its initialiser was ready or has panicked.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx, |result| result)
    }
}

debug_struct!(impl[T, F, Fut] for GetOrTryInit<'_, T, F, Fut> as "GetOrTryInit",
    |this| wait: this.inner.wait, ..);

/// The error of [`OnceCell::set`]. Contains the value that was not set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SetError<T> {
    /// There is a value already.
    AlreadyInitializedError(T),
    /// An initialiser runs, or is about to.
    InitializingError(T),
}

impl<T> SetError<T> {
    /// Whether there is a value already.
    pub fn is_already_init_err(&self) -> bool {
        matches!(self, SetError::AlreadyInitializedError(_))
    }

    /// Whether an initialiser runs.
    pub fn is_initializing_err(&self) -> bool {
        matches!(self, SetError::InitializingError(_))
    }
}

impl<T> fmt::Debug for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SetError::AlreadyInitializedError(_) => "AlreadyInitializedError(..)",
            SetError::InitializingError(_) => "InitializingError(..)",
        })
    }
}

error_message!(impl[T] for SetError<T>, |this| match this {
    SetError::AlreadyInitializedError(_) => "the cell has a value already",
    SetError::InitializingError(_) => "the cell is being initialised",
});
