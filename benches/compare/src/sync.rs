//! Locks and channels: headwaiter's `sync` beside tokio's.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use headwaiter::sync as ours;
use tokio::sync as theirs;

use crate::{Row, measure, tokio_runtime};

pub const ROWS: [fn() -> Row; 7] =
    [lock, round_trip, round_trip_with_main, oneshot, stream, contended, barrier];

fn lock() -> Row {
    const COUNT: u32 = 100_000;
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    let (our_mutex, their_mutex) = (ours::Mutex::new(0), theirs::Mutex::new(0));
    measure(
        "lock + unlock, uncontended",
        0.3,
        COUNT,
        || {
            event_loop.block_on(async {
                for _ in 0..COUNT {
                    *black_box(&our_mutex).lock().await += 1;
                }
            });
        },
        || {
            tokio.block_on(async {
                for _ in 0..COUNT {
                    *black_box(&their_mutex).lock().await += 1;
                }
            });
        },
    )
}

/// Two tasks, each of which waits for the other's message.
fn round_trip() -> Row {
    const COUNT: u32 = 20_000;
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    measure(
        "channel round trip, two tasks",
        0.2,
        COUNT,
        || {
            event_loop.block_on(async {
                let (there, mut here) = ours::mpsc::channel(1);
                let (back, mut again) = ours::mpsc::channel(1);
                let echo = headwaiter::spawn(async move {
                    while let Some(message) = here.recv().await {
                        back.send(message).await.unwrap();
                    }
                });
                let caller = headwaiter::spawn(async move {
                    for n in 0..COUNT {
                        there.send(n).await.unwrap();
                        assert_eq!(again.recv().await, Some(n));
                    }
                });
                caller.await.unwrap();
                echo.await.unwrap();
            });
        },
        || {
            tokio.block_on(async {
                let (there, mut here) = theirs::mpsc::channel(1);
                let (back, mut again) = theirs::mpsc::channel(1);
                let echo = tokio::spawn(async move {
                    while let Some(message) = here.recv().await {
                        back.send(message).await.unwrap();
                    }
                });
                let caller = tokio::spawn(async move {
                    for n in 0..COUNT {
                        there.send(n).await.unwrap();
                        assert_eq!(again.recv().await, Some(n));
                    }
                });
                caller.await.unwrap();
                echo.await.unwrap();
            });
        },
    )
}

/// As [`round_trip`], with the future of `block_on` for one of the two.
fn round_trip_with_main() -> Row {
    const COUNT: u32 = 20_000;
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    measure(
        "channel round trip, main and a task",
        0.2,
        COUNT,
        || {
            event_loop.block_on(async {
                let (there, mut here) = ours::mpsc::channel(1);
                let (back, mut again) = ours::mpsc::channel(1);
                let echo = headwaiter::spawn(async move {
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
            });
        },
        || {
            tokio.block_on(async {
                let (there, mut here) = theirs::mpsc::channel(1);
                let (back, mut again) = theirs::mpsc::channel(1);
                let echo = tokio::spawn(async move {
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
            });
        },
    )
}

/// One task fills a channel of 100, another empties it.
fn stream() -> Row {
    const COUNT: u32 = 100_000;
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    measure(
        "channel of 100, a message",
        0.5,
        COUNT,
        || {
            event_loop.block_on(async {
                let (sender, mut receiver) = ours::mpsc::channel(100);
                let sending = headwaiter::spawn(async move {
                    for n in 0..COUNT {
                        sender.send(n).await.unwrap();
                    }
                });
                while let Some(n) = receiver.recv().await {
                    black_box(n);
                }
                sending.await.unwrap();
            });
        },
        || {
            tokio.block_on(async {
                let (sender, mut receiver) = theirs::mpsc::channel(100);
                let sending = tokio::spawn(async move {
                    for n in 0..COUNT {
                        sender.send(n).await.unwrap();
                    }
                });
                while let Some(n) = receiver.recv().await {
                    black_box(n);
                }
                sending.await.unwrap();
            });
        },
    )
}

fn oneshot() -> Row {
    const COUNT: u32 = 10_000;
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    measure(
        "oneshot, with a spawned sender",
        0.2,
        COUNT,
        || {
            event_loop.block_on(async {
                for n in 0..COUNT {
                    let (sender, receiver) = ours::oneshot::channel();
                    drop(headwaiter::spawn(async move { sender.send(n) }));
                    assert_eq!(receiver.await, Ok(n));
                }
            });
        },
        || {
            tokio.block_on(async {
                for n in 0..COUNT {
                    let (sender, receiver) = theirs::oneshot::channel();
                    drop(tokio::spawn(async move { sender.send(n) }));
                    assert_eq!(receiver.await, Ok(n));
                }
            });
        },
    )
}

/// A hundred tasks, each of which yields while it holds the lock.
fn contended() -> Row {
    const TASKS: u32 = 100;
    const EACH: u32 = 100;
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    measure(
        "lock + unlock, 100 tasks",
        0.5,
        TASKS * EACH,
        || {
            event_loop.block_on(async {
                let mutex = Rc::new(ours::Mutex::new(0));
                let task = |mutex: Rc<ours::Mutex<u32>>| async move {
                    for _ in 0..EACH {
                        let mut count = mutex.lock().await;
                        headwaiter::task::yield_now().await;
                        *count += 1;
                    }
                };
                let tasks: Vec<_> =
                    (0..TASKS).map(|_| headwaiter::spawn(task(Rc::clone(&mutex)))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
                assert_eq!(*mutex.lock().await, TASKS * EACH);
            });
        },
        || {
            tokio.block_on(async {
                let mutex = Arc::new(theirs::Mutex::new(0));
                let task = |mutex: Arc<theirs::Mutex<u32>>| async move {
                    for _ in 0..EACH {
                        let mut count = mutex.lock().await;
                        tokio::task::yield_now().await;
                        *count += 1;
                    }
                };
                let tasks: Vec<_> =
                    (0..TASKS).map(|_| tokio::spawn(task(Arc::clone(&mutex)))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
                assert_eq!(*mutex.lock().await, TASKS * EACH);
            });
        },
    )
}

/// Tasks that wait for each other again and again. An operation is one wait.
fn barrier() -> Row {
    const TASKS: u32 = 8;
    const EACH: u32 = 2_000;
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    measure(
        "barrier, 8 tasks",
        0.35,
        TASKS * EACH,
        || {
            event_loop.block_on(async {
                let barrier = Rc::new(ours::Barrier::new(TASKS as usize));
                let task = |barrier: Rc<ours::Barrier>| async move {
                    for _ in 0..EACH {
                        barrier.wait().await;
                    }
                };
                let tasks: Vec<_> =
                    (0..TASKS).map(|_| headwaiter::spawn(task(Rc::clone(&barrier)))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        },
        || {
            tokio.block_on(async {
                let barrier = Arc::new(theirs::Barrier::new(TASKS as usize));
                let task = |barrier: Arc<theirs::Barrier>| async move {
                    for _ in 0..EACH {
                        barrier.wait().await;
                    }
                };
                let tasks: Vec<_> =
                    (0..TASKS).map(|_| tokio::spawn(task(Arc::clone(&barrier)))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        },
    )
}
