//! What a loop counts, the advice that it derives from that, and how a stall is reported.

use std::cell::RefCell;
use std::future::poll_fn;
use std::hint::black_box;
use std::io::{Read, Write};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::support::logged::logged_with_watchers;
use crate::support::*;
use headwaiter::sync::Notify;
use headwaiter::task::{self, yield_now};
use headwaiter::time::sleep;
use headwaiter::{Clock, EventLoop, Interest, Next, on_ready};
use log::LevelFilter;

/// What was logged at `warn` or above, but for the lines of watchers.
#[track_caller]
fn logged(test: impl FnOnce() + Send + 'static) -> Vec<String> {
    logged::logged(LevelFilter::Warn, test)
}

fn compute(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        black_box(0);
    }
}

fn loop_that_tells(threshold: Duration) -> EventLoop {
    EventLoop::builder().stall_threshold(threshold).build().unwrap()
}

#[test]
fn what_a_program_does_is_counted() {
    bounded(|| {
        let mut event_loop = EventLoop::builder().clock(Clock::Virtual).build().unwrap();
        event_loop.block_on(async {
            let naps: Vec<_> = (0..10).map(|n| headwaiter::spawn(sleep(ms(n)))).collect();
            for nap in naps {
                nap.await.unwrap();
            }
            for _ in 0..5 {
                headwaiter::spawn(async {}).await.unwrap();
            }
            yield_now().await;
        });
        let stats = event_loop.enter(headwaiter::stats);
        assert_eq!((stats.spawned, stats.timers, stats.events), (16, 10, 0));
        assert_eq!((stats.never_waited, stats.unseen_failures, stats.stalls), (5, 0, 0));
        // Each nap twice, each empty task once, main for each that it awaited and for its yield, and first.
        assert_eq!(stats.polls, 20 + 5 + 1 + 10 + 5 + 1);
        assert_eq!(stats.wakes, stats.polls - stats.spawned);
        assert!(
            (1..=11).contains(&stats.most_tasks) && (1..=10).contains(&stats.queue_max),
            "{stats}"
        );
        assert_eq!((stats.lateness.count, stats.lateness.max), (10, Duration::ZERO));
        let table = stats.to_string();
        for part in ["42", "16 spawned", "10 timers fired", "turn time", "p99"] {
            assert!(table.contains(part), "{part} is not in:\n{table}");
        }
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    });
}

#[test]
fn busy_is_what_the_loop_did_and_waiting_what_the_kernel_did() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            compute(ms(20));
            sleep(ms(30)).await;
        });
        // The loop does not run now, so this counts neither as busy nor as waiting.
        compute(ms(50));
        let stats = event_loop.enter(headwaiter::stats);
        assert!(stats.waiting >= ms(29) && stats.busy >= ms(20), "{stats}");
        event_loop.block_on(async { compute(ms(10)) });
        let later = event_loop.enter(headwaiter::stats);
        assert!(later.busy >= stats.busy + ms(10), "{later}");
        assert!((0.0..=1.0).contains(&later.utilisation()));
    });
}

#[test]
fn a_timed_poll_of_a_main_future_that_panics_does_not_last_until_the_next() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let text = panic_text(|| {
            event_loop.block_on(async {
                for _ in 1..512 {
                    yield_now().await;
                }
                panic!("in the poll that is timed");
            });
        });
        assert_eq!(text, "in the poll that is timed");
        event_loop.block_on(async { headwaiter::spawn(async {}).await.unwrap() });
        assert_eq!(event_loop.enter(headwaiter::stats).poll_times.count, 0);
    });
}

