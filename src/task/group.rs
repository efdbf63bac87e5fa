//! [`TaskGroup`]: tasks that belong together, none of which outlives the group. Used by those who spawn them.
//! A child is an ordinary task that nobody joins. Its body is a [`Child`], and when that is dropped, however it came
//! to its end, it tells the group: so a child that has ended leaves nothing behind, and nothing is looked for. The
//! group itself never polls anybody; it counts its children, and keeps their numbers to abort them.

use std::panic::{Location, resume_unwind};
use std::task::{Context, Poll, ready};
use std::{any::Any, cell::Cell, fmt, io, mem, pin::Pin, rc::Rc};

use log::Level;
use pin_project_lite::pin_project;

use super::{insert::insert, join::abort, wait_record::WaitRecord};
use crate::door::{Door, poll_budget, report};
use crate::fmt::error_message;
use crate::state::{
    Children, Flags, JoinError, Key, LoopId, Slot, Stage, Step, TASK, TaskNumber, Wake, discard,
    say,
};

/// Tasks that belong together: none of them outlives the group. In a group made by [`new`](Self::new) the first failure ends
/// them all; in one made by [`isolated`](Self::isolated) each fails alone.
///
/// A child is a task as of [`spawn`](crate::spawn), with a `Result` in place of a [`JoinHandle`](super::JoinHandle).
/// [`join`](Self::join) waits for all of them. A child fails when it returns an error, or panics: in a poll or when it is dropped,
/// also if that is because it was cancelled. What happens then depends on the group:
///
/// - [`TaskGroup::new`] is for parts of one piece of work, which is worth nothing if a part fails. The others are dropped at once, the
///   group is closed, and `join` hands on the first failure.
/// - [`TaskGroup::isolated`] is for a server and its clients, which have nothing to do with each other. A failure is logged and
///   counted. The others run on, the group stays open, and `join` returns `Ok`.
///
/// Dropping the group, or the future of `join`, drops the
/// children inside that call (but for one that is running right now: it is dropped when its poll is over). Outside its
/// running loop, the loop drops them at its next turn.
///
/// A child may spawn others into the group through a [`Spawner`], and may have groups of its own. A child that has ended
/// leaves nothing behind, whether or not the group is being joined: a server can spawn a task for each client into one
/// group for years.
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

/// A task was not spawned, because its [`TaskGroup`] takes no more in: it was cancelled, joined or dropped, or has failed; or its loop
/// is being dropped. The future was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupClosed;

error_message!(impl[] for GroupClosed, "the task group is closed: it was cancelled, joined or dropped, or has failed");

impl From<GroupClosed> for io::Error {
    /// Of the kind `Other`.
    fn from(closed: GroupClosed) -> Self {
        io::Error::other(closed)
    }
}

/// What a group and its children share.
pub(super) struct Shared<E> {
    /// The loop in which all children are.
    home: LoopId,
    /// The children's tasks, by which they are aborted. Emptied when the group is closed. Only borrowed where nothing of a
    /// user's runs.
    children: Children,
    /// How many children have not ended. After an abort it is more than there are in `children`, until all are dropped.
    alive: Cell<usize>,
    /// Cancelled, failed, joined or dropped: no task is let in any more.
    closed: Cell<bool>,
    /// A task was dropped for that, and it was logged.
    refused: Cell<bool>,
    /// How many children have failed.
    failed: Cell<usize>,
    /// In a group whose children fail alone: logs the error of the child that is being polled. A pointer, so that only
    /// [`TaskGroup::isolated`] asks for `E: Display`.
    log_error: Option<fn(&E)>,
    /// In the other groups: the first failure, until the joiner takes it.
    failure: Cell<Option<Failure<E>>>,
    joiner: Cell<Option<Wake>>,
}

enum Failure<E> {
    Error(E),
    /// A panic, or whatever else made the loop drop the child.
    Lost(JoinError),
}

/// No task has this slot.
const NO_TASK: Slot = Slot::new(u32::MAX, 0);

