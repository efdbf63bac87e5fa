//! Unix sockets: between processes of one machine, named by paths. There are streams, listeners and
//! datagram sockets, with what only they have: credentials of the peer, and file descriptors that
//! are passed. Here is what the operations that take a path share: [`about_path`], and [`Retry`] for
//! where the kernel has no event to wait for (`docs/edge-triggered.md`).

// In the order in which to read them.
mod address;
pub(super) mod stream;
pub(super) mod listener;
pub(super) mod datagram;

use std::task::{Context, Poll, ready};
use std::{io, panic::Location, path::Path, pin::Pin, time::Duration};

use crate::{about::about, door::Door, time::Sleep};

#[cfg(target_os = "linux")]
pub(super) mod cred;
#[cfg(target_os = "linux")]
pub(super) mod fds;

/// Adds the path to an error.
pub(super) fn about_path(doing: &'static str, path: &Path, error: io::Error) -> io::Error {
    about(doing, format_args!("{path:?}"), error)
}

/// The pauses between tries of a call that the kernel refuses for now, without an event for when it
/// would succeed. They double, up to the longest.
#[derive(Debug)]
pub(super) struct Retry {
    /// The timer of the pause, if one goes on.
    sleep: Option<Sleep>,
    /// The length of the next pause.
    next: Duration,
    place: &'static Location<'static>,
}

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(20);

impl Retry {
    pub(super) fn at(place: &'static Location<'static>) -> Self {
        Retry { sleep: None, next: SHORTEST, place }
    }

    /// Starts a pause.
    pub(super) fn pause(&mut self) {
        let now = Door::expect("a Unix socket").clock.now();
        self.sleep = Some(Sleep::new(now + self.next, self.place));
        self.next = LONGEST.min(self.next * 2);
    }

    /// Ready when the call may be made: not during a pause, and not in a task that has spent its
    /// budget.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(Pin::new(sleep).poll(cx));
            self.sleep = None;
        }
        Door::expect("a Unix socket").poll_budget(cx)
    }
}
