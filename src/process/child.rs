//! A child process that was started: [`Child`], its streams, and the futures that wait for it. Made
//! by [`Command`](super::Command). It only looks whether the child has ended: the reaping is
//! `reap`'s.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::reap::Process;
use crate::about::about;
use crate::io::byte_stream::ByteRead;
use crate::io::{PipeReader, PipeWriter};
use crate::reactor::{Direction, Notice, Registered, Wait};
use crate::remote::{self, LoopId};
use crate::time::{Sleep, deadline_after};

/// What a child reads from a pipe: we write it.
pub type ChildStdin = PipeWriter;
/// What a child writes into a pipe as its standard output: we read it.
pub type ChildStdout = PipeReader;
/// What a child writes into a pipe as its standard error: we read it.
pub type ChildStderr = PipeReader;

/// A child process, started by [`Command::spawn`](super::Command::spawn).
///
/// Dropping it, on any thread, leaves the child running (unless
/// [`kill_on_drop`](super::Command::kill_on_drop) was set) and closes our ends of its pipes. It is
/// reaped by its loop when it ends, whoever waits for it or nobody.
///
/// ```
/// use headwaiter::process::Command;
/// use std::process::Stdio;
///
/// headwaiter::block_on(async {
///     let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
///     let mut stdin = child.stdin.take().expect("it is piped");
///     stdin.write_all(b"soup").await?;
///     drop(stdin); // The end of what it reads.
///     let output = child.wait_with_output().await?;
///     assert_eq!(output.stdout, b"soup");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Child {
    /// What it reads, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// What it writes to its standard output, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// What it writes to its standard error, if that is a pipe.
    pub stderr: Option<ChildStderr>,
    /// Given notice when the child was reaped.
    pub(super) exit: Registered<Notice>,
    pub(super) handle: Handle,
    /// What errors call it.
    pub(super) name: Box<str>,
}

/// A part of its own, so that the streams can be moved out of a [`Child`], which has no `Drop`
/// therefore.
pub(super) struct Handle {
    process: Arc<Process>,
    home: LoopId,
    kill_on_drop: bool,
}

impl Handle {
    pub(super) fn new(process: Arc<Process>, home: LoopId, kill_on_drop: bool) -> Self {
        Handle { process, home, kill_on_drop }
    }

    #[cfg(test)]
    pub(super) fn process(&self) -> &Arc<Process> {
        &self.process
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Not the copy in a forked child: the process is not its child but its parent's.
        if self.kill_on_drop && remote::is_of_this_process(self.home) {
            // It fails only where there is nothing left to do.
            let _ = self.process.kill();
        }
    }
}

impl Child {
    /// Its process id. `None` once it was reaped: then the number may be another's.
    pub fn id(&self) -> Option<u32> {
        self.handle.process.id()
    }

    /// Closes [`stdin`](Self::stdin), for a child that reads to the end would not end before, and
    /// waits until the child has ended. Other pipes stay as they are: if it is stuck because nobody
    /// reads what it writes, it stays so; that is what [`wait_with_output`](Self::wait_with_output)
    /// is for.
    ///
    /// Cancel-safe, but for the closed stdin: the status stays, for the next `wait` too.
    ///
    /// On other systems than Linux the loop learns of the end by SIGCHLD alone: where the program
    /// takes the handler of that signal away, this waits for ever.
    ///
    /// # Errors
    ///
    /// The plain ECHILD, as from std, if its status is lost: other code of this process has reaped
    /// it, for instance by waitpid(-1), or the kernel has, because this process ignores SIGCHLD
    /// (waitpid(2), NOTES). The error comes when the child has ended.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that started the child.
    #[track_caller]
    pub fn wait(&mut self) -> WaitForExit<'_> {
        WaitForExit { child: self, wait: Wait::at(Location::caller()) }
    }

    /// How it ended, if it has, without waiting. On any thread.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.handle.process.try_wait()
    }

    /// Sends it SIGKILL, which ends it soon. On any thread. It is no error if it has ended before.
    ///
    /// It is sent to this one process, not to those that it has started in turn, as shells do. (To
    /// end these too, start it in a [process
    /// group](std::os::unix::process::CommandExt::process_group) of its own, and send the signal to
    /// the group.)
    ///
    /// # Errors
    ///
    /// If we may not: it runs as another user.
    pub fn start_kill(&mut self) -> io::Result<()> {
        self.handle.process.kill().map_err(|error| about("kill", &self.name, error))
    }

    /// Sends it SIGKILL, and waits until it has ended.
    ///
    /// Cancel-safe: once polled, the child is killed also if this is dropped.
    ///
    /// # Errors
    ///
    /// As [`start_kill`](Self::start_kill) and [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that started the child.
    #[track_caller]
    pub fn kill(&mut self) -> Kill<'_> {
        Kill { child: self, sent: false, wait: Wait::at(Location::caller()) }
    }

    /// Closes [`stdin`](Self::stdin), takes in all that the child writes into its pipes, both at
    /// the same time, and waits until it has ended. Without a pipe its output is empty.
    ///
    /// Like std's it waits for the end of the pipes too: a process that has inherited them from the
    /// child keeps it waiting. [`WaitWithOutput::grace`] limits that.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, what was read is lost, and the child
    /// runs on (it finds its pipes closed), or is killed if
    /// [`kill_on_drop`](super::Command::kill_on_drop) was set. [`WaitWithOutput`] shows a deadline
    /// that loses nothing.
    ///
    /// # Errors
    ///
    /// What read(2) says; else as [`wait`](Self::wait). What was read before is kept:
    /// [`WaitWithOutput::take_read`].
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that started the child.
    #[track_caller]
    pub fn wait_with_output(self) -> WaitWithOutput {
        WaitWithOutput::new(Ok(self), Location::caller())
    }

    #[track_caller]
    pub(super) fn poll_exit(
        &mut self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<ExitStatus>> {
        self.stdin = None;
        let try_wait = |_: &Notice| match self.handle.process.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error),
        };
        self.exit.poll_io(wait, cx, Direction::Read, try_wait, |_| false)
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("command", &self.name)
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// The future of [`Child::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct WaitForExit<'a> {
    child: &'a mut Child,
    wait: Wait,
}

