//! A slot for a result that one thread stores and another takes: the result of an offloaded job, or
//! of a task that was spawned from another thread. It never runs user code while it is locked.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::number::Wake;

/// A slot shared by two sides. `X` is other data that they share.
pub(crate) struct ResultSlot<T, X> {
    inner: Mutex<Inner<T, X>>,
    /// Notified when the result is stored.
    arrived: Condvar,
}

pub(crate) struct Inner<T, X> {
    outcome: Outcome<T>,
    /// What to wake when the result is stored.
    wake: Option<Wake>,
    pub(crate) extra: X,
}

enum Outcome<T> {
    Pending,
    Ready(T),
    /// The result was taken, or it is no longer needed.
    Closed,
}

impl<T, X> ResultSlot<T, X> {
    pub(crate) fn new(extra: X) -> Self {
        let inner = Inner { outcome: Outcome::Pending, wake: None, extra };
        ResultSlot { inner: Mutex::new(inner), arrived: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner<T, X>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the contents of a slot that is no longer shared, without locking it.
    pub(crate) fn get_mut(&mut self) -> &mut Inner<T, X> {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn notify_all(&self) {
        self.arrived.notify_all();
    }

    pub(crate) fn arrived(&self) -> &Condvar {
        &self.arrived
    }

    /// Takes the result, or stores what to wake when it arrives. Returns `Ready(None)` if the slot
    /// is closed.
    pub(crate) fn poll(&self, wake: Wake) -> Poll<Option<T>> {
        let mut inner = self.lock();
        if let Outcome::Pending = inner.outcome {
            let before = inner.wake.replace(wake);
            // Dropping a waker may run foreign code that uses this slot again, so unlock first.
            drop(inner);
            drop(before);
            return Poll::Pending;
        }
        Poll::Ready(inner.take())
    }
}

impl<T, X> Inner<T, X> {
    /// Stores the result. Returns what the caller must wake after unlocking, or the result as `Err`
    /// if the slot is closed or already has one.
    pub(crate) fn put(&mut self, result: T) -> Result<Option<Wake>, T> {
        if !self.is_pending() {
            return Err(result);
        }
        self.outcome = Outcome::Ready(result);
        Ok(self.wake.take())
    }

    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.outcome, Outcome::Pending)
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.outcome, Outcome::Ready(_))
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.outcome, Outcome::Closed)
    }

    pub(crate) fn ready(&self) -> Option<&T> {
        match &self.outcome {
            Outcome::Ready(result) => Some(result),
            _ => None,
        }
    }

    /// Takes the result and closes the slot, unless the result is still pending.
    pub(crate) fn take(&mut self) -> Option<T> {
        if self.is_pending() {
            return None;
        }
        match mem::replace(&mut self.outcome, Outcome::Closed) {
            Outcome::Ready(result) => Some(result),
            _ => None,
        }
    }

    /// Closes the slot, because the result is no longer needed. Returns what the caller must drop
    /// and wake after unlocking.
    pub(crate) fn close(&mut self) -> (Option<T>, Option<Wake>) {
        let result = match mem::replace(&mut self.outcome, Outcome::Closed) {
            Outcome::Ready(result) => Some(result),
            _ => None,
        };
        (result, self.wake.take())
    }
}
