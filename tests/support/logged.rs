//! What the loop of a test logs. A process has one logger, so tests that look at it run one after the other. What the tests log
//! that run beside one of them comes from other threads, and is not kept.

#[cfg(target_os = "linux")]
use std::ffi::CString;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use log::{LevelFilter, Log, Metadata, Record};

use super::{beside_other_tests, no_other_test, run};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The name of the thread of the test that looks.
static LOOKS: Mutex<Option<String>> = Mutex::new(None);

/// The text of a line, and what is called there.
type Trap = (&'static str, fn());

/// See [`call_at`].
static TRAP: Mutex<Option<Trap>> = Mutex::new(None);

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let thread = thread::current();
        let is_kept = match thread.name() {
            Some("headwaiter-watcher") => true,
            Some(name) => Some(name) == lock(&LOOKS).as_deref(),
            None => was_made_by_the_test(),
        };
        if is_kept {
            let line = record.args().to_string();
            let trap = lock(&TRAP).take_if(|(text, _)| line.contains(*text));
            lock(&LINES).push(line);
            if let Some((_, call)) = trap {
                call();
            }
        }
    }

    fn flush(&self) {}
}

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test as [`bounded`](super::bounded), and returns what its loops logged, up to this level. At `debug` and `trace` it
/// runs [`alone`](super::alone), because then the loops of all tests make more turns.
#[track_caller]
pub fn logged(level: LevelFilter, test: impl FnOnce() + Send + 'static) -> Vec<String> {
    let _alone = if level >= LevelFilter::Debug { no_other_test() } else { None };
    let _beside_others = if level >= LevelFilter::Debug { None } else { beside_other_tests() };
    let _only_log = lock(&ONE_AT_A_TIME);
    let _ = log::set_logger(&Logger); // Only the first time.
    *lock(&LOOKS) = thread::current().name().map(str::to_owned);
    lock(&LINES).clear();
    log::set_max_level(level);
    run(|| {
        mark_this_thread();
        test();
    });
    log::set_max_level(LevelFilter::Warn);
    std::mem::take(&mut lines())
}

/// A thread without a name inherits the name that the kernel has for the thread that makes it.
#[cfg(target_os = "linux")]
fn mark_this_thread() {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed) + 1;
    rustix::thread::set_name(&CString::new(format!("logged {number}")).unwrap()).unwrap();
}

/// Of a thread without a name.
#[cfg(target_os = "linux")]
fn was_made_by_the_test() -> bool {
    let mark = format!("logged {}", NUMBER.load(Ordering::Relaxed));
    rustix::thread::name().is_ok_and(|name| name.as_bytes() == mark.as_bytes())
}

/// The last test that looked.
#[cfg(target_os = "linux")]
static NUMBER: AtomicUsize = AtomicUsize::new(0);

#[cfg(not(target_os = "linux"))]
fn mark_this_thread() {}

/// It may be another's.
#[cfg(not(target_os = "linux"))]
fn was_made_by_the_test() -> bool {
    true
}

/// What logs the next line that has `text` in it calls `function` there.
pub fn call_at(text: &'static str, function: fn()) {
    *lock(&TRAP) = Some((text, function));
}

/// What logs the next line that has `text` in it panics there: so code that has no mistake can be seen to panic.
pub fn panic_at(text: &'static str) {
    call_at(text, || panic!("the log is on fire"));
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
