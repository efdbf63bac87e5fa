//! The README and the papers of `docs/`: what they point to is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::layering::layer;

/// All files below a folder with this extension.
pub fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(path.to_str().unwrap(), extension));
        } else if path.extension().is_some_and(|of_file| of_file == extension) {
            found.push(path);
        }
    }
    found
}

/// The links that a text defines, `[label]: target`.
fn definitions(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
    lines.collect()
}

/// Markdown takes a definition that stands right below a paragraph or a list for a part of its text, and the links stay text.
#[track_caller]
fn assert_definitions_stand_apart(file: &Path, text: &str) {
    let is_definition = |line: &str| line.starts_with('[') && line.contains("]: ");
    let mut above = "";
    for line in text.lines() {
        assert!(
            !is_definition(line) || above.is_empty() || is_definition(above),
            "{}: a blank line must stand between {above:?} and {line:?}",
            file.display()
        );
        above = line;
    }
}

/// By which a link leads to a heading: its letters, small, and a dash for each space.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix("## ")?.to_lowercase().replace(' ', "-");
    Some(heading.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect())
}

/// The crate is not published, so a link to docs.rs would lead nowhere.
#[test]
fn each_link_leads_to_a_file_or_a_heading() {
    let readme = fs::read_to_string("README.md").unwrap();
    let links = definitions(&readme);
    assert!(links.len() > 30, "{links:?}");
    for (label, path) in &links {
        assert!(label == path && Path::new(path).is_file(), "README.md: {path}");
        let uses = readme.matches(&format!("[{label}]")).count();
        assert!(uses > 1, "README.md: nothing uses the definition of {label}");
        let definitions = readme.matches(&format!("\n[{label}]: ")).count();
        assert_eq!(definitions, 1, "README.md: {label} is defined more than once");
    }
    let uses = readme.split("][").skip(1).filter_map(|rest| rest.split(']').next());
    for used in uses {
        assert!(links.contains_key(used), "README.md: {used} is not defined");
    }
    for (paper, text) in papers() {
        assert_definitions_stand_apart(&paper, &text);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets {
            assert!(!target.contains("docs.rs/headwaiter"), "{}: {target}", paper.display());
            let is_there = match target.strip_prefix('#') {
                _ if target.starts_with("http") => true,
                Some(heading) => text.lines().any(|line| anchor(line).as_deref() == Some(heading)),
                None => paper.with_file_name(target).is_file(),
            };
            assert!(is_there, "{}: {target}", paper.display());
        }
    }
}

/// A name in parentheses after a promise is a test's.
#[test]
fn each_test_that_the_papers_name_is_there() {
    let sources = [files("tests", "rs"), files("src", "rs")].concat();
    let sources: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut named = 0;
    for paper in files("docs", "md") {
        let text = fs::read_to_string(&paper).unwrap();
        for name in text.split('`').skip(1).step_by(2) {
            let is_test = name.matches('_').count() >= 3
                && name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit());
            if is_test {
                named += 1;
                assert!(sources.contains(&format!("fn {name}(")), "{}: {name}", paper.display());
            }
        }
    }
    assert!(named >= 50, "{named} tests are named");
}

/// The papers, and the README, with their text.
fn papers() -> impl Iterator<Item = (PathBuf, String)> {
    let papers = files("docs", "md").into_iter().chain([PathBuf::from("README.md")]);
    papers.map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
}

