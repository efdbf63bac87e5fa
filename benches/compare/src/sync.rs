//! Locks and channels: headwaiter's `sync` beside tokio's. Each program is written once, and compiled for both.

use std::hint::black_box;

use crate::{Row, measure, tokio_runtime};

pub const ROWS: [fn() -> Row; 13] = [
    lock,
    contended_lock,
    rwlock,
    contended_rwlock,
    round_trip,
    round_trip_with_main,
    stream,
    oneshot,
    watch,
    broadcast,
    broadcast_stream,
    barrier,
    join_set,
];

mod on_headwaiter {
    pub use headwaiter::spawn;
    pub use headwaiter::sync::{Barrier, Mutex, RwLock, broadcast, mpsc, oneshot, watch};
    pub use headwaiter::task::{JoinSet, yield_now};
    pub use std::rc::Rc as Shared;
}

mod on_tokio {
    pub use std::sync::Arc as Shared;
    pub use tokio::spawn;
    pub use tokio::sync::{Barrier, Mutex, RwLock, broadcast, mpsc, oneshot, watch};
    pub use tokio::task::{JoinSet, yield_now};
}

/// Measures a program on both: its name, the ratio to reach, the operations it does, and its text.
macro_rules! on_both {
    ($name:literal, $goal:literal, $count:expr, $program:block) => {{
        let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
        let tokio = tokio_runtime();
        measure(
            $name,
            $goal,
            $count,
            || {
                use on_headwaiter::*;
                event_loop.block_on(async $program);
            },
            || {
                use on_tokio::*;
                tokio.block_on(async $program);
            },
        )
    }};
}

fn lock() -> Row {
    const COUNT: u32 = 100_000;
    on_both!("lock + unlock, uncontended", 0.3, COUNT, {
        let mutex = Mutex::new(0);
        for _ in 0..COUNT {
            *black_box(&mutex).lock().await += 1;
        }
    })
}

