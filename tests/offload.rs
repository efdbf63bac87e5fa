//! The pool of threads: what is promised of `spawn_blocking` and of what waits for its threads.

mod common;

use std::sync::mpsc;
use std::thread;

use common::*;
use headwaiter::{block_on, spawn_blocking, try_spawn_blocking};

#[test]
fn a_job_runs_on_another_thread_and_its_output_comes_back() {
    in_loop(|| async {
        let here = thread::current().id();
        let (there, name) = spawn_blocking(|| {
            let current = thread::current();
            (current.id(), current.name().map(str::to_owned))
        })
        .await
        .unwrap();
        assert_ne!(here, there);
        assert_eq!(name.as_deref(), Some("headwaiter-blocking"));
    });
}

#[test]
fn a_panic_in_a_job_is_its_join_error() {
    in_loop(|| async {
        let error = spawn_blocking(|| panic!("on {}", std::hint::black_box("fire"))).await.unwrap_err();
        assert!(error.is_panic());
        let text = error.to_string();
        assert!(text.contains("on fire") && text.contains("tests/offload.rs"), "{text}");
        assert_eq!(*error.into_panic().downcast::<String>().unwrap(), "on fire");
    });
}

/// A job that runs until it is told to end.
fn held() -> (impl FnOnce() -> u32 + Send, mpsc::Receiver<()>, mpsc::Sender<u32>) {
    let (begun, begins) = mpsc::channel();
    let (end, ends) = mpsc::channel();
    let job = move || {
        begun.send(()).unwrap();
        ends.recv().unwrap_or(0)
    };
    (job, begins, end)
}

#[test]
fn the_virtual_clock_stands_still_while_a_job_is_under_way() {
    in_virtual_time(|| async {
        let (job, begins, end) = held();
        let job = spawn_blocking(job);
        let start = headwaiter::time::now();
        let nap = headwaiter::spawn(headwaiter::time::sleep(ms(1000)));
        let ender = thread::spawn(move || {
            begins.recv().unwrap();
            end.send(5).unwrap();
        });
        assert_eq!(job.await.unwrap(), 5);
        assert_eq!(headwaiter::time::now(), start);
        nap.await.unwrap();
        assert_eq!(headwaiter::time::now() - start, ms(1000));
        ender.join().unwrap();
    });
}

#[test]
fn dropping_the_loop_does_not_wait_for_a_job() {
    bounded(|| {
        let (job, begins, end) = held();
        block_on(async move {
            drop(spawn_blocking(job));
            begins.recv().unwrap();
        });
        end.send(5).unwrap();
        block_on(async { assert_eq!(try_spawn_blocking(|| 5).map_err(|_| ()).unwrap().await.unwrap(), 5) });
    });
}
