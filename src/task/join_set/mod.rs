//! [`JoinSet`]: tasks whose outputs are taken in the order in which they end.
//!
//! The set never polls its children; each brings its output when it ends. `shared.rs` has what the
//! set shares with them, `futures.rs` the futures of its methods.

mod futures;
mod shared;

use std::panic::Location;
use std::task::{Context, Poll, ready};
use std::{fmt, rc::Rc};

pub use self::futures::{JoinAll, JoinNext, JoinNextWithId, Shutdown};
use self::shared::{Finished, Shared};
use super::abort_handle::AbortHandle;
use super::wait_record::WaitRecord;
use crate::door::{Door, away_from_home, report};
use crate::state::{Id, JoinError, Step, TaskNumber, Wake, discard};

/// Tasks with outputs of one type, which are taken in the order in which the tasks end.
///
/// A child is a task as of [`spawn`](crate::spawn), and runs whether or not the set is awaited. Each child fails alone: its panic is a [`JoinError`] that
/// [`join_next`](Self::join_next) returns, and the others continue. Dropping the set aborts the
/// children that have not ended: inside that call, except the one that is being polled, which is
/// dropped after its poll. Outside its running loop, the loop drops them at its next turn.
///
/// Use a [`TaskGroup`](super::TaskGroup) instead if the tasks have no outputs that you want one by
/// one: if one failure must end all, or if failures are only to be logged, as of the clients of a
/// server. A group keeps nothing of a child that has ended. A set keeps its output until that is
/// taken, so it must be joined while it grows.
///
/// A set belongs to the loop of its tasks; an empty one may be used in another loop. It is not
/// [`Send`], because its tasks give it their outputs without a lock. So there is no `spawn_on`: to
/// spawn on the loop of another thread, spawn a task here that awaits a
/// [`Handle::spawn`](crate::Handle::spawn).
///
/// ```
/// use headwaiter::task::JoinSet;
/// use headwaiter::time::sleep;
/// use std::time::Duration;
///
/// headwaiter::block_on(async {
///     let mut dishes = JoinSet::new();
///     for (dish, minutes) in [("roast", 30), ("soup", 10), ("fish", 20)] {
///         dishes.spawn(async move {
///             sleep(Duration::from_millis(minutes)).await;
///             dish
///         });
///     }
///     let mut served = Vec::new();
///     while let Some(dish) = dishes.join_next().await {
///         served.push(dish.unwrap());
///     }
///     assert_eq!(served, ["soup", "fish", "roast"]);
/// });
/// ```
#[must_use = "dropping a JoinSet aborts its tasks: join them, or call `detach_all`"]
pub struct JoinSet<T> {
    /// `None` until a task is spawned.
    shared: Option<Rc<Shared<T>>>,
    record: WaitRecord,
}

impl<T> JoinSet<T> {
    /// Makes an empty set. This needs no loop.
    pub const fn new() -> Self {
        JoinSet { shared: None, record: WaitRecord::NONE }
    }

    /// Returns how many tasks are in the set: those that have not ended, and those whose output was
    /// not taken.
    pub fn len(&self) -> usize {
        self.shared.as_ref().map_or(0, |shared| shared.len())
    }

    /// Whether no task is in the set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Aborts all tasks that have not ended, as [`AbortHandle::abort`]. They stay in the set, and
    /// [`join_next`](Self::join_next) returns an error for each, with
    /// [`is_cancelled`](JoinError::is_cancelled).
    ///
    /// ```
    /// use headwaiter::task::JoinSet;
    /// use std::future::pending;
    ///
    /// headwaiter::block_on(async {
    ///     let mut orders = JoinSet::new();
    ///     orders.spawn(pending::<()>());
    ///     orders.abort_all();
    ///     assert_eq!(orders.len(), 1);
    ///     assert!(orders.join_next().await.unwrap().unwrap_err().is_cancelled());
    ///     assert!(orders.join_next().await.is_none());
    /// });
    /// ```
    pub fn abort_all(&mut self) {
        if let Some(shared) = &self.shared {
            shared.abort_all();
        }
    }

    /// Removes all tasks from the set without aborting them. They continue to run, as if their
    /// [`JoinHandle`](super::JoinHandle)s had been dropped: their outputs are dropped, and a panic
    /// is logged.
    ///
    /// ```
    /// use headwaiter::task::{JoinSet, yield_now};
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// headwaiter::block_on(async {
    ///     let (mut dishes, cooked) = (JoinSet::new(), Rc::new(Cell::new(0)));
    ///     let count = Rc::clone(&cooked);
    ///     dishes.spawn(async move { count.set(count.get() + 1) });
    ///     dishes.detach_all();
    ///     assert!(dishes.is_empty());
    ///     drop(dishes);
    ///     yield_now().await;
    ///     assert_eq!(cooked.get(), 1);
    /// });
    /// ```
    pub fn detach_all(&mut self) {
        self.record.end();
        if let Some(shared) = self.shared.take() {
            shared.forget();
        }
    }

