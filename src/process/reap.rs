//! No child stays a zombie: [`watch`] has each one reaped by its loop when it ends, whatever
//! becomes of its [`Child`](super::Child). Each is asked for by its own process id, and nobody
//! else's child is ever reaped.
//!
//! On Linux a pidfd becomes readable when the child has ended. Elsewhere, and where there is none
//! to be had, SIGCHLD says that some child has ended, and each is looked at. Where neither may
//! tell, a timer of the kernel does: it also ticks while a virtual clock stands still.
//! docs/design.md tells more.

use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::reactor;
use crate::slots::Slot;

/// A child process, as its handle and its reaper share it: the handle may be used and dropped on
/// any thread.
pub(super) struct Process {
    state: Mutex<State>,
}

struct State {
    /// It remembers the status once it has it.
    child: std::process::Child,
    /// It was reaped: its number may be another process's, which must not be killed.
    over: bool,
    /// It was reaped by other means than this `child`, so its status is lost: the error number that
    /// says so. Kept, because to ask again could reap the next child with the same number.
    lost: Option<i32>,
}

impl Process {
    pub(super) fn new(child: std::process::Child) -> Self {
        Process { state: Mutex::new(State { child, over: false, lost: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps it, if it has ended.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut state = self.state();
        if let Some(number) = state.lost {
            return Err(io::Error::from_raw_os_error(number));
        }
        let result = state.child.try_wait();
        state.over = !matches!(result, Ok(None));
        // ECHILD, wait(2): the program has reaped it by itself, or the kernel has, because SIGCHLD
        // is ignored.
        state.lost = result.as_ref().err().and_then(io::Error::raw_os_error);
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
        // Where SIGCHLD is ignored the kernel may have reaped it already (ESRCH). Then there is
        // nothing to watch, and the program's disposition of the signal stays as it is.
        Err(_) if reaper().reap() => Ok(()),
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
    use crate::reactor::{FdSource, Next, Registration, relay};
    use mio::Interest;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use std::os::fd::OwnedFd;
    use std::rc::Rc;

    /// The process must not have been reaped, so that the number is still its own.
    pub(super) fn open(id: u32) -> io::Result<OwnedFd> {
        #[cfg(test)]
        tests::without_pidfds()?;
        let id = Pid::from_raw(id.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(pidfd_open(id, PidfdFlags::empty())?)
    }

    #[track_caller]
    pub(super) fn watch(pidfd: OwnedFd, reaper: Reaper) -> io::Result<()> {
        let reaper = Rc::new(reaper);
        let watched = relay("pidfd", FdSource::new(pidfd), Interest::READABLE, move |_, _| {
            if reaper.reap() {
                return Next::Remove;
            }
            // It has ended, but cannot be reaped while a debugger in another process has not let go
            // of it: ptrace(2). The pidfd stays readable meanwhile, and `Next::Again` would keep
            // the loop turning.
            match look_at_times(Rc::clone(&reaper)) {
                Ok(()) => Next::Remove,
                Err(_) => Next::Again, // Without a descriptor for the timer, a busy loop is better than a lost child.
            }
        });
        watched.map(Registration::detach)
    }

    fn look_at_times(reaper: Rc<Reaper>) -> io::Result<()> {
        let watched =
            relay("timer of a child", timer::start()?, Interest::READABLE, move |timer, _| {
                let _ = timer::tick(timer); // A failure is a spurious event, after which the timer still runs.
                if reaper.reap() { Next::Remove } else { Next::Continue }
            });
        watched.map(Registration::detach)
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

/// A timer of the kernel, for a child whose end nothing else may tell.
#[cfg(target_os = "linux")]
mod timer {
    use super::*;
    use crate::reactor::FdSource;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use std::os::fd::OwnedFd;

    pub(super) type Timer = FdSource<OwnedFd>;

    const PERIOD: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

    pub(super) fn start() -> io::Result<Timer> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let ticks = Itimerspec { it_interval: PERIOD, it_value: PERIOD };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &ticks)?;
        Ok(FdSource::new(timer))
    }

    /// Takes a tick. Without that there is no next one: Linux goes on with a periodic timerfd when
    /// it is read.
    pub(super) fn tick(timer: &Timer) -> io::Result<()> {
        rustix::io::read(timer.get(), &mut [0; 8])?;
        Ok(())
    }
}

#[cfg(all(not(target_os = "linux"), feature = "signal"))]
mod timer {
    use super::*;
    use crate::reactor::FdSource;
    use std::os::fd::OwnedFd;

    pub(super) type Timer = FdSource<OwnedFd>;

    pub(super) fn start() -> io::Result<Timer> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn tick(_: &Timer) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(feature = "signal")]
mod sigchld {
    use super::*;
    use crate::observe;
    use crate::reactor::{Direction, Ready, Registered, Wait};
    use crate::signal::unix::{SignalKind, signal};
    use crate::task;
    use std::future::poll_fn;
    use std::panic::Location;
    use std::task::Poll;

    /// A task for each child, which looks at it whenever some child has ended.
    #[track_caller]
    pub(super) fn watch(id: u32, reaper: Reaper, no_pidfd: io::Error) -> io::Result<()> {
        let line =
            format_args!("process {id} is watched by SIGCHLD, for it has no pidfd: {no_pidfd}");
        observe::say(log::Level::Debug, observe::SOURCE, line);
        let some_child_ended = signal(SignalKind::child())?;
        // The program may set SIGCHLD to SIG_IGN or to a handler of its own at any time, and then
        // no signal arrives here: the timer looks instead. If no descriptor is left for a timer,
        // only the signal tells.
        let timer = timer::start()
            .and_then(|timer| Registered::new(timer, "timer of a child", Ready::NONE));
        let timer = timer.ok();
        let place = Location::caller();
        let task = task::Builder::new().name(format!("reaper of process {id}"));
        drop(task.spawn(async move {
            let (mut for_signal, mut for_tick) = (Wait::at(place), Wait::at(place));
            // Looked at first: it may have ended before this task listened.
            while !reaper.reap() {
                let look = poll_fn(|cx| match some_child_ended.poll(&mut for_signal, cx) {
                    Poll::Ready(told) => Poll::Ready(told),
                    Poll::Pending => match &timer {
                        Some(timer) => {
                            timer
                                .poll_io(&mut for_tick, cx, Direction::Read, timer::tick, |()| true)
                        }
                        None => Poll::Pending,
                    },
                });
                // The one error is that the loop is being dropped.
                if look.await.is_err() {
                    break;
                }
            }
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
