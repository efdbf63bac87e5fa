//! What the loop says about its steps. Every part of the crate reports through the one function `report`; an
//! [`Observer`] is told, and so is the log. Where nobody listens, a step costs a load, a comparison and a branch that is
//! not taken.

pub(crate) mod dump;
mod log_lines;
pub(crate) mod stall;
pub(crate) mod stats;
pub(crate) mod stuck;
mod timeline;

use std::cell::Cell;
use std::fmt::{self, Write};
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use log::{Level, LevelFilter};

pub use self::stats::{Spread, Stats};
pub use self::timeline::Timeline;
use crate::core::Core;
use crate::event_loop::POLLS_BETWEEN_WAITS;
pub use crate::reactor::Direction;
use crate::reactor::Ready;
use crate::slots::Slot;
use crate::task::{Id, Tasks};

/// Is told each step of a loop, as it happens, on the loop's thread: see
/// [`Builder::observer`](crate::Builder::observer).
///
/// An observer may do what any code in the loop may: spawn, wake, drop, log. What it causes inside
/// [`step`](Self::step) is not reported, or there would be no end. One that panics is removed, and that is logged at `error`;
/// the loop goes on.
///
/// ```
/// use headwaiter::EventLoop;
/// use headwaiter::observe::{Observer, Step};
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// /// Counts polls.
/// struct Polls(Rc<Cell<u32>>);
///
/// impl Observer for Polls {
///     fn step(&mut self, step: &Step<'_>) {
///         if let Step::Polled { .. } = step {
///             self.0.set(self.0.get() + 1);
///         }
///     }
/// }
///
/// let polls = Rc::new(Cell::new(0));
/// let mut event_loop = EventLoop::builder().observer(Polls(polls.clone())).build()?;
/// event_loop.block_on(async {
///     headwaiter::task::yield_now().await;
///     headwaiter::spawn(async {}).await.unwrap();
/// });
/// assert_eq!(polls.get(), 4); // The main future three times, the task once.
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Observer {
    /// A step was made, or is about to be. For the time of it ask [`time::now`](crate::time::now).
    fn step(&mut self, step: &Step<'_>);
}

/// A source of a loop, by a number that counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(pub(crate) Slot);

/// A timer of a loop, by a number that counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId(pub(crate) Slot);

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.generation(), f)
    }
}

impl fmt::Display for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.generation(), f)
    }
}

