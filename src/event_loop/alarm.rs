//! Ends a wait in the middle of a millisecond. epoll_wait(2) counts in whole milliseconds, and may
//! return up to one late. So on Linux the loop sets a timer file descriptor (timerfd_create(2))
//! before it waits for less than [`SHORT`]. The turn sets it before it asks the kernel. The alarm
//! never wakes a task: the turn fires the timers after any wait.

use std::time::Duration;

use mio::Registry;

/// A wait that is shorter than this is worth the additional system call.
const SHORT: Duration = Duration::from_millis(5);

/// The alarm of a loop.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    #[cfg(target_os = "linux")]
    timer: linux::Timer,
    /// The deadline of the timer for which it is set, in nanoseconds of the loop's clock. A loop
    /// that is woken often before its next timer does not set the alarm again each time.
    set_for: Option<u64>,
}

impl Alarm {
    /// Makes the wait that begins now end after `left`. `deadline` is that of the next timer, if
    /// the wait ends for a timer. If there is no timer file descriptor, the wait ends on a whole
    /// millisecond.
    pub(crate) fn set(&mut self, registry: &Registry, left: Duration, deadline: Option<u64>) {
        // Nothing to do if the wait returns immediately, if it is so long that a millisecond does
        // not matter, or if the alarm is already set for this timer.
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
        /// No short wait has occurred. Most loops never have one.
        #[default]
        Unneeded,
        /// Registered with the poller.
        Made(OwnedFd),
        /// The system refused to create one. This was logged, and is not tried again.
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
            // The descriptor is not read after it has fired: setting it again resets it as a read
            // would, and the next expiry is a new edge. The call cannot fail, because the
            // descriptor is a timer's and the time is valid.
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
        // If it were set again, more time would be left than at first.
        assert!(set(4999, Some(1)) < first);
        assert!(set(1, Some(2)) <= 1000);
        assert!(set(4000, None) > 1000);
    }
}
