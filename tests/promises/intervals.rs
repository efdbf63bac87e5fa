//! `Interval` and `Sleep`: what tokio's documentation promises of their deadlines, resets and missed ticks.

use std::future::Future;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::support::*;
use futures_core::Stream;
use futures_lite::StreamExt;
use futures_lite::future::poll_once;
use headwaiter::time::{self, Interval, MissedTickBehavior, interval, interval_at, sleep};
use headwaiter::{Clock, EventLoop, dump, spawn};

const BEHAVIORS: [MissedTickBehavior; 3] =
    [MissedTickBehavior::Burst, MissedTickBehavior::Delay, MissedTickBehavior::Skip];

/// When the next ticks were due, and when they came, in ms since the start.
async fn ticks(ticks: &mut Interval, count: usize, start: Instant) -> Vec<(u128, u128)> {
    let mut seen = Vec::new();
    for _ in 0..count {
        let due = ticks.tick().await;
        seen.push(((due - start).as_millis(), (time::now() - start).as_millis()));
    }
    seen
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn the_first_tick_of_an_interval_is_due_at_once_and_of_interval_at_at_its_start() {
    let _beside_others = beside_other_tests();
    let start = time::now();
    let mut at_once = interval(ms(10));
    assert_eq!(at_once.period(), ms(10));
    assert_eq!(at_once.missed_tick_behavior(), MissedTickBehavior::Burst);
    assert_eq!(ticks(&mut at_once, 3, start).await, [(0, 0), (10, 10), (20, 20)]);
    let start = time::now();
    let mut later = interval_at(start + ms(50), ms(10));
    assert_eq!(ticks(&mut later, 3, start).await, [(50, 50), (60, 60), (70, 70)]);
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn an_interval_of_zero_is_refused() {
    let _beside_others = beside_other_tests();
    for said in [
        panic_text(|| drop(interval(Duration::ZERO))),
        panic_text(|| drop(interval_at(time::now(), Duration::ZERO))),
    ] {
        assert!(said.contains("an interval of zero would tick without end"), "{said}");
    }
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_dropped_tick_is_not_lost() {
    let _beside_others = beside_other_tests();
    let start = time::now();
    let mut interval = interval(ms(10));
    interval.tick().await;
    assert!(poll_once(interval.tick()).await.is_none());
    sleep(ms(15)).await;
    // The timer has fired, and its tick was not returned.
    assert!(poll_once(interval.tick()).await.is_some());
    assert_eq!(ticks(&mut interval, 1, start).await, [(20, 20)]);
}

/// A tick is awaited two and a half periods late.
#[test]
fn missed_ticks_are_made_up_for_delayed_or_skipped() {
    for (behavior, expected) in [
        // Due at its multiples, and as fast as possible until it has caught up.
        (MissedTickBehavior::Burst, vec![(50, 175), (100, 175), (150, 175), (200, 200)]),
        // From then on at multiples of the period from the late tick.
        (MissedTickBehavior::Delay, vec![(50, 175), (225, 225), (275, 275)]),
        // The next multiple from the start.
        (MissedTickBehavior::Skip, vec![(50, 175), (200, 200), (250, 250)]),
    ] {
        in_virtual_time(move || async move {
            let start = time::now();
            let mut interval = interval(ms(50));
            interval.set_missed_tick_behavior(behavior);
            assert_eq!(interval.missed_tick_behavior(), behavior);
            interval.tick().await;
            time::advance(ms(175)).await;
            let seen = ticks(&mut interval, expected.len(), start).await;
            assert_eq!(seen, expected, "{behavior:?}");
        });
    }
}

#[test]
fn a_tick_that_is_up_to_5_ms_late_is_not_missed() {
    for behavior in BEHAVIORS {
        in_virtual_time(move || async move {
            let start = time::now();
            let mut interval = interval(ms(50));
            interval.set_missed_tick_behavior(behavior);
            interval.tick().await;
            time::advance(ms(55)).await;
            let seen = ticks(&mut interval, 2, start).await;
            assert_eq!(seen, [(50, 55), (100, 100)], "{behavior:?}");
        });
        // Also if the next tick is due already.
        in_virtual_time(move || async move {
            let start = time::now();
            let mut interval = interval(ms(2));
            interval.set_missed_tick_behavior(behavior);
            interval.tick().await;
            time::advance(ms(5)).await;
            let seen = ticks(&mut interval, 3, start).await;
            assert_eq!(seen, [(2, 5), (4, 5), (6, 6)], "{behavior:?}");
        });
    }
}

#[test]
fn a_reset_says_when_the_next_tick_is_due_and_forgets_missed_ones() {
    type Reset = fn(&mut Interval);
    // How long after the reset the next tick is due, in ms.
    const RESETS: [(Reset, u128); 4] = [
        (|interval| interval.reset(), 100),
        (|interval| interval.reset_immediately(), 0),
        (|interval| interval.reset_after(ms(20)), 20),
        (|interval| interval.reset_after(ms(230)), 230),
    ];
    for behavior in BEHAVIORS {
        for (reset, after) in RESETS {
            in_virtual_time(move || async move {
                let start = time::now();
                let mut interval = interval(ms(100));
                interval.set_missed_tick_behavior(behavior);
                interval.tick().await;
                // Before the next tick is due, and after three were missed.
                for wait in [ms(50), ms(350)] {
                    sleep(wait).await;
                    reset(&mut interval);
                    let next = (time::now() - start).as_millis() + after;
                    let seen = ticks(&mut interval, 2, start).await;
                    let expected = [(next, next), (next + 100, next + 100)];
                    assert_eq!(seen, expected, "{behavior:?}, {after} ms after the reset");
                }
            });
        }
    }
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_reset_to_a_time_that_no_clock_represents_puts_the_next_tick_far_away() {
    let _beside_others = beside_other_tests();
    let mut interval = interval(ms(100));
    interval.reset_after(Duration::MAX);
    assert!(poll_once(interval.tick()).await.is_none());
    sleep(Duration::from_secs(365 * 24 * 3600)).await;
    assert!(poll_once(interval.tick()).await.is_none());
}

#[test]
fn reset_at_a_future_instant_is_exact_and_at_a_past_one_the_missed_ticks_count() {
    for (behavior, expected) in [
        (MissedTickBehavior::Burst, vec![(250, 500), (350, 500), (450, 500), (550, 550)]),
        (MissedTickBehavior::Delay, vec![(250, 500), (600, 600)]),
        (MissedTickBehavior::Skip, vec![(250, 500), (550, 550)]),
    ] {
        in_virtual_time(move || async move {
            let start = time::now();
            let mut interval = interval(ms(100));
            interval.set_missed_tick_behavior(behavior);
            interval.tick().await;
            interval.reset_at(start + ms(300));
            assert_eq!(ticks(&mut interval, 2, start).await, [(300, 300), (400, 400)]);
            sleep(ms(100)).await;
            interval.reset_at(start + ms(250));
            let seen = ticks(&mut interval, expected.len(), start).await;
            assert_eq!(seen, expected, "{behavior:?}");
        });
    }
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_reset_before_the_first_tick_and_between_two_polls_of_a_tick_counts() {
    let _beside_others = beside_other_tests();
    let start = time::now();
    let mut early = interval(ms(100));
    early.reset();
    assert_eq!(ticks(&mut early, 2, start).await, [(100, 100), (200, 200)]);
    // A tick that was awaited and given up, and whose timer has fired since.
    assert!(poll_once(early.tick()).await.is_none());
    sleep(ms(150)).await;
    early.reset();
    assert_eq!(ticks(&mut early, 1, start).await, [(450, 450)]);
}

/// Unlike tokio: there, an interval can be reset anywhere, as timers are shared between threads.
#[test]
fn an_interval_is_reset_in_its_own_loop_only() {
    bounded(|| {
        let (mut one, mut other) = (virtual_loop(), virtual_loop());
        let mut interval = one.block_on(async {
            let mut interval = interval(ms(10));
            interval.tick().await;
            assert!(poll_once(interval.tick()).await.is_none());
            interval
        });
        let now = one.enter(time::now);
        let said = panic_text(|| interval.reset_at(now));
        assert!(said.contains("a `Sleep` was used outside any event loop"), "{said}");
        let said = panic_text(|| other.enter(|| interval.reset()));
        assert!(said.contains("in another event loop than the one that made it"), "{said}");
        // Neither has changed anything.
        let start = now;
        assert_eq!(one.block_on(interval.tick()) - start, ms(10));
    });
}

/// Unlike tokio: there, `IntervalStream` of tokio-stream does this.
#[headwaiter::test(clock = "virtual", within = "60s")]
async fn an_interval_is_an_endless_stream_of_its_ticks() {
    let _beside_others = beside_other_tests();
    let start = time::now();
    let mut interval = interval(ms(10));
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    assert_eq!(Stream::size_hint(&interval), (usize::MAX, None));
    for due in [0, 10, 20] {
        assert_eq!(interval.next().await.unwrap() - start, ms(due));
    }
    sleep(ms(25)).await;
    let rest: Vec<_> = interval.take(3).map(|due| due - start).collect().await;
    assert_eq!(rest, [ms(30), ms(50), ms(60)]);
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_wait_for_a_tick_is_in_the_dump_with_its_place() {
    let _beside_others = beside_other_tests();
    let line = Location::caller().line() + 5;
    let ticking = spawn(async move {
        let mut interval = interval_at(time::now() + ms(100), ms(100));
        // The place of the tick that is awaited now, not of one that was given up.
        assert!(poll_once(interval.tick()).await.is_none());
        interval.tick().await;
    });
    sleep(ms(10)).await;
    let said = dump().to_string();
    assert!(said.contains(&format!("intervals.rs:{line}:")), "{said}");
    assert!(said.contains("due in 90 ms"), "{said}");
    ticking.await.unwrap();
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_sleep_has_elapsed_when_its_timer_has_fired_and_can_be_reset_before_and_after() {
    let _beside_others = beside_other_tests();
    let start = time::now();
    let mut nap = pin!(sleep(ms(10)));
    assert_eq!((nap.deadline() - start, nap.is_elapsed()), (ms(10), false));
    assert!(poll_once(nap.as_mut()).await.is_none());
    sleep(ms(20)).await;
    assert!(nap.is_elapsed(), "its timer has fired, although it was not polled again");
    nap.as_mut().await;
    assert!(nap.is_elapsed());
    nap.as_mut().reset(start + ms(50));
    assert_eq!((nap.deadline() - start, nap.is_elapsed()), (ms(50), false));
    assert!(poll_once(nap.as_mut()).await.is_none());
    nap.as_mut().reset(start + ms(30));
    nap.as_mut().await;
    assert_eq!((time::now() - start, nap.is_elapsed()), (ms(30), true));
}

/// Unlike tokio: there, the first poll of a sleep whose deadline has passed is ready.
#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_sleep_that_was_never_polled_has_not_elapsed() {
    let _beside_others = beside_other_tests();
    let mut nap = pin!(sleep(ms(10)));
    sleep(ms(20)).await;
    assert!(!nap.is_elapsed());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(nap.as_mut().poll(&mut cx).is_pending());
    nap.await;
}

#[test]
fn outside_its_loop_a_sleep_has_elapsed_only_if_a_poll_has_said_so() {
    bounded(|| {
        let mut event_loop = EventLoop::builder().clock(Clock::Virtual).build().unwrap();
        let mut nap = event_loop.enter(|| sleep(ms(10)));
        event_loop.block_on(async {
            assert!(poll_once(&mut nap).await.is_none());
            sleep(ms(20)).await;
            assert!(nap.is_elapsed());
        });
        assert!(!nap.is_elapsed());
        event_loop.block_on(Pin::new(&mut nap));
        assert!(nap.is_elapsed());
    });
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_timeout_gives_access_to_its_future_until_that_is_dropped_at_the_end() {
    let _beside_others = beside_other_tests();
    let minute = Duration::from_secs(60);
    let mut limited = time::timeout(minute, sleep(2 * minute));
    let deadline = limited.get_ref().deadline();
    assert_eq!(deadline, time::now() + 2 * minute);
    limited.get_mut().reset(deadline - minute - minute / 2);
    assert_eq!((&mut limited).await, Ok(()));
    let text = panic_text(|| _ = limited.get_ref());
    assert!(text.contains("this `Timeout` has ended"), "{text}");
    assert_eq!(panic_text(|| drop(limited.into_inner())), text);
    let limited = time::timeout(minute, sleep(2 * minute));
    let before = time::now();
    limited.into_inner().await; // Without the limit.
    assert_eq!(time::now() - before, 2 * minute);
}