/// One step of a loop. Durations are of the loop's [clock](crate::Clock): under a virtual one a poll takes no time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// A turn begins, and what it asks of the kernel.
    #[non_exhaustive]
    Turn {
        /// Turns are counted from 1.
        number: u64,
        /// How long the kernel may wait, and why.
        wait: WaitFor,
    },
    /// The kernel was asked, and has answered.
    #[non_exhaustive]
    Answer {
        /// How many events it reported.
        events: usize,
        /// How long that took.
        waited: Duration,
    },
    /// The clock of a virtual loop jumped to its next timer.
    #[non_exhaustive]
    Jump {
        /// So far.
        by: Duration,
    },
    /// An event of the kernel, and whom it wakes.
    #[non_exhaustive]
    Ready {
        /// Which source.
        source: SourceId,
        /// What it is, such as `TCP stream`.
        kind: &'static str,
        /// What the kernel says of it.
        ready: Ready,
        /// The tasks that wait for that.
        woken: &'a [Id],
        /// How many wakers of code outside this crate wait for it.
        foreign: usize,
        /// Whether its callback is called.
        callback: bool,
    },
    /// An event for a source that is gone.
    #[non_exhaustive]
    Stale,
    /// What other threads left.
    #[non_exhaustive]
    Mail {
        /// Tasks that they woke.
        wakes: usize,
        /// What else they asked for.
        messages: usize,
        /// Offloaded jobs that have ended.
        jobs: usize,
    },
    /// A timer is due.
    #[non_exhaustive]
    Fire {
        /// Which timer.
        timer: TimerId,
        /// For how long it has been due.
        late: Duration,
        /// The task that it wakes. `None`: nobody, or code outside this crate.
        woken: Option<Id>,
    },
    /// A task entered the ready queue.
    #[non_exhaustive]
    Wake {
        /// Which task.
        task: Id,
    },
    /// A task is about to be polled. The steps from here to [`Polled`](Step::Polled) are its own.
    #[non_exhaustive]
    Poll {
        /// Which task.
        task: Id,
    },
    /// A task was polled.
    #[non_exhaustive]
    Polled {
        /// Which task.
        task: Id,
        /// What came of it.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
    /// An operation on a source made its system call.
    #[non_exhaustive]
    Tried {
        /// Which source.
        source: SourceId,
        /// What it is.
        kind: &'static str,
        /// Which side of it.
        direction: Direction,
        /// Whether it is done, also if that is an error. If not, it would have blocked.
        done: bool,
    },
    /// A future waits for a source.
    #[non_exhaustive]
    AwaitSource {
        /// Which source.
        source: SourceId,
        /// What it is.
        kind: &'static str,
        /// Which side of it.
        direction: Direction,
        /// Where its operation was called, if that is known.
        place: Option<&'static Location<'static>>,
    },
    /// A future has armed a timer.
    #[non_exhaustive]
    AwaitTimer {
        /// Which timer.
        timer: TimerId,
        /// How long until it is due.
        left: Duration,
        /// Where it was made.
        place: &'static Location<'static>,
    },
    /// A future waits for the end of another task.
    #[non_exhaustive]
    AwaitTask {
        /// Which task.
        task: Id,
    },
    /// A future waits for something else: a lock, a message, an offloaded job and the like.
    #[non_exhaustive]
    AwaitSync {
        /// What that is.
        what: &'static str,
        /// Where its operation was called.
        place: &'static Location<'static>,
    },
    /// A task was spawned, or a `block_on` has begun.
    #[non_exhaustive]
    Spawn {
        /// Which task.
        task: Id,
        /// Its name.
        name: Option<&'a str>,
        /// Where that was.
        place: &'static Location<'static>,
    },
    /// The future of a task was dropped before it was ready.
    #[non_exhaustive]
    Abort {
        /// Which task.
        task: Id,
    },
    /// A job was queued for the pool of threads.
    #[non_exhaustive]
    Offload {
        /// Where that was.
        place: &'static Location<'static>,
    },
    /// The result of a job was fetched.
    #[non_exhaustive]
    Fetch {
        /// Where it was offloaded.
        place: &'static Location<'static>,
    },
    /// Nobody wants the result of a job any more. It may run on.
    #[non_exhaustive]
    Forget {
        /// Where it was offloaded.
        place: &'static Location<'static>,
    },
    /// A source is watched from now on.
    #[non_exhaustive]
    Register {
        /// Which source.
        source: SourceId,
        /// What it is.
        kind: &'static str,
    },
    /// A source is watched no more.
    #[non_exhaustive]
    Deregister {
        /// Which source.
        source: SourceId,
        /// What it was.
        kind: &'static str,
    },
}

/// How long a turn lets the kernel wait, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitFor {
    /// Tasks are ready and the kernel was asked lately: not asked at all.
    Skip {
        /// How many.
        ready: usize,
    },
    /// Tasks are ready: asked without waiting.
    Tasks {
        /// How many.
        ready: usize,
    },
    /// The next timer is due in this time.
    Timer {
        /// So long.
        left: Duration,
    },
    /// The caller of [`turn`](crate::EventLoop::turn) wants no longer wait.
    Caller(Duration),
    /// Nothing but a source or another thread can end the wait.
    Ever,
    /// A virtual clock, which stands still until offloaded jobs and child processes have ended.
    Work {
        /// How many.
        under_way: usize,
    },
    /// A virtual clock: so long in real time, of this in all, before it jumps.
    Grace {
        /// Now.
        given: Duration,
        /// With what it was given before.
        whole: Duration,
    },
}

