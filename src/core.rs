//! What a loop owns, and how its handles find it: while a loop runs, its [`Core`] stands in a
//! thread-local, and every future, handle and waker of this crate reaches it through here.
//!
//! The borrow rule of the whole crate: take out, drop the borrow, call, put back. No user code (a
//! future's poll or drop, a callback, a foreign waker, a logger) runs inside the closures given to
//! the functions below. So user code may do anything, from anywhere.

use std::any::Any;
use std::cell::Cell;
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use log::Level;

use crate::budget::Budget;
use crate::observe::stall::{Stalls, THRESHOLD};
use crate::observe::stats::{Counts, SAMPLED};
use crate::observe::stuck::{Deadlock, Suspects};
use crate::observe::{self, Observers, OneLine};
use crate::offload::{self, Pool};
use crate::reactor::{self, Reactor};
use crate::remote::{self, LoopId, Release, Shared};
use crate::shuffle::Shuffle;
#[cfg(all(unix, feature = "signal"))]
use crate::signal::unix::Signals;
use crate::slots::{Key, Slot};
use crate::task::waker::TaskNumber;
use crate::task::{self, Tasks};
use crate::time::Timers;
use crate::time::clock::{LoopClock, nanos};
use crate::waits::Waits;

pub(crate) struct Core {
    pub(crate) id: LoopId,
    pub(crate) tasks: Tasks,
    pub(crate) reactor: Reactor,
    pub(crate) timers: Timers,
    pub(crate) clock: LoopClock,
    pub(crate) shared: Arc<Shared>,
    /// The threads for what cannot be waited for. They share it.
    pub(crate) pool: Arc<Pool>,
    /// What tasks wait for besides sources, timers and each other.
    pub(crate) waits: Waits,
    pub(crate) deadlock: Deadlock,
    /// Which tasks may be stuck, and are to be looked at before the loop sleeps.
    pub(crate) suspects: Suspects,
    /// It was said that nothing can wake the loop any more.
    pub(crate) quiescent: bool,
    /// Offloaded jobs whose end this loop has not heard of: a virtual clock stands still meanwhile.
    pub(crate) jobs: usize,
    /// Who listens for signals. `None` until somebody does.
    #[cfg(all(unix, feature = "signal"))]
    pub(crate) signals: Option<Signals>,
    /// Permutes what has no order of its own. `None` unless the loop was built with a seed.
    pub(crate) shuffle: Option<Shuffle>,
    pub(crate) budget: Budget,
    /// The loop is being dropped: what is spawned now is dropped at once.
    pub(crate) closing: bool,
    /// Whom to tell each step, besides the log.
    pub(crate) observers: Observers,
    /// Whether anybody listens: as [`observe::is_on`], where the core is at hand.
    pub(crate) observed: bool,
    /// Somebody is being told of a step: what that causes is not reported, or it would not end.
    pub(crate) reporting: bool,
    /// When the poll that is under way began, if it is timed.
    pub(crate) poll_began: Option<u64>,
    /// A poll is timed if its number has none of these bits: one in 512, or each.
    pub(crate) untimed: u64,
    /// Boxed, because it is long, and seldom touched.
    pub(crate) counts: Box<Counts>,
    pub(crate) stalls: Stalls,
}

thread_local! {
    /// The core of the loop that runs on this thread. It is taken out for each access and put back after
    /// it, which costs two stores. `ManuallyDrop` spares each access the question whether the thread-local
    /// was dropped; [`Entered`] takes the core out in any case.
    static RUNNING: Cell<ManuallyDrop<Option<Box<Core>>>> = const { Cell::new(ManuallyDrop::new(None)) };
}

/// A core that was taken out, until this is dropped.
struct Taken(ManuallyDrop<Option<Box<Core>>>);

impl Taken {
    #[inline(always)]
    fn new() -> Self {
        Taken(RUNNING.with(Cell::take))
    }
}

impl Drop for Taken {
    #[inline(always)]
    fn drop(&mut self) {
        let core = mem::take(&mut self.0);
        RUNNING.with(|running| running.set(core));
    }
}

