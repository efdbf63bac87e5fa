//! The examples of the classic mistakes, run as the programs they are: their figures must make sense, they must name the
//! mistake and its cure, and `docs/mistakes.md` must show their output.

use std::fs;
use std::path::Path;

use crate::support::bounded;
use crate::support::docs::{must_show_said, run_as_shown};
use crate::support::program::{figure, tells};

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
        // The log has as many failures as are counted, and of the right tasks.
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

/// A ratio of two measured times may be off while the machine is busy with something else. So it must hold in one of five
/// runs, which it does not do if it is wrong.
#[track_caller]
fn in_one_of_five_runs(example: &'static str, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
    let mut runs = Vec::new();
    for _ in 0..5 {
        let said = said_by(example);
        if holds(&said) {
            return said;
        }
        runs.push(said);
    }
    panic!("in none of these runs: {runs:#?}")
}

/// The line of our own source that stands at a place, as `src/door/mod.rs:12` or `src/door/mod.rs:12:5`.
#[track_caller]
fn source_at(place: &str) -> String {
    let mut parts = place.split(':');
    let (file, line) = (parts.next().unwrap(), parts.next().expect("a line"));
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(place);
    text.lines().nth(line.parse::<usize>().expect(place) - 1).expect(place).trim().to_owned()
}

/// The places of the source that a line names.
fn places(line: &str) -> Vec<&str> {
    let words = line.split([' ', ',']).filter(|word| word.contains(".rs:"));
    words.map(|word| word.trim_end_matches(['.', ':'])).collect()
}

/// The one line that has this in it.
#[track_caller]
fn line<'a>(said: &'a [String], text: &str) -> &'a str {
    let found: Vec<_> = said.iter().filter(|line| line.contains(text)).collect();
    assert_eq!(found.len(), 1, "lines with {text:?}:\n{said:#?}");
    found[0]
}

#[test]
fn coffee_orders_shows_that_one_waiter_serves_all_in_the_time_of_the_longest_dish() {
    bounded(|| {
        let said = in_one_of_five_runs("coffee_orders", |said| {
            figure(said, &["The same waiter", ", is"]) > 1.2
        });
        must_show_said("README.md", "coffee_orders", &said);
        tells(
            &said,
            &[
                "There is one",
                "the mistake: the waiter blocks at the counter",
                "what went wrong: `thread::sleep`",
                "what to do: `.await` each wait",
                "the waiter takes all orders",
                "No second waiter is needed",
            ],
        );
        assert!(
            source_at(places(line(&said, "what went wrong"))[0]).contains("thread::sleep("),
            "{said:#?}"
        );
        assert!(source_at(places(line(&said, "what to do"))[0]).contains(".await"), "{said:#?}");

        let orders: Vec<_> =
            said.iter().filter(|line| line.contains("| ordered")).cloned().collect();
        let order = |line: &String| {
            let line = std::slice::from_ref(line);
            ["ordered", "served"].map(|label| figure(line, &[label]))
        };
        let orders: Vec<_> = orders.iter().map(order).collect();
        let [counter, app] = [&orders[..4], &orders[4..]];
        assert_eq!(app.len(), 4, "{said:#?}");
        for (n, needs) in [40., 120., 80., 60.].into_iter().enumerate() {
            for [ordered, served] in [counter[n], app[n]] {
                // Both times are cut to whole milliseconds.
                assert!(served - ordered >= needs - 1., "{said:#?}");
            }
        }
        // At the counter each guest orders after the one ahead is served; with the app, all order before the first is served.
        assert!(counter.windows(2).all(|pair| pair[0][1] <= pair[1][0]), "{said:#?}");
        assert!(app.iter().all(|early| app.iter().all(|late| early[0] <= late[1])), "{said:#?}");
    });
}

#[test]
fn too_many_tasks_keep_a_heartbeat_waiting_and_a_bound_and_batches_cure_it() {
    bounded(|| {
        let late = |said: &[String], what| {
            let row = line(said, what);
            let time = row.trim_end_matches(" ms").rsplit(' ').next().expect("a time");
            time.parse::<f64>().expect(row)
        };
        let each = |said: &[String], what| figure(said, &[what]);
        let said = in_one_of_five_runs("too_many_tasks", |said| {
            let (one, crowd) = (late(said, "tasks: 1 "), late(said, "tasks: 100000 "));
            let (all, bound) =
                (late(said, "a task for each, all at once"), late(said, "for each, 64 at once"));
            let batch = each(said, "a task for ten of them, 64 at once");
            crowd > 3. * one
                && all > 3. * bound
                && each(said, "a task for each, 64 at once") > 3. * batch
        });
        tells(
            &said,
            &[
                "the mistake: a crowd that is woken again and again",
                "what went wrong: a turn of the loop polls all tasks that are ready",
                "what to do: limit how many run at the same time (a Semaphore), and do more per wake (batches)",
            ],
        );
        assert!(
            source_at(places(line(&said, "the mistake"))[0]).contains("run_tasks(n, n, waits)"),
            "{said:#?}"
        );
        for crowd in [
            "tasks: 10 ",
            "tasks: 100 ",
            "tasks: 1000 ",
            "tasks: 10000 ",
            "threads: 1 ",
            "threads: 1000 ",
        ] {
            assert!(each(&said, crowd) > 0., "{said:#?}");
        }
        assert!(figure(&said, &["them, here for"]) > 1., "{said:#?}");
        if cfg!(target_os = "linux") {
            let (task, thread) =
                (figure(&said, &["A task takes"]), figure(&said, &["bytes, a thread"]));
            assert!(task > 50. && task < 10_000. && thread > 2. * task, "{said:#?}");
        }
    });
}

