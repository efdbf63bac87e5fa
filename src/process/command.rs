//! [`Command`]: a program to run, and the future [`Status`]. `spawn` is std's, and so is everything
//! that a command can be told.
//!
//! `child.rs` waits for a child, `output.rs` collects its output, `reap.rs` reaps it.

use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll};
use std::{ffi::OsStr, fmt, io, panic::Location, path::Path, pin::Pin, sync::Arc};

use super::child::{Child, ChildStderr, ChildStdin, ChildStdout, Handle};
use super::output::{WaitWithOutput, take_child};
use super::reap::{self, Process};
use crate::about::about;
use crate::reactor::{Registered, Wait};

/// A program to run, with its arguments, its environment and its standard streams: std's
/// [`Command`](std::process::Command), with results to await.
///
/// The loop that started a child reaps it when it ends, whether or not a task waits for it, and
/// also if its [`Child`] was dropped: no zombie is left. (A child that outlives its loop is reaped
/// when this process next starts one, or by the system when this process has ended.) Children that
/// other code started are not touched.
///
/// While a child runs whose `Child` is alive, a [virtual clock](crate::Clock::Virtual) stands
/// still.
///
/// # Pipes of your own
///
/// A descriptor that is passed to [`stdin`](Self::stdin), [`stdout`](Self::stdout) or
/// [`stderr`](Self::stderr) belongs to the `Command`, which keeps it open after
/// [`spawn`](Self::spawn), so that it can start another child. So the reader of a pipe does not see
/// EOF before the `Command` is dropped, even if the child has ended. Drop it first:
///
/// ```
/// use headwaiter::process::Command;
///
/// headwaiter::block_on(async {
///     let (mut reader, writer) = headwaiter::io::pipe()?;
///     let mut command = Command::new("echo");
///     command.arg("soup").stdout(writer.into_std()?);
///     let mut child = command.spawn()?;
///     drop(command); // Its writing end is the last one but the child's.
///     let mut said = [0; 10];
///     assert_eq!(reader.read(&mut said).await?, 5);
///     assert_eq!(reader.read(&mut said).await?, 0);
///     child.wait().await?;
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// ([`Stdio::piped`] is not affected: the `Command` keeps neither end of such a pipe.)
///
/// # Example
///
/// ```
/// use headwaiter::process::Command;
///
/// headwaiter::block_on(async {
///     let output = Command::new("echo").arg("soup").output().await?;
///     assert!(output.status.success());
///     assert_eq!(output.stdout, b"soup\n");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Command {
    std: std::process::Command,
    /// Whether the standard input may have been set, so that `output` must not replace it.
    stdin_is_set: bool,
    kill_on_drop: bool,
}

