//! The edges of a transfer, the same for every stream: more slices than one system call takes, and no bytes at all.
#![cfg(target_os = "linux")]

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::support::*;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use headwaiter::io::{Async, PipeReader, PipeWriter, pipe, stdout};
use headwaiter::net::{TcpListener, TcpStream, UnixStream};
use headwaiter::task::yield_now;
use rustix::pipe::{PipeFlags, pipe_with};

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (one, listener.accept().await.unwrap().0)
}

fn async_pair() -> (Async<std::os::unix::net::UnixStream>, Async<std::os::unix::net::UnixStream>) {
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    (Async::new(one).unwrap(), Async::new(other).unwrap())
}

/// Lets the events of a registration arrive, so that only a new edge wakes.
async fn settle() {
    for _ in 0..200 {
        yield_now().await;
    }
}

/// The output of a future that must be ready at its first poll.
async fn at_once<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    match polled {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

async fn passes_many_slices(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    slices: usize,
) {
    settle().await;
    for _ in 0..2 {
        let bytes = vec![b'x'; slices];
        let bufs: Vec<IoSlice> = bytes.chunks(1).map(IoSlice::new).collect();
        let written = writer.write_vectored(&bufs).await.unwrap();
        assert_eq!(written, slices.min(1024));
        // There is room, and the kernel has no event to tell of it.
        writer.write_all(&[b'y'; 3000]).await.unwrap();
        let mut room = vec![0; slices];
        let mut bufs: Vec<IoSliceMut> = room.chunks_mut(1).map(IoSliceMut::new).collect();
        let read = reader.read_vectored(&mut bufs).await.unwrap();
        assert_eq!(read, slices.min(1024));
        let mut rest = vec![0; written + 3000 - read];
        reader.read_exact(&mut rest).await.unwrap();
        assert!(rest.ends_with(&[b'y'; 3000]));
    }
}

#[headwaiter::test(within = "60s")]
async fn after_more_slices_than_one_call_takes_the_next_operation_does_not_hang() {
    let _beside_others = beside_other_tests();
    for slices in [1023, 1024, 1025, 3000] {
        let (one, other) = tcp().await;
        passes_many_slices(&one, &other, slices).await;
        let (one, other) = UnixStream::pair().unwrap();
        passes_many_slices(&one, &other, slices).await;
        let (reader, writer) = pipe().unwrap();
        passes_many_slices(&reader, &writer, slices).await;
        let (one, other) = async_pair();
        passes_many_slices(&one, &other, slices).await;
        let (one, other) = tcp().await;
        passes_many_slices(one.into_split().0, other.into_split().1, slices).await;
    }
}

#[headwaiter::test(within = "60s")]
async fn a_thousand_empty_slices_are_not_the_end() {
    async fn reads_behind_them(
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
    ) {
        let mut bufs: Vec<IoSlice> = (0..2000).map(|_| IoSlice::new(&[])).collect();
        bufs.push(IoSlice::new(b"soup"));
        assert_eq!(writer.write_vectored(&bufs).await.unwrap(), 4);
        let mut room = [0; 4];
        let mut bufs: Vec<IoSliceMut> = (0..2000).map(|_| IoSliceMut::new(&mut [])).collect();
        bufs.push(IoSliceMut::new(&mut room));
        assert_eq!(reader.read_vectored(&mut bufs).await.unwrap(), 4);
        assert_eq!(&room, b"soup");
    }
    let _beside_others = beside_other_tests();
    let (one, other) = tcp().await;
    reads_behind_them(&one, &other).await;
    let (one, other) = UnixStream::pair().unwrap();
    reads_behind_them(&one, &other).await;
    let (reader, writer) = pipe().unwrap();
    reads_behind_them(&reader, &writer).await;
    let (one, other) = async_pair();
    reads_behind_them(&one, &other).await;
}

async fn nothing_is_read_at_once(mut reader: impl AsyncRead + Unpin) {
    // The second time it is known that there is nothing to read.
    for _ in 0..2 {
        assert_eq!(at_once(reader.read(&mut [])).await.unwrap(), 0);
        assert_eq!(at_once(reader.read_vectored(&mut [])).await.unwrap(), 0);
        let mut empty = [IoSliceMut::new(&mut []), IoSliceMut::new(&mut [])];
        assert_eq!(at_once(reader.read_vectored(&mut empty)).await.unwrap(), 0);
        at_once(reader.read_exact(&mut [])).await.unwrap();
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut reader).poll_read(cx, &mut [0]))).await;
        assert!(polled.is_pending(), "there is nothing: {polled:?}");
    }
}

/// Of a stream that is full, or not.
async fn nothing_is_written_at_once(mut writer: impl AsyncWrite + Unpin) {
    loop {
        assert_eq!(at_once(writer.write(&[])).await.unwrap(), 0);
        assert_eq!(at_once(writer.write_vectored(&[])).await.unwrap(), 0);
        assert_eq!(at_once(writer.write_vectored(&[IoSlice::new(&[])])).await.unwrap(), 0);
        at_once(writer.write_all(&[])).await.unwrap();
        // Far from the end of a task's share of its turn.
        yield_now().await;
        let piece = vec![0; 1 << 20];
        let filled = poll_fn(|cx| Poll::Ready(Pin::new(&mut writer).poll_write(cx, &piece))).await;
        if filled.is_pending() {
            break;
        }
    }
    assert_eq!(at_once(writer.write(&[])).await.unwrap(), 0);
    assert_eq!(at_once(writer.write_vectored(&[IoSlice::new(&[])])).await.unwrap(), 0);
    at_once(writer.write_all(&[])).await.unwrap();
}

