//! What `headwaiter::sync::watch` promises, a test for each. Unless it says otherwise, a promise is tokio's too.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::support::wakers::{Foreign, foreign};
use crate::support::*;
use headwaiter::spawn;
use headwaiter::sync::watch;
use headwaiter::task::{unconstrained, yield_now};

#[test]
fn a_receiver_sees_the_latest_value_and_skips_what_it_did_not_look_at() {
    in_every_order(|| async {
        let (board, mut guest) = watch::channel(0);
        let seen = spawn(async move {
            let mut seen = Vec::new();
            while guest.changed().await.is_ok() {
                seen.push(*guest.borrow_and_update());
            }
            seen
        });
        for dish in 1..=100 {
            board.send(dish).unwrap();
            if dish % 10 == 0 {
                yield_now().await;
            }
        }
        drop(board);
        let seen = seen.await.unwrap();
        assert!(seen.is_sorted_by(|a, b| a < b) && seen.len() <= 11, "{seen:?}");
        assert_eq!(seen.last(), Some(&100));
    });
}

#[headwaiter::test(within = "60s")]
async fn the_first_value_is_seen_and_a_later_one_is_not_also_if_it_is_equal() {
    let _beside_others = beside_other_tests();
    let (board, mut guest) = watch::channel("soup");
    assert_eq!(guest.has_changed(), Ok(false));
    assert!(poll_once(&mut guest.changed()).await.is_pending());
    board.send("soup").unwrap();
    assert_eq!(guest.has_changed(), Ok(true));
    assert_eq!(*guest.borrow(), "soup"); // Which marks nothing.
    assert_eq!(guest.has_changed(), Ok(true));
    assert_eq!(guest.changed().await, Ok(()));
    assert_eq!(guest.has_changed(), Ok(false));
    board.send("fish").unwrap();
    assert_eq!(*guest.borrow_and_update(), "fish");
    assert_eq!(guest.has_changed(), Ok(false));
    // What subscribes sees the value that is there.
    assert_eq!(board.subscribe().has_changed(), Ok(false));
}

#[test]
fn a_clone_has_seen_what_the_original_has_and_goes_on_alone() {
    let (board, mut anna) = watch::channel(0);
    board.send(1).unwrap();
    let mut ben = anna.clone();
    anna.mark_unchanged();
    assert_eq!((anna.has_changed(), ben.has_changed()), (Ok(false), Ok(true)));
    ben.mark_unchanged();
    anna.mark_changed();
    assert_eq!((anna.has_changed(), ben.has_changed()), (Ok(true), Ok(false)));
    assert!(anna.same_channel(&ben) && !anna.same_channel(&watch::channel(0).1));
    assert!(board.same_channel(&board.clone()) && !board.same_channel(&watch::Sender::new(0)));
}

#[headwaiter::test(within = "60s")]
async fn a_value_that_is_marked_as_changed_ends_a_wait_at_once() {
    let _beside_others = beside_other_tests();
    let (_board, mut guest) = watch::channel(0);
    guest.mark_changed();
    guest.changed().await.unwrap();
    assert!(poll_once(&mut guest.changed()).await.is_pending());
}

#[test]
fn the_last_value_is_received_after_the_last_sender_is_gone_and_then_comes_the_error() {
    in_every_order(|| async {
        let (board, mut guest) = watch::channel("soup");
        let other = board.clone();
        assert_eq!(board.sender_count(), 2);
        let end = spawn(async move {
            let first = guest.changed().await;
            let last = *guest.borrow();
            // `has_changed` fails as soon as the channel is closed, whatever was seen.
            guest.mark_changed();
            let has_changed = guest.has_changed();
            guest.mark_unchanged();
            (first, last, has_changed, guest.changed().await, guest.is_closed())
        });
        drop(board);
        yield_now().await;
        other.send("fish").unwrap();
        drop(other);
        let (first, last, has_changed, end, is_closed) = end.await.unwrap();
        assert!(first.is_ok() && last == "fish" && end.is_err() && is_closed);
        assert_eq!(has_changed.unwrap_err().to_string(), "all senders are gone");
    });
}

