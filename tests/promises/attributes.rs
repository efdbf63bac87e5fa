//! `#[headwaiter::main]` and `#[headwaiter::test]`.

mod failing;
// A sanitizer builds the macros into another folder.
#[cfg(not(sanitized))]
mod mistakes;

use std::cell::RefCell;
use std::process::{Command, ExitCode, ExitStatus};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::*;
use headwaiter::time::sleep;
use headwaiter::{Clock, EventLoop, dump, spawn};

/// Whether the third of three tasks runs before the others.
async fn a_third_task_is_first() -> bool {
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks = [1, 2, 3].map(|number| {
        let order = Rc::clone(&order);
        spawn(async move { order.borrow_mut().push(number) })
    });
    for task in tasks {
        task.await.unwrap();
    }
    order.take()[0] == 3
}

async fn fails_if_the_third_task_is_first() {
    assert!(!a_third_task_is_first().await, "the third was first");
}

/// The first seed under which that fails.
fn first_seed() -> u64 {
    let _beside_others = beside_other_tests();
    let fails = |seed: &u64| {
        let event_loop = EventLoop::builder().clock(Clock::Virtual).shuffle(*seed).build();
        event_loop.unwrap().block_on(a_third_task_is_first())
    };
    let seed = (0..64).find(fails).expect("one of them");
    assert!(seed > 0, "and some before it are good");
    seed
}

/// Runs a test of `failing.rs`, and returns all that is printed.
fn run(test: &str, seed: Option<&str>) -> (ExitStatus, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("attributes::failing::{test}"), "--ignored"]);
    command.env("RUST_BACKTRACE", "0").env_remove("HEADWAITER_SEED");
    if let Some(seed) = seed {
        command.env("HEADWAITER_SEED", seed);
    }
    let output = output_of(command);
    let text = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8(text).unwrap())
}

/// Runs a test, which must fail by a panic or an error, and print all this, in this order.
#[track_caller]
fn fails(test: &str, seed: Option<&str>, parts: &[&str]) {
    let (status, text) = run(test, seed);
    assert_eq!(status.code(), Some(101), "{text}");
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    program::tells(&lines, parts);
}

/// What is printed at the end of a test that has failed under a seed.
fn replay(test: &str, seed: u64) -> [String; 2] {
    let head = format!("headwaiter: the test failed under the seed {seed}. ");
    let command =
        format!("    HEADWAITER_SEED={seed} cargo test attributes::failing::{test} -- --ignored");
    [head, command]
}

