//! Bytes that the allocator gives out for a task and for a connection that wait.

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed};
use std::time::Duration;

use super::run::Program;
use crate::rt;

pub const PROGRAMS: &[Program] = &[("idle_task", idle_task), ("sleeping_task", sleeping_task)];

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The system's allocator, which counts the bytes that are in use while it is told to. Otherwise it costs a branch.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static IN_USE: AtomicIsize = AtomicIsize::new(0);

fn count(bytes: isize) {
    if COUNTS.load(Relaxed) {
        IN_USE.fetch_add(bytes, Relaxed);
    }
}

// SAFETY: each call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }
}

/// Of tasks and of connections: few less than a power of two, because tables grow to such.
pub const COUNT: usize = 1_000;

/// Starts counting.
pub fn count_allocations() {
    COUNTS.store(true, Relaxed);
}

/// Ends counting, and prints the bytes of one of [`COUNT`], less what is its own.
pub fn print_bytes(own: usize) {
    COUNTS.store(false, Relaxed);
    println!("{:.1}", IN_USE.load(Relaxed) as f64 / COUNT as f64 - own as f64);
}

/// Long enough for each task to have been polled. Not by yields of the main future: on monoio no task runs meanwhile.
pub async fn let_all_run() {
    for _ in 0..COUNT {
        rt::join(rt::spawn(rt::yield_now())).await;
    }
}

/// Spawns tasks and prints the bytes that one costs beyond its future. A macro, because some peers ask for a future that is `Send`.
macro_rules! measure {
    ($future:expr) => {
        rt::block_on(async {
            let mut tasks = Vec::with_capacity(COUNT);
            count_allocations();
            for _ in 0..COUNT {
                tasks.push(rt::spawn($future));
            }
            let_all_run().await;
            print_bytes(size_of_val(&$future));
            tasks.into_iter().for_each(rt::detach);
        })
    };
}

fn idle_task() {
    measure!(pending::<()>());
}

fn sleeping_task() {
    measure!(rt::sleep(Duration::from_secs(3_600)));
}
