//! Draws a timeline as an SVG: bars over an axis, with tooltips and without scripts. The colours
//! are from the palette of Okabe and Ito, which people with colour blindness can tell apart. On
//! white, two of them are darker, for a contrast of 3 to 1. Whatever a colour shows, the height of
//! the bar shows too. [`Timeline`](super::Timeline) calls [`draw`].

use std::{cmp::Reverse, fmt::Write};

use super::MOST_ROWS;
use super::picture::{Category, DrawnRow, Picture, amount};
use super::record::{End, State};

const WIDTH: f64 = 960.0;
const EDGE: f64 = 20.0;
/// The distance of the first row's middle from the top, and of each row from the one above.
const TOP: f64 = 86.0;
const ROW: f64 = 24.0;
/// The approximate width of a character; fonts differ.
const LETTER: f64 = 6.6;
const LONGEST_LABEL: usize = 28;
/// The least width of a bar, so that a short poll stays visible.
const NARROWEST: f64 = 2.0;

const STYLE: &str = "
text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#24292f}
.title{font-size:16px;font-weight:600}
.faint{fill:#57606a}
.back{fill:#fff}.grid{stroke:#d0d7de}.lane{stroke:#d8dee4}
.running{fill:#0072b2}.ready{fill:#c78800}.jobs{fill:#f0e442;stroke:#8c8000;stroke-width:.5}
.timer{fill:#3a99d4}.source{fill:#009e73}.others{fill:#cc79a7}.unknown{fill:#8c959f}
.failed{fill:#d55e00}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}
.faint{fill:#9198a1}
.back{fill:#0d1117}.grid{stroke:#30363d}.lane{stroke:#21262d}
.running{fill:#56b4e9}.ready{fill:#e69f00}.timer{fill:#0072b2}.unknown{fill:#6e7681}
}
";

/// How a span is drawn. The variants are in painting order: later ones cover earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Waiting(Category),
    Ready,
    Working,
    Running,
    Failed,
}

impl Look {
    fn of(state: State) -> Self {
        match state {
            State::Running => Look::Running,
            State::Ready => Look::Ready,
            State::Waiting(..) => Look::Waiting(state.category()),
            State::Working => Look::Working,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Look::Waiting(Category::Timer) => "timer",
            Look::Waiting(Category::Source) => "source",
            Look::Waiting(Category::Others) => "others",
            Look::Waiting(Category::Unknown) => "unknown",
            Look::Ready => "ready",
            Look::Working => "jobs",
            Look::Running => "running",
            Look::Failed => "failed",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Look::Waiting(category) => category.name(),
            Look::Ready => "ready, others run",
            Look::Working => "jobs on threads",
            Look::Running => "running",
            Look::Failed => "panicked or aborted",
        }
    }

    fn height(self) -> f64 {
        match self {
            Look::Waiting(_) => 6.0,
            Look::Ready | Look::Working => 10.0,
            Look::Running | Look::Failed => 16.0,
        }
    }
}

/// A bar: one span, or several that are too short to be told apart.
struct Bar {
    look: Look,
    left: f64,
    right: f64,
    spans: u64,
    /// The total duration of these spans.
    took: u64,
    tooltip: String,
    start: u64,
}

pub(super) fn draw(picture: &Picture<'_>) -> String {
    let shown = &picture.rows[..picture.rows.len().min(MOST_ROWS)];
    let labels: Vec<_> = shown.iter().map(|row| row.label(LONGEST_LABEL)).collect();
    let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let plot = Plot { picture, left: EDGE + longest as f64 * LETTER + 12.0 };
    let bottom = TOP + ROW * shown.len() as f64 - ROW / 2.0;

    let mut body = String::new();
    plot.axis(&mut body, bottom);
    let mut looks = Vec::new();
    for ((row, label), n) in shown.iter().zip(&labels).zip(0_u16..) {
        plot.row(&mut body, row, label, TOP + ROW * f64::from(n), &mut looks);
    }
    looks.sort_unstable();
    looks.dedup();
    looks.sort_by_key(|look| (*look == Look::Failed, Reverse(*look)));
    let mut end = bottom;
    if !looks.is_empty() {
        end = legend(&mut body, &looks, bottom + 24.0);
    }
    for note in picture.notes(MOST_ROWS) {
        end += 20.0;
        text(&mut body, "faint", EDGE, end, &note);
    }

    let height = number(end + EDGE);
    let title = escaped(&picture.title());
    let title_at = number(EDGE);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">
<title>{title}</title>
<style>{STYLE}</style>
<rect class="back" width="{WIDTH}" height="{height}" rx="6"/>
<text class="title" x="{title_at}" y="34">{title}</text>
{body}</svg>
"#
    )
}

/// Maps times to horizontal positions.
struct Plot<'a> {
    picture: &'a Picture<'a>,
    left: f64,
}

impl Plot<'_> {
    fn x(&self, at: u64) -> f64 {
        let share = (at - self.picture.start) as f64 / self.picture.length().max(1) as f64;
        self.left + share * (WIDTH - EDGE - NARROWEST - self.left)
    }

    fn axis(&self, body: &mut String, bottom: f64) {
        if self.picture.is_empty() {
            return;
        }
        let most = ((WIDTH - self.left) / 90.0) as u64;
        for (at, time) in self.picture.ticks(most) {
            let x = self.x(at);
            line(body, "grid", (x, TOP - 20.0), (x, bottom));
            // The text must not overlap the row labels or leave the image.
            let anchor = match x {
                _ if x < self.left + 25.0 => "start",
                _ if x > WIDTH - EDGE - 25.0 => "end",
                _ => "middle",
            };
            let _ = writeln!(
                body,
                r#"<text class="faint" x="{}" y="{}" text-anchor="{anchor}">{}</text>"#,
                number(x),
                number(TOP - 26.0),
                escaped(&time)
            );
        }
    }

    fn row(
        &self,
        body: &mut String,
        row: &DrawnRow<'_>,
        label: &str,
        middle: f64,
        looks: &mut Vec<Look>,
    ) {
        line(body, "lane", (EDGE, middle + ROW / 2.0), (WIDTH - EDGE, middle + ROW / 2.0));
        let _ = writeln!(
            body,
            r#"<text x="{}" y="{}">{}<title>{}</title></text>"#,
            number(EDGE),
            number(middle + 4.0),
            escaped(label),
            escaped(&row.about())
        );
        for bar in self.bars(row) {
            draw_bar(body, &bar, middle);
            looks.push(bar.look);
        }
    }

    /// Returns the bars of a row in painting order.
    fn bars(&self, row: &DrawnRow<'_>) -> Vec<Bar> {
        let name = row.name();
        let mut bars: Vec<Bar> = Vec::new();
        // The index of the last bar of each look, to merge short spans into it.
        let mut last: Vec<(Look, usize)> = Vec::new();
        for span in &row.spans {
            let (look, took) = (Look::of(span.state), span.end - span.start);
            let (left, right) = (self.x(span.start), self.x(span.end));
            if took == 0 && look != Look::Running && look != Look::Working {
                continue;
            }
            let known = last.iter_mut().find(|(known, _)| *known == look);
            if let Some((_, at)) = &known
                && let Some(before) = bars.get_mut(*at)
                && left < before.right + 0.5
                && right < before.right + 1.0
            {
                before.right = before.right.max(right);
                before.spans += 1;
                before.took += took;
                continue;
            }
            match known {
                Some((_, at)) => *at = bars.len(),
                None => last.push((look, bars.len())),
            }
            let tooltip = format!("{name} {}", row.describe_state(span.state));
            let right = right.max(left + if look == Look::Running { NARROWEST } else { 0.5 });
            bars.push(Bar { look, left, right, spans: 1, took, tooltip, start: span.start });
        }
        let end = match row.row.end {
            Some(End::Panicked) => "panicked",
            Some(End::Aborted) => "was aborted",
            _ => "",
        };
        if let (false, Some(span)) = (end.is_empty(), row.spans.last()) {
            let (left, tooltip, start) = (self.x(span.end), format!("{name} {end}"), span.end);
            let (look, right) = (Look::Failed, left + 2.0 * NARROWEST);
            bars.push(Bar { look, left, right, spans: 1, took: 0, tooltip, start });
        }
        bars.sort_by_key(|bar| bar.look);
        bars
    }
}

fn draw_bar(body: &mut String, bar: &Bar, middle: f64) {
    let height = bar.look.height();
    let tooltip = match bar.spans {
        1 => format!("{}: at {}, for {}", bar.tooltip, amount(bar.start), amount(bar.took)),
        spans => format!(
            "{} times {}: from {}, together for {}",
            spans,
            bar.tooltip,
            amount(bar.start),
            amount(bar.took)
        ),
    };
    let _ = writeln!(
        body,
        r#"<rect class="{}" x="{}" y="{}" width="{}" height="{height}"><title>{}</title></rect>"#,
        bar.look.class(),
        number(bar.left),
        number(middle - height / 2.0),
        number(bar.right - bar.left),
        escaped(&tooltip)
    );
}

/// Draws the legend and returns its lower edge.
fn legend(body: &mut String, looks: &[Look], top: f64) -> f64 {
    let (mut x, mut y) = (EDGE, top);
    for look in looks {
        let letters = text_width(look.name());
        let width = 20.0 + letters + 20.0;
        if x + width > WIDTH - EDGE && x > EDGE {
            (x, y) = (EDGE, y + 22.0);
        }
        let height = look.height();
        let _ = writeln!(
            body,
            r#"<rect class="{}" x="{}" y="{}" width="14" height="{height}"/>"#,
            look.class(),
            number(x),
            number(y - height / 2.0)
        );
        let _ = writeln!(
            body,
            r#"<text class="faint" x="{}" y="{}" textLength="{}">{}</text>"#,
            number(x + 20.0),
            number(y + 4.0),
            number(letters),
            look.name()
        );
        x += width;
    }
    y + 6.0
}

/// Estimates the width of a text. Passed as `textLength`, it fixes the width in every font.
fn text_width(text: &str) -> f64 {
    let width = |c| match c {
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | ' ' | ',' => 3.9,
        'm' | 'w' => 9.6,
        _ => 7.0,
    };
    text.chars().map(width).sum()
}

fn text(body: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        body,
        r#"<text class="{class}" x="{}" y="{}">{text}</text>"#,
        number(x),
        number(y)
    );
}

fn line(body: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
    let _ = writeln!(body, r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#);
}

/// Formats a length to a tenth of a pixel.
fn number(pixels: f64) -> String {
    let text = format!("{pixels:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// Escapes text for XML. [`visible`](crate::state::log::visible) has already escaped control
/// characters, which XML cannot contain.
fn escaped(text: &str) -> String {
    let mut xml = String::new();
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            c => xml.push(c),
        }
    }
    xml
}
