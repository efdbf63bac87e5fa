//! The cooperative budget: 128 operations that complete at once in one poll of a task. An operation that is refused then keeps
//! its turn, loses nothing, and completes in the end even if the program ignores the refusal.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::support::random::Random;
use crate::support::wakers::Foreign;
use crate::support::{beside_other_tests, in_loop, ms, tcp_pair};
use futures_lite::future::{or, poll_once};
use futures_lite::io::{AsyncRead, AsyncWrite};
use headwaiter::net::{TcpListener, TcpStream, UdpSocket};
use headwaiter::sync::{Mutex, Notify, Semaphore, mpsc, oneshot};
use headwaiter::task::{consume_budget, unconstrained, yield_now};
use headwaiter::time::{self, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use headwaiter::{Handle, spawn};

const BUDGET: usize = 128;

/// Spends what is left of the task's budget, and leaves the unit unused that the refusal grants: the next attempt is allowed, the
/// one after it refused.
async fn spend_all() {
    while poll_once(consume_budget()).await.is_some() {}
}

/// As [`spend_all`], and the unit too: the next attempt is refused.
async fn spend_all_and_the_unit() {
    spend_all().await;
    assert_eq!(poll_once(consume_budget()).await, Some(()));
}

pub async fn is_refused<F: Future + Unpin>(future: &mut F) -> bool {
    spend_all_and_the_unit().await;
    poll_once(future).await.is_none()
}

#[headwaiter::test(within = "60s")]
async fn one_poll_does_128_operations_and_one_more_for_each_refusal() {
    let _beside_others = beside_other_tests();
    yield_now().await;
    let attempts = poll_fn(|cx| {
        let attempts: Vec<bool> =
            (0..BUDGET + 8).map(|_| pin!(consume_budget()).poll(cx).is_ready()).collect();
        Poll::Ready(attempts)
    });
    let attempts = attempts.await;
    assert!(attempts[..BUDGET].iter().all(|done| *done));
    assert_eq!(attempts[BUDGET..], [false, true, false, true, false, true, false, true]);
}

/// Unlike tokio: there, such a task receives nothing more once its budget is spent.
#[headwaiter::test(within = "60s")]
async fn a_receive_beside_a_branch_that_is_always_ready_gets_every_message() {
    let _beside_others = beside_other_tests();
    let (sender, mut receiver) = mpsc::unbounded();
    for message in 0..1000 {
        sender.send(message).unwrap();
    }
    let (mut got, mut rounds) = (Vec::new(), 0);
    // The task never yields: the other branch is ready whenever the receive is refused.
    while got.len() < 1000 {
        got.extend(or(async { receiver.recv().await }, ready(None)).await);
        rounds += 1;
    }
    assert!(got.iter().copied().eq(0..1000));
    assert_eq!(rounds, 1000 + (1000 - BUDGET), "one refusal for each message beyond the budget");
}

#[headwaiter::test(within = "60s")]
async fn sockets_beside_a_branch_that_is_always_ready_go_on() {
    let _beside_others = beside_other_tests();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(socket.local_addr().unwrap()).await.unwrap();
    let mut exchanged = 0;
    let mut attempts = 0;
    while exchanged < 500 {
        attempts += 1;
        assert!(attempts < 10_000, "only {exchanged} exchanged");
        if or(async { socket.send(b"x").await.is_ok() }, ready(false)).await {
            let mut buffer = [0; 8];
            while !or(async { socket.recv(&mut buffer).await.is_ok() }, ready(false)).await {}
            exchanged += 1;
        }
    }
}

/// A writer that is always ready, and tells how much was written.
struct Counter<'a>(&'a Cell<usize>);

impl AsyncWrite for Counter<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.0.set(self.0.get() + buf.len());
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A reader that is always ready, and uses no budget.
struct Endless;

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        buf.fill(b'x');
        Poll::Ready(Ok(buf.len()))
    }
}

