//! A timeline in the Trace Event Format, which Perfetto and Chrome open: complete events (`X`) for the spans, on a thread for
//! each row; metadata (`M`) for their names; an instant (`i`) where a task panicked or was aborted.

use std::fmt::Write;

use super::picture::{Drawn, Picture, decimal};
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

/// A task that was aborted when it was just spawned has such a span.
fn is_nothing(span: &Span) -> bool {
    span.start == span.end && span.state == State::Ready
}

fn metadata(name: &str, row: RowId, args: &str) -> String {
    format!(r#"{{"ph":"M","pid":1,"tid":{},"name":"{name}","args":{{{args}}}}}"#, thread(row))
}

/// Where process and thread have the same number, as the loop's row has here, that is the main thread. No thread has the
/// number 0: it means an idle processor.
fn thread(row: RowId) -> RowId {
    row - LOOP + 1
}

fn complete(row: &Drawn<'_>, span: &Span) -> String {
    let (name, category) = match span.state {
        State::Running => ("running", "running"),
        State::Ready => ("ready", "ready"),
        State::Waiting(..) => (span.state.category().name(), "waiting"),
        State::Working => ("jobs on threads", "jobs"),
    };
    let (start, took) = (micros(span.start), micros(span.end - span.start));
    let says = quoted(&row.does(span.state));
    let place = row.place().map(|place| format!(r#","place":{}"#, quoted(&place.to_string())));
    format!(
        r#"{{"ph":"X","pid":1,"tid":{},"ts":{start},"dur":{took},"cat":"{category}","name":"{name}","args":{{"says":{says}{}}}}}"#,
        thread(row.id),
        place.unwrap_or_default()
    )
}

fn last_event(row: &Drawn<'_>) -> Option<String> {
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

/// A JSON string.
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
