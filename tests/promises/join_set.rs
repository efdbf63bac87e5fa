//! `JoinSet` and `AbortHandle`: what tokio's documentation promises of them, and what is promised here beyond that.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::support::logged::logged;
use crate::support::wakers::{Foreign, foreign_owning};
use crate::support::*;
use futures_lite::future::poll_once;
use headwaiter::sync::{Mutex, Notify, oneshot};
use headwaiter::task::{self, AbortHandle, Builder, JoinSet, yield_now};
use headwaiter::time::{sleep, timeout};
use headwaiter::{EventLoop, Handle, dump, spawn};
use log::LevelFilter;

/// Counts what was dropped.
#[derive(Clone, Default)]
struct Drops(Rc<Cell<usize>>);

impl Drops {
    fn get(&self) -> usize {
        self.0.get()
    }

    /// One that counts.
    fn one(&self) -> OnDrop<impl FnMut() + use<>> {
        let drops = Rc::clone(&self.0);
        OnDrop(move || drops.set(drops.get() + 1))
    }
}

/// Never ready, and holds something.
async fn holds<T, R>(held: T) -> R {
    let _held = held;
    pending().await
}

async fn yields<T>(times: usize, output: T) -> T {
    for _ in 0..times {
        yield_now().await;
    }
    output
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn the_outputs_of_a_set_come_in_the_order_in_which_its_tasks_end() {
    let _beside_others = beside_other_tests();
    let mut dishes = JoinSet::new();
    for minutes in [30, 10, 20] {
        dishes.spawn(async move {
            sleep(ms(minutes)).await;
            minutes
        });
    }
    assert_eq!((dishes.len(), dishes.is_empty()), (3, false));
    for minutes in [10, 20, 30] {
        assert_eq!(dishes.join_next().await.unwrap().unwrap(), minutes);
    }
    assert!(dishes.is_empty());
    assert!(dishes.join_next().await.is_none());
}

#[test]
fn a_set_takes_each_output_once_in_every_order() {
    in_every_order(|| async {
        let mut set: JoinSet<usize> = (0..10).map(|n| yields(n % 3, n)).collect();
        set.extend((10..20).map(|n| yields(n % 3, n)));
        let mut seen = [false; 20];
        while let Some(n) = set.join_next().await {
            assert!(!std::mem::replace(&mut seen[n.unwrap()], true));
        }
        assert_eq!(seen, [true; 20]);
    });
}

#[test]
fn the_tasks_of_a_set_run_although_nothing_awaits_it() {
    in_every_order(|| async {
        let (mut set, drops) = (JoinSet::new(), Drops::default());
        set.spawn(yields(0, drops.one()));
        yields(2, ()).await;
        // The output stays in the set, and counts until it is taken.
        assert_eq!((drops.get(), set.len()), (0, 1));
        drop(set.try_join_next().unwrap().unwrap());
        assert_eq!((drops.get(), set.len()), (1, 0));
    });
}

#[test]
fn an_empty_set_is_joined_at_once_and_needs_no_loop() {
    let mut set = JoinSet::<u32>::default();
    assert_eq!((set.len(), set.try_join_next().is_none()), (0, true));
    assert!(set.try_join_next_with_id().is_none());
    set.abort_all();
    set.detach_all();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(set.poll_join_next(&mut cx), Poll::Ready(None)));
    assert!(matches!(set.poll_join_next_with_id(&mut cx), Poll::Ready(None)));
    assert!(matches!(pin!(set.join_next()).poll(&mut cx), Poll::Ready(None)));
    assert!(matches!(pin!(set.shutdown()).poll(&mut cx), Poll::Ready(())));
    assert_eq!(pin!(set.join_all()).poll(&mut cx), Poll::Ready(vec![]));
}

#[test]
fn a_panic_in_a_task_of_a_set_is_its_error_and_the_others_continue() {
    in_every_order(|| async {
        let mut set = JoinSet::new();
        let burnt =
            Builder::new().name("roast").spawn_in_set(&mut set, async { panic!("on fire") });
        set.spawn(yields(3, "soup"));
        let error = set.join_next().await.unwrap().unwrap_err();
        assert!(error.is_panic());
        assert_eq!(error.id(), burnt.id());
        let text = error.to_string();
        assert!(text.contains("\"roast\"") && text.contains("join_set.rs"), "{text}");
        assert!(text.ends_with("panicked: on fire"), "{text}");
        assert!(error.try_into_panic().is_ok());
        assert_eq!(set.join_next().await.unwrap().unwrap(), "soup");
    });
}