/// A hundred tasks, each of which yields while it holds the lock.
fn contended_lock() -> Row {
    const TASKS: u32 = 100;
    const EACH: u32 = 100;
    on_both!("lock + unlock, 100 tasks", 0.5, TASKS * EACH, {
        let mutex = Shared::new(Mutex::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let mutex = Shared::clone(&mutex);
                spawn(async move {
                    for _ in 0..EACH {
                        let mut count = mutex.lock().await;
                        yield_now().await;
                        *count += 1;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*mutex.lock().await, TASKS * EACH);
    })
}

/// An operation is a read and a write.
fn rwlock() -> Row {
    const COUNT: u32 = 50_000;
    on_both!("RwLock read + write, uncontended", 0.35, COUNT, {
        let lock = RwLock::new(0);
        for n in 0..COUNT {
            assert_eq!(*black_box(&lock).read().await, n);
            *black_box(&lock).write().await += 1;
        }
    })
}

/// Ten tasks, each of which yields while it holds the lock, every other time to read.
fn contended_rwlock() -> Row {
    const TASKS: u32 = 10;
    const EACH: u32 = 1_000;
    on_both!("RwLock, 10 tasks", 0.35, TASKS * EACH, {
        let lock = Shared::new(RwLock::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let lock = Shared::clone(&lock);
                spawn(async move {
                    for _ in 0..EACH / 2 {
                        let count = lock.read().await;
                        yield_now().await;
                        black_box(*count);
                        drop(count);
                        let mut count = lock.write().await;
                        yield_now().await;
                        *count += 1;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*lock.read().await, TASKS * EACH / 2);
    })
}

/// Two tasks, each of which waits for the other's message.
fn round_trip() -> Row {
    const COUNT: u32 = 20_000;
    on_both!("channel round trip, two tasks", 0.2, COUNT, {
        let (there, mut here) = mpsc::channel(1);
        let (back, mut again) = mpsc::channel(1);
        let echo = spawn(async move {
            while let Some(message) = here.recv().await {
                back.send(message).await.unwrap();
            }
        });
        let caller = spawn(async move {
            for n in 0..COUNT {
                there.send(n).await.unwrap();
                assert_eq!(again.recv().await, Some(n));
            }
        });
        caller.await.unwrap();
        echo.await.unwrap();
    })
}

/// As [`round_trip`], with the future of `block_on` for one of the two.
fn round_trip_with_main() -> Row {
    const COUNT: u32 = 20_000;
    on_both!("channel round trip, main and a task", 0.2, COUNT, {
        let (there, mut here) = mpsc::channel(1);
        let (back, mut again) = mpsc::channel(1);
        let echo = spawn(async move {
            while let Some(message) = here.recv().await {
                back.send(message).await.unwrap();
            }
        });
        for n in 0..COUNT {
            there.send(n).await.unwrap();
            assert_eq!(again.recv().await, Some(n));
        }
        drop(there);
        echo.await.unwrap();
    })
}

/// One task fills a channel of 100, another empties it.
fn stream() -> Row {
    const COUNT: u32 = 100_000;
    on_both!("channel of 100, a message", 0.5, COUNT, {
        let (sender, mut receiver) = mpsc::channel(100);
        let sending = spawn(async move {
            for n in 0..COUNT {
                sender.send(n).await.unwrap();
            }
        });
        while let Some(n) = receiver.recv().await {
            black_box(n);
        }
        sending.await.unwrap();
    })
}

fn oneshot() -> Row {
    const COUNT: u32 = 10_000;
    on_both!("oneshot, with a spawned sender", 0.2, COUNT, {
        for n in 0..COUNT {
            let (sender, receiver) = oneshot::channel();
            drop(spawn(async move { sender.send(n) }));
            assert_eq!(receiver.await, Ok(n));
        }
    })
}

/// Two tasks, each of which waits for the other's change.
fn watch() -> Row {
    const COUNT: u32 = 20_000;
    on_both!("watch round trip, two tasks", 0.35, COUNT, {
        let (there, mut here) = watch::channel(0);
        let (back, mut again) = watch::channel(0);
        let echo = spawn(async move {
            while here.changed().await.is_ok() {
                let n = *here.borrow_and_update();
                back.send_replace(n);
            }
        });
        let caller = spawn(async move {
            for n in 1..=COUNT {
                there.send_replace(n);
                again.changed().await.unwrap();
                assert_eq!(*again.borrow_and_update(), n);
            }
        });
        caller.await.unwrap();
        echo.await.unwrap();
    })
}

/// Two tasks, each of which waits for the other's message.
fn broadcast() -> Row {
    const COUNT: u32 = 20_000;
    on_both!("broadcast round trip, two tasks", 0.35, COUNT, {
        let (there, mut here) = broadcast::channel(16);
        let (back, mut again) = broadcast::channel(16);
        let echo = spawn(async move {
            while let Ok(message) = here.recv().await {
                back.send(message).unwrap();
            }
        });
        let caller = spawn(async move {
            for n in 0..COUNT {
                there.send(n).unwrap();
                assert_eq!(again.recv().await, Ok(n));
            }
        });
        caller.await.unwrap();
        echo.await.unwrap();
    })
}

/// One task sends a batch, ten receivers take it. An operation is one message at one receiver.
fn broadcast_stream() -> Row {
    const RECEIVERS: u32 = 10;
    const BATCHES: u32 = 100;
    const BATCH: u32 = 64;
    on_both!("broadcast of 64 to 10 receivers", 0.35, RECEIVERS * BATCHES * BATCH, {
        let (sender, _) = broadcast::channel(BATCH as usize);
        let receivers: Vec<_> = (0..RECEIVERS)
            .map(|_| {
                let mut receiver = sender.subscribe();
                spawn(async move {
                    for n in 0..BATCHES * BATCH {
                        assert_eq!(receiver.recv().await, Ok(n));
                    }
                })
            })
            .collect();
        for n in 0..BATCHES * BATCH {
            if n % BATCH == 0 {
                yield_now().await;
                while !sender.is_empty() {
                    yield_now().await;
                }
            }
            sender.send(n).unwrap();
        }
        for receiver in receivers {
            receiver.await.unwrap();
        }
    })
}

/// Tasks that wait for each other again and again. An operation is one wait.
fn barrier() -> Row {
    const TASKS: u32 = 8;
    const EACH: u32 = 2_000;
    on_both!("barrier, 8 tasks", 0.35, TASKS * EACH, {
        let barrier = Shared::new(Barrier::new(TASKS as usize));
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let barrier = Shared::clone(&barrier);
                spawn(async move {
                    for _ in 0..EACH {
                        barrier.wait().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    })
}

/// A thousand tasks spawned into a set, and joined as they end. An operation is one task.
fn join_set() -> Row {
    const COUNT: u32 = 10_000;
    const AT_ONCE: u32 = 1_000;
    on_both!("JoinSet of 1000, a task", 0.4, COUNT, {
        for _ in 0..COUNT / AT_ONCE {
            let mut tasks = JoinSet::new();
            for n in 0..AT_ONCE {
                tasks.spawn(async move { n });
            }
            while let Some(n) = tasks.join_next().await {
                black_box(n.unwrap());
            }
        }
    })
}
