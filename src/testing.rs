//! [`Test`]: runs a test of `#[headwaiter::test]`. Only what that attribute expands to calls it. A
//! failure is never swallowed or changed: the panic goes on as it was.

mod watch;

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::process::{ExitCode, Termination};
use std::thread;
use std::time::Duration;

use self::watch::Watch;
use crate::event_loop::EventLoop;
use crate::explore::run_once;
use crate::state::{Clock, Deadlock};

/// The environment variable that names the one seed to run.
const SEED: &str = "HEADWAITER_SEED";

type BoxedTest<'a, T> = dyn Fn() -> Pin<Box<dyn Future<Output = T>>> + 'a;

/// Where the attributes find their crate under its own name. The name of the function is what the
/// compiler says otherwise.
pub mod renamed {
    #[doc(hidden)]
    pub const fn a_renamed_headwaiter_needs_the_argument_crate() {}
}

/// A test and its settings: see [`test`](macro@crate::test), which describes them.
#[derive(Debug)]
pub struct Test {
    /// The name of the test for `cargo test`.
    path: String,
    clock: Clock,
    deadlock: Deadlock,
    seeds: Option<u64>,
    within: Option<Duration>,
}

impl Test {
    /// `module` is what `module_path!` says where the test is.
    pub fn new(module: &str, name: &str) -> Self {
        // The test harness leaves the name of the crate out.
        let path = match module.split_once("::") {
            Some((_, inner)) => format!("{inner}::{name}"),
            None => name.to_owned(),
        };
        let (clock, deadlock) = (Clock::Real, Deadlock::Fail);
        Test { path, clock, deadlock, seeds: None, within: None }
    }

    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Test { clock, ..self }
    }

    #[must_use]
    pub fn deadlock(self, deadlock: Deadlock) -> Self {
        Test { deadlock, ..self }
    }

    #[must_use]
    pub fn seeds(self, seeds: u64) -> Self {
        Test { seeds: Some(seeds), ..self }
    }

    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Test { within: Some(within), ..self }
    }

    /// Runs the test once, or under each of its seeds until it fails.
    ///
    /// # Panics
    ///
    /// If the test panics; if it is in a deadlock, or has not ended in time; and if the variable
    /// `HEADWAITER_SEED` is set to anything but a number.
    #[track_caller]
    pub fn run<F>(self, test: impl Fn() -> F) -> ExitCode
    where
        F: Future + 'static,
        F::Output: Termination,
    {
        // Boxed, so that a loop is compiled for each type of output, not for each test.
        self.run_boxed(&|| Box::pin(test()))
    }

    #[track_caller]
    fn run_boxed<T: Termination>(self, test: &BoxedTest<'_, T>) -> ExitCode {
        // Started once, because the time is that of all seeds together.
        let watch = self.within.map(|within| Watch::start(&self.path, within));
        let Some(seeds) = self.seeds else { return self.run_once(None, watch.as_ref(), test) };
        let seeds = match seed_of(env::var_os(SEED).as_deref()) {
            Some(seed) => seed..=seed,
            None => 0..=seeds - 1,
        };
        // A loop, because the place of the caller does not reach into a closure.
        for seed in seeds {
            let code = self.run_once(Some(seed), watch.as_ref(), test);
            if code != ExitCode::SUCCESS {
                return code;
            }
        }
        ExitCode::SUCCESS
    }

    #[track_caller]
    fn run_once<T: Termination>(
        &self,
        seed: Option<u64>,
        watch: Option<&Watch>,
        test: &BoxedTest<'_, T>,
    ) -> ExitCode {
        let replay = Replay { path: &self.path, seed };
        let settings = EventLoop::builder().clock(self.clock).deadlock(self.deadlock);
        let output = match watch {
            None => run_once(settings, seed, test),
            Some(watch) => {
                let replay = replay.to_string();
                let output = run_once(settings, seed, || watch.limit(replay, test()));
                watch.loop_is_gone();
                output
            }
        };
        let code = output.report(); // Prints an `Err`.
        if code != ExitCode::SUCCESS {
            replay.print();
        } else if let Some(watch) = watch {
            watch.expect_in_time();
        }
        code
    }
}

/// Prints how to run the seed of a failure again, when the test ends. Prints nothing without a seed.
struct Replay<'a> {
    path: &'a str,
    seed: Option<u64>,
}

impl fmt::Display for Replay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(seed) = self.seed else { return Ok(()) };
        let path = self.path;
        // A test that ran because of such an option runs again only with it.
        let mut options =
            env::args().filter(|arg| arg == "--ignored" || arg == "--include-ignored");
        let option = options.next().map(|option| format!(" -- {option}")).unwrap_or_default();
        write!(
            f,
            "headwaiter: the test failed under the seed {seed}. This runs it under that seed alone:\n    {SEED}={seed} cargo test {path}{option}"
        )
    }
}

impl Replay<'_> {
    fn print(&self) {
        if self.seed.is_some() {
            eprintln!("{self}"); // The test harness shows it with the test.
        }
    }
}

impl Drop for Replay<'_> {
    /// Catches no panic, so that `#[should_panic]` sees it as it was.
    fn drop(&mut self) {
        if thread::panicking() {
            self.print();
        }
    }
}

/// Reads the variable that names the one seed to run.
fn seed_of(value: Option<&OsStr>) -> Option<u64> {
    let value = value?;
    let seed = value.to_str().and_then(|text| text.parse().ok());
    assert!(
        seed.is_some(),
        "headwaiter: {SEED} is {value:?}, which is not a seed: set it to the number that a failed test has printed, or unset it to run all seeds"
    );
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_that_of_the_test_harness() {
        let path = |module| Test::new(module, "burns").path;
        assert_eq!(path("kitchen"), "burns");
        assert_eq!(path("kitchen::soup::tests"), "soup::tests::burns");
    }

    #[test]
    fn a_seed_is_a_number_or_absent() {
        assert_eq!(seed_of(None), None);
        assert_eq!(seed_of(Some(OsStr::new("17"))), Some(17));
        for wrong in ["", "seventeen", "-1", "1.5", "18446744073709551616"] {
            let payload = std::panic::catch_unwind(|| seed_of(Some(OsStr::new(wrong))));
            let text = *payload.unwrap_err().downcast::<String>().unwrap();
            let start = format!("headwaiter: HEADWAITER_SEED is {wrong:?}, which is not a seed: ");
            assert!(text.starts_with(&start), "{text}");
        }
    }
}
