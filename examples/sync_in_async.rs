//! Three things that are harmless in a program with threads but stop an event loop: `block_on`
//! inside a task, a `std::sync::Mutex` that stays locked across an `.await`, and a blocking read.
//! Each is followed by its replacement.
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
    panic::set_hook(Box::new(|_| ())); // The error contains the message, so std need not print it.
    println!("1. the mistake: block_on inside a task, at {}:{}", file!(), line!() + 2);
    let lost =
        block_on(async { spawn(async { block_on(pause(PAUSE)) }).await.expect_err("a panic") });
    println!(
        "  {}",
        lost.to_string()
            .replace(" panicked: ", " panicked:\n    ")
            .replace(", which ", ",\n    which ")
    );
    println!("what went wrong: it would block the thread, and no other task could run.");
    let time = block_on(async { spawn(async { pause(PAUSE).await }).await.expect("no panic") });
    println!("what to do: use `.await` instead. The task then has its result after {time} ms.");

    println!("\n2. the mistake: a std::sync::Mutex that stays locked across an `.await`");
    let (tell, told) = mpsc::channel();
    thread::spawn(|| {
        block_on(async {
            let till = Rc::new(Mutex::new(0));
            let _first = spawn(pay_blocking(Rc::clone(&till), tell.clone()));
            spawn(pay_blocking(till, tell)).await // Never completes: the thread stays blocked.
        })
    });
    let (stuck, locks, waits) = told.iter().nth(1).expect("the second task is about to lock");
    println!(
        "  Task 2 has locked it at {}:{locks}, and still holds it while it waits in line {waits}.",
        file!()
    );
    println!("  Task 3 calls `lock()` at {}:{locks} too, and that call blocks.", file!());
    println!("  Another thread calls `Handle::dump` to see what the loop is doing. The result:");
    println!("    {}", stuck.dump().to_string().replace(": it polls", ":\n    it polls"));
    println!(
        "what went wrong: task 3 blocks for ever the thread on which task 2 would unlock the mutex."
    );
    println!("  No task of that loop ever runs again.");
    let (till, start) = (sync::Mutex::new(0), Instant::now());
    let pay = async || {
        let _till = till.lock().await;
        pause(PAUSE).await
    };
    block_on(zip(pay(), pay()));
    let time = start.elapsed().as_millis();
    println!(
        "what to do: unlock before the `.await`, or use headwaiter::sync::Mutex, whose `lock` is async."
    );
    println!("  Both tasks are then done after {time} ms.");

    println!("\n3. the mistake: a blocking read inside a task, at {}:{}", file!(), line!() + 1);
    let (nap, ()) = block_on(zip(pause(PAUSE / 10), async { read_from_slow_writer() }));
    println!("  Meanwhile, a sleep of 10 ms in another task took {nap} ms.");
    println!("what went wrong: the read blocks the thread until the other end writes.");
    let reading = async { spawn_blocking(read_from_slow_writer).await.expect("no panic") };
    let (nap, ()) = block_on(zip(pause(PAUSE / 10), reading));
    println!(
        "what to do: use headwaiter::net and io, or spawn_blocking. The sleep then took {nap} ms."
    );
}

#[expect(clippy::await_holding_lock)] // Clippy finds this mistake.
async fn pay_blocking(till: Rc<Mutex<u32>>, about_to_lock: mpsc::Sender<(Handle, u32, u32)>) {
    about_to_lock.send((Handle::current(), line!() + 1, line!() + 3)).expect("the receiver exists");
    let mut till = till.lock().expect("no panic");
    *till += 10;
    pause(PAUSE).await; // The mutex is still locked.
}

fn read_from_slow_writer() {
    let (mut reader, mut writer) = pipe().expect("a pipe");
    thread::spawn(move || (thread::sleep(5 * PAUSE), writer.write_all(b"!")));
    reader.read_exact(&mut [0]).expect("a byte");
}

/// Represents any wait. Returns how many milliseconds it took.
async fn pause(time: Duration) -> u128 {
    let start = Instant::now();
    sleep(time).await;
    start.elapsed().as_millis()
}
