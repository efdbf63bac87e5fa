//! What `OnceCell` and `SetOnce` of `headwaiter::sync` promise, a test for each.

use std::cell::{Cell, RefCell};
use std::future::{pending, ready as ready_with};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::budget::is_refused;
use crate::support::wakers::foreign;
use crate::support::*;
use crate::sync::{drop_at_every_await, is_pending, let_others_run, poll_with, ready, wrapped};
use futures_lite::future::zip;
use headwaiter::sync::{Mutex, OnceCell, SetError, SetOnce, SetOnceError, oneshot};
use headwaiter::task::yield_now;
use headwaiter::{Deadlock, EventLoop, spawn};

#[test]
fn one_initialiser_runs_and_all_get_its_value() {
    in_every_order(|| async {
        let (cell, runs) = (Rc::new(OnceCell::new()), Rc::new(Cell::new(0)));
        let tasks: Vec<_> = (0..20)
            .map(|number| {
                let (cell, runs) = (Rc::clone(&cell), Rc::clone(&runs));
                spawn(async move {
                    let make = || async move {
                        runs.set(runs.get() + 1);
                        yield_now().await;
                        number
                    };
                    *cell.get_or_init(make).await
                })
            })
            .collect();
        let_others_run().await;
        let value = *cell.get().unwrap();
        for task in tasks {
            assert_eq!(task.await.unwrap(), value);
        }
        assert_eq!(runs.get(), 1);
    });
}

#[headwaiter::test(within = "60s")]
async fn a_cell_with_a_value_calls_no_initialiser_and_does_not_wait() {
    let _beside_others = beside_other_tests();
    let cell = OnceCell::new_with(Some("soup"));
    let never = || -> std::future::Ready<&str> { panic!("it has a value") };
    assert_eq!(ready(poll_once(&mut pin!(cell.get_or_init(never))).await), &"soup");
    let fails = || ready_with(Err("no fish"));
    assert_eq!(cell.get_or_try_init(fails).await, Ok(&"soup"));
}

#[test]
fn an_initialiser_that_fails_leaves_the_cell_to_the_next_waiter() {
    in_every_order(|| async {
        let cell = OnceCell::new();
        let begin = |result: Result<&'static str, &'static str>| {
            let make = move || async move {
                yield_now().await;
                result
            };
            cell.get_or_try_init(make)
        };
        let mut first = pin!(begin(Err("burnt")));
        let mut second = pin!(begin(Err("cold")));
        let mut third = pin!(begin(Ok("soup")));
        let mut fourth = pin!(begin(Ok("fish")));
        assert!(is_pending(&mut first).await);
        assert!(is_pending(&mut second).await);
        assert!(is_pending(&mut third).await);
        assert!(is_pending(&mut fourth).await);
        assert_eq!(first.await, Err("burnt"));
        assert!(!cell.initialized());
        assert!(is_pending(&mut fourth).await, "it is not its turn");
        assert_eq!(second.await, Err("cold"));
        assert_eq!(third.await, Ok(&"soup"));
        assert_eq!(ready(poll_once(&mut fourth).await), Ok(&"soup"));
    });
}

#[test]
fn an_initialiser_that_panics_or_is_dropped_leaves_the_cell_to_the_next_waiter() {
    in_every_order(|| async {
        for aborts in [false, true] {
            let cell = Rc::new(OnceCell::new());
            let fails = spawn({
                let cell = Rc::clone(&cell);
                async move {
                    let make = || async {
                        let_others_run().await;
                        if aborts {
                            pending::<()>().await;
                        }
                        panic!("on fire")
                    };
                    cell.get_or_init(make).await;
                }
            });
            yield_now().await;
            let next = spawn({
                let cell = Rc::clone(&cell);
                async move { *cell.get_or_init(|| async { "soup" }).await }
            });
            if aborts {
                let_others_run().await;
                let_others_run().await;
                assert!(!next.is_finished());
                fails.abort();
                assert!(fails.await.unwrap_err().is_cancelled());
            } else {
                assert!(fails.await.unwrap_err().is_panic());
            }
            assert_eq!(next.await.unwrap(), "soup");
            assert_eq!(cell.get(), Some(&"soup"));
        }
    });
}

