//! The same sum as a plain loop, with an `async fn` for each number, with a task for each number, and in one task. And then
//! what async is for: a thousand waits at the same time.
//!
//! `cargo run --release --example overused_async`. Without `--release` the figures are others, but tell the same.

use std::hint::black_box;
use std::time::{Duration, Instant};

use headwaiter::{block_on, spawn, time::sleep};

const NUMBERS: u64 = 20_000;
const WAITS: u32 = 1_000;
const WAIT: Duration = Duration::from_millis(50);

fn main() {
    env_logger::init();
    block_on(async {
        println!("the sum of {NUMBERS} numbers, each way ten times; the shortest counts.");
        println!(
            "(0.9 to 1.1 times is the same. With `--release` all is faster, the ratios are larger.)"
        );
        let plain = time_of(async || plain_loop()).await;
        let show = |line, what, time: Duration| {
            let (each, times) =
                (time.as_secs_f64() * 1e9 / NUMBERS as f64, time.div_duration_f64(plain));
            println!(
                "  {}:{line}, {what}: {each:.1} ns a number, {times:.1} times the plain loop",
                file!()
            );
        };
        show(line!(), "a plain loop", plain);
        println!("\nthe mistake: async where nothing waits");
        show(line!(), "an async call a number", time_of(async_calls).await);
        show(line!(), "a task a number", time_of(a_task_a_number).await);
        println!(
            "what went wrong: no number waits for anything, so nothing can be won. But each future is"
        );
        println!(
            "  made and polled, and each task is allocated, queued, woken and joined as well."
        );

        println!(
            "\nwhat to do: compute in plain functions; make a task of a whole errand, not of each step"
        );
        let one_task = async || spawn(async { plain_loop() }).await.expect("no panic");
        show(line!(), "one task", time_of(one_task).await);
        println!("when async pays: where there is waiting, for a socket, a timer, another program");
        let (start, in_a_row) = (Instant::now(), WAITS * WAIT);
        let waits: Vec<_> = (0..WAITS).map(|_| spawn(sleep(WAIT))).collect();
        for wait in waits {
            wait.await.expect("no panic");
        }
        let (together, in_a_row) = (start.elapsed().as_millis(), in_a_row.as_millis());
        println!(
            "  {WAITS} waits of {WAIT:?} took {together} ms together. In a row: {in_a_row} ms."
        );
    });
}

/// The shortest of ten times.
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
    black_box(sum + number) // Or the compiler would find a formula for the whole sum.
}

async fn async_calls() -> u64 {
    let add = async |sum, number| add(sum, number);
    let mut sum = 0;
    for number in 0..NUMBERS {
        sum = add(sum, number).await;
    }
    sum
}

async fn a_task_a_number() -> u64 {
    let mut sum = 0;
    for number in 0..NUMBERS {
        sum = spawn(async move { add(sum, number) }).await.expect("no panic");
    }
    sum
}
