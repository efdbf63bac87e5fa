//! What headwaiter promises: a test is named for the promise that it checks. One binary, whose tests run side by side; one that
//! must not do that runs [`alone`](support::alone).

// A `use` or a function stands where a test needs it.
#![allow(clippy::items_after_statements)]

#[path = "../support/mod.rs"]
mod support;

mod barrier;
mod batches;
mod budget;
mod cancellation;
mod cells;
mod channels;
mod connect;
mod contracts;
mod copy;
mod datagrams;
mod fds;
mod files;
mod from_tokio;
mod groups;
mod notices;
mod observers;
mod offload;
mod owned_locks;
mod passed_fds;
mod permits;
mod readiness;
#[cfg(feature = "signal")] // Which the example `echo_server` needs.
mod servers;
mod shuffle;
mod socket_options;
mod stalls;
mod stuck;
mod sync;
mod task_failures;
mod timeline;
mod transfers;
mod unix_sockets;
