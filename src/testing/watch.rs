//! [`Watch`]: the time limit of a test, `within`. It is real time, whatever clock the loop has. A
//! test that has not ended by then panics with a dump of its loop. If its loop no longer turns, a
//! thread prints what blocks it, and aborts the process: nothing else can end the test.

use std::future::{Future, poll_fn};
use std::io::{self, Write as _};
use std::mem;
use std::pin::pin;
use std::process;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::door::Door;
use crate::observe::dump::dump;
use crate::remote::{ANSWER_TIMEOUT, why_busy};
use crate::state::{Message, Shared, TaskNumber};

/// The owner of the thread that watches a test. Dropping it ends the thread.
pub(super) struct Watch {
    watched: Arc<Watched>,
    /// Dropped to say that the test has ended.
    running: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread of the test and the watching thread share.
struct Watched {
    test: String,
    start: Instant,
    within: Duration,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// The loop that runs the test now: there is one for each seed.
    event_loop: Option<RunningLoop>,
    /// The time is over.
    is_expired: bool,
    /// The dump of the loop, made after that.
    dump: Option<String>,
    /// The test has begun to panic.
    is_failing: bool,
}

struct RunningLoop {
    shared: Arc<Shared>,
    main: TaskNumber,
    /// How to run its seed alone.
    replay: String,
}

/// How long a test that panics may take to end. A backtrace may take some seconds.
const END_TIMEOUT: Duration = Duration::from_secs(30);

impl Watch {
    pub(super) fn start(test: &str, within: Duration) -> Self {
        let watched = Arc::new(Watched::new(test, within, Progress::default()));
        let (running, ended) = mpsc::channel();
        let watch = {
            let watched = Arc::clone(&watched);
            move || {
                if let Some(why) = watched.wait(&ended, ANSWER_TIMEOUT, END_TIMEOUT) {
                    watched.abort(&why);
                }
            }
        };
        let thread = thread::Builder::new().name("headwaiter-within".to_owned()).spawn(watch);
        let thread = thread.expect("headwaiter: cannot start the thread that `within` needs");
        Watch { watched, running: Some(running), thread: Some(thread) }
    }

    /// Runs a test, as the main future of its loop, until the time is over: then it panics.
    pub(super) async fn limit<F: Future>(&self, replay: String, test: F) -> F::Output {
        let mut test = pin!(test);
        let mut replay = Some(replay);
        poll_fn(|cx| {
            if let Some(replay) = replay.take() {
                let door = Door::expect("a test");
                let (shared, main) = (Arc::clone(&door.shared), door.tasks.polled_number);
                drop(door);
                self.watched.progress().event_loop = Some(RunningLoop { shared, main, replay });
            }
            self.watched.check();
            test.as_mut().poll(cx)
        })
        .await
    }

    /// Called after the drop of each loop, which may block too.
    pub(super) fn loop_is_gone(&self) {
        self.watched.progress().event_loop = None;
    }

