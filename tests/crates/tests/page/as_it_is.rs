//! What runs as it is: nothing in these tests knows a tokio runtime, and nothing takes time, for the clock is virtual.

use std::cell::Cell;
use std::future::ready;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, SinkExt};
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::time::{now, sleep};
use headwaiter::{Clock, EventLoop, spawn};
use tower::ServiceExt;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// On a loop whose clock is virtual.
fn in_no_time<T>(future: impl Future<Output = T>) -> T {
    EventLoop::builder().clock(Clock::Virtual).build().expect("a loop").block_on(future)
}

#[test]
fn tokios_select_takes_the_first_and_join_waits_for_both() {
    in_no_time(async {
        let first = tokio::select! {
            () = sleep(millis(20)) => "slow",
            () = sleep(millis(10)) => "quick",
        };
        assert_eq!(first, "quick");
        let start = now();
        let (a, b) = tokio::join!(
            async {
                sleep(millis(20)).await;
                1
            },
            async {
                sleep(millis(30)).await;
                2
            }
        );
        assert_eq!((a, b, now() - start), (1, 2, millis(30)));
        let failed = tokio::try_join!(
            async {
                sleep(millis(500)).await;
                Ok(())
            },
            async { Err::<(), _>("burnt") }
        );
        assert_eq!(failed, Err("burnt"));
        assert_eq!(now() - start, millis(30));
    });
}

/// A schedule of `explore` does not decide which branch it begins with.
#[test]
fn tokios_select_begins_at_random_unless_it_is_biased() {
    in_no_time(async {
        let (mut random, mut biased) = ([0, 0], [0, 0]);
        for _ in 0..1_000 {
            tokio::select! { () = ready(()) => random[0] += 1, () = ready(()) => random[1] += 1 }
            tokio::select! { biased; () = ready(()) => biased[0] += 1, () = ready(()) => biased[1] += 1 }
        }
        assert!(random[0] > 0 && random[1] > 0, "{random:?}");
        assert_eq!(biased, [1_000, 0]);
    });
}

#[test]
fn tokios_channels_and_locks_make_tasks_of_this_loop_wait() {
    in_no_time(async {
        let start = now();
        let (orders, mut rail) = tokio::sync::mpsc::channel(1);
        let waiter = spawn(async move {
            for dish in ["soup", "bread", "coffee"] {
                orders.send(dish).await.expect("the cook is there");
            }
        });
        let mut cooked = Vec::new();
        while let Some(dish) = rail.recv().await {
            sleep(millis(10)).await;
            cooked.push(dish);
        }
        waiter.await.expect("no panic");
        assert_eq!((cooked.len(), now() - start), (3, millis(30)));

        let (bell, heard) = tokio::sync::oneshot::channel();
        let (menu, mut readers) = tokio::sync::watch::channel("lunch");
        let (shout, mut listener) = tokio::sync::broadcast::channel(4);
        let (lock, notify) =
            (Arc::new(tokio::sync::Mutex::new(0)), Arc::new(tokio::sync::Notify::new()));
        let (semaphore, held) =
            (Arc::new(tokio::sync::Semaphore::new(1)), lock.clone().lock_owned().await);
        let task = spawn({
            let (lock, notify, semaphore) = (lock.clone(), notify.clone(), semaphore.clone());
            async move {
                let permit = semaphore.acquire_owned().await.expect("not closed");
                notify.notified().await;
                *lock.lock().await += 1;
                drop(permit);
                let heard = heard.await.expect("it rings");
                readers.changed().await.expect("the menu changes");
                (heard, *readers.borrow(), listener.recv().await.expect("a shout"))
            }
        });
        sleep(millis(1)).await;
        notify.notify_one();
        sleep(millis(1)).await;
        assert!(semaphore.try_acquire().is_err() && *held == 0);
        drop(held);
        sleep(millis(1)).await;
        assert!(
            bell.send("ding").is_ok() && menu.send("dinner").is_ok() && shout.send("fire").is_ok()
        );
        assert_eq!(task.await.expect("no panic"), ("ding", "dinner", "fire"));
        assert_eq!(*lock.lock().await, 1);
    });
}

