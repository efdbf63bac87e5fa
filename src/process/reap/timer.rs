//! A periodic timer of the kernel, for a child whose end nothing else may report: timerfd on Linux,
//! none elsewhere.
//!
//! It does not follow the loop's clock, so it ticks while a virtual clock stands still.

#[cfg(not(target_os = "linux"))]
pub(super) use self::none::{start, tick};
#[cfg(target_os = "linux")]
pub(super) use self::timerfd::{start, tick};

#[cfg(target_os = "linux")]
mod timerfd {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use crate::reactor::FdSource;

    pub(crate) type Timer = FdSource<OwnedFd>;

    const PERIOD: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

    pub(crate) fn start() -> io::Result<Timer> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let ticks = Itimerspec { it_interval: PERIOD, it_value: PERIOD };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &ticks)?;
        Ok(FdSource::new(timer))
    }

    /// Consumes a tick. Linux restarts a periodic timerfd only when it is read.
    pub(crate) fn tick(timer: &Timer) -> io::Result<()> {
        rustix::io::read(timer.get(), &mut [0; 8])?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use std::io;
    use std::os::fd::OwnedFd;

    use crate::reactor::FdSource;

    pub(crate) type Timer = FdSource<OwnedFd>;

    pub(crate) fn start() -> io::Result<Timer> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn tick(_: &Timer) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
