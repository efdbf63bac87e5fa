//! The event loop: [`EventLoop`] owns the state and the poller. `block_on` turns it until its
//! future is ready; an embedder calls `turn` directly. It calls the other modules; none of them
//! calls it.

mod turn;
mod kernel;
mod alarm;
mod main_future;
mod builder;

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::builder::Builder;
use self::main_future::{MainSlot, Store};
use self::turn::Driver;
pub use self::turn::Turn;
use crate::door::{Door, Entered, enter};
use crate::remote::Handle;
use crate::state::{LoopId, Shared, State, discard, forget, is_of_this_process};
use crate::task::Main;
use crate::{offload, reactor, task, time};

/// A single-threaded event loop: a reactor, tasks, timers, and the turn that drives them.
///
/// Its tasks and sockets persist between calls of [`block_on`](Self::block_on),
/// [`turn`](Self::turn) and [`enter`](Self::enter). Dropping the loop drops all its tasks, on its
/// thread.
///
/// ```
/// let mut event_loop = headwaiter::EventLoop::new()?;
/// let answer = event_loop.block_on(async { headwaiter::spawn(async { 42 }).await });
/// assert_eq!(answer.unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # fork(2)
///
/// A loop belongs to the process that made it: a forked child shares the kernel's poller with its
/// parent, so it must not use the loop. (This is about a bare fork(2);
/// [`process::Command`](crate::process::Command) and std's are not affected.)
///
/// - The child may drop everything that it has inherited, including the loop. That closes its
///   copies of the descriptors and leaves the parent's poller, connections and child processes
///   alone.
/// - [`block_on`](Self::block_on), [`turn`](Self::turn) and [`enter`](Self::enter) of an inherited
///   loop panic in the child. It may make a loop of its own, and move a socket there with
///   `into_std` and `from_std`.
/// - Forking inside a task, a callback or `enter` is supported only if the child ends there, by
///   exec or `_exit`. A child that returns to the loop takes events that belong to its parent.
/// - fork(2) copies no other thread. In a program with several threads (a loop starts threads for
///   files, host names and [`spawn_blocking`](crate::spawn_blocking)), POSIX allows the child
///   little more than exec.
pub struct EventLoop {
    /// `None` while the loop runs: then it is in a thread-local of [`crate::door`].
    state: Option<Box<State>>,
    driver: Driver,
    shared: Arc<Shared>,
}

impl EventLoop {
    /// Makes a loop with default settings.
    ///
    /// # Errors
    ///
    /// If the kernel gives no poller (too many open files), or if 4,096 loops are alive in this
    /// process (16 on a 32-bit machine).
    pub fn new() -> io::Result<Self> {
        Builder::default().build()
    }

    /// Returns a builder with default settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs the loop until `future` is ready, and returns its output. The future need not be
    /// `'static`.
    ///
    /// Tasks that have not finished by then stay in the loop and continue in the next `block_on` or
    /// `turn`.
    ///
    /// # Panics
    ///
    /// - Inside a running loop: `.await` the future there, or `spawn` it.
    /// - In a forked child of the process that made the loop.
    /// - If `future` panics: the panic unwinds through this call.
    /// - If the kernel refuses to wait (epoll_wait(2) fails), which no program can repair.
    #[track_caller]
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let _entered = enter_home(&mut self.state, self.shared.id, "`block_on`");
        let guard = MainSlot::new(Location::caller());
        let mut output = None;
        let driving = Driving::begin(&mut self.driver, true);
        {
            let future = pin!(Store { future, output: &mut output, done: &guard.done });
            let mut main = Main { slot: guard.slot, future };
            // This is the event loop.
            while !guard.done.get() {
                if let Err(error) = driving.0.turn(None, Some(&mut main)) {
                    panic!("headwaiter: the kernel refuses to wait for events: {error}");
                }
            }
        }
        drop(driving);
        output.expect("`done` is set with the output")
    }

    /// Makes one turn, for a caller that drives the loop itself. The turn waits for at most
    /// `max_wait` (`None`: without a limit), and not at all if something is ready.
    ///
    /// The phases of a turn, in order:
    ///
    /// 1. It asks the kernel for events. Inside `block_on`, with tasks ready, it does so only if 64
    ///    tasks were polled since the last time, or one of them has spent its budget, or 5 ms have
    ///    passed.
    /// 2. It dispatches the events: it wakes tasks and calls callbacks.
    /// 3. It handles messages from other threads.
    /// 4. It fires the timers that are due. If nothing has happened so far in this turn, a virtual
    ///    clock jumps first.
    /// 5. It polls the tasks that are ready now. A task that is woken meanwhile, even by itself,
    ///    runs in the next turn. If the polls take longer than 5 ms together, the tasks that are
    ///    left run in the next turn, before all others.
    ///
    /// Under a [virtual clock](crate::Clock::Virtual), `max_wait` also limits how far the clock
    /// jumps.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let mut event_loop = headwaiter::EventLoop::new()?;
    /// let task = event_loop.enter(|| headwaiter::spawn(async { "done" }));
    /// let turn = event_loop.turn(Some(Duration::ZERO))?;
    /// assert_eq!(turn.polls, 1);
    /// assert!(event_loop.enter(|| task.is_finished()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the kernel refuses to wait.
    ///
    /// # Panics
    ///
    /// Inside a running loop, and in a forked child of the process that made this one.
    #[track_caller]
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<Turn> {
        let _entered = enter_home(&mut self.state, self.shared.id, "`EventLoop::turn`");
        // This turn begins by asking the kernel, so the loop is not busy before that.
        Driving::begin(&mut self.driver, false).0.turn(max_wait, None)
    }

    /// Returns when the next [`turn`](Self::turn) has something to do, as far as this loop can
    /// know: an instant that has passed while anything is ready, otherwise the deadline of the next
    /// timer, or `None` without a timer. (Under a [virtual clock](crate::Clock::Virtual), this is
    /// an instant of that clock.)
    ///
    /// An embedder waits until then, or until the loop's file descriptor becomes readable. That
    /// means that a source is ready or another thread has sent something.
    pub fn next_deadline(&self) -> Option<Instant> {
        let state = self.state.as_deref()?;
        if self.driver.is_full || state.tasks.is_any_ready() || state.shared.has_mail() {
            return Some(state.clock.now());
        }
        state.timers.wheel.earliest().map(|earliest| state.clock.instant(earliest))
    }

    /// Runs `work` with this loop as the current loop of the thread, so that it can spawn tasks,
    /// open sockets and use handles between turns. The loop does nothing else meanwhile.
    ///
    /// # Panics
    ///
    /// Inside a running loop, and in a forked child of the process that made this one.
    #[track_caller]
    pub fn enter<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let _entered = enter_home(&mut self.state, self.shared.id, "`EventLoop::enter`");
        lift_budget();
        work()
    }

    /// Returns a handle through which other threads reach this loop.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }
}

