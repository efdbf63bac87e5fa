//! What the owned and the mapped guards of `headwaiter::sync::Mutex` promise, and what a `oneshot::Receiver` says of itself, a
//! test for each.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use crate::support::wakers::foreign;
use crate::support::*;
use crate::sync::{drop_at_every_await, is_pending, poll_with, ready, wrapped};
use headwaiter::sync::oneshot::error::TryRecvError;
use headwaiter::sync::{LockOwned, Mutex, MutexGuard, OwnedMutexGuard, oneshot};
use headwaiter::task::yield_now;
use headwaiter::time::sleep;
use headwaiter::{dump, spawn};

/// Unlike tokio: there, the value may be unsized, and the guard has `map`.
#[test]
fn an_owned_guard_can_be_moved_into_another_task() {
    in_every_order(|| async {
        let till = Rc::new(Mutex::new(100));
        let mut held = Rc::clone(&till).lock_owned().await;
        let task = spawn(async move {
            yield_now().await;
            *held += 5;
            assert_eq!((*held, format!("{held:?} {held}")), (105, "105 105".to_owned()));
        });
        assert!(till.try_lock().is_err());
        assert_eq!(*till.lock().await, 105);
        task.await.unwrap();
    });
}

#[test]
fn an_owned_guard_knows_its_mutex_and_keeps_it() {
    let till = Rc::new(Mutex::new(1));
    let held = Rc::clone(&till).try_lock_owned().unwrap();
    assert!(Rc::ptr_eq(OwnedMutexGuard::mutex(&held), &till));
    let weak = Rc::downgrade(&till);
    drop(till);
    assert_eq!(*held, 1);
    drop(held);
    assert!(weak.upgrade().is_none());
}

#[headwaiter::test(within = "60s")]
async fn try_lock_owned_fails_while_the_mutex_is_locked_or_handed_over() {
    let _beside_others = beside_other_tests();
    let till = Rc::new(Mutex::new(()));
    let held = Rc::clone(&till).try_lock_owned().unwrap();
    let error = Rc::clone(&till).try_lock_owned().unwrap_err();
    assert_eq!(error.to_string(), "the mutex is locked");
    let mut next = till.lock();
    assert!(is_pending(&mut next).await);
    drop(held);
    assert!(Rc::clone(&till).try_lock_owned().is_err());
    drop(next.await);
    assert!(Rc::clone(&till).try_lock_owned().is_ok());
}

#[test]
fn both_kinds_of_guards_are_served_in_one_queue() {
    in_every_order(|| async {
        let till = Rc::new(Mutex::new(()));
        let held = till.lock().await;
        let (mut owned, mut plain) = (Rc::clone(&till).lock_owned(), till.lock());
        let mut wrapped_owned = Box::pin(wrapped(Rc::clone(&till).lock_owned()));
        assert!(is_pending(&mut owned).await);
        assert!(is_pending(&mut plain).await);
        assert!(is_pending(&mut wrapped_owned).await);
        drop(held);
        assert!(is_pending(&mut plain).await);
        drop(ready(poll_once(&mut owned).await));
        drop(ready(poll_once(&mut plain).await));
        drop(ready(poll_once(&mut wrapped_owned).await));
        let text = panic_text(|| drop(poll_with(Waker::noop(), &mut owned)));
        assert!(text.contains("polled again after it was ready"), "{text}");
    });
}

#[test]
fn a_lock_owned_that_is_dropped_leaves_the_lock_to_the_next() {
    in_every_order(|| async {
        let till = Rc::new(Mutex::new(()));
        let held = till.lock().await;
        let (mut dropped, mut next) =
            (Rc::clone(&till).lock_owned(), Rc::clone(&till).lock_owned());
        assert!(is_pending(&mut dropped).await);
        assert!(is_pending(&mut next).await);
        drop(held);
        drop(dropped);
        drop(ready(poll_once(&mut next).await));
        assert!(till.try_lock().is_ok());

        let make = async || {
            let held = Rc::clone(&till).lock_owned().await;
            yield_now().await;
            drop(held);
            yield_now().await;
            drop(Rc::clone(&till).lock_owned().await);
        };
        drop_at_every_await(2, make, async || assert!(till.try_lock().is_ok())).await;
    });
}

/// The task that locked waits for one that waits for the lock, while a third one has the guard: with an owner this would look
/// like a deadlock.
#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_task_that_gave_an_owned_guard_away_is_not_accused_of_a_deadlock() {
    let _beside_others = beside_other_tests();
    let till = Rc::new(Mutex::new(()));
    for is_handed_over in [false, true] {
        let first = till.lock().await;
        let accused = spawn({
            let till = Rc::clone(&till);
            async move {
                let held = if is_handed_over {
                    Rc::clone(&till).lock_owned().await
                } else {
                    yield_now().await;
                    Rc::clone(&till).try_lock_owned().unwrap()
                };
                let waiter = spawn(async move { drop(till.lock().await) });
                let unlocks = spawn(async move {
                    sleep(ms(10)).await; // The loop looks for deadlocks before it sleeps.
                    drop(held);
                });
                waiter.await.unwrap();
                unlocks.await.unwrap();
            }
        });
        if is_handed_over {
            yield_now().await;
        }
        drop(first);
        accused.await.unwrap();
    }
}

