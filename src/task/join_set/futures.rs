//! The futures of the methods of [`JoinSet`]. Each polls the set, which keeps the waker and the
//! record of the wait; none keeps an output when it is dropped.

use std::mem;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::JoinSet;
use super::shared::Finished;
use crate::fmt::debug_struct;
use crate::state::{Id, JoinError, discard};

/// The future of [`JoinSet::join_next`].
#[must_use = "futures do nothing unless awaited"]
pub struct JoinNext<'a, T> {
    set: &'a mut JoinSet<T>,
    place: &'static Location<'static>,
}

impl<'a, T> JoinNext<'a, T> {
    #[inline]
    pub(super) fn new(set: &'a mut JoinSet<T>, place: &'static Location<'static>) -> Self {
        JoinNext { set, place }
    }
}

impl<T> Future for JoinNext<'_, T> {
    type Output = Option<Result<T, JoinError>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = self.place;
        let next = ready!(self.set.poll_next(place, cx));
        Poll::Ready(next.map(|finished| finished.result))
    }
}

impl<T> Drop for JoinNext<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.set.leave();
    }
}

/// The future of [`JoinSet::join_next_with_id`].
#[must_use = "futures do nothing unless awaited"]
pub struct JoinNextWithId<'a, T>(pub(super) JoinNext<'a, T>);

impl<T> Future for JoinNextWithId<'_, T> {
    type Output = Option<Result<(Id, T), JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = self.0.place;
        let next = ready!(self.0.set.poll_next(place, cx));
        Poll::Ready(next.map(Finished::with_id))
    }
}

/// The future of [`JoinSet::join_all`]. Dropping it aborts the tasks that have not ended.
#[must_use = "futures do nothing unless awaited, and dropping this one aborts the tasks"]
pub struct JoinAll<T> {
    set: JoinSet<T>,
    outputs: Vec<T>,
    place: &'static Location<'static>,
    joined: bool,
}

impl<T> JoinAll<T> {
    pub(super) fn new(set: JoinSet<T>, place: &'static Location<'static>) -> Self {
        let outputs = Vec::with_capacity(set.len());
        JoinAll { set, outputs, place, joined: false }
    }
}

/// Nothing in it is pinned: the outputs are on the heap.
impl<T> Unpin for JoinAll<T> {}

impl<T> Future for JoinAll<T> {
    type Output = Vec<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.joined, "headwaiter: a `JoinAll` was polled again after it was ready");
        let place = self.place;
        while let Some(next) = ready!(self.set.poll_next(place, cx)) {
            match next.result {
                Ok(output) => self.outputs.push(output),
                Err(error) => {
                    self.joined = true;
                    drop(mem::take(&mut self.set));
                    fail(error)
                }
            }
        }
        self.joined = true;
        Poll::Ready(mem::take(&mut self.outputs))
    }
}

/// Panics for a task without an output.
#[cold]
fn fail(error: JoinError) -> ! {
    match error.try_into_panic() {
        Ok(payload) => resume_unwind(payload),
        Err(error) => panic!(
            "headwaiter: `JoinSet::join_all` cannot return all outputs: {error}. Call `join_next` in a loop to handle errors"
        ),
    }
}

/// The future of [`JoinSet::shutdown`].
#[must_use = "futures do nothing unless awaited"]
pub struct Shutdown<'a, T> {
    set: &'a mut JoinSet<T>,
    place: &'static Location<'static>,
    has_aborted: bool,
}

impl<'a, T> Shutdown<'a, T> {
    pub(super) fn new(set: &'a mut JoinSet<T>, place: &'static Location<'static>) -> Self {
        Shutdown { set, place, has_aborted: false }
    }
}

impl<T> Future for Shutdown<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !mem::replace(&mut self.has_aborted, true) {
            self.set.abort_all();
        }
        let place = self.place;
        while let Some(next) = ready!(self.set.poll_next(place, cx)) {
            match next.result {
                Ok(output) => discard(output),
                Err(error) => error.log_unseen(),
            }
        }
        Poll::Ready(())
    }
}

impl<T> Drop for Shutdown<'_, T> {
    fn drop(&mut self) {
        self.set.leave();
    }
}

debug_struct!(impl[T] for JoinNext<'_, T> as "JoinNext", |this| place: this.place, ..);
debug_struct!(impl[T] for JoinNextWithId<'_, T> as "JoinNextWithId", |this| place: this.0.place, ..);
debug_struct!(impl[T] for JoinAll<T> as "JoinAll", |this| place: this.place, ..);
debug_struct!(impl[T] for Shutdown<'_, T> as "Shutdown", |this| place: this.place, ..);
