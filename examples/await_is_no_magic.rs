//! What `.await` does not do: run waits side by side, make a computation faster, begin what nobody awaits. Each is
//! measured, and then what does it.
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
            "what went wrong: an `.await` stays until its future is done. The next begins after that."
        );
        let time = timed(three(|| spawn(sleep(WAIT)))).await;
        println!("what to do: first begin all, then await: together they took {time:.0} ms.");

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
            "what went wrong: tasks share one thread. Who waits lends it, who computes keeps it."
        );
        let processors = std::thread::available_parallelism().map_or(1, usize::from).min(3);
        let rounds = 3_usize.div_ceil(processors);
        println!(
            "what to do: spawn_blocking. On {processors} processors they took {threads:.0} ms."
        );
        let best = rounds * 100 / 3;
        println!("  (At best {best} %: idle ones do three jobs in the time of {rounds}.)\n");
        println!("3. the mistake: a future that nobody awaits, at {}:{}", file!(), line!() + 2);
        let begun = Rc::new(Cell::new(0));
        let dish = cook(Rc::clone(&begun));
        sleep(2 * WAIT).await;
        println!("  Made {:?} ago, it has begun {} times.", 2 * WAIT, begun.get());
        println!("  Awaited now, it still took {:.0} ms.", timed(dish).await);
        println!(
            "what went wrong: to call an async fn only makes a future. It runs while it is awaited."
        );
        let dish = spawn(cook(Rc::clone(&begun)));
        sleep(2 * WAIT).await;
        let time = timed(dish).await;
        println!("what to do: `.await` it at once, or spawn it: a task begins by itself.");
        println!("  Spawned {:?} ago and awaited now, it took {time:.0} ms.", 2 * WAIT);
    });
}

async fn cook(begun: Rc<Cell<u32>>) {
    begun.set(begun.get() + 1);
    sleep(WAIT).await;
}

fn compute() {
    let mut hasher = DefaultHasher::new();
    for _ in 0..if cfg!(debug_assertions) { 150 } else { 1500 } {
        hasher.write(&[0; 64 * 1024]);
    }
    std::hint::black_box(hasher.finish());
}

/// Begins all three, then awaits them.
async fn three<T: 'static>(begin: impl Fn() -> JoinHandle<T>) {
    for task in [begin(), begin(), begin()] {
        task.await.expect("no panic");
    }
}

/// In milliseconds.
async fn timed(future: impl Future) -> f64 {
    let start = Instant::now();
    future.await;
    start.elapsed().as_secs_f64() * 1000.0
}
