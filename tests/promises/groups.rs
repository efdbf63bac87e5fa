//! Task groups: children that never outlive their group, failures that end the others, and what is left of all that.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::support::logged::{call_at, lines, logged};
use crate::support::wakers::Foreign;
use crate::support::*;
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::task::{self, JoinGroup, Spawner, TaskGroup, yield_now};
use headwaiter::time::{sleep, timeout};
use headwaiter::{EventLoop, dump, explore, spawn};
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
async fn holds<T, E>(held: T) -> Result<(), E> {
    let _held = held;
    pending().await
}

async fn yields(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

fn polled<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_group_is_joined_when_all_have_ended() {
    in_every_order(|| async {
        let done = Rc::new(Cell::new(0));
        let group = TaskGroup::<()>::new();
        for n in 0..10 {
            let done = Rc::clone(&done);
            group.spawn(async move {
                yields(n).await;
                done.set(done.get() + 1);
                Ok(())
            });
        }
        assert_eq!((group.len(), done.get()), (10, 0));
        assert_eq!(group.join().await, Ok(()));
        assert_eq!(done.get(), 10);
    });
}

#[test]
fn an_empty_group_is_joined_at_once() {
    in_every_order(|| async {
        let group = TaskGroup::<()>::default();
        assert!(group.is_empty());
        assert_eq!(poll_once(&mut group.join()).await, Poll::Ready(Ok(())));
    });
}

/// Unlike tokio: there, the tasks of a `JoinSet` or a `TaskTracker` do not affect each other.
#[test]
fn the_first_error_cancels_the_rest_and_is_returned_after_all_have_ended() {
    // Whichever fails first, in every order.
    in_every_order(|| async {
        let (drops, first) = (Drops::default(), Rc::new(Cell::new(None)));
        let group = TaskGroup::new();
        for n in 0..5 {
            let (held, first) = (drops.one(), Rc::clone(&first));
            group.spawn(async move {
                let _held = held;
                yield_now().await;
                first.set(first.get().or(Some(n)));
                Err(n)
            });
            group.spawn(holds(drops.one()));
        }
        let error = group.join().await.unwrap_err();
        assert_eq!(drops.get(), 10);
        assert_eq!(first.get(), Some(error));
    });
}

#[test]
fn a_failure_ends_the_others_before_the_group_is_joined() {
    in_every_order(|| async {
        let drops = Drops::default();
        let group = TaskGroup::new();
        group.spawn(holds(drops.one()));
        group.spawn(async { Err("no soup") });
        yields(2).await;
        assert_eq!((drops.get(), group.len()), (1, 0));
        // A child that comes too late is dropped inside the call.
        group.spawn(holds(drops.one()));
        assert_eq!((drops.get(), group.len()), (2, 0));
        assert_eq!(group.join().await, Err("no soup"));
    });
}

#[test]
fn a_panic_in_a_child_goes_on_in_the_joiner_after_all_have_ended() {
    in_every_order(|| async {
        let drops = Drops::default();
        let group = TaskGroup::<()>::new();
        for _ in 0..3 {
            group.spawn(holds(drops.one()));
        }
        group.spawn(async {
            yield_now().await;
            burns("the oven");
            Ok(())
        });
        let mut join = group.join();
        let joined =
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut join).poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(result)) => panic!("{result:?} in place of a panic"),
                Err(payload) => Poll::Ready(payload),
            });
        let payload = joined.await;
        assert_eq!(drops.get(), 3);
        assert_eq!(*payload.downcast::<String>().unwrap(), "the oven is on fire");
        // It was ready, as far as that goes.
        let text = panic_text(|| assert!(polled(&mut join).is_pending()));
        assert!(text.contains("polled again"), "{text}");
    });
}

/// A child that is joined by itself: polled to its end, then dropped with a panic.
struct FailsThenPanics(Option<&'static str>);

impl Future for FailsThenPanics {
    type Output = Result<(), &'static str>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(self.0.take().map_or(Ok(()), Err))
    }
}

impl Drop for FailsThenPanics {
    fn drop(&mut self) {
        panic!("a drop that panics");
    }
}

