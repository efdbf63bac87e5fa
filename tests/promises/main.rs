//! What headwaiter promises: a test is named for the promise that it checks. One binary, whose tests run side by side; one that
//! must not do that runs [`alone`](support::alone).

// A `use` or a function stands where a test needs it.
#![allow(clippy::items_after_statements)]

#[path = "../support/mod.rs"]
mod support;

mod attributes;
mod barrier;
mod batches;
mod broadcast;
mod budget;
mod cancellation;
mod cells;
mod channels;
mod connect;
mod contracts;
mod copy;
#[cfg(unix)]
mod datagram_polls;
mod datagrams;
mod fds;
#[cfg(target_os = "linux")]
mod fifos;
mod file_options;
mod files;
mod from_tokio;
mod groups;
mod halves;
#[cfg(target_os = "linux")]
mod interests;
mod intervals;
mod join_set;
mod notices;
mod observers;
mod offload;
mod owned_locks;
mod passed_fds;
mod permits;
mod readiness;
mod rwlock;
#[cfg(feature = "signal")] // Which the example `echo_server` needs.
mod servers;
mod shuffle;
mod socket_options;
mod stalls;
mod stuck;
mod sync;
mod task_failures;
mod task_local;
mod timeline;
mod transfers;
mod unix_sockets;
mod watch;
