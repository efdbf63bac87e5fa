//! Two accounts, two transfers and a deadlock: each transfer locks the account that it takes from,
//! then waits for the other one. The loop detects that immediately, although a timer is still
//! armed, and reports which task holds which lock since which line.
//!
//! `cargo run --example deadlock` shows the damage and then the fix.

use std::rc::Rc;
use std::time::{Duration, Instant};

use headwaiter::sync::Mutex;
use headwaiter::{Deadlock, EventLoop, task::Builder, task::yield_now, time::sleep};

type Account = Rc<Mutex<i64>>;

fn main() -> std::io::Result<()> {
    env_logger::init();
    // By default the loop logs a report. With `Fail` it drops the task that closed the cycle, and
    // the report is that task's error.
    let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build()?;
    event_loop.block_on(async {
        println!(
            "Anna and Ben have 100 each. She pays him 10, and he pays her 20, at the same time.\n"
        );
        println!("the mistake: each transfer locks the account that it takes from, then the other one");
        run(transfer_from_first).await;
        println!("what went wrong: each task holds the lock that the other waits for. Both would wait for ever.");
        println!(
            "  With `Deadlock::Fail` the loop drops the task that came last, which releases its lock.\n"
        );
        println!(
            "what to do: lock in the same order in all tasks, as `transfer_in_order` in {} does",
            file!()
        );
        run(transfer_in_order).await;
    });
    Ok(())
}

/// Transfers from `accounts.0` to `accounts.1`.
async fn transfer_from_first(accounts: (Account, Account), amount: i64) {
    let mut from = accounts.0.lock().await;
    yield_now().await; // Represents any wait in the middle of a transfer.
    let mut to = accounts.1.lock().await;
    *from -= amount;
    *to += amount;
}

async fn transfer_in_order(accounts: (Account, Account), amount: i64) {
    let from_is_first = Rc::as_ptr(&accounts.0) < Rc::as_ptr(&accounts.1);
    let (low, high) =
        if from_is_first { (&accounts.0, &accounts.1) } else { (&accounts.1, &accounts.0) };
    let (mut low, mut high) = (low.lock().await, high.lock().await);
    let (from, to) = if from_is_first { (&mut low, &mut high) } else { (&mut high, &mut low) };
    **from -= amount;
    **to += amount;
}

async fn run<F: Future<Output = ()> + 'static>(transfer: fn((Account, Account), i64) -> F) {
    let anna = Rc::new(Mutex::named("Anna's account", 100));
    let ben = Rc::new(Mutex::named("Ben's account", 100));
    // With a timer, the loop is never idle for ever. The deadlock is found nevertheless.
    let heartbeat = headwaiter::spawn(sleep(Duration::from_secs(3600)));
    let start = Instant::now();
    let there =
        Builder::new().name("Anna pays Ben 10").spawn(transfer((anna.clone(), ben.clone()), 10));
    let back =
        Builder::new().name("Ben pays Anna 20").spawn(transfer((ben.clone(), anna.clone()), 20));
    for (what, task) in [("Anna pays Ben 10", there), ("Ben pays Anna 20", back)] {
        match task.await {
            Ok(()) => println!("  {what}: done"),
            Err(error) => {
                let report = error.to_string().replace(" was dropped. ", " was dropped.\n");
                let report = report
                    .replace(" waits at ", "\n    waits at ")
                    .replace(", which ", ",\n    which ");
                println!(
                    "  {what}: failed after {} µs. The error says:",
                    start.elapsed().as_micros()
                );
                report.lines().for_each(|line| println!("    {line}"));
            }
        }
    }
    heartbeat.abort();
    println!("  Anna has {}, Ben has {}", anna.lock().await, ben.lock().await);
}
