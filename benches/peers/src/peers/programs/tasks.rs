//! Tasks: spawning and joining them, yielding, and a `block_on` of nothing.

use std::hint::black_box;
use std::time::Instant;

use super::run::{Program, measure};
use crate::rt;

pub const PROGRAMS: &[Program] = &[
    ("start_up", start_up),
    ("spawn_join_one", || spawn_join(1)),
    ("spawn_join_1000", || spawn_join(1000)),
    ("yield_one", || yields(1, 100_000)),
    ("yield_1000", || yields(1000, 100)),
];

/// Making the runtime and running nothing on it, once, in a process that has done nothing else.
fn start_up() {
    let start = Instant::now();
    rt::block_on(async {});
    println!("{}", start.elapsed().as_nanos());
}

fn spawn_join(at_once: u32) {
    rt::block_on(measure(10_000, async |count| {
        for _ in 0..count.div_ceil(at_once) {
            if at_once == 1 {
                black_box(rt::join(rt::spawn(async { black_box(1) })).await);
                continue;
            }
            let tasks: Vec<_> = (0..at_once).map(|n| rt::spawn(async move { n })).collect();
            for task in tasks {
                black_box(rt::join(task).await);
            }
        }
    }));
}

/// An operation is one yield of one task.
fn yields(tasks: u32, each: u32) {
    rt::block_on(measure(tasks * each, async |count| {
        let task = || async move {
            for _ in 0..count.div_ceil(tasks) {
                rt::yield_now().await;
            }
        };
        let tasks: Vec<_> = (0..tasks).map(|_| rt::spawn(task())).collect();
        for task in tasks {
            rt::join(task).await;
        }
    }));
}
