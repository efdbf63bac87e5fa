//! More of the examples of mistakes, run as the programs they are: orders, crowds, a hang, and a loop that breaks the rules. As in
//! `mistakes.rs`, their figures must make sense, and `docs/mistakes.md` must show what they say.

mod common;

use std::fs;
use std::path::Path;

use common::bounded;
use common::docs::run_as_shown;
use common::program::{figure, tells};

#[track_caller]
fn said_by(example: &'static str) -> Vec<String> {
    run_as_shown("docs/mistakes.md", example)
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

/// The line of our own source that stands at a place, as `src/core.rs:12` or `src/core.rs:12:5`.
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
        run_as_shown("README.md", "coffee_orders");
        let said = in_one_of_five_runs("coffee_orders", |said| {
            figure(said, &["The same waiter", ", is"]) > 1.2
        });
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
        // At the counter nobody orders before the one ahead is served; with the app all do before anybody is served.
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
        // It is the dump that says so, and not the text around it.
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
        let mut cases: Vec<_> = said.split(|line| line.is_empty()).skip(1).collect();
        tells(cases.pop().expect("the end"), &["headwaiter follows these rules for you"]);
        let expected = [
            (
                "The task has 4 of 8 bytes, and waits for ever (polls: 1, events meanwhile: 0)",
                "has all 8 bytes",
                "attempt",
            ),
            (
                "The task has 0 of 4 bytes, and waits for ever (polls: 1, events meanwhile: 1)",
                "has all 4 bytes",
                "attempt",
            ),
            (
                "The task has 0 of 4 bytes, and waits for ever (polls: 1, events meanwhile: 0)",
                "has all 4 bytes",
                "dispatch_to_own",
            ),
            (
                "Carla, who has not hung up, is disconnected",
                "Carla, who has not hung up, stays connected",
                "get_packed_mut",
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
