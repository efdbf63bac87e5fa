//! The tasks that may be stuck. A poll that ends in a suspicious way only notes its task here; the
//! [analysis](crate::observe) looks at the noted tasks before the kernel is asked.

use super::slots::Slot;
use super::task::Flags;
use super::tasks::Tasks;

/// What a loop does about tasks that can never go on: see [`Builder::deadlock`](crate::Builder::deadlock).
///
/// There are three kinds:
///
/// - a *deadlock*: tasks wait for each other in a circle, for locks or for each other's end;
/// - *quiescence*: a `block_on` would sleep for ever, because nothing that its loop knows of can wake it;
/// - a *lost waker*: a future has returned `Pending`, and no waker of its task was stored anywhere. While
///   the task's [`JoinHandle`](crate::task::JoinHandle) exists and nothing awaits it, this is logged at
///   `info` only: the task may be meant to be aborted.
///
/// They are looked for before the loop sleeps, and in a loop that is never idle once in 64 times that it asks
/// the kernel. None of them is reported twice (quiescence: not in the same `block_on`).
///
/// There is one false report: quiescence is reported when all that will wake the loop is
/// [`JoinHandle::abort`](crate::task::JoinHandle::abort) on another thread, because the loop cannot see
/// where a `JoinHandle` is. If that thread also has a [`Handle`](crate::Handle) of the loop, quiescence is
/// not reported while the handle exists.
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
///     // One of them was dropped, so that the other could go on.
///     assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
///     let error = results.into_iter().find_map(Result::err).unwrap();
///     assert!(error.is_deadlock());
///     println!("{error}"); // Which task waits for which, and in which lines.
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deadlock {
    /// They are logged, deadlocks at `error` and the others at `warn`. The tasks stay as they are.
    #[default]
    Warn,
    /// In a deadlock, the future of one of the tasks is dropped, most often of the task that closed the
    /// circle, which frees its locks. Its [`JoinHandle`](crate::task::JoinHandle) gets the report as an
    /// error. If it is the main future, `block_on` panics with the report.
    ///
    /// At quiescence `block_on` panics too, with the report and a [`dump`](crate::dump). A lost waker is
    /// logged at `warn`.
    Fail,
    /// They are not looked for, and nothing is logged.
    Ignore,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Suspects {
    /// In the order of the polls, so the last is the one that closed a circle.
    tasks: Vec<Slot>,
    /// Quiescence was reported in this `block_on`.
    pub(crate) is_quiescence_reported: bool,
    /// How often the kernel was asked without waiting since the suspects were last looked at.
    busy_turns: u32,
}

/// While tasks are ready, the suspects are looked at once in this many times that the kernel is asked. To
/// follow what they wait for takes a while if there are many, and more may be added in each turn.
const BUSY_TURNS: u32 = 64;

impl Suspects {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether the suspects are to be looked at though the loop does not sleep. Called when the kernel is asked
    /// without waiting.
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
        // While other threads can reach the loop no suspect is looked at, so the list may grow. Here it is
        // cleared of tasks that can go on, or are gone.
        if self.tasks.len() > 2 * tasks.count() {
            self.tasks.retain(|task| tasks.can_be_stuck(*task));
        }
        let Some(task) = tasks.slots.get_mut(slot) else { return };
        if !task.flags.has(Flags::SUSPECT) {
            self.tasks.push(slot);
        }
        task.flags.set(suspicion);
    }

    /// Takes the task that was noted last, and what is suspicious about it.
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
