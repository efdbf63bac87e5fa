//! [`TaskGroup`]: tasks that belong together, none of which outlives the group.
//!
//! The group never polls its children; it keeps their numbers to abort them. `shared.rs` has what it
//! shares with them.

mod shared;
mod spawner;

use std::panic::{Location, resume_unwind};
use std::task::{Context, Poll, ready};
use std::{cell::Cell, fmt, pin::Pin, rc::Rc};

pub use self::shared::GroupClosed;
use self::shared::{Failure, Shared, log_error_of_polled};
pub use self::spawner::Spawner;
use super::wait_record::WaitRecord;
use crate::door::{Door, poll_budget, report};
use crate::state::{Children, Step, TaskNumber, Wake, discard};

/// Tasks that belong together: none of them outlives the group. In a group made by
/// [`new`](Self::new), the first failure cancels all other tasks; in one made by
/// [`isolated`](Self::isolated), each task fails alone.
///
/// A child is a task as of [`spawn`](crate::spawn), with a `Result` in place of a
/// [`JoinHandle`](crate::task::JoinHandle). [`join`](Self::join) waits for all children. A child
/// fails when it returns an error, or panics in a poll or in its drop, also in a drop because it
/// was cancelled. The consequence depends on the group:
///
/// - [`TaskGroup::new`] is for the parts of one job that is useless if a part fails. The other
///   children are dropped immediately, the group is closed, and `join` returns the first failure.
/// - [`TaskGroup::isolated`] is for independent tasks, such as the clients of a server. A failure
///   is logged and counted. The other children continue, the group stays open, and `join` returns
///   `Ok`.
///
/// Dropping the group, or the future of `join`, drops the children inside that call (except the one
/// that is being polled: it is dropped after its poll). Outside its running loop, the loop drops
/// them at its next turn.
///
/// The children have no outputs besides errors. To take an output of each, in the order in which
/// they end, use a [`JoinSet`](super::JoinSet).
///
/// A child may spawn others into the group through a [`Spawner`], and may have groups of its own. A
/// finished child leaves nothing behind, whether or not the group is being joined: a server can
/// spawn a task for each client into one group for years.
///
/// ```
/// use headwaiter::task::{TaskGroup, yield_now};
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// headwaiter::block_on(async {
///     let (dishes, served) = (TaskGroup::new(), Rc::new(Cell::new(0)));
///     for dish in ["soup", "fish", "cake"] {
///         let served = Rc::clone(&served);
///         dishes.spawn(async move {
///             if dish == "fish" {
///                 return Err("out of fish");
///             }
///             yield_now().await;
///             served.set(served.get() + 1);
///             Ok(())
///         });
///     }
///     assert_eq!(dishes.join().await, Err("out of fish"));
///     assert_eq!(served.get(), 0); // The others were cancelled.
/// });
/// ```
#[must_use = "dropping a TaskGroup cancels its tasks: `join` it"]
pub struct TaskGroup<E> {
    pub(super) shared: Rc<Shared<E>>,
}

