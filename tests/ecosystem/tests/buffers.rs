//! Feature `bytes`: reading into the buffers of the crate bytes, and writing from them, on every stream and datagram socket.

use std::io::ErrorKind;
use std::task::Poll;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_lite::future::poll_once;
use headwaiter::fs::File;
use headwaiter::io::pipe;
use headwaiter::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream};

fn run<F: Future<Output = ()>>(test: F) {
    headwaiter::block_on(async {
        let bounded = headwaiter::time::timeout(std::time::Duration::from_secs(30), test);
        bounded.await.expect("the test ends in time");
    });
}

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// The loop of every codec: read until a whole message is there.
/// Unlike tokio: there, `read_buf` does not copy.
#[test]
fn a_buffer_collects_what_comes_until_the_end() {
    run(async {
        let (mut guest, mut kitchen) = connected().await;
        let writer = headwaiter::spawn(async move {
            for part in ["so", "up\nbre", "ad\n"] {
                guest.write_all(part.as_bytes()).await.unwrap();
                headwaiter::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        });
        let (mut buffer, mut orders) = (BytesMut::with_capacity(4096), Vec::new());
        loop {
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end + 1);
                orders.push(String::from_utf8(line[..end].to_vec()).unwrap());
            }
            if kitchen.read_buf(&mut buffer).await.unwrap() == 0 {
                break;
            }
        }
        assert_eq!(orders, ["soup", "bread"]);
        writer.await.unwrap();
    });
}

#[test]
fn a_read_fills_the_room_that_there_is_and_grows_only_a_full_buffer() {
    run(async {
        let (mut guest, mut kitchen) = connected().await;
        guest.write_all(&[b'x'; 1000]).await.unwrap();
        let mut buffer = BytesMut::with_capacity(100);
        let room = buffer.capacity();
        assert_eq!(kitchen.read_buf(&mut buffer).await.unwrap(), room);
        assert_eq!((buffer.len(), buffer.capacity()), (room, room));
        let grown = kitchen.read_buf(&mut buffer).await.unwrap();
        assert!(grown > 0 && buffer.len() == room + grown);

        // One that cannot grow is filled; then the result is 0, though there is more.
        let mut plate = [0; 4];
        let mut rest = &mut plate[..];
        assert_eq!(kitchen.read_buf(&mut rest).await.unwrap(), 4);
        assert_eq!(kitchen.read_buf(&mut rest).await.unwrap(), 0);
        let mut limited = Vec::new().limit(3);
        assert_eq!(kitchen.try_read_buf(&mut limited).unwrap(), 3);
        assert_eq!(kitchen.try_read_buf(&mut limited).unwrap(), 0);
    });
}

