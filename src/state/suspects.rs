//! The tasks that may be stuck. A poll that ends in a suspicious way only notes its task here; the
//! [analysis](crate::observe) checks the noted tasks before the kernel is asked. Pure data.

use super::slots::Slot;
use super::task::Flags;
use super::tasks::Tasks;

/// What a loop does about tasks that can never continue: see
/// [`Builder::deadlock`](crate::Builder::deadlock).
///
/// There are three kinds:
///
/// - a *deadlock*: tasks wait for each other in a cycle, for locks or for each other's end;
/// - *quiescence*: a `block_on` would sleep for ever, because nothing that its loop knows of can
///   wake it;
/// - a *lost waker*: a future has returned `Pending`, and no waker of its task was stored anywhere.
///   While the task's [`JoinHandle`](crate::task::JoinHandle) exists and nothing awaits it, this is
///   logged at `info` only: the task may be meant to be aborted.
///
/// The loop checks for them before it sleeps; if it is never idle, every 64th time that it asks the
/// kernel. It reports none of them twice (quiescence: not twice in the same `block_on`).
///
/// False reports are rare. A quiescence is reported although something would wake the loop if that is
/// only [`JoinHandle::abort`](crate::task::JoinHandle::abort) on another thread, because the loop
/// cannot see where a `JoinHandle` is. If that thread also has a [`Handle`](crate::Handle) of the
/// loop, quiescence is not reported while the handle exists. A deadlock is reported although its
/// tasks could continue if a future that has locked a mutex was then moved into another task, or if
/// an `abort` was going to end the cycle.
///
/// ```
/// use headwaiter::sync::Mutex;
/// use headwaiter::task::yield_now;
/// use headwaiter::{Deadlock, EventLoop};
/// use std::rc::Rc;
///
/// async fn transfer(from: Rc<Mutex<i32>>, to: Rc<Mutex<i32>>) {
///     let mut from = from.lock().await;
///     yield_now().await;
///     *to.lock().await += 10;
///     *from -= 10;
/// }
///
/// let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build()?;
/// event_loop.block_on(async {
///     let (anna, ben) = (Rc::new(Mutex::named("Anna", 100)), Rc::new(Mutex::named("Ben", 100)));
///     let one = headwaiter::spawn(transfer(anna.clone(), ben.clone()));
///     let other = headwaiter::spawn(transfer(ben, anna)); // In opposite order.
///     let results = [one.await, other.await];
///     // One of them was dropped, so that the other could continue.
///     assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
///     let error = results.into_iter().find_map(Result::err).unwrap();
///     assert!(error.is_deadlock());
///     println!("{error}"); // Which task waits for which, and in which lines.
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deadlock {
    /// Logs deadlocks at `error` and the others at `warn`. Leaves the tasks as they are.
    #[default]
    Warn,
    /// In a deadlock, drops the future of one of the tasks, most often of the task that closed the
    /// cycle, which frees its locks. Its [`JoinHandle`](crate::task::JoinHandle) gets the report as
    /// an error. If it is the main future, `block_on` panics with the report.
    ///
    /// At quiescence, `block_on` panics with the report and a [`dump`](crate::dump). A lost waker
    /// is only logged, at `warn`.
    Fail,
    /// Checks for none of them and logs nothing.
    Ignore,
}

/// The noted tasks of a loop.
#[derive(Default)]
pub(crate) struct Suspects {
    /// In the order of the polls, so the last task is the one that closed a cycle.
    tasks: Vec<Slot>,
    /// Quiescence was reported in this `block_on`.
    pub(crate) is_quiescence_reported: bool,
    /// How often the kernel was asked without waiting since the last check.
    busy_turns: u32,
}

/// While tasks are ready, the suspects are checked once for every 64 times that the kernel is
/// asked. A check of many suspects takes long, and each turn may add more.
const BUSY_TURNS: u32 = 64;

impl Suspects {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(crate) fn tasks(&self) -> &[Slot] {
        &self.tasks
    }

    /// Returns whether a check is due although the loop does not sleep. Called when the kernel is
    /// asked without waiting.
    pub(crate) fn is_due_while_busy(&mut self) -> bool {
        self.busy_turns = if self.is_empty() { 0 } else { self.busy_turns + 1 };
        let is_due = self.busy_turns >= BUSY_TURNS;
        if is_due {
            self.busy_turns = 0;
        }
        is_due
    }

    /// Notes a task. `suspicion` is of [`Flags::MAY_BE_LOST`] and [`Flags::MAY_BE_DEADLOCKED`].
    pub(crate) fn add(&mut self, slot: Slot, suspicion: Flags, tasks: &mut Tasks) {
        if !tasks.can_be_stuck(slot) {
            return;
        }
        // While other threads can reach the loop, no suspect is checked, so the list would grow
        // without bound. Remove tasks that can continue or are gone.
        if self.tasks.len() > 2 * tasks.count() {
            self.tasks.retain(|task| tasks.can_be_stuck(*task));
        }
        let Some(task) = tasks.slots.get_mut(slot) else { return };
        if !task.flags.has_any(Flags::SUSPECT) {
            self.tasks.push(slot);
        }
        task.flags.set(suspicion);
    }

    /// Takes the task that was noted last, and returns what is suspicious about it.
    pub(crate) fn pop(&mut self, tasks: &mut Tasks) -> Option<(Slot, Flags)> {
        loop {
            let slot = self.tasks.pop()?;
            if let Some(task) = tasks.slots.get_mut(slot) {
                let suspicion = task.flags;
                task.flags.clear(Flags::SUSPECT);
                return Some((slot, suspicion));
            }
        }
    }
}
