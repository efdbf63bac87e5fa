//! The futures of [`Async`]: [`With`] for an operation on `&T`, [`WithMut`] for one on `&mut T`.
//!
//! Made by the methods of [`Async`]; the loop that tries and waits is there too.

use std::task::{Context, Poll};
use std::{fmt, io, os::fd::AsFd, panic::Location, pin::Pin};

use super::Async;
use crate::fmt::debug_struct;
use crate::reactor::{Direction, Wait};

/// The future of [`Async::read_with`] and [`Async::write_with`].
#[must_use = "futures do nothing unless awaited"]
pub struct With<'a, T: AsFd, F> {
    io: &'a Async<T>,
    op: F,
    direction: Direction,
    wait: Wait,
}

/// The future of [`Async::read_with_mut`] and [`Async::write_with_mut`].
#[must_use = "futures do nothing unless awaited"]
pub struct WithMut<'a, T: AsFd, F> {
    io: &'a mut Async<T>,
    op: F,
    direction: Direction,
    wait: Wait,
}

/// Nothing in the futures is structurally pinned.
impl<T: AsFd, F> Unpin for With<'_, T, F> {}
impl<T: AsFd, F> Unpin for WithMut<'_, T, F> {}

impl<'a, T: AsFd, F> With<'a, T, F> {
    #[track_caller]
    pub(super) fn new(io: &'a Async<T>, op: F, direction: Direction) -> Self {
        With { io, op, direction, wait: Wait::at(Location::caller()) }
    }
}

impl<'a, T: AsFd, F> WithMut<'a, T, F> {
    #[track_caller]
    pub(super) fn new(io: &'a mut Async<T>, op: F, direction: Direction) -> Self {
        WithMut { io, op, direction, wait: Wait::at(Location::caller()) }
    }
}

impl<T: AsFd, F: FnMut(&T) -> io::Result<R>, R> Future for With<'_, T, F> {
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.io.poll_with(&mut this.wait, cx, this.direction, &mut this.op)
    }
}

impl<T: AsFd, F: FnMut(&mut T) -> io::Result<R>, R> Future for WithMut<'_, T, F> {
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.io.poll_with_mut(&mut this.wait, cx, this.direction, &mut this.op)
    }
}

debug_struct!(impl[T: AsFd + fmt::Debug, F] for With<'_, T, F> as "With",
    |this| io: this.io, to: this.direction.verb(), ..);

debug_struct!(impl[T: AsFd + fmt::Debug, F] for WithMut<'_, T, F> as "WithMut",
    |this| io: this.io, to: this.direction.verb(), ..);
