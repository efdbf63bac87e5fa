//! Unix sockets. Each test is named for the promise it checks. (What streams of all kinds promise is checked of TCP and Unix
//! streams alike, in `failures.rs` and `contracts.rs`.)
#![cfg(unix)]

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::support::*;
use headwaiter::net::{UnixDatagram, UnixListener, UnixStream};
use headwaiter::task::yield_now;
use headwaiter::time::{self, timeout};
use headwaiter::{EventLoop, block_on, spawn};

/// Counts how often a future is polled.
struct Counted<F>(F, Rc<Cell<usize>>);

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.set(self.1.get() + 1);
        Pin::new(&mut self.0).poll(cx)
    }
}

#[test]
fn a_client_connects_by_path_and_both_ends_know_what_they_are_bound_to() {
    in_every_order(|| async {
        let folder = Folder::new();
        let path = folder.path("door");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        let mut client = UnixStream::connect(&path).await.unwrap();
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path));
        let (mut server, peer) = listener.accept().await.unwrap();
        assert!(peer.is_unnamed() && client.local_addr().unwrap().is_unnamed());
        assert_eq!(server.local_addr().unwrap().as_pathname(), Some(&*path));
        client.write_all(b"soup").await.unwrap();
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes[..4]).await.unwrap();
        server.write_all(b"bread").await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"bread");
        // The stream of connections, both when they are queued already and when they arrive.
        let mut incoming = listener.incoming();
        use futures_lite::StreamExt;
        assert!(poll_once(&mut incoming.next()).await.is_pending());
        let _another = UnixStream::connect(&path).await.unwrap();
        assert!(incoming.next().await.unwrap().unwrap().peer_addr().unwrap().is_unnamed());
    });
}

/// mio's accept panics on such a client.
#[test]
#[cfg(target_os = "linux")]
fn a_client_may_be_bound_to_anything_that_the_kernel_takes() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, socket};
    in_every_order(|| async {
        let folder = Folder::new();
        let path = folder.path("door");
        let listener = UnixListener::bind(&path).unwrap();
        let client_at = |address: &SocketAddrUnix| {
            let client = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
            bind(&client, address).unwrap();
            connect(&client, &SocketAddrUnix::new(&path).unwrap()).unwrap();
            client
        };
        for length in [1, 50, 106, 107, 108] {
            let room = length - folder.path("").as_os_str().len().min(length);
            if room == 0 {
                continue;
            }
            let name = folder.path(&"x".repeat(room));
            assert_eq!(name.as_os_str().len(), length);
            let _client = client_at(&SocketAddrUnix::new(&name).unwrap());
            let (server, peer) = listener.accept().await.unwrap();
            assert_eq!(peer.as_pathname(), Some(&*name), "{length} bytes");
            drop(server);
        }
        use std::os::linux::net::SocketAddrExt;
        let name = format!("headwaiter {}", std::process::id());
        let _client = client_at(&SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap());
        let (_server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.as_abstract_name(), Some(name.as_bytes()));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn abstract_addresses_come_through_std() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net;
    in_every_order(|| async {
        let name = format!("headwaiter abstract {}", std::process::id());
        let address = net::SocketAddr::from_abstract_name(&name).unwrap();
        let listener =
            UnixListener::from_std(net::UnixListener::bind_addr(&address).unwrap()).unwrap();
        let client = net::UnixStream::connect_addr(&address).unwrap();
        let mut client = UnixStream::from_std(client).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"soup").await.unwrap();
        server.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!(server.local_addr().unwrap().as_abstract_name(), Some(name.as_bytes()));
    });
}

