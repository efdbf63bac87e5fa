//! How a task fails, and where that is seen: in its `JoinError`, in an `io::Error`, and in the log.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};

use crate::support::logged::{lines, logged_without_stalls as logged, so_far};
use crate::support::*;
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::sync::Mutex;
use headwaiter::task::{self, CancelToken, JoinError, yield_now};
use headwaiter::time::{Sleep, sleep};
use headwaiter::{EventLoop, Handle, Interest, block_on, on_ready, spawn, spawn_blocking};
use log::{Level, LevelFilter};

/// Never ready, and panics in its drop.
struct Bomb(&'static str);

impl Future for Bomb {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

/// What the panic of a task said.
#[track_caller]
fn panic_of(error: JoinError) -> String {
    assert!(error.is_panic() && !error.is_cancelled(), "{error}");
    panic_text(|| resume_unwind(error.into_panic()))
}

#[headwaiter::test(within = "60s")]
async fn an_aborted_task_whose_drop_panics_has_panicked() {
    let _beside_others = beside_other_tests();
    // Before its first poll, and while it waits.
    let queued = spawn(Bomb("queued"));
    queued.abort();
    let waiting = spawn(async {
        let _bomb = Bomb("waiting");
        sleep(ms(1000)).await;
    });
    yield_now().await;
    waiting.abort();
    assert_eq!(panic_of(queued.await.unwrap_err()), "queued");
    let error = waiting.await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("(spawned at tests/promises/task_failures.rs:")
            && text.ends_with("panicked: waiting"),
        "{text}"
    );
    assert_eq!(panic_of(error), "waiting");
}

#[headwaiter::test(within = "60s")]
async fn a_task_that_aborts_itself_and_panics_in_its_drop_has_panicked() {
    let _beside_others = beside_other_tests();
    let (tell, told) = headwaiter::sync::oneshot::channel::<task::JoinHandle<()>>();
    let (back, handle) = headwaiter::sync::oneshot::channel();
    let task = spawn(async move {
        let _bomb = Bomb("itself");
        let own: task::JoinHandle<()> = told.await.unwrap();
        own.abort();
        back.send(own).unwrap();
        pending::<()>().await;
    });
    tell.send(task).unwrap();
    assert_eq!(panic_of(handle.await.unwrap().await.unwrap_err()), "itself");
}

#[test]
fn a_remote_task_that_panics_in_its_drop_has_panicked_whether_aborted_or_done() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let aborted = handle.spawn(|| Bomb("aborted"));
        event_loop.turn(Some(ms(0))).unwrap();
        aborted.abort();
        let done = handle.spawn(|| {
            let bomb = Bomb("done");
            poll_fn(move |_| {
                let _dropped_with_the_future = &bomb;
                Poll::Ready(())
            })
        });
        let errors =
            event_loop.block_on(async { [aborted.await.unwrap_err(), done.await.unwrap_err()] });
        assert_eq!(errors.map(panic_of), ["aborted", "done"]);
        // And when its loop is dropped.
        let left = handle.spawn(|| Bomb("left"));
        event_loop.turn(Some(ms(0))).unwrap();
        drop(event_loop);
        assert_eq!(panic_of(left.wait().unwrap_err()), "left");
    });
}

/// Unlike tokio: there, the second panic is propagated.
#[test]
fn the_first_failure_is_reported_and_a_panic_in_the_drop_after_it_is_logged() {
    let said = logged(LevelFilter::Warn, || {
        let mut event_loop =
            EventLoop::builder().deadlock(headwaiter::Deadlock::Fail).build().unwrap();
        event_loop.block_on(async {
            let bomb = Bomb("after the panic");
            let panicking = spawn(poll_fn(move |_| -> Poll<()> {
                let bomb = &bomb;
                panic!("before {}", bomb.0)
            }));
            assert_eq!(panic_of(panicking.await.unwrap_err()), "before after the panic");
            let stuck = spawn(async {
                let _bomb = Bomb("after the deadlock");
                let lock = Mutex::named("till", ());
                let _held = lock.lock().await;
                drop(lock.lock().await);
            });
            let error = stuck.await.unwrap_err();
            assert!(error.is_deadlock() && !error.is_panic(), "{error}");
        });
    });
    let [panic, deadlock] = &said[..] else { panic!("{said:#?}") };
    assert_eq!(panic, "the drop of a task's future panicked: after the panic");
    assert_eq!(deadlock, "the drop of a task's future panicked: after the deadlock");
}

#[test]
fn a_panic_in_the_drop_of_an_aborted_task_is_logged_once_and_only_if_nothing_joins_it() {
    let said = logged(LevelFilter::Warn, || {
        block_on(async {
            let joined = spawn(Bomb("joined"));
            joined.abort();
            assert!(joined.await.unwrap_err().is_panic());
            let detached = task::Builder::new().name("oven").spawn(Bomb("detached"));
            detached.abort();
            drop(detached);
        });
    });
    let [line] = &said[..] else { panic!("{said:#?}") };
    assert!(line.contains("\"oven\" (spawned at tests/promises/task_failures.rs:"), "{line}");
    assert!(line.ends_with("panicked: detached (and nobody awaits the task)"), "{line}");
}

