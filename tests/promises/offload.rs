//! The pool of threads: what is promised of `spawn_blocking`, and of the host names that wait for its threads.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::support::logged::logged;
use crate::support::wakers::forwarding;
use crate::support::*;
use headwaiter::net::{TcpListener, TcpStream, lookup_host};
use headwaiter::task::{JoinHandle, yield_now};
use headwaiter::{
    Clock, EventLoop, Handle, block_on, spawn, spawn_blocking, time, try_spawn_blocking,
};
use log::LevelFilter;

/// A job that runs until it is told to end.
struct Held {
    begun: Receiver<()>,
    end: Sender<()>,
}

impl Held {
    #[track_caller]
    fn spawn() -> (Held, JoinHandle<()>) {
        let (begins, begun) = mpsc::channel();
        let (end, ends) = mpsc::channel();
        let job = spawn_blocking(move || {
            let _ = begins.send(());
            let _ = ends.recv();
        });
        (Held { begun, end }, job)
    }

    /// As [`spawn`](Self::spawn); it has begun.
    #[track_caller]
    fn begun() -> (Held, JoinHandle<()>) {
        let (held, job) = Held::spawn();
        held.begun.recv().unwrap();
        (held, job)
    }

    fn end(self) {
        drop(self.end);
    }
}

fn with_threads(threads: usize) -> EventLoop {
    EventLoop::builder().blocking_threads(threads).build().unwrap()
}

