//! Locks, and a barrier.

use std::hint::black_box;

use super::run::{Program, measure};
use crate::rt::{self, Barrier, Mutex, RwLock, Shared};

pub const PROGRAMS: &[Program] = &[
    ("mutex", mutex),
    ("mutex_contended", mutex_contended),
    ("rwlock", rwlock),
    ("rwlock_contended", rwlock_contended),
    ("barrier", barrier),
];

fn mutex() {
    let mutex = Mutex::new(0);
    rt::block_on(measure(100_000, async |count| {
        for _ in 0..count {
            *black_box(&mutex).lock().await += 1;
        }
    }));
}

/// A hundred tasks, each of which yields while it holds the lock.
fn mutex_contended() {
    const TASKS: u32 = 100;
    rt::block_on(measure(TASKS * 100, async |count| {
        let mutex = Shared::new(Mutex::new(0));
        let lock = |_| {
            let mutex = Shared::clone(&mutex);
            rt::spawn(async move {
                for _ in 0..count / TASKS {
                    let mut count = mutex.lock().await;
                    rt::yield_now().await;
                    *count += 1;
                }
            })
        };
        let tasks: Vec<_> = (0..TASKS).map(lock).collect();
        for task in tasks {
            rt::join(task).await;
        }
        assert_eq!(*mutex.lock().await, count);
    }));
}

/// An operation is a read and a write.
fn rwlock() {
    let lock = RwLock::new(0);
    rt::block_on(measure(50_000, async |count| {
        for _ in 0..count {
            let n = *black_box(&lock).read().await;
            *black_box(&lock).write().await = n + 1;
        }
    }));
}

/// Ten tasks, each of which yields while it holds the lock, every other time to read.
fn rwlock_contended() {
    const TASKS: u32 = 10;
    rt::block_on(measure(TASKS * 1_000, async |count| {
        let lock = Shared::new(RwLock::new(0));
        let read_and_write = |_| {
            let lock = Shared::clone(&lock);
            rt::spawn(async move {
                for _ in 0..count / TASKS / 2 {
                    let n = lock.read().await;
                    rt::yield_now().await;
                    black_box(*n);
                    drop(n);
                    let mut n = lock.write().await;
                    rt::yield_now().await;
                    *n += 1;
                }
            })
        };
        let tasks: Vec<_> = (0..TASKS).map(read_and_write).collect();
        for task in tasks {
            rt::join(task).await;
        }
    }));
}

/// Tasks that wait for each other again and again. An operation is one wait of one task.
fn barrier() {
    const TASKS: u32 = 8;
    rt::block_on(measure(TASKS * 2_000, async |count| {
        let barrier = Shared::new(Barrier::new(TASKS as usize));
        let wait = |_| {
            let barrier = Shared::clone(&barrier);
            rt::spawn(async move {
                for _ in 0..count / TASKS {
                    barrier.wait().await;
                }
            })
        };
        let tasks: Vec<_> = (0..TASKS).map(wait).collect();
        for task in tasks {
            rt::join(task).await;
        }
    }));
}