#[test]
fn the_codecs_of_tokio_util_frame_our_streams() {
    use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec};
    in_no_time(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = spawn(async move {
            let (stream, _) = listener.accept().await.expect("a client");
            let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(16));
            while let Some(Ok(line)) = lines.next().await {
                lines.send(format!("one {line}")).await.expect("the client reads");
            }
            let mut frames = Framed::new(lines.into_inner(), LengthDelimitedCodec::new());
            frames.send(&b"bye"[..]).await.expect("the client reads");
        });
        let mut client = TcpStream::connect(address).await.expect("the server");
        client.write_all(b"soup\ncoffee\nthis line is too long for them\n").await.expect("sent");
        let mut said = Vec::new();
        futures::AsyncReadExt::read_to_end(&mut client, &mut said).await.expect("read");
        server.await.expect("no panic");
        assert_eq!(said, b"one soup\none coffee\n\0\0\0\x03bye");
    });
}

#[test]
fn towers_concurrency_limit_queues_and_load_shed_refuses() {
    in_no_time(async {
        let cook = |n: u32| async move {
            sleep(millis(10)).await;
            Ok::<_, tower::BoxError>(n)
        };
        let start = now();
        let limited = tower::ServiceBuilder::new().concurrency_limit(2).service_fn(cook);
        let answers = (0..6).map(|n| limited.clone().oneshot(n)).collect::<FuturesUnordered<_>>();
        assert_eq!(answers.filter(|answer| ready(answer.is_ok())).count().await, 6);
        assert_eq!(now() - start, millis(30));

        let shedding =
            tower::ServiceBuilder::new().load_shed().concurrency_limit(2).service_fn(cook);
        let answers = (0..6).map(|n| shedding.clone().oneshot(n)).collect::<FuturesUnordered<_>>();
        assert_eq!(answers.filter(|answer| ready(answer.is_ok())).count().await, 2);
    });
}

#[test]
fn the_worker_of_towers_buffer_runs_where_it_is_spawned() {
    in_no_time(async {
        let cook = tower::service_fn(|n: u32| async move {
            sleep(millis(10)).await;
            Ok::<_, tower::BoxError>(n)
        });
        let (kitchen, worker) = tower::buffer::Buffer::pair(cook, 4);
        spawn(worker);
        let orders = (0..4).map(|n| kitchen.clone().oneshot(n)).collect::<FuturesUnordered<_>>();
        assert_eq!(orders.filter(|answer| ready(answer.is_ok())).count().await, 4);
    });
}

#[test]
fn async_stream_yields_between_waits() {
    in_no_time(async {
        let start = now();
        let dishes = async_stream::stream! {
            for n in 1..=3 {
                sleep(millis(10)).await;
                yield n;
            }
        };
        assert_eq!(dishes.collect::<Vec<_>>().await, [1, 2, 3]);
        assert_eq!(now() - start, millis(30));
        let failing = async_stream::try_stream! { yield Err::<u32, _>("burnt")?; };
        assert_eq!(failing.collect::<Vec<Result<u32, &str>>>().await, [Err("burnt")]);
    });
}

#[test]
fn channels_of_other_crates_lead_from_a_thread_to_the_loop_and_back() {
    headwaiter::block_on(async {
        let (to_loop, orders) = flume::bounded::<u32>(1);
        let (to_thread, bills) = async_channel::unbounded::<u32>();
        let waiter = thread::spawn(move || {
            (1..=100).for_each(|n| to_loop.send(n).expect("the loop is there"));
            drop(to_loop);
            std::iter::from_fn(|| bills.recv_blocking().ok()).sum::<u32>()
        });
        while let Ok(n) = orders.recv_async().await {
            to_thread.send(2 * n).await.expect("the thread is there");
        }
        drop(to_thread);
        assert_eq!(waiter.join().expect("no panic"), 10_100);
    });
}

#[test]
fn async_lock_is_held_across_waits() {
    in_no_time(async {
        let till = Arc::new(async_lock::Mutex::new(0));
        let pay = |n| {
            let till = till.clone();
            spawn(async move {
                let mut till = till.lock().await;
                let before = *till;
                sleep(millis(10)).await;
                *till = before + n;
            })
        };
        for paid in [pay(1), pay(2), pay(3)] {
            paid.await.expect("no panic");
        }
        assert_eq!(*till.lock().await, 6);
    });
}