impl<E> TaskGroup<E> {
    /// An empty group, for tasks of the loop that runs here. The first child that fails ends all others.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn new() -> Self {
        TaskGroup::with("`TaskGroup::new`", None)
    }

    /// An empty group, for tasks of the loop that runs here, each of which fails alone: for the clients of a server.
    ///
    /// Each failure of a child, an `Err` or a panic, is logged at `error` with the task's name and the place where it was
    /// spawned, and counted in [`failed`](Self::failed). The other children run on, and new ones may come: only
    /// [`cancel`](Self::cancel), the drop of the group, and the end of [`join`](Self::join), which returns `Ok` whatever failed,
    /// close the group.
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
            alive: Cell::new(0),
            closed: Cell::new(false),
            refused: Cell::new(false),
            failed: Cell::new(0),
            log_error,
            failure: Cell::new(None),
            joiner: Cell::new(None),
        };
        TaskGroup { shared: Rc::new(shared) }
    }

    /// Spawns a task into the group: a child. It is polled for the first time in the next batch, not inside this call.
    ///
    /// In a group that is closed (it was cancelled, or has failed), and on a loop that is being dropped, the future is dropped at
    /// once. The first time that a closed group drops one, that is logged at `warn`. A caller that goes on for ever, such as an
    /// accept loop, has to know: it uses [`try_spawn`](Self::try_spawn). To name the task, use
    /// [`Builder::spawn_in`](super::Builder::spawn_in).
    ///
    /// # Panics
    ///
    /// Outside the loop in which the group was made; and as [`spawn`](crate::spawn), if the loop has too many tasks.
    #[track_caller]
    pub fn spawn<F>(&self, future: F)
    where
        E: 'static,
        F: Future<Output = Result<(), E>> + 'static,
    {
        self.shared.spawn(future, None, Location::caller());
    }

    /// As [`spawn`](Self::spawn), but tells the caller if the task was not spawned.
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
    /// [`GroupClosed`], if the group was cancelled or has failed, or its loop is being dropped. The future was dropped.
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

    /// What spawns into this group from elsewhere: for children that spawn their siblings.
    pub fn spawner(&self) -> Spawner<E> {
        Spawner { shared: Rc::clone(&self.shared) }
    }

    /// How many children have not ended.
    pub fn len(&self) -> usize {
        self.shared.alive.get()
    }

    /// Whether all children have ended, or there was none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many children have failed: returned an error or panicked. In a group made by [`new`](Self::new) the first failure
    /// cancels the others, so that a second one can only come from a child that was running or whose drop panicked.
    pub fn failed(&self) -> usize {
        self.shared.failed.get()
    }

    /// Drops all children, inside this call but for one that is running right now (as
    /// [`JoinHandle::abort`](super::JoinHandle::abort) does), and lets no more in. Cancelling a second time does nothing.
    ///
    /// That is no failure: [`join`](Self::join) then returns `Ok`, unless a child had failed before, fails in the poll
    /// in which it is running, or panics in its drop.
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

    /// Waits until all children have ended, also those that are spawned meanwhile through a [`Spawner`]. After that the group
    /// lets no more in.
    ///
    /// Dropping the future is dropping the group: all children are dropped inside that call.
    /// So `timeout(grace, group.join())` gives them so much time, and then ends those that are left. To stop waiting
    /// without that, await `&mut` of the future.
    ///
    /// # Errors
    ///
    /// The error of the first child that returned one. The others were dropped then. None in an
    /// [isolated](Self::isolated) group.
    ///
    /// # Panics
    ///
    /// If a child panicked, its panic goes on here, also after all have ended, unless the group is
    /// [isolated](Self::isolated). The first failure of a group is the one
    /// that is handed on; a panic that comes after it, in the drop of a child, is logged. Polling it in another loop than
    /// the group's panics too, and so does polling it again after it was ready.
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

/// Spawns into a [`TaskGroup`]; made by [`TaskGroup::spawner`]. It does not keep the group alive, nor does the group's
/// `join` wait for it: once the group is over, what it spawns is dropped at once.
///
/// ```
/// use headwaiter::task::{Spawner, TaskGroup};
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// /// Visits a tree with two branches at each fork, each node in a task of its own.
/// async fn visit(depth: u32, siblings: Spawner<()>, leaves: Rc<Cell<u32>>) -> Result<(), ()> {
///     if depth == 0 {
///         leaves.set(leaves.get() + 1);
///         return Ok(());
///     }
///     for _ in 0..2 {
///         siblings.spawn(visit(depth - 1, siblings.clone(), Rc::clone(&leaves)));
///     }
///     Ok(())
/// }
///
/// headwaiter::block_on(async {
///     let (group, leaves) = (TaskGroup::new(), Rc::new(Cell::new(0)));
///     group.spawn(visit(5, group.spawner(), Rc::clone(&leaves)));
///     group.join().await.unwrap();
///     assert_eq!(leaves.get(), 32);
/// });
/// ```
pub struct Spawner<E> {
    shared: Rc<Shared<E>>,
}

