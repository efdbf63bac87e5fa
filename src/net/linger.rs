//! SO_LINGER, with which the close of a TCP socket may block: [`LingeringClose`] measures such a
//! close of a `TcpStream`, so that the report of a stall can name it. It never sets the option.

use std::num::NonZero;

use crate::door::{Door, is_running};

/// Reports to the loop how long a close took. In a stream it is declared, and so dropped, after the
/// socket.
#[derive(Default)]
pub(super) struct LingeringClose {
    /// The time of the loop's clock, in nanoseconds, just before the close, if the close may block.
    /// (One word, because each stream has it.)
    began: Option<NonZero<u64>>,
}

impl LingeringClose {
    /// Notes the time: the socket is about to be closed.
    #[cfg(target_os = "linux")]
    pub(super) fn begin(&mut self, socket: &impl std::os::fd::AsFd) {
        // Another crate may have set the option, also on the listener, so the socket is asked. That
        // is cheap compared to the close.
        let lingers = || {
            let linger = rustix::net::sockopt::socket_linger(socket).ok().flatten();
            linger.is_some_and(|linger| !linger.is_zero())
        };
        // On a thread without a loop there is no stall to report.
        if is_running() && lingers() {
            self.began = Door::open().and_then(|door| NonZero::new(door.clock.now_nanos()));
        }
    }

    /// Other systems are not measured.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn begin(&mut self, _: &impl mio::event::Source) {
        self.began = None;
    }
}

impl Drop for LingeringClose {
    fn drop(&mut self) {
        if let Some(began) = self.began
            && let Some(mut door) = Door::open()
        {
            let took = door.clock.now_nanos().saturating_sub(began.get());
            door.count_linger(took);
        }
    }
}
