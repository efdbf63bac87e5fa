//! No child stays a zombie: [`watch`] has each one reaped by its loop when it ends, whatever becomes of its
//! [`Child`](super::Child). Each is asked for by its own process id, and nobody else's child is ever reaped.
//!
//! On Linux a pidfd becomes readable when the child has ended. Elsewhere, and where there is none to be had,
//! SIGCHLD says that some child has ended, and each is looked at. docs/design.md tells more.

use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::reactor;
use crate::slots::Slot;

/// A child process, as its handle and its reaper share it: the handle may be used and dropped on any thread.
pub(super) struct Process {
    state: Mutex<State>,
}

struct State {
    /// It remembers the status once it has it.
    child: std::process::Child,
    /// It was reaped: its number may be another's, who must not be killed.
    over: bool,
}

impl Process {
    pub(super) fn new(child: std::process::Child) -> Self {
        Process { state: Mutex::new(State { child, over: false }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps it, if it has ended.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut state = self.state();
        let result = state.child.try_wait();
        // An error means that somebody else has reaped it: wait(2), ECHILD.
        state.over = !matches!(result, Ok(None));
        result
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.over { Ok(()) } else { state.child.kill() }
    }

    pub(super) fn id(&self) -> Option<u32> {
        let state = self.state();
        (!state.over).then(|| state.child.id())
    }

    fn has_ended(&self) -> bool {
        !matches!(self.try_wait(), Ok(None))
    }
}

/// Has a child reaped by the loop that runs here, which then gives notice in the slot `exit`.
#[track_caller]
pub(super) fn watch(process: &Arc<Process>, exit: Slot) -> io::Result<()> {
    let reaper = || Reaper { process: Arc::clone(process), exit };
    let Some(id) = process.id() else { return Ok(()) };
    match pidfd::open(id) {
        Ok(pidfd) => pidfd::watch(pidfd, reaper()),
        Err(no_pidfd) => sigchld::watch(id, reaper(), no_pidfd),
    }
}

/// What watches a child, and lives in the loop until the child has ended.
struct Reaper {
    process: Arc<Process>,
    exit: Slot,
}

impl Reaper {
    /// Reaps the child if it has ended. `false`: it has not.
    fn reap(&self) -> bool {
        let ended = self.process.has_ended();
        if ended {
            reactor::give(self.exit);
        }
        ended
    }
}

impl Drop for Reaper {
    /// Also with the loop: then this is the last look.
    fn drop(&mut self) {
        if !self.process.has_ended() {
            left_behind().push(Arc::clone(&self.process));
        }
    }
}

#[cfg(target_os = "linux")]
mod pidfd {
    use super::*;
    use crate::reactor::{FdSource, Next, on_ready_of};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use std::os::fd::OwnedFd;

    /// The process must not have been reaped, so that the number is still its own.
    pub(super) fn open(id: u32) -> io::Result<OwnedFd> {
        #[cfg(test)]
        tests::without_pidfds()?;
        let id = Pid::from_raw(id.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(pidfd_open(id, PidfdFlags::empty())?)
    }

    #[track_caller]
    pub(super) fn watch(pidfd: OwnedFd, reaper: Reaper) -> io::Result<()> {
        let source = FdSource::new(pidfd);
        let watched = on_ready_of("pidfd", source, mio::Interest::READABLE, move |_, _| {
            // While a debugger has not let go of it, it has ended and cannot be reaped yet.
            if reaper.reap() { Next::Remove } else { Next::Again }
        });
        watched?.detach();
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod pidfd {
    use super::*;
    use std::convert::Infallible;

    pub(super) fn open(_: u32) -> io::Result<Infallible> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn watch(none: Infallible, _: Reaper) -> io::Result<()> {
        match none {}
    }
}

#[cfg(feature = "signal")]
mod sigchld {
    use super::*;
    use crate::observe;
    use crate::signal::unix::{SignalKind, signal};
    use crate::task;

    /// A task for each child, which looks at it whenever some child has ended.
    #[track_caller]
    pub(super) fn watch(id: u32, reaper: Reaper, no_pidfd: io::Error) -> io::Result<()> {
        let line = format_args!("process {id} is watched by SIGCHLD, for it has no pidfd: {no_pidfd}");
        observe::say(log::Level::Debug, observe::SOURCE, line);
        let mut some_child_ended = signal(SignalKind::child())?;
        let task = task::Builder::new().name(format!("reaper of process {id}"));
        drop(task.spawn(async move {
            // It may have ended before we listened.
            while !reaper.reap() && some_child_ended.recv().await.is_some() {}
        }));
        Ok(())
    }
}

#[cfg(not(feature = "signal"))]
mod sigchld {
    use super::*;

    pub(super) fn watch(_: u32, _: Reaper, no_pidfd: io::Error) -> io::Result<()> {
        let why = format!("it has no pidfd, and SIGCHLD needs the feature `signal`: {no_pidfd}");
        Err(io::Error::new(no_pidfd.kind(), why))
    }
}

/// Children that were still running when their loop was dropped.
static LEFT_BEHIND: Mutex<Vec<Arc<Process>>> = Mutex::new(Vec::new());

fn left_behind() -> MutexGuard<'static, Vec<Arc<Process>>> {
    LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaps those that have ended since.
pub(super) fn sweep() {
    left_behind().retain(|process| !process.has_ended());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Core;
    use crate::process::Command;
    use crate::{EventLoop, block_on};
    use std::cell::Cell;

    thread_local! {
        /// Of the loop of this thread.
        static WITHOUT_PIDFDS: Cell<bool> = const { Cell::new(false) };
    }

    /// As on an old kernel.
    pub(super) fn without_pidfds() -> io::Result<()> {
        if WITHOUT_PIDFDS.get() { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
    }

    fn works() -> usize {
        Core::with(|core| core.under_way()).unwrap()
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    #[test]
    fn a_child_is_under_way_until_it_was_reaped_or_nobody_has_it_any_more() {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            let mut child = shell("exit 3").spawn().unwrap();
            assert_eq!(works(), 1);
            assert_eq!(child.wait().await.unwrap().code(), Some(3));
            assert_eq!(works(), 0);
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            assert_eq!(works(), 1);
            child.start_kill().unwrap();
            drop(child);
            assert_eq!(works(), 0);
        });
    }

    #[test]
    fn a_child_that_outlives_its_loop_is_reaped_by_a_later_one() {
        let (child, process) = block_on(async {
            let child = Command::new("sleep").arg("1000").spawn().unwrap();
            let process = Arc::clone(child.handle.process());
            (child, process)
        });
        drop(child);
        assert!(left_behind().iter().any(|left| Arc::ptr_eq(left, &process)));
        process.kill().unwrap();
        block_on(async {
            let mut later = 0;
            while !process.state().over {
                Command::new("true").status().await.unwrap();
                later += 1;
                assert!(later < 10_000, "it was forgotten");
            }
        });
        assert!(!left_behind().iter().any(|left| Arc::ptr_eq(left, &process)));
    }

    #[test]
    #[cfg(feature = "signal")]
    fn without_pidfds_children_are_reaped_on_sigchld() {
        use std::time::{Duration, Instant};

        WITHOUT_PIDFDS.set(true);
        let mut event_loop = EventLoop::new().unwrap();
        let spawn = |script: &str| shell(script).spawn().unwrap();
        event_loop.block_on(async {
            let mut children: Vec<_> = (0..20).map(|n| spawn(&format!("exit {n}"))).collect();
            for (n, child) in children.iter_mut().enumerate() {
                assert_eq!(child.wait().await.unwrap().code(), Some(n as i32));
            }
            assert_eq!(works(), 0);
            let mut killed = spawn("exec sleep 1000");
            killed.kill().await.unwrap();
        });
        // Nobody waits for these.
        let dropped = event_loop.enter(|| Arc::clone(spawn("exit 0").handle.process()));
        let patience = Instant::now() + Duration::from_secs(60);
        while !dropped.state().over {
            event_loop.turn(Some(Duration::from_secs(60))).unwrap();
            assert!(Instant::now() < patience, "nothing tells that it has ended");
        }
        let left = event_loop.enter(|| Arc::clone(spawn("exec sleep 1000").handle.process()));
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
        assert!(left_behind().iter().any(|each| Arc::ptr_eq(each, &left)));
        left.kill().unwrap();
    }
}
