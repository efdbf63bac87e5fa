//! Five orders are tasks, of which the second fails and the fourth panics. Who notices depends on what is done with the tasks:
//! they are dropped, dropped after `log_error()`, awaited, or put into a group.
//!
//! `cargo run --example ignored_errors`. It waits on a virtual clock, and so takes no time. The log goes to stderr.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{error::Error, panic, time::Duration};

use headwaiter::task::{Builder, JoinHandle, TaskGroup};
use headwaiter::{Clock, EventLoop, time::sleep};

static SERVED: AtomicU32 = AtomicU32::new(0);
static LOGGED: AtomicU32 = AtomicU32::new(0);

fn main() -> io::Result<()> {
    panic::set_hook(Box::new(|_| ())); // What std says of a panic, the log says too.
    let mut log =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"));
    log.format(|line, record| {
        LOGGED.fetch_add(1, Relaxed);
        writeln!(line, "  log: {} {}", record.level(), record.args())
    });
    log.init();
    EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
        println!("five orders are five tasks: the second fails, the fourth panics\n");
        println!("the mistake: nobody asks the tasks how they ended, at {}:{}", file!(), line!() + 1);
        (1..=5).for_each(|n| drop(order(n)));
        who_noticed(Ok(())).await;
        println!("what went wrong: the error is in what the task returned, and nobody ever looked at it.");
        println!("  The panic is at least in the log. The program goes on as if all had been served.");

        println!("\nwhat to do if somebody should hear of it: log_error(), at {}:{}", file!(), line!() + 1);
        (1..=5).for_each(|n| order(n).log_error());
        who_noticed(Ok(())).await;
        println!("\nwhat to do if the results matter: `.await` each task, as `awaited` in {} does", file!());
        who_noticed(awaited().await).await;
        println!("  The caller stops at the first failure. The others run on; the log has their panics.");
        println!("\nwhat to do if they belong together: a TaskGroup, as `grouped` in {} does", file!());
        who_noticed(grouped().await).await;
        println!("  The first failure ends the others at once, and nobody cooks in vain: orders 3, 4 and 5");
        println!("  were cancelled, order 4 before it could panic.");
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

async fn who_noticed(outcome: Result<(), Box<dyn Error>>) {
    sleep(Duration::from_secs(1)).await; // For those that are not done.
    let (log, served) = (LOGGED.swap(0, Relaxed), SERVED.swap(0, Relaxed));
    let caller = outcome.map_or_else(|error| format!("1 ({error})"), |()| "0".to_owned());
    println!("  failures seen by the caller: {caller}, by the log: {log}; orders served: {served}");
}
