//! What `headwaiter::sync::broadcast` promises, a test for each. Unless it says otherwise, a promise is tokio's too.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::support::random::Random;
use crate::support::wakers::Foreign;
use crate::support::*;
use headwaiter::spawn;
use headwaiter::sync::broadcast::error::{RecvError, TryRecvError};
use headwaiter::sync::broadcast::{self, Receiver, Sender};
use headwaiter::task::yield_now;

#[test]
fn each_receiver_gets_each_message_in_the_order_in_which_they_were_sent() {
    in_every_order(|| async {
        let (kitchen, first) = broadcast::channel(1024);
        let receivers: Vec<_> =
            std::iter::once(first).chain((0..9).map(|_| kitchen.subscribe())).collect();
        assert_eq!(kitchen.receiver_count(), 10);
        let tasks: Vec<_> = receivers
            .into_iter()
            .map(|mut waiter| {
                spawn(async move {
                    let mut got = Vec::new();
                    while let Ok(dish) = waiter.recv().await {
                        got.push(dish);
                    }
                    got
                })
            })
            .collect();
        for dish in 0..500 {
            assert_eq!(kitchen.send(dish), Ok(10));
            if dish % 7 == 0 {
                yield_now().await;
            }
        }
        drop(kitchen);
        for task in tasks {
            assert_eq!(task.await.unwrap(), (0..500).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_receiver_gets_what_is_sent_after_it_was_made() {
    let (kitchen, mut anna) = broadcast::channel(16);
    kitchen.send("soup").unwrap();
    let mut ben = kitchen.subscribe();
    let mut clara = anna.resubscribe(); // Wherever `anna` is.
    kitchen.send("fish").unwrap();
    assert_eq!((anna.try_recv(), anna.try_recv()), (Ok("soup"), Ok("fish")));
    assert_eq!((ben.try_recv(), clara.try_recv()), (Ok("fish"), Ok("fish")));
    assert_eq!(ben.try_recv(), Err(TryRecvError::Empty));
}

#[headwaiter::test(within = "60s")]
async fn a_receiver_that_lags_is_told_how_many_it_has_missed_and_goes_on_with_the_oldest() {
    let _beside_others = beside_other_tests();
    let (kitchen, mut slow) = broadcast::channel(4);
    let mut fast = kitchen.subscribe();
    for dish in 0..10 {
        assert_eq!(kitchen.send(dish), Ok(2));
        assert_eq!(fast.recv().await, Ok(dish));
    }
    assert_eq!((slow.len(), kitchen.len()), (10, 4));
    assert_eq!(slow.recv().await, Err(RecvError::Lagged(6)));
    assert_eq!(slow.len(), 4);
    assert_eq!(slow.recv().await, Ok(6));
    kitchen.send(10).unwrap();
    kitchen.send(11).unwrap(); // Pushes 7 out.
    assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(1)));
    for dish in 8..12 {
        assert_eq!(slow.try_recv(), Ok(dish));
    }
    assert_eq!(slow.try_recv(), Err(TryRecvError::Empty));
    let error = RecvError::Lagged(6);
    assert_eq!(
        error.to_string(),
        "the receiver was too slow and has missed 6 messages: it can go on with the next one, and a larger capacity lets it be slower"
    );
}

/// Unlike tokio: there, the memory for all messages is allocated at once.
#[test]
fn the_capacity_is_rounded_up_to_a_power_of_two() {
    for (capacity, kept) in [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1000, 1024)] {
        let (kitchen, mut waiter) = broadcast::channel(capacity);
        for dish in 0..kept {
            kitchen.send(dish).unwrap();
        }
        assert_eq!(waiter.resubscribe().try_recv(), Err(TryRecvError::Empty));
        assert_eq!(kitchen.len(), kept);
        kitchen.send(kept).unwrap();
        assert_eq!((kitchen.len(), waiter.try_recv()), (kept, Err(TryRecvError::Lagged(1))));
    }
    // The largest one needs no memory before there are messages. (tokio allocates all of it.)
    let (kitchen, mut waiter) = broadcast::channel(usize::MAX / 2);
    kitchen.send(1).unwrap();
    assert_eq!(waiter.try_recv(), Ok(1));
}

#[test]
fn a_capacity_that_is_none_is_refused_with_advice() {
    for text in [
        panic_text(|| drop(broadcast::channel::<()>(0))),
        panic_text(|| drop(Sender::<()>::new(0))),
    ] {
        assert!(text.contains("a capacity of 0") && text.contains("room for one"), "{text}");
    }
    let text = panic_text(|| drop(broadcast::channel::<()>(usize::MAX)));
    assert!(text.contains("more than `usize::MAX / 2`"), "{text}");
}

#[test]
fn a_send_without_a_receiver_gives_the_message_back_and_a_later_receiver_reopens_the_channel() {
    let (kitchen, waiter) = broadcast::channel(16);
    drop(waiter);
    let error = kitchen.send("soup").unwrap_err();
    assert_eq!((error.to_string().as_str(), error.0), ("the channel has no receiver", "soup"));
    assert!(kitchen.is_empty());
    let mut waiter = kitchen.subscribe();
    assert_eq!(kitchen.send("fish"), Ok(1));
    assert_eq!(waiter.try_recv(), Ok("fish"));
    assert_eq!(Sender::new(1).send("soup").unwrap_err().0, "soup");
}

#[test]
fn the_messages_that_are_left_are_received_after_the_last_sender_is_gone() {
    in_every_order(|| async {
        let (kitchen, mut waiter) = broadcast::channel(16);
        let other = kitchen.clone();
        assert_eq!((kitchen.strong_count(), waiter.sender_strong_count()), (2, 2));
        let served = spawn(async move {
            let mut got = Vec::new();
            loop {
                match waiter.recv().await {
                    Ok(dish) => got.push(dish),
                    Err(error) => return (got, error, waiter.is_closed()),
                }
            }
        });
        yield_now().await;
        kitchen.send("soup").unwrap();
        drop(kitchen);
        other.send("fish").unwrap();
        drop(other);
        assert_eq!(served.await.unwrap(), (vec!["soup", "fish"], RecvError::Closed, true));
    });
}

#[test]
fn a_weak_sender_does_not_keep_the_channel_open() {
    let (kitchen, mut waiter) = broadcast::channel(16);
    let weak = kitchen.downgrade();
    let other = weak.clone();
    assert_eq!((kitchen.weak_count(), weak.weak_count(), waiter.sender_weak_count()), (2, 2, 2));
    drop(other);
    let strong = weak.upgrade().unwrap();
    assert_eq!((weak.strong_count(), weak.weak_count()), (2, 1));
    assert!(strong.same_channel(&kitchen) && waiter.same_channel(&kitchen.subscribe()));
    drop(kitchen);
    strong.send("soup").unwrap();
    assert!(!waiter.is_closed());
    drop(strong);
    assert!(waiter.is_closed() && weak.upgrade().is_none());
    assert_eq!((waiter.try_recv(), waiter.try_recv()), (Ok("soup"), Err(TryRecvError::Closed)));
}

#[headwaiter::test(within = "60s")]
async fn closed_waits_until_no_receiver_is_left_and_on_if_one_comes_first() {
    let _beside_others = beside_other_tests();
    let (kitchen, waiter) = broadcast::channel::<()>(1);
    let mut closed = kitchen.closed();
    assert!(poll_once(&mut closed).await.is_pending());
    drop(waiter);
    let waiter = kitchen.subscribe();
    assert!(poll_once(&mut closed).await.is_pending());
    drop(waiter);
    closed.await;
}

#[test]
fn a_message_is_dropped_when_all_have_got_it_or_those_that_have_not_are_gone() {
    let (kitchen, mut anna) = broadcast::channel(16);
    let (mut ben, clara) = (kitchen.subscribe(), kitchen.subscribe());
    let dish = Rc::new(());
    let left = || Rc::strong_count(&dish) - 1;
    for _ in 0..3 {
        kitchen.send(Rc::clone(&dish)).unwrap();
    }
    assert_eq!((left(), kitchen.len()), (3, 3));
    drop(clara);
    anna.try_recv().unwrap();
    assert_eq!((left(), kitchen.len()), (3, 3));
    ben.try_recv().unwrap();
    assert_eq!((left(), kitchen.len(), anna.len(), ben.len()), (2, 2, 2, 2));
    drop(ben);
    assert_eq!((left(), kitchen.len()), (2, 2));
    drop(anna);
    assert_eq!((left(), kitchen.len()), (0, 0));
}

/// Counts its clones. (tokio clones for the last receiver too.)
struct Counted(Rc<Cell<usize>>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.set(self.0.get() + 1);
        Counted(Rc::clone(&self.0))
    }
}

/// Unlike tokio: there, it gets a clone too.
#[test]
fn the_last_receiver_gets_the_message_itself() {
    let (kitchen, mut anna) = broadcast::channel(16);
    let mut ben = kitchen.subscribe();
    let clones = Rc::new(Cell::new(0));
    assert!(kitchen.send(Counted(Rc::clone(&clones))).is_ok());
    assert!(anna.try_recv().is_ok());
    assert_eq!(clones.get(), 1);
    assert!(ben.try_recv().is_ok());
    assert_eq!(clones.get(), 1);
}

/// Calls a function when it is cloned, and another when it is dropped.
struct Message {
    number: usize,
    cloned: Rc<dyn Fn(usize)>,
    dropped: Rc<dyn Fn(usize)>,
}

impl Message {
    fn cloning(number: usize, cloned: impl Fn(usize) + 'static) -> Self {
        Message { number, cloned: Rc::new(cloned), dropped: Rc::new(|_| ()) }
    }

    fn dropping(number: usize, dropped: Rc<dyn Fn(usize)>) -> Self {
        Message { number, cloned: Rc::new(|_| ()), dropped }
    }

    fn plain(number: usize) -> Self {
        Message::cloning(number, |_| ())
    }
}

impl Clone for Message {
    fn clone(&self) -> Self {
        (self.cloned)(self.number);
        // What is dropped is the original only.
        Message::plain(self.number)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        (self.dropped)(self.number);
    }
}

fn numbers(receiver: &mut Receiver<Message>) -> Vec<Result<usize, TryRecvError>> {
    let mut got = Vec::new();
    loop {
        got.push(receiver.try_recv().map(|message| message.number));
        if let Some(Err(TryRecvError::Empty | TryRecvError::Closed)) = got.last() {
            return got;
        }
    }
}

#[test]
fn a_clone_that_panics_costs_its_receiver_the_message_and_the_others_nothing() {
    let (kitchen, mut anna) = broadcast::channel(16);
    let mut ben = kitchen.subscribe();
    let panics = Cell::new(true);
    let burn = move |_| {
        if panics.replace(false) {
            burns("the soup");
        }
    };
    kitchen.send(Message::cloning(0, burn)).ok().unwrap();
    kitchen.send(Message::plain(1)).ok().unwrap();
    assert_eq!(panic_text(|| drop(anna.try_recv())), "the soup is on fire");
    assert_eq!(numbers(&mut anna), [Ok(1), Err(TryRecvError::Empty)]);
    assert_eq!(numbers(&mut ben), [Ok(0), Ok(1), Err(TryRecvError::Empty)]);
    assert!(kitchen.is_empty());
}

#[test]
fn a_clone_may_use_the_channel_and_even_push_its_message_out() {
    let (kitchen, mut anna) = broadcast::channel(2);
    let mut ben = kitchen.subscribe();
    let sending = kitchen.clone();
    let send = move |number| {
        for more in 1..=3 {
            sending.send(Message::plain(number + more)).ok().unwrap();
        }
        drop(sending.subscribe());
    };
    kitchen.send(Message::cloning(0, send)).ok().unwrap();
    assert_eq!(anna.try_recv().ok().unwrap().number, 0);
    let lagged = |missed| Err(TryRecvError::Lagged(missed));
    assert_eq!(numbers(&mut anna), [lagged(1), Ok(2), Ok(3), Err(TryRecvError::Empty)]);
    assert_eq!(numbers(&mut ben), [lagged(2), Ok(2), Ok(3), Err(TryRecvError::Empty)]);

    // It drops the other receivers of the message.
    let (kitchen, mut anna) = broadcast::channel(2);
    let ben = RefCell::new(Some(kitchen.subscribe()));
    kitchen.send(Message::cloning(0, move |_| drop(ben.take()))).ok().unwrap();
    assert_eq!(numbers(&mut anna), [Ok(0), Err(TryRecvError::Empty)]);
    assert!(kitchen.is_empty() && kitchen.receiver_count() == 1);
}

#[test]
fn a_clone_that_receives_its_own_message_again_panics_and_the_message_stays() {
    let (kitchen, mut anna) = broadcast::channel(2);
    let ben = Rc::new(RefCell::new(kitchen.subscribe()));
    let receive = {
        let ben = Rc::clone(&ben);
        move |_| drop(ben.borrow_mut().try_recv())
    };
    kitchen.send(Message::cloning(0, receive)).ok().unwrap();
    let text = panic_text(|| drop(anna.try_recv()));
    assert!(text.contains("that is being cloned"), "{text}");
    assert_eq!(numbers(&mut ben.borrow_mut()), [Ok(0), Err(TryRecvError::Empty)]);
    assert!(kitchen.is_empty());
}

#[test]
fn a_message_may_use_the_channel_when_it_is_dropped_or_panic() {
    let (kitchen, mut anna) = broadcast::channel(1);
    let sending = kitchen.clone();
    let send = Rc::new(move |number| {
        sending.send(Message::plain(number + 10)).ok().unwrap();
    });
    kitchen.send(Message::dropping(0, send)).ok().unwrap();
    kitchen.send(Message::plain(1)).ok().unwrap(); // Pushes 0 out, which pushes 1 out.
    assert_eq!(
        numbers(&mut anna),
        [Err(TryRecvError::Lagged(2)), Ok(10), Err(TryRecvError::Empty)]
    );
    let burn = Rc::new(|_| burns("the soup"));
    kitchen.send(Message::dropping(0, burn)).ok().unwrap();
    let (mut late, woken) = (kitchen.subscribe(), Foreign::new());
    let as_waker = woken.clone().into();
    let mut receiving = late.recv();
    assert!(Pin::new(&mut receiving).poll(&mut Context::from_waker(&as_waker)).is_pending());
    assert_eq!(panic_text(|| drop(kitchen.send(Message::plain(2)))), "the soup is on fire");
    assert_eq!(woken.wakes(), 1); // It was sent and told all the same.
    assert_eq!(numbers(&mut anna), [Err(TryRecvError::Lagged(1)), Ok(2), Err(TryRecvError::Empty)]);
}

#[test]
fn a_receiver_that_is_dropped_drops_what_only_it_had_not_got_while_nothing_is_borrowed() {
    let (kitchen, anna) = broadcast::channel(4);
    let ben = kitchen.subscribe();
    let dropped = Rc::new(RefCell::new(Vec::new()));
    for number in 0..3 {
        let (dropped, using) = (Rc::clone(&dropped), kitchen.clone());
        let note = Rc::new(move |number| dropped.borrow_mut().push((number, using.len())));
        kitchen.send(Message::dropping(number, note)).ok().unwrap();
    }
    drop(ben);
    assert_eq!(dropped.borrow().len(), 0);
    drop(anna);
    assert_eq!(*dropped.borrow(), [(0, 0), (1, 0), (2, 0)]);
}

#[headwaiter::test(within = "60s")]
async fn a_dropped_receive_has_received_nothing() {
    let _beside_others = beside_other_tests();
    let (kitchen, mut waiter) = broadcast::channel(4);
    let mut receiving = waiter.recv();
    assert!(poll_once(&mut receiving).await.is_pending());
    kitchen.send("soup").unwrap();
    drop(receiving); // It was woken.
    assert_eq!(waiter.recv().await, Ok("soup"));
}

#[headwaiter::test(within = "60s")]
async fn a_send_wakes_those_that_wait_in_the_order_in_which_they_began_to() {
    let _beside_others = beside_other_tests();
    let (kitchen, _idle) = broadcast::channel(4);
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let (mut waiter, order) = (kitchen.subscribe(), Rc::clone(&order));
            spawn(async move {
                waiter.recv().await.unwrap();
                order.borrow_mut().push(number);
            })
        })
        .collect();
    yield_now().await;
    kitchen.send("soup").unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(order.borrow().is_sorted() && order.borrow().len() == 20);
}