#[headwaiter::test(within = "60s")]
async fn a_copy_beside_a_branch_that_is_always_ready_goes_on_and_one_of_foreign_streams_yields() {
    let _beside_others = beside_other_tests();
    // Of our own streams: all in one poll of the task, with each refusal ignored.
    let (mut client, mut server) = tcp_pair().await.unwrap();
    client.write_all(&[b'x'; 50_000]).await.unwrap();
    server.readable().await.unwrap();
    spend_all().await;
    let copied = Cell::new(0);
    let mut counter = Counter(&copied);
    let mut copy = pin!(headwaiter::io::copy(&mut server, &mut counter));
    let mut polls = 0;
    while copied.get() < 20_000 {
        polls += 1;
        assert!(polls < 1000, "only {} bytes were copied", copied.get());
        assert!(poll_once(copy.as_mut()).await.is_none());
    }

    // Of foreign streams without end: the timer of the same task fires.
    let endless = async {
        headwaiter::io::copy(&mut Endless, &mut futures_lite::io::sink()).await.unwrap();
    };
    assert!(timeout(ms(5), endless).await.is_err());
}

/// Unlike tokio: there, the refused lock does not enter the queue.
#[headwaiter::test(within = "60s")]
async fn a_refused_lock_of_a_free_mutex_is_granted_at_once_and_completes_at_the_next_poll() {
    let _beside_others = beside_other_tests();
    let till = Mutex::new(5);
    let mut lock = till.lock();
    assert!(is_refused(&mut lock).await);
    assert!(till.try_lock().is_err(), "it was granted to the lock that was refused");
    assert_eq!(*poll_once(&mut lock).await.expect("the next attempt"), 5);
    assert!(till.try_lock().is_ok());

    // Dropped instead, it is free again; and goes to the next in line.
    let mut lock = till.lock();
    assert!(is_refused(&mut lock).await);
    let mut next = till.lock();
    assert!(poll_once(&mut next).await.is_none());
    drop(lock);
    assert!(till.try_lock().is_err());
    assert!(poll_once(&mut next).await.is_some());
    drop(next);

    // A refused future that is awaited as usual.
    let mut lock = till.lock();
    assert!(is_refused(&mut lock).await);
    drop(lock.await);
    assert!(till.try_lock().is_ok());
}

#[headwaiter::test(within = "60s")]
async fn refused_permits_room_and_notices_are_granted_at_once_and_go_on_if_dropped() {
    let _beside_others = beside_other_tests();
    let ovens = Semaphore::new(3);
    let mut two = ovens.acquire_many(2);
    assert!(is_refused(&mut two).await);
    assert_eq!(ovens.available_permits(), 1);
    assert!(ovens.try_acquire_many(2).is_err());
    let permits = poll_once(&mut two).await.expect("the next attempt").unwrap();
    assert_eq!(ovens.available_permits(), 1);
    drop(permits);
    let mut two = ovens.acquire_many(2);
    assert!(is_refused(&mut two).await);
    drop(two);
    assert_eq!(ovens.available_permits(), 3);

    let (orders, mut kitchen) = mpsc::channel(1);
    let mut send = orders.send("soup");
    assert!(is_refused(&mut send).await);
    assert!(orders.try_send("fish").is_err(), "the room is the refused sender's");
    assert_eq!(poll_once(&mut send).await, Some(Ok(())));
    assert_eq!(kitchen.try_recv(), Ok("soup"));
    let mut send = orders.send("cake");
    assert!(is_refused(&mut send).await);
    drop(send);
    assert_eq!(orders.try_send("fish"), Ok(()));

    let bell = Notify::new();
    bell.notify_one();
    let mut first = bell.notified();
    assert!(is_refused(&mut first).await);
    let mut second = bell.notified();
    assert_eq!(poll_once(&mut second).await, None, "the notice is the first's");
    drop(first);
    spend_all().await;
    assert_eq!(poll_once(&mut second).await, Some(()));
}