#[test]
fn advice_rests_on_figures() {
    bounded(|| {
        // A program that computes.
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            for _ in 0..100 {
                headwaiter::spawn(async { compute(ms(1)) }).await.unwrap();
            }
            sleep(ms(1)).await;
        });
        let stats = event_loop.enter(headwaiter::stats);
        let advice = stats.advice().join("\n");
        assert!(advice.contains("computes more than it waits"), "{advice}\n{stats}");
        assert!(advice.contains("never wait") && advice.contains("100 of"), "{advice}");

        // All tasks are woken again and again, and none can continue.
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
            let crowd: Vec<_> = (0..100)
                .map(|_| {
                    let wakers = wakers.clone();
                    headwaiter::spawn(poll_fn(move |cx| {
                        wakers.borrow_mut().push(cx.waker().clone());
                        Poll::<()>::Pending
                    }))
                })
                .collect();
            for _ in 0..250 {
                wakers.take().into_iter().for_each(Waker::wake);
                yield_now().await;
            }
            crowd.iter().for_each(task::JoinHandle::abort);
        });
        let stats = event_loop.enter(headwaiter::stats);
        assert!(stats.advice().iter().any(|line| line.contains("woken for nothing")), "{stats}");

        // Two tasks that hand each other a number.
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            let (sender, mut receiver) = headwaiter::sync::mpsc::channel(1);
            let sends = headwaiter::spawn(async move {
                for n in 0..50_000 {
                    sender.send(n).await.unwrap();
                }
            });
            while receiver.recv().await.is_some() {}
            sends.await.unwrap();
        });
        let stats = event_loop.enter(headwaiter::stats);
        let switches =
            stats.advice().iter().any(|line| line.contains("Much switching for little work"));
        assert!(switches || stats.poll_times.p50 >= Duration::from_micros(1), "{stats}");

        // Timers that wait for the computing of others.
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            let naps: Vec<_> = (0..20).map(|_| headwaiter::spawn(sleep(ms(1)))).collect();
            yield_now().await;
            compute(ms(30));
            for nap in naps {
                nap.await.unwrap();
            }
        });
        let stats = event_loop.enter(headwaiter::stats);
        assert!(stats.advice().iter().any(|line| line.starts_with("Timers come late")), "{stats}");

        // A task that computes in pieces and yields between them is not woken for nothing.
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            for _ in 0..50_000 {
                yield_now().await;
            }
        });
        assert_eq!(event_loop.enter(headwaiter::stats).idle_polls, 0);

        // A program that mostly waits gets no advice.
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async { sleep(ms(5)).await });
        assert_eq!(event_loop.enter(headwaiter::stats).advice(), Vec::<String>::new());
    });
}

#[test]
fn one_task_that_blocks_the_loop_is_named() {
    // Also if it is the first poll of the program.
    let said = logged(|| {
        loop_that_tells(ms(50)).block_on(async {
            compute(ms(60));
            sleep(ms(1)).await;
        });
    });
    let told = said.iter().find(|line| line.contains("was blocked for")).expect("a report");
    assert!(
        told.contains("Probably by task 1 \"main\" (spawned at tests/promises/stalls.rs:"),
        "{told}"
    );
    let said = logged(|| {
        loop_that_tells(ms(200)).block_on(async {
            let cook = task::Builder::new().name("cook").spawn(async {
                sleep(ms(1)).await;
                compute(ms(220));
                sleep(ms(1)).await; // Its joiner runs in another turn.
            });
            cook.await.unwrap();
            assert!(headwaiter::stats().stalls >= 1);
        });
    });
    let told = said.iter().find(|line| line.contains("was blocked for")).expect("a report");
    assert!(told.contains("task 2 \"cook\" (spawned at tests/promises/stalls.rs:"), "{told}");
    shown_by_the_page(told);
}

/// `docs/stalls.md` shows this line, but for its numbers and places.
#[track_caller]
fn shown_by_the_page(line: &str) {
    let plain = |line: &str| {
        docs::mask(&line.replace('\n', " ").replace("tests/promises/stalls.rs", "src/main.rs"))
    };
    let begins = line.split(|c: char| c.is_ascii_digit()).next().unwrap();
    let shown = docs::read("docs/stalls.md");
    let shown = docs::block(&shown, begins).expect("the line").trim_end();
    assert_eq!(plain(shown), plain(line));
}

#[test]
fn a_stall_that_comes_back_is_reported_with_its_task() {
    let said = logged(|| {
        loop_that_tells(ms(50)).block_on(async {
            let others: Vec<_> = (0..5)
                .map(|_| {
                    headwaiter::spawn(async {
                        loop {
                            sleep(ms(1)).await;
                        }
                    })
                })
                .collect();
            let cook = task::Builder::new().name("cook").spawn(async {
                for _ in 0..2 {
                    sleep(ms(5)).await;
                    compute(ms(60));
                }
            });
            cook.await.unwrap();
            sleep(ms(1)).await;
            others.iter().for_each(task::JoinHandle::abort);
        });
    });
    assert!(
        said.iter().any(|line| line.contains("By task") && line.contains("\"cook\"")),
        "{said:#?}"
    );
}

