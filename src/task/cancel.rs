//! [`CancelToken`]: tells others to stop. Cloned, kept and cancelled by users on whatever threads, awaited in any executor;
//! the loop knows nothing of it.
//!
//! All tokens of a tree are nodes of one slab under one lock. So whatever happens to a token is one step under
//! that lock, and a walk over the tree is a loop: no chain of tokens is too long for the stack. Nothing of a user's runs
//! under the lock: wakers are cloned before it, and woken and dropped after it. A future that waits is a node of its own
//! below the token that it waits for, with whom to wake in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::{fmt, io, mem, panic::Location, pin::Pin};

use pin_project_lite::pin_project;
use slab::Slab;

use super::wait_record::WaitRecord;
use crate::door::{poll_budget, report};
use crate::fmt::{debug_struct, error_message};
use crate::state::{Awaited, Step, TaskNumber, Wake, discard};

/// For what a listener waits.
const A_CANCELLATION: &str = "the cancellation of a token";

/// Tells tasks, threads and whoever else has a clone of it to stop.
///
/// Cancelling is final. It reaches all clones of the token and all its [children](Self::child), and theirs; a child that is
/// cancelled does not cancel its parent. Only those hear of it who listen: by [`run`](Self::run), which drops a
/// future, by [`cancelled`](Self::cancelled), or by asking [`is_cancelled`](Self::is_cancelled).
///
/// Every method may be called on any thread, inside and outside any event loop, and in a `Drop`. Each takes a lock that all
/// tokens of the tree share, for a short and constant time; only `cancel` holds it for longer, for all that hang
/// below. A token that is dropped leaves nothing in the tree.
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
    /// A token of a new tree.
    pub fn new() -> Self {
        let mut tree = Tree { nodes: Slab::new(), waits: 0 };
        let node = tree.add(None, false);
        CancelToken { tree: Arc::new(Mutex::new(tree)), node }
    }

    /// A token that is cancelled with this one, and may be cancelled alone. A child of a cancelled token is cancelled.
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
    pub fn child(&self) -> Self {
        let mut tree = self.tree();
        let cancelled = tree.nodes[self.node].cancelled;
        let node = tree.add(Some(self.node), cancelled);
        CancelToken { tree: Arc::clone(&self.tree), node }
    }

    /// Cancels this token, its clones, and all that hang below. The tasks that wait are woken in the order in which they began
    /// to wait. Doing so a second time does nothing.
    pub fn cancel(&self) {
        let mut waiters = self.tree().cancel(self.node);
        waiters.sort_unstable_by_key(|(since, _)| *since);
        for (_, wake) in waiters {
            wake.wake();
        }
    }

    /// Whether this token, or one above it, was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.tree().nodes[self.node].cancelled
    }

    /// Waits until this token is cancelled.
    ///
    /// Cancel-safe: there is nothing to lose.
    #[track_caller]
    pub fn cancelled(&self) -> Cancellation {
        Cancellation { token: self.child(), place: Location::caller(), record: WaitRecord::NONE }
    }

    /// Runs `future` until the token is cancelled. Then the future is dropped, and after that [`Cancelled`] is returned.
    ///
    /// If the token is cancelled at the first poll, the future is not polled at all: so a loop of `run`s ends, however
    /// much there is to do. After that the future is polled first: one that is ready at the same time as the
    /// token is cancelled wins, and its output is not lost. As cancel-safe as `future` is.
    ///
    /// A panic in the drop of `future` goes on in the task that awaits this, as one in its poll does.
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

/// The tokens that descend from one, and who waits for them.
struct Tree {
    nodes: Slab<Node>,
    /// How many have begun to wait. It gives them their order.
    waits: u64,
}

/// A token, or a future that waits for the token above it.
#[derive(Default)]
struct Node {
    /// How many clones of the token there are. A node without any is there only to hold several children together.
    holders: usize,
    /// Final. A node that is cancelled has no links any more: there is nothing left that could reach it.
    cancelled: bool,
    /// Since when, and whom to wake.
    waiter: Option<(u64, Wake)>,
    parent: Option<usize>,
    /// The first of its children, which are linked in both directions.
    child: Option<usize>,
    next: Option<usize>,
    prev: Option<usize>,
}

impl Tree {
    fn add(&mut self, parent: Option<usize>, cancelled: bool) -> usize {
        let node = self.nodes.insert(Node { holders: 1, cancelled, ..Node::default() });
        if let (Some(parent), false) = (parent, cancelled) {
            self.link(node, parent);
        }
        node
    }

