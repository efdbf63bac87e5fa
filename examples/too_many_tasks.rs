//! How many tasks are too many? Those that wait cost memory only. Those that are woken at the same time wait for each
//! other, and all else waits for them: a heartbeat beside them shows how long.
//!
//! `cargo run --release --example too_many_tasks`: first the damage, then the cure. All figures are measured.

use std::sync::{Arc, RwLock};
use std::{fs, rc::Rc, thread, time::Duration, time::Instant};

use futures_lite::future::or;
use headwaiter::{EventLoop, spawn, spawn_blocking, sync::Semaphore, task::yield_now, time::sleep_until};

/// A heartbeat is due so long after the last.
const BEAT: Duration = Duration::from_millis(1);

fn main() {
    println!("the mistake: a crowd that is woken again and again, at {}:{}", file!(), line!() + 4);
    println!("  {:<40} {:>8} {:>18}", "so many, all at once", "a wake", "heartbeat late by");
    let (mut crowds, mut thread) = (Vec::new(), 0);
    for (n, waits) in [(1, 100_000), (10, 10_000), (100, 1_000), (1_000, 100), (10_000, 10), (100_000, 5)] {
        crowds.push((n, measure(&format!("tasks: {n}"), n * waits, run_tasks(n, n, waits))));
    }
    for n in [1, 10, 100, 1_000] {
        thread = measure(&format!("threads: {n}"), 100_000, run_threads(n, 100_000 / n)).1 / n;
    }
    let (_, (late, grown)) = crowds[5];
    let begins = crowds.iter().find(|(_, (late, _))| *late > BEAT).map_or(100_000, |(n, _)| *n);
    let task = grown / 100_000;
    println!("  A task takes {task} bytes, a thread {thread}. But threads are interrupted, tasks never.");
    println!(
        "what went wrong: a turn of the loop polls all tasks that are ready. Who is due meanwhile waits,"
    );
    println!("  here for {} ms. From {begins} tasks on it is more than a whole beat.", late.as_millis());

    println!("\nwhat to do: let few of them run at once (a Semaphore), and do more at each wake (batches)");
    println!("  {:<40} {:>8} {:>18}", "100000 orders that wait 5 times", "an order", "heartbeat late by");
    measure("a task for each, all at once", 100_000, run_tasks(100_000, 100_000, 5));
    measure("a task for each, 64 at once", 100_000, run_tasks(100_000, 64, 5));
    measure("a task for 100 of them, 64 at once", 100_000, run_tasks(1_000, 64, 5));
}

async fn run_tasks(tasks: usize, at_once: usize, waits: usize) {
    let permits = Rc::new(Semaphore::new(at_once));
    for _ in 0..tasks {
        let mut permit = Rc::clone(&permits).try_acquire_owned().ok();
        if permit.is_none() {
            permit = Rc::clone(&permits).acquire_owned().await.ok();
        }
        drop(spawn(async move {
            for _ in 0..waits {
                yield_now().await;
            }
            drop(permit);
        }));
    }
    let _ = permits.acquire_many(at_once as u32).await; // All have given theirs back.
}

async fn run_threads(threads: usize, waits: usize) {
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write();
    let start = |gate: Arc<RwLock<()>>| {
        spawn_blocking(move || (drop(gate.read()), (0..waits).for_each(|_| thread::yield_now())))
    };
    let jobs: Vec<_> = vec![Arc::clone(&gate); threads].into_iter().map(start).collect();
    drop(closed); // Now they begin, all at once.
    for job in jobs {
        let _ = job.await;
    }
}

/// Returns by how much half of the heartbeats were late at least, and the memory that the process took.
fn measure(what: &str, count: usize, work: impl Future<Output = ()>) -> (Duration, usize) {
    let (before, mut grown, mut late) = (resident(), 0, Vec::new());
    let heart = async {
        loop {
            let due = Instant::now() + BEAT;
            sleep_until(due).await;
            late.push(due.elapsed());
            grown = resident().saturating_sub(before).max(grown);
        }
    };
    let start = Instant::now();
    EventLoop::builder().blocking_threads(1_000).build().expect("a loop").block_on(or(work, heart));
    let each = start.elapsed().as_nanos() / count as u128;
    late.sort();
    let late = late.get(late.len() / 2).copied().unwrap_or_default();
    println!("  {what:<40} {each:>5} ns {:>15.3} ms", late.as_secs_f64() * 1e3);
    (late, grown)
}

/// The memory of this process in bytes, where the kernel tells.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.split_whitespace().skip_while(|word| *word != "VmRSS:").nth(1);
    kilobytes.map_or(0, |number| number.parse().unwrap_or(0) * 1024)
}
