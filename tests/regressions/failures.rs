//! How event loops have failed, each failure tried on this one. The sources are advisories, changelogs and
//! issue threads of tokio, mio, smol's crates, calloop, libuv and futures; each test names its own.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io::{self, Read, Write};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::wakers::{Foreign, foreign, foreign_owning};
use crate::support::*;
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::sync::mpsc as channel;
use headwaiter::task::yield_now;
use headwaiter::time::{self, sleep, timeout};
use headwaiter::{EventLoop, Interest, Next, Registration, block_on, on_ready, spawn};

/// RUSTSEC-2020-0061.
#[test]
fn a_waker_outlives_its_loop_and_its_thread() {
    bounded(|| {
        let waker = thread::spawn(|| block_on(own_waker())).join().unwrap();
        waker.wake_by_ref();
        let other = waker.clone();
        assert!(other.will_wake(&waker));
        thread::spawn(move || {
            drop(other.clone());
            other.wake();
        })
        .join()
        .unwrap();
        // The number may be a later loop's by now: at worst one spurious poll.
        block_on(async {
            waker.wake_by_ref();
            yield_now().await;
        });
        drop(waker);
    });
}

/// futures 2d4f685b.
#[test]
fn a_panic_in_a_wake_a_drop_or_a_callback_harms_nobody_else() {
    bounded(|| {
        let drops = Rc::new(Cell::new(0));
        let count = |panics: bool| {
            let drops = Rc::clone(&drops);
            OnDrop(move || {
                drops.set(drops.get() + 1);
                assert!(!panics, "a drop that panics");
            })
        };
        let mut event_loop = EventLoop::new().unwrap();
        let (server, mut client) = mio_pair();
        event_loop.enter(|| {
            on_ready(server, Interest::READABLE, |_, _| panic!("a callback that panics"))
                .unwrap()
                .detach();
            for n in 0..10 {
                let panics = n % 2 == 0;
                drop(spawn(Holding(count(panics), |_: &mut Context<'_>| Poll::Pending)));
            }
            // One that panics in its poll, and then in its drop.
            drop(spawn(Holding(count(true), |_: &mut Context<'_>| panic!("a poll that panics"))));
        });
        let mut timer = event_loop.enter(|| sleep(ms(1)));
        let waker = foreign(|| panic!("a waker that panics"));
        event_loop.enter(|| {
            assert!(Pin::new(&mut timer).poll(&mut Context::from_waker(&waker)).is_pending());
        });
        client.write_all(b"x").unwrap();
        let (mut events, mut timers) = (0, 0);
        // Printing the panics may take so long that the batch is cut.
        while events == 0 || timers == 0 || drops.get() == 0 {
            let turn = event_loop.turn(None).unwrap();
            (events, timers) = (events + turn.events, timers + turn.timers);
        }
        assert_eq!(drops.get(), 1);
        // The callback was removed, and its stream closed.
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
        assert_eq!(event_loop.block_on(async { spawn(async { 5 }).await.unwrap() }), 5);
        drop(event_loop);
        assert_eq!(drops.get(), 11);
    });
}

/// RUSTSEC-2020-0045.
#[test]
fn a_callback_may_insert_a_thousand_sources_remove_itself_and_spawn() {
    raise_file_limit();
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (server, mut client) = mio_pair();
        let own: Rc<RefCell<Option<Registration<mio::net::TcpStream>>>> = Rc::default();
        let others: Rc<RefCell<Vec<Registration<mio::net::UdpSocket>>>> = Rc::default();
        let spawned = Rc::new(Cell::new(false));
        let (of_callback, into, ran) = (Rc::clone(&own), Rc::clone(&others), Rc::clone(&spawned));
        let registration = event_loop.enter(|| {
            on_ready(server, Interest::READABLE, move |_, _| {
                for _ in 0..1000 {
                    let socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                    let registration = on_ready(socket, Interest::READABLE, |_, _| Next::Continue);
                    into.borrow_mut().push(registration.unwrap());
                }
                let ran = Rc::clone(&ran);
                drop(spawn(async move { ran.set(true) }));
                let nested = panic_text(|| block_on(async {}));
                assert!(nested.contains("inside a running event loop"), "{nested}");
                let own: Registration<_> = of_callback.borrow_mut().take().unwrap();
                assert!(own.try_with(|_| ()).is_none(), "its source is lent to this callback");
                drop(own);
                Next::Continue
            })
        });
        *own.borrow_mut() = Some(registration.unwrap());
        client.write_all(b"x").unwrap();
        event_loop.turn(None).unwrap();
        assert!(spawned.get());
        assert_eq!(others.borrow().len(), 1000);
        assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)), "removed and closed");
        drop(event_loop);
    });
}

/// RUSTSEC-2024-0019, mio #219: an event for a source that went in the same batch.
#[test]
fn an_event_of_a_source_that_is_gone_reaches_no_successor() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        type Slot = Rc<RefCell<Option<Registration<mio::net::TcpStream>>>>;
        let (a_slot, b_slot, c_slot) = (Slot::default(), Slot::default(), Slot::default());
        let calls_of_c = Rc::new(Cell::new(0));
        let (a, mut to_a) = mio_pair();
        let (b, mut to_b) = mio_pair();
        // Whichever of A and B is called first drops the other and puts C into its slot, with its fd number.
        let replace = |other: &Slot| {
            let (other, c_slot, calls) =
                (Rc::clone(other), Rc::clone(&c_slot), Rc::clone(&calls_of_c));
            move |_: &mut mio::net::TcpStream, _| {
                if let Some(registration) = other.borrow_mut().take() {
                    drop(registration);
                    let (c, to_c) = mio_pair();
                    let calls = Rc::clone(&calls);
                    let counted = on_ready(c, Interest::READABLE, move |_, _| {
                        calls.set(calls.get() + 1);
                        Next::Continue
                    });
                    *c_slot.borrow_mut() = Some(counted.unwrap());
                    std::mem::forget(to_c); // Open and silent.
                }
                Next::Continue
            }
        };
        let (call_a, call_b) = (replace(&b_slot), replace(&a_slot));
        event_loop.enter(|| {
            *a_slot.borrow_mut() = Some(on_ready(a, Interest::READABLE, call_a).unwrap());
            *b_slot.borrow_mut() = Some(on_ready(b, Interest::READABLE, call_b).unwrap());
        });
        to_a.write_all(b"x").unwrap();
        to_b.write_all(b"x").unwrap();
        assert_eq!(event_loop.turn(None).unwrap().events, 2);
        assert!(c_slot.borrow().is_some());
        event_loop.turn(Some(ms(2))).unwrap();
        assert_eq!(calls_of_c.get(), 0);
        event_loop.enter(|| (a_slot.take(), b_slot.take(), c_slot.take()));
    });
}