#[test]
fn a_send_fails_without_a_receiver_and_changes_nothing_but_the_others_do() {
    let (board, guest) = watch::channel(0);
    assert!(!board.is_closed() && board.receiver_count() == 1);
    drop(guest);
    assert!(board.is_closed() && board.receiver_count() == 0);
    let error = board.send(1).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.0), ("the channel has no receiver", 1));
    assert_eq!(*board.borrow(), 0);
    assert_eq!(board.send_replace(2), 0);
    board.send_modify(|value| *value += 1);
    assert!(board.send_if_modified(|value| {
        *value += 1;
        true
    }));
    // A later receiver reopens the channel.
    let guest = board.subscribe();
    assert_eq!(*guest.borrow(), 4);
    assert!(board.send(5).is_ok());
}

#[headwaiter::test(within = "60s")]
async fn send_if_modified_tells_the_receivers_only_if_it_says_so() {
    let _beside_others = beside_other_tests();
    let (board, mut guest) = watch::channel(0);
    let waker = Foreign::new();
    let as_waker = waker.clone().into();
    let cx = &mut Context::from_waker(&as_waker);
    {
        let mut changed = pin!(guest.changed());
        assert!(changed.as_mut().poll(cx).is_pending());
        assert!(!board.send_if_modified(|value| {
            *value = 1;
            false
        }));
        assert!(changed.as_mut().poll(cx).is_pending());
        assert_eq!(waker.wakes(), 0);
    }
    // The change itself is there.
    assert_eq!((*guest.borrow(), guest.has_changed()), (1, Ok(false)));
}

#[test]
fn a_ref_says_whether_the_value_was_new_to_its_receiver() {
    let (board, mut guest) = watch::channel(0);
    board.send(1).unwrap();
    assert!(!board.borrow().has_changed(), "to the sender none is");
    assert!(guest.borrow().has_changed() && guest.borrow_and_update().has_changed());
    assert!(!guest.borrow().has_changed());
    assert_eq!(format!("{:?}", guest.borrow()), "Ref { value: 1, has_changed: false }");
}

#[headwaiter::test(within = "60s")]
async fn closed_waits_until_no_receiver_is_left_and_on_if_one_comes_first() {
    let _beside_others = beside_other_tests();
    let (board, guest) = watch::channel(0);
    let mut closed = board.closed();
    assert!(poll_once(&mut closed).await.is_pending());
    drop(guest);
    let guest = board.subscribe();
    assert!(poll_once(&mut closed).await.is_pending());
    drop(guest);
    closed.await;
    board.closed().await;
}

#[headwaiter::test(within = "60s")]
async fn wait_for_looks_at_the_present_value_first_also_if_it_was_seen() {
    let _beside_others = beside_other_tests();
    let (board, mut guest) = watch::channel(1);
    assert_eq!(*guest.wait_for(|value| *value == 1).await.unwrap(), 1);
    board.send(2).unwrap();
    let value = guest.wait_for(|value| *value == 2).await.unwrap();
    assert!(value.has_changed());
    drop(value);
    assert_eq!(guest.has_changed(), Ok(false), "which is seen then");
}

#[headwaiter::test(within = "60s")]
async fn wait_for_looks_at_each_value_once_and_marks_it_as_seen() {
    let _beside_others = beside_other_tests();
    let (board, mut guest) = watch::channel(0);
    let looked_at = RefCell::new(Vec::new());
    {
        let mut hot = guest.wait_for(|value| {
            looked_at.borrow_mut().push(*value);
            *value >= 10
        });
        for value in [1, 2, 3] {
            board.send(value).unwrap();
            assert!(poll_once(&mut hot).await.is_pending());
            assert!(poll_once(&mut hot).await.is_pending());
        }
    }
    assert_eq!(*looked_at.borrow(), [1, 2, 3]);
    assert_eq!(guest.has_changed(), Ok(false));
}

#[test]
fn wait_for_fails_at_the_end_after_it_has_looked_at_the_last_value() {
    in_every_order(|| async {
        let (board, mut guest) = watch::channel(0);
        let looked_at = Rc::new(RefCell::new(Vec::new()));
        let waiting = spawn({
            let looked_at = Rc::clone(&looked_at);
            async move {
                let look = |value: &i32| {
                    looked_at.borrow_mut().push(*value);
                    *value > 5
                };
                guest.wait_for(look).await.map(|value| *value)
            }
        });
        yield_now().await;
        board.send(5).unwrap();
        drop(board);
        assert!(waiting.await.unwrap().is_err());
        assert_eq!(looked_at.borrow().last(), Some(&5));
    });
    in_loop(|| async {
        let (board, mut guest) = watch::channel(6);
        drop(board);
        assert_eq!(*guest.wait_for(|value| *value > 5).await.unwrap(), 6);
    });
}

