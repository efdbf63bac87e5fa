//! A loop's inbox: a mutex, and a flag that the loop reads without locking. Any thread pushes
//! through [`Shared`](super::Shared); only the loop's own thread takes. The inbox never does I/O:
//! [`Inbox::push`] returns whether the caller must wake the loop.
//!
//! Why no wake is lost: `notified` is set with the first message and cleared when the mail is
//! taken, both under the mutex. So a message is either part of what the loop takes, or it was
//! pushed after that, found `notified` unset, and its sender wakes the poller again. If waking the
//! poller fails, the sender clears `notified`. The poller's eventfd is only written, never drained:
//! with edge triggering, each write is an event of its own (epoll(7)).

use std::mem;

use super::message::Message;
use super::number::TaskNumber;
use sync::{AtomicBool, Mutex, Ordering};

#[cfg(loom)]
mod sync {
    pub(super) use loom::sync::Mutex;
    pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
}
#[cfg(not(loom))]
mod sync {
    pub(super) use std::sync::Mutex;
    pub(super) use std::sync::atomic::{AtomicBool, Ordering};
}

pub(crate) struct Inbox {
    /// Set while there may be mail, so that a turn without mail costs one load instead of a lock.
    flag: AtomicBool,
    state: Mutex<State>,
}

struct State {
    mail: Mail,
    /// A sender has woken the loop for this mail, or is about to.
    notified: bool,
    /// The loop is gone, so new mail is refused.
    closed: bool,
}

/// The contents of an inbox. What can arrive by the million is stored in lists of numbers. Each of
/// these lists is never longer than twice the number of tasks that it names.
#[derive(Default)]
pub(crate) struct Mail {
    /// Tasks to wake.
    pub(crate) wakes: Vec<TaskNumber>,
    /// Tasks whose wakers were cloned by code outside this crate.
    pub(crate) foreign: Vec<TaskNumber>,
    /// All other messages, in the order in which they were pushed.
    pub(crate) messages: Vec<Message>,
    /// The number of offloaded jobs that have ended.
    pub(crate) jobs: usize,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let state = State { mail: Mail::default(), notified: false, closed: false };
        Inbox { flag: AtomicBool::new(false), state: Mutex::new(state) }
    }

    fn state<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut state)
    }

    /// Adds a message. Returns `Ok(true)` if the caller must wake the loop's poller.
    ///
    /// # Errors
    ///
    /// Returns the message if the loop is gone.
    pub(crate) fn push(&self, message: Message) -> Result<bool, Message> {
        self.state(|state| {
            if state.closed {
                return Err(message);
            }
            state.mail.messages.push(message);
            Ok(self.notify(state))
        })
    }

    /// Like [`push`](Self::push), for a task to wake. Does nothing if the loop is gone.
    pub(crate) fn push_wake(&self, task: TaskNumber) -> bool {
        self.put(|mail| push_once(&mut mail.wakes, task))
    }

    /// Like [`push`](Self::push), for a task whose waker was cloned by code outside this crate.
    pub(crate) fn push_foreign(&self, task: TaskNumber) -> bool {
        self.put(|mail| push_once(&mut mail.foreign, task))
    }

    /// Like [`push`](Self::push), for the end of an offloaded job and the task that awaits it, if
    /// there is one. Both are pushed under one lock, so the loop never sees one without the other.
    pub(crate) fn push_job_end(&self, task: Option<TaskNumber>) -> bool {
        self.put(|mail| {
            mail.jobs += 1;
            if let Some(task) = task {
                push_once(&mut mail.wakes, task);
            }
        })
    }

    /// Adds mail that needs no drop. Does nothing if the loop is gone.
    fn put(&self, put: impl FnOnce(&mut Mail)) -> bool {
        self.state(|state| {
            if state.closed {
                return false;
            }
            put(&mut state.mail);
            self.notify(state)
        })
    }

    /// Records that the poller could not be woken, so that the next message asks for a wake again.
    pub(crate) fn not_notified(&self) {
        self.state(|state| state.notified = false);
    }

    /// Marks the inbox as non-empty. Returns whether the caller must wake the poller.
    fn notify(&self, state: &mut State) -> bool {
        self.flag.store(true, Ordering::Release);
        !mem::replace(&mut state.notified, true)
    }

    /// Whether there may be mail. It may return `true` when there is none. It may also return
    /// `false` for a moment after a push, but the sender wakes the poller after that, and the loop
    /// checks again after each wake.
    pub(crate) fn has_mail(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Takes all mail. The next message asks for a wake again.
    pub(crate) fn take(&self) -> Mail {
        self.state(|state| {
            self.flag.store(false, Ordering::Relaxed);
            state.notified = false;
            mem::take(&mut state.mail)
        })
    }

    /// Takes all mail, and refuses mail from now on.
    pub(crate) fn close(&self) -> Mail {
        self.state(|state| {
            state.closed = true;
            mem::take(&mut state.mail)
        })
    }
}

