//! What becomes of a process as a whole: its limits, its memory, its descriptors, its reaction to SIGPIPE.

mod children;
mod files;
mod memory;
mod short_waits;
mod sigpipe;
mod threads;
