//! `copy` and `copy_bidirectional`: every byte once and in order, back-pressure, half-close, flushes, and
//! streams that are not ours and misbehave.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::support::*;
use futures_lite::io::AssertAsync;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite};
use headwaiter::io::{copy, copy_bidirectional, copy_bidirectional_with_sizes};
use headwaiter::net::TcpStream;
use headwaiter::task::yield_now;
use headwaiter::time::{now, sleep};
use headwaiter::{Clock, EventLoop, spawn};

/// A stream that follows a script, call by call, and records the calls.
#[derive(Default)]
struct Script {
    reads: VecDeque<Poll<io::Result<&'static [u8]>>>,
    writes: VecDeque<Poll<io::Result<usize>>>,
    flushes: VecDeque<Poll<io::Result<()>>>,
    closes: VecDeque<Poll<io::Result<()>>>,
    log: Rc<RefCell<Vec<String>>>,
}

impl Script {
    fn note(&self, what: impl Into<String>) {
        self.log.borrow_mut().push(what.into());
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let step = self.reads.pop_front().unwrap_or(Poll::Ready(Ok(b"")));
        self.note("read");
        match step {
            Poll::Ready(Ok(bytes)) => {
                let n = bytes.len().min(buf.len());
                buf[..n].copy_from_slice(&bytes[..n]);
                Poll::Ready(Ok(bytes.len()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let step = self.writes.pop_front().unwrap_or(Poll::Ready(Ok(buf.len())));
        if let Poll::Ready(Ok(n)) = &step {
            self.note(format!("write {:?}", String::from_utf8_lossy(&buf[..(*n).min(buf.len())])));
        } else if step.is_pending() {
            cx.waker().wake_by_ref();
        }
        step
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.note("flush");
        let step = self.flushes.pop_front().unwrap_or(Poll::Ready(Ok(())));
        if step.is_pending() {
            cx.waker().wake_by_ref();
        }
        step
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.note("close");
        let step = self.closes.pop_front().unwrap_or(Poll::Ready(Ok(())));
        if step.is_pending() {
            cx.waker().wake_by_ref();
        }
        step
    }
}

fn reads<const N: usize>(steps: [Poll<io::Result<&'static [u8]>>; N]) -> Script {
    Script { reads: steps.into(), ..Script::default() }
}

fn pattern(length: usize) -> Vec<u8> {
    let mut pattern = Vec::from_iter(0..251).repeat(length.div_ceil(251));
    pattern.truncate(length);
    pattern
}

#[test]
fn every_byte_is_copied_and_the_writer_is_flushed_when_there_is_no_more_for_now() {
    in_every_order(|| async {
        let mut reader = reads([
            Poll::Ready(Ok(b"soup")),
            Poll::Ready(Ok(b"salad")),
            Poll::Pending,
            Poll::Pending,
            Poll::Ready(Err(ErrorKind::Interrupted.into())),
            Poll::Ready(Ok(b"bread")),
        ]);
        let mut writer = Script {
            writes: [
                Poll::Ready(Ok(1)),
                Poll::Ready(Err(ErrorKind::Interrupted.into())),
                Poll::Pending,
                Poll::Ready(Ok(3)),
            ]
            .into(),
            // The first flush is not done before there is more to write.
            flushes: [Poll::Pending].into(),
            log: Rc::clone(&reader.log),
            ..Script::default()
        };
        let log = Rc::clone(&reader.log);
        assert_eq!(copy(&mut reader, &mut writer).await.unwrap(), 14);
        let expected = [
            "read",
            r#"write "s""#,
            r#"write "oup""#,
            "read",
            r#"write "salad""#,
            "read",
            "flush",
            "read",
            "flush",
            "read",
            "read",
            r#"write "bread""#,
            "read",
            "flush",
        ];
        assert_eq!(
            *log.borrow(),
            expected,
            "no read before all is written; no flush of nothing; no close"
        );
    });
}

#[test]
fn an_error_says_which_stream_it_was() {
    in_every_order(|| async {
        let fails = || Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        let text = |error: io::Error, kind: ErrorKind| {
            assert_eq!(error.kind(), kind);
            error.to_string()
        };
        let mut sink = Vec::new();
        let error = copy(&mut reads([fails()]), &mut sink).await.unwrap_err();
        assert!(text(error, ErrorKind::ConnectionReset).starts_with("read from the reader: "));
        let mut broken = Script {
            writes: [Poll::Ready(Err(ErrorKind::BrokenPipe.into()))].into(),
            ..Script::default()
        };
        let error = copy(&mut &b"soup"[..], &mut broken).await.unwrap_err();
        assert!(text(error, ErrorKind::BrokenPipe).starts_with("write to the writer: "));
        let mut full = Script {
            flushes: [Poll::Ready(Err(ErrorKind::StorageFull.into()))].into(),
            ..Script::default()
        };
        let error = copy(&mut &b"soup"[..], &mut full).await.unwrap_err();
        assert!(text(error, ErrorKind::StorageFull).starts_with("flush the writer: "));
        // Also while there is nothing to read.
        full.flushes = [Poll::Ready(Err(ErrorKind::StorageFull.into()))].into();
        let mut waits = reads([Poll::Ready(Ok(b"soup")), Poll::Pending]);
        let error = copy(&mut waits, &mut full).await.unwrap_err();
        text(error, ErrorKind::StorageFull);
        let mut takes_nothing = Script { writes: [Poll::Ready(Ok(0))].into(), ..Script::default() };
        let error = copy(&mut &b"soup"[..], &mut takes_nothing).await.unwrap_err();
        text(error, ErrorKind::WriteZero);

        let (mut a, mut b) = (reads([Poll::Pending]), reads([fails()]));
        let error = copy_bidirectional(&mut a, &mut b).await.unwrap_err();
        assert!(
            text(error, ErrorKind::ConnectionReset).starts_with("read from the second stream: ")
        );
        let (mut a, mut b) = (
            reads([Poll::Ready(Ok(b"soup"))]),
            Script { closes: [fails_to_close()].into(), ..Script::default() },
        );
        let error = copy_bidirectional(&mut a, &mut b).await.unwrap_err();
        assert!(text(error, ErrorKind::NotConnected).starts_with("close the second stream: "));
    });
}

fn fails_to_close() -> Poll<io::Result<()>> {
    Poll::Ready(Err(ErrorKind::NotConnected.into()))
}

#[test]
fn a_stream_that_claims_too_many_bytes_is_an_error() {
    in_every_order(|| async {
        static LONG: [u8; 1 << 20] = [0; 1 << 20];
        // It claims to have read a MiB, whatever the size of the buffer.
        let error =
            copy(&mut reads([Poll::Ready(Ok(&LONG[..]))]), &mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let mut writer = Script { writes: [Poll::Ready(Ok(5))].into(), ..Script::default() };
        let error = copy(&mut &b"soup"[..], &mut writer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("5 bytes where there were 4"), "{error}");
    });
}

#[headwaiter::test(within = "60s")]
async fn a_copy_between_streams_that_are_always_ready_starves_nobody() {
    let _beside_others = beside_other_tests();
    let mut endless = AssertAsync::new(io::repeat(7));
    let mut sink = futures_lite::io::sink();
    let hog = spawn(async move { copy(&mut endless, &mut sink).await });
    let mut timer = sleep(ms(1));
    for _ in 0..20 {
        yield_now().await;
    }
    assert!(!hog.is_finished());
    (&mut timer).await;
    hog.abort();
    assert!(hog.await.unwrap_err().is_cancelled());
}

#[test]
fn a_reader_that_is_faster_than_its_writer_is_held_back() {
    // This clock stands still as long as anything moves.
    let patient = || EventLoop::builder().clock(Clock::Virtual).io_grace(ms(50)).build().unwrap();
    bounded(move || {
        patient().block_on(async {
            let (mut source, mut inlet) = tcp_pair().await.unwrap();
            let (mut outlet, mut drain) = tcp_pair().await.unwrap();
            let bytes = pattern(32 << 20);
            let expected = bytes.clone();
            let copying = spawn(async move { copy(&mut inlet, &mut outlet).await });
            let sending = spawn(async move {
                source.write_all(&bytes).await?;
                source.shutdown(Shutdown::Write)
            });
            // Nothing reads, so the writer stops when the buffers of the kernel are full: far below 32 MiB.
            sleep(ms(1)).await;
            assert!(!sending.is_finished() && !copying.is_finished());
            let mut received = Vec::new();
            let mut buffer = vec![0; 100_000];
            loop {
                match drain.read(&mut buffer).await.unwrap() {
                    0 => break,
                    n => received.extend_from_slice(&buffer[..n]),
                }
                if received.len() == expected.len() {
                    break;
                }
            }
            sending.await.unwrap().unwrap();
            assert_eq!(copying.await.unwrap().unwrap(), expected.len() as u64);
            assert!(received == expected);
            assert_eq!(
                drain.read(&mut buffer).await.unwrap(),
                0,
                "the end: the writer was dropped"
            );
        });
    });
}

/// A proxy: what the outer sides of two connections see.
async fn proxied() -> (TcpStream, TcpStream, headwaiter::task::JoinHandle<io::Result<(u64, u64)>>) {
    let (client, mut front) = tcp_pair().await.unwrap();
    let (mut back, server) = tcp_pair().await.unwrap();
    let proxy = spawn(async move { copy_bidirectional(&mut front, &mut back).await });
    (client, server, proxy)
}

#[headwaiter::test(within = "60s")]
async fn both_directions_are_carried_at_once() {
    let _beside_others = beside_other_tests();
    let (client, server, proxy) = proxied().await;
    let there = pattern(5 << 20);
    let mut back = pattern(7 << 20);
    back.reverse();
    let side = |stream: TcpStream, send: Vec<u8>, expect: Vec<u8>| {
        let (mut reader, mut writer) = stream.into_split();
        let sending = spawn(async move { writer.write_all(&send).await }); // Dropped: half-closed.
        spawn(async move {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.unwrap();
            assert!(received == expect);
            sending.await.unwrap().unwrap();
        })
    };
    let client = side(client, there.clone(), back.clone());
    let server = side(server, back.clone(), there.clone());
    client.await.unwrap();
    server.await.unwrap();
    assert_eq!(proxy.await.unwrap().unwrap(), (there.len() as u64, back.len() as u64));
}

#[test]
fn a_half_close_is_passed_on_and_the_other_direction_goes_on() {
    in_every_order(|| async {
        let (mut client, mut server, proxy) = proxied().await;
        client.write_all(b"soup?").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut order = Vec::new();
        server.read_to_end(&mut order).await.unwrap();
        assert_eq!(order, b"soup?");
        assert!(!proxy.is_finished());
        for _ in 0..10 {
            server.write_all(b"yes ").await.unwrap();
            let mut answer = [0; 4];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"yes ");
        }
        server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(proxy.await.unwrap().unwrap(), (5, 40));
    });
}

#[test]
fn a_peer_that_vanishes_ends_the_proxy_with_an_error_that_names_the_side() {
    in_every_order(|| async {
        let (mut client, server, proxy) = proxied().await;
        let server = socket2::Socket::from(server.into_std().unwrap());
        server.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(server); // A reset.
        let error = proxy.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("the second stream"), "{error}");
        assert!(client.read(&mut [0]).await.is_ok_and(|n| n == 0), "its connection was closed");
    });
}

#[test]
fn a_copy_dropped_half_way_leaves_both_streams_usable_and_what_it_wrote_written() {
    in_every_order(|| async {
        let (mut source, mut inlet) = tcp_pair().await.unwrap();
        let (mut outlet, mut drain) = tcp_pair().await.unwrap();
        source.write_all(b"soup").await.unwrap();
        {
            let mut copying = copy(&mut inlet, &mut outlet);
            let mut received = [0; 4];
            let mut reading = drain.read_exact(&mut received);
            while poll_once(&mut reading).await.is_pending() {
                assert!(poll_once(&mut copying).await.is_pending());
                yield_now().await;
            }
            drop(reading);
            assert_eq!(&received, b"soup");
        }
        source.write_all(b"salad").await.unwrap();
        let mut received = [0; 5];
        inlet.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"salad");
        {
            let mut both = copy_bidirectional(&mut inlet, &mut outlet);
            assert!(poll_once(&mut both).await.is_pending());
        }
        outlet.write_all(b"bread").await.unwrap();
        drain.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"bread");
        // Not cancel-safe: what it has read and could not write is lost.
        let mut stuck = Script { writes: [Poll::Pending].into(), ..Script::default() };
        let mut bytes = &b"soup"[..];
        {
            let mut copying = copy(&mut bytes, &mut stuck);
            assert!(poll_once(&mut copying).await.is_pending());
        }
        assert!(bytes.is_empty() && stuck.log.borrow().is_empty());
    });
}

#[test]
fn buffers_of_chosen_sizes_do_not_grow() {
    in_every_order(|| async {
        let mut first = reads([Poll::Ready(Ok(b"sou")), Poll::Ready(Ok(b"p")), Poll::Pending]);
        let mut second = reads([Poll::Ready(Ok(b"yes")), Poll::Ready(Ok(b"sir")), Poll::Pending]);
        let copied = copy_bidirectional_with_sizes(&mut first, &mut second, 3, 64).await.unwrap();
        assert_eq!(copied, (4, 6));

        let (mut client, mut inlet) = tcp_pair().await.unwrap();
        let (mut outlet, mut server) = tcp_pair().await.unwrap();
        let proxy = spawn(async move {
            copy_bidirectional_with_sizes(&mut inlet, &mut outlet, 1, 70_000).await
        });
        let (there, back) = (pattern(300), pattern(300_000));
        client.write_all(&there).await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut order = Vec::new();
        server.read_to_end(&mut order).await.unwrap();
        let answers = spawn(async move { server.write_all(&back).await.map(|()| back) });
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(order == there && answer == answers.await.unwrap().unwrap());
        assert_eq!(proxy.await.unwrap().unwrap(), (300, 300_000));
    });
}

#[test]
fn a_buffer_of_no_bytes_is_refused() {
    bounded(|| {
        for (there, back) in [(0, 1), (1, 0)] {
            let text = panic_text(|| {
                let (mut a, mut b) = (Script::default(), Script::default());
                drop(copy_bidirectional_with_sizes(&mut a, &mut b, there, back));
            });
            assert!(text.contains("0 bytes"), "{text}");
        }
    });
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn a_half_that_stays_open_and_silent_ends_after_the_limit_with_an_error_and_the_counts() {
    let _beside_others = beside_other_tests();
    let (mut client, mut inlet) = tcp_pair().await.unwrap();
    let (mut outlet, mut server) = tcp_pair().await.unwrap();
    let (limit, start) = (ms(60_000), now());
    let proxy = spawn(async move {
        let mut proxy = copy_bidirectional(&mut inlet, &mut outlet).half_closed_timeout(limit);
        let result = (&mut proxy).await;
        (result, proxy.transferred(), now(), inlet, outlet)
    });
    // While both are open, silence may last.
    client.write_all(b"soup?").await.unwrap();
    server.read_exact(&mut [0; 5]).await.unwrap();
    sleep(limit * 10).await;
    assert!(!proxy.is_finished());
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    let closed = now();
    // What moves begins the time anew, so a long answer is not cut.
    for _ in 0..5 {
        sleep(limit - ms(1000)).await;
        server.write_all(b"well").await.unwrap();
        client.read_exact(&mut [0; 4]).await.unwrap();
    }
    let last = now();
    assert!(last - closed > limit * 4 && last - start > limit * 14);
    let (result, transferred, ended, inlet, outlet) = proxy.await.unwrap();
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let text = error.to_string();
    assert!(text.contains("from the second stream to the first stream"), "{text}");
    assert_eq!(transferred, (5, 20));
    assert!(ended - last >= limit - ms(1) && ended - last < limit + ms(1000));

    // The client has not been told of an end: that is left to the caller.
    assert!(poll_once(&mut client.read(&mut [0])).await.is_pending());
    drop((inlet, outlet));
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn the_limit_of_a_half_holds_in_the_other_direction_too_and_a_proper_end_comes_first() {
    let _beside_others = beside_other_tests();
    for ends in [false, true] {
        let (client, mut inlet) = tcp_pair().await.unwrap();
        let (mut outlet, server) = tcp_pair().await.unwrap();
        let proxy = spawn(async move {
            copy_bidirectional(&mut inlet, &mut outlet).half_closed_timeout(ms(50)).await
        });
        server.shutdown(Shutdown::Write).unwrap();
        sleep(ms(20)).await;
        assert!(!proxy.is_finished());
        if ends {
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(proxy.await.unwrap().unwrap(), (0, 0));
        } else {
            assert_eq!(proxy.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        }
        assert_eq!(sources_and_timers().1, 0, "its timer is gone");
    }
}

#[test]
fn a_copy_works_outside_any_loop() {
    bounded(|| {
        let (mut reader, mut writer) = (&b"soup"[..], Vec::new());
        let mut copying = copy(&mut reader, &mut writer);
        let result = Pin::new(&mut copying).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(result, Poll::Ready(Ok(4))));
        drop(copying);
        assert_eq!(writer, b"soup");
    });
}
