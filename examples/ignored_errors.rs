//! Five orders are tasks; the second fails and the fourth panics. Whether the program notices
//! depends on what it does with the handles: it drops them, calls `log_error()`, awaits them, or
//! spawns the tasks in a group.
//!
//! `cargo run --example ignored_errors`. It uses a virtual clock, so the waits take no time. The
//! log goes to stderr.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{error::Error, panic, time::Duration};

use headwaiter::task::{Builder, JoinHandle, TaskGroup};
use headwaiter::{Clock, EventLoop, time::sleep};

static SERVED: AtomicU32 = AtomicU32::new(0);
static LOGGED: AtomicU32 = AtomicU32::new(0);

fn main() -> io::Result<()> {
    panic::set_hook(Box::new(|_| ())); // The log contains the message, so std need not print it.
    let mut log =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"));
    log.format(|line, record| {
        LOGGED.fetch_add(1, Relaxed);
        writeln!(line, "  log: {} {}", record.level(), record.args())
    });
    log.init();
    EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
        println!("Five orders are five tasks: the second fails, the fourth panics.\n");
        println!("the mistake: the results of the tasks are ignored, at {}:{}", file!(), line!() + 1);
        (1..=5).for_each(|n| drop(order(n)));
        report(Ok(())).await;
        println!("what went wrong: the task returned the error, but its handle was dropped.");
        println!("  The panic is at least in the log. The program continues as if all orders had been served.");

        println!("\nwhat to do if failures must be logged: log_error(), at {}:{}", file!(), line!() + 1);
        (1..=5).for_each(|n| order(n).log_error());
        report(Ok(())).await;
        println!("\nwhat to do if the results matter: `.await` each task, as `awaited` in {} does", file!());
        report(awaited().await).await;
        println!("  The caller stops at the first failure. The other tasks continue, and their panics are logged.");
        println!("\nwhat to do if the tasks belong together: a TaskGroup, as `grouped` in {} does", file!());
        report(grouped().await).await;
        println!("  The first failure ends the other tasks immediately, so no work is wasted: orders 3, 4 and 5");
        println!("  were cancelled, order 4 before it panicked.");
    });
    Ok(())
}

fn order(n: u32) -> JoinHandle<Result<u32, String>> {
    Builder::new().name(format!("order {n}")).spawn(cook(n))
}

async fn cook(n: u32) -> Result<u32, String> {
    sleep(Duration::from_millis(10) * n).await;
    match n {
        2 => Err("the fish is out".to_owned()),
        4 => panic!("the oven is on fire"),
        _ => Ok(SERVED.fetch_add(1, Relaxed)),
    }
}

async fn awaited() -> Result<(), Box<dyn Error>> {
    let orders: Vec<_> = (1..=5).map(order).collect();
    for order in orders {
        order.await??;
    }
    Ok(())
}

async fn grouped() -> Result<(), Box<dyn Error>> {
    let orders = TaskGroup::new();
    (1..=5).for_each(|n| orders.spawn(async move { cook(n).await.map(drop) }));
    Ok(orders.join().await?)
}

async fn report(outcome: Result<(), Box<dyn Error>>) {
    sleep(Duration::from_secs(1)).await; // Until all other tasks have ended.
    let (log, served) = (LOGGED.swap(0, Relaxed), SERVED.swap(0, Relaxed));
    let caller = outcome.map_or_else(|error| format!("1 ({error})"), |()| "0".to_owned());
    println!("  failures returned to the caller: {caller}, logged: {log}; orders served: {served}");
}