/// RUSTSEC-2021-0072.
/// Unlike tokio: there, `spawn` takes no such future.
#[test]
fn a_future_that_is_not_send_is_dropped_on_its_own_thread_only() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let home = thread::current().id();
        let dropped = Rc::new(Cell::new(0));
        for _ in 0..100 {
            let dropped = Rc::clone(&dropped);
            let on_drop = OnDrop(move || {
                assert_eq!(thread::current().id(), home);
                dropped.set(dropped.get() + 1);
            });
            let task =
                event_loop.enter(|| spawn(Holding(on_drop, |_: &mut Context<'_>| Poll::Pending)));
            thread::spawn(move || {
                task.abort();
                drop(task);
            })
            .join()
            .unwrap();
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        while dropped.get() < 100 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
    });
}

/// calloop 87585bd.
#[headwaiter::test(within = "60s")]
async fn eight_threads_wake_a_million_times_and_each_wake_is_acknowledged() {
    const THREADS: usize = 8;
    const EACH: usize = 125_000;
    let _beside_others = beside_other_tests();
    let barrier = Arc::new(Barrier::new(THREADS));
    let tasks: Vec<_> = (0..THREADS)
        .map(|_| {
            let (sent, acknowledged) =
                (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (pass_waker, waker) = mpsc::channel::<Waker>();
            let (barrier, of_thread, ack) =
                (Arc::clone(&barrier), Arc::clone(&sent), Arc::clone(&acknowledged));
            thread::spawn(move || {
                let waker = waker.recv().unwrap();
                barrier.wait();
                for n in 1..=EACH {
                    of_thread.store(n, Ordering::Release);
                    waker.wake_by_ref();
                    // Every 100th wake must be answered before there is another.
                    // The loop needs a processor for that, of which there may be fewer than threads.
                    while n % 100 == 0 && ack.load(Ordering::Acquire) < n {
                        thread::yield_now();
                    }
                }
            });
            spawn(async move {
                pass_waker.send(own_waker().await).unwrap();
                poll_fn(|_| {
                    let seen = sent.load(Ordering::Acquire);
                    acknowledged.store(seen, Ordering::Release);
                    if seen == EACH { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// calloop 9abedf1.
#[test]
fn a_task_scheduled_by_a_callback_runs_though_nothing_else_is_pending() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (server, mut client) = mio_pair();
        event_loop.block_on(async {
            let (done, finished) = (Rc::new(Cell::new(None::<Waker>)), Rc::new(Cell::new(false)));
            let (wake_me, tell) = (Rc::clone(&done), Rc::clone(&finished));
            let _registration = on_ready(server, Interest::READABLE, move |_, _| {
                let (wake_me, tell) = (Rc::clone(&wake_me), Rc::clone(&tell));
                drop(spawn(async move {
                    tell.set(true);
                    wake_me.take().unwrap().wake();
                }));
                Next::Remove
            });
            client.write_all(b"x").unwrap();
            poll_fn(|cx| {
                done.set(Some(cx.waker().clone()));
                if finished.get() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
    });
}

with_both_streams! {
    /// smol #151.
    fn two_tasks_that_wait_on_the_same_side_of_a_socket_both_make_progress(pair) {
        in_loop(|| async {
            let (mut client, server) = pair().await.unwrap();
            let server = Rc::new(server);
            for round in 0..200 {
                let readers: Vec<_> = (0..3)
                    .map(|n| {
                        let server = Rc::clone(&server);
                        spawn(async move {
                            use futures_lite::AsyncReadExt;
                            if n == round % 3 {
                                // One of them by `poll_read`, the others by a future that waits.
                                return (&*server).read_exact(&mut [0]).await.unwrap();
                            }
                            loop {
                                server.readable().await.unwrap();
                                match server.try_read(&mut [0]) {
                                    Ok(n) => return assert_eq!(n, 1),
                                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                                }
                            }
                        })
                    })
                    .collect();
                yield_now().await;
                client.write_all(b"abc").await.unwrap();
                for reader in readers {
                    reader.await.unwrap();
                }
            }
        });
    }
}

/// tokio caa7e180e.
#[headwaiter::test(within = "60s")]
async fn tasks_that_wake_each_other_do_not_starve_timers() {
    let _beside_others = beside_other_tests();
    let deadline = Instant::now() + ms(10);
    // Polls of others that began when it was due already, however slow the machine is.
    let late_polls = Rc::new(Cell::new(0));
    for _ in 0..2 {
        let late_polls = Rc::clone(&late_polls);
        drop(spawn(async move {
            loop {
                late_polls.set(late_polls.get() + usize::from(Instant::now() >= deadline));
                yield_now().await;
            }
        }));
    }
    time::sleep_until(deadline).await;
    assert!(late_polls.get() <= 66, "{} polls", late_polls.get());
}

#[headwaiter::test(within = "60s")]
async fn tasks_that_wake_each_other_do_not_starve_an_accept() {
    let _beside_others = beside_other_tests();
    for _ in 0..2 {
        drop(spawn(async {
            loop {
                yield_now().await;
            }
        }));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = spawn(async move { listener.accept().await.map(|_| ()) });
    yield_now().await;
    drop(std::net::TcpStream::connect(address).unwrap());
    accepted.await.unwrap().unwrap();
}

/// libuv 51a22f60d, tokio's coop budget.
#[headwaiter::test(within = "60s")]
#[cfg(unix)]
async fn a_pipe_is_served_within_64_polls_and_a_turn_whatever_is_always_ready() {
    let _beside_others = beside_other_tests();
    let zero_timer = async {
        loop {
            sleep(Duration::ZERO).await;
        }
    };
    let (mut filler, mut full) = tcp_pair().await.unwrap();
    filler.write_all(&vec![0; 200_000]).await.unwrap();
    let busy_reader = async move { while full.read(&mut [0]).await.unwrap() == 1 {} };
    let respawning = async {
        loop {
            spawn(async {}).await.unwrap();
        }
    };
    let (unbounded, mut unread) = channel::unbounded();
    let busy_sender = async move {
        loop {
            unbounded.send(()).unwrap();
            yield_now().await;
        }
    };
    let (bounded, mut received) = channel::channel(1);
    let waiting_sender = async move { while bounded.send(()).await.is_ok() {} };
    let receiver = async move { while received.recv().await.is_some() {} };
    let busy_receiver = async move { while unread.recv().await.is_some() {} };
    drop((spawn(zero_timer), spawn(busy_reader), spawn(respawning)));
    drop((spawn(busy_sender), spawn(waiting_sender), spawn(receiver), spawn(busy_receiver)));
    // A callback that is called at once, again and again.
    let (always_readable, mut far) = mio_pair();
    far.write_all(b"never read").unwrap();
    let calls = Rc::new(Cell::new(0));
    let called = Rc::clone(&calls);
    let _immediate = on_ready(always_readable, Interest::READABLE, move |_, _| {
        called.set(called.get() + 1);
        Next::Again
    });
    let (mut reader, mut writer) = headwaiter::io::pipe().unwrap();
    let served = Rc::new(Cell::new(false));
    let tell = Rc::clone(&served);
    let reader = spawn(async move {
        loop {
            reader.read(&mut [0; 8]).await.unwrap();
            tell.set(true);
        }
    });
    for _ in 0..100 {
        served.set(false);
        writer.write_all(b"x").await.unwrap();
        let mut turns = 0;
        while !served.get() {
            yield_now().await;
            turns += 1;
            // Each of them polls four tasks at least.
            assert!(turns <= 64 / 4 + 2, "not served after {turns} turns");
        }
    }
    assert!(calls.get() > 1, "the callback was called once only");
    reader.abort();
}

/// calloop 3b0f8de.
#[test]
fn a_source_that_puts_its_replacement_into_its_own_slot_and_returns_remove_leaves_the_replacement()
{
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (first, mut to_first) = mio_pair();
        let (second, mut to_second) = mio_pair();
        type Place = Rc<RefCell<Option<Registration<mio::net::TcpStream>>>>;
        let (own, replacement) = (Place::default(), Place::default());
        let calls = Rc::new(Cell::new(0));
        let (of_first, of_second, counted) =
            (Rc::clone(&own), Rc::clone(&replacement), Rc::clone(&calls));
        let mut second = Some(second);
        let registration = event_loop.enter(|| {
            on_ready(first, Interest::READABLE, move |_, _| {
                drop(of_first.borrow_mut().take());
                let counted = Rc::clone(&counted);
                let registration =
                    on_ready(second.take().unwrap(), Interest::READABLE, move |_, _| {
                        counted.set(counted.get() + 1);
                        Next::Continue
                    });
                *of_second.borrow_mut() = Some(registration.unwrap());
                Next::Remove
            })
        });
        *own.borrow_mut() = Some(registration.unwrap());
        to_first.write_all(b"x").unwrap();
        event_loop.turn(None).unwrap();
        to_second.write_all(b"x").unwrap();
        event_loop.turn(None).unwrap();
        assert_eq!(calls.get(), 1);
        event_loop.enter(|| drop(replacement.take()));
    });
}

/// trio #1272.
#[test]
#[cfg(unix)]
fn an_fd_closed_behind_the_back_of_the_loop_is_an_error_or_success_but_no_panic() {
    use std::os::fd::AsRawFd;
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        // The callback's source is a number only; what it stands for is closed, and the number reused.
        let (server, client) = std_pair();
        server.set_nonblocking(true).unwrap();
        struct Fd(std::os::fd::RawFd);
        impl mio::event::Source for Fd {
            fn register(
                &mut self,
                r: &mio::Registry,
                t: mio::Token,
                i: Interest,
            ) -> io::Result<()> {
                mio::unix::SourceFd(&self.0).register(r, t, i)
            }
            fn reregister(
                &mut self,
                r: &mio::Registry,
                t: mio::Token,
                i: Interest,
            ) -> io::Result<()> {
                mio::unix::SourceFd(&self.0).reregister(r, t, i)
            }
            fn deregister(&mut self, r: &mio::Registry) -> io::Result<()> {
                mio::unix::SourceFd(&self.0).deregister(r)
            }
        }
        let fd = server.as_raw_fd();
        let registration = event_loop
            .enter(|| on_ready(Fd(fd), Interest::READABLE, |_, _| Next::Continue))
            .unwrap();
        drop((server, client));
        let (reused, _peer) = std_pair();
        event_loop.turn(Some(ms(1))).unwrap();
        event_loop.enter(|| drop(registration));
        drop(reused);
        assert_eq!(event_loop.block_on(async { 5 }), 5);
    });
}

with_both_streams! {
    /// mio #933.
    fn a_half_closed_peer_with_a_full_send_buffer_costs_no_busy_loop(pair) {
        bounded(|| {
            let mut event_loop = EventLoop::new().unwrap();
            let (mut server, client) = event_loop.block_on(async { pair().await.unwrap() });
            let task = event_loop.enter(|| {
                spawn(async move {
                    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
                    server.write_all(&vec![0; 64 << 20]).await
                })
            });
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let mut turns = 0;
            let start = Instant::now();
            while start.elapsed() < ms(300) {
                event_loop.turn(Some(ms(300))).unwrap();
                turns += 1;
            }
            assert!(turns < 6, "{turns} turns, each with a wait, in 0.3 seconds");
            event_loop.enter(|| task.abort());
        });
    }
}

/// mio 8e5a4b5e.
#[headwaiter::test(within = "60s")]
async fn a_peek_that_would_block_is_woken_by_data() {
    let _beside_others = beside_other_tests();
    let (mut client, server) = tcp_pair().await.unwrap();
    let peeker = spawn(async move {
        let mut byte = [0];
        for _ in 0..3 {
            assert_eq!(server.peek(&mut byte).await.unwrap(), 1);
        }
        server
    });
    yield_now().await;
    client.write_all(b"xy").await.unwrap();
    let mut server = peeker.await.unwrap();
    let mut both = [0; 2];
    server.read_exact(&mut both).await.unwrap();
    assert_eq!(&both, b"xy");
}

#[headwaiter::test(within = "60s")]
async fn connect_to_a_closed_port_is_refused_once_and_names_the_address() {
    let _beside_others = beside_other_tests();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let again = TcpListener::bind(address).await.unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    assert!(again.to_string().contains(&address.to_string()), "{again}");
    drop(listener);
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(refused.to_string().contains(&address.to_string()), "{refused}");
    let none: &[std::net::SocketAddr] = &[];
    assert_eq!(TcpStream::connect(none).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    // The second address answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let both = [address, listener.local_addr().unwrap()];
    assert_eq!(TcpStream::connect(&both[..]).await.unwrap().peer_addr().unwrap(), both[1]);
}

#[test]
fn a_connect_dropped_half_way_leaves_nothing() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // With hardly any backlog, the kernel leaves most connects in progress.
        #[cfg(target_os = "linux")]
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        event_loop.block_on(async {
            for _ in 0..20 {
                assert!(poll_once(&mut TcpStream::connect(address)).await.is_pending());
            }
        });
        let turn = event_loop.turn(Some(ms(1))).unwrap();
        assert_eq!((turn.polls, turn.events), (0, 0));
    });
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn timers_of_every_length_fire_when_they_are_due() {
    let _beside_others = beside_other_tests();
    let days = Duration::from_secs(24 * 3600);
    let lengths = [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_micros(999),
        ms((1 << 31) - 1),
        ms(1 << 31),
        ms((1 << 31) + 1),
        ms(1 << 32),
        100 * days,
        10_000 * days,
    ];
    let start = time::now();
    let tasks: Vec<_> = lengths
        .into_iter()
        .map(|length| {
            spawn(async move {
                sleep(length).await;
                assert_eq!(time::now() - start, length);
            })
        })
        .collect();
    let far = [ms(1 << 63), Duration::MAX, Duration::from_secs(u64::MAX / 2)]
        .map(|far| spawn(sleep(far)));
    for task in tasks {
        task.await.unwrap();
    }
    far.iter().for_each(headwaiter::task::JoinHandle::abort);
    let past = time::now() - ms(1);
    time::sleep_until(past).await;
    assert!(timeout(Duration::MAX, async {}).await.is_ok());
}

/// mio 1.2.1: a wait of more milliseconds than an `int` holds.
#[test]
fn a_far_timer_does_not_end_the_wait() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        for far in [ms(1 << 31), ms(1 << 32), ms(1 << 63), Duration::MAX] {
            // Dropped inside the loop: from outside that would be a message, which ends a wait.
            let task = event_loop.enter(|| spawn(sleep(far)));
            event_loop.turn(Some(Duration::ZERO)).unwrap();
            let start = Instant::now();
            let turn = event_loop.turn(Some(ms(5))).unwrap();
            assert!(start.elapsed() >= ms(5) && turn.timers == 0);
            event_loop.enter(|| drop(task));
        }
    });
}

/// mio 0.8.5.
#[test]
fn short_sleeps_are_never_early_and_take_a_bounded_number_of_waits() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let task = event_loop.enter(|| {
            spawn(async {
                for _ in 0..1000 {
                    let start = Instant::now();
                    sleep(Duration::from_micros(100)).await;
                    assert!(start.elapsed() >= Duration::from_micros(100));
                }
            })
        });
        let mut turns = 0;
        while !event_loop.enter(|| task.is_finished()) {
            event_loop.turn(None).unwrap();
            turns += 1;
        }
        assert!(turns < 1000 * 3, "{turns} turns for 1,000 sleeps");
        event_loop.block_on(task).unwrap();
    });
}

with_both_streams! {
    /// async-io aae2473.
    fn a_million_waits_polled_and_dropped_leave_no_waker(pair) {
        in_loop(|| async {
            let (mut client, server) = pair().await.unwrap();
            assert_eq!(server.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let own = Foreign::new();
            let foreign = Waker::from(Arc::clone(&own));
            for n in 0..1_000_000 {
                let mut wait = server.readable();
                if n % 2 == 0 {
                    assert!(poll_once(&mut wait).await.is_pending());
                } else {
                    assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(&foreign)).is_pending());
                }
            }
            assert_eq!(Arc::strong_count(&own), 2);
            client.write_all(b"x").await.unwrap();
            server.readable().await.unwrap();
            assert_eq!(own.wakes(), 0);
        });
    }
}

