//! What the loop of a test logs. A process has one logger, so tests that look at it run one after the other; what the other
//! tests of the same file log meanwhile comes from threads with other names, and is not kept.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use log::{LevelFilter, Log, Metadata, Record};

use super::bounded;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The name of the thread of the test that looks.
static LOOKS: Mutex<Option<String>> = Mutex::new(None);

/// See [`panic_at`].
static TRAP: Mutex<Option<&'static str>> = Mutex::new(None);

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let thread = thread::current();
        // Threads without a name are those that a test has made.
        let of_any_test = [None, Some("headwaiter-watcher")].contains(&thread.name());
        if of_any_test || thread.name() == lock(&LOOKS).as_deref() {
            let line = record.args().to_string();
            let springs = lock(&TRAP).take_if(|text| line.contains(*text)).is_some();
            lock(&LINES).push(line);
            assert!(!springs, "the log is on fire");
        }
    }

    fn flush(&self) {}
}

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test as [`bounded`], and returns what its loops logged, up to this level.
#[track_caller]
pub fn logged(level: LevelFilter, test: impl FnOnce() + Send + 'static) -> Vec<String> {
    let _alone = lock(&ONE_AT_A_TIME);
    let _ = log::set_logger(&Logger); // Only the first time.
    *lock(&LOOKS) = thread::current().name().map(str::to_owned);
    lock(&LINES).clear();
    log::set_max_level(level);
    bounded(test);
    log::set_max_level(LevelFilter::Warn);
    std::mem::take(&mut lines())
}

/// What logs the next line that has `text` in it panics there: so code that has no mistake can be seen to panic.
pub fn panic_at(text: &'static str) {
    *lock(&TRAP) = Some(text);
}

/// Whether that has happened.
pub fn has_panicked() -> bool {
    lock(&TRAP).is_none()
}

/// What was logged so far by the test that runs.
pub fn lines() -> MutexGuard<'static, Vec<String>> {
    lock(&LINES)
}

/// Log lines but for those about stalls, which are what a slow machine does.
pub fn without_stalls(mut said: Vec<String>) -> Vec<String> {
    said.retain(|line| !line.contains("the event loop was blocked"));
    said
}
