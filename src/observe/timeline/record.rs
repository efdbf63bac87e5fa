//! What a timeline keeps: of each row in which state it is and since when, and in a ring the spans that are over. Told
//! by [`Timeline`](super::Timeline), read by [`Picture`](super::picture::Picture). It knows nothing of how it is drawn.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::{mem, panic::Location, time::Duration};

use crate::door::Door;
use crate::state::{Direction, Id, LoopId, Outcome, Slot, SourceId, Step, TimerId, WaitFor};

/// Times are in nanoseconds of the loop's clock.
pub(super) struct Record {
    pub(super) capacity: usize,
    /// What is over, in the order of its ends.
    pub(super) spans: VecDeque<Span>,
    /// How many were overwritten, and when the last of them ended.
    pub(super) lost: u64,
    pub(super) lost_until: u64,
    /// In the order of their appearance. One that has ended stays while a span of it is kept.
    pub(super) rows: BTreeMap<RowId, Row>,
    next: RowId,
    /// Those of the tasks that have not ended.
    tasks: HashMap<Slot, RowId>,
    /// With so many of them, it is looked which are gone.
    crowd: usize,
    jobs: HashMap<Place, RowId>,
    /// The loop that is recorded.
    home: Option<LoopId>,
    /// Whether another loop told it something, too.
    pub(super) has_strangers: bool,
    /// Of the first step, and of the last.
    pub(super) began: u64,
    pub(super) now: u64,
    /// What was last asked of the kernel.
    wait: WaitFor,
    /// The task that is being polled.
    polled: Option<RowId>,
    /// The main future, while there is one: then the loop is at work also between its steps.
    main: Option<RowId>,
}

pub(super) type RowId = u64;

/// The row of the loop itself.
pub(super) const LOOP: RowId = 0;

pub(super) type Place = &'static Location<'static>;

pub(super) struct Row {
    pub(super) what: Who,
    /// `None`: it is not there, or does nothing.
    pub(super) state: Option<State>,
    pub(super) since: u64,
    pub(super) end: Option<End>,
    /// How many of its spans are in the ring.
    spans: usize,
    /// It was woken while it was polled.
    woken: bool,
    /// For what it waits, as it said in its last poll.
    causes: Vec<Cause>,
    /// For what it waited before that poll, as far as those are timers: one that is armed already is not told of again.
    timers: Vec<Cause>,
}

pub(super) enum Who {
    Loop,
    Task {
        number: Id,
        name: Option<Box<str>>,
        place: Option<Place>,
    },
    Jobs {
        place: Place,
        /// How many.
        under_way: usize,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Ready,
    /// For the first cause, and for so many more. `None`: it has not said for what.
    Waiting(Option<Cause>, u32),
    /// Jobs are under way on threads.
    Working,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Panicked,
    Aborted,
    /// Unseen: an observer had a hand in it.
    Gone,
}

/// What a task waits for, or the loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Source { source: SourceId, kind: &'static str, direction: Direction, place: Option<Place> },
    Timer { timer: TimerId, place: Place },
    Task(Id),
    Sync { what: &'static str, place: Place },
    Kernel(WaitFor),
    Jump,
}

#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) row: RowId,
    pub(super) state: State,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A task that waits for more things at once says so in a number.
const MOST_CAUSES: usize = 8;

/// A crowd of tasks of which some may have gone unseen.
const CROWD: usize = 1024;

impl Row {
    fn new(what: Who, state: Option<State>, since: u64) -> Self {
        let (causes, timers) = (Vec::new(), Vec::new());
        Row { what, state, since, end: None, spans: 0, woken: false, causes, timers }
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
            crowd: CROWD,
            jobs: HashMap::new(),
            home: None,
            has_strangers: false,
            began: 0,
            now: 0,
            wait: WaitFor::Ever,
            polled: None,
            main: None,
        }
    }

    pub(super) fn step(&mut self, home: LoopId, now: u64, step: &Step<'_>) {
        if *self.home.get_or_insert(home) != home {
            self.has_strangers = true;
            return;
        }
        if self.rows.is_empty() {
            (self.began, self.now) = (now, now);
            self.rows.insert(LOOP, Row::new(Who::Loop, None, now));
        }
        let before = mem::replace(&mut self.now, now);
        if let Step::Turn { .. } | Step::Poll { .. } = step
            && let Some(main) = self.polled.take()
        {
            // The panic of a task is told, that of the main future goes on through `block_on`.
            self.end(main, End::Panicked, before);
        }
        if let Step::Turn { .. } = step
            && self.main.is_none()
        {
            // Whatever was done since the last step was done outside the loop.
            self.turn_to(LOOP, None, before);
        }
        if self.rows[&LOOP].state.is_none() {
            self.turn_to(LOOP, Some(State::Running), now);
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
            Step::AwaitTask { task } => self.awaits(Cause::Task(task)),
            Step::AwaitSync { what, place } => self.awaits(Cause::Sync { what, place }),
            Step::Abort { task } => {
                if let Some(&row) = self.tasks.get(&task.0) {
                    self.end(row, End::Aborted, now);
                }
            }
            Step::Offload { place } => self.job_queued(place),
            Step::Fetch { place } | Step::Forget { place } => self.job_over(place),
            _ => {}
        }
    }

    fn answered(&mut self, waited: Duration) {
        // Where tasks are ready, the kernel does not wait, and asking it is work like any other.
        if !matches!(self.wait, WaitFor::Skip { .. } | WaitFor::Tasks { .. }) {
            self.loop_has_waited(waited, Cause::Kernel(self.wait));
        }
    }