impl<E> Spawner<E> {
    /// As [`TaskGroup::spawn`], with the same panics.
    #[track_caller]
    pub fn spawn<F>(&self, future: F)
    where
        E: 'static,
        F: Future<Output = Result<(), E>> + 'static,
    {
        self.shared.spawn(future, None, Location::caller());
    }

    /// As [`TaskGroup::try_spawn`], with the same errors and panics.
    #[track_caller]
    pub fn try_spawn<F>(&self, future: F) -> Result<(), GroupClosed>
    where
        E: 'static,
        F: Future<Output = Result<(), E>> + 'static,
    {
        self.shared.try_spawn(future, None, Location::caller())
    }
}

impl<E> Clone for Spawner<E> {
    fn clone(&self) -> Self {
        Spawner { shared: Rc::clone(&self.shared) }
    }
}

impl<E> fmt::Debug for Spawner<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f, "Spawner")
    }
}

/// The future of [`TaskGroup::join`]. Dropping it cancels the group.
#[must_use = "futures do nothing unless awaited, and dropping this one cancels the group"]
pub struct JoinGroup<E> {
    group: TaskGroup<E>,
    joined: bool,
    place: &'static Location<'static>,
    record: WaitRecord,
}

impl<E> JoinGroup<E> {
    /// How many children have not ended.
    pub fn len(&self) -> usize {
        self.group.len()
    }

    /// Whether all children have ended, or there was none.
    pub fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// How many children have failed, as [`TaskGroup::failed`].
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
        if shared.alive.get() > 0 {
            if let Some(task) = TaskNumber::of(cx.waker()) {
                this.record.wait_for_all(task, &shared.children, this.place);
            }
            discard(shared.joiner.replace(Some(Wake::of(cx.waker()))));
            let place = this.place;
            report(|| Step::AwaitSync { what: "the end of a group", place });
            return Poll::Pending;
        }
        // Only an end that has come costs budget. A join that must wait leaves its waker in any case.
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
        // Nobody is told of what is dropped now.
        discard(self.group.shared.joiner.take());
    }
}

impl<E> fmt::Debug for JoinGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinGroup({} alive, joined at {})", self.len(), self.place)
    }
}

impl<E> Shared<E> {
    #[track_caller]
    fn assert_at_home(&self) {
        drop(Door::at_home(self.key(NO_TASK), "a `TaskGroup`"));
    }

    fn key(&self, slot: Slot) -> Key {
        Key { home: self.home, slot }
    }

    /// Each abort runs the drops of a child, which may do anything to this group. Whatever they do, nobody is let in.
    fn cancel(&self) {
        self.closed.set(true);
        let children = mem::take(&mut *self.children.borrow_mut());
        for (_, slot) in children {
            abort(self.key(slot));
        }
    }

    /// Whether a failure of one child ended the others.
    fn has_failed(&self) -> bool {
        self.log_error.is_none() && self.failed.get() > 0
    }

    /// Nobody can take the failure any more. An error was the user's to take; a panic must be seen.
    fn log_unseen(&self) {
        if let Some(Failure::Lost(error)) = self.failure.take() {
            error.log_unseen();
        }
    }

    fn fmt(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let (alive, failed, closed) = (self.alive.get(), self.failed.get(), self.closed.get());
        let mut fields = f.debug_struct(name);
        fields.field("alive", &alive).field("failed", &failed).field("closed", &closed).finish()
    }
}

impl<E> Drop for Shared<E> {
    /// A child that dropped its own group may have failed after that.
    fn drop(&mut self) {
        self.log_unseen();
    }
}

/// Logs the error of the task that is being polled, as that of a child that fails alone.
fn log_error_of_polled<E: fmt::Display>(error: &E) {
    let origin = Door::open().and_then(|door| door.tasks.origin(door.tasks.polled));
    if let Some(origin) = origin {
        origin.log_failure(Level::Error, error);
    }
}