#[test]
fn a_failure_names_its_seed_and_how_to_run_that_alone() {
    let seed = first_seed();
    let [head, command] = replay("in_one_order", seed);
    fails("in_one_order", None, &["the third was first", &head, &command]);
    // It is the first that fails, and fails alone too.
    fails("in_one_order", Some(&seed.to_string()), &["the third was first", &head, &command]);
    let (status, text) = run("in_one_order", Some("0"));
    assert!(status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn an_error_names_its_seed_too() {
    let [head, command] = replay("by_an_error", first_seed());
    fails("by_an_error", None, &["Error: \"the soup is cold\"", &head, &command]);
}

#[test]
fn a_seed_that_is_not_a_number_is_a_clear_panic() {
    let wrong = "HEADWAITER_SEED is \"many\", which is not a seed: set it to the number";
    fails("in_one_order", Some("many"), &[wrong]);
}

#[test]
fn a_test_without_seeds_ignores_the_variable_and_names_no_seed() {
    let (status, text) = run("without_seeds", Some("many"));
    assert_eq!(status.code(), Some(101), "{text}");
    assert!(text.contains("the soup is cold") && !text.contains("HEADWAITER_SEED"), "{text}");
}

/// Unlike tokio: there, such a test hangs.
#[test]
fn a_deadlock_fails_the_test_with_its_report() {
    let [head, command] = replay("in_a_deadlock", 0);
    let report = ["deadlock: 2 tasks wait for each other", &head, &command];
    fails("in_a_deadlock", None, &report);
    let report = ["nothing can wake this event loop any more", "waits for a notification"];
    fails("that_nothing_can_wake", None, &report);
}

/// Unlike tokio: there, such a test hangs.
#[test]
fn a_test_that_turns_for_ever_fails_in_time_with_a_dump() {
    let name = "attributes::failing::that_turns_for_ever";
    let panic = format!("headwaiter: the test `{name}` has not ended within 50ms. Its event loop:");
    let [head, command] = replay("that_turns_for_ever", 0);
    let parts =
        [&*panic, "2 tasks", "waits for the end of task 2", "\"waiter\": waiting", &head, &command];
    fails("that_turns_for_ever", None, &parts);
    // Also while the loop sleeps.
    let parts = ["within 50ms", "task 1 \"main\": waiting", "waits for a timer, due in 3"];
    fails("that_sleeps_too_long", None, &parts);
}

#[test]
fn a_test_that_blocks_its_loop_and_ends_too_late_fails_and_keeps_its_error() {
    let panic = "headwaiter: the test `attributes::failing::that_ends_too_late` has not ended within 50ms: ";
    fails("that_ends_too_late", None, &["failing.rs:", panic]);
    let [head, command] = replay("that_fails_too_late", 0);
    fails("that_fails_too_late", None, &["Error: \"the soup is cold\"", &head, &command]);
}

#[test]
fn the_time_is_that_of_all_seeds_together() {
    fails("of_too_many_seeds", None, &["has not ended within 50ms", "HEADWAITER_SEED="]);
}

/// Runs a test, which must abort its process and say why.
#[cfg(unix)]
#[track_caller]
fn aborts(test: &str, why: &str, replay: &[String]) {
    use std::os::unix::process::ExitStatusExt;
    let (status, text) = run(test, None);
    assert_eq!(status.signal(), Some(6), "{text}");
    let head = format!(
        "headwaiter: the test `attributes::failing::{test}` has not ended within 50ms, and nothing can end it, so this process is aborted: the event loop has not answered for 1s{why}"
    );
    let parts: Vec<_> = [&head].into_iter().chain(replay).map(String::as_str).collect();
    program::tells(&text.lines().map(str::to_owned).collect::<Vec<_>>(), &parts);
}

#[test]
#[cfg(unix)]
fn a_test_that_blocks_its_loop_is_reported_with_the_task_and_aborts_the_process() {
    let task = ": it polls task 2, spawned at tests/promises/attributes/failing.rs:";
    aborts("that_blocks_its_loop", task, &replay("that_blocks_its_loop", 0));
}

#[test]
#[cfg(unix)]
fn a_test_whose_loop_blocks_in_its_drop_is_reported_and_aborts_the_process() {
    aborts("whose_end_blocks", ", and polls no task: ", &[]);
}

#[headwaiter::test(clock = "virtual", seeds = 64)]
#[should_panic(expected = "the third was first")]
async fn a_panic_goes_on_as_it_was() {
    let _beside_others = beside_other_tests();
    fails_if_the_third_task_is_first().await;
}

#[headwaiter::test(clock = "virtual", within = "1m")]
async fn sleeps_under_a_virtual_clock_take_no_time() {
    let _beside_others = beside_other_tests();
    sleep(Duration::from_secs(24 * 3600)).await;
}

/// How often the next test has run, and the function after it.
static RUNS: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

#[headwaiter::test(seeds = 5, within = "60s", deadlock = "warn")]
async fn counts_its_runs() -> ExitCode {
    let _beside_others = beside_other_tests();
    RUNS[0].fetch_add(1, Ordering::Relaxed);
    ExitCode::SUCCESS
}

#[headwaiter::main]
async fn in_a_loop_of_its_own() -> u64 {
    RUNS[1].fetch_add(1, Ordering::Relaxed) + 1
}

#[test]
fn a_test_runs_once_under_each_of_its_seeds_and_a_main_function_once() {
    bounded(|| {
        // Once as a function. It is a test too, which may run meanwhile.
        assert_eq!(counts_its_runs(), ExitCode::SUCCESS);
        let is_alone = std::env::var_os("HEADWAITER_SEED").is_some();
        assert!(RUNS[0].load(Ordering::Relaxed) >= if is_alone { 1 } else { 5 });
        assert_eq!([in_a_loop_of_its_own(), in_a_loop_of_its_own()], [1, 2]);
    });
}

#[headwaiter::test]
async fn the_main_task_of_a_test_was_spawned_at_its_attribute() {
    let line = line!() - 2;
    let _beside_others = beside_other_tests();
    let place = format!("\"main\": running, 1 poll, 0 ms old, spawned at {}:{line}:", file!());
    let dump = dump().to_string();
    assert!(dump.contains(&place), "{dump}");
}
