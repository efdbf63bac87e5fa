//! How many tasks are too many? Waiting tasks cost only memory. Tasks that are woken at the same
//! time delay each other and everything else. A heartbeat that runs beside them shows by how much.
//!
//! `cargo run --release --example too_many_tasks` shows the damage and then the fix. All figures
//! are measured.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use std::{fs, iter::repeat_with, rc::Rc, thread};

use futures_lite::future::or;
use headwaiter::{
    EventLoop, spawn, spawn_blocking, sync::Semaphore, task::yield_now, time::sleep_until,
};

/// The interval of the heartbeat.
const BEAT: Duration = Duration::from_millis(1);

fn main() {
    env_logger::init();
    println!(
        "Beside each crowd of tasks or threads, a heartbeat is due every {BEAT:?}. The last column shows"
    );
    println!("its median delay. (With `--release` the tasks take about a tenth of the time.)\n");
    println!("the mistake: a crowd that is woken again and again, at {}:{}", file!(), line!() + 9);
    println!(
        "  {:<40} {:>8} {:>18}",
        "all of them at the same time", "per wake", "heartbeat late by"
    );
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
        "  A task takes {task} bytes, a thread {thread}. But the kernel preempts threads, never tasks."
    );
    println!(
        "  A single task costs more per wake: the loop checks its timers each time. A crowd shares that."
    );
    println!(
        "what went wrong: a turn of the loop polls all tasks that are ready. The heartbeat waits for"
    );
    println!("  them, here for {late} ms, and so misses {late} beats.");
    println!(
        "\nwhat to do: limit how many run at the same time (a Semaphore), and do more per wake (batches)"
    );
    println!(
        "  {:<40} {:>8} {:>18}",
        "50000 orders that wait 3 times", "per order", "heartbeat late by"
    );
    let orders = async |tasks, at_once| {
        run_tasks(tasks, at_once, 3).await;
        50_000
    };
    measure("a task for each, all at once", orders(50_000, 50_000));
    measure("a task for each, 64 at once", orders(50_000, 64));
    measure("a task for ten of them, 64 at once", orders(5_000, 64));
    println!(
        "  The limit saves little time, but the heartbeat is on time. Batches need a tenth of the wakes."
    );
}

/// Returns the number of wakes.
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
    let _ = permits.acquire_many(at_once as u32).await; // All permits have been returned.
    tasks * waits
}

/// The threads run for a fixed time, because on a busy machine a thread that yields may wait long.
/// Returns the number of wakes.
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
    drop(closed); // Now all of them start.
    for job in jobs {
        wakes += job.await.expect("a thread");
    }
    wakes
}

/// Returns the median delay of the heartbeats, and by how many bytes the memory of the process
/// grew.
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

/// The resident memory of this process in bytes, or 0 where the kernel does not report it.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.split_whitespace().skip_while(|word| *word != "VmRSS:").nth(1);
    kilobytes.map_or(0, |number| number.parse().unwrap_or(0) * 1024)
}
