//! [`Body`]: the body of a request, under the limits of its server, and the error [`BodyTimeout`].
//!
//! It also notes when all of a request was received, for the guard of the connection.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use std::{error::Error, fmt, io, pin::Pin, sync::Arc};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use http_body_util::Limited;
use hyper::body::Incoming;

use super::transport::Traffic;
use crate::time::{Sleep, now, sleep};

/// The body of a request, under the limits of its [`Serve`](super::Serve).
///
/// Read it with `http-body-util`'s [`BodyExt`](http_body_util::BodyExt) or with axum's extractors.
/// If it is dropped before its end, an HTTP/1 connection is closed: what the client still sends is
/// discarded.
///
/// # Errors
///
/// - [`LengthLimitError`](http_body_util::LengthLimitError), if more arrived than
///   [`max_body`](super::Serve::max_body) allows. axum's extractors answer with 413.
/// - [`BodyTimeout`], if it arrived more slowly than [`body_timeout`](super::Serve::body_timeout)
///   allows.
/// - [`hyper::Error`], if the connection broke, or the client broke the protocol.
pub struct Body {
    incoming: Limited<Incoming>,
    pace: Option<Box<Pace>>,
    /// Notified when all was received. `None` if there is no body, or after that.
    traffic: Option<Arc<Traffic>>,
}

impl Body {
    pub(super) fn new(
        incoming: Incoming,
        most: u64,
        timeout: Option<(Duration, u64)>,
        traffic: &Arc<Traffic>,
    ) -> Self {
        // Most requests have no body, and need not be watched.
        let is_empty = http_body::Body::is_end_stream(&incoming);
        if is_empty {
            traffic.received();
        } else {
            traffic.body_begins();
        }
        Body {
            incoming: Limited::new(incoming, usize::try_from(most).unwrap_or(usize::MAX)),
            pace: timeout.filter(|_| !is_empty).map(|timeout| Box::new(Pace::new(timeout))),
            traffic: (!is_empty).then(|| Arc::clone(traffic)),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        // Once the response has been sent, hyper 1.12 does not report the end of the body.
        if this.incoming.is_end_stream() {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            if let Some(pace) = &mut this.pace {
                let timeout = ready!(pace.poll_over(cx));
                return Poll::Ready(Some(Err(timeout.into())));
            }
            return Poll::Pending;
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(pace) = &mut this.pace {
                    pace.received(frame.data_ref().map_or(0, Buf::remaining));
                }
                if this.incoming.is_end_stream() {
                    this.received();
                }
            }
            Some(Err(_)) => {}
            None => this.received(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Body {
    /// Notes that all of the body was received.
    fn received(&mut self) {
        if let Some(traffic) = self.traffic.take() {
            traffic.received();
            traffic.body_ends();
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(traffic) = &self.traffic {
            traffic.body_ends();
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Body").field(&self.incoming).finish()
    }
}

/// How much longer the client may keep the reader of its body waiting. Only that time counts, not
/// the time that the reader takes.
struct Pace {
    left: Duration,
    /// How many bytes add a second.
    min_rate: u64,
    timeout: BodyTimeout,
    /// Since when the reader waits, and the timer of the limit.
    waiting: Option<(Instant, Sleep)>,
}

impl Pace {
    fn new((initial, min_rate): (Duration, u64)) -> Self {
        let timeout = BodyTimeout { initial, min_rate };
        Pace { left: initial, min_rate, timeout, waiting: None }
    }

    /// Ready if the reader has waited for too long.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<BodyTimeout> {
        let (_, until) = self.waiting.get_or_insert_with(|| (now(), sleep(self.left)));
        ready!(Pin::new(until).poll(cx));
        Poll::Ready(self.timeout)
    }

    /// Ends the wait, and adds the time for the bytes that have arrived.
    fn received(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.left = self.left.saturating_sub(now().saturating_duration_since(since));
        }
        let seconds = bytes as f64 / self.min_rate as f64;
        // Saturates for a body of exabytes.
        self.left =
            self.left.saturating_add(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
}

/// The error of a request's body that arrived more slowly than
/// [`body_timeout`](super::Serve::body_timeout) allows. As an [`io::Error`] it is `TimedOut`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyTimeout {
    initial: Duration,
    min_rate: u64,
}

impl fmt::Display for BodyTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BodyTimeout { initial, min_rate } = self;
        write!(
            f,
            "the request's body takes longer than {initial:?} and a second for each {min_rate} bytes"
        )
    }
}

impl Error for BodyTimeout {}

impl From<BodyTimeout> for io::Error {
    fn from(timeout: BodyTimeout) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, timeout)
    }
}
