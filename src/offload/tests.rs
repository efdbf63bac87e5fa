//! The threads and the queue of the pool, from inside.

use super::*;
use crate::state::{Pool, THREADS};
use crate::task;
use crate::{block_on, spawn};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

fn with_pool<R>(look: impl FnOnce(&mut Arc<Pool>) -> R) -> R {
    look(&mut Door::expect("a test").pool)
}

/// Threads, jobs that run, and jobs that wait.
fn counts() -> (usize, usize, usize) {
    with_pool(|pool| {
        let state = pool.lock();
        (state.threads, state.running.len(), state.lanes.len())
    })
}

fn jobs() -> usize {
    Door::expect("a test").jobs
}

/// Lets the loop and the other threads go on until it is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never is so");
        thread::yield_now();
        task::yield_now().await;
    }
}

#[test]
fn a_thread_retires_when_idle_and_another_is_started_when_needed() {
    block_on(async {
        with_pool(|pool| {
            Arc::get_mut(pool).expect("no thread has it yet").idle_for = Duration::from_millis(1);
        });
        for _ in 0..3 {
            let together: Vec<_> =
                (0..4).map(|_| spawn_blocking(|| thread::current().id())).collect();
            for job in together {
                job.await.unwrap();
            }
            until(|| counts().0 == 0).await;
        }
    });
}

#[test]
fn idle_threads_are_used_before_another_is_started() {
    block_on(async {
        with_pool(|pool| {
            Arc::get_mut(pool).expect("no thread has it yet").idle_for = Duration::MAX;
        });
        for _ in 0..100 {
            let together = Arc::new(std::sync::Barrier::new(4));
            let jobs = (0..4)
                .map(|_| Arc::clone(&together))
                .map(|together| spawn_blocking(move || together.wait()));
            let jobs: Vec<_> = jobs.collect();
            for job in jobs {
                job.await.unwrap();
            }
            until(|| with_pool(|pool| pool.lock().idle) == 4).await;
            assert_eq!(counts(), (4, 0, 0));
        }
    });
}

#[test]
fn idle_threads_end_with_their_loop() {
    let mut event_loop = crate::EventLoop::new().unwrap();
    let pool = event_loop.block_on(async {
        with_pool(|pool| {
            Arc::get_mut(pool).expect("no thread has it yet").idle_for = Duration::MAX;
        });
        let jobs: Vec<_> = (0..8).map(|_| spawn_blocking(|| ())).collect();
        for job in jobs {
            job.await.unwrap();
        }
        assert!(counts().0 > 0);
        with_pool(|pool| Arc::clone(pool))
    });
    drop(event_loop);
    let start = std::time::Instant::now();
    while Arc::strong_count(&pool) > 1 {
        assert!(start.elapsed() < Duration::from_secs(60), "some thread lives on");
        thread::yield_now();
    }
}

#[test]
fn a_hundred_thousand_jobs_leave_nothing_behind() {
    block_on(async {
        for round in 0..100 {
            let mut tasks: Vec<_> = (0..1000).map(|n| spawn_blocking(move || n)).collect();
            // Some are detached, some aborted, some awaited.
            tasks.truncate(800);
            for task in &tasks[..100] {
                task.abort();
            }
            for (n, task) in tasks.into_iter().enumerate().skip(round) {
                match task.await {
                    Ok(output) => assert_eq!(output, n),
                    Err(error) => assert!(error.is_cancelled() && n < 100, "{error}"),
                }
            }
        }
        until(|| jobs() == 0).await;
        let (threads, running, waiting) = counts();
        assert!(threads <= THREADS, "{threads}");
        assert_eq!((running, waiting), (0, 0));
        // Of tasks, only the main future is left, and those that were detached have ended.
        until(|| Door::expect("a test").tasks.count() == 1).await;
    });
}

#[test]
fn a_run_that_is_dropped_before_it_has_begun_leaves_the_queue_at_once() {
    let mut event_loop = crate::EventLoop::builder().blocking_threads(1).build().unwrap();
    event_loop.block_on(async {
        let (end, ends) = mpsc::channel::<()>();
        let held = spawn_blocking(move || ends.recv());
        until(|| counts() == (1, 1, 0)).await;
        let place = Location::caller();
        for _ in 0..10_000 {
            let mut run = run(|| unreachable!("it was dropped"), place);
            run.start();
            assert_eq!(counts(), (1, 1, 1));
            drop(run);
            assert_eq!(counts(), (1, 1, 0));
        }
        // Made and never started, it was never there.
        drop(run(|| unreachable!("it was dropped"), place));
        until(|| jobs() == 1).await;
        drop(end);
        assert!(held.await.unwrap().is_err());
    });
}

