//! A yield for the runtimes that have none: the task wakes itself, and is polled again after the others.

use std::future::poll_fn;
use std::task::Poll;

pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
