//! The examples of task groups and cancellation, run as the programs they are.

use crate::support::bounded;
use crate::support::program::{Program, tells};

#[track_caller]
fn said_by(name: &'static str) -> Vec<String> {
    let (code, said) = Program::start(name, &[]).end();
    assert_eq!(code, Some(0), "{said}");
    said.lines().map(str::to_owned).collect()
}

#[test]
fn task_group_fetches_all_pages_or_ends_all_fetches_at_the_first_failure() {
    bounded(|| {
        let said = said_by("task_group");
        let [well, broken, ..] = said.split(String::is_empty).collect::<Vec<_>>()[..] else {
            panic!("{said:#?}")
        };
        for n in 0..8 {
            let ends = |said: &[String]| {
                let end =
                    said.iter().filter_map(|line| line.strip_prefix(&format!("  fetch {n} ")));
                end.map(str::to_owned).collect::<Vec<_>>()
            };
            let has_it = format!("has \"page {n}\"");
            assert_eq!(ends(well), [&*has_it]);
            // Those before the broken one have theirs, and the others cannot.
            let [end] = &ends(broken)[..] else { panic!("{said:#?}") };
            match n {
                0..5 => assert!(*end == has_it || end == "was cancelled", "{said:#?}"),
                5 => assert_eq!(end, "failed: the stream ended after 3 of 6 bytes"),
                _ => assert_eq!(end, "was cancelled"),
            }
        }
        tells(well, &["fetch 7", "`join` returns when all have ended, after"]);
        // After all others.
        tells(
            broken,
            &["fetch 7", "`join` returns the first failure after", "what the group did for you"],
        );
        assert!(
            broken.iter().any(|line| line.contains(" ms: server 5: the stream ended")),
            "{said:#?}"
        );
    });
}

#[test]
fn cancellation_shows_the_damage_and_two_cures() {
    bounded(|| {
        let said = said_by("cancellation");
        let cuts: Vec<_> = said
            .iter()
            .filter_map(|line| line.split_once("it waits at ")?.1.split_once(": "))
            .collect();
        let [undone, done] = ["Anna 100 + Ben 0 = 100", "Anna 90 + Ben 10 = 100"];
        let lost = "Anna 90 + Ben 0 = 90. 10 are lost";
        let left: Vec<_> = cuts.iter().map(|(_, left)| *left).collect();
        assert_eq!(left, [undone, lost, done, undone, undone, done, done, done, done]);
        let source = std::fs::read_to_string("examples/cancellation.rs").unwrap();
        for (place, _) in cuts {
            let line = place
                .strip_prefix("examples/cancellation.rs:")
                .and_then(|line| line.parse::<usize>().ok());
            let there = source.lines().nth(line.expect(place) - 1).expect(place);
            assert!(there.contains("bank.write_journal("), "{place}: {there}");
        }
        tells(
            &said,
            &[
                "the mistake: ",
                "10 are lost",
                "what went wrong: ",
                "either: undo the first step in a `drop`",
                "or: `spawn` it",
            ],
        );
    });
}
