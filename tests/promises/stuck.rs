//! Tasks that can never continue are reported, with what each waits for. A program that can continue is never accused.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{ErrorKind, Write};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::logged::without_stalls;
use crate::support::random::Random;
use crate::support::*;
use futures_lite::StreamExt;
use futures_lite::future::{or, zip};
use headwaiter::net::UdpSocket;
use headwaiter::sync::{Mutex, MutexGuard, Notify, mpsc, oneshot};
use headwaiter::task::{self, CancelToken, JoinHandle, TaskGroup, yield_now};
use headwaiter::time::{sleep, timeout};
use headwaiter::{Clock, Deadlock, EventLoop, Handle, Interest, Next, on_ready};
use log::LevelFilter;

/// Runs `test` in a loop, and returns what was logged meanwhile.
#[track_caller]
fn logged<F: Future<Output = ()> + 'static>(
    deadlock: Deadlock,
    test: impl FnOnce() -> F + Send + 'static,
) -> Vec<String> {
    logged_outside(move || block_on(&mut loop_with(deadlock), Box::pin(test())))
}

/// Runs `test` outside any loop, and returns what was logged meanwhile.
#[track_caller]
fn logged_outside(test: impl FnOnce() + Send + 'static) -> Vec<String> {
    without_stalls(logged::logged(LevelFilter::Warn, test))
}

fn loop_with(deadlock: Deadlock) -> EventLoop {
    EventLoop::builder().clock(Clock::Virtual).deadlock(deadlock).build().unwrap()
}

/// Nothing is logged and no task is dropped.
#[track_caller]
fn never_accused<F: Future<Output = ()> + 'static>(test: impl Fn() -> F + Clone + Send + 'static) {
    for deadlock in [Deadlock::Warn, Deadlock::Fail] {
        let said = logged(deadlock, test.clone());
        assert!(said.is_empty(), "{deadlock:?} accused: {said:#?}");
    }
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

/// What a task has received after its budget had refused it is no wait any more.
#[test]
fn a_receive_that_was_refused_once_hides_no_deadlock() {
    let said = logged(Deadlock::Warn, || async {
        let (bell, mut rings) = mpsc::unbounded_channel();
        for _ in 0..200 {
            bell.send(()).unwrap();
        }
        let (left, right) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
        let (other_left, other_right) = (Rc::clone(&left), Rc::clone(&right));
        let a = named("a", async move {
            let _left = left.lock().await;
            for _ in 0..200 {
                rings.next().await;
            }
            let _right = right.lock().await;
        });
        let b = named("b", async move {
            let _right = other_right.lock().await;
            yield_now().await;
            let _left = other_left.lock().await;
        });
        sleep(ms(1)).await;
        a.abort();
        b.await.unwrap();
        drop(bell);
    });
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("2 tasks wait for each other"), "{said:#?}");
}

/// A line of a report: `task 3 "b" (spawned at ...) waits at FILE:12:34 for the lock "left", which task 2 "a" holds since
/// FILE:10:34`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Accused {
    who: String,
    lock: String,
    holder: String,
    /// How many lines above the wait it was locked.
    lines_above: u32,
}

/// Which task waits for which lock, and which task holds it, in the order of the tasks' names.
#[track_caller]
fn accused(report: &str) -> Vec<Accused> {
    let line_of = |text: &str, before: &str| -> u32 {
        let at = text.split(before).nth(1).unwrap_or_else(|| panic!("no {before:?} in {text}"));
        let line = at
            .strip_prefix("tests/promises/stuck.rs:")
            .expect("a place in this file")
            .split(':')
            .next();
        line.unwrap().parse().expect("a line")
    };
    let lines = report.lines().filter(|line| line.contains(" waits at ")).map(|line| {
        let quoted: Vec<_> = line.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        let [who, lock, holder] =
            quoted.try_into().unwrap_or_else(|_| panic!("three names: {line}"));
        let (waits, holds) = (line_of(line, " waits at "), line_of(line, " holds since "));
        Accused { who, lock, holder, lines_above: waits - holds }
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    lines
}

/// As [`accused`] gives it, of tasks that have locked two lines above their wait.
fn waits_for(who: &str, lock: &str, holder: &str) -> Accused {
    Accused {
        who: who.to_owned(),
        lock: lock.to_owned(),
        holder: holder.to_owned(),
        lines_above: 2,
    }
}

/// Unlike tokio: there, deadlocks are not reported.
#[test]
fn two_locks_in_opposite_order_are_reported_with_who_waits_for_whom_and_the_lines() {
    let said = logged(Deadlock::Warn, || async {
        let (a, b) = opposite();
        sleep(ms(1)).await;
        assert!(!a.is_finished() && !b.is_finished(), "`Warn` only reports");
        a.abort();
        b.await.unwrap();
    });
    let [report] = &said[..] else { panic!("one report: {said:#?}") };
    assert!(report.contains("2 tasks wait for each other"), "{report}");
    assert_eq!(
        accused(report),
        [waits_for("a", "right", "b"), waits_for("b", "left", "a")],
        "{report}"
    );
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
        assert_eq!(
            accused(&text),
            [waits_for("a", "right", "b"), waits_for("b", "left", "a")],
            "{text}"
        );
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
        assert!(
            text.contains("a task waits for itself") && text.contains("the lock \"mine\""),
            "{text}"
        );
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
        let forks: Vec<_> =
            (0..3).map(|n| Rc::new(Mutex::named(format!("fork {n}"), ()))).collect();
        let eat = |left: Rc<Mutex<()>>, right: Rc<Mutex<()>>| async move {
            let _left = left.lock().await;
            yield_now().await;
            let _right = right.lock().await;
        };
        let dine = |n: usize| {
            named(&format!("philosopher {n}"), eat(forks[n].clone(), forks[(n + 1) % 3].clone()))
        };
        let table: Vec<_> = (0..3).map(dine).collect();
        sleep(ms(1)).await;
        table[0].abort();
    });
    let [report] = &said[..] else { panic!("one report: {said:#?}") };
    assert!(report.contains("3 tasks wait for each other"), "{report}");
    let expected = [0, 1, 2].map(|n| {
        let right = (n + 1) % 3;
        waits_for(
            &format!("philosopher {n}"),
            &format!("fork {right}"),
            &format!("philosopher {right}"),
        )
    });
    assert_eq!(accused(report), expected, "{report}");
}

