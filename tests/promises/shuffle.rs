//! Shuffled schedules: each seed is an order, the same each time, and every order can occur.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::support::wakers::foreign;
use crate::support::*;
use headwaiter::sync::mpsc;
use headwaiter::task::{CancelToken, TaskGroup, yield_now};
use headwaiter::time::{advance, sleep, timeout};
use headwaiter::{Clock, EventLoop, Interest, Next, explore, on_ready, spawn};
use log::LevelFilter;

fn shuffled(seed: u64) -> EventLoop {
    EventLoop::builder().clock(Clock::Virtual).shuffle(seed).build().expect("a loop")
}

/// In which order `count` tasks run that become ready together, `rounds` times.
fn order_of_tasks(event_loop: &mut EventLoop, count: usize, rounds: usize) -> Vec<usize> {
    let order = Rc::new(RefCell::new(Vec::new()));
    event_loop.block_on(async {
        let group = TaskGroup::<()>::new();
        for n in 0..count {
            let order = Rc::clone(&order);
            group.spawn(async move {
                for _ in 0..rounds {
                    order.borrow_mut().push(n);
                    yield_now().await;
                }
                Ok(())
            });
        }
        group.join().await.unwrap();
    });
    order.take()
}

#[test]
fn the_same_seed_gives_the_same_order_and_each_batch_is_permuted() {
    bounded(|| {
        let mut orders = HashSet::new();
        for seed in 0..1000 {
            let order = order_of_tasks(&mut shuffled(seed), 4, 2);
            assert_eq!(order, order_of_tasks(&mut shuffled(seed), 4, 2));
            // A task that has run is polled again only after all have run: a batch is what was ready at its start.
            for batch in order.chunks(4) {
                assert_eq!(batch.iter().collect::<HashSet<_>>().len(), 4, "{order:?}");
            }
            orders.insert(order);
        }
        // Of 24 x 24. That a given one is missing has the probability 0.18, so some 480 are there.
        assert!(orders.len() > 400, "{}", orders.len());
        let firsts: HashSet<_> = orders.iter().map(|order| &order[..4]).collect();
        assert_eq!(firsts.len(), 24);
    });
}

