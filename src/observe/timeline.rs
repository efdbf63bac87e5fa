//! [`Timeline`]: an observer that keeps what it is told, and draws it afterwards: as text for a terminal, as an SVG, as
//! a trace for Perfetto. Made by users. What is kept stands in `record.rs`, what all drawings share in `picture.rs`.

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

/// Records what the tasks of a loop do and when, and draws it: a row for each task, from left to right as time passes.
///
/// A row says when its task was polled (*running*), when it was ready but others ran, and for what it waited. The first row is
/// the loop itself, and what it let the kernel wait for. Jobs for the [threads](crate::spawn_blocking) have a row for each
/// place in the program that makes them.
///
/// A timeline is a handle to its record: a clone shares it. Give one to the loop, keep the other.
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
/// Times are those of the loop's [clock](crate::Clock), counted from the first step that was recorded. Under a virtual clock a
/// poll takes no time, and is drawn as a mark.
///
/// # Memory
///
/// A timeline keeps the last 100,000 spans (of being polled, ready or waiting), or as many as
/// [`with_capacity`](Self::with_capacity) says, of some 100 bytes each, and what is known of their tasks and of all that are alive. When
/// it is full, the oldest spans are overwritten, and each drawing says how many.
///
/// # One loop
///
/// A timeline records the first loop that tells it a step. The steps of another to which it was given as well are not
/// recorded, and the drawings say so: give each loop its own, once.
pub struct Timeline {
    record: Rc<RefCell<Record>>,
    /// Tells this handle from its clones.
    handle: u64,
}

/// How many spans are kept, unless the maker says otherwise.
const CAPACITY: usize = 100_000;

/// So many rows are drawn. (Of the trace for Perfetto, which scrolls: all.)
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
    /// A timeline of at most 100,000 spans.
    pub fn new() -> Self {
        Timeline::with_capacity(CAPACITY)
    }

    /// A timeline of at most so many spans. The memory is taken as they come.
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

    /// Draws it with characters, in lines of at most `columns` columns (at least 40, at most 10,000). A column of the drawing is a slice of time:
    ///
    /// - `█`: the task was polled for at least half of it, `▌`: for less;
    /// - `▒`: it was ready, and others ran; `░`: it waited;
    /// - `▓`: jobs were under way on threads, from when they were queued until their results were fetched;
    /// - `!`: it panicked, `x`: it was aborted; a space: it was not there.
    ///
    /// At most 100 rows are drawn; the last line counts the others.
    pub fn to_text(&self, columns: usize) -> String {
        self.draw(|picture| text::draw(picture, columns))
    }

    /// Draws it as an SVG, of 960 pixels' width, for a browser or a page of documentation: light or dark, as the reader's
    /// system is. Each span says in a tooltip what it is. At most 100 rows are drawn; a line counts the others.
    pub fn to_svg(&self) -> String {
        self.draw(svg::draw)
    }

    /// Writes it in the [Trace Event Format][format], for [Perfetto](https://ui.perfetto.dev) or `chrome://tracing`: a
    /// thread for each row, times in microseconds.
    ///
    /// [format]: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
    pub fn to_chrome_json(&self) -> String {
        self.draw(chrome::draw)
    }

    /// Writes [`to_svg`](Self::to_svg) to a file, which is made or replaced. It blocks: do it when the loop has ended, or in a tool.
    ///
    /// # Errors
    ///
    /// If the file cannot be written. The error names it.
    pub fn write_svg(&self, path: impl AsRef<Path>) -> io::Result<()> {
        write("write the SVG of a timeline to", path.as_ref(), &self.to_svg())
    }

    /// Writes [`to_chrome_json`](Self::to_chrome_json) to a file, as [`write_svg`](Self::write_svg).
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