impl Core {
    pub(crate) fn new(
        clock: LoopClock,
        shared: Arc<Shared>,
        pool: Pool,
        shuffle: Option<Shuffle>,
    ) -> Self {
        Core {
            id: shared.id,
            tasks: Tasks::new(),
            reactor: Reactor::new(),
            timers: Timers::new(),
            clock,
            shared,
            pool: Arc::new(pool),
            waits: Waits::new(),
            deadlock: Deadlock::default(),
            suspects: Suspects::default(),
            quiescent: false,
            jobs: 0,
            #[cfg(all(unix, feature = "signal"))]
            signals: None,
            shuffle,
            budget: Budget::new(),
            closing: false,
            observers: Observers::new(),
            observed: false,
            reporting: false,
            poll_began: None,
            untimed: SAMPLED - 1,
            counts: Box::new(Counts::new()),
            stalls: Stalls::new(nanos(THRESHOLD)),
        }
    }

    /// Whether a loop runs on this thread.
    pub(crate) fn is_running() -> bool {
        Core::with(|_| ()).is_some()
    }

    /// The loop that runs on this thread, if one does.
    #[inline(always)]
    pub(crate) fn with<R>(work: impl FnOnce(&mut Core) -> R) -> Option<R> {
        Taken::new().0.as_deref_mut().map(work)
    }

    /// The loop that runs on this thread.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn expect<R>(what: &str, work: impl FnOnce(&mut Core) -> R) -> R {
        match Core::with(work) {
            Some(result) => result,
            None => outside_any_loop(what),
        }
    }

    /// The loop that `key` belongs to, which must be the one that runs here.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn at_home<R>(key: Key, what: &str, work: impl FnOnce(&mut Core) -> R) -> R {
        match Core::if_at_home(key, work) {
            Some(result) => result,
            None => away_from_home(what),
        }
    }

    /// For what must not panic: the loop that `key` belongs to, if it is the one that runs here.
    #[inline(always)]
    pub(crate) fn if_at_home<R>(key: Key, work: impl FnOnce(&mut Core) -> R) -> Option<R> {
        match Taken::new().0.as_deref_mut() {
            Some(core) if core.id == key.home => Some(work(core)),
            _ => None,
        }
    }

    /// Whether the loop that `key` belongs to is the one that runs here.
    pub(crate) fn is_home_of(key: Key) -> bool {
        Core::if_at_home(key, |_| ()).is_some()
    }

    /// Lets the loop run on this thread until the guard is dropped, which puts the core back.
    pub(crate) fn enter(home: &mut Option<Box<Core>>) -> Entered<'_> {
        let before = RUNNING.replace(ManuallyDrop::new(home.take()));
        let observed_before = observe::look_who_listens();
        Entered { home, before: ManuallyDrop::into_inner(before), observed_before }
    }

    pub(crate) fn key(&self, slot: Slot) -> Key {
        Key { home: self.id, slot }
    }

    /// The task whose poll is under way.
    pub(crate) fn polled(&self) -> Option<TaskNumber> {
        let is_polling = self.shared.polled.load(Ordering::Relaxed) != 0;
        is_polling.then(|| TaskNumber::new(self.key(self.tasks.polled)))
    }

    /// Jobs and children whose end this loop has not heard of: a virtual clock stands still meanwhile.
    pub(crate) fn under_way(&self) -> usize {
        self.jobs + self.reactor.works()
    }

    /// Done before user code is run that cannot yield.
    pub(crate) fn lift_budget(&mut self) {
        self.budget.lift();
    }

    /// See [`Budget::spend`].
    pub(crate) fn spend(&mut self) -> bool {
        self.budget.spend()
    }

    /// Spends one unit of the task's budget, or yields if there is none. Panics where no loop runs: `what` needs one.
    #[inline]
    #[track_caller]
    pub(crate) fn poll_spend(what: &str, cx: &Context<'_>) -> Poll<()> {
        yield_unless(Core::expect(what, Core::spend), cx)
    }

    /// As [`poll_spend`](Core::poll_spend), but where no loop runs there is no budget to spend.
    #[inline]
    pub(crate) fn poll_spend_if_running(cx: &Context<'_>) -> Poll<()> {
        yield_unless(Core::with(Core::spend) != Some(false), cx)
    }

    /// Tries an operation, which spends budget if it completes. `None`: the task has spent its budget, and the operation was not
    /// tried. Where no loop runs there is no budget, and the operation is always tried.
    #[inline(always)]
    pub(crate) fn on_budget<R>(
        operation: impl FnOnce(Option<&mut Core>) -> Option<R>,
    ) -> Option<Option<R>> {
        let mut taken = Taken::new();
        let Some(core) = taken.0.as_deref_mut() else { return Some(operation(None)) };
        if !core.budget.may_go_on() {
            return None;
        }
        let result = operation(Some(core));
        if result.is_some() {
            core.budget.completed();
        }
        Some(result)
    }
}

