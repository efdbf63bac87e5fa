//! The halves of a stream: borrowed ones from `split`, owned ones from `into_split`.

use std::future::poll_fn;
use std::io::{IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::pin::pin;
use std::task::Poll;

use crate::support::*;
use futures_lite::future::zip;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use headwaiter::Interest;
use headwaiter::net::TcpStream;

with_both_streams! {
    fn borrowed_halves_are_used_at_the_same_time_and_then_the_stream_is_whole_again(pair) {
        in_every_order(|| async {
            const SIZE: usize = 300_000; // More than fits in the buffers on the way.
            let (mut guest, mut kitchen) = pair().await.unwrap();
            {
                let ((mut from_guest, mut to_guest), (mut from_kitchen, mut to_kitchen)) =
                    (guest.split(), kitchen.split());
                let (there, back) = (vec![1; SIZE], vec![2; SIZE]);
                let (mut at_kitchen, mut at_guest) = (vec![0; SIZE], vec![0; SIZE]);
                // Each stream writes and reads in one task. If one half kept the other waiting, none of the four would end.
                let writes = zip(to_guest.write_all(&there), to_kitchen.write_all(&back));
                let reads =
                    zip(from_kitchen.read_exact(&mut at_kitchen), from_guest.read_exact(&mut at_guest));
                let ((one, other), (third, fourth)) = zip(writes, reads).await;
                for result in [one, other, third, fourth] {
                    result.unwrap();
                }
                assert!(at_kitchen == there && at_guest == back);
            }
            guest.write_all(b"soup").await.unwrap();
            kitchen.read_exact(&mut [0; 4]).await.unwrap();
        });
    }

    fn dropping_a_borrowed_write_half_ends_nothing_and_shutdown_does(pair) {
        in_loop(|| async {
            let (mut guest, mut kitchen) = pair().await.unwrap();
            {
                let _halves = guest.split();
            }
            let mut order = [0; 4];
            let mut reading = kitchen.read(&mut order);
            assert!(poll_once(&mut reading).await.is_pending(), "it has not ended");
            drop(reading);
            guest.split().1.shutdown().unwrap();
            assert_eq!(kitchen.read(&mut order).await.unwrap(), 0);
            // The traits of futures-io close it too.
            kitchen.split().1.close().await.unwrap();
            assert_eq!(guest.read(&mut order).await.unwrap(), 0);
        });
    }

    fn halves_try_without_waiting_and_wait_for_readiness(pair) {
        in_loop(|| async {
            let (mut guest, kitchen) = pair().await.unwrap();
            let (mut kitchen_reads, kitchen_writes) = kitchen.into_split();
            let (guest_reads, guest_writes) = guest.split();
            assert!(would_block(kitchen_reads.try_read(&mut [0; 4])));
            assert!(would_block(guest_reads.try_read_vectored(&mut [IoSliceMut::new(&mut [0; 4])])));
            assert!(poll_once(&mut kitchen_reads.readable()).await.is_pending());

            guest_writes.writable().await.unwrap();
            let parts = [IoSlice::new(b"so"), IoSlice::new(b""), IoSlice::new(b"up")];
            assert_eq!(guest_writes.try_write_vectored(&parts).unwrap(), 4);
            kitchen_reads.readable().await.unwrap();
            assert!(kitchen_reads.ready(Interest::READABLE).await.unwrap().is_readable());
            let (mut first, mut rest) = ([0; 1], [0; 8]);
            let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut rest)];
            assert_eq!(kitchen_reads.try_read_vectored(&mut bufs).unwrap(), 4);
            assert_eq!((&first, &rest[..3]), (b"s", &b"oup"[..]));

            assert_eq!(kitchen_writes.try_write(b"yes").unwrap(), 3);
            guest_reads.readable().await.unwrap();
            assert_eq!(guest_reads.try_read(&mut rest).unwrap(), 3);
            // As traits of futures-io.
            AsyncWriteExt::write_all(&mut { guest_writes }, b"bye").await.unwrap();
            AsyncReadExt::read_exact(&mut kitchen_reads, &mut rest[..3]).await.unwrap();
            assert_eq!(&rest[..3], b"bye");
            guest_reads.as_ref().shutdown(Shutdown::Both).unwrap();
        });
    }

    fn a_write_half_that_is_forgotten_ends_with_the_reading_half(pair) {
        in_loop(|| async {
            let (guest, mut kitchen) = pair().await.unwrap();
            let (guest_reads, guest_writes) = guest.into_split();
            guest_writes.forget();
            let mut order = [0; 4];
            let mut reading = kitchen.read(&mut order);
            assert!(poll_once(&mut reading).await.is_pending(), "it has not ended");
            drop(guest_reads);
            assert_eq!(reading.await.unwrap(), 0);
        });
    }
}

#[headwaiter::test(within = "60s")]
async fn halves_know_both_addresses_and_the_half_that_reads_peeks() {
    let _beside_others = beside_other_tests();
    let (mut guest, kitchen): (TcpStream, TcpStream) = tcp_pair().await.unwrap();
    let addresses = (guest.local_addr().unwrap(), guest.peer_addr().unwrap());
    let (mut reads, mut writes) = guest.split();
    assert_eq!((reads.local_addr().unwrap(), reads.peer_addr().unwrap()), addresses);
    assert_eq!((writes.local_addr().unwrap(), writes.peer_addr().unwrap()), addresses);
    let (mut kitchen_reads, mut kitchen_writes) = kitchen.into_split();
    assert_eq!(kitchen_reads.local_addr().unwrap(), addresses.1);

    writes.write_all(b"soup").await.unwrap();
    let mut order = [0; 8];
    assert_eq!(kitchen_reads.peek(&mut order).await.unwrap(), 4);
    kitchen_writes.write_all(b"yes").await.unwrap();
    let n = poll_fn(|cx| reads.poll_peek(cx, &mut order)).await.unwrap();
    assert_eq!(&order[..n], b"yes");
    assert_eq!(reads.read(&mut order).await.unwrap(), 3, "it was only looked at");
    // Both halves may wait in one future.
    let mut reading = pin!(reads.read(&mut order));
    let mut writable = pin!(writes.writable());
    let both = poll_fn(|cx| {
        Poll::Ready((reading.as_mut().poll(cx).is_pending(), writable.as_mut().poll(cx).is_ready()))
    });
    assert_eq!(both.await, (true, true));
}
