//! The counter and the app: four guests, four dishes, one waiter. At the counter the waiter stands by each dish until it is
//! ready, and whoever comes later waits for all before. With the app the same waiter takes all orders, and brings each
//! dish when it is ready.
//!
//! `cargo run --example coffee_orders`: first the damage, then the cure. All times are measured.

use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use headwaiter::{spawn, time::sleep};

/// Who orders what, and for how many milliseconds the kitchen is at it.
const ORDERS: [(&str, &str, u64); 4] =
    [("Anna", "coffee", 40), ("Ben", "soup", 120), ("Carla", "toast", 80), ("Dan", "tea", 60)];

/// When an order was taken and when the dish was brought, since all guests came; by whom; and in which line the waiter waited.
type Served = (Duration, Duration, ThreadId, u32);

fn main() {
    env_logger::init();
    println!(
        "Four guests come at the same time. The kitchen could cook for all at once. There is one"
    );
    println!(
        "waiter, who is a thread. A column is 10 ms; . means: waits, the order is not even taken;"
    );
    println!("= means: the kitchen is at it. The times count from when the guests came.");
    let came = Instant::now();
    let counter = ORDERS.map(|(_, _, ms)| serve_at_the_counter(came, ms));
    let app = headwaiter::block_on(async {
        let came = Instant::now();
        let mut served = Vec::new();
        for task in ORDERS.map(|(_, _, ms)| spawn(serve_by_app(came, ms))) {
            served.push(task.await.expect("no waiter panics"));
        }
        served
    });
    draw("the mistake: at the counter the waiter stands by each dish until it is ready", &counter);
    let (dan, line) = (counter[3].1.as_millis(), counter[3].3);
    println!(
        "what went wrong: `thread::sleep`, {}:{line}, keeps the thread, which all share.",
        file!()
    );
    println!("  So Dan, whose tea takes {} ms, has it after {dan} ms.", ORDERS[3].2);

    let times = longest(&counter).as_secs_f64() / longest(&app).as_secs_f64();
    println!(
        "\nwhat to do: `.await` each wait, {}:{}. It gives the thread back meanwhile.",
        file!(),
        app[3].3
    );
    draw("then the waiter takes all orders, and brings each dish when it is ready", &app);
    println!(
        "  The same waiter, {:?}, is {times:.1} times as fast. No second one is needed.",
        app[3].2
    );
}

fn serve_at_the_counter(came: Instant, ms: u64) -> Served {
    let (taken, line) = (came.elapsed(), line!() + 1);
    thread::sleep(Duration::from_millis(ms));
    (taken, came.elapsed(), thread::current().id(), line)
}

async fn serve_by_app(came: Instant, ms: u64) -> Served {
    let (taken, line) = (came.elapsed(), line!() + 1);
    sleep(Duration::from_millis(ms)).await;
    (taken, came.elapsed(), thread::current().id(), line)
}

fn longest(served: &[Served]) -> Duration {
    served.iter().map(|(_, brought, ..)| *brought).max().unwrap_or_default()
}

/// A column of the diagram is 10 ms.
fn draw(title: &str, served: &[Served]) {
    println!("{title}");
    for ((guest, dish, _), (taken, brought, waiter, _)) in ORDERS.iter().zip(served) {
        let (taken, brought) = (taken.as_millis() as usize, brought.as_millis() as usize);
        let bar = ".".repeat(taken / 10) + &"=".repeat(brought / 10 - taken / 10);
        println!("  {guest:<5} {dish:<6} |{bar:<30}| ordered {taken} ms, served {brought} ms");
        assert_eq!(*waiter, served[0].2);
    }
    println!(
        "  The last guest is served after {} ms, all of them by {:?}.",
        longest(served).as_millis(),
        served[0].2
    );
}
