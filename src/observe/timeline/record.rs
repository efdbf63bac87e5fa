//! What a timeline keeps: the current state of each row and since when, and a ring buffer of
//! finished spans. [`Timeline`](super::Timeline) passes steps to it, and
//! [`Picture`](super::picture::Picture) reads it. It never draws, and it never changes the loop.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::mem;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::observe::dump::dump;
use crate::state::{Direction, Id, Outcome, SourceId, Step, TimerId, WaitFor};

/// The record of one loop. Times are in nanoseconds of the loop's clock, since the first step.
pub(super) struct Record {
    pub(super) capacity: usize,
    /// Finished spans, in the order of their ends.
    pub(super) spans: VecDeque<Span>,
    /// How many spans were overwritten, and when the last of them ended.
    pub(super) lost: u64,
    pub(super) lost_until: u64,
    /// In order of appearance. The row of an ended task stays while a span of it is kept.
    pub(super) rows: BTreeMap<RowId, Row>,
    next: RowId,
    /// The rows of the tasks that have not ended.
    tasks: HashMap<Id, RowId>,
    /// When `tasks` reaches this size, [`prune`](Self::prune) removes the tasks that are gone.
    prune_at: usize,
    jobs: HashMap<Place, RowId>,
    /// The handle of the recorded loop. Steps that arrive through another handle are ignored.
    recorded: Option<u64>,
    handles: u64,
    /// Another loop also reported steps.
    pub(super) has_other_loops: bool,
    /// The time of the first step. All other times are relative to it.
    epoch: Option<Instant>,
    /// The time of the last step.
    pub(super) now: u64,
    /// The last wait that the loop asked the kernel for.
    wait: WaitFor,
    /// The task that is being polled.
    polled: Option<RowId>,
    /// The row of the main future, while `block_on` runs: then the loop also works between steps.
    main: Option<RowId>,
}

pub(super) type RowId = u64;

/// The row of the loop itself.
pub(super) const LOOP: RowId = 0;

pub(super) type Place = &'static Location<'static>;

/// A line of the drawing: the loop, a task, or the jobs of one call site.
pub(super) struct Row {
    pub(super) kind: RowKind,
    /// `None`: the task has ended, or the loop or the threads are idle.
    pub(super) state: Option<State>,
    pub(super) since: u64,
    pub(super) end: Option<End>,
    /// How many of its spans are in [`Record::spans`]. An ended row is removed with its last span.
    spans: usize,
    /// The task was woken while it was polled, so it is ready again after the poll.
    woken: bool,
    /// What the task waits for, as reported during its last poll.
    causes: Vec<Cause>,
    /// The timers it waited for before that poll. Polling an armed timer again reports no step, so
    /// they carry over unless they were disarmed.
    timers: Vec<Cause>,
}

pub(super) enum RowKind {
    Loop,
    Task {
        number: Id,
        name: Option<Box<str>>,
        place: Option<Place>,
    },
    Jobs {
        place: Place,
        /// Jobs queued or running, or whose results were not taken yet.
        under_way: usize,
    },
}

/// What a row does during a span.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Ready,
    /// The first cause and the number of further ones. `None`: no cause was reported.
    Waiting(Option<Cause>, u32),
    /// Jobs are in flight on threads.
    Working,
}

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Panicked,
    Aborted,
    /// The end was not reported, because an observer caused it.
    Gone,
}

/// What a task or the loop waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Source { source: SourceId, kind: &'static str, direction: Direction, place: Option<Place> },
    Timer { timer: TimerId, place: Place },
    Task(Id),
    Sync { what: &'static str, place: Place },
    Kernel(WaitFor),
    Jump,
}

/// A period that a row spent in one state.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) row: RowId,
    pub(super) state: State,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// How many causes are kept per task; `State::Waiting` counts no more than these.
const MOST_CAUSES: usize = 8;

/// The smallest number of tasks at which [`Record::prune`] runs.
const PRUNE_MIN: usize = 1024;

impl Row {
    fn new(kind: RowKind, state: Option<State>, since: u64) -> Self {
        let (causes, timers) = (Vec::new(), Vec::new());
        Row { kind, state, since, end: None, spans: 0, woken: false, causes, timers }
    }
}

impl Record {
    pub(super) fn new(capacity: usize) -> Self {
        Record {
            capacity,
            spans: VecDeque::new(),
            lost: 0,
            lost_until: 0,
            rows: BTreeMap::new(),
            next: LOOP + 1,
            tasks: HashMap::new(),
            prune_at: PRUNE_MIN,
            jobs: HashMap::new(),
            recorded: None,
            handles: 0,
            has_other_loops: false,
            epoch: None,
            now: 0,
            wait: WaitFor::Ever,
            polled: None,
            main: None,
        }
    }

    /// Returns the number for another handle to this record.
    pub(super) fn next_handle(&mut self) -> u64 {
        self.handles += 1;
        self.handles
    }

