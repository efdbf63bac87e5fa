//! File descriptors that travel with the bytes of Unix sockets. Each test is named for the promise it checks.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::support::*;
use headwaiter::net::{UnixDatagram, UnixStream};
use headwaiter::task::yield_now;
use headwaiter::{EventLoop, block_on, spawn};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as the kernel takes in one message.
const MOST: usize = 253;

/// A file with a text in it, read from its start.
fn file(folder: &Folder, text: &str) -> File {
    let mut options = File::options();
    let mut file = options.read(true).write(true).create_new(true).open(folder.path(text)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

fn text(fd: OwnedFd) -> String {
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text).unwrap();
    text
}

fn null() -> File {
    File::open("/dev/null").unwrap()
}

#[test]
fn descriptors_go_with_the_bytes_of_a_stream_in_order_and_are_closed_in_children() {
    in_every_order(|| async {
        let folder = Folder::new();
        let (one, other) = UnixStream::pair().unwrap();
        let (soup, bread) = (file(&folder, "soup"), file(&folder, "bread"));
        assert_eq!(one.send_fds(b"two", &[soup.as_fd(), bread.as_fd()]).await.unwrap(), 3);
        drop((soup, bread)); // On their way they are open.
        let (mut buf, mut fds) = ([0; 8], Vec::new());
        assert_eq!(other.recv_fds(&mut buf, &mut fds).await.unwrap(), 3);
        assert_eq!((&buf[..3], fds.len()), (&b"two"[..], 2));
        assert!(fds.iter().all(|fd| fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC)));
        assert_eq!(fds.drain(..).map(text).collect::<Vec<_>>(), ["soup", "bread"]);

        // Without any, and the other way round; what is in the vector stays there.
        fds.push(null().into());
        assert_eq!(other.send_fds(b"none", &[]).await.unwrap(), 4);
        assert_eq!(one.recv_fds(&mut buf, &mut fds).await.unwrap(), 4);
        assert_eq!((&buf[..4], fds.len()), (&b"none"[..], 1));
        other.send_fds(b"!", &[null().as_fd()]).await.unwrap();
        assert_eq!(one.recv_fds(&mut buf, &mut fds).await.unwrap(), 1);
        assert_eq!(fds.len(), 2);
        drop(other);
        assert_eq!(one.recv_fds(&mut buf, &mut fds).await.unwrap(), 0, "the end");
        let gone = one.send_fds(b"x", &[null().as_fd()]).await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn descriptors_come_with_the_first_of_their_bytes_and_not_with_those_of_a_later_message() {
    in_every_order(|| async {
        let folder = Folder::new();
        let (mut one, other) = UnixStream::pair().unwrap();
        let [first, second] = ["first", "second"].map(|text| file(&folder, text));
        one.write_all(b"before").await.unwrap();
        one.send_fds(b"ab", &[first.as_fd()]).await.unwrap();
        one.send_fds(b"cd", &[second.as_fd()]).await.unwrap();
        one.write_all(b"after").await.unwrap();
        let mut came = Vec::new();
        let mut bytes = Vec::<u8>::new();
        while bytes.len() < 15 {
            let (mut buf, mut fds) = ([0; 100], Vec::new());
            let n = other.recv_fds(&mut buf, &mut fds).await.unwrap();
            assert!(n > 0 && fds.len() <= 1, "{n} bytes, {} descriptors", fds.len());
            bytes.extend(&buf[..n]);
            came.extend(fds.into_iter().map(|fd| (text(fd), bytes.len())));
        }
        assert_eq!(bytes, b"beforeabcdafter");
        assert_eq!(came, [("first".to_owned(), 8), ("second".to_owned(), 10)]);

        // Byte by byte.
        one.send_fds(b"abc", &[first.as_fd()]).await.unwrap();
        for with in [1, 0, 0] {
            let mut fds = Vec::new();
            assert_eq!(other.recv_fds(&mut [0], &mut fds).await.unwrap(), 1);
            assert_eq!(fds.len(), with);
        }
    });
}

#[test]
fn descriptors_go_with_a_datagram_also_with_one_without_bytes() {
    in_every_order(|| async {
        let folder = Folder::new();
        let (one, other) = UnixDatagram::pair().unwrap();
        for (bytes, name) in [(&b"soup"[..], "soup"), (b"", "bread")] {
            let file = file(&folder, name);
            assert_eq!(one.send_fds(bytes, &[file.as_fd()]).await.unwrap(), bytes.len());
            let (mut buf, mut fds) = ([0; 8], Vec::new());
            assert_eq!(other.recv_fds(&mut buf, &mut fds).await.unwrap(), bytes.len());
            assert_eq!(&buf[..bytes.len()], bytes);
            assert_eq!(fds.drain(..).map(text).collect::<Vec<_>>(), [name]);
        }
        // One that is cut off, into no room at all, brings them too.
        one.send_fds(b"soup", &[null().as_fd(), null().as_fd()]).await.unwrap();
        let mut fds = Vec::new();
        assert_eq!(other.recv_fds(&mut [], &mut fds).await.unwrap(), 0);
        assert_eq!(fds.len(), 2);
        assert_eq!(other.send_fds(b"none", &[]).await.unwrap(), 4);
        assert_eq!(one.recv(&mut [0; 8]).await.unwrap(), 4);
    });
}

#[test]
fn as_many_go_in_one_message_as_the_kernel_takes_and_what_cannot_go_is_refused_with_the_reason() {
    in_own_process(|| {
        raise_file_limit();
        block_on(async {
            let null = null();
            let (stream, other) = UnixStream::pair().unwrap();
            let (datagram, another) = UnixDatagram::pair().unwrap();
            let many = [null.as_fd(); MOST + 1];
            let (mut buf, mut fds) = ([0; 8], Vec::new());
            stream.send_fds(b"x", &many[..MOST]).await.unwrap();
            other.recv_fds(&mut buf, &mut fds).await.unwrap();
            datagram.send_fds(b"x", &many[..MOST]).await.unwrap();
            another.recv_fds(&mut buf, &mut fds).await.unwrap();
            assert_eq!(fds.len(), 2 * MOST);
            // Together with credentials, as a socket sends them that has SO_PASSCRED set.
            rustix::net::sockopt::set_socket_passcred(&other, true).unwrap();
            stream.send_fds(b"x", &many[..MOST]).await.unwrap();
            other.recv_fds(&mut buf, &mut fds).await.unwrap();
            assert_eq!(fds.len(), 3 * MOST);

            let refused = "a message carries at most 253 file descriptors, and these are 254";
            let error = stream.send_fds(b"x", &many).await.unwrap_err();
            assert_eq!((error.kind(), &*error.to_string()), (io::ErrorKind::InvalidInput, refused));
            let error = datagram.send_fds(b"x", &many).await.unwrap_err();
            assert_eq!((error.kind(), &*error.to_string()), (io::ErrorKind::InvalidInput, refused));

            let error = stream.send_fds(b"", &many[..1]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("send at least one byte with them"), "{error}");
            // Of nothing at all there is nothing to refuse, and nothing to wait for.
            assert_eq!(stream.send_fds(b"", &[]).await.unwrap(), 0);
            assert_eq!(other.recv_fds(&mut [], &mut fds).await.unwrap(), 0);
        });
    });
}

#[test]
fn an_operation_dropped_half_way_neither_sends_nor_takes_a_descriptor() {
    in_every_order(|| async {
        let null = null();
        let fds = [null.as_fd()];
        let (mut one, other) = UnixStream::pair().unwrap();
        let (mut buf, mut came) = ([0; 8], Vec::new());
        for _ in 0..10 {
            let mut receive = other.recv_fds(&mut buf, &mut came);
            assert!(poll_once(&mut receive).await.is_pending());
            one.send_fds(b"x", &fds).await.unwrap();
            drop(receive);
            let mut receive = other.recv_fds(&mut buf, &mut came);
            assert_eq!((&mut receive).await.unwrap(), 1);
            drop(receive);
            assert_eq!(came.drain(..).count(), 1);
        }

        // Until there is no room.
        let mut sent = 0;
        while let Ok(n) = one.try_write(&[7; 4096]) {
            sent += n;
        }
        for _ in 0..10 {
            let mut send = one.send_fds(b"never", &fds);
            assert!(poll_once(&mut send).await.is_pending());
        }
        // A send that continues when there is room.
        let late = spawn(async move {
            let null = File::open("/dev/null").unwrap();
            let n = one.send_fds(b"late", &[null.as_fd()]).await.unwrap();
            one.write_all(&b"late"[n..]).await.unwrap();
        });
        yield_now().await;
        let mut bytes = vec![0; sent + 8];
        let mut read = 0;
        loop {
            let n = other.recv_fds(&mut bytes[read..], &mut came).await.unwrap();
            if n == 0 {
                break;
            }
            read += n;
        }
        late.await.unwrap();
        assert_eq!((read, &bytes[sent..read]), (sent + 4, &b"late"[..]));
        assert_eq!(came.len(), 1);
    });
}

#[test]
fn descriptors_for_which_the_process_has_no_room_are_an_error_and_none_is_left_open() {
    in_own_process(|| {
        block_on(async {
            let null = null();
            let (mut one, other) = UnixStream::pair().unwrap();
            let (datagram, another) = UnixDatagram::pair().unwrap();
            let before = open_files();
            let Rlimit { maximum, current } = getrlimit(Resource::Nofile);
            // `open_files` needs one too. More descriptors arrive than there is room for.
            for room in 0..4 {
                let mut kept: Vec<OwnedFd> = vec![null.try_clone().unwrap().into()];
                let (mut buf, files) = ([0; 8], [null.as_fd(); 5]);
                one.send_fds(b"soup", &files).await.unwrap();
                datagram.send_fds(b"soup", &files).await.unwrap();
                let limit = Some(lowest_free() + room);
                setrlimit(Resource::Nofile, Rlimit { current: limit, maximum }).unwrap();
                let error = other.recv_fds(&mut buf, &mut kept).await.unwrap_err();
                let of_datagram = another.recv_fds(&mut buf, &mut kept).await.unwrap_err();
                setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
                for error in [error, of_datagram] {
                    let text = error.to_string();
                    assert!(text.contains("with 4 bytes") && text.contains("MSG_CTRUNC"), "{text}");
                }
                assert_eq!((kept.len(), open_files()), (1, before + 1), "room for {room}");
                // Both sockets still work after the error.
                one.write_all(b"bread").await.unwrap();
                assert_eq!(other.recv_fds(&mut buf, &mut kept).await.unwrap(), 5);
                datagram.send(b"bread").await.unwrap();
                assert_eq!(another.recv_fds(&mut buf, &mut kept).await.unwrap(), 5);
            }
            assert_eq!(open_files(), before);
        });
    });
}

/// The number that the next descriptor gets, if all below are in use.
fn lowest_free() -> u64 {
    let next = null();
    u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&next)).unwrap()
}

#[test]
fn descriptors_that_nothing_receives_are_closed() {
    in_own_process(|| {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            let null = null();
            let before = open_files();
            for _ in 0..3 {
                let fds: [BorrowedFd<'_>; 5] = [null.as_fd(); 5];
                let (one, mut other) = UnixStream::pair().unwrap();
                // With another method, by the drop of the vector, and with the socket.
                one.send_fds(b"soup", &fds).await.unwrap();
                assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 4);
                one.send_fds(b"soup", &fds).await.unwrap();
                let mut came = Vec::new();
                assert_eq!(other.recv_fds(&mut [0; 8], &mut came).await.unwrap(), 4);
                assert_eq!((came.len(), open_files()), (5, before + 2 + 5));
                drop(came);
                one.send_fds(b"soup", &fds).await.unwrap();
                drop((one, other));
                let (one, other) = UnixDatagram::pair().unwrap();
                one.send_fds(b"soup", &fds).await.unwrap();
                assert_eq!(other.recv_msg(&mut [0; 8]).await.unwrap().len, 4);
                drop((one, other));
                assert_eq!(open_files(), before);
            }
        });
    });
}

#[headwaiter::test(within = "60s")]
async fn receiving_and_sending_for_ever_yields_too() {
    let _beside_others = beside_other_tests();
    let (one, other) = UnixStream::pair().unwrap();
    let others_turn = std::rc::Rc::new(std::cell::Cell::new(false));
    let flag = std::rc::Rc::clone(&others_turn);
    spawn(async move { flag.set(true) });
    let null = null();
    let mut rounds = 0;
    while !others_turn.get() {
        one.send_fds(b"x", &[null.as_fd()]).await.unwrap();
        other.recv_fds(&mut [0; 8], &mut Vec::new()).await.unwrap();
        rounds += 1;
        assert!(rounds < 10_000, "the other task never has its turn");
    }
}
