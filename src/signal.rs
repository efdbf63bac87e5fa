//! Signals: [`ctrl_c`] on every system, and [`unix`], where all the others are.

// The listening itself is in `signal/unix.rs`.

#[cfg(unix)]
pub mod unix;

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

#[cfg(unix)]
use self::unix::{Signal, SignalKind, signal};
use crate::reactor::Wait;

/// Waits for Ctrl-C: on Unix the signal SIGINT, whoever sends it.
///
/// From its first poll on, SIGINT no longer ends the process, also when this future is over or
/// dropped: see [`unix::signal`]. It is ready with the first SIGINT after that poll.
///
/// Cancel-safe: nothing is lost but what it waited for. To miss none between two waits, keep a
/// listener instead: [`unix::signal`] with [`SignalKind::interrupt`](unix::SignalKind::interrupt).
///
/// On other systems than Unix it is never ready: there Ctrl-C ends the process, as it always did.
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
/// If the process has no file descriptors left for the loop's first listener.
///
/// # Panics
///
/// Polling it outside any event loop, or in another than before.
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
    /// Made at the first poll.
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