/// Marks the loop as driven while `block_on` or `turn` runs. Dropping it ends that, even after a
/// panic: otherwise the stall watcher would report an idle loop as blocked.
struct Driving<'a>(&'a mut Driver);

impl<'a> Driving<'a> {
    fn begin(driver: &'a mut Driver, is_busy: bool) -> Self {
        driver.accounting.resume(is_busy);
        Driving(driver)
    }
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.accounting.suspend();
    }
}

/// Lifts the cooperative budget until the next poll of a task, because code outside tasks cannot
/// yield.
fn lift_budget() {
    if let Some(mut door) = Door::open() {
        door.budget.lift();
    }
}

#[track_caller]
fn enter_home<'a>(state: &'a mut Option<Box<State>>, id: LoopId, what: &str) -> Entered<'a> {
    assert_not_running(what);
    assert!(
        is_of_this_process(id),
        "headwaiter: {what} was called in a forked child, on the event loop of its parent, whose events it would take: make a new loop in the child, and move sockets there with `into_std` and `from_std`"
    );
    enter(state)
}

#[track_caller]
fn assert_not_running(what: &str) {
    let Some(running) = Door::open().map(|door| door.id) else { return };
    assert!(
        is_of_this_process(running),
        "headwaiter: {what} was called in a child that was forked inside a running event loop, which is its parent's: fork before the loop runs, or let the child do nothing but exec or exit"
    );
    panic!(
        "headwaiter: {what} was called inside a running event loop, which would block it: `.await` the future there, or `spawn` it"
    );
}

impl Drop for EventLoop {
    /// Drops the offloaded jobs that have not begun, all tasks, then unread messages, callbacks and
    /// the wakers of timers. Their drops may do anything: a task that they spawn is dropped at
    /// once, a socket that they open is refused, and a panic is logged.
    fn drop(&mut self) {
        // Entering is allowed inside another loop too, because a task of that loop may own this
        // one.
        let _entered = enter(&mut self.state);
        if let Some(mut door) = Door::open() {
            door.is_closing = true;
        }
        lift_budget();
        offload::close();
        task::drop_all();
        for message in self.shared.close().messages {
            discard(message);
        }
        reactor::drop_all();
        time::drop_all();
        // Last, so that no new loop gets this loop's narrow id while a drop may still wake a task
        // through it.
        forget(&self.shared);
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for EventLoop {
    /// Returns the poller's descriptor, which another loop can watch: it is readable when a turn
    /// would find events.
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.driver.poll.registry().as_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for EventLoop {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.driver.poll.as_raw_fd()
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("id", &self.shared.id)
            .field("turns", &self.driver.accounting.turns)
            .finish_non_exhaustive()
    }
}

/// Runs `future` on a new [`EventLoop`] with default settings, on this thread, until it is ready.
///
/// ```
/// assert_eq!(headwaiter::block_on(async { 6 * 7 }), 42);
/// ```
///
/// # Panics
///
/// Inside a running loop; if the future panics; and if the kernel gives no poller (then use
/// [`EventLoop::new`], which returns the error).
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    // Check for nesting first, so that the panic message names the method that was called.
    assert_not_running("`block_on`");
    match EventLoop::new() {
        Ok(mut event_loop) => event_loop.block_on(future),
        Err(error) => panic!("headwaiter: cannot make an event loop: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use std::sync::atomic::Ordering;

    use super::*;
    use crate::door::Door;

    #[test]
    fn the_watcher_is_told_that_nothing_drives_the_loop_also_after_a_panic() {
        let mut event_loop = EventLoop::builder().stall_watcher(true).build().expect("a loop");
        let sleeps = |event_loop: &EventLoop| event_loop.shared.sleeps.load(Ordering::Acquire);
        event_loop.block_on(async {});
        assert!(sleeps(&event_loop));
        let panics = AssertUnwindSafe(|| {
            event_loop.block_on(async {
                assert!(!Door::expect("a test").shared.sleeps.load(Ordering::Acquire));
                panic!("the main future is gone");
            })
        });
        assert!(catch_unwind(panics).is_err());
        assert!(sleeps(&event_loop));
    }
}
