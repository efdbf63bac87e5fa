//! Operations of a user's own on what the kernel watches: `try_io`, `async_io` and `ready`, and the `poll_` methods, which keep one waiter
//! for each direction.
#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use crate::support::*;
use futures_lite::future::{poll_once, zip};
use headwaiter::io::{Async, pipe};
use headwaiter::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use headwaiter::sync::{Mutex, Notify, oneshot};
use headwaiter::task::yield_now;
use headwaiter::time::timeout;
use headwaiter::{Deadlock, EventLoop, Interest, spawn, stats};
use rustix::net::{RecvFlags, SendFlags};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (one, other) =
        zip(TcpStream::connect(listener.local_addr().unwrap()), listener.accept()).await;
    (one.unwrap(), other.unwrap().0)
}

fn recv(socket: &impl std::os::fd::AsFd, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::empty())?.0)
}

#[headwaiter::test(within = "60s")]
async fn a_system_call_of_ones_own_inside_try_io_makes_the_next_readable_wait() {
    let _beside_others = beside_other_tests();
    let (mut client, server) = connected().await;
    let reader = spawn(async move {
        let mut tries = 0;
        loop {
            server.readable().await.unwrap();
            tries += 1;
            match server.try_io(Interest::READABLE, || recv(&server, &mut [0; 8])) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return (result.unwrap(), tries),
            }
        }
    });
    // The loop sleeps in here, which it does not if the reader spins.
    let before = stats().turns;
    assert!(timeout(Duration::from_millis(30), std::future::pending::<()>()).await.is_err());
    assert!(stats().turns - before < 10, "{} turns", stats().turns - before);
    client.write_all(b"soup").await.unwrap();
    assert_eq!(reader.await.unwrap(), (4, 2), "one try that would block, and one that reads");
}

#[headwaiter::test(within = "60s")]
async fn async_io_tries_until_the_operation_does_not_block() {
    let _beside_others = beside_other_tests();
    let (mut server, client) = connected().await;
    let mut tries = 0;
    let mut order = [0; 8];
    let reading = client.async_io(Interest::READABLE, || {
        tries += 1;
        recv(&client, &mut order)
    });
    let (read, written) = zip(reading, server.write_all(b"soup")).await;
    written.unwrap();
    assert_eq!((read.unwrap(), tries), (4, 2));
    assert_eq!(&order[..4], b"soup");

    // `Interrupted` is tried again; other errors are handed through.
    let mut results = [ErrorKind::Interrupted, ErrorKind::InvalidData].into_iter();
    let failing =
        client.async_io(Interest::WRITABLE, || Err::<(), _>(results.next().unwrap().into()));
    assert_eq!(failing.await.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[headwaiter::test(within = "60s")]
async fn async_io_for_both_directions_goes_on_when_either_is_ready() {
    let _beside_others = beside_other_tests();
    let (client, mut server) = connected().await;
    // Neither, for the loop's knowledge.
    let would_block = || Err::<(), _>(ErrorKind::WouldBlock.into());
    assert!(client.try_io(BOTH, would_block).is_err());
    let mut order = [0; 8];
    let mut either = Box::pin(client.async_io(BOTH, || recv(&client, &mut order)));
    assert!(poll_once(&mut either).await.is_none());
    server.write_all(b"soup").await.unwrap();
    assert_eq!(either.await.unwrap(), 4);
}

/// As of a read: the next would block, and need not be tried.
#[headwaiter::test(within = "60s")]
async fn a_short_try_read_makes_the_next_readable_wait() {
    let _beside_others = beside_other_tests();
    let (mut client, server) = connected().await;
    let (reader, mut writer) = pipe().unwrap();
    for _ in 0..3 {
        client.write_all(b"soup").await.unwrap();
        writer.write_all(b"soup").await.unwrap();
        server.readable().await.unwrap();
        reader.readable().await.unwrap();
        assert_eq!(server.try_read(&mut [0; 8]).unwrap(), 4);
        assert_eq!(reader.try_read(&mut [0; 8]).unwrap(), 4);
        assert!(poll_once(server.readable()).await.is_none());
        assert!(poll_once(reader.readable()).await.is_none());
    }
    // A read that fills its buffer does not clear readiness, and the EOF is still to come.
    client.write_all(b"soup").await.unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.readable().await.unwrap();
    assert_eq!(server.try_read(&mut [0; 4]).unwrap(), 4);
    server.readable().await.unwrap();
    assert_eq!(server.try_read(&mut [0; 4]).unwrap(), 0);
    // A short write: the buffer is full.
    while takes_all(&server) {}
    assert!(poll_once(server.writable()).await.is_none());
}

/// Whether a write was not short.
fn takes_all(stream: &TcpStream) -> bool {
    let buf = vec![0; 1 << 20];
    stream.try_write(&buf).is_ok_and(|n| n == buf.len())
}

#[headwaiter::test(within = "60s")]
async fn ready_tells_for_what_and_try_io_of_one_direction_leaves_the_other() {
    let _beside_others = beside_other_tests();
    let (client, server) = connected().await;
    let would_block = || Err::<(), _>(ErrorKind::WouldBlock.into());
    assert!(client.try_io(Interest::READABLE, would_block).is_err());
    let ready = client.ready(BOTH).await.unwrap();
    assert!(ready.is_writable() && !ready.is_readable(), "{ready}");
    assert!(poll_once(client.ready(Interest::READABLE)).await.is_none());

    server.shutdown(Shutdown::Write).unwrap();
    let ready = client.ready(Interest::READABLE).await.unwrap();
    assert!(ready.is_readable() && ready.is_read_closed() && !ready.is_writable(), "{ready}");
}

#[test]
fn try_io_calls_nothing_outside_the_loop_of_its_source() {
    let mut event_loop = EventLoop::new().unwrap();
    let (stream, _other) = event_loop.block_on(connected());
    let called = Cell::new(false);
    let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = stream.try_io(Interest::READABLE, || {
            called.set(true);
            Ok(())
        });
    }));
    assert!(tried.is_err() && !called.get());
}