/// tokio-core #190.
#[headwaiter::test(within = "60s")]
async fn a_drop_may_spawn_wake_abort_and_register() {
    let _beside_others = beside_other_tests();
    let log = Rc::new(RefCell::new(Vec::new()));
    let tell = |what: &'static str| {
        let log = Rc::clone(&log);
        move || log.borrow_mut().push(what)
    };
    let victim = spawn(Holding(OnDrop(tell("aborted")), |_: &mut Context<'_>| Poll::Pending));
    let (give_waker, take_waker) = mpsc::channel();
    let woken = tell("woken");
    let sleeper = spawn(async move {
        give_waker.send(own_waker().await).unwrap();
        pending_until_woken().await;
        woken();
    });
    yield_now().await;
    let waker = take_waker.recv().unwrap();
    let (server, mut client) = mio_pair();
    let mut server = Some(server);
    let registration = Rc::new(RefCell::new(None));
    let (register, spawned) = (Rc::clone(&registration), tell("spawned"));
    let (called, in_drop, after_abort) =
        (tell("called"), tell("in the drop"), tell("after the abort"));
    let on_drop = OnDrop(move || {
        in_drop();
        drop(spawn({
            let spawned = spawned.clone();
            async move { spawned() }
        }));
        waker.wake_by_ref();
        victim.abort();
        after_abort();
        let called = called.clone();
        let callback = move |_: &mut _, _| {
            called();
            Next::Remove
        };
        *register.borrow_mut() =
            Some(on_ready(server.take().unwrap(), Interest::READABLE, callback));
        drop(sleep(ms(1)));
    });
    let task = spawn(Holding(on_drop, |_: &mut Context<'_>| Poll::Pending));
    yield_now().await;
    task.abort();
    assert_eq!(*log.borrow(), ["in the drop", "aborted", "after the abort"]);
    sleeper.await.unwrap();
    assert_eq!(log.borrow()[3..], ["spawned", "woken"]);
    let registration = registration.take().unwrap().unwrap();
    client.write_all(b"x").unwrap();
    while registration.try_with(|_| ()).is_some() {
        sleep(Duration::ZERO).await;
    }
    assert_eq!(log.borrow()[5..], ["called"]);
}

/// Leaked memory is not freed, and other operations work on. (The futures have nothing on the heap, so a sanitizer sees no leak.)
#[test]
#[cfg(unix)]
fn an_operation_that_is_leaked_half_way_harms_nobody() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            let (mut client, mut server) = tcp_pair().await.unwrap();
            let (mut reader, mut writer) = headwaiter::io::pipe().unwrap();
            // Longer than any other buffer: what is written to it later would be seen.
            let mut bytes = [7; 64];
            for _ in 0..1000 {
                let mut read = server.read(&mut bytes);
                assert!(poll_once(&mut read).await.is_pending());
                std::mem::forget(read);
                let mut read = reader.read(&mut bytes);
                assert!(poll_once(&mut read).await.is_pending());
                std::mem::forget(read);
                let mut readable = server.readable();
                assert!(poll_once(&mut readable).await.is_pending());
                std::mem::forget(readable);
                let mut sleep = sleep(ms(1));
                assert!(poll_once(&mut sleep).await.is_pending());
                std::mem::forget(sleep);
            }
            client.write_all(b"soup").await.unwrap();
            writer.write_all(b"fish").await.unwrap();
            sleep(ms(5)).await; // Their timers fire before this one.
            assert_eq!(bytes, [7; 64], "nothing was read for tasks that are gone");
            let mut dish = [0; 4];
            server.read_exact(&mut dish).await.unwrap();
            assert_eq!(&dish, b"soup");
            assert_eq!(reader.read(&mut dish).await.unwrap(), 4);
            assert_eq!(&dish, b"fish");
        });
        assert_eq!(event_loop.block_on(async { spawn(async { 5 }).await.unwrap() }), 5);
    });
}

