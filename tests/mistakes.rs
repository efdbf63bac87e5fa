//! The examples of the classic mistakes, run as the programs they are: their figures must make sense, they must name the
//! mistake and its cure, and `docs/mistakes.md` must show what they say.

mod common;

use common::bounded;
use common::docs::{block, difference, mask, run_as_shown, shown};
use common::program::{figure, tells};

#[track_caller]
fn said_by(example: &'static str) -> Vec<String> {
    run_as_shown("docs/mistakes.md", example)
}

#[test]
fn blocked_loop_stops_the_heartbeat_for_the_whole_work_and_the_cures_do_not() {
    bounded(|| {
        let said = said_by("blocked_loop");
        tells(
            &said,
            &["the mistake: a task that keeps the thread", "std::thread::sleep", "a computation"],
        );
        tells(
            &said,
            &["what went wrong: all tasks share one thread", "what to do: wait with `.await`"],
        );
        let figures = |what| ["beats", "longest gap"].map(|label| figure(&said, &[what, label]));
        for blocks in [", std::thread::sleep:", ", a computation:"] {
            // All of the work is one gap.
            let [beats, gap] = figures(blocks);
            assert!(beats == 1. && gap >= 300., "{said:#?}");
        }
        for cure in ["headwaiter::time::sleep", "spawn_blocking", "yield_now"] {
            // A beat in three of the 60 steps, however busy the machine is. It may be why a gap is long.
            let [beats, gap] = figures(cure);
            assert!(beats >= 15. && gap >= 10., "{said:#?}");
        }
    });
}

#[test]
fn sync_in_async_shows_what_stops_the_loop_and_that_the_cures_do_not() {
    bounded(|| {
        let said = said_by("sync_in_async");
        tells(
            &said,
            &[
                "1. the mistake: block_on inside a task, at examples/sync_in_async.rs:",
                "headwaiter: `block_on` was called inside a running event loop",
                "what to do: use `.await` instead",
                "2. the mistake: a std::sync::Mutex that stays locked across an `.await`",
                "Task 2 has locked it at examples/sync_in_async.rs:",
                "Task 3 calls `lock()` at examples/sync_in_async.rs:",
                "the event loop has not answered for 1s:",
                "it polls task 3, spawned at examples/sync_in_async.rs:",
                "what to do: unlock before the `.await`, or use headwaiter::sync::Mutex",
                "3. the mistake: a blocking read inside a task",
                "what to do: use headwaiter::net and io, or spawn_blocking",
            ],
        );
        assert!(figure(&said, &["The task then has its result after"]) >= 100., "{said:#?}");
        assert!(figure(&said, &["Both tasks are then done after"]) >= 200., "{said:#?}"); // One after the other.
        let (blocked, cured) = (
            figure(&said, &["a sleep of 10 ms in another task took"]),
            figure(&said, &["The sleep then took"]),
        );
        assert!(blocked >= 500. && cured >= 10. && cured < blocked * 0.8, "{said:#?}");
    });
}

#[test]
fn overused_async_costs_a_sum_many_times_its_time_and_overlaps_what_waits() {
    bounded(|| {
        let said = said_by("overused_async");
        tells(
            &said,
            &[
                "the mistake: async where nothing waits",
                "what went wrong: no addition waits for anything",
                "what to do: compute in plain functions; use one task per job",
                "when async pays off: with waits",
            ],
        );
        let times = |what| figure(&said, &[what, "ns per number,"]);
        let (calls, tasks) = (times(", an async call per number:"), times(", a task per number:"));
        assert_eq!(times(", a plain loop:"), 1.);
        // About 1.5 and 120.
        assert!(tasks > 10. && tasks > 3. * calls, "{said:#?}");
        assert!(times(", one task:") < tasks / 3., "{said:#?}");
        assert!(
            figure(&said, &["waits of 50ms took"]) * 10. < figure(&said, &["One after another:"]),
            "{said:#?}"
        );
    });
}

#[test]
fn ignored_errors_tells_who_has_seen_which_failure() {
    bounded(|| {
        let said = said_by("ignored_errors");
        tells(
            &said,
            &[
                "the mistake: the results of the tasks are ignored, at examples/ignored_errors.rs:",
                "\"order 4\"",
                "failures returned to the caller: 0, logged: 1; orders served: 3",
                "what went wrong: the task returned the error",
                "log_error()",
                "failures returned to the caller: 0, logged: 2; orders served: 3",
                "`.await` each task, as `awaited`",
                "failures returned to the caller: 1 (the fish is out), logged: 1; orders served: 3",
                "a TaskGroup",
                "failures returned to the caller: 1 (the fish is out), logged: 0; orders served: 1",
            ],
        );
        // The log does have what is counted, and has it of those who are meant.
        let logged = |text| {
            said.iter().filter(|line| line.contains("log: ERROR") && line.contains(text)).count()
        };
        assert_eq!(logged("\"order 4\""), 3, "{said:#?}");
        assert_eq!(logged("\"order 2\""), 1, "{said:#?}");
        assert_eq!(logged(""), 4, "{said:#?}");
    });
}

