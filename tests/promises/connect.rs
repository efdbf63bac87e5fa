//! Connecting to several addresses: RFC 8305 ("Happy Eyeballs"), section 5. Under a virtual clock, so that the delays are
//! exact. An address that does not answer is a listener with a full queue: Linux drops the SYN of a further connection.
#![cfg(target_os = "linux")]

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::task::Poll;
use std::time::Duration;

use crate::support::*;
use headwaiter::net::{TcpListener, TcpStream, UdpSocket};
use headwaiter::time::{self, timeout};
use headwaiter::{dump, spawn};
use socket2::{Domain, Socket, Type};

/// Does not answer, as long as it lives.
struct Dead {
    address: SocketAddr,
    listener: StdListener,
    queued: Vec<StdStream>,
}

impl Dead {
    fn new() -> Self {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        // A queue of one.
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = vec![StdStream::connect(address).unwrap()];
        Dead { address, listener, queued }
    }
}

/// Refuses: it is bound, so that nothing else is there, and does not listen.
struct Closed {
    address: SocketAddr,
    _socket: Socket,
}

impl Closed {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Closed { address, _socket: socket }
    }
}

async fn live() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

const DELAY: Duration = Duration::from_millis(250);

/// Unlike tokio: there, the next address is tried when the kernel gives up on this one.
#[headwaiter::test(clock = "virtual", within = "60s")]
async fn an_address_that_does_not_answer_costs_a_quarter_of_a_second() {
    let _beside_others = beside_other_tests();
    let (dead, another) = (Dead::new(), Dead::new());
    let (_listener, live) = live().await;
    for (addresses, delays) in [
        (vec![live, dead.address], 0),
        (vec![dead.address, live], 1),
        (vec![dead.address, another.address, live], 2),
        (vec![dead.address, another.address, dead.address, dead.address, live, another.address], 4),
    ] {
        let start = time::now();
        let stream = TcpStream::connect(&addresses[..]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        assert_eq!(time::now() - start, DELAY * delays, "{addresses:?}");
    }
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn an_attempt_that_fails_lets_the_next_begin_at_once() {
    let _beside_others = beside_other_tests();
    let (dead, closed) = (Dead::new(), Closed::new());
    let (_listener, live) = live().await;
    let start = time::now();
    let stream = TcpStream::connect(&[closed.address, closed.address, live][..]).await.unwrap();
    assert_eq!((stream.peer_addr().unwrap(), time::now()), (live, start));
    // Also the delay after the one before it is cut short.
    TcpStream::connect(&[dead.address, closed.address, live][..]).await.unwrap();
    assert_eq!(time::now() - start, DELAY);
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn the_first_to_connect_wins_and_the_others_are_closed_at_once() {
    let _beside_others = beside_other_tests();
    let (dead, another) = (Dead::new(), Dead::new());
    let (_listener, live) = live().await;
    let (sources, timers) = sources_and_timers();
    let mut connect = TcpStream::connect(&[dead.address, another.address, live, dead.address][..]);
    let stream = (&mut connect).await.unwrap();
    // The future is still there.
    assert_eq!(sources_and_timers(), (sources + 1, timers));
    assert_eq!(stream.peer_addr().unwrap(), live);
    drop(connect);
}

#[headwaiter::test(within = "60s")]
async fn an_attempt_wins_also_after_others_have_begun() {
    // The kernel sends the SYN again after a second of the real clock.
    let _beside_others = beside_other_tests();
    let (mut dead, another) = (Dead::new(), Dead::new());
    let addresses = [dead.address, another.address, another.address];
    let connecting = spawn(TcpStream::connect(&addresses[..]));
    let begun = time::now();
    time::sleep(DELAY * 2 + ms(50)).await;
    assert!(!connecting.is_finished());
    dead.queued.push(dead.listener.accept().unwrap().0);
    let stream = timeout(Duration::from_secs(30), connecting).await.unwrap().unwrap().unwrap();
    assert_eq!(stream.peer_addr().unwrap(), dead.address);
    assert!(time::now() - begun >= DELAY * 2);
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn an_attempt_that_fails_leaves_those_in_flight_alone() {
    let _beside_others = beside_other_tests();
    let (dead, closed) = (Dead::new(), Closed::new());
    let connect = TcpStream::connect(&[dead.address, closed.address][..]);
    assert!(timeout(Duration::from_secs(60), connect).await.is_err());
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn dropping_it_closes_all_attempts_and_leaves_no_timer() {
    let _beside_others = beside_other_tests();
    let dead = Dead::new();
    assert_eq!(sources_and_timers(), (0, 0));
    for attempts in 1..=3 {
        let addresses = [dead.address; 4];
        let mut connect = TcpStream::connect(&addresses[..]);
        for _ in 1..attempts {
            assert!(poll_once(&mut connect).await.is_pending());
            time::advance(DELAY).await;
        }
        assert!(poll_once(&mut connect).await.is_pending());
        assert_eq!(sources_and_timers(), (attempts, 1));
        drop(connect);
        assert_eq!(sources_and_timers(), (0, 0));
    }
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_single_address_and_the_last_of_several_cost_no_timer() {
    let _beside_others = beside_other_tests();
    let (dead, closed) = (Dead::new(), Closed::new());
    let mut connect = TcpStream::connect(dead.address);
    assert!(poll_once(&mut connect).await.is_pending());
    assert_eq!(sources_and_timers().1, 0, "{}", dump());
    let mut connect = TcpStream::connect(&[closed.address, dead.address][..]);
    assert!(poll_once(&mut connect).await.is_pending());
    time::advance(DELAY).await;
    assert!(poll_once(&mut connect).await.is_pending());
    assert_eq!(sources_and_timers().1, 0, "{}", dump());
}

/// Unlike tokio: there, the error is that of the last attempt.
#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_slice_keeps_its_order_and_the_error_lists_all_attempts() {
    let _beside_others = beside_other_tests();
    let closed = [Closed::new(), Closed::new()];
    let [one, two] = closed.each_ref().map(|closed| closed.address);
    // The other family is last, as in the list, whether the machine supports it or not.
    let three: SocketAddr = format!("[::1]:{}", one.port()).parse().unwrap();
    let error = TcpStream::connect(&[one, two, three][..]).await.unwrap_err();
    let text = error.to_string();
    let begin = format!(
        "connect to {one}: Connection refused (os error 111); {two}: Connection refused (os error 111); {three}: "
    );
    assert!(text.starts_with(&begin), "{text}");

    // The last failure gives the kind and the number.
    let error = TcpStream::connect(&[three, one][..]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(headwaiter::io::os_error(&error), Some(111), "ECONNREFUSED");
    // One is as short as ever, and none at all is a mistake.
    let error = TcpStream::connect(one).await.unwrap_err();
    assert_eq!(error.to_string(), format!("connect to {one}: Connection refused (os error 111)"));
    let none: &[SocketAddr] = &[];
    let error = TcpStream::connect(none).await.unwrap_err();
    assert_eq!(error.to_string(), "connect to: no address was given");
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn bind_and_udp_connect_try_in_order_and_their_errors_list_all_attempts() {
    let _beside_others = beside_other_tests();
    let (_listener, taken) = live().await;
    let text = TcpListener::bind(&[taken, taken][..]).await.unwrap_err().to_string();
    let in_use = "Address already in use (os error 98)";
    assert_eq!(text, format!("bind to {taken}: {in_use}; {taken}: {in_use}"));
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    TcpListener::bind(&[taken, free][..]).await.unwrap();

    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // An address of the other family cannot be had.
    let other: SocketAddr = "[::1]:9".parse().unwrap();
    socket.connect(&[other, taken, free][..]).await.unwrap();
    assert_eq!(socket.peer_addr().unwrap(), taken);
    let text = socket.connect(&[other, other][..]).await.unwrap_err().to_string();
    assert_eq!(text.matches("[::1]:9: ").count(), 2, "{text}");
}

#[test]
fn the_future_of_a_race_that_is_over_is_a_mistake_that_is_named() {
    bounded(|| {
        let text = panic_text(|| {
            virtual_loop().block_on(async {
                let (_listener, live) = live().await;
                let mut connect = TcpStream::connect(&[live, live][..]);
                (&mut connect).await.unwrap();
                assert!(matches!(poll_once(&mut connect).await, Poll::Pending));
            });
        });
        assert!(
            text.contains("`TcpStream::connect` was polled again after it was ready"),
            "{text}"
        );
    });
}
