//! SO_LINGER, with which the close of a TCP socket may block: [`LingeringClose`] measures such a close of a
//! [`TcpStream`](super::TcpStream), so that the report of a stall can name it. It sets nothing.

use std::time::Instant;

use crate::core::Core;
use crate::observe::stall;

/// Tells the loop how long a close has lasted. In a stream it is declared, and so dropped, after the socket.
#[derive(Default)]
pub(super) struct LingeringClose {
    /// Set just before the socket is closed, if the close may block.
    began: Option<Instant>,
}

impl LingeringClose {
    /// The socket is about to be closed.
    #[cfg(target_os = "linux")]
    pub(super) fn begin(&mut self, socket: &impl std::os::fd::AsFd) {
        // The option may have been set by another crate, or on the listener, so the socket is asked. That is cheap beside the close.
        // On a thread without a loop there is no stall.
        let lingers = || {
            let linger = rustix::net::sockopt::socket_linger(socket).ok().flatten();
            linger.is_some_and(|linger| !linger.is_zero())
        };
        if Core::is_running() && lingers() {
            self.began = Some(Instant::now());
        }
    }

    /// Elsewhere it is not looked for.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn begin(&mut self, _: &impl mio::event::Source) {
        self.began = None;
    }
}

impl Drop for LingeringClose {
    fn drop(&mut self) {
        if let Some(began) = self.began {
            Core::with(|core| stall::count_linger(core, began.elapsed()));
        }
    }
}