impl<E: 'static> Shared<E> {
    /// As [`try_spawn`](Self::try_spawn), for a caller that is not told if the group is closed. So the log is.
    #[track_caller]
    pub(super) fn spawn<F>(
        self: &Rc<Self>,
        future: F,
        name: Option<Box<str>>,
        place: &'static Location<'static>,
    ) where
        F: Future<Output = Result<(), E>> + 'static,
    {
        let spawned = self.try_spawn(future, name, place);
        // On a loop that is being dropped, no group can take anything in: that is no mistake in the use of this one.
        if spawned.is_err() && self.closed.get() && !self.refused.replace(true) {
            let why = if self.has_failed() {
                "a child has failed, which ended it (`TaskGroup::isolated` lets each fail alone)"
            } else {
                "it was cancelled, joined or dropped"
            };
            say(
                Level::Warn,
                TASK,
                format_args!(
                    "a task was spawned into a closed `TaskGroup` at {place}, and dropped at once: {why}. This is logged once for each group; `try_spawn` tells the caller"
                ),
            );
        }
    }

    #[track_caller]
    pub(super) fn try_spawn<F>(
        self: &Rc<Self>,
        future: F,
        name: Option<Box<str>>,
        place: &'static Location<'static>,
    ) -> Result<(), GroupClosed>
    where
        F: Future<Output = Result<(), E>> + 'static,
    {
        self.assert_at_home();
        if self.closed.get() {
            discard(future);
            return Err(GroupClosed);
        }
        let child = Child { future: Some(future), membership: Membership::new(self) };
        let index = child.membership.index;
        // No handle joins it. So it is removed, and its body dropped, as soon as it has ended.
        let flags = Flags::QUEUED.and(Flags::DETACHED);
        let key = insert(Box::pin(child), flags, name, place).ok_or(GroupClosed)?;
        if let Some(child) = self.children.borrow_mut().get_mut(index) {
            *child = key.slot;
            return Ok(());
        }
        // A logger that was told of the task has cancelled the group.
        abort(key);
        Err(GroupClosed)
    }
}

pin_project! {
    /// A child, as a task without its type.
    pub(super) struct Child<F, E> {
        // `None` once it is over: dropped before the membership, which reports its end. By itself, and not with the rest, so
        // that a panic in its drop is a failure of the child.
        #[pin]
        future: Option<F>,
        membership: Membership<E>,
    }
}

impl<F, E> Stage for Child<F, E>
where
    F: Future<Output = Result<(), E>> + 'static,
    E: 'static,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let Poll::Ready(result) = future.poll(cx) else { return Poll::Pending };
        if let Err(error) = result {
            this.membership.fail(Failure::Error(error));
        }
        this.future.set(None);
        Poll::Ready(())
    }

    fn fail(self: Pin<&mut Self>, error: JoinError) {
        let mut this = self.project();
        if !error.is_cancelled() {
            this.membership.fail(Failure::Lost(error));
        }
        this.future.set(None);
    }

    fn take(self: Pin<Box<Self>>, _: &mut dyn Any) {}

    fn error(&self) -> Option<&JoinError> {
        None
    }
}

/// Holds a child's place in its group as long as the child lives.
struct Membership<E> {
    group: Rc<Shared<E>>,
    index: usize,
    /// Counted: a child that returns an error and panics in its drop has failed once.
    has_failed: bool,
}

impl<E> Membership<E> {
    fn new(group: &Rc<Shared<E>>) -> Self {
        group.alive.set(group.alive.get() + 1);
        let index = group.children.borrow_mut().insert(NO_TASK);
        Membership { group: Rc::clone(group), index, has_failed: false }
    }

    /// Its child has failed. In a group that ends with that, the others are cancelled when this one has been dropped.
    fn fail(&mut self, failure: Failure<E>) {
        let group = &self.group;
        let is_first = group.failed.get() == 0;
        if !mem::replace(&mut self.has_failed, true) {
            group.failed.set(group.failed.get() + 1);
        }
        match (group.log_error, failure) {
            (Some(log_error), Failure::Error(error)) => {
                log_error(&error);
                discard(error);
            }
            (Some(_), Failure::Lost(error)) => error.log(),
            (None, failure) => {
                group.closed.set(true);
                if is_first {
                    group.failure.set(Some(failure));
                } else if let Failure::Lost(error) = failure {
                    error.log_unseen();
                }
            }
        }
    }
}

impl<E> Drop for Membership<E> {
    /// The child has ended, and its future is gone.
    fn drop(&mut self) {
        let group = &self.group;
        // It is not there any more if the group was cancelled. Then nobody else can have got its index.
        let _ = group.children.borrow_mut().try_remove(self.index);
        group.alive.set(group.alive.get() - 1);
        if group.has_failed() {
            group.cancel();
        }
        match group.joiner.take() {
            Some(joiner) if group.alive.get() == 0 => joiner.wake(),
            Some(joiner) => {
                // It waits on for the others, and they may wait for it.
                if let Wake::Task(number) = joiner
                    && let Some(mut door) = Door::open()
                {
                    door.suspect_joiner(number);
                }
                group.joiner.set(Some(joiner));
            }
            None => {}
        }
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
            // Ten at a time, as a server with ten clients that come and go. Nobody joins meanwhile.
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
