//! What becomes of a process as a whole: its limits, its memory, its descriptors, its reaction to SIGPIPE. Each test has a process
//! of its own, see [`in_own_process`](support::in_own_process).
#![cfg(target_os = "linux")]
// A `use` or a function stands where a test needs it.
#![allow(clippy::items_after_statements)]

#[path = "../../support/mod.rs"]
mod support;

mod children;
mod files;
mod memory;
mod short_waits;
mod sigpipe;
mod threads;