#[test]
fn an_initialiser_that_panics_when_it_is_called_leaves_the_cell_to_the_next_waiter() {
    in_every_order(|| async {
        let cell = OnceCell::new();
        let mut fails = Box::pin(cell.get_or_try_init(|| async {
            yield_now().await;
            Err("burnt")
        }));
        let call = || -> std::future::Ready<Result<&str, &str>> { panic!("on fire") };
        let mut panics = Box::pin(cell.get_or_try_init(call));
        let mut next = Box::pin(cell.get_or_init(|| async { "soup" }));
        assert!(is_pending(&mut fails).await);
        assert!(is_pending(&mut panics).await);
        assert!(is_pending(&mut next).await);
        assert_eq!(fails.await, Err("burnt"));
        let text = panic_text(|| assert!(poll_with(Waker::noop(), &mut panics).is_pending()));
        assert_eq!(text, "on fire");
        assert!(is_pending(&mut next).await, "the attempt ends with the future");
        drop(panics);
        assert_eq!(ready(poll_once(&mut next).await), &"soup");
    });
}

#[test]
fn a_waiter_that_is_dropped_when_it_is_its_turn_leaves_the_cell_to_the_next() {
    in_every_order(|| async {
        let cell = OnceCell::new();
        let make = || async {
            yield_now().await;
            1
        };
        let mut runs = Box::pin(cell.get_or_init(make));
        let mut second = Box::pin(cell.get_or_init(make));
        let mut third = Box::pin(cell.get_or_init(|| async { 3 }));
        assert!(is_pending(&mut runs).await);
        assert!(is_pending(&mut second).await);
        assert!(is_pending(&mut third).await);
        drop(runs); // Now it is the turn of the second.
        assert!(cell.set(4).unwrap_err().is_initializing_err());
        drop(second);
        assert_eq!(ready(poll_once(&mut third).await), &3);
    });
}

#[headwaiter::test(within = "60s")]
async fn a_cell_is_set_once_and_not_while_an_initialiser_runs() {
    let _beside_others = beside_other_tests();
    let cell = OnceCell::new();
    assert_eq!((cell.get(), cell.initialized()), (None, false));
    let mut runs = Box::pin(cell.get_or_init(|| async {
        yield_now().await;
        "soup"
    }));
    assert_eq!(cell.set("fish"), Ok(()), "it has not begun");
    assert_eq!(ready(poll_once(&mut runs).await), &"fish");
    let error = cell.set("cake").unwrap_err();
    assert!(error.is_already_init_err() && !error.is_initializing_err());
    assert_eq!(error, SetError::AlreadyInitializedError("cake"));
    assert_eq!(error.to_string(), "the cell has a value already");

    let cell = OnceCell::new();
    let mut runs = Box::pin(cell.get_or_init(|| async {
        yield_now().await;
        "soup"
    }));
    assert!(is_pending(&mut runs).await);
    let error = cell.set("fish").unwrap_err();
    assert!(error.is_initializing_err() && !error.is_already_init_err());
    assert_eq!(error, SetError::InitializingError("fish"));
    assert_eq!(error.to_string(), "the cell is being initialised");
    drop(runs);
    assert_eq!(cell.set("fish"), Ok(()), "the initialiser was dropped");
}

#[test]
fn a_cell_is_a_value() {
    let mut cell = OnceCell::new_with(None::<i32>);
    assert_eq!(cell, OnceCell::default());
    assert_eq!(cell.get_mut(), None);
    assert_eq!(cell.take(), None);
    cell.set(5).unwrap();
    *cell.get_mut().unwrap() += 1;
    let copy = cell.clone();
    assert!(copy == OnceCell::from(6) && copy == OnceCell::new_with(Some(6)));
    assert_eq!(format!("{copy:?}"), "OnceCell { value: Some(6) }");
    assert_eq!(cell.take(), Some(6));
    assert!(cell != copy);
    cell.set(7).unwrap();
    assert_eq!((cell.into_inner(), copy.into_inner()), (Some(7), Some(6)));
    assert_eq!(OnceCell::<u8>::new().into_inner(), None);
}

#[test]
fn take_makes_a_cell_usable_whose_initialiser_was_leaked() {
    let mut cell = OnceCell::new();
    let mut runs = cell.get_or_init(pending);
    assert!(poll_with(Waker::noop(), &mut runs).is_pending());
    std::mem::forget(runs);
    assert_eq!(cell.set(1), Err(SetError::InitializingError(1)));
    assert_eq!(cell.take(), None);
    assert_eq!(cell.set(2), Ok(()));
}

