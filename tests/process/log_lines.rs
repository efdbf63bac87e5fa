//! What the log tells, held against a whole program. It has a process of its own, because the logger is
//! the whole process's.

use std::sync::{Mutex, mpsc};
use std::task::Waker;
use std::time::Duration;

use crate::support::*;
use headwaiter::task;
use headwaiter::time::sleep;
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Keeps the lines of this crate.
struct Keeper(Mutex<Vec<(Level, String, String)>>);

/// Woken by the logger just before the loop waits.
static TO_WAKE: Mutex<Option<Waker>> = Mutex::new(None);

static KEEPER: Keeper = Keeper(Mutex::new(Vec::new()));

impl Log for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        if text.contains("the event loop was blocked") {
            return; // By a slow machine, or by a panic that prints a backtrace.
        }
        assert!(!text.contains("a line that makes the logger panic"));
        if text.contains("asks the kernel, for as long as it takes")
            && let Some(waker) = TO_WAKE.lock().unwrap().take()
        {
            waker.wake();
        }
        if record.target().starts_with("headwaiter") {
            self.0.lock().unwrap().push((record.level(), record.target().to_owned(), text));
        }
    }

    fn flush(&self) {}
}

fn lines_of(program: impl FnOnce() + Send + 'static) -> Vec<String> {
    KEEPER.0.lock().unwrap().clear();
    bounded(program);
    let lines = KEEPER.0.lock().unwrap();
    lines.iter().map(|(level, target, text)| format!("{level} {target} {text}")).collect()
}

fn without_place(line: &str) -> String {
    let at = [" at src", " at tests"].iter().filter_map(|at| line.find(at)).min();
    line[..at.unwrap_or(line.len())].to_owned()
}

/// A page shows what a program tells, but for the places, which are of another file. `same` leaves of a line what must be the same.
#[track_caller]
fn must_show(page: &str, program: fn(), same: fn(String) -> String) {
    let text = docs::read(page);
    let shown = docs::block(&text, "DEBUG ").expect("the trace");
    for _ in 1..=2 {
        let as_shown = |line: String| {
            let is_same = |shown: &&str| same(without_place(shown)) == same(without_place(&line));
            shown.lines().find(is_same).map_or(line.clone(), str::to_owned) + "\n"
        };
        let told: String = lines_of(program).into_iter().map(as_shown).collect();
        docs::must_show(page, docs::BLOCK, shown, &told);
    }
}

