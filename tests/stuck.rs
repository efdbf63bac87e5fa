//! Tasks that can never go on are reported, with who waits for what; and no program that can is ever accused.

mod common;

use std::cell::RefCell;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Mutex as StdMutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::program::Program;
use common::{bounded, ms, panic_text, poll_once, tcp_pair, virtual_loop};
use futures_lite::future::{or, zip};
use headwaiter::net::UdpSocket;
use headwaiter::sync::{Mutex, Notify, mpsc, oneshot};
use headwaiter::task::{self, CancelToken, JoinHandle, TaskGroup, yield_now};
use headwaiter::time::{sleep, timeout};
use headwaiter::{Clock, Deadlock, EventLoop, Interest, Next, on_ready};

/// What was logged at `error` and `warn`, in this process. Tests that look at it run one after the other.
static LOGGED: StdMutex<Vec<String>> = StdMutex::new(Vec::new());
static ONE_AT_A_TIME: StdMutex<()> = StdMutex::new(());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LOGGED.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Runs `test` in a loop, and returns what was logged meanwhile.
#[track_caller]
fn logged<F: Future<Output = ()>>(
    deadlock: Deadlock,
    test: impl FnOnce() -> F + Send + 'static,
) -> Vec<String> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let _ = log::set_logger(&Logger);
    log::set_max_level(log::LevelFilter::Warn);
    LOGGED.lock().unwrap().clear();
    bounded(move || {
        let built = EventLoop::builder().clock(Clock::Virtual).deadlock(deadlock).build();
        built.unwrap().block_on(test());
    });
    std::mem::take(&mut LOGGED.lock().unwrap())
}

fn named<F: Future + 'static>(name: &str, future: F) -> JoinHandle<F::Output> {
    task::Builder::new().name(name).spawn(future)
}

/// Two tasks that lock the same two in opposite order.
fn opposite() -> (JoinHandle<()>, JoinHandle<()>) {
    let (left, right) = (Rc::new(Mutex::named("left", ())), Rc::new(Mutex::named("right", ())));
    let both = |first: Rc<Mutex<()>>, second: Rc<Mutex<()>>| async move {
        let _first = first.lock().await;
        yield_now().await;
        let _second = second.lock().await;
    };
    (named("a", both(left.clone(), right.clone())), named("b", both(right, left)))
}

#[test]
fn two_locks_in_opposite_order_are_reported_with_their_names_and_lines() {
    let said = logged(Deadlock::Warn, || async {
        let (a, b) = opposite();
        sleep(ms(1)).await;
        assert!(!a.is_finished() && !b.is_finished(), "`Warn` only reports");
        a.abort();
        b.await.unwrap();
    });
    let [report] = &said[..] else { panic!("one report: {said:#?}") };
    for part in [
        "2 tasks wait for each other",
        "\"a\"",
        "\"b\"",
        "the lock \"left\"",
        "the lock \"right\"",
        "holds since tests/stuck.rs:",
    ] {
        assert!(report.contains(part), "{part} is not in:\n{report}");
    }
}

