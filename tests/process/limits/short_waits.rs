//! Waits of less than a few milliseconds, which epoll alone would round up. The test looks at which descriptors its process has.

use std::time::{Duration, Instant};

use crate::support::{in_own_process, ms};
use headwaiter::EventLoop;
use headwaiter::time::sleep;

fn timer_descriptors() -> usize {
    let all = std::fs::read_dir("/proc/self/fd").expect("the folder of file descriptors");
    let targets = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().contains("timerfd")).count()
}

const SHORT: Duration = Duration::from_micros(300);

/// By how much the most punctual wait was late. (How late the others are depends on the machine.)
fn least_lateness(mut wait: impl FnMut()) -> Duration {
    let lateness = |_| {
        let start = Instant::now();
        wait();
        start.elapsed().checked_sub(SHORT).expect("never early")
    };
    (0..200).map(lateness).min().expect("some waits")
}

/// Unlike tokio: there, timers have a resolution of one millisecond.
#[test]
fn short_waits_are_not_rounded_up_to_a_millisecond_and_long_ones_pay_nothing() {
    in_own_process(|| {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async { sleep(ms(6)).await });
        assert_eq!(timer_descriptors(), 0);

        let late = least_lateness(|| event_loop.block_on(async { sleep(SHORT).await }));
        assert!(late < Duration::from_micros(500), "a sleep is {late:?} late at best");
        assert_eq!(timer_descriptors(), 1);

        // An embedder's wait is as exact.
        let late = least_lateness(|| {
            let turn = event_loop.turn(Some(SHORT)).unwrap();
            assert_eq!((turn.events, turn.polls, turn.timers), (0, 0, 0));
        });
        assert!(late < Duration::from_micros(500), "a turn is {late:?} late at best");

        drop(event_loop);
        assert_eq!(timer_descriptors(), 0);
    });
}
