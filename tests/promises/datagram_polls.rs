//! The `poll_` forms of the datagram sockets, for futures of one's own.

use std::future::poll_fn;
use std::task::Poll;

use crate::support::*;
use headwaiter::net::{UdpSocket, UnixDatagram};
use headwaiter::spawn;
use headwaiter::task::yield_now;

async fn udp_pair() -> (UdpSocket, UdpSocket) {
    let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    one.connect(other.local_addr().unwrap()).await.unwrap();
    other.connect(one.local_addr().unwrap()).await.unwrap();
    (one, other)
}

#[headwaiter::test(within = "60s")]
async fn the_poll_forms_of_peeking_take_nothing() {
    let _beside_others = beside_other_tests();
    let (guest, kitchen) = udp_pair().await;
    let mut order = [0; 8];
    let pending = poll_fn(|cx| Poll::Ready(kitchen.poll_peek(cx, &mut order).is_pending()));
    assert!(pending.await);
    let pending = poll_fn(|cx| Poll::Ready(kitchen.poll_peek_sender(cx).is_pending()));
    assert!(pending.await);
    guest.send(b"soup").await.unwrap();
    for _ in 0..2 {
        assert_eq!(poll_fn(|cx| kitchen.poll_peek(cx, &mut order)).await.unwrap(), 4);
        let sender = poll_fn(|cx| kitchen.poll_peek_sender(cx)).await.unwrap();
        assert_eq!(sender, guest.local_addr().unwrap());
    }
    assert_eq!(poll_fn(|cx| kitchen.poll_recv(cx, &mut order)).await.unwrap(), 4);
    assert!(would_block(kitchen.try_recv(&mut order)));
}

#[headwaiter::test(within = "60s")]
async fn a_datagram_socket_is_polled_for_readiness_by_the_names_of_tokio() {
    let _beside_others = beside_other_tests();
    let (guest, kitchen) = udp_pair().await;
    poll_fn(|cx| guest.poll_send_ready(cx)).await.unwrap();
    assert!(would_block(kitchen.try_recv(&mut [0; 8])));
    assert!(poll_fn(|cx| Poll::Ready(kitchen.poll_recv_ready(cx).is_pending())).await);
    guest.send(b"soup").await.unwrap();
    poll_fn(|cx| kitchen.poll_recv_ready(cx)).await.unwrap();
    assert_eq!(kitchen.try_recv(&mut [0; 8]).unwrap(), 4);

    let (guest, kitchen) = UnixDatagram::pair().unwrap();
    while guest.try_send(b"soup").is_ok() {}
    assert!(poll_fn(|cx| Poll::Ready(guest.poll_send_ready(cx).is_pending())).await);
    let drained = spawn(async move {
        while kitchen.try_recv(&mut [0; 8]).is_ok() {}
        kitchen
    });
    poll_fn(|cx| guest.poll_send_ready(cx)).await.unwrap();
    drained.await.unwrap();
}

/// The kernel has no event for the queue of another socket.
#[headwaiter::test(within = "60s")]
async fn a_polled_send_to_a_full_queue_goes_on_when_there_is_room() {
    let _beside_others = beside_other_tests();
    let folder = Folder::new();
    let path = folder.path("kitchen");
    let kitchen = UnixDatagram::bind(&path).unwrap();
    let guest = UnixDatagram::unbound().unwrap();
    assert_eq!(poll_fn(|cx| guest.poll_send_to(cx, b"soup", &path)).await.unwrap(), 4);
    while guest.try_send_to(b"soup", &path).is_ok() {}
    let sending = spawn(async move {
        let sent = poll_fn(|cx| guest.poll_send_to(cx, b"bread", &path)).await;
        (sent, guest)
    });
    for _ in 0..3 {
        yield_now().await;
    }
    assert!(!sending.is_finished());
    let mut orders = Vec::new();
    let mut order = [0; 8];
    while orders.last().is_none_or(|last| last != b"bread") {
        let n = kitchen.recv(&mut order).await.unwrap();
        orders.push(order[..n].to_vec());
    }
    let (sent, guest) = sending.await.unwrap();
    assert_eq!(sent.unwrap(), 5);
    assert!(orders.len() > 1 && orders[..orders.len() - 1].iter().all(|order| order == b"soup"));

    // An error ends it, and names the path.
    let gone = folder.path("gone");
    let error = poll_fn(|cx| guest.poll_send_to(cx, b"soup", &gone)).await.unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
    assert_eq!(sources_and_timers().1, 0, "no timer stays");
}

#[headwaiter::test(within = "60s")]
async fn of_two_tasks_that_poll_a_send_to_a_full_queue_the_last_is_woken() {
    let _beside_others = beside_other_tests();
    let folder = Folder::new();
    let path = folder.path("kitchen");
    let kitchen = UnixDatagram::bind(&path).unwrap();
    let guest = std::rc::Rc::new(UnixDatagram::unbound().unwrap());
    while guest.try_send_to(b"soup", &path).is_ok() {}
    let send = |order: &'static [u8]| {
        let (guest, path) = (std::rc::Rc::clone(&guest), path.clone());
        spawn(async move { poll_fn(|cx| guest.poll_send_to(cx, order, &path)).await })
    };
    let (first, last) = (send(b"first"), send(b"last"));
    yield_now().await;
    assert!(!first.is_finished() && !last.is_finished());
    while kitchen.try_recv(&mut [0; 8]).is_ok() {}
    assert_eq!(last.await.unwrap().unwrap(), 4);
    assert!(!first.is_finished(), "as in tokio, it was replaced");
    first.abort();
}
