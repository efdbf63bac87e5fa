//! What the compiler says about mistakes, and where. The folder has a few files of mistakes, each of which is compiled once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::compiler;

/// Of a message: its line, its first column and the one after its last (0 if it may be any), and what it says.
type Message = (u64, u64, u64, String);

/// The messages that a file announces.
fn announced(source: &str) -> BTreeSet<Message> {
    let (mut messages, mut code_line, mut code) = (BTreeSet::new(), 0, "");
    for (number, line) in (1..).zip(source.lines()) {
        let comment = line.trim_start().strip_prefix("//").map(str::trim_start);
        let Some(comment) = comment else {
            (code_line, code) = (number, line);
            continue;
        };
        let column_of = |text: &str| (line.len() - text.len() + 1) as u64;
        if let Some(text) = comment.strip_prefix("<- ") {
            // About the first word of the line above, which a caret cannot be below.
            let column = (code.len() - code.trim_start().len() + 1) as u64;
            messages.insert((code_line, column, 0, text.to_owned()));
        } else if comment.starts_with('^') {
            let (carets, text) = comment.split_once(' ').expect("a message");
            let column = column_of(comment);
            messages.insert((code_line, column, column + carets.len() as u64, text.to_owned()));
        }
    }
    messages
}

/// The messages of the compiler about a file in which this is the name of the package of the macros.
fn said(name: &str, macros: &str) -> BTreeSet<Message> {
    let library = compiler::library("headwaiter_macros", std::env::consts::DLL_EXTENSION);
    let said = compiler::compile(Path::new(name), macros, &library);
    said.into_iter().map(|said| (said.line, said.columns.0, said.columns.1, said.text)).collect()
}

#[track_caller]
fn says_what_is_announced(name: &str, macros: &str) {
    let name = format!("tests/promises/attributes/{name}.rs");
    let announced = announced(&fs::read_to_string(&name).unwrap());
    let said = said(&name, macros);
    let is_same = |announced: &Message, said: &Message| {
        let is_end = announced.2 == 0 || announced.2 == said.2;
        let is_text = match announced.3.strip_suffix("...") {
            Some(start) => said.3.starts_with(start),
            None => said.3 == announced.3,
        };
        (announced.0, announced.1) == (said.0, said.1) && is_end && is_text
    };
    let missing: Vec<_> =
        announced.iter().filter(|one| !said.iter().any(|said| is_same(one, said))).collect();
    let surplus: Vec<_> =
        said.iter().filter(|said| !announced.iter().any(|one| is_same(one, said))).collect();
    assert!(announced.len() >= 5, "{announced:#?}");
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{name}: the compiler does not say {missing:#?}, but {surplus:#?}"
    );
}

#[test]
fn a_wrong_argument_is_an_error_that_points_at_it_and_says_what_is_right() {
    says_what_is_announced("arguments", "headwaiter");
}

#[test]
fn a_function_that_cannot_have_the_attribute_is_an_error_that_points_at_the_reason() {
    says_what_is_announced("functions", "headwaiter");
}

#[test]
fn a_mistake_in_the_body_or_the_type_is_reported_at_the_users_own_code() {
    says_what_is_announced("bodies", "headwaiter");
}

#[test]
fn a_path_that_does_not_lead_to_the_crate_is_an_error_that_points_at_it_or_names_the_argument() {
    says_what_is_announced("renamed", "kitchen");
}
