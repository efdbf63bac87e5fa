//! The programs of `examples/`, run as what they are. `cargo test` builds them; `cargo test --test examples` runs those that are
//! there.

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "signal")] // Which the example `echo_server` needs.
mod echo_servers;
mod groups;
mod mistakes;
mod other_loops;
mod read_files;
mod reports;
mod tools;
