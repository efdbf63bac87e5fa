//! `docs/from-tokio.md` names what replaces each name of tokio: the compiler finds each of these names in this crate. It also names
//! the tests of what is different, and these say so.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use crate::references::files;
use crate::support::Folder;
use crate::support::compiler::{compile, library};

/// Words in the tables that are no names of this crate: they belong to the language, std, tokio and other crates.
#[rustfmt::skip]
const OTHERS: [&str; 28] = [
    "async", "bytes", "BufReader", "BufWriter", "CommandExt", "error", "flume", "flush", "from_owned_fd", "From", "Instant", "LocalSet",
    "macros", "None", "Pending", "Send", "set_modified", "set_times", "Shutdown", "spawn_local", "spawn_on", "Stream", "task::coop",
    "thread::panicking", "Unpin", "warn", "within", "WouldBlock",
];

/// That a type could not be inferred: what was named was found.
const INFERENCE: [&str; 4] = ["E0282", "E0283", "E0284", "E0790"];

/// The rows of tables: their cells.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    rows.map(|row| row.split(" | ").map(str::trim).collect())
}

/// The names in a cell, without arguments and generic parameters. `a::{b, c}` stands for `a::b` and `a::c`.
fn names(cell: &str) -> Vec<String> {
    let mut names = Vec::new();
    for span in cell.split('`').skip(1).step_by(2) {
        match span.split_once("::{") {
            Some((path, list)) => {
                let list = list.trim_end_matches('}').split(", ");
                names.extend(list.map(|name| format!("{path}::{name}")));
            }
            None => names.extend(span.split(['(', '<', '!']).next().map(str::to_owned)),
        }
    }
    let is_word =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
    names.retain(|name| name.split("::").all(is_word));
    names
}

/// The names of a page that should lead to something in this crate, as paths from its root.
fn paths(page: &str) -> BTreeSet<String> {
    let (_, page) = page.split_once("\n## Names\n").expect("the tables of names");
    let (table, differences) = page.split_once("\n### What is not here\n").expect("their end");
    let is_in_this_build = |row: &Vec<&str>| {
        let is_of_bytes = row[2].contains("feature `bytes`");
        cfg!(feature = "bytes") || !is_of_bytes
    };
    // These are all paths from the root.
    let of_row = |row: Vec<&str>| names(row[if row[1] == "the same" { 0 } else { 1 }]);
    let mut paths: BTreeSet<_> = rows(table).filter(is_in_this_build).flat_map(of_row).collect();
    // In the other cells, a part of such a path is enough.
    let all: Vec<_> = rows(table).flat_map(of_row).collect();
    let is_part = |name: &String| {
        let name = format!("::{name}::");
        all.iter().any(|path| format!("::{path}::").contains(&name))
    };
    let remarks = rows(table).map(|row| row[2]);
    let differences = rows(differences).map(|row| row[1]);
    let others = remarks.chain(differences).flat_map(names);
    paths.extend(others.filter(|name| !is_part(name) && !OTHERS.contains(&&**name)));
    paths
}

/// The names of a page that lead to nothing in this crate, according to the compiler.
fn missing(page: &str) -> BTreeSet<String> {
    let paths: Vec<_> = paths(page).into_iter().collect();
    assert!(paths.len() > 400, "{} names", paths.len());
    let mut source = String::new();
    for path in &paths {
        let owner = path.rsplit("::").nth(1).unwrap_or_default();
        let line = if owner.starts_with(char::is_uppercase) {
            format!("fn _a() {{ let _ = headwaiter::{path}; }}")
        } else {
            format!("use headwaiter::{path} as _;")
        };
        let _ = writeln!(source, "const _: () = {{ {line} }};");
    }
    let folder = Folder::new();
    let file = folder.path("names.rs");
    fs::write(&file, source).unwrap();
    let said = compile(&file, "headwaiter", &library("headwaiter", "rlib"));
    let errors = said.iter().filter(|said| {
        said.code.as_deref().is_none_or(|code| code.starts_with('E') && !INFERENCE.contains(&code))
    });
    errors.map(|error| paths[error.line as usize - 1].clone()).collect()
}

fn page() -> String {
    fs::read_to_string("docs/from-tokio.md").unwrap()
}

#[test]
fn each_name_that_replaces_one_of_tokio_is_there() {
    assert_eq!(missing(&page()), BTreeSet::new());
}

#[test]
fn a_name_that_is_not_there_is_found_in_every_table() {
    // A keyword is an error of syntax, after which the compiler says nothing more.
    let syntax = [("task::JoinSet::{join_next, ", "task::JoinSet::{self, ", "task::JoinSet::self")];
    let others = [
        ("`time::advance` |", "`time::Barrier::wait` |", "time::Barrier::wait"),
        ("Receiver::{changed, ", "Receiver::{recv_many, ", "sync::watch::Receiver::recv_many"),
        ("`io::pipe` |", "`io::pipes` |", "io::pipes"),
        // Differences.
        ("`io::PipeReader::into_std`", "`io::PipeReader::into_stdd`", "io::PipeReader::into_stdd"),
        ("| `spawn` takes any ", "| `spwan` takes any ", "spwan"),
        // Coming from smol.
        ("| `spawn`, `task::JoinHandle` |", "| `spawn_nonsense::no` |", "spawn_nonsense::no"),
        ("`task::JoinHandle::abort` |", "`task::JoinHandle::abortt` |", "task::JoinHandle::abortt"),
    ];
    for mistakes in [&syntax[..], &others] {
        let mut page = page();
        for (right, wrong, _) in mistakes {
            assert!(page.contains(right), "{right}");
            page = page.replace(right, wrong);
        }
        let wrong: BTreeSet<_> = mistakes.iter().map(|(.., name)| (*name).to_owned()).collect();
        assert_eq!(missing(&page), wrong);
    }
}

/// The last column of the tables of differences.
#[test]
fn each_test_of_a_difference_says_that_it_is_one() {
    let page = page();
    let tests = rows(&page).filter(|row| row.len() == 4).flat_map(|row| names(row[3]));
    let sources = [files("tests", "rs"), files("src", "rs")].concat();
    let sources: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    // A test may have the name of another: one of them is enough.
    let is_marked = |test: &String| {
        sources.match_indices(&format!("fn {test}(")).any(|(at, _)| {
            let above = sources[..at].lines().rev().skip(1).map(str::trim_start);
            let mut above = above.take_while(|line| line.starts_with(['/', '#']));
            above.any(|line| line.starts_with("/// Unlike tokio: "))
        })
    };
    let unmarked: Vec<_> = tests.filter(|test| !is_marked(test)).collect();
    assert!(unmarked.is_empty(), "these lack a line `/// Unlike tokio: ...`: {unmarked:#?}");
}