/// Tells on which thread it is dropped.
struct Dropped(Sender<ThreadId>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

#[headwaiter::test(within = "60s")]
async fn a_job_runs_on_another_thread_and_its_output_comes_back() {
    let _beside_others = beside_other_tests();
    let here = thread::current().id();
    let (there, name) = spawn_blocking(|| {
        let current = thread::current();
        (current.id(), current.name().map(str::to_owned))
    })
    .await
    .unwrap();
    assert_ne!(here, there);
    assert_eq!(name.as_deref(), Some("headwaiter-blocking"));
    let tried = try_spawn_blocking(|| 5).map_err(|_| "there is room").unwrap();
    assert_eq!(tried.await.unwrap(), 5);
}

#[headwaiter::test(within = "60s")]
async fn the_loop_goes_on_while_a_job_runs() {
    let _beside_others = beside_other_tests();
    let (held, job) = Held::begun();
    let (mut client, mut server) = tcp_pair().await.unwrap();
    client.write_all(b"soup").await.unwrap();
    let mut order = [0; 4];
    server.read_exact(&mut order).await.unwrap();
    assert!(!job.is_finished());
    held.end();
    job.await.unwrap();
}

#[headwaiter::test(within = "60s")]
async fn a_panic_in_a_job_is_its_join_error() {
    let _beside_others = beside_other_tests();
    let error = spawn_blocking(|| panic!("on {}", std::hint::black_box("fire"))).await.unwrap_err();
    assert!(error.is_panic() && !error.is_cancelled() && !error.is_not_started());
    let text = error.to_string();
    assert!(text.contains("on fire") && text.contains("tests/promises/offload.rs"), "{text}");
    assert_eq!(*error.into_panic().downcast::<String>().unwrap(), "on fire");
    // Its thread lives.
    assert_eq!(spawn_blocking(|| 5).await.unwrap(), 5);
}

#[test]
fn a_panic_in_the_drop_of_a_job_or_of_its_output_harms_nobody_else() {
    bounded(|| {
        with_threads(1).block_on(async {
            struct Bomb;
            impl Drop for Bomb {
                fn drop(&mut self) {
                    panic!("dropped");
                }
            }
            // The output of a job that was aborted while it ran is dropped by its thread.
            let (begins, begun) = mpsc::channel();
            let (end, ends) = mpsc::channel::<()>();
            let running = spawn_blocking(move || {
                begins.send(()).unwrap();
                let _ = ends.recv();
                Bomb
            });
            begun.recv().unwrap();
            // A job that has not begun is dropped by the thread that aborts it.
            let bomb = Bomb;
            let waiting = spawn_blocking(move || drop(bomb));
            waiting.abort();
            assert!(waiting.await.unwrap_err().is_cancelled());
            running.abort();
            drop(end);
            assert!(running.await.map(std::mem::forget).unwrap_err().is_cancelled());
            assert_eq!(spawn_blocking(|| 5).await.unwrap(), 5);
        });
    });
}

#[test]
fn a_job_that_is_aborted_before_it_begins_never_runs_and_is_dropped_inside_the_call() {
    bounded(|| {
        with_threads(1).block_on(async {
            let (held, busy) = Held::begun();
            let (dropped, is_dropped) = mpsc::channel();
            let dropped = Dropped(dropped);
            let job = spawn_blocking(move || {
                drop(dropped);
                unreachable!("it was aborted")
            });
            yield_now().await;
            job.abort();
            assert_eq!(is_dropped.try_recv(), Ok(thread::current().id()));
            let error = job.await.unwrap_err();
            assert!(error.is_cancelled());
            held.end();
            busy.await.unwrap();
            spawn_blocking(|| ()).await.unwrap();
        });
    });
}

#[headwaiter::test(within = "60s")]
async fn a_job_that_is_aborted_while_it_runs_is_reported_at_once_and_its_output_dropped_by_its_thread()
 {
    let _beside_others = beside_other_tests();
    let (begins, begun) = mpsc::channel();
    let (end, ends) = mpsc::channel();
    let (dropped, is_dropped) = mpsc::channel();
    let job = spawn_blocking(move || {
        begins.send(thread::current().id()).unwrap();
        ends.recv().unwrap();
        Dropped(dropped)
    });
    let its_thread = begun.recv().unwrap();
    job.abort();
    assert!(job.await.map(|_| ()).unwrap_err().is_cancelled());
    // It runs on: the channel is open.
    end.send(()).unwrap();
    assert_eq!(is_dropped.recv(), Ok(its_thread));
}

#[headwaiter::test(within = "60s")]
async fn an_abort_at_any_moment_leaves_each_job_run_or_dropped_once() {
    let _beside_others = beside_other_tests();
    let (ran, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut gave_output = 0;
    for round in 0..5000 {
        let (runs, drops) = (Arc::clone(&ran), Arc::clone(&dropped));
        let on_drop = OnDrop(move || {
            drops.fetch_add(1, Ordering::Relaxed);
        });
        let job = spawn_blocking(move || {
            runs.fetch_add(1, Ordering::Relaxed);
            on_drop
        });
        for _ in 0..round % 7 {
            yield_now().await;
        }
        job.abort();
        gave_output += usize::from(job.await.is_ok());
    }
    // What still runs ends before this does.
    while dropped.load(Ordering::Relaxed) < 5000 {
        yield_now().await;
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 5000);
    let ran = ran.load(Ordering::Relaxed);
    assert!(gave_output <= ran && ran <= 5000, "{gave_output} of {ran}");
}

#[headwaiter::test(within = "60s")]
async fn a_detached_job_runs_to_its_end() {
    let _beside_others = beside_other_tests();
    let (done, is_done) = mpsc::channel();
    drop(spawn_blocking(move || done.send(5).unwrap()));
    assert_eq!(is_done.recv(), Ok(5));
}

#[headwaiter::test(within = "60s")]
async fn an_output_that_nobody_wants_is_dropped_on_the_thread_of_the_loop() {
    let _beside_others = beside_other_tests();
    let (dropped, is_dropped) = mpsc::channel();
    drop(spawn_blocking(move || Dropped(dropped)));
    loop {
        if let Ok(thread) = is_dropped.try_recv() {
            break assert_eq!(thread, thread::current().id());
        }
        yield_now().await;
    }
}

#[test]
fn one_thread_takes_the_jobs_in_the_order_of_their_arrival() {
    bounded(|| {
        with_threads(1).block_on(async {
            let (held, busy) = Held::begun();
            let order = Arc::new(Mutex::new(Vec::new()));
            let jobs: Vec<_> = (0..100)
                .map(|n| {
                    let order = Arc::clone(&order);
                    spawn_blocking(move || order.lock().unwrap().push(n))
                })
                .collect();
            jobs[50].abort();
            held.end();
            busy.await.unwrap();
            for job in jobs {
                let _ = job.await;
            }
            let came: Vec<_> = (0..100).filter(|n| *n != 50).collect();
            assert_eq!(*order.lock().unwrap(), came);
        });
    });
}

#[test]
fn as_many_jobs_run_at_once_as_there_may_be_threads_and_no_more() {
    bounded(|| {
        with_threads(3).block_on(async {
            let all_three = Arc::new(Barrier::new(3));
            let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let jobs: Vec<_> = (0..99)
                .map(|_| {
                    let (all_three, running, most) =
                        (Arc::clone(&all_three), Arc::clone(&running), Arc::clone(&most));
                    spawn_blocking(move || {
                        most.fetch_max(
                            running.fetch_add(1, Ordering::SeqCst) + 1,
                            Ordering::SeqCst,
                        );
                        all_three.wait();
                        running.fetch_sub(1, Ordering::SeqCst);
                        thread::current().id()
                    })
                })
                .collect();
            let mut threads = HashSet::new();
            for job in jobs {
                threads.insert(job.await.unwrap());
            }
            assert_eq!((most.load(Ordering::SeqCst), threads.len()), (3, 3));
        });
    });
}

#[test]
fn a_pool_without_threads_is_an_error_that_says_so() {
    let error = EventLoop::builder().blocking_threads(0).build().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("blocking_threads(0)"), "{error}");
}

/// Unlike tokio: there, the queue has no limit.
#[test]
fn a_full_queue_gives_the_closure_back() {
    bounded(|| {
        with_threads(1).block_on(async {
            let (held, busy) = Held::begun();
            let mut jobs = Vec::new();
            let mut number = 0;
            let refused = loop {
                let mine = number;
                match try_spawn_blocking(move || mine) {
                    Ok(job) => jobs.push(job),
                    Err(work) => break work,
                }
                number += 1;
            };
            assert_eq!((jobs.len(), refused()), (1024, 1024));
            // The one that queues in any case does, and room is made by the end of a job, or by an abort.
            let patient = spawn_blocking(|| 5);
            assert!(try_spawn_blocking(|| ()).is_err());
            jobs[7].abort();
            jobs[8].abort();
            jobs.push(try_spawn_blocking(|| 1024).map_err(|_| "there is room").unwrap());
            held.end();
            busy.await.unwrap();
            assert_eq!(patient.await.unwrap(), 5);
            for (n, job) in jobs.into_iter().enumerate() {
                match job.await {
                    Ok(output) => assert_eq!(output, n),
                    Err(error) => {
                        assert!(error.is_cancelled() && (n == 7 || n == 8), "{n}: {error}");
                    }
                }
            }
        });
    });
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn the_virtual_clock_stands_still_while_a_job_is_under_way() {
    let _beside_others = beside_other_tests();
    let start = time::now();
    let nap = spawn(time::sleep(ms(1000)));
    let (held, job) = Held::spawn();
    let ender = thread::spawn(move || {
        held.begun.recv().unwrap();
        held.end();
    });
    job.await.unwrap();
    assert_eq!(time::now(), start);
    nap.await.unwrap();
    assert_eq!(time::now() - start, ms(1000));
    ender.join().unwrap();

    // A job that is not awaited counts, too. A thousand times, because there may be races.
    for _ in 0..1000 {
        let before = time::now();
        let (done, is_done) = mpsc::channel();
        drop(spawn_blocking(move || done.send(()).unwrap()));
        time::sleep(ms(10)).await;
        assert_eq!(is_done.try_recv(), Ok(()));
        assert_eq!(time::now() - before, ms(10));
    }
}

#[test]
fn the_virtual_clock_goes_on_when_a_waiting_job_was_aborted_and_when_a_running_one_has_ended() {
    bounded(|| {
        let mut event_loop =
            EventLoop::builder().clock(Clock::Virtual).blocking_threads(1).build().unwrap();
        event_loop.block_on(async {
            let (held, running) = Held::begun();
            let waiting = spawn_blocking(|| ());
            waiting.abort();
            running.abort();
            assert!(running.await.is_err() && waiting.await.is_err());
            // Aborted, but still running.
            let start = time::now();
            let mut nap = time::sleep(ms(5));
            assert!(poll_once(&mut nap).await.is_pending());
            for _ in 0..1000 {
                yield_now().await;
            }
            assert_eq!(time::now(), start);
            held.end();
            nap.await;
        });
        // An embedder gets its turns, in which the clock stands still.
        let (held, nap) = event_loop.enter(|| {
            let (held, job) = Held::begun();
            drop(job);
            (held, spawn(time::sleep(ms(5))))
        });
        let before = event_loop.enter(time::now);
        for _ in 0..10 {
            event_loop.turn(Some(ms(1))).unwrap();
        }
        assert_eq!(event_loop.enter(time::now), before);
        held.end();
        event_loop.block_on(nap).unwrap();
    });
}

/// Unlike tokio: there, the drop waits for the jobs that run.
#[test]
fn dropping_the_loop_waits_for_no_job_and_drops_those_that_have_not_begun() {
    bounded(|| {
        let here = thread::current().id();
        let mut event_loop = with_threads(1);
        let (begins, begun) = mpsc::channel();
        let (end, ends) = mpsc::channel();
        let (late, late_output) = mpsc::channel();
        let (dropped, is_dropped) = mpsc::channel();
        let (ended, thread_ended) = mpsc::channel();
        let running = event_loop.enter(|| {
            spawn_blocking(move || {
                thread_local! { static AT_END: RefCell<Option<Dropped>> = const { RefCell::new(None) } }
                AT_END.set(Some(Dropped(ended)));
                begins.send(thread::current().id()).unwrap();
                ends.recv().unwrap();
                Dropped(late)
            })
        });
        let its_thread = begun.recv().unwrap();
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let dropped = Dropped(dropped.clone());
                event_loop.enter(|| {
                    spawn_blocking(move || {
                        let _dropped = dropped;
                        unreachable!("the loop was dropped")
                    })
                })
            })
            .collect();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
        for _ in 0..10 {
            assert_eq!(is_dropped.try_recv(), Ok(here));
        }
        // The late result is harmless: its thread drops it, and then ends.
        assert!(late_output.try_recv().is_err());
        end.send(()).unwrap();
        assert_eq!(late_output.recv(), Ok(its_thread));
        assert_eq!(thread_ended.recv(), Ok(its_thread));
        drop((running, waiting));
    });
}

