//! [`id`] and [`try_id`]: which task is being polled. Users call them, for instance in a logger. They
//! only read the state.

use crate::door::Door;
use crate::state::Id;

/// Returns the id of the task that is being polled on this thread.
///
/// The main future of a `block_on` has an id too. While a task is polled, all code that it calls
/// sees the task's id, also the drop of another task that it aborts.
///
/// ```
/// use headwaiter::task;
///
/// headwaiter::block_on(async {
///     let own = task::id();
///     let child = headwaiter::spawn(async { task::id() });
///     let expected = child.id();
///     assert_eq!(child.await.unwrap(), expected);
///     assert_ne!(own, expected);
/// });
/// ```
///
/// # Panics
///
/// Where no task is being polled: outside any event loop, in a callback of
/// [`on_ready`](crate::on_ready()), in a job of [`spawn_blocking`](crate::spawn_blocking). There
/// [`try_id`] returns `None`.
#[track_caller]
pub fn id() -> Id {
    // For the message that says that no loop runs here.
    drop(Door::expect("`task::id`"));
    match try_id() {
        Some(id) => id,
        None => panic!(
            "headwaiter: `task::id` was called while no task is being polled, for instance in a callback: use `task::try_id`"
        ),
    }
}

/// As [`id`], but returns `None` where no task is being polled.
///
/// ```
/// use headwaiter::task;
///
/// assert_eq!(task::try_id(), None);
/// headwaiter::block_on(async { assert_eq!(task::try_id(), Some(task::id())) });
/// ```
pub fn try_id() -> Option<Id> {
    let door = Door::open()?;
    door.polled().map(|_| Id(door.tasks.polled))
}
