//! Signals: [`ctrl_c`] on every system, and all others in [`unix`].

// This file has only `ctrl_c`, a listener of `signal/unix.rs` behind one future.

#[cfg(unix)]
pub mod unix;

use std::task::{Context, Poll};
use std::{fmt, io, panic::Location, pin::Pin};

#[cfg(unix)]
use self::unix::{Signal, SignalKind, signal};
use crate::reactor::Wait;

/// Waits for Ctrl-C: on Unix the signal SIGINT, from any sender.
///
/// From its first poll on, SIGINT no longer ends the process, even after the future was ready or
/// dropped: see [`unix::signal`]. The future is ready with the first SIGINT after that poll.
///
/// Cancel-safe, but signals between two calls are missed. To miss none, keep a listener instead:
/// [`unix::signal`] with [`SignalKind::interrupt`](unix::SignalKind::interrupt).
///
/// On other systems than Unix it is never ready: Ctrl-C ends the process there, as by default.
///
/// ```no_run
/// headwaiter::block_on(async {
///     println!("Ctrl-C ends this");
///     headwaiter::signal::ctrl_c().await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// If the process has no free file descriptors for the loop's first listener.
///
/// # Panics
///
/// Polling it outside any event loop, or in another loop than before.
#[track_caller]
pub fn ctrl_c() -> CtrlC {
    CtrlC {
        wait: Wait::at(Location::caller()),
        #[cfg(unix)]
        listener: None,
    }
}

/// The future of [`ctrl_c`].
#[must_use = "futures do nothing unless awaited"]
pub struct CtrlC {
    wait: Wait,
    /// `Some` from the first poll on.
    #[cfg(unix)]
    listener: Option<Signal>,
}

impl Future for CtrlC {
    type Output = io::Result<()>;

    #[cfg(unix)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let listener = match &this.listener {
            Some(listener) => listener,
            None => this.listener.insert(signal(SignalKind::interrupt())?),
        };
        listener.poll(&mut this.wait, cx)
    }

    #[cfg(not(unix))]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let _ = &self.wait;
        Poll::Pending
    }
}

impl fmt::Debug for CtrlC {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CtrlC")
    }
}