/// In all threads of a pool of two, with a job that is queued besides.
fn both_threads_wait_for<F: Future<Output = ()> + 'static>(
    make: impl Fn() -> F + Clone + Send + 'static,
) -> [JoinHandle<()>; 3] {
    let handle = Handle::current();
    let both = Arc::new(Barrier::new(2));
    let wait = move || {
        both.wait();
        handle.spawn(make).wait().unwrap();
    };
    [spawn_blocking(wait.clone()), spawn_blocking(wait), spawn_blocking(|| ())]
}

#[test]
fn threads_that_wait_for_tasks_that_wait_for_the_pool_are_reported_once_with_the_places_of_both() {
    let mut lines = logged(LevelFilter::Warn, || {
        // Both at the same time, each on a thread without a name, whose lines belong to this test.
        let cases = [false, true].map(|chained| {
            thread::spawn(move || {
                with_threads(2).block_on(async {
                    let waiting = both_threads_wait_for(move || async move {
                        let _ = if chained {
                            // By way of another task.
                            let reading = headwaiter::fs::read("Cargo.toml");
                            spawn(reading).await.unwrap()
                        } else {
                            headwaiter::fs::read("Cargo.toml").await
                        };
                    });
                    while logged::lines().len() < 2 {
                        time::sleep(ms(10)).await;
                    }
                    // Not again at the next check.
                    time::sleep(ms(1200)).await;
                    drop(waiting);
                });
            })
        });
        for case in cases {
            case.join().unwrap();
        }
    });
    // The drop of each loop logs a line of its own.
    lines.retain(|line| !line.contains("the event loop is dropped while 2 offloaded jobs"));
    assert_eq!(lines.len(), 2, "{lines:?}");
    let place = |code: &str| {
        let line =
            include_str!("offload.rs").lines().position(|line| line.contains(code)).unwrap() + 1;
        format!("tests/promises/offload.rs:{line}:")
    };
    let wait = place("handle.spawn(make).wait()");
    // One report of each case.
    for read in
        ["headwaiter::fs::read(\"Cargo.toml\");", "headwaiter::fs::read(\"Cargo.toml\").await"]
    {
        let job = place(read);
        let report = lines.iter().find(|line| line.contains(&job)).expect(read);
        assert!(report.contains("the pool waits for itself"), "{report}");
        let (waits, jobs) = report.split_once("which wait for 3 queued jobs").expect(report);
        assert!(waits.contains("all its 2 threads") && waits.contains(&wait), "{report}");
        assert!(jobs.contains(&job) && jobs.contains("blocking_threads"), "{report}");
    }
}

