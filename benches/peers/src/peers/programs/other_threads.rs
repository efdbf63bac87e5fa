//! Other threads: wakes that come from them, and jobs that go to them.

use std::future::poll_fn;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Instant;

use super::run::{Program, measure, scaled};
use crate::rt;

pub const PROGRAMS: &[Program] = &[
    ("wake", wake),
    ("wake_round_trip", wake_round_trip),
    ("offload_one", || offload(1)),
    ("offload_100", || offload(100)),
];

/// Another thread wakes a task again and again. The figure is the nanoseconds that a wake takes that thread.
fn wake() {
    let (sender, wakers) = mpsc::channel::<Waker>();
    let done = Arc::new(AtomicBool::new(false));
    let waking = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let waker = wakers.recv().expect("a waker");
            let count = scaled(200_000);
            let start = Instant::now();
            for _ in 0..count {
                waker.wake_by_ref();
            }
            let each = start.elapsed().as_nanos() as f64 / f64::from(count);
            done.store(true, Relaxed);
            waker.wake();
            each
        }
    });
    rt::block_on(async {
        let mut sender = Some(sender);
        let task = rt::spawn(poll_fn(move |cx| {
            if let Some(sender) = sender.take() {
                sender.send(cx.waker().clone()).expect("the other thread lives");
            }
            if done.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        }));
        rt::join(task).await;
    });
    println!("{:.3}", waking.join().expect("no panic"));
}

/// A task gives its waker to another thread, which wakes it.
fn wake_round_trip() {
    let (wakers, to_wake) = mpsc::channel::<Waker>();
    let waking = thread::spawn(move || to_wake.into_iter().for_each(Waker::wake));
    rt::block_on(measure(2_000, async |count| {
        let wakers = wakers.clone();
        let task = rt::spawn(async move {
            for _ in 0..count {
                let mut sent = false;
                let woken = poll_fn(|cx| {
                    if sent {
                        return Poll::Ready(());
                    }
                    sent = true;
                    wakers.send(cx.waker().clone()).expect("the other thread lives");
                    Poll::Pending
                });
                woken.await;
            }
        });
        rt::join(task).await;
    }));
    drop(wakers);
    waking.join().expect("no panic");
}

/// An operation is an empty job for the pool of threads.
fn offload(at_once: u32) {
    rt::block_on(measure(2_000, async |count| {
        for _ in 0..count.div_ceil(at_once) {
            let jobs: Vec<_> = (0..at_once).map(|n| rt::spawn_blocking(move || n)).collect();
            for job in jobs {
                black_box(job.await);
            }
        }
    }));
}
