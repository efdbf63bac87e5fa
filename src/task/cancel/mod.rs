//! [`CancelToken`]: requests that tasks and threads stop. Users clone and cancel it on any thread,
//! and await it in any executor; the loop does not know it.
//!
//! `tree.rs` has the tokens of a tree, under one lock. No user code runs under that lock: wakers
//! are cloned before it is taken, and woken and dropped after it was released.

mod tree;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::{fmt, io, mem, panic::Location, pin::Pin};

use pin_project_lite::pin_project;

use self::tree::Tree;
use super::wait_record::WaitRecord;
use crate::door::{poll_budget, report};
use crate::fmt::{debug_struct, error_message};
use crate::state::{Awaited, Step, TaskNumber, Wake, discard};

/// What a listener waits for, as log lines call it.
const A_CANCELLATION: &str = "the cancellation of a token";

/// Requests that the tasks and threads that have a clone of it stop.
///
/// Cancelling is final. It reaches all clones of the token and all its descendants (see
/// [`child`](Self::child)); cancelling a child does not cancel its parent. A task learns of it
/// through [`run`](Self::run), which drops a future, through [`cancelled`](Self::cancelled), or by
/// checking [`is_cancelled`](Self::is_cancelled).
///
/// Every method may be called on any thread, inside and outside any event loop, and in a `Drop`.
/// Each takes a lock that all tokens of the tree share, for a short and constant time; only
/// `cancel` holds it for longer, in proportion to the number of descendants. A dropped token leaves
/// nothing in the tree.
///
/// ```
/// use headwaiter::task::{CancelToken, Cancelled};
/// use headwaiter::time::sleep;
/// use std::time::Duration;
///
/// headwaiter::block_on(async {
///     let closing = CancelToken::new();
///     let guest = closing.child();
///     let dinner = headwaiter::spawn(async move { guest.run(sleep(Duration::MAX)).await });
///     headwaiter::task::yield_now().await;
///     closing.cancel();
///     assert_eq!(dinner.await.unwrap(), Err(Cancelled));
/// });
/// ```
pub struct CancelToken {
    tree: Arc<Mutex<Tree>>,
    node: usize,
}

impl CancelToken {
    /// Makes the root of a new tree of tokens.
    pub fn new() -> Self {
        let mut tree = Tree::default();
        let node = tree.add(None, false);
        CancelToken { tree: Arc::new(Mutex::new(tree)), node }
    }

    /// Makes a token that is cancelled with this one, and may be cancelled alone. A child of a
    /// cancelled token is cancelled.
    ///
    /// ```
    /// use headwaiter::task::CancelToken;
    ///
    /// let evening = CancelToken::new();
    /// let (one, other) = (evening.child(), evening.child());
    /// one.cancel();
    /// assert!(!evening.is_cancelled() && !other.is_cancelled());
    /// evening.cancel();
    /// assert!(other.is_cancelled());
    /// ```
    #[must_use]
    pub fn child(&self) -> Self {
        let mut tree = self.tree();
        let cancelled = tree.nodes[self.node].cancelled;
        let node = tree.add(Some(self.node), cancelled);
        CancelToken { tree: Arc::clone(&self.tree), node }
    }

    /// Cancels this token, its clones, and all its descendants. Wakes the waiting tasks in the
    /// order in which they began to wait. Cancelling a second time is a no-op.
    pub fn cancel(&self) {
        let mut waiters = self.tree().cancel(self.node);
        waiters.sort_unstable_by_key(|(since, _)| *since);
        for (_, wake) in waiters {
            wake.wake();
        }
    }

