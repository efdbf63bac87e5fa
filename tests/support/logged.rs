//! What the loop of a test logs. A process has one logger, which tells the tests that run side by side apart by their threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use log::{LevelFilter, Log, Metadata, Record};

use super::{beside_other_tests, leaked, no_other_test, run};

/// The tests that run now and look at what they log.
static CAPTURES: Mutex<Vec<&'static Capture>> = Mutex::new(Vec::new());

/// Held by a test to which the lines of watchers of stalls belong: a watcher is a thread of the loop, with a name of its own.
static ONE_WATCHES: Mutex<()> = Mutex::new(());

/// The text of a line, and what is called there.
type Trap = (&'static str, fn());

struct Capture {
    /// The name of the thread of the test.
    test: Option<String>,
    /// What the kernel calls that thread. A thread without a name inherits it from the one that makes it.
    mark: String,
    level: LevelFilter,
    watches: bool,
    lines: Mutex<Vec<String>>,
    /// See [`call_at`].
    trap: Mutex<Option<Trap>>,
}

impl Capture {
    /// That of the test to which this thread belongs.
    fn current() -> Option<&'static Capture> {
        let thread = thread::current();
        let captures = lock(&CAPTURES);
        let mut captures = captures.iter().copied();
        match thread.name() {
            Some("headwaiter-watcher") => captures.find(|capture| capture.watches),
            Some(name) => captures.find(|capture| capture.test.as_deref() == Some(name)),
            None => captures.find(|capture| has_kernel_name(&capture.mark)),
        }
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let Some(capture) = Capture::current().filter(|capture| record.level() <= capture.level)
        else {
            return;
        };
        let line = record.args().to_string();
        let trap = lock(&capture.trap).take_if(|(text, _)| line.contains(*text));
        lock(&capture.lines).push(line);
        if let Some((_, call)) = trap {
            call();
        }
    }

    fn flush(&self) {}
}

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test as [`bounded`](super::bounded), and returns what its loops logged, up to this level. Above `warn` it runs
/// [`alone`](super::alone): with a level for all tests at which their loops make more turns.
#[track_caller]
pub fn logged(level: LevelFilter, test: impl FnOnce() + Send + 'static) -> Vec<String> {
    // Elsewhere, threads without a name cannot be distinguished.
    let one_at_a_time = cfg!(not(target_os = "linux")).then(|| lock(&ONE_WATCHES));
    let lines = captured(level, false, Box::new(test));
    drop(one_at_a_time);
    lines
}

/// As [`logged`], up to `warn`, with what watchers of stalls log. One such test runs at a time.
#[track_caller]
pub fn logged_with_watchers(test: impl FnOnce() + Send + 'static) -> Vec<String> {
    let _one_at_a_time = lock(&ONE_WATCHES);
    captured(LevelFilter::Warn, true, Box::new(test))
}

#[track_caller]
fn captured(level: LevelFilter, watches: bool, test: Box<dyn FnOnce() + Send>) -> Vec<String> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let is_verbose = level > LevelFilter::Warn;
    let _alone = if is_verbose { no_other_test() } else { None };
    let _beside_others = (!is_verbose).then(beside_other_tests);
    let _ = log::set_logger(&Logger); // Only the first time.
    let capture = leaked(Capture {
        test: thread::current().name().map(str::to_owned),
        mark: format!("logged {}", NUMBER.fetch_add(1, Ordering::Relaxed)),
        level,
        watches,
        lines: Mutex::default(),
        trap: Mutex::default(),
    });
    lock(&CAPTURES).push(capture);
    log::set_max_level(level.max(LevelFilter::Warn));
    run(Box::new(|| {
        set_kernel_name(&capture.mark);
        test();
    }));
    log::set_max_level(LevelFilter::Warn);
    lock(&CAPTURES).retain(|other| !std::ptr::eq(*other, capture));
    std::mem::take(&mut lock(&capture.lines))
}

#[cfg(target_os = "linux")]
fn set_kernel_name(name: &str) {
    let name = std::ffi::CString::new(name).expect("a name without a zero");
    rustix::thread::set_name(&name).expect("it is short enough");
}

#[cfg(target_os = "linux")]
fn has_kernel_name(name: &str) -> bool {
    rustix::thread::name().is_ok_and(|of_thread| of_thread.as_bytes() == name.as_bytes())
}

#[cfg(not(target_os = "linux"))]
fn set_kernel_name(_: &str) {}

#[cfg(not(target_os = "linux"))]
fn has_kernel_name(_: &str) -> bool {
    true
}

/// That of the test that runs here, which must be one that looks at its log.
#[track_caller]
fn current() -> &'static Capture {
    Capture::current().expect("a test that is `logged`")
}

/// What logs the next line that has `text` in it calls `function` there.
#[track_caller]
pub fn call_at(text: &'static str, function: fn()) {
    *lock(&current().trap) = Some((text, function));
}

/// What logs the next line that has `text` in it panics there: so code that has no mistake can be seen to panic.
#[track_caller]
pub fn panic_at(text: &'static str) {
    call_at(text, || panic!("the log is on fire"));
}

/// Whether that has happened.
#[track_caller]
pub fn has_panicked() -> bool {
    lock(&current().trap).is_none()
}

/// What was logged so far by the test that runs.
#[track_caller]
pub fn lines() -> MutexGuard<'static, Vec<String>> {
    lock(&current().lines)
}

/// Log lines but for those about stalls, which are what a slow machine does.
pub fn without_stalls(mut said: Vec<String>) -> Vec<String> {
    said.retain(|line| !line.contains("the event loop was blocked"));
    said
}

/// As [`logged`], without the lines about stalls.
#[track_caller]
pub fn logged_without_stalls(
    level: LevelFilter,
    test: impl FnOnce() + Send + 'static,
) -> Vec<String> {
    without_stalls(logged(level, test))
}

/// How many lines were logged so far, without those about stalls.
#[track_caller]
pub fn so_far() -> usize {
    without_stalls(lines().clone()).len()
}