#[test]
fn a_run_that_was_started_is_done_before_it_is_polled() {
    block_on(async {
        let (done, is_done) = mpsc::channel();
        let mut run = run(
            move || {
                done.send(()).unwrap();
                5
            },
            Location::caller(),
        );
        run.start();
        run.start();
        is_done.recv().unwrap();
        // Its end is known although its future is not polled, so a virtual clock may go on.
        until(|| jobs() == 0).await;
        assert_eq!(run.await.unwrap(), 5);
    });
}

/// As a resolver that does not answer makes them.
/// Unlike tokio: there, look-ups may occupy all threads.
#[test]
fn slow_look_ups_leave_half_of_the_threads_to_files_and_jobs() {
    for (threads, look_ups) in [(2, 1), (3, 1), (4, 2), (64, 32)] {
        let mut event_loop = crate::EventLoop::builder().blocking_threads(threads).build().unwrap();
        event_loop.block_on(async {
            let (answer, answers) = mpsc::channel::<()>();
            let answers = Arc::new(Mutex::new(answers));
            let place = Location::caller();
            let asking: Vec<_> = (0..200)
                .map(|n| {
                    let answers = Arc::clone(&answers);
                    let ask = move || {
                        let _ = answers.lock().unwrap().recv();
                        n
                    };
                    spawn(async move { look_up(ask, place).await.unwrap() })
                })
                .collect();
            until(|| counts() == (look_ups, look_ups, 200 - look_ups)).await;
            assert!(crate::fs::read_to_string("Cargo.toml").await.unwrap().contains("headwaiter"));
            // All the other threads at once.
            let together = Arc::new(std::sync::Barrier::new(threads - look_ups));
            let jobs: Vec<_> = (0..threads - look_ups)
                .map(|_| Arc::clone(&together))
                .map(|together| spawn_blocking(move || together.wait()))
                .collect();
            for job in jobs {
                job.await.unwrap();
            }
            until(|| counts().1 == look_ups).await;
            assert_eq!(counts(), (threads, look_ups, 200 - look_ups));
            // One that is no longer wanted leaves its lane.
            asking[199].abort();
            until(|| counts().2 == 199 - look_ups).await;
            drop(answer);
            for (n, asked) in asking.into_iter().enumerate().take(199) {
                assert_eq!(asked.await.unwrap(), n);
            }
            assert_eq!(counts().0, threads);
        });
    }
}

#[test]
fn a_single_thread_takes_look_ups_and_jobs_in_the_order_of_their_arrival() {
    let mut event_loop = crate::EventLoop::builder().blocking_threads(1).build().unwrap();
    event_loop.block_on(async {
        let (end, ends) = mpsc::channel::<()>();
        let held = spawn_blocking(move || ends.recv());
        let order = Arc::new(Mutex::new(Vec::new()));
        let place = Location::caller();
        let mut runs: Vec<Run<()>> = Vec::new();
        for n in 0..20 {
            let order = Arc::clone(&order);
            let work = move || order.lock().unwrap().push(n);
            let mut run = if n % 3 == 0 { look_up(work, place) } else { run(work, place) };
            run.start();
            runs.push(run);
        }
        drop(end);
        assert!(held.await.unwrap().is_err());
        for run in runs {
            run.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn a_panic_in_a_run_goes_on_in_who_awaits_it() {
    block_on(async {
        let place = Location::caller();
        let task = spawn(async move { run(|| panic!("on fire"), place).await });
        let error = task.await.unwrap_err();
        assert!(error.is_panic() && error.to_string().contains("on fire"), "{error}");
    });
}

#[test]
fn more_runs_than_threads_all_get_their_turn() {
    let mut event_loop = crate::EventLoop::builder().blocking_threads(2).build().unwrap();
    event_loop.block_on(async {
        let place = Location::caller();
        let tasks: Vec<_> =
            (0..1000).map(|n| spawn(async move { run(move || n, place).await.unwrap() })).collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), n);
        }
        let (threads, ..) = counts();
        assert!(threads <= 2, "{threads}");
    });
}