    /// Returns what this loop shares with the set's children.
    ///
    /// # Panics
    ///
    /// Outside any event loop, and if the set has tasks of another loop.
    #[track_caller]
    pub(crate) fn bind(&mut self, what: &str) {
        let home = Door::expect(what).id;
        match &self.shared {
            Some(shared) if shared.home == home => {}
            Some(shared) if shared.len() > 0 => away_from_home("a `JoinSet`"),
            // It is empty, so it may move to this loop.
            _ => {
                self.record.end();
                self.shared = Some(Shared::new(home));
            }
        }
    }
}

impl<T: 'static> JoinSet<T> {
    /// Spawns a task into the set. It is polled for the first time in the next batch, not inside
    /// this call.
    ///
    /// To name the task, use [`Builder::spawn_in_set`](super::Builder::spawn_in_set). On a loop
    /// that is being dropped, the future is dropped at once, and the task counts as cancelled.
    ///
    /// # Panics
    ///
    /// Outside any event loop, and in another loop than that of the tasks in the set; and as
    /// [`spawn`](crate::spawn), if the loop has too many tasks.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.spawn_at(future, None, Location::caller())
    }

    #[track_caller]
    pub(crate) fn spawn_at<F>(
        &mut self,
        future: F,
        name: Option<Box<str>>,
        place: &'static Location<'static>,
    ) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.bind("`JoinSet::spawn`");
        let key = self.shared.as_ref().and_then(|shared| shared.spawn(future, name, place));
        AbortHandle::new(key)
    }
}