#[test]
fn tasks_that_join_each_other_are_reported_with_who_waits_for_whom() {
    let said = logged(Deadlock::Fail, || async {
        // The task that closes the cycle is dropped, and the other gets the report.
        let (ended, report) = oneshot::channel::<String>();
        let ended = Rc::new(Cell::new(Some(ended)));
        let join = |other: JoinHandle<()>, ended: Rc<Cell<Option<oneshot::Sender<String>>>>| async move {
            let error = other.await.unwrap_err();
            assert!(error.is_deadlock());
            ended.take().unwrap().send(error.to_string()).unwrap();
        };
        let (give, take) = oneshot::channel();
        let (of_first, of_second) = (ended.clone(), ended);
        let first = named("first", async move { join(take.await.unwrap(), of_first).await });
        let second = named("second", join(first, of_second));
        give.send(second).unwrap();
        let report = timeout(ms(10), report).await.expect("the knot was cut").unwrap();
        assert!(report.contains("2 tasks wait for each other"), "{report}");
        for (who, whom) in [("first", "second"), ("second", "first")] {
            let lines = report.lines().filter(|line| {
                line.split_once(" waits for the end of task ").is_some_and(|(waits, waited_for)| {
                    waits.contains(&format!("\"{who}\""))
                        && waited_for.ends_with(&format!("\"{whom}\""))
                })
            });
            assert_eq!(lines.count(), 1, "{who} waits for {whom}: {report}");
        }
    });
    assert!(said.is_empty(), "{said:#?}");
}

/// No other task can get its error, so the error is logged.
#[test]
fn a_task_that_joins_itself_is_reported() {
    for deadlock in [Deadlock::Warn, Deadlock::Fail] {
        let said = logged(deadlock, move || async move {
            let (give, take) = oneshot::channel::<JoinHandle<()>>();
            let (dropped, was_dropped) = oneshot::channel::<()>();
            let own = named("own", async move {
                let _dropped = dropped;
                let _ = take.await.unwrap().await;
            });
            give.send(own).unwrap();
            let dropped_in_time = timeout(ms(10), was_dropped).await;
            assert_eq!(dropped_in_time.is_ok(), deadlock == Deadlock::Fail);
        });
        let [report] = &said[..] else { panic!("one report: {said:#?}") };
        assert!(report.contains("deadlock: a task waits for itself"), "{report}");
        let line =
            report.lines().find(|line| line.contains(" waits for the end of task ")).expect(report);
        assert_eq!(line.matches("\"own\"").count(), 2, "{report}");
    }
}

/// When each of these tasks is joined, it does not wait yet, so no join closes the cycle.
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
        for part in [
            "3 tasks wait for each other",
            "\"outer\"",
            "\"middle\"",
            "\"inner\"",
            "the lock \"held\"",
        ] {
            assert!(report.contains(part), "{part} is not in:\n{report}");
        }
    });
    assert!(said.is_empty(), "{said:#?}");
}

/// None of these may be accused, nor even wondered about.
#[test]
fn a_join_that_takes_the_place_of_a_foreign_waker_closes_a_knot_too() {
    bounded(|| {
        loop_with(Deadlock::Fail).block_on(async {
            let till = Rc::new(Mutex::named("till", ()));
            let (of_guest, of_cook) = (Rc::clone(&till), Rc::clone(&till));
            let cook = named("cook", async move {
                let _open = of_cook.lock().await;
                let mut guest = named("guest", async move { drop(of_guest.lock().await) });
                yield_now().await;
                yield_now().await;
                assert!(
                    Pin::new(&mut guest).poll(&mut Context::from_waker(Waker::noop())).is_pending()
                );
                let _ = guest.await;
            });
            let error = cook.await.unwrap_err();
            assert!(error.is_deadlock() && error.to_string().contains("\"guest\""), "{error}");
        });
    });
}

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
fn who_waits_for_a_token_or_a_group_is_never_accused() {
    never_accused(|| async {
        let token = CancelToken::new();
        let waits = named("waits", {
            let token = token.clone();
            async move { token.cancelled().await }
        });
        let runs = named("runs", {
            let token = token.clone();
            async move { token.run(std::future::pending::<()>()).await.unwrap_err() }
        });
        // In opposite order, and the token is the way out.
        let (left, right) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
        let careful = named("careful", {
            let (left, right, token) = (left.clone(), right.clone(), token.clone());
            async move {
                let _left = left.lock().await;
                yield_now().await;
                token.run(right.lock()).await.map(drop).unwrap_err()
            }
        });
        let careless = named("careless", async move {
            let _right = right.lock().await;
            yield_now().await;
            drop(left.lock().await);
        });
        let parent = named("parent", async {
            let group = TaskGroup::<()>::new();
            group.spawn(async {
                let inner = TaskGroup::new();
                inner.spawn(async {
                    sleep(ms(2)).await;
                    Ok(())
                });
                inner.join().await
            });
            group.join().await
        });
        sleep(ms(5)).await;
        token.cancel();
        waits.await.unwrap();
        runs.await.unwrap();
        careful.await.unwrap();
        careless.await.unwrap();
        parent.await.unwrap().unwrap();
    });
}