/// What came of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The task waits, or is ready again.
    Pending,
    /// It has its output.
    Finished,
    /// That is its end, too.
    Panicked,
}

impl Outcome {
    pub(crate) fn of(poll: Poll<()>) -> Self {
        match poll {
            Poll::Pending => Outcome::Pending,
            Poll::Ready(()) => Outcome::Finished,
        }
    }
}

thread_local! {
    /// Whether anybody listens to the loop that runs here. Looked up once a turn, because a step cannot pay for more than
    /// this.
    static OBSERVED: Cell<bool> = const { Cell::new(false) };
}

/// Whether anybody listens.
#[inline]
pub(crate) fn is_on() -> bool {
    OBSERVED.get()
}

/// Looks who listens to the loop that runs here. Returns whether anybody did before.
#[inline]
pub(crate) fn look_who_listens() -> bool {
    let observed = Core::with(|core| {
        core.observed = core.is_observed();
        core.observed
    });
    OBSERVED.replace(observed == Some(true))
}

/// As [`look_who_listens`], in a loop that was entered: its observers are those that it had then.
#[inline]
pub(crate) fn look_again() {
    if is_on() || log::max_level() >= LevelFilter::Debug {
        look_who_listens();
    }
}

/// Undoes [`look_who_listens`].
pub(crate) fn listen_as_before(before: bool) {
    OBSERVED.set(before);
}

impl Core {
    fn is_observed(&self) -> bool {
        !self.observers.is_empty() || log::max_level() >= LevelFilter::Debug
    }

    /// The task that a number means, as an observer is told of it.
    pub(crate) fn id_of(&self, number: crate::task::waker::TaskNumber) -> Option<Id> {
        self.slot_of(number).map(Id::new)
    }
}

/// Tells whoever listens. Must not be called while anything of the loop is borrowed: an observer is user code.
#[inline]
pub(crate) fn report<'a>(step: impl FnOnce() -> Step<'a>) {
    if is_on() {
        listen(step);
    }
}

/// A task is about to be polled, and that is timed: because somebody listens, one of the last polls blocked the loop, or it is this
/// one's turn.
#[cold]
pub(crate) fn poll_begins(task: Slot) {
    report(|| Step::Poll { task: Id::new(task) });
    Core::with(|core| {
        let now = core.clock.now_nanos();
        core.untimed =
            if is_on() || core.stalls.are_looked_for(now) { 0 } else { stats::SAMPLED - 1 };
        core.poll_began = Some(now);
        core.tasks.suspicion |= Tasks::TIMED;
    });
}

/// A task was polled. Nothing is done if that was not timed.
#[cold]
pub(crate) fn poll_ended(task: Slot, outcome: Outcome) {
    let took = Core::with(|core| {
        let took = core.clock.now_nanos().saturating_sub(core.poll_began.take()?);
        // Who yields has woken itself, and may have computed.
        let waits = outcome == Outcome::Pending && !core.tasks.is_queued(task);
        core.counts.polled(took, waits && core.budget.is_whole() && core.tasks.polls(task) > 1);
        let looked_for = core.stalls.are_looked_for(core.clock.turn_nanos());
        // Several such polls would be a stall together, if the kernel were not asked between them.
        core.budget.overspent |=
            looked_for && took > core.stalls.threshold / u64::from(POLLS_BETWEEN_WAITS);
        Some((took, looked_for && took > core.stalls.threshold))
    });
    let Some((took, blocked)) = took.flatten() else { return };
    report(|| Step::Polled { task: Id::new(task), outcome, took: Duration::from_nanos(took) });
    stall::poll_was_timed(task, took);
    if blocked {
        stall::poll_took(task, took);
    }
}

/// The observers of a loop. They are in its core while none of them is told anything.
pub(crate) type Observers = Vec<Box<dyn Observer>>;

