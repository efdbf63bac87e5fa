//! Options of sockets, and the TCP socket that has them before it is connected or listens. Each test is named for the promise it checks.
#![cfg(target_os = "linux")]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use crate::support::*;
use headwaiter::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixListener, UnixStream};
use headwaiter::time::timeout;
use headwaiter::{EventLoop, block_on, dump, spawn};
use socket2::{Domain, SockRef, Socket, Type};

const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The kind of the error, which there must be.
#[track_caller]
fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

/// A listener that lets one connection in and answers no other, with that connection.
fn dead() -> (TcpListener, std::net::TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(HERE).unwrap();
    let listener = socket.listen(0).unwrap();
    let queued = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener, queued)
}

#[test]
fn each_option_of_a_tcp_socket_is_read_back_without_a_loop() {
    let socket = TcpSocket::new_v4().unwrap();
    let wrong = io::ErrorKind::InvalidInput;

    macro_rules! switches {
        ($($set:ident $get:ident;)*) => {$(
            assert!(!socket.$get().unwrap(), stringify!($get));
            socket.$set(true).unwrap();
            assert!(socket.$get().unwrap(), stringify!($get));
            socket.$set(false).unwrap();
            assert!(!socket.$get().unwrap(), stringify!($get));
        )*};
    }
    switches! {
        set_reuseaddr reuseaddr;
        set_reuseport reuseport;
        set_keepalive keepalive;
        set_nodelay nodelay;
    }

    socket.set_keepalive_time(seconds(90)).unwrap();
    socket.set_keepalive_interval(ms(6_500)).unwrap();
    socket.set_keepalive_retries(3).unwrap();
    assert_eq!(socket.keepalive_time().unwrap(), seconds(90));
    assert_eq!(socket.keepalive_interval().unwrap(), seconds(7), "rounded up");
    assert_eq!(socket.keepalive_retries().unwrap(), 3);
    for refused in [Duration::ZERO, seconds(32_768), Duration::MAX] {
        assert_eq!(kind(socket.set_keepalive_time(refused)), wrong, "{refused:?}");
        assert_eq!(kind(socket.set_keepalive_interval(refused)), wrong, "{refused:?}");
    }
    for refused in [0, 128, u32::MAX] {
        assert_eq!(kind(socket.set_keepalive_retries(refused)), wrong, "{refused}");
    }

    socket.set_send_buffer_size(20_000).unwrap();
    socket.set_recv_buffer_size(30_000).unwrap();
    assert_eq!(
        (socket.send_buffer_size().unwrap(), socket.recv_buffer_size().unwrap()),
        (40_000, 60_000)
    );
    // Too much is as much as the system allows.
    socket.set_send_buffer_size(u32::MAX).unwrap();
    assert!(socket.send_buffer_size().unwrap() > 40_000);

    assert_eq!(socket.linger().unwrap(), None);
    socket.set_zero_linger().unwrap();
    assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));

    socket.set_tos_v4(0x68).unwrap();
    assert_eq!(socket.tos_v4().unwrap(), 0x68);
    assert_eq!(kind(socket.set_tos_v4(256)), wrong);
    assert_eq!(socket.tos_v4().unwrap(), 0x68);

    assert!(socket.take_error().unwrap().is_none());
    assert_eq!(socket.local_addr().unwrap(), "0.0.0.0:0".parse().unwrap());
    assert_eq!(
        format!("{socket:?}"),
        format!("TcpSocket {{ addr: 0.0.0.0:0, fd: {} }}", socket.as_raw_fd())
    );

    let Ok(socket) = TcpSocket::new_v6() else { return println!("skipped the rest: no IPv6") };
    for only in [true, false] {
        socket.set_only_v6(only).unwrap();
        assert_eq!(socket.only_v6().unwrap(), only);
    }
    socket.set_tclass_v6(0x68).unwrap();
    assert_eq!(socket.tclass_v6().unwrap(), 0x68);
    for refused in [256, u32::MAX] {
        assert_eq!(kind(socket.set_tclass_v6(refused)), wrong, "{refused}");
    }
    assert!(socket.local_addr().unwrap().is_ipv6());
}