/// The report of the deadlock in which `wait` ends.
fn deadlock_report<F: Future<Output = ()>>(wait: impl FnOnce() -> F) -> String {
    let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap();
    panic_text(|| event_loop.block_on(wait()))
}

#[test]
fn an_initialiser_that_awaits_its_own_cell_is_a_deadlock() {
    bounded(|| {
        let report = deadlock_report(|| async {
            let cell = OnceCell::new();
            let outer = || async {
                cell.get_or_init(|| async { 1 }).await;
                2
            };
            cell.get_or_init(outer).await;
        });
        assert!(report.contains("deadlock: a task waits for itself"), "{report}");
        let held = r#" for a once cell, which task 1 "main" holds since tests/promises/cells.rs:"#;
        assert!(report.contains(held), "{report}");
    });
}

#[headwaiter::test(within = "60s")]
async fn two_initialisers_that_await_each_others_cell_are_a_deadlock() {
    let _beside_others = beside_other_tests();
    let (one, two) = (Rc::new(OnceCell::new()), Rc::new(OnceCell::new()));
    let make = |own: &Rc<OnceCell<i32>>, other: &Rc<OnceCell<i32>>| {
        let (own, other) = (Rc::clone(own), Rc::clone(other));
        spawn(async move {
            let make = || async {
                yield_now().await;
                *other.get_or_init(|| async { 1 }).await
            };
            *own.get_or_init(make).await
        })
    };
    let (first, second) = (make(&one, &two), make(&two, &one));
    // One is dropped, and the other one then makes both values.
    let ends = [first.await, second.await];
    assert_eq!(ends.iter().filter(|end| matches!(end, Ok(1))).count(), 1);
    let error = ends.into_iter().find_map(Result::err).unwrap();
    assert!(error.is_deadlock() && error.to_string().contains("2 tasks wait"), "{error}");
    assert_eq!((one.get(), two.get()), (Some(&1), Some(&1)));
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn an_initialiser_that_waits_for_a_timer_or_a_lock_is_no_deadlock() {
    let _beside_others = beside_other_tests();
    let cell = Rc::new(OnceCell::new());
    let lock = Rc::new(Mutex::new(()));
    let held = lock.lock().await;
    let tasks = [1, 2].map(|number| {
        let (cell, lock) = (Rc::clone(&cell), Rc::clone(&lock));
        spawn(async move {
            let make = || async move {
                headwaiter::time::sleep(ms(10)).await;
                drop(lock.lock().await);
                number
            };
            *cell.get_or_init(make).await
        })
    });
    headwaiter::time::sleep(ms(50)).await;
    let dump = headwaiter::dump().to_string();
    let holds = "holds a once cell since tests/promises/cells.rs:";
    assert!(dump.contains(holds) && dump.contains("waits for a once cell, which"), "{dump}");
    drop(held);
    for task in tasks {
        assert_eq!(task.await.unwrap(), 1);
    }
}

#[test]
fn an_initialiser_that_moves_to_another_task_is_held_by_that_task() {
    for waits_first in [false, true] {
        in_virtual_time(move || async move {
            let cell = Rc::new(OnceCell::new());
            let cook = {
                let cell = Rc::clone(&cell);
                async move {
                    let make = || async {
                        headwaiter::time::sleep(ms(10)).await;
                        "soup"
                    };
                    *cell.get_or_init(make).await
                }
            };
            // This task begins to make the value, and another one makes it.
            let mut cook = Box::pin(cook);
            assert!(poll_once(&mut cook).await.is_pending());
            let wait = || {
                let cell = Rc::clone(&cell);
                spawn(async move { *cell.get_or_init(pending).await })
            };
            let (cook, guest) = if waits_first {
                let guest = wait();
                (spawn(cook), guest)
            } else {
                (spawn(cook), wait())
            };
            assert_eq!(guest.await.unwrap(), "soup", "it does not wait for this task");
            assert_eq!(cook.await.unwrap(), "soup");
        });
    }
}

/// Ready at the second poll. At its drop it calls a function.
struct Making<F: FnMut()>(OnDrop<F>, bool);

impl<F: FnMut() + Unpin> Future for Making<F> {
    type Output = &'static str;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut self.1, true) { Poll::Ready("soup") } else { Poll::Pending }
    }
}

