//! What `headwaiter::sync::Barrier` promises, a test for each.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::budget::is_refused;
use crate::support::wakers::{Foreign, foreign};
use crate::support::*;
use crate::sync::{is_pending, let_others_run, poll_with, ready, wrapped};
use headwaiter::spawn;
use headwaiter::sync::Barrier;
use headwaiter::task::yield_now;

#[test]
fn no_task_passes_a_barrier_before_all_have_arrived_in_any_round() {
    in_every_order(|| async {
        const TASKS: usize = 5;
        let barrier = Rc::new(Barrier::new(TASKS));
        let arrived = Rc::new(Cell::new(0));
        let round_trips = |number: usize| {
            let (barrier, arrived) = (Rc::clone(&barrier), Rc::clone(&arrived));
            async move {
                let mut led = 0;
                for round in 1..=20 {
                    for _ in 0..number {
                        yield_now().await;
                    }
                    arrived.set(arrived.get() + 1);
                    led += usize::from(barrier.wait().await.is_leader());
                    // None can be more than one round ahead, because this one is still missing there.
                    assert!(arrived.get() >= round * TASKS && arrived.get() < (round + 1) * TASKS);
                }
                led
            }
        };
        let tasks: Vec<_> = (0..TASKS).map(|number| spawn(round_trips(number))).collect();
        let mut led = 0;
        for task in tasks {
            led += task.await.unwrap();
        }
        assert_eq!(led, 20, "one leader in each round");
    });
}

#[test]
fn the_last_to_arrive_is_the_leader_and_does_not_wait() {
    in_every_order(|| async {
        let barrier = Barrier::new(3);
        let (mut first, mut second) = (barrier.wait(), barrier.wait());
        assert!(is_pending(&mut first).await);
        assert!(is_pending(&mut second).await);
        assert!(is_pending(&mut first).await, "a second poll does not arrive again");
        assert!(ready(poll_once(&mut barrier.wait()).await).is_leader());
        assert!(!ready(poll_once(&mut second).await).is_leader());
        assert!(!ready(poll_once(&mut first).await).is_leader());
        // The next round begins from nothing.
        assert!(is_pending(&mut barrier.wait()).await);
        assert_eq!(format!("{barrier:?}"), "Barrier { size: 3, arrived: 0 }");
    });
}

#[headwaiter::test(within = "60s")]
async fn a_task_arrives_at_the_first_poll_of_its_wait() {
    let _beside_others = beside_other_tests();
    let barrier = Barrier::new(2);
    let mut early = barrier.wait();
    let unpolled = barrier.wait();
    assert!(is_pending(&mut early).await);
    drop(unpolled);
    assert!(is_pending(&mut early).await);
    assert!(barrier.wait().await.is_leader());
    early.await;
}

#[headwaiter::test(within = "60s")]
async fn a_barrier_for_none_or_one_never_makes_a_task_wait() {
    let _beside_others = beside_other_tests();
    for size in [0, 1] {
        let barrier = Barrier::new(size);
        for _ in 0..3 {
            assert!(ready(poll_once(&mut barrier.wait()).await).is_leader());
        }
    }
}

/// Unlike tokio: there, it still counts, so the round begins with one task too few.
#[test]
fn a_wait_that_is_dropped_before_the_barrier_opens_does_not_count() {
    in_every_order(|| async {
        let barrier = Barrier::new(3);
        let (mut stays, mut leaves) = (barrier.wait(), barrier.wait());
        assert!(is_pending(&mut leaves).await);
        assert!(is_pending(&mut stays).await);
        drop(leaves);
        let mut comes = barrier.wait();
        assert!(is_pending(&mut comes).await, "two of three are there");
        assert!(barrier.wait().await.is_leader());
        stays.await;
        comes.await;

        // One that is dropped after that, ready or not polled again, takes nothing from the next round.
        let (mut one, mut two) = (barrier.wait(), barrier.wait());
        assert!(is_pending(&mut one).await);
        assert!(is_pending(&mut two).await);
        assert!(barrier.wait().await.is_leader());
        drop(one);
        let mut next = barrier.wait();
        assert!(is_pending(&mut next).await);
        drop(two);
        assert!(is_pending(&mut barrier.wait()).await);
        assert_eq!(format!("{barrier:?}"), "Barrier { size: 3, arrived: 1 }");
    });
}