/// Joining. Unless the set is empty, each of these panics outside the loop of its tasks.
impl<T> JoinSet<T> {
    /// Waits until a task of the set has ended, removes it, and returns its output. Returns `None`
    /// if the set is empty.
    ///
    /// Cancel-safe: a dropped future has removed no task.
    ///
    /// # Panics
    ///
    /// The future panics if the set has tasks, and is polled in another loop than theirs or in
    /// none.
    #[inline]
    #[track_caller]
    pub fn join_next(&mut self) -> JoinNext<'_, T> {
        JoinNext::new(self, Location::caller())
    }

    /// As [`join_next`](Self::join_next), with the task's id beside its output. (If the task has no
    /// output, its id is [`JoinError::id`].)
    ///
    /// ```
    /// use headwaiter::task::JoinSet;
    ///
    /// headwaiter::block_on(async {
    ///     let mut dishes = JoinSet::new();
    ///     let soup = dishes.spawn(async { "soup" }).id();
    ///     assert_eq!(dishes.join_next_with_id().await.unwrap().unwrap(), (soup, "soup"));
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`join_next`](Self::join_next).
    #[track_caller]
    pub fn join_next_with_id(&mut self) -> JoinNextWithId<'_, T> {
        JoinNextWithId(self.join_next())
    }

    /// Removes a task that has ended and returns its output. Returns `None` if there is none, which
    /// says nothing about whether the set is empty.
    ///
    /// It spends no cooperative budget, so it is never refused.
    ///
    /// # Panics
    ///
    /// As [`join_next`](Self::join_next).
    #[track_caller]
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.take_next().map(|finished| finished.result)
    }

    /// As [`try_join_next`](Self::try_join_next), with the task's id.
    ///
    /// # Panics
    ///
    /// As [`join_next`](Self::join_next).
    #[track_caller]
    pub fn try_join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        self.take_next().map(Finished::with_id)
    }

    #[track_caller]
    fn take_next(&mut self) -> Option<Finished<T>> {
        let shared = self.shared.as_ref().filter(|shared| shared.len() > 0)?;
        drop(Door::at_home(shared.key(), "a `JoinSet`"));
        shared.take_finished()
    }

    /// As [`join_next`](Self::join_next), for a future of your own. Only the waker of the last poll
    /// is woken. The wait is reported at the place of this call.
    ///
    /// `Pending` need not mean that no task has ended: as every operation that is done at once, it
    /// spends cooperative budget, and wakes the task if none is left.
    ///
    /// # Panics
    ///
    /// As [`join_next`](Self::join_next).
    #[track_caller]
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        let next = ready!(self.poll_next(Location::caller(), cx));
        Poll::Ready(next.map(|finished| finished.result))
    }

    /// As [`poll_join_next`](Self::poll_join_next), with the task's id.
    ///
    /// # Panics
    ///
    /// As [`join_next`](Self::join_next).
    #[track_caller]
    pub fn poll_join_next_with_id(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(Id, T), JoinError>>> {
        let next = ready!(self.poll_next(Location::caller(), cx));
        Poll::Ready(next.map(Finished::with_id))
    }

    #[inline]
    #[track_caller]
    fn poll_next(
        &mut self,
        place: &'static Location<'static>,
        cx: &Context<'_>,
    ) -> Poll<Option<Finished<T>>> {
        let Some(shared) = &self.shared else { return Poll::Ready(None) };
        if shared.has_finished() {
            let mut door = Door::at_home(shared.key(), "a `JoinSet`");
            self.record.end_in(&mut door);
            // Only an end that is there costs budget. One that must be waited for leaves the waker
            // in any case.
            ready!(door.poll_budget(cx));
            return Poll::Ready(shared.take_finished());
        }
        if shared.len() == 0 {
            self.record.end();
            return Poll::Ready(None);
        }
        self.wait(place, cx)
    }

    /// Leaves the waker of the joiner.
    #[track_caller]
    fn wait(
        &mut self,
        place: &'static Location<'static>,
        cx: &Context<'_>,
    ) -> Poll<Option<Finished<T>>> {
        const END: &str = "the end of a task of a `JoinSet`";
        let Some(shared) = &self.shared else { return Poll::Ready(None) };
        drop(Door::at_home(shared.key(), "a `JoinSet`"));
        let wake = Wake::of(cx.waker());
        // The clone of a foreign waker may have done anything, also end a task.
        if shared.has_finished() {
            discard(wake);
            return self.poll_next(place, cx);
        }
        match TaskNumber::of(cx.waker()) {
            Some(task) => self.record.wait_for_tasks(task, &shared.children, END, place),
            None => self.record.end(),
        }
        discard(shared.joiner.replace(Some(wake)));
        report(|| Step::AwaitSync { what: END, place });
        Poll::Pending
    }

    /// For a joiner that is dropped: ends its wait.
    #[inline]
    fn leave(&mut self) {
        // Also if it was woken and has not looked yet: then only the record is left.
        self.record.end();
        if let Some(shared) = &self.shared
            && let Some(joiner) = shared.joiner.take()
        {
            discard(joiner);
        }
    }

    /// Waits until all tasks have ended, and returns their outputs in the order in which they
    /// ended.
    ///
    /// Not cancel-safe: dropping the future drops the set, which aborts the tasks that have not
    /// ended, and drops the outputs of the others. To keep these, call
    /// [`join_next`](Self::join_next) in a loop.
    ///
    /// ```
    /// use headwaiter::task::JoinSet;
    ///
    /// headwaiter::block_on(async {
    ///     let squares: JoinSet<u32> = (1..=3).map(|n| async move { n * n }).collect();
    ///     assert_eq!(squares.join_all().await, [1, 4, 9]);
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// If a task panicked, its panic is resumed here, and if it was aborted, this panics too; the
    /// other tasks are aborted before. To handle errors, call [`join_next`](Self::join_next) in a
    /// loop. Also in the cases of that.
    #[track_caller]
    pub fn join_all(self) -> JoinAll<T> {
        JoinAll::new(self, Location::caller())
    }

    /// Aborts all tasks and waits until they have ended. The set is empty then.
    ///
    /// Outputs of tasks that had ended before are dropped. The panic of a task, also in its drop
    /// because of this abort, is logged. Dropping the future leaves the tasks that have not ended
    /// in the set; they are aborted already, if the future was polled.
    ///
    /// ```
    /// use headwaiter::task::JoinSet;
    /// use std::future::pending;
    ///
    /// headwaiter::block_on(async {
    ///     let mut orders = JoinSet::new();
    ///     orders.spawn(pending::<()>());
    ///     orders.shutdown().await;
    ///     assert!(orders.is_empty());
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`join_next`](Self::join_next).
    #[track_caller]
    pub fn shutdown(&mut self) -> Shutdown<'_, T> {
        Shutdown::new(self, Location::caller())
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        JoinSet::new()
    }
}

/// Spawns each future of the iterator, with the panics of [`JoinSet::spawn`]. (`collect` hides the
/// place of the call, so the log names a place in the standard library.)
impl<T: 'static, F: Future<Output = T> + 'static> FromIterator<F> for JoinSet<T> {
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> Self {
        let mut set = JoinSet::new();
        set.extend(futures);
        set
    }
}

/// Spawns each future of the iterator, with the panics of [`JoinSet::spawn`].
impl<T: 'static, F: Future<Output = T> + 'static> Extend<F> for JoinSet<T> {
    #[track_caller]
    fn extend<I: IntoIterator<Item = F>>(&mut self, futures: I) {
        for future in futures {
            self.spawn_at(future, None, Location::caller());
        }
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.forget();
            shared.abort_all();
        }
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alive = self.shared.as_ref().map_or(0, |shared| shared.children.borrow().len());
        f.debug_struct("JoinSet").field("len", &self.len()).field("alive", &alive).finish()
    }
}
