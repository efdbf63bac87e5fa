//! What all drawings of a timeline share: the rows with their spans, cut to the time that is fully
//! recorded; their descriptions; and the ticks of the axis. [`Timeline`](super::Timeline) makes a
//! [`Picture`] for each drawing. It never changes the record.

use std::collections::BTreeMap;

use super::record::{Cause, LOOP, Place, Record, Row, RowId, RowKind, Span, State};
use crate::state::{WaitFor, plural, visible};

pub(super) struct Picture<'a> {
    record: &'a Record,
    /// The drawn period. All times here are in nanoseconds since the first step.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) rows: Vec<DrawnRow<'a>>,
}

/// A row and its spans within the drawn period, in order of time.
pub(super) struct DrawnRow<'a> {
    pub(super) id: RowId,
    pub(super) row: &'a Row,
    pub(super) spans: Vec<Span>,
}

/// What a wait is for, as coarsely as a drawing shows it by colour.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Category {
    Timer,
    Source,
    Others,
    Unknown,
}

impl<'a> Picture<'a> {
    pub(super) fn of(record: &'a Record) -> Self {
        let (start, end) = (record.lost_until, record.now);
        let mut rows: BTreeMap<RowId, Vec<Span>> =
            record.rows.keys().map(|id| (*id, Vec::new())).collect();
        let open = record.rows.iter().filter_map(|(id, row)| {
            let state = row.state?;
            Some(Span { row: *id, state, start: row.since, end })
        });
        for span in record.spans.iter().copied().chain(open).filter(|span| span.end >= start) {
            if let Some(spans) = rows.get_mut(&span.row) {
                let (start, end) = (span.start.max(start), span.end);
                spans.push(Span { start, end, ..span });
            }
        }
        let rows =
            rows.into_iter().map(|(id, spans)| DrawnRow { id, row: &record.rows[&id], spans });
        let rows = rows.filter(|row| row.id == LOOP || !row.spans.is_empty()).collect();
        Picture { record, start, end, rows }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn length(&self) -> u64 {
        self.end - self.start
    }

    pub(super) fn title(&self) -> String {
        if self.is_empty() {
            return "an empty timeline".to_owned();
        }
        let tasks =
            self.rows.iter().filter(|row| matches!(row.row.kind, RowKind::Task { .. })).count();
        format!("{} task{} in {}", grouped(tasks as u64), plural(tasks), amount(self.length()))
    }

    /// Returns what the reader must know about the drawing, such as what it leaves out. It draws at
    /// most `most_rows` rows.
    pub(super) fn notes(&self, most_rows: usize) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_empty() {
            let how = "nothing was recorded: give the timeline to `EventLoop::builder().observer(timeline.clone())`, and run that loop";
            notes.push(how.to_owned());
        }
        if let hidden @ 1.. = self.rows.len().saturating_sub(most_rows) {
            notes.push(format!(
                "and {} more row{}, which are not drawn",
                grouped(hidden as u64),
                plural(hidden)
            ));
        }
        if let lost @ 1.. = self.record.lost {
            let (spans, are) = if lost == 1 { ("span", "is") } else { ("spans", "are") };
            notes.push(format!(
                "the first {} {spans} {are} not shown: this timeline keeps the last {}",
                grouped(lost),
                grouped(self.record.capacity as u64)
            ));
        }
        if self.record.has_other_loops {
            notes.push(
                "steps of another event loop are not shown: give each its own timeline".to_owned(),
            );
        }
        notes
    }

    /// Returns the position and the label of each tick of the axis, about `most` at most.
    pub(super) fn ticks(&self, most: u64) -> Vec<(u64, String)> {
        let step = round_up(self.length().div_ceil(most.max(1)).max(1));
        let (unit, name) = unit_of(self.end);
        let first = self.start.div_ceil(step);
        let marks = (first..).map(|n| n.saturating_mul(step)).take_while(|at| *at <= self.end);
        let marks = marks.take(most as usize + 1);
        marks.map(|at| (at, format!("{} {name}", decimal(at, unit)))).collect()
    }
}

impl DrawnRow<'_> {
    /// Returns a short label of at most `most` characters.
    pub(super) fn label(&self, most: usize) -> String {
        let label = match &self.row.kind {
            RowKind::Loop => "loop".to_owned(),
            RowKind::Task { number, name: Some(name), .. } => format!("{number} {}", visible(name)),
            RowKind::Task { number, place: Some(place), .. } => {
                format!("{number} {}", short(place))
            }
            RowKind::Task { number, .. } => format!("task {number}"),
            RowKind::Jobs { place, .. } => format!("jobs of {}", short(place)),
        };
        match label.char_indices().nth(most) {
            None => label,
            Some(_) => label.chars().take(most - 1).chain(['…']).collect(),
        }
    }

    /// Returns the full name, with the whole path of the place.
    pub(super) fn name(&self) -> String {
        match &self.row.kind {
            RowKind::Loop => "loop".to_owned(),
            RowKind::Task { number, name: Some(name), .. } => format!("{number} {}", visible(name)),
            RowKind::Task { number, place: Some(place), .. } => format!("{number} {place}"),
            RowKind::Task { number, .. } => format!("task {number}"),
            RowKind::Jobs { place, .. } => format!("jobs of {place}"),
        }
    }

    /// Returns the full name and, for a named task, where it was spawned.
    pub(super) fn about(&self) -> String {
        match &self.row.kind {
            RowKind::Task { name: Some(_), place: Some(place), .. } => {
                format!("{}, spawned at {place}", self.name())
            }
            RowKind::Loop => {
                "loop: the thread, which runs the tasks, or waits for what comes next".to_owned()
            }
            _ => self.name(),
        }
    }

    pub(super) fn place(&self) -> Option<Place> {
        match self.row.kind {
            RowKind::Loop => None,
            RowKind::Task { place, .. } => place,
            RowKind::Jobs { place, .. } => Some(place),
        }
    }

    /// Describes what the row does in this state: a verb phrase for its name.
    pub(super) fn describe_state(&self, state: State) -> String {
        match (state, &self.row.kind) {
            (State::Running, RowKind::Loop) => "works".to_owned(),
            (State::Running, _) => "is polled".to_owned(),
            (State::Ready, _) => "is ready, and others run".to_owned(),
            (State::Waiting(None, _), _) => "waits: it was not told for what".to_owned(),
            (State::Waiting(Some(cause), 0), _) => format!("waits {}", cause.describe()),
            (State::Waiting(Some(cause), more), _) => {
                format!("waits {}; and for {more} more", cause.describe())
            }
            (State::Working, _) => "are under way".to_owned(),
        }
    }
}