impl Future for WaitForExit<'_> {
    type Output = io::Result<ExitStatus>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.child.poll_exit(&mut this.wait, cx)
    }
}

/// The future of [`Child::kill`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Kill<'a> {
    child: &'a mut Child,
    sent: bool,
    wait: Wait,
}

impl Future for Kill<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.sent {
            this.child.start_kill()?;
            this.sent = true;
        }
        this.child.poll_exit(&mut this.wait, cx).map_ok(drop)
    }
}

/// The future of [`Command::output`](super::Command::output) and [`Child::wait_with_output`].
///
/// By itself it waits for as long as the child runs, and for as long as any process holds one of
/// its pipes open. To cut that short, and still have what was written and the status:
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
    /// `None` once it is over.
    child: Option<io::Result<Child>>,
    stdout: Intake,
    stderr: Intake,
    /// How the child has ended.
    end: Option<io::Result<ExitStatus>>,
    /// How long its pipes may stay open after that: for as long as it takes, if this was not set.
    /// Taken when that time begins.
    grace: Option<Duration>,
    /// Ends the wait for the pipes. `None` until the grace begins.
    cut: Option<Sleep>,
    wait: Wait,
    place: &'static Location<'static>,
}

/// What was read from a pipe so far.
#[derive(Debug)]
struct Intake {
    bytes: Vec<u8>,
    wait: Wait,
}

impl WaitWithOutput {
    pub(super) fn new(child: io::Result<Child>, place: &'static Location<'static>) -> Self {
        let intake = || Intake { bytes: Vec::new(), wait: Wait::at(place) };
        WaitWithOutput {
            child: Some(child),
            stdout: intake(),
            stderr: intake(),
            end: None,
            grace: None,
            cut: None,
            wait: Wait::at(place),
            place,
        }
    }

    /// Waits for at most so long after the end of the child for the end of its pipes, which other
    /// processes may have inherited from it. What has come by then is the output. What these
    /// processes write later is an error to them (`EPIPE`), or ends them (SIGPIPE).
    ///
    /// The time is that of the loop's clock. All that the child itself has written is there when it
    /// has ended, so even a grace of zero loses none of that. Without this the future waits for as
    /// long as it takes, as std does.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Sends the child SIGKILL, as [`Child::start_kill`]. Then this future is soon ready, with all
    /// that was written and with a status that tells of the signal, unless another process holds a
    /// pipe open: see [`grace`](Self::grace). A no-op once it is over.
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

    /// Takes what was read so far, from the standard output and the standard error. For a future
    /// that is given up half way, or that has failed: where SIGCHLD is ignored, the status is an
    /// error (ECHILD), and this is the output.
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

/// What a future that starts its child has of it: the child, or why there is none.
#[track_caller]
pub(super) fn started(child: &mut Option<io::Result<Child>>) -> io::Result<Child> {
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
        let mut child = started(&mut this.child)?;
        child.stdin = None;
        // Before the pipes are read: once the child has ended, all that it has written is in there.
        if this.end.is_none()
            && let Poll::Ready(end) = child.poll_exit(&mut this.wait, cx)
        {
            this.end = Some(end);
        }
        // Both each time: a child that fills one pipe may not come to write into the other.
        let stdout = this.stdout.poll(&mut child.stdout, cx)?;
        let stderr = this.stderr.poll(&mut child.stderr, cx)?;
        if this.end.is_some()
            && let Some(grace) = this.grace.take()
        {
            this.cut = Some(Sleep::new(deadline_after(grace), this.place));
        }
        let is_cut = |cut: &mut Sleep| Pin::new(cut).poll(cx).is_ready();
        if ((stdout.is_ready() && stderr.is_ready()) || this.cut.as_mut().is_some_and(is_cut))
            && let Some(end) = this.end.take()
        {
            // After the reading: where the status is lost, the output is not.
            let status = end?;
            let (stdout, stderr) = this.take_read();
            return Poll::Ready(Ok(Output { status, stdout, stderr }));
        }
        this.child = Some(Ok(child));
        Poll::Pending
    }
}

/// So much is asked of a pipe at once: what it holds, on Linux.
const PIECE: usize = 64 * 1024;

impl Intake {
    fn poll(
        &mut self,
        pipe: &mut Option<PipeReader>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(open) = pipe {
            let filled = self.bytes.len();
            self.bytes.resize(filled + PIECE, 0);
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
