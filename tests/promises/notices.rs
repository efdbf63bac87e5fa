//! What `headwaiter::sync::Notify` promises of futures that are enabled, owned, or notified from the end of the queue, a test for
//! each.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::budget::is_refused;
use crate::support::wakers::Foreign;
use crate::support::*;
use crate::sync::{is_pending, let_others_run, poll_with, ready};
use headwaiter::spawn;
use headwaiter::sync::Notify;

#[test]
fn a_future_that_is_enabled_is_in_the_queue_before_its_first_poll() {
    in_every_order(|| async {
        let orders = Notify::new();
        let (mut first, mut second) = (pin!(orders.notified()), pin!(orders.notified()));
        assert!(!first.as_mut().enable());
        assert!(is_pending(&mut second).await);
        orders.notify_one();
        assert!(is_pending(&mut second).await);
        assert!(poll_once(&mut first).await.is_ready());
        orders.notify_one();
        assert!(poll_once(&mut second).await.is_ready());
    });
}

#[headwaiter::test(within = "60s")]
async fn notices_for_two_futures_that_are_enabled_do_not_coalesce() {
    let _beside_others = beside_other_tests();
    let orders = Notify::new();
    let (mut first, mut second) = (pin!(orders.notified()), pin!(orders.notified()));
    assert!(!first.as_mut().enable() && !second.as_mut().enable());
    orders.notify_one();
    orders.notify_one();
    assert!(poll_once(&mut first).await.is_ready() && poll_once(&mut second).await.is_ready());
    assert!(is_pending(&mut pin!(orders.notified())).await);
}

#[headwaiter::test(within = "60s")]
async fn enable_takes_the_notice_and_says_so() {
    let _beside_others = beside_other_tests();
    let orders = Notify::new();
    orders.notify_one();
    let mut taken = pin!(orders.notified());
    assert!(taken.as_mut().enable());
    assert!(taken.as_mut().enable(), "it stays so");
    assert!(!pin!(orders.notified()).enable(), "the notice is taken");
    assert!(poll_once(&mut taken).await.is_ready());

    // It is consumed by that: dropping the future does not pass it on.
    orders.notify_one();
    assert!(Box::pin(orders.notified()).as_mut().enable());
    assert!(is_pending(&mut pin!(orders.notified())).await);
}

#[headwaiter::test(within = "60s")]
async fn enable_says_whether_a_notice_came_since() {
    let _beside_others = beside_other_tests();
    let orders = Notify::new();
    let mut waits = Box::pin(orders.notified());
    assert!(!waits.as_mut().enable() && !waits.as_mut().enable());
    orders.notify_one();
    assert!(waits.as_mut().enable());
    drop(waits);
    assert!(is_pending(&mut pin!(orders.notified())).await, "it was consumed");
}

#[test]
fn a_notice_for_an_enabled_future_that_is_dropped_goes_to_the_next() {
    in_every_order(|| async {
        let orders = Notify::new();
        let mut dropped = Box::pin(orders.notified());
        assert!(!dropped.as_mut().enable());
        let mut next = pin!(orders.notified());
        assert!(is_pending(&mut next).await);
        orders.notify_one();
        drop(dropped);
        assert!(poll_once(&mut next).await.is_ready());
    });
}

#[headwaiter::test(within = "60s")]
async fn notify_waiters_makes_enabled_and_new_futures_ready_and_leaves_the_notice() {
    let _beside_others = beside_other_tests();
    let dinner = Rc::new(Notify::new());
    let (mut enabled, mut new) = (pin!(dinner.notified()), pin!(dinner.notified()));
    let mut owned = pin!(Rc::clone(&dinner).notified_owned());
    assert!(!enabled.as_mut().enable());
    dinner.notify_waiters();
    dinner.notify_one();
    assert!(enabled.as_mut().enable() && new.as_mut().enable() && owned.as_mut().enable());
    assert!(pin!(dinner.notified()).enable(), "the notice is still there");
    enabled.await;
    new.await;
    owned.await;
}

#[test]
fn enable_keeps_the_waker_and_the_place_of_a_future_that_waits() {
    let orders = Notify::new();
    let waker = Foreign::new();
    let mut waits = pin!(orders.notified());
    assert!(poll_with(&waker.clone().into(), &mut waits).is_pending());
    let mut second = pin!(orders.notified());
    assert!(poll_with(Waker::noop(), &mut second).is_pending());
    assert!(!waits.as_mut().enable());
    orders.notify_one();
    assert_eq!(waker.wakes(), 1);
    assert!(poll_with(Waker::noop(), &mut second).is_pending());
    assert!(waits.as_mut().enable());
}

#[test]
fn a_task_that_awaits_an_enabled_future_is_woken_and_shown_in_the_dump() {
    in_every_order(|| async {
        let orders = Rc::new(Notify::new());
        let mut enabled = Box::pin(Rc::clone(&orders).notified_owned());
        assert!(!enabled.as_mut().enable());
        let task = spawn(enabled);
        let_others_run().await;
        let dump = headwaiter::dump().to_string();
        assert!(dump.contains("waits for a notification, at tests/promises/notices.rs:"), "{dump}");
        orders.notify_one();
        task.await.unwrap();
    });
}

