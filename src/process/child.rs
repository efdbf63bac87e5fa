//! [`Child`], a child process that was started, and the futures [`WaitForExit`] and [`Kill`].
//!
//! Made by [`Command`](super::Command). It only looks whether the child has ended: `reap.rs` reaps
//! it.

use std::task::{Context, Poll};
use std::{io, panic::Location, pin::Pin, process::ExitStatus, sync::Arc};

use super::{output::WaitWithOutput, reap::Process};
use crate::about::about;
use crate::fmt::debug_struct;
use crate::io::{PipeReader, PipeWriter};
use crate::reactor::{Direction, Notice, Registered, Wait};
use crate::state::{LoopId, is_of_this_process};

/// The standard input of a child, if it is a pipe: this is the end to write.
pub type ChildStdin = PipeWriter;
/// The standard output of a child, if it is a pipe: this is the end to read.
pub type ChildStdout = PipeReader;
/// The standard error of a child, if it is a pipe: this is the end to read.
pub type ChildStderr = PipeReader;

/// A child process, started by [`Command::spawn`](super::Command::spawn).
///
/// Dropping it, on any thread, leaves the child running (unless
/// [`kill_on_drop`](super::Command::kill_on_drop) was set) and closes this end of its pipes. Its
/// loop reaps it when it ends, whether or not a task waits for it.
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
    /// Its standard input, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, if that is a pipe.
    pub stderr: Option<ChildStderr>,
    /// Given notice when the child has been reaped.
    pub(super) exit: Registered<Notice>,
    pub(super) handle: Handle,
    /// The name of the command in errors.
    pub(super) name: Box<str>,
}

/// The part of a [`Child`] that acts on drop. Separate, because fields cannot be moved out of a
/// type with `Drop`, and users take the streams.
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
        // Not in a forked child: the process is a child of its parent, not its own.
        if self.kill_on_drop && is_of_this_process(self.home) {
            // If it fails, the process has ended or cannot be killed.
            let _ = self.process.kill();
        }
    }
}

impl Child {
    /// Its process id. `None` once it has been reaped: another process may have the id then.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.handle.process.id()
    }

    /// Closes [`stdin`](Self::stdin), and waits until the child has ended. (A child that reads its
    /// standard input until EOF would otherwise not end.)
    ///
    /// Its other pipes stay as they are. A child that writes more than they hold blocks until they
    /// are read: use [`wait_with_output`](Self::wait_with_output).
    ///
    /// Cancel-safe, except for the closed stdin: the status is kept for the next `wait`.
    ///
    /// On other systems than Linux, only SIGCHLD tells the loop about the end. If the program
    /// replaces the handler of that signal, this waits for ever.
    ///
    /// # Errors
    ///
    /// The plain ECHILD, as from std, if the status is lost: other code of this process has reaped
    /// the child, for instance by waitpid(-1), or the kernel has, because this process ignores
    /// SIGCHLD (waitpid(2), NOTES). The error is returned when the child has ended.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that started the child.
    #[track_caller]
    pub fn wait(&mut self) -> WaitForExit<'_> {
        WaitForExit { child: self, wait: Wait::at(Location::caller()) }
    }

    /// Returns how the child ended, if it has, without waiting. It may be called on any thread.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.handle.process.try_wait()
    }

    /// Sends SIGKILL, which ends the child soon. It may be called on any thread. A no-op if the
    /// child has ended.
    ///
    /// The signal is sent to this one process, not to processes that it has started, as shells do.
    /// (To end these too, start it in a [process
    /// group](std::os::unix::process::CommandExt::process_group) of its own, and send the signal to
    /// the group.)
    ///
    /// # Errors
    ///
    /// If this process may not: the child runs as another user.
    pub fn start_kill(&mut self) -> io::Result<()> {
        self.handle.process.kill().map_err(|error| about("kill", &self.name, error))
    }

    /// Sends SIGKILL, and waits until the child has ended.
    ///
    /// Cancel-safe: once polled, the child is killed even if the future is dropped.
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

    /// Closes [`stdin`](Self::stdin), reads both pipes at the same time until EOF, and waits until
    /// the child has ended. The output of a stream without a pipe is empty.
    ///
    /// Like std's, it waits for EOF of the pipes too: a process that has inherited them from the
    /// child delays it. [`WaitWithOutput::grace`] limits that.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, what was read is lost, and the
    /// child runs on (its pipes are closed), or is killed if
    /// [`kill_on_drop`](super::Command::kill_on_drop) was set. [`WaitWithOutput`] shows a deadline
    /// that loses nothing.
    ///
    /// # Errors
    ///
    /// Those of read(2); otherwise as [`wait`](Self::wait). What was read before is kept:
    /// [`WaitWithOutput::take_read`].
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that started the child.
    #[track_caller]
    pub fn wait_with_output(self) -> WaitWithOutput {
        WaitWithOutput::new(Ok(self), Location::caller())
    }

    /// Closes stdin, and waits until the child has been reaped.
    #[track_caller]
    pub(super) fn poll_exit(
        &mut self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<ExitStatus>> {
        self.stdin = None;
        // The reaper gives notice; until then the status is not there, which reads as "would
        // block".
        let try_wait = |_: &Notice| match self.handle.process.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error),
        };
        self.exit.poll_io(wait, cx, Direction::Read, try_wait, |_| false)
    }
}

debug_struct!(impl[] for Child as "Child", |this| command: this.name, id: this.id(), ..);

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