#[test]
fn a_connection_is_made_from_the_chosen_address_with_the_options_that_were_set_before() {
    in_every_order(|| async {
        let listener = TcpListener::bind(HERE).await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_keepalive(true).unwrap();
        socket.set_recv_buffer_size(30_000).unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let chosen = socket.local_addr().unwrap();
        assert_ne!(chosen.port(), 0);

        let mut stream = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, peer) = listener.accept().await.unwrap();
        assert_eq!((stream.local_addr().unwrap(), peer), (chosen, chosen));
        assert!(stream.nodelay().unwrap() && SockRef::from(&stream).keepalive().unwrap());
        assert_eq!(SockRef::from(&stream).recv_buffer_size().unwrap(), 60_000);
        // It is a stream like all others.
        stream.write_all(b"soup").await.unwrap();
        let mut order = [0; 4];
        server.read_exact(&mut order).await.unwrap();
        assert_eq!(&order, b"soup");
    });
}

#[headwaiter::test(within = "60s")]
async fn the_connections_of_a_listener_inherit_its_options() {
    let _beside_others = beside_other_tests();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_keepalive(true).unwrap();
    socket.set_keepalive_time(seconds(90)).unwrap();
    socket.set_keepalive_retries(3).unwrap();
    socket.set_send_buffer_size(20_000).unwrap();
    socket.bind(HERE).unwrap();
    let listener = socket.listen(16).unwrap();
    listener.set_ttl(17).unwrap();
    assert_eq!(listener.ttl().unwrap(), 17);

    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    assert!(server.nodelay().unwrap());
    assert_eq!(server.ttl().unwrap(), 17);
    let options = SockRef::from(&server);
    assert!(options.keepalive().unwrap());
    assert_eq!(options.tcp_keepalive_time().unwrap(), seconds(90));
    assert_eq!(options.tcp_keepalive_retries().unwrap(), 3);
    assert_eq!(options.send_buffer_size().unwrap(), 40_000);
}

#[headwaiter::test(within = "60s")]
async fn listeners_that_set_reuseport_share_the_connections_of_one_port() {
    let _beside_others = beside_other_tests();
    let listen = |address: SocketAddr, reuseport: bool| {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseport(reuseport)?;
        socket.bind(address)?;
        socket.listen(256)
    };
    let one = listen(HERE, true).unwrap();
    let address = one.local_addr().unwrap();
    let other = listen(address, true).unwrap();
    assert_eq!(other.local_addr().unwrap(), address);
    // All must have set it.
    let error = listen(address, false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert_eq!(
        error.to_string(),
        format!("bind to {address}: Address already in use (os error 98)")
    );

    // The kernel chooses by a hash of the addresses: that one of them gets none of so many is next to impossible.
    let mut clients = Vec::new();
    let (mut of_one, mut of_other) = (0, 0);
    for _ in 0..100 {
        clients.push(TcpStream::connect(address).await.unwrap());
        let (mut one, mut other) = (one.accept(), other.accept());
        let accepted =
            futures_lite::future::or(async { (&mut one).await.map(|_| &mut of_one) }, async {
                (&mut other).await.map(|_| &mut of_other)
            });
        *timeout(seconds(30), accepted).await.unwrap().unwrap() += 1;
    }
    assert_eq!(of_one + of_other, 100);
    assert!(of_one > 0 && of_other > 0, "{of_one} and {of_other}");
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn the_backlog_is_how_many_connections_wait_to_be_accepted() {
    let _beside_others = beside_other_tests();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(HERE).unwrap();
    let listener = socket.listen(10).unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(timeout(seconds(60), TcpStream::connect(address)).await.unwrap().unwrap());
    }
    let (full, _queued) = dead();
    let more = TcpStream::connect(full.local_addr().unwrap());
    assert!(timeout(seconds(60), more).await.is_err(), "it should not get in");
    // Any number is taken, and a socket without an address gets one.
    let listener = TcpSocket::new_v4().unwrap().listen(u32::MAX).unwrap();
    let port = listener.local_addr().unwrap().port();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    listener.accept().await.unwrap();
}

#[headwaiter::test(within = "60s")]
async fn a_socket_is_bound_to_an_interface_by_its_name() {
    let _beside_others = beside_other_tests();
    let listener = TcpListener::bind(HERE).await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    assert_eq!(socket.device().unwrap(), None);
    match socket.bind_device(Some(b"lo")) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return println!("skipped: this kernel asks for CAP_NET_RAW");
        }
        bound => bound.unwrap(),
    }
    assert_eq!(socket.device().unwrap().as_deref(), Some(&b"lo"[..]));
    socket.connect(listener.local_addr().unwrap()).await.unwrap();

    let error = TcpSocket::new_v4().unwrap().bind_device(Some(b"nosuch")).unwrap_err();
    assert_eq!(error.to_string(), "bind to the interface \"nosuch\": No such device (os error 19)");

    let [one, other] = [UdpSocket::bind(HERE).await.unwrap(), UdpSocket::bind(HERE).await.unwrap()];
    one.bind_device(Some(b"lo")).unwrap();
    assert_eq!(one.device().unwrap().as_deref(), Some(&b"lo"[..]));
    one.send_to(b"soup", other.local_addr().unwrap()).await.unwrap();
    assert_eq!(other.recv(&mut [0; 8]).await.unwrap(), 4);
    match one.bind_device(None) {
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}"),
        Ok(()) => assert_eq!(one.device().unwrap(), None),
    }
}