#[headwaiter::test(within = "60s")]
async fn a_dump_shows_where_a_lock_was_locked_by_an_owned_guard() {
    let _beside_others = beside_other_tests();
    let till = Rc::new(Mutex::new(()));
    let held = Rc::clone(&till).lock_owned().await;
    let line = line!() - 1;
    let waiter = spawn(async move { drop(till.lock().await) });
    yield_now().await;
    let text = dump().to_string();
    let holder = format!("waits for a lock, which a task holds since {}:{line}:", file!());
    assert!(text.contains(&holder), "{text}");
    drop(held);
    waiter.await.unwrap();
}

#[test]
fn a_panic_with_an_owned_guard_unlocks() {
    in_every_order(|| async {
        let till = Rc::new(Mutex::new(1));
        let held = Rc::clone(&till).lock_owned().await;
        let burns = spawn(async move {
            let mut held = held;
            *held = 2;
            panic!("on fire");
        });
        let burns: Result<(), _> = burns.await;
        assert!(burns.unwrap_err().is_panic());
        assert_eq!(*till.lock().await, 2);
    });
}

/// A foreign waker may use the value as soon as it is woken.
#[test]
fn the_value_is_back_before_the_unlock_wakes_a_waiter() {
    thread_local! {
        static NEXT: RefCell<Option<LockOwned<Vec<u32>>>> = const { RefCell::new(None) };
    }
    let till = Rc::new(Mutex::new(vec![1]));
    let mut held = Rc::clone(&till).try_lock_owned().unwrap();
    held.push(2);
    assert!(!format!("{till:?}").contains("value"), "{till:?}");
    NEXT.set(Some(Rc::clone(&till).lock_owned()));
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let waker = foreign(move || {
        let mut next = NEXT.take().unwrap();
        note.lock().unwrap().extend_from_slice(&ready(poll_with(Waker::noop(), &mut next)));
    });
    NEXT.with_borrow_mut(|next| {
        assert!(poll_with(&waker, next.as_mut().unwrap()).is_pending());
    });
    drop(held);
    assert_eq!(*seen.lock().unwrap(), [1, 2]);
    assert_eq!(Rc::into_inner(till).unwrap().into_inner(), [1, 2]);
}

#[test]
fn a_mapped_guard_holds_the_lock_of_the_whole() {
    in_every_order(|| async {
        let table = Mutex::new((4, vec!["soup"]));
        let mut orders = MutexGuard::map(table.lock().await, |table| &mut table.1);
        orders.push("fish");
        let first = MutexGuard::map(orders, |orders| &mut orders[0]);
        assert_eq!(*first, "soup");
        let mut next = table.lock();
        assert!(is_pending(&mut next).await);
        drop(first);
        let table = next.await;
        assert_eq!(*table, (4, vec!["soup", "fish"]));
        let table = MutexGuard::try_map(table, |table| table.1.get_mut(7)).unwrap_err();
        let second = MutexGuard::try_map(table, |table| table.1.get_mut(1)).unwrap();
        assert_eq!(*second, "fish");
    });
}

#[test]
fn a_panic_while_a_guard_is_mapped_unlocks() {
    let table = Mutex::new(1);
    let map = || MutexGuard::map(table.try_lock().unwrap(), |_| -> &mut u8 { panic!("on fire") });
    assert!(catch_unwind(AssertUnwindSafe(|| drop(map()))).is_err());
    let map = || {
        let held = table.try_lock().unwrap();
        MutexGuard::try_map(held, |_| -> Option<&mut u8> { panic!("on fire") }).is_ok()
    };
    assert!(catch_unwind(AssertUnwindSafe(map)).is_err());
    assert_eq!(*table.try_lock().unwrap(), 1);
}

#[headwaiter::test(within = "60s")]
async fn a_oneshot_receiver_is_empty_unless_a_value_is_there() {
    let _beside_others = beside_other_tests();
    let (order, mut dish) = oneshot::channel();
    assert!(dish.is_empty());
    order.send("soup").unwrap();
    assert!(!dish.is_empty());
    dish.close();
    assert!(!dish.is_empty(), "what was sent before can still be received");
    assert_eq!((&mut dish).await, Ok("soup"));
    assert!(dish.is_empty());

    let (order, dish) = oneshot::channel::<u8>();
    drop(order);
    assert!(dish.is_empty());
}

#[headwaiter::test(within = "60s")]
async fn a_oneshot_receiver_is_terminated_when_it_has_given_its_result() {
    let _beside_others = beside_other_tests();
    let (order, mut dish) = oneshot::channel();
    assert!(is_pending(&mut dish).await);
    assert_eq!((dish.try_recv(), dish.is_terminated()), (Err(TryRecvError::Empty), false));
    order.send("soup").unwrap();
    assert!(!dish.is_terminated());
    assert_eq!((&mut dish).await, Ok("soup"));
    assert!(dish.is_terminated());
    let text = panic_text(|| assert!(poll_with(Waker::noop(), &mut dish).is_ready()));
    assert!(text.contains("polled again"), "{text}");

    let (order, mut dish) = oneshot::channel::<u8>();
    drop(order);
    assert!(!dish.is_terminated(), "nothing was said of it yet");
    assert!((&mut dish).await.is_err());
    assert!(dish.is_terminated());

    // By `try_recv` too. A poll after that is an error here, not a panic.
    let (order, mut dish) = oneshot::channel();
    order.send(1).unwrap();
    assert_eq!((dish.try_recv(), dish.is_terminated()), (Ok(1), true));
    let (order, mut dish) = oneshot::channel::<u8>();
    drop(order);
    assert_eq!((dish.try_recv(), dish.is_terminated()), (Err(TryRecvError::Closed), true));
    assert!(dish.await.is_err());
}