/// Unlike tokio: there, a name that is empty or begins with a second NUL is truncated.
#[test]
#[cfg(target_os = "linux")]
fn a_path_that_begins_with_a_nul_is_an_abstract_name_wherever_a_path_is_taken() {
    use std::os::linux::net::SocketAddrExt;
    in_every_order(|| async {
        let process = std::process::id();
        // A name may have NULs itself.
        for path in [format!("\0headwaiter door {process}"), format!("\0\0headwaiter\0{process}")] {
            let name = &path.as_bytes()[1..];
            let listener = UnixListener::bind(&path).unwrap();
            assert_eq!(listener.local_addr().unwrap().as_abstract_name(), Some(name));
            let taken = UnixListener::bind(&path).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
            assert!(taken.to_string().starts_with("bind to \"\\0"), "{taken}");
            let mut client = UnixStream::connect(&path).await.unwrap();
            assert_eq!(client.peer_addr().unwrap().as_abstract_name(), Some(name));
            let (mut server, _) = listener.accept().await.unwrap();
            client.write_all(b"soup").await.unwrap();
            server.read_exact(&mut [0; 4]).await.unwrap();
            // It ends with the listener.
            drop(listener);
            let nobody = UnixStream::connect(&path).await.unwrap_err();
            assert_eq!(nobody.kind(), io::ErrorKind::ConnectionRefused);

            let (receiver, sender) =
                (UnixDatagram::bind(&path).unwrap(), UnixDatagram::unbound().unwrap());
            assert_eq!(receiver.local_addr().unwrap().as_abstract_name(), Some(name));
            let mut buf = [0; 8];
            sender.send_to(b"soup", &path).await.unwrap();
            assert_eq!(receiver.recv(&mut buf).await.unwrap(), 4);
            assert_eq!(sender.try_send_to(b"bread", &path).unwrap(), 5);
            assert_eq!(receiver.recv(&mut buf).await.unwrap(), 5);
            sender.connect(&path).unwrap();
            sender.send(b"a").await.unwrap();
            assert_eq!(receiver.recv(&mut buf).await.unwrap(), 1);
        }
        // As long as the kernel takes, and one more.
        let longest = format!("\0{process:0>107}");
        UnixListener::bind(&longest).unwrap();
        UnixDatagram::bind(&longest).unwrap();
        let error = UnixListener::bind(format!("{longest}x")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        // The backlog is full: it waits, as at a path.
        let listener = UnixListener::bind(&longest).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let _queued = UnixStream::connect(&longest).await.unwrap();
        let mut waiting = UnixStream::connect(&longest);
        assert!(poll_once(&mut waiting).await.is_pending());
        listener.accept().await.unwrap();
        waiting.await.unwrap();
    });
}

#[test]
fn paths_that_cannot_be_used_are_errors_that_name_them() {
    in_every_order(|| async {
        let folder = Folder::new();
        let (nothing, file, no_folder) =
            (folder.path("nothing"), folder.path("file"), folder.path("no/such"));
        let too_long = folder.path(&"x".repeat(200));
        drop(UnixListener::bind(&file).unwrap());
        let socket = UnixDatagram::unbound().unwrap();
        let mut checked = 0;
        let mut check = |error: io::Error, kind, doing: &str, path: &std::path::Path| {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().starts_with(&format!("{doing} {path:?}: ")), "{error}");
            checked += 1;
        };
        use io::ErrorKind::{AddrInUse, ConnectionRefused, InvalidInput, NotFound};
        check(UnixStream::connect(&nothing).await.unwrap_err(), NotFound, "connect to", &nothing);
        check(
            UnixStream::connect(&file).await.unwrap_err(),
            ConnectionRefused,
            "connect to",
            &file,
        );
        check(
            UnixStream::connect(&too_long).await.unwrap_err(),
            InvalidInput,
            "connect to",
            &too_long,
        );
        check(UnixListener::bind(&file).unwrap_err(), AddrInUse, "bind to", &file);
        check(UnixListener::bind(&no_folder).unwrap_err(), NotFound, "bind to", &no_folder);
        check(UnixListener::bind(&too_long).unwrap_err(), InvalidInput, "bind to", &too_long);
        check(UnixDatagram::bind(&file).unwrap_err(), AddrInUse, "bind to", &file);
        check(socket.connect(&nothing).unwrap_err(), NotFound, "connect to", &nothing);
        check(socket.send_to(b"x", &nothing).await.unwrap_err(), NotFound, "send to", &nothing);
        check(socket.try_send_to(b"x", &nothing).unwrap_err(), NotFound, "send to", &nothing);
        assert_eq!(checked, 10);
        // It has no peer: it is not connected.
        assert_eq!(socket.peer_addr().unwrap_err().kind(), io::ErrorKind::NotConnected);
        assert!(socket.send(b"x").await.is_err());
        // And the loop still works.
        assert!(unix_pair().await.is_ok());
    });
}