#[headwaiter::test(within = "60s")]
async fn a_joined_task_that_is_aborted_is_reported_once() {
    let _beside_others = beside_other_tests();
    let victim = spawn(pending::<()>());
    let handle = Rc::new(RefCell::new(Some(victim)));
    let of_joiner = Rc::clone(&handle);
    let joiner = spawn(async move {
        let mut victim = of_joiner.borrow_mut().take().unwrap();
        let mut polls = 0;
        let joined = poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                victim.abort();
            }
            let joined = Pin::new(&mut victim).poll(cx);
            if polls == 1 {
                cx.waker().wake_by_ref();
            }
            joined
        })
        .await;
        assert!(joined.unwrap_err().is_cancelled());
        panic_text(|| drop(block_on_once(&mut victim)))
    });
    let text = joiner.await.unwrap();
    assert!(text.contains("polled again"), "{text}");
}

fn block_on_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// async-std #644, tokio 0e729aa34.
#[test]
fn dropping_a_loop_inside_another_ends_and_puts_the_outer_one_back() {
    bounded(|| {
        let mut inner = EventLoop::new().unwrap();
        let dropped = Rc::new(Cell::new(false));
        let tell = Rc::clone(&dropped);
        inner.enter(|| {
            let on_drop = OnDrop(move || {
                tell.set(true);
                // On the inner loop, which is dying: dropped at once.
                assert!(spawn(async {}).is_finished());
            });
            drop(spawn(Holding(on_drop, |_: &mut Context<'_>| Poll::Pending)));
        });
        block_on(async move {
            drop(inner);
            assert!(dropped.get());
            assert_eq!(spawn(async { 5 }).await.unwrap(), 5);
        });
    });
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_pinned_timeout_may_be_dropped_at_any_point() {
    let _beside_others = beside_other_tests();
    for polls in 0..3 {
        let mut late = pin!(timeout(ms(1), pending::<()>()));
        for _ in 0..polls {
            let _ = poll_once(&mut late).await;
        }
    }
    sleep(ms(5)).await;
}

/// Found by review: the outer poller's edge was spent by a turn that did not ask the kernel.
#[test]
fn a_turn_of_an_embedder_takes_its_events_though_tasks_are_ready() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (server, mut client) = mio_pair();
        let _registration =
            event_loop.enter(|| on_ready(server, Interest::READABLE, |_, _| Next::Continue));
        client.write_all(b"x").unwrap();
        drop(event_loop.enter(|| spawn(async {})));
        let turn = event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!((turn.events, turn.polls), (1, 1));
    });
}

/// Found by review: it was quadratic, minutes for this many.
#[test]
fn a_loop_with_a_crowd_of_tasks_is_dropped_in_linear_time() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.enter(|| (0..300_000).for_each(|_| drop(spawn(pending::<()>()))));
        drop(event_loop);
    });
}

