//! The same sum computed in a plain loop, with an async call per number, with a task per number,
//! and in one task. Then an example of what async is for: a thousand concurrent waits.
//!
//! `cargo run --release --example overused_async`. Without `--release` the figures differ, but the
//! conclusion is the same.

use std::hint::black_box;
use std::time::{Duration, Instant};

use headwaiter::{block_on, spawn, time::sleep};

const NUMBERS: u64 = 20_000;
const WAITS: u32 = 1_000;
const WAIT: Duration = Duration::from_millis(50);

fn main() {
    env_logger::init();
    block_on(async {
        println!(
            "The sum of {NUMBERS} numbers, in several ways. Each is measured ten times; the shortest counts."
        );
        println!(
            "(Ratios of 0.9 to 1.1 are noise. With `--release` all times are shorter and the ratios larger.)"
        );
        let plain = time_of(async || plain_loop()).await;
        let show = |line, what, time: Duration| {
            let (each, times) =
                (time.as_secs_f64() * 1e9 / NUMBERS as f64, time.div_duration_f64(plain));
            println!(
                "  {}:{line}, {what}: {each:.1} ns per number, {times:.1} times the plain loop",
                file!()
            );
        };
        show(line!(), "a plain loop", plain);
        println!("\nthe mistake: async where nothing waits");
        show(line!(), "an async call per number", time_of(async_calls).await);
        show(line!(), "a task per number", time_of(a_task_per_number).await);
        println!(
            "what went wrong: no addition waits for anything, so async gains nothing. But each future is"
        );
        println!(
            "  created and polled, and each task is also allocated, queued, woken and joined."
        );

        println!(
            "\nwhat to do: compute in plain functions; use one task per job, not one per step"
        );
        let one_task = async || spawn(async { plain_loop() }).await.expect("no panic");
        show(line!(), "one task", time_of(one_task).await);
        println!(
            "when async pays off: with waits, for example for a socket, a timer or another process"
        );
        let (start, in_a_row) = (Instant::now(), WAITS * WAIT);
        let waits: Vec<_> = (0..WAITS).map(|_| spawn(sleep(WAIT))).collect();
        for wait in waits {
            wait.await.expect("no panic");
        }
        let (together, in_a_row) = (start.elapsed().as_millis(), in_a_row.as_millis());
        println!(
            "  {WAITS} concurrent waits of {WAIT:?} took {together} ms. One after another: {in_a_row} ms."
        );
    });
}

/// Returns the shortest of ten durations.
async fn time_of(sum: impl AsyncFn() -> u64) -> Duration {
    let mut shortest = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        assert_eq!(sum().await, NUMBERS * (NUMBERS - 1) / 2);
        shortest = shortest.min(start.elapsed());
    }
    shortest
}

fn plain_loop() -> u64 {
    (0..NUMBERS).fold(0, add)
}

fn add(sum: u64, number: u64) -> u64 {
    black_box(sum + number) // Otherwise the compiler replaces the loop with a formula.
}

async fn async_calls() -> u64 {
    let add = async |sum, number| add(sum, number);
    let mut sum = 0;
    for number in 0..NUMBERS {
        sum = add(sum, number).await;
    }
    sum
}

async fn a_task_per_number() -> u64 {
    let mut sum = 0;
    for number in 0..NUMBERS {
        sum = spawn(async move { add(sum, number) }).await.expect("no panic");
    }
    sum
}
