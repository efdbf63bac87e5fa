//! What `headwaiter::sync::RwLock` promises, a test for each. Unless it says otherwise, a promise is tokio's too.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::support::logged::without_stalls;
use crate::support::random::Random;
use crate::support::wakers::{Foreign, forwarding};
use crate::support::*;
use futures_lite::future::{or, zip};
use headwaiter::sync::{
    Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockMappedWriteGuard,
    RwLockReadGuard, RwLockWriteGuard,
};
use headwaiter::task::{self, JoinHandle, yield_now};
use headwaiter::time::{sleep, timeout};
use headwaiter::{Clock, Deadlock, EventLoop, spawn};
use log::LevelFilter;

fn named<F: Future + 'static>(name: &str, future: F) -> JoinHandle<F::Output> {
    task::Builder::new().name(name).spawn(future)
}

async fn let_others_run() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[test]
fn several_read_at_the_same_time_or_one_writes() {
    in_every_order(|| async {
        let (lock, reading) = (Rc::new(RwLock::new(0)), Rc::new(Cell::new(0)));
        let most = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..40)
            .map(|number| {
                let (lock, reading, most) = (lock.clone(), reading.clone(), most.clone());
                spawn(async move {
                    for _ in 0..5 {
                        if number % 5 == 0 {
                            let mut value = lock.write().await;
                            assert_eq!(reading.get(), 0);
                            let before = *value;
                            yield_now().await;
                            assert_eq!((*value, reading.get()), (before, 0));
                            *value += 1;
                        } else {
                            let value = lock.read().await;
                            reading.set(reading.get() + 1);
                            most.set(most.get().max(reading.get()));
                            let before = *value;
                            yield_now().await;
                            assert_eq!(*value, before);
                            reading.set(reading.get() - 1);
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*lock.read().await, 40);
        assert!(most.get() > 1);
    });
}

#[headwaiter::test(within = "60s")]
async fn the_lock_is_granted_in_the_order_of_the_requests_and_readers_side_by_side() {
    let _beside_others = beside_other_tests();
    let (lock, order) = (Rc::new(RwLock::new(())), Rc::new(RefCell::new(String::new())));
    let held = lock.write().await;
    let tasks: Vec<_> = "rrwrrrwwr"
        .chars()
        .map(|access| {
            let (lock, order) = (lock.clone(), order.clone());
            spawn(async move {
                if access == 'w' {
                    let _guard = lock.write().await;
                    order.borrow_mut().push_str("w(");
                    yield_now().await;
                    order.borrow_mut().push(')');
                } else {
                    let _guard = lock.read().await;
                    order.borrow_mut().push_str("r(");
                    yield_now().await;
                    order.borrow_mut().push(')');
                }
            })
        })
        .collect();
    yield_now().await;
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.borrow(), "r(r())w()r(r(r()))w()w()r()");
}

#[headwaiter::test(within = "60s")]
async fn a_reader_does_not_overtake_a_task_that_waits_to_write() {
    let _beside_others = beside_other_tests();
    let lock = RwLock::new(0);
    let reading = lock.read().await;
    let mut writing = lock.write();
    assert!(poll_once(&mut writing).await.is_pending());
    let mut later = lock.read();
    assert!(poll_once(&mut later).await.is_pending());
    assert!(lock.try_read().is_err() && lock.try_write().is_err());
    drop(reading);
    assert!(poll_once(&mut later).await.is_pending());
    let Poll::Ready(mut guard) = poll_once(&mut writing).await else { panic!("it has its turn") };
    *guard = 1;
    drop(guard);
    assert_eq!(*later.await, 1);
}

#[headwaiter::test(within = "60s")]
async fn a_waiter_that_is_dropped_lets_those_behind_it_pass() {
    let _beside_others = beside_other_tests();
    let lock = RwLock::new(0);
    let reading = lock.read().await;
    let mut writing = lock.write();
    assert!(poll_once(&mut writing).await.is_pending());
    let (mut one, mut other) = (lock.read(), lock.read());
    assert!(poll_once(&mut one).await.is_pending());
    assert!(poll_once(&mut other).await.is_pending());
    drop(writing);
    assert!(poll_once(&mut one).await.is_ready());
    assert!(poll_once(&mut other).await.is_ready());
    drop(reading);
    assert!(lock.try_write().is_ok());
}

#[headwaiter::test(within = "60s")]
async fn a_dropped_waiter_that_was_granted_the_lock_passes_it_on() {
    let _beside_others = beside_other_tests();
    let lock = RwLock::new(0);
    let held = lock.write().await;
    let mut granted = lock.write();
    assert!(poll_once(&mut granted).await.is_pending());
    let mut behind = lock.write();
    assert!(poll_once(&mut behind).await.is_pending());
    drop(held);
    assert!(lock.try_read().is_err(), "it is granted already");
    drop(granted);
    let guard = poll_once(&mut behind).await;
    assert!(guard.is_ready());
    drop(guard);

    let held = lock.write().await;
    let (mut one, mut other) = (lock.read(), lock.read());
    assert!(poll_once(&mut one).await.is_pending());
    assert!(poll_once(&mut other).await.is_pending());
    let mut writing = lock.write();
    assert!(poll_once(&mut writing).await.is_pending());
    drop(held);
    drop((one, other));
    assert!(poll_once(&mut writing).await.is_ready());
}

#[headwaiter::test(within = "60s")]
async fn at_most_as_many_read_as_there_may() {
    let _beside_others = beside_other_tests();
    let lock = RwLock::with_max_readers(0, 2);
    let (one, _other) = (lock.read().await, lock.read().await);
    let mut third = lock.read();
    assert!(poll_once(&mut third).await.is_pending());
    drop(one);
    assert!(poll_once(&mut third).await.is_ready());
    let single = RwLock::with_max_readers(0, 1);
    let reading = single.read().await;
    assert!(single.try_read().is_err() && single.try_write().is_err());
    drop(reading);
    assert!(single.try_write().is_ok());
}

/// Unlike tokio: there, 0 is accepted, and then nothing excludes anything.
#[test]
fn a_number_of_readers_that_is_none_is_refused_with_advice() {
    let text = panic_text(|| drop(RwLock::with_max_readers((), 0)));
    assert!(text.contains("with 0 readers") && text.contains("use a `Mutex`"), "{text}");
    let text = panic_text(|| drop(RwLock::with_max_readers((), u32::MAX)));
    assert!(text.contains("more than `u32::MAX >> 3`"), "{text}");
    drop(RwLock::with_max_readers((), u32::MAX >> 3));
}

#[test]
fn try_read_and_try_write_lock_at_once_or_fail() {
    let lock = RwLock::named("menu", 0);
    let one = lock.try_read().unwrap();
    let other = lock.try_read().unwrap();
    let error = lock.try_write().unwrap_err();
    assert_eq!(error.to_string(), "the lock is in use, or others wait for it");
    assert!(format!("{lock:?}").contains(r#"RwLock { name: "menu", value: 0 }"#));
    drop((one, other));
    let writing = lock.try_write().unwrap();
    let error = lock.try_read().unwrap_err();
    assert_eq!(error.to_string(), "the lock is being written, or others wait for it");
    assert!(format!("{lock:?}").contains("written_at: tests/promises/rwlock.rs:"), "{lock:?}");
    drop(writing);
    let mut lock = lock;
    *lock.get_mut() = 7;
    assert_eq!(lock.into_inner(), 7);
    assert_eq!((RwLock::from(1).into_inner(), RwLock::<i32>::default().into_inner()), (1, 0));
}

#[headwaiter::test(within = "60s")]
async fn a_guard_that_downgrades_lets_no_writer_in_between() {
    let _beside_others = beside_other_tests();
    let lock = RwLock::new(0);
    let mut writing = lock.write().await;
    let (mut before, mut writer, mut after) = (lock.read(), lock.write(), lock.read());
    assert!(poll_once(&mut before).await.is_pending());
    assert!(poll_once(&mut writer).await.is_pending());
    assert!(poll_once(&mut after).await.is_pending());
    *writing = 1;
    let reading = writing.downgrade();
    let Poll::Ready(beside) = poll_once(&mut before).await else { panic!("it may read too") };
    assert_eq!((*reading, *beside), (1, 1));
    assert!(poll_once(&mut writer).await.is_pending());
    assert!(poll_once(&mut after).await.is_pending(), "the writer is before it");
    drop((reading, beside));
    drop(poll_once(&mut writer).await);
    assert!(poll_once(&mut after).await.is_ready());
}

#[test]
fn a_guard_can_be_made_one_of_a_part() {
    let lock = RwLock::new(("soup", Some(4)));
    {
        let part = RwLockWriteGuard::map(lock.try_write().unwrap(), |order| &mut order.1);
        let mut part = RwLockMappedWriteGuard::try_map(part, Option::as_mut).expect("there is one");
        *part += 1;
        assert!(lock.try_read().is_err());
    }
    let whole = RwLockWriteGuard::try_map(lock.try_write().unwrap(), |_| None::<&mut i32>);
    let whole = whole.expect_err("there is none");
    assert_eq!(*whole, ("soup", Some(5)));
    let part = RwLockMappedWriteGuard::map(RwLockWriteGuard::into_mapped(whole), |o| &mut o.0);
    assert_eq!(part.to_string(), "soup");
    drop(part);
    {
        let reading = RwLockReadGuard::map(lock.try_read().unwrap(), |order| &order.1);
        let number = RwLockReadGuard::try_map(reading, Option::as_ref).expect("there is one");
        assert_eq!(*number, 5);
        assert!(lock.try_write().is_err() && lock.try_read().is_ok());
        assert!(RwLockReadGuard::try_map(number, |_| None::<&i32>).is_err());
    }
    let writing = lock.try_write().unwrap();
    let still = RwLockWriteGuard::try_downgrade_map(writing, |_| None::<&i32>).unwrap_err();
    assert!(lock.try_read().is_err(), "it still writes");
    let reading = RwLockWriteGuard::try_downgrade_map(still, |order| order.1.as_ref()).unwrap();
    assert_eq!((*reading, lock.try_read().is_ok()), (5, true));
    drop(reading);
    let reading = RwLockWriteGuard::downgrade_map(lock.try_write().unwrap(), |order| &order.0);
    assert_eq!(
        (*reading, lock.try_read().is_ok(), lock.try_write().is_err()),
        ("soup", true, true)
    );
}

#[test]
fn a_panic_unlocks_also_one_in_map() {
    let lock = RwLock::new(0);
    let map = || {
        drop(RwLockWriteGuard::map(lock.try_write().unwrap(), |_| -> &mut i32 {
            panic!("no taste")
        }));
    };
    assert_eq!(panic_text(map), "no taste");
    let downgrade = || {
        drop(RwLockWriteGuard::try_downgrade_map(lock.try_write().unwrap(), |_| -> Option<&()> {
            panic!("no taste")
        }));
    };
    assert_eq!(panic_text(downgrade), "no taste");
    let hold = || {
        let _guard = lock.try_write().unwrap();
        burns("the soup");
    };
    assert_eq!(panic_text(hold), "the soup is on fire");
    assert!(lock.try_write().is_ok());
}

/// Unlike tokio: there, the value may be unsized, and the guard has `map`.
#[test]
fn an_owned_guard_moves_into_a_task() {
    in_every_order(|| async {
        let lock = Rc::new(RwLock::new(vec![1]));
        let (one, other) = (lock.clone().read_owned().await, lock.read().await);
        assert_eq!((one.len(), other.len()), (1, 1));
        drop(other);
        let reader = spawn(async move {
            yield_now().await;
            one[0]
        });
        let mut writing = lock.clone().write_owned().await;
        writing.push(2);
        let writer = spawn(async move {
            yield_now().await;
            writing.push(3);
            writing.downgrade()
        });
        assert_eq!(*lock.read().await, [1, 2, 3]);
        assert_eq!(reader.await.unwrap(), 1);
        let reading = writer.await.unwrap();
        assert!(Rc::ptr_eq(OwnedRwLockReadGuard::rwlock(&reading), &lock));
        assert!(lock.try_write().is_err());
        drop(reading);
        let writing = lock.clone().try_write_owned().unwrap();
        assert!(Rc::ptr_eq(OwnedRwLockWriteGuard::rwlock(&writing), &lock));
        assert!(lock.clone().try_read_owned().is_err());
        drop(writing);
        assert!(lock.clone().try_read_owned().is_ok());
        assert_eq!(Rc::try_unwrap(lock).unwrap().into_inner(), [1, 2, 3]);
    });
}

#[test]
fn an_owned_guard_keeps_its_lock_alive_and_a_panic_puts_the_value_back() {
    let lock = Rc::new(RwLock::new(1));
    let mut writing = lock.clone().try_write_owned().unwrap();
    *writing = 2;
    let weak = Rc::downgrade(&lock);
    let hold = || {
        let _writing = writing;
        burns("the soup");
    };
    assert_eq!(panic_text(hold), "the soup is on fire");
    assert_eq!(*lock.try_read().unwrap(), 2);
    let reading = lock.clone().try_read_owned().unwrap();
    drop(lock);
    assert!(weak.upgrade().is_some());
    assert_eq!(*reading, 2);
    drop(reading);
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_leaked_guard_keeps_the_lock_and_not_the_value() {
    let lock = RwLock::new(1);
    std::mem::forget(lock.try_read().unwrap());
    assert!(lock.try_write().is_err() && lock.try_read().is_ok());
    assert_eq!(lock.into_inner(), 1);
    let mut lock = RwLock::new(1);
    std::mem::forget(lock.try_write().unwrap());
    assert!(lock.try_read().is_err());
    *lock.get_mut() = 2;
    assert_eq!(lock.into_inner(), 2);
}

#[test]
fn it_works_without_a_loop() {
    let lock = RwLock::new(0);
    let woken = Foreign::new();
    let as_waker = woken.clone().into();
    let cx = &mut Context::from_waker(&as_waker);
    let Poll::Ready(reading) = Pin::new(&mut lock.read()).poll(cx) else { panic!("it is free") };
    let (mut writing, mut later) = (lock.write(), lock.read());
    assert!(Pin::new(&mut writing).poll(cx).is_pending());
    assert!(Pin::new(&mut later).poll(cx).is_pending());
    drop(reading);
    assert_eq!(woken.take_wakes(), 1);
    drop(writing);
    assert_eq!(woken.take_wakes(), 1);
    assert!(Pin::new(&mut later).poll(cx).is_ready());
}

#[headwaiter::test(within = "60s")]
async fn a_task_that_has_spent_its_budget_keeps_its_place_and_lets_the_others_run() {
    let _beside_others = beside_other_tests();
    let lock = RwLock::new(0);
    let rounds = Rc::new(Cell::new(0));
    let other = spawn({
        let rounds = Rc::clone(&rounds);
        async move { rounds.get() }
    });
    for _ in 0..1000 {
        drop(lock.read().await);
        drop(lock.write().await);
        rounds.set(rounds.get() + 1);
    }
    assert_eq!(other.await.unwrap(), 64, "two operations each, of 128");
    // What is refused is granted at once.
    poll_fn(|cx| {
        loop {
            let mut writing = pin!(lock.write());
            if writing.as_mut().poll(cx).is_pending() {
                assert!(lock.try_read().is_err());
                return Poll::Ready(());
            }
        }
    })
    .await;
    assert!(lock.try_write().is_ok(), "a refused one that was dropped has nothing");
}

#[test]
fn random_programs_agree_with_a_model() {
    bounded(|| {
        for seed in 0..300 {
            let random = Random::new(seed);
            let max = [1, 2, 3, 100][seed as usize % 4];
            let lock = RwLock::with_max_readers(0, max);
            let waker = Foreign::new();
            let as_waker = waker.clone().into();
            let cx = &mut Context::from_waker(&as_waker);
            // In the order of the requests: whether it writes, and whether it has the lock.
            let mut model: Vec<(bool, bool)> = Vec::new();
            type Waiting<'a> = Pin<Box<dyn Future<Output = Box<dyn std::any::Any>> + 'a>>;
            let mut waiting: Vec<Waiting<'static>> = Vec::new();
            let mut held: Vec<Option<Box<dyn std::any::Any>>> = Vec::new();
            let lock: &'static RwLock<i32> = leaked(lock);
            for _ in 0..100 {
                if random.below(3) > 0 && model.len() < 12 {
                    let writes = random.below(3) == 0;
                    waiting.push(if writes {
                        Box::pin(async { Box::new(lock.write().await) as Box<_> })
                    } else {
                        Box::pin(async { Box::new(lock.read().await) as Box<_> })
                    });
                    held.push(None);
                    model.push((writes, false));
                    // Its first poll, which takes its place.
                    let last = waiting.len() - 1;
                    if let Poll::Ready(guard) = waiting[last].as_mut().poll(cx) {
                        held[last] = Some(guard);
                    }
                } else if !model.is_empty() {
                    let which = random.below(model.len());
                    drop(held.remove(which));
                    drop(waiting.remove(which));
                    model.remove(which);
                }
                // First come, first served.
                let mut free = max;
                for (writes, _) in model.iter().filter(|(_, has)| *has) {
                    free -= if *writes { max } else { 1 };
                }
                for (writes, has) in model.iter_mut().filter(|(_, has)| !*has) {
                    let need = if *writes { max } else { 1 };
                    if need > free {
                        break;
                    }
                    free -= need;
                    *has = true;
                }
                for (number, (_, has)) in model.iter().enumerate() {
                    if held[number].is_none()
                        && let Poll::Ready(guard) = waiting[number].as_mut().poll(cx)
                    {
                        held[number] = Some(guard);
                    }
                    assert_eq!(held[number].is_some(), *has, "seed {seed}, {number} of {model:?}");
                }
            }
        }
    });
}

// Deadlocks and the dump: no part of tokio.

/// What a loop with a virtual clock logs while it runs `test`.
#[track_caller]
fn reported<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) -> Vec<String> {
    without_stalls(logged::logged(LevelFilter::Warn, move || {
        let mut event_loop =
            EventLoop::builder().clock(Clock::Virtual).deadlock(Deadlock::Warn).build().unwrap();
        event_loop.block_on(test());
    }))
}

/// That a report says all of this, in this order.
#[track_caller]
fn assert_tells(report: &str, parts: &[&str]) {
    let mut rest = report;
    for part in parts {
        let at =
            rest.find(part).unwrap_or_else(|| panic!("no {part:?} in what is left of {report}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn a_second_read_behind_a_task_that_waits_to_write_is_a_deadlock() {
    let lines = reported(|| async {
        let menu = Rc::new(RwLock::named("menu", ()));
        let guest = named("guest", {
            let menu = Rc::clone(&menu);
            async move {
                let _first = menu.read().await;
                yield_now().await;
                let _second = menu.read().await;
            }
        });
        let cook = named("cook", {
            let menu = Rc::clone(&menu);
            async move { drop(menu.write().await) }
        });
        sleep(ms(10)).await;
        drop((guest, cook));
    });
    let [report] = &lines[..] else { panic!("{lines:#?}") };
    assert_tells(report, &["deadlock: 2 tasks wait for each other"]);
    assert_tells(
        report,
        &[
            "\"guest\" (",
            "for the lock \"menu\", to read, before which task",
            "\"cook\" waits to write since",
        ],
    );
    assert_tells(
        report,
        &["\"cook\" (", "for the lock \"menu\", which task", "\"guest\" holds since"],
    );
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn readers_and_writers_of_two_locks_in_opposite_order_are_a_deadlock_and_fail_drops_one() {
    let _beside_others = beside_other_tests();
    let (left, right) = (Rc::new(RwLock::new(0)), Rc::new(RwLock::new(0)));
    let one = named("one", {
        let (left, right) = (left.clone(), right.clone());
        async move {
            let _left = left.read().await;
            yield_now().await;
            drop(right.write().await);
        }
    });
    let other = named("other", {
        let (left, right) = (left.clone(), right.clone());
        async move {
            let _right = right.read().await;
            yield_now().await;
            drop(left.write().await);
        }
    });
    let results = [one.await, other.await];
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.into_iter().find_map(Result::err).unwrap().is_deadlock());
}

#[test]
fn a_task_that_reads_and_then_writes_waits_for_itself_beside_other_readers() {
    let lines = reported(|| async {
        let menu = Rc::new(RwLock::named("menu", ()));
        // It goes on, but does not help.
        let beside = named("beside", {
            let menu = Rc::clone(&menu);
            async move {
                let _reading = menu.read().await;
                sleep(ms(1000)).await;
            }
        });
        let upgrades = named("upgrades", {
            let menu = Rc::clone(&menu);
            async move {
                let _reading = menu.read().await;
                drop(menu.write().await);
            }
        });
        sleep(ms(10)).await;
        drop((beside, upgrades));
    });
    let [report] = &lines[..] else { panic!("{lines:#?}") };
    assert_tells(
        report,
        &[
            "deadlock: a task waits for itself",
            "\"upgrades\" (",
            "for the lock \"menu\", which task",
        ],
    );
    assert_tells(report, &["\"beside\" holds since", "\"upgrades\" since"]);
    assert!(!report.contains("so task"), "{report}");
}

/// One of the readers never releases the lock, because it waits for the task that waits to write.
#[test]
fn one_stuck_reader_among_others_that_can_go_on_is_a_deadlock_whichever_it_is() {
    for stuck in 0..3 {
        let lines = reported(move || async move {
            let (menu, writer) = (Rc::new(RwLock::new(())), Rc::new(RefCell::new(None)));
            let readers: Vec<_> = (0..3)
                .map(|number| {
                    let (menu, writer) = (Rc::clone(&menu), Rc::clone(&writer));
                    spawn(async move {
                        let _reading = menu.read().await;
                        yield_now().await;
                        let joined: Option<JoinHandle<()>> =
                            writer.borrow_mut().take_if(|_| number == stuck);
                        match joined {
                            Some(writer) => writer.await.unwrap(),
                            None => sleep(ms(1000)).await,
                        }
                    })
                })
                .collect();
            let writes = Rc::clone(&menu);
            *writer.borrow_mut() = Some(named("writer", async move { drop(writes.write().await) }));
            sleep(ms(10)).await;
            drop(readers);
        });
        assert_eq!(lines.len(), 1, "{stuck}: {lines:#?}");
        assert_tells(&lines[0], &["deadlock: 2 tasks wait for each other"]);
    }
}

/// While the first that waits to write can give up, the reader behind it can go on. When it has, the next one closes the cycle.
#[test]
fn a_writer_that_gives_up_reveals_the_deadlock_behind_it() {
    let lines = reported(|| async {
        let menu = Rc::new(RwLock::named("menu", ()));
        let late = Rc::new(RefCell::new(None));
        let holder = named("holder", {
            let (menu, late) = (Rc::clone(&menu), Rc::clone(&late));
            async move {
                let _reading = menu.read().await;
                yield_now().await;
                yield_now().await;
                let late: JoinHandle<()> = late.take().unwrap();
                late.await.unwrap();
            }
        });
        let patient = |name, menu: &Rc<RwLock<()>>| {
            let menu = Rc::clone(menu);
            named(name, async move { drop(menu.write().await) })
        };
        let gives_up = named("gives up", {
            let menu = Rc::clone(&menu);
            async move { timeout(ms(50), menu.write()).await.is_err() }
        });
        yield_now().await;
        let waits = patient("waits", &menu);
        *late.borrow_mut() = Some(named("late", {
            let menu = Rc::clone(&menu);
            async move { drop(menu.read().await) }
        }));
        sleep(ms(10)).await;
        assert!(gives_up.await.unwrap());
        sleep(ms(10)).await;
        drop((holder, waits));
    });
    let [report] = &lines[..] else { panic!("{lines:#?}") };
    assert_tells(report, &["deadlock: 3 tasks wait for each other"]);
    assert!(!report.contains("gives up"), "{report}");
}

#[test]
fn no_deadlock_is_reported_for_a_correct_program() {
    for deadlock in [Deadlock::Warn, Deadlock::Fail] {
        let lines = logged::logged(LevelFilter::Warn, move || {
            let mut event_loop =
                EventLoop::builder().clock(Clock::Virtual).deadlock(deadlock).build().unwrap();
            event_loop.block_on(async {
                // An owned guard, whose task waits for the lock behind the task that got the guard.
                let lock = Rc::new(RwLock::new(0));
                let guard = lock.clone().write_owned().await;
                let other = spawn(async move {
                    sleep(ms(10)).await;
                    drop(guard);
                });
                drop(lock.write().await);
                other.await.unwrap();
                let guard = lock.clone().read_owned().await;
                let go = Rc::new(Notify::new());
                let other = spawn({
                    let go = go.clone();
                    async move {
                        go.notified().await;
                        drop(guard);
                    }
                });
                zip(async { drop(lock.write().await) }, async { go.notify_one() }).await;
                other.await.unwrap();
                // A second read behind a writer that gives up.
                let _first = lock.read().await;
                let writer = spawn({
                    let lock = lock.clone();
                    async move { timeout(ms(10), lock.write()).await.is_err() }
                });
                yield_now().await;
                let _second = lock.read().await;
                assert!(writer.await.unwrap());
                // As many readers as there may be: one of them is enough.
                let few = Rc::new(RwLock::with_max_readers(0, 2));
                let tasks: Vec<_> = (0..6)
                    .map(|number| {
                        let few = few.clone();
                        spawn(async move {
                            let _reading = few.read().await;
                            sleep(ms(number)).await;
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                let one = Rc::new(RwLock::with_max_readers(0, 1));
                let tasks: Vec<_> = (0..6)
                    .map(|number| {
                        let one = one.clone();
                        spawn(async move {
                            let _reading = one.read().await;
                            sleep(ms(number)).await;
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                // A wait beside another way out.
                let reading = few.read().await;
                or(async { drop(few.write().await) }, sleep(ms(10))).await;
                drop(reading);
                // A writer that a foreign combinator polls, and a reader behind it.
                let reading = few.read().await;
                let mut writing = Box::pin(few.write());
                let waker = forwarding(own_waker().await).into();
                assert!(writing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                let behind = spawn({
                    let few = few.clone();
                    async move { drop(few.read().await) }
                });
                sleep(ms(10)).await;
                drop((writing, reading));
                behind.await.unwrap();
            });
        });
        let lines = without_stalls(lines);
        assert!(lines.is_empty(), "{deadlock:?}: {lines:#?}");
    }
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_dump_shows_which_tasks_hold_a_lock_and_which_wait_for_it() {
    let _beside_others = beside_other_tests();
    let menu = Rc::new(RwLock::named("menu", ()));
    let mut tasks = Vec::new();
    for name in ["anna", "ben"] {
        let menu = Rc::clone(&menu);
        tasks.push(named(name, async move {
            let _reading = menu.read().await;
            sleep(ms(1000)).await;
        }));
    }
    let writes = Rc::clone(&menu);
    tasks.push(named("cook", async move { drop(writes.write().await) }));
    tasks.push(named("late", async move { drop(menu.read().await) }));
    let_others_run().await;
    let dump = headwaiter::dump().to_string();
    let joined = dump.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(joined.matches("holds the lock \"menu\" since").count(), 2, "{dump}");
    assert_tells(&joined, &["2 wait for it"]);
    assert_tells(
        &joined,
        &[
            "\"cook\": waiting",
            "waits for the lock \"menu\", which task 2 \"anna\" holds since tests/promises/rwlock.rs:",
            "task 3 \"ben\" since tests/promises/rwlock.rs:",
            "\"late\": waiting",
            "waits for the lock \"menu\", to read, before which task 4 \"cook\" waits to write since",
        ],
    );
    for task in tasks {
        task.await.unwrap();
    }
}

/// A lock that was waited for in one loop can be waited for in another.
#[test]
fn a_lock_moves_from_loop_to_loop() {
    bounded(|| {
        let lock = Rc::new(RwLock::named("menu", 0));
        for round in 0..3 {
            let lock = Rc::clone(&lock);
            virtual_loop().block_on(async move {
                let writing = lock.write().await;
                let waiting = spawn({
                    let lock = Rc::clone(&lock);
                    async move { *lock.write().await += 1 }
                });
                yield_now().await;
                assert!(headwaiter::dump().to_string().contains("which task"), "round {round}");
                drop(writing);
                waiting.await.unwrap();
            });
        }
        assert_eq!(*lock.try_read().unwrap(), 3);
    });
}
