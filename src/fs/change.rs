//! The futures of the operations that take `&self` and change something: [`Change`] and
//! [`WriteAt`], both around [`SharedOp`].
//!
//! Several of them may wait for one file. Each runs its work on the pool, after the job in flight.

use std::task::{Context, Poll, Waker, ready};
use std::{io, panic::Location, pin::Pin};

use super::file::File;
use super::state::{Op, Work};
use crate::fmt::debug_struct;
use crate::io::byte_stream::OpState;

/// The future of [`File::set_len`], [`File::sync_all`], [`File::sync_data`] and
/// [`File::set_permissions`].
#[must_use = "futures do nothing unless awaited"]
pub struct Change<'a>(SharedOp<'a>);

/// The future of [`File::write_at`].
#[cfg(unix)]
#[must_use = "futures do nothing unless awaited"]
pub struct WriteAt<'a> {
    op: SharedOp<'a>,
    /// Whether `buf` is empty, so that there is nothing to wait for.
    is_empty: bool,
}

/// An operation that takes `&self` and changes something.
struct SharedOp<'a> {
    file: &'a File,
    /// What errors call it.
    verb: &'static str,
    /// `None` once the job has started.
    work: Option<Work>,
    state: Op,
    is_over: bool,
}

impl<'a> SharedOp<'a> {
    #[track_caller]
    fn new(
        file: &'a File,
        verb: &'static str,
        work: impl FnOnce(&std::fs::File) -> io::Result<u64> + Send + 'static,
    ) -> Self {
        SharedOp {
            file,
            verb,
            work: Some(Box::new(work)),
            state: Op::at(Location::caller()),
            is_over: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        assert!(
            !self.is_over,
            "headwaiter: an operation of a `File` was polled again after it was ready"
        );
        let result =
            ready!(self.file.lock().poll_change(&mut self.state, cx, self.verb, &mut self.work));
        self.is_over = true;
        // The job has ended, so it is the turn of the next operation.
        wake_waiting(self.file);
        Poll::Ready(result)
    }
}

impl Drop for SharedOp<'_> {
    /// A job in flight goes on, and its result is left to the next operation.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // Otherwise the job in flight belongs to another operation.
        if self.state.has_begun {
            self.file.lock().disown();
        }
        wake_waiting(self.file);
    }
}

/// Wakes the operations that wait for their turn. The wakers are called outside the lock, because a
/// foreign one may poll the file.
pub(super) fn wake_waiting(file: &File) {
    let waiting = file.lock().take_waiting();
    waiting.into_iter().for_each(Waker::wake);
}

impl<'a> Change<'a> {
    #[track_caller]
    pub(super) fn new(
        file: &'a File,
        verb: &'static str,
        work: impl FnOnce(&std::fs::File) -> io::Result<u64> + Send + 'static,
    ) -> Self {
        Change(SharedOp::new(file, verb, work))
    }
}

#[cfg(unix)]
impl<'a> WriteAt<'a> {
    #[track_caller]
    pub(super) fn new(
        file: &'a File,
        is_empty: bool,
        work: impl FnOnce(&std::fs::File) -> io::Result<u64> + Send + 'static,
    ) -> Self {
        WriteAt { op: SharedOp::new(file, "write", work), is_empty }
    }
}

impl Future for Change<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map_ok(drop)
    }
}

#[cfg(unix)]
impl Future for WriteAt<'_> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_empty {
            return Poll::Ready(Ok(0));
        }
        self.op.poll(cx).map_ok(|n| n as usize)
    }
}

debug_struct!(impl[] for Change<'_> as "Change", |this| file: this.0.file, to: this.0.verb);

#[cfg(unix)]
debug_struct!(impl[] for WriteAt<'_> as "WriteAt", |this| file: this.op.file, to: this.op.verb);
