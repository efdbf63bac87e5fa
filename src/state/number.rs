//! [`TaskNumber`], the word that a waker of this crate carries, and [`Wake`], which slots store
//! instead of a `Waker`. The functions that wake are in `door/waker.rs`. Pure data.

use std::task::Waker;

use super::slots::{Key, Layout, LoopId};

/// A loop and one of its tasks, packed into the word of a waker: see [`Layout::WAKER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskNumber(usize);

impl TaskNumber {
    /// No task has this number: see [`Layout::indexes`].
    pub(crate) const NONE: TaskNumber = TaskNumber(usize::MAX);

    #[inline]
    pub(crate) fn new(task: Key) -> Self {
        TaskNumber(Layout::WAKER.pack(task.home.narrow(), task.slot) as usize)
    }

    pub(crate) const fn from_bits(bits: usize) -> Self {
        TaskNumber(bits)
    }

    pub(crate) const fn bits(self) -> usize {
        self.0
    }

    pub(crate) fn is_some(self) -> bool {
        self != TaskNumber::NONE
    }

    /// Returns whether this is a task of the loop with this id.
    #[inline]
    pub(crate) fn is_of(self, home: LoopId) -> bool {
        self.narrow() == home.narrow()
    }

    /// Returns the narrow id of the loop.
    #[inline]
    pub(crate) fn narrow(self) -> u64 {
        Layout::WAKER.home(self.0 as u64)
    }
}

/// A waker as slots and lists store it.
#[derive(Debug)]
pub(crate) enum Wake {
    /// A task of this crate. Waking it needs no call through a vtable.
    Task(TaskNumber),
    /// A waker of other code, for instance of a combinator that polls its children one by one.
    /// Cloning, waking and dropping it runs that code, so this never happens while the state is
    /// borrowed: see [`Effect`](super::outbox::Effect).
    Foreign(Waker),
}

impl Wake {
    pub(crate) fn task(&self) -> Option<TaskNumber> {
        match self {
            Wake::Task(number) => Some(*number),
            Wake::Foreign(_) => None,
        }
    }
}