#[test]
fn children_whose_drops_panic_harm_nothing_else() {
    in_every_order(|| async {
        let drops = Drops::default();
        let fill = |group: &TaskGroup<&'static str>| {
            for _ in 0..3 {
                group.spawn(holds(drops.one()));
                group.spawn(Keeps(OnDrop(|| panic!("a drop that panics"))));
            }
        };
        // By the first failure, which is not lost.
        let group = TaskGroup::new();
        fill(&group);
        group.spawn(FailsThenPanics(Some("no soup")));
        assert_eq!(group.join().await, Err("no soup"));
        assert_eq!(drops.get(), 3);
        // By a child that panics in its poll and in its drop.
        let group = TaskGroup::new();
        fill(&group);
        group.spawn(async {
            let _panics_too = Keeps(OnDrop(|| ()));
            burns("the oven");
            Ok(())
        });
        let joiner = spawn(group.join());
        assert_eq!(
            *joiner.await.unwrap_err().into_panic().downcast::<String>().unwrap(),
            "the oven is on fire"
        );
        assert_eq!(drops.get(), 6);
        // By cancelling, and by dropping.
        let group = TaskGroup::new();
        fill(&group);
        group.cancel();
        assert_eq!((drops.get(), group.len()), (9, 0));
        drop(group);
        let group = TaskGroup::new();
        fill(&group);
        drop(group);
        assert_eq!(drops.get(), 12);
    });
}

#[test]
fn a_panic_in_the_drop_of_a_child_is_its_failure_whether_it_was_cancelled_or_has_ended() {
    in_every_order(|| async {
        let panic_of = |group: TaskGroup<&'static str>| async {
            let error = spawn(group.join()).await.unwrap_err();
            *error.into_panic().downcast::<&str>().unwrap()
        };
        let group = TaskGroup::new();
        group.spawn(Keeps(OnDrop(|| panic!("a drop that panics"))));
        group.cancel();
        assert_eq!((group.len(), group.failed()), (0, 1));
        assert_eq!(panic_of(group).await, "a drop that panics");

        // It has ended well, but for its drop. That ends the others.
        let (group, drops) = (TaskGroup::new(), Drops::default());
        group.spawn(holds(drops.one()));
        group.spawn(FailsThenPanics(None));
        yields(2).await;
        assert_eq!((drops.get(), group.len(), group.failed()), (1, 0, 1));
        assert_eq!(panic_of(group).await, "a drop that panics");

        // The error that it returned before is the first failure, and it has failed once.
        let group = TaskGroup::new();
        group.spawn(FailsThenPanics(Some("no soup")));
        yields(2).await;
        assert_eq!(group.failed(), 1);
        assert_eq!(group.join().await, Err("no soup"));
    });
}

/// Never ready. Unlike an `async` block, it drops what it holds also if it was never polled to there.
struct Keeps<T>(T);

