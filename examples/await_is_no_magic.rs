//! Three things that `.await` does not do: run waits concurrently, make a computation faster, or
//! start a future that is not awaited. Each is measured, and then its replacement.
//!
//! `cargo run --example await_is_no_magic`

use std::cell::Cell;
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

use headwaiter::{block_on, spawn, spawn_blocking, task::JoinHandle, time::sleep};

const WAIT: Duration = Duration::from_millis(100);

fn main() {
    env_logger::init();
    block_on(async {
        println!(
            "1. the mistake: three waits of {WAIT:?} in a row, at {}:{}",
            file!(),
            line!() + 2
        );
        let time = timed(async { (sleep(WAIT).await, sleep(WAIT).await, sleep(WAIT).await) }).await;
        println!("  In a row they took {time:.0} ms.");
        println!(
            "what went wrong: `.await` waits until its future is done. The next one starts after that."
        );
        let time = timed(three(|| spawn(sleep(WAIT)))).await;
        println!("what to do: spawn all, then await them: together they took {time:.0} ms.");

        println!(
            "\n2. the mistake: three computations in async tasks, at {}:{}",
            file!(),
            line!() + 5
        );
        let (mut calls, mut tasks, mut threads) = (f64::MAX, f64::MAX, f64::MAX);
        for _ in 0..5 {
            calls = calls.min(timed(async { (compute(), compute(), compute()) }).await);
            tasks = tasks.min(timed(three(|| spawn(async { compute() }))).await);
            threads = threads.min(timed(three(|| spawn_blocking(compute))).await);
        }
        println!(
            "  As tasks they took {tasks:.0} ms, as plain calls {calls:.0} ms (the best of 5)."
        );
        println!(
            "what went wrong: tasks share one thread. A wait releases it; a computation does not."
        );
        let processors = std::thread::available_parallelism().map_or(1, usize::from).min(3);
        let rounds = 3_usize.div_ceil(processors);
        println!(
            "what to do: spawn_blocking. On {processors} processors they took {threads:.0} ms."
        );
        let best = rounds * 100 / 3;
        println!(
            "  (At best {best} %: idle processors run the three jobs in the time of {rounds}.)\n"
        );
        println!("3. the mistake: a future that is not awaited, at {}:{}", file!(), line!() + 2);
        let started = Rc::new(Cell::new(0));
        let dish = cook(Rc::clone(&started));
        sleep(2 * WAIT).await;
        println!("  Created {:?} ago, it has started {} times.", 2 * WAIT, started.get());
        println!("  Awaited now, it still took {:.0} ms.", timed(dish).await);
        println!(
            "what went wrong: calling an async fn only creates a future. It runs while it is awaited."
        );
        let dish = spawn(cook(Rc::clone(&started)));
        sleep(2 * WAIT).await;
        let time = timed(dish).await;
        println!("what to do: `.await` it immediately, or spawn it: a task starts by itself.");
        println!("  Spawned {:?} ago and awaited now, it took {time:.0} ms.", 2 * WAIT);
    });
}

async fn cook(started: Rc<Cell<u32>>) {
    started.set(started.get() + 1);
    sleep(WAIT).await;
}

fn compute() {
    let mut hasher = DefaultHasher::new();
    for _ in 0..if cfg!(debug_assertions) { 150 } else { 1500 } {
        hasher.write(&[0; 64 * 1024]);
    }
    std::hint::black_box(hasher.finish());
}

/// Starts all three, then awaits them.
async fn three<T: 'static>(start: impl Fn() -> JoinHandle<T>) {
    for task in [start(), start(), start()] {
        task.await.expect("no panic");
    }
}

/// Returns the duration in milliseconds.
async fn timed(future: impl Future) -> f64 {
    let start = Instant::now();
    future.await;
    start.elapsed().as_secs_f64() * 1000.0
}
