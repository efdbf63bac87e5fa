//! [`List`]: the entries of a [`WaitList`](super::WaitList) and their order, as pure data. It runs no
//! user code: what must be woken or dropped, it returns.

use std::mem;
use std::panic::Location;
use std::task::Waker;

use slab::Slab;

use super::{Dequeued, ListWait};
use crate::state::{TaskNumber, Wake};
use crate::task::wait_record::WaitRecord;

/// No index: the end of the list, or a future that has no place in it.
pub(super) const NIL: usize = usize::MAX;

/// The entries, and which of them wait.
pub(super) struct List {
    /// The entry with index 0. Most lists never have more than this one, and so allocate nothing.
    first: Entry,
    /// The others, whose indexes begin at 1. Allocated for the second waiter.
    others: Option<Box<Slab<Entry>>>,
    pub(super) head: usize,
    pub(super) tail: usize,
}

/// A future's entry. It stays until the future leaves, so its index is not reused before.
pub(super) struct Entry {
    pub(super) state: EntryState,
    /// How many permits it waits for. Only a semaphore uses it.
    pub(super) need: u32,
    /// The task to wake while it waits, unless there is a foreign waker.
    pub(super) task: TaskNumber,
    /// A foreign waker to wake while it waits. Kept apart, because one word is moved faster than
    /// two.
    pub(super) foreign: Option<Waker>,
    pub(super) place: &'static Location<'static>,
    /// While a task of this crate waits.
    pub(super) record: WaitRecord,
    prev: usize,
    next: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryState {
    /// Unused. Only the first entry is ever so.
    Vacant,
    /// It is linked into the list. In the other states it is not.
    Waits,
    /// It was woken to look again.
    Called,
    /// It was woken and granted what it waited for. If it is dropped before it takes that, the next
    /// waiter from the same end of the queue gets it.
    Granted(End),
}

/// An end of the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The future that has waited longest.
    First,
    /// The future that began to wait last.
    Last,
}

impl List {
    #[inline]
    pub(super) const fn new() -> Self {
        List { first: Entry::VACANT, others: None, head: NIL, tail: NIL }
    }

    /// Stores the task to wake. Returns the entry, which may have a foreign waker from before. A
    /// future that is new, or was woken, goes to the end.
    #[inline]
    pub(super) fn enter(&mut self, wait: &mut ListWait, task: TaskNumber) -> &mut Entry {
        if !wait.has_place() {
            wait.index = self.find_vacant();
        }
        if self.at_mut(wait.index).state != EntryState::Waits {
            self.link(wait.index);
        }
        let entry = self.at_mut(wait.index);
        (entry.state, entry.task) = (EntryState::Waits, task);
        (entry.need, entry.place) = (wait.need, wait.place);
        entry
    }

    /// A future has taken what it asks for without having waited, and keeps it here until its next
    /// poll.
    #[inline]
    pub(super) fn grant_now(&mut self, wait: &mut ListWait) {
        if !wait.has_place() {
            wait.index = self.find_vacant();
        }
        let entry = self.at_mut(wait.index);
        debug_assert!(
            entry.state != EntryState::Waits,
            "nothing is free while a future waits for it"
        );
        entry.state = EntryState::Granted(End::First);
    }

    /// Links an entry at the end.
    #[inline]
    fn link(&mut self, index: usize) {
        let before = mem::replace(&mut self.tail, index);
        let entry = self.at_mut(index);
        (entry.prev, entry.next) = (before, NIL);
        match before {
            NIL => self.head = index,
            before => self.at_mut(before).next = index,
        }
    }

    /// Unlinks a waiter and puts it into this state: the last one if it is granted something from
    /// that end, and the first one otherwise.
    #[inline(always)]
    pub(super) fn call(&mut self, state: EntryState) -> Option<Dequeued> {
        let index = if state == EntryState::Granted(End::Last) { self.tail } else { self.head };
        let index = Some(index).filter(|index| *index != NIL)?;
        let entry = self.at_mut(index);
        entry.state = state;
        let record = mem::take(&mut entry.record);
        let wake = entry.foreign.take().map_or(Wake::Task(entry.task), Wake::Foreign);
        let (need, place) = (entry.need, entry.place);
        let (prev, next) = (entry.prev, entry.next);
        self.unlink(prev, next);
        Some(Dequeued { need, place, wake, record })
    }

    /// Frees an entry, linked or not. Returns its state, and what must be dropped.
    #[inline]
    pub(super) fn leave(&mut self, index: usize) -> (EntryState, Option<Waker>, WaitRecord) {
        let entry = self.at_mut(index);
        let state = mem::replace(&mut entry.state, EntryState::Vacant);
        let (foreign, record) = (entry.foreign.take(), mem::take(&mut entry.record));
        let (prev, next) = (entry.prev, entry.next);
        if state == EntryState::Waits {
            self.unlink(prev, next);
        }
        if let (Some(index), Some(others)) = (index.checked_sub(1), &mut self.others) {
            others.remove(index);
        }
        (state, foreign, record)
    }

    /// Closes the gap between these.
    #[inline]
    fn unlink(&mut self, prev: usize, next: usize) {
        match prev {
            NIL => self.head = next,
            prev => self.at_mut(prev).next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => self.at_mut(next).prev = prev,
        }
    }

    #[inline]
    fn find_vacant(&mut self) -> usize {
        if self.first.state == EntryState::Vacant { 0 } else { self.add_entry() }
    }

    #[cold]
    fn add_entry(&mut self) -> usize {
        1 + self.others.get_or_insert_default().insert(Entry::VACANT)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, index: usize) -> &mut Entry {
        match index.checked_sub(1) {
            None => &mut self.first,
            Some(index) => {
                &mut self.others.as_mut().expect("an index of 1 or more is of the others")[index]
            }
        }
    }
}

impl Entry {
    const VACANT: Entry = Entry {
        state: EntryState::Vacant,
        need: 0,
        task: TaskNumber::NONE,
        foreign: None,
        place: Location::caller(),
        record: WaitRecord::NONE,
        prev: NIL,
        next: NIL,
    };
}
