//! How hyper is set up for the connections of a server: its own limits, and where it gets its tasks
//! and timers from.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::server::conn::auto;
use pin_project_lite::pin_project;

use super::runtime::CoarseTimer;
use crate::task::Spawner;

/// The most that the header of a request may have, in bytes.
const HEADER_SIZE: usize = 64 * 1024;

/// For so long an HTTP/2 peer may be silent before it is asked whether it is still there, and for
/// so long it may keep silent then.
const PING_AFTER: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// For connections whose streams are tasks of a group.
pub(super) fn http(streams: Spawner<Infallible>) -> auto::Builder<Streams> {
    let mut http = auto::Builder::new(Streams(streams));
    // Without a timer, it arms none for the header of each request: the connection's task has one
    // for all.
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
        // If the group is closed, so is the server.
        let _ = self.0.try_spawn(Stream { stream });
    }
}

pin_project! {
    /// A stream as the group wants it. (As an `async` block it would have its future twice: before
    /// its first poll, and from then on.)
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
