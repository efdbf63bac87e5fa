//! Child processes: [`Command`] starts them, [`Child`] waits for them, and their ends of a pipe are
//! streams.
//!
//! What a child that was made by a bare fork(2) may do with the loop of its parent is told at
//! [`EventLoop`](crate::EventLoop#fork2).
//!
//! # Errors
//!
//! Errors of a command name the program and keep the kind. [`io::os_error`](crate::io::os_error)
//! gives the number of such an error (`ENOENT`, ...), where
//! [`raw_os_error`](std::io::Error::raw_os_error) gives `None`. Errors of `Child::wait` and of the
//! child's streams are the kernel's own.

// What runs here: `spawn` is std's, and so is all that a `Command` can be told. `process/child.rs`
// waits for a child and reads its output; `process/reap.rs` sees to it that no child stays a
// zombie, whatever becomes of its handle.

mod child;
mod reap;

use std::ffi::OsStr;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};

use self::child::started;
pub use self::child::{
    Child, ChildStderr, ChildStdin, ChildStdout, Kill, WaitForExit, WaitWithOutput,
};
use self::reap::Process;
use crate::about::about;
use crate::reactor::{Registered, Wait};

/// A program to run, with its arguments, its environment, and what its standard streams are: std's
/// [`Command`](std::process::Command), which it holds, with results to await.
///
/// A child is reaped when it ends, by the loop that started it, whether or not anybody waits for it
/// and also when its [`Child`] was dropped: no zombie stays. (A child that outlives its loop is
/// reaped when this process next starts one, or by the system when this process has ended.) Nobody
/// else's children are touched.
///
/// While a child runs whose `Child` is alive, a [virtual clock](crate::Clock::Virtual) stands
/// still.
///
/// # Pipes of your own
///
/// A descriptor that is given to [`stdin`](Self::stdin), [`stdout`](Self::stdout) or
/// [`stderr`](Self::stderr) belongs to the `Command`, which keeps it open after
/// [`spawn`](Self::spawn), so that it can start another child. For the writing end of a pipe that
/// means: its reader does not see the end before the `Command` is dropped, even when the child has
/// ended. So drop it first:
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
/// ([`Stdio::piped`] is not affected: of such a pipe the `Command` keeps nothing.)
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
    /// Somebody has chosen what the child reads, as far as we can know.
    stdin_is_set: bool,
    kill_on_drop: bool,
}

