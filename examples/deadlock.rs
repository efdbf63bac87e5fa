//! Two accounts, two transfers, a deadlock: each transfer locks the account it takes from, then waits for the other. The
//! loop sees it at once, though it is still busy with a timer, and says who holds what since which line.
//!
//! `cargo run --example deadlock`: first the damage, then the cure.

use std::rc::Rc;
use std::time::Duration;

use headwaiter::sync::Mutex;
use headwaiter::task::{self, JoinError, yield_now};
use headwaiter::time::sleep;
use headwaiter::{Deadlock, EventLoop};

type Account = Rc<Mutex<i64>>;

fn main() -> std::io::Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    // The default only reports. With `Fail`, the future that closed the circle is dropped as well, and so its locks are free.
    let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build()?;
    event_loop.block_on(async {
        println!("each locks its own account first:");
        run(transfer_from_first).await;
        println!("\nboth lock in the same order:");
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
    let (low, high) = if from_is_first { (&accounts.0, &accounts.1) } else { (&accounts.1, &accounts.0) };
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
    let there = task::Builder::new().name("Anna to Ben").spawn(transfer((anna.clone(), ben.clone()), 10));
    let back = task::Builder::new().name("Ben to Anna").spawn(transfer((ben.clone(), anna.clone()), 20));
    for ended in [there.await, back.await] {
        match ended {
            Ok(()) => println!("a transfer is done"),
            Err(error) if JoinError::is_deadlock(&error) => println!("{error}"),
            Err(error) => println!("a transfer failed: {error}"),
        }
    }
    heartbeat.abort();
    println!("Anna has {}, Ben has {}", anna.lock().await, ben.lock().await);
}