impl<E> TaskGroup<E> {
    /// Makes an empty group for tasks of the current loop. The first failure of a child cancels all
    /// others.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn new() -> Self {
        TaskGroup::with("`TaskGroup::new`", None)
    }

    /// Makes an empty group for tasks of the current loop that fail alone, such as the clients of a
    /// server.
    ///
    /// Each failure of a child, an `Err` or a panic, is logged at `error` with the task's name and
    /// the place where it was spawned, and counted in [`failed`](Self::failed). The other children
    /// continue, and more can be spawned. Only [`cancel`](Self::cancel), the drop of the group, and
    /// the end of [`join`](Self::join) close the group. `join` always returns `Ok`.
    ///
    /// ```
    /// use headwaiter::task::{TaskGroup, yield_now};
    ///
    /// headwaiter::block_on(async {
    ///     let guests = TaskGroup::isolated();
    ///     guests.spawn(async { Err("no table is free") });
    ///     guests.spawn(async { panic!("the soup is hot") });
    ///     yield_now().await;
    ///     assert_eq!((guests.len(), guests.failed()), (0, 2));
    ///     guests.spawn(async { Ok(()) }); // The next guest is served.
    ///     assert_eq!(guests.join().await, Ok(()));
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn isolated() -> Self
    where
        E: fmt::Display,
    {
        TaskGroup::with("`TaskGroup::isolated`", Some(log_error_of_polled))
    }

    #[track_caller]
    fn with(what: &str, log_error: Option<fn(&E)>) -> Self {
        let home = Door::expect(what).id;
        let shared = Shared {
            home,
            children: Children::default(),
            closed: Cell::new(false),
            refused: Cell::new(false),
            failed: Cell::new(0),
            log_error,
            failure: Cell::new(None),
            joiner: Cell::new(None),
        };
        TaskGroup { shared: Rc::new(shared) }
    }

    /// Spawns a task into the group: a child. It is polled for the first time in the next batch,
    /// not inside this call.
    ///
    /// If the group is closed (it was cancelled, or has failed), or the loop is being dropped, the
    /// future is dropped immediately. The first time that a closed group drops one, that is logged
    /// at `warn`. A caller that must stop then, such as an accept loop, uses
    /// [`try_spawn`](Self::try_spawn). To name the task, use
    /// [`Builder::spawn_in`](crate::task::Builder::spawn_in).
    ///
    /// # Panics
    ///
    /// Outside the loop in which the group was made; and as [`spawn`](crate::spawn), if the loop
    /// has too many tasks.
    #[track_caller]
    pub fn spawn<F>(&self, future: F)
    where
        E: 'static,
        F: Future<Output = Result<(), E>> + 'static,
    {
        self.shared.spawn(future, None, Location::caller());
    }

    /// As [`spawn`](Self::spawn), but returns an error if the task was not spawned.
    ///
    /// ```
    /// use headwaiter::net::TcpListener;
    /// use headwaiter::task::{GroupClosed, TaskGroup};
    /// use std::io;
    ///
    /// /// Ends when the group does.
    /// async fn accept(listener: TcpListener, clients: &TaskGroup<io::Error>) -> Result<(), GroupClosed> {
    ///     loop {
    ///         let Ok((mut stream, _)) = listener.accept().await else { continue };
    ///         clients.try_spawn(async move { stream.write_all(b"hello").await })?;
    ///     }
    /// }
    ///
    /// headwaiter::block_on(async {
    ///     let clients = TaskGroup::isolated();
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let _client = std::net::TcpStream::connect(listener.local_addr()?)?;
    ///     clients.cancel();
    ///     assert_eq!(accept(listener, &clients).await, Err(GroupClosed));
    ///     Ok::<(), io::Error>(())
    /// })?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`GroupClosed`], if the group was cancelled or has failed, or its loop is being dropped. The
    /// future was dropped.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn try_spawn<F>(&self, future: F) -> Result<(), GroupClosed>
    where
        E: 'static,
        F: Future<Output = Result<(), E>> + 'static,
    {
        self.shared.try_spawn(future, None, Location::caller())
    }

    /// Returns a handle that spawns into this group, for children that spawn their siblings.
    pub fn spawner(&self) -> Spawner<E> {
        Spawner { shared: Rc::clone(&self.shared) }
    }

    /// Returns how many children have not ended.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no child is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many children have failed: returned an error or panicked. In a group made by
    /// [`new`](Self::new) the first failure cancels the others, so a second one can only come from
    /// a child that was being polled or whose drop panicked.
    pub fn failed(&self) -> usize {
        self.shared.failed.get()
    }

    /// Closes the group and drops all children inside this call, except the one that is being
    /// polled (as [`JoinHandle::abort`](crate::task::JoinHandle::abort) does). Cancelling a second
    /// time is a no-op.
    ///
    /// That is no failure: [`join`](Self::join) then returns `Ok`, unless a child had failed
    /// before, fails in the poll that is running, or panics in its drop.
    ///
    /// ```
    /// use headwaiter::task::TaskGroup;
    /// use headwaiter::time::sleep;
    /// use std::time::Duration;
    ///
    /// headwaiter::block_on(async {
    ///     let guests = TaskGroup::<std::io::Error>::new();
    ///     guests.spawn(async {
    ///         sleep(Duration::MAX).await;
    ///         Ok(())
    ///     });
    ///     guests.cancel();
    ///     assert!(guests.is_empty());
    ///     guests.join().await.unwrap();
    /// });
    /// ```
    pub fn cancel(&self) {
        self.shared.cancel();
    }

    /// Waits until all children have ended, also those that are spawned meanwhile through a
    /// [`Spawner`]. Then the group is closed.
    ///
    /// Dropping the future drops the group, and with it all children inside that call. So
    /// `timeout(grace, group.join())` waits for that time, and then ends the children that are
    /// left. To stop waiting without that, await `&mut` of the future.
    ///
    /// # Errors
    ///
    /// The error of the first child that returned one. The others were dropped then. In an
    /// [isolated](Self::isolated) group, there are none.
    ///
    /// # Panics
    ///
    /// If a child panicked, its panic is resumed here when all have ended, unless the group is
    /// [isolated](Self::isolated). Only the first failure of a group is returned or resumed; a
    /// later panic, in the drop of a child, is logged. Polling it in another loop than the group's
    /// panics too, and so does polling it again after it was ready.
    #[track_caller]
    pub fn join(self) -> JoinGroup<E> {
        JoinGroup {
            group: self,
            joined: false,
            place: Location::caller(),
            record: WaitRecord::NONE,
        }
    }
}