#[test]
fn ids_tell_which_task_of_a_set_has_ended() {
    in_every_order(|| async {
        let mut set = JoinSet::new();
        let soup = set.spawn(yields(1, "soup"));
        let fish = set.spawn(holds(()));
        assert_ne!(soup.id(), fish.id());
        assert!(set.try_join_next_with_id().is_none());
        assert_eq!(set.join_next_with_id().await.unwrap().unwrap(), (soup.id(), "soup"));
        fish.abort();
        let error = set.try_join_next_with_id().unwrap().unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.id(), fish.id());
        assert!(error.try_into_panic().unwrap_err().is_cancelled());
        assert!(set.join_next_with_id().await.is_none());
    });
}

#[test]
fn an_abort_through_a_handle_is_an_error_of_that_task_only() {
    in_every_order(|| async {
        let (mut set, drops) = (JoinSet::new(), Drops::default());
        set.spawn(yields(2, "soup"));
        let fish = set.spawn(holds(drops.one()));
        let same = fish.clone();
        yields(2, ()).await;
        assert!(!fish.is_finished());
        fish.abort();
        assert_eq!((drops.get(), fish.is_finished(), same.is_finished()), (1, true, true));
        same.abort(); // A no-op.
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert_eq!(set.join_next().await.unwrap().unwrap(), "soup");
        assert!(set.is_empty());
    });
}

#[test]
fn an_abort_after_the_end_leaves_the_output() {
    in_every_order(|| async {
        let mut set = JoinSet::new();
        let soup = set.spawn(async { "soup" });
        yields(2, ()).await;
        soup.abort();
        set.abort_all();
        assert_eq!(set.join_next().await.unwrap().unwrap(), "soup");

        let fish = spawn(async { "fish" });
        let abort = fish.abort_handle();
        yields(2, ()).await;
        assert!(abort.is_finished() && fish.is_finished());
        abort.abort();
        assert_eq!(fish.await.unwrap(), "fish");
    });
}

#[test]
fn an_abort_handle_neither_aborts_nor_detaches_when_it_is_dropped() {
    in_every_order(|| async {
        let task = spawn(yields(2, "soup"));
        let abort = task.abort_handle();
        assert_eq!(abort.id(), task.id());
        {
            let _both = (abort.clone(), abort);
        }
        assert_eq!(task.await.unwrap(), "soup");

        // It outlives the `JoinHandle`.
        let drops = Drops::default();
        let task = spawn(holds::<_, ()>(drops.one()));
        let abort = task.abort_handle();
        drop(task);
        yields(2, ()).await;
        assert_eq!((drops.get(), abort.is_finished()), (0, false));
        abort.abort();
        assert_eq!((drops.get(), abort.is_finished()), (1, true));
    });
}

#[headwaiter::test(within = "60s")]
async fn an_abort_handle_works_on_another_thread_and_says_there_that_it_cannot_ask() {
    fn must_be_send<T: Send + Sync + Clone>(value: T) -> T {
        value
    }
    let _beside_others = beside_other_tests();
    let _reachable = Handle::current();
    let mut set = JoinSet::<()>::new();
    let abort = must_be_send(set.spawn(async {
        sleep(ms(1_000_000)).await;
    }));
    let elsewhere = thread::spawn(move || {
        let said = panic_text(|| _ = abort.is_finished());
        assert!(said.contains("an `AbortHandle` was used outside any event loop"), "{said}");
        abort.abort();
    });
    assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
    elsewhere.join().unwrap();
}

#[test]
fn abort_all_leaves_the_tasks_in_the_set_to_be_joined() {
    in_every_order(|| async {
        let (mut set, drops) = (JoinSet::new(), Drops::default());
        for _ in 0..5 {
            set.spawn(holds::<_, ()>(drops.one()));
        }
        set.spawn(async {});
        yields(2, ()).await;
        set.abort_all();
        assert_eq!((drops.get(), set.len()), (5, 6));
        let mut cancelled = 0;
        while let Some(ended) = set.join_next().await {
            cancelled += usize::from(ended.is_err_and(|error| error.is_cancelled()));
        }
        assert_eq!(cancelled, 5);
        // It is no end of the set: another can be spawned.
        set.spawn(async {});
        assert!(set.join_next().await.unwrap().is_ok());
    });
}