#[test]
fn a_task_that_enables_a_future_for_which_it_waits_is_still_woken() {
    in_every_order(|| async {
        let orders = Rc::new(Notify::new());
        let task = spawn({
            let orders = Rc::clone(&orders);
            async move {
                let mut waits = pin!(orders.notified());
                let wait_and_enable = |cx: &mut Context<'_>| {
                    let poll = waits.as_mut().poll(cx);
                    assert_eq!(waits.as_mut().enable(), poll.is_ready());
                    poll
                };
                poll_fn(wait_and_enable).await;
            }
        });
        let_others_run().await;
        orders.notify_one();
        task.await.unwrap();
    });
}

/// A queue of which several tasks take, each as tokio's page of `enable` shows it.
#[test]
fn no_order_is_left_lying_when_several_tasks_enable_and_look() {
    in_every_order(|| async {
        let queue = Rc::new((RefCell::new(Vec::new()), Notify::new()));
        let cooks: Vec<_> = (0..3)
            .map(|_| {
                let queue = Rc::clone(&queue);
                spawn(async move {
                    let mut told = Box::pin(queue.1.notified());
                    loop {
                        told.as_mut().enable();
                        if let Some(order) = queue.0.borrow_mut().pop() {
                            return order;
                        }
                        told.as_mut().await;
                        told.set(queue.1.notified());
                    }
                })
            })
            .collect();
        for order in 0..3 {
            queue.0.borrow_mut().push(order);
            queue.1.notify_one();
        }
        let mut cooked = Vec::new();
        for cook in cooks {
            cooked.push(cook.await.unwrap());
        }
        cooked.sort_unstable();
        assert_eq!(cooked, [0, 1, 2]);
    });
}

#[test]
fn an_owned_future_can_be_moved_into_a_task_and_outlives_its_notify_handle() {
    in_every_order(|| async {
        let dinner = Rc::new(Notify::new());
        let guest = spawn(Rc::clone(&dinner).notified_owned());
        dinner.notify_waiters(); // Before its first poll, but after it was made.
        guest.await.unwrap();

        let guest = spawn(Rc::clone(&dinner).notified_owned());
        let next = spawn(Rc::clone(&dinner).notified_owned());
        let_others_run().await;
        dinner.notify_one();
        guest.abort(); // Its notice goes to the next.
        next.await.unwrap();
        drop(guest);

        let mut lonely = Rc::new(Notify::new()).notified_owned();
        assert!(is_pending(&mut lonely).await);
        assert!(!Pin::new(&mut lonely).enable());
    });
}

#[test]
fn notify_last_wakes_the_task_that_began_to_wait_last() {
    in_every_order(|| async {
        let orders = Notify::new();
        let mut waits: Vec<_> = (0..4).map(|_| Box::pin(orders.notified())).collect();
        for waits in &mut waits {
            assert!(is_pending(waits).await);
        }
        orders.notify_last();
        orders.notify_last();
        orders.notify_one();
        for (waits, is_notified) in waits.iter_mut().zip([true, false, true, true]) {
            assert_eq!(poll_once(waits).await.is_ready(), is_notified);
        }
        orders.notify_last();
        assert!(poll_once(&mut waits[1]).await.is_ready(), "it is the first and the last");
    });
}

#[headwaiter::test(within = "60s")]
async fn notify_last_leaves_a_notice_if_nothing_waits() {
    let _beside_others = beside_other_tests();
    let orders = Notify::new();
    orders.notify_last();
    orders.notify_last();
    assert!(poll_once(&mut pin!(orders.notified())).await.is_ready());
    assert!(is_pending(&mut pin!(orders.notified())).await);
}

#[test]
fn a_notice_for_the_last_that_is_dropped_goes_to_the_last_before_it() {
    in_every_order(|| async {
        let orders = Notify::new();
        let [mut first, mut middle, mut last] = [(); 3].map(|()| Box::pin(orders.notified()));
        assert!(is_pending(&mut first).await);
        assert!(is_pending(&mut middle).await);
        assert!(is_pending(&mut last).await);
        orders.notify_last();
        drop(last);
        assert!(is_pending(&mut first).await);
        ready(poll_once(&mut middle).await);
        orders.notify_last();
        drop(first); // The only one: the notice is kept.
        assert!(pin!(orders.notified()).enable());
    });
}

#[headwaiter::test(within = "60s")]
async fn a_refused_future_has_its_notice_and_enable_confirms_that() {
    let _beside_others = beside_other_tests();
    let orders = Notify::new();
    orders.notify_one();
    let mut refused = pin!(orders.notified());
    assert!(is_refused(&mut refused).await);
    assert!(!pin!(orders.notified()).enable());
    assert!(refused.as_mut().enable());
    refused.await;
}