impl State {
    pub(super) fn category(self) -> Category {
        let State::Waiting(Some(cause), _) = self else { return Category::Unknown };
        match cause {
            Cause::Timer { .. } | Cause::Jump | Cause::Kernel(WaitFor::Timer { .. }) => {
                Category::Timer
            }
            Cause::Source { .. } | Cause::Kernel(WaitFor::Ever | WaitFor::Grace { .. }) => {
                Category::Source
            }
            Cause::Task(_) | Cause::Sync { .. } | Cause::Kernel(WaitFor::Work { .. }) => {
                Category::Others
            }
            Cause::Kernel(_) => Category::Unknown,
        }
    }
}

impl Category {
    pub(super) fn name(self) -> &'static str {
        match self {
            Category::Timer => "waiting for a timer",
            Category::Source => "waiting for a source",
            Category::Others => "waiting for other tasks or threads",
            Category::Unknown => "waiting",
        }
    }
}

impl Cause {
    fn describe(self) -> String {
        let at = |place: Place| format!(", at {place}");
        match self {
            Cause::Source { source, kind, direction, place } => {
                let place = place.map(at).unwrap_or_default();
                format!("until {kind} {source} can {}{place}", direction.verb())
            }
            Cause::Timer { timer, place } => format!("for timer {timer}{}", at(place)),
            Cause::Task(task) => format!("for the end of task {task}"),
            Cause::Sync { what, place } => format!("for {what}{}", at(place)),
            Cause::Jump => "for its next timer: the virtual clock jumps".to_owned(),
            Cause::Kernel(WaitFor::Timer { left }) => {
                format!("for the kernel; its next timer is due in {left:?}")
            }
            Cause::Kernel(WaitFor::Work { under_way }) => {
                format!("for {under_way} offloaded job{} or child processes", plural(under_way))
            }
            Cause::Kernel(WaitFor::Ever) => {
                "for the kernel or another thread; no timer is armed".to_owned()
            }
            Cause::Kernel(_) => "for the kernel".to_owned(),
        }
    }
}

/// Formats a place with only the file name of its path, to save room.
fn short(place: Place) -> String {
    let file = place.file().rsplit(['/', '\\']).next().unwrap_or_default();
    format!("{file}:{}", place.line())
}

/// Formats a number with thousands separators: `1,234`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const UNITS: [(u64, &str); 4] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns")];

fn unit_of(nanos: u64) -> (u64, &'static str) {
    UNITS.into_iter().find(|(unit, _)| nanos >= *unit).unwrap_or((1_000_000, "ms"))
}

/// Formats a duration, to about three digits.
pub(super) fn amount(nanos: u64) -> String {
    let (unit, name) = unit_of(nanos);
    let value = nanos as f64 / unit as f64;
    let decimals = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {name}")
}

/// Formats a time in this unit without rounding.
pub(super) fn decimal(nanos: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let (whole, rest) = (nanos / unit, nanos % unit);
    let rest = format!("{rest:0digits$}");
    match rest.trim_end_matches('0') {
        "" => whole.to_string(),
        rest => format!("{whole}.{rest}"),
    }
}

/// Rounds up to the next of 1, 2, 5, 10, 20, 50, ...
fn round_up(number: u64) -> u64 {
    let power = 10_u64.saturating_pow(number.max(1).ilog10());
    let steps = [1, 2, 5, 10].map(|times: u64| times.saturating_mul(power));
    steps.into_iter().find(|step| *step >= number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1234, 1_000_000].map(grouped), ["0", "999", "1,234", "1,000,000"]);
        let amounts = [0, 7, 1_500, 999_999, 12_345_678, 3_600_000_000_000].map(amount);
        assert_eq!(amounts, ["0 ms", "7 ns", "1.5 µs", "1000 µs", "12.3 ms", "3600 s"]);
        assert_eq!(decimal(1_250_000, 1_000_000), "1.25");
        assert_eq!(decimal(40_000_001, 1_000_000), "40.000001");
        assert_eq!([1, 2, 3, 9, 10, 11, 51].map(round_up), [1, 2, 5, 10, 10, 20, 100]);
        assert_eq!(round_up(u64::MAX), u64::MAX);
    }
}
