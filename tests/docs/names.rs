//! `docs/from-tokio.md` names what replaces each name of tokio. Each of these names exists.
//!
//! A name is looked up in the text of the source: a function, type, macro or module by its
//! definition, and a method or variant in the files that define its type or implement something for
//! it, or in the macros that these files use.

use std::collections::BTreeMap;
use std::fs;

use crate::references::files;

/// The definitions of a public name.
const KINDS: [&str; 9] =
    ["fn", "struct", "enum", "trait", "type", "const", "mod", "macro_rules!", "unsafe fn"];

/// Whether `text` contains `name` as a whole word at a place where `is_there` is true of what is
/// before it.
fn has_word(text: &str, name: &str, is_there: impl Fn(&str) -> bool) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        !text[at + name.len()..].starts_with(is_part)
            && !text[..at].ends_with(is_part)
            && is_there(&text[..at])
    })
}

fn defines(text: &str, name: &str) -> bool {
    has_word(text, name, |before| KINDS.iter().any(|kind| before.ends_with(&format!("{kind} "))))
}

/// Whether `text` has a method or a variant of this name.
fn has_member(text: &str, name: &str) -> bool {
    let is_variant = name.starts_with(char::is_uppercase);
    has_word(text, name, |before| match is_variant {
        true => before.ends_with("    "),
        false => before.ends_with("fn "),
    })
}

/// The source of the crate, file by file.
struct Sources(BTreeMap<String, String>);

impl Sources {
    fn read() -> Self {
        let read = |path: std::path::PathBuf| {
            let text = fs::read_to_string(&path).unwrap();
            (path.to_str().unwrap().to_owned(), text)
        };
        Sources(files("src", "rs").into_iter().map(read).collect())
    }

    /// The text of the files that define this type or implement something for it, and of the
    /// macros that these use.
    fn of_type(&self, name: &str) -> Vec<&str> {
        let concerns = |text: &str| {
            defines(text, name)
                || text.lines().any(|line| {
                    let is_block = line.trim_start().starts_with("impl") || line.ends_with("! {");
                    is_block && has_word(line, name, |_| true)
                })
                || has_word(text, name, |before| {
                    before.ends_with("for ") || before.ends_with("! { ")
                })
        };
        let mut found: Vec<&str> =
            self.0.values().map(String::as_str).filter(|text| concerns(text)).collect();
        let mut next = 0;
        while let Some(text) = found.get(next).copied() {
            next += 1;
            for source in self.0.values() {
                let macros = source.split("macro_rules! ").skip(1);
                let mut names = macros.filter_map(|rest| rest.split([' ', '{']).next());
                let is_used = names.any(|name| text.contains(&format!("{name}! ")));
                if is_used && !found.contains(&source.as_str()) {
                    found.push(source);
                }
            }
        }
        found
    }

    /// Whether the crate has this path, such as `sync::Mutex::lock`.
    fn resolve(&self, path: &str) -> Result<(), String> {
        let mut of_type: Option<Vec<&str>> = None;
        for part in path.trim_end_matches('!').split("::") {
            let is_there = match &of_type {
                Some(texts) => texts.iter().any(|text| has_member(text, part)),
                None => self.0.values().any(|text| defines(text, part)),
            };
            if !is_there {
                return Err(format!("`{part}` of `{path}` is nowhere"));
            }
            if part.starts_with(char::is_uppercase) {
                of_type = Some(self.of_type(part));
            }
        }
        Ok(())
    }
}

/// `a::{b, c}` stands for `a::b` and `a::c`.
fn expand(span: &str) -> Vec<String> {
    match span.split_once("::{") {
        Some((path, list)) => {
            let list = list.trim_end_matches('}');
            list.split(", ").map(|name| format!("{path}::{name}")).collect()
        }
        None => vec![span.to_owned()],
    }
}

/// The second column of the tables below the heading "Names".
#[test]
fn each_name_that_replaces_one_of_tokio_is_there() {
    let page = fs::read_to_string("docs/from-tokio.md").unwrap();
    let names = page.split("\n## Names\n").nth(1).expect("a section of names");
    let names = names.split("\n## ").next().unwrap();
    let sources = Sources::read();
    let (mut count, mut missing) = (0, Vec::new());
    for row in names.lines().filter(|line| line.starts_with('|')) {
        let Some(here) = row.split(" | ").nth(1) else { continue };
        for span in here.split('`').skip(1).step_by(2) {
            for path in expand(span) {
                count += 1;
                missing.extend(sources.resolve(&path).err().map(|why| format!("{why}: {row}")));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 250, "{count} names");
    assert!(sources.resolve("sync::Mutex::try_lock_for").is_err());
    assert!(sources.resolve("sync::Rope").is_err());
}
