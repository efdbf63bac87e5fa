//! The examples of task groups and cancellation, run as the programs they are.

mod common;

use common::bounded;
use common::program::Program;

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
        let says = |line: &str| said.iter().filter(|said| *said == line).count();
        for n in 0..8 {
            // The first time all have one. The second time those before the broken one may, and the others cannot.
            let had = says(&format!("fetch {n} has \"page {n}\""));
            assert!(if n < 5 { (1..=2).contains(&had) } else { had == 1 }, "{said:#?}");
            assert_eq!(says(&format!("fetch {n} is over")), 2, "{said:#?}");
        }
        let well = said.iter().position(|line| line.starts_with("all is well: ")).expect("it is");
        assert!((0..8).all(|n| said[well].contains(&format!("\"page {n}\""))), "{said:#?}");
        // After all others.
        let last = said.last().unwrap();
        assert!(last.starts_with("one failure ends it all: server 5: "), "{last}");
    });
}

#[test]
fn cancellation_shows_the_damage_and_two_cures() {
    bounded(|| {
        let expected = [
            "careless, cut in wait 1: 100 + 0 = 100",
            "careless, cut in wait 2: 90 + 0 = 90: money is lost",
            "careless, cut in wait 3: 90 + 10 = 100",
            "guarded, cut in wait 1: 100 + 0 = 100",
            "guarded, cut in wait 2: 100 + 0 = 100",
            "guarded, cut in wait 3: 90 + 10 = 100",
            "shielded, cut in wait 1: 90 + 10 = 100",
            "shielded, cut in wait 2: 90 + 10 = 100",
            "shielded, cut in wait 3: 90 + 10 = 100",
        ];
        assert_eq!(said_by("cancellation"), expected);
    });
}
