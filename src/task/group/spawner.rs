//! [`Spawner`]: spawns into a group from elsewhere, such as from its children.

use std::{fmt, panic::Location, rc::Rc};

use super::shared::{GroupClosed, Shared};

/// Spawns into a [`TaskGroup`](super::TaskGroup). Made by
/// [`TaskGroup::spawner`](super::TaskGroup::spawner).
///
/// It does not keep the group open, and the group's `join` does not wait for it: what it spawns
/// into a closed group is dropped immediately.
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
    pub(super) shared: Rc<Shared<E>>,
}

impl<E> Spawner<E> {
    /// As [`TaskGroup::spawn`](super::TaskGroup::spawn), with the same panics.
    #[track_caller]
    pub fn spawn<F>(&self, future: F)
    where
        E: 'static,
        F: Future<Output = Result<(), E>> + 'static,
    {
        self.shared.spawn(future, None, Location::caller());
    }

    /// As [`TaskGroup::try_spawn`](super::TaskGroup::try_spawn), with the same panics.
    ///
    /// # Errors
    ///
    /// As [`TaskGroup::try_spawn`](super::TaskGroup::try_spawn).
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
