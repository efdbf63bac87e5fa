//! A loop's inbox: a mutex, and a flag that the loop can look at without it. Any thread pushes; only
//! the loop's own thread takes. It does no I/O: [`Inbox::push`] tells its caller when to wake the loop.
//!
//! Why no wake is lost: `notified` is set with the first message and cleared with the taking, both
//! under the mutex. So a message either is in what the loop takes, or it was pushed after the taking,
//! found `notified` unset, and its sender wakes the poller again. A sender whose wake of the poller has failed takes the
//! mark back. The poller's eventfd is never drained, only written: with edge triggering each write is an event of its
//! own (epoll(7)).

use std::mem;

use super::message::Message;
use super::slots::Slot;
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
    /// Set while there may be mail, so that a turn without any pays one load, not a mutex.
    flag: AtomicBool,
    state: Mutex<State>,
}

struct State {
    mail: Mail,
    /// A sender has woken the loop, or is about to, for what is in here.
    notified: bool,
    closed: bool,
}

/// What was in an inbox. What can come by the million is kept apart, as numbers: each list is never longer than twice the number of
/// tasks that it names.
#[derive(Default)]
pub(crate) struct Mail {
    pub(crate) wakes: Vec<Slot>,
    /// Tasks whose wakers code outside this crate has cloned.
    pub(crate) foreign: Vec<Slot>,
    pub(crate) messages: Vec<Message>,
    /// How many offloaded jobs have ended.
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

    /// `Ok(true)`: the caller must wake the loop's poller. `Err`: the loop is gone; the message comes back.
    pub(crate) fn push(&self, message: Message) -> Result<bool, Message> {
        self.state(|state| {
            if state.closed {
                return Err(message);
            }
            state.mail.messages.push(message);
            Ok(self.notify(state))
        })
    }

    /// As [`push`](Self::push), for a task to wake.
    pub(crate) fn push_wake(&self, task: Slot) -> bool {
        self.put(|mail| push_once(&mut mail.wakes, task))
    }

    /// As [`push`](Self::push), for a task whose waker was cloned by code outside this crate.
    pub(crate) fn push_foreign(&self, task: Slot) -> bool {
        self.put(|mail| push_once(&mut mail.foreign, task))
    }

    /// As [`push`](Self::push), for the end of an offloaded job and the task that awaits it, if one does.
    /// Both in one, so that the loop never sees the one without the other.
    pub(crate) fn push_job_end(&self, task: Option<Slot>) -> bool {
        self.put(|mail| {
            mail.jobs += 1;
            if let Some(task) = task {
                push_once(&mut mail.wakes, task);
            }
        })
    }

    /// What needs no drop. A loop that is gone takes none.
    fn put(&self, put: impl FnOnce(&mut Mail)) -> bool {
        self.state(|state| {
            if state.closed {
                return false;
            }
            put(&mut state.mail);
            self.notify(state)
        })
    }

    /// The poller could not be woken: the next message asks for a wake again.
    pub(crate) fn not_notified(&self) {
        self.state(|state| state.notified = false);
    }

    fn notify(&self, state: &mut State) -> bool {
        self.flag.store(true, Ordering::Release);
        !mem::replace(&mut state.notified, true)
    }

    /// May say yes when there is none, and no for a moment after a push: the pusher's wake of the
    /// poller comes later still, and the loop looks again after it.
    pub(crate) fn has_mail(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) -> Mail {
        self.state(|state| {
            self.flag.store(false, Ordering::Relaxed);
            state.notified = false;
            mem::take(&mut state.mail)
        })
    }

    pub(crate) fn close(&self) -> Mail {
        self.state(|state| {
            state.closed = true;
            mem::take(&mut state.mail)
        })
    }
}

/// Before the list grows it is rid of repetitions, so it is never longer than twice the number
/// of tasks, whatever the number of pushes.
fn push_once(tasks: &mut Vec<Slot>, slot: Slot) {
    if tasks.len() == tasks.capacity() && tasks.len() >= 64 {
        tasks.sort_unstable_by_key(|slot| (slot.index(), slot.generation()));
        tasks.dedup();
        tasks.reserve(tasks.len());
    }
    tasks.push(slot);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn wake(inbox: &Inbox, index: u32) -> bool {
        inbox.push_wake(Slot::new(index, 1))
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
            inbox.push_foreign(Slot::new(n % 100, 1));
        }
        let mail = inbox.take();
        assert!(mail.messages.is_empty());
        for tasks in [mail.wakes, mail.foreign] {
            assert!(tasks.capacity() <= 1024, "{}", tasks.capacity());
            assert!((0..100).all(|n| tasks.iter().any(|slot| slot.index() == n)));
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

/// `RUSTFLAGS="--cfg loom" cargo test --lib loom`
#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::{Arc, Condvar};
    use loom::thread;

    /// Stands for the poller: a wake is remembered, a wait takes all that were remembered.
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

    /// Two messages of one thread, of which the first cannot wake the poller, beside one of another.
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
                    if inbox.push_wake(Slot::new(index, 0)) {
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
        // More than three preemptions find nothing new here, and take minutes.
        model.preemption_bound = Some(3);
        model.check(|| {
            let inbox = Arc::new(Inbox::new());
            let poller = Arc::new(Poller { woken: Mutex::new(false), changed: Condvar::new() });
            let senders: Vec<_> = (0..2)
                .map(|index| {
                    let (inbox, poller) = (Arc::clone(&inbox), Arc::clone(&poller));
                    thread::spawn(move || {
                        if inbox.push_wake(Slot::new(index, 0)) {
                            poller.wake();
                        }
                    })
                })
                .collect();
            let mut got = 0;
            while got < 2 {
                // The order of a turn: wait, then look at the flag, then take.
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