#[test]
fn threads_that_wait_for_tasks_that_can_go_on_without_the_pool_are_not_accused() {
    // Longer than the interval at which waiting threads check.
    const LONG: Duration = Duration::from_millis(1300);
    let lines = logged(LevelFilter::Warn, || {
        let (timer, message, socket) = (
            || time::sleep(LONG),
            || async {
                let (send, receive) = headwaiter::sync::oneshot::channel();
                let sender = spawn(async move {
                    time::sleep(LONG).await;
                    send.send(()).unwrap();
                });
                receive.await.unwrap();
                sender.await.unwrap();
            },
            || async {
                let (mut client, mut server) = tcp_pair().await.unwrap();
                let answer = spawn(async move {
                    time::sleep(LONG).await;
                    client.write_all(b"x").await.unwrap();
                });
                server.read_exact(&mut [0]).await.unwrap();
                answer.await.unwrap();
            },
        );
        fn run<F: Future<Output = ()> + 'static>(
            make: impl Fn() -> F + Clone + Send + 'static,
        ) -> thread::JoinHandle<()> {
            thread::spawn(move || {
                with_threads(2).block_on(async {
                    for job in both_threads_wait_for(make) {
                        job.await.unwrap();
                    }
                });
            })
        }
        // One task waits for the pool, while the task of the other thread ends by itself.
        let one_of_two = thread::spawn(|| {
            with_threads(2).block_on(async {
                let first = AtomicUsize::new(0);
                let first = Arc::new(first);
                let make = move || {
                    let is_first = first.fetch_add(1, Ordering::SeqCst) == 0;
                    async move {
                        if is_first {
                            time::sleep(LONG).await;
                        } else {
                            spawn_blocking(|| ()).await.unwrap();
                        }
                    }
                };
                for job in both_threads_wait_for(make) {
                    job.await.unwrap();
                }
            });
        });
        for thread in [run(timer), run(message), run(socket), one_of_two] {
            thread.join().unwrap();
        }
        // Nor many threads that each wait for a moment, again and again.
        with_threads(2).block_on(async {
            let handle = Handle::current();
            let jobs: Vec<_> = (0..500)
                .map(|n| {
                    let handle = handle.clone();
                    spawn_blocking(move || handle.spawn(move || async move { n }).wait().unwrap())
                })
                .collect();
            for (n, job) in jobs.into_iter().enumerate() {
                assert_eq!(job.await.unwrap(), n);
            }
        });
    });
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn a_job_that_is_spawned_while_the_loop_is_dropped_is_dropped_at_once() {
    bounded(|| {
        let (told, tells) = mpsc::channel();
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.enter(|| {
            let on_drop = OnDrop(move || {
                let (dropped, is_dropped) = mpsc::channel();
                let dropped = Dropped(dropped);
                let mut job = spawn_blocking(move || drop(dropped));
                let at_once = is_dropped.try_recv() == Ok(thread::current().id());
                let reported = Pin::new(&mut job).poll(&mut Context::from_waker(Waker::noop()));
                let cancelled = matches!(reported, Poll::Ready(Err(error)) if error.is_cancelled());
                let mut lookup = lookup_host("localhost:80");
                let refused = Pin::new(&mut lookup).poll(&mut Context::from_waker(Waker::noop()));
                let refused =
                    matches!(refused, Poll::Ready(Err(error)) if error.to_string().contains("being dropped"));
                told.send((at_once, cancelled, refused)).unwrap();
            });
            drop(spawn(async move {
                let _on_drop = on_drop;
                std::future::pending::<()>().await;
            }));
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
        assert_eq!(tells.try_recv(), Ok((true, true, true)));
    });
}

/// Unlike tokio: there, a job has the context of the runtime.
#[headwaiter::test(within = "60s")]
async fn a_job_may_run_a_loop_of_its_own() {
    let _beside_others = beside_other_tests();
    let sum = spawn_blocking(|| {
        block_on(async {
            let inner = spawn_blocking(|| block_on(async { spawn_blocking(|| 2).await.unwrap() }));
            inner.await.unwrap() + spawn(async { 3 }).await.unwrap()
        })
    });
    assert_eq!(sum.await.unwrap(), 5);
}

#[test]
fn a_job_outside_any_loop_is_named_a_mistake() {
    for text in [
        panic_text(|| drop(spawn_blocking(|| ()))),
        panic_text(|| drop(try_spawn_blocking(|| ()))),
        panic_text(|| {
            let mut lookup = lookup_host("localhost:80");
            let _ = Pin::new(&mut lookup).poll(&mut Context::from_waker(Waker::noop()));
        }),
    ] {
        assert!(text.contains("outside any event loop") && text.contains("block_on"), "{text}");
    }
    let text = panic_text(|| {
        block_on(async {
            let mut lookup = lookup_host("localhost:80");
            (&mut lookup).await.unwrap();
            let _ = poll_once(&mut lookup).await;
        });
    });
    assert!(text.contains("`lookup_host` was polled again"), "{text}");
}

#[test]
fn who_awaits_a_name_through_a_foreign_waker_is_woken() {
    bounded(|| {
        with_threads(1).block_on(async {
            let (held, busy) = Held::begun();
            let foreign = forwarding(own_waker().await);
            let waker = Waker::from(Arc::clone(&foreign));
            let mut lookup = lookup_host("localhost:80");
            assert!(Pin::new(&mut lookup).poll(&mut Context::from_waker(&waker)).is_pending());
            held.end();
            let found = poll_fn(|_| match foreign.wakes() {
                0 => Poll::Pending,
                _ => Pin::new(&mut lookup).poll(&mut Context::from_waker(&waker)),
            });
            assert!(found.await.unwrap().len() > 0);
            busy.await.unwrap();
            // Nothing of it is kept, once the thread is done with it.
            drop(waker);
            while Arc::strong_count(&foreign) > 1 {
                yield_now().await;
            }
        });
    });
}

#[test]
fn a_name_that_was_asked_for_in_one_loop_may_be_awaited_in_another() {
    bounded(|| {
        let (mut first, mut second) = (with_threads(1), EventLoop::new().unwrap());
        let mut lookup = lookup_host("localhost:80");
        let (held, busy) = first.block_on(async {
            let (held, busy) = Held::begun();
            assert!(poll_once(&mut lookup).await.is_pending());
            (held, busy)
        });
        // While the first loop is not turned.
        let asking = second.enter(|| spawn(lookup));
        second.turn(Some(Duration::ZERO)).unwrap();
        held.end();
        assert!(second.block_on(asking).unwrap().unwrap().len() > 0);

        // If the first loop is dropped before the lookup has begun, the error says so.
        drop(busy);
        let mut lookup = lookup_host("localhost:80");
        let held = first.block_on(async {
            let (held, job) = Held::begun();
            drop(job);
            assert!(poll_once(&mut lookup).await.is_pending());
            held
        });
        let asking = second.enter(|| spawn(lookup));
        second.turn(Some(Duration::ZERO)).unwrap();
        drop(first);
        let error = second.block_on(asking).unwrap().map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("localhost:80"), "{error}");
        held.end();
    });
}

#[test]
fn a_name_that_is_no_longer_awaited_is_forgotten() {
    bounded(|| {
        with_threads(1).block_on(async {
            let (held, busy) = Held::begun();
            let mut lookup = lookup_host("localhost:80");
            assert!(poll_once(&mut lookup).await.is_pending());
            let mut bind = TcpListener::bind("localhost:0");
            assert!(poll_once(&mut bind).await.is_pending());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut connect = TcpStream::connect(("localhost", port));
            assert!(poll_once(&mut connect).await.is_pending());
            // Until the queue is full, they stand in it.
            let mut jobs = 0;
            while let Ok(job) = try_spawn_blocking(|| ()) {
                drop(job);
                jobs += 1;
            }
            assert_eq!(jobs, 1024 - 3);
            // Dropped, they do not, on whichever thread.
            drop((lookup, bind));
            thread::spawn(move || drop(connect)).join().unwrap();
            for _ in 0..3 {
                drop(try_spawn_blocking(|| ()).map_err(|_| "there is room").unwrap());
            }
            assert!(try_spawn_blocking(|| ()).is_err());
            held.end();
            busy.await.unwrap();
            // There is no connection.
            let mut accept = listener.accept();
            assert!(poll_once(&mut accept).await.is_pending());
        });
    });
}

#[test]
fn numbers_never_wait_for_a_thread() {
    bounded(|| {
        with_threads(1).block_on(async {
            let (held, busy) = Held::begun();
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            TcpStream::connect(address.to_string()).await.unwrap();
            assert_eq!(
                lookup_host(address.to_string()).await.unwrap().collect::<Vec<_>>(),
                [address]
            );
            assert!(!busy.is_finished());
            held.end();
            busy.await.unwrap();
        });
    });
}

#[headwaiter::test(within = "60s")]
async fn listeners_and_streams_take_host_names() {
    let _beside_others = beside_other_tests();
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(address.ip().is_loopback());
    let client = TcpStream::connect(("localhost", address.port())).await.unwrap();
    let (_, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, client.local_addr().unwrap());

    // A name's addresses are tried in turn, and the error tells name and address.
    drop(listener);
    let refused = TcpStream::connect(("localhost", address.port())).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let text = refused.to_string();
    assert!(text.starts_with(&format!("connect to localhost:{} (", address.port())), "{text}");
}

#[headwaiter::test(within = "60s")]
async fn a_host_is_looked_up_with_all_its_addresses() {
    let _beside_others = beside_other_tests();
    let named: Vec<_> = lookup_host("localhost:80").await.unwrap().collect();
    assert!(!named.is_empty());
    assert!(
        named.iter().all(|address| address.ip().is_loopback() && address.port() == 80),
        "{named:?}"
    );
    let numbers = lookup_host("127.0.0.1:80").await.unwrap();
    assert_eq!(numbers.len(), 1);
    assert_eq!(numbers.collect::<Vec<_>>(), ["127.0.0.1:80".parse().unwrap()]);
    let none: &[std::net::SocketAddr] = &[];
    assert_eq!(lookup_host(none).await.unwrap().len(), 0);
}

#[test]
fn a_crowd_of_names_waits_for_a_few_threads() {
    bounded(|| {
        with_threads(2).block_on(async {
            let lookups: Vec<_> = (0..500).map(|n| spawn(lookup_host(("localhost", n)))).collect();
            for (n, lookup) in lookups.into_iter().enumerate() {
                let mut found = lookup.await.unwrap().unwrap();
                assert!(found.all(|address| usize::from(address.port()) == n));
            }
        });
    });
}

#[headwaiter::test(within = "60s")]
async fn a_name_that_does_not_resolve_is_an_error_that_names_it() {
    let _beside_others = beside_other_tests();
    let errors = [
        lookup_host("no-such-host.invalid:80").await.map(|_| ()).unwrap_err(),
        TcpStream::connect("no-such-host.invalid:80").await.map(|_| ()).unwrap_err(),
        TcpListener::bind(("no-such-host.invalid", 80)).await.map(|_| ()).unwrap_err(),
    ];
    for (error, doing) in errors.iter().zip(["look up", "connect to", "bind to"]) {
        let text = error.to_string();
        assert!(text.starts_with(&format!("{doing} no-such-host.invalid:80: ")), "{text}");
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
    }
    // The loop still works, and text that cannot be an address does not reach the resolver.
    let no_port = TcpStream::connect("localhost").await.unwrap_err();
    assert_eq!(no_port.kind(), io::ErrorKind::InvalidInput);
    let nul = TcpStream::connect("local\0host:80").await.unwrap_err();
    assert!(nul.to_string().starts_with("connect to local\0host:80: "), "{nul}");
}