impl<E> Default for TaskGroup<E> {
    /// As [`TaskGroup::new`], with the same panics.
    #[track_caller]
    fn default() -> Self {
        TaskGroup::new()
    }
}

impl<E> Drop for TaskGroup<E> {
    fn drop(&mut self) {
        self.shared.cancel();
        self.shared.log_unseen();
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f, "TaskGroup")
    }
}

/// What a joiner waits for.
const END: &str = "the end of a group";

/// The future of [`TaskGroup::join`]. Dropping it cancels the group.
#[must_use = "futures do nothing unless awaited, and dropping this one cancels the group"]
pub struct JoinGroup<E> {
    group: TaskGroup<E>,
    joined: bool,
    place: &'static Location<'static>,
    record: WaitRecord,
}

impl<E> JoinGroup<E> {
    /// Returns how many children have not ended.
    pub fn len(&self) -> usize {
        self.group.len()
    }

    /// Whether no child is left.
    pub fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// Returns how many children have failed, as [`TaskGroup::failed`].
    pub fn failed(&self) -> usize {
        self.group.failed()
    }
}

impl<E> Future for JoinGroup<E> {
    type Output = Result<(), E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.joined, "headwaiter: a `JoinGroup` was polled again after it was ready");
        let this = &mut *self;
        let shared = &this.group.shared;
        shared.assert_at_home();
        if shared.len() > 0 {
            match TaskNumber::of(cx.waker()) {
                Some(task) => this.record.wait_for_tasks(task, &shared.children, END, this.place),
                None => this.record.end(),
            }
            discard(shared.joiner.replace(Some(Wake::of(cx.waker()))));
            let place = this.place;
            report(|| Step::AwaitSync { what: END, place });
            return Poll::Pending;
        }
        // Only a join that completes spends budget. One that waits registers its waker in any case.
        ready!(poll_budget(cx));
        shared.closed.set(true);
        let failure = shared.failure.take();
        this.record.end();
        this.joined = true;
        match failure {
            None => Poll::Ready(Ok(())),
            Some(Failure::Error(error)) => Poll::Ready(Err(error)),
            Some(Failure::Lost(error)) if error.is_panic() => resume_unwind(error.into_panic()),
            Some(Failure::Lost(error)) => {
                panic!("headwaiter: a child of a `TaskGroup` was lost: {error}")
            }
        }
    }
}

impl<E> Drop for JoinGroup<E> {
    fn drop(&mut self) {
        // The children that are dropped now must not wake a joiner that is gone.
        discard(self.group.shared.joiner.take());
    }
}

impl<E> fmt::Debug for JoinGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinGroup({} alive, joined at {})", self.len(), self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on;
    use crate::task::yield_now;

    /// How many tasks there are, and for how many children the group has room.
    fn sizes(group: &TaskGroup<()>) -> (usize, usize) {
        let tasks = Door::expect("a test").tasks.count();
        (tasks, group.shared.children.borrow().capacity())
    }

    #[test]
    fn a_hundred_thousand_children_that_have_ended_leave_nothing_behind() {
        block_on(async {
            let group = TaskGroup::new();
            // Ten at a time, as in a server whose ten clients come and go. The group is not joined yet.
            for _ in 0..10_000 {
                for _ in 0..10 {
                    group.spawn(async {
                        yield_now().await;
                        Ok(())
                    });
                }
                for _ in 0..2 {
                    yield_now().await;
                }
                let (tasks, room) = sizes(&group);
                assert!(
                    tasks == 1 && group.is_empty() && room <= 16,
                    "{tasks} tasks, room for {room}"
                );
            }
            assert_eq!(Rc::strong_count(&group.shared), 1);
            assert_eq!(group.join().await, Ok(()));
        });
    }
}