#[headwaiter::test(within = "60s")]
async fn every_source_has_the_methods() {
    let _beside_others = beside_other_tests();
    macro_rules! has {
        ($($source:expr),*) => {$({
            let source = &$source;
            assert_eq!(source.try_io(Interest::READABLE, || Ok(1)).unwrap(), 1);
            assert_eq!(source.async_io(Interest::READABLE, || Ok(2)).await.unwrap(), 2);
            source.ready(Interest::READABLE).await.unwrap();
        })*};
    }
    let path = std::env::temp_dir().join(format!("headwaiter-readiness-{}", std::process::id()));
    let unix = UnixListener::bind(&path);
    std::fs::remove_file(&path).unwrap();
    let (one, other) = pipe().unwrap();
    has!(connected().await.1, TcpListener::bind("127.0.0.1:0").await.unwrap());
    has!(UdpSocket::bind("127.0.0.1:0").await.unwrap(), UnixDatagram::unbound().unwrap());
    has!(UnixStream::pair().unwrap().0, unix.unwrap(), one, other);
    has!(Async::new(std::os::unix::net::UnixStream::pair().unwrap().0).unwrap());
}

#[headwaiter::test(within = "60s")]
async fn of_all_that_poll_for_readiness_the_last_task_is_woken_and_only_it() {
    let _beside_others = beside_other_tests();
    let (client, mut server) = connected().await;
    let client = Rc::new(client);
    let would_block = || Err::<(), _>(ErrorKind::WouldBlock.into());
    assert!(client.try_io(Interest::READABLE, would_block).is_err());
    let polls = Rc::new([const { Cell::new(0) }; 3]);
    let tasks: Vec<_> = (0..3)
        .map(|number| {
            let (client, polls) = (Rc::clone(&client), Rc::clone(&polls));
            spawn(poll_fn(move |cx| {
                polls[number].set(polls[number].get() + 1);
                client.poll_readable(cx)
            }))
        })
        .collect();
    yield_now().await;
    assert_eq!(polls.each_ref().map(Cell::get), [1, 1, 1]);
    server.write_all(b"soup").await.unwrap();
    let mut tasks = tasks.into_iter();
    let (first, second, last) =
        (tasks.next().unwrap(), tasks.next().unwrap(), tasks.next().unwrap());
    last.await.unwrap().unwrap();
    assert_eq!(polls.each_ref().map(Cell::get), [1, 1, 2]);
    first.abort();
    second.abort();
}

