//! What `Async` has of tokio's `AsyncFd` beyond waiting and trying: the object back on failure, chosen events, priority and
//! errors, and what stands for its guards.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;

use crate::support::*;
use headwaiter::io::{Async, pipe};
use headwaiter::task::yield_now;
use headwaiter::time::timeout;
use headwaiter::{Interest, spawn};
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{RecvFlags, SendFlags};

fn counter() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC).unwrap()
}

fn add(counter: impl AsFd, number: u64) {
    rustix::io::write(counter, &number.to_ne_bytes()).unwrap();
}

fn number(fd: &OwnedFd) -> io::Result<u64> {
    let mut number = [0; 8];
    rustix::io::read(fd, &mut number)?;
    Ok(u64::from_ne_bytes(number))
}

fn refuted() -> io::Result<()> {
    Err(ErrorKind::WouldBlock.into())
}

#[headwaiter::test(within = "60s")]
async fn what_cannot_be_watched_comes_back_with_the_error_and_its_mode_unchanged() {
    let _beside_others = beside_other_tests();
    let menu = std::fs::File::open("Cargo.toml").unwrap();
    let error = Async::try_new(menu).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("headwaiter::fs"), "{text}");
    assert!(std::error::Error::source(&error).is_some());
    let (mut menu, error) = error.into_parts();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!is_nonblocking(&menu));
    menu.read_exact(&mut [0; 9]).unwrap();

    // With `?` in a function that returns an error of std, the object is dropped.
    let error: io::Error = Async::try_new(menu).unwrap_err().into();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);

    // A second watch of one descriptor.
    let counter = counter();
    let _first = Async::try_new(counter.as_fd()).unwrap();
    let (again, error) =
        Async::try_with_interest(counter.as_fd(), Interest::READABLE).unwrap_err().into_parts();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    add(again, 1);
}

#[headwaiter::test(within = "60s")]
async fn of_chosen_events_only_those_are_waited_for() {
    let _beside_others = beside_other_tests();
    let counter = Async::with_interest(counter(), Interest::READABLE).unwrap();
    assert!(is_nonblocking(&counter));
    assert!(poll_once(&mut counter.writable()).await.is_pending(), "it is not watched for that");
    assert!(counter.try_io(Interest::READABLE, || number(counter.get_ref())).is_err());
    let mut readable = pin!(counter.readable());
    assert!(poll_once(&mut readable).await.is_pending());
    add(&counter, 3);
    readable.await.unwrap();
    assert_eq!(number(counter.get_ref()).unwrap(), 3);

    // Room that there is at the start, or comes later.
    let (one, mut other) = UnixStream::pair().unwrap();
    let one = Async::with_interest(one, Interest::WRITABLE).unwrap();
    one.writable().await.unwrap();
    while one.try_io(Interest::WRITABLE, || one.get_ref().write(&[0; 4096])).is_ok() {}
    let mut writable = pin!(one.writable());
    assert!(poll_once(&mut writable).await.is_pending());
    while other.read(&mut [0; 65536]).unwrap() == 65536 {}
    writable.await.unwrap();
}

#[test]
fn urgent_data_is_waited_for_beside_ordinary_data() {
    in_every_order(|| async {
        let (mut guest, mut kitchen) = tcp_pair().await.unwrap();
        let mut urgent = Box::pin(kitchen.ready(Interest::PRIORITY));
        assert!(poll_once(&mut urgent).await.is_pending());
        // Ordinary data is not urgent.
        guest.write_all(b"soup").await.unwrap();
        kitchen.readable().await.unwrap();
        for _ in 0..5 {
            assert!(poll_once(&mut urgent).await.is_pending());
            yield_now().await;
        }
        rustix::net::send(&guest, b"!", SendFlags::OOB).unwrap();
        let ready = urgent.await.unwrap();
        assert!(ready.is_priority() && !ready.is_writable(), "{ready}");

        let mut call = [0; 1];
        let take = || Ok(rustix::net::recv(&kitchen, &mut call, RecvFlags::OOB)?.0);
        assert_eq!(kitchen.async_io(Interest::PRIORITY, take).await.unwrap(), 1);
        assert_eq!(&call, b"!");

        // It is ready until an operation for it is refuted, whatever a read finds; and that takes nothing from reads.
        assert!(kitchen.try_io(Interest::READABLE, refuted).is_err());
        let ready = kitchen.ready(Interest::PRIORITY).await.unwrap();
        assert!(ready.is_priority() && !ready.is_readable(), "{ready}");
        assert!(kitchen.try_io(Interest::PRIORITY, refuted).is_err());
        let mut again = Box::pin(kitchen.ready(Interest::PRIORITY));
        assert!(poll_once(&mut again).await.is_pending());
        rustix::net::send(&guest, b"?", SendFlags::OOB).unwrap();
        again.await.unwrap();
        let mut order = [0; 4];
        kitchen.read_exact(&mut order).await.unwrap();
        assert_eq!(&order, b"soup");
    });
}

