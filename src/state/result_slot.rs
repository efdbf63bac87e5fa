//! A result that one thread stores and another takes: of an offloaded job, or of a task that was spawned
//! from another thread.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::number::Wake;

/// `X` is what the two sides share besides the result.
pub(crate) struct ResultSlot<T, X> {
    inner: Mutex<Inner<T, X>>,
    /// Notified when the result is there.
    arrived: Condvar,
}

pub(crate) struct Inner<T, X> {
    outcome: Outcome<T>,
    /// What to wake when the result is there.
    wake: Option<Wake>,
    pub(crate) extra: X,
}

enum Outcome<T> {
    Pending,
    Ready(T),
    /// The result was taken, or is not wanted.
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

    /// Where the slot is not shared any more.
    pub(crate) fn get_mut(&mut self) -> &mut Inner<T, X> {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn notify_all(&self) {
        self.arrived.notify_all();
    }

    pub(crate) fn arrived(&self) -> &Condvar {
        &self.arrived
    }

    /// Takes the result, or stores what to wake when it is there. `Ready(None)`: the slot is closed.
    pub(crate) fn poll(&self, wake: Wake) -> Poll<Option<T>> {
        let mut inner = self.lock();
        if let Outcome::Pending = inner.outcome {
            let before = inner.wake.replace(wake);
            // The drop of a waker may be foreign code, which may come back here.
            drop(inner);
            drop(before);
            return Poll::Pending;
        }
        Poll::Ready(inner.take())
    }
}

impl<T, X> Inner<T, X> {
    /// Stores the result. Returns what to wake, with nothing locked. `Err`: the slot is closed or has a
    /// result already.
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

    /// Takes the result, if it is there, and closes the slot.
    pub(crate) fn take(&mut self) -> Option<T> {
        if self.is_pending() {
            return None;
        }
        match mem::replace(&mut self.outcome, Outcome::Closed) {
            Outcome::Ready(result) => Some(result),
            _ => None,
        }
    }

    /// Closes the slot: the result is not wanted any more. Returns what is to be dropped, and what to wake,
    /// with nothing locked.
    pub(crate) fn close(&mut self) -> (Option<T>, Option<Wake>) {
        let result = match mem::replace(&mut self.outcome, Outcome::Closed) {
            Outcome::Ready(result) => Some(result),
            _ => None,
        };
        (result, self.wake.take())
    }
}
