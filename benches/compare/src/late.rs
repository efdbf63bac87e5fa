//! How late a short sleep is: headwaiter beside smol, whose timers are exact too, and tokio, which counts in milliseconds.

use std::time::{Duration, Instant};

const SLEEP: Duration = Duration::from_micros(300);
const ROUNDS: usize = 20;
const SLEEPS: usize = 100;

/// The three take turns, so that a busy machine delays all.
pub fn print() {
    let tokio = crate::tokio_runtime();
    let [mut ours, mut smols, mut tokios] = [(); 3].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        headwaiter::block_on(sample(&mut ours, || headwaiter::time::sleep(SLEEP)));
        smol::block_on(sample(&mut smols, || async {
            smol::Timer::after(SLEEP).await;
        }));
        tokio.block_on(sample(&mut tokios, || tokio::time::sleep(SLEEP)));
    }
    println!("\na sleep of {SLEEP:?} is late by{:>14}{:>14}", "p50", "p99");
    for (name, mut late) in [("headwaiter", ours), ("smol", smols), ("tokio", tokios)] {
        late.sort();
        println!("{name:28}{:>11} us{:>11} us", at(&late, 50), at(&late, 99));
    }
}

fn at(late: &[Duration], percent: usize) -> u128 {
    late[late.len() * percent / 100].as_micros()
}

async fn sample<F: Future<Output = ()>>(late: &mut Vec<Duration>, sleep: impl Fn() -> F) {
    for _ in 0..SLEEPS {
        let start = Instant::now();
        sleep().await;
        late.push(start.elapsed().checked_sub(SLEEP).expect("never early"));
    }
}