/// Found by review: the request was not checked again.
#[test]
fn a_remote_abort_is_not_lost_while_the_future_is_being_made() {
    bounded(|| {
        let (give, taken) = mpsc::channel();
        let running = thread::spawn(move || {
            block_on(async {
                give.send((headwaiter::Handle::current(), own_waker().await)).unwrap();
                pending_until_woken().await;
            });
        });
        let (handle, end) = taken.recv().unwrap();
        let (making, aborted) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (of_make, of_make_too) = (Arc::clone(&making), Arc::clone(&aborted));
        let remote = handle.spawn(move || {
            of_make.wait();
            of_make_too.wait();
            pending::<()>()
        });
        making.wait();
        remote.abort();
        aborted.wait();
        assert!(remote.wait().unwrap_err().is_cancelled());
        end.wake();
        running.join().unwrap();
    });
}

/// Found by review: a read stops before urgent data, which is no short read.
#[headwaiter::test(within = "60s")]
#[cfg(target_os = "linux")]
async fn urgent_data_does_not_stall_a_stream() {
    use rustix::net::{SendFlags, send};
    let _beside_others = beside_other_tests();
    let (client, mut server) = tcp_pair().await.unwrap();
    for _ in 0..50 {
        send(&client, b"a", SendFlags::empty()).unwrap();
        send(&client, b"U", SendFlags::OOB).unwrap();
        send(&client, b"bcd", SendFlags::empty()).unwrap();
        let mut bytes = [0; 8];
        let mut got = 0;
        while got < 4 {
            got += server.read(&mut bytes).await.unwrap();
        }
    }
}