#[headwaiter::test(within = "60s")]
async fn a_dropped_wait_marks_nothing_as_seen() {
    let _beside_others = beside_other_tests();
    let (board, mut guest) = watch::channel(0);
    let mut changed = guest.changed();
    assert!(poll_once(&mut changed).await.is_pending());
    board.send(1).unwrap();
    drop(changed); // It was woken.
    assert_eq!(guest.changed().await, Ok(()));
    assert!(poll_once(&mut guest.changed()).await.is_pending());
}

#[headwaiter::test(within = "60s")]
async fn a_change_wakes_all_that_wait_in_the_order_in_which_they_began_to() {
    let _beside_others = beside_other_tests();
    let (board, guest) = watch::channel(0);
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let (mut guest, order) = (guest.clone(), Rc::clone(&order));
            spawn(async move {
                guest.changed().await.unwrap();
                order.borrow_mut().push(number);
            })
        })
        .collect();
    yield_now().await;
    board.send(1).unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(order.borrow().is_sorted() && order.borrow().len() == 20);
}

/// Unlike tokio: there, the send blocks the thread.
#[headwaiter::test(within = "60s")]
async fn a_send_while_the_value_is_borrowed_panics_with_the_place_and_the_channel_stays_usable() {
    let _beside_others = beside_other_tests();
    let (board, mut guest) = watch::channel(0);
    let held = guest.borrow();
    let line = line!() - 1;
    for text in [
        panic_text(|| board.send(1).unwrap()),
        panic_text(|| assert_eq!(board.send_replace(1), 0)),
        panic_text(|| board.send_modify(|value| *value = 1)),
    ] {
        let place = format!("watch.rs:{line}:");
        assert!(text.contains("while the value is borrowed") && text.contains(&place), "{text}");
    }
    assert_eq!(*held, 0);
    drop(held);
    assert_eq!(guest.has_changed(), Ok(false));
    board.send(2).unwrap();
    guest.changed().await.unwrap();
    assert_eq!(*guest.borrow(), 2);
}

#[headwaiter::test(within = "60s")]
async fn a_closure_that_panics_wakes_no_receiver_and_the_channel_stays_usable() {
    let _beside_others = beside_other_tests();
    let (board, mut guest) = watch::channel(0);
    let text = panic_text(|| {
        board.send_modify(|value| {
            *value = 1;
            burns("the soup");
        });
    });
    assert_eq!(text, "the soup is on fire");
    assert_eq!((*guest.borrow(), guest.has_changed()), (1, Ok(false)), "changed, not told");
    let mut waiting = Box::pin(guest.wait_for(|_| panic!("no taste")));
    let text = panic_text(|| {
        let _ = waiting.as_mut().poll(&mut Context::from_waker(&foreign(|| ())));
    });
    assert_eq!(text, "no taste");
    drop(waiting);
    board.send(2).unwrap();
    assert_eq!(*guest.wait_for(|value| *value == 2).await.unwrap(), 2);
}

#[headwaiter::test(within = "60s")]
async fn a_closure_that_uses_its_own_channel_is_told_what_it_may_not_do() {
    let _beside_others = beside_other_tests();
    let (board, mut guest) = watch::channel(0);
    let nested = |used: &dyn Fn()| panic_text(|| board.send_modify(|_| used()));
    for text in [
        nested(&|| board.send(1).unwrap()),
        nested(&|| assert_eq!(*board.borrow(), 0)),
        nested(&|| assert_eq!(*guest.borrow(), 0)),
    ] {
        assert!(text.contains("by the closure of `send_modify`"), "{text}");
    }
    let sending = board.clone();
    let mut waiting = Box::pin(guest.wait_for(|_| sending.send(1).is_ok()));
    let text = panic_text(|| {
        let _ = waiting.as_mut().poll(&mut Context::from_waker(&foreign(|| ())));
    });
    assert!(text.contains("in the closure of `wait_for`"), "{text}");
    drop(waiting);
    // What does not touch the value is allowed.
    board.send_modify(|value| {
        *value = board.receiver_count()
            + board.sender_count()
            + board.subscribe().same_channel(&guest) as usize;
    });
    assert_eq!(*guest.borrow_and_update(), 4);
}

/// Sends another value when it is dropped.
struct Sends(Option<watch::Sender<Option<Sends>>>);

impl Drop for Sends {
    fn drop(&mut self) {
        if let Some(board) = self.0.take() {
            board.send_replace(None);
        }
    }
}

