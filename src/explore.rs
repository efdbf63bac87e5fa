//! [`explore`]: runs a test under many schedules, each of which can be replayed. Tests call it, and
//! `#[headwaiter::test]` runs its tests with [`run_once`]. It builds its loops with public settings
//! only, and never looks inside them.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::Level;

use crate::event_loop::{Builder, EventLoop};
use crate::state::{Clock, Deadlock, LOOP, panic_message, say};

/// Runs a test under many schedules. Each seed gets a loop of its own, with a [virtual
/// clock](Clock::Virtual), that seed for [`shuffle`](crate::Builder::shuffle), and
/// [`Deadlock::Fail`]. At the first seed under which the test panics, this function stops, and
/// panics with a message that names the seed.
///
/// This finds failures that need an order of tasks that a plain run never has, and makes them
/// reproducible:
///
/// ```should_panic
/// use headwaiter::{spawn, task::yield_now};
/// use std::{cell::Cell, rc::Rc};
///
/// headwaiter::explore(0..100, || async {
///     let tips = Rc::new(Cell::new(0));
///     let waiters = [1, 2].map(|tip| {
///         let tips = Rc::clone(&tips);
///         spawn(async move {
///             let before = tips.get();
///             if tip == 2 {
///                 yield_now().await; // `before` misses what is added meanwhile.
///             }
///             tips.set(before + tip);
///         })
///     });
///     for waiter in waiters {
///         waiter.await.unwrap();
///     }
///     assert_eq!(tips.get(), 3);
/// });
/// ```
///
/// This panics with `under the seed 0: assertion ... left: 2, right: 3`, or with the first seed
/// under which the task that yields begins first. (A test that fails in every order needs no
/// seeds.) To replay that schedule alone, call `explore([seed], ...)`, or build a loop with that
/// `shuffle`.
///
/// For a whole test, `#[headwaiter::test(clock = "virtual", seeds = 100)]` does the same.
///
/// A panic of a task that is never joined is only logged, as everywhere. So join the tasks, or use
/// a [`TaskGroup`](crate::task::TaskGroup).
///
/// # Panics
///
/// Panics if the test panics; the message contains the seed and the message of the test. Also
/// panics inside a running loop, and if the kernel does not provide a poller.
#[track_caller]
pub fn explore<F>(seeds: impl IntoIterator<Item = u64>, test: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    for seed in seeds {
        let settings = EventLoop::builder().clock(Clock::Virtual).deadlock(Deadlock::Fail);
        let run = || run_once(settings, Some(seed), &test);
        // The panic is caught only to add the seed to its message.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            panic!(
                "headwaiter: under the seed {seed}: {}\n(`explore([{seed}], ...)` replays this schedule alone, and so does a loop of `EventLoop::builder().clock(Clock::Virtual).shuffle({seed})`)",
                panic_message(&*payload)
            );
        }
    }
}

/// Runs a test on a loop of its own: on a shuffled one, if there is a seed.
#[track_caller]
pub(crate) fn run_once<F: Future>(
    mut settings: Builder,
    seed: Option<u64>,
    test: impl FnOnce() -> F,
) -> F::Output {
    if let Some(seed) = seed {
        say(Level::Debug, LOOP, format_args!("explores the schedule of seed {seed}"));
        settings = settings.shuffle(seed);
    }
    let mut event_loop = settings.build().expect("headwaiter: cannot make an event loop");
    // Called inside the loop, so that `test` may spawn before its first `await`.
    event_loop.block_on(async { test().await })
}