/// The thread is late enough in most of the rounds.
#[test]
fn a_loop_whose_token_another_thread_has_is_not_quiescent() {
    let said = logged_outside(|| {
        for _ in 0..50 {
            let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap();
            event_loop.block_on(async {
                let token = CancelToken::new();
                let theirs = token.clone();
                let thread = thread::spawn(move || {
                    (0..100).for_each(|_| thread::yield_now());
                    theirs.cancel();
                });
                token.cancelled().await;
                thread.join().unwrap();
            });
        }
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn who_got_a_future_that_another_task_had_polled_is_known_to_wait_for_it() {
    never_accused(|| async {
        // A channel's end, and in the other pair the future of a lock. Each new owner also waits for its own lock.
        let mutex = leaked(Mutex::new(()));
        let guard = mutex.lock().await;
        let (sender, mut receiver) = mpsc::unbounded::<()>();
        let (give, take) = oneshot::channel();
        let first = named("first", async move {
            assert!(poll_once(&mut receiver.next()).await.is_pending());
            let mut lock = Box::pin(mutex.lock());
            assert!(poll_once(&mut lock).await.is_pending());
            let _ = give.send((receiver, lock));
            sleep(ms(3)).await;
        });
        let (mut receiver, lock) = take.await.unwrap();
        let beside_own_lock = |name, future: Pin<Box<dyn Future<Output = ()>>>| {
            named(name, async move {
                let own = Mutex::new(());
                let _own = own.lock().await;
                or(async { drop(own.lock().await) }, future).await;
            })
        };
        let second = beside_own_lock(
            "second",
            Box::pin(async move { receiver.next().await.unwrap_or_default() }),
        );
        let third_may_go_on = or(async move { drop(lock.await) }, std::future::pending());
        let third = beside_own_lock("third", Box::pin(third_may_go_on));
        sleep(ms(5)).await;
        sender.send(()).unwrap();
        drop(guard);
        first.await.unwrap();
        second.await.unwrap();
        third.await.unwrap();
    });
}

/// Tasks of two loops have the same numbers.
#[test]
fn a_lock_that_a_task_of_another_loop_holds_accuses_nobody() {
    let said = logged_outside(|| {
        let mutex = Rc::new(Mutex::new(()));
        let (mut one, mut two) = (loop_with(Deadlock::Fail), loop_with(Deadlock::Fail));
        let lock = |event_loop: &mut EventLoop| {
            let mutex = mutex.clone();
            let task = event_loop.enter(|| {
                headwaiter::spawn(async move {
                    let _guard = mutex.lock().await;
                    sleep(ms(10)).await;
                })
            });
            event_loop.turn(Some(Duration::ZERO)).unwrap();
            task
        };
        let holder = lock(&mut one);
        let waiter = lock(&mut two);
        one.block_on(holder).unwrap();
        two.block_on(waiter).unwrap();

        // Three tasks of the first loop, and one of the second between them. Then one unlocks, and joins the last.
        let first = one.enter(|| {
            let mutex = mutex.clone();
            headwaiter::spawn(async move {
                let guard = mutex.lock().await;
                let lock = |then| {
                    let mutex = mutex.clone();
                    headwaiter::spawn(async move {
                        let _guard = mutex.lock().await;
                        sleep(then).await;
                    })
                };
                let (next, last) = (lock(ms(5)), lock(ms(1)));
                sleep(ms(1)).await;
                drop(guard);
                last.await.unwrap();
                next.await.unwrap();
            })
        });
        one.turn(Some(Duration::ZERO)).unwrap();
        one.turn(Some(Duration::ZERO)).unwrap();
        let between = lock(&mut two);
        while !one.enter(|| first.is_finished()) || !two.enter(|| between.is_finished()) {
            one.turn(Some(ms(1))).unwrap();
            two.turn(Some(ms(1))).unwrap();
        }
        one.block_on(first).unwrap();
        two.block_on(between).unwrap();
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn a_wait_that_is_over_while_its_loop_does_not_run_is_forgotten() {
    bounded(|| {
        let mut event_loop = virtual_loop();
        let (sender, mut receiver) = mpsc::unbounded();
        let task = event_loop.enter(|| {
            headwaiter::spawn(async move {
                receiver.recv().await;
                sleep(ms(10)).await;
            })
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        let dump = event_loop.enter(|| headwaiter::dump().to_string());
        assert!(dump.contains("waits for a message"), "{dump}");
        sender.send(()).unwrap();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        let dump = event_loop.enter(|| headwaiter::dump().to_string());
        assert!(dump.contains("waits for a timer") && !dump.contains("a message"), "{dump}");
        event_loop.block_on(task).unwrap();
    });
}

#[test]
fn odd_but_correct_programs_are_never_accused() {
    never_accused(|| async {
        // A handle that is polled once and put aside, and awaited by another task later.
        let mut slow = named("slow", sleep(ms(20)));
        let mutex = Rc::new(Mutex::new(0));
        let guard = mutex.lock().await;
        let aside = named("aside", {
            let mutex = mutex.clone();
            async move {
                assert!(poll_once(&mut slow).await.is_pending());
                drop(mutex.lock().await);
                named("other", async move { slow.await.unwrap() }).await.unwrap();
            }
        });
        sleep(ms(5)).await;
        drop(guard);
        aside.await.unwrap();

        // A combinator that polls all with the task's own waker, and drops one half way.
        let mut guard = Some(mutex.lock().await);
        let add = || async { *mutex.lock().await += 1 };
        let mut all: Vec<Pin<Box<dyn Future<Output = ()>>>> =
            vec![Box::pin(add()), Box::pin(add()), Box::pin(add())];
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            all.retain_mut(|future| future.as_mut().poll(cx).is_pending());
            match polls {
                1 => drop(all.remove(1)),
                _ => drop(guard.take()),
            }
            if polls < 3 {
                cx.waker().wake_by_ref();
            }
            if all.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(*mutex.lock().await, 2);

        // A guard that is passed on through a cell, and outlives the task that locked.
        let kept = leaked(Mutex::new(()));
        let cell: Rc<RefCell<Option<MutexGuard<'static, ()>>>> = Rc::default();
        let put = cell.clone();
        named("puts", async move { *put.borrow_mut() = Some(kept.lock().await) }).await.unwrap();
        let waits = named("waits", async move { drop(kept.lock().await) });
        sleep(ms(1)).await;
        drop(cell.take());
        waits.await.unwrap();

        // A callback wakes the task, and another thread's loop a second one.
        let (near, mut far) = mio_pair();
        let (waker, called) = (own_waker().await, Rc::new(Cell::new(false)));
        let call = called.clone();
        let _registration = on_ready(near, Interest::READABLE, move |_, _| {
            call.set(true);
            waker.wake_by_ref();
            Next::Continue
        });
        far.write_all(b"x").unwrap();
        std::future::poll_fn(|_| if called.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        let remote = Handle::current().spawn(|| sleep(ms(1)));
        remote.await.unwrap();

        // Either of two ends will do, and one of them waits for us.
        let held = mutex.lock().await;
        let waits_for_us = named("waits for us", {
            let mutex = mutex.clone();
            async move { drop(mutex.lock().await) }
        });
        let ends = named("ends", sleep(ms(2)));
        or(async { waits_for_us.await.unwrap() }, async { ends.await.unwrap() }).await;
        drop(held);
    });
}

#[test]
fn a_task_that_came_out_of_a_knot_is_seen_in_the_next() {
    for deadlock in [Deadlock::Fail, Deadlock::Warn] {
        let said = logged(deadlock, move || async move {
            let (left, right) =
                (Rc::new(Mutex::named("left", ())), Rc::new(Mutex::named("right", ())));
            let twice = named("twice", {
                let (left, right) = (left.clone(), right.clone());
                async move {
                    let _left = left.lock().await;
                    yield_now().await;
                    drop(right.lock().await);
                    drop(left.lock().await);
                }
            });
            let once = named("once", async move {
                let _right = right.lock().await;
                yield_now().await;
                yield_now().await;
                drop(left.lock().await);
            });
            sleep(ms(1)).await;
            once.abort(); // Under `Fail` it has ended.
            assert!(once.await.is_err());
            sleep(ms(1)).await;
            twice.abort();
            assert_eq!(twice.await.unwrap_err().is_deadlock(), deadlock == Deadlock::Fail);
        });
        let reports = if deadlock == Deadlock::Warn { 2 } else { 0 };
        assert_eq!(said.len(), reports, "{said:#?}");
    }
}

/// While there is a `Handle`, no task is accused. So the deadlock is found only after the late task has come.
#[test]
fn who_comes_late_to_a_knot_is_not_dropped_for_it() {
    let said = logged(Deadlock::Fail, || async {
        let handle = Handle::current();
        let mutex = Rc::new(Mutex::named("mine", ()));
        let twice = named("twice", {
            let mutex = mutex.clone();
            async move {
                let _guard = mutex.lock().await;
                drop(mutex.lock().await);
            }
        });
        sleep(ms(1)).await;
        assert!(!twice.is_finished());
        drop(handle);
        let late = named("late", async move { drop(mutex.lock().await) });
        assert!(twice.await.unwrap_err().is_deadlock());
        late.await.unwrap();
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn a_knot_or_a_lost_waker_is_seen_though_mail_came_meanwhile() {
    let said = logged(Deadlock::Warn, || async {
        let with_mail = |name, future: Pin<Box<dyn Future<Output = ()>>>| {
            let ended = headwaiter::spawn(async {});
            named(name, async move {
                thread::spawn(move || ended.abort()).join().unwrap();
                future.await;
            })
        };
        let mutex = Rc::new(Mutex::new(()));
        let twice = async move {
            let _guard = mutex.lock().await;
            drop(mutex.lock().await);
        };
        drop(with_mail("twice", Box::pin(twice)));
        drop(with_mail("lost", Box::pin(std::future::pending())));
        sleep(ms(1)).await;
    });
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said.iter().any(|report| report.contains("a task waits for itself")), "{said:#?}");
    assert!(said.iter().any(|report| report.contains("nobody has kept its waker")), "{said:#?}");
}

/// A look at all waits for each of them would take minutes.
#[test]
fn crowds_of_suspects_slow_nobody_and_hide_nothing() {
    let said = logged(Deadlock::Warn, || async {
        // All of these are cycles, and have a way out.
        let mut pairs = Vec::new();
        for _ in 0..10_000 {
            let (left, right) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
            pairs.push(headwaiter::spawn({
                let (left, right) = (left.clone(), right.clone());
                async move {
                    let _left = left.lock().await;
                    yield_now().await;
                    let _ = timeout(ms(5), right.lock()).await;
                }
            }));
            pairs.push(headwaiter::spawn(async move {
                let _right = right.lock().await;
                yield_now().await;
                drop(left.lock().await);
            }));
        }
        sleep(ms(1)).await;
        // This one has no way out, and a crowd waits for it.
        let mutex = Rc::new(Mutex::new(()));
        let lock = || {
            let mutex = mutex.clone();
            async move { drop(mutex.lock().await) }
        };
        let twice = named("twice", {
            let (mutex, again) = (mutex.clone(), lock());
            async move {
                let _guard = mutex.lock().await;
                again.await;
            }
        });
        yield_now().await;
        let crowd: Vec<_> = (0..20_000).map(|_| headwaiter::spawn(lock())).collect();
        for pair in pairs {
            pair.await.unwrap();
        }
        for _ in 0..1000 {
            sleep(ms(1)).await;
        }
        twice.abort();
        for task in crowd {
            task.await.unwrap();
        }
    });
    let [report] = &said[..] else { panic!("one report, not {}: {:?}", said.len(), said.first()) };
    assert!(report.contains("\"twice\""), "{report}");
}

/// Each of these is the last thing that can wake the loop when it checks whether anything can.
#[test]
fn whatever_can_wake_a_loop_keeps_it_from_being_quiescent() {
    let said = logged_outside(|| {
        // A message in flight.
        loop_with(Deadlock::Fail).block_on(async {
            let (give, take) = oneshot::channel::<()>();
            let keeper = headwaiter::spawn(async move {
                Notify::new().notified().await;
                drop(give);
            });
            yield_now().await;
            thread::spawn(move || keeper.abort()).join().unwrap();
            assert!(take.await.is_err());
        });
        // The threads are late enough in most of the rounds.
        let late = |then: Box<dyn FnOnce() + Send>| {
            thread::spawn(move || {
                (0..100).for_each(|_| thread::yield_now());
                then();
            })
        };
        for _ in 0..50 {
            let mut thread = None;
            // A waker that another thread has.
            loop_with(Deadlock::Fail).block_on(std::future::poll_fn(|cx| {
                if thread.is_some() {
                    return Poll::Ready(());
                }
                let waker = cx.waker().clone();
                thread = Some(late(Box::new(move || waker.wake())));
                Poll::Pending
            }));
            thread.unwrap().join().unwrap();
            // A handle.
            let mut event_loop = loop_with(Deadlock::Fail);
            let (give, take) = oneshot::channel::<()>();
            let keeper = event_loop.enter(|| {
                headwaiter::spawn(async move {
                    Notify::new().notified().await;
                    drop(give);
                })
            });
            let handle = event_loop.handle();
            let thread =
                late(Box::new(move || drop(handle.spawn(move || async move { keeper.abort() }))));
            assert!(event_loop.block_on(take).is_err());
            thread.join().unwrap();
        }
    });
    assert!(said.is_empty(), "{said:#?}");
}

/// The thread has sent the abort before the circle closes.
#[test]
fn a_knot_that_mail_will_cut_is_none() {
    never_accused(|| async {
        let (left, right) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
        let first = named("first", {
            let (left, right) = (left.clone(), right.clone());
            async move {
                let _left = left.lock().await;
                yield_now().await;
                drop(right.lock().await);
            }
        });
        let second = named("second", async move {
            let _right = right.lock().await;
            sleep(ms(1)).await;
            thread::spawn(move || first.abort()).join().unwrap();
            drop(left.lock().await);
        });
        second.await.unwrap();
    });
}

#[test]
fn a_lock_that_was_waited_for_in_an_earlier_loop_is_known_in_the_next() {
    let said = logged_outside(|| {
        let mutex = Rc::new(Mutex::named("old", ()));
        for _ in 0..2 {
            loop_with(Deadlock::Fail).block_on(async {
                let error = named("twice", {
                    let mutex = mutex.clone();
                    async move {
                        let _guard = mutex.lock().await;
                        drop(mutex.lock().await);
                    }
                });
                let error = timeout(ms(10), error).await.expect("it is seen").unwrap_err();
                assert!(error.to_string().contains("the lock \"old\""), "{error}");
            });
        }
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn what_is_over_is_not_waited_for_though_its_future_is_kept() {
    let _beside_others = beside_other_tests();
    let token = CancelToken::new();
    let mut cancelled = token.cancelled();
    let mut ran = pin!(token.run(std::future::pending::<()>()));
    let notify = Notify::new();
    let mut ready = pin!(token.run(notify.notified()));
    let group = TaskGroup::<()>::new();
    group.spawn(async { Ok(()) });
    let mut join = group.join();
    let mutex = Mutex::new(());
    let guard = mutex.lock().await;
    let mut lock = mutex.lock();
    let (_sender, mut receiver) = mpsc::unbounded::<()>();
    assert!(poll_once(&mut receiver.recv()).await.is_pending());
    assert!(poll_once(&mut cancelled).await.is_pending());
    assert!(poll_once(&mut ran).await.is_pending());
    assert!(poll_once(&mut ready).await.is_pending());
    assert!(poll_once(&mut join).await.is_pending());
    assert!(poll_once(&mut lock).await.is_pending());
    let dump = headwaiter::dump().to_string();
    for part in ["the cancellation of a token", "the end of a group", "a notification", "a lock"] {
        assert!(dump.contains(part), "{part} is not in:\n{dump}");
    }
    // Another waker waits for the lock now.
    assert!(Pin::new(&mut lock).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    notify.notify_one();
    assert_eq!(ready.as_mut().await, Ok(()));
    (&mut join).await.unwrap();
    token.cancel();
    (&mut cancelled).await;
    assert!(ran.as_mut().await.is_err());
    let dump = headwaiter::dump().to_string();
    assert!(!dump.contains("waits for"), "{dump}");
    drop(guard);
}

/// A loop cannot know of an `abort` from another thread before it arrives.
#[test]
fn that_nothing_can_wake_a_loop_is_said_once_also_if_it_was_woken() {
    let said = logged_outside(|| {
        loop_with(Deadlock::Warn).block_on(async {
            let parked = || named("parked", async { Notify::new().notified().await });
            let abort = |task: JoinHandle<()>, until: fn() -> bool| {
                let (give, take) = oneshot::channel::<()>();
                let keeper = headwaiter::spawn(async move {
                    let _give = give;
                    let _ = task.await;
                });
                thread::spawn(move || {
                    while !until() {
                        thread::yield_now();
                    }
                    (0..100).for_each(|_| thread::yield_now());
                    keeper.abort();
                });
                take
            };
            assert!(
                abort(parked(), || !without_stalls(logged::lines().clone()).is_empty())
                    .await
                    .is_err()
            );
            for _ in 0..20 {
                assert!(abort(parked(), || true).await.is_err());
            }
        });
    });
    let [report] = &said[..] else { panic!("one report: {said:#?}") };
    for part in [
        "nothing can wake this event loop any more",
        "\"main\": waiting",
        "waits for the value of a oneshot channel, at tests/promises/stuck.rs:",
        "\"parked\": waiting",
        "waits for a notification, at tests/promises/stuck.rs:",
    ] {
        assert!(report.contains(part), "{part} is not in:\n{report}");
    }
}

#[test]
fn ignore_says_nothing() {
    let said = logged(Deadlock::Ignore, || async {
        let (a, b) = opposite();
        let lost = headwaiter::spawn(std::future::pending::<()>());
        sleep(ms(1)).await;
        lost.abort();
        a.abort();
        b.await.unwrap();
        // Nothing that the loop knows of can wake it. (In most rounds the thread is late enough.)
        for _ in 0..20 {
            let parked = headwaiter::spawn(async { Notify::new().notified().await });
            let (give, take) = oneshot::channel::<()>();
            let keeper = headwaiter::spawn(async move {
                let _give = give;
                let _ = parked.await;
            });
            thread::spawn(move || {
                (0..100).for_each(|_| thread::yield_now());
                keeper.abort();
            });
            assert!(take.await.is_err());
        }
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn each_block_on_is_told_that_nothing_can_wake_it() {
    bounded(|| {
        let mut event_loop = loop_with(Deadlock::Fail);
        for _ in 0..2 {
            let text = panic_text(|| event_loop.block_on(async { Notify::new().notified().await }));
            assert!(text.contains("nothing can wake this event loop any more"), "{text}");
        }
    });
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Lock(usize),
    Unlock,
    Yield,
    Sleep(u64),
    Join(usize),
    /// Of two locks the first.
    Either(usize, usize),
    LockOrJoin(usize, usize),
    /// These have a way out.
    Patient(usize, u64),
    UnderToken(usize),
    LockOrSleep(usize, u64),
}

/// What a task of a random program has, by number.
struct World {
    locks: Vec<Mutex<()>>,
    handles: RefCell<Vec<Option<JoinHandle<()>>>>,
    ended: RefCell<Vec<bool>>,
    token: CancelToken,
}

async fn perform(world: Rc<World>, me: usize, deeds: Vec<Deed>) {
    let _ended = OnDrop(|| world.ended.borrow_mut()[me] = true);
    let mut guards = Vec::new();
    for deed in deeds {
        let locks = &world.locks;
        let handle = |other: usize| world.handles.borrow_mut()[other].take();
        match deed {
            Deed::Lock(lock) => guards.push(locks[lock].lock().await),
            Deed::Unlock => drop(guards.pop()),
            Deed::Yield => yield_now().await,
            Deed::Sleep(millis) => sleep(ms(millis)).await,
            Deed::Join(other) => {
                if let Some(handle) = handle(other) {
                    let _ = handle.await;
                }
            }
            Deed::Either(one, other) => {
                guards.push(or(locks[one].lock(), locks[other].lock()).await);
            }
            Deed::LockOrJoin(lock, other) => {
                if let Some(mut handle) = handle(other) {
                    let joined = async {
                        let _ = (&mut handle).await;
                        None
                    };
                    guards.extend(or(async { Some(locks[lock].lock().await) }, joined).await);
                }
            }
            Deed::Patient(lock, millis) => {
                guards.extend(timeout(ms(millis), locks[lock].lock()).await);
            }
            Deed::UnderToken(lock) => guards.extend(world.token.run(locks[lock].lock()).await),
            Deed::LockOrSleep(lock, millis) => {
                let slept = async {
                    sleep(ms(millis)).await;
                    None
                };
                guards.extend(or(async { Some(locks[lock].lock().await) }, slept).await);
            }
        }
    }
}

/// Plays the program of this seed in the order of this seed. Returns what was logged, and which tasks have not ended.
fn play(seed: u64, deadlock: Deadlock, joins: bool) -> (Vec<String>, Vec<usize>) {
    let dice = Random::new(seed);
    let built = EventLoop::builder().clock(Clock::Virtual).deadlock(deadlock).shuffle(seed).build();
    let mut event_loop = built.unwrap();
    let (tasks, locks) = (2 + dice.below(5) as usize, 1 + dice.below(4) as usize);
    let mut programs: Vec<Vec<Deed>> = Vec::new();
    for _ in 0..tasks {
        let mut deeds = Vec::new();
        for _ in 0..1 + dice.below(8) {
            let (lock, other) =
                (dice.below(locks as u64) as usize, dice.below(locks as u64) as usize);
            let task = dice.below(tasks as u64) as usize;
            let millis = 1 + dice.below(4);
            deeds.push(match dice.below(if joins { 14 } else { 10 }) {
                0..=3 => Deed::Lock(lock),
                4 => Deed::Unlock,
                5 => Deed::Yield,
                6 => Deed::Sleep(millis),
                7 => Deed::Patient(lock, millis),
                8 => Deed::UnderToken(lock),
                9 => Deed::LockOrSleep(lock, millis),
                10 | 11 => Deed::Join(task),
                12 => Deed::Either(lock, other),
                _ => Deed::LockOrJoin(lock, task),
            });
        }
        programs.push(deeds);
    }
    let unfinished = event_loop.block_on(async {
        let world = Rc::new(World {
            locks: (0..locks).map(|n| Mutex::named(format!("l{n}"), ())).collect(),
            handles: RefCell::default(),
            ended: RefCell::new(vec![false; tasks]),
            token: CancelToken::new(),
        });
        for (n, deeds) in programs.into_iter().enumerate() {
            let task = named(&format!("t{n}"), perform(world.clone(), n, deeds));
            world.handles.borrow_mut().push(Some(task));
        }
        sleep(ms(1000)).await;
        world.token.cancel();
        sleep(ms(1000)).await;
        let ended = world.ended.borrow();
        (0..tasks).filter(|n| !ended[*n]).collect::<Vec<_>>()
    });
    drop(event_loop);
    (without_stalls(std::mem::take(&mut logged::lines())), unfinished)
}

/// Random programs, in random orders: a task that is accused never ends; if a task does not end, some task is accused; and
/// `Fail` ends every deadlock.
#[test]
fn random_programs_are_accused_if_and_only_if_they_are_stuck() {
    let said = logged_outside(|| {
        let mut stuck = 0;
        for seed in 0..4000 {
            let joins = seed % 2 == 1;
            let (said, unfinished) = play(seed, Deadlock::Warn, joins);
            assert_eq!(
                said.is_empty(),
                unfinished.is_empty(),
                "seed {seed}: {said:#?} {unfinished:?}"
            );
            stuck += usize::from(!unfinished.is_empty());
            let mut accused = Vec::new();
            for line in said
                .iter()
                .flat_map(|report| report.lines())
                .filter(|line| line.contains(" waits at "))
            {
                let name = line.split('"').nth(1).and_then(|name| name[1..].parse().ok());
                accused.push(name.expect("a name"));
            }
            assert!(accused.iter().all(|task| unfinished.contains(task)), "seed {seed}: {said:#?}");
            let times = accused.len();
            accused.sort_unstable();
            accused.dedup();
            assert_eq!(accused.len(), times, "seed {seed}: a task was accused twice: {said:#?}");

            let (said, unfinished) = play(seed, Deadlock::Fail, joins);
            assert!(
                unfinished.is_empty(),
                "seed {seed}: {unfinished:?} are stuck still: {said:#?}"
            );
            assert!(
                said.iter().all(|line| line.contains("was dropped. deadlock: ")),
                "seed {seed}: {said:#?}"
            );
        }
        assert!((1000..3900).contains(&stuck), "{stuck} of the programs were stuck");
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn a_waker_that_nobody_kept_is_reported_once_with_the_task() {
    let said = logged(Deadlock::Warn, || async {
        drop(named("lost", std::future::poll_fn(|_| Poll::<()>::Pending)));
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
        kept.abort();
    });
    let [report] = &said[..] else { panic!("one report: {said:#?}") };
    assert!(
        report.contains("\"lost\"") && report.contains("nobody has kept its waker"),
        "{report}"
    );
    assert!(report.contains("tests/promises/stuck.rs:"), "{report}");
}

#[test]
fn a_task_that_only_an_abort_can_end_is_no_warning_while_its_handle_exists_and_nothing_awaits_it() {
    let meant = || async {
        let task = headwaiter::spawn(std::future::pending::<()>());
        sleep(ms(50)).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    };
    never_accused(meant);
    let told =
        logged::logged(LevelFilter::Info, move || loop_with(Deadlock::Warn).block_on(meant()));
    assert!(without_stalls(told)[0].contains("as long as its `JoinHandle` can abort it"));
}

#[test]
fn a_task_without_a_waker_is_a_warning_once_it_is_awaited_or_detached_before_or_after_it_was_seen()
{
    for seen_before in [false, true] {
        for way in ["await", "await by a foreign waker", "detach"] {
            let said = logged(Deadlock::Warn, move || async move {
                let lost = named("lost", std::future::pending::<()>());
                if seen_before {
                    sleep(ms(1)).await;
                }
                match way {
                    "await" => assert!(timeout(ms(5), lost).await.is_err()),
                    "detach" => drop(lost),
                    _ => {
                        let mut lost = pin!(lost);
                        let mut foreign = Context::from_waker(Waker::noop());
                        assert!(lost.as_mut().poll(&mut foreign).is_pending());
                        sleep(ms(5)).await;
                    }
                }
                sleep(ms(5)).await;
            });
            let [report] = &said[..] else {
                panic!("{way}, seen before: {seen_before}: {said:#?}")
            };
            assert!(
                report.contains("\"lost\"") && report.contains("nobody has kept its waker"),
                "{report}"
            );
        }
    }
}

#[test]
fn a_quiescence_report_names_the_join_handle_that_another_thread_may_have() {
    let said = logged(Deadlock::Warn, || async {
        let (sender, receiver) = oneshot::channel::<()>();
        let never = Rc::new(Notify::new());
        let task = headwaiter::spawn(async move {
            let _sender = sender;
            never.notified().await;
        });
        thread::spawn(move || {
            while !logged::lines().iter().any(|line| line.contains("nothing can wake")) {
                thread::yield_now();
            }
            task.abort();
        });
        assert!(receiver.await.is_err());
    });
    assert!(said[0].contains("given the `JoinHandle` of a task, and may abort it"), "{said:#?}");
}

/// The loop runs on a thread of its own, so that this one has nothing of it but the handle.
#[test]
fn a_task_that_a_remote_handle_can_abort_is_not_stuck_until_that_is_dropped() {
    for way in ["quiet", "lost", "knot"] {
        for aborts in [true, false] {
            let said = logged_outside(move || {
                let (give, take) = std::sync::mpsc::channel::<Handle>();
                let of_the_loop = thread::spawn(move || {
                    loop_with(Deadlock::Fail).block_on(async {
                        let (sender, receiver) = oneshot::channel::<()>();
                        ENDS.set(Some(sender));
                        give.send(Handle::current()).unwrap();
                        assert!(receiver.await.is_err());
                    });
                });
                let handle = take.recv().unwrap();
                let (polled, was_polled) = std::sync::mpsc::channel();
                let remote = handle.spawn(move || {
                    let sender = ENDS.take();
                    async move {
                        let _sender = sender;
                        polled.send(()).unwrap();
                        match way {
                            "quiet" => Notify::new().notified().await,
                            "lost" => std::future::pending().await,
                            _ => {
                                let mutex = Mutex::new(());
                                let _held = mutex.lock().await;
                                drop(mutex.lock().await);
                            }
                        }
                    }
                });
                was_polled.recv().unwrap();
                drop(handle);
                // A loop that would accuse the task does so before it sleeps, which it does soon.
                thread::sleep(ms(20));
                if aborts {
                    remote.abort();
                    assert!(remote.wait().unwrap_err().is_cancelled());
                    of_the_loop.join().expect("a correct program");
                } else {
                    drop(remote);
                    // A deadlock ends with the task that is dropped for it, the others with a panic of `block_on`.
                    assert_eq!(of_the_loop.join().is_ok(), way == "knot", "{way}");
                }
            });
            let is_told = !aborts && way == "lost";
            assert_eq!(
                said.iter().any(|line| line.contains("kept its waker")),
                is_told,
                "{way}: {said:#?}"
            );
            assert!(!aborts || said.is_empty(), "{way}: {said:#?}");
        }
    }
}

thread_local! {
    /// Ends the main future when it is dropped.
    static ENDS: Cell<Option<oneshot::Sender<()>>> = const { Cell::new(None) };
}

#[test]
fn a_quiescence_report_of_a_crowd_is_short_and_says_how_many_more() {
    bounded(|| {
        let report = panic_text(|| {
            loop_with(Deadlock::Fail).block_on(async {
                let notify = Rc::new(Notify::new());
                for _ in 0..10_000 {
                    let notify = Rc::clone(&notify);
                    drop(headwaiter::spawn(async move { notify.notified().await }));
                }
                let mut all: Vec<_> = (0..1000).map(|_| Box::pin(notify.notified())).collect();
                std::future::poll_fn(|cx| {
                    for one in &mut all {
                        assert!(one.as_mut().poll(cx).is_pending());
                    }
                    Poll::<()>::Pending
                })
                .await;
            });
        });
        assert!(report.len() < 50_000, "{} bytes", report.len());
        assert!(report.contains("\nand 9951 more tasks"), "{report}");
        assert!(report.contains("\n    and has 9") && !report.contains("JoinHandle"), "{report}");
    });
}

#[test]
fn a_deadlock_report_of_a_crowd_is_short_and_says_how_many_more() {
    let said = logged(Deadlock::Warn, || async {
        let mutexes: Vec<_> =
            (0..1000).map(|n| Rc::new(Mutex::named(format!("{n}"), ()))).collect();
        for n in 0..1000 {
            let (mine, next) = (Rc::clone(&mutexes[n]), Rc::clone(&mutexes[(n + 1) % 1000]));
            drop(headwaiter::spawn(async move {
                let _mine = mine.lock().await;
                yield_now().await;
                drop(next.lock().await);
            }));
        }
        sleep(ms(1)).await;
    });
    let [report] = &said[..] else { panic!("{} reports", said.len()) };
    assert!(report.contains("deadlock: 1000 tasks wait for each other"), "{report}");
    assert!(report.contains("and 950 more tasks") && report.lines().count() < 70, "{report}");
}

/// A task that wakes itself in each poll need not keep its waker. In the first poll in which it does not, its waker is lost.
#[test]
fn a_task_is_accused_of_a_lost_waker_after_the_first_poll_in_which_it_was_not_woken_timed_or_not() {
    for wakes in [0, 1, 2, 509, 510, 511, 512] {
        for aborts in [false, true] {
            let said = logged::logged(LevelFilter::Info, move || {
                let mut event_loop = loop_with(Deadlock::Warn);
                let handle = Rc::new(RefCell::new(None::<JoinHandle<()>>));
                let (of_task, mut polls) = (Rc::clone(&handle), 0);
                let lost = std::future::poll_fn(move |cx: &mut Context<'_>| {
                    polls += 1;
                    if polls <= wakes {
                        cx.waker().wake_by_ref();
                    }
                    if polls == wakes && aborts {
                        of_task.borrow().as_ref().unwrap().abort();
                    }
                    Poll::Pending
                });
                *handle.borrow_mut() = Some(event_loop.enter(|| headwaiter::spawn(lost)));
                for _ in 0..wakes + 3 {
                    event_loop.turn(Some(Duration::ZERO)).unwrap();
                }
                let polls = event_loop.enter(headwaiter::stats).polls;
                assert_eq!(polls, if aborts && wakes > 0 { wakes } else { wakes + 1 });
                event_loop.enter(|| drop(handle.take()));
            });
            let said = without_stalls(said);
            let reports =
                said.iter().filter(|line| line.contains("nobody has kept its waker")).count();
            assert_eq!(
                (reports, said.len()),
                if aborts && wakes > 0 { (0, 0) } else { (1, 1) },
                "{said:#?}"
            );
        }
    }
}

#[test]
fn a_crowd_of_tasks_that_nobody_can_wake_slows_nobody() {
    let said = logged(Deadlock::Warn, || async {
        (0..100_000).for_each(|_| drop(headwaiter::spawn(std::future::pending::<()>())));
        for _ in 0..10 {
            sleep(ms(1)).await;
        }
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
            "tests/promises/stuck.rs:",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
    });
}

#[test]
fn a_loop_that_another_thread_can_reach_is_not_quiescent() {
    let said = logged(Deadlock::Fail, || async {
        let handle = Handle::current();
        let (give, take) = oneshot::channel();
        let give = headwaiter::spawn(async move {
            sleep(ms(1)).await;
            drop(give);
        });
        drop(give);
        let thread = thread::spawn(move || handle.spawn(|| async { 5 }).wait().unwrap());
        let _: Result<(), _> = take.await;
        // Nothing but that thread is left to wait for.
        let (waker_taken, mut polled) = (Rc::new(()), false);
        std::future::poll_fn(move |cx| {
            let _ = &waker_taken;
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            thread::spawn(move || waker.wake());
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
    let mut parts = whole.split("tests/promises/stuck.rs:");
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
            let reader =
                named("reader", async move { socket.recv_from(&mut [0]).await.map(|(n, _)| n) });
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
        });
    });
}

#[test]
fn a_dump_shows_also_what_no_task_waits_for() {
    bounded(|| {
        let built = EventLoop::builder().clock(Clock::Virtual).blocking_threads(1).build();
        built.unwrap().block_on(async {
            // A callback, a socket that no task reads, and one for which only a foreign waker waits.
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

            // A job that runs although its task is gone, a job that is queued, and a detached job.
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

            // The job ends while the loop does not turn.
            drop(end);
            while !masked_dump()
                .contains("4 jobs ended, of which the loop takes note in its next turn")
            {
                thread::yield_now();
            }
            queued.await.unwrap();
            let address = registration.with(|source| source.local_addr().unwrap());
            idle.send_to(b"x", address).await.unwrap();
            while shown.borrow().is_empty() {
                yield_now().await;
            }
            let shown = shown.borrow();
            assert!(
                shown.contains("\ncallback source 1: has a callback, which is in use\n"),
                "{shown}"
            );
            drop(handed_on);
        });
    });
}

#[test]
fn another_thread_gets_a_dump_also_of_a_loop_that_does_not_answer() {
    bounded(|| {
        let (tell, told) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let loop_thread = thread::spawn(move || {
            headwaiter::block_on(async move {
                let handle = Handle::current();
                let (end, ended) = oneshot::channel();
                let blocker = named("blocker", async move {
                    tell.send(handle).unwrap();
                    released.recv().unwrap(); // The loop does not answer meanwhile.
                    let _ = end.send(());
                });
                ended.await.unwrap();
                blocker.await.unwrap();
                // It answers until it is told to end.
                while !over.load(Ordering::SeqCst) {
                    sleep(ms(1)).await;
                }
            });
        });
        let handle = told.recv().unwrap();
        let busy = handle.dump().to_string();
        assert!(
            busy.contains(
                "has not answered for 1s: it polls task 2, spawned at tests/promises/stuck.rs:"
            ),
            "{busy}"
        );
        release.send(()).unwrap();
        let dump = handle.dump().to_string();
        assert!(dump.contains("\"main\"") && !dump.contains("has not answered"), "{dump}");
        assert!(!dump.contains("running"), "it answers between two polls: {dump}");
        is_over.store(true, Ordering::SeqCst);
        loop_thread.join().unwrap();
        assert!(handle.dump().to_string().contains("is gone"));
    });
}

#[test]
fn a_loop_that_nobody_turns_says_so_also_after_a_panic_of_the_main_future() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        assert_eq!(
            panic_text(|| event_loop.block_on(async { panic!("main is gone") })),
            "main is gone"
        );
        let handle = event_loop.handle();
        let told = thread::spawn(move || handle.dump().to_string()).join().unwrap();
        assert!(told.contains("polls no task: nobody turns it"), "{told}");
    });
}

/// A group and a token store their waiters as numbers, not as wakers.
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
        assert!(
            dump.contains("waits for the cancellation of a token, at tests/promises/stuck.rs:"),
            "{dump}"
        );
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
        let thread = thread::spawn({
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
                // If it ends after the others have begun to wait, its end closes the cycle.
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
                // A child was dropped, so the other children could continue, or the group failed.
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

/// A future that was polled in one task continues in another, which then is the task that waits.
#[test]
fn a_wait_moves_with_its_future() {
    let said = logged(Deadlock::Fail, || async {
        let (mutex, outer) =
            (Rc::new(Mutex::named("moved for", ())), Rc::new(Mutex::named("outer", ())));
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
    let said = logged_outside(|| {
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
    assert!(said.is_empty(), "{said:#?}");
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
        let handle = Handle::current();
        let (a, b) = opposite();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            told.recv().unwrap();
            drop(handle);
        });
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(!a.is_finished() && !b.is_finished());
        tell.send(()).unwrap();
        // Nothing else wakes the loop: only the two tasks are awaited.
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
        assert!(
            text.contains("a task waits for itself") && text.contains("the lock \"tried\""),
            "{text}"
        );
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

/// How long a chain of `n` tasks takes, each of which joins the one before.
fn chain_of_joins(deadlock: Deadlock, n: usize) -> Duration {
    let mut event_loop = EventLoop::builder().deadlock(deadlock).build().unwrap();
    event_loop.block_on(async {
        let start = Instant::now();
        let mut last = headwaiter::spawn(sleep(ms(1)));
        for _ in 0..n {
            let before = last;
            last = headwaiter::spawn(async move { before.await.unwrap() });
        }
        last.await.unwrap();
        start.elapsed()
    })
}

/// It took 45 times as long, and 3,000 steps for each poll.
#[test]
fn a_long_chain_of_joins_is_not_followed_at_each_poll() {
    alone(|| {
        // The best of three, in turns: the machine may be busy.
        let rounds =
            || (chain_of_joins(Deadlock::Ignore, 20_000), chain_of_joins(Deadlock::Fail, 20_000));
        let (ignored, looked) =
            (0..3).map(|_| rounds()).reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).unwrap();
        assert!(looked < 8 * ignored + ms(50), "{looked:?}, without the analysis {ignored:?}");
    });
}

/// Longer than what is followed at a poll.
#[test]
fn a_circle_of_thousands_of_tasks_is_found_before_the_loop_sleeps() {
    const TASKS: usize = 5000;
    for by_joins in [false, true] {
        let said = logged(Deadlock::Warn, move || async move {
            let locks: Rc<Vec<Mutex<()>>> = Rc::new((0..TASKS).map(|_| Mutex::new(())).collect());
            let mut tasks: Vec<_> = (0..TASKS)
                .map(|n| {
                    let locks = Rc::clone(&locks);
                    headwaiter::spawn(async move {
                        let _mine = locks[n].lock().await;
                        yield_now().await;
                        let _next = locks[(n + 1) % TASKS].lock().await;
                    })
                })
                .collect();
            // Tasks that only join what is stuck, in a long chain.
            if by_joins {
                for _ in 0..TASKS {
                    let before = tasks.pop().unwrap();
                    tasks.push(headwaiter::spawn(async move { before.await.unwrap() }));
                }
            }
            sleep(ms(10)).await;
        });
        let reports: Vec<_> =
            said.iter().filter(|line| line.contains("wait for each other")).collect();
        assert_eq!(reports.len(), 1, "{} lines", said.len());
    }
}