#[inline]
fn yield_unless(may_go_on: bool, cx: &Context<'_>) -> Poll<()> {
    if !may_go_on {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(())
}

#[cold]
#[track_caller]
fn outside_any_loop(what: &str) -> ! {
    if offload::is_thread_of_pool() {
        panic!(
            "headwaiter: {what} was used in a job of `spawn_blocking`, on a thread that runs no event loop: take `Handle::current()` along, by calling it before the job and moving it in, and use `Handle::spawn` there"
        );
    }
    panic!(
        "headwaiter: {what} was used outside any event loop: use it inside the `async` block that is given to `headwaiter::block_on` (not before that, to make the argument), in a task spawned there, or inside `EventLoop::enter`"
    );
}

#[cold]
#[track_caller]
fn away_from_home(what: &str) -> ! {
    if Core::is_running() {
        panic!(
            "headwaiter: {what} was used in another event loop than the one that made it: handles stay with their loop. Send the data instead, or run the code at home with `Handle::spawn`"
        );
    }
    if offload::is_thread_of_pool() {
        panic!(
            "headwaiter: {what} was used in a job of `spawn_blocking`, on a thread that does not run the event loop that made it: take `Handle::current()` along, by calling it before the job and moving it in, and run the code at home with `Handle::spawn`"
        );
    }
    panic!(
        "headwaiter: {what} was used outside any event loop: use it inside `block_on`, a task or `EventLoop::enter` of the loop that made it"
    );
}

/// While this lives, a loop runs on this thread.
pub(crate) struct Entered<'a> {
    home: &'a mut Option<Box<Core>>,
    /// There is an earlier one only where a loop is dropped inside another.
    before: Option<Box<Core>>,
    observed_before: bool,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        observe::listen_as_before(self.observed_before);
        let core = RUNNING.replace(ManuallyDrop::new(self.before.take()));
        *self.home = ManuallyDrop::into_inner(core);
    }
}

/// A handle that is dropped gives its slot back: here, if its loop runs on this thread, else by message.
pub(crate) fn release(key: Key, what: Release) {
    if Core::is_home_of(key) {
        release_here(what);
    } else {
        remote::release(key.home, what);
    }
}

/// As [`release`], for what belongs to the loop that runs here.
pub(crate) fn release_here(what: Release) {
    match what {
        Release::Source(slot) => reactor::remove(slot),
        // These two are dropped outside the borrow: they may be foreign wakers.
        Release::Waiter(slot, direction, ticket) => {
            discard(Core::with(|core| core.reactor.forget(slot, direction, ticket)));
        }
        Release::Timer(slot) => discard(Core::with(|core| core.timers.cancel(slot))),
        Release::Join(key) => task::detach(key),
        Release::Record(slot) => {
            Core::with(|core| core.waits.remove(slot));
        }
    }
}

/// Runs user code that must not take the loop down: a panic is caught and logged.
pub(crate) fn contain<R>(what: &str, run: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) => {
            log_panic(what, payload);
            None
        }
    }
}

/// Drops what users made. A panic in there is logged.
pub(crate) fn discard<T>(value: T) {
    contain("a drop", || drop(value));
}

/// Logs a panic that goes no further, and drops its payload.
#[cold]
pub(crate) fn log_panic(what: &str, payload: Box<dyn Any + Send>) {
    let message = OneLine(panic_message(&*payload));
    observe::say(Level::Error, observe::LOOP, format_args!("{what} panicked: {message}"));
    bury(payload);
}

/// Drops what a panic carried. That may panic once more; what that carries is leaked, or it would not end.
pub(crate) fn bury(payload: Box<dyn Any + Send>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(payload);
    }
}

/// What a panic said, as far as it was text.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(a value that is not text)"
    }
}
