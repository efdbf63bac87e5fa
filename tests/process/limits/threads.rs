//! What becomes of offloaded jobs when the system gives no more threads (tokio #8406), and of all else that needs one. In the process
//! of each test the C library keeps the stacks of threads that have ended. (A sanitizer reserves more address space than there is.)
#![cfg(not(sanitized))]

use std::io;
use std::sync::mpsc;

use crate::support::*;
use headwaiter::net::{TcpStream, lookup_host};
use headwaiter::{EventLoop, block_on, spawn_blocking, try_spawn_blocking};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Leaves the process less address space than a thread's stack needs, or lifts that limit.
fn limit_memory(limited: bool) {
    let maximum = getrlimit(Resource::As).maximum;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let in_use =
        status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"));
    let in_use: u64 = in_use.expect("a size").parse().unwrap();
    let current = if limited { Some((in_use + 1024) * 1024) } else { maximum };
    setrlimit(Resource::As, Rlimit { current, maximum }).unwrap();
}

#[test]
fn a_loop_whose_watcher_cannot_be_started_is_an_error_that_leaves_nothing() {
    in_own_process(|| {
        let before = open_files();
        limit_memory(true);
        // More than there can be loops.
        for _ in 0..5000 {
            let error = EventLoop::builder().stall_watcher(true).build().unwrap_err();
            assert!(
                error.to_string().starts_with("start the thread of the stall watcher: "),
                "{error}"
            );
        }
        EventLoop::new().unwrap();
        limit_memory(false);
        assert_eq!(open_files(), before);
        EventLoop::builder().stall_watcher(true).build().unwrap();
    });
}

#[test]
fn a_standard_stream_whose_thread_cannot_be_started_is_an_error_and_can_be_tried_again() {
    in_own_process(|| {
        // A regular file cannot be watched, so that it is read by a thread.
        rustix::stdio::dup2_stdin(std::fs::File::open("Cargo.toml").unwrap()).unwrap();
        let before = open_files();
        limit_memory(true);
        block_on(async {
            let mut stdin = headwaiter::io::stdin();
            for _ in 0..100 {
                let text = stdin.read(&mut [0; 9]).await.unwrap_err().to_string();
                assert!(
                    text.starts_with("read standard input: no thread could be started"),
                    "{text}"
                );
            }
        });
        assert_eq!(open_files(), before);
        block_on(async {
            let (mut stdin, mut bytes) = (headwaiter::io::stdin(), [0; 9]);
            assert!(stdin.read(&mut bytes).await.is_err());
            limit_memory(false);
            stdin.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"[package]");
        });
    });
}

/// Unlike tokio: there, `spawn_blocking` panics.
#[test]
fn a_job_for_which_no_thread_can_be_started_is_an_error_unless_another_thread_takes_it() {
    in_own_process(|| {
        block_on(async {
            limit_memory(true);
            let error = spawn_blocking(|| ()).await.unwrap_err();
            assert!(error.is_not_started() && !error.is_cancelled() && !error.is_panic());
            let text = error.to_string();
            assert!(
                text.contains("tests/process/limits/threads.rs")
                    && text.contains("no thread could be started"),
                "{text}"
            );
            assert!(text.contains("os error 11"), "{text}");
            let tried = try_spawn_blocking(|| ()).map_err(|_| "the queue is empty").unwrap();
            assert!(tried.await.unwrap_err().is_not_started());
            for error in [
                lookup_host("localhost:80").await.map(|_| ()).unwrap_err(),
                TcpStream::connect("localhost:80").await.map(|_| ()).unwrap_err(),
            ] {
                assert_eq!(error.kind(), io::ErrorKind::Other);
                let text = error.to_string();
                assert!(
                    text.contains("localhost:80") && text.contains("no thread could be started"),
                    "{text}"
                );
            }
            // Nothing of them is left.
            assert!(
                headwaiter::dump().to_string().starts_with("1 task, 0 sources, 0 timers, 0 jobs")
            );
            // Numbers need no thread.
            assert_eq!(lookup_host("127.0.0.1:80").await.unwrap().len(), 1);

            // With one thread alive, jobs wait for it.
            limit_memory(false);
            let (begins, begun) = mpsc::channel();
            let (end, ends) = mpsc::channel::<()>();
            let busy = spawn_blocking(move || {
                begins.send(()).unwrap();
                let _ = ends.recv();
            });
            begun.recv().unwrap();
            limit_memory(true);
            let jobs: Vec<_> = (0..10).map(|n| spawn_blocking(move || n)).collect();
            assert!(jobs.iter().all(|job| !job.is_finished()));
            drop(end);
            busy.await.unwrap();
            for (n, job) in jobs.into_iter().enumerate() {
                assert_eq!(job.await.unwrap(), n);
            }
            limit_memory(false);
        });
    });
}