#[test]
fn a_task_that_is_aborted_at_a_barrier_does_not_count() {
    in_every_order(|| async {
        let barrier = Rc::new(Barrier::new(2));
        let waits = |barrier: &Rc<Barrier>| {
            let barrier = Rc::clone(barrier);
            spawn(async move { barrier.wait().await.is_leader() })
        };
        let aborted = waits(&barrier);
        let_others_run().await;
        aborted.abort();
        let first = waits(&barrier);
        let_others_run().await;
        assert!(!first.is_finished());
        let second = waits(&barrier);
        assert!(first.await.unwrap() != second.await.unwrap());
    });
}

#[headwaiter::test(within = "60s")]
async fn the_others_pass_though_the_last_to_arrive_is_refused_for_its_budget() {
    let _beside_others = beside_other_tests();
    let barrier = Rc::new(Barrier::new(2));
    let other = spawn({
        let barrier = Rc::clone(&barrier);
        async move { barrier.wait().await.is_leader() }
    });
    let_others_run().await;
    let mut last = barrier.wait();
    assert!(is_refused(&mut last).await);
    assert!(!other.await.unwrap());
    assert!(last.await.is_leader());
}

#[test]
fn a_waker_may_arrive_at_the_barrier_that_wakes_it() {
    thread_local! {
        static BARRIER: Barrier = const { Barrier::new(2) };
        static RESULTS: RefCell<Vec<bool>> = const { RefCell::new(Vec::new()) };
    }
    // Meddles when it is woken: arrives for the next round, and drops that.
    let meddling = foreign(|| {
        BARRIER.with(|barrier| {
            let mut again = barrier.wait();
            let is_pending = poll_with(Waker::noop(), &mut again).is_pending();
            RESULTS.with_borrow_mut(|results| results.push(is_pending));
        });
    });
    BARRIER.with(|barrier| {
        let mut first = barrier.wait();
        assert!(poll_with(&meddling, &mut first).is_pending());
        assert!(ready(poll_with(Waker::noop(), &mut barrier.wait())).is_leader());
        assert!(RESULTS.with_borrow(|results| results == &[true]));
        assert!(poll_with(Waker::noop(), &mut first).is_ready());
        assert_eq!(format!("{barrier:?}"), "Barrier { size: 2, arrived: 0 }");
    });
}

#[test]
fn a_barrier_works_with_foreign_wakers_and_without_a_loop() {
    let barrier = Barrier::new(2);
    let (waker, counted) = (Foreign::new(), Foreign::new());
    let mut first = barrier.wait();
    assert!(poll_with(&waker.clone().into(), &mut first).is_pending());
    assert!(poll_with(&counted.clone().into(), &mut first).is_pending(), "the later waker counts");
    let Poll::Ready(last) = poll_with(Waker::noop(), &mut barrier.wait()) else { panic!("last") };
    assert!(last.is_leader());
    assert_eq!((waker.wakes(), counted.wakes()), (0, 1));
    assert!(poll_with(Waker::noop(), &mut first).is_ready());
    in_every_order(|| async {
        let barrier = Rc::new(Barrier::new(2));
        let task = spawn({
            let barrier = Rc::clone(&barrier);
            async move { wrapped(barrier.wait()).await }
        });
        wrapped(barrier.wait()).await;
        task.await.unwrap();
    });
}

#[headwaiter::test(within = "60s")]
async fn a_dump_says_that_a_task_waits_at_a_barrier_and_where() {
    let _beside_others = beside_other_tests();
    let barrier = Rc::new(Barrier::new(2));
    let task = spawn({
        let barrier = Rc::clone(&barrier);
        async move { barrier.wait().await.is_leader() }
    });
    let_others_run().await;
    let dump = headwaiter::dump().to_string();
    assert!(dump.contains("waits for a barrier, at tests/promises/barrier.rs:"), "{dump}");
    barrier.wait().await;
    task.await.unwrap();
}
