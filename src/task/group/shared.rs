//! What a group shares with its children: their number, the first failure, and the waker of the
//! joiner.
//!
//! A child is an ordinary task that nothing joins. Its body is a [`Child`], whose drop reports the
//! end to the group, however the child ended: so a finished child leaves nothing behind.

use std::task::{Context, Poll};
use std::{any::Any, cell::Cell, fmt, io, mem, panic::Location, pin::Pin, rc::Rc};

use log::Level;
use pin_project_lite::pin_project;

use crate::state::{
    Children, Flags, Id, JoinError, Key, LoopId, Rare, Slot, Stage, TASK, Wake, discard, say,
};
use crate::task::insert::insert;
use crate::task::join::abort;
use crate::{door::Door, fmt::error_message};

/// A task was not spawned, because its [`TaskGroup`](super::TaskGroup) is closed: it was cancelled,
/// joined or dropped, or has failed; or its loop is being dropped. The future was dropped.
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
pub(crate) struct Shared<E> {
    /// The loop of all children.
    pub(super) home: LoopId,
    /// The tasks of the children that have not ended. Never borrowed while user code runs.
    pub(super) children: Children,
    /// Cancelled, joined or dropped. A failure closes the group too: see `is_closed`.
    pub(super) closed: Cell<bool>,
    /// Whether a spawn into the closed group was logged.
    pub(super) refused: Cell<bool>,
    /// How many children have failed.
    pub(super) failed: Cell<usize>,
    /// In an isolated group: logs the error of the child that is being polled. A pointer, so that
    /// only `TaskGroup::isolated` requires `E: Display`.
    pub(super) log_error: Option<fn(&E)>,
    /// In other groups: the first failure, until the joiner takes it.
    pub(super) failure: Cell<Option<Failure<E>>>,
    pub(super) joiner: Cell<Option<Wake>>,
}

pub(super) enum Failure<E> {
    Error(E),
    /// A panic, or another reason for which the loop dropped the child.
    Lost(JoinError),
}

impl<E> Shared<E> {
    #[track_caller]
    pub(super) fn assert_at_home(&self) {
        drop(Door::at_home(self.key(Id::NONE.0), "a `TaskGroup`"));
    }

    fn key(&self, slot: Slot) -> Key {
        Key { home: self.home, slot }
    }

    /// How many children have not ended.
    pub(super) fn len(&self) -> usize {
        self.children.borrow().len()
    }

    /// Closes the group and aborts its children, once. Each abort drops a child, whose drop may call
    /// any method of this group; but it cannot spawn, because the group is closed first.
    pub(super) fn cancel(&self) {
        if self.closed.replace(true) {
            return;
        }
        // Copied, because each abort drops a child, which leaves the list.
        let children: Vec<Slot> = self.children.borrow().iter().map(|(_, slot)| *slot).collect();
        for slot in children {
            abort(self.key(slot));
        }
    }

    /// Whether nothing can be spawned any more.
    fn is_closed(&self) -> bool {
        self.closed.get() || self.has_failed()
    }

    /// Whether the failure of a child ended the others.
    fn has_failed(&self) -> bool {
        self.log_error.is_none() && self.failed.get() > 0
    }

    /// Logs a panic that nothing can take any more. An error is dropped: the user chose not to
    /// join.
    pub(super) fn log_unseen(&self) {
        if let Some(Failure::Lost(error)) = self.failure.take() {
            error.log_unseen();
        }
    }

    pub(super) fn fmt(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let (alive, failed, closed) = (self.len(), self.failed.get(), self.is_closed());
        let mut fields = f.debug_struct(name);
        fields.field("alive", &alive).field("failed", &failed).field("closed", &closed).finish()
    }
}

impl<E> Drop for Shared<E> {
    /// A child that dropped its own group may have failed afterwards.
    fn drop(&mut self) {
        self.log_unseen();
    }
}

/// Logs the error of the task that is being polled, for an isolated group.
pub(super) fn log_error_of_polled<E: fmt::Display>(error: &E) {
    let origin = Door::open().and_then(|door| door.tasks.origin(door.tasks.polled));
    if let Some(origin) = origin {
        origin.log_failure(Level::Error, error);
    }
}

impl<E: 'static> Shared<E> {
    /// As [`try_spawn`](Self::try_spawn), but logs a closed group instead of returning an error.
    #[track_caller]
    pub(crate) fn spawn<F>(
        self: &Rc<Self>,
        future: F,
        name: Option<Box<str>>,
        place: &'static Location<'static>,
    ) where
        F: Future<Output = Result<(), E>> + 'static,
    {
        let spawned = self.try_spawn(future, name, place);
        // On a loop that is being dropped, every spawn fails: that is no mistake of the caller.
        if spawned.is_err() && self.is_closed() && !self.refused.replace(true) {
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
    pub(crate) fn try_spawn<F>(
        self: &Rc<Self>,
        future: F,
        name: Option<Box<str>>,
        place: &'static Location<'static>,
    ) -> Result<(), GroupClosed>
    where
        F: Future<Output = Result<(), E>> + 'static,
    {
        self.assert_at_home();
        if self.is_closed() {
            discard(future);
            return Err(GroupClosed);
        }
        let child = Child { future: Some(future), membership: Membership::new(self) };
        let index = child.membership.index;
        // No handle joins it, so it is removed and its body dropped as soon as it has ended.
        let flags = Flags::QUEUED.or(Flags::DETACHED);
        let rare = name.map(Rare::named);
        let key = insert(Box::pin(child), flags, rare, place).ok_or(GroupClosed)?;
        if self.is_closed() {
            // An observer of the spawn has cancelled the group.
            abort(key);
            return Err(GroupClosed);
        }
        if let Some(child) = self.children.borrow_mut().get_mut(index) {
            *child = key.slot;
        }
        Ok(())
    }
}

pin_project! {
    /// The body of a child's task, whose drop reports its end to the group.
    struct Child<F, E> {
        // `None` once it is over. It is dropped on its own, before the membership, which reports
        // the end: so a panic in its drop is a failure of the child.
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

/// The entry of a child in its group, as long as the child lives.
struct Membership<E> {
    group: Rc<Shared<E>>,
    index: usize,
    /// Whether its failure was counted: a child that returns an error and then panics in its drop
    /// has failed once.
    has_failed: bool,
}

impl<E> Membership<E> {
    fn new(group: &Rc<Shared<E>>) -> Self {
        let index = group.children.borrow_mut().insert(Id::NONE.0);
        Membership { group: Rc::clone(group), index, has_failed: false }
    }

    /// Records the failure of the child. If it ends the group, the other children are cancelled
    /// after this one was dropped.
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
    /// Reports the end of the child, whose future was dropped.
    fn drop(&mut self) {
        let group = &self.group;
        group.children.borrow_mut().remove(self.index);
        if group.has_failed() {
            group.cancel();
        }
        match group.joiner.take() {
            Some(joiner) if group.len() == 0 => joiner.wake(),
            Some(joiner) => {
                // It still waits for the others, and they may wait for it.
                if let Wake::Task(number) = joiner
                    && let Some(mut door) = Door::open()
                {
                    door.suspect_waiter(number);
                }
                group.joiner.set(Some(joiner));
            }
            None => {}
        }
    }
}
