//! [`now`] and [`advance`]: the loop's clock, for users. Moving the clock never fires a timer: the
//! next turn does.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::door::Door;
use crate::state::nanos;
use crate::task::{YieldNow, yield_now};

/// Returns the time of the loop that runs on this thread. Under a real clock this is
/// [`Instant::now`]; under a [virtual](crate::Clock::Virtual) one it is the loop's own time.
///
/// # Panics
///
/// Panics outside any event loop.
#[track_caller]
pub fn now() -> Instant {
    Door::expect("`time::now`").clock.now()
}

/// Moves a [virtual](crate::Clock::Virtual) clock forward by `by`, inside this call. The timers
/// that become due fire in the next turn, in the order of their deadlines. Awaiting the returned
/// future waits for that turn, and is cancel-safe.
///
/// ```
/// use headwaiter::{Clock, EventLoop, time};
/// use std::time::Duration;
///
/// EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
///     let before = time::now();
///     time::advance(Duration::from_secs(3600)).await;
///     assert_eq!(time::now() - before, Duration::from_secs(3600));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
///
/// Panics outside any event loop, and in a loop with a real clock.
#[track_caller]
pub fn advance(by: Duration) -> Advance {
    let is_virtual = Door::expect("`time::advance`").clock.move_by(nanos(by));
    assert!(
        is_virtual,
        "headwaiter: `time::advance` in a loop with a real clock, which nobody can move: build the loop with `EventLoop::builder().clock(Clock::Virtual)`"
    );
    Advance { yielding: yield_now() }
}

/// The future of [`advance`]. The clock has already moved; this waits for the next turn.
pub struct Advance {
    yielding: YieldNow,
}

impl Future for Advance {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.yielding).poll(cx)
    }
}

impl fmt::Debug for Advance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Advance")
    }
}
