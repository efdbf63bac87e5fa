//! The examples of the classic mistakes, run as the programs they are: their figures must make sense, they must name the
//! mistake and its cure, and `docs/mistakes.md` must show what they say.

mod common;

use common::bounded;
use common::docs::{difference, mask, rewritten, run_as_shown, shown};

#[track_caller]
fn said_by(example: &'static str) -> Vec<String> {
    run_as_shown("docs/mistakes.md", example)
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
fn a_page_is_rewritten_in_the_block_of_that_example_and_nowhere_else() {
    let page = "# One\n```text\n$ cargo run --example one\na\nb\n```\n# Two\n```text\n$ cargo run --example two\n```\nend\n";
    assert_eq!(shown(page, "one"), Some("a\nb\n"));
    assert_eq!(shown(page, "two"), Some(""));
    assert_eq!(shown(page, "thr"), None);
    assert_eq!(shown(page, "tw"), None);
    let page = rewritten(page, "two", "c\nd");
    assert_eq!(shown(&page, "one"), Some("a\nb\n"));
    assert_eq!(shown(&page, "two"), Some("c\nd\n"));
    assert_eq!(rewritten(&page, "two", "c\nd"), page);
    assert!(page.ends_with("```\nend\n"));
}