#[test]
fn a_dropped_set_drops_its_tasks_inside_the_call_and_logs_a_panic_that_it_had_not_told() {
    let said = logged(LevelFilter::Error, || {
        in_every_order(|| async {
            let (mut set, drops) = (JoinSet::new(), Drops::default());
            for _ in 0..5 {
                set.spawn(holds(drops.one()));
            }
            set.spawn(yields(0, drops.one()));
            set.spawn(async { panic!("on fire") });
            yields(2, ()).await;
            assert_eq!(drops.get(), 0);
            drop(set);
            assert_eq!(drops.get(), 6);
        });
    });
    assert_eq!(said.len(), 51, "{said:?}");
    assert!(said[0].contains("panicked: on fire (and nobody awaits the task)"), "{said:?}");
}

#[test]
fn detached_tasks_run_on_and_their_panics_are_logged() {
    let said = logged(LevelFilter::Error, || {
        in_every_order(|| async {
            let (mut set, drops) = (JoinSet::new(), Drops::default());
            set.spawn(yields(0, drops.one()));
            set.spawn(yields(2, drops.one()));
            let held = set.spawn(holds(drops.one()));
            set.spawn(async {
                yields(2, ()).await;
                panic!("on fire")
            });
            yields(2, ()).await;
            set.detach_all();
            // The output that nothing took is dropped.
            assert_eq!((set.len(), drops.get()), (0, 1));
            // The set can be used again, and sees nothing of the detached tasks.
            set.spawn(yields(5, drops.one()));
            drop(set.join_next().await.unwrap().unwrap());
            assert!(set.join_next().await.is_none());
            drop(set);
            assert_eq!((drops.get(), held.is_finished()), (3, false));
            held.abort();
            assert_eq!(drops.get(), 4);
        });
    });
    assert_eq!(said.len(), 51, "{said:?}");
    assert!(said[0].contains("panicked: on fire (and nobody awaits the task)"), "{said:?}");
}

#[test]
fn shutdown_aborts_all_waits_for_their_end_and_empties_the_set() {
    in_every_order(|| async {
        let (mut set, drops) = (JoinSet::new(), Drops::default());
        set.spawn(yields(0, drops.one()));
        for _ in 0..200 {
            set.spawn(holds(drops.one()));
        }
        yields(2, ()).await;
        // As every future, it does nothing before it is polled.
        drop(set.shutdown());
        assert_eq!((drops.get(), set.len()), (0, 201));
        set.shutdown().await;
        assert_eq!((drops.get(), set.len()), (201, 0));
        set.spawn(yields(0, drops.one()));
        assert_eq!(set.len(), 1);
    });
}

#[test]
fn shutdown_by_a_child_waits_until_its_own_poll_is_over() {
    in_every_order(|| async {
        let set = Rc::new(RefCell::new(JoinSet::new()));
        let own = Rc::clone(&set);
        let drops = Drops::default();
        let held = drops.one();
        set.borrow_mut().spawn(async move {
            let _held = held;
            let mut set = std::mem::take(&mut *own.borrow_mut());
            set.shutdown().await;
            unreachable!("it was aborted itself");
        });
        yields(2, ()).await;
        assert_eq!(drops.get(), 1);
    });
}

