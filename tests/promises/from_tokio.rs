//! Differences from tokio that `docs/from-tokio.md` lists and that no other test shows.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;

use crate::support::{beside_other_tests, ms, tcp_pair};
use futures_lite::future::poll_once;
use headwaiter::sync::mpsc;
use headwaiter::time::timeout;
use headwaiter::{Interest, spawn};

/// Panics when it is polled, and notes at its drop whether the thread unwinds.
struct Panics(Rc<Cell<Option<bool>>>);

impl Future for Panics {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        panic!("the soup is out");
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.0.set(Some(thread::panicking()));
    }
}

/// Unlike tokio: there, it is dropped during the unwinding.
#[headwaiter::test(within = "60s")]
async fn a_future_that_panics_in_its_poll_is_dropped_after_the_unwinding() {
    let _beside_others = beside_other_tests();
    let unwinding = Rc::new(Cell::new(None));
    assert!(spawn(Panics(Rc::clone(&unwinding))).await.unwrap_err().is_panic());
    assert_eq!(unwinding.take(), Some(false));

    // The locals of an async block are dropped by the unwinding itself.
    let local = Panics(Rc::clone(&unwinding));
    let task = spawn(async move {
        let _local = local;
        panic!("the soup is out");
    });
    let ended: Result<(), _> = task.await;
    assert!(ended.unwrap_err().is_panic());
    assert_eq!(unwinding.take(), Some(true));
}

/// Unlike tokio: there, the reservation fails.
#[headwaiter::test(within = "60s")]
async fn a_reservation_that_was_granted_before_the_close_holds() {
    let _beside_others = beside_other_tests();
    let (sender, mut receiver) = mpsc::channel(1);
    let first = sender.try_reserve().unwrap();
    let mut second = pin!(sender.reserve());
    assert!(poll_once(second.as_mut()).await.is_none());
    drop(first); // Its room is granted to the second.
    receiver.close();
    assert!(poll_once(receiver.recv()).await.is_none(), "a message may still come");
    second.await.unwrap().send("soup");
    assert_eq!(receiver.recv().await, Some("soup"));
    assert_eq!(receiver.recv().await, None);
}

/// Unlike tokio: there, it is not called if the last attempt would have blocked.
#[headwaiter::test(within = "60s")]
async fn try_io_always_calls_the_operation() {
    let _beside_others = beside_other_tests();
    let (mut client, server) = tcp_pair().await.unwrap();
    let would_block = || Err::<(), _>(std::io::ErrorKind::WouldBlock.into());
    assert!(server.try_io(Interest::READABLE, would_block).is_err());
    let mut calls = 0;
    let count = || {
        calls += 1;
        Ok(())
    };
    server.try_io(Interest::READABLE, count).unwrap();
    assert_eq!(calls, 1);
    // `try_read` finds bytes of which no event has come yet.
    client.write_all(b"x").await.unwrap();
    assert_eq!(server.try_read(&mut [0; 8]).unwrap(), 1);
}

/// Unlike tokio: there, it waits for an event.
#[headwaiter::test(within = "60s")]
async fn readable_of_a_fresh_socket_is_ready_until_the_kernel_says_otherwise() {
    let _beside_others = beside_other_tests();
    let (mut client, mut server) = tcp_pair().await.unwrap();
    assert!(poll_once(pin!(server.readable())).await.is_some(), "nothing is known of it yet");
    let error = server.try_read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    assert!(poll_once(pin!(server.readable())).await.is_none());
    client.write_all(b"x").await.unwrap();
    timeout(ms(10_000), server.readable()).await.unwrap().unwrap();
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 1);
}