/// Unlike tokio: there, a `set_linger` of other durations exists, and is deprecated.
#[test]
fn the_peer_of_a_socket_with_a_linger_of_zero_gets_a_reset() {
    in_every_order(|| async {
        let listener = TcpListener::bind(HERE).await.unwrap();
        for zero in [false, true] {
            let socket = TcpSocket::new_v4().unwrap();
            if zero {
                socket.set_zero_linger().unwrap();
            }
            let stream = socket.connect(listener.local_addr().unwrap()).await.unwrap();
            assert_eq!(stream.linger().unwrap(), zero.then_some(Duration::ZERO));
            let (mut server, _) = listener.accept().await.unwrap();
            drop(stream);
            match server.read(&mut [0; 8]).await {
                Ok(n) => assert!(!zero && n == 0, "{n} bytes"),
                Err(error) => {
                    assert!(zero && error.kind() == io::ErrorKind::ConnectionReset, "{error}");
                }
            }
        }
    });
}

#[test]
fn errors_of_a_tcp_socket_name_the_address_and_leave_nothing() {
    in_own_process(|| {
        block_on(async {
            let before = (open_files(), sources_and_timers());
            // Bound, so that nothing else is there, and not listening.
            let closed = TcpSocket::new_v4().unwrap();
            closed.bind(HERE).unwrap();
            let address = closed.local_addr().unwrap();
            for _ in 0..3 {
                let error = TcpSocket::new_v4().unwrap().connect(address).await.unwrap_err();
                assert_eq!(
                    error.to_string(),
                    format!("connect to {address}: Connection refused (os error 111)")
                );
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                assert_eq!(headwaiter::io::os_error(&error), Some(111), "ECONNREFUSED");
            }
            // Refused at once, by the kernel itself.
            let other_family = SocketAddr::from((Ipv6Addr::LOCALHOST, 9));
            let error = TcpSocket::new_v4().unwrap().connect(other_family).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "connect to [::1]:9: Address family not supported by protocol (os error 97)"
            );

            let error = closed.bind(HERE).unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string().starts_with("bind to 127.0.0.1:0: ")),
                (io::ErrorKind::InvalidInput, true)
            );
            // An address that is set apart for documentation.
            let foreign = "192.0.2.1:0".parse().unwrap();
            let error = TcpSocket::new_v4().unwrap().bind(foreign).unwrap_err();
            assert_eq!(
                error.to_string(),
                "bind to 192.0.2.1:0: Cannot assign requested address (os error 99)"
            );

            // Both may be bound there, but only one may listen.
            let [one, other] = [(); 2].map(|()| TcpSocket::new_v4().unwrap());
            one.set_reuseaddr(true).unwrap();
            other.set_reuseaddr(true).unwrap();
            one.bind(HERE).unwrap();
            let address = one.local_addr().unwrap();
            other.bind(address).unwrap();
            let listener = one.listen(16).unwrap();
            let error = other.listen(16).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("listen on {address}: Address already in use (os error 98)")
            );
            drop((listener, closed));
            assert_eq!((open_files(), sources_and_timers()), before);
        });
    });
}