/// Unlike tokio: there, such panics are ignored. Here the caller does not see them either, but they are logged.
#[test]
fn a_panic_during_a_shutdown_is_logged_and_does_not_reach_the_caller() {
    let said = logged(LevelFilter::Error, || {
        in_loop(|| async {
            let mut set = JoinSet::new();
            set.spawn(holds::<_, ()>(OnDrop(|| panic!("the plates fell"))));
            set.spawn(async { panic!("on fire") });
            yield_now().await;
            set.shutdown().await;
            assert!(set.is_empty());
        });
    });
    let has = |text: &str| said.iter().any(|line| line.contains(text));
    assert!(has("panicked: on fire") && has("panicked: the plates fell"), "{said:?}");
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn join_all_returns_the_outputs_in_the_order_of_the_ends() {
    let _beside_others = beside_other_tests();
    let minutes = [30, 10, 20].map(|minutes| async move {
        sleep(ms(minutes)).await;
        minutes
    });
    let dishes: JoinSet<u64> = minutes.into_iter().collect();
    assert_eq!(dishes.join_all().await, [10, 20, 30]);
}

#[test]
fn join_all_resumes_a_panic_and_panics_for_an_abort_after_the_others_were_cancelled() {
    for is_abort in [false, true] {
        in_every_order(move || async move {
            let (mut set, drops) = (JoinSet::new(), Drops::default());
            set.spawn(holds(drops.one()));
            set.spawn(yields(0, drops.one()));
            yields(2, ()).await;
            let task = set.spawn(async { panic!("on fire") });
            if is_abort {
                task.abort();
            }
            let mut all = set.join_all();
            let payload = poll_fn(|cx| {
                match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut all).poll(cx))) {
                    Ok(ended) => ended.map(|_| unreachable!("one of them has no output")),
                    Err(payload) => Poll::Ready(payload),
                }
            })
            .await;
            // The held one was dropped before the panic reached the caller.
            assert!(drops.get() >= 1);
            drop(all);
            let said = panic_text(|| resume_unwind(payload));
            let expected =
                if is_abort { "`JoinSet::join_all` cannot return all outputs" } else { "on fire" };
            assert!(said.contains(expected), "{said}");
            assert_eq!(drops.get(), 2);
        });
    }
}

#[test]
fn a_dropped_join_next_has_taken_nothing_and_leaves_nothing() {
    in_every_order(|| async {
        let (mut set, open) = (JoinSet::new(), Rc::new(Notify::new()));
        let door = Rc::clone(&open);
        set.spawn(async move {
            door.notified().await;
            "soup"
        });
        let waker = Foreign::new();
        {
            let mut next = pin!(set.join_next());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(next.as_mut().poll(&mut cx).is_pending());
            let foreign = Waker::from(Arc::clone(&waker));
            assert!(next.as_mut().poll(&mut Context::from_waker(&foreign)).is_pending());
            assert_eq!(Arc::strong_count(&waker), 3); // Here twice, and in the set.
        }
        assert_eq!(Arc::strong_count(&waker), 1);
        assert!(poll_once(set.join_next()).await.is_none());
        open.notify_one();
        yields(2, ()).await;
        assert_eq!(waker.wakes(), 0);
        assert_eq!((set.len(), set.join_next().await.unwrap().unwrap()), (1, "soup"));
    });
}

#[test]
fn only_the_waker_of_the_last_poll_is_woken_and_once() {
    in_every_order(|| async {
        let mut set: JoinSet<()> = (0..3).map(|_| yields(1, ())).collect();
        let (first, last) = (Foreign::new(), Foreign::new());
        for waker in [&first, &last] {
            let waker = Waker::from(Arc::clone(waker));
            assert!(set.poll_join_next(&mut Context::from_waker(&waker)).is_pending());
        }
        yields(3, ()).await;
        assert_eq!((first.wakes(), last.wakes()), (0, 1));
        assert_eq!(set.join_all().await.len(), 3);
    });
}

#[headwaiter::test(within = "60s")]
async fn an_end_while_an_earlier_waker_is_dropped_is_not_lost() {
    thread_local! {
        static TASK: Cell<Option<AbortHandle>> = const { Cell::new(None) };
    }
    let _beside_others = beside_other_tests();
    let mut set = JoinSet::<()>::new();
    TASK.set(Some(set.spawn(pending())));
    let ends_the_task = OnDrop(|| TASK.take().unwrap().abort());
    let earlier = foreign_owning(ends_the_task, |_| ());
    assert!(set.poll_join_next(&mut Context::from_waker(&earlier)).is_pending());
    drop(earlier);
    let later = Foreign::new();
    let waker = Waker::from(Arc::clone(&later));
    let polled = set.poll_join_next(&mut Context::from_waker(&waker));
    assert!(polled.is_pending() && later.wakes() == 1, "{polled:?}, {}", later.wakes());
    assert!(set.try_join_next().unwrap().unwrap_err().is_cancelled());
}

