//! The turn: one pass of the event loop, as five phases. `EventLoop` calls it in a loop; each phase
//! is a function below.

use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mio::Events;

use super::alarm::Alarm;
use super::kernel::Accounting;
use crate::door::Door;
use crate::reactor::{dispatch, shuffled};
use crate::state::{EVENTS, Message, POLLS_BETWEEN_WAITS, State, Step, WaitFor, contain, nanos};
use crate::task::{Batch, Main};
use crate::time::fire;

/// The poller, and the state that only the turn needs.
pub(super) struct Driver {
    pub(super) poll: mio::Poll,
    /// The events that the kernel reported in this turn.
    pub(super) events: Events,
    /// The last answer filled the buffer, so the kernel may have more events.
    pub(super) is_full: bool,
    /// The number of task polls since the kernel was asked.
    pub(super) polls_since_wait: u32,
    /// The grace period of a virtual clock, before it jumps.
    pub(super) io_grace: Duration,
    /// The part of it that earlier turns have used, because their `max_wait` was shorter.
    pub(super) graced: Duration,
    /// Makes short waits exact.
    pub(super) alarm: Alarm,
    /// Measures busy time and waiting time, and feeds the stall watcher.
    pub(super) accounting: Accounting,
}

/// What happened in one [`EventLoop::turn`](crate::EventLoop::turn).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// How many events the kernel reported.
    pub events: usize,
    /// How many polls were made, including those of the main future of a `block_on`.
    pub polls: usize,
    /// How many timers fired.
    pub timers: usize,
    /// The kernel filled the whole event buffer. It may have more events, which the next turn
    /// takes.
    pub full: bool,
}

/// A turn in progress.
pub(super) struct Progress {
    pub(super) turn: Turn,
    pub(super) max_wait: Option<Duration>,
    pub(super) in_block_on: bool,
    /// How long the kernel may wait, and why.
    pub(super) wait: WaitFor,
    /// A signal handler ended the wait early.
    pub(super) is_interrupted: bool,
    /// The kernel reported no event, and no other thread sent a message.
    pub(super) is_idle: bool,
}

impl Driver {
    // The order in which things run (a public contract: see `EventLoop::turn`):
    //
    // 1. The loop asks the kernel for events. If tasks are ready, it does not wait, and inside
    //    `block_on` it asks only after 64 polls or 5 ms. Otherwise the loop sleeps here, until
    //      - a source becomes ready: the kernel reports an event;
    //      - another thread sends a message: it writes to an eventfd, which is an event too;
    //      - the next timer is due: by the timeout of the wait, or below 5 ms by the alarm (a
    //        timerfd);
    //      - the caller's `max_wait` is over;
    //      - a virtual clock's grace period is over;
    //      - a signal handler runs: the turn continues without events, and the next turn waits
    //        again.
    // 2. The loop dispatches the events: it wakes the tasks that wait for a source, and calls
    //    callbacks.
    // 3. The loop takes the messages of other threads: wakes, drops of handles, closures.
    // 4. Due timers fire. Before that, a virtual clock jumps if phases 2 and 3 found no work.
    // 5. The loop polls the tasks that are ready. A task that is woken meanwhile runs in the next
    //    batch. Once 5 ms have passed since phase 1, the rest of the batch is left to the next turn.
    //
    // To wake a task is to put it into the ready queue. Only phase 5 polls.
    pub(super) fn turn(
        &mut self,
        max_wait: Option<Duration>,
        main: Option<&mut Main<'_>>,
    ) -> io::Result<Turn> {
        let mut progress = Progress::new(max_wait, main.is_some());
        self.ask_kernel(&mut progress)?;
        self.dispatch_events(&mut progress);
        take_messages(&mut progress);
        self.fire_timers(&mut progress);
        self.run_tasks(&mut progress, main);
        Ok(progress.turn)
    }

