//! Four guests order at one counter, and one waiter serves them. In the first run the waiter blocks
//! at the counter until each dish is ready. In the second run the same waiter takes all orders and
//! brings each dish when it is ready. Both runs use one task per guest, on one thread; they differ
//! only in how a task waits.
//!
//! `cargo run --example coffee_orders` shows the mistake and then the fix. All times are measured.
//! `-- --svg FILE` also draws the timeline of both runs.

use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};
use std::{env, io};

use headwaiter::{EventLoop, observe::Timeline, task, time::sleep};

/// The guest, the dish, and how many milliseconds the kitchen needs for it.
const ORDERS: [(&str, &str, u64); 4] =
    [("Anna", "coffee", 40), ("Ben", "soup", 120), ("Carla", "toast", 80), ("Dan", "tea", 60)];

/// When the order was taken and when the dish was served, since the guests arrived; the waiter's
/// thread; the line of the wait.
type Served = (Duration, Duration, ThreadId, u32);

fn main() -> io::Result<()> {
    env_logger::init();
    println!("Four guests order at the same time, and the kitchen can prepare all dishes at once.");
    println!(
        "There is one waiter: a thread. One column is 10 ms. A dot means that the guest waits to"
    );
    println!(
        "order, = means that the kitchen prepares the dish. Times count from the guests' arrival."
    );
    let timeline = Timeline::new();
    let mut event_loop = EventLoop::builder().observer(timeline.clone()).build()?;
    let (counter, app) = event_loop.block_on(async {
        let counter = serve_all("blocking", serve_and_block).await;
        (counter, serve_all("async", serve_and_await).await)
    });

    draw("the mistake: the waiter blocks at the counter until each dish is ready", &counter);
    let (dan, line) = (counter[3].1.as_millis(), counter[3].3);
    println!("what went wrong: `thread::sleep`, {}:{line}, blocks the only thread.", file!());
    println!("  So Dan, whose tea takes {} ms, is served after {dan} ms.", ORDERS[3].2);
    let line = app[3].3;
    println!(
        "\nwhat to do: `.await` each wait, {}:{line}. The thread can serve others then.",
        file!()
    );
    draw("the waiter takes all orders and brings each dish when it is ready", &app);
    let times = longest(&counter).as_secs_f64() / longest(&app).as_secs_f64();
    println!(
        "  The same waiter, {:?}, is {times:.1} times as fast. No second waiter is needed.",
        app[3].2
    );
    if let Some(file) = env::args().skip_while(|arg| arg != "--svg").nth(1) {
        timeline.write_svg(&file)?;
        println!("timeline written to {file}");
    }
    Ok(())
}

/// Serves all guests, each in a task of its own.
async fn serve_all<F>(how: &str, serve: fn(Instant, u64) -> F) -> Vec<Served>
where
    F: Future<Output = Served> + 'static,
{
    let arrived = Instant::now();
    let guests = ORDERS.map(|(_, dish, ms)| {
        task::Builder::new().name(format!("{dish}, {how}")).spawn(serve(arrived, ms))
    });
    let mut served = Vec::new();
    for guest in guests {
        served.push(guest.await.expect("serving does not panic"));
    }
    served
}

async fn serve_and_block(arrived: Instant, ms: u64) -> Served {
    let (ordered, line) = (arrived.elapsed(), line!() + 1);
    thread::sleep(Duration::from_millis(ms));
    (ordered, arrived.elapsed(), thread::current().id(), line)
}

async fn serve_and_await(arrived: Instant, ms: u64) -> Served {
    let (ordered, line) = (arrived.elapsed(), line!() + 1);
    sleep(Duration::from_millis(ms)).await;
    (ordered, arrived.elapsed(), thread::current().id(), line)
}

fn longest(served: &[Served]) -> Duration {
    served.iter().map(|(_, served, ..)| *served).max().unwrap_or_default()
}

/// Draws a diagram in which one column is 10 ms.
fn draw(title: &str, served: &[Served]) {
    println!("{title}");
    for ((guest, dish, _), (ordered, served_at, waiter, _)) in ORDERS.iter().zip(served) {
        let (ordered, served_at) = (ordered.as_millis() as usize, served_at.as_millis() as usize);
        let bar = ".".repeat(ordered / 10) + &"=".repeat(served_at / 10 - ordered / 10);
        println!("  {guest:<5} {dish:<6} |{bar:<30}| ordered {ordered} ms, served {served_at} ms");
        assert_eq!(*waiter, served[0].2);
    }
    let (last, waiter) = (longest(served).as_millis(), served[0].2);
    println!("  The last guest is served after {last} ms. {waiter:?} served all of them.");
}