impl Command {
    /// A command without arguments, in our environment and directory. A program without a slash in
    /// its name is looked up in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Command {
            std: std::process::Command::new(program),
            stdin_is_set: false,
            kill_on_drop: false,
        }
    }

    /// Adds an argument. No shell sees it: nothing in it is special.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.std.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.std.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.std.env(key, value);
        self
    }

    /// Sets variables of its environment.
    pub fn envs<K, V>(&mut self, variables: impl IntoIterator<Item = (K, V)>) -> &mut Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.envs(variables);
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.std.env_remove(key);
        self
    }

    /// Takes everything out of its environment.
    pub fn env_clear(&mut self) -> &mut Self {
        self.std.env_clear();
        self
    }

    /// The directory it works in. Where a program's path is relative, say which directory it is
    /// relative to by making it absolute: systems differ.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.std.current_dir(dir);
        self
    }

    /// What it reads. With [`Stdio::piped`] [`Child::stdin`] is the other end. Not set: what this
    /// process reads, but nothing in [`output`](Self::output). A pipe of your own stays open with
    /// the `Command`: see [above](Self#pipes-of-your-own).
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.std.stdin(stdin);
        self.stdin_is_set = true;
        self
    }

    /// Where it writes. With [`Stdio::piped`] [`Child::stdout`] is the other end. Not set: where
    /// this process does. A pipe of your own stays open with the `Command`: see
    /// [above](Self#pipes-of-your-own).
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.std.stdout(stdout);
        self
    }

    /// Where it writes errors. With [`Stdio::piped`] [`Child::stderr`] is the other end. Not set:
    /// where this process does. A pipe of your own stays open with the `Command`: see
    /// [above](Self#pipes-of-your-own).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.std.stderr(stderr);
        self
    }

    /// Whether the child is killed (SIGKILL) when its [`Child`] is dropped, or the future of
    /// [`status`](Self::status), [`output`](Self::output) or [`Child::wait_with_output`] is. If
    /// not, which is the default, it runs on.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Self {
        self.kill_on_drop = kill;
        self
    }

    /// std's command, to look at.
    pub fn as_std(&self) -> &std::process::Command {
        &self.std
    }

    /// std's command, to change: for what is not here, for instance all of
    /// [`CommandExt`](std::os::unix::process::CommandExt).
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        // We cannot see what it is told.
        self.stdin_is_set = true;
        &mut self.std
    }

    /// std's command, to keep.
    pub fn into_std(self) -> std::process::Command {
        self.std
    }

    /// Starts the program. That takes a tenth of a millisecond or two, in which the loop stands
    /// still.
    ///
    /// # Errors
    ///
    /// What the system says, with the name of the command: for instance `NotFound`. If the loop
    /// cannot watch the child (no file descriptor is left, say), it is killed. `Unsupported` where
    /// there is no pidfd_open(2), as on Linux before 5.3, and this crate is built without its
    /// feature `signal`.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        // First, so that nothing is started where nothing can be watched.
        let exit = Registered::notice_of_work("child process")?;
        reap::sweep();
        let mut child = self.std.spawn().map_err(|error| about("spawn", self.name(), error))?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Arc::new(Process::new(child));
        let watched = reap::watch(&process, exit.slot());
        let child = watched.and_then(|()| {
            Ok(Child {
                stdin: stdin.map(|pipe| ChildStdin::from_fd(pipe.into())).transpose()?,
                stdout: stdout.map(|pipe| ChildStdout::from_fd(pipe.into())).transpose()?,
                stderr: stderr.map(|pipe| ChildStderr::from_fd(pipe.into())).transpose()?,
                handle: child::Handle::new(
                    Arc::clone(&process),
                    exit.key().home,
                    self.kill_on_drop,
                ),
                exit,
                name: self.name().into(),
            })
        });
        child.map_err(|error| {
            let _ = process.kill();
            about("watch", self.name(), error)
        })
    }

    /// Starts the program, at once, and waits until it ends. Its ends of pipes are closed.
    ///
    /// If it is dropped before it was ready, the child runs on, or is killed if
    /// [`kill_on_drop`](Self::kill_on_drop) says so; it is reaped in any case.
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
    /// Outside any event loop, also where it is called; polling it in another.
    #[track_caller]
    pub fn status(&mut self) -> Status {
        let child = self.spawn().map(|mut child| {
            (child.stdin, child.stdout, child.stderr) = (None, None, None);
            child
        });
        Status { child: Some(child), wait: Wait::at(Location::caller()) }
    }

    /// Starts the program, at once, and waits until it ends, while all that it writes to its
    /// standard output and error is taken in. These two are pipes, whatever was set; what it reads
    /// is nothing, unless it was set.
    ///
    /// It also waits for processes that the program has started, if they hold these pipes open:
    /// [`WaitWithOutput::grace`] limits that.
    ///
    /// If it is dropped before it was ready, what was read is lost, and the child runs on (it finds
    /// its pipes closed), or is killed if [`kill_on_drop`](Self::kill_on_drop) says so; it is
    /// reaped in any case. [`WaitWithOutput`] shows a deadline that loses nothing.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    ///
    /// # Panics
    ///
    /// Outside any event loop, also where it is called; polling it in another.
    #[track_caller]
    pub fn output(&mut self) -> WaitWithOutput {
        if !self.stdin_is_set {
            self.std.stdin(Stdio::null());
        }
        self.std.stdout(Stdio::piped()).stderr(Stdio::piped());
        WaitWithOutput::new(self.spawn(), Location::caller())
    }

    /// What errors call it.
    fn name(&self) -> String {
        let program = self.std.get_program();
        match self.std.get_current_dir() {
            None => format!("{program:?}"),
            // It may be the directory that is missing.
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
    /// `None` once it is over.
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
        let mut child = started(&mut this.child)?;
        let polled = child.poll_exit(&mut this.wait, cx);
        if polled.is_pending() {
            this.child = Some(Ok(child));
        }
        polled
    }
}
