//! The pages of `docs/` that show what an example says are held against a real run of it. Where they differ in more than
//! numbers, the test fails; told to, it rewrites the page instead:
//! `cargo build --examples && HEADWAITER_BLESS=1 cargo test --test NAME -- --test-threads=1`.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::program::Program;

/// Set to anything, it rewrites the pages.
const BLESS: &str = "HEADWAITER_BLESS";

/// Held while a page is read and written: the tests of a file run side by side.
static PAGES: Mutex<()> = Mutex::new(());

/// Runs an example, which must end well, and returns the lines that it says. `page` must show them, as [`shown`] finds them.
#[track_caller]
pub fn run_as_shown(page: &str, name: &'static str) -> Vec<String> {
    let (code, said) = Program::start(name, &[]).end();
    assert_eq!(code, Some(0), "{said}");
    let _pages = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).expect("the page");
    let Some(shown) = shown(&text, name) else {
        panic!("{page} shows no output of {name}. Where it should stand, write\n{}\n```", opening(name))
    };
    if let Some(difference) = difference(shown, &said) {
        let rewrite = format!(
            // One by one, or they would disturb each other's figures.
            "cargo build --examples && {BLESS}=1 cargo test --test {} -- --test-threads=1",
            env!("CARGO_CRATE_NAME") // Of the test file.
        );
        assert!(
            std::env::var_os(BLESS).is_some(),
            "{page} shows another output of {name}:\n{difference}\nTo rewrite the page: {rewrite}"
        );
        fs::write(&path, rewritten(&text, name, &said)).expect("the page can be written");
    }
    said.lines().map(str::to_owned).collect()
}

/// How the block with an example's output begins.
fn opening(name: &str) -> String {
    format!("```text\n$ cargo run --example {name}")
}

/// The output of an example that a page shows: what stands in a block with the command that runs it, beneath that command.
pub fn shown<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (_, block) = page.split_once(&(opening(name) + "\n"))?;
    block.split_once("```\n").map(|(output, _)| output)
}

/// The page with another output of that example, which it must show.
pub fn rewritten(page: &str, name: &str, said: &str) -> String {
    let opening = opening(name) + "\n";
    let (before, block) = page.split_once(&opening).expect("the page shows it");
    let (_, after) = block.split_once("```\n").expect("the block ends");
    format!("{before}{opening}{said}\n```\n{after}")
}

/// The first line in which two outputs differ, but for their numbers, as both have it.
pub fn difference(shown: &str, said: &str) -> Option<String> {
    let (mut shown, mut said) = (shown.lines(), said.lines());
    loop {
        let both = (shown.next(), said.next());
        if both == (None, None) {
            return None;
        }
        if both.0.map(mask) != both.1.map(mask) {
            let [shown, said] = [both.0, both.1].map(|line| line.unwrap_or("(nothing more)"));
            return Some(format!("it shows: {shown}\nit is:    {said}"));
        }
    }
}

/// A line without what is not the same in every run: durations become `T`, other numbers `N`, and the spaces around them
/// that align columns one space; a bar of a diagram (`|..==  |`) becomes `|B|`. Lines of the examples stay
/// (`examples/deadlock.rs:31:31`): the page must have them right. Those of `src` do not: they move too often.
pub fn mask(line: &str) -> String {
    // Newer compilers tell the number of a thread that panics, others do not.
    let line = line.replace("thread 'main' panicked", "thread 'main' (0) panicked");
    let (mut masked, mut rest) = (String::new(), &line[..]);
    if let (Some(from), Some(to)) = (line.find('|'), line.rfind('|'))
        && line[from..to].chars().all(|c| "|.= ".contains(c))
    {
        masked = format!("{}|B", mask(&line[..from]));
        rest = &line[to..];
    }
    while let Some(digit) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(digit);
        masked += before;
        if masked.ends_with(".rs:") {
            let (place, after) = split_while(from, |c| c.is_ascii_digit() || c == ':');
            let moves = masked.rsplit(' ').next().is_some_and(|file| file.starts_with("src/"));
            masked += if moves { "N" } else { place };
            rest = after;
            continue;
        }
        if masked.ends_with(' ') {
            masked.truncate(masked.trim_end_matches(' ').len());
            masked.push(' ');
        }
        let (number, _) = split_while(from, |c| c.is_ascii_digit() || c == '.' || c == ',');
        let after = &from[number.trim_end_matches(['.', ',']).len()..];
        let (unit, after_unit) = split_while(after.strip_prefix(' ').unwrap_or(after), char::is_alphanumeric);
        let is_duration = ["ns", "µs", "ms", "s", "min", "h", "days"].contains(&unit);
        masked.push(if is_duration { 'T' } else { 'N' });
        rest = if is_duration { after_unit } else { after };
        if rest.starts_with(' ') {
            rest = rest.trim_start_matches(' ');
            masked.push(' ');
        }
    }
    masked + rest
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}