#[test]
fn debug_a_hang_finds_both_lines_of_the_mistake_in_the_dump() {
    bounded(|| {
        let said = said_by("debug_a_hang");
        tells(
            &said,
            &[
                "no answer for 1 s",
                "how to read it",
                "1. The kitchen waits for the lock \"stock\", which task 3 \"waiter\" holds since",
                "2. So the kitchen waits for the waiter. The waiter waits for the value of a oneshot channel",
                "3. The dump does not say which task sends that value",
                "what went wrong: the lock taken at",
                "what to do: `drop` the guard before that `.await`",
                "from the server without the mistake",
                "served: soup",
            ],
        );
        let [taken, made] = ["is still held", "awaits the channel created at"]
            .map(|text| places(line(&said, text))[0]);
        assert!(source_at(taken).contains("stock.lock().await"), "{taken}");
        assert!(source_at(made).contains("oneshot::channel()"), "{made}");
        // The dump says so itself, not only the text around it.
        let dump: Vec<_> = said.iter().filter(|line| line.starts_with("    ")).cloned().collect();
        let held = format!("holds the lock \"stock\" since {taken}, 1 waits for it");
        tells(
            &dump,
            &[
                "\"kitchen\": waiting",
                "waits for the lock",
                "\"waiter\": waiting",
                &held,
                &format!(", at {made}, for"),
            ],
        );
        assert_eq!(said.iter().filter(|line| line.contains("served:")).count(), 1, "{said:#?}");
    });
}

#[test]
fn break_it_fails_without_each_rule_and_names_the_line_of_the_source_that_keeps_it() {
    bounded(|| {
        let said = said_by("break_it");
        let mut cases: Vec<_> = said.split(String::is_empty).skip(1).collect();
        tells(cases.pop().expect("the end"), &["headwaiter follows these rules for you"]);
        let expected = [
            (
                "The task has 4 of 8 bytes, and waits for ever (polls: 1, events meanwhile: 0)",
                "has all 8 bytes",
                "poll_io",
            ),
            (
                "The task has 0 of 4 bytes, and waits for ever (polls: 1, events meanwhile: 1)",
                "has all 4 bytes",
                "poll_io",
            ),
            (
                "The task has 0 of 4 bytes, and waits for ever (polls: 1, events meanwhile: 0)",
                "has all 4 bytes",
                "source_ready",
            ),
            (
                "Carla, who has not hung up, is disconnected",
                "Carla, who has not hung up, stays connected",
                "find_mut",
            ),
        ];
        assert_eq!(cases.len(), expected.len(), "{said:#?}");
        for (case, (damage, cured, function)) in cases.into_iter().zip(expected) {
            let keeps = format!("In headwaiter, `{function}` does this");
            tells(
                case,
                &[
                    "the mistake: ",
                    "!= Some(Rule::",
                    damage,
                    "what went wrong: ",
                    "what to do: ",
                    cured,
                    &keeps,
                ],
            );
            for named in case.iter().filter(|line| line.contains(".rs:")) {
                let (place, text) = named.trim().split_once(": ").expect("a place and its line");
                assert_eq!(source_at(place), text);
            }
            let keeper = case.last().expect("the line that keeps the rule").trim();
            assert_eq!(function_at(keeper), function, "{keeper}");
        }
    });
}

/// The function in which a place of the source is.
fn function_at(place: &str) -> String {
    let (file, rest) = place.split_once(':').expect("a line");
    let line = rest.split(':').next().and_then(|line| line.parse().ok()).expect("its number");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file);
    let heads = text
        .lines()
        .take(line)
        .filter_map(|line| line.trim_start_matches("pub(crate) ").trim().split_once("fn "));
    let (_, head) = heads.last().expect("a function");
    head.split(['(', '<']).next().unwrap_or_default().to_owned()
}
