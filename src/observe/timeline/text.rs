//! Draws a timeline as text for a terminal: a line for each row, a character for each slice of
//! time. [`Timeline`](super::Timeline) calls [`draw`].

use std::{fmt::Write, ops::RangeInclusive};

use super::MOST_ROWS;
use super::picture::{DrawnRow, Picture, amount};
use super::record::{End, State};

/// The accepted widths. A narrower drawing is unreadable; a wider one fits no terminal and takes
/// too much memory.
const COLUMNS: RangeInclusive<usize> = 40..=10_000;

/// The meaning of a character in a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Absent,
    Running,
    RunningShortly,
    Ready,
    Waiting,
    Working,
    Panicked,
    Aborted,
}

const LEGEND: [Sign; 7] = [
    Sign::Running,
    Sign::RunningShortly,
    Sign::Ready,
    Sign::Waiting,
    Sign::Working,
    Sign::Panicked,
    Sign::Aborted,
];

impl Sign {
    fn character(self) -> char {
        match self {
            Sign::Absent => ' ',
            Sign::Running => '█',
            Sign::RunningShortly => '▌',
            Sign::Ready => '▒',
            Sign::Waiting => '░',
            Sign::Working => '▓',
            Sign::Panicked => '!',
            Sign::Aborted => 'x',
        }
    }

    fn name(self) -> &'static str {
        match self {
            Sign::Absent => "",
            Sign::Running => "running",
            Sign::RunningShortly => "running briefly",
            Sign::Ready => "ready, others run",
            Sign::Waiting => "waiting",
            Sign::Working => "jobs on threads",
            Sign::Panicked => "panicked",
            Sign::Aborted => "aborted",
        }
    }
}

pub(super) fn draw(picture: &Picture<'_>, columns: usize) -> String {
    let columns = columns.clamp(*COLUMNS.start(), *COLUMNS.end());
    let mut lines = Vec::new();
    if picture.is_empty() {
        wrap(&mut lines, picture.title().split(' '), " ", columns);
    } else {
        draw_rows(&mut lines, picture, columns);
    }
    for note in picture.notes(MOST_ROWS) {
        wrap(&mut lines, note.split(' '), " ", columns);
    }
    let mut text = String::new();
    for line in lines {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn draw_rows(lines: &mut Vec<String>, picture: &Picture<'_>, columns: usize) {
    let shown = &picture.rows[..picture.rows.len().min(MOST_ROWS)];
    let labels: Vec<_> = shown.iter().map(|row| fit(&row.label(columns), columns / 3)).collect();
    let margin = labels.iter().map(|label| width_of(label)).max().unwrap_or(0) + 1;
    let cells = columns - margin;

    let slice = amount(picture.length() / cells as u64);
    let title = format!("{}; one column is {slice}", picture.title());
    wrap(lines, title.split(' '), " ", columns);
    let (marks, rule) = axis(picture, cells);
    lines.push(format!("{:margin$}{marks}", ""));
    lines.push(format!("{:margin$}{rule}", ""));
    let mut seen = Vec::new();
    for (row, label) in shown.iter().zip(labels) {
        let signs = signs(row, picture, cells);
        let padding = margin - width_of(&label);
        let line: String = signs.iter().map(|sign| sign.character()).collect();
        lines.push(format!("{label}{:padding$}{line}", ""));
        seen.extend(signs);
    }
    let legend = LEGEND.iter().filter(|sign| seen.contains(sign));
    let legend: Vec<_> =
        legend.map(|sign| format!("{} {}", sign.character(), sign.name())).collect();
    wrap(lines, legend.iter().map(String::as_str), "   ", columns);
}

/// Returns the two lines of the axis: the times, and the marks below them.
fn axis(picture: &Picture<'_>, cells: usize) -> (String, String) {
    let mut times = String::new();
    let mut rule = vec!['─'; cells];
    let mut used = 0;
    for (at, time) in picture.ticks(cells as u64 / 10) {
        let cell = cell_of(at, picture, cells);
        if used <= cell && cell + time.chars().count() <= cells {
            let _ = write!(times, "{:1$}{time}", "", cell - used);
            used = cell + time.chars().count();
            rule[cell] = '┬';
        }
    }
    (times, rule.into_iter().collect())
}

fn cell_of(at: u64, picture: &Picture<'_>, cells: usize) -> usize {
    let cell = u128::from(at - picture.start) * cells as u128 / u128::from(picture.length().max(1));
    (cell as usize).min(cells - 1)
}

/// How long a row was in each state during one slice of time. Durations are multiplied by the
/// number of slices, so that the borders of slices are whole numbers.
#[derive(Clone, Copy, Default)]
struct Slice {
    running: u128,
    ready: u128,
    waiting: u128,
    working: u128,
    is_polled: bool,
}

fn signs(row: &DrawnRow<'_>, picture: &Picture<'_>, cells: usize) -> Vec<Sign> {
    let mut slices = vec![Slice::default(); cells];
    // With times multiplied by the number of slices, slices begin at multiples of this.
    let slice = u128::from(picture.length().max(1));
    let mut last = None;
    for span in &row.spans {
        let (first, end) = (cell_of(span.start, picture, cells), cell_of(span.end, picture, cells));
        let scaled = |at: u64| u128::from(at - picture.start) * cells as u128;
        for (cell, at) in slices.iter_mut().zip(0..).take(end + 1).skip(first) {
            let here = scaled(span.end)
                .min((at + 1) * slice)
                .saturating_sub(scaled(span.start).max(at * slice));
            match span.state {
                State::Running => {
                    cell.running += here;
                    // A span that ends exactly at the border does not reach into the next slice.
                    cell.is_polled |= here > 0 || span.start == span.end;
                }
                State::Ready => cell.ready += here,
                State::Waiting(..) => cell.waiting += here,
                State::Working => cell.working += here,
            }
        }
        last = Some(end);
    }
    let mut signs: Vec<_> = slices.iter().map(|cell| cell.sign(slice)).collect();
    match (row.row.end, last) {
        (Some(End::Panicked), Some(last)) => signs[last] = Sign::Panicked,
        (Some(End::Aborted), Some(last)) => signs[last] = Sign::Aborted,
        _ => {}
    }
    signs
}

impl Slice {
    fn sign(&self, whole: u128) -> Sign {
        if self.running > 0 && 2 * self.running >= whole {
            return Sign::Running;
        }
        if self.is_polled {
            return Sign::RunningShortly;
        }
        let states = [
            (self.working, Sign::Working),
            (self.ready, Sign::Ready),
            (self.waiting, Sign::Waiting),
        ];
        let longest =
            states.into_iter().max_by_key(|(nanos, _)| *nanos).filter(|(nanos, _)| *nanos > 0);
        longest.map_or(Sign::Absent, |(_, sign)| sign)
    }
}

/// Appends the words in lines of at most `columns` columns, without breaking a word.
fn wrap<'a>(
    lines: &mut Vec<String>,
    words: impl Iterator<Item = &'a str>,
    between: &str,
    columns: usize,
) {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() && width_of(&line) + between.len() + width_of(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push_str(between);
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
}

/// Cuts a label to this many columns.
fn fit(label: &str, columns: usize) -> String {
    if width_of(label) <= columns {
        return label.to_owned();
    }
    let mut fitted = String::new();
    for c in label.chars() {
        if width_of(&fitted) + width(c) >= columns {
            break;
        }
        fitted.push(c);
    }
    fitted + "…"
}

fn width_of(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// Returns how many columns a terminal gives to a character: an approximation without a table.
fn width(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}