    /// Panics if the time is over. For a test that has ended: one that blocked its loop for a while
    /// may not have been polled since.
    #[track_caller]
    pub(super) fn expect_in_time(&self) {
        let Watched { test, start, within, .. } = &*self.watched;
        assert!(
            start.elapsed() <= *within,
            "headwaiter: the test `{test}` has not ended within {within:?}: give it more time or fewer seeds, or look for what blocked its event loop"
        );
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Watched {
    fn new(test: &str, within: Duration, progress: Progress) -> Self {
        let (start, progress) = (Instant::now(), Mutex::new(progress));
        Watched { test: test.to_owned(), start, within, progress }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Panics if the time is over. Called on the thread of the test, inside its loop.
    fn check(&self) {
        let mut progress = self.progress();
        if !progress.is_expired {
            return;
        }
        progress.is_failing = true;
        let dump_at_expiry = progress.dump.take();
        drop(progress);
        // There is none if the time was over between two seeds, when there was no loop.
        let dump = dump_at_expiry.unwrap_or_else(|| dump().to_string());
        let Watched { test, within, .. } = self;
        panic!(
            "headwaiter: the test `{test}` has not ended within {within:?}. Its event loop:\n{dump}"
        );
    }

    /// The body of the thread: waits for the end of the test. If nothing can end the test, returns
    /// why.
    fn wait(
        self: &Arc<Self>,
        ended: &Receiver<()>,
        answer_timeout: Duration,
        end_timeout: Duration,
    ) -> Option<String> {
        let has_ended = |timeout| ended.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout);
        if has_ended(self.within) {
            return None;
        }
        self.expire();
        if has_ended(answer_timeout) {
            return None;
        }
        if let Some(why) = self.why_no_answer() {
            return Some(why);
        }
        let why =
            || "its event loop turns, but the test does not end: a drop may block it".to_owned();
        (!has_ended(end_timeout)).then(why)
    }

    /// Has the loop of the test make a dump, and wake the main future, which panics with it.
    fn expire(self: &Arc<Self>) {
        let mut progress = self.progress();
        progress.is_expired = true;
        let Some(event_loop) = &progress.event_loop else { return };
        // Not through a `Handle`: that would be a way out for each task of the loop.
        let (shared, main) = (Arc::clone(&event_loop.shared), event_loop.main);
        drop(progress);
        let watched = Arc::clone(self);
        shared.send(Message::Run(Box::new(move || {
            let dump = dump().to_string();
            watched.progress().dump = Some(dump);
            if let Some(mut door) = Door::open() {
                door.wake_task(main);
            }
        })));
    }

    /// Describes what keeps the loop from turning, if it does not.
    fn why_no_answer(&self) -> Option<String> {
        let progress = self.progress();
        let has_answered = progress.dump.is_some() || progress.is_failing;
        let event_loop = progress.event_loop.as_ref().filter(|_| !has_answered)?;
        Some(why_busy(&event_loop.shared))
    }

    fn abort(&self, why: &str) -> ! {
        let replay =
            self.progress().event_loop.as_mut().map(|running| mem::take(&mut running.replay));
        let (Watched { test, within, .. }, replay) = (self, replay.unwrap_or_default());
        // Not by a macro: the test harness would hold back its output until the test ends.
        let _ = writeln!(
            io::stderr(),
            "headwaiter: the test `{test}` has not ended within {within:?}, and nothing can end it, so this process is aborted: {why}\n{replay}"
        );
        process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the thread finds out about a test that ends at once, or never.
    fn wait(progress: Progress, ends: bool) -> (Arc<Watched>, Option<String>) {
        let within = Duration::from_millis(1);
        let watched = Arc::new(Watched::new("soup", within, progress));
        let (running, ended) = mpsc::channel();
        let running = (!ends).then_some(running);
        let why = watched.wait(&ended, within, within);
        drop(running);
        (watched, why)
    }

    #[test]
    fn a_test_that_has_ended_does_not_expire() {
        let (watched, why) = wait(Progress::default(), true);
        assert!(!watched.progress().is_expired && why.is_none());
    }

    #[test]
    fn a_test_that_has_failed_and_does_not_end_is_given_up_later() {
        let (watched, why) = wait(Progress { is_failing: true, ..Progress::default() }, false);
        assert!(watched.progress().is_expired);
        assert!(why.unwrap().contains("a drop may block it"));
    }

    #[test]
    fn a_loop_that_does_not_turn_has_not_answered_and_one_that_does_makes_a_dump() {
        let mut event_loop = crate::EventLoop::new().unwrap();
        let running = event_loop.block_on(async {
            let door = Door::expect("a test");
            let (shared, main) = (Arc::clone(&door.shared), door.tasks.polled_number);
            RunningLoop { shared, main, replay: String::new() }
        });
        let progress = Progress { event_loop: Some(running), ..Progress::default() };
        let (watched, why) = wait(progress, false);
        assert!(why.unwrap().contains("nobody turns it"));
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert!(watched.progress().dump.as_deref().unwrap().starts_with("0 tasks"));
        assert_eq!(watched.why_no_answer(), None);
    }
}