#[headwaiter::test(within = "60s")]
async fn a_join_with_nothing_to_wait_for_spends_budget_and_yields() {
    let _beside_others = beside_other_tests();
    let mut set: JoinSet<usize> = (0..1000).map(|n| yields(0, n)).collect();
    yields(2, ()).await;
    let turns = Rc::new(Cell::new(0));
    let count = Rc::clone(&turns);
    let others = spawn(async move {
        loop {
            count.set(count.get() + 1);
            yield_now().await;
        }
    });
    let mut joined = 0;
    while set.join_next().await.is_some() {
        joined += 1;
    }
    assert_eq!((joined, turns.get()), (1000, 1000 / 128));
    others.abort();
    // Without waiting: never refused.
    let mut set: JoinSet<usize> = (0..1000).map(|n| yields(0, n)).collect();
    yields(2, ()).await;
    let taken = std::iter::from_fn(|| set.try_join_next()).count();
    assert_eq!(taken, 1000);
}

#[test]
fn a_set_can_be_joined_by_a_task_while_another_fills_it() {
    in_every_order(|| async {
        let set = Rc::new(RefCell::new(JoinSet::new()));
        let filler = spawn({
            let set = Rc::clone(&set);
            async move {
                for n in 0..10 {
                    set.borrow_mut().spawn(yields(1, n));
                    yield_now().await;
                }
            }
        });
        let mut sum = 0;
        let mut filler = Some(filler);
        while filler.is_some() || !set.borrow().is_empty() {
            while let Some(n) = set.borrow_mut().try_join_next() {
                sum += n.unwrap();
            }
            if let Some(task) = &filler
                && task.is_finished()
            {
                filler.take().unwrap().await.unwrap();
            }
            yields(2, ()).await;
        }
        assert_eq!(sum, 45);
    });
}

#[test]
fn the_output_of_a_task_may_use_the_set_or_the_loop_when_it_is_dropped() {
    in_every_order(|| async {
        let set = Rc::new(RefCell::new(JoinSet::new()));
        let spawned = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let (set, spawned) = (Rc::clone(&set), Rc::clone(&spawned));
            let own = Rc::clone(&set);
            let output = OnDrop(Box::new(move || {
                spawned.set(spawned.get() + 1);
                drop(spawn(async {}));
                own.borrow_mut().abort_all();
            }) as Box<dyn FnMut()>);
            set.borrow_mut().spawn(async move { output });
        }
        yields(2, ()).await;
        let taken = std::mem::take(&mut *set.borrow_mut());
        drop(taken);
        assert_eq!(spawned.get(), 3);
    });
}

#[headwaiter::test(within = "60s")]
async fn a_set_runs_jobs_on_the_pool() {
    let _beside_others = beside_other_tests();
    let mut set = JoinSet::new();
    for n in 0..10_u64 {
        set.spawn_blocking(move || n * n);
    }
    set.spawn(async { 1000 });
    let mut all = set.join_all().await;
    all.sort_unstable();
    assert_eq!(all, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 1000]);

    let mut set = JoinSet::<()>::new();
    set.spawn_blocking(|| panic!("the mixer broke"));
    let error = set.join_next().await.unwrap().unwrap_err();
    assert!(error.to_string().ends_with("panicked: the mixer broke"), "{error}");
}

#[headwaiter::test(within = "60s")]
async fn a_running_job_of_a_dropped_set_ends_and_its_output_is_dropped() {
    let _beside_others = beside_other_tests();
    static DROPPED: AtomicBool = AtomicBool::new(false);
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let mut set = JoinSet::new();
    set.spawn_blocking(move || {
        begun.send(()).unwrap();
        let _ = may_go_on.recv();
        OnDrop(|| DROPPED.store(true, Ordering::SeqCst))
    });
    yield_now().await;
    has_begun.recv().unwrap();
    set.abort_all();
    assert!(set.join_next().await.unwrap().is_err_and(|error| error.is_cancelled()));
    drop(go_on);
    while !DROPPED.load(Ordering::SeqCst) {
        sleep(ms(1)).await;
    }
}