/// Whether each part of a path such as `Tasks::wake` is the name of something in this source.
fn defines(source: &str, path: &str) -> bool {
    const KINDS: [&str; 8] = ["fn", "struct", "enum", "trait", "type", "const", "static", "impl"];
    path.split("::").all(|name| {
        source.match_indices(name).any(|(at, _)| {
            let is_whole =
                !source[at + name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
            is_whole && KINDS.iter().any(|kind| source[..at].ends_with(&format!("{kind} ")))
        })
    })
}

/// Names stand in the text of a link, [`name` in file](../file), or right before it, `name`, in [file](../file).
#[test]
fn what_the_papers_say_of_a_source_file_is_in_there() {
    let mut named = 0;
    for (paper, text) in papers() {
        let links = text.match_indices("](../").filter_map(|(at, _)| {
            let from = text[..at].rfind('[')?;
            Some((&text[..from], &text[from..at], text[at + 5..].split(')').next()?))
        });
        for (before, label, target) in links.filter(|(.., target)| target.starts_with("src/")) {
            let source = fs::read_to_string(target).unwrap();
            let just_before =
                before.trim_end().strip_suffix("in").map(|text| text.trim_end_matches([' ', ',']));
            let just_before =
                just_before.and_then(|text| text.strip_suffix('`')?.rsplit('`').next());
            let names = label.split('`').skip(1).step_by(2).chain(just_before);
            for name in names.filter(|name| !name.contains(['.', '/'])) {
                named += 1;
                assert!(defines(&source, name), "{}: `{name}` is not in {target}", paper.display());
            }
        }
    }
    assert!(named >= 60, "{named} names");
}

/// The source files of a test binary, by its path in `Cargo.toml`.
fn sources_of(manifest: &str, binary: &str) -> Vec<PathBuf> {
    let path = manifest.split(&format!("name = \"{binary}\"\npath = \"")).nth(1);
    let path = path.and_then(|rest| rest.split('"').next()).map(Path::new);
    match path {
        Some(path) if path.ends_with("main.rs") => {
            files(path.parent().unwrap().to_str().unwrap(), "rs")
        }
        Some(path) => vec![path.to_owned()],
        None => panic!("there is no test binary {binary}"),
    }
}

#[test]
fn each_command_of_the_papers_runs_an_example_or_a_test_that_is_there() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let (mut examples, mut tests) = (0, 0);
    for (paper, text) in papers() {
        let commands = text.split(['`', '\n']).filter(|command| command.contains("cargo "));
        for command in commands {
            let words: Vec<_> = command.split_whitespace().collect();
            let of = |option| words.iter().skip_while(move |word| **word != option).nth(1);
            if let Some(name) = of("--example") {
                examples += 1;
                let files = [format!("examples/{name}.rs"), format!("examples/{name}/main.rs")];
                assert!(
                    files.iter().any(|file| Path::new(file).is_file()),
                    "{}: {command}",
                    paper.display()
                );
            }
            // `cargo test --test BINARY NAME`, or `cargo test --lib NAME`.
            let (places, name) = match words[..] {
                ["cargo", "test", "--test", binary, name] => (sources_of(&manifest, binary), name),
                ["cargo", "test", "--lib", name] => (files("src", "rs"), name),
                _ => continue,
            };
            tests += 1;
            let is_there = |place: &PathBuf| {
                fs::read_to_string(place).unwrap().contains(&format!("fn {name}("))
            };
            assert!(places.iter().any(is_there), "{}: {command}", paper.display());
        }
    }
    assert!(examples >= 20 && tests >= 15, "{examples} examples and {tests} tests");
}

/// The README has a table of the files that explain the loop, from the lowest layer to the highest, and a list of all others.
#[test]
fn the_reading_order_is_that_of_the_layers() {
    let readme = fs::read_to_string("README.md").unwrap();
    let reading = readme.split("## Reading the source\n").nth(1).expect("the section");
    let reading = reading.split("\n## ").next().unwrap();
    let rows: Vec<&str> = reading.lines().filter(|line| line.starts_with("| [`")).collect();
    assert_eq!(rows.len(), 8, "{rows:#?}");
    let files = rows.iter().flat_map(|row| {
        row.split("][").skip(1).filter_map(|rest| rest.split(']').next()).map(PathBuf::from)
    });
    let files: Vec<PathBuf> = files.collect();
    let below_src = |file: &PathBuf| file.strip_prefix("src").unwrap().to_str().unwrap().to_owned();
    let layers: Vec<u8> = files.iter().map(|file| layer(&below_src(file))).collect();
    assert!(layers.is_sorted(), "{files:?} are in the layers {layers:?}");
    let (_, others) = reading.split_once("\nWhen you need it:\n").expect("the list");
    for entry in fs::read_dir("src").unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let shown = if entry.path().is_dir() { format!("`{name}/`") } else { format!("`{name}`") };
        assert!(name == "lib.rs" || others.contains(&shown), "README.md does not name {shown}");
    }
}

/// The programs that stand on crates of the ecosystem are meant to be copied: the head of each lists what it needs.
#[test]
fn the_head_of_a_program_lists_its_dependencies() {
    let mut programs = 0;
    for entry in fs::read_dir("examples").unwrap() {
        let folder = entry.unwrap().path();
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let needs =
            manifest.split("[dependencies]\n").nth(1).unwrap().split("\n\n").next().unwrap().trim();
        let needs = needs.replace("path = \"../..\"", "version = \"0.1\"");
        let main = fs::read_to_string(folder.join("src/main.rs")).unwrap();
        let head: Vec<&str> = main.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let head = head.iter().map(|line| line.trim_start()).collect::<Vec<_>>().join("\n");
        let listed = head
            .split("```toml\n[dependencies]\n")
            .nth(1)
            .and_then(|rest| rest.split("\n```").next());
        assert_eq!(listed, Some(&*needs), "{}", folder.display());
        programs += 1;
    }
    assert!(programs >= 9, "{programs}");
}