#[test]
fn dropping_the_future_that_connects_closes_the_socket() {
    in_own_process(|| {
        block_on(async {
            let (dead, _queued) = dead();
            let address = dead.local_addr().unwrap();
            let before = (open_files(), sources_and_timers());
            for _ in 0..3 {
                drop(TcpSocket::new_v4().unwrap());
                drop(TcpSocket::new_v4().unwrap().connect(address));
                let mut connect = TcpSocket::new_v4().unwrap().connect(address);
                assert!(poll_once(&mut connect).await.is_pending());
                let (sources, timers) = before.1;
                assert_eq!(
                    (open_files(), sources_and_timers()),
                    (before.0 + 1, (sources + 1, timers))
                );
                drop(connect);
                assert_eq!((open_files(), sources_and_timers()), before);
            }
        });
    });
}

/// Unlike tokio: there, a socket in blocking mode blocks the loop.
#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_socket_of_another_crate_connects_and_listens_whatever_its_mode() {
    let _beside_others = beside_other_tests();
    let (dead, _queued) = dead();
    let foreign = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert!(!socket.nonblocking().unwrap());
        socket
    };
    // A blocking one would wait for minutes.
    let mut connect =
        TcpSocket::from_std_stream(foreign().into()).connect(dead.local_addr().unwrap());
    assert!(poll_once(&mut connect).await.is_pending());

    let socket = foreign();
    socket.bind(&HERE.into()).unwrap();
    let listener = TcpSocket::from_std_stream(socket.into()).listen(16).unwrap();
    assert!(poll_once(&mut listener.accept()).await.is_pending());
    let socket = foreign();
    socket.set_tcp_user_timeout(Some(seconds(20))).unwrap();
    let stream = TcpSocket::from_std_stream(socket.into());
    let stream = stream.connect(listener.local_addr().unwrap()).await.unwrap();
    assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(seconds(20)));
    listener.accept().await.unwrap();

    // One that is connected already is a mistake.
    let (connected, _peer) = std_pair();
    let error = TcpSocket::from_std_stream(connected).connect(listener.local_addr().unwrap()).await;
    assert_eq!(headwaiter::io::os_error(&error.unwrap_err()), Some(106), "EISCONN");
}

#[test]
fn a_tcp_socket_gives_its_descriptor_away() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(HERE).unwrap();
    let (number, address) = (socket.as_raw_fd(), socket.local_addr().unwrap());
    let fd = OwnedFd::from(socket);
    assert_eq!(fd.as_raw_fd(), number);
    let socket = TcpSocket::from_std_stream(fd.into());
    assert_eq!(socket.local_addr().unwrap(), address);
    let flags = rustix::io::fcntl_getfd(&socket).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    assert_eq!(socket.into_raw_fd(), number);
}

#[test]
fn a_connecting_socket_is_listed_with_its_place_and_mistakes_with_it_are_named() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let address = event_loop.block_on(async {
            let (dead, _queued) = dead();
            let address = dead.local_addr().unwrap();
            let connect = TcpSocket::new_v4().unwrap().connect(address);
            let line = line!() - 1;
            let connecting = spawn(connect);
            headwaiter::task::yield_now().await;
            let (dump, place) =
                (dump().to_string(), format!("tests/promises/socket_options.rs:{line}:"));
            assert!(dump.contains(&place), "{place} is not in: {dump}");
            connecting.abort();
            address
        });

        let outside = |text: String, call: &str| {
            assert!(text.contains("outside any event loop") && text.contains(call), "{text}");
        };
        let socket = TcpSocket::new_v4().unwrap();
        outside(panic_text(|| drop(socket.listen(1))), "`TcpSocket::listen`");
        let connect = TcpSocket::new_v4().unwrap().connect(address);
        outside(
            panic_text(|| drop(futures_lite::future::block_on(connect))),
            "`TcpSocket::connect`",
        );
        let again = panic_text(|| {
            event_loop.block_on(async {
                let mut connect =
                    TcpSocket::new_v4().unwrap().connect("127.0.0.1:1".parse().unwrap());
                let _ = (&mut connect).await;
                let _ = (&mut connect).await;
            });
        });
        assert!(
            again.contains("`TcpSocket::connect` was polled again after it was ready"),
            "{again}"
        );
        fn send<T: Send>() {}
        send::<TcpSocket>();
    });
}