/// mio #1560.
/// Unlike tokio: there, it fails with `WouldBlock`.
#[headwaiter::test(clock = "virtual", within = "60s")]
#[cfg(target_os = "linux")]
async fn connect_waits_for_a_full_queue_with_bounded_pace_and_until_it_is_in_there() {
    let _beside_others = beside_other_tests();
    let folder = Folder::new();
    let path = folder.path("door");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let mut queued = Vec::new();
    let mut waiting = loop {
        let mut connect = UnixStream::connect(&path);
        match poll_once(&mut connect).await {
            Poll::Ready(client) => queued.push(client.unwrap()),
            Poll::Pending => break connect,
        }
    };
    assert!(!queued.is_empty());
    // It asks again, not all the time.
    let polls = Rc::new(Cell::new(0));
    let start = time::now();
    let counted = Counted(&mut waiting, Rc::clone(&polls));
    assert!(timeout(Duration::from_secs(10), counted).await.is_err());
    assert_eq!(time::now() - start, Duration::from_secs(10));
    assert!((400..=600).contains(&polls.get()), "{} polls in 10 s", polls.get());
    // Connected when, and only when, there is room.
    let accepted = listener.accept().await.unwrap();
    let start = time::now();
    let mut client = waiting.await.unwrap();
    assert!(time::now() - start <= ms(20));
    client.write_all(b"here").await.unwrap();
    drop(accepted);
    for _ in 1..queued.len() {
        listener.accept().await.unwrap();
    }
    let (mut server, _) = listener.accept().await.unwrap();
    server.read_exact(&mut [0; 4]).await.unwrap();
    assert!(poll_once(&mut listener.accept()).await.is_pending());
}

#[test]
#[cfg(target_os = "linux")]
fn operations_of_unix_sockets_dropped_half_way_leave_nothing() {
    bounded(|| {
        let folder = Folder::new();
        let path = folder.path("door");
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            let listener = UnixListener::bind(&path).unwrap();
            rustix::net::listen(&listener, 0).unwrap();
            let mut queued = 0;
            while poll_once(&mut UnixStream::connect(&path)).await.is_ready() {
                queued += 1;
            }
            for _ in 0..20 {
                assert!(poll_once(&mut UnixStream::connect(&path)).await.is_pending());
            }
            // Those that waited never came.
            for _ in 0..queued {
                listener.accept().await.unwrap();
            }
            assert!(poll_once(&mut listener.accept()).await.is_pending());
            use futures_lite::StreamExt;
            assert!(poll_once(&mut listener.incoming().next()).await.is_pending());
            // A connection that comes while no task waits stays in the queue.
            let _client = UnixStream::connect(&path).await.unwrap();
            let mut accept = listener.accept();
            drop(accept_when_ready(&mut accept).await);
            assert!(poll_once(&mut listener.accept()).await.is_pending());
        });
        // Datagrams: none is lost, none is sent.
        event_loop.block_on(async {
            let (one, other) = UnixDatagram::pair().unwrap();
            let mut buf = [0; 8];
            assert!(would_block(other.try_recv(&mut buf)));
            for _ in 0..100 {
                let (mut recv, mut more) = (other.recv(&mut buf), [0; 8]);
                let mut recv_from = other.recv_from(&mut more);
                assert!(poll_once(&mut recv).await.is_pending());
                assert!(poll_once(&mut recv_from).await.is_pending());
                one.send(b"soup").await.unwrap();
                other.readable().await.unwrap();
                drop((recv, recv_from));
                assert_eq!(other.recv(&mut buf).await.unwrap(), 4);
                assert!(would_block(other.try_recv(&mut buf)));
            }
            let mut sent = 0;
            while let Poll::Ready(done) = poll_once(&mut one.send(&[7; 1000])).await {
                done.unwrap();
                sent += 1;
            }
            assert!(poll_once(&mut one.writable()).await.is_pending());
            let mut buf = [0; 1000];
            for _ in 0..sent {
                assert_eq!(other.recv(&mut buf).await.unwrap(), 1000);
            }
            assert!(would_block(other.try_recv(&mut buf)));
            let receiver = UnixDatagram::bind(folder.path("receiver")).unwrap();
            let sender = UnixDatagram::unbound().unwrap();
            let mut sent = 0;
            while poll_once(&mut sender.send_to(b"x", folder.path("receiver"))).await.is_ready() {
                sent += 1;
            }
            for _ in 0..sent {
                receiver.recv(&mut buf).await.unwrap();
            }
            assert!(would_block(receiver.try_recv(&mut buf)));
        });
        assert_eq!(event_loop.next_deadline(), None, "a timer was left");
        let turn = event_loop.turn(Some(ms(2))).unwrap();
        assert_eq!((turn.polls, turn.timers), (0, 0));
    });
}