#[test]
fn a_read_that_is_dropped_or_would_block_leaves_the_buffer_as_it_was() {
    run(async {
        let (mut guest, mut kitchen) = connected().await;
        let mut buffer = BytesMut::from(&b"soup"[..]);
        assert!(poll_once(kitchen.read_buf(&mut buffer)).await.is_none());
        assert_eq!(kitchen.try_read_buf(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(&buffer[..], b"soup");
        guest.write_all(b" and bread").await.unwrap();
        kitchen.readable().await.unwrap();
        kitchen.try_read_buf(&mut buffer).unwrap();
        assert_eq!(&buffer[..], b"soup and bread");
    });
}

#[test]
fn a_write_takes_from_all_parts_and_advances_by_what_was_written() {
    run(async {
        let (mut guest, mut kitchen) = connected().await;
        let mut message = Bytes::from("head ").chain(Bytes::from("body"));
        assert_eq!(guest.write_buf(&mut message).await.unwrap(), 9, "one call for both parts");
        assert!(!message.has_remaining());
        assert_eq!(guest.write_buf(&mut message).await.unwrap(), 0);
        let mut got = [0; 9];
        kitchen.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"head body");

        // Dropped in the middle, the rest is still in the buffer, and nothing is written twice.
        let sent: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut order = Bytes::from(sent.clone());
        assert!(poll_once(guest.write_all_buf(&mut order)).await.is_none());
        assert!(order.len() < sent.len());
        let reader = headwaiter::spawn(async move {
            let mut served = vec![0; 8_000_000];
            kitchen.read_exact(&mut served).await.unwrap();
            served
        });
        guest.write_all_buf(&mut order).await.unwrap();
        assert!(order.is_empty() && reader.await.unwrap() == sent);
    });
}

#[test]
fn every_stream_has_them() {
    run(async {
        let order = || Bytes::from("soup");
        let mut served = BytesMut::new();
        let (mut guest, mut kitchen) = UnixStream::pair().unwrap();
        guest.write_all_buf(&mut order()).await.unwrap();
        kitchen.read_buf(&mut served).await.unwrap();
        {
            let (mut reads, mut writes) = guest.split();
            writes.write_all_buf(&mut order()).await.unwrap();
            kitchen.readable().await.unwrap();
            kitchen.try_read_buf(&mut served).unwrap();
            kitchen.write_all_buf(&mut order()).await.unwrap();
            reads.read_buf(&mut served).await.unwrap();
        }
        let (reads, mut writes) = guest.into_split();
        writes.write_buf(&mut order()).await.unwrap();
        kitchen.read_buf(&mut served).await.unwrap();
        kitchen.write_buf(&mut order()).await.unwrap();
        reads.readable().await.unwrap();
        reads.try_read_buf(&mut served).unwrap();

        let (mut reader, mut writer) = pipe().unwrap();
        writer.write_all_buf(&mut order()).await.unwrap();
        reader.read_buf(&mut served).await.unwrap();
        writer.write_buf(&mut order()).await.unwrap();
        reader.readable().await.unwrap();
        reader.try_read_buf(&mut served).unwrap();

        let path = std::env::temp_dir().join(format!("hw-buffers-{}", std::process::id()));
        let mut file =
            File::options().read(true).write(true).create(true).open(&path).await.unwrap();
        let mut message = order().chain(Bytes::from("!"));
        file.write_all_buf(&mut message).await.unwrap();
        file.seek(std::io::SeekFrom::Start(0)).await.unwrap();
        while file.read_buf(&mut served).await.unwrap() > 0 {}
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&served[..], &[&b"soup".repeat(8)[..], b"!"].concat()[..]);
    });
}

#[test]
fn a_datagram_is_received_whole_into_a_buffer_with_room_for_it() {
    run(async {
        let kitchen = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let guest = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = guest.local_addr().unwrap();
        kitchen.connect(address).await.unwrap();
        guest.connect(kitchen.local_addr().unwrap()).await.unwrap();
        let mut orders = BytesMut::with_capacity(70_000);
        let would_block = kitchen.try_recv_buf(&mut orders).unwrap_err();
        assert_eq!(would_block.kind(), ErrorKind::WouldBlock);
        assert!(poll_once(kitchen.recv_buf(&mut orders)).await.is_none());
        for order in ["soup", "bread", "", "wine"] {
            guest.send(order.as_bytes()).await.unwrap();
        }
        assert_eq!(kitchen.recv_buf(&mut orders).await.unwrap(), 4);
        assert_eq!(kitchen.recv_buf_from(&mut orders).await.unwrap(), (5, address));
        assert_eq!(kitchen.try_recv_buf(&mut orders).unwrap(), 0, "an empty one");
        assert_eq!(kitchen.try_recv_buf_from(&mut orders).unwrap(), (4, address));
        assert_eq!(&orders[..], b"soupbreadwine");
        // Bytes that do not fit are lost, as with `recv`.
        guest.send(b"soup and bread").await.unwrap();
        guest.send(b"!").await.unwrap();
        let mut plate = [0; 4];
        assert_eq!(kitchen.recv_buf(&mut &mut plate[..]).await.unwrap(), 4);
        assert_eq!(kitchen.recv_buf(&mut orders).await.unwrap(), 1);
        guest.send(&[b'x'; 60_000]).await.unwrap();
        assert_eq!(kitchen.recv_buf(&mut orders).await.unwrap(), 60_000);

        // Those of Unix sockets may be longer than the scratch buffer.
        let (guest, kitchen) = UnixDatagram::pair().unwrap();
        let long = vec![b'x'; 100_000];
        guest.send(&long).await.unwrap();
        let mut order = BytesMut::with_capacity(long.len());
        assert_eq!(kitchen.recv_buf_from(&mut order).await.unwrap().0, long.len());
        assert!(order == long);
        let poll = std::future::poll_fn(|cx| Poll::Ready(kitchen.poll_readable(cx).is_pending()));
        assert!(!poll.await, "a datagram that was received proves nothing about the next");
    });
}
