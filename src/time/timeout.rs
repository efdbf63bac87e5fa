//! [`timeout`]: a future with a limit on its time.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{error, fmt, io};

use pin_project_lite::pin_project;

use super::sleep::{Sleep, deadline_after};
use crate::door::Door;

/// Gives `future` at most `duration`. If it is not ready by then, it is dropped and [`Elapsed`] returned.
///
/// The future is polled first, so one that is ready at once wins over a duration of zero. Cancel-safe if
/// `future` is.
///
/// ```
/// use headwaiter::time::{sleep, timeout};
/// use std::time::Duration;
///
/// headwaiter::block_on(async {
///     assert_eq!(timeout(Duration::from_secs(1), async { 5 }).await, Ok(5));
///     assert!(timeout(Duration::from_millis(1), sleep(Duration::MAX)).await.is_err());
/// });
/// ```
///
/// # Panics
///
/// Outside any event loop: where it is called, and where it is polled.
#[track_caller]
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout {
        future: Some(future),
        sleep: Sleep::new(deadline_after(duration), Location::caller()),
    }
}

/// Gives `future` until `deadline`, an instant of the clock of [`now`](super::now()). Otherwise like
/// [`timeout`].
#[track_caller]
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    drop(Door::expect("`time::timeout_at`"));
    Timeout { future: Some(future), sleep: Sleep::new(deadline, Location::caller()) }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        // `None` at the end: the future is dropped before the end is reported.
        #[pin]
        future: Option<F>,
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("headwaiter: a `Timeout` was polled again after it was ready");
        };
        if let Poll::Ready(output) = future.poll(cx) {
            this.future.set(None);
            return Poll::Ready(Ok(output));
        }
        if Pin::new(this.sleep).poll(cx).is_ready() {
            this.future.set(None);
            return Poll::Ready(Err(Elapsed(())));
        }
        Poll::Pending
    }
}

/// The time of a [`timeout`] ended before its future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over before the operation was done")
    }
}

impl error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}