/// The token drops a future inside the task that awaits it: so that task panics, and there is no other.
#[headwaiter::test(within = "60s")]
async fn a_panic_in_the_drop_of_what_a_token_cuts_goes_on_in_the_task_that_awaits_it() {
    let _beside_others = beside_other_tests();
    let closing = CancelToken::new();
    let token = closing.clone();
    let task = spawn(async move { token.run(Bomb("cut")).await });
    yield_now().await;
    closing.cancel();
    assert_eq!(panic_of(task.await.unwrap_err()), "cut");
}

/// Unlike tokio: there, the `io::Error` has the text of the `JoinError`, not the error itself.
#[headwaiter::test(within = "60s")]
async fn two_question_marks_after_a_handle_hand_on_both_kinds_of_failure() {
    async fn awaited<T: 'static>(
        output: impl Future<Output = io::Result<T>> + 'static,
    ) -> io::Result<T> {
        let output = spawn(output).await??;
        Ok(output)
    }

    let _beside_others = beside_other_tests();
    assert_eq!(awaited(async { Ok(5) }).await.unwrap(), 5);
    let refused = awaited::<()>(async { Err(io::ErrorKind::ConnectionRefused.into()) });
    assert_eq!(refused.await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);

    let error = awaited::<()>(async { panic!("on {}", "fire") }).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Other);
    assert!(error.to_string().ends_with("panicked: on fire"), "{error}");
    let of_task = error.into_inner().unwrap().downcast::<JoinError>().unwrap();
    assert_eq!(panic_of(*of_task), "on fire");

    let aborted = spawn(pending::<()>());
    aborted.abort();
    let error = io::Error::from(aborted.await.unwrap_err());
    assert_eq!(error.kind(), io::ErrorKind::Other, "`Interrupted` would be tried again");
    assert!(error.get_ref().unwrap().downcast_ref::<JoinError>().unwrap().is_cancelled());

    let stuck = spawn(async {
        let lock = Mutex::new(());
        let _held = lock.lock().await;
        drop(lock.lock().await);
    });
    assert_eq!(io::Error::from(stuck.await.unwrap_err()).kind(), io::ErrorKind::Deadlock);
}

type Job = Box<dyn FnOnce() + Send>;

/// Unlike tokio: there, a job has the context of the runtime.
#[test]
fn what_needs_a_loop_says_in_a_job_to_take_a_handle_along() {
    const HINT: &str = "take `Handle::current()` along";
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (mut nap, pair) =
            event_loop.block_on(async { (sleep(ms(1000)), tcp_pair().await.unwrap()) });
        event_loop.block_on(async move {
            let jobs: [(_, Job); 5] = [
                ("`spawn`", Box::new(|| drop(spawn(async {})))),
                ("a timer", Box::new(|| drop(sleep(ms(1))))),
                ("`Handle::current`", Box::new(|| drop(Handle::current()))),
                ("`spawn_blocking`", Box::new(|| drop(spawn_blocking(|| ())))),
                // What was made on the loop, and is used in the job.
                ("stream", Box::new(move || drop(pair.0.try_read(&mut [0])))),
            ];
            for (what, job) in jobs {
                let text = panic_of(spawn_blocking(job).await.unwrap_err());
                assert!(text.contains(HINT) && text.contains("`Handle::spawn`"), "{text}");
                assert!(
                    text.contains("a job of `spawn_blocking`") && text.contains(what),
                    "{text}"
                );
            }
            // What the message advises works.
            let handle = Handle::current();
            let job = spawn_blocking(move || handle.spawn(|| async { 7 }).wait());
            assert_eq!(job.await.unwrap().unwrap(), 7);
            // A loop of the job's own is a loop.
            let job = spawn_blocking(|| block_on(async { spawn(async { 8 }).await }));
            assert_eq!(job.await.unwrap().unwrap(), 8);
        });
        // On other threads the message is the usual one.
        let reset = |nap: &mut Sleep| {
            panic_text(|| {
                _ = Pin::new(nap).poll(&mut Context::from_waker(std::task::Waker::noop()));
            })
        };
        for text in [panic_text(|| drop(spawn(async {}))), reset(&mut nap)] {
            assert!(text.contains("outside any event loop") && !text.contains(HINT), "{text}");
        }
    });
}