/// Unlike tokio: there, a write of an empty buffer may wait for room.
#[headwaiter::test(within = "60s")]
async fn a_transfer_of_nothing_never_waits() {
    let _beside_others = beside_other_tests();
    let (one, other) = tcp().await;
    nothing_is_read_at_once(&one).await;
    nothing_is_written_at_once(&other).await;
    let (one, other) = tcp().await;
    nothing_is_read_at_once(one.into_split().0).await;
    nothing_is_written_at_once(other.into_split().1).await;
    let (one, other) = UnixStream::pair().unwrap();
    nothing_is_read_at_once(&one).await;
    nothing_is_written_at_once(&other).await;
    let (reader, writer) = pipe().unwrap();
    nothing_is_read_at_once(&reader).await;
    nothing_is_written_at_once(&writer).await;
    let (mut one, mut other) = async_pair();
    nothing_is_read_at_once(&one).await;
    nothing_is_written_at_once(&other).await;
    nothing_is_read_at_once(&mut other).await;
    nothing_is_written_at_once(&mut one).await;
}

#[headwaiter::test(within = "60s")]
async fn the_methods_of_the_streams_do_not_wait_for_nothing_either() {
    let _beside_others = beside_other_tests();
    let (mut one, _other) = tcp().await;
    assert_eq!(at_once(one.read(&mut [])).await.unwrap(), 0);
    assert_eq!(one.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(at_once(one.read(&mut [])).await.unwrap(), 0);
    assert_eq!(at_once(one.peek(&mut [])).await.unwrap(), 0);
    at_once(one.read_exact(&mut [])).await.unwrap();
    at_once(one.write_all(&[])).await.unwrap();
    let (mut one, _other) = UnixStream::pair().unwrap();
    assert_eq!(at_once(one.read(&mut [])).await.unwrap(), 0);
    let (reader, _writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut reader = PipeReader::from_fd(reader).unwrap();
    assert_eq!(at_once(reader.read(&mut [])).await.unwrap(), 0);
    assert_eq!(reader.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(at_once(reader.read(&mut [])).await.unwrap(), 0);
    assert_eq!(at_once(stdout().write(&[])).await.unwrap(), 0);
}

#[headwaiter::test(within = "60s")]
async fn a_try_to_read_or_write_nothing_never_says_that_it_would_block() {
    let _beside_others = beside_other_tests();
    let (one, _other) = tcp().await;
    let (local, _remote) = UnixStream::pair().unwrap();
    let (ours, _ours_writer) = pipe().unwrap();
    let (foreign, foreign_writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let foreign = PipeReader::from_fd(foreign).unwrap();
    let foreign_writer = PipeWriter::from_fd(foreign_writer).unwrap();
    // The second time it is known that there is nothing to read.
    for _ in 0..2 {
        assert_eq!(one.try_read(&mut []).unwrap(), 0);
        assert_eq!(local.try_read(&mut []).unwrap(), 0);
        assert_eq!(ours.try_read(&mut []).unwrap(), 0);
        assert_eq!(foreign.try_read(&mut []).unwrap(), 0);
        assert_eq!(one.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(local.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(ours.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(foreign.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    while one.try_write(&[0; 4096]).is_ok() {}
    while local.try_write(&[0; 4096]).is_ok() {}
    while foreign_writer.try_write(&[0; 4096]).is_ok() {}
    assert_eq!(one.try_write(&[]).unwrap(), 0);
    assert_eq!(local.try_write(&[]).unwrap(), 0);
    assert_eq!(foreign_writer.try_write(&[]).unwrap(), 0);
}

#[headwaiter::test(within = "60s")]
async fn a_file_does_not_wait_for_nothing() {
    let _beside_others = beside_other_tests();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("headwaiter-transfers-{}", std::process::id()));
    let mut file = headwaiter::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .await
        .unwrap();
    at_once(file.write_all(&[])).await.unwrap();
    assert_eq!(at_once(file.write(&[])).await.unwrap(), 0);
    assert_eq!(at_once(file.read(&mut [])).await.unwrap(), 0);
    at_once(file.read_exact(&mut [])).await.unwrap();
    assert_eq!(at_once(file.read_at(&mut [], 0)).await.unwrap(), 0);
    assert_eq!(at_once(file.write_at(&[], 0)).await.unwrap(), 0);
    assert_eq!(at_once(AsyncReadExt::read_vectored(&mut file, &mut [])).await.unwrap(), 0);
    assert_eq!(at_once(AsyncWriteExt::write_vectored(&mut file, &[])).await.unwrap(), 0);
    headwaiter::fs::remove_file(&path).await.unwrap();
}
