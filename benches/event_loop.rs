//! What the loop's own operations cost, headwaiter alone: spawning and joining tasks, yielding, a wake from
//! another thread, jobs for the pool of threads, timers, and an echo whose both ends are in the same loop.
//!
//! `cargo bench -p benches --bench event_loop [NAME]`. Where an iteration is of many tasks, timers or messages,
//! `thrpt` is how many of them there are in a second. `benches/peers` measures the same beside other runtimes.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::io;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::task::{JoinHandle, TaskGroup, yield_now};
use headwaiter::time::{Sleep, advance, sleep};
use headwaiter::{Clock, EventLoop, spawn, spawn_blocking};

criterion_group! {
    name = benches;
    config = ::benches::criterion();
    targets = spawn_join, yields, wake, offload, timer, echo
}
criterion_main!(benches);

fn spawn_join(c: &mut Criterion) {
    let mut group = c.benchmark_group("spawn_join");
    let event_loop = &mut EventLoop::new().expect("a loop");
    measure(&mut group, "one", 1, event_loop, async |times| {
        for n in 0..times {
            black_box(spawn(async move { n }).await.unwrap());
        }
    });
    measure(&mut group, "thousand", 1000, event_loop, async |times| {
        for _ in 0..times {
            let tasks: Vec<JoinHandle<u32>> = (0..1000).map(|n| spawn(async move { n })).collect();
            for task in tasks {
                black_box(task.await.unwrap());
            }
        }
    });
    measure(&mut group, "thousand_in_a_group", 1000, event_loop, async |times| {
        for _ in 0..times {
            let tasks = TaskGroup::<u32>::new();
            for n in 0..1000 {
                tasks.spawn(async move { if black_box(n) < 1000 { Ok(()) } else { Err(n) } });
            }
            tasks.join().await.unwrap();
        }
    });
}

fn yields(c: &mut Criterion) {
    let mut group = c.benchmark_group("yield");
    let event_loop = &mut EventLoop::new().expect("a loop");
    for (name, tasks) in [("one_task", 1), ("thousand_tasks", 1000)] {
        measure(&mut group, name, tasks, event_loop, async |times| {
            let tasks = (0..tasks).map(|_| {
                spawn(async move {
                    for _ in 0..times {
                        yield_now().await;
                    }
                })
            });
            join(tasks.collect()).await;
        });
    }
}

fn wake(c: &mut Criterion) {
    let mut group = c.benchmark_group("wake");
    let event_loop = &mut EventLoop::new().expect("a loop");
    let (wakers, to_wake) = mpsc::channel::<Waker>();
    let waking = thread::spawn(move || to_wake.into_iter().for_each(Waker::wake));
    measure(&mut group, "from_another_thread", 1, event_loop, async |times| {
        for _ in 0..times {
            let mut sent = false;
            let woken = poll_fn(|cx| {
                if sent {
                    return Poll::Ready(());
                }
                sent = true;
                wakers.send(cx.waker().clone()).expect("the other thread lives");
                Poll::Pending
            });
            woken.await;
        }
    });
    drop(wakers);
    waking.join().unwrap();
}

fn offload(c: &mut Criterion) {
    let mut group = c.benchmark_group("offload");
    let event_loop = &mut EventLoop::new().expect("a loop");
    measure(&mut group, "empty_job", 1, event_loop, async |times| {
        for n in 0..times {
            black_box(spawn_blocking(move || n).await.unwrap());
        }
    });
    measure(&mut group, "hundred_empty_jobs", 100, event_loop, async |times| {
        for _ in 0..times {
            join((0..100).map(|n| spawn_blocking(move || n)).collect()).await;
        }
    });
}

fn timer(c: &mut Criterion) {
    let mut group = c.benchmark_group("timer");
    for (name, pending) in [("arm_cancel_0_pending", 0), ("arm_cancel_100k_pending", 100_000)] {
        let event_loop = &mut EventLoop::new().expect("a loop");
        let held =
            event_loop.block_on(armed((0..pending).map(|n| Duration::from_millis(3_600_000 + n))));
        measure(&mut group, name, 1, event_loop, async |times| {
            for n in 0..times {
                arm(&mut sleep(Duration::from_millis(n % 60_000 + 1))).await;
            }
        });
        drop(held);
    }
    let event_loop = &mut EventLoop::builder().clock(Clock::Virtual).build().expect("a loop");
    measure(&mut group, "fire_1000", 1000, event_loop, async |times| {
        for _ in 0..times {
            let timers = armed((1..=1000).map(Duration::from_millis)).await;
            advance(Duration::from_secs(1)).await;
            for timer in timers {
                timer.await;
            }
        }
    });
}

fn echo(c: &mut Criterion) {
    let mut group = c.benchmark_group("echo");
    group.sample_size(50); // A round of 100 connections takes long.
    for (name, connections) in [("1_connection", 1), ("100_connections", 100)] {
        let event_loop = &mut EventLoop::new().expect("a loop");
        let mut clients: Vec<TcpStream> = (0..connections)
            .map(|_| event_loop.block_on(connection()).expect("a connection"))
            .collect();
        measure(&mut group, name, connections, event_loop, async |times| {
            let tasks = clients.drain(..).map(|client| spawn(exchange(client, times)));
            clients = join(tasks.collect()).await;
        });
    }
}

/// A client whose server is a task of the same loop.
async fn connection() -> io::Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (mut server, _) = listener.accept().await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    drop(spawn(async move {
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = server.read(&mut bytes).await {
            server.write_all(&bytes[..n]).await.expect("the client reads");
        }
    }));
    Ok(client)
}

async fn exchange(mut client: TcpStream, times: u64) -> TcpStream {
    let (message, mut back) = ([b'x'; 64], [0; 64]);
    for _ in 0..times {
        client.write_all(&message).await.expect("the server reads");
        client.read_exact(&mut back).await.expect("the server answers");
    }
    client
}

/// Polls a timer once. Dropping it cancels it, if it has not fired.
async fn arm(timer: &mut Sleep) {
    poll_fn(|cx| {
        assert!(Pin::new(&mut *timer).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

async fn armed(durations: impl Iterator<Item = Duration>) -> Vec<Sleep> {
    let mut timers: Vec<Sleep> = durations.map(sleep).collect();
    for timer in &mut timers {
        arm(timer).await;
    }
    timers
}

async fn join<T: 'static>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut outputs = Vec::with_capacity(tasks.len());
    for task in tasks {
        outputs.push(task.await.unwrap());
    }
    outputs
}

/// Measures an iteration of `work`, which makes as many as it is told, all in one `block_on`. An iteration
/// is of `elements` tasks, timers or messages.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    elements: u64,
    event_loop: &mut EventLoop,
    mut work: impl AsyncFnMut(u64),
) {
    group.throughput(Throughput::Elements(elements));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            let start = Instant::now();
            event_loop.block_on(work(times));
            start.elapsed()
        });
    });
}