#[headwaiter::test(within = "60s")]
async fn a_poll_in_each_direction_keeps_a_waiter_of_its_own() {
    let _beside_others = beside_other_tests();
    let (client, mut server) = connected().await;
    while client.try_write(&[0; 65536]).is_ok() {}
    assert_eq!(client.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let woken = spawn(async move {
        let mut ready = [false; 2];
        poll_fn(|cx| {
            ready[0] |= client.poll_readable(cx).is_ready();
            ready[1] |= client.poll_writable(cx).is_ready();
            if ready == [true, true] { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
    yield_now().await;
    server.write_all(b"soup").await.unwrap();
    let mut buf = vec![0; 1 << 20];
    while !woken.is_finished() {
        let _ = poll_once(server.read(&mut buf)).await;
        yield_now().await;
    }
    woken.await.unwrap();
}

/// A task polls for readiness, as a connection does, and then waits for a lock that is never released.
#[test]
fn a_waiter_that_poll_readable_left_hides_no_deadlock_of_its_task() {
    bounded(|| {
        EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap().block_on(async {
            let (client, _server) = connected().await;
            assert!(client.try_read(&mut [0]).is_err());
            let (left, right) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
            let (other_left, other_right) = (Rc::clone(&left), Rc::clone(&right));
            let one = spawn(async move {
                let _left = left.lock().await;
                poll_once(poll_fn(|cx| client.poll_readable(cx))).await;
                yield_now().await;
                let _right = right.lock().await;
            });
            let other = spawn(async move {
                let _right = other_right.lock().await;
                yield_now().await;
                let _left = other_left.lock().await;
            });
            let ends = [one.await, other.await];
            let failed: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
            assert!(matches!(failed[..], [error] if error.is_deadlock()), "{ends:?}");
        });
    });
}

/// A future that asks once, and in later polls only tries, is woken all the same: so the loop can still be woken.
#[test]
fn a_waiter_that_was_left_once_is_no_quiescence() {
    bounded(|| {
        let (polled, is_polled) = std::sync::mpsc::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            is_polled.recv().unwrap();
            (0..1000).for_each(|_| std::thread::yield_now()); // Mostly the loop sleeps by then.
            io::Write::write_all(&mut stream, b"soup").unwrap();
        });
        EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap().block_on(async {
            let client = TcpStream::connect(address).await.unwrap();
            assert!(poll_once(poll_fn(|cx| client.poll_readable(cx))).await.is_none());
            yield_now().await;
            let notify = Notify::new();
            let mut notified = std::pin::pin!(notify.notified());
            let read = poll_fn(|cx| {
                let _ = notified.as_mut().poll(cx);
                let _ = polled.send(());
                client.try_read(&mut [0; 8]).map_or(Poll::Pending, Poll::Ready)
            });
            assert_eq!(read.await, 4);
        });
        peer.join().unwrap();
    });
}

#[test]
fn a_task_that_waits_by_poll_readable_alone_is_not_reported() {
    let said = logged::logged(log::LevelFilter::Info, || {
        EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap().block_on(async {
            let (client, mut server) = connected().await;
            assert!(client.try_read(&mut [0]).is_err());
            let (done, is_done) = oneshot::channel();
            let waits = spawn(async move {
                poll_fn(|cx| client.poll_readable(cx)).await.unwrap();
                done.send(()).unwrap();
            });
            let server = spawn(async move {
                yield_now().await;
                assert!(
                    timeout(Duration::from_millis(20), std::future::pending::<()>()).await.is_err()
                );
                server.write_all(b"soup").await.unwrap();
                server
            });
            is_done.await.unwrap();
            waits.await.unwrap();
            drop(server.await.unwrap());
        });
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[headwaiter::test(within = "60s")]
async fn connections_come_by_poll_accept() {
    let _beside_others = beside_other_tests();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(poll_once(poll_fn(|cx| listener.poll_accept(cx))).await.is_none());
    let accepting = spawn(async move {
        let mut came = Vec::new();
        poll_fn(|cx| {
            while came.len() < 3 {
                came.push(ready!(listener.poll_accept(cx)).unwrap());
            }
            Poll::Ready(())
        })
        .await;
        came
    });
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    let came = accepting.await.unwrap();
    let peers: Vec<_> = came.iter().map(|(_, peer)| *peer).collect();
    assert_eq!(
        peers,
        clients.iter().map(|client| client.local_addr().unwrap()).collect::<Vec<_>>()
    );
}

#[headwaiter::test(within = "60s")]
async fn datagrams_come_and_go_by_polls() {
    let _beside_others = beside_other_tests();
    let kitchen = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let guest = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (to, from) = (kitchen.local_addr().unwrap(), guest.local_addr().unwrap());
    let mut order = [0; 8];
    let (received, sent) = zip(
        poll_fn(|cx| kitchen.poll_recv_from(cx, &mut order)),
        poll_fn(|cx| guest.poll_send_to(cx, b"soup", to)),
    )
    .await;
    assert_eq!((received.unwrap(), sent.unwrap()), ((4, from), 4));

    guest.connect(to).await.unwrap();
    kitchen.connect(from).await.unwrap();
    assert_eq!(poll_fn(|cx| guest.poll_send(cx, b"bread")).await.unwrap(), 5);
    assert_eq!(poll_fn(|cx| kitchen.poll_peek_from(cx, &mut order)).await.unwrap(), (5, from));
    assert_eq!(poll_fn(|cx| kitchen.poll_recv(cx, &mut order)).await.unwrap(), 5);
    assert_eq!(&order[..5], b"bread");
    let too_long = vec![0; 70_000];
    let error = poll_fn(|cx| guest.poll_send_to(cx, &too_long, to)).await.unwrap_err();
    assert!(error.to_string().contains(&to.to_string()), "{error}");

    let (one, other) = UnixDatagram::pair().unwrap();
    let (received, sent) = zip(
        poll_fn(|cx| one.poll_recv_from(cx, &mut order)),
        poll_fn(|cx| other.poll_send(cx, b"tea")),
    )
    .await;
    assert_eq!((received.unwrap().0, sent.unwrap()), (3, 3));
    other.send(b"tea").await.unwrap();
    assert_eq!(poll_fn(|cx| one.poll_recv(cx, &mut order)).await.unwrap(), 3);
}

#[headwaiter::test(within = "60s")]
async fn a_peek_by_poll_leaves_the_bytes() {
    let _beside_others = beside_other_tests();
    let (client, mut server) = connected().await;
    server.write_all(b"soup").await.unwrap();
    let mut order = [0; 8];
    for _ in 0..2 {
        assert_eq!(poll_fn(|cx| client.poll_peek(cx, &mut order)).await.unwrap(), 4);
    }
    assert_eq!(poll_fn(|cx| client.poll_peek(cx, &mut [])).await.unwrap(), 0);
    assert_eq!(client.try_read(&mut order).unwrap(), 4);
}

#[headwaiter::test(within = "60s")]
async fn polls_spend_the_budget_of_their_task() {
    let _beside_others = beside_other_tests();
    let (client, _server) = connected().await;
    let mut refused = 0;
    poll_fn(|cx| {
        refused = (0..200).filter(|_| client.poll_writable(cx).is_pending()).count();
        Poll::Ready(())
    })
    .await;
    assert!((30..100).contains(&refused), "{refused}");
}

#[headwaiter::test(within = "60s")]
async fn a_write_of_ones_own_waits_for_room_on_a_quiet_socket_too() {
    let _beside_others = beside_other_tests();
    let (one, other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let one = UnixDatagram::from_std(one).unwrap();
    let send = || Ok(rustix::net::send(&one, b"soup", SendFlags::NOSIGNAL)?);
    let mut sent = 0;
    while one.try_io(Interest::WRITABLE, send).is_ok() {
        sent += 1;
    }
    let mut waiting = Box::pin(one.async_io(Interest::WRITABLE, send));
    assert!(poll_once(&mut waiting).await.is_none());
    assert!(poll_once(poll_fn(|cx| one.poll_writable(cx))).await.is_none());
    for _ in 0..sent {
        other.recv(&mut [0; 8]).unwrap();
    }
    assert_eq!(waiting.await.unwrap(), 4);
}

#[headwaiter::test(within = "60s")]
async fn the_end_of_a_pipe_is_told_by_ready() {
    let _beside_others = beside_other_tests();
    let (reader, writer) = pipe().unwrap();
    assert_eq!(reader.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let (ready, ()) = zip(reader.ready(Interest::READABLE), async { drop(writer) }).await;
    assert!(ready.unwrap().is_read_closed());
}