impl Command {
    /// Makes a command without arguments, with the environment and directory of this process. A
    /// program without a slash in its name is looked up in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Command {
            std: std::process::Command::new(program),
            stdin_is_set: false,
            kill_on_drop: false,
        }
    }

    /// Sets the name by which the program is called, its first argument. The default is the program
    /// itself. Some programs, such as busybox, choose what to do by it.
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        CommandExt::arg0(&mut self.std, name);
        self
    }

    /// Adds an argument. It is not passed through a shell, so no character in it is special.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.std.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.std.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.std.env(key, value);
        self
    }

    /// Sets environment variables.
    pub fn envs<K, V>(&mut self, variables: impl IntoIterator<Item = (K, V)>) -> &mut Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.envs(variables);
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.std.env_remove(key);
        self
    }

    /// Removes all environment variables.
    pub fn env_clear(&mut self) -> &mut Self {
        self.std.env_clear();
        self
    }

    /// Sets the working directory of the child. If the path of the program is relative, make it
    /// absolute: systems differ in which directory it is relative to.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.std.current_dir(dir);
        self
    }

    /// Sets its standard input. With [`Stdio::piped`], [`Child::stdin`] is the other end. The
    /// default is that of this process, but nothing in [`output`](Self::output). A pipe of your own
    /// stays open as long as the `Command`: see [above](Self#pipes-of-your-own).
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.std.stdin(stdin);
        self.stdin_is_set = true;
        self
    }

    /// Sets its standard output. With [`Stdio::piped`], [`Child::stdout`] is the other end. The
    /// default is that of this process. A pipe of your own stays open as long as the `Command`: see
    /// [above](Self#pipes-of-your-own).
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.std.stdout(stdout);
        self
    }

    /// Sets its standard error. With [`Stdio::piped`], [`Child::stderr`] is the other end. The
    /// default is that of this process. A pipe of your own stays open as long as the `Command`: see
    /// [above](Self#pipes-of-your-own).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.std.stderr(stderr);
        self
    }

    /// Sets whether the child is killed (SIGKILL) when its [`Child`] is dropped, or the future of
    /// [`status`](Self::status), [`output`](Self::output) or [`Child::wait_with_output`]. By
    /// default it runs on.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Self {
        self.kill_on_drop = kill;
        self
    }

    /// std's command, to inspect.
    #[must_use]
    pub fn as_std(&self) -> &std::process::Command {
        &self.std
    }

    /// std's command, to change: for what has no method here, for instance all of
    /// [the `CommandExt` of std](std::os::unix::process::CommandExt).
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        // What the caller sets cannot be seen from here.
        self.stdin_is_set = true;
        &mut self.std
    }

    /// Returns std's command.
    #[must_use]
    pub fn into_std(self) -> std::process::Command {
        self.std
    }

    /// Starts the program. That takes 0.1 to 0.2 milliseconds, for which it blocks the loop.
    ///
    /// # Errors
    ///
    /// Those of the system, with the name of the command: for instance `NotFound`. If the loop
    /// cannot watch the child, for instance because no file descriptor is left, it is killed.
    /// `Unsupported` if there is no pidfd_open(2), as on Linux before 5.3, and this crate is built
    /// without its feature `signal`.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        // First, so that nothing is started outside a loop, where it could not be watched.
        let exit = Registered::notice_of_work("child process")?;
        reap::sweep();
        let mut child = self.std.spawn().map_err(|error| about("spawn", self.name(), error))?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Arc::new(Process::new(child));
        let watched = reap::watch(&process, exit.slot());
        let child = watched.and_then(|()| {
            // If a pipe cannot be watched, the child is killed below, and reaped by the loop.
            Ok(Child {
                stdin: stdin.map(|pipe| ChildStdin::from_fd(pipe.into())).transpose()?,
                stdout: stdout.map(|pipe| ChildStdout::from_fd(pipe.into())).transpose()?,
                stderr: stderr.map(|pipe| ChildStderr::from_fd(pipe.into())).transpose()?,
                handle: Handle::new(Arc::clone(&process), exit.key().home, self.kill_on_drop),
                exit,
                name: self.name().into(),
            })
        });
        child.map_err(|error| {
            let _ = process.kill();
            about("watch", self.name(), error)
        })
    }

    /// Starts the program at once, and waits until it ends. Pipes to it are closed.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, the child runs on, or is
    /// killed if [`kill_on_drop`](Self::kill_on_drop) was set. It is reaped in any case.
    ///
    /// ```
    /// # headwaiter::block_on(async {
    /// let status = headwaiter::process::Command::new("false").status().await?;
    /// assert_eq!(status.code(), Some(1));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::wait`].
    ///
    /// # Panics
    ///
    /// Calling it outside any event loop; polling it outside that loop.
    #[track_caller]
    pub fn status(&mut self) -> Status {
        let child = self.spawn().map(|mut child| {
            (child.stdin, child.stdout, child.stderr) = (None, None, None);
            child
        });
        Status { child: Some(child), wait: Wait::at(Location::caller()) }
    }

    /// Starts the program at once, collects what it writes to its standard output and error, and
    /// waits until it ends. These two are pipes, whatever was set. Its standard input is empty,
    /// unless it was set.
    ///
    /// It also waits for processes that the program has started, if they keep these pipes open:
    /// [`WaitWithOutput::grace`] limits that.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, what was read is lost, and the
    /// child runs on (its pipes are closed), or is killed if [`kill_on_drop`](Self::kill_on_drop)
    /// was set. It is reaped in any case. [`WaitWithOutput`] shows a deadline that loses nothing.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    ///
    /// # Panics
    ///
    /// Calling it outside any event loop; polling it outside that loop.
    #[track_caller]
    pub fn output(&mut self) -> WaitWithOutput {
        if !self.stdin_is_set {
            self.std.stdin(Stdio::null());
        }
        self.std.stdout(Stdio::piped()).stderr(Stdio::piped());
        WaitWithOutput::new(self.spawn(), Location::caller())
    }

    /// The name of the command in errors.
    fn name(&self) -> String {
        let program = self.std.get_program();
        match self.std.get_current_dir() {
            None => format!("{program:?}"),
            // The directory may be what is missing.
            Some(dir) => format!("{program:?} in {dir:?}"),
        }
    }
}

impl From<std::process::Command> for Command {
    fn from(std: std::process::Command) -> Self {
        Command { std, stdin_is_set: true, kill_on_drop: false }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}

/// The future of [`Command::status`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Status {
    /// The child, or why it was not started. `None` once the future is ready.
    child: Option<io::Result<Child>>,
    wait: Wait,
}

impl Future for Status {
    type Output = io::Result<ExitStatus>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut child = take_child(&mut this.child)?;
        let polled = child.poll_exit(&mut this.wait, cx);
        if polled.is_pending() {
            this.child = Some(Ok(child));
        }
        polled
    }
}
