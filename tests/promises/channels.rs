//! What `headwaiter::sync::mpsc` promises beyond sending and receiving one message: weak senders, many messages at once, room
//! that is reserved, and sends with a time limit. A test for each.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::budget::is_refused;
use crate::support::wakers::Foreign;
use crate::support::*;
use crate::sync::{drop_at_every_await, is_pending, let_others_run, poll_with, ready, wrapped};
use futures_lite::future::zip;
use headwaiter::spawn;
use headwaiter::sync::mpsc::error::{SendTimeoutError, TryRecvError, TrySendError};
use headwaiter::sync::mpsc::{self, Permit};
use headwaiter::task::yield_now;
use headwaiter::time::sleep;

#[test]
fn a_weak_sender_does_not_keep_its_channel_open() {
    in_every_order(|| async {
        let (orders, mut kitchen) = mpsc::channel(1);
        let weak = orders.downgrade();
        let receives = spawn(async move { kitchen.recv().await });
        let_others_run().await;
        drop(orders);
        assert_eq!(receives.await.unwrap(), None::<u8>);
        assert!(weak.upgrade().is_none());

        let (orders, mut kitchen) = mpsc::unbounded_channel();
        let weak = orders.downgrade();
        orders.send(1).unwrap();
        drop(orders);
        assert!(weak.upgrade().is_none(), "also while there are messages");
        assert_eq!((kitchen.recv().await, kitchen.recv().await), (Some(1), None));
    });
}

#[test]
fn a_weak_sender_becomes_a_sender_while_there_is_one() {
    in_every_order(|| async {
        let (orders, mut kitchen) = mpsc::channel(1);
        let weak = orders.downgrade();
        let upgraded = weak.upgrade().unwrap();
        assert!(upgraded.same_channel(&orders));
        drop(orders);
        let again = weak.clone().upgrade().unwrap();
        upgraded.send("soup").await.unwrap();
        assert_eq!(kitchen.recv().await, Some("soup"));
        drop((upgraded, again));
        assert_eq!(kitchen.recv().await, None);

        let (orders, kitchen) = mpsc::unbounded_channel();
        let weak = orders.downgrade();
        assert!(weak.upgrade().unwrap().same_channel(&orders));
        // As in tokio, whether the receiver is there does not matter.
        drop(kitchen);
        assert!(weak.upgrade().unwrap().send(1).is_err());
    });
}

#[test]
fn senders_of_both_kinds_are_counted() {
    let (orders, kitchen) = mpsc::channel::<u8>(1);
    let counts = || (kitchen.sender_strong_count(), kitchen.sender_weak_count());
    assert_eq!(counts(), (1, 0));
    let (more, weak) = (orders.clone(), orders.downgrade());
    let weaker = weak.clone();
    assert_eq!((counts(), orders.strong_count(), orders.weak_count()), ((2, 2), 2, 2));
    assert_eq!((weak.strong_count(), weak.weak_count()), (2, 2));
    let upgraded = weak.upgrade();
    assert_eq!(counts(), (3, 2));
    // A permit that contains the sender counts as one, as in tokio.
    let room = more.try_reserve_owned().unwrap();
    assert_eq!(counts(), (3, 2));
    drop((room, upgraded, weaker));
    assert_eq!(counts(), (1, 1));
    assert_eq!(format!("{weak:?}"), "WeakSender { strong_count: 1, .. }");
    drop(orders);
    assert_eq!((counts(), weak.strong_count()), ((0, 1), 0));

    let (bell, waiter) = mpsc::unbounded_channel::<u8>();
    let weak = bell.downgrade();
    assert_eq!((bell.strong_count(), bell.weak_count()), (1, 1));
    assert_eq!((weak.strong_count(), weak.weak_count()), (1, 1));
    assert_eq!((waiter.sender_strong_count(), waiter.sender_weak_count()), (1, 1));
}

