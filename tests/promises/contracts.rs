//! The contracts that users rely on, a test for each: see `docs/design.md`.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io::Write;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::wakers::{foreign, foreign_owning};
use crate::support::*;
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::task::{self, yield_now};
use headwaiter::time::{self, sleep, timeout};
use headwaiter::{EventLoop, Handle, Interest, Next, block_on, on_ready, spawn, stats};

#[test]
fn a_turn_dispatches_events_then_mail_then_timers_then_tasks() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let log = |what: &'static str| {
            let order = Arc::clone(&order);
            move || order.lock().unwrap().push(what)
        };
        let (server, mut client) = mio_pair();
        let (event, task, timer, mail) = (log("event"), log("task"), log("timer"), log("mail"));
        let _registration = event_loop.enter(|| {
            on_ready(server, Interest::READABLE, move |_, ready| {
                if ready.is_readable() {
                    event();
                    let task = task.clone();
                    drop(spawn(async move { task() }));
                }
                Next::Continue
            })
        });
        let _armed = event_loop.enter(|| {
            let mut sleep = time::sleep_until(Instant::now());
            let waker = foreign(timer);
            assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
            sleep
        });
        drop(event_loop.handle().spawn(move || {
            mail();
            async {}
        }));
        client.write_all(b"x").unwrap();
        let turn = event_loop.turn(None).unwrap();
        assert_eq!(*order.lock().unwrap(), ["event", "mail", "timer", "task"]);
        assert_eq!((turn.events, turn.timers, turn.polls, turn.full), (1, 1, 2, false));
    });
}

#[test]
fn a_task_woken_during_its_own_poll_runs_again_in_the_next_turn() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        drop(event_loop.enter(|| {
            spawn(poll_fn(move |cx| {
                counted.set(counted.get() + 1);
                cx.waker().wake_by_ref();
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            }))
        }));
        for turn in 1..=200 {
            assert_eq!(event_loop.turn(Some(Duration::ZERO)).unwrap().polls, 1);
            assert_eq!(polls.get(), turn);
        }
    });
}

#[test]
fn a_batch_is_what_was_ready_at_its_start() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let ran = Rc::new(Cell::new(0));
        let inner = Rc::clone(&ran);
        drop(event_loop.enter(|| {
            spawn(async move {
                drop(spawn(async move { inner.set(1) }));
            })
        }));
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(ran.get(), 0);
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(ran.get(), 1);
    });
}

#[headwaiter::test(within = "60s")]
#[cfg(unix)]
async fn with_tasks_ready_the_kernel_is_asked_after_64_polls() {
    let _beside_others = beside_other_tests();
    const TASKS: u32 = 4;
    let polls = Rc::new(Cell::new(0_u32));
    for _ in 1..TASKS {
        let polls = Rc::clone(&polls);
        drop(spawn(async move {
            loop {
                polls.set(polls.get() + 1);
                yield_now().await;
            }
        }));
    }
    // Unlike with TCP, what was written to one end is at the other when the call returns.
    let (server, mut client) = mio::net::UnixStream::pair().unwrap();
    let (served_at, now) = (Rc::new(Cell::new(None)), Rc::clone(&polls));
    let serve = Rc::clone(&served_at);
    let _registration = on_ready(server, Interest::READABLE, move |_, _| {
        serve.set(Some(now.get()));
        Next::Continue
    });
    for round in 0..20 {
        served_at.set(None);
        let before = polls.get();
        client.write_all(b"x").unwrap();
        while served_at.get().is_none() {
            polls.set(polls.get() + 1);
            yield_now().await;
        }
        // No later than at the end of the batch in which it was the 64th. Nor sooner, counted from when it was served last.
        let waited = served_at.get().unwrap() - before;
        assert!(waited < 64 + TASKS, "round {round}: {waited} polls");
        assert!(round == 0 || waited > 64 - 2 * TASKS, "round {round}: {waited} polls");
    }
}

#[headwaiter::test(within = "60s")]
async fn beside_long_polls_the_kernel_is_asked_every_5_ms_and_their_order_stays() {
    let _beside_others = beside_other_tests();
    /// A piece that takes 1 ms, or longer if the machine is busy.
    async fn compute() {
        let began = Instant::now();
        while began.elapsed() < ms(1) {}
        yield_now().await;
    }
    let asked = || stats().turn_times.count;
    for _ in 0..20 {
        compute().await; // The loop has to notice that the polls have become long.
    }
    let before = asked();
    for _ in 0..60 {
        compute().await;
    }
    assert!(asked() - before >= 60 / 6, "one task: {} times", asked() - before);

    let before = asked();
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks = [0; 20].map(|_| {
        let order = Rc::clone(&order);
        spawn(async move {
            for _ in 0..3 {
                order.borrow_mut().push(task::id());
                compute().await;
            }
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    assert!(asked() - before >= 60 / 6, "a batch of 20: {} times", asked() - before);
    let order = order.borrow();
    assert!(order[..20] == order[20..40] && order[..20] == order[40..], "{order:?}");
}

#[headwaiter::test(within = "60s")]
async fn no_task_hogs_a_turn_by_never_waiting() {
    let _beside_others = beside_other_tests();
    let (mut client, mut server) = tcp_pair().await.unwrap();
    client.write_all(&vec![7; 100_000]).await.unwrap();
    let reads = Rc::new(Cell::new(0));
    let counted = Rc::clone(&reads);
    let reader = spawn(async move {
        // One byte at a time, always ready: 100,000 reads, unless the budget ends the poll.
        let mut byte = [0];
        while server.read(&mut byte).await.unwrap() == 1 {
            counted.set(counted.get() + 1);
        }
    });
    let mut before = 0;
    for _ in 0..20 {
        yield_now().await;
        assert!(reads.get() - before <= 128, "{} reads in one poll", reads.get() - before);
        before = reads.get();
    }
    assert!(before > 128);
    reader.abort();
}

#[headwaiter::test(within = "60s")]
async fn a_wake_is_not_lost_whenever_it_comes() {
    let _beside_others = beside_other_tests();
    // Before the first poll returns, between polls, twice, from a thread, and by a kept waker.
    let waker = own_waker().await;
    for _ in 0..1000 {
        waker.wake_by_ref();
        let mut first = true;
        poll_fn(|_| if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }).await;
    }
    for _ in 0..1000 {
        let (sender, receiver) = mpsc::channel::<Waker>();
        let thread = thread::spawn(move || receiver.recv().unwrap().wake());
        let mut sent = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut sent, true) {
                return Poll::Ready(());
            }
            sender.send(cx.waker().clone()).unwrap();
            Poll::Pending
        })
        .await;
        thread.join().unwrap();
    }
}