/// Adds a task to a list. Duplicates are removed before the list grows, so it is never longer than
/// twice the number of tasks, whatever the number of pushes.
fn push_once(tasks: &mut Vec<TaskNumber>, task: TaskNumber) {
    if tasks.len() == tasks.capacity() && tasks.len() >= 64 {
        tasks.sort_unstable();
        tasks.dedup();
        tasks.reserve(tasks.len());
    }
    tasks.push(task);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::state::slots::Slot;

    fn wake(inbox: &Inbox, index: usize) -> bool {
        inbox.push_wake(TaskNumber::from_bits(index))
    }

    #[test]
    fn only_the_first_message_after_a_taking_asks_for_a_wake() {
        let inbox = Inbox::new();
        assert!(!inbox.has_mail());
        assert!(wake(&inbox, 1));
        assert!(!wake(&inbox, 2));
        assert!(matches!(inbox.push(Message::Abort(Slot::new(1, 1))), Ok(false)));
        assert!(inbox.has_mail());
        let mail = inbox.take();
        assert_eq!((mail.wakes.len(), mail.messages.len()), (2, 1));
        assert!(!inbox.has_mail());
        assert!(wake(&inbox, 3));
    }

    #[test]
    fn a_closed_inbox_gives_messages_back() {
        let inbox = Inbox::new();
        assert!(wake(&inbox, 1));
        assert_eq!(inbox.close().wakes.len(), 1);
        assert!(!wake(&inbox, 2));
        let late = Message::Abort(Slot::new(1, 1));
        assert!(matches!(inbox.push(late), Err(Message::Abort(_))));
        assert!(inbox.take().wakes.is_empty());
    }

    #[test]
    fn a_million_wakes_and_clones_of_a_hundred_tasks_stay_small() {
        let inbox = Inbox::new();
        for n in 0..1_000_000 {
            wake(&inbox, n % 100);
            inbox.push_foreign(TaskNumber::from_bits(n % 100));
        }
        let mail = inbox.take();
        assert!(mail.messages.is_empty());
        for tasks in [mail.wakes, mail.foreign] {
            assert!(tasks.capacity() <= 1024, "{}", tasks.capacity());
            assert!((0..100).all(|n| tasks.iter().any(|task| task.bits() == n)));
        }
    }

    #[test]
    fn after_a_wake_of_the_poller_that_failed_the_next_message_asks_again() {
        let inbox = Inbox::new();
        assert!(wake(&inbox, 1));
        inbox.not_notified();
        assert!(wake(&inbox, 2));
        assert!(!wake(&inbox, 3));
        assert_eq!(inbox.take().wakes.len(), 3);
    }
}

/// Run these with `RUSTFLAGS="--cfg loom" cargo test --lib loom`.
#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::{Arc, Condvar};
    use loom::thread;

    /// A model of the poller: wakes are remembered until a wait, which consumes all of them.
    struct Poller {
        woken: Mutex<bool>,
        changed: Condvar,
    }

    impl Poller {
        fn wake(&self) {
            *self.woken.lock().unwrap() = true;
            self.changed.notify_one();
        }

        fn wait(&self) {
            let mut woken = self.woken.lock().unwrap();
            while !*woken {
                woken = self.changed.wait(woken).unwrap();
            }
            *woken = false;
        }
    }

    /// One thread sends two messages and cannot wake the poller for the first. Another thread sends
    /// one message.
    #[test]
    fn loom_what_could_not_wake_the_poller_is_taken_with_the_next_message() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let inbox = Arc::new(Inbox::new());
            let poller = Arc::new(Poller { woken: Mutex::new(false), changed: Condvar::new() });
            let push = |index, works| {
                let (inbox, poller) = (Arc::clone(&inbox), Arc::clone(&poller));
                move || {
                    if inbox.push_wake(TaskNumber::from_bits(index)) {
                        if works {
                            poller.wake();
                        } else {
                            inbox.not_notified();
                        }
                    }
                }
            };
            let (fails, follows, other) = (push(0, false), push(1, true), push(2, true));
            let one = thread::spawn(move || {
                fails();
                follows();
            });
            let two = thread::spawn(other);
            let mut got = 0;
            while got < 3 {
                poller.wait();
                if inbox.has_mail() {
                    got += inbox.take().wakes.len();
                }
            }
            one.join().unwrap();
            two.join().unwrap();
        });
    }

    #[test]
    fn loom_no_message_is_slept_through() {
        let mut model = loom::model::Builder::new();
        // More than three preemptions find nothing new here and take minutes.
        model.preemption_bound = Some(3);
        model.check(|| {
            let inbox = Arc::new(Inbox::new());
            let poller = Arc::new(Poller { woken: Mutex::new(false), changed: Condvar::new() });
            let senders: Vec<_> = (0..2)
                .map(|index| {
                    let (inbox, poller) = (Arc::clone(&inbox), Arc::clone(&poller));
                    thread::spawn(move || {
                        if inbox.push_wake(TaskNumber::from_bits(index)) {
                            poller.wake();
                        }
                    })
                })
                .collect();
            let mut got = 0;
            while got < 2 {
                // The same order as in a turn: wait, then check the flag, then take.
                poller.wait();
                if inbox.has_mail() {
                    got += inbox.take().wakes.len();
                }
            }
            for sender in senders {
                sender.join().unwrap();
            }
        });
    }
}
