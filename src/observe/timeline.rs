//! [`Timeline`]: an observer that records the steps of a loop and draws them afterwards: as text
//! for a terminal, as an SVG, or as a trace for Perfetto. Users create it and give it to a loop.
//! `record.rs` holds the recorded data; `picture.rs` holds what all drawings share. A timeline
//! never changes the loop.

mod chrome;
mod picture;
mod record;
mod svg;
mod text;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::Path;
use std::rc::Rc;

use self::picture::Picture;
use self::record::Record;
use crate::about::about;
use crate::state::{Observer, Step};
use crate::time;

/// Records what the tasks of a loop do and when, and draws one row per task, with time from left to
/// right.
///
/// A row shows when its task was polled (*running*), when it was ready while other tasks ran, and
/// what it waited for. The first row shows the loop itself and what it waited for in the kernel.
/// Jobs for [threads](crate::spawn_blocking) have one row per call site.
///
/// A timeline is a handle to its record, and its clones share that record. Give one clone to the
/// loop and keep another.
///
/// ```
/// use headwaiter::observe::Timeline;
/// use headwaiter::time::sleep;
/// use headwaiter::{Clock, EventLoop, task};
/// use std::time::Duration;
///
/// let timeline = Timeline::new();
/// let builder = EventLoop::builder().clock(Clock::Virtual).observer(timeline.clone());
/// builder.build()?.block_on(async {
///     let eggs = task::Builder::new().name("eggs").spawn(sleep(Duration::from_millis(20)));
///     let toast = task::Builder::new().name("toast").spawn(sleep(Duration::from_millis(40)));
///     eggs.await.unwrap();
///     toast.await.unwrap();
/// });
/// let expected = "\
/// 3 tasks in 40 ms; one column is 1 ms
///         0 ms      10 ms     20 ms     30 ms
///         ┬─────────┬─────────┬─────────┬─────────
/// loop    ▌░░░░░░░░░░░░░░░░░░░▌░░░░░░░░░░░░░░░░░░▌
/// 1 main  ▌░░░░░░░░░░░░░░░░░░░▌░░░░░░░░░░░░░░░░░░▌
/// 2 eggs  ▌░░░░░░░░░░░░░░░░░░░▌
/// 3 toast ▌░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░▌
/// ▌ running briefly   ░ waiting
/// ";
/// assert_eq!(timeline.to_text(48), expected);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Times are measured by the loop's [clock](crate::Clock), from the first recorded step. Under a
/// virtual clock a poll takes no time and is drawn as a mark.
///
/// # Memory
///
/// A timeline keeps the last 100,000 spans (times of being polled, ready or waiting), or as many as
/// [`with_capacity`](Self::with_capacity) allows. A span takes about 100 bytes. The timeline also
/// keeps a row for each task that has a span or is still alive. When it is full, it overwrites the
/// oldest spans, and each drawing says how many.
///
/// # One loop
///
/// A timeline records the first loop that reports a step to it. It ignores the steps of any other
/// loop, and the drawings say so. Give each loop its own timeline, once.
pub struct Timeline {
    record: Rc<RefCell<Record>>,
    /// Distinguishes this handle from its clones, and so the loops that they were given to.
    handle: u64,
}

/// How many spans [`Timeline::new`] keeps.
const CAPACITY: usize = 100_000;

/// The most rows that text and SVG draw. The trace for Perfetto, which scrolls, has all rows.
const MOST_ROWS: usize = 100;

impl Clone for Timeline {
    fn clone(&self) -> Self {
        let handle = self.record.borrow_mut().next_handle();
        Timeline { record: Rc::clone(&self.record), handle }
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline::new()
    }
}

impl Timeline {
    /// Makes a timeline that keeps at most 100,000 spans.
    pub fn new() -> Self {
        Timeline::with_capacity(CAPACITY)
    }

    /// Makes a timeline that keeps at most `spans` spans. It allocates memory as spans arrive.
    ///
    /// # Panics
    ///
    /// If `spans` is 0.
    #[track_caller]
    pub fn with_capacity(spans: usize) -> Self {
        assert!(
            spans > 0,
            "headwaiter: `Timeline::with_capacity(0)` could keep nothing: give it room for one span at least, or use `Timeline::new()`"
        );
        Timeline { record: Rc::new(RefCell::new(Record::new(spans))), handle: 0 }
    }

    /// Draws the timeline as text, in lines of at most `columns` columns (at least 40, at most
    /// 10,000). A column of the drawing is a slice of time:
    ///
    /// - `█`: the task was polled for at least half of the slice; `▌`: for less;
    /// - `▒`: it was ready while other tasks ran; `░`: it waited;
    /// - `▓`: jobs were in flight on threads, from when they were queued until their results were
    ///   taken;
    /// - `!`: it panicked, `x`: it was aborted; a space: it did not exist.
    ///
    /// Draws at most 100 rows; the last line counts the others.
    pub fn to_text(&self, columns: usize) -> String {
        self.draw(|picture| text::draw(picture, columns))
    }

    /// Draws the timeline as an SVG, 960 pixels wide, for a browser or a page of documentation. Its
    /// colours follow the reader's system, light or dark. Each span has a tooltip that describes
    /// it. Draws at most 100 rows; a line counts the others.
    pub fn to_svg(&self) -> String {
        self.draw(svg::draw)
    }

    /// Writes the timeline in the [Trace Event Format][format], for
    /// [Perfetto](https://ui.perfetto.dev) or `chrome://tracing`, with one thread per row and times
    /// in microseconds.
    ///
    /// [format]: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
    pub fn to_chrome_json(&self) -> String {
        self.draw(chrome::draw)
    }

    /// Writes [`to_svg`](Self::to_svg) to a file, creating or replacing it. This blocks the thread,
    /// so call it after the loop has ended, or in a tool.
    ///
    /// # Errors
    ///
    /// If the file cannot be written. The error names it.
    pub fn write_svg(&self, path: impl AsRef<Path>) -> io::Result<()> {
        write("write the SVG of a timeline to", path.as_ref(), &self.to_svg())
    }

    /// Writes [`to_chrome_json`](Self::to_chrome_json) to a file, like
    /// [`write_svg`](Self::write_svg).
    ///
    /// # Errors
    ///
    /// If the file cannot be written. The error names it.
    pub fn write_chrome_json(&self, path: impl AsRef<Path>) -> io::Result<()> {
        write("write the trace of a timeline to", path.as_ref(), &self.to_chrome_json())
    }

    fn draw(&self, draw: impl FnOnce(&Picture<'_>) -> String) -> String {
        draw(&Picture::of(&self.record.borrow()))
    }
}

fn write(doing: &'static str, path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text).map_err(|error| about(doing, format_args!("{path:?}"), error))
}

impl Observer for Timeline {
    fn step(&mut self, step: &Step<'_>) {
        self.record.borrow_mut().step(self.handle, time::now(), step);
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.record.borrow();
        f.debug_struct("Timeline")
            .field("spans", &record.spans.len())
            .field("rows", &record.rows.len())
            .finish_non_exhaustive()
    }
}
