//! How many tasks are too many? Those that wait cost memory only. Those that are woken at the same time wait for each
//! other, and all else waits for them: a heartbeat beside them shows how long.
//!
//! `cargo run --release --example too_many_tasks`: first the damage, then the cure. All figures are measured.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use std::{fs, iter::repeat_with, rc::Rc, thread};

use futures_lite::future::or;
use headwaiter::{
    EventLoop, spawn, spawn_blocking, sync::Semaphore, task::yield_now, time::sleep_until,
};

/// A heartbeat is due so long after the last.
const BEAT: Duration = Duration::from_millis(1);

fn main() {
    env_logger::init();
    println!(
        "Beside each crowd a heart should beat every {BEAT:?}. Half of the beats were late by what"
    );
    println!(
        "is shown, or more. (With `--release` the tasks take about a tenth, and tell the same.)\n"
    );
    println!("the mistake: a crowd that is woken again and again, at {}:{}", file!(), line!() + 6);
    println!("  {:<40} {:>8} {:>18}", "so many, all at once", "a wake", "heartbeat late by");
    let (mut crowd, mut thread) = ((BEAT, 0), 0);
    for (n, waits) in [(1, 30_000), (10, 3_000), (100, 300), (1_000, 30), (10_000, 5), (100_000, 3)]
    {
        let waits = if cfg!(debug_assertions) { waits } else { waits * 10 };
        crowd = measure(&format!("tasks: {n}"), run_tasks(n, n, waits));
    }
    for n in [1, 10, 100, 1_000] {
        thread = measure(&format!("threads: {n}"), run_threads(n)).1 / n;
    }
    let (late, task) = (crowd.0.as_millis(), crowd.1 / 100_000);
    println!(
        "  A task takes {task} bytes, a thread {thread}. But threads are interrupted, tasks never."
    );
    println!(
        "  One task alone costs more: at each wake the loop looks at its timers. A crowd shares that."
    );
    println!(
        "what went wrong: a turn of the loop polls all tasks that are ready. Who is due then waits,"
    );
    println!("  here for {late} ms, and so misses {late} beats.");
    println!(
        "\nwhat to do: let few of them run at once (a Semaphore), and do more at each wake (batches)"
    );
    println!(
        "  {:<40} {:>8} {:>18}",
        "50000 orders that wait 3 times", "an order", "heartbeat late by"
    );
    let orders = async |tasks, at_once| {
        run_tasks(tasks, at_once, 3).await;
        50_000
    };
    measure("a task for each, all at once", orders(50_000, 50_000));
    measure("a task for each, 64 at once", orders(50_000, 64));
    measure("a task for 10 of them, 64 at once", orders(5_000, 64));
    println!(
        "  64 at once cost no less, but the heart beats in time. Batches: a tenth of the wakes."
    );
}

/// Returns how many wakes there were.
async fn run_tasks(tasks: usize, at_once: usize, waits: usize) -> usize {
    let permits = Rc::new(Semaphore::new(at_once));
    for _ in 0..tasks {
        let mut permit = Rc::clone(&permits).try_acquire_owned().ok();
        if permit.is_none() {
            permit = Rc::clone(&permits).acquire_owned().await.ok();
        }
        spawn(async move {
            for _ in 0..waits {
                yield_now().await;
            }
            drop(permit);
        });
    }
    let _ = permits.acquire_many(at_once as u32).await; // All have given theirs back.
    tasks * waits
}

/// They run for a fixed time: on a busy machine, it may take long until a thread that has given way goes on.
async fn run_threads(threads: usize) -> usize {
    let gate = Arc::new(RwLock::new(()));
    let (closed, mut jobs, mut wakes) = (gate.write(), Vec::new(), 0);
    for gate in vec![Arc::clone(&gate); threads] {
        jobs.push(spawn_blocking(move || {
            drop(gate.read());
            let start = Instant::now();
            repeat_with(thread::yield_now).take_while(|()| start.elapsed() < 50 * BEAT).count() + 1
        }));
    }
    drop(closed); // Now they begin, all at once.
    for job in jobs {
        wakes += job.await.expect("a thread");
    }
    wakes
}

/// Returns by how much half of the heartbeats were late at least, and the memory that the process took.
fn measure(what: &str, work: impl Future<Output = usize>) -> (Duration, usize) {
    let (before, mut grown, mut late) = (resident(), 0, Vec::new());
    let heart = async {
        loop {
            let due = Instant::now() + BEAT;
            sleep_until(due).await;
            late.push(due.elapsed());
            grown = resident().saturating_sub(before).max(grown);
        }
    };
    let mut event_loop = EventLoop::builder().blocking_threads(1_000).build().expect("a loop");
    let start = Instant::now();
    let count = event_loop.block_on(or(work, heart));
    let each = start.elapsed().as_nanos() / count as u128;
    late.sort();
    let half = late.get(late.len() / 2);
    let shown = half
        .map_or("no beat was due".to_owned(), |late| format!("{:.3} ms", late.as_secs_f64() * 1e3));
    println!("  {what:<40} {each:>5} ns {shown:>18}");
    (half.copied().unwrap_or_default(), grown)
}

/// The memory of this process in bytes, where the kernel tells.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.split_whitespace().skip_while(|word| *word != "VmRSS:").nth(1);
    kilobytes.map_or(0, |number| number.parse().unwrap_or(0) * 1024)
}