#[test]
fn a_set_with_tasks_is_refused_in_another_loop_and_outside_of_all_and_an_empty_one_moves() {
    bounded(|| {
        let mut set = JoinSet::new();
        let (mut one, mut other) = (virtual_loop(), virtual_loop());
        let abort = one.enter(|| set.spawn(async { "soup" }));
        let elsewhere = "in another event loop than the one that made it";
        let said = panic_text(|| _ = other.enter(|| set.spawn(async { "fish" })));
        assert!(said.contains("a `JoinSet` was used") && said.contains(elsewhere), "{said}");
        let said = panic_text(|| drop(other.block_on(set.join_next())));
        assert!(said.contains(elsewhere), "{said}");
        let said = panic_text(|| drop(other.enter(|| set.try_join_next())));
        assert!(said.contains(elsewhere), "{said}");
        let said = panic_text(|| drop(set.try_join_next()));
        assert!(said.contains("a `JoinSet` was used outside any event loop"), "{said}");
        let mut cx = Context::from_waker(Waker::noop());
        let said = panic_text(|| drop(set.poll_join_next(&mut cx)));
        assert!(said.contains("a `JoinSet` was used outside any event loop"), "{said}");
        let said = panic_text(|| _ = JoinSet::new().spawn(async {}));
        assert!(said.contains("`JoinSet::spawn` was used outside any event loop"), "{said}");
        let said = panic_text(|| _ = other.enter(|| abort.is_finished()));
        assert!(said.contains("an `AbortHandle` was used") && said.contains(elsewhere), "{said}");
        // It can still be joined at home, and then used elsewhere.
        assert_eq!(one.block_on(set.join_next()).unwrap().unwrap(), "soup");
        other.block_on(async {
            set.spawn(async { "fish" });
            assert_eq!(set.join_next().await.unwrap().unwrap(), "fish");
        });
    });
}

