//! Wakers that are not of headwaiter's tasks, as another executor has them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

/// Counts how often it is woken, and then calls a function.
pub struct Foreign<F = fn()> {
    wakes: AtomicUsize,
    then: F,
}

impl Foreign {
    pub fn new() -> Arc<Self> {
        Foreign::then(|| ())
    }
}

impl<F> Foreign<F> {
    pub fn then(then: F) -> Arc<Self> {
        Arc::new(Foreign { wakes: AtomicUsize::new(0), then })
    }

    pub fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }

    /// How often it was woken since this was asked last.
    pub fn take_wakes(&self) -> usize {
        self.wakes.swap(0, Ordering::SeqCst)
    }
}

impl<F: Fn() + Send + Sync> Wake for Foreign<F> {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        (self.then)();
    }
}

/// Calls a function when it is woken.
pub fn foreign(wake: impl Fn() + Send + Sync + 'static) -> Waker {
    Foreign::then(wake).into()
}

/// As [`foreign`], and owns something, which is dropped with the last of its clones.
pub fn foreign_owning<T: Send + Sync + 'static>(
    owned: T,
    wake: impl Fn(&T) + Send + Sync + 'static,
) -> Waker {
    foreign(move || wake(&owned))
}

/// Wakes another waker, as a combinator does.
pub fn forwarding(to: Waker) -> Arc<Foreign<impl Fn() + Send + Sync>> {
    Foreign::then(move || to.wake_by_ref())
}
