//! Unix sockets: between processes of one machine, named by paths. What their three kinds share is here: how a
//! path is named in a message, and the pauses between tries where the kernel has no event to wait for.

mod address;
#[cfg(target_os = "linux")]
mod cred;
mod datagram;
#[cfg(target_os = "linux")]
mod fds;
mod listener;
mod stream;

use std::future::Future;
use std::io;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

#[cfg(target_os = "linux")]
pub use self::cred::UCred;
pub use self::datagram::{UnixDatagram, UnixSendTo};
#[cfg(target_os = "linux")]
pub use self::fds::{RecvFds, SendFds};
pub use self::listener::UnixListener;
pub use self::stream::{UnixConnect, UnixStream};
use crate::about::about;
use crate::door::Door;
use crate::time::Sleep;

/// An error with the path that it is about.
fn about_path(doing: &'static str, path: &Path, error: io::Error) -> io::Error {
    about(doing, format_args!("{path:?}"), error)
}

/// The pauses between tries of what the kernel refuses for now without an event for when it would not: it must be asked
/// again. They double, up to the longest.
#[derive(Debug)]
struct Retry {
    sleep: Option<Sleep>,
    next: Duration,
    place: &'static Location<'static>,
}

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(20);

impl Retry {
    fn at(place: &'static Location<'static>) -> Self {
        Retry { sleep: None, next: SHORTEST, place }
    }

    /// Begins a pause.
    fn pause(&mut self) {
        let now = Door::expect("a Unix socket").clock.now();
        self.sleep = Some(Sleep::new(now + self.next, self.place));
        self.next = LONGEST.min(self.next * 2);
    }

    /// Pending in a pause, and for a task that has had its share of the turn.
    fn poll_go(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(Pin::new(sleep).poll(cx));
            self.sleep = None;
        }
        Door::expect("a Unix socket").poll_budget(cx)
    }
}