    fn loop_has_waited(&mut self, waited: Duration, cause: Cause) {
        let began = self.now.saturating_sub(waited.as_nanos() as u64);
        if began < self.now {
            self.turn_to(LOOP, Some(State::Waiting(Some(cause), 0)), began);
            self.turn_to(LOOP, Some(State::Running), self.now);
        }
    }

    fn new_row(&mut self, what: Who, state: Option<State>) -> RowId {
        let row = self.next;
        self.next += 1;
        self.rows.insert(row, Row::new(what, state, self.now));
        row
    }

    fn new_task(&mut self, task: Id, name: Option<Box<str>>, place: Option<Place>) -> RowId {
        if self.tasks.len() >= self.crowd {
            self.let_go();
        }
        let row = self.new_row(Who::Task { number: task, name, place }, Some(State::Ready));
        self.tasks.insert(task.0, row);
        row
    }

    /// The row of a task, also of one that was spawned before anybody listened.
    fn row_of(&mut self, task: Id) -> RowId {
        if let Some(&row) = self.tasks.get(&task.0) {
            return row;
        }
        let name = Door::open().and_then(|door| door.tasks.name(task.0).map(Into::into));
        self.new_task(task, name, None)
    }

    /// What an observer does to a task is not told, not even its end.
    fn let_go(&mut self) {
        let is_gone =
            |slot: Slot| Door::open().is_some_and(|door| door.tasks.origin(slot).is_none());
        let gone: Vec<_> =
            self.tasks.iter().filter(|(slot, _)| is_gone(**slot)).map(|(_, row)| *row).collect();
        for row in gone {
            self.end(row, End::Gone, self.now);
        }
        self.crowd = CROWD.max(2 * self.tasks.len());
    }

    fn woken(&mut self, task: Id) {
        let Some(&id) = self.tasks.get(&task.0) else { return };
        let Some(row) = self.rows.get_mut(&id) else { return };
        match row.state {
            Some(State::Waiting(..)) => self.turn_to(id, Some(State::Ready), self.now),
            _ => row.woken = true,
        }
    }

    fn poll_begins(&mut self, task: Id) {
        let id = self.row_of(task);
        self.turn_to(id, Some(State::Running), self.now);
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

    fn poll_ended(&mut self, outcome: Outcome, took: Duration) {
        let Some(id) = self.polled.take() else { return };
        let Some(row) = self.rows.get_mut(&id) else { return };
        // What was done before by those who listen is not the task's.
        row.since = row.since.max(self.now.saturating_sub(took.as_nanos() as u64));
        let end = match outcome {
            Outcome::Pending if row.woken => return self.turn_to(id, Some(State::Ready), self.now),
            Outcome::Pending => {
                let timers = mem::take(&mut row.timers);
                row.causes.extend(timers.into_iter().filter(Cause::is_armed));
                row.causes.truncate(MOST_CAUSES);
                let more = row.causes.len().saturating_sub(1) as u32;
                let waiting = State::Waiting(row.causes.first().copied(), more);
                return self.turn_to(id, Some(waiting), self.now);
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
                let row = self.new_row(Who::Jobs { place, under_way: 0 }, None);
                self.jobs.insert(place, row);
                row
            }
        };
        let Some(row) = self.rows.get_mut(&id) else { return };
        if let Who::Jobs { under_way, .. } = &mut row.what {
            *under_way += 1;
            if *under_way == 1 {
                self.turn_to(id, Some(State::Working), self.now);
            }
        }
    }

    fn job_over(&mut self, place: Place) {
        let Some(&id) = self.jobs.get(place) else { return };
        let Some(row) = self.rows.get_mut(&id) else { return };
        if let Who::Jobs { under_way, .. } = &mut row.what {
            *under_way = under_way.saturating_sub(1);
            if *under_way == 0 {
                self.turn_to(id, None, self.now);
            }
        }
    }

    /// The row's state ends, and another begins.
    fn turn_to(&mut self, id: RowId, state: Option<State>, at: u64) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        let was = mem::replace(&mut row.state, state);
        let since = mem::replace(&mut row.since, at);
        // A poll that took no time was a poll nevertheless; a wait that took none was no wait.
        if let Some(was) = was
            && (since < at || matches!(was, State::Running | State::Working))
        {
            self.keep(Span { row: id, state: was, start: since.min(at), end: at });
        }
    }

    fn end(&mut self, id: RowId, end: End, at: u64) {
        self.turn_to(id, None, at);
        let Some(row) = self.rows.get_mut(&id) else { return };
        if row.spans == 0 {
            // With its last span goes the row.
            self.keep(Span { row: id, state: State::Ready, start: at, end: at });
        }
        let Some(row) = self.rows.get_mut(&id) else { return };
        row.end = Some(end);
        (row.causes, row.timers) = (Vec::new(), Vec::new());
        if let Who::Task { number, .. } = &row.what {
            self.tasks.remove(&number.0);
        }
        if self.main == Some(id) {
            self.main = None;
            self.turn_to(LOOP, None, at);
        }
    }

    fn keep(&mut self, span: Span) {
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

impl Cause {
    /// Whether it is a timer that is still awaited.
    fn is_armed(&self) -> bool {
        match self {
            Cause::Timer { timer, .. } => {
                Door::open().is_some_and(|mut door| door.timers.is_armed(timer.0))
            }
            _ => false,
        }
    }
}