/// One test: the logger and its level are shared.
#[test]
fn the_log_tells_each_step_of_the_loop() {
    in_own_process(|| {
        log::set_logger(&KEEPER).unwrap();
        log::set_max_level(LevelFilter::Trace);

        let nap = || {
            virtual_loop().block_on(async {
                let nap = task::Builder::new().name("nap").spawn(sleep(Duration::from_millis(20)));
                nap.await.unwrap();
            });
        };
        must_show("README.md", nap, |line| line);
        // On a real clock, but for the durations.
        let sleeps = || headwaiter::block_on(async { sleep(Duration::from_millis(20)).await });
        must_show("docs/questions.md", sleeps, |line| docs::mask(&line));

        // Sockets: which task waits where, and which event wakes which task.
        let echo = || {
            headwaiter::block_on(async {
                let (mut client, mut server) = tcp_pair().await.unwrap();
                let server = task::Builder::new().name("server").spawn(async move {
                    let mut bytes = [0; 8];
                    server.read(&mut bytes).await.unwrap()
                });
                task::yield_now().await;
                client.write_all(b"soup").await.unwrap();
                assert_eq!(server.await.unwrap(), 4);
            });
        };
        let told = lines_of(echo);
        let has =
            |parts: &[&str]| told.iter().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(has(&["DEBUG headwaiter::source TCP listener 1 registered"]), "{told:#?}");
        assert!(
            has(&["waits until TCP stream", "can read, at tests/process/log_lines.rs"]),
            "{told:#?}"
        );
        assert!(has(&["is readable", "→ wakes task 2 \"server\""]), "{told:#?}");
        assert!(has(&["asks the kernel, for as long as it takes"]), "{told:#?}");
        assert!(has(&["DEBUG headwaiter::source TCP stream", "deregistered"]), "{told:#?}");

        // Jobs for the threads: queued, ended, fetched.
        let offload =
            || headwaiter::block_on(async { headwaiter::spawn_blocking(|| ()).await.unwrap() });
        let told = lines_of(offload);
        let has =
            |parts: &[&str]| told.iter().any(|line| parts.iter().all(|part| line.contains(part)));
        let place = "tests/process/log_lines.rs";
        assert!(
            has(&["DEBUG headwaiter::offload a job was queued for the threads, at", place]),
            "{told:#?}"
        );
        assert!(
            has(&["TRACE headwaiter::loop other threads sent", "; 1 offloaded job ended"]),
            "{told:#?}"
        );
        assert!(has(&["DEBUG headwaiter::offload the job of", place, "is done"]), "{told:#?}");

        // While a job runs, a virtual clock stands still, and the loop sleeps.
        let patient = || {
            virtual_loop().block_on(async {
                drop(headwaiter::spawn_blocking(|| {
                    let waits =
                        "for as long as it takes: the virtual clock waits for 1 offloaded job";
                    while !KEEPER.0.lock().unwrap().iter().any(|(.., text)| text.contains(waits)) {
                        std::thread::yield_now();
                    }
                }));
                sleep(Duration::from_millis(20)).await;
            });
        };
        let told = lines_of(patient);
        let line_of = |what: &str| told.iter().position(|line| line.contains(what)).expect(what);
        assert!(line_of("1 offloaded job ended") < line_of("the virtual clock jumps"), "{told:#?}");

        // A wake from inside the logger, just before the wait, is not slept through (tokio 934f68d91).
        bounded(|| {
            headwaiter::block_on(async {
                let mut polls = 0;
                std::future::poll_fn(|cx| {
                    polls += 1;
                    if polls == 2 {
                        return std::task::Poll::Ready(());
                    }
                    *TO_WAKE.lock().unwrap() = Some(cx.waker().clone());
                    std::task::Poll::Pending
                })
                .await;
            });
        });

        // Logging at `warn` shows only what must be seen: an error, and a panic of a task that is not awaited.
        log::set_max_level(LevelFilter::Warn);
        let unseen = || {
            headwaiter::block_on(async {
                drop(task::Builder::new().name("oven").spawn(async { panic!("on fire") }));
                let failing = async { Err::<(), _>("no flour") };
                task::Builder::new().name("baker").spawn(failing).log_error();
                let remote = headwaiter::Handle::current().spawn(|| async { panic!("far away") });
                drop(remote);
                let joined = task::Builder::new().spawn(async { panic!("seen by its joiner") });
                assert!(joined.await.is_err());
                task::yield_now().await;
            });
        };
        let told = lines_of(unseen);
        assert_eq!(told.len(), 3, "{told:#?}");
        let told_of = |what: &str| told.iter().find(|line| line.contains(what)).expect(what);
        let remote = told_of("far away");
        assert!(
            remote
                .starts_with("ERROR headwaiter::task task (spawned at tests/process/log_lines.rs"),
            "{remote}"
        );
        assert!(told_of("oven").starts_with(
            "ERROR headwaiter::task task 2 \"oven\" (spawned at tests/process/log_lines.rs"
        ));
        assert!(
            told_of("oven").ends_with("panicked: on fire (and nobody awaits the task)"),
            "{told:#?}"
        );
        assert!(
            told_of("baker").starts_with("ERROR headwaiter::task task 3 \"baker\" (spawned at"),
            "{told:#?}"
        );
        assert!(told_of("baker").ends_with("failed: no flour"), "{told:#?}");
        // A loop that is dropped tells which jobs it left running, and only those.
        let leaving = move || {
            let (begins, begun) = mpsc::channel();
            let (end, ends) = mpsc::channel::<()>();
            headwaiter::block_on(async {
                drop(headwaiter::spawn_blocking(move || {
                    begins.send(()).unwrap();
                    let _ = ends.recv();
                }));
                begun.recv().unwrap();
            });
            drop(end);
            for _ in 0..100 {
                offload();
            }
        };
        let told = lines_of(leaving);
        assert_eq!(told.len(), 1, "{told:#?}");
        let line = &told[0];
        assert!(
        line.starts_with(
            "WARN headwaiter::offload the event loop is dropped while 1 offloaded job is still running"
        ),
        "{line}"
    );
        assert!(line.contains("called at tests/process/log_lines.rs:"), "{line}");

        let quiet = lines_of(echo);
        assert!(quiet.is_empty(), "{quiet:#?}");

        // A logger that panics ends neither the task nor the loop.
        log::set_max_level(LevelFilter::Trace);
        let panicking = || {
            headwaiter::block_on(async {
                let task = task::Builder::new().name("a line that makes the logger panic");
                assert_eq!(task.spawn(async { 5 }).await.unwrap(), 5);
            });
        };
        bounded(panicking);
    });
}
