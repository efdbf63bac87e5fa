//! Compares the output of programs that the README and the pages of `docs/` show with that of a real run. Where they differ, the
//! test fails, or rewrites the page if [`BLESS`] is set. `docs/trace.md` has the command that does so for all pages.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::program::Program;

/// Set to anything, it rewrites the pages.
const BLESS: &str = "HEADWAITER_BLESS";

/// Held while a page is read and written: the tests of a file run side by side.
static PAGES: Mutex<()> = Mutex::new(());

/// Runs an example, which must succeed, and returns the lines of its output. `page` must show them, except for numbers, where
/// [`shown`] finds them.
#[track_caller]
pub fn run_as_shown(page: &str, name: &'static str) -> Vec<String> {
    let (code, said) = Program::start(name, &[]).end();
    assert_eq!(code, Some(0), "{said}");
    must_show_output(page, &format!("cargo run --example {name}"), &said);
    said.lines().map(str::to_owned).collect()
}

/// As [`run_as_shown`], with the trace of the loop. The order of kernel events varies between runs, so one run in ten must be
/// as shown.
#[track_caller]
pub fn trace_as_shown(page: &str, name: &'static str) {
    let command = format!("RUST_LOG=headwaiter=trace cargo run --example {name}");
    let mut said = String::new();
    for _ in 0..10 {
        let (code, says) = Program::start_logging(name, "headwaiter=trace").end();
        assert_eq!(code, Some(0), "{says}");
        said = says;
        if shown(&read(page), &command).is_some_and(|shown| difference(shown, &said).is_none()) {
            return;
        }
    }
    must_show_output(page, &command, &said);
}

/// Checks that a page shows this output of an example, as [`run_as_shown`] does.
#[track_caller]
pub fn must_show_said(page: &str, name: &str, said: &[String]) {
    must_show_output(page, &format!("cargo run --example {name}"), &said.join("\n"));
}

#[track_caller]
fn must_show_output(page: &str, command: &str, said: &str) {
    let text = read(page);
    let Some(shown) = shown(&text, command) else {
        panic!(
            "{page} shows no output of it. Where it should stand, write\n{}```",
            opening(command)
        )
    };
    if difference(shown, said).is_some() {
        must_show(page, &opening(command), shown, &format!("{said}\n"));
    }
}

/// A page has `shown` after `before`, and should have `said` there.
#[track_caller]
pub fn must_show(page: &str, before: &str, shown: &str, said: &str) {
    if shown == said {
        return;
    }
    if std::env::var_os(BLESS).is_none() {
        let difference = difference(shown, said).unwrap_or_else(|| format!("it is:\n{said}"));
        panic!("{page} shows something else:\n{difference}\nTo rewrite it: docs/trace.md says how");
    }
    let _pages = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
    let text = read(page).replacen(&format!("{before}{shown}"), &format!("{before}{said}"), 1);
    fs::write(path(page), text).expect("the page can be written");
}

pub fn read(page: &str) -> String {
    fs::read_to_string(path(page)).expect("the page")
}

fn path(page: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(page)
}

/// How the block with the output of a command begins.
fn opening(command: &str) -> String {
    format!("{BLOCK}$ {command}\n")
}

/// The output of a command that a page shows: what stands in a block with that command, beneath it.
pub fn shown<'a>(page: &'a str, command: &str) -> Option<&'a str> {
    let (_, block) = page.split_once(&opening(command))?;
    block.split_once("```\n").map(|(output, _)| output)
}

pub const BLOCK: &str = "```text\n";

/// The block of a page that begins like this.
pub fn block<'a>(page: &'a str, begins: &str) -> Option<&'a str> {
    let at = page.find(&format!("{BLOCK}{begins}"))? + BLOCK.len();
    page[at..].split_once("```\n").map(|(block, _)| block)
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
        let (unit, after_unit) =
            split_while(after.strip_prefix(' ').unwrap_or(after), char::is_alphanumeric);
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