#[headwaiter::test(within = "60s")]
async fn a_value_may_use_its_channel_when_it_is_dropped_or_panic() {
    let _beside_others = beside_other_tests();
    let (board, mut guest) = watch::channel(None);
    board.send_replace(Some(Sends(Some(board.clone()))));
    guest.mark_unchanged();
    board.send_replace(Some(Sends(None))); // Drops the first, which sends again.
    assert_eq!(guest.changed().await, Ok(()));
    assert!(guest.borrow().is_none());

    let (board, mut guest) = watch::channel(None);
    board.send_replace(Some(OnDrop(|| burns("the old soup"))));
    guest.mark_unchanged();
    let mut changed = Box::pin(guest.changed());
    assert!(poll_once(&mut changed).await.is_pending());
    assert_eq!(panic_text(|| drop(board.send(None))), "the old soup is on fire");
    assert_eq!(changed.await, Ok(())); // It was sent and told.
}

#[headwaiter::test(within = "60s")]
async fn a_receiver_that_begins_to_wait_after_a_change_waits_for_the_next() {
    let _beside_others = beside_other_tests();
    let (board, guest) = watch::channel(0);
    let mut early = Box::pin({
        let mut guest = guest.clone();
        async move { guest.changed().await }
    });
    let woken = Foreign::new();
    assert!(early.as_mut().poll(&mut Context::from_waker(&woken.clone().into())).is_pending());
    board.send(1).unwrap();
    assert_eq!(woken.take_wakes(), 1);
    let mut late = guest.clone();
    late.mark_unchanged();
    assert!(poll_once(&mut late.changed()).await.is_pending());
    assert_eq!(early.await, Ok(()));
}

#[test]
fn it_works_without_a_loop() {
    let (board, mut guest) = watch::channel(0);
    let woken = Foreign::new();
    let as_waker = woken.clone().into();
    let cx = &mut Context::from_waker(&as_waker);
    let mut changed = guest.changed();
    assert!(Pin::new(&mut changed).poll(cx).is_pending());
    board.send(1).unwrap();
    assert_eq!(woken.take_wakes(), 1);
    assert_eq!(Pin::new(&mut changed).poll(cx), Poll::Ready(Ok(())));
    drop(changed);
    let mut closed = board.closed();
    assert!(Pin::new(&mut closed).poll(cx).is_pending());
    drop(guest);
    assert_eq!(woken.take_wakes(), 1);
    assert!(Pin::new(&mut closed).poll(cx).is_ready());
}

#[headwaiter::test(within = "60s")]
async fn a_task_that_always_has_a_change_is_refused_when_its_budget_is_spent_and_misses_none() {
    let _beside_others = beside_other_tests();
    let (_board, mut guest) = watch::channel(0);
    let rounds = Rc::new(Cell::new(0));
    let other = spawn({
        let rounds = Rc::clone(&rounds);
        async move { rounds.get() }
    });
    for _ in 0..1000 {
        guest.mark_changed();
        guest.changed().await.unwrap();
        guest.wait_for(|_| true).await.unwrap();
        rounds.set(rounds.get() + 1);
    }
    assert_eq!(other.await.unwrap(), 64, "two operations each, of 128");
    // Without a budget it is one poll.
    let mut all = Box::pin(unconstrained(async {
        for _ in 0..1000 {
            guest.mark_changed();
            guest.changed().await.unwrap();
        }
    }));
    assert!(poll_fn(|cx| Poll::Ready(all.as_mut().poll(cx))).await.is_ready());
}

#[headwaiter::test(within = "60s")]
async fn a_refused_wait_that_is_dropped_marks_nothing() {
    let _beside_others = beside_other_tests();
    let (_board, mut guest) = watch::channel(0);
    for _ in 0..128 {
        guest.mark_changed();
        guest.changed().await.unwrap();
    }
    guest.mark_changed();
    assert!(poll_once(&mut guest.changed()).await.is_pending());
    assert_eq!(guest.has_changed(), Ok(true));
}

#[headwaiter::test(within = "60s")]
async fn a_dump_says_that_a_task_waits_for_a_change_and_where() {
    let _beside_others = beside_other_tests();
    let (board, mut guest) = watch::channel("soup");
    let task = spawn(async move { guest.changed().await });
    yield_now().await;
    let dump = headwaiter::dump().to_string();
    let waits = "waits for a change of a watched value, at tests/promises/watch.rs:";
    assert!(dump.contains(waits), "{dump}");
    board.send("fish").unwrap();
    task.await.unwrap().unwrap();
}
