//! What is a whole process's: its limits, its signals, its logger, its forked children. Nearly each test has a process of its own,
//! which is this program again: see [`in_own_process`](support::in_own_process). The tests of `signals` share one.

// A `use` or a function stands where a test needs it.
#![allow(clippy::items_after_statements)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
mod forked;
#[cfg(target_os = "linux")]
mod limits;
mod log_lines;
#[cfg(target_os = "linux")]
mod reaping;
#[cfg(all(target_os = "linux", feature = "signal"))]
mod signals;
