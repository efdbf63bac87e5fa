//! The output of programs that the pages show, and how it is compared.

use crate::support::bounded;
use crate::support::docs::{self, block, difference, mask, shown};
use crate::support::drawings::{breakfast, svg};

#[test]
fn only_numbers_and_the_spaces_around_them_may_differ_from_what_a_page_shows() {
    for (line, masked) in [
        ("no number", "no number"),
        ("12 beats, 1.5 times, 1,000 waits", "N beats, N times, N waits"),
        ("12ms, 12.5 µs, 3 s, 3 sorts", "T, T, T, N sorts"),
        ("it took 7.", "it took N."),
        ("held in src/lib.rs:166: == 2", "held in src/lib.rs:N == N"),
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

/// Its places are right, and its numbers need not be: what the kernel gives is not the same in every run.
#[test]
fn the_docs_show_the_trace_of_an_order_over_tcp() {
    bounded(|| docs::trace_as_shown("docs/trace.md", "echo_once"));
}

#[test]
fn the_readme_shows_what_the_breakfast_draws() {
    bounded(|| {
        let drawn = breakfast().to_text(69);
        let readme = docs::read("README.md");
        let shown = block(&readme, "6 tasks in ").expect("the drawing");
        docs::must_show("README.md", docs::BLOCK, shown, &drawn);
    });
}

#[test]
fn the_docs_show_what_the_breakfast_draws() {
    bounded(|| {
        let timeline = breakfast();
        let page = "docs/breakfast.svg";
        docs::must_show(page, "", &docs::read(page), &timeline.to_svg());
        svg(&timeline);
    });
}