#[test]
fn a_set_that_is_dropped_outside_its_loop_has_its_tasks_dropped_by_the_next_turn() {
    bounded(|| {
        let mut event_loop = virtual_loop();
        let drops = Drops::default();
        let mut set = JoinSet::<()>::new();
        event_loop.enter(|| _ = set.spawn(holds(drops.one())));
        event_loop.block_on(yield_now());
        drop(set);
        assert_eq!(drops.get(), 0);
        event_loop.block_on(yield_now());
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn a_set_outlives_its_loop() {
    bounded(|| {
        let drops = Drops::default();
        let mut set = JoinSet::<()>::new();
        let mut event_loop = virtual_loop();
        event_loop.enter(|| _ = set.spawn(holds(drops.one())));
        event_loop.block_on(yield_now());
        drop(event_loop);
        assert_eq!((drops.get(), set.len()), (1, 1));
        set.abort_all();
        drop(set);
    });
}

#[test]
fn a_task_that_is_spawned_into_a_set_of_a_loop_that_is_being_dropped_counts_as_cancelled() {
    bounded(|| {
        let (tell, told) = mpsc::channel();
        let mut event_loop = virtual_loop();
        event_loop.enter(|| {
            drop(spawn(holds::<_, ()>(OnDrop(move || {
                let mut set = JoinSet::new();
                let abort = set.spawn(async { "too late" });
                assert!(abort.is_finished());
                abort.abort();
                let error = set.try_join_next().unwrap().unwrap_err();
                tell.send((error.is_cancelled(), error.id() == abort.id(), set.len())).unwrap();
            }))));
        });
        event_loop.block_on(yield_now());
        drop(event_loop);
        assert_eq!(told.try_recv().unwrap(), (true, true, 0));
    });
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_timeout_of_a_join_keeps_the_set() {
    let _beside_others = beside_other_tests();
    let mut set = JoinSet::new();
    set.spawn(async {
        sleep(ms(20)).await;
        "soup"
    });
    assert!(timeout(ms(10), set.join_next()).await.is_err());
    assert_eq!(set.join_next().await.unwrap().unwrap(), "soup");
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_dump_says_which_tasks_of_a_set_are_waited_for_and_since_when() {
    let _beside_others = beside_other_tests();
    let mut set = JoinSet::new();
    for _ in 0..3 {
        set.spawn(sleep(ms(1000)));
    }
    let joiner = spawn(async move { while set.join_next().await.is_some() {} });
    sleep(ms(50)).await;
    let said = dump().to_string();
    let line =
        said.lines().find(|line| line.contains("the end of a task of a `JoinSet`: of task "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains(" and 2 more"), "{said}");
    assert!(said.contains("join_set.rs") && said.contains("for 50 ms"), "{said}");
    joiner.await.unwrap();
    assert!(!dump().to_string().contains("JoinSet"));
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_dump_shows_no_wait_of_a_join_that_was_dropped_after_its_wake() {
    let _beside_others = beside_other_tests();
    let mut set: JoinSet<()> = [yields(1, ())].into_iter().collect();
    let mut next = Box::pin(set.join_next());
    assert!(poll_once(next.as_mut()).await.is_none());
    yields(2, ()).await;
    drop(next);
    let said = dump().to_string();
    assert!(!said.contains("JoinSet"), "{said}");
    assert_eq!(set.join_all().await.len(), 1);
}

/// The joiner holds a lock that its only child needs.
#[test]
fn a_join_takes_part_in_a_deadlock() {
    bounded(|| {
        virtual_loop().block_on(async {
            let till = Rc::new(Mutex::named("till", ()));
            let mut set = JoinSet::new();
            let lock = Rc::clone(&till);
            Builder::new().name("Anna").spawn_in_set(&mut set, async move {
                yield_now().await;
                drop(lock.lock().await);
            });
            let joiner = spawn(async move {
                let _held = till.lock().await;
                yields(2, ()).await;
                set.join_next().await.unwrap()
            });
            // One of the two is dropped.
            let error = match joiner.await {
                Ok(ended) => ended.unwrap_err(),
                Err(error) => error,
            };
            assert!(error.is_deadlock(), "{error}");
            let text = error.to_string();
            assert!(text.contains("the end of a task of a `JoinSet`: of task"), "{text}");
            assert!(text.contains("Anna") && text.contains("till"), "{text}");
        });
    });
}

#[test]
fn a_join_whose_tasks_can_continue_is_no_deadlock() {
    bounded(|| {
        virtual_loop().block_on(async {
            let till = Rc::new(Mutex::new(()));
            let mut set = JoinSet::new();
            let lock = Rc::clone(&till);
            set.spawn(async move { drop(lock.lock().await) });
            set.spawn(sleep(ms(100))); // The joiner's way out.
            let joiner = spawn(async move {
                let held = till.lock().await;
                set.join_next().await.unwrap().unwrap();
                drop(held);
                set.join_next().await.unwrap().unwrap();
            });
            joiner.await.unwrap();
        });
    });
}

#[test]
fn nothing_can_wake_a_join_of_tasks_that_wait_for_nothing() {
    bounded(|| {
        let said = panic_text(|| {
            virtual_loop().block_on(async {
                let (_keep, never) = oneshot::channel::<()>();
                let mut set = JoinSet::new();
                set.spawn(never);
                set.join_next().await.unwrap().unwrap().unwrap();
            });
        });
        assert!(said.contains("nothing can wake this event loop any more"), "{said}");
        assert!(said.contains("the end of a task of a `JoinSet`"), "{said}");
    });
}

#[headwaiter::test(within = "60s")]
async fn a_hundred_thousand_tasks_cost_a_set_constant_time_and_leave_nothing() {
    let _beside_others = beside_other_tests();
    let mut set = JoinSet::new();
    let mut sum = 0;
    for n in 0..100_000_u64 {
        set.spawn(async move { n });
        if n % 10 == 9 {
            for _ in 0..10 {
                sum += set.join_next().await.unwrap().unwrap();
            }
        }
    }
    assert_eq!((sum, set.len()), (99_999 * 50_000, 0));
    // All at once.
    let mut set: JoinSet<()> = (0..100_000).map(|_| pending()).collect();
    yield_now().await;
    set.shutdown().await;
    assert!(set.is_empty());
    assert!(dump().to_string().contains("1 task"), "{}", dump());
}

/// Unlike tokio: there, the main future has no id, and a job of the pool has one.
#[test]
fn the_id_of_the_polled_task_is_known_and_outside_of_tasks_there_is_none() {
    assert_eq!(task::try_id(), None);
    assert!(panic_text(|| _ = task::id()).contains("`task::id` was used outside any event loop"));
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (none, said) = event_loop.enter(|| (task::try_id(), panic_text(|| _ = task::id())));
        assert_eq!(none, None);
        assert!(said.contains("while no task is being polled"), "{said}");
        event_loop.block_on(async {
            let main = task::id();
            let mut set = JoinSet::new();
            let one = set.spawn(async { task::id() }).id();
            let other = set.spawn(async { task::try_id().unwrap() }).id();
            let ids = set.join_all().await;
            assert_eq!(ids, [one, other]);
            assert!(one != other && one != main && other != main);
            assert_eq!(headwaiter::spawn_blocking(task::try_id).await.unwrap(), None);
            assert_eq!(task::id(), main);
        });
    });
}