/// Also of a watcher, which has its own lines.
#[test]
fn a_stall_that_comes_back_all_the_time_is_told_once_a_second() {
    let said = logged_with_watchers(|| {
        let builder = EventLoop::builder().stall_threshold(ms(2)).stall_watcher(true);
        builder.build().unwrap().block_on(async {
            let cook = task::Builder::new().name("cook").spawn(async {
                let deadline = Instant::now() + Duration::from_secs(20);
                let told = || logged::lines().iter().any(|line| line.contains("more times"));
                while !told() && Instant::now() < deadline {
                    compute(ms(5));
                    yield_now().await;
                }
            });
            cook.await.unwrap();
        });
    });
    let (while_it_lasts, told): (Vec<_>, Vec<_>) =
        said.iter().partition(|line| line.contains("and still is"));
    // One line without the task, one with it, and one a second later. On a slow machine there are some more.
    assert!(told.len() < 30 && while_it_lasts.len() < 30, "{said:#?}");
    let unshown = told.iter().find_map(|line| line.split_once("Since the last such line it was "));
    let (line, more) = unshown.unwrap_or_else(|| panic!("{said:#?}"));
    assert!(line.contains("\"cook\""), "{line}");
    assert!(more.split(' ').next().unwrap().parse::<u64>().unwrap() > 1, "{more}");
}

/// Runs the tasks that `spawn` spawns, again and again, until stalls were reported without and with their cause.
#[track_caller]
fn two_reports(threshold: Duration, spawn: fn()) -> [String; 2] {
    let said = logged(move || {
        loop_that_tells(threshold).block_on(async {
            let deadline = Instant::now() + Duration::from_secs(20);
            while logged::lines().len() < 2 && Instant::now() < deadline {
                spawn();
                sleep(ms(1)).await;
            }
        });
    });
    let [first, second, ..] = &said[..] else { panic!("{said:#?}") };
    [first.clone(), second.clone()]
}

#[test]
fn many_short_polls_are_a_stall_of_which_none_is_accused() {
    let [first, second] = two_reports(ms(4), || {
        (0..10).for_each(|_| drop(headwaiter::spawn(async { compute(ms(1)) })));
    });
    assert!(first.contains("polls together took so long"), "{first}");
    // On a slow machine one of them may have taken so long.
    assert!(second.contains("By no poll alone: ") || second.contains("By task"), "{second}");
}

/// No poll is longer than the threshold, but one is most of what is.
#[test]
fn the_task_whose_poll_took_most_of_a_stall_is_named() {
    let [first, second] = two_reports(ms(50), || {
        drop(headwaiter::spawn(async { compute(ms(4)) }));
        drop(task::Builder::new().name("cook").spawn(async { compute(ms(48)) }));
    });
    assert!(first.contains("These 3 polls together"), "{first}");
    assert!(second.contains("\"cook\" (spawned at tests/promises/stalls.rs:"), "{second}");
}

/// Polls are timed for an observer, so the first report names the task too.
#[test]
fn the_first_stall_under_an_observer_is_reported_with_its_task() {
    let said = logged(|| {
        let builder = EventLoop::builder().stall_threshold(ms(50)).observer(Ignores);
        builder.build().unwrap().block_on(async {
            (0..5).for_each(|_| drop(headwaiter::spawn(yield_now())));
            drop(task::Builder::new().name("cook").spawn(async { compute(ms(60)) }));
            sleep(ms(1)).await;
        });
    });
    assert!(
        said[0].contains("By task 7 \"cook\" (spawned at tests/promises/stalls.rs:"),
        "{said:#?}"
    );
}

struct Ignores;

