//! Tests that fail. Those beside this file run them, each in a process of its own.

use std::future::pending;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use super::{a_third_task_is_first, fails_if_the_third_task_is_first};
use headwaiter::sync::{Mutex, Notify};
use headwaiter::time::sleep;
use headwaiter::{spawn, task};

#[headwaiter::test(clock = "virtual", seeds = 64)]
#[ignore = "it fails"]
async fn in_one_order() {
    fails_if_the_third_task_is_first().await;
}

#[headwaiter::test(clock = "virtual", seeds = 64)]
#[ignore = "it fails"]
async fn by_an_error() -> Result<(), String> {
    if a_third_task_is_first().await { Err("the soup is cold".to_owned()) } else { Ok(()) }
}

#[headwaiter::test]
#[ignore = "it fails"]
async fn without_seeds() {
    panic!("the soup is cold");
}

#[headwaiter::test(seeds = 2)]
#[ignore = "it fails"]
async fn in_a_deadlock() {
    let (till, cellar) = (Mutex::named("till", ()), Mutex::named("cellar", ()));
    let both = Rc::new((till, cellar));
    let other = spawn({
        let both = Rc::clone(&both);
        async move {
            let _cellar = both.1.lock().await;
            task::yield_now().await;
            let _till = both.0.lock().await;
        }
    });
    let _till = both.0.lock().await;
    task::yield_now().await;
    let _cellar = both.1.lock().await;
    other.await.unwrap();
}

#[headwaiter::test]
#[ignore = "it fails"]
async fn that_nothing_can_wake() {
    Notify::new().notified().await;
}

/// A virtual clock jumps over an hour at once, again and again.
#[headwaiter::test(clock = "virtual", within = "50ms", seeds = 2)]
#[ignore = "it fails"]
async fn that_turns_for_ever() {
    let waiter = task::Builder::new().name("waiter").spawn(async {
        loop {
            sleep(Duration::from_secs(3600)).await;
        }
    });
    waiter.await.unwrap();
}

#[headwaiter::test(within = "50ms")]
#[ignore = "it fails"]
async fn that_sleeps_too_long() {
    sleep(Duration::from_secs(3600)).await;
}

#[headwaiter::test(within = "50ms")]
#[ignore = "it fails"]
async fn that_ends_too_late() {
    thread::sleep(Duration::from_millis(60));
}

#[headwaiter::test(within = "50ms", seeds = 2)]
#[ignore = "it fails"]
async fn that_fails_too_late() -> Result<(), String> {
    thread::sleep(Duration::from_millis(60));
    Err("the soup is cold".to_owned())
}

#[headwaiter::test(within = "50ms", seeds = 4294967295)]
#[ignore = "it fails"]
async fn of_too_many_seeds() {}

#[headwaiter::test(within = "50ms", seeds = 2)]
#[ignore = "it fails"]
async fn that_blocks_its_loop() {
    let cook = task::Builder::new().name("cook").spawn(async {
        loop {
            thread::park();
        }
    });
    cook.await.unwrap();
}

struct Parked;

impl Drop for Parked {
    fn drop(&mut self) {
        loop {
            thread::park();
        }
    }
}

#[headwaiter::test(within = "50ms")]
#[ignore = "it fails"]
async fn whose_end_blocks() {
    let parked = Parked;
    spawn(async move {
        let _parked = parked;
        pending::<()>().await;
    });
    task::yield_now().await;
}