#[test]
fn join_all_futures_unordered_and_select_of_futures_run_side_by_side() {
    in_no_time(async {
        let dish = |n: u64| async move {
            sleep(millis(n)).await;
            n
        };
        let start = now();
        assert_eq!(futures::future::join_all([30, 10, 20].map(dish)).await, [30, 10, 20]);
        let in_order_of_completion: Vec<_> =
            [30, 10, 20].map(dish).into_iter().collect::<FuturesUnordered<_>>().collect().await;
        assert_eq!(in_order_of_completion, [10, 20, 30]);
        assert_eq!(now() - start, millis(60));
        let (mut slow, mut quick) = (Box::pin(dish(20).fuse()), Box::pin(dish(10).fuse()));
        let first = futures::select! { n = slow => n, n = quick => n };
        assert_eq!(first, 10);
        let at_most_two: Vec<_> =
            futures::stream::iter([10, 10, 10, 10]).map(dish).buffer_unordered(2).collect().await;
        assert_eq!((at_most_two.len(), now() - start), (4, millis(90)));
    });
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_spans_of_tracing_stay_with_their_tasks() {
    use tracing::Instrument;
    let lines = Lines::default();
    let sink = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || sink.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        in_no_time(async {
            let order = |table: u32| {
                let order = async move {
                    for _ in 0..3 {
                        sleep(millis(10)).await;
                        tracing::info!(expected = table, "served");
                    }
                };
                spawn(order.instrument(tracing::info_span!("order", table)))
            };
            for served in [order(1), order(2), order(3)] {
                served.await.expect("no panic");
            }
        });
    });
    let text = String::from_utf8(lines.0.lock().expect("not poisoned").clone()).expect("text");
    assert_eq!(text.lines().count(), 9, "{text}");
    for line in text.lines() {
        let number = |mark: &str| {
            line.split(mark).nth(1).and_then(|rest| rest.chars().next()).expect("a number")
        };
        assert_eq!(number("table="), number("expected="), "{line}");
    }
}

/// The page warns of it: `instrument` is what a task needs.
#[test]
fn a_span_that_is_entered_across_a_wait_takes_in_other_tasks() {
    let lines = Lines::default();
    let sink = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_writer(move || sink.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, || {
        in_no_time(async {
            spawn(async {
                let _entered = tracing::info_span!("of_another").entered();
                sleep(millis(10)).await;
            });
            sleep(millis(5)).await;
            tracing::info!("not in a span of its own");
        });
    });
    let text = String::from_utf8(lines.0.lock().expect("not poisoned").clone()).expect("text");
    assert!(text.contains("of_another") && text.contains("not in a span of its own"), "{text}");
}

#[test]
fn tracing_takes_in_the_log_lines_of_this_crate() {
    let lines = Lines::default();
    let sink = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || sink.clone()).with_ansi(false);
    subscriber.with_max_level(tracing::Level::DEBUG).init();
    in_no_time(async {
        let cook = headwaiter::task::Builder::new().name("cook of soup").spawn(sleep(millis(1)));
        cook.await.expect("no panic");
    });
    let text = String::from_utf8(lines.0.lock().expect("not poisoned").clone()).expect("text");
    let told = text
        .lines()
        .any(|line| line.contains("headwaiter::task") && line.contains("\"cook of soup\" ended"));
    assert!(told, "{text}");
}

#[test]
fn a_wait_in_another_crate_has_no_name_in_the_dump() {
    in_no_time(async {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let cook = headwaiter::task::Builder::new().name("cook").spawn(receiver);
        headwaiter::task::yield_now().await;
        let dump = headwaiter::dump().to_string();
        let of_cook = dump
            .lines()
            .skip_while(|line| !line.contains("\"cook\""))
            .nth(1)
            .expect("a line below");
        assert_eq!(
            of_cook.trim(),
            "may be woken by code outside this crate, which has had its waker",
            "{dump}"
        );
        assert!(crate::page_says(of_cook.trim()));
        drop(sender);
        assert!(cook.await.expect("no panic").is_err());
    });
}

#[test]
fn timers_of_async_io_run_on_a_thread_of_its_own() {
    headwaiter::block_on(async {
        async_io::Timer::after(millis(1)).await;
        let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
        let mut names =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        assert!(names.any(|name| name.trim() == "async-io"));
    });
}

/// tokio counts operations only for its own tasks: one that always finds a message never yields.
#[test]
fn foreign_operations_that_are_always_ready_spend_no_budget() {
    in_no_time(async {
        let others = Rc::new(Cell::new(0));
        let seen = others.clone();
        spawn(async move {
            loop {
                seen.set(seen.get() + 1);
                headwaiter::task::yield_now().await;
            }
        });
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        (0..1_000).for_each(|n| sender.send(n).expect("open"));
        headwaiter::task::yield_now().await;
        let before = others.get();
        for _ in 0..500 {
            receiver.recv().await;
        }
        assert_eq!(others.get(), before);
        for _ in 0..500 {
            receiver.recv().await;
            headwaiter::task::consume_budget().await;
        }
        assert!(others.get() > before);
    });
}
