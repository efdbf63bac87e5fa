//! `docs/from-tokio.md` names what replaces each name of tokio. Each of these names exists.
//!
//! The names are looked up in the words of the source, without its comments: a function, type, macro
//! or module by its definition; a method or variant in the files that define its type or implement
//! something for it, and in the macros that these files use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::references::files;

/// The words before the name in a definition.
const KINDS: [&str; 8] = ["fn", "struct", "enum", "trait", "type", "const", "mod", "macro_rules"];

/// Names that other crates define, and this one exports.
const FOREIGN: [&str; 3] = ["Interest", "main", "test"];

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// One file of the source.
#[derive(Default)]
struct Source {
    words: BTreeSet<String>,
    defines: BTreeSet<String>,
    macros: BTreeSet<String>,
    /// The words of the lines that begin a block of a type or the call of a macro.
    concerns: BTreeSet<String>,
}

impl Source {
    fn new(text: &str) -> Self {
        let mut source = Source::default();
        let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        for line in code {
            let mut before = "";
            for word in words(line) {
                if KINDS.contains(&before) {
                    source.defines.insert(word.to_owned());
                }
                if before == "macro_rules" {
                    source.macros.insert(word.to_owned());
                }
                source.words.insert(word.to_owned());
                before = word;
            }
            if line.starts_with("impl") || line.contains('!') || line.contains(" for ") {
                source.concerns.extend(words(line).map(str::to_owned));
            }
        }
        source
    }
}

struct Sources(Vec<Source>);

impl Sources {
    fn read() -> Self {
        let read = |path| Source::new(&fs::read_to_string(path).unwrap());
        Sources(files("src", "rs").into_iter().map(read).collect())
    }

    fn defines(&self, name: &str) -> bool {
        FOREIGN.contains(&name) || self.0.iter().any(|source| source.defines.contains(name))
    }

    /// The indexes of the files that may have members of this type.
    fn of_type(&self, name: &str) -> Vec<usize> {
        let is_of_type =
            |source: &Source| source.defines.contains(name) || source.concerns.contains(name);
        let all = 0..self.0.len();
        let mut found: Vec<usize> = all.clone().filter(|at| is_of_type(&self.0[*at])).collect();
        let mut next = 0;
        while next < found.len() {
            let used = &self.0[found[next]].concerns;
            let more: Vec<_> = all
                .clone()
                .filter(|at| !found.contains(at) && !self.0[*at].macros.is_disjoint(used))
                .collect();
            found.extend(more);
            next += 1;
        }
        found
    }
}

/// Looks paths such as `sync::Mutex::lock` up.
struct Resolver {
    sources: Sources,
    of_type: BTreeMap<String, Vec<usize>>,
}

impl Resolver {
    fn resolve(&mut self, path: &str) -> Result<(), String> {
        let mut of_type: Option<Vec<usize>> = None;
        for part in path.trim_end_matches('!').split("::") {
            let sources = &self.sources;
            let is_there = match &of_type {
                Some(files) => files.iter().any(|at| sources.0[*at].words.contains(part)),
                None => sources.defines(part),
            };
            if !is_there {
                return Err(format!("`{part}` of `{path}` is nowhere"));
            }
            if part.starts_with(char::is_uppercase) {
                let files = self.of_type.entry(part.to_owned());
                of_type = Some(files.or_insert_with(|| sources.of_type(part)).clone());
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

/// The second column of the tables between the heading "Names" and what is not in this crate.
#[test]
fn each_name_that_replaces_one_of_tokio_is_there() {
    let page = fs::read_to_string("docs/from-tokio.md").unwrap();
    let names = page.split("\n## Names\n").nth(1).expect("a section of names");
    let names = names.split("\n### What is not here\n").next().unwrap();
    let mut resolver = Resolver { sources: Sources::read(), of_type: BTreeMap::new() };
    let (mut count, mut missing) = (0, Vec::new());
    for row in names.lines().filter(|line| line.starts_with('|')) {
        let Some(here) = row.split(" | ").nth(1) else { continue };
        for span in here.split('`').skip(1).step_by(2) {
            for path in expand(span) {
                count += 1;
                missing.extend(resolver.resolve(&path).err());
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 300, "{count} names");
    assert!(resolver.resolve("sync::Mutex::try_lock_for").is_err());
    assert!(resolver.resolve("sync::Rope").is_err());
}