    fn link(&mut self, at: usize, parent: usize) {
        let next = self.nodes[parent].child.replace(at);
        if let Some(next) = next {
            self.nodes[next].prev = Some(at);
        }
        let node = &mut self.nodes[at];
        (node.parent, node.next, node.prev) = (Some(parent), next, None);
    }

    /// Returns what its parent was.
    fn unlink(&mut self, at: usize) -> Option<usize> {
        let node = &mut self.nodes[at];
        let (parent, next, prev) = (node.parent.take(), node.next.take(), node.prev.take());
        if let Some(next) = next {
            self.nodes[next].prev = prev;
        }
        match (prev, parent) {
            (Some(prev), _) => self.nodes[prev].next = next,
            (None, Some(parent)) => self.nodes[parent].child = next,
            (None, None) => {}
        }
        parent
    }

    /// One holder less. Gives back what must be dropped outside the lock.
    fn release(&mut self, at: usize) -> Option<(u64, Wake)> {
        let node = &mut self.nodes[at];
        node.holders -= 1;
        // Only a future's node has one, and a future has no clones.
        let waiter = node.waiter.take();
        self.prune(at);
        waiter
    }

    /// Takes a node out if nobody holds it and it does not hold several children together. Its parent may then be such a
    /// node too. So there are never twice as many nodes as there are holders, and this takes constant time.
    fn prune(&mut self, mut at: usize) {
        while self.nodes[at].holders == 0 {
            let child = self.nodes[at].child;
            if child.is_some_and(|child| self.nodes[child].next.is_some()) {
                return;
            }
            let parent = self.unlink(at);
            if let Some(child) = child {
                self.unlink(child);
                if let Some(parent) = parent {
                    self.link(child, parent);
                }
            }
            self.nodes.remove(at);
            let Some(parent) = parent else { return };
            at = parent;
        }
    }

    /// Returns who is to be woken.
    fn cancel(&mut self, start: usize) -> Vec<(u64, Wake)> {
        let mut waiters = Vec::new();
        if self.nodes[start].cancelled {
            return waiters;
        }
        let above = self.unlink(start);
        let mut reached = vec![start];
        while let Some(at) = reached.pop() {
            let node = &mut self.nodes[at];
            let mut child = node.child.take();
            waiters.extend(node.waiter.take());
            if node.holders == 0 {
                self.nodes.remove(at);
            } else {
                node.cancelled = true;
                (node.parent, node.next, node.prev) = (None, None, None);
            }
            while let Some(next) = child {
                reached.push(next);
                child = self.nodes[next].next;
            }
        }
        if let Some(above) = above {
            self.prune(above);
        }
        waiters
    }
}

/// The future of [`CancelToken::cancelled`]. It belongs to no loop, and may be moved and dropped on any thread.
#[must_use = "futures do nothing unless awaited"]
pub struct Cancellation {
    /// A node of its own, that nobody else cancels or clones.
    token: CancelToken,
    place: &'static Location<'static>,
    record: WaitRecord,
}

impl Cancellation {
    /// Whether it is over. If not, this is whom to wake.
    fn is_over(&mut self, cx: &Context<'_>) -> bool {
        let is_over = self.leave(Wake::of(cx.waker()));
        match TaskNumber::of(cx.waker()) {
            // Whoever has a clone may cancel it, on any thread.
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

    /// Whether it is over. What is left in `wake` is dropped after the lock: the new one, or the last one.
    fn leave(&self, mut wake: Wake) -> bool {
        let mut guard = self.token.tree();
        let tree = &mut *guard;
        let node = &mut tree.nodes[self.token.node];
        if node.cancelled {
            return true;
        }
        match &mut node.waiter {
            Some((_, waiting)) => mem::swap(waiting, &mut wake),
            none => {
                tree.waits += 1;
                *none = Some((tree.waits, wake));
            }
        }
        false
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
        // `None` once it is over: the future is dropped before its end is reported.
        #[pin]
        future: Option<F>,
        // The future has been polled.
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

/// The [`CancelToken`] was cancelled before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

error_message!(impl[] for Cancelled, "cancelled before the operation was done");

impl From<Cancelled> for io::Error {
    /// Of the kind `Other`: `Interrupted` asks many a reader to try again.
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
