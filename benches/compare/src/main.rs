//! headwaiter beside tokio's current_thread runtime, both on their defaults, in one run: the two take turns
//! on each workload, and the medians are compared, so that a busy machine slows both.
//!
//! - `compare` prints the tables; `compare tasks` only the one of tasks and timers, `compare sync` the one of locks and
//!   channels, `compare files` the one of files, `compare echo` the one of datagrams and Unix sockets, which is beside raw mio.
//! - `compare server headwaiter|tokio` is an echo server on a port of the kernel's choice that ends with its
//!   last client; `compare client ADDRESS CONNECTIONS ROUNDS` talks to it. `instructions.sh` counts with
//!   these what a message costs.

mod echo;
mod files;
mod late;
mod sync;

use std::future::Future;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            print(&TASKS);
            print(&sync::ROWS);
            late::print();
            files::print()?;
            echo::print()?;
        }
        ["tasks"] => print(&TASKS),
        ["sync"] => print(&sync::ROWS),
        ["echo"] => echo::print()?,
        ["files"] => files::print()?,
        ["server", "headwaiter"] => return headwaiter::block_on(serve_headwaiter()),
        ["server", "tokio"] => return tokio_runtime().block_on(serve_tokio()),
        ["client", address, connections, rounds] => {
            return client(address, number(connections)?, number(rounds)?);
        }
        _ => {
            eprintln!(
                "usage: compare [tasks|sync|files|echo] | compare server headwaiter|tokio | compare client ADDRESS CONNECTIONS ROUNDS"
            );
            std::process::exit(2);
        }
    }
    Ok(())
}

fn number(text: &str) -> io::Result<usize> {
    text.parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{text:?} is no number")))
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio's runtime")
}

const ROUNDS: usize = 31;

/// Nanoseconds an operation, the median of [`ROUNDS`] rounds in which both took turns.
struct Row {
    name: &'static str,
    ours: f64,
    theirs: f64,
    /// What we want to reach.
    goal: f64,
}

fn measure(
    name: &'static str,
    goal: f64,
    count: u32,
    mut ours: impl FnMut(),
    mut theirs: impl FnMut(),
) -> Row {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_nanos() as f64 / f64::from(count)
    };
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_times.push(time(&mut ours));
        their_times.push(time(&mut theirs));
    }
    our_times.sort_by(f64::total_cmp);
    their_times.sort_by(f64::total_cmp);
    Row { name, ours: our_times[ROUNDS / 2], theirs: their_times[ROUNDS / 2], goal }
}

fn print(rows: &[fn() -> Row]) {
    println!("{:36}{:>14}{:>14}{:>9}{:>8}", "", "headwaiter", "tokio", "ratio", "goal");
    for row in rows {
        let row = row();
        let ratio = row.ours / row.theirs;
        let mark = if ratio <= row.goal { "" } else { "  missed" };
        println!(
            "{:36}{:>11.1} ns{:>11.1} ns{ratio:>8.2}x{:>7}x{mark}",
            row.name, row.ours, row.theirs, row.goal
        );
    }
}

const TASKS: [fn() -> Row; 8] = [
    spawn_join_single,
    spawn_join_many,
    yield_single,
    yield_many,
    || timer(0, "timer armed + cancelled, alone"),
    || timer(100_000, "timer armed + cancelled, 100k"),
    || offload("empty job offloaded, alone", 2000, 1),
    || offload("empty job offloaded, 100 at once", 20, 100),
];

fn spawn_join_single() -> Row {
    const COUNT: u32 = 10_000;
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    measure(
        "spawn + join, one at a time",
        0.15,
        COUNT,
        || {
            event_loop.block_on(async {
                for n in 0..COUNT {
                    black_box(headwaiter::spawn(async move { n }).await.unwrap());
                }
            });
        },
        || {
            tokio.block_on(async {
                for n in 0..COUNT {
                    black_box(tokio::spawn(async move { n }).await.unwrap());
                }
            });
        },
    )
}

fn spawn_join_many() -> Row {
    const COUNT: u32 = 10_000;
    const AT_ONCE: u32 = 1000;
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    measure(
        "spawn + join, 1000 at a time",
        0.15,
        COUNT,
        || {
            event_loop.block_on(async {
                for _ in 0..COUNT / AT_ONCE {
                    let tasks: Vec<_> =
                        (0..AT_ONCE).map(|n| headwaiter::spawn(async move { n })).collect();
                    for task in tasks {
                        black_box(task.await.unwrap());
                    }
                }
            });
        },
        || {
            tokio.block_on(async {
                for _ in 0..COUNT / AT_ONCE {
                    let tasks: Vec<_> =
                        (0..AT_ONCE).map(|n| tokio::spawn(async move { n })).collect();
                    for task in tasks {
                        black_box(task.await.unwrap());
                    }
                }
            });
        },
    )
}

