//! Breakfast for one: coffee, eggs, bacon, toast and juice, each of which takes its time. In the
//! first run the cook blocks in front of each dish. In the second run all dishes cook at the same
//! time. The timeline shows both runs, as measured: in the first run, a dish that is ready to start
//! waits until the cook has finished the dishes before it.
//!
//! `cargo run --example toast`. `-- --svg FILE` also draws the timeline for a browser, and
//! `-- --trace FILE` writes it for <https://ui.perfetto.dev>.

use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, io, thread};

use headwaiter::observe::Timeline;
use headwaiter::{EventLoop, task, time};

/// The dishes, with their times in milliseconds.
const DISHES: [(&str, u64); 5] =
    [("coffee", 50), ("eggs", 40), ("bacon", 60), ("toast", 30), ("juice", 20)];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("toast: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    env_logger::init();
    let args: Vec<_> = env::args().skip(1).collect();
    if !args
        .chunks(2)
        .all(|pair| matches!(pair, [flag, _file] if flag == "--svg" || flag == "--trace"))
    {
        return Err(io::Error::other(format!(
            "{args:?}: say `--svg FILE`, `--trace FILE`, or both"
        )));
    }
    let timeline = Timeline::new();
    let mut event_loop = EventLoop::builder().observer(timeline.clone()).build()?;
    let line = line!() + 2;
    let (synchronous, asynchronous) = event_loop.block_on(async {
        let synchronous = breakfast(|millis| async move { thread::sleep(millis) }).await;
        let asynchronous = breakfast(time::sleep).await;
        (synchronous, asynchronous)
    });
    println!("Breakfast, twice. Each row is a task that makes one dish; `loop` is the thread.");
    print!("{}", timeline.to_text(100));
    println!("\nthe mistake: in rows 2 to 6 the cook waits in `thread::sleep`, {}:{line}", file!());
    println!("synchronous:  {:3} ms", synchronous.as_millis());
    println!(
        "what went wrong: that blocks the thread (█), so the next dish is ready (▒) but not started."
    );
    println!(
        "what to do: `.await` each wait, as with `time::sleep` in rows 7 to 11, {}:{}",
        file!(),
        line + 1
    );
    println!("asynchronous: {:3} ms", asynchronous.as_millis());
    let times = synchronous.as_secs_f64() / asynchronous.as_secs_f64();
    println!("  All dishes wait (░) at the same time, on one thread: {times:.1} times as fast.");
    for pair in args.chunks(2) {
        match pair[0].as_str() {
            "--svg" => timeline.write_svg(&pair[1])?,
            _ => timeline.write_chrome_json(&pair[1])?,
        }
        println!("written to {}", pair[1]);
    }
    Ok(())
}

/// Makes all dishes, each in a task of its own. Returns how long that took.
async fn breakfast<F: Future<Output = ()> + 'static>(cook: fn(Duration) -> F) -> Duration {
    let start = Instant::now();
    let dishes = DISHES.map(|(dish, millis)| {
        task::Builder::new().name(dish).spawn(cook(Duration::from_millis(millis)))
    });
    for dish in dishes {
        dish.await.expect("nothing burns");
    }
    start.elapsed()
}