#[test]
fn the_drop_of_an_initialiser_may_use_the_cell_and_panic() {
    in_every_order(|| async {
        let cell = Rc::new(OnceCell::new());
        let seen = Rc::new(RefCell::new(None));
        let (uses, sees) = (Rc::clone(&cell), Rc::clone(&seen));
        let made = spawn({
            let cell = Rc::clone(&cell);
            async move {
                let end = move || {
                    let set = uses.set("fish");
                    *sees.borrow_mut() = Some((uses.get().copied(), set));
                    panic!("on fire");
                };
                *cell.get_or_init(|| Making(OnDrop(end), false)).await
            }
        });
        yield_now().await;
        let waits = spawn({
            let cell = Rc::clone(&cell);
            async move { *cell.get_or_init(|| async { "cake" }).await }
        });
        assert!(made.await.unwrap_err().is_panic());
        assert_eq!(waits.await.unwrap(), "soup");
        let set = Err(SetError::AlreadyInitializedError("fish"));
        assert_eq!(*seen.borrow(), Some((Some("soup"), set)));
    });
}

#[headwaiter::test(within = "60s")]
async fn a_cell_lets_all_go_on_at_once_when_it_has_its_value() {
    let _beside_others = beside_other_tests();
    let cell = Rc::new(OnceCell::new());
    let (give, take) = oneshot::channel();
    let waits = |cell: &Rc<OnceCell<_>>| {
        let cell = Rc::clone(cell);
        async move { *cell.get_or_init(pending).await }
    };
    let makes = spawn({
        let cell = Rc::clone(&cell);
        async move { *cell.get_or_init(|| async { take.await.unwrap() }).await }
    });
    yield_now().await;
    let tasks: Vec<_> = (0..100).map(|_| spawn(waits(&cell))).collect();
    let_others_run().await;
    give.send(7).unwrap();
    // In one batch, not one after the other.
    yield_now().await;
    yield_now().await;
    assert!(makes.is_finished() && tasks.iter().all(|task| task.is_finished()));
    for task in tasks {
        assert_eq!(task.await.unwrap(), 7);
    }
    makes.await.unwrap();
}

#[headwaiter::test(within = "60s")]
async fn a_cell_spends_budget_and_a_refused_task_keeps_its_turn() {
    let _beside_others = beside_other_tests();
    let cell = OnceCell::new();
    let mut first = Box::pin(cell.get_or_init(|| async { 1 }));
    assert!(is_refused(&mut first).await);
    let mut second = Box::pin(cell.get_or_init(|| async { 2 }));
    assert!(is_pending(&mut second).await, "it is the turn of the first");
    assert_eq!((first.await, second.await), (&1, &1));
    let mut refused = Box::pin(cell.get_or_init(|| async { 3 }));
    assert!(is_refused(&mut refused).await);
    assert_eq!(refused.await, &1);

    let once = SetOnce::from(5);
    let mut refused = once.wait();
    assert!(is_refused(&mut refused).await);
    assert_eq!(refused.await, &5);
}

#[test]
fn a_cell_outlives_a_drop_at_every_await() {
    in_every_order(|| async {
        let cell = RefCell::new(Rc::new(OnceCell::new()));
        let make = async || {
            let cell = Rc::clone(&cell.borrow());
            let both = || async {
                yield_now().await;
                yield_now().await;
                1
            };
            zip(cell.get_or_init(both), cell.get_or_init(both)).await;
        };
        let check = async || {
            let cell = cell.replace(Rc::new(OnceCell::new()));
            assert_eq!(cell.get_or_init(|| async { 1 }).await, &1);
        };
        drop_at_every_await(2, make, check).await;
    });
}

#[test]
fn cells_work_with_foreign_wakers_and_without_a_loop() {
    in_every_order(|| async {
        let (cell, once) = (Rc::new(OnceCell::new()), Rc::new(SetOnce::new()));
        let task = spawn({
            let (cell, once) = (Rc::clone(&cell), Rc::clone(&once));
            async move {
                let make = || async {
                    let_others_run().await;
                    1
                };
                let made = *wrapped(cell.get_or_init(make)).await;
                made + *wrapped(once.wait()).await
            }
        });
        yield_now().await;
        assert_eq!(wrapped(cell.get_or_init(|| async { 1 })).await, &1);
        let_others_run().await;
        once.set(2).unwrap();
        assert_eq!(task.await.unwrap(), 3);
    });
    let (cell, once) = (OnceCell::new(), SetOnce::new());
    let mut make = Box::pin(cell.get_or_init(|| async { 1 }));
    assert!(poll_with(Waker::noop(), &mut make).is_ready());
    let mut waits = once.wait();
    assert!(poll_with(Waker::noop(), &mut waits).is_pending());
    once.set(2).unwrap();
    assert_eq!(ready(poll_with(Waker::noop(), &mut waits)), &2);
}

