//! [`timeout`]: a future with a time limit, built on [`Sleep`]. It never reports its end before the
//! future inside is dropped.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{error, fmt, io};

use pin_project_lite::pin_project;

use super::sleep::{Sleep, deadline_after};
use crate::door::Door;

/// Runs `future` for at most `duration`. If it is not ready by then, it is dropped and [`Elapsed`]
/// is returned.
///
/// The future is polled first, so a future that is immediately ready wins over a duration of zero.
/// This is cancel-safe if `future` is.
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
/// Panics if it is called or polled outside any event loop.
#[track_caller]
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout {
        future: Some(future),
        sleep: Sleep::new(deadline_after(duration), Location::caller()),
    }
}

/// Runs `future` until `deadline` at the latest, an instant of the clock of [`now`](super::now()).
/// Otherwise like [`timeout`], with the same panics.
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
        // `None` at the end: the future is dropped before its end is reported.
        #[pin]
        future: Option<F>,
        sleep: Sleep,
    }
}

impl<F> Timeout<F> {
    /// Returns the future inside.
    ///
    /// # Panics
    ///
    /// Panics after the end: the future is dropped then.
    #[track_caller]
    pub fn get_ref(&self) -> &F {
        self.future.as_ref().expect(HAS_ENDED)
    }

    /// As [`get_ref`](Self::get_ref), mutably.
    ///
    /// # Panics
    ///
    /// As [`get_ref`](Self::get_ref).
    #[track_caller]
    pub fn get_mut(&mut self) -> &mut F {
        self.future.as_mut().expect(HAS_ENDED)
    }

    /// Returns the future inside, without its limit.
    ///
    /// ```
    /// use headwaiter::time::timeout;
    /// use std::time::Duration;
    ///
    /// headwaiter::block_on(async {
    ///     let order = timeout(Duration::from_millis(1), async { "soup" });
    ///     assert_eq!(order.into_inner().await, "soup");
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`get_ref`](Self::get_ref).
    #[track_caller]
    pub fn into_inner(self) -> F {
        self.future.expect(HAS_ENDED)
    }
}

const HAS_ENDED: &str = "headwaiter: this `Timeout` has ended, and has dropped its future";

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    /// # Panics
    ///
    /// Panics if it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("headwaiter: a `Timeout` was polled again after it was ready");
        };
        // The future comes first, so that an output that is ready at the deadline is not lost.
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

/// The error of a [`timeout`] whose time ended before its future was ready.
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