#[headwaiter::test(within = "60s")]
async fn what_ends_without_being_granted_takes_nothing_when_it_is_refused() {
    let _beside_others = beside_other_tests();
    // `notify_waiters` wakes this future. The later notification is for another.
    let bell = Notify::new();
    let mut told = bell.notified();
    bell.notify_waiters();
    assert!(is_refused(&mut told).await);
    bell.notify_one();
    assert_eq!(poll_once(&mut told).await, Some(()));
    spend_all().await;
    assert_eq!(poll_once(bell.notified()).await, Some(()), "the notice is still there");

    // The same for a future that waited first, was notified, and was then refused.
    let mut told = bell.notified();
    assert_eq!(poll_once(&mut told).await, None);
    bell.notify_waiters();
    assert!(is_refused(&mut told).await);
    bell.notify_one();
    drop(told);
    spend_all().await;
    assert_eq!(poll_once(bell.notified()).await, Some(()), "the notice is still there");

    let ovens = Semaphore::new(1);
    let mut permit = ovens.acquire();
    ovens.close();
    assert!(is_refused(&mut permit).await);
    assert!(poll_once(&mut permit).await.expect("the next attempt").is_err());

    let (orders, kitchen) = mpsc::channel::<()>(1);
    drop(kitchen);
    let mut closed = orders.closed();
    assert!(is_refused(&mut closed).await);
    assert_eq!(poll_once(&mut closed).await, Some(()));
}

/// Waiters are served in the order in which they asked, even if the first had spent its budget then.
fn served_in_order<F, W>(what: &'static str, make: impl Fn() -> (W, F) + Send + 'static)
where
    F: FnOnce(),
    W: AsyncFn() + 'static,
{
    in_loop(move || async move {
        let (wait, free) = make();
        let (wait, order) = (Rc::new(wait), Rc::new(RefCell::new(Vec::new())));
        let tasks = ["spent", "fresh"].map(|name| {
            let (wait, order) = (Rc::clone(&wait), Rc::clone(&order));
            spawn(async move {
                if name == "spent" {
                    spend_all_and_the_unit().await;
                }
                wait().await;
                order.borrow_mut().push(name);
            })
        });
        yield_now().await;
        free();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.borrow(), ["spent", "fresh"], "{what}");
    });
}

/// Unlike tokio: there, the refused operation does not enter the queue.
#[test]
fn a_task_that_has_spent_its_budget_is_not_overtaken() {
    served_in_order("mutex", || {
        let (held, let_go) = (Rc::new(Mutex::new(())), Rc::new(Notify::new()));
        let free = Rc::clone(&let_go);
        let holder = Rc::clone(&held);
        spawn(async move {
            let _guard = holder.lock().await;
            let_go.notified().await;
        });
        (async move || drop(held.lock().await), move || free.notify_one())
    });
    served_in_order("semaphore", || {
        let ovens = Rc::new(Semaphore::new(0));
        let free = Rc::clone(&ovens);
        (async move || ovens.acquire().await.unwrap().forget(), move || free.add_permits(2))
    });
    served_in_order("channel", || {
        let (orders, mut kitchen) = mpsc::channel(1);
        orders.try_send(()).unwrap();
        (
            async move || orders.send(()).await.unwrap(),
            move || {
                spawn(async move { while kitchen.recv().await.is_some() {} });
            },
        )
    });
    served_in_order("notify", || {
        let bell = Rc::new(Notify::new());
        let free = Rc::clone(&bell);
        (
            async move || bell.notified().await,
            move || {
                free.notify_one();
                free.notify_one();
            },
        )
    });
}