    /// Phase 1.
    fn ask_kernel(&mut self, progress: &mut Progress) -> io::Result<()> {
        self.events.clear();
        progress.wait = self.decide_wait(progress);
        let Some(timeout) = progress.wait.timeout() else { return Ok(()) };
        self.polls_since_wait = 0;
        self.set_alarm(progress.wait);
        self.accounting.before_wait(timeout);
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                progress.is_interrupted = true;
            }
            result => result?,
        }
        self.accounting.after_wait(&self.events);
        Ok(())
    }

    /// Phase 2.
    fn dispatch_events(&mut self, progress: &mut Progress) {
        if self.events.is_empty() {
            self.is_full = false;
            return;
        }
        let (events, all) = match shuffled(&self.events) {
            None => dispatch(self.events.iter()),
            Some(events) => dispatch(events.into_iter()),
        };
        self.is_full = all == EVENTS;
        (progress.turn.events, progress.turn.full) = (events, self.is_full);
        // Any event counts, even one for an inbox that an earlier turn has emptied: the clock must
        // not jump while other threads send.
        progress.is_idle = false;
    }

    /// Phase 4.
    fn fire_timers(&mut self, progress: &mut Progress) {
        self.give_grace(progress);
        progress.turn.timers = fire();
    }

    /// Advances a virtual clock after an idle turn, once the whole grace period has passed.
    fn give_grace(&mut self, progress: &Progress) {
        if progress.is_interrupted {
            return;
        }
        let had = mem::take(&mut self.graced);
        if let (WaitFor::Grace { given, whole }, true) = (progress.wait, progress.is_idle) {
            if had + given < whole {
                self.graced = had + given;
            } else if let Some(mut door) = Door::open() {
                door.jump(progress.max_wait);
            }
        }
    }

    /// Phase 5.
    fn run_tasks(&mut self, progress: &mut Progress, mut main: Option<&mut Main<'_>>) {
        let left = POLLS_BETWEEN_WAITS.saturating_sub(self.polls_since_wait);
        let mut batch = Batch::begin(if progress.in_block_on { left } else { 0 });
        // `catch_unwind` costs as much as a short poll, so it is entered once for the batch, and
        // again after each panic.
        loop {
            let run = || while batch.run_next(main.as_deref_mut()) {};
            let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else { break };
            batch.end_panicked(payload);
        }
        progress.turn.polls = batch.end();
        self.polls_since_wait = self.polls_since_wait.saturating_add(progress.turn.polls as u32);
        self.accounting.end_turn(progress);
    }
}

/// Phase 3.
fn take_messages(progress: &mut Progress) {
    let Some(mut door) = Door::open() else { return };
    if !door.shared.has_mail() {
        return door.shut();
    }
    progress.is_idle = false;
    let state = &mut *door;
    let mail = state.shared.take();
    state.jobs -= mail.jobs;
    mail.foreign.iter().for_each(|task| state.tasks.mark_foreign(*task));
    let (wakes, jobs) = (mail.wakes.len(), mail.jobs);
    let messages = mail.messages.len() + mail.foreign.len();
    state.outbox.report(|| Step::Mail { wakes, messages, jobs });
    mail.wakes.into_iter().for_each(|task| state.wake_task(task));
    drop(door);
    for message in mail.messages {
        // The door closes after each message, because the effects of one may concern the next.
        let Some(mut door) = Door::open() else { return };
        match message {
            Message::Release(what) => door.release(what),
            Message::Abort(task) => door.abort(task),
            Message::Unheld(task) => door.unhold(task),
            Message::Run(job) => {
                door.budget.lift(); // A job is no task, so it cannot yield.
                drop(door);
                contain("a job from another thread", job);
            }
        }
    }
}

impl Progress {
    fn new(max_wait: Option<Duration>, in_block_on: bool) -> Self {
        Progress {
            turn: Turn::default(),
            max_wait,
            in_block_on,
            wait: WaitFor::Ever,
            is_interrupted: false,
            is_idle: true,
        }
    }
}

impl State {
    /// Moves a virtual clock to its next timer, if the loop is idle.
    fn jump(&mut self, max_wait: Option<Duration>) {
        if self.tasks.ready() > 0 || self.in_flight() > 0 || self.shared.has_mail() {
            return;
        }
        let Some(next) = self.timers.wheel.earliest() else { return };
        let left = next.saturating_sub(self.clock.now_nanos());
        let by = max_wait.map_or(left, |max| left.min(nanos(max)));
        if by > 0 {
            self.clock.move_by(by);
            self.outbox.report(|| Step::Jump { by: Duration::from_nanos(by) });
        }
    }
}
