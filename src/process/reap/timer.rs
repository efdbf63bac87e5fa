//! A periodic timer of the kernel, for a child whose end nothing else may report: timerfd on Linux,
//! none elsewhere.
//!
//! It does not follow the loop's clock, so it ticks while a virtual clock stands still.

use std::io;
use std::os::fd::OwnedFd;

use crate::reactor::FdSource;

type Timer = FdSource<OwnedFd>;

#[cfg(target_os = "linux")]
pub(super) fn start() -> io::Result<Timer> {
    use rustix::time::{
        self, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
    };

    const PERIOD: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let ticks = Itimerspec { it_interval: PERIOD, it_value: PERIOD };
    time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &ticks)?;
    Ok(FdSource::new(timer))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn start() -> io::Result<Timer> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Consumes a tick. Linux restarts a periodic timerfd only when it is read.
#[cfg(target_os = "linux")]
pub(super) fn tick(timer: &Timer) -> io::Result<()> {
    rustix::io::read(timer.get(), &mut [0; 8])?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn tick(_: &Timer) -> io::Result<()> {
    Ok(())
}