/// Found by review: two panics in one unwinding end the process, and one lost the rest of the mail.
#[test]
fn wakers_whose_drops_panic_harm_nobody_else() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let panicking = || foreign_owning(OnDrop(|| panic!("a waker whose drop panics")), |_| ());
        let (stream, _peer) = event_loop.block_on(async { tcp_pair().await.unwrap() });
        event_loop.enter(|| {
            use futures_lite::AsyncRead;
            for _ in 0..3 {
                let waker = panicking();
                let mut cx = Context::from_waker(&waker);
                assert!(Pin::new(&mut &stream).poll_read(&mut cx, &mut [0]).is_pending());
                drop(waker); // The last one is the loop's.
            }
        });
        event_loop.enter(|| drop(stream));
        // By message from another thread, with more mail behind it.
        let mut sleep = event_loop.enter(|| sleep(ms(1_000_000)));
        event_loop.enter(|| {
            let waker = panicking();
            assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
            drop(waker);
        });
        let handle = event_loop.handle();
        let after = thread::spawn(move || {
            drop(sleep);
            handle.spawn(|| async { 5 })
        });
        let after = after.join().unwrap();
        assert_eq!(event_loop.block_on(after).unwrap(), 5);
    });
}

with_both_streams! {
    /// Found by review: an idle connection read anew by one combinator after another.
    fn abandoned_polls_of_a_stream_do_not_pile_up(pair) {
        in_loop(|| async {
            use futures_lite::AsyncRead;
            let (stream, _peer) = pair().await.unwrap();
            let inert: Vec<_> = (0..10_000).map(|_| Foreign::new()).collect();
            for waker in &inert {
                let waker = Waker::from(Arc::clone(waker));
                let mut cx = Context::from_waker(&waker);
                assert!(Pin::new(&mut &stream).poll_read(&mut cx, &mut [0]).is_pending());
            }
            let kept = inert.iter().filter(|waker| Arc::strong_count(waker) > 1).count();
            assert!(kept <= 1025, "{kept} wakers kept");
        });
    }
}