/// Unlike tokio: there, `block_on` polls its future before the tasks.
#[test]
fn without_a_seed_tasks_run_first_come_first_served() {
    bounded(|| {
        let order = order_of_tasks(&mut virtual_loop(), 4, 3);
        assert_eq!(order, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    });
}

/// In which order timers wake foreign wakers: two for each millisecond, all fired in one turn.
fn order_of_timers(event_loop: &mut EventLoop) -> Vec<usize> {
    let woken = Arc::new(Mutex::new(Vec::new()));
    event_loop.block_on(async {
        let mut sleeps: Vec<_> = (0..8).map(|n| sleep(ms(1 + n / 2))).collect();
        for (number, sleep) in sleeps.iter_mut().enumerate() {
            let of_waker = Arc::clone(&woken);
            let waker = foreign(move || of_waker.lock().unwrap().push(number));
            assert!(Pin::new(sleep).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        advance(ms(10)).await;
    });
    Arc::into_inner(woken).expect("the timers are gone").into_inner().unwrap()
}

#[test]
fn timers_of_the_same_instant_fire_in_any_order_and_no_others() {
    bounded(|| {
        assert_eq!(order_of_timers(&mut virtual_loop()), [0, 1, 2, 3, 4, 5, 6, 7]);
        let mut orders = HashSet::new();
        for seed in 0..200 {
            let order = order_of_timers(&mut shuffled(seed));
            assert_eq!(order, order_of_timers(&mut shuffled(seed)));
            let instants: Vec<_> = order.iter().map(|n| n / 2).collect();
            assert_eq!(instants, [0, 0, 1, 1, 2, 2, 3, 3]);
            orders.insert(order);
        }
        assert_eq!(orders.len(), 16);
    });
}

/// The order in which callbacks are called when their sources become ready together.
#[cfg(target_os = "linux")]
fn order_of_events(event_loop: &mut EventLoop, reversed: bool) -> Vec<usize> {
    let order = Rc::new(RefCell::new(Vec::new()));
    // Unlike with TCP, what was written to one end is at the other when the call returns.
    let pair = || mio::net::UnixStream::pair().expect("both ends");
    let (servers, mut clients): (Vec<_>, Vec<_>) = (0..4).map(|_| pair()).unzip();
    event_loop.enter(|| {
        for (n, server) in servers.into_iter().enumerate() {
            let order = Rc::clone(&order);
            let called = move |_: &mut _, _| {
                order.borrow_mut().push(n);
                Next::Remove
            };
            on_ready(server, Interest::READABLE, called).unwrap().detach();
        }
    });
    if reversed {
        clients.reverse();
    }
    for client in &mut clients {
        client.write_all(b"x").unwrap();
    }
    let turn = event_loop.turn(None).unwrap();
    assert_eq!(turn.events, 4);
    order.take()
}

#[test]
#[cfg(target_os = "linux")]
fn events_of_one_batch_are_dispatched_in_an_order_that_only_the_seed_decides() {
    bounded(|| {
        let mut orders = HashSet::new();
        for seed in 0..300 {
            let order = order_of_events(&mut shuffled(seed), false);
            // The kernel reports them in the order in which they became ready, which does not count.
            assert_eq!(order, order_of_events(&mut shuffled(seed), true));
            orders.insert(order);
        }
        assert_eq!(orders.len(), 24);
        assert_eq!(order_of_events(&mut virtual_loop(), false), [0, 1, 2, 3]);
        assert_eq!(order_of_events(&mut virtual_loop(), true), [3, 2, 1, 0]);
    });
}

/// A program of tasks, timers and channels, and all that it does.
async fn story() -> Vec<String> {
    let told = Rc::new(RefCell::new(Vec::new()));
    let tell = |what: String| told.borrow_mut().push(what);
    let (closing, group) = (CancelToken::new(), TaskGroup::<String>::new());
    // One of this crate's, with its own wakers, and one of the test's, which is foreign.
    let (sender, mut receiver) = mpsc::channel(1);
    let channel = Channel::default();
    for n in 0..5_u64 {
        let (told, closing) = (Rc::clone(&told), closing.child());
        let (sender, channel) = (sender.clone(), channel.clone());
        group.spawn(async move {
            for round in 0..3 {
                sleep(ms(n % 2)).await;
                channel.send(n * 10 + round).await;
                told.borrow_mut().push(format!("{n} sent {round}"));
                let _ = sender.send(n * 10 + round).await;
                told.borrow_mut().push(format!("{n} sent {round} again"));
            }
            let slept = timeout(ms(5), closing.run(sleep(ms(5)))).await;
            told.borrow_mut().push(format!("{n} ends: {slept:?}"));
            if n == 3 { Err(format!("{n} fails")) } else { Ok(()) }
        });
    }
    for _ in 0..12 {
        tell(format!("got {}", channel.receive().await));
        tell(format!("got {:?} again", receiver.recv().await));
    }
    drop(sender);
    closing.cancel();
    // The one that fails may cut the others off.
    for _ in 12..15 {
        tell(format!("got {:?}", timeout(ms(100), channel.receive()).await));
        tell(format!("got {:?} again", timeout(ms(100), receiver.recv()).await));
    }
    let result = group.join().await;
    tell(format!("{result:?}"));
    told.take()
}

/// A channel with room for one, so that senders wait for each other.
#[derive(Clone, Default)]
struct Channel {
    value: Rc<Cell<Option<u64>>>,
    waiting: Rc<RefCell<Vec<Waker>>>,
}

impl Channel {
    async fn send(&self, value: u64) {
        self.until(|slot| {
            let free = slot.take();
            slot.set(free.or(Some(value)));
            free.is_none().then_some(())
        })
        .await;
    }

    async fn receive(&self) -> u64 {
        self.until(Cell::take).await
    }

    async fn until<R>(&self, mut attempt: impl FnMut(&Cell<Option<u64>>) -> Option<R>) -> R {
        std::future::poll_fn(|cx| match attempt(&self.value) {
            Some(done) => {
                self.waiting.take().into_iter().for_each(Waker::wake);
                Poll::Ready(done)
            }
            None => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

#[test]
fn a_program_of_tasks_timers_and_channels_is_replayed_exactly() {
    // The level of the log is the whole process's.
    alone(|| {
        let mut stories = HashSet::new();
        for seed in 0..100 {
            let first = shuffled(seed).block_on(story());
            // Also when one looks closer: with the log on, each batch is a turn of its own.
            for level in [LevelFilter::Off, LevelFilter::Trace] {
                log::set_max_level(level);
                assert_eq!(shuffled(seed).block_on(story()), first, "seed {seed}, log {level}");
            }
            log::set_max_level(LevelFilter::Off);
            stories.insert(first);
        }
        assert!(stories.len() > 90, "{} of 100 are different", stories.len());
    });
}

/// One that only fails if the second task begins before the first.
async fn fails_in_one_order() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks = [1, 2].map(|n| {
        let log = Rc::clone(&log);
        spawn(async move { log.borrow_mut().push(n) })
    });
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*log.borrow(), [1, 2], "the second was first");
}

#[test]
fn explore_stops_at_the_first_seed_that_fails_and_says_how_to_replay_it() {
    bounded(|| {
        let runs = AtomicUsize::new(0);
        let test = || {
            runs.fetch_add(1, Ordering::Relaxed);
            fails_in_one_order()
        };
        let text = panic_text(|| explore(0..100, test));
        let runs = runs.load(Ordering::Relaxed);
        let seed = runs - 1;
        // In half of the orders the first is first, so a hundred seeds without a failure do not occur.
        assert!(text.contains(&format!("under the seed {seed}: ")), "{text}");
        assert!(text.contains("the second was first"), "{text}");
        assert!(text.contains(&format!("`explore([{seed}], ...)`")), "{text}");
        // It is a word on how to replay it that is true, both ways; and the seeds before it are good.
        let replayed = panic_text(|| explore([seed as u64], fails_in_one_order));
        assert_eq!(replayed, text);
        let by_hand = panic_text(|| shuffled(seed as u64).block_on(fails_in_one_order()));
        assert!(text.contains(&by_hand));
        explore(0..seed as u64, fails_in_one_order);
        virtual_loop().block_on(fails_in_one_order());
        // Whatever the panic carried.
        let text = panic_text(|| explore([7], || async { std::panic::panic_any(5) }));
        assert!(text.contains("under the seed 7: (a value that is not text)"), "{text}");
    });
}

#[headwaiter::test(within = "60s")]
async fn explore_inside_a_loop_is_named_a_mistake() {
    let _beside_others = beside_other_tests();
    let text = panic_text(|| explore(0..3, || async {}));
    assert!(text.contains("inside a running event loop"), "{text}");
}

#[test]
fn a_test_may_spawn_before_its_first_await() {
    explore(0..3, || {
        let task = spawn(async { 5 });
        async move { assert_eq!(task.await.unwrap(), 5) }
    });
}

/// The kernel's timing is its own, but every promise holds in every order.
#[test]
fn sockets_keep_their_promises_in_every_order() {
    bounded(|| {
        explore(0..25, || async {
            let pairs = TaskGroup::<std::io::Error>::new();
            let echoed = Rc::new(Cell::new(0));
            for n in 0..6_u8 {
                let (spawner, echoed) = (pairs.spawner(), Rc::clone(&echoed));
                pairs.spawn(async move {
                    let (client, mut server) = tcp_pair().await?;
                    spawner.spawn(async move {
                        let mut bytes = [0; 1000];
                        loop {
                            match server.read(&mut bytes).await? {
                                0 => return Ok(()),
                                read => server.write_all(&bytes[..read]).await?,
                            }
                        }
                    });
                    let (mut reader, mut writer) = client.into_split();
                    spawner.spawn(async move {
                        writer.write_all(&vec![n; 100_000]).await?;
                        writer.shutdown()
                    });
                    let (mut bytes, mut total) = ([0; 3000], 0);
                    loop {
                        let read = reader.read(&mut bytes).await?;
                        assert!(bytes[..read].iter().all(|byte| *byte == n));
                        total += read;
                        if read == 0 {
                            break;
                        }
                    }
                    echoed.set(echoed.get() + total);
                    Ok(())
                });
            }
            pairs.join().await.unwrap();
            assert_eq!(echoed.get(), 600_000);
        });
    });
}