    pub(super) fn step(&mut self, handle: u64, time: Instant, step: &Step<'_>) {
        if *self.recorded.get_or_insert(handle) != handle {
            self.has_other_loops = true;
            return;
        }
        let epoch = *self.epoch.get_or_insert(time);
        let now = time.saturating_duration_since(epoch).as_nanos() as u64;
        if self.rows.is_empty() {
            self.rows.insert(LOOP, Row::new(RowKind::Loop, None, now));
        }
        let before = mem::replace(&mut self.now, now);
        if let Step::Turn { .. } | Step::Poll { .. } = step
            && let Some(main) = self.polled.take()
        {
            // A poll began and `Polled` did not follow. A task's panic is reported, so this was the
            // main future, whose panic unwinds through `block_on` instead.
            self.end(main, End::Panicked, before);
        }
        if let Step::Turn { .. } = step
            && self.main.is_none()
        {
            // No main future runs, so the time since the last step was spent outside the loop.
            self.set_state(LOOP, None, before);
        }
        if self.rows[&LOOP].state.is_none() {
            self.set_state(LOOP, Some(State::Running), now);
        }
        match *step {
            Step::Turn { wait, .. } => self.wait = wait,
            Step::Answer { waited, .. } => self.answered(waited),
            Step::Jump { by } => self.loop_has_waited(by, Cause::Jump),
            Step::Spawn { task, name, place } => {
                let row = self.new_task(task, name.map(Into::into), Some(place));
                if name == Some("main") && self.polled.is_none() {
                    self.main = Some(row);
                }
            }
            Step::Wake { task } => self.woken(task),
            Step::Poll { task } => self.poll_begins(task),
            Step::Polled { outcome, took, .. } => self.poll_ended(outcome, took),
            Step::AwaitSource { source, kind, direction, place } => {
                self.awaits(Cause::Source { source, kind, direction, place });
            }
            Step::AwaitTimer { timer, place, .. } => self.awaits(Cause::Timer { timer, place }),
            Step::Disarm { timer } => self.disarmed(timer),
            Step::AwaitTask { task } => self.awaits(Cause::Task(task)),
            Step::AwaitSync { what, place } => self.awaits(Cause::Sync { what, place }),
            Step::Abort { task } => {
                if let Some(&row) = self.tasks.get(&task) {
                    self.end(row, End::Aborted, now);
                }
            }
            Step::Offload { place } => self.job_queued(place),
            Step::Fetch { place } | Step::Forget { place } => self.job_over(place),
            _ => {}
        }
    }

    fn answered(&mut self, waited: Duration) {
        // With ready tasks the kernel does not wait, so asking it counts as work.
        if !matches!(self.wait, WaitFor::Skip { .. } | WaitFor::Tasks { .. }) {
            self.loop_has_waited(waited, Cause::Kernel(self.wait));
        }
    }

    fn loop_has_waited(&mut self, waited: Duration, cause: Cause) {
        let began = self.now.saturating_sub(waited.as_nanos() as u64);
        if began < self.now {
            self.set_state(LOOP, Some(State::Waiting(Some(cause), 0)), began);
            self.set_state(LOOP, Some(State::Running), self.now);
        }
    }

    fn new_row(&mut self, kind: RowKind, state: Option<State>) -> RowId {
        let row = self.next;
        self.next += 1;
        self.rows.insert(row, Row::new(kind, state, self.now));
        row
    }

    fn new_task(&mut self, task: Id, name: Option<Box<str>>, place: Option<Place>) -> RowId {
        if self.tasks.len() >= self.prune_at {
            self.prune();
        }
        let row = self.new_row(RowKind::Task { number: task, name, place }, Some(State::Ready));
        self.tasks.insert(task, row);
        row
    }

    /// Returns the row of a task. An observer's own spawns are not reported, so the row of such a
    /// task begins with its first poll.
    fn row_of(&mut self, task: Id) -> RowId {
        match self.tasks.get(&task) {
            Some(&row) => row,
            None => self.new_task(task, None, None),
        }
    }

    /// Ends the rows of tasks that are gone although no step reported it, because an observer ended
    /// them. A dump does not list such tasks.
    fn prune(&mut self) {
        let dump = dump().to_string();
        let number = |line| str::strip_prefix(line, "task ")?.split([' ', ':']).next();
        let alive: HashSet<&str> = dump.lines().filter_map(number).collect();
        let is_gone = |task: &Id| !alive.contains(task.to_string().as_str());
        let gone = self.tasks.iter().filter(|(task, _)| is_gone(task));
        let gone: Vec<_> = gone.map(|(_, row)| *row).collect();
        for row in gone {
            self.end(row, End::Gone, self.now);
        }
        self.prune_at = PRUNE_MIN.max(2 * self.tasks.len());
    }

    fn woken(&mut self, task: Id) {
        let Some(&id) = self.tasks.get(&task) else { return };
        let Some(row) = self.rows.get_mut(&id) else { return };
        match row.state {
            Some(State::Waiting(..)) => self.set_state(id, Some(State::Ready), self.now),
            _ => row.woken = true,
        }
    }

