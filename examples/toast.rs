//! Breakfast for one: coffee, eggs, bacon, toast and juice, each of which needs its time. First made synchronously, where the
//! cook stands and waits for each dish; then asynchronously, where all of them cook at the same time. The timeline shows
//! both, as measured: synchronous, a dish that is ready to be begun must wait until the cook is done with those before it.
//!
//! `cargo run --example toast`. `-- --svg FILE` draws the same for a browser, `-- --trace FILE` writes it for
//! <https://ui.perfetto.dev>.

use std::time::{Duration, Instant};
use std::{env, io, thread};

use headwaiter::observe::Timeline;
use headwaiter::{EventLoop, task, time};

/// In milliseconds.
const DISHES: [(&str, u64); 5] = [("coffee", 50), ("eggs", 40), ("bacon", 60), ("toast", 30), ("juice", 20)];

fn main() -> io::Result<()> {
    let files = files()?;
    let timeline = Timeline::new();
    let mut event_loop = EventLoop::builder().observer(timeline.clone()).build()?;
    let (synchronous, asynchronous) = event_loop.block_on(async {
        let synchronous = breakfast(|millis| async move { thread::sleep(millis) }).await;
        let asynchronous = breakfast(time::sleep).await;
        (synchronous, asynchronous)
    });
    print!("{}", timeline.to_text(100));
    println!("\nsynchronous:  {:3} ms", synchronous.as_millis());
    println!("asynchronous: {:3} ms", asynchronous.as_millis());
    println!("{:.1} times as fast", synchronous.as_secs_f64() / asynchronous.as_secs_f64());
    for (kind, path) in files {
        match kind {
            Kind::Svg => timeline.write_svg(&path)?,
            Kind::Trace => timeline.write_chrome_json(&path)?,
        }
        println!("written: {path}");
    }
    Ok(())
}

/// Makes all dishes, each in a task of its own, and says how long that took.
async fn breakfast<F: Future<Output = ()> + 'static>(cook: fn(Duration) -> F) -> Duration {
    let start = Instant::now();
    let dishes = DISHES
        .map(|(dish, millis)| task::Builder::new().name(dish).spawn(cook(Duration::from_millis(millis))));
    for dish in dishes {
        dish.await.expect("nothing burns");
    }
    start.elapsed()
}

enum Kind {
    Svg,
    Trace,
}

fn files() -> io::Result<Vec<(Kind, String)>> {
    let mut files = Vec::new();
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let kind = match arg.as_str() {
            "--svg" => Kind::Svg,
            "--trace" => Kind::Trace,
            _ => return Err(io::Error::other(format!("{arg:?}: say `--svg FILE` or `--trace FILE`"))),
        };
        let path = args.next().ok_or_else(|| io::Error::other(format!("{arg} needs the name of a file")))?;
        files.push((kind, path));
    }
    Ok(files)
}