#[cfg(target_os = "linux")]
async fn accept_when_ready(
    accept: &mut headwaiter::net::Accept<'_, UnixListener>,
) -> (UnixStream, std::os::unix::net::SocketAddr) {
    accept.await.unwrap()
}

/// A read ends at the boundary of a message with a file descriptor, and what is behind it makes no event of its own.
#[test]
#[cfg(target_os = "linux")]
fn a_file_descriptor_between_the_bytes_does_not_stall_a_stream() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::os::fd::AsFd;
    in_every_order(|| async {
        let (mut client, mut server) = unix_pair().await.unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        for vectored in [false, true] {
            for _ in 0..50 {
                // All of it is there before the one event is taken.
                client.write_all(b"ab").await.unwrap();
                let mut space =
                    [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                let fds = [null.as_fd()];
                assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
                sendmsg(&client, &[io::IoSlice::new(b"cd")], &mut control, SendFlags::empty())
                    .unwrap();
                client.write_all(b"ef").await.unwrap();
                let (mut bytes, mut reads) = (Vec::new(), 0);
                while bytes.len() < 6 {
                    let mut buf = [0; 64];
                    let n = if vectored {
                        use futures_lite::AsyncReadExt;
                        (&server).read_vectored(&mut [io::IoSliceMut::new(&mut buf)]).await.unwrap()
                    } else {
                        server.read(&mut buf).await.unwrap()
                    };
                    bytes.extend_from_slice(&buf[..n]);
                    reads += 1;
                }
                assert_eq!(
                    (&*bytes, reads),
                    (&b"abcdef"[..], 2),
                    "the kernel does not stop there: then why test it"
                );
            }
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn urgent_data_does_not_stall_a_unix_stream() {
    use rustix::net::{SendFlags, send};
    in_every_order(|| async {
        let (client, mut server) = unix_pair().await.unwrap();
        if send(&client, b"U", SendFlags::OOB).is_err() {
            return println!("this kernel has no urgent data on Unix sockets");
        }
        let mut bytes = [0; 8];
        for _ in 0..50 {
            send(&client, b"a", SendFlags::empty()).unwrap();
            send(&client, b"U", SendFlags::OOB).unwrap();
            send(&client, b"bcd", SendFlags::empty()).unwrap();
            let mut got = 0;
            while got < 4 {
                got += server.read(&mut bytes).await.unwrap();
            }
        }
    });
}

#[test]
fn room_to_write_is_heard_of_each_time_that_there_was_none() {
    in_every_order(|| async {
        let (client, mut server) = unix_pair().await.unwrap();
        let client = Rc::new(client);
        let mut bytes = vec![0; 1 << 16];
        for _ in 0..5 {
            let mut written = 0;
            loop {
                match client.try_write(&bytes) {
                    Ok(n) => written += n,
                    Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            let waiting = Rc::clone(&client);
            let waiting = spawn(async move { waiting.writable().await });
            yield_now().await;
            assert!(!waiting.is_finished());
            while written > 0 {
                written -= server.read(&mut bytes).await.unwrap();
            }
            waiting.await.unwrap().unwrap();
        }
    });
}

/// tokio 10f1507cf.
#[test]
fn a_writer_on_a_full_stream_hears_that_its_reader_has_gone() {
    in_every_order(|| async {
        let (mut client, server) = unix_pair().await.unwrap();
        let writer = spawn(async move { client.write_all(&vec![0; 64 << 20]).await });
        yield_now().await;
        yield_now().await;
        assert!(!writer.is_finished());
        drop(server);
        let error = writer.await.unwrap().unwrap_err();
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        assert!(matches!(error.kind(), BrokenPipe | ConnectionReset), "{error}");
        // Without unread bytes it is the plain one.
        let (mut client, server) = unix_pair().await.unwrap();
        drop(server);
        assert_eq!(client.write(b"x").await.unwrap_err().kind(), BrokenPipe);
        assert_eq!(client.try_write(b"x").unwrap_err().kind(), BrokenPipe);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    });
}

/// Linux reports it with each message that the other end reads, or that goes out.
#[test]
#[cfg(target_os = "linux")]
fn room_to_write_that_was_always_there_wakes_nobody() {
    use headwaiter::net::UdpSocket;
    use std::io::{Read, Write};
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut events = 0;
        let mut turn = |event_loop: &mut EventLoop, wait| {
            events += event_loop.turn(wait).unwrap().events;
            events
        };
        let at_once = Some(Duration::ZERO);
        let (server, mut client) = std::os::unix::net::UnixStream::pair().unwrap();
        let echo = event_loop.enter(|| {
            let mut server = UnixStream::from_std(server).unwrap();
            spawn(async move {
                let mut byte = [0];
                while server.read(&mut byte).await.unwrap() == 1 {
                    server.write_all(&byte).await.unwrap();
                }
            })
        });
        turn(&mut event_loop, at_once);
        for n in 1..=100 {
            client.write_all(b"x").unwrap();
            turn(&mut event_loop, None);
            client.read_exact(&mut [0]).unwrap();
            assert_eq!(turn(&mut event_loop, at_once), n);
        }
        event_loop.enter(|| echo.abort());
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        let echo = event_loop.enter(|| {
            let server = UdpSocket::from_std(server).unwrap();
            spawn(async move {
                loop {
                    let (_, from) = server.recv_from(&mut [0]).await.unwrap();
                    server.send_to(b"x", from).await.unwrap();
                }
            })
        });
        turn(&mut event_loop, at_once);
        for n in 101..=200 {
            client.send(b"x").unwrap();
            turn(&mut event_loop, None);
            client.recv(&mut [0]).unwrap();
            assert_eq!(turn(&mut event_loop, at_once), n);
        }
        event_loop.enter(|| echo.abort());
    });
}

#[test]
fn a_half_closed_stream_still_carries_the_other_half() {
    in_every_order(|| async {
        let (mut client, mut server) = unix_pair().await.unwrap();
        let waiting = spawn(async move {
            let mut bytes = [0; 8];
            assert_eq!(server.read(&mut bytes).await.unwrap(), 0);
            server.write_all(b"soup").await.unwrap();
            // Dropped: the end.
        });
        yield_now().await;
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        let mut bytes = [0; 8];
        client.read_exact(&mut bytes[..4]).await.unwrap();
        assert_eq!(&bytes[..4], b"soup");
        waiting.await.unwrap();
        assert_eq!(client.read(&mut bytes).await.unwrap(), 0);
        let error = client.read_exact(&mut bytes).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn unix_sockets_carry_datagrams_of_no_byte_one_byte_and_many_bytes() {
    in_every_order(|| async {
        let folder = Folder::new();
        let (one, other) = UnixDatagram::pair().unwrap();
        let sender = UnixDatagram::bind(folder.path("sender")).unwrap();
        let receiver = UnixDatagram::bind(folder.path("receiver")).unwrap();
        let mut buf = vec![0; 65_508];
        for size in [0, 1, 65_507] {
            let datagram: Vec<u8> = (0..size).map(|n| n as u8).collect();
            assert_eq!(one.send(&datagram).await.unwrap(), size);
            assert_eq!(other.recv(&mut buf).await.unwrap(), size);
            assert_eq!(buf[..size], datagram);
            assert_eq!(sender.send_to(&datagram, folder.path("receiver")).await.unwrap(), size);
            let (n, from) = receiver.recv_from(&mut buf).await.unwrap();
            assert_eq!((n, from.as_pathname()), (size, Some(&*folder.path("sender"))));
            assert_eq!(buf[..size], datagram);
            assert_eq!(sender.try_send_to(&datagram, folder.path("receiver")).unwrap(), size);
            assert_eq!(receiver.try_recv_from(&mut buf).unwrap().0, size);
            assert_eq!(one.try_send(&datagram).unwrap(), size);
            assert_eq!(other.try_recv(&mut buf).unwrap(), size);
        }
        sender.connect(folder.path("receiver")).unwrap();
        assert_eq!(sender.peer_addr().unwrap().as_pathname(), Some(&*folder.path("receiver")));
        sender.send(b"soup").await.unwrap();
        assert_eq!(receiver.recv(&mut buf).await.unwrap(), 4);
        // A sender that is not bound has no name.
        UnixDatagram::unbound().unwrap().send_to(b"x", folder.path("receiver")).await.unwrap();
        assert!(receiver.recv_from(&mut buf).await.unwrap().1.is_unnamed());
    });
}

#[test]
fn the_rest_of_a_unix_datagram_that_does_not_fit_is_lost_and_the_next_is_whole() {
    in_every_order(|| async {
        let (one, other) = UnixDatagram::pair().unwrap();
        for datagram in [b"much too long", b"once more long"] as [&[u8]; 2] {
            one.send(datagram).await.unwrap();
        }
        one.send(b"next").await.unwrap();
        let mut buf = [0; 4];
        assert_eq!(other.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"much");
        assert_eq!(other.recv_from(&mut buf).await.unwrap().0, 4);
        assert_eq!(&buf, b"once");
        assert_eq!(other.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"next");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn that_a_unix_datagram_was_cut_off_is_told_with_its_length_and_its_sender() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    in_every_order(|| async {
        let folder = Folder::new();
        let at = folder.path("receiver");
        let receiver = UnixDatagram::bind(&at).unwrap();
        let mut buf = [0; 4];
        let unnamed = UnixDatagram::unbound().unwrap();
        for (sent, len, cut) in [
            (&b"soup"[..], 4, false),
            (b"soup, bread", 4, true),
            (b"so", 2, false),
            (b"", 0, false),
        ] {
            unnamed.send_to(sent, &at).await.unwrap();
            let received = receiver.recv_msg(&mut buf).await.unwrap();
            assert_eq!(
                (received.len, received.full_len, received.is_truncated()),
                (len, sent.len(), cut)
            );
            assert_eq!(&buf[..len], &sent[..len]);
            assert!(received.from.is_unnamed());
        }
        assert!(would_block(receiver.try_recv_msg(&mut buf)));

        // The sender's name: an abstract one, a path, and the longest paths. Of the very longest std can make no address.
        let abstract_name = format!("\0headwaiter sender {}", std::process::id());
        let named = UnixDatagram::bind(&abstract_name).unwrap();
        named.send_to(b"soup, bread", &at).await.unwrap();
        let received = receiver.try_recv_msg(&mut []).unwrap();
        assert_eq!((received.len, received.full_len, received.is_truncated()), (0, 11, true));
        assert_eq!(received.from.as_abstract_name(), Some(&abstract_name.as_bytes()[1..]));
        for length in [60, 107, 108] {
            let mut path = folder.path("x").into_os_string().into_encoded_bytes();
            assert!(path.len() < length);
            path.resize(length, b'x');
            let path = std::path::Path::new(std::ffi::OsStr::from_bytes(&path));
            let kind = rustix::net::SocketType::DGRAM;
            let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, kind, None).unwrap();
            rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new(path).unwrap()).unwrap();
            let sender = UnixDatagram::from_std(socket.into()).unwrap();
            sender.send_to(b"soup", &at).await.unwrap();
            let received = receiver.recv_msg(&mut buf).await.unwrap();
            let expected = (length < 108).then_some(path);
            assert_eq!((received.len, received.from.as_pathname()), (4, expected));
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_unix_datagram_that_is_too_large_is_an_error_with_the_path_where_one_is_given() {
    in_every_order(|| async {
        let folder = Folder::new();
        let path = folder.path("receiver");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        let too_large = vec![0; 16 << 20];
        // The kernel's own: the caller has connected it.
        for error in
            [sender.send(&too_large).await.unwrap_err(), sender.try_send(&too_large).unwrap_err()]
        {
            assert_eq!(error.raw_os_error(), Some(90), "EMSGSIZE");
        }
        for error in [
            sender.send_to(&too_large, &path).await.unwrap_err(),
            sender.try_send_to(&too_large, &path).unwrap_err(),
        ] {
            assert_eq!(headwaiter::io::os_error(&error), Some(90), "EMSGSIZE");
            assert!(error.to_string().starts_with(&format!("send to {path:?}: ")), "{error}");
        }
        sender.send(b"soup").await.unwrap();
        assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 4);
    });
}

/// Fills the queue of a receiver with datagrams of another socket. Returns how many.
fn fill(path: &std::path::Path) -> usize {
    let filler = std::os::unix::net::UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    std::iter::from_fn(|| filler.send_to(b"filler", path).ok()).count()
}

#[test]
fn a_connected_sender_waits_for_a_full_queue_and_is_woken_when_there_is_room() {
    in_every_order(|| async {
        let folder = Folder::new();
        let path = folder.path("receiver");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = Rc::new(UnixDatagram::unbound().unwrap());
        sender.connect(&path).unwrap();
        for _ in 0..20 {
            let filled = fill(&path);
            assert!(would_block(sender.try_send(b"soup")));
            let of_task = Rc::clone(&sender);
            let sending = spawn(async move { of_task.send(b"soup").await });
            let of_task = Rc::clone(&sender);
            let waiting = spawn(async move { of_task.writable().await });
            yield_now().await;
            assert!(!sending.is_finished() && !waiting.is_finished());
            for _ in 0..filled {
                assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 6);
            }
            assert_eq!(sending.await.unwrap().unwrap(), 4);
            waiting.await.unwrap().unwrap();
            assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 4);
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn send_to_waits_for_a_full_queue_with_bounded_pace() {
    bounded(|| {
        let folder = Folder::new();
        let path = folder.path("receiver");
        let mut event_loop = EventLoop::new().unwrap();
        let (receiver, sender) = event_loop
            .enter(|| (UnixDatagram::bind(&path).unwrap(), UnixDatagram::unbound().unwrap()));
        let filled = fill(&path);
        let sender = Rc::new(sender);
        let (of_task, to) = (Rc::clone(&sender), path.clone());
        let sending =
            event_loop.enter(|| spawn(async move { of_task.send_to(b"soup", &to).await }));
        // Each attempt that fails causes an event that no task waits for.
        let (mut turns, start) = (0, Instant::now());
        while start.elapsed() < ms(200) {
            event_loop.turn(Some(ms(200))).unwrap();
            turns += 1;
        }
        assert!(turns <= 40, "{turns} turns in a fifth of a second");
        event_loop.block_on(async {
            assert!(!sending.is_finished());
            assert!(would_block(sender.try_send_to(b"soup", &path)));
            // That the receiver is full does not make this socket unwritable.
            assert!(poll_once(&mut sender.writable()).await.is_ready());
            for _ in 0..filled {
                assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 6);
            }
            assert_eq!(sending.await.unwrap().unwrap(), 4);
            assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 4);
        });
    });
}

#[test]
fn that_the_other_end_of_a_datagram_socket_has_gone_is_an_error_and_it_goes_on() {
    in_every_order(|| async {
        let folder = Folder::new();
        let (first, second) = (folder.path("first"), folder.path("second"));
        let sender = UnixDatagram::unbound().unwrap();
        let receiver = UnixDatagram::bind(&first).unwrap();
        sender.connect(&first).unwrap();
        drop(receiver);
        let refused = sender.send(b"soup").await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let receiver = UnixDatagram::bind(&second).unwrap();
        sender.connect(&second).unwrap();
        sender.send(b"soup").await.unwrap();
        assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 4);
        receiver.shutdown(Shutdown::Read).unwrap();
        assert_eq!(sender.send(b"soup").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(sender.take_error().unwrap().is_none());
    });
}

#[test]
fn tasks_that_share_a_unix_datagram_socket_all_make_progress() {
    in_every_order(|| async {
        let (one, other) = UnixDatagram::pair().unwrap();
        let other = Rc::new(other);
        for _ in 0..100 {
            let receivers: Vec<_> = (0..3)
                .map(|_| {
                    let other = Rc::clone(&other);
                    spawn(async move { other.recv(&mut [0; 8]).await.unwrap() })
                })
                .collect();
            yield_now().await;
            for size in 1..=3 {
                one.send(&[0; 8][..size]).await.unwrap();
            }
            let mut sum = 0;
            for receiver in receivers {
                sum += receiver.await.unwrap();
            }
            assert_eq!(sum, 1 + 2 + 3);
        }
    });
}

#[headwaiter::test(within = "60s")]
async fn connecting_and_sending_for_ever_yields_too() {
    let _beside_others = beside_other_tests();
    let folder = Folder::new();
    let path = folder.path("door");
    let listener = UnixListener::bind(&path).unwrap();
    let receiver = UnixDatagram::bind(folder.path("receiver")).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    let turns = Rc::new(Cell::new(0));
    let counted = Rc::clone(&turns);
    let counting = spawn(async move {
        loop {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    for _ in 0..300 {
        drop(UnixStream::connect(&path).await.unwrap());
        listener.accept().await.unwrap();
    }
    assert!(turns.get() >= 4, "{} turns in 300 connects and accepts", turns.get());
    turns.set(0);
    for _ in 0..300 {
        sender.send_to(b"x", folder.path("receiver")).await.unwrap();
        receiver.recv(&mut [0]).await.unwrap();
    }
    assert!(turns.get() >= 4, "{} turns in 300 datagrams", turns.get());
    counting.abort();
}

#[test]
fn unix_sockets_go_through_std_to_another_loop() {
    bounded(|| {
        let folder = Folder::new();
        let path = folder.path("door");
        let (listener, datagram, stream, mut peer) = block_on(async {
            let (stream, peer) = std::os::unix::net::UnixStream::pair().unwrap();
            let stream = UnixStream::from_std(stream).unwrap();
            let datagram = UnixDatagram::bind(folder.path("receiver")).unwrap();
            let listener = UnixListener::bind(&path).unwrap();
            let std = (listener.into_std(), datagram.into_std(), stream.into_std());
            (std.0.unwrap(), std.1.unwrap(), std.2.unwrap(), peer)
        });
        block_on(async {
            let listener = UnixListener::from_std(listener).unwrap();
            let _client = UnixStream::connect(&path).await.unwrap();
            listener.accept().await.unwrap();
            let receiver = UnixDatagram::from_std(datagram).unwrap();
            UnixDatagram::unbound()
                .unwrap()
                .send_to(b"soup", folder.path("receiver"))
                .await
                .unwrap();
            assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 4);
            UnixStream::from_std(stream).unwrap().write_all(b"soup").await.unwrap();
        });
        let mut soup = String::new();
        io::Read::read_to_string(&mut peer, &mut soup).unwrap();
        assert_eq!(soup, "soup");
    });
}

#[test]
fn mistakes_with_unix_sockets_are_named_with_the_way_out() {
    bounded(|| {
        let folder = Folder::new();
        let path = folder.path("door");
        let (mut stream, _peer) = block_on(unix_pair()).unwrap();
        let datagram = block_on(async { UnixDatagram::unbound().unwrap() });
        for text in [
            panic_text(|| drop(UnixListener::bind(&path))),
            panic_text(|| drop(UnixStream::pair())),
            panic_text(|| drop(UnixDatagram::unbound())),
            panic_text(|| drop(futures_lite::future::block_on(UnixStream::connect(&path)))),
            panic_text(|| drop(stream.try_read(&mut [0]))),
            panic_text(|| drop(datagram.try_recv(&mut [0]))),
        ] {
            assert!(text.contains("outside any event loop") && text.contains("block_on"), "{text}");
        }
        let another = panic_text(|| drop(block_on(stream.read(&mut [0]))));
        assert!(
            another.contains("another event loop") && another.contains("Unix stream"),
            "{another}"
        );
        let again = panic_text(|| {
            block_on(async {
                let mut connect = UnixStream::connect(folder.path("nothing"));
                assert!(poll_once(&mut connect).await.is_ready());
                let _ = poll_once(&mut connect).await;
            });
        });
        assert!(again.contains("polled again"), "{again}");
        fn send_and_sync<T: Send + Sync>() {}
        send_and_sync::<UnixStream>();
        send_and_sync::<UnixListener>();
        send_and_sync::<UnixDatagram>();
    });
}

/// A path that removes its file when it is dropped, as those of temporary files do.
struct Temporary(std::path::PathBuf);

impl AsRef<std::path::Path> for Temporary {
    fn as_ref(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[headwaiter::test(within = "60s")]
async fn a_path_that_owns_its_socket_lives_as_long_as_the_operation() {
    let _beside_others = beside_other_tests();
    let folder = Folder::new();
    let path = folder.path("kitchen");
    let _listener = UnixListener::bind(&path).unwrap();
    UnixStream::connect(Temporary(path.clone())).await.unwrap();
    assert!(!path.exists(), "it went with the operation");
    let datagrams = UnixDatagram::bind(&path).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(Temporary(path.clone())).unwrap();
    assert!(!path.exists(), "it went with the operation");
    drop(datagrams);
    let datagrams = UnixDatagram::bind(&path).unwrap();
    assert_eq!(sender.send_to(b"soup", Temporary(path.clone())).await.unwrap(), 4);
    assert_eq!(datagrams.recv(&mut [0; 8]).await.unwrap(), 4);
    assert!(!path.exists(), "it went with the operation");
}
