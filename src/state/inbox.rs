//! A loop's inbox: a mutex, and a flag that the loop reads without locking. Any thread pushes
//! through [`Shared`](super::Shared); only the loop's own thread takes. The inbox never does I/O:
//! [`Inbox::push`] returns whether the caller must wake the loop.
//!
//! Why no wake is lost: `notified` is set with the first message and cleared when the mail is
//! taken, both under the mutex. So a message is either part of what the loop takes, or it was
//! pushed after that, found `notified` unset, and its sender wakes the poller again. If waking the
//! poller fails, the sender clears `notified`. The poller's eventfd is only written, never drained:
//! with edge triggering, each write is an event of its own (epoll(7)).
//!
//! A thread that wakes the same task again and again needs no lock: [`LastWake`] tells it that the
//! wake is still in the inbox.

use std::mem;

use super::message::Message;
use super::number::TaskNumber;
use sync::{AtomicBool, AtomicUsize, Mutex, Ordering};

#[cfg(loom)]
mod sync {
    pub(super) use loom::sync::Mutex;
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
}
#[cfg(not(loom))]
mod sync {
    pub(super) use std::sync::Mutex;
    pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
}

/// The task whose wake was pushed last, until the inbox is taken. Inboxes may share one, because a
/// task's number also names its loop.
///
/// Why no wake is lost: a thread that finds its task here adds nothing to the inbox, but the loop must
/// see what the thread wrote before. Every change of the word is a read-modify-write that releases
/// and acquires. So whatever changes it after the thread looked, up to the loop that takes the
/// inbox, has acquired what the thread wrote (a release sequence), and the task is polled after that.
pub(crate) struct LastWake(AtomicUsize);

impl LastWake {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        LastWake(AtomicUsize::new(TaskNumber::NONE.bits()))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        LastWake(AtomicUsize::new(TaskNumber::NONE.bits()))
    }

    /// Returns whether a wake of this task is in its inbox. Then it need not be pushed again.
    pub(crate) fn is(&self, task: TaskNumber) -> bool {
        let bits = task.bits();
        self.0.compare_exchange(bits, bits, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn set(&self, task: TaskNumber) {
        self.0.swap(task.bits(), Ordering::AcqRel);
    }
}

pub(crate) struct Inbox {
    last_wake: &'static LastWake,
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
    pub(crate) fn new(last_wake: &'static LastWake) -> Self {
        let state = State { mail: Mail::default(), notified: false, closed: false };
        Inbox { last_wake, flag: AtomicBool::new(false), state: Mutex::new(state) }
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
        self.put(|mail| {
            push_once(&mut mail.wakes, task);
            self.last_wake.set(task);
        })
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
        self.state(|state| {
            self.last_wake.set(TaskNumber::NONE);
            state.notified = false;
        });
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
            self.last_wake.set(TaskNumber::NONE);
            self.flag.store(false, Ordering::Relaxed);
            state.notified = false;
            mem::take(&mut state.mail)
        })
    }

    /// Takes all mail, and refuses mail from now on.
    pub(crate) fn close(&self) -> Mail {
        self.state(|state| {
            self.last_wake.set(TaskNumber::NONE);
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

    /// Returns a word that no other test has.
    fn last_wake() -> &'static LastWake {
        static WORDS: [LastWake; 8] = [const { LastWake::new() }; 8];
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        &WORDS[NEXT.fetch_add(1, Ordering::Relaxed)]
    }

    fn wake(inbox: &Inbox, index: usize) -> bool {
        inbox.push_wake(TaskNumber::from_bits(index))
    }

    #[test]
    fn only_the_first_message_after_a_taking_asks_for_a_wake() {
        let inbox = Inbox::new(last_wake());
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
    fn a_wake_need_not_be_repeated_until_it_is_taken_or_could_not_be_told() {
        let last_wake = last_wake();
        let inbox = Inbox::new(last_wake);
        let [one, two] = [1, 2].map(TaskNumber::from_bits);
        assert!(!last_wake.is(one));
        inbox.push_wake(one);
        assert!(last_wake.is(one) && last_wake.is(one) && !last_wake.is(two));
        inbox.push_wake(two);
        assert!(last_wake.is(two) && !last_wake.is(one));
        inbox.not_notified();
        assert!(!last_wake.is(two));
        inbox.push_wake(one);
        inbox.take();
        assert!(!last_wake.is(one));
        inbox.push_wake(one);
        inbox.close();
        assert!(!last_wake.is(one));
        inbox.push_wake(one);
        assert!(!last_wake.is(one), "a closed inbox takes no wake");
    }

    #[test]
    fn a_closed_inbox_gives_messages_back() {
        let inbox = Inbox::new(last_wake());
        assert!(wake(&inbox, 1));
        assert_eq!(inbox.close().wakes.len(), 1);
        assert!(!wake(&inbox, 2));
        let late = Message::Abort(Slot::new(1, 1));
        assert!(matches!(inbox.push(late), Err(Message::Abort(_))));
        assert!(inbox.take().wakes.is_empty());
    }

    #[test]
    fn a_million_wakes_and_clones_of_a_hundred_tasks_stay_small() {
        let inbox = Inbox::new(last_wake());
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
        let inbox = Inbox::new(last_wake());
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

    fn last_wake() -> &'static LastWake {
        Box::leak(Box::new(LastWake::new()))
    }

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
            let inbox = Arc::new(Inbox::new(last_wake()));
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
            let inbox = Arc::new(Inbox::new(last_wake()));
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

    /// A thread writes and wakes, twice, while another one wakes another task. The loop sees what was
    /// written last.
    #[test]
    fn loom_what_was_written_before_a_wake_that_is_not_repeated_is_seen() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let last_wake = last_wake();
            let inbox = Arc::new(Inbox::new(last_wake));
            let poller = Arc::new(Poller { woken: Mutex::new(false), changed: Condvar::new() });
            let written = Arc::new(AtomicUsize::new(0));
            let wake = |task| {
                let (inbox, poller) = (Arc::clone(&inbox), Arc::clone(&poller));
                move || {
                    if !last_wake.is(task) && inbox.push_wake(task) {
                        poller.wake();
                    }
                }
            };
            let [one, other] = [1, 2].map(TaskNumber::from_bits);
            let (wake_one, wake_other) = (wake(one), wake(other));
            let writes = {
                let written = Arc::clone(&written);
                thread::spawn(move || {
                    for value in 1..=2 {
                        written.store(value, Ordering::Relaxed);
                        wake_one();
                    }
                })
            };
            let wakes = thread::spawn(wake_other);
            let (mut seen, mut is_other_woken) = (0, false);
            while seen < 2 || !is_other_woken {
                poller.wait();
                if inbox.has_mail() {
                    let mail = inbox.take();
                    is_other_woken |= mail.wakes.contains(&other);
                    if mail.wakes.contains(&one) {
                        seen = written.load(Ordering::Relaxed);
                    }
                }
            }
            writes.join().unwrap();
            wakes.join().unwrap();
        });
    }
}
