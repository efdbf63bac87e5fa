//! What is in flight for a file: an [`Op`] is the side of its future, a [`Job`] the side of the
//! thread pool, and [`OpKind`] says what the job does.
//!
//! Plain data: `state.rs` starts jobs and fetches their results.

use std::io::{self, SeekFrom};
use std::panic::Location;

use crate::{io::byte_stream::OpState, offload::Run, reactor::Wait};

/// One operation of a file, from its first poll to its last.
pub(crate) struct Op {
    /// Its place among the waiters, if the kernel watches the file.
    pub(super) wait: Wait,
    /// Where it was called, for the job.
    pub(super) place: Option<&'static Location<'static>>,
    /// Whether it has started a job. Until then, a job in flight was left behind by a dropped
    /// operation.
    pub(super) has_begun: bool,
}

impl OpState for Op {
    fn at(place: &'static Location<'static>) -> Self {
        Op { wait: Wait::at(place), place: Some(place), has_begun: false }
    }

    /// A `poll_` method cannot tell whether it is called again, so any job may be its own.
    fn unticketed() -> Self {
        Op { wait: Wait::unticketed(), place: None, has_begun: true }
    }
}

/// What an operation that takes `&self` does with the file, on a thread of the pool.
pub(super) type Work = Box<dyn FnOnce(&std::fs::File) -> io::Result<u64> + Send>;

/// The job in flight.
pub(super) struct Job {
    pub(super) kind: OpKind,
    pub(super) run: Run<JobOutput>,
    /// Whether the future that started it still exists, takes `&self`, and will fetch the result.
    /// The result of any other job is fetched by the next operation.
    pub(super) is_owned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum OpKind {
    Read,
    Write,
    Seek(SeekFrom),
    /// An operation that takes `&self`, by its name in errors. "write" is `File::write_at`.
    Change(&'static str),
}

impl OpKind {
    /// What errors call it.
    pub(super) fn verb(self) -> &'static str {
        match self {
            OpKind::Read => "read",
            OpKind::Write => "write",
            OpKind::Seek(_) => "seek in",
            OpKind::Change(verb) => verb,
        }
    }
}

/// The result of a job.
pub(super) struct JobOutput {
    /// The memory that it was given.
    pub(super) bytes: Vec<u8>,
    /// How many bytes were moved, or the new position.
    pub(super) result: io::Result<u64>,
}

/// Makes a system call again if a signal handler has interrupted it.
pub(super) fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
