//! [`WaitWithOutput`], the future that collects the output of a child and waits until it has ended.
//!
//! Made by `Command::output` and [`Child::wait_with_output`]. It reads both pipes at the same time,
//! so that a child which fills one does not block.

use std::process::{ExitStatus, Output};
use std::task::{Context, Poll};
use std::{io, mem, panic::Location, pin::Pin, time::Duration};

use super::child::Child;
use crate::time::{Sleep, deadline_after};
use crate::{io::PipeReader, io::byte_stream::ByteRead, reactor::Wait};

/// The future of [`Command::output`](super::Command::output) and [`Child::wait_with_output`].
///
/// By default it waits as long as the child runs, and as long as any process keeps one of its pipes
/// open. To limit that, and still get the output and the status:
///
/// ```no_run
/// use headwaiter::process::Command;
/// use headwaiter::time::timeout;
/// use std::time::Duration;
///
/// headwaiter::block_on(async {
///     let mut command = Command::new("sh");
///     command.args(["-c", "echo soup; sleep 1000"]);
///     // The `sleep` keeps the pipe open when the shell is killed.
///     let mut output = command.output().grace(Duration::from_millis(50));
///     let output = match timeout(Duration::from_secs(10), &mut output).await {
///         Ok(in_time) => in_time?,
///         Err(_) => {
///             output.start_kill()?;
///             output.await?
///         }
///     };
///     assert_eq!(output.stdout, b"soup\n");
///     assert!(!output.status.success());
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct WaitWithOutput {
    /// The child, or why it was not started. `None` once the future is ready.
    child: Option<io::Result<Child>>,
    stdout: Captured,
    stderr: Captured,
    /// How the child has ended.
    end: Option<io::Result<ExitStatus>>,
    /// How long its pipes may stay open after that; `None` for any time. Taken when that time
    /// begins.
    grace: Option<Duration>,
    /// The timer of the grace period. `None` until it begins.
    grace_timer: Option<Sleep>,
    wait: Wait,
    place: &'static Location<'static>,
}

/// What was read from a pipe so far.
#[derive(Debug)]
struct Captured {
    bytes: Vec<u8>,
    wait: Wait,
}

impl WaitWithOutput {
    pub(super) fn new(child: io::Result<Child>, place: &'static Location<'static>) -> Self {
        let captured = || Captured { bytes: Vec::new(), wait: Wait::at(place) };
        WaitWithOutput {
            child: Some(child),
            stdout: captured(),
            stderr: captured(),
            end: None,
            grace: None,
            grace_timer: None,
            wait: Wait::at(place),
            place,
        }
    }

    /// Limits how long it waits for EOF of the pipes after the child has ended. Other processes may
    /// have inherited them.
    ///
    /// The output is what has arrived by then. If those processes write later, they get an error
    /// (`EPIPE`) or a signal (SIGPIPE).
    ///
    /// The time is that of the loop's clock. Everything that the child itself wrote is in the pipes
    /// when it has ended, so even a grace period of zero loses none of it. Without a limit the
    /// future waits as long as it takes, as std does.
    #[must_use = "futures do nothing unless awaited"]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Sends the child SIGKILL, as [`Child::start_kill`]. The future is soon ready then, with
    /// everything that was written and a status that shows the signal, unless another process keeps
    /// a pipe open: see [`grace`](Self::grace). A no-op once the future was ready.
    ///
    /// # Errors
    ///
    /// As [`Child::start_kill`].
    pub fn start_kill(&mut self) -> io::Result<()> {
        match &mut self.child {
            Some(Ok(child)) => child.start_kill(),
            _ => Ok(()),
        }
    }

    /// Takes what was read so far from the standard output and the standard error.
    ///
    /// For a future that you stop polling, or that has failed: if SIGCHLD is ignored, the status is
    /// an error (ECHILD), and this is the output.
    ///
    /// ```
    /// use headwaiter::process::Command;
    ///
    /// # headwaiter::block_on(async {
    /// let mut output = Command::new("echo").arg("soup").output();
    /// let said = match (&mut output).await {
    ///     Ok(output) => output.stdout,
    ///     Err(_) => output.take_read().0,
    /// };
    /// assert_eq!(said, b"soup\n");
    /// # });
    /// ```
    pub fn take_read(&mut self) -> (Vec<u8>, Vec<u8>) {
        (mem::take(&mut self.stdout.bytes), mem::take(&mut self.stderr.bytes))
    }
}

/// Takes the child of a future that has started it, or the error if it could not be started.
#[track_caller]
pub(super) fn take_child(child: &mut Option<io::Result<Child>>) -> io::Result<Child> {
    match child.take() {
        Some(child) => child,
        None => {
            panic!("headwaiter: a future of a child process was polled again after it was ready")
        }
    }
}

impl Future for WaitWithOutput {
    type Output = io::Result<Output>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut child = take_child(&mut this.child)?;
        child.stdin = None;
        // Before the pipes are read: once the child has ended, everything that it wrote is in
        // there.
        if this.end.is_none()
            && let Poll::Ready(end) = child.poll_exit(&mut this.wait, cx)
        {
            this.end = Some(end);
        }
        // Both each time: a child that has filled one pipe blocks, and does not write into the
        // other.
        let stdout = this.stdout.poll(&mut child.stdout, cx)?;
        let stderr = this.stderr.poll(&mut child.stderr, cx)?;
        if this.end.is_some()
            && let Some(grace) = this.grace.take()
        {
            this.grace_timer = Some(Sleep::new(deadline_after(grace), this.place));
        }
        let is_over = |timer: &mut Sleep| Pin::new(timer).poll(cx).is_ready();
        if ((stdout.is_ready() && stderr.is_ready())
            || this.grace_timer.as_mut().is_some_and(is_over))
            && let Some(end) = this.end.take()
        {
            // After the reading: if the status is lost, the output is not.
            let status = end?;
            let (stdout, stderr) = this.take_read();
            return Poll::Ready(Ok(Output { status, stdout, stderr }));
        }
        this.child = Some(Ok(child));
        Poll::Pending
    }
}

/// How many bytes are read at once: the capacity of a pipe, on Linux.
const CHUNK: usize = 64 * 1024;

impl Captured {
    /// Reads until EOF, and then closes the pipe.
    fn poll(
        &mut self,
        pipe: &mut Option<PipeReader>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(open) = pipe {
            let filled = self.bytes.len();
            self.bytes.resize(filled + CHUNK, 0);
            let polled = open.poll_read(&mut self.wait, cx, &mut self.bytes[filled..]);
            let read = if let Poll::Ready(Ok(read)) = polled { read } else { 0 };
            self.bytes.truncate(filled + read);
            match polled? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => *pipe = None,
                Poll::Ready(_) => {}
            }
        }
        Poll::Ready(Ok(()))
    }
}
