//! User code that must not take the loop down: what it panics with is caught and logged.

use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::Level;

use super::log::{LOOP, OneLine};

/// Runs user code. A panic is caught and logged; `what` says what panicked.
pub(crate) fn contain<R>(what: &str, run: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) => {
            log_panic(what, payload);
            None
        }
    }
}

/// Drops a user's value.
pub(crate) fn discard<T>(value: T) {
    contain("a drop", || drop(value));
}

/// Logs a panic that goes no further, and drops its payload.
#[cold]
pub(crate) fn log_panic(what: &str, payload: Box<dyn Any + Send>) {
    let message = OneLine(panic_message(&*payload));
    say(Level::Error, LOOP, format_args!("{what} panicked: {message}"));
    drop_payload(payload);
}

/// Writes a log line that is due whether or not steps are traced. A panic of the logger is ignored: there
/// is no place to report it to.
pub(crate) fn say(level: Level, target: &'static str, line: fmt::Arguments<'_>) {
    let log = || log::log!(target: target, level, "{line}");
    if let Err(payload) = catch_unwind(AssertUnwindSafe(log)) {
        drop_payload(payload);
    }
}

/// Drops the payload of a panic. If that drop panics too, its payload is leaked: dropping payloads might
/// never end.
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(payload);
    }
}

/// The message of a panic, as far as it is text.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(a value that is not text)"
    }
}