/// Found by review: the drop of one value used another, which had lost its slot.
#[test]
fn what_a_dying_loop_drops_may_use_the_rest_of_it() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (goodbye, _peer) = event_loop.block_on(async { tcp_pair().await.unwrap() });
        let (server, _client) = mio_pair();
        let said = Rc::new(Cell::new(0));
        let saying = Rc::clone(&said);
        let on_drop = OnDrop(move || {
            // It works or it is an error, whatever was dropped before.
            let _ = goodbye.try_write(b"bye");
            let (another, _) = mio_pair();
            assert!(on_ready(another, Interest::READABLE, |_, _| Next::Continue).is_err());
            assert!(spawn(async {}).is_finished());
            saying.set(saying.get() + 1);
        });
        event_loop.enter(|| {
            let callback = move |_: &mut mio::net::TcpStream, _| {
                let _ = &on_drop;
                Next::Continue
            };
            on_ready(server, Interest::READABLE, callback).unwrap().detach();
        });
        // And a message that is never read.
        let unread = OnDrop(|| ());
        drop(event_loop.handle().spawn(move || {
            let _ = &unread;
            async {}
        }));
        drop(event_loop);
        assert_eq!(said.get(), 1);
    });
}

/// Found by review: the end was reported first.
#[test]
fn a_remote_future_is_dropped_before_its_end_is_reported() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        for panics in [false, true] {
            let count = Arc::clone(&dropped);
            let remote = event_loop.handle().spawn(move || {
                let on_drop = OnDrop(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                });
                Holding(on_drop, move |_: &mut Context<'_>| {
                    assert!(!panics, "a remote future that panics");
                    Poll::Ready(())
                })
            });
            let before = dropped.load(Ordering::SeqCst);
            let seen = Arc::clone(&dropped);
            let _ = event_loop.block_on(async move {
                let result = remote.await;
                assert_eq!(seen.load(Ordering::SeqCst), before + 1);
                result
            });
        }
    });
}

/// Found by review: outside a task the budget was never refilled.
#[test]
fn code_that_cannot_yield_has_no_budget() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (mut client, mut server) = event_loop.block_on(async { tcp_pair().await.unwrap() });
        event_loop.enter(|| {
            futures_lite::future::block_on(async {
                for _ in 0..1000 {
                    client.write_all(b"x").await.unwrap();
                    server.read_exact(&mut [0]).await.unwrap();
                }
            });
        });
    });
}

/// Found by review: short turns made it shorter.
#[test]
fn the_virtual_clock_waits_for_the_whole_grace_in_however_many_turns() {
    bounded(|| {
        let grace = Duration::from_millis(200);
        let builder = EventLoop::builder().clock(headwaiter::Clock::Virtual).io_grace(grace);
        let mut event_loop = builder.build().unwrap();
        let (mut stream, mut peer) = event_loop.enter(|| {
            let (server, client) = std_pair();
            (TcpStream::from_std(server).unwrap(), client)
        });
        let task = event_loop.enter(|| {
            spawn(async move { timeout(ms(50), stream.read(&mut [0; 4])).await.is_ok() })
        });
        for _ in 0..5 {
            event_loop.turn(Some(ms(1))).unwrap();
        }
        peer.write_all(b"late").unwrap();
        assert!(event_loop.block_on(task).unwrap(), "the clock jumped before the grace was over");
    });
}

/// Found by review: it stood still for ever.
#[test]
fn waiting_for_a_remote_task_on_the_thread_of_its_loop_is_named_a_mistake() {
    bounded(|| {
        let event_loop = EventLoop::new().unwrap();
        let remote = event_loop.handle().spawn(|| async {});
        let text = panic_text(|| _ = remote.wait());
        assert!(text.contains("the thread of the loop") && text.contains("block_on"), "{text}");
    });
}