#[test]
fn a_task_that_waits_for_urgent_data_takes_no_data_from_one_that_reads() {
    in_every_order(|| async {
        let (mut guest, kitchen) = tcp_pair().await.unwrap();
        let kitchen = std::rc::Rc::new(kitchen);
        let watched = std::rc::Rc::clone(&kitchen);
        // It refutes whatever wakes it.
        let watcher = spawn(async move { watched.async_io(Interest::PRIORITY, refuted).await });
        let reader = spawn(async move {
            let mut order = [0; 4];
            futures_lite::AsyncReadExt::read_exact(&mut &*kitchen, &mut order).await.unwrap();
            order
        });
        yield_now().await;
        guest.write_all(b"so").await.unwrap();
        yield_now().await;
        rustix::net::send(&guest, b"!", SendFlags::OOB).unwrap();
        guest.write_all(b"up").await.unwrap();
        let order = timeout(ms(10_000), reader).await.expect("it is woken").unwrap();
        assert_eq!(&order, b"soup");
        watcher.abort();
    });
}

/// Unlike tokio: there, an interest of its own is for errors.
#[headwaiter::test(within = "60s")]
async fn an_error_is_exceptional_too() {
    let _beside_others = beside_other_tests();
    let (reader, writer) = pipe().unwrap();
    let mut failed = Box::pin(writer.ready(Interest::PRIORITY));
    assert!(poll_once(&mut failed).await.is_pending());
    drop(reader);
    let ready = failed.await.unwrap();
    assert!(ready.is_error() && !ready.is_priority(), "{ready}");
}

#[headwaiter::test(within = "60s")]
async fn an_interest_that_includes_priority_goes_on_with_whichever_is_first() {
    let _beside_others = beside_other_tests();
    let (mut guest, kitchen) = tcp_pair().await.unwrap();
    let either = Interest::READABLE | Interest::PRIORITY;
    assert!(kitchen.try_io(either, refuted).is_err());
    let mut ready = Box::pin(kitchen.ready(either));
    assert!(poll_once(&mut ready).await.is_pending());
    guest.write_all(b"soup").await.unwrap();
    assert!(ready.await.unwrap().is_readable());

    assert!(kitchen.try_io(either, refuted).is_err());
    let mut ready = Box::pin(kitchen.ready(either));
    rustix::net::send(&guest, b"!", SendFlags::OOB).unwrap();
    assert!((&mut ready).await.unwrap().is_priority());
}

/// tokio's guard has `clear_ready` for this.
#[headwaiter::test(within = "60s")]
async fn a_readiness_that_is_cleared_is_waited_for_until_the_next_event() {
    let _beside_others = beside_other_tests();
    let counter = Async::new(counter()).unwrap();
    add(&counter, 1);
    counter.readable().await.unwrap();
    counter.clear_ready(Interest::READABLE);
    let mut readable = pin!(counter.readable());
    assert!(poll_once(&mut readable).await.is_pending(), "though it was not read");
    assert!(poll_once(&mut counter.writable()).await.is_ready(), "that is another matter");
    add(&counter, 1);
    readable.await.unwrap();
    assert_eq!(number(counter.get_ref()).unwrap(), 2);
}

/// The loop of tokio's documentation of `AsyncFdReadyGuard`: wait, try, and wait again after `WouldBlock`.
#[headwaiter::test(within = "60s")]
async fn waiting_and_trying_in_a_loop_needs_no_guard() {
    let _beside_others = beside_other_tests();
    let counter = std::rc::Rc::new(Async::new(counter()).unwrap());
    let waited = std::rc::Rc::clone(&counter);
    let reader = spawn(async move {
        let mut tries = 0;
        loop {
            waited.readable().await?;
            tries += 1;
            match waited.try_io(Interest::READABLE, || number(waited.get_ref())) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result.map(|number| (number, tries)),
            }
        }
    });
    yield_now().await;
    yield_now().await;
    add(&*counter, 4);
    assert_eq!(
        reader.await.unwrap().unwrap(),
        (4, 2),
        "one try that would block, and one that reads"
    );
}
