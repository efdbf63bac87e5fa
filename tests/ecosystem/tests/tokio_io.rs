//! Feature `tokio-io`: tokio's I/O traits on the streams of this crate, by tokio's own helpers.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::future::zip;
use headwaiter::compat::hyper::Io;
use headwaiter::fs::File;
use headwaiter::io::{Async, pipe};
use headwaiter::net::{TcpListener, TcpStream, UnixStream};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

fn run<F: Future<Output = ()>>(test: F) {
    headwaiter::block_on(async {
        let bounded = headwaiter::time::timeout(std::time::Duration::from_secs(30), test);
        bounded.await.expect("the test ends in time");
    });
}

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (one, other) =
        zip(TcpStream::connect(listener.local_addr().unwrap()), listener.accept()).await;
    (one.unwrap(), other.unwrap().0)
}

/// More than fits in the buffers on the way, and no byte like its neighbours.
fn order() -> Vec<u8> {
    (0..1_000_000_u32).map(|n| (n * 7 % 251) as u8).collect()
}

/// What is written to one end comes out of the other, and then its end.
async fn carries(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let order = order();
    let mut served = Vec::new();
    let write = async {
        to.write_all(&order).await?;
        to.flush().await?;
        to.shutdown().await?;
        drop(to); // The end of a pipe.
        Ok::<(), io::Error>(())
    };
    let (read, written) = zip(from.read_to_end(&mut served), write).await;
    written.unwrap();
    assert_eq!(read.unwrap(), order.len());
    assert!(served == order);
}

#[test]
fn every_stream_carries_what_tokios_helpers_write() {
    run(async {
        let (one, other) = connected().await;
        carries(one, other).await;
        let (one, other) = UnixStream::pair().unwrap();
        carries(one, other).await;
        let (one, other) = pipe().unwrap();
        carries(one, other).await;

        let (one, other) = connected().await;
        let ((read, _write), (_read, write)) = (one.into_split(), other.into_split());
        carries(read, write).await;
        let (one, other) = UnixStream::pair().unwrap();
        let ((read, _write), (_read, write)) = (one.into_split(), other.into_split());
        carries(read, write).await;

        let (mut one, mut other) = connected().await;
        carries(one.split().0, other.split().1).await;
        let (mut one, mut other) = UnixStream::pair().unwrap();
        carries(one.split().0, other.split().1).await;

        let (one, other) = io::pipe().unwrap();
        carries(Async::new(one).unwrap(), Async::new(other).unwrap()).await;
    });
}

#[test]
fn files_are_read_and_written() {
    run(async {
        let path = std::env::temp_dir().join(format!("headwaiter-tokio-io-{}", std::process::id()));
        let mut file = File::create(&path).await.unwrap();
        AsyncWriteExt::write_all(&mut file, b"soup\nbread\n").await.unwrap();
        file.flush().await.unwrap();
        let mut lines = BufReader::new(File::open(&path).await.unwrap()).lines();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("soup"));
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("bread"));
        assert_eq!(lines.next_line().await.unwrap(), None);
    });
}

#[test]
fn a_read_takes_no_more_than_its_buffer_has_room_for() {
    run(async {
        let (mut one, mut other) = connected().await;
        AsyncWriteExt::write_all(&mut other, b"soup").await.unwrap();
        let mut two = [0; 2];
        assert_eq!(AsyncReadExt::read(&mut one, &mut two).await.unwrap(), 2);
        assert_eq!(&two, b"so");
        let mut rest = Vec::with_capacity(16);
        assert_eq!(one.read_buf(&mut rest).await.unwrap(), 2);
        assert_eq!(rest, b"up");
        // No room: nothing is read, and nothing waited for.
        assert_eq!(AsyncReadExt::read(&mut one, &mut []).await.unwrap(), 0);
    });
}

#[test]
fn tokios_proxy_copies_both_ways() {
    run(async {
        let (guest, mut front) = connected().await;
        let (mut back, kitchen) = connected().await;
        let echo = async {
            let (mut read, mut write) = kitchen.into_split();
            let copied = tokio::io::copy(&mut read, &mut write).await;
            AsyncWriteExt::shutdown(&mut write).await.unwrap();
            copied
        };
        let (read, write) = guest.into_split();
        let proxied = zip(tokio::io::copy_bidirectional(&mut front, &mut back), echo);
        let (((up, down), echoed), ()) = zip(
            async {
                let (p, e) = proxied.await;
                (p.unwrap(), e.unwrap())
            },
            carries(read, write),
        )
        .await;
        assert_eq!((up, down, echoed), (1_000_000, 1_000_000, 1_000_000));
    });
}

#[test]
fn a_peer_that_has_gone_is_an_error_and_no_signal() {
    run(async {
        let (mut one, other) = UnixStream::pair().unwrap();
        drop(other);
        let error = AsyncWriteExt::write_all(&mut one, b"soup").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

/// Reads through tokio's trait while it is read through hyper's: both go through the buffer that a thread has one of.
struct Nested(TcpStream);

impl futures_lite::AsyncRead for Nested {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = [0; 4];
        let mut inner = tokio::io::ReadBuf::new(&mut inner);
        match AsyncRead::poll_read(Pin::new(&mut self.0), cx, &mut inner) {
            Poll::Ready(result) => {
                let read = inner.filled();
                buf[..read.len()].copy_from_slice(read);
                Poll::Ready(result.map(|()| read.len()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[test]
fn a_stream_that_reads_from_another_within_its_own_read_mixes_no_bytes() {
    run(async {
        let (one, mut other) = connected().await;
        AsyncWriteExt::write_all(&mut other, b"soup and bread").await.unwrap();
        AsyncWriteExt::shutdown(&mut other).await.unwrap();
        // hyper's trait over futures-io's over tokio's; and the same for a reader that uses futures-io again.
        let mut order = Vec::new();
        let mut nested = Io::new(Io::new(Nested(one)));
        futures_lite::AsyncReadExt::read_to_end(&mut nested, &mut order).await.unwrap();
        assert_eq!(order, b"soup and bread");
    });
}

/// Panics in its first read.
struct Panics(bool);

impl futures_lite::AsyncRead for Panics {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        assert!(std::mem::replace(&mut self.0, true), "a reader that panics");
        buf[0] = b'!';
        Poll::Ready(Ok(1))
    }
}

#[test]
fn a_reader_that_panics_leaves_the_buffer_to_the_others() {
    run(async {
        let mut reader = Io::new(Io::new(Panics(false)));
        let failed = headwaiter::spawn(async move {
            futures_lite::AsyncReadExt::read(&mut reader, &mut [0; 4]).await
        });
        assert!(failed.await.unwrap_err().is_panic());
        let mut buf = [0; 4];
        let mut reader = Io::new(Io::new(Panics(true)));
        assert_eq!(futures_lite::AsyncReadExt::read(&mut reader, &mut buf).await.unwrap(), 1);
        assert_eq!(buf[0], b'!');
    });
}