#[test]
fn log_error_takes_no_task_of_its_own_and_logs_when_the_task_ends_at_the_level_that_was_chosen() {
    let said = logged(LevelFilter::Warn, || {
        block_on(async {
            let spawned = || headwaiter::stats().spawned;
            let named = |name: &str, times: usize| {
                let failing = async move {
                    for _ in 0..times {
                        yield_now().await;
                    }
                    Err::<(), _>("no flour")
                };
                task::Builder::new().name(name).spawn(failing)
            };
            let before = spawned();
            named("waiting", 2).log_error();
            named("chosen", 1).log_error_at(Level::Warn);
            named("unwanted", 1).log_error_at(Level::Info);
            spawn(async { Ok::<_, io::Error>(()) }).log_error();
            assert_eq!(spawned(), before + 4);
            yield_now().await;
            yield_now().await;
            assert_eq!(so_far(), 1);
            yield_now().await;
            assert_eq!(so_far(), 2);

            // One that has ended already is logged inside the call.
            let ended = named("ended", 0);
            yield_now().await;
            assert_eq!(so_far(), 2);
            ended.log_error();
            assert_eq!(so_far(), 3);

            let panics = spawn(async {
                yield_now().await;
                burns("the oven");
                Ok::<_, String>(())
            });
            panics.log_error_at(Level::Trace);
            yield_now().await;
            yield_now().await;
            let stats = headwaiter::stats();
            assert_eq!((so_far(), stats.unseen_failures), (4, 0), "it was asked for");
        });
    });
    let line = |at: usize, name: &str, end: &str| {
        let line: &String = &said[at];
        assert!(
            line.contains(name) && line.contains("(spawned at tests/promises/task_failures.rs:"),
            "{line}"
        );
        assert!(line.ends_with(end), "{line}");
    };
    line(0, "\"chosen\"", ") failed: no flour");
    line(1, "\"waiting\"", ") failed: no flour");
    line(2, "\"ended\"", ") failed: no flour");
    line(3, "", ") panicked: the oven is on fire");
    assert_eq!(said.len(), 4, "{said:#?}");
}

#[test]
fn a_task_with_log_error_that_is_running_when_its_loop_is_dropped_has_not_failed() {
    let said = logged(LevelFilter::Warn, || {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.enter(|| {
            let never = async {
                sleep(ms(1_000_000)).await;
                Err::<(), _>("no flour")
            };
            spawn(never).log_error();
        });
        event_loop.turn(Some(ms(0))).unwrap();
    });
    assert_eq!(said, [""; 0]);
}

/// An error may be made of what a client has sent.
#[test]
fn what_a_panic_or_an_error_says_is_one_line_of_the_log_and_raw_for_the_program() {
    const TEXT: &str = "a\nERROR forged\u{1b}[2J\r\u{202e} \"quoted\"";
    const ESCAPED: &str = r#"a\nERROR forged\u{1b}[2J\r\u{202e} "quoted""#;
    let (tell, told) = mpsc::channel();
    let said = logged(LevelFilter::Warn, move || {
        block_on(async {
            let panics = || async { panic!("{}", std::hint::black_box(TEXT)) };
            let joined = spawn(panics()).await.unwrap_err();
            tell.send(joined.to_string()).unwrap();
            spawn(async { Err::<(), _>(TEXT) }).log_error();
            spawn(panics());
            spawn(async move {
                panics().await;
                Ok::<(), String>(())
            })
            .log_error();
            let group = task::TaskGroup::isolated();
            group.spawn(async { Err(TEXT) });
            group.spawn(async move {
                panics().await;
                Ok(())
            });
            // A drop that nothing but the log can report, and a callback.
            spawn(poll_fn({
                let bomb = Bomb(TEXT);
                move |_| -> Poll<()> {
                    let bomb = &bomb;
                    panic!("{}", bomb.0)
                }
            }));
            let (server, client) = mio_pair();
            drop(client);
            let callback = |_: &mut _, _| panic!("{TEXT}");
            on_ready(server, Interest::READABLE, callback).unwrap().detach();
            while lines().iter().all(|line| !line.contains("the callback")) {
                sleep(ms(1)).await;
            }
            group.join().await.unwrap();
        });
    });
    assert!(told.recv().unwrap().ends_with(TEXT), "a program gets what was said");
    for begin in [
        "failed: ",
        "panicked: ",
        "the drop of a task's future panicked: ",
        "the callback registered at tests/promises/task_failures.rs:",
    ] {
        assert!(said.iter().any(|line| line.contains(begin)), "{begin:?} is not in {said:#?}");
    }
    assert_eq!(said.len(), 8, "{said:#?}");
    for line in said {
        assert!(line.contains(ESCAPED) && !line.contains(char::is_control), "{line:?}");
    }
}

#[headwaiter::test(within = "60s")]
async fn a_detached_spawn_compiles_without_a_word() {
    #![deny(unused_must_use)]
    let _beside_others = beside_other_tests();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn(async move { TcpStream::connect(address).await.unwrap() });
    listener.accept().await.unwrap();
}
