//! What both ends of a channel share: the value, its version, and the waits for a change and for
//! the end. [`Raw`] does not depend on the type of the value.

use std::cell::{self, Cell, RefCell, RefMut};
use std::task::{Context, Poll};
use std::{fmt, mem, ops::Deref, panic::Location};

use crate::sync::wait_list::{ListWait, WaitList};

pub(super) struct Shared<T> {
    /// Borrowed by each [`Ref`], and while a closure of the user changes or examines the value.
    value: RefCell<T>,
    pub(super) raw: Raw,
}

/// A channel without its value, and so without its type.
pub(super) struct Raw {
    /// Counts the values. A receiver notes which it has seen last.
    pub(super) version: Cell<u64>,
    pub(super) senders: Cell<usize>,
    pub(super) receivers: Cell<usize>,
    /// Where the value was last borrowed, for the panic of a send that finds it borrowed.
    borrowed_at: Cell<&'static Location<'static>>,
    /// The receivers that wait for a change.
    pub(super) changing: WaitList,
    /// The waiters of `closed`.
    pub(super) closing: WaitList,
}

impl Raw {
    /// Waits for a value other than `seen`, or for the end of the channel.
    #[inline]
    pub(super) fn poll_changed(
        &self,
        wait: &mut ListWait,
        cx: &Context<'_>,
        seen: Option<u64>,
    ) -> Poll<()> {
        let done = |_| {
            let is_over = seen != Some(self.version.get()) || self.senders.get() == 0;
            is_over.then_some(false)
        };
        self.changing.poll(wait, cx, done).map(|_| ())
    }

    fn notify_receivers(&self) {
        self.version.set(self.version.get().wrapping_add(1));
        self.changing.call_all();
    }

    pub(super) fn add_sender(&self) {
        self.senders.set(self.senders.get() + 1);
    }

    pub(super) fn drop_sender(&self) {
        self.senders.set(self.senders.get() - 1);
        if self.senders.get() == 0 {
            self.changing.call_all();
        }
    }

    pub(super) fn add_receiver(&self) {
        self.receivers.set(self.receivers.get() + 1);
    }

    pub(super) fn drop_receiver(&self) {
        self.receivers.set(self.receivers.get() - 1);
        if self.receivers.get() == 0 {
            self.closing.call_all();
        }
    }
}

impl<T> Shared<T> {
    /// With one sender and no receiver.
    pub(super) fn new(value: T) -> Self {
        let raw = Raw {
            version: Cell::new(0),
            senders: Cell::new(1),
            receivers: Cell::new(0),
            borrowed_at: Cell::new(Location::caller()),
            changing: WaitList::new("a change of a watched value"),
            closing: WaitList::new("the end of a channel"),
        };
        Shared { value: RefCell::new(value), raw }
    }

    /// Borrows the value for an operation called at `place`. `what` names it in the panic.
    #[inline]
    #[track_caller]
    pub(super) fn read(&self, what: &str, place: &'static Location<'static>) -> cell::Ref<'_, T> {
        match self.value.try_borrow() {
            Ok(value) => {
                self.raw.borrowed_at.set(place);
                value
            }
            Err(_) => used_in_closure(what),
        }
    }

    #[inline]
    #[track_caller]
    fn write(&self, what: &str) -> RefMut<'_, T> {
        match self.value.try_borrow_mut() {
            Ok(value) => value,
            Err(_) if self.value.try_borrow().is_err() => used_in_closure(what),
            Err(_) => borrowed(what, self.raw.borrowed_at.get()),
        }
    }

    /// Returns the value before. It is dropped by the caller, with nothing borrowed.
    #[inline]
    #[track_caller]
    pub(super) fn replace(&self, value: T, what: &str) -> T {
        let before = mem::replace(&mut *self.write(what), value);
        self.raw.notify_receivers();
        before
    }

    #[track_caller]
    pub(super) fn modify(&self, modify: impl FnOnce(&mut T) -> bool, what: &str) -> bool {
        let is_changed = modify(&mut self.write(what));
        if is_changed {
            self.raw.notify_receivers();
        }
        is_changed
    }
}

#[cold]
#[track_caller]
fn used_in_closure(what: &str) -> ! {
    panic!(
        "headwaiter: {what} was called by the closure of `send_modify` or `send_if_modified` of the same channel, which has the value: use what the closure is given, and do the rest after it"
    );
}

#[cold]
#[track_caller]
fn borrowed(what: &str, place: &Location<'_>) -> ! {
    panic!(
        "headwaiter: {what} was called while the value is borrowed, last at {place}: drop each `watch::Ref` before the next `.await`, and send nothing to the same channel in the closure of `wait_for`"
    );
}

/// A borrow of the value of a channel. While it exists, sending panics: see
/// [the module](super#borrowing-the-value).
pub struct Ref<'a, T> {
    pub(super) value: cell::Ref<'a, T>,
    pub(super) has_changed: bool,
}

impl<T> Ref<'_, T> {
    /// Whether the receiver had not seen the value when it borrowed it. `false` if the sender has
    /// borrowed it.
    ///
    /// ```
    /// use headwaiter::sync::watch;
    ///
    /// let (board, mut guest) = watch::channel("soup");
    /// assert!(!guest.borrow().has_changed());
    /// board.send("fish").unwrap();
    /// drop(board);
    /// assert!(guest.borrow_and_update().has_changed());
    /// assert!(!guest.borrow().has_changed());
    /// ```
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ref")
            .field("value", &**self)
            .field("has_changed", &self.has_changed)
            .finish()
    }
}
