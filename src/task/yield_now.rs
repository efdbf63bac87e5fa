//! [`yield_now`], which lets other tasks run. Users await it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::door::waker::wake_by_ref;

/// Lets all other ready tasks run before this one continues. The task is polled again in the next
/// batch, which is usually that of the next turn.
///
/// (Inside `block_on`, a turn that would find nothing to do before its tasks is skipped, and the
/// next batch follows at once. In a loop with [`shuffle`](crate::Builder::shuffle), all tasks of
/// this batch run first; tasks of the next batch may run before this one or after it.)
///
/// Cancel-safe.
///
/// ```
/// headwaiter::block_on(async {
///     let task = headwaiter::spawn(async {});
///     assert!(!task.is_finished());
///     headwaiter::task::yield_now().await;
///     assert!(task.is_finished());
/// });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        wake_by_ref(cx.waker());
        Poll::Pending
    }
}
