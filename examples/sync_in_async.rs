//! Three things that do no harm in a plain program and stop an event loop: `block_on` inside a task, a `std::sync::Mutex`
//! that stays locked during an `.await`, and a blocking read. Each is shown, and then what to use instead.
//!
//! `cargo run --example sync_in_async`

use std::io::{Read, Write, pipe};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{panic, rc::Rc, thread};

use futures_lite::future::zip;
use headwaiter::{Handle, block_on, spawn, spawn_blocking, sync, time::sleep};

const PAUSE: Duration = Duration::from_millis(100);

fn main() {
    env_logger::init();
    panic::set_hook(Box::new(|_| ())); // What std says of a panic, the error says too.
    println!("1. the mistake: block_on inside a task, at {}:{}", file!(), line!() + 2);
    let lost =
        block_on(async { spawn(async { block_on(pause(PAUSE)) }).await.expect_err("a panic") });
    println!(
        "  {}",
        lost.to_string()
            .replace(" panicked: ", " panicked:\n    ")
            .replace(", which ", ",\n    which ")
    );
    println!("what went wrong: it would keep the thread, and all other tasks would stand still.");
    let time = block_on(async { spawn(async { pause(PAUSE).await }).await.expect("no panic") });
    println!("what to do: `.await` in its place: so the task has its result after {time} ms.");

    println!("\n2. the mistake: a std::sync::Mutex that stays locked during an `.await`");
    let (tell, told) = mpsc::channel();
    thread::spawn(|| {
        block_on(async {
            let till = Rc::new(Mutex::new(0));
            let _first = spawn(pay_blocking(Rc::clone(&till), tell.clone()));
            spawn(pay_blocking(till, tell)).await // Never done: nobody gets this thread back.
        })
    });
    let (stuck, locks, waits) = told.iter().nth(1).expect("the second task is about to lock");
    println!(
        "  Task 2 has locked it at {}:{locks}, and holds it while it waits in line {waits}.",
        file!()
    );
    println!("  Task 3 calls `lock()` at {}:{locks} as well, which blocks.", file!());
    println!("  Another thread asks the loop by `Handle::dump` what it is doing. The answer:");
    println!("    {}", stuck.dump().to_string().replace(": it polls", ":\n    it polls"));
    println!("what went wrong: task 3 blocks the thread on which task 2 would unlock, for ever.");
    println!("  No task of that loop ever runs again.");
    let (till, start) = (sync::Mutex::new(0), Instant::now());
    let pay = async || {
        let _till = till.lock().await;
        pause(PAUSE).await
    };
    block_on(zip(pay(), pay()));
    let time = start.elapsed().as_millis();
    println!(
        "what to do: unlock before the `.await`. Or use headwaiter::sync::Mutex, which is locked"
    );
    println!("  by `.await`: so both are done after {time} ms.");

    println!("\n3. the mistake: a blocking read inside a task, at {}:{}", file!(), line!() + 1);
    let (nap, ()) = block_on(zip(pause(PAUSE / 10), async { read_from_somebody_slow() }));
    println!("  Beside it, a sleep of 10 ms took {nap} ms.");
    println!("what went wrong: until somebody writes, the read keeps the thread.");
    let reading = async { spawn_blocking(read_from_somebody_slow).await.expect("no panic") };
    let (nap, ()) = block_on(zip(pause(PAUSE / 10), reading));
    println!(
        "what to do: use headwaiter::net and io, or spawn_blocking: so the sleep took {nap} ms."
    );
}

#[expect(clippy::await_holding_lock)] // Clippy sees the mistake coming.
async fn pay_blocking(till: Rc<Mutex<u32>>, about_to_lock: mpsc::Sender<(Handle, u32, u32)>) {
    about_to_lock.send((Handle::current(), line!() + 1, line!() + 3)).expect("somebody listens");
    let mut till = till.lock().expect("no panic");
    *till += 10;
    pause(PAUSE).await; // Still locked.
}

fn read_from_somebody_slow() {
    let (mut reader, mut writer) = pipe().expect("a pipe");
    thread::spawn(move || (thread::sleep(5 * PAUSE), writer.write_all(b"!")));
    reader.read_exact(&mut [0]).expect("a byte");
}

/// Stands for any wait. Returns how many milliseconds it took.
async fn pause(time: Duration) -> u128 {
    let start = Instant::now();
    sleep(time).await;
    start.elapsed().as_millis()
}