#[headwaiter::test(within = "60s")]
async fn a_timer_never_fires_early() {
    let _beside_others = beside_other_tests();
    for micros in [0, 1, 10, 100, 999, 1000, 1001, 2500, 7777] {
        let start = Instant::now();
        sleep(Duration::from_micros(micros)).await;
        assert!(start.elapsed() >= Duration::from_micros(micros));
    }
}

#[test]
fn sleep_zero_yields_once() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let task = event_loop.enter(|| spawn(async { sleep(Duration::ZERO).await }));
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert!(!event_loop.enter(|| task.is_finished()));
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert!(event_loop.enter(|| task.is_finished()));
    });
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn timers_fire_in_the_order_of_their_deadlines() {
    let _beside_others = beside_other_tests();
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = [30, 10, 20, 10, 0, 30]
        .into_iter()
        .enumerate()
        .map(|(n, millis)| {
            let order = Rc::clone(&order);
            spawn(async move {
                sleep(ms(millis)).await;
                order.borrow_mut().push((millis, n));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.borrow(), [(0, 4), (10, 1), (10, 3), (20, 2), (30, 0), (30, 5)]);
}

#[test]
fn next_deadline_is_exact_and_in_the_past_while_anything_is_ready() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        assert_eq!(event_loop.next_deadline(), None);
        let deadline = Instant::now() + Duration::from_secs(3600);
        let task = event_loop.enter(|| spawn(time::sleep_until(deadline)));
        assert!(event_loop.next_deadline().unwrap() <= Instant::now());
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(event_loop.next_deadline(), Some(deadline));
        let earlier = event_loop.enter(|| spawn(time::sleep_until(deadline - ms(1))));
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(event_loop.next_deadline(), Some(deadline - ms(1)));
        event_loop.enter(|| earlier.abort());
        assert_eq!(event_loop.next_deadline(), Some(deadline));
        let handle = event_loop.handle();
        thread::spawn(move || drop(handle.spawn(|| async {}))).join().unwrap();
        assert!(event_loop.next_deadline().unwrap() <= Instant::now());
        drop(task);
    });
}

#[test]
#[cfg(unix)]
fn another_poller_can_watch_the_loop() {
    use mio::unix::SourceFd;
    use std::os::fd::{AsFd, AsRawFd};
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut outer = mio::Poll::new().unwrap();
        let fd = event_loop.as_fd().as_raw_fd();
        assert_eq!(fd, event_loop.as_raw_fd());
        outer.registry().register(&mut SourceFd(&fd), mio::Token(1), Interest::READABLE).unwrap();
        let mut events = mio::Events::with_capacity(8);
        outer.poll(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty());
        let handle = event_loop.handle();
        let sent = thread::spawn(move || handle.spawn(|| async { 5 }));
        outer.poll(&mut events, None).unwrap();
        assert!(!events.is_empty());
        let five = sent.join().unwrap();
        while !five.is_finished() {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(five.wait().unwrap(), 5);
    });
}

#[test]
fn dropping_a_join_handle_detaches_the_task() {
    in_every_order(|| async {
        let ran = Rc::new(Cell::new(false));
        let inner = Rc::clone(&ran);
        drop(spawn(async move {
            yield_now().await;
            inner.set(true);
        }));
        for _ in 0..3 {
            yield_now().await;
        }
        assert!(ran.get());
    });
}

