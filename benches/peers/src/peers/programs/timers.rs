//! Timers: armed and cancelled, fired, and how late.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::run::{Program, measure, scaled};
use crate::rt;

pub const PROGRAMS: &[Program] = &[
    ("timer_0", || arm_and_cancel(0)),
    ("timer_100k", || arm_and_cancel(scaled(100_000))),
    ("fire_200k", fire),
    ("late", late),
];

/// An operation is a timer that is polled once, which arms it, and dropped, which cancels it.
fn arm_and_cancel(pending: u32) {
    rt::block_on(async {
        let armed = Arc::new(AtomicU32::new(0));
        for n in 0..pending {
            let armed = Arc::clone(&armed);
            rt::detach(rt::spawn(async move {
                armed.fetch_add(1, Relaxed);
                rt::sleep(Duration::from_millis(3_600_000 + u64::from(n))).await;
            }));
        }
        // Not by yields of the main future: on monoio no task runs meanwhile.
        while armed.load(Relaxed) < pending {
            rt::join(rt::spawn(rt::yield_now())).await;
        }
        measure(10_000, async |count| {
            for n in 0..count {
                poll_once(rt::sleep(Duration::from_millis(u64::from(n % 60_000 + 1)))).await;
            }
        })
        .await;
    });
}

async fn poll_once(future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// 200,000 tasks that each sleep once, for up to 100 ms. The figure is milliseconds of CPU from the first spawn to the last join.
fn fire() {
    let start = cpu_time();
    rt::block_on(async {
        let sleep = |n| rt::sleep(Duration::from_millis(1 + u64::from(n % 100)));
        let tasks: Vec<_> = (0..scaled(200_000))
            .map(|n| {
                rt::spawn(async move {
                    sleep(n).await;
                })
            })
            .collect();
        for task in tasks {
            rt::join(task).await;
        }
    });
    println!("{:.3}", (cpu_time() - start).as_secs_f64() * 1e3);
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How late a sleep of 300 us ends, in microseconds: the median and the 99th percentile of 500.
fn late() {
    const SLEEP: Duration = Duration::from_micros(300);
    let mut late = Vec::new();
    rt::block_on(async {
        for _ in 0..scaled(500) {
            let start = Instant::now();
            rt::sleep(SLEEP).await;
            late.push(start.elapsed().checked_sub(SLEEP).expect("never early"));
        }
    });
    late.sort();
    let percentile = |percent: usize| late[late.len() * percent / 100].as_nanos() as f64 / 1e3;
    println!("{:.1} {:.1}", percentile(50), percentile(99));
}