impl<T: Unpin> Future for Keeps<T> {
    type Output = Result<(), &'static str>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

#[test]
fn dropping_the_group_drops_its_children_inside_the_call() {
    in_every_order(|| async {
        let drops = Drops::default();
        let group = TaskGroup::<()>::new();
        for _ in 0..3 {
            group.spawn(holds(drops.one()));
        }
        yields(2).await;
        // One that has not been polled yet.
        group.spawn(holds(drops.one()));
        assert_eq!(drops.get(), 0);
        drop(group);
        assert_eq!(drops.get(), 4);
    });
}

#[test]
fn a_join_that_is_dropped_half_way_ends_the_children_and_leaves_no_waker() {
    in_every_order(|| async {
        let drops = Drops::default();
        let group = TaskGroup::<()>::new();
        group.spawn(holds(drops.one()));
        group.spawn(async { Ok(()) });
        let mut join = group.join();
        assert!(poll_once(&mut join).await.is_pending());
        yields(2).await;
        assert_eq!((drops.get(), join.len()), (0, 1));
        drop(join);
        assert_eq!(drops.get(), 1);
    });
    // The same as a pattern: so much time, and then the end.
    in_virtual_time(|| async {
        let drops = Drops::default();
        let group = TaskGroup::<()>::new();
        group.spawn(holds(drops.one()));
        group.spawn(async {
            sleep(ms(5)).await;
            Ok(())
        });
        let mut join = group.join();
        assert!(timeout(ms(10), &mut join).await.is_err());
        assert_eq!((drops.get(), join.len()), (0, 1));
        assert!(timeout(ms(10), join).await.is_err());
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn the_joiner_is_woken_once_by_the_last_child_and_not_at_all_when_it_was_dropped() {
    in_every_order(|| async {
        let wakes = Foreign::new();
        let waker = Waker::from(Arc::clone(&wakes));
        let poll = |join: &mut JoinGroup<()>| Pin::new(join).poll(&mut Context::from_waker(&waker));
        let group = TaskGroup::new();
        for n in 0..3 {
            group.spawn(async move {
                yields(n).await;
                Ok(())
            });
        }
        let mut join = group.join();
        assert!(poll(&mut join).is_pending());
        assert!(poll(&mut join).is_pending());
        for _ in 0..5 {
            yield_now().await;
            assert_eq!(wakes.wakes(), usize::from(join.is_empty()));
        }
        assert_eq!(poll(&mut join), Poll::Ready(Ok(())));
        let group = TaskGroup::new();
        group.spawn(pending());
        let mut join = group.join();
        assert!(poll(&mut join).is_pending());
        drop(join);
        assert_eq!(wakes.wakes(), 1);
        // Ours, and the test's.
        drop(waker);
        assert_eq!(Arc::strong_count(&wakes), 1);
    });
}

/// The loop does not know what a foreign waker wakes, so the task that polled before is not shown any more.
#[headwaiter::test(within = "60s")]
async fn a_join_that_goes_on_with_a_foreign_waker_is_no_wait_of_the_task_that_polled_it_before() {
    let _beside_others = beside_other_tests();
    let group = TaskGroup::<()>::new();
    group.spawn(pending());
    let mut join = group.join();
    assert!(poll_once(&mut join).await.is_pending());
    assert!(dump().to_string().contains("the end of a group"));
    assert!(polled(&mut join).is_pending());
    let said = dump().to_string();
    assert!(!said.contains("the end of a group"), "{said}");
}

#[test]
fn children_may_spawn_into_their_group_and_join_waits_for_all() {
    async fn tree(depth: u32, siblings: Spawner<()>, leaves: Rc<Cell<u32>>) -> Result<(), ()> {
        if depth == 0 {
            leaves.set(leaves.get() + 1);
            return Ok(());
        }
        for _ in 0..2 {
            siblings.spawn(tree(depth - 1, siblings.clone(), Rc::clone(&leaves)));
            yield_now().await;
        }
        Ok(())
    }
    in_every_order(|| async {
        let (group, leaves) = (TaskGroup::new(), Rc::new(Cell::new(0)));
        group.spawn(tree(6, group.spawner(), Rc::clone(&leaves)));
        let spawner = group.spawner();
        assert_eq!(group.join().await, Ok(()));
        assert_eq!(leaves.get(), 64);
        // It is over.
        let drops = Drops::default();
        spawner.spawn(holds(drops.one()));
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn a_spawner_keeps_no_group_alive() {
    in_every_order(|| async {
        let drops = Drops::default();
        let group = TaskGroup::<()>::new();
        let spawner = group.spawner();
        spawner.spawn(holds(drops.one()));
        drop(group);
        assert_eq!(drops.get(), 1);
        spawner.spawn(holds(drops.one()));
        assert_eq!(drops.get(), 2);
        // Nor is a child taken after a join has ended whose future still exists.
        let group = TaskGroup::<()>::new();
        let spawner = group.spawner();
        let mut join = group.join();
        (&mut join).await.unwrap();
        spawner.spawn(holds(drops.one()));
        assert_eq!((drops.get(), join.len()), (3, 0));
    });
}

#[test]
fn groups_in_children_end_with_them() {
    async fn nest(depth: usize, drops: Drops, bottom: Rc<Cell<usize>>) -> Result<(), &'static str> {
        let _held = drops.one();
        let group = TaskGroup::new();
        if depth > 0 {
            group.spawn(Box::pin(nest(depth - 1, drops, bottom)) as Pin<Box<dyn Future<Output = _>>>);
        } else {
            bottom.set(bottom.get() + 1);
            group.spawn(pending());
        }
        group.join().await
    }
    in_every_order(|| async {
        let (drops, bottom) = (Drops::default(), Rc::new(Cell::new(0)));
        // From above: by dropping, by an error, and by cancelling.
        let group = TaskGroup::new();
        group.spawn(nest(50, drops.clone(), Rc::clone(&bottom)));
        yields(100).await;
        assert_eq!((drops.get(), bottom.get()), (0, 1));
        drop(group);
        assert_eq!(drops.get(), 51);
        let group = TaskGroup::new();
        group.spawn(nest(50, drops.clone(), Rc::clone(&bottom)));
        group.spawn(async {
            yields(100).await;
            Err("no soup")
        });
        assert_eq!(group.join().await, Err("no soup"));
        assert_eq!((drops.get(), bottom.get()), (102, 2));
        // From below: an error goes up through all of them, and a panic too.
        async fn fails(depth: usize, panics: bool) -> Result<(), &'static str> {
            let group = TaskGroup::new();
            group.spawn(pending());
            if depth > 0 {
                group.spawn(Box::pin(fails(depth - 1, panics)) as Pin<Box<dyn Future<Output = _>>>);
            } else if panics {
                burns("the cellar");
            } else {
                return Err("no wine");
            }
            group.join().await
        }
        assert_eq!(fails(50, false).await, Err("no wine"));
        let error = spawn(fails(50, true)).await.unwrap_err();
        assert_eq!(*error.into_panic().downcast::<String>().unwrap(), "the cellar is on fire");
    });
}

#[test]
fn cancelling_ends_all_children_inside_the_call_and_is_no_failure() {
    in_every_order(|| async {
        let drops = Drops::default();
        let group = TaskGroup::<()>::new();
        group.cancel(); // Also without any children.
        assert_eq!(group.join().await, Ok(()));

        let group = TaskGroup::<()>::new();
        for _ in 0..3 {
            group.spawn(holds(drops.one()));
        }
        yield_now().await;
        group.cancel();
        assert_eq!((drops.get(), group.len()), (3, 0));
        group.cancel();
        group.spawn(holds(drops.one()));
        assert_eq!((drops.get(), group.len()), (4, 0));
        assert_eq!(group.join().await, Ok(()));

        // What has failed before stays so.
        let group = TaskGroup::new();
        group.spawn(async { Err("no soup") });
        yields(2).await;
        group.cancel();
        assert_eq!(group.join().await, Err("no soup"));
    });
}

#[test]
fn a_child_may_cancel_its_own_group_and_what_it_returns_in_that_poll_counts() {
    for result in [None, Some(Ok(())), Some(Err("no soup"))] {
        explore(0..10, || async move {
            let (group, drops) = (Rc::new(TaskGroup::new()), Drops::default());
            group.spawn(holds(drops.one()));
            let (of_child, others, held) = (Rc::clone(&group), drops.clone(), drops.one());
            group.spawn(async move {
                let _held = held;
                yield_now().await;
                of_child.cancel();
                assert_eq!(others.get(), 1, "inside the call");
                match result {
                    Some(result) => result,
                    None => pending().await,
                }
            });
            yields(3).await;
            assert_eq!((drops.get(), group.len()), (2, 0), "itself after its poll");
            assert_eq!(Rc::into_inner(group).unwrap().join().await, result.unwrap_or(Ok(())));
        });
    }
}

#[test]
fn a_child_may_drop_its_own_group() {
    in_every_order(|| async {
        let drops = Drops::default();
        let cell = Rc::new(RefCell::new(None));
        let group = TaskGroup::<()>::new();
        let (of_child, others, held) = (Rc::clone(&cell), drops.clone(), drops.one());
        group.spawn(holds(drops.one()));
        group.spawn(async move {
            let _held = held;
            yield_now().await;
            let group: Option<TaskGroup<()>> = of_child.borrow_mut().take();
            drop(group);
            assert_eq!(others.get(), 1);
            pending().await
        });
        *cell.borrow_mut() = Some(group);
        yields(3).await;
        assert_eq!(drops.get(), 2);
    });
}

/// tokio-core #190.
#[test]
fn a_child_may_do_anything_to_its_group_in_its_drop() {
    in_every_order(|| async {
        let drops = Drops::default();
        let group = TaskGroup::<()>::new();
        for _ in 0..3 {
            let (spawner, count) = (group.spawner(), drops.clone());
            group.spawn(holds(OnDrop(move || {
                // Into the group that is ending: dropped at once. Into the loop: not.
                spawner.spawn(holds(count.one()));
                let count = count.clone();
                drop(spawn(async move { drop(count.one()) }));
                // A group within the drop.
                let inner = TaskGroup::<()>::new();
                inner.spawn(pending());
                inner.cancel();
                drop(inner.join());
            })));
        }
        // Aborts others in their drops, so that one drop is inside another.
        let chain = Rc::new(RefCell::new(TaskGroup::<()>::new()));
        let (of_child, held) = (Rc::clone(&chain), drops.one());
        group.spawn(holds(OnDrop(move || of_child.borrow().cancel())));
        chain.borrow().spawn(holds(held));
        yield_now().await;
        drop(group);
        assert_eq!(drops.get(), 4);
        yields(2).await;
        assert_eq!(drops.get(), 7);
    });
}

/// Cut where it waits, at each place where it waits, a child is dropped exactly once and nothing of it is left.
#[test]
fn a_group_may_be_ended_at_every_await_point_of_its_children() {
    const STEPS: usize = 8;
    for cut in 0..=STEPS + 1 {
        for how in 0..3 {
            explore(0..5, move || async move {
                let (drops, steps) = (Drops::default(), Rc::new(Cell::new(0)));
                let group = TaskGroup::<()>::new();
                for _ in 0..4 {
                    let (held, steps) = (drops.one(), Rc::clone(&steps));
                    group.spawn(async move {
                        let _held = held;
                        for _ in 0..STEPS {
                            steps.set(steps.get() + 1);
                            yield_now().await;
                        }
                        Ok(())
                    });
                }
                yields(cut).await;
                match how {
                    0 => drop(group),
                    1 => {
                        group.cancel();
                        assert_eq!(drops.get(), 4);
                        assert_eq!(group.join().await, Ok(()));
                    }
                    _ => spawn(group.join()).abort(),
                }
                assert_eq!(drops.get(), 4, "cut at {cut}");
                let before = steps.get();
                assert!(
                    before <= 4 * STEPS && before >= 4 * cut.min(STEPS).saturating_sub(1),
                    "{before}"
                );
                yields(3).await;
                assert_eq!(steps.get(), before, "a child has run on");
            });
        }
    }
}

#[headwaiter::test(within = "60s")]
async fn a_hundred_thousand_children_at_once_are_joined_or_cancelled_in_linear_time() {
    let _beside_others = beside_other_tests();
    for how in 0..4 {
        let drops = Drops::default();
        let group = TaskGroup::new();
        for _ in 0..100_000 {
            group.spawn(holds(drops.one()));
        }
        yield_now().await;
        match how {
            0 => drop(group),
            1 => {
                group.cancel();
                assert_eq!(group.join().await, Ok(()));
            }
            2 => {
                group.spawn(async { Err("one of a hundred thousand") });
                assert_eq!(group.join().await, Err("one of a hundred thousand"));
            }
            _ => drop(group.join()),
        }
        assert_eq!(drops.get(), 100_000);
    }
}

#[test]
fn when_the_loop_is_dropped_the_children_of_its_groups_are_too() {
    bounded(|| {
        let drops = Drops::default();
        let mut event_loop = EventLoop::new().unwrap();
        let group = event_loop.enter(TaskGroup::<()>::new);
        event_loop.enter(|| {
            for _ in 0..3 {
                // With a group of its own, whose child has one again.
                let (outer, inner) = (drops.one(), drops.one());
                group.spawn(async move {
                    let group = TaskGroup::new();
                    group.spawn(holds(inner));
                    let _outer = outer;
                    group.join().await
                });
            }
        });
        event_loop.turn(None).unwrap();
        assert_eq!((drops.get(), group.len()), (0, 3));
        let spawner = group.spawner();
        drop(event_loop);
        assert_eq!((drops.get(), group.len()), (6, 0));
        group.cancel();
        drop((spawner, group));
    });
}

/// The same holds for `JoinHandle::abort`.
#[test]
fn a_group_dropped_outside_its_running_loop_ends_with_the_next_turn() {
    bounded(|| {
        let drops = Drops::default();
        let mut event_loop = EventLoop::new().unwrap();
        let group = event_loop.enter(TaskGroup::<()>::new);
        event_loop.enter(|| {
            group.spawn(holds(drops.one()));
            group.spawn(holds(drops.one()));
        });
        event_loop.turn(None).unwrap();
        drop(group);
        assert_eq!(drops.get(), 0);
        event_loop.turn(None).unwrap();
        assert_eq!(drops.get(), 2);
    });
}

#[test]
fn a_group_on_another_loop_or_none_is_named_a_mistake() {
    bounded(|| {
        let outside = panic_text(|| drop(TaskGroup::<()>::new()));
        assert!(outside.contains("`TaskGroup::new` was used outside any event loop"), "{outside}");
        let mut home = EventLoop::new().unwrap();
        let group = home.enter(TaskGroup::<()>::new);
        let drops = Drops::default();
        let spawn_there = |drops: &Drops| {
            let held = drops.one();
            panic_text(|| group.spawn(holds(held)))
        };
        let outside = spawn_there(&drops);
        assert!(outside.contains("a `TaskGroup` was used outside any event loop"), "{outside}");
        let mut other = EventLoop::new().unwrap();
        let elsewhere = other.enter(|| spawn_there(&drops));
        assert!(elsewhere.contains("a `TaskGroup` was used in another event loop"), "{elsewhere}");
        assert!(elsewhere.contains("Handle::spawn"), "{elsewhere}");
        assert_eq!((drops.get(), group.len()), (2, 0));
        let mut join = group.join();
        let elsewhere = other.enter(|| panic_text(|| assert!(polled(&mut join).is_pending())));
        assert!(elsewhere.contains("a `TaskGroup` was used in another event loop"), "{elsewhere}");
        // It is none the worse for it.
        assert_eq!(home.block_on(join), Ok(()));
    });
}

#[test]
fn spawn_into_a_group_of_a_dying_loop_drops_the_future_at_once() {
    bounded(|| {
        let drops = Drops::default();
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.enter(|| {
            let group = TaskGroup::<()>::new();
            let count = drops.clone();
            let on_drop = OnDrop(move || {
                let before = count.get();
                group.spawn(holds(count.one()));
                assert_eq!((count.get() - before, group.len()), (1, 0));
            });
            drop(spawn(holds::<_, ()>(on_drop)));
        });
        drop(event_loop);
        assert_eq!(drops.get(), 1);
    });
}

thread_local! {
    /// What the logger does at the line of the next task.
    static AT_SPAWN: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// Unlike tokio: there, only the panic hook sees it.
#[test]
fn a_panic_that_no_joiner_sees_is_logged_and_a_logger_may_cancel_the_group_of_which_it_hears() {
    let cancelling = || async {
        let (group, drops) = (Rc::new(TaskGroup::<()>::new()), Drops::default());
        group.spawn(holds(drops.one()));
        let of_logger = Rc::clone(&group);
        AT_SPAWN.set(Some(Box::new(move || of_logger.cancel())));
        call_at(" spawned at ", || AT_SPAWN.take().into_iter().for_each(|call| call()));
        group.spawn(holds(drops.one()));
        assert_eq!((drops.get(), group.len()), (2, 0), "the new child too, inside the call");
        yields(2).await;
    };
    logged(LevelFilter::Debug, move || in_loop(cancelling));
    let panicking = || async {
        let group = TaskGroup::<()>::new();
        task::Builder::new().name("larder").spawn_in(&group, async {
            burns("the larder");
            Ok(())
        });
        yields(2).await;
        let about = |what: &str| {
            lines().iter().filter(|line| line.contains(what)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(about("the larder"), [""; 0], "it may be joined still");
        drop(group);
        let lines = about("the larder");
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("\"larder\" (spawned at tests/promises/groups.rs"), "{lines:?}");

        // Of a child that has dropped its own group, in the same poll.
        let cell = Rc::new(RefCell::new(None));
        let of_child = Rc::clone(&cell);
        let group = TaskGroup::<()>::new();
        group.spawn(async move {
            let group: Option<TaskGroup<()>> = of_child.borrow_mut().take();
            drop(group);
            burns("the attic");
            Ok(())
        });
        *cell.borrow_mut() = Some(group);
        yields(2).await;
        assert_eq!(about("the attic").len(), 1);
    };
    logged(LevelFilter::Error, move || in_loop(panicking));
}

/// A group is no more than tasks: it is woken by sockets as they are.
#[test]
fn a_server_and_its_clients_in_one_group_end_together_in_every_order() {
    in_every_order(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let group = TaskGroup::<std::io::Error>::new();
        let (spawner, served) = (group.spawner(), Rc::new(Cell::new(0)));
        let count = Rc::clone(&served);
        group.spawn(async move {
            for _ in 0..5 {
                let (mut stream, _) = listener.accept().await?;
                let served = Rc::clone(&count);
                spawner.spawn(async move {
                    let mut order = [0; 4];
                    stream.read_exact(&mut order).await?;
                    stream.write_all(&order).await?;
                    served.set(served.get() + 1);
                    Ok(())
                });
            }
            Ok(())
        });
        for n in 0..5_u32 {
            group.spawn(async move {
                let mut client = TcpStream::connect(address).await?;
                client.write_all(&n.to_le_bytes()).await?;
                let mut back = [0; 4];
                client.read_exact(&mut back).await?;
                assert_eq!(u32::from_le_bytes(back), n);
                Ok(())
            });
        }
        group.join().await.unwrap();
        assert_eq!(served.get(), 5);
    });
}
