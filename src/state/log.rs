//! The vocabulary of log lines: the targets, the labels of tasks, and the escaping of users' text.
//! Every layer uses it.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::panic::Location;

use super::slots::Slot;

pub(crate) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Lists places for a log line, each once.
pub(crate) fn places(places: impl IntoIterator<Item = &'static Location<'static>>) -> String {
    let places: BTreeSet<_> = places.into_iter().collect();
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The targets of the log lines.
pub(crate) const LOOP: &str = "headwaiter::loop";
pub(crate) const TASK: &str = "headwaiter::task";
pub(crate) const SOURCE: &str = "headwaiter::source";
pub(crate) const TIMER: &str = "headwaiter::timer";
pub(crate) const OFFLOAD: &str = "headwaiter::offload";
#[cfg(feature = "hyper")]
pub(crate) const HTTP: &str = "headwaiter::http";

/// Formats a task in a line of text: `task 17 "oven"`.
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

/// Escapes a name for log lines, reports, dumps and timelines. A name may be any text, so
/// characters that would move the cursor, end the line or reverse it are escaped as in Rust source:
/// `\n`, `\u{1b}`.
pub(crate) fn visible(name: &str) -> String {
    let quoted = format!("{name:?}");
    quoted[1..quoted.len() - 1].to_owned()
}

/// Formats a user's text for a log line, such as a panic message or an error. Escapes it like a
/// name, so it cannot end the line or forge another one. Keeps quotes and backslashes, because the
/// text is not quoted here and its author may have escaped it already, as the errors of `fs` do
/// with paths.
pub(crate) struct OneLine<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Escapes while writing, without an allocation: the text may be long.
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
