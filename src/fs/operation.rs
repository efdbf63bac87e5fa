//! [`Operation`], the future of the functions of `fs`: a job of the pool, and the path that it is
//! about. [`on`] and [`between`] make one for a function of one path and of two.
//!
//! Once a thread has begun with a job, dropping its future does not stop it.

use std::task::{Context, Poll};
use std::{io, panic::Location, path::Path, pin::Pin};

use crate::about::about;
use crate::fmt::debug_struct;
use crate::offload::{self, Run};

/// The future of the functions of this module.
///
/// It keeps the path that was passed, `P`: a path that removes its file on drop, such as the
/// `TempPath` of the crate tempfile, is dropped with this, not before.
#[must_use = "futures do nothing unless awaited"]
pub struct Operation<T, P = ()> {
    state: State<T>,
    /// Only kept. Two paths are a pair.
    _path: P,
}

enum State<T> {
    /// A job of the pool.
    Run(Run<io::Result<T>>),
    /// The result was known at once.
    Known(io::Result<T>),
    /// The future was ready.
    Over,
}

impl<T: Send + 'static> Operation<T> {
    pub(super) fn run(
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
        place: &'static Location<'static>,
    ) -> Operation<T> {
        Operation { state: State::Run(offload::run(work, place)), _path: () }
    }

    pub(super) fn known(result: io::Result<T>) -> Self {
        Operation { state: State::Known(result), _path: () }
    }

    /// Keeps a path until the future is dropped.
    pub(super) fn keeping<P>(self, path: P) -> Operation<T, P> {
        Operation { state: self.state, _path: path }
    }
}

/// Runs `work` on a path. Errors say `doing` and name the path.
#[track_caller]
pub(super) fn on<T: Send + 'static, P: AsRef<Path>>(
    doing: &'static str,
    path: P,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Operation<T, P> {
    let owned = path.as_ref().to_owned();
    let work = move || work(&owned).map_err(|error| about(doing, format_args!("{owned:?}"), error));
    Operation::run(work, Location::caller()).keeping(path)
}

/// Runs `work` on two paths. Errors say `doing`, and name both paths with `and` between them.
#[track_caller]
pub(super) fn between<T: Send + 'static, P: AsRef<Path>, Q: AsRef<Path>>(
    doing: &'static str,
    from: P,
    and: &'static str,
    to: Q,
    work: impl FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
) -> Operation<T, (P, Q)> {
    let owned = (from.as_ref().to_owned(), to.as_ref().to_owned());
    let work = move || {
        let (from, to) = owned;
        work(&from, &to).map_err(|error| about(doing, format_args!("{from:?} {and} {to:?}"), error))
    };
    Operation::run(work, Location::caller()).keeping((from, to))
}

/// Nothing in it is structurally pinned.
impl<T, P> Unpin for Operation<T, P> {}

impl<T: Send + 'static, P> Future for Operation<T, P> {
    type Output = io::Result<T>;

    /// # Panics
    ///
    /// Outside any event loop, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Run(run) = &mut self.state {
            return Pin::new(run).poll(cx).map(|result| result.and_then(|result| result));
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Known(result) => Poll::Ready(result),
            _ => panic!("headwaiter: an operation of `fs` was polled again after it was ready"),
        }
    }
}

debug_struct!(impl[T, P] for Operation<T, P> as "Operation", |_this| ..);
