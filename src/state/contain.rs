//! Runs user code that must not take the loop down: catches and logs its panics. Every layer uses
//! it.

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

/// Drops a user's value, and contains a panic of the drop.
pub(crate) fn discard<T>(value: T) {
    contain("a drop", || drop(value));
}

/// Logs a caught panic and drops its payload.
#[cold]
pub(crate) fn log_panic(what: &str, payload: Box<dyn Any + Send>) {
    let message = OneLine(panic_message(&*payload));
    say(Level::Error, LOOP, format_args!("{what} panicked: {message}"));
    drop_payload(payload);
}

/// Writes a log line, independent of observers. Ignores a panic of the logger, because there is
/// nowhere to report it.
pub(crate) fn say(level: Level, target: &'static str, line: fmt::Arguments<'_>) {
    let log = || log::log!(target: target, level, "{line}");
    if let Err(payload) = catch_unwind(AssertUnwindSafe(log)) {
        drop_payload(payload);
    }
}

/// Drops the payload of a panic. If that drop panics too, leaks the second payload, because
/// dropping payloads might never end.
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(payload);
    }
}

/// Returns the message of a panic, if its payload is text.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(a value that is not text)"
    }
}
