//! A heartbeat stops while another task blocks the thread, in `std::thread::sleep` or with a
//! computation. Then the same work is done without blocking. The example measures the longest gap
//! between two beats.
//!
//! `cargo run --example blocked_loop` shows the damage, then the fixes, and at the end which task
//! it was. With `RUST_LOG=warn` it also shows the reports of the loop.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::rc::Rc;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use headwaiter::time::sleep;
use headwaiter::{spawn_blocking, task, task::yield_now};

const BEAT: Duration = Duration::from_millis(10);
const STEP: Duration = Duration::from_millis(5);
const STEPS: u32 = 60;

/// The task that blocked the loop, according to the loop's log.
static NAMED: Mutex<String> = Mutex::new(String::new());

fn main() {
    let is_shown = std::env::var_os("RUST_LOG").is_some();
    let mut log =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn"));
    log.format(move |line, record| {
        let text = record.args().to_string();
        if let Some((task, _)) = text.split_once(". By ").and_then(|(_, by)| by.split_once(". ")) {
            task.clone_into(&mut NAMED.lock().expect("no panic"));
        }
        if is_shown { writeln!(line, "  log: {} {text}", record.level()) } else { Ok(()) }
    });
    log.init();
    headwaiter::block_on(async {
        let (work, due) = (STEPS * STEP, (STEPS * STEP).div_duration_f64(BEAT));
        println!(
            "One task beats every {BEAT:?}. Another has {work:?} of work, in pieces of {STEP:?}."
        );
        println!("{due} beats are due in that time.\n");

        println!("the mistake: a task that keeps the thread");
        beside_a_heartbeat(line!(), "std::thread::sleep", async || thread::sleep(STEP)).await;
        beside_a_heartbeat(line!(), "a computation", async || hash_for(STEP)).await;
        println!(
            "what went wrong: all tasks share one thread. It switches to another task only where a task"
        );
        println!(
            "  waits in an `.await`. Until then no other task runs, no timer fires, no socket is served.\n"
        );

        println!("what to do: wait with `.await`; compute on another thread, or in short pieces");
        beside_a_heartbeat(line!(), "headwaiter::time::sleep", async || sleep(STEP).await).await;
        let on_a_thread = async || spawn_blocking(|| hash_for(STEP)).await.expect("no panic");
        beside_a_heartbeat(line!() - 1, "headwaiter::spawn_blocking", on_a_thread).await;
        let in_pieces = async || {
            hash_for(STEP);
            yield_now().await; // Other tasks run here.
        };
        beside_a_heartbeat(line!() - 3, "pieces with task::yield_now between", in_pieces).await;
    });
    println!("\nThe task, according to the loop's log, which names it from the second stall on:");
    println!("  {}", NAMED.lock().expect("no panic"));
}

/// Represents any long computation.
fn hash_for(time: Duration) {
    let (start, mut hasher) = (Instant::now(), DefaultHasher::new());
    while start.elapsed() < time {
        hasher.write(&[0; 4096]);
    }
    std::hint::black_box(hasher.finish());
}

async fn beside_a_heartbeat(line: u32, what: &str, step: impl AsyncFn() + 'static) {
    let done = Rc::new(Cell::new(false));
    let heartbeat = task::Builder::new().name("heartbeat").spawn(beat_until(Rc::clone(&done)));
    let work = task::Builder::new().name("work").spawn(async move {
        for _ in 0..STEPS {
            step().await;
        }
    });
    work.await.expect("no panic");
    done.set(true);
    let (beats, longest) = heartbeat.await.expect("no panic");
    sleep(BEAT).await; // The loop asks the kernel now, and detects the stall.
    println!("  {}:{line}, {what}: beats {beats}, longest gap {} ms", file!(), longest.as_millis());
}

/// Returns the number of beats and the longest gap between two of them.
async fn beat_until(done: Rc<Cell<bool>>) -> (u32, Duration) {
    let (mut beats, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
    while !done.get() {
        sleep(BEAT).await;
        longest = longest.max(last.elapsed());
        (beats, last) = (beats + 1, Instant::now());
    }
    (beats, longest)
}
