//! Reaping: [`watch`] makes the loop reap each child when it ends, whatever becomes of its `Child`,
//! so that none stays a zombie. Each child is waited for by its own process id, so children of
//! other code are never reaped.
//!
//! On Linux a pidfd becomes readable when the child has ended (`reap/pidfd.rs`). Elsewhere, and if
//! no pidfd can be had, SIGCHLD reports that some child has ended, and each is looked at
//! (`reap/sigchld.rs`). If neither may report it, a timer of the kernel does, which also ticks
//! while a virtual clock stands still (`reap/timer.rs`). `docs/design.md` tells more.

#[cfg(target_os = "linux")]
mod pidfd;
#[cfg(feature = "signal")]
mod sigchld;
#[cfg(any(target_os = "linux", feature = "signal"))]
mod timer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, process::ExitStatus};

use crate::{reactor, state::Slot};

/// A child process, as its handle and its reaper share it: the handle may be used and dropped on
/// any thread.
pub(super) struct Process {
    state: Mutex<State>,
}

struct State {
    /// It keeps the status once it has it.
    child: std::process::Child,
    /// Whether it was reaped. Another process may have its id then, and must not be killed.
    is_reaped: bool,
    /// The error number (ECHILD) if something else has reaped it, so that its status is lost. Kept,
    /// because asking again could reap the next child with the same id.
    lost: Option<i32>,
}

impl Process {
    pub(super) fn new(child: std::process::Child) -> Self {
        Process { state: Mutex::new(State { child, is_reaped: false, lost: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps the child if it has ended, and returns its status.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut state = self.state();
        if let Some(number) = state.lost {
            return Err(io::Error::from_raw_os_error(number));
        }
        let result = state.child.try_wait();
        state.is_reaped = !matches!(result, Ok(None));
        // ECHILD, wait(2): other code has reaped it, or the kernel has, because SIGCHLD is ignored.
        state.lost = result.as_ref().err().and_then(io::Error::raw_os_error);
        result
    }

    /// Sends SIGKILL, unless the child has been reaped.
    pub(super) fn kill(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.is_reaped { Ok(()) } else { state.child.kill() }
    }

    /// The process id, until the child is reaped.
    pub(super) fn id(&self) -> Option<u32> {
        let state = self.state();
        (!state.is_reaped).then(|| state.child.id())
    }

    fn has_ended(&self) -> bool {
        !matches!(self.try_wait(), Ok(None))
    }
}

/// Makes the loop that runs here reap the child when it ends. The loop then gives notice in the
/// slot `exit`.
#[track_caller]
pub(super) fn watch(process: &Arc<Process>, exit: Slot) -> io::Result<()> {
    let reaper = || Reaper { process: Arc::clone(process), exit };
    let Some(id) = process.id() else { return Ok(()) };
    match pidfd::open(id) {
        Ok(pidfd) => pidfd::watch(pidfd, reaper()),
        // If SIGCHLD is ignored, the kernel may have reaped it already (ESRCH). Then there is
        // nothing to watch, and the program's disposition of the signal stays as it is.
        Err(_) if reaper().reap() => Ok(()),
        Err(no_pidfd) => sigchld::watch(id, reaper(), &no_pidfd),
    }
}

/// The loop's part of a child. It lives in the loop until the child has ended.
struct Reaper {
    process: Arc<Process>,
    exit: Slot,
}

impl Reaper {
    /// Reaps the child and gives notice, if it has ended. Returns whether it has.
    fn reap(&self) -> bool {
        let ended = self.process.has_ended();
        if ended {
            reactor::give(self.exit);
        }
        ended
    }
}

impl Drop for Reaper {
    /// If the loop is dropped first, the child is left to a later loop of this process.
    fn drop(&mut self) {
        if !self.process.has_ended() {
            left_behind().push(Arc::clone(&self.process));
        }
    }
}

/// Other systems have no pidfds.
#[cfg(not(target_os = "linux"))]
mod pidfd {
    use std::convert::Infallible;
    use std::io;

    use crate::process::reap::Reaper;

    pub(super) fn open(_: u32) -> io::Result<Infallible> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn watch(none: Infallible, _: Reaper) -> io::Result<()> {
        match none {}
    }
}

/// Without the feature `signal`, a child without a pidfd cannot be watched.
#[cfg(not(feature = "signal"))]
mod sigchld {
    use std::io;

    use crate::process::reap::Reaper;

    pub(super) fn watch(_: u32, _: Reaper, no_pidfd: &io::Error) -> io::Result<()> {
        let why = format!("it has no pidfd, and SIGCHLD needs the feature `signal`: {no_pidfd}");
        Err(io::Error::new(no_pidfd.kind(), why))
    }
}

/// The children that were still running when their loop was dropped.
static LEFT_BEHIND: Mutex<Vec<Arc<Process>>> = Mutex::new(Vec::new());

fn left_behind() -> MutexGuard<'static, Vec<Arc<Process>>> {
    LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaps the children of dropped loops that have ended since.
pub(super) fn sweep() {
    left_behind().retain(|process| !process.has_ended());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Door;
    use crate::process::Command;
    use crate::{EventLoop, block_on};
    use std::cell::Cell;

    thread_local! {
        /// Set for the loop of this thread.
        static WITHOUT_PIDFDS: Cell<bool> = const { Cell::new(false) };
    }

    /// Fails if pidfds are switched off, as on an old kernel.
    pub(super) fn without_pidfds() -> io::Result<()> {
        if WITHOUT_PIDFDS.get() { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
    }

    fn works() -> usize {
        Door::expect("a test").in_flight()
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
            while !process.state().is_reaped {
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
        while !dropped.state().is_reaped {
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