#[cold]
#[inline(never)]
fn listen<'a>(step: impl FnOnce() -> Step<'a>) {
    // Every step is one of the loop that runs here.
    let observers = Core::with(|core| {
        let first = !mem::replace(&mut core.reporting, true);
        first.then(|| mem::take(&mut core.observers))
    });
    let Some(mut observers) = observers.flatten() else { return };
    let step = step();
    crate::core::contain("a logger", || log_lines::write(&step));
    let mut at = 0;
    while let Some(observer) = observers.get_mut(at) {
        match crate::core::contain("an observer, which is removed,", || observer.step(&step)) {
            Some(()) => at += 1,
            None => crate::core::discard(observers.remove(at)),
        }
    }
    // A loop that was dropped meanwhile drops them with this.
    Core::with(|core| {
        core.reporting = false;
        mem::swap(&mut core.observers, &mut observers);
    });
    crate::core::discard(observers);
}

/// Logs what somebody must see whether or not steps are traced. A logger that panics is passed over: it can
/// not be told so.
pub(crate) fn say(level: Level, target: &'static str, line: fmt::Arguments<'_>) {
    if let Err(payload) =
        catch_unwind(AssertUnwindSafe(|| log::log!(target: target, level, "{line}")))
    {
        crate::core::bury(payload);
    }
}

pub(crate) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The targets of the log lines.
pub(crate) const LOOP: &str = "headwaiter::loop";
pub(crate) const TASK: &str = "headwaiter::task";
pub(crate) const SOURCE: &str = "headwaiter::source";
pub(crate) const TIMER: &str = "headwaiter::timer";
pub(crate) const OFFLOAD: &str = "headwaiter::offload";
#[cfg(feature = "hyper")]
pub(crate) const HTTP: &str = "headwaiter::http";

/// How a task is called in a line of text: `task 17 "oven"`.
pub(crate) struct TaskLabel<'a> {
    pub(crate) slot: Slot,
    pub(crate) name: Option<&'a str>,
}

impl fmt::Display for TaskLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.slot.generation())?;
        match self.name {
            Some(name) => write!(f, " \"{}\"", visible(name)),
            None => Ok(()),
        }
    }
}

/// A name, as it stands in all that people and tools read: log lines, reports, dumps, timelines. A name may be anything, so
/// what would move the cursor, end the line or turn it around is written as in Rust's source: `\n`, `\u{1b}`.
pub(crate) fn visible(name: &str) -> String {
    let quoted = format!("{name:?}");
    quoted[1..quoted.len() - 1].to_owned()
}

/// Text of a user's in a log line: what a panic said, or an error. It is escaped as a name is, so that it cannot end the line or forge
/// another one. Quotes and backslashes stay, because the text does not stand between quotes, and its author may have escaped it
/// already, as the errors of [`fs`](crate::fs) do with paths.
pub(crate) struct OneLine<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Writes the text without allocating: it may be long.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const KEPT: [char; 3] = ['"', '\'', '\\'];
        for piece in text.split_inclusive(KEPT) {
            let plain = piece.strip_suffix(KEPT).unwrap_or(piece);
            write!(self.0, "{}{}", plain.escape_debug(), &piece[plain.len()..])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_a_log_line_cannot_end_it_and_keeps_its_quotes() {
        let line = |text: &str| OneLine(text).to_string();
        assert_eq!(
            line("left: 1\nright: \"2\"\r\u{1b}[2J\u{202e}\0"),
            r#"left: 1\nright: "2"\r\u{1b}[2J\u{202e}\0"#
        );
        assert_eq!(line(r#"open "a\nb": it's gone"#), r#"open "a\nb": it's gone"#);
        // Letters that consist of several characters stay whole.
        assert_eq!(line("Suppe, cafe\u{301}, \u{1f372}"), "Suppe, cafe\u{301}, \u{1f372}");
        assert_eq!(line(""), "");
        let in_pieces = format_args!("{}\n{:?}", 'x', "y\n").to_string();
        assert_eq!(
            OneLine(format_args!("{}\n{:?}", 'x', "y\n")).to_string(),
            in_pieces.replacen('\n', "\\n", 1)
        );
    }
}