#[test]
fn fail_drops_the_task_that_closed_the_knot_and_lets_the_other_go_on() {
    let said = logged(Deadlock::Fail, || async {
        let (a, b) = opposite();
        let (a, b) = (a.await, b.await);
        let failed = match (a, b) {
            (Ok(()), Err(error)) | (Err(error), Ok(())) => error,
            both => panic!("one of them: {both:?}"),
        };
        assert!(failed.is_deadlock() && !failed.is_cancelled() && !failed.is_panic());
        let text = failed.to_string();
        assert!(text.contains("the lock \"left\"") && text.contains("the lock \"right\""), "{text}");
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn a_task_that_locks_its_own_mutex_twice_waits_for_itself() {
    let said = logged(Deadlock::Fail, || async {
        let twice = named("twice", async {
            let mutex = Mutex::named("mine", 0);
            let _first = mutex.lock().await;
            let _second = mutex.lock().await;
        });
        let text = twice.await.unwrap_err().to_string();
        assert!(text.contains("a task waits for itself") && text.contains("the lock \"mine\""), "{text}");
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn in_the_main_future_fail_is_a_panic_with_the_report() {
    bounded(|| {
        let text = panic_text(|| {
            EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap().block_on(async {
                let mutex = Mutex::new(());
                let _first = mutex.lock().await;
                drop(mutex.lock().await);
            });
        });
        assert!(text.contains("a task waits for itself") && text.contains("\"main\""), "{text}");
    });
}

#[test]
fn three_philosophers_are_reported_in_one_circle() {
    let said = logged(Deadlock::Warn, || async {
        let forks: Vec<_> = (0..3).map(|n| Rc::new(Mutex::named(format!("fork {n}"), ()))).collect();
        let eat = |left: Rc<Mutex<()>>, right: Rc<Mutex<()>>| async move {
            let _left = left.lock().await;
            yield_now().await;
            let _right = right.lock().await;
        };
        let dine =
            |n: usize| named(&format!("philosopher {n}"), eat(forks[n].clone(), forks[(n + 1) % 3].clone()));
        let table: Vec<_> = (0..3).map(dine).collect();
        sleep(ms(1)).await;
        table[0].abort();
    });
    let [report] = &said[..] else { panic!("one report: {said:#?}") };
    assert!(report.contains("3 tasks wait for each other"), "{report}");
    for n in 0..3 {
        assert!(
            report.contains(&format!("philosopher {n}")) && report.contains(&format!("fork {n}")),
            "{report}"
        );
    }
}

#[test]
fn tasks_that_join_each_other_and_one_that_joins_itself_are_reported() {
    let said = logged(Deadlock::Fail, || async {
        let (give, take) = oneshot::channel::<JoinHandle<()>>();
        let first = named("first", async move {
            let other = take.await.unwrap();
            let _ = other.await;
        });
        let (ended, end) = oneshot::channel();
        let second = named("second", async move {
            let _ = first.await;
            let _ = ended.send(());
        });
        let _ = give.send(second);
        // Whichever closed the knot was dropped, and the other went on.
        let _ = timeout(ms(10), end).await.expect("the knot was cut");

        let (give, take) = oneshot::channel::<JoinHandle<()>>();
        let (dropped, was_dropped) = oneshot::channel::<()>();
        let own = named("own", async move {
            let _dropped = dropped;
            let _ = take.await.unwrap().await;
        });
        let _ = give.send(own);
        assert!(was_dropped.await.is_err(), "it was dropped");
    });
    // Nobody is left to get the error of a task that joins itself, so it is logged.
    assert!(said.iter().all(|line| line.contains("deadlock")), "{said:#?}");
}

/// Nobody waits for a task that waits when it begins to.
#[test]
fn a_knot_through_tasks_that_were_joined_before_they_waited_is_found() {
    let said = logged(Deadlock::Fail, || async {
        let mutex = Rc::new(Mutex::named("held", ()));
        let outer = named("outer", async move {
            let again = mutex.clone();
            let _guard = mutex.lock().await;
            let middle = named("middle", async move {
                let inner = named("inner", async move { drop(again.lock().await) });
                inner.await.unwrap_err().to_string()
            });
            middle.await.unwrap()
        });
        let report = outer.await.unwrap();
        for part in
            ["3 tasks wait for each other", "\"outer\"", "\"middle\"", "\"inner\"", "the lock \"held\""]
        {
            assert!(report.contains(part), "{part} is not in:\n{report}");
        }
    });
    assert!(said.is_empty(), "{said:#?}");
}

/// None of these may be accused, nor even wondered about.
#[test]
fn busy_and_correct_programs_are_never_accused() {
    let said = logged(Deadlock::Warn, || async {
        // Opposite locks, with a timeout on one of them.
        let (left, right) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
        let patient = {
            let (left, right) = (left.clone(), right.clone());
            named("patient", async move {
                let _left = left.lock().await;
                yield_now().await;
                let _right = right.lock().await;
            })
        };
        let impatient = named("impatient", async move {
            let _right = right.lock().await;
            yield_now().await;
            assert!(timeout(ms(5), left.lock()).await.is_err());
        });
        impatient.await.unwrap();
        patient.await.unwrap();

        // A lock that is awaited beside something else, in `or` and in `zip`.
        let mutex = Mutex::new(0);
        let guard = mutex.lock().await;
        or(async { drop(mutex.lock().await) }, sleep(ms(1))).await;
        // A guard that another branch of the same task will drop.
        zip(async { *mutex.lock().await += 1 }, async {
            yield_now().await;
            yield_now().await;
            drop(guard);
        })
        .await;

        // A join of a task that waits for a socket, one for a channel, one for a job.
        let (mut near, mut far) = tcp_pair().await.unwrap();
        let reader = headwaiter::spawn(async move { near.read(&mut [0; 8]).await.unwrap() });
        let (sender, mut receiver) = mpsc::channel::<u8>(1);
        let consumer = headwaiter::spawn(async move { receiver.recv().await });
        let notify = Rc::new(Notify::new());
        let notified = headwaiter::spawn({
            let notify = notify.clone();
            async move { notify.notified().await }
        });
        let waiter = named("waiter", zip(reader, zip(consumer, notified)));
        yield_now().await;
        yield_now().await;
        sender.send(1).await.unwrap();
        notify.notify_one();
        far.write_all(b"x").await.unwrap();
        drop(waiter.await.unwrap());
        assert_eq!(headwaiter::spawn_blocking(|| 7).await.unwrap(), 7);

        // A combinator that polls its children only when they were woken keeps wakers from earlier polls.
        let mut first = Some(pin!(sleep(ms(3))));
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            match polls {
                2 | 3 => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                _ => first.as_mut().unwrap().as_mut().poll(cx),
            }
        })
        .await;
    });
    assert!(said.is_empty(), "accused: {said:#?}");
}

#[test]
fn a_waker_that_nobody_kept_is_reported_once_with_the_task() {
    let said = logged(Deadlock::Warn, || async {
        let lost = named("lost", std::future::poll_fn(|_| Poll::<()>::Pending));
        let kept = named(
            "kept",
            std::future::poll_fn({
                let mut kept = Vec::new();
                move |cx| {
                    kept.push(cx.waker().clone());
                    if kept.len() > 1000 { Poll::Ready(()) } else { Poll::Pending }
                }
            }),
        );
        sleep(ms(5)).await;
        lost.abort();
        kept.abort();
    });
    let [report] = &said[..] else { panic!("one report: {said:#?}") };
    assert!(report.contains("\"lost\"") && report.contains("nobody has kept its waker"), "{report}");
    assert!(report.contains("tests/stuck.rs:"), "{report}");
}

#[test]
fn a_crowd_of_tasks_that_nobody_can_wake_slows_nobody() {
    let said = logged(Deadlock::Warn, || async {
        let crowd: Vec<_> = (0..100_000).map(|_| headwaiter::spawn(std::future::pending::<()>())).collect();
        for _ in 0..10 {
            sleep(ms(1)).await;
        }
        crowd.iter().for_each(JoinHandle::abort);
    });
    assert!((1..1000).contains(&said.len()), "{} reports", said.len());
}

#[test]
fn a_loop_that_nothing_can_wake_says_so_with_a_dump_and_fails_if_asked_to() {
    bounded(|| {
        let text = panic_text(|| {
            EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap().block_on(async {
                let (_sender, mut receiver) = mpsc::channel::<()>(1);
                receiver.recv().await;
            });
        });
        for part in [
            "nothing can wake this event loop any more",
            "\"main\"",
            "waits for a message",
            "tests/stuck.rs:",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
    });
}

#[test]
fn a_loop_that_another_thread_can_reach_is_not_quiescent() {
    let said = logged(Deadlock::Fail, || async {
        let handle = headwaiter::Handle::current();
        let (give, take) = oneshot::channel();
        let give = headwaiter::spawn(async move {
            sleep(ms(1)).await;
            drop(give);
        });
        drop(give);
        let thread = std::thread::spawn(move || handle.spawn(|| async { 5 }).wait().unwrap());
        let _: Result<(), _> = take.await;
        // Nothing but that thread is left to wait for.
        let (waker_taken, mut polled) = (Rc::new(()), false);
        std::future::poll_fn(move |cx| {
            let _ = &waker_taken;
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            std::thread::spawn(move || waker.wake());
            Poll::Pending
        })
        .await;
        while !thread.is_finished() {
            yield_now().await; // It waits for us.
        }
        assert_eq!(thread.join().unwrap(), 5);
    });
    assert!(said.is_empty(), "{said:#?}");
}

/// A dump of the loop that runs here, each line whole, and without the numbers of lines in this file.
fn masked_dump() -> String {
    let dump = headwaiter::dump().to_string();
    assert!(dump.lines().all(|line| line.chars().count() <= 100), "{dump}");
    let mut whole = String::new();
    for line in dump.lines() {
        let goes_on = whole.ends_with(',');
        whole += if goes_on { " " } else { "\n" };
        whole += if goes_on { line.trim_start() } else { line };
    }
    let mut parts = whole.split("tests/stuck.rs:");
    let mut masked = parts.next().unwrap().to_owned();
    for part in parts {
        masked += "HERE";
        masked += part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
    }
    masked + "\n"
}

#[test]
fn a_dump_shows_each_task_with_what_it_holds_and_waits_for_and_fits_a_terminal() {
    bounded(|| {
        virtual_loop().block_on(async {
            let mutex = Rc::new(Mutex::named("till", ()));
            let guard = mutex.lock().await;
            let queue = |name: &str| {
                let mutex = mutex.clone();
                named(name, async move { drop(mutex.lock().await) })
            };
            let queue = [queue("first"), queue("second")];
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = socket.local_addr().unwrap();
            let reader = named("reader", async move { socket.recv_from(&mut [0]).await.map(|(n, _)| n) });
            let join = named("join", named("nap", sleep(Duration::from_secs(90))));
            let token = CancelToken::new();
            let group = TaskGroup::<()>::new();
            let cancelled = token.cancelled();
            group.spawn(async {
                cancelled.await;
                Ok(())
            });
            let party = named("party", group.join());
            sleep(ms(20)).await;
            assert_eq!(
                masked_dump(),
                r#"
8 tasks, 1 source, 1 timer, 0 jobs
task 1 "main": running, 2 polls, 20 ms old, spawned at HERE
    holds the lock "till" since HERE, 2 wait for it
task 2 "first": waiting, 1 poll, 20 ms old, spawned at HERE
    waits for the lock "till", which task 1 "main" holds since HERE, at HERE, for 20 ms
task 3 "second": waiting, 1 poll, 20 ms old, spawned at HERE
    waits for the lock "till", which task 1 "main" holds since HERE, at HERE, for 20 ms
task 4 "reader": waiting, 1 poll, 20 ms old, spawned at HERE
    waits for UDP socket 1 to read, at HERE, for 20 ms
task 5 "nap": waiting, 1 poll, 20 ms old, spawned at HERE
    waits for a timer, due in 89 s, at HERE, for 20 ms
task 6 "join": waiting, 1 poll, 20 ms old, spawned at HERE
    waits for the end of task 5 "nap"
task 7: waiting, 1 poll, 20 ms old, spawned at HERE
    waits for the cancellation of a token, at HERE, for 20 ms
task 8 "party": waiting, 1 poll, 20 ms old, spawned at HERE
    waits for the end of a group: of task 7, at HERE, for 20 ms
UDP socket 1: writable, task 4 "reader" waits to read
"#
            );
            drop(guard);
            token.cancel();
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", address).unwrap();
            for task in queue {
                task.await.unwrap();
            }
            assert_eq!(reader.await.unwrap().unwrap(), 1);
            party.await.unwrap().unwrap();
            join.abort();
        })
    });
}

#[test]
fn a_dump_shows_also_what_no_task_waits_for() {
    bounded(|| {
        let built = EventLoop::builder().clock(Clock::Virtual).blocking_threads(1).build();
        built.unwrap().block_on(async {
            // A callback, a socket that nobody reads, and one for which only a foreign waker waits.
            let source = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let shown = Rc::new(RefCell::new(String::new()));
            let show = shown.clone();
            let callback = move |_: &mut mio::net::UdpSocket, _| {
                *show.borrow_mut() = masked_dump();
                Next::Continue
            };
            let registration = on_ready(source, Interest::READABLE, callback).unwrap();
            let idle = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let watched = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let mut foreign = Context::from_waker(Waker::noop());
            assert_eq!(watched.try_recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            let mut readable = pin!(watched.readable());
            assert!(readable.as_mut().poll(&mut foreign).is_pending());

            // Timers of a foreign waker, and one of a task that handed it on and ended.
            let mut sleeps = [1500, 500].map(|millis| Box::pin(sleep(ms(millis))));
            for sleep in &mut sleeps {
                assert!(sleep.as_mut().poll(&mut foreign).is_pending());
            }
            let handed_on = headwaiter::spawn(async {
                let mut sleep = sleep(ms(800));
                assert!(poll_once(&mut sleep).await.is_pending());
                (sleep,)
            });
            let handed_on = handed_on.await.unwrap();

            // A job that runs though its task is gone, one that waits for the thread, one that is detached.
            let (tell, told) = std::sync::mpsc::channel();
            let (end, ended) = std::sync::mpsc::channel::<()>();
            let runs = headwaiter::spawn_blocking(move || {
                tell.send(()).unwrap();
                let _ = ended.recv();
            });
            told.recv().unwrap();
            runs.abort();
            drop(runs);
            let queued = headwaiter::spawn_blocking(|| ());
            for _ in 0..2 {
                drop(headwaiter::spawn_blocking(|| ()));
            }
            yield_now().await;
            assert_eq!(
                masked_dump(),
                r#"
4 tasks, 3 sources, 3 timers, 4 jobs
task 1 "main": running, 3 polls, 0 ms old, spawned at HERE
task 4: waiting, 1 poll, 0 ms old, spawned at HERE
    waits for an offloaded job, at HERE, for 0 ns
task 5: waiting, 1 poll, 0 ms old, spawned at HERE
    waits for an offloaded job, at HERE, for 0 ns
task 6: waiting, 1 poll, 0 ms old, spawned at HERE
    waits for an offloaded job, at HERE, for 0 ns
callback source 1: has a callback, registered at HERE
UDP socket 2: readable + writable, nobody waits
UDP socket 3: writable, code outside this crate waits to read
2 timers made at HERE, wake code outside this crate, the first due in 500 ms
1 timer made at HERE, wakes a task that is gone, due in 800 ms
1 job running, offloaded at HERE
1 job queued, offloaded at HERE
2 jobs queued, offloaded at HERE
"#
            );

            // Its end is told to a loop that does not turn.
            drop(end);
            while !masked_dump().contains("4 jobs ended, of which the loop takes note in its next turn") {
                std::thread::yield_now();
            }
            queued.await.unwrap();
            let address = registration.with(|source| source.local_addr().unwrap());
            idle.send_to(b"x", address).await.unwrap();
            while shown.borrow().is_empty() {
                yield_now().await;
            }
            let shown = shown.borrow();
            assert!(shown.contains("\ncallback source 1: has a callback, which is in use\n"), "{shown}");
            drop(handed_on);
        });
    });
}

#[test]
fn the_example_shows_the_circle_and_then_the_cure() {
    bounded(|| {
        let (code, said) = Program::start("deadlock", &[]).end();
        assert_eq!(code, Some(0), "{said}");
        for part in
            ["2 tasks wait for each other", "Anna's account", "Ben's account", "Anna has 110, Ben has 90"]
        {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
    });
}

#[test]
fn another_thread_gets_a_dump_also_of_a_loop_that_does_not_answer() {
    bounded(|| {
        let (tell, told) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let loop_thread = std::thread::spawn(move || {
            headwaiter::block_on(async move {
                let handle = headwaiter::Handle::current();
                let (end, ended) = oneshot::channel();
                let blocker = named("blocker", async move {
                    tell.send(handle).unwrap();
                    released.recv().unwrap(); // Answers nobody meanwhile.
                    let _ = end.send(());
                });
                ended.await.unwrap();
                blocker.await.unwrap();
                sleep(ms(200)).await;
            });
        });
        let handle = told.recv().unwrap();
        let busy = handle.dump().to_string();
        assert!(
            busy.contains("has not answered for 1s: it polls task 2, spawned at tests/stuck.rs:"),
            "{busy}"
        );
        release.send(()).unwrap();
        let dump = handle.dump().to_string();
        assert!(dump.contains("\"main\"") && !dump.contains("has not answered"), "{dump}");
        loop_thread.join().unwrap();
        assert!(handle.dump().to_string().contains("is gone"));
    });
}

/// A group and a token keep who waits for them as a number, which nobody else can see.
#[test]
fn who_waits_for_a_group_or_a_token_is_not_lost() {
    let said = logged(Deadlock::Fail, || async {
        let group = TaskGroup::<()>::new();
        group.spawn(async {
            sleep(ms(5)).await;
            Ok(())
        });
        let token = CancelToken::new();
        let waits = named("waits", token.clone().run_forever());
        let both = named("both", or(token.child().run_forever(), token.clone().run_forever()));
        let dump = async {
            yield_now().await;
            headwaiter::dump().to_string()
        };
        let (joined, dump) = zip(group.join(), dump).await;
        joined.unwrap();
        assert!(dump.contains("waits for the end of a group: of task"), "{dump}");
        assert!(dump.contains("waits for the cancellation of a token, at tests/stuck.rs:"), "{dump}");
        token.cancel();
        zip(waits, both).await.0.unwrap();
    });
    assert!(said.is_empty(), "{said:#?}");
}

trait RunForever {
    fn run_forever(self) -> impl Future<Output = ()>;
}

impl RunForever for CancelToken {
    async fn run_forever(self) {
        self.run(self.cancelled()).await.unwrap_or(());
    }
}

#[test]
fn a_token_that_another_thread_has_may_wake_the_loop() {
    let said = logged(Deadlock::Fail, || async {
        let token = CancelToken::new();
        let (waits, told) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn({
            let token = token.clone();
            move || {
                told.recv().unwrap();
                token.cancel();
            }
        });
        // Sent when the loop has begun to wait: the last poll before its sleep.
        let mut cancelled = pin!(token.cancelled());
        std::future::poll_fn(|cx| {
            let polled = cancelled.as_mut().poll(cx);
            let _ = waits.send(());
            polled
        })
        .await;
        thread.join().unwrap();
    });
    assert!(said.is_empty(), "{said:#?}");
}

/// The lock that each wants is held by the other; but all wait for something else besides.
#[test]
fn a_lock_beside_another_way_out_is_never_accused() {
    type Beside = fn() -> Pin<Box<dyn Future<Output = ()>>>;
    let ways_out: [Beside; 5] = [
        || Box::pin(sleep(ms(5))),
        || {
            Box::pin(async {
                let group = TaskGroup::<()>::new();
                group.spawn(async {
                    sleep(ms(5)).await;
                    Ok(())
                });
                group.join().await.unwrap();
            })
        },
        || {
            let token = CancelToken::new();
            let cancels = token.clone();
            drop(headwaiter::spawn(async move {
                sleep(ms(5)).await;
                cancels.cancel();
            }));
            Box::pin(token.run_forever())
        },
        || {
            Box::pin(async {
                let (near, mut far) = tcp_pair().await.unwrap();
                let answer = headwaiter::spawn(async move {
                    sleep(ms(5)).await;
                    far.write_all(b"x").await.unwrap();
                });
                let mut near = near;
                near.read(&mut [0]).await.unwrap();
                answer.await.unwrap();
            })
        },
        || {
            let (give, take) = oneshot::channel::<()>();
            drop(headwaiter::spawn(async move {
                sleep(ms(5)).await;
                let _ = give.send(());
            }));
            Box::pin(async { take.await.unwrap() })
        },
    ];
    let said = logged(Deadlock::Fail, move || async move {
        for beside in ways_out {
            let (left, right) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
            let patient = {
                let (left, right) = (left.clone(), right.clone());
                named("patient", async move {
                    let _left = left.lock().await;
                    sleep(ms(1)).await;
                    let _right = right.lock().await;
                })
            };
            let impatient = named("impatient", async move {
                let _right = right.lock().await;
                sleep(ms(1)).await;
                or(async { drop(left.lock().await) }, beside()).await;
            });
            impatient.await.unwrap();
            patient.await.unwrap();
        }
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn a_group_whose_children_wait_for_who_joins_it_is_a_deadlock() {
    for last_to_wait in [0, 2] {
        let said = logged(Deadlock::Fail, move || async move {
            let till = Rc::new(Mutex::named("till", ()));
            let parent = named("parent", async move {
                let _till = till.lock().await;
                let group = TaskGroup::<()>::new();
                // It may end after the others have begun to wait: then it is that end that closes the knot.
                group.spawn(async move {
                    sleep(ms(last_to_wait)).await;
                    Ok(())
                });
                for _ in 0..2 {
                    let till = till.clone();
                    group.spawn(async move {
                        sleep(ms(1)).await;
                        drop(till.lock().await);
                        Ok(())
                    });
                }
                group.join().await
            });
            // Elsewhere the loop is busy.
            let clock = named("clock", async {
                loop {
                    sleep(ms(1)).await;
                }
            });
            match timeout(ms(50), parent).await.expect("it was reported") {
                // A child was dropped, and with it the group's others could go on, or the group failed.
                Ok(joined) => joined.unwrap(),
                Err(error) => {
                    let text = error.to_string();
                    for part in ["\"parent\"", "the lock \"till\"", "the end of a group: of task"] {
                        assert!(text.contains(part), "{part} is not in:\n{text}");
                    }
                }
            }
            clock.abort();
        });
        assert!(said.iter().all(|line| line.contains("deadlock")), "{said:#?}");
    }
}

/// A future that has been polled in one task goes on in another, which then is the one that waits.
#[test]
fn a_wait_moves_with_its_future() {
    let said = logged(Deadlock::Fail, || async {
        let (mutex, outer) = (Rc::new(Mutex::named("moved for", ())), Rc::new(Mutex::named("outer", ())));
        let guard = mutex.lock().await;
        let mut wait = Box::pin({
            let mutex = mutex.clone();
            async move { drop(mutex.lock().await) }
        });
        assert!(timeout(ms(1), &mut wait).await.is_err());
        let mover = named("mover", wait);
        yield_now().await;
        // It has the lock of which its taker could think that this task waits for it.
        let dump = headwaiter::dump().to_string();
        let at = dump.find("\"mover\"").unwrap();
        assert!(dump[at..].contains("waits for the lock \"moved for\""), "{dump}");
        assert!(!dump[..at].contains("waits for the lock"), "{dump}");
        drop(guard);
        mover.await.unwrap();
        drop(outer.lock().await);
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn who_holds_a_lock_in_another_loop_of_the_thread_is_not_taken_for_a_task_of_this_one() {
    let said = logged(Deadlock::Fail, || async {});
    assert!(said.is_empty(), "{said:#?}");
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    bounded(|| {
        let mutex = Rc::new(Mutex::named("shared", 0));
        let build = || EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap();
        let (mut here, mut there) = (build(), build());
        let task = |mutex: Rc<Mutex<i32>>, notify: Rc<Notify>| async move {
            let mut value = mutex.lock().await;
            notify.notified().await;
            *value += 1;
        };
        // The second waits while the first holds the lock, then the other way round: each is its loop's first task.
        let (first, second) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
        let holds = here.enter(|| headwaiter::spawn(task(mutex.clone(), first.clone())));
        here.turn(Some(Duration::ZERO)).unwrap();
        let waits = there.enter(|| headwaiter::spawn(task(mutex.clone(), second.clone())));
        for _ in 0..3 {
            there.turn(Some(Duration::ZERO)).unwrap();
        }
        assert!(!there.enter(|| waits.is_finished()));
        let third = here.enter(|| headwaiter::spawn(task(mutex.clone(), first.clone())));
        first.notify_one();
        here.block_on(holds).unwrap();
        for _ in 0..3 {
            here.turn(Some(Duration::ZERO)).unwrap();
        }
        second.notify_one();
        there.block_on(waits).unwrap();
        first.notify_one();
        here.block_on(third).unwrap();
        assert_eq!(*mutex.try_lock().unwrap(), 3);
        // Of no wait there is anything left.
        for event_loop in [&mut here, &mut there] {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
            assert!(!event_loop.enter(|| headwaiter::dump().to_string()).contains("waits for"));
        }
    });
}

#[test]
fn one_deadlock_does_not_hide_the_next() {
    let said = logged(Deadlock::Fail, || async {
        let (left, right) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
        let both = |first: Rc<Mutex<()>>, second: Rc<Mutex<()>>| async move {
            for _ in 0..3 {
                let _first = first.lock().await;
                yield_now().await;
                let _second = second.lock().await;
            }
        };
        let survivor = named("survivor", both(left.clone(), right.clone()));
        for _ in 0..2 {
            let other = named("other", both(right.clone(), left.clone()));
            let error = timeout(ms(10), other).await.expect("the knot was cut");
            if survivor.is_finished() {
                return; // It was the one that closed it.
            }
            assert!(error.unwrap_err().is_deadlock());
        }
        survivor.await.unwrap();
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn a_deadlock_that_others_might_have_cut_is_reported_when_they_are_gone() {
    let said = logged(Deadlock::Fail, || async {
        let handle = headwaiter::Handle::current();
        let (a, b) = opposite();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            told.recv().unwrap();
            drop(handle);
        });
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(!a.is_finished() && !b.is_finished());
        tell.send(()).unwrap();
        // Nothing else wakes the loop: nobody but the two is waited for.
        let (a, b) = zip(a, b).await;
        assert!(a.is_err() ^ b.is_err());
        thread.join().unwrap();
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn a_lock_that_was_tried_has_a_holder_too() {
    let said = logged(Deadlock::Fail, || async {
        let task = named("tries", async {
            let mutex = Mutex::named("tried", ());
            let _guard = mutex.try_lock().unwrap();
            drop(mutex.lock().await);
        });
        let text = task.await.unwrap_err().to_string();
        assert!(text.contains("a task waits for itself") && text.contains("the lock \"tried\""), "{text}");
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn the_report_also_lists_who_only_waits_for_the_circle() {
    let said = logged(Deadlock::Warn, || async {
        let bystander = Rc::new(Mutex::named("left", ()));
        let (a, b) = opposite();
        let first = named("first", async move { a.await.unwrap() });
        let second = named("second", async move { first.await.unwrap() });
        sleep(ms(1)).await;
        second.abort();
        drop((b, bystander));
    });
    let [report] = &said[..] else { panic!("one report: {said:#?}") };
    assert!(report.contains("2 tasks wait for each other"), "{report}");
}

#[test]
fn a_second_block_on_that_nothing_can_wake_says_so_too() {
    let said = logged(Deadlock::Fail, || async {});
    assert!(said.is_empty());
    bounded(|| {
        let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap();
        for _ in 0..2 {
            let text = panic_text(|| {
                let (_sender, receiver) = oneshot::channel::<()>();
                event_loop.block_on(async { receiver.await.unwrap() });
            });
            assert!(text.contains("nothing can wake this event loop any more"), "{text}");
        }
    });
}

#[test]
fn explore_names_the_seed_under_which_tasks_wait_for_each_other() {
    let said = logged(Deadlock::Warn, || async {});
    assert!(said.is_empty());
    bounded(|| {
        let text = panic_text(|| {
            headwaiter::explore(0..100, || async {
                let (a, b) = opposite();
                zip(a, b).await.0.unwrap();
            });
        });
        assert!(text.contains("under the seed") && text.contains("the lock \"left\""), "{text}");
    });
}
