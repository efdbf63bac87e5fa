//! Spawning: [`spawn`], and [`Builder`] for a task with a name.

use std::future::Future;
use std::panic::Location;

use super::abort_handle::AbortHandle;
use super::group::{GroupClosed, TaskGroup};
use super::insert::insert;
use super::join::JoinHandle;
use super::join_set::JoinSet;
use super::run::Spawned;
use crate::state::{Flags, Rare};

/// Runs `future` on this thread's loop, concurrently with all its other tasks. The task is first
/// polled in the next batch, not inside this call.
///
/// The future need not be `Send`. Dropping the [`JoinHandle`] detaches the task, which continues to
/// run; if it then panics, the panic is logged at `error`. On a loop that is being dropped, the
/// future is dropped at once, and the handle reports
/// [`JoinError::is_cancelled`](super::JoinError::is_cancelled).
///
/// ```
/// headwaiter::block_on(async {
///     let task = headwaiter::spawn(async { 6 * 7 });
///     assert_eq!(task.await.unwrap(), 42);
/// });
/// ```
///
/// # Panics
///
/// Outside any event loop, and if the loop has as many tasks as a waker can tell apart (four
/// billion; on a 32-bit machine a million).
#[inline]
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_at(future, None, Location::caller())
}

/// Spawns a task with a name, which log lines and errors then contain.
///
/// ```
/// headwaiter::block_on(async {
///     let task = headwaiter::task::Builder::new().name("oven").spawn(async { panic!("on fire") });
///     let error: headwaiter::task::JoinError = task.await.map(|()| ()).unwrap_err();
///     assert!(error.to_string().contains("oven"));
/// });
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder spawns nothing until `spawn` is called"]
pub struct Builder {
    name: Option<Box<str>>,
}

impl Builder {
    /// Makes a builder without a name.
    pub fn new() -> Self {
        Builder::default()
    }

    /// Names the task. The name may be any text: log lines, dumps, reports and a
    /// [`Timeline`](crate::observe::Timeline) escape it as Rust source would, a line break as `\n`,
    /// an escape as `\u{1b}`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// Like [`spawn`], with the same panics.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        spawn_at(future, self.name, Location::caller())
    }

    /// Like [`TaskGroup::spawn`], with the same panics.
    #[track_caller]
    pub fn spawn_in<E, F>(self, group: &TaskGroup<E>, future: F)
    where
        E: 'static,
        F: Future<Output = Result<(), E>> + 'static,
    {
        group.shared.spawn(future, self.name, Location::caller());
    }

    /// Like [`TaskGroup::try_spawn`], with the same errors and panics.
    ///
    /// ```
    /// use headwaiter::task::{Builder, GroupClosed, TaskGroup};
    ///
    /// headwaiter::block_on(async {
    ///     let guests = TaskGroup::<std::io::Error>::isolated();
    ///     let seat = |name: &str| {
    ///         Builder::new().name(name).try_spawn_in(&guests, async { Ok(()) })
    ///     };
    ///     assert_eq!(seat("Anna"), Ok(()));
    ///     guests.cancel();
    ///     assert_eq!(seat("Ben"), Err(GroupClosed));
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`GroupClosed`] if the group is closed. The future is then dropped.
    #[track_caller]
    pub fn try_spawn_in<E, F>(self, group: &TaskGroup<E>, future: F) -> Result<(), GroupClosed>
    where
        E: 'static,
        F: Future<Output = Result<(), E>> + 'static,
    {
        group.shared.try_spawn(future, self.name, Location::caller())
    }

    /// Like [`JoinSet::spawn`], with the same panics.
    ///
    /// ```
    /// use headwaiter::task::{Builder, JoinSet};
    ///
    /// headwaiter::block_on(async {
    ///     let mut dishes = JoinSet::<()>::new();
    ///     Builder::new().name("roast").spawn_in_set(&mut dishes, async { panic!("on fire") });
    ///     let error = dishes.join_next().await.unwrap().unwrap_err();
    ///     assert!(error.to_string().contains("roast"));
    /// });
    /// ```
    #[track_caller]
    pub fn spawn_in_set<T, F>(self, set: &mut JoinSet<T>, future: F) -> AbortHandle
    where
        T: 'static,
        F: Future<Output = T> + 'static,
    {
        set.spawn_at(future, self.name, Location::caller())
    }
}

#[inline]
#[track_caller]
pub(crate) fn spawn_at<F>(
    future: F,
    name: Option<Box<str>>,
    place: &'static Location<'static>,
) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let body = Box::pin(Spawned::Running { future });
    match insert(body, Flags::QUEUED, name.map(Rare::named), place) {
        Some(key) => JoinHandle::new(key),
        None => JoinHandle::cancelled(),
    }
}
