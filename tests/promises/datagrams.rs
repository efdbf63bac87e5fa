//! Datagrams: UDP sockets. Each test is named for the promise it checks.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::support::wakers::Foreign;
use crate::support::*;
use headwaiter::io::os_error;
use headwaiter::net::UdpSocket;
use headwaiter::task::yield_now;
use headwaiter::{EventLoop, Interest, Next, block_on, on_ready, spawn};

/// The largest datagram over IPv4.
const LARGEST: usize = 65_507;

async fn udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

/// Two sockets that are connected to each other.
async fn udp_pair() -> (UdpSocket, UdpSocket) {
    let (one, other) = (udp().await, udp().await);
    one.connect(other.local_addr().unwrap()).await.unwrap();
    other.connect(one.local_addr().unwrap()).await.unwrap();
    (one, other)
}

#[test]
fn udp_carries_datagrams_of_no_byte_one_byte_and_the_most_bytes() {
    in_every_order(|| async {
        let (one, other) = udp_pair().await;
        let (sender, receiver) = (udp().await, udp().await);
        let mut buf = vec![0; LARGEST + 1];
        for size in [0, 1, LARGEST] {
            let datagram: Vec<u8> = (0..size).map(|n| n as u8).collect();
            assert_eq!(one.send(&datagram).await.unwrap(), size);
            assert_eq!(other.recv(&mut buf).await.unwrap(), size);
            assert_eq!(buf[..size], datagram);
            assert_eq!(
                sender.send_to(&datagram, receiver.local_addr().unwrap()).await.unwrap(),
                size
            );
            let from = sender.local_addr().unwrap();
            assert_eq!(receiver.recv_from(&mut buf).await.unwrap(), (size, from));
            assert_eq!(buf[..size], datagram);
        }
    });
}