#[headwaiter::test(within = "60s")]
async fn a_message_may_have_a_weak_sender_of_its_channel() {
    let _beside_others = beside_other_tests();
    struct Order(mpsc::WeakSender<Order>, Rc<Cell<u32>>);
    impl Drop for Order {
        fn drop(&mut self) {
            assert!(self.0.upgrade().is_none_or(|sender| sender.is_closed()));
            self.1.set(self.1.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let (orders, kitchen) = mpsc::channel(2);
    for _ in 0..2 {
        orders.try_send(Order(orders.downgrade(), Rc::clone(&dropped))).unwrap();
    }
    drop(kitchen);
    assert_eq!((dropped.get(), orders.weak_count()), (2, 0));
}

#[test]
fn the_unbounded_channel_has_both_names() {
    let (bell, mut waiter) = mpsc::unbounded();
    bell.send(1).unwrap();
    assert_eq!(waiter.try_recv(), Ok(1));
    let (bell, mut waiter) = mpsc::unbounded_channel();
    bell.send(1).unwrap();
    assert_eq!((waiter.try_recv(), waiter.max_capacity() - waiter.capacity()), (Ok(1), 0));
}

#[headwaiter::test(within = "60s")]
async fn a_receiver_says_how_much_room_there_is() {
    let _beside_others = beside_other_tests();
    let (orders, mut kitchen) = mpsc::channel(2);
    orders.try_send(1).unwrap();
    assert_eq!((kitchen.capacity(), kitchen.max_capacity()), (1, 2));
    assert_eq!((kitchen.len(), kitchen.is_empty()), (1, false));
    let mut many = orders.reserve_many(2);
    assert!(is_pending(&mut many).await);
    assert_eq!(kitchen.capacity(), 0, "the room that is left is not for others");
    assert_eq!(kitchen.try_recv(), Ok(1));
    drop(many.await);
    assert_eq!((kitchen.capacity(), kitchen.is_closed()), (2, false));
    drop(orders);
    assert!(kitchen.is_closed());
}

#[test]
fn recv_many_takes_what_is_there_up_to_the_limit_and_appends_it() {
    in_every_order(|| async {
        let (orders, mut kitchen) = mpsc::channel(4);
        for dish in 1..=4 {
            orders.send(dish).await.unwrap();
        }
        let mut tray = vec![0];
        assert_eq!(kitchen.recv_many(&mut tray, 3).await, 3);
        assert_eq!(tray, [0, 1, 2, 3]);
        assert_eq!(kitchen.recv_many(&mut tray, 3).await, 1, "it does not wait for more than one");
        assert_eq!(tray, [0, 1, 2, 3, 4]);
        orders.send(5).await.unwrap();
        drop(orders);
        assert_eq!(kitchen.recv_many(&mut tray, usize::MAX).await, 1);
        assert_eq!(kitchen.recv_many(&mut tray, 1).await, 0, "the end");
        assert_eq!(tray, [0, 1, 2, 3, 4, 5]);
    });
}

#[headwaiter::test(within = "60s")]
async fn recv_many_of_none_is_ready_at_once_and_takes_nothing() {
    let _beside_others = beside_other_tests();
    let (bell, mut waiter) = mpsc::unbounded_channel();
    let mut tray = Vec::new();
    assert_eq!(ready(poll_once(&mut waiter.recv_many(&mut tray, 0)).await), 0);
    bell.send(1).unwrap();
    assert_eq!(ready(poll_once(&mut waiter.recv_many(&mut tray, 0)).await), 0);
    assert_eq!((tray.len(), waiter.len()), (0, 1));
}

#[test]
fn recv_many_waits_for_a_message_and_makes_room_for_waiting_senders() {
    in_every_order(|| async {
        let (orders, mut kitchen) = mpsc::channel(2);
        let sends: Vec<_> = (0..5)
            .map(|dish| {
                let orders = orders.clone();
                spawn(async move { orders.send(dish).await.unwrap() })
            })
            .collect();
        drop(orders);
        let (mut tray, mut calls) = (Vec::new(), 0);
        while kitchen.recv_many(&mut tray, 10).await > 0 {
            calls += 1;
        }
        tray.sort_unstable();
        assert_eq!(tray, [0, 1, 2, 3, 4]);
        assert!((3..=5).contains(&calls), "two at most fit in: {calls}");
        for send in sends {
            send.await.unwrap();
        }
    });
}

#[headwaiter::test(within = "60s")]
async fn recv_many_of_a_closed_channel_waits_for_the_room_that_is_reserved() {
    let _beside_others = beside_other_tests();
    let (orders, mut kitchen) = mpsc::channel(2);
    let room = orders.reserve().await.unwrap();
    kitchen.close();
    let mut tray = Vec::new();
    assert!(is_pending(&mut kitchen.recv_many(&mut tray, 2)).await);
    room.send("soup");
    assert_eq!(kitchen.recv_many(&mut tray, 2).await, 1);
    assert_eq!(kitchen.recv_many(&mut tray, 2).await, 0);
    assert_eq!(tray, ["soup"]);
}

#[test]
fn a_recv_many_that_is_dropped_has_received_nothing() {
    in_every_order(|| async {
        let (bell, mut waiter) = mpsc::unbounded_channel();
        let mut tray = Vec::new();
        assert!(is_pending(&mut waiter.recv_many(&mut tray, 2)).await);
        bell.send(1).unwrap();
        bell.send(2).unwrap();
        {
            let mut refused = waiter.recv_many(&mut tray, 2);
            assert!(is_refused(&mut refused).await);
        }
        assert_eq!((tray.len(), waiter.len()), (0, 2));
        // One unit of the budget for all of them.
        let both = poll_fn(|cx| waiter.poll_recv_many(cx, &mut tray, 10)).await;
        assert_eq!((both, tray), (2, vec![1, 2]));
    });
}

#[headwaiter::test(within = "60s")]
async fn a_waker_of_recv_many_is_woken_and_told_where_it_waits() {
    let _beside_others = beside_other_tests();
    let (bell, mut waiter) = mpsc::unbounded_channel();
    let task = spawn(async move {
        let mut tray = Vec::new();
        wrapped(waiter.recv_many(&mut tray, 2)).await;
        waiter.recv_many(&mut tray, 2).await;
        tray
    });
    let_others_run().await;
    bell.send(1).unwrap();
    let_others_run().await;
    let dump = headwaiter::dump().to_string();
    assert!(dump.contains("waits for a message, at tests/promises/channels.rs:"), "{dump}");
    bell.send(2).unwrap();
    assert_eq!(task.await.unwrap(), [1, 2]);
}

#[test]
fn an_owned_permit_gives_its_sender_back() {
    in_every_order(|| async {
        let (orders, mut kitchen) = mpsc::channel(1);
        let other = orders.clone();
        let room = orders.reserve_owned().await.unwrap();
        assert_eq!(other.try_send("fish"), Err(TrySendError::Full("fish")));
        assert!(room.same_channel_as_sender(&other));
        let orders = spawn(async move { room.send("soup") }).await.unwrap();
        assert!(orders.same_channel(&other));
        assert_eq!(kitchen.recv().await, Some("soup"));
        let orders = orders.reserve_owned().await.unwrap().release();
        assert_eq!(orders.capacity(), 1);
        // Dropped, it gives the room back and drops the sender.
        drop(orders.try_reserve_owned().unwrap());
        assert_eq!((other.capacity(), other.strong_count()), (1, 1));
        drop(other);
        assert_eq!(kitchen.recv().await, None);
    });
}

#[test]
fn owned_permits_know_their_channel() {
    let ((one, _one), (two, _two)) = (mpsc::channel::<u8>(2), mpsc::channel::<u8>(1));
    let (first, second) =
        (one.clone().try_reserve_owned().unwrap(), one.clone().try_reserve_owned().unwrap());
    let third = two.clone().try_reserve_owned().unwrap();
    assert!(first.same_channel(&second) && !first.same_channel(&third));
    assert!(first.same_channel_as_sender(&one) && !first.same_channel_as_sender(&two));
    assert_eq!(format!("{first:?}"), "OwnedPermit");
}

#[test]
fn try_reserve_owned_gives_the_sender_back_if_there_is_no_room() {
    let (orders, kitchen) = mpsc::channel(1);
    orders.try_send(1).unwrap();
    let Err(TrySendError::Full(orders)) = orders.try_reserve_owned() else { panic!("it is full") };
    drop(kitchen);
    let closed = orders.try_reserve_owned();
    let Err(TrySendError::Closed(orders)) = closed else { panic!("it is closed") };
    assert_eq!(orders.strong_count(), 1);
}

#[test]
fn reserve_owned_of_a_closed_channel_is_an_error_and_drops_the_sender() {
    in_every_order(|| async {
        let (orders, mut kitchen) = mpsc::channel(1);
        orders.send(1).await.unwrap();
        let waits = spawn(orders.clone().reserve_owned());
        let_others_run().await;
        kitchen.close();
        assert!(waits.await.unwrap().is_err());
        assert_eq!(orders.strong_count(), 1);
    });
}

#[test]
fn a_reserve_owned_that_is_dropped_leaves_its_room_to_the_next() {
    in_every_order(|| async {
        let (orders, mut kitchen) = mpsc::channel(1);
        orders.send(1).await.unwrap();
        let mut gone = orders.clone().reserve_owned();
        let mut next = orders.reserve_owned();
        assert!(is_pending(&mut gone).await);
        assert!(is_pending(&mut next).await);
        assert_eq!(kitchen.recv().await, Some(1));
        assert!(is_pending(&mut next).await);
        drop(gone);
        drop(ready(poll_once(&mut next).await).unwrap().send(2));
        assert_eq!((kitchen.recv().await, kitchen.recv().await), (Some(2), None));
        let text = panic_text(|| drop(poll_with(Waker::noop(), &mut next)));
        assert!(text.contains("polled again after it was ready"), "{text}");
    });
}

#[test]
fn reserve_many_waits_until_there_is_room_for_all_and_is_not_overtaken() {
    in_every_order(|| async {
        let (orders, mut kitchen) = mpsc::channel(3);
        for dish in 1..=2 {
            orders.try_send(dish).unwrap();
        }
        let mut many = pin!(orders.reserve_many(3));
        assert!(is_pending(&mut many).await);
        let mut late = pin!(orders.send(9));
        assert!(is_pending(&mut late).await, "room for one is there, but it is not its turn");
        assert_eq!(kitchen.recv().await, Some(1));
        assert!(is_pending(&mut many).await);
        assert_eq!(kitchen.recv().await, Some(2));
        let mut room = many.await.unwrap();
        assert_eq!((room.len(), room.size_hint()), (3, (3, Some(3))));
        room.next().unwrap().send(3);
        assert_eq!(format!("{room:?}"), "PermitIterator { left: 2, .. }");
        drop(room); // The rest is given back, and the late one is granted one of two.
        late.await.unwrap();
        assert_eq!(orders.capacity(), 1);
        assert_eq!((kitchen.recv().await, kitchen.recv().await), (Some(3), Some(9)));
    });
}

#[headwaiter::test(within = "60s")]
async fn permits_of_an_iterator_are_used_in_any_order_and_outlive_it() {
    let _beside_others = beside_other_tests();
    let (orders, mut kitchen) = mpsc::channel(3);
    let mut room = orders.try_reserve_many(3).unwrap();
    let permits: Vec<Permit<'_, u8>> = room.by_ref().collect();
    assert!(room.next().is_none() && room.next().is_none());
    drop(room);
    assert_eq!(orders.capacity(), 0);
    for (permit, dish) in permits.into_iter().rev().zip([1, 2, 3]) {
        permit.send(dish);
    }
    let mut tray = Vec::new();
    kitchen.recv_many(&mut tray, 3).await;
    assert_eq!((tray, orders.capacity()), (vec![1, 2, 3], 3));
}

#[headwaiter::test(within = "60s")]
async fn reserve_many_for_none_needs_no_room_and_for_too_many_is_an_error() {
    let _beside_others = beside_other_tests();
    let (orders, mut kitchen) = mpsc::channel(1);
    orders.try_send(1).unwrap();
    let mut waits = pin!(orders.reserve());
    assert!(is_pending(&mut waits).await);
    assert_eq!(orders.try_reserve_many(0).unwrap().len(), 0);
    assert_eq!(ready(poll_once(&mut pin!(orders.reserve_many(0))).await).unwrap().len(), 0);
    assert_eq!(orders.try_reserve_many(1).unwrap_err(), TrySendError::Full(()));
    assert_eq!(orders.try_reserve_many(2).unwrap_err(), TrySendError::Full(()));
    assert_eq!(orders.try_reserve_many(usize::MAX).unwrap_err(), TrySendError::Full(()));
    assert!(ready(poll_once(&mut pin!(orders.reserve_many(2))).await).is_err());
    let error = ready(poll_once(&mut pin!(orders.reserve_many(usize::MAX))).await).unwrap_err();
    // The channel is neither closed nor full, and the error must not say that it is.
    let why = "or can never hold so many messages";
    assert_eq!(error.to_string(), format!("the channel is closed, {why}"));
    let error = orders.try_reserve_many(2).unwrap_err();
    assert_eq!(error.to_string(), format!("the channel is full, {why}"));
    assert_eq!(orders.try_send(2).unwrap_err().to_string(), "the channel is full");
    kitchen.close();
    assert_eq!(orders.try_reserve_many(0).unwrap_err(), TrySendError::Closed(()));
    assert_eq!(orders.try_reserve_many(1).unwrap_err(), TrySendError::Closed(()));
    assert!(orders.reserve_many(0).await.is_err());
    assert!(orders.reserve_many(1).await.is_err());
}

#[test]
#[cfg(target_pointer_width = "64")]
fn more_room_at_once_than_can_be_counted_is_a_panic_that_says_so() {
    let many = u32::MAX as usize + 1;
    let (orders, _kitchen) = mpsc::channel::<u8>(many);
    let text = panic_text(|| drop(orders.reserve_many(many)));
    assert!(text.contains("reserve it in parts"), "{text}");
    assert!(panic_text(|| drop(orders.try_reserve_many(many))).contains("in parts"));
    assert_eq!(orders.try_reserve_many(many - 1).unwrap().len(), many - 1);
    assert_eq!(orders.capacity(), many);
}

#[test]
fn a_receiver_of_a_closed_channel_ends_when_the_last_of_many_permits_is_dropped() {
    in_every_order(|| async {
        let (orders, mut kitchen) = mpsc::channel(3);
        let mut room = orders.reserve_many(3).await.unwrap();
        kitchen.close();
        let receives = spawn(async move { (kitchen.recv().await, kitchen.recv().await) });
        room.next().unwrap().send(1);
        let_others_run().await;
        assert!(!receives.is_finished());
        drop(room);
        assert_eq!(receives.await.unwrap(), (Some(1), None));
    });
}

#[test]
fn no_room_is_lost_by_a_drop_at_any_await_of_a_reservation() {
    in_every_order(|| async {
        let (orders, kitchen) = mpsc::channel(2);
        let kitchen = RefCell::new(kitchen);
        let make = async || {
            let sends = async {
                let room = orders.reserve_many(2).await.unwrap();
                yield_now().await;
                room.for_each(|room| room.send(1));
                drop(orders.clone().reserve_owned().await.unwrap().send(2));
            };
            let receives = async {
                yield_now().await;
                yield_now().await;
                let mut tray = Vec::new();
                poll_fn(|cx| kitchen.borrow_mut().poll_recv_many(cx, &mut tray, 2)).await;
            };
            zip(sends, receives).await;
        };
        let check = async || {
            while kitchen.borrow_mut().try_recv().is_ok() {}
            assert_eq!((orders.capacity(), orders.strong_count()), (2, 1));
        };
        drop_at_every_await(2, make, check).await;
    });
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn send_timeout_sends_if_there_is_room_in_time() {
    let _beside_others = beside_other_tests();
    let (orders, mut kitchen) = mpsc::channel(1);
    assert_eq!(orders.send_timeout(1, Duration::ZERO).await, Ok(()), "there is room now");
    let receives = spawn(async move {
        sleep(ms(50)).await;
        (kitchen.recv().await, kitchen.recv().await, kitchen.recv().await)
    });
    assert_eq!(orders.send_timeout(2, ms(51)).await, Ok(()));
    drop(orders);
    assert_eq!(receives.await.unwrap(), (Some(1), Some(2), None));
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn send_timeout_gives_the_message_back_and_its_place_up() {
    let _beside_others = beside_other_tests();
    let (orders, mut kitchen) = mpsc::channel(1);
    orders.send("soup").await.unwrap();
    let mut limited = pin!(orders.send_timeout("fish", ms(20)));
    assert!(is_pending(&mut limited).await);
    let mut behind = pin!(orders.send("cake"));
    assert!(is_pending(&mut behind).await);
    let before = headwaiter::time::now();
    let error = limited.await.unwrap_err();
    assert_eq!(headwaiter::time::now() - before, ms(20));
    assert_eq!(error, SendTimeoutError::Timeout("fish"));
    assert_eq!(error.to_string(), "the channel stayed full until the time was over");
    assert_eq!((format!("{error:?}"), error.into_inner()), ("Timeout(..)".to_owned(), "fish"));
    assert_eq!(kitchen.recv().await, Some("soup"));
    behind.await.unwrap();
    assert_eq!(kitchen.recv().await, Some("cake"));

    drop(kitchen);
    let error = orders.send_timeout("soup", ms(20)).await.unwrap_err();
    assert_eq!(error, SendTimeoutError::Closed("soup"));
    assert_eq!(error.to_string(), "the channel is closed");
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn room_that_is_granted_at_the_deadline_is_used() {
    let _beside_others = beside_other_tests();
    let (orders, mut kitchen) = mpsc::channel(1);
    orders.send(1).await.unwrap();
    let limited = spawn({
        let orders = orders.clone();
        async move { orders.send_timeout(2, ms(10)).await }
    });
    yield_now().await;
    assert_eq!(kitchen.try_recv(), Ok(1));
    headwaiter::time::advance(ms(10)).await;
    assert_eq!(limited.await.unwrap(), Ok(()));
    assert_eq!(kitchen.try_recv(), Ok(2));
    assert_eq!(kitchen.try_recv(), Err(TryRecvError::Empty));
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_send_timeout_that_is_dropped_leaves_no_timer_and_its_room_to_the_next() {
    let _beside_others = beside_other_tests();
    let (orders, mut kitchen) = mpsc::channel(1);
    orders.send(1).await.unwrap();
    {
        let mut dropped = pin!(orders.send_timeout(2, ms(10)));
        assert!(is_pending(&mut dropped).await);
        assert_eq!(sources_and_timers().1, 1);
        assert_eq!(kitchen.recv().await, Some(1));
    }
    assert_eq!(sources_and_timers().1, 0);
    orders.try_send(3).unwrap();
}

#[test]
fn send_timeout_outside_any_loop_is_a_panic_that_says_so() {
    let (orders, _kitchen) = mpsc::channel(1);
    let text = panic_text(|| drop(orders.send_timeout(1, ms(1))));
    assert!(text.contains("event loop"), "{text}");
}

#[test]
fn what_is_reserved_works_without_a_loop() {
    let (orders, mut kitchen) = mpsc::channel(2);
    let mut many = pin!(orders.reserve_many(2));
    let room = ready(poll_with(Waker::noop(), &mut many)).unwrap();
    let waker = Foreign::new();
    let mut waits = orders.clone().reserve_owned();
    assert!(poll_with(&waker.clone().into(), &mut waits).is_pending());
    room.for_each(|room| room.send(1));
    let mut tray = Vec::new();
    let Poll::Ready(2) = poll_with(Waker::noop(), &mut kitchen.recv_many(&mut tray, 5)) else {
        panic!("two are there");
    };
    assert_eq!(waker.wakes(), 1);
    drop(ready(poll_with(Waker::noop(), &mut waits)).unwrap().send(2));
    assert_eq!(kitchen.try_recv(), Ok(2));
}