#[headwaiter::test(within = "60s")]
async fn options_of_open_sockets_are_read_back() {
    let _beside_others = beside_other_tests();
    let (client, _server) = tcp_pair().await.unwrap();
    client.set_ttl(17).unwrap();
    assert_eq!(client.ttl().unwrap(), 17);
    for quickack in [false, true] {
        client.set_quickack(quickack).unwrap();
        assert_eq!(client.quickack().unwrap(), quickack);
    }
    assert!(client.take_error().unwrap().is_none());

    let socket = UdpSocket::bind(HERE).await.unwrap();
    socket.set_tos_v4(0xb9).unwrap();
    assert_eq!(socket.tos_v4().unwrap(), 0xb9);
    assert_eq!(kind(socket.set_tos_v4(256)), io::ErrorKind::InvalidInput);
    if let Ok(socket) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await {
        socket.set_tclass_v6(0xb9).unwrap();
        assert_eq!(socket.tclass_v6().unwrap(), 0xb9);
        assert_eq!(kind(socket.set_tclass_v6(256)), io::ErrorKind::InvalidInput);
    }

    let folder = Folder::new();
    assert!(UnixListener::bind(folder.path("door")).unwrap().take_error().unwrap().is_none());
    assert!(TcpListener::bind(HERE).await.unwrap().take_error().unwrap().is_none());
    assert!(UnixStream::pair().unwrap().0.take_error().unwrap().is_none());
}

#[headwaiter::test(within = "60s")]
async fn an_error_that_waits_to_be_reported_is_taken_once() {
    let _beside_others = beside_other_tests();
    let (mut client, server) = tcp_pair().await.unwrap();
    // From now on `readable` waits for an event.
    assert_eq!(kind(client.try_read(&mut [0; 8])), io::ErrorKind::WouldBlock);
    server.set_zero_linger().unwrap();
    drop(server);
    timeout(seconds(30), client.readable()).await.unwrap().unwrap();
    let error = client.take_error().unwrap().expect("the reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(client.take_error().unwrap().is_none());
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
}

with_both_streams! {
    fn several_buffers_are_tried_in_one_call(pair) {
        in_loop(|| async {
            use io::{IoSlice, IoSliceMut};
            let (client, server) = pair().await.unwrap();
            let (mut one, mut other) = ([0; 3], [0; 8]);
            let error = server.try_read_vectored(&mut [IoSliceMut::new(&mut one)]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(server.try_read_vectored(&mut []).unwrap(), 0);
            assert_eq!(client.try_write_vectored(&[IoSlice::new(b"")]).unwrap(), 0);

            let sent = client.try_write_vectored(&[IoSlice::new(b"sou"), IoSlice::new(b""), IoSlice::new(b"p!")]);
            assert_eq!(sent.unwrap(), 5);
            timeout(seconds(30), server.readable()).await.unwrap().unwrap();
            let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
            assert_eq!(server.try_read_vectored(&mut bufs).unwrap(), 5);
            assert_eq!((&one, &other[..2]), (b"sou", &b"p!"[..]));

            // More than one system call takes, and until there is no room.
            let block = [7; 100];
            let many = vec![IoSlice::new(&block); 2000];
            let mut sent = 0;
            let full = loop {
                match client.try_write_vectored(&many) {
                    Ok(n) => sent += n,
                    Err(error) => break error,
                }
            };
            assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
            let mut came = 0;
            let mut bytes = vec![0; 1 << 16];
            while came < sent {
                timeout(seconds(30), server.readable()).await.unwrap().unwrap();
                match server.try_read_vectored(&mut [IoSliceMut::new(&mut bytes)]) {
                    Ok(n) => came += n,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            assert_eq!(came, sent);
        });
    }
}
