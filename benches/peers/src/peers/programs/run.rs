//! What the program of a peer is called with, and what it prints: `PEER list` prints the names of its workloads, `PEER WORKLOAD
//! [SIZE] [quick]` runs one of them and prints its figures on one line, or, if it is a server, its address.

use std::env;
use std::hint::black_box;
use std::process::exit;
use std::time::{Duration, Instant};

pub type Program = (&'static str, fn());

pub fn main(lists: &[&[Program]]) {
    let wanted = env::args().nth(1).unwrap_or_default();
    let mut programs = lists.iter().copied().flatten();
    if wanted == "list" {
        programs.for_each(|(name, _)| println!("{name}"));
    } else if let Some((_, program)) = programs.find(|(name, _)| *name == wanted) {
        program();
    } else {
        eprintln!("no workload {wanted:?}: `list` prints those that there are");
        exit(2);
    }
}

/// Whether to do little, only to see that it runs.
pub fn quick() -> bool {
    env::args().any(|argument| argument == "quick")
}

/// So many, or a hundredth when little is to be done.
pub fn scaled(count: u32) -> u32 {
    if quick() { count.div_ceil(100) } else { count }
}

/// A size in bytes, for the workloads that take one.
pub fn size() -> usize {
    env::args().nth(2).and_then(|size| size.parse().ok()).expect("a size in bytes")
}

/// Runs batches of so many operations for a while, and prints the nanoseconds that an operation takes in the median batch.
pub async fn measure(count: u32, mut batch: impl AsyncFnMut(u32)) {
    let count = scaled(count);
    batch(count).await; // The first one allocates what later ones reuse.
    let (start, mut times) = (Instant::now(), Vec::new());
    let enough = if quick() { Duration::ZERO } else { Duration::from_millis(150) };
    while times.len() < 5 || start.elapsed() < enough {
        let start = Instant::now();
        batch(black_box(count)).await;
        times.push(start.elapsed().as_nanos() as f64 / f64::from(count));
    }
    times.sort_by(f64::total_cmp);
    println!("{:.3}", times[times.len() / 2]);
}
