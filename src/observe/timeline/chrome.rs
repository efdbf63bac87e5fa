//! Writes a timeline in the Trace Event Format, which Perfetto and Chrome open. Each row is a
//! thread: complete events (`X`) for its spans, metadata (`M`) for its name, and an instant event
//! (`i`) where the task panicked or was aborted. [`Timeline`](super::Timeline) calls [`draw`].

use std::fmt::Write;

use super::picture::{DrawnRow, Picture, decimal};
use super::record::{End, LOOP, RowId, Span, State};

pub(super) fn draw(picture: &Picture<'_>) -> String {
    let mut events = vec![metadata("process_name", LOOP, r#""name":"headwaiter""#)];
    for row in &picture.rows {
        let name = format!(r#""name":{}"#, quoted(&row.name()));
        events.push(metadata("thread_name", row.id, &name));
        events.push(metadata("thread_sort_index", row.id, &format!(r#""sort_index":{}"#, row.id)));
    }
    for row in &picture.rows {
        events.extend(
            row.spans.iter().filter(|span| !is_nothing(span)).map(|span| complete(row, span)),
        );
        events.extend(last_event(row));
    }
    let notes = picture.notes(usize::MAX).join("; ");
    let notes =
        if notes.is_empty() { picture.title() } else { format!("{}; {notes}", picture.title()) };
    let about = format!(r#"{{"about":{}}}"#, quoted(&notes));
    let events = events.join(",\n");
    format!("{{\"displayTimeUnit\":\"ms\",\"otherData\":{about},\"traceEvents\":[\n{events}\n]}}\n")
}

/// Returns whether a span is an empty placeholder, for instance for a task that was aborted right
/// after its spawn.
fn is_nothing(span: &Span) -> bool {
    span.start == span.end && span.state == State::Ready
}

fn metadata(name: &str, row: RowId, args: &str) -> String {
    format!(r#"{{"ph":"M","pid":1,"tid":{},"name":"{name}","args":{{{args}}}}}"#, thread(row))
}

/// Returns the thread number of a row. A thread with the number of its process is the main thread,
/// so the loop's row gets 1, like the process. 0 is not used: it means an idle processor.
fn thread(row: RowId) -> RowId {
    row - LOOP + 1
}

fn complete(row: &DrawnRow<'_>, span: &Span) -> String {
    let (name, category) = match span.state {
        State::Running => ("running", "running"),
        State::Ready => ("ready", "ready"),
        State::Waiting(..) => (span.state.category().name(), "waiting"),
        State::Working => ("jobs on threads", "jobs"),
    };
    let (start, took) = (micros(span.start), micros(span.end - span.start));
    let says = quoted(&row.describe_state(span.state));
    let place = row.place().map(|place| format!(r#","place":{}"#, quoted(&place.to_string())));
    format!(
        r#"{{"ph":"X","pid":1,"tid":{},"ts":{start},"dur":{took},"cat":"{category}","name":"{name}","args":{{"says":{says}{}}}}}"#,
        thread(row.id),
        place.unwrap_or_default()
    )
}

fn last_event(row: &DrawnRow<'_>) -> Option<String> {
    let name = match row.row.end? {
        End::Panicked => "panicked",
        End::Aborted => "aborted",
        End::Finished | End::Gone => return None,
    };
    let at = micros(row.spans.last()?.end);
    Some(format!(
        r#"{{"ph":"i","pid":1,"tid":{},"ts":{at},"s":"t","cat":"end","name":"{name}"}}"#,
        thread(row.id)
    ))
}

fn micros(nanos: u64) -> String {
    decimal(nanos, 1000)
}

/// Formats a JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(json, "\\u{:04x}", c as u32);
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}