/// Found by review: only tasks that wait on a socket were held to their share.
#[headwaiter::test(within = "60s")]
async fn binding_and_joining_for_ever_yields_too() {
    let _beside_others = beside_other_tests();
    let turns = Rc::new(Cell::new(0));
    let counted = Rc::clone(&turns);
    let counting = spawn(async move {
        loop {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    for _ in 0..300 {
        drop(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    assert!(turns.get() >= 2, "{} turns in 300 binds", turns.get());
    counting.abort();
}

/// Found by review: aborted, but still in the queue.
#[test]
fn next_deadline_does_not_count_a_task_that_was_aborted() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.enter(|| spawn(pending::<()>()).abort());
        assert_eq!(event_loop.next_deadline(), None);
    });
}

/// Found by review: its slot was leaked.
#[headwaiter::test(within = "60s")]
async fn a_source_whose_registration_panics_leaves_the_loop_usable() {
    struct Panics;
    impl mio::event::Source for Panics {
        fn register(&mut self, _: &mio::Registry, _: mio::Token, _: Interest) -> io::Result<()> {
            panic!("a source that panics");
        }
        fn reregister(&mut self, _: &mio::Registry, _: mio::Token, _: Interest) -> io::Result<()> {
            Ok(())
        }
        fn deregister(&mut self, _: &mio::Registry) -> io::Result<()> {
            Ok(())
        }
    }
    let _beside_others = beside_other_tests();
    let text = panic_text(|| _ = on_ready(Panics, Interest::READABLE, |_, _| Next::Continue));
    assert_eq!(text, "a source that panics");
    assert!(tcp_pair().await.is_ok());
}

with_both_streams! {
    fn split_halves_work_in_two_tasks_and_can_be_reunited(pair) {
        in_loop(|| async {
            use futures_lite::{AsyncReadExt, AsyncWriteExt};
            let (client, server) = pair().await.unwrap();
            let (mut from_client, mut to_client) = server.into_split();
            let echo = spawn(async move {
                futures_lite::io::copy(&mut from_client, &mut to_client).await.unwrap();
                (from_client, to_client)
            });
            let (mut from_server, mut to_server) = client.into_split();
            to_server.write_vectored(&[io::IoSlice::new(b"so"), io::IoSlice::new(b"up")]).await.unwrap();
            let (mut so, mut up) = ([0; 2], [0; 2]);
            let mut both = [io::IoSliceMut::new(&mut so), io::IoSliceMut::new(&mut up)];
            assert_eq!(from_server.read_vectored(&mut both).await.unwrap(), 4);
            assert_eq!((&so, &up), (b"so", b"up"));
            // Dropping the half that writes is the end for the peer.
            let other = pair().await.unwrap().0.into_split();
            let headwaiter::net::ReuniteError(from_server, _) = from_server.reunite(other.1).unwrap_err();
            drop(to_server);
            let (from_client, to_client) = echo.await.unwrap();
            let server = from_client.reunite(to_client).unwrap();
            assert!(server.peer_addr().is_ok());
            drop(from_server);
            let late = time::timeout_at(Instant::now() + ms(1), pending::<()>()).await;
            assert_eq!(io::Error::from(late.unwrap_err()).kind(), io::ErrorKind::TimedOut);
        });
    }
}

/// Found by review: the event of the inbox, which had been emptied before, used up the whole grace period.
#[test]
fn a_message_does_not_take_the_kernel_its_grace() {
    bounded(|| {
        let builder = EventLoop::builder().clock(headwaiter::Clock::Virtual);
        let mut event_loop = builder.io_grace(Duration::from_secs(20)).build().unwrap();
        event_loop.block_on(async {
            let (mut stream, peer) = tcp_pair().await.unwrap();
            drop(headwaiter::Handle::current().spawn(|| async {}));
            yield_now().await;
            let mut peer = peer.into_std().unwrap();
            let writer = thread::spawn(move || peer.write_all(b"x").unwrap());
            let read = timeout(Duration::from_secs(3600), stream.read(&mut [0])).await;
            assert_eq!(read.expect("not before the grace is over").unwrap(), 1);
            writer.join().unwrap();
        });
    });
}

/// Found by review: the neighbours of a timer that was removed were not updated.
#[test]
fn a_dying_loop_may_drop_timers_that_stand_beside_each_other() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let deadline = Instant::now() + Duration::from_secs(3600);
        event_loop.enter(|| {
            let mut owned: Vec<_> = (0..10).map(|_| time::sleep_until(deadline)).collect();
            let mut first = time::sleep_until(deadline);
            let owner = Arc::new(std::sync::Mutex::new(Vec::new()));
            let waker = foreign_owning(Arc::clone(&owner), |_| ());
            assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
            for sleep in &mut owned {
                assert!(Pin::new(sleep).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            *owner.lock().unwrap() = owned;
            drop(owner);
            std::mem::forget(first); // Its slot stays, and with it the waker that owns the others.
        });
        drop(event_loop);
    });
}

/// Ports of programs compare `raw_os_error` with `libc::E...`: an error that names its path or address has it one layer down.
/// Unlike tokio: there, errors name no path or address, and `raw_os_error` has the number.
#[test]
#[cfg(target_os = "linux")]
fn the_number_of_an_os_error_is_told_whatever_the_error_is_about() {
    use headwaiter::fs::{self, File};
    use headwaiter::io::os_error;
    use headwaiter::net::{UdpSocket, UnixDatagram, UnixListener, UnixStream};
    use headwaiter::process::Command;
    const ENOENT: i32 = 2;
    const EBADF: i32 = 9;
    const EMSGSIZE: i32 = 90;
    const EADDRINUSE: i32 = 98;
    const ECONNREFUSED: i32 = 111;
    // It starts a child process.
    alone(|| {
        block_on(async {
            let folder = Folder::new();
            let gone = folder.path("gone");
            let number = |error: io::Error| os_error(&error);
            assert_eq!(fs::read(&gone).await.map_err(number), Err(Some(ENOENT)));
            assert_eq!(fs::rename(&gone, &gone).await.map_err(number), Err(Some(ENOENT)));
            assert_eq!(fs::read_dir(&gone).await.map(drop).map_err(number), Err(Some(ENOENT)));
            assert_eq!(File::open(&gone).await.map(drop).map_err(number), Err(Some(ENOENT)));
            fs::write(folder.path("soup"), "tomato").await.unwrap();
            let mut soup = File::open(folder.path("soup")).await.unwrap();
            assert_eq!(soup.write(b"x").await.map_err(number), Err(Some(EBADF)));
            assert_eq!(
                UnixStream::connect(&gone).await.map(drop).map_err(number),
                Err(Some(ENOENT))
            );
            assert_eq!(
                UnixListener::bind(folder.path("soup")).map(drop).map_err(number),
                Err(Some(EADDRINUSE))
            );
            let unix = UnixDatagram::unbound().unwrap();
            assert_eq!(unix.send_to(b"x", &gone).await.map_err(number), Err(Some(ENOENT)));
            assert_eq!(unix.connect(&gone).map_err(number), Err(Some(ENOENT)));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            assert_eq!(
                TcpListener::bind(address).await.map(drop).map_err(number),
                Err(Some(EADDRINUSE))
            );
            drop(listener);
            assert_eq!(
                TcpStream::connect(address).await.map(drop).map_err(number),
                Err(Some(ECONNREFUSED))
            );
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            assert_eq!(
                udp.send_to(&[0; 70_000], address).await.map_err(number),
                Err(Some(EMSGSIZE))
            );
            assert_eq!(udp.try_send_to(&[0; 70_000], address).map_err(number), Err(Some(EMSGSIZE)));
            assert_eq!(Command::new(&gone).spawn().map(drop).map_err(number), Err(Some(ENOENT)));
            // And through a layer of the caller's own.
            let wrapped = io::Error::other(fs::read(&gone).await.unwrap_err());
            assert_eq!(os_error(&wrapped), Some(ENOENT));
            // The end of a file is no error of the operating system.
            assert_eq!(soup.read_exact(&mut [0; 10]).await.map_err(number), Err(None));
        });
    });
}
