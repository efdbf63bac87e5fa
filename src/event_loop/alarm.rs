//! Ends a wait in the middle of a millisecond. epoll_wait(2) counts in whole ones, and is as much as one late;
//! so on Linux the loop sets a timer file descriptor (timerfd_create(2)) before it waits for less than
//! [`SHORT`]. Set by the turn before it asks the kernel. It wakes nobody: the turn fires the timers after any wait.

use std::time::Duration;

use mio::Registry;

/// A wait of less than this is worth the system call.
const SHORT: Duration = Duration::from_millis(5);

/// The alarm of a loop.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    #[cfg(target_os = "linux")]
    timer: linux::Timer,
    /// For which timer it is set, in nanoseconds of the loop's clock: a loop that is woken often before its next
    /// timer does not set it anew each time.
    set_for: Option<u64>,
}

impl Alarm {
    /// Ends the wait that begins now after `left`, when the timer with this `deadline` is due, if it is for one. If
    /// there is no alarm to be had, the wait ends with its whole millisecond.
    pub(crate) fn set(&mut self, registry: &Registry, left: Duration, deadline: Option<u64>) {
        if left.is_zero() || left >= SHORT || (deadline.is_some() && deadline == self.set_for) {
            return;
        }
        #[cfg(target_os = "linux")]
        self.timer.set(registry, left);
        #[cfg(not(target_os = "linux"))]
        let _ = registry;
        self.set_for = deadline;
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    use log::Level;
    use mio::unix::SourceFd;
    use mio::{Interest, Registry};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use crate::state::contain::say;
    use crate::state::log::LOOP;
    use crate::state::sources::ALARM;

    #[derive(Debug, Default)]
    pub(super) enum Timer {
        /// Made for the first short wait: most loops have none.
        #[default]
        Unneeded,
        Made(OwnedFd),
        Refused,
    }

    impl Timer {
        pub(super) fn set(&mut self, registry: &Registry, left: Duration) {
            if let Timer::Unneeded = self {
                *self = Timer::make(registry).unwrap_or_else(|error| {
                    let line = format_args!(
                        "no timer file descriptor, waits end on whole milliseconds: {error}"
                    );
                    say(Level::Warn, LOOP, line);
                    Timer::Refused
                });
            }
            let Timer::Made(timer) = self else { return };
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() },
            };
            // Not read when it has fired: setting it anew does what a read would, and gives a new edge.
            // It cannot fail: the descriptor is a timer's, and the time is valid.
            let _ = timerfd_settime(timer, TimerfdTimerFlags::empty(), &once);
        }

        fn make(registry: &Registry) -> io::Result<Self> {
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&timer.as_raw_fd()), ALARM, Interest::READABLE)?;
            Ok(Timer::Made(timer))
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn it_is_set_once_for_a_timer_however_often_the_loop_wakes_before() {
        let poll = mio::Poll::new().unwrap();
        let mut alarm = Alarm::default();
        let mut set = |micros, deadline| {
            alarm.set(poll.registry(), Duration::from_micros(micros), deadline);
            let linux::Timer::Made(timer) = &alarm.timer else { panic!("a timer is needed") };
            let left = rustix::time::timerfd_gettime(timer).unwrap().it_value;
            assert_eq!(left.tv_sec, 0);
            left.tv_nsec
        };
        let first = set(4999, Some(1));
        // Were it set anew, more would be left than at first.
        assert!(set(4999, Some(1)) < first);
        assert!(set(1, Some(2)) <= 1000);
        assert!(set(4000, None) > 1000);
    }
}
