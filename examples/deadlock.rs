//! Two accounts, two transfers, a deadlock: each transfer locks the account it takes from, then waits for the other. The
//! loop sees it at once, though it is still busy with a timer, and says who holds what since which line.
//!
//! `cargo run --example deadlock`: first the damage, then the cure.

use std::rc::Rc;
use std::time::{Duration, Instant};

use headwaiter::sync::Mutex;
use headwaiter::{Deadlock, EventLoop, task::Builder, task::yield_now, time::sleep};

type Account = Rc<Mutex<i64>>;

fn main() -> std::io::Result<()> {
    env_logger::init();
    // The default logs a report. With `Fail` it is an error, of the future that closed the circle: that is dropped.
    let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build()?;
    event_loop.block_on(async {
        println!(
            "Anna and Ben have 100 each. She pays him 10, and he pays her 20, at the same time.\n"
        );
        println!("the mistake: a transfer locks the account that it takes from, then the other");
        run(transfer_from_first).await;
        println!("what went wrong: each holds what the other waits for. Both would wait for ever.");
        println!(
            "  With `Deadlock::Fail` the loop drops the one that came last, which frees its lock.\n"
        );
        println!(
            "what to do: lock in one order in all tasks, as `transfer_in_order` in {} does",
            file!()
        );
        run(transfer_in_order).await;
    });
    Ok(())
}

/// From `accounts.0` to `accounts.1`.
async fn transfer_from_first(accounts: (Account, Account), amount: i64) {
    let mut from = accounts.0.lock().await;
    yield_now().await; // Whatever a transfer has to wait for in the middle.
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
    // The loop has other things to do meanwhile, and never sleeps for ever.
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