#[test]
fn it_works_without_a_loop() {
    let (kitchen, mut waiter) = broadcast::channel(4);
    let woken = Foreign::new();
    let as_waker = woken.clone().into();
    let cx = &mut Context::from_waker(&as_waker);
    let mut receiving = waiter.recv();
    assert!(Pin::new(&mut receiving).poll(cx).is_pending());
    kitchen.send("soup").unwrap();
    assert_eq!(woken.take_wakes(), 1);
    assert_eq!(Pin::new(&mut receiving).poll(cx), Poll::Ready(Ok("soup")));
    assert!(Pin::new(&mut receiving).poll(cx).is_pending());
    drop(kitchen);
    assert_eq!(woken.take_wakes(), 1);
    assert_eq!(Pin::new(&mut receiving).poll(cx), Poll::Ready(Err(RecvError::Closed)));
}

#[headwaiter::test(within = "60s")]
async fn a_receiver_of_many_messages_is_refused_when_its_budget_is_spent_and_loses_none() {
    let _beside_others = beside_other_tests();
    let (kitchen, mut waiter) = broadcast::channel(1024);
    for dish in 0..1000 {
        kitchen.send(dish).unwrap();
    }
    let got = Rc::new(Cell::new(0));
    let other = spawn({
        let got = Rc::clone(&got);
        async move { got.get() }
    });
    for dish in 0..1000 {
        assert_eq!(waiter.recv().await, Ok(dish));
        got.set(dish + 1);
    }
    assert_eq!(other.await.unwrap(), 128);
}