#[test]
#[cfg(unix)]
fn the_rest_of_a_datagram_that_does_not_fit_is_lost_and_the_next_is_whole() {
    in_every_order(|| async {
        let (one, other) = udp_pair().await;
        let mut buf = [0; 4];
        for datagram in [b"much too long", b"also too long", b"once more long"] as [&[u8]; 3] {
            one.send(datagram).await.unwrap();
        }
        one.send(b"next").await.unwrap();
        assert_eq!(other.peek(&mut buf).await.unwrap(), 4);
        assert_eq!(other.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"much");
        assert_eq!(other.recv_from(&mut buf).await.unwrap().0, 4);
        assert_eq!(&buf, b"also");
        // Into no room at all it is taken all the same.
        assert_eq!(other.recv(&mut []).await.unwrap(), 0);
        assert_eq!(other.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"next");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn that_a_datagram_was_cut_off_is_told_with_its_length_and_its_sender() {
    in_every_order(|| async {
        let (one, other) = udp_pair().await;
        let from = one.local_addr().unwrap();
        let mut buf = [0; 4];
        assert_eq!(other.try_recv_msg(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        for (sent, len, cut) in [
            (&b"soup"[..], 4, false),
            (b"soup, bread", 4, true),
            (b"so", 2, false),
            (b"", 0, false),
        ] {
            one.send(sent).await.unwrap();
            let received = other.recv_msg(&mut buf).await.unwrap();
            assert_eq!(
                (received.len, received.full_len, received.is_truncated()),
                (len, sent.len(), cut)
            );
            assert_eq!((&buf[..len], received.from), (&sent[..len], from));
        }
        one.send(b"soup").await.unwrap();
        other.peek(&mut buf).await.unwrap(); // It is there.
        let received = other.try_recv_msg(&mut []).unwrap();
        assert_eq!((received.len, received.full_len, received.is_truncated()), (0, 4, true));

        // Dropped before it was ready, it takes none.
        for _ in 0..10 {
            let mut receive = other.recv_msg(&mut buf);
            assert!(poll_once(&mut receive).await.is_pending());
            one.send(b"bread").await.unwrap();
            drop(receive);
            assert_eq!(other.recv_msg(&mut [0; 8]).await.unwrap().len, 5);
        }
    });
}

#[test]
#[cfg(unix)]
fn the_sender_of_the_next_datagram_is_told_and_the_datagram_stays() {
    in_every_order(|| async {
        let receiver = udp().await;
        assert_eq!(receiver.try_peek_sender().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(poll_once(&mut receiver.peek_sender()).await.is_pending());
        for sender in [udp().await, udp().await] {
            let address = sender.local_addr().unwrap();
            sender.send_to(b"soup", receiver.local_addr().unwrap()).await.unwrap();
            assert_eq!(receiver.peek_sender().await.unwrap(), address);
            assert_eq!(receiver.try_peek_sender().unwrap(), address);
            assert_eq!(receiver.recv_from(&mut [0; 8]).await.unwrap(), (4, address));
        }
        assert_eq!(receiver.try_peek_sender().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_datagram_that_is_too_large_to_send_is_an_error_with_the_address_where_one_is_given() {
    in_every_order(|| async {
        let (one, other) = udp_pair().await;
        let sender = udp().await;
        let address = other.local_addr().unwrap();
        let too_large = vec![0; LARGEST + 1];
        // The kernel's own: the caller has connected it.
        for error in
            [one.send(&too_large).await.unwrap_err(), one.try_send(&too_large).unwrap_err()]
        {
            assert_eq!(error.raw_os_error(), Some(90), "EMSGSIZE: {error}");
        }
        for error in [
            sender.send_to(&too_large, address).await.unwrap_err(),
            sender.try_send_to(&too_large, address).unwrap_err(),
        ] {
            assert_eq!(os_error(&error), Some(90), "EMSGSIZE: {error}");
            assert!(error.to_string().starts_with(&format!("send to {address}: ")), "{error}");
        }
        // The sockets still work.
        one.send(b"soup").await.unwrap();
        assert_eq!(other.recv(&mut [0; 8]).await.unwrap(), 4);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn that_nobody_was_there_is_reported_once_and_the_socket_goes_on() {
    in_every_order(|| async {
        let client = udp().await;
        // A socket that is connected to another takes no datagram of ours, and it keeps its port from other tests.
        let (deaf, _its_peer) = udp_pair().await;
        let address = deaf.local_addr().unwrap();
        client.connect(address).await.unwrap();
        let mut buf = [0; 8];

        client.send(b"anybody?").await.unwrap();
        let refused = client.recv(&mut buf).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(refused.raw_os_error(), Some(111), "ECONNREFUSED: {refused}");
        assert!(poll_once(&mut client.recv(&mut buf)).await.is_pending());

        client.send(b"anybody?").await.unwrap();
        client.readable().await.unwrap();
        let refused = client.send(b"hello?").await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(refused.raw_os_error(), Some(111), "ECONNREFUSED: {refused}");
        assert!(would_block(client.try_recv(&mut buf)));

        deaf.connect(client.local_addr().unwrap()).await.unwrap();
        client.send(b"soup").await.unwrap();
        assert_eq!(deaf.recv(&mut buf).await.unwrap(), 4);
        deaf.send(b"bread").await.unwrap();
        assert_eq!(client.recv(&mut buf).await.unwrap(), 5);
    });
}

#[test]
fn a_datagram_that_was_peeked_at_is_still_there_and_wakes_the_next() {
    in_every_order(|| async {
        let (one, other) = udp_pair().await;
        let from = one.local_addr().unwrap();
        let other = Rc::new(other);
        let peeker = Rc::clone(&other);
        let peeker = spawn(async move {
            let mut buf = [0; 8];
            assert_eq!(peeker.peek(&mut buf).await.unwrap(), 4);
            assert_eq!(peeker.peek_from(&mut buf).await.unwrap(), (4, from));
            assert_eq!(peeker.try_peek(&mut buf[..2]).unwrap(), 2);
            assert_eq!(peeker.try_peek_from(&mut buf).unwrap(), (4, from));
        });
        yield_now().await;
        one.send(b"soup").await.unwrap();
        peeker.await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(other.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"soup");
        assert!(would_block(other.try_peek(&mut buf)));
    });
}

/// smol #151.
#[test]
fn tasks_that_share_a_socket_all_make_progress() {
    in_every_order(|| async {
        let (sender, receiver) = (udp().await, Rc::new(udp().await));
        let address = receiver.local_addr().unwrap();
        for _ in 0..100 {
            let receivers: Vec<_> = (0..3)
                .map(|_| {
                    let receiver = Rc::clone(&receiver);
                    spawn(async move { receiver.recv_from(&mut [0; 8]).await.unwrap() })
                })
                .collect();
            yield_now().await;
            for _ in 0..3 {
                sender.send_to(b"x", address).await.unwrap();
            }
            for receiver in receivers {
                assert_eq!(receiver.await.unwrap(), (1, sender.local_addr().unwrap()));
            }
        }
    });
}

/// tokio's coop budget.
#[headwaiter::test(within = "60s")]
async fn a_task_that_receives_what_is_always_there_yields() {
    let _beside_others = beside_other_tests();
    let (one, other) = udp_pair().await;
    socket2::SockRef::from(&other).set_recv_buffer_size(1 << 20).unwrap();
    for _ in 0..200 {
        one.send(&[]).await.unwrap();
    }
    let received = Rc::new(std::cell::Cell::new(0));
    let counted = Rc::clone(&received);
    let receiver = spawn(async move {
        while counted.get() < 200 {
            other.recv(&mut []).await.unwrap();
            counted.set(counted.get() + 1);
        }
    });
    yield_now().await;
    assert_eq!(received.get(), 128);
    receiver.await.unwrap();
    // So does one that only connects and binds.
    let turns = Rc::new(std::cell::Cell::new(0));
    let counted = Rc::clone(&turns);
    let counting = spawn(async move {
        loop {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    let address = one.local_addr().unwrap();
    for _ in 0..300 {
        one.connect(address).await.unwrap();
    }
    assert!(turns.get() >= 2, "{} turns in 300 connects", turns.get());
    counting.abort();
}

#[test]
fn a_udp_operation_dropped_half_way_loses_no_datagram_and_leaves_nothing() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            let (one, other) = udp_pair().await;
            let mut buf = [0; 8];
            assert!(would_block(other.try_recv(&mut buf)));
            assert!(would_block(other.try_recv_from(&mut buf)));
            for _ in 0..100 {
                let (mut recv, mut more, mut room) = (other.recv(&mut buf), [0; 8], [0; 8]);
                let mut recv_from = other.recv_from(&mut more);
                let mut peek = other.peek(&mut room);
                assert!(poll_once(&mut recv).await.is_pending());
                assert!(poll_once(&mut recv_from).await.is_pending());
                assert!(poll_once(&mut peek).await.is_pending());
                assert!(poll_once(&mut other.peek_from(&mut [0; 8])).await.is_pending());
                assert!(poll_once(&mut other.readable()).await.is_pending());
                one.send(b"soup").await.unwrap();
                // They are woken, and dropped all the same.
                other.readable().await.unwrap();
                drop((recv, recv_from, peek));
                assert_eq!(other.recv(&mut buf).await.unwrap(), 4);
                assert!(would_block(other.try_recv(&mut buf)));
            }
            // Never polled: nothing sent, nothing bound, nothing connected.
            let address = other.local_addr().unwrap();
            drop((one.send(b"soup"), one.send_to(b"soup", address), one.writable()));
            drop((UdpSocket::bind(address), one.connect("127.0.0.1:1")));
            assert_eq!(one.peer_addr().unwrap(), address);
            assert!(would_block(other.try_recv(&mut buf)));
            // Out of budget: pending, and nothing is done either.
            let used_up = spawn(async move {
                for _ in 0..128 {
                    assert!(poll_once(&mut one.writable()).await.is_ready());
                }
                // Each refusal grants one unit, which the next of these spends.
                assert!(poll_once(&mut one.writable()).await.is_pending());
                assert!(poll_once(&mut one.writable()).await.is_ready());
                assert!(poll_once(&mut one.send(b"soup")).await.is_pending());
                assert!(poll_once(&mut one.writable()).await.is_ready());
                assert!(poll_once(&mut one.send_to(b"soup", address)).await.is_pending());
                assert!(poll_once(&mut one.writable()).await.is_ready());
                assert!(poll_once(&mut one.connect("127.0.0.1:1")).await.is_pending());
                assert!(poll_once(&mut one.writable()).await.is_ready());
                assert!(poll_once(&mut UdpSocket::bind("127.0.0.1:0")).await.is_pending());
                assert_eq!(one.peer_addr().unwrap(), address);
            });
            used_up.await.unwrap();
            assert!(would_block(other.try_recv(&mut buf)));
        });
        assert_eq!(event_loop.next_deadline(), None);
        let turn = event_loop.turn(Some(ms(2))).unwrap();
        assert_eq!((turn.polls, turn.timers), (0, 0));
    });
}

/// async-io aae2473.
#[headwaiter::test(within = "60s")]
async fn waits_polled_and_dropped_leave_no_waker() {
    let _beside_others = beside_other_tests();
    let (_one, other) = udp_pair().await;
    assert!(would_block(other.try_recv(&mut [])));
    let own = Foreign::new();
    let foreign = Waker::from(Arc::clone(&own));
    for _ in 0..100_000 {
        let mut cx = Context::from_waker(&foreign);
        assert!(Pin::new(&mut other.readable()).poll(&mut cx).is_pending());
        assert!(Pin::new(&mut other.recv(&mut [0])).poll(&mut cx).is_pending());
    }
    assert_eq!(Arc::strong_count(&own), 2);
}

/// mio #219.
#[test]
fn an_event_of_a_socket_that_is_gone_does_not_reach_the_next_in_its_place() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let first = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let second = event_loop.block_on(udp());
        let to_first = first.local_addr().unwrap();
        let to_second = second.local_addr().unwrap();
        let replaced = Rc::new(std::cell::RefCell::new(Some(second)));
        let replace = Rc::clone(&replaced);
        let registration = event_loop.enter(|| {
            on_ready(first, Interest::READABLE, move |_, _| {
                // Both are ready in this batch. The second goes, and another takes its place and its number.
                drop(replace.borrow_mut().take());
                let third = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                *replace.borrow_mut() = Some(UdpSocket::from_std(third).unwrap());
                Next::Remove
            })
        });
        sender.send_to(b"x", to_first).unwrap();
        sender.send_to(b"x", to_second).unwrap();
        assert_eq!(event_loop.turn(None).unwrap().events, 2);
        let third = replaced.borrow_mut().take().unwrap();
        assert_ne!(third.local_addr().unwrap(), to_second);
        event_loop.block_on(async {
            assert!(poll_once(&mut third.recv(&mut [0])).await.is_pending());
        });
        event_loop.enter(|| drop((third, registration)));
    });
}

#[test]
fn a_udp_socket_goes_through_std_to_another_loop() {
    bounded(|| {
        let (back, address) = block_on(async {
            let socket = udp().await;
            let address = socket.local_addr().unwrap();
            (socket.into_std().unwrap(), address)
        });
        block_on(async {
            let socket = UdpSocket::from_std(back).unwrap();
            assert_eq!(socket.local_addr().unwrap(), address);
            let sender = udp().await;
            sender.send_to(b"soup", address).await.unwrap();
            assert_eq!(socket.recv(&mut [0; 8]).await.unwrap(), 4);
        });
    });
}

#[headwaiter::test(within = "60s")]
async fn addresses_that_cannot_be_used_are_errors_that_name_them() {
    let _beside_others = beside_other_tests();
    let socket = udp().await;
    let address = socket.local_addr().unwrap();
    let taken = UdpSocket::bind(address).await.unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    assert!(taken.to_string().starts_with(&format!("bind to {address}: ")), "{taken}");
    let other_family: SocketAddr = (Ipv6Addr::LOCALHOST, 9).into();
    let text = other_family.to_string();
    for error in [
        socket.connect(other_family).await.unwrap_err(),
        socket.send_to(b"x", other_family).await.unwrap_err(),
        socket.try_send_to(b"x", other_family).unwrap_err(),
    ] {
        assert!(error.to_string().contains(&text), "{error}");
    }
    let none: &[SocketAddr] = &[];
    for error in [
        UdpSocket::bind(none).await.unwrap_err(),
        socket.connect(none).await.unwrap_err(),
        socket.send_to(b"x", none).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("no address"), "{error}");
    }
    // Not connected.
    assert_eq!(socket.peer_addr().unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert!(socket.send(b"x").await.is_err());
    // A way is found by the second address, and by the name.
    let receiver = udp().await;
    let to = receiver.local_addr().unwrap();
    socket.send_to(b"soup", &[other_family, to][..]).await.unwrap();
    socket.send_to(b"soup", ("localhost", to.port())).await.unwrap();
    for _ in 0..2 {
        assert_eq!(receiver.recv_from(&mut [0; 8]).await.unwrap(), (4, address));
    }
    let nowhere = socket.send_to(b"soup", "nowhere.invalid:9").await.unwrap_err();
    assert!(nowhere.to_string().starts_with("send to nowhere.invalid:9: "), "{nowhere}");
    let both = [address, (Ipv4Addr::LOCALHOST, 0).into()];
    assert_ne!(UdpSocket::bind(&both[..]).await.unwrap().local_addr().unwrap(), address);
}

#[test]
fn udp_options_are_kept_by_the_kernel() {
    in_every_order(|| async {
        let socket = udp().await;
        assert!(!socket.broadcast().unwrap());
        socket.set_broadcast(true).unwrap();
        assert!(socket.broadcast().unwrap());
        socket.set_ttl(17).unwrap();
        assert_eq!(socket.ttl().unwrap(), 17);
        socket.set_multicast_ttl_v4(3).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 3);
        assert!(socket.multicast_loop_v4().unwrap());
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        assert!(socket.take_error().unwrap().is_none());
        let group = Ipv4Addr::new(239, 255, 43, 21);
        socket.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        socket.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        socket.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap_err();
    });
}

#[test]
fn mistakes_with_udp_are_named_with_the_way_out() {
    bounded(|| {
        let socket = block_on(udp());
        for text in [
            panic_text(|| drop(futures_lite::future::block_on(UdpSocket::bind("127.0.0.1:0")))),
            panic_text(|| drop(socket.try_recv(&mut [0]))),
        ] {
            assert!(text.contains("outside any event loop") && text.contains("block_on"), "{text}");
        }
        let another = panic_text(|| drop(block_on(socket.recv(&mut [0]))));
        assert!(
            another.contains("another event loop") && another.contains("UDP socket"),
            "{another}"
        );
        fn send_and_sync<T: Send + Sync>(_: &T) {}
        send_and_sync(&socket);
    });
}
