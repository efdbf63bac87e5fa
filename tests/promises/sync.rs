//! What `headwaiter::sync` promises, a test for each.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::support::random::Random;
use crate::support::wakers::{Foreign, foreign_owning, forwarding};
use crate::support::*;
use futures_lite::StreamExt;
use futures_lite::future::{or, zip};
use headwaiter::sync::mpsc::error::{TryRecvError, TrySendError};
use headwaiter::sync::{
    Acquire, Lock, Mutex, MutexGuard, Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError,
    mpsc, oneshot,
};
use headwaiter::task::{JoinHandle, yield_now};
use headwaiter::time::{sleep, timeout};
use headwaiter::{EventLoop, spawn};

/// Polls it with a waker of another crate at each poll, as a combinator of another crate would.
pub async fn wrapped<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let waker = forwarding(cx.waker().clone()).into();
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

/// Polls outside any task.
pub fn poll_with<F: Future + Unpin>(waker: &Waker, future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

pub async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    poll_once(future).await.is_pending()
}

/// What it is ready with, which it must be now.
#[track_caller]
pub fn ready<R>(poll: Poll<R>) -> R {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it should be ready"),
    }
}

/// Lets all tasks that can continue run for a while.
pub async fn let_others_run() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[test]
fn a_mutex_is_locked_in_the_order_in_which_it_was_asked_for() {
    in_every_order(|| async {
        let (order, asked) = (Rc::new(Mutex::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
        let held = order.lock().await;
        let lock = |number| {
            let (order, asked) = (Rc::clone(&order), Rc::clone(&asked));
            async move {
                asked.borrow_mut().push(number);
                let mut order = order.lock().await;
                yield_now().await;
                order.push(number);
            }
        };
        let tasks: Vec<_> = (0..50).map(|number| spawn(lock(number))).collect();
        let_others_run().await;
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(asked.borrow().len(), 50);
        assert_eq!(*order.lock().await, *asked.borrow());
    });
}

#[test]
fn a_lock_granted_to_a_dropped_future_goes_to_the_next() {
    in_every_order(|| async {
        let mutex = Mutex::new(());
        let held = mutex.lock().await;
        let (mut first, mut second, mut third) = (mutex.lock(), mutex.lock(), mutex.lock());
        assert!(is_pending(&mut first).await);
        assert!(is_pending(&mut second).await);
        assert!(is_pending(&mut third).await);
        drop(held);
        drop(first);
        assert!(is_pending(&mut third).await);
        let second = ready(poll_once(&mut second).await);
        assert!(is_pending(&mut third).await);
        drop(second);
        drop(third);
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn try_lock_fails_while_the_mutex_is_held_or_handed_over() {
    in_every_order(|| async {
        let mutex = Mutex::new(5);
        let held = mutex.try_lock().unwrap();
        assert_eq!(*held, 5);
        assert_eq!(mutex.try_lock().unwrap_err().to_string(), "the mutex is locked");
        let mut next = mutex.lock();
        assert!(is_pending(&mut next).await);
        drop(held);
        assert!(mutex.try_lock().is_err());
        let mut late = mutex.lock();
        assert!(is_pending(&mut late).await);
        drop(ready(poll_once(&mut next).await));
        assert!(mutex.try_lock().is_err());
        drop(late);
        assert!(mutex.try_lock().is_ok());
    });
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_lock_that_is_given_up_half_way_leaves_nothing() {
    let _beside_others = beside_other_tests();
    let mutex = Mutex::new(());
    let held = mutex.lock().await;
    let mut before = mutex.lock();
    assert!(is_pending(&mut before).await);
    assert!(timeout(ms(10), mutex.lock()).await.is_err());
    let mut after = mutex.lock();
    assert!(is_pending(&mut after).await);
    drop(held);
    drop(ready(poll_once(&mut before).await));
    drop(ready(poll_once(&mut after).await));
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn a_task_that_panics_or_is_aborted_unlocks() {
    in_every_order(|| async {
        let mutex = Rc::new(Mutex::new(0));
        let (tell, is_locked) = oneshot::channel();
        let panics = spawn({
            let mutex = Rc::clone(&mutex);
            async move {
                *mutex.lock().await = 1;
                let _guard = mutex.lock().await;
                tell.send(()).unwrap();
                let_others_run().await;
                panic!("on fire");
            }
        });
        let waits = spawn({
            let mutex = Rc::clone(&mutex);
            async move {
                is_locked.await.unwrap();
                *mutex.lock().await += 1;
                let _guard = mutex.lock().await;
                pending::<()>().await;
            }
        });
        assert!(panics.await.unwrap_err().is_panic());
        let_others_run().await;
        assert!(mutex.try_lock().is_err());
        let mut next = mutex.lock();
        assert!(is_pending(&mut next).await);
        waits.abort();
        assert!(waits.await.unwrap_err().is_cancelled());
        assert_eq!(*next.await, 2);
    });
}

#[test]
fn a_lock_future_that_is_leaked_makes_others_wait_and_nothing_worse() {
    in_every_order(|| async {
        let mutex = Mutex::new(7);
        let held = mutex.lock().await;
        let (mut leaked, mut behind) = (mutex.lock(), mutex.lock());
        assert!(is_pending(&mut leaked).await);
        assert!(is_pending(&mut behind).await);
        std::mem::forget(leaked);
        drop(held);
        assert!(is_pending(&mut behind).await);
        assert!(mutex.try_lock().is_err());
        drop(behind);
        assert!(is_pending(&mut mutex.lock()).await);
        assert!(format!("{mutex:?}").contains("locked_at"));
        assert_eq!(mutex.into_inner(), 7);
    });
}

#[headwaiter::test(within = "60s")]
async fn a_semaphore_serves_in_order() {
    let _beside_others = beside_other_tests();
    let semaphore = Rc::new(Semaphore::new(0));
    let order = Rc::new(RefCell::new(Vec::new()));
    let acquire = |number| {
        let (semaphore, order) = (Rc::clone(&semaphore), Rc::clone(&order));
        async move {
            let _permit = semaphore.acquire_owned().await.unwrap();
            order.borrow_mut().push(number);
            yield_now().await;
        }
    };
    let tasks: Vec<_> = (0..50).map(|number| spawn(acquire(number))).collect();
    let_others_run().await;
    semaphore.add_permits(3);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.borrow(), Vec::from_iter(0..50));
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
fn a_request_for_many_permits_is_not_overtaken_by_later_ones_for_few() {
    in_every_order(|| async {
        let semaphore = Semaphore::new(1);
        let (mut many, mut few) = (semaphore.acquire_many(3), semaphore.acquire());
        assert!(is_pending(&mut many).await);
        assert!(is_pending(&mut few).await);
        assert_eq!(semaphore.available_permits(), 0);
        assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
        semaphore.add_permits(1);
        assert!(is_pending(&mut many).await);
        assert!(is_pending(&mut few).await);
        semaphore.add_permits(1);
        assert!(is_pending(&mut few).await);
        let many = ready(poll_once(&mut many).await).unwrap();
        assert_eq!(many.num_permits(), 3);
        drop(many);
        drop(ready(poll_once(&mut few).await).unwrap());
        assert_eq!(semaphore.available_permits(), 3);
    });
}

#[test]
fn a_request_for_many_permits_that_is_dropped_lets_the_next_continue() {
    in_every_order(|| async {
        let semaphore = Semaphore::new(1);
        let (mut many, mut few) = (semaphore.acquire_many(3), semaphore.acquire());
        assert!(is_pending(&mut many).await);
        assert!(is_pending(&mut few).await);
        drop(many);
        drop(ready(poll_once(&mut few).await).unwrap());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn permits_granted_to_a_dropped_future_go_to_the_next() {
    in_every_order(|| async {
        let semaphore = Semaphore::new(0);
        let (mut first, mut second, mut third) =
            (semaphore.acquire_many(2), semaphore.acquire(), semaphore.acquire());
        assert!(is_pending(&mut first).await);
        assert!(is_pending(&mut second).await);
        assert!(is_pending(&mut third).await);
        semaphore.add_permits(2);
        assert!(is_pending(&mut third).await);
        drop(first);
        let second = ready(poll_once(&mut second).await).unwrap();
        let third = ready(poll_once(&mut third).await).unwrap();
        drop((second, third));
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn closing_a_semaphore_wakes_all_with_an_error() {
    in_every_order(|| async {
        let semaphore = Rc::new(Semaphore::new(1));
        let held = semaphore.acquire().await.unwrap();
        let mut handed = semaphore.acquire();
        assert!(is_pending(&mut handed).await);
        let wait = |permits| Rc::clone(&semaphore).acquire_many_owned(permits);
        let tasks: Vec<_> = (1..=5).map(|permits| spawn(wait(permits))).collect();
        let_others_run().await;
        drop(held);
        semaphore.close();
        assert!(semaphore.is_closed());
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap_err().to_string(), "the semaphore is closed");
        }
        // It was handed its permit before.
        let permit = ready(poll_once(&mut handed).await).unwrap();
        assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::Closed);
        assert!(semaphore.acquire().await.is_err());
        drop(permit);
        assert!(semaphore.acquire().await.is_err());
    });
}

#[test]
fn a_permit_that_is_forgotten_does_not_come_back() {
    bounded(|| {
        let semaphore = Semaphore::new(3);
        semaphore.try_acquire_many(2).unwrap().forget();
        assert_eq!(semaphore.available_permits(), 1);
        drop(semaphore.try_acquire().unwrap());
        assert_eq!(semaphore.available_permits(), 1);
        assert_eq!(semaphore.try_acquire_many(2).unwrap_err(), TryAcquireError::NoPermits);
        semaphore.add_permits(2);
        assert_eq!(semaphore.available_permits(), 3);
    });
}

#[test]
fn more_permits_than_there_can_be_are_a_panic_that_says_so() {
    bounded(|| {
        let made = panic_text(|| drop(Semaphore::new(Semaphore::MAX_PERMITS + 1)));
        assert!(made.contains("`Semaphore::new`") && made.contains("MAX_PERMITS"), "{made}");
        let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
        let added = panic_text(|| semaphore.add_permits(1));
        assert!(
            added.contains("`Semaphore::add_permits`") && added.contains("MAX_PERMITS"),
            "{added}"
        );
        let added = panic_text(|| semaphore.add_permits(usize::MAX));
        assert!(added.contains("`Semaphore::add_permits`"), "{added}");
        assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
    });
}

#[test]
fn a_notice_without_a_waiter_is_kept_once() {
    in_every_order(|| async {
        let notify = Notify::new();
        notify.notify_one();
        notify.notify_one();
        notify.notified().await;
        assert!(is_pending(&mut notify.notified()).await);
        // And no notification is kept from a waiter that was dropped while it waited.
        assert!(is_pending(&mut notify.notified()).await);
    });
}

#[test]
fn notify_one_wakes_the_task_that_has_waited_longest() {
    in_every_order(|| async {
        let notify = Notify::new();
        let (mut first, mut second) = (notify.notified(), notify.notified());
        assert!(is_pending(&mut second).await);
        assert!(is_pending(&mut first).await);
        notify.notify_one();
        assert!(is_pending(&mut first).await);
        ready(poll_once(&mut second).await);
        notify.notify_one();
        ready(poll_once(&mut first).await);
        assert!(is_pending(&mut notify.notified()).await);
    });
}

#[test]
fn notify_serves_a_crowd_in_the_order_in_which_it_came() {
    in_every_order(|| async {
        let notify = Rc::new(Notify::new());
        let (came, served) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
        let wait = |number: usize| {
            let (notify, came, served) = (Rc::clone(&notify), Rc::clone(&came), Rc::clone(&served));
            async move {
                came.borrow_mut().push(number);
                notify.notified().await;
                served.borrow_mut().push(number);
            }
        };
        let tasks: Vec<_> = (0..50).map(|number| spawn(wait(number))).collect();
        let_others_run().await;
        assert_eq!(came.borrow().len(), 50);
        for count in 1..=50 {
            notify.notify_one();
            let_others_run().await;
            assert_eq!(*served.borrow(), came.borrow()[..count]);
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_notice_granted_to_a_dropped_future_goes_to_the_next() {
    in_every_order(|| async {
        let notify = Notify::new();
        let (mut first, mut second) = (notify.notified(), notify.notified());
        assert!(is_pending(&mut first).await);
        assert!(is_pending(&mut second).await);
        notify.notify_one();
        drop(first);
        ready(poll_once(&mut second).await);
        // If nothing waits, the notification is kept.
        let mut third = notify.notified();
        assert!(is_pending(&mut third).await);
        notify.notify_one();
        drop(third);
        notify.notified().await;
        assert!(is_pending(&mut notify.notified()).await);
    });
}

#[test]
fn notify_waiters_wakes_all_futures_made_before_it_and_no_others() {
    in_every_order(|| async {
        let notify = Notify::new();
        notify.notify_waiters();
        let (mut polled, mut other, mut unpolled) =
            (notify.notified(), notify.notified(), notify.notified());
        assert!(is_pending(&mut polled).await);
        assert!(is_pending(&mut other).await);
        notify.notify_waiters();
        let mut late = notify.notified();
        assert!(is_pending(&mut late).await);
        ready(poll_once(&mut polled).await);
        ready(poll_once(&mut unpolled).await);
        // Nor does it pass on what was for all.
        drop(other);
        assert!(is_pending(&mut late).await);
        notify.notify_one();
        ready(poll_once(&mut late).await);
    });
}

#[test]
fn a_oneshot_channel_carries_its_value() {
    in_every_order(|| async {
        let (sender, receiver) = oneshot::channel();
        let receives = spawn(receiver);
        let_others_run().await;
        sender.send("soup").unwrap();
        assert_eq!(receives.await.unwrap(), Ok("soup"));

        let (sender, mut receiver) = oneshot::channel();
        assert_eq!(receiver.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        // Cancelled half-way by reference, it loses nothing.
        assert!(is_pending(&mut &mut receiver).await);
        sender.send("fish").unwrap();
        assert_eq!(receiver.try_recv(), Ok("fish"));
        assert_eq!(receiver.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    });
}

#[test]
fn a_oneshot_receiver_learns_that_its_sender_is_gone() {
    in_every_order(|| async {
        let (sender, receiver) = oneshot::channel::<()>();
        let receives = spawn(receiver);
        let_others_run().await;
        assert!(!receives.is_finished());
        drop(sender);
        let error = receives.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the channel was closed before a value was sent");
    });
}

#[test]
fn a_oneshot_sender_gets_its_value_back_if_the_receiver_is_gone() {
    in_every_order(|| async {
        let (sender, receiver) = oneshot::channel();
        assert!(!sender.is_closed());
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.send("soup"), Err("soup"));

        let (sender, mut receiver) = oneshot::channel();
        receiver.close();
        assert_eq!(sender.send("soup"), Err("soup"));
        assert!(receiver.await.is_err());

        let (sender, mut receiver) = oneshot::channel();
        sender.send("soup").unwrap();
        receiver.close();
        assert_eq!(receiver.await, Ok("soup"));
    });
}

#[test]
fn a_oneshot_sender_can_wait_until_the_receiver_is_gone() {
    in_every_order(|| async {
        let (mut sender, receiver) = oneshot::channel::<()>();
        assert!(is_pending(&mut sender.closed()).await);
        let waits = spawn(async move { sender.closed().await });
        let_others_run().await;
        assert!(!waits.is_finished());
        drop(receiver);
        waits.await.unwrap();
    });
}

#[test]
fn a_oneshot_value_that_was_not_received_is_dropped_with_the_receiver() {
    in_every_order(|| async {
        let dropped = Rc::new(Cell::new(0));
        let count = Rc::clone(&dropped);
        let (sender, receiver) = oneshot::channel();
        assert!(sender.send(OnDrop(move || count.set(count.get() + 1))).is_ok());
        assert_eq!(dropped.get(), 0);
        drop(receiver);
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn messages_come_in_the_order_in_which_they_were_sent() {
    in_every_order(|| async {
        let (sender, mut receiver) = mpsc::channel(3);
        let sends = spawn(async move {
            for number in 0..1000 {
                sender.send(number).await.unwrap();
            }
        });
        for number in 0..1000 {
            assert_eq!(receiver.recv().await, Some(number));
        }
        assert_eq!(receiver.recv().await, None);
        sends.await.unwrap();
    });
}

#[test]
fn a_full_channel_makes_its_senders_wait_in_order() {
    in_every_order(|| async {
        let (sender, mut receiver) = mpsc::channel(2);
        assert_eq!((sender.capacity(), sender.max_capacity()), (2, 2));
        sender.send(0).await.unwrap();
        sender.send(1).await.unwrap();
        assert_eq!((sender.capacity(), receiver.len()), (0, 2));
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
        let (mut second, mut third) = (sender.send(2), sender.send(3));
        assert!(is_pending(&mut second).await);
        assert!(is_pending(&mut third).await);
        assert_eq!(receiver.recv().await, Some(0));
        // The room is for the sender that waits.
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
        assert!(is_pending(&mut third).await);
        ready(poll_once(&mut second).await).unwrap();
        assert_eq!(receiver.try_recv(), Ok(1));
        ready(poll_once(&mut third).await).unwrap();
        assert_eq!(receiver.recv().await, Some(2));
        assert_eq!(receiver.recv().await, Some(3));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn room_given_to_a_sender_that_is_dropped_goes_to_the_next() {
    in_every_order(|| async {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.send(0).await.unwrap();
        let (mut first, mut second, mut third) = (sender.send(1), sender.reserve(), sender.send(3));
        assert!(is_pending(&mut first).await);
        assert!(is_pending(&mut second).await);
        assert!(is_pending(&mut third).await);
        assert_eq!(receiver.recv().await, Some(0));
        drop(first);
        assert!(is_pending(&mut third).await);
        drop(second);
        ready(poll_once(&mut third).await).unwrap();
        assert_eq!(receiver.recv().await, Some(3));
        assert_eq!(sender.capacity(), 1);
    });
}

#[test]
fn a_message_for_a_receive_that_is_dropped_is_there_for_the_next() {
    in_every_order(|| async {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut dropped = receiver.recv();
        assert!(is_pending(&mut dropped).await);
        sender.send(1).await.unwrap();
        drop(dropped);
        assert_eq!(receiver.recv().await, Some(1));
        assert!(is_pending(&mut receiver.recv()).await);
        sender.send(2).await.unwrap();
        assert_eq!(receiver.recv().await, Some(2));
    });
}

#[test]
fn reserved_room_is_used_or_given_back() {
    in_every_order(|| async {
        let (sender, mut receiver) = mpsc::channel(1);
        let room = sender.reserve().await.unwrap();
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(sender.try_reserve().unwrap_err(), TrySendError::Full(()));
        let mut waits = sender.send(2);
        assert!(is_pending(&mut waits).await);
        drop(room);
        ready(poll_once(&mut waits).await).unwrap();
        assert_eq!(receiver.recv().await, Some(2));
        sender.try_reserve().unwrap().send(3);
        assert_eq!(receiver.recv().await, Some(3));
    });
}

#[test]
fn a_channel_without_room_is_a_panic_that_says_so() {
    bounded(|| {
        let text = panic_text(|| drop(mpsc::channel::<()>(0)));
        assert!(text.contains("`mpsc::channel(0)`"), "{text}");
        let text = panic_text(|| drop(mpsc::channel::<()>(Semaphore::MAX_PERMITS + 1)));
        assert!(text.contains("`mpsc::unbounded_channel`"), "{text}");
    });
}

#[test]
fn a_closed_channel_gives_messages_back_and_what_it_holds_out() {
    in_every_order(|| async {
        let (sender, mut receiver) = mpsc::channel(3);
        sender.send(1).await.unwrap();
        sender.send(2).await.unwrap();
        let room = sender.reserve().await.unwrap();
        let mut waits = sender.send(4);
        assert!(is_pending(&mut waits).await);
        let mut closed = sender.closed();
        assert!(is_pending(&mut closed).await);
        assert!(!sender.is_closed() && !receiver.is_closed());
        receiver.close();
        ready(poll_once(&mut closed).await);
        assert!(sender.is_closed() && receiver.is_closed());
        assert_eq!(ready(poll_once(&mut waits).await).unwrap_err().0, 4);
        assert_eq!(sender.send(5).await.unwrap_err().0, 5);
        assert_eq!(sender.try_send(6), Err(TrySendError::Closed(6)));
        assert!(sender.reserve().await.is_err());
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.recv().await, Some(2));
        // A sender that got room before may still send.
        assert!(is_pending(&mut receiver.recv()).await);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        room.send(3);
        assert_eq!(receiver.recv().await, Some(3));
        assert_eq!(receiver.recv().await, None);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn a_receiver_of_a_closed_channel_ends_when_the_last_room_is_given_back() {
    in_every_order(|| async {
        let (sender, mut receiver) = mpsc::channel::<()>(1);
        let room = sender.reserve().await.unwrap();
        receiver.close();
        let receives = spawn(async move { receiver.recv().await });
        let_others_run().await;
        assert!(!receives.is_finished());
        drop(room);
        assert_eq!(receives.await.unwrap(), None);

        // So does the room of a sender that got it while it waited, and is then dropped.
        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(1).unwrap();
        let mut second = sender.send(2);
        assert!(is_pending(&mut second).await);
        assert_eq!(receiver.recv().await, Some(1));
        receiver.close();
        let receives = spawn(async move { receiver.recv().await });
        let_others_run().await;
        assert!(!receives.is_finished());
        drop(second);
        assert_eq!(receives.await.unwrap(), None);
    });
}

/// Unlike tokio: there, a task that has polled for a message stays asleep until the last sender is gone.
#[test]
fn closing_a_receiver_wakes_the_task_that_polls_it() {
    in_every_order(|| async {
        let (sender, receiver) = mpsc::channel::<()>(1);
        let receiver = Rc::new(RefCell::new(receiver));
        let polled = Rc::clone(&receiver);
        let receives = spawn(poll_fn(move |cx| polled.borrow_mut().poll_recv(cx)));
        let_others_run().await;
        receiver.borrow_mut().close();
        assert_eq!(receives.await.unwrap(), None);
        drop(sender);
    });
}

#[test]
fn a_receiver_that_is_dropped_gives_messages_back() {
    in_every_order(|| async {
        let (sender, receiver) = mpsc::channel(1);
        sender.send(1).await.unwrap();
        let mut waits = sender.send(2);
        assert!(is_pending(&mut waits).await);
        drop(receiver);
        assert_eq!(ready(poll_once(&mut waits).await).unwrap_err().0, 2);
        assert_eq!(sender.send(3).await.unwrap_err().to_string(), "the channel is closed");
        sender.closed().await;

        let (sender, receiver) = mpsc::unbounded();
        sender.send(1).unwrap();
        assert!(is_pending(&mut sender.closed()).await);
        drop(receiver);
        sender.closed().await;
        assert_eq!(sender.send(2).unwrap_err().0, 2);
    });
}

#[test]
fn senders_that_wait_for_the_end_are_woken_by_it() {
    in_every_order(|| async {
        let (sender, mut closes) = mpsc::channel::<()>(1);
        let (unbounded, dropped) = mpsc::unbounded::<()>();
        let other = sender.clone();
        let one = spawn(async move { sender.closed().await });
        let another = spawn(async move { other.closed().await });
        let third = spawn(async move { unbounded.closed().await });
        let_others_run().await;
        assert!(!one.is_finished() && !another.is_finished() && !third.is_finished());
        closes.close();
        one.await.unwrap();
        another.await.unwrap();
        assert!(!third.is_finished());
        drop(dropped);
        third.await.unwrap();
    });
}

#[test]
fn a_channel_ends_with_its_last_sender() {
    in_every_order(|| async {
        let (first, mut receiver) = mpsc::channel(4);
        let second = first.clone();
        assert!(first.same_channel(&second));
        assert!(!first.same_channel(&mpsc::channel(4).0));
        first.send(1).await.unwrap();
        drop(first);
        assert_eq!(receiver.recv().await, Some(1));
        let receives = spawn(async move { (receiver.recv().await, receiver.recv().await) });
        let_others_run().await;
        second.clone().send(2).await.unwrap();
        let_others_run().await;
        assert!(!receives.is_finished());
        drop(second);
        assert_eq!(receives.await.unwrap(), (Some(2), None));
    });
}

#[headwaiter::test(within = "60s")]
async fn an_unbounded_channel_is_never_full() {
    let _beside_others = beside_other_tests();
    let (sender, mut receiver) = mpsc::unbounded();
    let other = sender.clone();
    assert!(sender.same_channel(&other));
    for number in 0..50_000 {
        if number % 2 == 0 { &sender } else { &other }.send(number).unwrap();
    }
    assert_eq!(receiver.len(), 50_000);
    drop(sender);
    for number in 0..50_000 {
        assert_eq!(receiver.recv().await, Some(number));
    }
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    drop(other);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(receiver.recv().await, None);
}

#[test]
fn a_receiver_is_a_stream() {
    in_every_order(|| async {
        let (sender, receiver) = mpsc::channel(2);
        let sends = spawn(async move {
            for number in 0..10 {
                sender.send(number).await.unwrap();
            }
        });
        let doubled: Vec<u32> = receiver.map(|number| 2 * number).collect().await;
        assert_eq!(doubled, Vec::from_iter((0..10).map(|number| 2 * number)));
        sends.await.unwrap();
    });
}

/// Uses its channel when it is dropped, and notes whether that was open.
struct Message {
    sender: Option<mpsc::UnboundedSender<Message>>,
    sent: Rc<RefCell<Vec<bool>>>,
}

impl Drop for Message {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            let last = Message { sender: None, sent: Rc::clone(&self.sent) };
            let is_sent = sender.send(last).is_ok();
            self.sent.borrow_mut().push(is_sent);
        }
    }
}

#[test]
fn a_message_may_use_its_channel_when_it_is_dropped() {
    in_every_order(|| async {
        let (sender, mut receiver) = mpsc::unbounded();
        let sent = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..3 {
            let message = Message { sender: Some(sender.clone()), sent: Rc::clone(&sent) };
            assert!(sender.send(message).is_ok());
        }
        drop(sender);
        drop(receiver.recv().await);
        assert_eq!(*sent.borrow(), [true]);
        assert_eq!(receiver.len(), 3);
        drop(receiver);
        assert_eq!(*sent.borrow(), [true, false, false]);
    });
}

/// Polls many futures, drops them in a random order but a few, and checks that `free` lets these few be ready.
fn drop_in_any_order<F: Future + Unpin>(make: impl Fn() -> F, free: impl FnOnce()) {
    const MANY: usize = 100_000;
    let waker = Waker::from(Foreign::new());
    let mut all: Vec<Option<F>> = (0..MANY).map(|_| Some(make())).collect();
    for future in all.iter_mut().flatten() {
        assert!(poll_with(&waker, future).is_pending());
    }
    // Each once, because the factor is a prime that does not divide the number.
    for step in 0..MANY {
        let index = step * 76_543 % MANY;
        if !index.is_multiple_of(1000) {
            all[index] = None;
        }
    }
    let few: Vec<F> = all.into_iter().flatten().collect();
    assert_eq!(few.len(), MANY / 1000);
    free();
    for mut future in few {
        assert!(poll_with(&waker, &mut future).is_ready());
    }
}

#[test]
fn a_crowd_of_waiters_can_leave_in_any_order() {
    bounded(|| {
        let mutex = Mutex::new(());
        let held = mutex.try_lock().unwrap();
        drop_in_any_order(|| mutex.lock(), || drop(held));
        assert!(mutex.try_lock().is_ok());

        let semaphore = Semaphore::new(0);
        drop_in_any_order(|| semaphore.acquire(), || semaphore.add_permits(1));
        assert_eq!(semaphore.available_permits(), 1);

        let notify = Notify::new();
        drop_in_any_order(|| notify.notified(), || notify.notify_waiters());

        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(()).unwrap();
        drop_in_any_order(|| sender.send(()), || receiver.close());

        let (sender, mut receiver) = mpsc::channel::<()>(1);
        drop_in_any_order(|| sender.closed(), || receiver.close());
    });
}

#[headwaiter::test(within = "60s")]
async fn a_crowd_of_tasks_that_wait_can_be_aborted_in_any_order() {
    let _beside_others = beside_other_tests();
    const MANY: usize = 100_000;
    let mutex = Rc::new(Mutex::new(0));
    let held = mutex.lock().await;
    let wait = || {
        let mutex = Rc::clone(&mutex);
        async move { *mutex.lock().await += 1 }
    };
    let tasks: Vec<_> = (0..MANY).map(|_| spawn(wait())).collect();
    let_others_run().await;
    for step in 0..MANY {
        let index = step * 76_543 % MANY;
        if !index.is_multiple_of(1000) {
            tasks[index].abort();
        }
    }
    drop(held);
    for (index, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.is_ok(), index.is_multiple_of(1000));
    }
    assert_eq!(*mutex.lock().await, MANY / 1000);
}

/// How long a channel may be busy before the test has failed.
const BUSY: Duration = Duration::from_secs(5);

#[headwaiter::test(within = "60s")]
async fn two_tasks_with_a_busy_channel_do_not_starve_a_timer() {
    let _beside_others = beside_other_tests();
    let fired = Rc::new(Cell::new(false));
    let (ping, mut pings) = mpsc::channel(8);
    let (pong, mut pongs) = mpsc::channel(8);
    let start = Instant::now();
    let is_over = {
        let fired = Rc::clone(&fired);
        move || fired.get() || start.elapsed() > BUSY
    };
    let answers = spawn(async move {
        while let Some(number) = pings.recv().await {
            pong.send(number).await.unwrap();
        }
    });
    let asks = spawn(async move {
        let mut asked = 0_u64;
        while !is_over() {
            ping.send(asked).await.unwrap();
            assert_eq!(pongs.recv().await, Some(asked));
            asked += 1;
        }
    });
    sleep(ms(10)).await;
    assert!(!asks.is_finished(), "the timer is later than {BUSY:?}");
    fired.set(true);
    asks.await.unwrap();
    answers.await.unwrap();
}

/// Runs an operation that is always ready, over and over, and checks that a timer fires meanwhile.
async fn busy_beside_a_timer<F: Future>(mut operation: impl FnMut() -> F + 'static) {
    let fired = Rc::new(Cell::new(false));
    let start = Instant::now();
    let busy = spawn({
        let fired = Rc::clone(&fired);
        async move {
            while !fired.get() && start.elapsed() < BUSY {
                operation().await;
            }
        }
    });
    sleep(ms(10)).await;
    assert!(!busy.is_finished(), "the timer is later than {BUSY:?}");
    fired.set(true);
    busy.await.unwrap();
}

#[headwaiter::test(within = "60s")]
async fn operations_that_never_wait_do_not_starve_a_timer() {
    let _beside_others = beside_other_tests();
    let mutex = Rc::new(Mutex::new(()));
    busy_beside_a_timer(move || {
        let mutex = Rc::clone(&mutex);
        async move { drop(mutex.lock().await) }
    })
    .await;
    let semaphore = Rc::new(Semaphore::new(1));
    busy_beside_a_timer(move || Rc::clone(&semaphore).acquire_owned()).await;
    let notify = Rc::new(Notify::new());
    busy_beside_a_timer(move || {
        let notify = Rc::clone(&notify);
        notify.notify_one();
        async move { notify.notified().await }
    })
    .await;
    busy_beside_a_timer(|| {
        let (sender, receiver) = oneshot::channel();
        sender.send(()).unwrap();
        receiver
    })
    .await;
    let (sender, receiver) = mpsc::channel(1);
    let channel = Rc::new((sender, RefCell::new(Some(receiver))));
    busy_beside_a_timer(move || {
        let channel = Rc::clone(&channel);
        async move {
            let mut receiver = channel.1.take().unwrap();
            channel.0.send(()).await.unwrap();
            receiver.recv().await.unwrap();
            channel.1.replace(Some(receiver));
        }
    })
    .await;
}

#[test]
fn a_loop_may_be_dropped_with_waiters_of_every_kind() {
    bounded(|| {
        let mutex = Rc::new(Mutex::new(()));
        let semaphore = Rc::new(Semaphore::new(0));
        let notify = Rc::new(Notify::new());
        let (value, receiver) = oneshot::channel::<()>();
        let (mut closes, other_receiver) = oneshot::channel::<()>();
        let (sender, mut receives) = mpsc::channel::<()>(1);
        let (full, mut drain) = mpsc::channel::<u8>(1);
        full.try_send(1).unwrap();
        let dropped = Rc::new(Cell::new(0));

        let mut event_loop = EventLoop::new().unwrap();
        let held_outside = mutex.try_lock().unwrap();
        event_loop.block_on(async {
            let mut count = 0;
            let mut wait = |future: Pin<Box<dyn Future<Output = ()>>>| {
                let dropped = Rc::clone(&dropped);
                let gone = OnDrop(move || dropped.set(dropped.get() + 1));
                count += 1;
                drop(spawn(async move {
                    let _gone = gone;
                    future.await;
                    panic!("nothing of this ends");
                }));
            };
            for _ in 0..2 {
                let (mutex, semaphore, notify) =
                    (Rc::clone(&mutex), Rc::clone(&semaphore), Rc::clone(&notify));
                let (full, reserves, closed) = (full.clone(), full.clone(), full.clone());
                wait(Box::pin(async move { drop(mutex.lock().await) }));
                wait(Box::pin(async move { drop(semaphore.acquire().await) }));
                wait(Box::pin(async move { notify.notified().await }));
                wait(Box::pin(async move {
                    let _ = full.send(2).await;
                }));
                wait(Box::pin(async move { drop(reserves.reserve().await) }));
                wait(Box::pin(async move { closed.closed().await }));
            }
            wait(Box::pin(async move {
                let _ = receiver.await;
            }));
            wait(Box::pin(async move { closes.closed().await }));
            wait(Box::pin(async move {
                let _ = receives.recv().await;
            }));
            let_others_run().await;
            assert_eq!((count, dropped.get()), (15, 0));
        });
        drop(event_loop);
        assert_eq!(dropped.get(), 15);

        drop(held_outside);
        assert!(mutex.try_lock().is_ok());
        semaphore.add_permits(1);
        assert_eq!(semaphore.available_permits(), 1);
        assert!(value.is_closed() && sender.is_closed());
        assert_eq!(futures_lite::future::block_on(other_receiver).ok(), None);
        assert_eq!((drain.try_recv(), full.capacity()), (Ok(1), 1));
        notify.notify_one();
        futures_lite::future::block_on(notify.notified());
    });
}

#[test]
fn a_loop_that_is_dropped_unlocks_what_its_tasks_hold() {
    bounded(|| {
        let mutex = Rc::new(Mutex::new(()));
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            for _ in 0..3 {
                let mutex = Rc::clone(&mutex);
                drop(spawn(async move {
                    let _guard = mutex.lock().await;
                    pending::<()>().await;
                }));
            }
            let_others_run().await;
            assert!(mutex.try_lock().is_err());
        });
        drop(event_loop);
        assert!(mutex.try_lock().is_ok());
    });
}

/// Unlike tokio: there, the types of `sync` are `Send`, so no other crates are needed between threads.
#[test]
fn wakers_of_other_crates_are_woken() {
    in_every_order(|| async {
        let mutex = Rc::new(Mutex::new(0));
        let semaphore = Rc::new(Semaphore::new(0));
        let notify = Rc::new(Notify::new());
        let (value, receiver) = oneshot::channel();
        let (sender, mut receives) = mpsc::channel(1);
        let held = mutex.lock().await;
        let waits = spawn({
            let (mutex, semaphore, notify) =
                (Rc::clone(&mutex), Rc::clone(&semaphore), Rc::clone(&notify));
            async move {
                *wrapped(mutex.lock()).await += 1;
                drop(wrapped(semaphore.acquire()).await.unwrap());
                wrapped(notify.notified()).await;
                let value = wrapped(receiver).await.unwrap();
                let message = wrapped(receives.recv()).await.unwrap();
                (value, message)
            }
        });
        let_others_run().await;
        drop(held);
        let_others_run().await;
        assert_eq!(*mutex.try_lock().unwrap(), 1);
        semaphore.add_permits(1);
        let_others_run().await;
        assert_eq!(semaphore.available_permits(), 1);
        notify.notify_one();
        let_others_run().await;
        value.send("soup").unwrap();
        let_others_run().await;
        sender.send("fish").await.unwrap();
        assert_eq!(waits.await.unwrap(), ("soup", "fish"));
    });
}

#[test]
fn a_foreign_waker_is_woken_once_and_let_go() {
    bounded(|| {
        let mutex = Mutex::new(());
        let held = mutex.try_lock().unwrap();
        let (old, new) = (Foreign::new(), Foreign::new());
        let mut lock = mutex.lock();
        assert!(poll_with(&Arc::clone(&old).into(), &mut lock).is_pending());
        assert!(poll_with(&Arc::clone(&new).into(), &mut lock).is_pending());
        assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (1, 2));
        drop(held);
        assert_eq!((old.wakes(), new.wakes()), (0, 1));
        assert_eq!(Arc::strong_count(&new), 1);
        drop(ready(poll_with(Waker::noop(), &mut lock)));

        let held = mutex.try_lock().unwrap();
        let mut lock = mutex.lock();
        assert!(poll_with(&Arc::clone(&new).into(), &mut lock).is_pending());
        drop(lock);
        assert_eq!(Arc::strong_count(&new), 1);
        drop(held);
        assert_eq!(new.wakes(), 1);
    });
}

#[test]
fn an_earlier_waker_that_panics_in_its_drop_fails_no_poll() {
    bounded(|| {
        let panics = || foreign_owning(OnDrop(|| panic!("the plates fell")), |_| ());
        let (mutex, (sender, mut receiver)) = (Mutex::new(()), oneshot::channel::<()>());
        let _held = mutex.try_lock().unwrap();
        let mut lock = mutex.lock();
        assert!(poll_with(&panics(), &mut lock).is_pending());
        assert!(poll_with(&panics(), &mut receiver).is_pending());
        // These drop the last clones of the wakers of the first polls.
        assert!(poll_with(Waker::noop(), &mut lock).is_pending());
        assert!(poll_with(Waker::noop(), &mut receiver).is_pending());
        drop(sender);
    });
}

#[test]
fn the_loser_of_a_race_leaves_nothing() {
    in_every_order(|| async {
        let mutex = Mutex::new(());
        let notify = Notify::new();
        let held = mutex.lock().await;
        let race = || {
            or(
                async {
                    drop(mutex.lock().await);
                    "mutex"
                },
                async {
                    notify.notified().await;
                    "notify"
                },
            )
        };
        let mut first = Box::pin(race());
        let mut second = Box::pin(race());
        assert!(is_pending(&mut first).await);
        assert!(is_pending(&mut second).await);
        notify.notify_one();
        assert_eq!(first.await, "notify");
        drop(held);
        assert_eq!(second.await, "mutex");
        assert!(mutex.try_lock().is_ok());
        assert!(is_pending(&mut notify.notified()).await);
    });
}

#[test]
fn two_halves_of_one_task_can_talk() {
    in_every_order(|| async {
        let (sender, mut receiver) = mpsc::channel(1);
        let sends = async move {
            for number in 0..1000 {
                sender.send(number).await.unwrap();
            }
        };
        let receives = async {
            let mut sum = 0;
            while let Some(number) = receiver.recv().await {
                sum += number;
            }
            sum
        };
        let ((), sum) = zip(wrapped(sends), wrapped(receives)).await;
        assert_eq!(sum, 499_500);
    });
}

#[test]
fn all_of_it_works_without_a_loop() {
    bounded(|| {
        futures_lite::future::block_on(async {
            let (sender, mut receiver) = mpsc::channel(1);
            let mutex = Mutex::new(Vec::new());
            let semaphore = Semaphore::new(0);
            let notify = Notify::new();
            let (value, received) = oneshot::channel();
            let sends = async {
                for number in 0..500 {
                    sender.send(number).await.unwrap();
                    mutex.lock().await.push(number);
                }
                drop(sender);
                notify.notified().await;
                semaphore.add_permits(2);
                value.send("soup").unwrap();
            };
            let receives = async {
                let mut guard = mutex.lock().await;
                futures_lite::future::yield_now().await;
                guard.push(1000);
                drop(guard);
                while let Some(number) = receiver.recv().await {
                    drop(mutex.lock().await);
                    assert!(number < 500);
                }
                notify.notify_one();
                assert_eq!(semaphore.acquire_many(2).await.unwrap().num_permits(), 2);
                assert_eq!(received.await, Ok("soup"));
            };
            zip(sends, receives).await;
            assert_eq!(mutex.lock().await.len(), 501);
        });
    });
}

#[test]
fn two_loops_of_one_thread_can_talk() {
    bounded(|| {
        let (mut one, mut other) = (EventLoop::new().unwrap(), EventLoop::new().unwrap());
        let (sender, mut receiver) = mpsc::channel(1);
        let received = Rc::new(RefCell::new(Vec::new()));
        one.enter(|| {
            drop(spawn(async move {
                for number in 0..3 {
                    sender.send(number).await.unwrap();
                }
            }));
        });
        other.enter(|| {
            let received = Rc::clone(&received);
            drop(spawn(async move {
                while let Some(number) = receiver.recv().await {
                    received.borrow_mut().push(Some(number));
                }
                received.borrow_mut().push(None);
            }));
        });
        while received.borrow().last() != Some(&None) {
            one.turn(Some(Duration::ZERO)).unwrap();
            other.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(*received.borrow(), [Some(0), Some(1), Some(2), None]);
    });
}

#[test]
fn a_task_that_panics_gives_back_permits_and_room() {
    in_every_order(|| async {
        let semaphore = Rc::new(Semaphore::new(2));
        let (sender, mut receiver) = mpsc::channel(1);
        let panics = spawn({
            let (semaphore, sender) = (Rc::clone(&semaphore), sender.clone());
            async move {
                let _permits = semaphore.acquire_many(2).await.unwrap();
                let _room = sender.reserve().await.unwrap();
                yield_now().await;
                panic!("on fire");
            }
        });
        let_others_run().await;
        assert!(panics.await.unwrap_err().is_panic());
        assert_eq!(semaphore.available_permits(), 2);
        sender.try_send(1).unwrap();
        assert_eq!(receiver.recv().await, Some(1));
    });
}

/// What wakers that do anything when they are woken or dropped do it to.
struct Playground {
    dice: Random,
    depth: Cell<usize>,
    semaphore: Rc<Semaphore>,
    mutex: &'static Mutex<u64>,
    acquires: RefCell<Vec<Acquire<Rc<Semaphore>>>>,
    permits: RefCell<Vec<OwnedSemaphorePermit>>,
    locks: RefCell<Vec<Lock<'static, u64>>>,
    guard: RefCell<Option<MutexGuard<'static, u64>>>,
    total: Cell<usize>,
}

thread_local! {
    static PLAYGROUND: RefCell<Option<Rc<Playground>>> = const { RefCell::new(None) };
}

fn meddle() {
    let playground = PLAYGROUND.with_borrow(Clone::clone);
    if let Some(playground) = playground {
        playground.play();
    }
}

impl Playground {
    /// Takes any one out, so that what it does finds nothing borrowed.
    fn pick<T>(&self, from: &RefCell<Vec<T>>) -> Option<T> {
        let count = from.borrow().len();
        (count > 0).then(|| from.borrow_mut().swap_remove(self.dice.below(count)))
    }

    fn play(&self) {
        if self.depth.get() == 4 {
            return;
        }
        self.depth.set(self.depth.get() + 1);
        let waker = foreign_owning(OnDrop(meddle), |_| meddle()) /* meddles when it is woken, and when it is dropped */;
        match self.dice.below(10) {
            0 => {
                let acquire = self.semaphore.clone().acquire_many_owned(self.dice.below(4) as u32);
                self.acquires.borrow_mut().push(acquire);
            }
            1..=3 => {
                if let Some(mut acquire) = self.pick(&self.acquires) {
                    match poll_with(&waker, &mut acquire) {
                        Poll::Ready(permit) => {
                            self.permits.borrow_mut().push(permit.expect("it is open"));
                        }
                        Poll::Pending => self.acquires.borrow_mut().push(acquire),
                    }
                }
            }
            4 => drop(self.pick(&self.acquires)),
            5 => drop(self.pick(&self.permits)),
            6 => {
                self.total.set(self.total.get() + 1);
                self.semaphore.add_permits(1);
                if let Some(permit) = self.pick(&self.permits) {
                    self.total.set(self.total.get() - permit.num_permits());
                    permit.forget();
                }
            }
            7 => {
                let mut lock = self.pick(&self.locks).unwrap_or_else(|| self.mutex.lock());
                match poll_with(&waker, &mut lock) {
                    Poll::Ready(mut guard) => {
                        *guard += 1;
                        assert!(self.guard.replace(Some(guard)).is_none(), "two have the lock");
                    }
                    Poll::Pending => self.locks.borrow_mut().push(lock),
                }
            }
            8 => drop(self.pick(&self.locks)),
            _ => {
                let guard = self.guard.take();
                drop(guard);
            }
        }
        drop(waker);
        self.depth.set(self.depth.get() - 1);
    }
}

#[test]
fn wakers_may_use_what_they_wait_for_when_they_are_woken_or_dropped() {
    bounded(|| {
        for seed in 0..300 {
            let playground = Rc::new(Playground {
                dice: Random::new(seed),
                depth: Cell::new(0),
                semaphore: Rc::new(Semaphore::new(2)),
                mutex: leaked(Mutex::new(0)),
                acquires: RefCell::default(),
                permits: RefCell::default(),
                locks: RefCell::default(),
                guard: RefCell::default(),
                total: Cell::new(2),
            });
            PLAYGROUND.set(Some(playground.clone()));
            for _ in 0..300 {
                playground.play();
            }
            PLAYGROUND.set(None);
            // Nothing was lost or granted twice: in the end all permits are back.
            playground.permits.take();
            drop(playground.guard.take());
            let mut acquires = playground.acquires.take();
            while !acquires.is_empty() {
                let before = acquires.len();
                acquires.retain_mut(|acquire| poll_with(Waker::noop(), acquire).is_pending());
                // A waiter that wants more permits than there are blocks all behind it.
                if acquires.len() == before {
                    drop(acquires.remove(0));
                }
            }
            let mut locks = playground.locks.take();
            while !locks.is_empty() {
                let before = locks.len();
                locks.retain_mut(|lock| poll_with(Waker::noop(), lock).is_pending());
                assert!(locks.len() < before, "seed {seed}: {before} wait for a lock that is free");
            }
            assert_eq!(
                playground.semaphore.available_permits(),
                playground.total.get(),
                "seed {seed}"
            );
            assert!(playground.mutex.try_lock().is_ok(), "seed {seed}");
        }
    });
}

#[test]
fn permits_that_come_back_to_a_full_semaphore_break_nothing() {
    let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
    let permit = semaphore.try_acquire_many(u32::MAX).unwrap();
    semaphore.add_permits(u32::MAX as usize);
    drop(permit);
    semaphore.add_permits(0);
    assert!(panic_text(|| semaphore.add_permits(1)).contains("MAX_PERMITS"));
    assert!(panic_text(|| semaphore.add_permits(usize::MAX)).contains("MAX_PERMITS"));
    assert!(semaphore.try_acquire().is_ok());
}

#[headwaiter::test(within = "60s")]
async fn room_that_was_given_before_the_receiver_was_dropped_is_of_no_use() {
    let _beside_others = beside_other_tests();
    let dropped = Rc::new(Cell::new(0));
    let message = || {
        let dropped = Rc::clone(&dropped);
        OnDrop(move || dropped.set(dropped.get() + 1))
    };
    let (sender, mut receiver) = mpsc::channel(2);
    let room = sender.reserve().await.unwrap();
    sender.try_send(message()).unwrap();
    let mut given = sender.send(message());
    assert!(is_pending(&mut given).await);
    drop(receiver.recv().await);
    assert_eq!(dropped.get(), 1);
    drop(receiver);
    room.send(message());
    assert_eq!(dropped.get(), 2);
    drop(given.await.unwrap_err());
    assert_eq!(dropped.get(), 3);
}

#[test]
fn the_other_end_learns_that_a_task_has_panicked() {
    in_every_order(|| async {
        // The sender of a oneshot channel.
        let (sender, receiver) = oneshot::channel::<()>();
        let panics = spawn(async move {
            let _sender = sender;
            yield_now().await;
            panic!("on fire");
        });
        let error = receiver.await.unwrap_err();
        assert_eq!(error.to_string(), "the channel was closed before a value was sent");
        assert!(panics.await.unwrap_err().is_panic());

        // The receiver of another, with one that waits for that, and with one that sends too late.
        for waits in [false, true] {
            let (mut sender, receiver) = oneshot::channel();
            let panics = spawn(async move {
                let _receiver = receiver;
                yield_now().await;
                panic!("on fire");
            });
            if waits {
                sender.closed().await;
            }
            assert!(panics.await.unwrap_err().is_panic());
            assert_eq!(sender.send("soup"), Err("soup"));
        }

        // A receiver of many, with messages in the channel and senders that wait.
        let (sender, mut receiver) = mpsc::channel(1);
        let panics = spawn(async move {
            let first: u32 = receiver.recv().await.unwrap();
            let_others_run().await;
            panic!("{first} is on fire");
        });
        let send = |number| {
            let sender = sender.clone();
            async move { sender.send(number).await.map_err(|error| error.0) }
        };
        let sends: Vec<_> = (1..=5).map(|number| spawn(send(number))).collect();
        let reserves = spawn({
            let sender = sender.clone();
            async move { drop(sender.reserve().await) }
        });
        sender.closed().await;
        let mut given_back = Vec::new();
        for send in sends {
            given_back.extend(send.await.unwrap().err());
        }
        // One was received, one stood in the channel and was dropped.
        assert_eq!(given_back.len(), 3, "{given_back:?}");
        reserves.await.unwrap(); // With room or without, as its turn came.
        assert!(panics.await.unwrap_err().is_panic());
        assert_eq!(sender.try_send(9), Err(TrySendError::Closed(9)));

        // A sender of many: the channel ends with the last.
        let (sender, mut receiver) = mpsc::channel(1);
        let panics = spawn(async move {
            sender.send(1).await.unwrap();
            panic!("on fire");
        });
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.recv().await, None);
        assert!(panics.await.unwrap_err().is_panic());
    });
}

/// Runs the future of `make` until its first wait, its second and so on, and drops it there: at once, or after other tasks have
/// run, which may have given it what it waits for. After each drop, `check` must find all in order. Ends with the run that is over
/// before it could be dropped, which must have waited `waits` times at least.
pub async fn drop_at_every_await(waits: usize, make: impl AsyncFn(), check: impl AsyncFn()) {
    for others_run in [false, true] {
        for polls in 0.. {
            let mut future = Box::pin(make());
            let mut is_over = false;
            for poll in 1..=polls {
                is_over = !is_pending(&mut future).await;
                if is_over {
                    break;
                }
                if poll < polls || others_run {
                    let_others_run().await;
                }
            }
            drop(future);
            check().await;
            if is_over {
                assert!(polls > waits, "over after {polls} polls");
                break;
            }
        }
    }
}

#[test]
fn a_mutex_outlives_a_drop_at_every_await() {
    in_every_order(|| async {
        let mutex = Rc::new(Mutex::new(0));
        for _ in 0..2 {
            let mutex = Rc::clone(&mutex);
            drop(spawn(async move {
                loop {
                    *mutex.lock().await += 1;
                    let _held = mutex.lock().await;
                    yield_now().await;
                }
            }));
        }
        let_others_run().await;
        let lock_three_times = async || {
            for _ in 0..3 {
                let _held = mutex.lock().await;
                yield_now().await;
            }
        };
        let check = async || {
            let before = *mutex.lock().await;
            let_others_run().await;
            assert!(*mutex.lock().await > before, "the others have it too");
        };
        drop_at_every_await(5, lock_three_times, check).await;
    });
}

#[test]
fn a_semaphore_outlives_a_drop_at_every_await() {
    in_every_order(|| async {
        let (semaphore, rounds) = (Rc::new(Semaphore::new(4)), Rc::new(Cell::new(0)));
        for permits in [1, 3, 2] {
            let (semaphore, rounds) = (Rc::clone(&semaphore), Rc::clone(&rounds));
            drop(spawn(async move {
                loop {
                    let _permits = semaphore.acquire_many(permits).await.unwrap();
                    yield_now().await;
                    rounds.set(rounds.get() + 1);
                }
            }));
        }
        let_others_run().await;
        let acquire = async || {
            let many = semaphore.acquire_many(3).await.unwrap();
            yield_now().await;
            drop(many);
            let owned = Rc::clone(&semaphore).acquire_many_owned(4).await.unwrap();
            yield_now().await;
            drop(owned);
            drop(semaphore.acquire().await.unwrap());
        };
        let check = async || {
            let before = rounds.get();
            drop(semaphore.acquire_many(4).await.unwrap()); // All are there.
            let_others_run().await;
            assert!(rounds.get() > before, "the others have them too");
        };
        drop_at_every_await(4, acquire, check).await;
    });
}

#[test]
fn no_notice_is_lost_by_a_drop_at_any_await() {
    in_every_order(|| async {
        let notify = Rc::new(Notify::new());
        let (given, taken, waiting) =
            (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let gives = spawn({
            let (notify, given, waiting) =
                (Rc::clone(&notify), Rc::clone(&given), Rc::clone(&waiting));
            async move {
                loop {
                    if waiting.take() {
                        notify.notify_one();
                        given.set(given.get() + 1);
                    }
                    yield_now().await;
                }
            }
        });
        let take_three = async || {
            for _ in 0..3 {
                let mut notified = pin!(notify.notified());
                waiting.set(true);
                notified.as_mut().await;
                taken.set(taken.get() + 1);
            }
        };
        let check = async || {
            let_others_run().await;
            let left = given.get() - taken.get();
            for _ in 0..left {
                ready(poll_once(&mut notify.notified()).await);
                taken.set(taken.get() + 1);
            }
            assert!(left <= 1 && is_pending(&mut notify.notified()).await);
        };
        drop_at_every_await(2, take_three, check).await;
        gives.abort();
    });
}

#[test]
fn a_oneshot_channel_outlives_a_drop_at_every_await() {
    in_every_order(|| async {
        // A receiver, awaited by reference: the next task that awaits it gets what is sent then.
        for sent_before_drop in [false, true] {
            for polls in 0..3 {
                let (sender, mut receiver) = oneshot::channel();
                let mut sender = Some(sender);
                for _ in 0..polls {
                    assert!(is_pending(&mut &mut receiver).await);
                }
                {
                    let mut by_reference = pin!(async { (&mut receiver).await });
                    if polls > 0 {
                        assert!(is_pending(&mut by_reference).await);
                    }
                    if sent_before_drop {
                        sender.take().unwrap().send("soup").unwrap();
                    }
                }
                if let Some(sender) = sender {
                    sender.send("soup").unwrap();
                }
                assert_eq!(receiver.await, Ok("soup"));
            }
        }
        // The receiver itself: its sender learns of the drop.
        for polls in 0..3 {
            let (mut sender, mut receiver) = oneshot::channel::<()>();
            for _ in 0..polls {
                assert!(is_pending(&mut receiver).await);
            }
            assert!(is_pending(&mut sender.closed()).await);
            drop(receiver);
            ready(poll_once(&mut sender.closed()).await);
            assert_eq!(sender.send(()), Err(()));
        }
        // A wait for the end: the channel works as before, and so does the next such wait.
        for polls in 0..3 {
            let (mut sender, mut receiver) = oneshot::channel();
            let mut closed = sender.closed();
            for _ in 0..polls {
                assert!(is_pending(&mut closed).await);
            }
            drop(closed);
            let waits = spawn(async move {
                sender.closed().await;
                sender.send("soup")
            });
            let_others_run().await;
            receiver.close();
            assert_eq!(waits.await.unwrap(), Err("soup"));
        }
    });
}

#[test]
fn no_message_is_lost_by_a_drop_at_any_await_of_a_sender() {
    in_every_order(|| async {
        let (sender, mut receiver) = mpsc::channel(1);
        let received = Rc::new(RefCell::new(Vec::new()));
        let receives = spawn({
            let received = Rc::clone(&received);
            async move {
                while let Some(number) = receiver.recv().await {
                    received.borrow_mut().push(number);
                    yield_now().await;
                }
            }
        });
        let sent = RefCell::new(Vec::new());
        let (next, sent) = (Cell::new(0), &sent);
        let number = || next.replace(next.get() + 1);
        let send_all_ways = async || {
            for _ in 0..3 {
                let message = number();
                sender.send(message).await.unwrap();
                sent.borrow_mut().push(message);
                let room = sender.reserve().await.unwrap();
                yield_now().await;
                let message = number();
                room.send(message);
                sent.borrow_mut().push(message);
            }
        };
        let check = async || {
            let message = number();
            sender.send(message).await.unwrap();
            sent.borrow_mut().push(message);
            let_others_run().await;
            assert_eq!(*received.borrow(), *sent.borrow());
            assert_eq!(sender.capacity(), 1);
        };
        drop_at_every_await(5, send_all_ways, check).await;
        // And a wait for the end.
        let mut closed = sender.closed();
        assert!(is_pending(&mut closed).await);
        drop(closed);
        check().await;
        drop(sender);
        receives.await.unwrap();
    });
}

#[test]
fn no_message_is_lost_by_a_drop_at_any_await_of_a_receiver() {
    in_every_order(|| async {
        let (sender, receiver) = mpsc::channel(2);
        let sends = spawn(async move {
            let mut number = 0;
            while sender.send(number).await.is_ok() {
                number += 1;
                for _ in 0..number % 3 {
                    yield_now().await;
                }
            }
        });
        let (receiver, received) = (Mutex::new(receiver), RefCell::new(Vec::new()));
        let receive_five = async || {
            for _ in 0..5 {
                let number = receiver.lock().await.recv().await.unwrap();
                received.borrow_mut().push(number);
                yield_now().await;
            }
        };
        let check = async || {
            let number = receiver.lock().await.recv().await.unwrap();
            received.borrow_mut().push(number);
            assert!(received.borrow().iter().copied().eq(0..=number), "{received:?}");
        };
        drop_at_every_await(5, receive_five, check).await;
        drop(receiver);
        sends.await.unwrap();
    });
}

/// Each waiter is a task, and each lets the next continue. In quadratic time this would take many minutes.
#[test]
fn a_hundred_thousand_tasks_that_wait_are_served_in_order_and_in_linear_time() {
    const MANY: usize = 100_000;
    /// Spawns so many tasks, of which each notes its number once it has got what it waits for.
    fn crowd<F: Future<Output = ()> + 'static>(
        wait: impl Fn(usize) -> F,
    ) -> (Vec<JoinHandle<()>>, Order) {
        let order = Order::default();
        let wait = |number| {
            let (order, wait) = (Rc::clone(&order), wait(number));
            async move {
                wait.await;
                order.borrow_mut().push(number);
            }
        };
        ((0..MANY).map(|number| spawn(wait(number))).collect(), order)
    }
    async fn served((tasks, order): (Vec<JoinHandle<()>>, Order)) {
        for task in tasks {
            task.await.unwrap();
        }
        assert!(order.take().into_iter().eq(0..MANY), "in order");
    }
    type Order = Rc<RefCell<Vec<usize>>>;

    in_loop(|| async {
        let semaphore = Rc::new(Semaphore::new(0));
        let waiting = crowd(|_| {
            let semaphore = Rc::clone(&semaphore);
            async move { drop(semaphore.acquire().await.unwrap()) }
        });
        let_others_run().await;
        semaphore.add_permits(1);
        served(waiting).await;
    });
    in_loop(|| async {
        let notify = Rc::new(Notify::new());
        let wait = || {
            crowd(|_| {
                let notify = Rc::clone(&notify);
                async move { notify.notified().await }
            })
        };
        let waiting = wait();
        let_others_run().await;
        notify.notify_waiters();
        served(waiting).await;
        let waiting = wait();
        let_others_run().await;
        for _ in 0..MANY {
            notify.notify_one();
        }
        served(waiting).await;
    });
    in_loop(|| async {
        let (sender, mut receiver) = mpsc::channel(1);
        let waiting = crowd(|number| {
            let sender = sender.clone();
            async move {
                if number % 2 == 0 {
                    sender.send(number).await.unwrap();
                } else {
                    sender.reserve().await.unwrap().send(number);
                }
            }
        });
        let_others_run().await;
        for number in 0..MANY {
            assert_eq!(receiver.recv().await, Some(number));
        }
        served(waiting).await;
        // And all wait for the end.
        let waiting = crowd(|_| {
            let sender = sender.clone();
            async move { sender.closed().await }
        });
        let_others_run().await;
        receiver.close();
        served(waiting).await;
    });
}