/// What a channel does, told in the plainest way.
#[derive(Default)]
struct Model {
    sent: usize,
    /// What each receiver gets next.
    next: Vec<usize>,
}

#[test]
fn random_programs_agree_with_a_model() {
    for seed in 0..200 {
        let random = Random::new(seed);
        let capacity = 1 << (seed % 4);
        let kitchen = Sender::new(capacity);
        let (mut receivers, mut model) = (VecDeque::new(), Model::default());
        for _ in 0..300 {
            match random.below(10) {
                0 if receivers.len() < 5 => {
                    receivers.push_back(kitchen.subscribe());
                    model.next.push(model.sent);
                }
                1 if !receivers.is_empty() => {
                    receivers.pop_front();
                    model.next.remove(0);
                }
                2..=5 => {
                    let result = kitchen.send(Rc::new(model.sent));
                    assert_eq!(result.is_ok(), !receivers.is_empty());
                    model.sent += usize::from(result.is_ok());
                }
                _ if !receivers.is_empty() => {
                    let which = random.below(receivers.len() as u64) as usize;
                    let oldest = model.sent.saturating_sub(capacity);
                    let next = &mut model.next[which];
                    let expected = if *next == model.sent {
                        Err(TryRecvError::Empty)
                    } else if *next < oldest {
                        let missed = (oldest - *next) as u64;
                        *next = oldest;
                        Err(TryRecvError::Lagged(missed))
                    } else {
                        *next += 1;
                        Ok(*next - 1)
                    };
                    let got = receivers[which].try_recv().map(|dish| *dish);
                    assert_eq!(got, expected, "seed {seed}");
                }
                _ => {}
            }
            let slowest = model.next.iter().min().map_or(0, |next| model.sent - next);
            assert_eq!(kitchen.len(), slowest.min(capacity), "seed {seed}");
            for (receiver, next) in receivers.iter().zip(&model.next) {
                assert_eq!(receiver.len(), model.sent - next);
            }
        }
    }
}

#[headwaiter::test(within = "60s")]
async fn a_dump_says_that_a_task_waits_for_a_broadcast_message_and_where() {
    let _beside_others = beside_other_tests();
    let (kitchen, mut waiter) = broadcast::channel(2);
    let task = spawn(async move { waiter.recv().await });
    yield_now().await;
    let dump = headwaiter::dump().to_string();
    let waits = "waits for a broadcast message, at tests/promises/broadcast.rs:";
    assert!(dump.contains(waits), "{dump}");
    kitchen.send("soup").unwrap();
    assert_eq!(task.await.unwrap(), Ok("soup"));
}