#[test]
fn await_is_no_magic_neither_overlaps_waits_nor_helps_computing_nor_begins_a_future() {
    bounded(|| {
        let said = said_by("await_is_no_magic");
        tells(
            &said,
            &[
                "1. the mistake: three waits of 100ms in a row, at examples/await_is_no_magic.rs:",
                "what to do: spawn all, then await them",
                "2. the mistake: three computations in async tasks, at examples/await_is_no_magic.rs:",
                "what went wrong: tasks share one thread",
                "what to do: spawn_blocking",
                "3. the mistake: a future that is not awaited, at examples/await_is_no_magic.rs:",
                "what went wrong: calling an async fn only creates a future",
                "what to do: `.await` it immediately, or spawn it",
            ],
        );
        let all = |label| figure(&said, &[label]);
        let in_a_row = all("In a row they took");
        assert!(in_a_row >= 300. && all("together they took") < in_a_row * 0.8, "{said:#?}");
        // Computing takes its time, on one thread; on several, it depends on the machine.
        let calls = all("as plain calls");
        assert!(
            all("As tasks they took") > calls * 0.5 && all("processors they took") < calls * 3.,
            "{said:#?}"
        );
        let lazy = all("Awaited now, it still took");
        assert!(all("it has started") == 0. && lazy >= 100., "{said:#?}");
        assert!(all("and awaited now, it took") < lazy * 0.8, "{said:#?}");
    });
}

#[test]
fn the_page_shows_what_deadlock_and_cancellation_say() {
    bounded(|| {
        for example in ["deadlock", "cancellation"] {
            said_by(example);
        }
    });
}

#[test]
fn only_numbers_and_the_spaces_around_them_may_differ_from_what_a_page_shows() {
    for (line, masked) in [
        ("no number", "no number"),
        ("12 beats, 1.5 times, 1,000 waits", "N beats, N times, N waits"),
        ("12ms, 12.5 µs, 3 s, 3 sorts", "T, T, T, N sorts"),
        ("it took 7.", "it took N."),
        ("held in src/slots.rs:166: == 2", "held in src/slots.rs:N == N"),
        ("tea 2 |..==  | after 2 ms", "tea N |B| after T"),
        ("it is |..x==| 2", "it is |..x==| N"),
        ("tasks     7   12 ms  good", "tasks N T good"),
        ("  deeper 1", "  deeper N"),
        (
            "task 4 (spawned at examples/deadlock.rs:31:5) 2",
            "task N (spawned at examples/deadlock.rs:31:5) N",
        ),
        ("[2026-11-22T12:00:00Z ERROR", "[N-N-NTN:N:NZ ERROR"),
        ("thread 'main' panicked at a.rs:1:2:", "thread 'main' (N) panicked at a.rs:1:2:"),
        ("thread 'main' (4711) panicked at a.rs:1:2:", "thread 'main' (N) panicked at a.rs:1:2:"),
    ] {
        assert_eq!(mask(line), masked);
    }
    assert_eq!(difference("1 beat\nlate by 5 ms\n", "2 beat\nlate by 812 µs"), None);
    let differ = |shown, said| difference(shown, said).expect("they differ");
    assert_eq!(differ("1 a\n2 b\n", "1 a\n2 c"), "it shows: 2 b\nit is:    2 c");
    assert_eq!(differ("1 a\n2 b\n", "1 a"), "it shows: 2 b\nit is:    (nothing more)");
    assert_eq!(differ("a.rs:1:2", "a.rs:1:3"), "it shows: a.rs:1:2\nit is:    a.rs:1:3");
}

#[test]
fn the_output_of_a_command_stands_in_its_block() {
    let page = "# One\n```text\n$ cargo one\na\nb\n```\n# Two\n```text\n$ cargo two\n```\n```text\nc 1\nd\n```\n";
    assert_eq!(shown(page, "cargo one"), Some("a\nb\n"));
    assert_eq!(shown(page, "cargo two"), Some(""));
    assert_eq!(shown(page, "cargo tw"), None);
    assert_eq!(block(page, "c "), Some("c 1\nd\n"));
    assert_eq!(block(page, "d"), None);
}