#[test]
fn an_initialiser_that_panics_outside_any_task_ends_its_attempt_when_it_is_dropped() {
    let cell = OnceCell::new();
    let mut burns = Box::pin(cell.get_or_init(|| async { panic!("on fire") }));
    let poll = || poll_with(Waker::noop(), &mut burns).is_ready();
    assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
    assert_eq!(cell.set(1), Err(SetError::InitializingError(1)));
    drop(burns);
    assert_eq!(cell.set(1), Ok(()));

    let cell = OnceCell::new();
    let mut fails = Box::pin(cell.get_or_try_init(|| async { Err::<u8, _>("burnt") }));
    assert_eq!(ready(poll_with(Waker::noop(), &mut fails)), Err("burnt"));
    let text = panic_text(|| assert!(poll_with(Waker::noop(), &mut fails).is_ready()));
    assert!(text.contains("polled again after its initialiser had ended"), "{text}");
    assert_eq!(cell.set(1), Ok(()), "that has not taken the cell");
}

#[test]
fn set_once_wakes_all_waiters_and_keeps_the_first_value() {
    in_every_order(|| async {
        let menu = Rc::new(SetOnce::new());
        assert_eq!((menu.get(), menu.initialized()), (None, false));
        let guests: Vec<_> = (0..10)
            .map(|_| {
                let menu = Rc::clone(&menu);
                spawn(async move { *menu.wait().await })
            })
            .collect();
        let_others_run().await;
        assert_eq!(menu.set("soup"), Ok(()));
        assert_eq!(menu.set("fish"), Err(SetOnceError("fish")));
        assert_eq!(menu.set("fish").unwrap_err().to_string(), "the value is set already");
        for guest in guests {
            assert_eq!(guest.await.unwrap(), "soup");
        }
        assert_eq!(ready(poll_once(&mut menu.wait()).await), &"soup");
        assert_eq!(Rc::into_inner(menu).unwrap().into_inner(), Some("soup"));
    });
}

#[test]
fn a_set_once_is_a_value() {
    let empty = SetOnce::new_with(None::<u8>);
    assert!(empty == SetOnce::default() && empty.clone().into_inner().is_none());
    let full = SetOnce::new_with(Some(1));
    assert!(full == SetOnce::from(1) && full == full.clone() && full != empty);
    assert_eq!(format!("{full:?}"), "SetOnce { value: Some(1) }");
}

#[test]
fn a_wait_for_set_once_that_is_dropped_leaves_nothing() {
    in_every_order(|| async {
        let menu = Rc::new(SetOnce::new());
        let waits = |menu: &Rc<SetOnce<u8>>| {
            let menu = Rc::clone(menu);
            spawn(async move { *menu.wait().await })
        };
        let (gone, stays) = (waits(&menu), waits(&menu));
        let_others_run().await;
        let dump = headwaiter::dump().to_string();
        assert_eq!(dump.matches("waits for a value that is set once, at tests/").count(), 2);
        gone.abort();
        menu.set(1).unwrap();
        assert_eq!(stays.await.unwrap(), 1);
        drop(gone);
    });
}

#[test]
fn a_waker_may_set_and_await_what_it_is_woken_for() {
    thread_local! {
        static MENU: SetOnce<u8> = const { SetOnce::new() };
        static SEEN: Cell<Option<u8>> = const { Cell::new(None) };
    }
    let meddling = foreign(|| {
        MENU.with(|menu| {
            assert_eq!(menu.set(2), Err(SetOnceError(2)));
            SEEN.set(Some(*ready(poll_with(Waker::noop(), &mut menu.wait()))));
        });
    });
    MENU.with(|menu| {
        let mut waits = menu.wait();
        assert!(poll_with(&meddling, &mut waits).is_pending());
        menu.set(1).unwrap();
        assert_eq!(SEEN.get(), Some(1));
    });
}
