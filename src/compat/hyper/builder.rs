//! The configuration of hyper for the connections of a server: its limits, and where its tasks and
//! timers come from.

use std::task::{Context, Poll};
use std::{convert::Infallible, pin::Pin, time::Duration};

use hyper_util::server::conn::auto;
use pin_project_lite::pin_project;

use super::runtime::CoarseTimer;
use crate::task::Spawner;

/// The largest header of a request, in bytes.
const HEADER_SIZE: usize = 64 * 1024;

/// How long an HTTP/2 peer may be silent before it is sent a ping, and how long it may take to
/// answer that.
const PING_AFTER: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// Configures hyper for connections whose streams are tasks of a group.
pub(super) fn http(streams: Spawner<Infallible>) -> auto::Builder<Streams> {
    let mut http = auto::Builder::new(Streams(streams));
    // Without a timer, hyper arms none for the header of each request: the guard of the connection
    // has one for all.
    http.http1().max_buf_size(HEADER_SIZE);
    http.http2()
        .timer(CoarseTimer)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN)
        .max_header_list_size(HEADER_SIZE as u32)
        .max_concurrent_streams(200)
        .enable_connect_protocol(); // WebSockets over HTTP/2.
    http
}

/// Spawns the streams of HTTP/2 connections, which end with the server.
#[derive(Clone)]
pub(super) struct Streams(Spawner<Infallible>);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, stream: F) {
        // It fails if the group is closed, and then the server has ended.
        let _ = self.0.try_spawn(Stream { stream });
    }
}

pin_project! {
    // A stream with the output that the group needs. (An `async` block would store the future
    // twice: as it is captured, and as it is polled.)
    struct Stream<F> {
        #[pin]
        stream: F,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = Result<(), Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().stream.poll(cx).map(Ok)
    }
}
