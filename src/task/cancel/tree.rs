//! The tokens of one tree: nodes of one slab, under one lock. Plain data; it wakes nothing.
//!
//! Each operation on a token is one step under that lock, and a walk over the tree is a loop, so no
//! chain of tokens is too long for the stack. A future that waits is a node of its own below the
//! token that it waits for, and contains what to wake.

use slab::Slab;

use crate::state::Wake;

/// The tokens that descend from one root, and their waiters.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) nodes: Slab<Node>,
    /// How many futures have begun to wait. It gives them their order.
    pub(super) waits: u64,
}

/// A token, or a future that waits for the token above it.
#[derive(Default)]
pub(super) struct Node {
    /// How many clones of the token there are. A node without clones only connects several children
    /// to its parent.
    pub(super) holders: usize,
    /// Final. A cancelled node has no links any more, because nothing needs to reach it.
    pub(super) cancelled: bool,
    /// Its rank in the order of waiting, and what to wake.
    pub(super) waiter: Option<(u64, Wake)>,
    parent: Option<usize>,
    /// The first of its children, which are linked in both directions.
    child: Option<usize>,
    next: Option<usize>,
    prev: Option<usize>,
}

impl Tree {
    pub(super) fn add(&mut self, parent: Option<usize>, cancelled: bool) -> usize {
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

    /// Removes a node from its siblings, and returns its former parent.
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

    /// Removes a holder. Returns the waker to drop after the lock is released.
    pub(super) fn release(&mut self, at: usize) -> Option<(u64, Wake)> {
        let node = &mut self.nodes[at];
        node.holders -= 1;
        // Only the node of a future has a waiter, and a future has no clones.
        let waiter = node.waiter.take();
        self.prune(at);
        waiter
    }

    /// Removes a node without holders, unless it connects several children. Its parent may then be
    /// such a node too. So there are fewer than twice as many nodes as holders, and this takes
    /// constant time.
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

    /// Cancels a node and its descendants. Returns the waiters to wake after the lock is released.
    pub(super) fn cancel(&mut self, start: usize) -> Vec<(u64, Wake)> {
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