#[headwaiter::test(within = "60s")]
async fn a_task_that_has_spent_its_budget_is_not_overtaken_at_a_listener() {
    let _beside_others = beside_other_tests();
    let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap();
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks = ["spent", "fresh"].map(|name| {
        let (listener, order) = (Rc::clone(&listener), Rc::clone(&order));
        spawn(async move {
            if name == "spent" {
                spend_all_and_the_unit().await;
            }
            listener.accept().await.unwrap();
            order.borrow_mut().push(name);
        })
    });
    for _ in 0..3 {
        yield_now().await;
    }
    for expected in [&["spent"][..], &["spent", "fresh"]] {
        let _client = TcpStream::connect(address).await.unwrap();
        while order.borrow().len() < expected.len() {
            yield_now().await;
        }
        assert_eq!(*order.borrow(), expected);
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[headwaiter::test(within = "60s")]
async fn a_free_thing_goes_to_the_task_that_asked_first_though_it_was_refused() {
    let _beside_others = beside_other_tests();
    let (till, order) = (Rc::new(Mutex::new(())), Rc::new(RefCell::new(Vec::new())));
    let tasks = ["spent", "fresh"].map(|name| {
        let (till, order) = (Rc::clone(&till), Rc::clone(&order));
        spawn(async move {
            if name == "spent" {
                spend_all_and_the_unit().await;
            }
            let _open = till.lock().await;
            order.borrow_mut().push(name);
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.borrow(), ["spent", "fresh"]);
}

fn counted_waker() -> (Arc<Foreign>, Waker) {
    let counted = Foreign::new();
    (Arc::clone(&counted), counted.into())
}

#[headwaiter::test(within = "60s")]
async fn every_refused_wait_leaves_its_waker_as_well_as_waking_it() {
    let _beside_others = beside_other_tests();
    let (count, waker) = counted_waker();
    let mut cx = Context::from_waker(&waker);

    let (value, mut receiver) = oneshot::channel();
    spend_all_and_the_unit().await;
    assert!(Pin::new(&mut receiver).poll(&mut cx).is_pending());
    assert_eq!(count.take_wakes(), 1);
    value.send(1).unwrap();
    assert_eq!(count.take_wakes(), 1);

    let (sender, mut receiver) = mpsc::unbounded();
    spend_all_and_the_unit().await;
    assert!(receiver.poll_recv(&mut cx).is_pending());
    assert_eq!(count.take_wakes(), 1);
    sender.send(1).unwrap();
    assert_eq!(count.take_wakes(), 1);
}

#[headwaiter::test(within = "60s")]
async fn a_join_that_must_wait_waits_whatever_is_left_of_the_budget() {
    let _beside_others = beside_other_tests();
    let (count, waker) = counted_waker();
    let mut cx = Context::from_waker(&waker);
    let bell = Rc::new(Notify::new());
    let mut task = spawn({
        let bell = Rc::clone(&bell);
        async move { bell.notified().await }
    });
    yield_now().await;
    spend_all_and_the_unit().await;
    assert!(Pin::new(&mut task).poll(&mut cx).is_pending());
    assert_eq!(count.take_wakes(), 0, "it is not refused: there is nothing to take");
    bell.notify_one();
    while count.wakes() == 0 {
        yield_now().await;
    }
    assert_eq!(count.take_wakes(), 1);
    spend_all_and_the_unit().await;
    assert!(Pin::new(&mut task).poll(&mut cx).is_pending());
    assert_eq!(count.take_wakes(), 1, "now it is");
    assert!(Pin::new(&mut task).poll(&mut cx).is_ready());

    // Of another loop, or of this one by a handle.
    let mut remote = Handle::current().spawn(|| async { 7 });
    while !remote.is_finished() {
        yield_now().await;
    }
    assert!(is_refused(&mut remote).await);
    assert_eq!(remote.await.unwrap(), 7);
}

#[headwaiter::test(within = "60s")]
async fn an_unconstrained_future_is_never_refused_and_spends_nothing() {
    let _beside_others = beside_other_tests();
    let ovens = Semaphore::new(1);
    yield_now().await;
    let many = async {
        for _ in 0..10 * BUDGET {
            drop(ovens.acquire().await);
        }
    };
    assert!(poll_once(pin!(unconstrained(many))).await.is_some());
    // All of the budget is left.
    for _ in 0..BUDGET {
        assert!(poll_once(consume_budget()).await.is_some());
    }
    assert!(poll_once(consume_budget()).await.is_none());

    // Also after a panic in it.
    spend_all_and_the_unit().await;
    let panics = poll_fn(|cx| {
        let mut future = pin!(unconstrained(async { panic!("the soup is out") }));
        let panicked = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        Poll::Ready(panicked.is_err())
    });
    assert!(panics.await);
    assert!(poll_once(consume_budget()).await.is_none(), "still spent");
}

#[test]
fn a_loop_of_consume_budget_lets_the_other_tasks_run_once_in_129_rounds() {
    in_loop(|| async {
        let others = Rc::new(Cell::new(0));
        spawn({
            let others = Rc::clone(&others);
            async move {
                loop {
                    others.set(others.get() + 1);
                    yield_now().await;
                }
            }
        });
        yield_now().await;
        let before = others.get();
        for _ in 0..10 * BUDGET {
            consume_budget().await;
        }
        assert_eq!(others.get() - before, 9);
    });
    // Outside any loop there is no budget.
    let mut cx = Context::from_waker(Waker::noop());
    assert!((0..1000).all(|_| pin!(consume_budget()).poll(&mut cx).is_ready()));
    assert!(pin!(unconstrained(ready(()))).poll(&mut cx).is_ready());
}

/// Unlike tokio: there, the first poll after the deadline is ready, and a timer fires only between two polls of its task.
#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_sleep_that_is_polled_again_in_the_same_poll_after_its_deadline_is_ready() {
    let _beside_others = beside_other_tests();
    let mut nap = pin!(sleep(ms(10)));
    assert!(poll_once(nap.as_mut()).await.is_none());
    assert!(poll_once(nap.as_mut()).await.is_none(), "it is not due");
    time::advance(ms(9));
    assert!(poll_once(nap.as_mut()).await.is_none(), "never early");
    time::advance(ms(1));
    assert!(poll_once(nap.as_mut()).await.is_some());
    assert!(nap.is_elapsed());
    assert!(poll_once(nap.as_mut()).await.is_some(), "it stays so");

    // The first poll never looks at the clock, neither of a past deadline nor after a reset to one.
    let mut past = pin!(sleep_until(time::now() - ms(5)));
    assert!(poll_once(past.as_mut()).await.is_none());
    assert!(poll_once(past.as_mut()).await.is_some());
    past.as_mut().reset(time::now() + ms(5));
    assert!(poll_once(past.as_mut()).await.is_none());
    past.reset(time::now() - ms(5));
    assert!(poll_once(past.as_mut()).await.is_some());

    // A timeout around what is never ready, in a loop with a branch that always is: it ends by the clock.
    let mut over = pin!(timeout(ms(10), std::future::pending::<()>()));
    let mut rounds = 0;
    while !or(async { over.as_mut().await.is_err() }, ready(false)).await {
        time::advance(ms(1));
        rounds += 1;
    }
    assert_eq!(rounds, 10);
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_sleep_that_completed_by_the_clock_leaves_no_timer_and_wakes_nothing_later() {
    let _beside_others = beside_other_tests();
    let (count, waker) = counted_waker();
    let mut cx = Context::from_waker(&waker);
    let mut nap = pin!(sleep(ms(10)));
    assert!(nap.as_mut().poll(&mut cx).is_pending());
    time::advance(ms(10));
    assert!(nap.as_mut().poll(&mut cx).is_ready());
    assert_eq!(
        headwaiter::dump().to_string().matches(" 0 timers").count(),
        1,
        "{}",
        headwaiter::dump()
    );
    sleep(ms(100)).await;
    assert_eq!(count.take_wakes(), 0);
}

/// Unlike tokio: there, a timer fires only between two polls of its task.
#[headwaiter::test(clock = "virtual", within = "60s")]
async fn an_overdue_interval_catches_up_within_a_poll_and_still_yields() {
    let _beside_others = beside_other_tests();
    let mut ticks = interval(ms(1));
    let start = ticks.tick().await;
    time::advance(ms(5));
    let mut caught_up = Vec::new();
    while let Some(tick) = poll_once(pin!(ticks.tick())).await {
        caught_up.push((tick - start).as_millis());
    }
    assert_eq!(caught_up, [1, 2, 3, 4, 5]);

    // A task with a million missed ticks lets others run.
    let mut ticks = interval(ms(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks.tick().await;
    time::advance(ms(1_000_000));
    let other = spawn(async {});
    let mut at_once = 0;
    while !other.is_finished() {
        ticks.tick().await;
        at_once += 1;
    }
    assert!(at_once <= BUDGET + 1, "{at_once} ticks before the other task ran");
}

/// Unlike tokio: there, `closed` leaves its waker behind too.
#[test]
fn the_senders_poll_closed_keeps_its_waker_between_polls() {
    let (count, waker) = counted_waker();
    let mut cx = Context::from_waker(&waker);
    let (mut sender, receiver) = oneshot::channel::<u8>();
    assert!(sender.poll_closed(&mut cx).is_pending());
    drop(receiver);
    assert_eq!(count.take_wakes(), 1);
    assert!(sender.poll_closed(&mut cx).is_ready());

    // A sender that is dropped lets the waker go.
    let (mut sender, _receiver) = oneshot::channel::<u8>();
    assert!(sender.poll_closed(&mut cx).is_pending());
    drop(sender);
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 1);
}

/// Awaits `future` with the budget spent or not, or polls it some times, refused or not, and drops it.
async fn perhaps<F: Future>(random: &Random, future: F) -> Option<F::Output> {
    let below = |bound| random.below(bound);
    let mut future = pin!(future);
    for _ in 0..below(4) {
        match below(3) {
            0 => spend_all_and_the_unit().await,
            1 => spend_all().await,
            _ => {}
        }
        if let Some(output) = poll_once(future.as_mut()).await {
            return Some(output);
        }
        if below(2) == 0 {
            yield_now().await;
        }
    }
    if below(3) == 0 { None } else { Some(future.await) }
}

#[headwaiter::test(within = "60s")]
async fn however_refusals_and_drops_mix_no_lock_permit_room_or_message_is_lost() {
    let _beside_others = beside_other_tests();
    for seed in 0..200 {
        let random = Rc::new(Random::new(seed));
        let till = Rc::new(Mutex::new(0));
        let ovens = Rc::new(Semaphore::new(3));
        let (orders, mut kitchen) = mpsc::channel(2);
        let (locked, sent) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (random, till, ovens) = (random.clone(), till.clone(), ovens.clone());
                let (orders, locked, sent) = (orders.clone(), locked.clone(), sent.clone());
                spawn(async move {
                    for _ in 0..10 {
                        let what = random.below(3);
                        let many = 1 + random.below(3) as u32;
                        match what {
                            0 => {
                                if let Some(mut open) = perhaps(&random, till.lock()).await {
                                    let before = *open;
                                    yield_now().await;
                                    *open = before + 1;
                                    locked.set(locked.get() + 1);
                                }
                            }
                            1 => {
                                if let Some(permits) =
                                    perhaps(&random, ovens.acquire_many(many)).await
                                {
                                    yield_now().await;
                                    drop(permits.unwrap());
                                }
                            }
                            _ => {
                                if let Some(result) = perhaps(&random, orders.send(())).await {
                                    result.unwrap();
                                    sent.set(sent.get() + 1);
                                }
                            }
                        }
                    }
                })
            })
            .collect();
        drop(orders);
        let mut received = 0;
        loop {
            match perhaps(&random, kitchen.recv()).await {
                Some(Some(())) => received += 1,
                Some(None) => break,
                None => {}
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(received, sent.get(), "seed {seed}");
        assert_eq!(*till.try_lock().expect("free"), locked.get(), "seed {seed}");
        assert_eq!(ovens.available_permits(), 3, "seed {seed}");
    }
}