/// Unlike tokio: there, the future is dropped when its task is scheduled next.
#[test]
fn abort_drops_the_future_inside_the_call_and_before_it_is_reported() {
    in_every_order(|| async {
        let dropped = Rc::new(Cell::new(false));
        let seen = Rc::clone(&dropped);
        let task =
            spawn(Holding(OnDrop(move || seen.set(true)), |_: &mut Context<'_>| Poll::Pending));
        yield_now().await;
        task.abort();
        assert!(dropped.get());
        assert!(task.is_finished());
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn abort_of_the_running_task_drops_its_future_after_the_poll() {
    in_every_order(|| async {
        let dropped = Rc::new(Cell::new(false));
        let seen = Rc::clone(&dropped);
        let own_handle = Rc::new(RefCell::new(None::<task::JoinHandle<()>>));
        let of_task = Rc::clone(&own_handle);
        let in_poll = Rc::clone(&dropped);
        let task = spawn(Holding(OnDrop(move || seen.set(true)), move |_: &mut Context<'_>| {
            of_task.borrow().as_ref().unwrap().abort();
            assert!(!in_poll.get(), "dropped while it was polled");
            Poll::Pending
        }));
        *own_handle.borrow_mut() = Some(task);
        while !dropped.get() {
            yield_now().await;
        }
        let task = own_handle.borrow_mut().take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn abort_from_another_thread_drops_the_future_at_home() {
    in_every_order(|| async {
        let home = thread::current().id();
        let (tell, told) = mpsc::channel();
        let not_send = Rc::new(());
        let on_drop = OnDrop(move || {
            let _ = &not_send;
            tell.send(thread::current().id()).unwrap();
        });
        let task = spawn(Holding(on_drop, |_: &mut Context<'_>| Poll::Pending));
        yield_now().await;
        let task = thread::spawn(move || {
            task.abort();
            task
        })
        .join()
        .unwrap();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(told.try_recv(), Ok(home));
    });
}

#[test]
fn aborting_a_finished_task_keeps_its_output() {
    in_every_order(|| async {
        let task = spawn(async { 5 });
        while !task.is_finished() {
            yield_now().await;
        }
        task.abort();
        task.abort();
        assert_eq!(task.await.unwrap(), 5);
    });
}

#[test]
fn a_panic_in_a_task_becomes_its_join_error() {
    in_every_order(|| async {
        let task = task::Builder::new()
            .name("oven")
            .spawn(async { panic!("on {}", std::hint::black_box("fire")) });
        let error = task.await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        let text = error.to_string();
        assert!(
            text.contains("\"oven\"") && text.contains("on fire") && text.contains("contracts.rs"),
            "{text}"
        );
        assert_eq!(*error.into_panic().downcast::<String>().unwrap(), "on fire");
    });
}

#[test]
fn a_panic_in_the_main_future_goes_on_and_leaves_the_loop_usable() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let others = Rc::new(Cell::new(0));
        let counted = Rc::clone(&others);
        let text = panic_text(|| {
            event_loop.block_on(async {
                for _ in 0..3 {
                    let counted = Rc::clone(&counted);
                    drop(spawn(async move { counted.set(counted.get() + 1) }));
                }
                panic!("main is gone");
            });
        });
        assert_eq!(text, "main is gone");
        event_loop.block_on(yield_now());
        assert_eq!(others.get(), 3);
    });
}

#[test]
fn after_a_panic_of_the_main_future_the_rest_of_its_batch_runs_first() {
    bounded(|| {
        for before in [0, 1, 508, 509] {
            let mut event_loop = EventLoop::new().unwrap();
            event_loop.block_on(async {
                for _ in 0..before {
                    yield_now().await;
                }
            });
            let order = Rc::new(RefCell::new(Vec::new()));
            let note = |what: &'static str| {
                let order = Rc::clone(&order);
                drop(spawn(async move { order.borrow_mut().push(what) }));
            };
            let mut first = true;
            let text = panic_text(|| {
                event_loop.block_on(poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if std::mem::take(&mut first) {
                        note("the rest of its batch");
                        return Poll::<()>::Pending;
                    }
                    note("the next batch");
                    panic!("main is gone");
                }));
            });
            assert_eq!(text, "main is gone");
            event_loop.block_on(async { order.borrow_mut().push("the next main") });
            assert_eq!(
                *order.borrow(),
                ["the rest of its batch", "the next batch", "the next main"]
            );
            let stats = event_loop.enter(stats);
            assert_eq!((stats.polls, stats.wakes), (before + 1 + 5, before + 2), "{stats}");
            // Every 512th poll is timed. With 509 before, that is the one that panics, and its time is not known.
            let timed = if before == 508 { 1 } else { 0 };
            assert_eq!(stats.poll_times.count, timed, "{before} before: {stats}");
        }
    });
}

/// One poll in 512 is timed, and takes another way through the loop.
#[test]
fn however_a_task_ends_it_does_in_a_poll_that_is_timed_as_in_any_other() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum End {
        Output,
        Panic,
        AbortedThenPending,
        AbortedThenOutput,
        AbortedThenPanic,
        Deadlock,
    }
    use End::*;
    bounded(|| {
        for yields in 509..514 {
            for end in
                [Output, Panic, AbortedThenPending, AbortedThenOutput, AbortedThenPanic, Deadlock]
            {
                for joined in [true, false] {
                    let mut event_loop = virtual_loop();
                    let own_handle = Rc::new(RefCell::new(None::<task::JoinHandle<Rc<()>>>));
                    let (of_task, future, output) =
                        (Rc::clone(&own_handle), Rc::new(()), Rc::new(()));
                    let (in_future, in_output) = (Rc::clone(&future), Rc::clone(&output));
                    let task = event_loop.enter(|| {
                        spawn(async move {
                            let _in_future = in_future;
                            for _ in 0..yields {
                                yield_now().await;
                            }
                            if matches!(
                                end,
                                AbortedThenPending | AbortedThenOutput | AbortedThenPanic
                            ) {
                                of_task.borrow().as_ref().unwrap().abort();
                            }
                            if !joined {
                                drop(of_task.take());
                            }
                            match end {
                                Output | AbortedThenOutput => {}
                                Panic | AbortedThenPanic => resume_unwind(Box::new("on purpose")),
                                AbortedThenPending => pending().await,
                                Deadlock => {
                                    let mutex = headwaiter::sync::Mutex::new(());
                                    let _held = mutex.lock().await;
                                    drop(mutex.lock().await);
                                }
                            }
                            in_output
                        })
                    });
                    *own_handle.borrow_mut() = Some(task);
                    for _ in 0..=yields {
                        assert_eq!(Rc::strong_count(&future), 2);
                        assert_eq!(event_loop.turn(Some(Duration::ZERO)).unwrap().polls, 1);
                    }
                    if let Deadlock = end {
                        // It is resolved before the loop sleeps: at the beginning of the next turn.
                        assert_eq!(event_loop.turn(Some(Duration::ZERO)).unwrap().polls, 0);
                    }
                    let case = format!("{end:?} in poll {}, joined: {joined}", yields + 1);
                    assert_eq!(Rc::strong_count(&future), 1, "{case}");
                    let stats = event_loop.enter(stats);
                    assert_eq!((stats.polls, stats.wakes), (yields + 1, yields), "{case}");
                    assert_eq!(stats.poll_times.count, stats.polls / 512, "{case}");
                    if let Some(task) = own_handle.take() {
                        let result = event_loop.block_on(task);
                        let ended_so = match &result {
                            Ok(_) => matches!(end, Output | AbortedThenOutput),
                            Err(error) if error.is_panic() => {
                                matches!(end, Panic | AbortedThenPanic)
                            }
                            Err(error) if error.is_deadlock() => end == Deadlock,
                            Err(error) => error.is_cancelled() && end == AbortedThenPending,
                        };
                        assert!(ended_so, "{case}: {result:?}");
                    }
                    assert_eq!(Rc::strong_count(&output), 1, "{case}");
                }
            }
        }
    });
}

/// Its drop uses the loop, which fails while the loop is borrowed.
struct NeedsTheLoop(Rc<Cell<u32>>);

impl Drop for NeedsTheLoop {
    fn drop(&mut self) {
        drop(spawn(async {}));
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn whatever_becomes_of_an_output_and_a_joiner_they_are_dropped_with_nothing_borrowed() {
    #[derive(Clone, Copy, Debug)]
    enum Case {
        Finishes,
        Panics,
        IsAborted,
        IsDetached,
        DetachesItself,
        IsJoinedByAnother,
        IsJoinedByATask,
    }
    use Case::*;
    bounded(|| {
        let cases = [
            Finishes,
            Panics,
            IsAborted,
            IsDetached,
            DetachesItself,
            IsJoinedByAnother,
            IsJoinedByATask,
        ];
        for (case, ends) in cases.into_iter().flat_map(|case| [(case, true), (case, false)]) {
            let mut event_loop = EventLoop::new().unwrap();
            let (outputs, joiners) = (Rc::new(Cell::new(0)), Arc::new(AtomicUsize::new(0)));
            let handle = Rc::new(RefCell::new(None::<task::JoinHandle<NeedsTheLoop>>));
            let (output, of_task) = (NeedsTheLoop(Rc::clone(&outputs)), Rc::clone(&handle));
            let task = event_loop.enter(|| {
                spawn(async move {
                    yield_now().await;
                    yield_now().await;
                    match case {
                        Panics => resume_unwind(Box::new("on purpose")),
                        DetachesItself => drop(of_task.take()),
                        _ => {}
                    }
                    if !ends {
                        pending::<()>().await;
                    }
                    output
                })
            });
            *handle.borrow_mut() = Some(task);
            let join = |waker: &Waker| {
                let mut handle = handle.borrow_mut();
                assert!(
                    Pin::new(handle.as_mut().unwrap())
                        .poll(&mut Context::from_waker(waker))
                        .is_pending()
                );
            };
            let joiner = || {
                let joiners = Arc::clone(&joiners);
                let dropped = OnDrop(move || {
                    drop(spawn(async {}));
                    joiners.fetch_add(1, Ordering::Relaxed);
                });
                foreign_owning(dropped, |_| drop(spawn(async {})))
            };
            event_loop.enter(|| join(&joiner()));
            event_loop.turn(Some(Duration::ZERO)).unwrap();
            match case {
                IsAborted => event_loop.enter(|| handle.borrow().as_ref().unwrap().abort()),
                IsDetached => event_loop.enter(|| drop(handle.take())),
                IsJoinedByAnother => event_loop.enter(|| join(&joiner())),
                IsJoinedByATask => event_loop.block_on(poll_fn(|cx| {
                    join(cx.waker());
                    assert_eq!(joiners.load(Ordering::Relaxed), 1);
                    Poll::Ready(())
                })),
                _ => {}
            }
            for _ in 0..3 {
                event_loop.turn(Some(Duration::ZERO)).unwrap();
            }
            event_loop.enter(|| drop(handle.take()));
            let task_is_gone = ends || matches!(case, Panics | IsAborted);
            assert_eq!(outputs.get(), u32::from(task_is_gone), "{case:?}, ends: {ends}");
            let dropped = if let IsJoinedByAnother = case { 2 } else { 1 };
            assert_eq!(joiners.load(Ordering::Relaxed), dropped, "{case:?}, ends: {ends}");
            drop(event_loop);
            assert_eq!(outputs.get(), 1, "{case:?}, ends: {ends}");
        }
    });
}

#[test]
fn a_handle_that_is_lost_in_another_loop_detaches_its_task() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let output = Arc::new(());
        let (end, ended) = headwaiter::sync::oneshot::channel::<()>();
        let of_task = Arc::clone(&output);
        let mut task = event_loop.enter(|| {
            spawn(async move {
                let _ = ended.await;
                of_task
            })
        });
        // A task of this loop waits for it, and is not woken when the handle is lost.
        event_loop.block_on(async { assert!(poll_once(&mut task).await.is_pending()) });
        let elsewhere = thread::spawn(move || {
            let mut other = EventLoop::new().unwrap();
            panic_text(|| drop(other.block_on(task)))
        });
        let text = elsewhere.join().unwrap();
        assert!(text.contains("used in another event loop than the one that made it"), "{text}");
        event_loop.enter(|| end.send(()).unwrap());
        while Arc::strong_count(&output) > 1 {
            event_loop.turn(None).unwrap();
        }
    });
}

#[test]
fn when_the_loop_is_dropped_its_tasks_are_dropped_on_its_thread_each_once() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let drops = Rc::new(Cell::new(0));
        let home = thread::current().id();
        event_loop.enter(|| {
            for _ in 0..10 {
                let drops = Rc::clone(&drops);
                let on_drop = OnDrop(move || {
                    assert_eq!(thread::current().id(), home);
                    drops.set(drops.get() + 1);
                });
                drop(spawn(Holding(on_drop, |_: &mut Context<'_>| Poll::Pending)));
            }
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
        assert_eq!(drops.get(), 10);
    });
}

#[test]
fn spawn_on_a_dying_loop_drops_its_future_at_once() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let dropped = Rc::new(Cell::new(0));
        let (outer, inner) = (Rc::clone(&dropped), Rc::clone(&dropped));
        let spawning = OnDrop(move || {
            let count = Rc::clone(&inner);
            let on_drop = OnDrop(move || count.set(count.get() + 1));
            let task = spawn(Holding(on_drop, |_: &mut Context<'_>| Poll::Pending));
            assert_eq!(outer.get(), 1);
            assert!(task.is_finished());
        });
        event_loop.enter(|| drop(spawn(Holding(spawning, |_: &mut Context<'_>| Poll::Pending))));
        drop(event_loop);
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn handles_and_wakers_of_a_loop_that_is_gone_are_harmless() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let (waker, stream, sleep, task) = event_loop.block_on(async {
            let (stream, _) = tcp_pair().await.unwrap();
            let mut sleep = sleep(ms(1_000_000));
            assert!(poll_once(&mut sleep).await.is_pending());
            (own_waker().await, stream, sleep, spawn(pending::<()>()))
        });
        drop(event_loop);
        waker.wake_by_ref();
        let clone = waker.clone();
        thread::spawn(move || clone.wake()).join().unwrap();
        drop((stream, sleep));
        task.abort();
        drop(task);
        let late = handle.spawn(|| async { 5 });
        assert!(late.is_finished());
        assert!(late.wait().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_handle_dropped_on_another_thread_gives_its_slot_and_its_fd_back() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (stream, mut peer) = event_loop.block_on(async { tcp_pair().await.unwrap() });
        thread::spawn(move || drop(stream)).join().unwrap();
        // Closed: the peer reads the end. The message is harmless.
        let end = event_loop.block_on(async { peer.read(&mut [0; 8]).await });
        assert_eq!(end.unwrap(), 0);
    });
}

#[test]
fn one_loop_blocks_on_many_times_and_its_sockets_and_tasks_live_on() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let listener = event_loop.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let server = event_loop.enter(|| {
            spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(b"hello").await.unwrap();
            })
        });
        let mut hello = [0; 5];
        event_loop.block_on(async {
            TcpStream::connect(address).await.unwrap().read_exact(&mut hello).await.unwrap();
        });
        assert_eq!(&hello, b"hello");
        event_loop.block_on(server).unwrap();
    });
}

#[test]
fn the_main_future_may_borrow() {
    let text = String::from("not static");
    assert_eq!(block_on(async { text.len() }), 10);
}

#[test]
fn a_waker_of_an_earlier_block_on_does_not_count_for_a_later_one() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let earlier = event_loop.block_on(own_waker());
        let polls = Cell::new(0);
        event_loop.block_on(async {
            let mut later = Some(own_waker().await);
            poll_fn(|_| {
                polls.set(polls.get() + 1);
                earlier.wake_by_ref();
                if polls.get() == 1 {
                    let waker = later.take().unwrap();
                    thread::spawn(move || waker.wake());
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
        });
        assert_eq!(polls.get(), 2);
    });
}

/// Unlike tokio: there, instants have a type of their own.
#[headwaiter::test(clock = "virtual", within = "60s")]
async fn the_virtual_clock_jumps_to_the_next_timer_when_the_loop_is_idle() {
    let _beside_others = beside_other_tests();
    let real = Instant::now();
    let start = time::now();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(time::now() - start, Duration::from_secs(3600));
    let late = timeout(Duration::from_secs(60), pending::<()>()).await;
    assert!(late.is_err());
    assert_eq!(time::now() - start, Duration::from_secs(3660));
    assert!(real.elapsed() < Duration::from_secs(10));
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn the_virtual_clock_does_not_jump_while_a_task_is_ready() {
    let _beside_others = beside_other_tests();
    let timer = spawn(sleep(ms(1)));
    let start = time::now();
    for _ in 0..500 {
        yield_now().await;
        assert_eq!(time::now(), start);
    }
    timer.await.unwrap();
    assert_eq!(time::now() - start, ms(1));
}

with_both_streams! {
    /// Unlike tokio: there, a paused clock jumps as soon as the runtime is idle.
    fn the_virtual_clock_gives_the_kernel_its_grace_while_a_source_is_awaited(pair) {
        in_virtual_time(|| async {
            let (mut client, mut server) = pair().await.unwrap();
            let echo = spawn(async move {
                let mut bytes = [0; 4];
                while server.read_exact(&mut bytes).await.is_ok() {
                    server.write_all(&bytes).await.unwrap();
                }
            });
            let start = time::now();
            for _ in 0..100 {
                let round = async {
                    client.write_all(b"ping").await?;
                    client.read_exact(&mut [0; 4]).await
                };
                timeout(Duration::from_secs(1), round).await.expect("not timed out in virtual time").unwrap();
            }
            assert_eq!(time::now(), start);
            drop(client);
            echo.await.unwrap();
        });
    }
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn advance_moves_the_virtual_clock_and_fires_what_is_due() {
    let _beside_others = beside_other_tests();
    let task = spawn(sleep(ms(50)));
    yield_now().await;
    time::advance(ms(49)).await;
    assert!(!task.is_finished());
    time::advance(ms(1)).await;
    yield_now().await;
    assert!(task.is_finished());
}

#[test]
fn a_turn_under_a_virtual_clock_jumps_no_further_than_it_may_wait() {
    bounded(|| {
        let mut event_loop = virtual_loop();
        let task = event_loop.enter(|| spawn(sleep(ms(10))));
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        event_loop.turn(Some(ms(9))).unwrap();
        assert!(!event_loop.enter(|| task.is_finished()));
        event_loop.turn(Some(ms(1))).unwrap();
        assert!(event_loop.enter(|| task.is_finished()));
    });
}

with_both_streams! {
    fn dropping_any_future_leaves_nothing_behind(pair) {
        bounded(|| {
            let mut event_loop = EventLoop::new().unwrap();
            event_loop.block_on(async {
                let (mut client, _server) = pair().await.unwrap();
                let (peeker, _peer) = tcp_pair().await.unwrap();
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let mut buf = [0; 8];
                let full = vec![0; 64 * 1024];
                while let Poll::Ready(written) = poll_once(&mut client.write(&full)).await {
                    written.unwrap();
                }
                assert!(poll_once(&mut client.write_all(&full)).await.is_pending());
                assert!(poll_once(&mut client.read(&mut buf)).await.is_pending());
                assert!(poll_once(&mut client.read_exact(&mut buf)).await.is_pending());
                assert!(poll_once(&mut peeker.peek(&mut buf)).await.is_pending());
                assert!(poll_once(&mut client.readable()).await.is_pending());
                assert!(poll_once(&mut client.writable()).await.is_pending());
                assert!(poll_once(&mut listener.accept()).await.is_pending());
                assert!(poll_once(&mut sleep(ms(1))).await.is_pending());
                assert!(poll_once(&mut pin!(timeout(ms(1), pending::<()>()))).await.is_pending());
                assert!(poll_once(&mut time::interval_at(Instant::now(), ms(1)).tick()).await.is_pending());
            });
            // No timer was left to wake for, and no waiter: nothing is polled any more.
            assert_eq!(event_loop.next_deadline(), None);
            let turn = event_loop.turn(Some(ms(5))).unwrap();
            assert_eq!((turn.polls, turn.timers), (0, 0));
        });
    }
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_timed_out_future_is_dropped_before_its_end_is_reported() {
    let _beside_others = beside_other_tests();
    let dropped = Rc::new(Cell::new(false));
    let seen = Rc::clone(&dropped);
    let on_drop = OnDrop(move || seen.set(true));
    let mut late = pin!(timeout(ms(1), Holding(on_drop, |_: &mut Context<'_>| Poll::Pending)));
    assert!((&mut late).await.is_err());
    assert!(dropped.get());
}

/// Unlike tokio: there, the future is made where `spawn` is called, so it must be `Send`.
#[test]
fn remote_spawn_makes_the_future_at_home_and_brings_the_result_back() {
    bounded(|| {
        let (give, taken) = mpsc::channel();
        let server = thread::spawn(move || {
            block_on(async move {
                give.send((Handle::current(), thread::current().id(), own_waker().await)).unwrap();
                pending_until_woken().await;
            });
        });
        let (handle, home, end) = taken.recv().unwrap();
        let ran_at = handle.spawn(|| {
            let not_send = Rc::new(thread::current().id());
            async move { *not_send }
        });
        assert_eq!(ran_at.wait().unwrap(), home);
        // Awaited in another loop.
        let remote = handle.spawn(|| async { 6 * 7 });
        assert_eq!(block_on(remote).unwrap(), 42);
        // A panic in the closure, one in the future, and an abort.
        let never: fn() -> std::future::Ready<()> = || panic!("no future");
        assert!(handle.spawn(never).wait().unwrap_err().to_string().contains("no future"));
        let boom = handle.spawn(|| async { panic!("boom") });
        assert!(boom.wait().unwrap_err().to_string().contains("boom"));
        let aborted = handle.spawn(pending::<()>);
        aborted.abort();
        assert!(aborted.wait().unwrap_err().is_cancelled());
        end.wake();
        server.join().unwrap();
        assert!(handle.spawn(|| async {}).wait().unwrap_err().is_cancelled());
    });
}

/// Unlike tokio: there, a `JoinHandle` works in any executor.
#[test]
fn mistakes_are_named_with_the_way_out() {
    bounded(|| {
        let outside = ["outside any event loop", "block_on"];
        for text in [
            panic_text(|| drop(spawn(async {}))),
            panic_text(|| drop(sleep(ms(1)))),
            panic_text(|| _ = time::now()),
            panic_text(|| drop(Handle::current())),
            panic_text(|| drop(TcpStream::from_std(std_pair().0))),
            panic_text(|| drop(futures_lite::future::block_on(TcpListener::bind("127.0.0.1:0")))),
        ] {
            assert!(outside.iter().all(|part| text.contains(part)), "{text}");
        }
        block_on(async {
            let nested = panic_text(|| block_on(async {}));
            assert!(
                nested.contains("inside a running event loop") && nested.contains("`.await`"),
                "{nested}"
            );
            let mut other = EventLoop::new().unwrap();
            let turned = panic_text(|| drop(other.turn(None)));
            assert!(turned.contains("inside a running event loop"), "{turned}");
            let real = panic_text(|| _ = time::advance(ms(1)));
            assert!(real.contains("Clock::Virtual"), "{real}");
            let (task, remote) = (spawn(async {}), Handle::current().spawn(|| async {}));
            let waited = panic_text(|| drop(remote.wait()));
            assert!(waited.contains("`.await` the handle instead"), "{waited}");
            task.await.unwrap();
        });
        let mut first = EventLoop::new().unwrap();
        let (mut stream, task) =
            first.block_on(async { (tcp_pair().await.unwrap().0, spawn(async {})) });
        let another = panic_text(|| drop(block_on(async { stream.read(&mut [0]).await })));
        assert!(
            another.contains("another event loop") && another.contains("Handle::spawn"),
            "{another}"
        );
        let nowhere = panic_text(|| drop(stream.try_read(&mut [0])));
        assert!(nowhere.contains("outside any event loop"), "{nowhere}");
        let joined = panic_text(|| drop(block_on(task)));
        assert!(joined.contains("another event loop"), "{joined}");
    });
}

#[test]
fn a_callback_needs_no_future_and_shares_the_slots_of_futures() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (server, mut client) = mio_pair();
        let calls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&calls);
        let registration = event_loop
            .enter(|| {
                on_ready(server, Interest::READABLE, move |_, ready| {
                    counted.set(counted.get() + usize::from(ready.is_readable()));
                    Next::Continue
                })
            })
            .unwrap();
        client.write_all(b"x").unwrap();
        event_loop.turn(None).unwrap();
        assert_eq!(calls.get(), 1);
        let port =
            event_loop.enter(|| registration.with(|stream| stream.local_addr().unwrap().port()));
        assert_eq!(port, client.peer_addr().unwrap().port());
        event_loop.enter(|| drop(registration));
        client.write_all(b"y").ok();
        event_loop.turn(Some(ms(2))).unwrap();
        assert_eq!(calls.get(), 1);
    });
}

#[test]
fn a_callback_that_asks_to_be_called_again_is_without_a_new_event() {
    bounded(|| {
        use std::io::Read;
        let mut event_loop = EventLoop::new().unwrap();
        let (server, mut client) = mio_pair();
        client.write_all(b"four").unwrap();
        let read = Rc::new(RefCell::new(Vec::new()));
        let into = Rc::clone(&read);
        event_loop
            .enter(|| {
                on_ready(server, Interest::READABLE, move |stream, _| {
                    let mut byte = [0];
                    match stream.read(&mut byte) {
                        Ok(1) => into.borrow_mut().push(byte[0]),
                        _ => return Next::Remove,
                    }
                    Next::Again
                })
            })
            .unwrap()
            .detach();
        for _ in 0..4 {
            event_loop.turn(None).unwrap();
        }
        assert_eq!(*read.borrow(), b"four");
    });
}

#[test]
fn polls_and_wakes_are_counted_one_to_one() {
    in_every_order(|| async {
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let (sender, receiver) = mpsc::channel();
        let task = spawn(poll_fn(move |cx| {
            sender.send(cx.waker().clone()).unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            Poll::<()>::Pending
        }));
        // In some orders that task is polled after this one.
        yield_now().await;
        yield_now().await;
        for n in 1..=100 {
            assert_eq!(polls.load(Ordering::Relaxed), n);
            let waker = receiver.try_recv().unwrap();
            waker.wake_by_ref();
            waker.wake();
            yield_now().await;
            yield_now().await;
        }
        task.abort();
    });
}

#[test]
fn handles_are_send_though_the_loop_is_not() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<task::JoinHandle<Rc<()>>>();
    send::<headwaiter::Registration<Rc<()>>>();
    send::<TcpStream>();
    sync::<TcpStream>();
    send::<TcpListener>();
    sync::<TcpListener>();
    send::<time::Sleep>();
    sync::<time::Sleep>();
    send::<Handle>();
    sync::<Handle>();
    send::<headwaiter::RemoteHandle<()>>();
    send::<task::JoinError>();
    sync::<task::JoinError>();
}

#[test]
fn a_turn_says_when_the_kernel_may_have_more() {
    raise_file_limit();
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut clients = Vec::new();
        for _ in 0..1030 {
            let socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let registered =
                event_loop.enter(|| on_ready(socket, Interest::WRITABLE, |_, _| Next::Continue));
            clients.push(registered.unwrap());
        }
        let turn = event_loop.turn(None).unwrap();
        assert_eq!((turn.events, turn.full), (1024, true));
        let turn = event_loop.turn(None).unwrap();
        assert_eq!((turn.events, turn.full), (6, false));
        event_loop.enter(|| drop(clients));
    });
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn an_interval_ticks_at_its_multiples_and_treats_missed_ticks_as_told() {
    let _beside_others = beside_other_tests();
    use time::MissedTickBehavior::{Burst, Delay, Skip};
    for (behavior, after_a_gap) in
        [(Burst, [10, 20, 30, 40]), (Delay, [10, 45, 55, 65]), (Skip, [10, 40, 50, 60])]
    {
        let start = time::now();
        let mut ticks = time::interval(ms(10));
        ticks.set_missed_tick_behavior(behavior);
        assert_eq!(ticks.tick().await, start);
        time::advance(ms(35)).await;
        for due in after_a_gap {
            assert_eq!(ticks.tick().await - start, ms(due), "{behavior:?}");
        }
    }
}

#[test]
fn a_socket_goes_through_std_to_another_loop() {
    bounded(|| {
        let (stream, mut peer) = std_pair();
        let back = block_on(async { TcpStream::from_std(stream).unwrap().into_std().unwrap() });
        block_on(async {
            let mut stream = TcpStream::from_std(back).unwrap();
            stream.write_all(b"soup").await.unwrap();
        });
        let mut soup = String::new();
        std::io::Read::read_to_string(&mut peer, &mut soup).unwrap();
        assert_eq!(soup, "soup");
        let listener =
            block_on(async { TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap() });
        assert!(listener.local_addr().is_ok());
    });
}

#[test]
fn a_socket_given_to_std_does_not_block_until_it_is_told_to() {
    use std::io::{ErrorKind, Read};
    bounded(|| {
        let (stream, peer) = std_pair();
        let mut back = block_on(async { TcpStream::from_std(stream).unwrap().into_std().unwrap() });
        assert_eq!(back.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        back.set_nonblocking(false).unwrap();
        let reading = thread::spawn(move || back.read(&mut [0; 4]).unwrap());
        (&peer).write_all(b"soup").unwrap();
        assert!(reading.join().unwrap() > 0);

        let socket = block_on(async {
            headwaiter::net::UdpSocket::bind("127.0.0.1:0").await.unwrap().into_std().unwrap()
        });
        assert_eq!(socket.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let listener =
            block_on(async { TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap() });
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        #[cfg(unix)]
        block_on(async {
            use headwaiter::net::UnixDatagram;
            let (stream, _peer) = unix_pair().await.unwrap();
            let mut stream = stream.into_std().unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            let (datagram, _peer) = UnixDatagram::pair().unwrap();
            let datagram = datagram.into_std().unwrap();
            assert_eq!(datagram.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            datagram.set_nonblocking(false).unwrap();
        });
    });
}

/// A task that waits for a lock is looked at after its poll, which is no poll.
#[test]
fn a_turn_counts_each_poll_once() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mutex = Rc::new(headwaiter::sync::Mutex::new(()));
        let guard = mutex.try_lock().unwrap();
        for _ in 0..2 {
            let mutex = Rc::clone(&mutex);
            drop(event_loop.enter(|| spawn(async move { drop(mutex.lock().await) })));
        }
        assert_eq!(event_loop.turn(Some(Duration::ZERO)).unwrap().polls, 2);
        drop(guard);
        assert_eq!(event_loop.turn(Some(Duration::ZERO)).unwrap().polls, 1);
    });
}

#[headwaiter::test(within = "60s")]
async fn the_kernel_is_asked_before_a_task_that_used_its_budget_up_runs_again() {
    let _beside_others = beside_other_tests();
    let (server, mut client) = mio_pair();
    let (polls, seen) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(None)));
    let (count, see) = (Rc::clone(&polls), Rc::clone(&seen));
    let _registration = on_ready(server, Interest::READABLE, move |_, ready| {
        if ready.is_readable() && see.get().is_none() {
            see.set(Some(count.get()));
        }
        Next::Continue
    });
    let mut hog = Box::pin(async {
        let semaphore = headwaiter::sync::Semaphore::new(1);
        loop {
            drop(semaphore.acquire().await);
        }
    });
    let hog: task::JoinHandle<()> = spawn(poll_fn({
        let polls = Rc::clone(&polls);
        move |cx| {
            polls.set(polls.get() + 1);
            hog.as_mut().poll(cx)
        }
    }));
    client.write_all(b"x").unwrap();
    while seen.get().is_none() {
        yield_now().await;
    }
    hog.abort();
    assert!(seen.get() <= Some(2), "{seen:?} polls before the event");
}

#[headwaiter::test(within = "60s")]
async fn mail_is_taken_before_the_next_batch() {
    let _beside_others = beside_other_tests();
    let task = spawn(pending::<()>());
    yield_now().await;
    let task = thread::spawn(move || {
        task.abort();
        task
    });
    let task = task.join().unwrap();
    yield_now().await;
    assert!(task.is_finished());
}
