//! What a set shares with its children: which have not ended, the outputs of the others, and the
//! waker of the joiner.
//!
//! A child is an ordinary task that nothing joins. Its body is a [`Child`], whose drop moves the
//! output into the set, however the child ended: so each child costs the set constant time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::{any::Any, panic::Location, pin::Pin, rc::Rc};

use pin_project_lite::pin_project;

use crate::state::{
    Children, Flags, Id, JoinError, Key, LoopId, Rare, Slot, Stage, Wake, contain, discard,
};
use crate::task::insert::insert;
use crate::task::join::abort;
use crate::task::run::Spawned;

/// What a set and its children share. User code, such as the drop of an output, runs while none of
/// it is borrowed.
pub(super) struct Shared<T> {
    /// The loop of all children.
    pub(super) home: LoopId,
    /// The tasks of the children that have not ended.
    pub(super) children: Children,
    /// The children that have ended, in that order.
    finished: RefCell<VecDeque<Finished<T>>>,
    /// The set was dropped or has detached its children: nothing takes an output any more.
    forgotten: Cell<bool>,
    pub(super) joiner: Cell<Option<Wake>>,
}

/// A child that has ended.
pub(super) struct Finished<T> {
    id: Id,
    pub(super) result: Result<T, JoinError>,
}

impl<T> Finished<T> {
    pub(super) fn with_id(self) -> Result<(Id, T), JoinError> {
        self.result.map(|output| (self.id, output))
    }
}

impl<T> Shared<T> {
    pub(super) fn new(home: LoopId) -> Rc<Self> {
        Rc::new(Shared {
            home,
            children: Children::default(),
            finished: RefCell::default(),
            forgotten: Cell::new(false),
            joiner: Cell::new(None),
        })
    }

    /// A key of the loop of all children, to open its door.
    pub(super) fn key(&self) -> Key {
        Key { home: self.home, slot: Id::NONE.0 }
    }

    /// How many children the set has, with those that have ended.
    pub(super) fn len(&self) -> usize {
        self.children.borrow().len() + self.finished.borrow().len()
    }

    pub(super) fn has_finished(&self) -> bool {
        !self.finished.borrow().is_empty()
    }

    /// Takes the child that ended first.
    pub(super) fn take_finished(&self) -> Option<Finished<T>> {
        self.finished.borrow_mut().pop_front()
    }

    pub(super) fn abort_all(&self) {
        // Copied, because each abort drops a child, which leaves the list.
        let children: Vec<Slot> = self.children.borrow().iter().map(|(_, slot)| *slot).collect();
        for slot in children {
            abort(Key { home: self.home, slot });
        }
    }

    /// Detaches all children: drops the outputs that nothing took, and those that are to come.
    pub(super) fn forget(&self) {
        self.forgotten.set(true);
        discard(self.joiner.take());
        for finished in self.finished.take() {
            match finished.result {
                Ok(output) => discard(output),
                Err(error) => error.log_unseen(),
            }
        }
    }

    /// Notes that a child has ended, and wakes the joiner.
    fn end(&self, index: usize, result: Option<Result<T, JoinError>>) {
        let id = Id(self.children.borrow_mut().remove(index));
        if self.forgotten.get() {
            return discard(result);
        }
        // Without a result the loop is being dropped, and the child with it.
        let result = result.unwrap_or_else(|| Err(JoinError::cancelled(None)));
        self.finished.borrow_mut().push_back(Finished { id, result });
        if let Some(joiner) = self.joiner.take() {
            joiner.wake();
        }
    }
}

impl<T: 'static> Shared<T> {
    /// Spawns a child. Returns `None` if the loop is being dropped; the child has then ended.
    #[track_caller]
    pub(super) fn spawn<F>(
        self: &Rc<Self>,
        future: F,
        name: Option<Box<str>>,
        place: &'static Location<'static>,
    ) -> Option<Key>
    where
        F: Future<Output = T> + 'static,
    {
        let index = self.children.borrow_mut().insert(Id::NONE.0);
        let stage = Spawned::Running { future };
        let child = Child { stage, index, set: Rc::clone(self) };
        // No handle joins it, so it is removed and its body dropped as soon as it has ended.
        let flags = Flags::QUEUED.or(Flags::DETACHED);
        let key = insert(Box::pin(child), flags, name.map(Rare::named), place)?;
        if let Some(child) = self.children.borrow_mut().get_mut(index) {
            *child = key.slot;
        }
        Some(key)
    }
}

pin_project! {
    /// The body of a child's task, whose drop moves the output into the set.
    struct Child<F: Future> {
        #[pin]
        stage: Spawned<F>,
        index: usize,
        set: Rc<Shared<F::Output>>,
    }

    impl<F: Future> PinnedDrop for Child<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Only where the loop is being dropped is there a future to drop.
            let result = contain("the drop of a task's future", || this.stage.end()).flatten();
            this.set.end(*this.index, result);
        }
    }
}

impl<F> Stage for Child<F>
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().stage.poll(cx)
    }

    fn fail(self: Pin<&mut Self>, error: JoinError) {
        self.project().stage.fail(error);
    }

    fn take(self: Pin<Box<Self>>, _: &mut dyn Any) {}

    /// The error, if nothing takes it: then it is logged.
    fn error(&self) -> Option<&JoinError> {
        if self.set.forgotten.get() { self.stage.error() } else { None }
    }
}
