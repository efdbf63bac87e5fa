//! What operations that end or are dropped leave behind in the slots.

use std::io;

use mio::event::Source;
use mio::{Interest, Token};

use super::*;
use crate::door::Door;
use crate::net::{TcpListener, TcpStream};
use crate::{EventLoop, Next, block_on};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// How many sources there are, and how many waiters.
fn left() -> (usize, usize) {
    let door = Door::expect("a test");
    let sources = &door.sources;
    let waiting =
        sources.iter().map(|source| source.readers.all().count() + source.writers.all().count());
    (sources.len(), waiting.sum())
}

fn polls_pending(future: impl Future, waker: &Waker) -> bool {
    pin!(future).poll(&mut Context::from_waker(waker)).is_pending()
}

#[test]
#[cfg(target_os = "linux")]
fn a_registration_that_fails_a_hundred_thousand_times_gives_the_same_error_and_leaves_no_slot() {
    use mio::unix::SourceFd;
    use std::os::fd::{AsRawFd, RawFd};
    struct Fd(RawFd);
    impl Source for Fd {
        fn register(&mut self, r: &mio::Registry, t: Token, i: Interest) -> io::Result<()> {
            SourceFd(&self.0).register(r, t, i)
        }
        fn reregister(&mut self, r: &mio::Registry, t: Token, i: Interest) -> io::Result<()> {
            SourceFd(&self.0).reregister(r, t, i)
        }
        fn deregister(&mut self, r: &mio::Registry) -> io::Result<()> {
            SourceFd(&self.0).deregister(r)
        }
    }
    /// The highest number, which is never open. One that was just closed might be another test's by now.
    const CLOSED: RawFd = RawFd::MAX;
    let file = std::fs::File::open("Cargo.toml").unwrap();
    let folder = std::fs::File::open(".").unwrap();
    let mut event_loop = EventLoop::new().unwrap();
    for (fd, code) in [(file.as_raw_fd(), 1), (folder.as_raw_fd(), 1), (CLOSED, 9)] {
        for _ in 0..100_000 {
            let error = event_loop
                .enter(|| on_ready(Fd(fd), Interest::READABLE, |_, _| Next::Continue).map(drop))
                .unwrap_err();
            assert_eq!(error.raw_os_error(), Some(code), "EPERM is 1, EBADF is 9");
        }
    }
    assert_eq!(event_loop.enter(left), (0, 0));
}

#[test]
fn dropped_futures_and_sockets_leave_no_waiter_and_no_slot() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let own = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        assert_eq!(left(), (3, 0));
        for waker in [&own, Waker::noop()] {
            for _ in 0..100 {
                assert!(polls_pending(server.read(&mut [0]), waker));
                assert!(polls_pending(server.read_exact(&mut [0]), waker));
                assert!(polls_pending(listener.accept(), waker));
            }
        }
        assert_eq!(left(), (3, 0));
        // Several at once, dropped out of order.
        let mut waits: Vec<_> = (0..10).map(|_| Box::pin(client.readable())).collect();
        assert_eq!(client.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        for (n, wait) in waits.iter_mut().enumerate() {
            let waker = if n % 3 == 0 { Waker::noop() } else { &own };
            assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
        assert_eq!(left(), (3, 10));
        // Polled again, each has one place still.
        for wait in &mut waits {
            assert!(wait.as_mut().poll(&mut Context::from_waker(&own)).is_pending());
        }
        assert_eq!(left(), (3, 10));
        for at in [3, 0, 7, 0, 1, 4, 2, 0, 1, 0] {
            drop(waits.swap_remove(at));
        }
        assert_eq!(left(), (3, 0));
        // The traits' methods leave one place for each waker, however often they are polled.
        for _ in 0..100 {
            use futures_io::AsyncRead;
            for waker in [&own, Waker::noop()] {
                let mut cx = Context::from_waker(waker);
                assert!(std::pin::Pin::new(&mut &client).poll_read(&mut cx, &mut [0]).is_pending());
            }
        }
        assert_eq!(left(), (3, 2));
        drop((client, server, listener));
        assert_eq!(left(), (0, 0));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn files_that_the_kernel_does_not_watch_have_no_slot_and_a_fifo_gives_its_own_back() {
    use crate::fs::File;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    block_on(async {
        for path in ["Cargo.toml", ".", "/dev/null", "/proc/version", "/proc/self/mountinfo"] {
            let _opened = File::open(path).await.unwrap();
            assert_eq!(left(), (0, 0), "{path}");
        }
        let path = std::env::temp_dir().join(format!("headwaiter-fifo-{}", std::process::id()));
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let fifo = File::open(&path).await;
        std::fs::remove_file(&path).unwrap();
        let mut fifo = fifo.unwrap();
        assert_eq!(left(), (1, 0));
        assert!(polls_pending(fifo.read(&mut [0]), Waker::noop()));
        assert_eq!(left(), (1, 0));
        drop(fifo.into_std().await.unwrap());
        assert_eq!(left(), (0, 0));
    });
}

#[test]
#[cfg(unix)]
fn dropped_operations_on_any_descriptor_leave_no_waiter_and_no_slot() {
    use crate::io::{Async, pipe};
    block_on(async {
        let (mut reader, mut writer) = pipe().unwrap();
        while writer.try_write(&[0; 4096]).is_ok() {}
        let other = Async::new(io::pipe().unwrap().0).unwrap();
        let own = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        assert_eq!(left(), (3, 0));
        let would_block = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        for waker in [&own, Waker::noop()] {
            for _ in 0..100 {
                assert!(polls_pending(writer.write(&[0]), waker));
                assert!(polls_pending(writer.write_all(&[0]), waker));
                assert!(polls_pending(writer.writable(), waker));
                assert!(polls_pending(other.read_with(|_| would_block()), waker));
                assert!(polls_pending(other.write_with(|_| would_block()), waker));
                assert!(polls_pending(other.readable(), waker));
            }
        }
        assert_eq!(left(), (3, 0));
        // Given back, its slot is free; dropped on another thread, once the loop has heard of it.
        drop(other.into_inner());
        assert_eq!(left(), (2, 0));
        assert!(!polls_pending(reader.read(&mut [0]), &own));
        std::thread::spawn(move || drop((reader, writer))).join().unwrap();
        while left() != (0, 0) {
            crate::task::yield_now().await;
        }
    });
}

#[test]
fn a_socket_dropped_on_another_thread_leaves_no_slot_once_the_loop_has_its_message() {
    let mut event_loop = EventLoop::new().unwrap();
    let listener = event_loop.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    assert_eq!(event_loop.enter(left), (1, 0));
    std::thread::spawn(move || drop(listener)).join().unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(event_loop.enter(left), (0, 0));
}