fn yield_single() -> Row {
    yields("yield, one task", 1, 100_000)
}

fn yield_many() -> Row {
    yields("yield, 1000 tasks", 1000, 100)
}

fn yields(name: &'static str, tasks: u32, each: u32) -> Row {
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    measure(
        name,
        0.35,
        tasks * each,
        || {
            event_loop.block_on(async {
                let task = || async move {
                    for _ in 0..each {
                        headwaiter::task::yield_now().await;
                    }
                };
                let tasks: Vec<_> = (0..tasks).map(|_| headwaiter::spawn(task())).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        },
        || {
            tokio.block_on(async {
                let task = || async move {
                    for _ in 0..each {
                        tokio::task::yield_now().await;
                    }
                };
                let tasks: Vec<_> = (0..tasks).map(|_| tokio::spawn(task())).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        },
    )
}

fn offload(name: &'static str, rounds: u32, at_once: u32) -> Row {
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    measure(
        name,
        1.0,
        rounds * at_once,
        || {
            event_loop.block_on(async {
                for _ in 0..rounds {
                    let jobs: Vec<_> =
                        (0..at_once).map(|n| headwaiter::spawn_blocking(move || n)).collect();
                    for job in jobs {
                        black_box(job.await.unwrap());
                    }
                }
            });
        },
        || {
            tokio.block_on(async {
                for _ in 0..rounds {
                    let jobs: Vec<_> =
                        (0..at_once).map(|n| tokio::task::spawn_blocking(move || n)).collect();
                    for job in jobs {
                        black_box(job.await.unwrap());
                    }
                }
            });
        },
    )
}

/// Polls a future once, which arms it, and drops it, which cancels it.
async fn poll_once(future: impl Future) {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
}

fn timer(pending: u64, name: &'static str) -> Row {
    const COUNT: u32 = 10_000;
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = tokio_runtime();
    event_loop.block_on(async {
        for n in 0..pending {
            drop(headwaiter::spawn(headwaiter::time::sleep(Duration::from_millis(3_600_000 + n))));
        }
        headwaiter::task::yield_now().await;
    });
    tokio.block_on(async {
        for n in 0..pending {
            drop(tokio::spawn(tokio::time::sleep(Duration::from_millis(3_600_000 + n))));
        }
        tokio::task::yield_now().await;
    });
    let time = |n: u32| Duration::from_millis(u64::from(n % 60_000 + 1));
    measure(
        name,
        0.3,
        COUNT,
        || {
            event_loop.block_on(async {
                for n in 0..COUNT {
                    poll_once(headwaiter::time::sleep(time(n))).await;
                }
            });
        },
        || {
            tokio.block_on(async {
                for n in 0..COUNT {
                    poll_once(tokio::time::sleep(time(n))).await;
                }
            });
        },
    )
}

async fn serve_headwaiter() -> io::Result<()> {
    let listener = headwaiter::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let clients = std::rc::Rc::new(std::cell::Cell::new(0));
    loop {
        let (mut stream, _) = listener.accept().await?;
        clients.set(clients.get() + 1);
        let clients = clients.clone();
        drop(headwaiter::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut bytes).await {
                stream.write_all(&bytes[..n]).await.expect("the client reads");
            }
            clients.set(clients.get() - 1);
            if clients.get() == 0 {
                std::process::exit(0);
            }
        }));
    }
}

async fn serve_tokio() -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let clients = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    loop {
        let (mut stream, _) = listener.accept().await?;
        clients.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let clients = clients.clone();
        drop(tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut bytes).await {
                stream.write_all(&bytes[..n]).await.expect("the client reads");
            }
            if clients.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1 {
                std::process::exit(0);
            }
        }));
    }
}

/// All connections send 64 bytes, then all read them: so the server always has many that are ready.
fn client(address: &str, connections: usize, rounds: usize) -> io::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        streams.push(stream);
    }
    let message = [b'x'; 64];
    for _ in 0..rounds {
        for stream in &mut streams {
            stream.write_all(&message)?;
        }
        for stream in &mut streams {
            let mut back = [0; 64];
            stream.read_exact(&mut back)?;
            assert_eq!(back, message, "the server gave other bytes back");
        }
    }
    Ok(())
}