impl headwaiter::observe::Observer for Ignores {
    fn step(&mut self, _: &headwaiter::observe::Step<'_>) {}
}

/// The task that it wakes is polled in the same turn, but in no time.
#[test]
fn a_callback_that_blocks_the_loop_is_found_out() {
    let said = logged(|| {
        let (source, mut client) = mio_pair();
        let notify = Rc::new(Notify::new());
        let wakes = notify.clone();
        let mut event_loop = loop_that_tells(ms(30));
        event_loop.block_on(async {
            let registration = on_ready(source, Interest::READABLE, move |source, _| {
                let mut bytes = [0; 8];
                while source.read(&mut bytes).is_ok() {}
                compute(ms(40));
                wakes.notify_one();
                Next::Continue
            });
            let _registration = registration.unwrap();
            for _ in 0..2 {
                client.write_all(b"soup").unwrap();
                notify.notified().await;
            }
            sleep(ms(1)).await;
        });
    });
    assert!(said.iter().any(|line| line.contains("Not by its one poll: a callback")), "{said:#?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_close_that_lingers_is_named_in_the_report_of_its_stall() {
    let lingering = |line: &&String| line.contains("it closed a socket with SO_LINGER set");
    let said = logged(|| {
        loop_that_tells(ms(100)).block_on(async {
            // Set on the listener, it is the streams' too.
            let listener = headwaiter::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            socket2::SockRef::from(&listener).set_linger(Some(Duration::from_secs(1))).unwrap();
            let _peer =
                headwaiter::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            assert_eq!(stream.linger().unwrap(), Some(Duration::from_secs(1)));
            while stream.try_write(&[0; 64 * 1024]).is_ok() {}
            sleep(ms(1)).await;
            drop(stream.into_split());
            sleep(ms(1)).await;
            // The next stall has another cause. It is reported at once, because polls are timed now, so its task is certain.
            compute(ms(150));
            sleep(ms(1)).await;
        });
    });
    let told: Vec<_> = said.iter().filter(|line| line.contains("was blocked for")).collect();
    assert_eq!(told.len(), 2, "{said:#?}");
    assert!(lingering(&told[0]) && told[0].contains("`TcpStream::set_zero_linger`"), "{said:#?}");
    assert!(!lingering(&told[1]), "{said:#?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_stream_with_a_zero_linger_is_aborted_without_a_stall() {
    let said = logged(|| {
        loop_that_tells(ms(900)).block_on(async {
            let (stream, mut peer) = tcp_pair().await.unwrap();
            while stream.try_write(&[0; 64 * 1024]).is_ok() {}
            assert_eq!(stream.linger().unwrap(), None);
            socket2::SockRef::from(&stream).set_linger(Some(Duration::from_secs(1))).unwrap();
            stream.set_zero_linger().unwrap();
            assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
            drop(stream);
            let mut bytes = vec![0; 64 * 1024];
            let error = loop {
                match peer.read(&mut bytes).await {
                    Ok(0) => panic!("an ordinary end"),
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        });
    });
    assert!(said.is_empty(), "{said:#?}");
}

/// Of a drop the task is named that did it.
#[test]
fn a_main_future_or_a_drop_that_blocks_the_loop_is_found_out() {
    let said = logged(|| {
        loop_that_tells(ms(30)).block_on(async {
            let held = OnDrop(|| compute(ms(40)));
            let task = headwaiter::spawn(async move {
                let _held = held;
                sleep(Duration::MAX).await;
            });
            yield_now().await;
            task.abort();
            sleep(ms(1)).await;
            compute(ms(40));
            sleep(ms(1)).await;
            assert!(headwaiter::stats().stalls >= 2);
        });
    });
    assert!(said.iter().any(|line| line.contains("By task 1 \"main\"")), "{said:#?}");
}

#[test]
fn waiting_is_no_stall() {
    let said = logged(|| {
        loop_that_tells(Duration::from_millis(150)).block_on(async {
            sleep(ms(200)).await;
            assert_eq!(headwaiter::spawn_blocking(|| 5).await.unwrap(), 5);
        });
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn a_watcher_reports_a_stall_while_it_lasts() {
    let said = logged_with_watchers(|| {
        let builder = EventLoop::builder().stall_threshold(ms(30)).stall_watcher(true);
        builder.build().unwrap().block_on(async {
            sleep(ms(50)).await; // The watcher is parked meanwhile.
            let cook = task::Builder::new().name("cook").spawn(async {
                let deadline = Instant::now() + Duration::from_secs(20);
                let told = || logged::lines().iter().any(|line| line.contains("and still is"));
                while !told() && Instant::now() < deadline {
                    black_box(0);
                }
            });
            cook.await.unwrap();
        });
    });
    let told =
        said.iter().find(|line| line.contains("and still is")).expect("a report while it lasts");
    assert!(told.contains("It polls task 2, spawned at tests/promises/stalls.rs:"), "{told}");
    shown_by_the_page(told);
}

#[test]
fn a_watcher_does_not_accuse_a_loop_that_is_busy_and_turns() {
    let said = logged_with_watchers(|| {
        let builder = EventLoop::builder().stall_threshold(ms(250)).stall_watcher(true);
        builder.build().unwrap().block_on(async {
            let end = Instant::now() + ms(600);
            while Instant::now() < end {
                yield_now().await;
            }
        });
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn a_threshold_of_zero_is_an_error_that_says_what_to_do() {
    let error = EventLoop::builder().stall_threshold(Duration::ZERO).build().unwrap_err();
    assert!(error.to_string().contains("`Duration::MAX` to report none"), "{error}");
    let mut never = EventLoop::builder().stall_threshold(Duration::MAX).build().unwrap();
    never.block_on(yield_now());
    // Its watcher is started nevertheless, and ends with it.
    let watched = EventLoop::builder().stall_threshold(Duration::MAX).stall_watcher(true);
    watched.build().unwrap().block_on(async { sleep(ms(1)).await });
}