    /// Whether this token, or one of its ancestors, was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.tree().nodes[self.node].cancelled
    }

    /// Waits until this token is cancelled.
    ///
    /// Cancel-safe.
    #[track_caller]
    pub fn cancelled(&self) -> Cancellation {
        Cancellation { token: self.child(), place: Location::caller(), record: WaitRecord::NONE }
    }

    /// Runs `future` until the token is cancelled. Then the future is dropped before [`Cancelled`]
    /// is returned.
    ///
    /// If the token is cancelled at the first poll, the future is not polled, so a loop of `run`s
    /// ends even if each of its futures would be ready. At later polls the future is polled first:
    /// if it is ready when the token is cancelled, its output is returned, not lost. As cancel-safe
    /// as `future` is.
    ///
    /// A panic in the drop of `future` propagates to the task that awaits this, like one in its
    /// poll.
    ///
    /// ```
    /// use headwaiter::task::{CancelToken, Cancelled};
    /// use headwaiter::time::sleep;
    /// use std::time::Duration;
    ///
    /// headwaiter::block_on(async {
    ///     let closing = CancelToken::new();
    ///     assert_eq!(closing.run(async { "soup" }).await, Ok("soup"));
    ///     let close = closing.clone();
    ///     headwaiter::spawn(async move { close.cancel() });
    ///     assert_eq!(closing.run(sleep(Duration::MAX)).await, Err(Cancelled));
    ///     // Nothing is begun any more.
    ///     assert_eq!(closing.run(async { "soup" }).await, Err(Cancelled));
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Cancelled`], if the token was cancelled before the future was ready.
    #[track_caller]
    pub fn run<F: Future>(&self, future: F) -> Cancellable<F> {
        Cancellable { future: Some(future), started: false, cancellation: self.cancelled() }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        CancelToken::new()
    }
}

impl Clone for CancelToken {
    fn clone(&self) -> Self {
        self.tree().nodes[self.node].holders += 1;
        CancelToken { tree: Arc::clone(&self.tree), node: self.node }
    }
}

impl Drop for CancelToken {
    fn drop(&mut self) {
        let waiter = self.tree().release(self.node);
        discard(waiter);
    }
}

debug_struct!(impl[] for CancelToken as "CancelToken", |this| cancelled: this.is_cancelled(), ..);

/// The future of [`CancelToken::cancelled`]. It belongs to no loop, and may be moved and dropped on
/// any thread.
#[must_use = "futures do nothing unless awaited"]
pub struct Cancellation {
    /// A child of its own, which nothing else cancels or clones.
    token: CancelToken,
    place: &'static Location<'static>,
    record: WaitRecord,
}

impl Cancellation {
    /// Whether the token is cancelled. If not, registers the task.
    fn is_over(&mut self, cx: &Context<'_>) -> bool {
        let is_over = self.leave(Wake::of(cx.waker()));
        match TaskNumber::of(cx.waker()) {
            // Any thread that has a clone may cancel it.
            Some(task) if !is_over => {
                self.record.wait(task, Awaited::FromOutside(A_CANCELLATION), self.place);
            }
            _ => self.record.end(),
        }
        if !is_over {
            let place = self.place;
            report(|| Step::AwaitSync { what: A_CANCELLATION, place });
        }
        is_over
    }

    /// Whether the token is cancelled. If not, stores `wake` in place of that of the last poll.
    fn leave(&self, wake: Wake) -> bool {
        let mut guard = self.token.tree();
        let tree = &mut *guard;
        let node = &mut tree.nodes[self.token.node];
        let is_cancelled = node.cancelled;
        let unused = match &mut node.waiter {
            _ if is_cancelled => Some(wake),
            Some((_, waiting)) => Some(mem::replace(waiting, wake)),
            none => {
                tree.waits += 1;
                *none = Some((tree.waits, wake));
                None
            }
        };
        drop(guard);
        discard(unused);
        is_cancelled
    }
}

impl Future for Cancellation {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_over(cx) { poll_budget(cx) } else { Poll::Pending }
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cancellation(awaited at {})", self.place)
    }
}

pin_project! {
    /// The future of [`CancelToken::run`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Cancellable<F> {
        // `None` once it is over: it is dropped before its end is reported.
        #[pin]
        future: Option<F>,
        // Whether the future has been polled.
        started: bool,
        cancellation: Cancellation,
    }
}

impl<F: Future> Future for Cancellable<F> {
    type Output = Result<F::Output, Cancelled>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("headwaiter: a `Cancellable` was polled again after it was ready");
        };
        if *this.started || !this.cancellation.token.is_cancelled() {
            *this.started = true;
            if let Poll::Ready(output) = future.poll(cx) {
                this.future.set(None);
                this.cancellation.record.end();
                return Poll::Ready(Ok(output));
            }
            if !this.cancellation.is_over(cx) {
                return Poll::Pending;
            }
        } else {
            ready!(poll_budget(cx));
        }
        this.future.set(None);
        Poll::Ready(Err(Cancelled))
    }
}

/// The error of [`CancelToken::run`]: the token was cancelled before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

error_message!(impl[] for Cancelled, "cancelled before the operation was done");

impl From<Cancelled> for io::Error {
    /// Of the kind `Other`, because many readers retry after `Interrupted`.
    fn from(cancelled: Cancelled) -> Self {
        io::Error::other(cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// How many nodes there are in a token's tree.
    fn nodes(token: &CancelToken) -> usize {
        token.tree().nodes.len()
    }

    #[test]
    fn what_is_dropped_leaves_nothing_in_the_tree() {
        let root = CancelToken::new();
        for _ in 0..1000 {
            drop((root.clone(), root.child().child()));
            let mut waits = [root.cancelled(), root.child().cancelled()];
            for wait in &mut waits {
                let polled = Pin::new(wait).poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending());
            }
        }
        assert_eq!(nodes(&root), 1);
        // A chain whose middle is gone is as short as what is left of it.
        let mut last = root.child();
        for _ in 0..1000 {
            last = last.child();
        }
        assert_eq!(nodes(&root), 2);
        root.cancel();
        assert!(last.is_cancelled());
        drop(root);
        assert_eq!(nodes(&last), 1);
    }

    /// A server's token has children, and these have some, for years, in whatever order they go.
    #[test]
    fn there_are_never_twice_as_many_nodes_as_tokens() {
        let root = CancelToken::new();
        let mut living = vec![root.child()];
        for n in 0..100_000 {
            let parent = &living[n * 31 % living.len()];
            let child = parent.child();
            if living.len() < 20 {
                living.push(child);
            } else {
                living[n * 7 % 20] = child;
            }
            let (nodes, tokens) = (nodes(&root), living.len() + 1);
            assert!(nodes < 2 * tokens, "{nodes} nodes for {tokens} tokens");
        }
        root.cancel();
        assert!(living.iter().all(CancelToken::is_cancelled), "each is below the root still");
        assert_eq!(nodes(&root), 21);
    }
}
