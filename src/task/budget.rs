//! The cooperative budget for users: [`unconstrained`] and [`consume_budget`]. The rule itself is
//! in `state/budget.rs`.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::door::{Door, poll_budget};

/// Spends one unit of the task's cooperative budget, and yields to the other tasks if none is left.
///
/// In each poll a task may do 128 operations of this crate that complete immediately. The next one
/// returns `Pending` once, with the task woken, so that the other tasks, the timers and the sockets
/// get their turn. Code that computes, or that uses other crates, spends nothing. Call this in its
/// loop to make it cooperate. [`yield_now`](super::yield_now()) yields each time, which costs more.
///
/// Cancel-safe. Outside any event loop it is ready immediately.
///
/// ```
/// use headwaiter::task::{consume_budget, yield_now};
/// use std::{cell::Cell, rc::Rc};
///
/// headwaiter::block_on(async {
///     let others = Rc::new(Cell::new(0));
///     headwaiter::spawn({
///         let others = Rc::clone(&others);
///         async move {
///             loop {
///                 others.set(others.get() + 1);
///                 yield_now().await;
///             }
///         }
///     });
///     for _dish in 0..1000 {
///         consume_budget().await;
///     }
///     assert_eq!(others.get(), 1000 / 128);
/// });
/// ```
pub fn consume_budget() -> ConsumeBudget {
    ConsumeBudget(())
}

/// The future of [`consume_budget`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct ConsumeBudget(());

impl Future for ConsumeBudget {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        poll_budget(cx)
    }
}

/// Runs `future` without a cooperative budget: its operations are never refused.
///
/// Only its own waits make it yield. A future that always has work starves all other tasks, the
/// timers and the sockets of its loop, so use this only for work that ends soon. The code around it
/// in the same task keeps its budget, of which the future spends nothing.
///
/// As cancel-safe as `future` is. Outside any event loop it has no effect.
///
/// ```
/// use headwaiter::sync::Semaphore;
/// use headwaiter::task::unconstrained;
/// use std::future::{Future, poll_fn};
/// use std::pin::pin;
///
/// headwaiter::block_on(async {
///     let tables = Semaphore::new(1);
///     let mut seatings = pin!(unconstrained(async {
///         for _guest in 0..1000 {
///             drop(tables.acquire().await);
///         }
///     }));
///     // One poll does all of it.
///     assert!(poll_fn(|cx| std::task::Poll::Ready(seatings.as_mut().poll(cx))).await.is_ready());
/// });
/// ```
pub fn unconstrained<F: Future>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

pin_project! {
    /// The future of [`unconstrained`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _lifted = Lifted(Door::open().map(|mut door| door.budget.lift()));
        self.project().future.poll(cx)
    }
}

/// Restores the budget of the task, also when the future panics.
struct Lifted(Option<u32>);

impl Drop for Lifted {
    fn drop(&mut self) {
        if let Some(left) = self.0
            && let Some(mut door) = Door::open()
        {
            door.budget.restore(left);
        }
    }
}