    fn poll_begins(&mut self, task: Id) {
        let id = self.row_of(task);
        self.set_state(id, Some(State::Running), self.now);
        self.polled = Some(id);
        let Some(row) = self.rows.get_mut(&id) else { return };
        row.woken = false;
        row.timers
            .extend(row.causes.drain(..).filter(|cause| matches!(cause, Cause::Timer { .. })));
    }

    fn awaits(&mut self, cause: Cause) {
        let polled = self.polled.and_then(|row| self.rows.get_mut(&row));
        if let Some(row) = polled.filter(|row| row.causes.len() < MOST_CAUSES) {
            row.causes.push(cause);
        }
    }

    /// Forgets a timer of the polled task. A timer is removed during a poll of its task, or with
    /// the task.
    fn disarmed(&mut self, disarmed: TimerId) {
        let polled = self.polled.and_then(|row| self.rows.get_mut(&row));
        let Some(row) = polled else { return };
        let others =
            |cause: &Cause| !matches!(cause, Cause::Timer { timer, .. } if *timer == disarmed);
        row.causes.retain(others);
        row.timers.retain(others);
    }

    fn poll_ended(&mut self, outcome: Outcome, took: Duration) {
        let Some(id) = self.polled.take() else { return };
        let Some(row) = self.rows.get_mut(&id) else { return };
        // Time that observers spent before the poll does not count as the task's.
        row.since = row.since.max(self.now.saturating_sub(took.as_nanos() as u64));
        let end = match outcome {
            Outcome::Pending if row.woken => {
                return self.set_state(id, Some(State::Ready), self.now);
            }
            Outcome::Pending => {
                let timers = mem::take(&mut row.timers);
                row.causes.extend(timers);
                row.causes.truncate(MOST_CAUSES);
                let more = row.causes.len().saturating_sub(1) as u32;
                let waiting = State::Waiting(row.causes.first().copied(), more);
                return self.set_state(id, Some(waiting), self.now);
            }
            Outcome::Finished => End::Finished,
            Outcome::Panicked => End::Panicked,
        };
        self.end(id, end, self.now);
    }

    fn job_queued(&mut self, place: Place) {
        let id = match self.jobs.get(place) {
            Some(row) => *row,
            None => {
                let row = self.new_row(RowKind::Jobs { place, under_way: 0 }, None);
                self.jobs.insert(place, row);
                row
            }
        };
        let Some(row) = self.rows.get_mut(&id) else { return };
        if let RowKind::Jobs { under_way, .. } = &mut row.kind {
            *under_way += 1;
            if *under_way == 1 {
                self.set_state(id, Some(State::Working), self.now);
            }
        }
    }

    fn job_over(&mut self, place: Place) {
        let Some(&id) = self.jobs.get(place) else { return };
        let Some(row) = self.rows.get_mut(&id) else { return };
        if let RowKind::Jobs { under_way, .. } = &mut row.kind {
            *under_way = under_way.saturating_sub(1);
            if *under_way == 0 {
                self.set_state(id, None, self.now);
            }
        }
    }

    /// Ends the row's current state as a span, and begins another one at `at`.
    fn set_state(&mut self, id: RowId, state: Option<State>, at: u64) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        let was = mem::replace(&mut row.state, state);
        let since = mem::replace(&mut row.since, at);
        // Polls and jobs of zero length are kept, because under a virtual clock all polls are.
        // Waits of zero length are not.
        if let Some(was) = was
            && (since < at || matches!(was, State::Running | State::Working))
        {
            self.push_span(Span { row: id, state: was, start: since.min(at), end: at });
        }
    }

    fn end(&mut self, id: RowId, end: End, at: u64) {
        self.set_state(id, None, at);
        let Some(row) = self.rows.get_mut(&id) else { return };
        if row.spans == 0 {
            // A row is removed with its last span, so an ended row needs at least one.
            self.push_span(Span { row: id, state: State::Ready, start: at, end: at });
        }
        let Some(row) = self.rows.get_mut(&id) else { return };
        row.end = Some(end);
        (row.causes, row.timers) = (Vec::new(), Vec::new());
        if let RowKind::Task { number, .. } = &row.kind {
            self.tasks.remove(number);
        }
        if self.main == Some(id) {
            self.main = None;
            self.set_state(LOOP, None, at);
        }
    }

    fn push_span(&mut self, span: Span) {
        if self.spans.len() == self.capacity
            && let Some(lost) = self.spans.pop_front()
        {
            self.lost += 1;
            self.lost_until = self.lost_until.max(lost.end);
            if let Some(row) = self.rows.get_mut(&lost.row) {
                row.spans -= 1;
                if row.spans == 0 && row.end.is_some() {
                    self.rows.remove(&lost.row);
                }
            }
        }
        if let Some(row) = self.rows.get_mut(&span.row) {
            row.spans += 1;
            self.spans.push_back(span);
        }
    }
}
