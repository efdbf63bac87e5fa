//! The layers of `docs/design.md`: a file imports only from its own layer and from those below.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::references::files;

/// The layer of each file or folder of `src`. The longest path that matches counts.
const LAYERS: &[(&str, u8)] = &[
    // 0: the state. Plain data; runs no user code.
    ("state", 0),
    ("about.rs", 0),
    ("fmt.rs", 0),
    // 1: the door, which lends the state out, and the waker.
    ("door", 1),
    // 2: operations on the state, and readers of it.
    ("reactor.rs", 2),
    ("reactor", 2),
    ("task", 2),
    ("time", 2),
    ("offload.rs", 2),
    ("offload", 2),
    ("remote.rs", 2),
    ("remote", 2),
    ("observe", 2),
    // 3: the turn and the builder.
    ("event_loop.rs", 3),
    ("event_loop", 3),
    // 4: what users call. `observe/mod.rs` is the public face of layers 0 to 4.
    ("observe/mod.rs", 4),
    ("observe/timeline.rs", 4),
    ("observe/timeline", 4),
    ("sync", 4),
    ("io", 4),
    ("net", 4),
    ("fs", 4),
    ("signal.rs", 4),
    ("signal", 4),
    ("process.rs", 4),
    ("process", 4),
    ("compat", 4),
    ("explore.rs", 4),
    ("testing.rs", 4),
    ("testing", 4),
    ("attributes.rs", 4),
    ("lib.rs", 4),
];

/// The layer of a file, as its path below `src`.
pub fn layer(path: &str) -> u8 {
    let matches = |place: &str| {
        path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let of = LAYERS.iter().filter(|(place, _)| matches(place));
    let longest = of.max_by_key(|(place, _)| place.len());
    longest.unwrap_or_else(|| panic!("src/{path} is in no layer: see LAYERS")).1
}

/// The text without comments and unit tests, line by line.
fn code(text: &str) -> Vec<&str> {
    let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    let code = code.split("\n#[cfg(all(test").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect()
}

/// The paths of a `use` tree, `a::{b, c::{d, e}}`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let inner = &rest[..rest.rfind('}').expect("a closed brace")];
    let (mut paths, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[from..at].trim();
                if !part.is_empty() {
                    paths.extend(expand(part).into_iter().map(|path| format!("{head}{path}")));
                }
                from = at + 1;
            }
            _ => {}
        }
    }
    paths
}

/// The file that a path such as `crate::net::tcp::TcpStream` leads to, below `src`.
fn file_of(path: &str, modules: &BTreeMap<String, String>) -> String {
    let mut parts: Vec<&str> = path.split("::").skip(1).collect();
    while !parts.is_empty() {
        if let Some(file) = modules.get(&parts.join("::")) {
            return file.clone();
        }
        parts.pop();
    }
    "lib.rs".to_owned()
}

/// A path of this crate, from its root. `None` for one of another crate.
fn from_the_root(module: &str, path: &str) -> Option<String> {
    let mut module: Vec<&str> = module.split("::").collect();
    let mut rest = path;
    if let Some(inner) = rest.strip_prefix("self::") {
        return Some(format!("crate::{}::{inner}", module.join("::")));
    }
    if rest.starts_with("crate::") {
        return Some(rest.to_owned());
    }
    if !rest.starts_with("super::") {
        return None;
    }
    while let Some(outer) = rest.strip_prefix("super::") {
        module.pop();
        rest = outer;
    }
    Some(format!("crate::{}::{rest}", module.join("::")).replace("::::", "::"))
}

/// The layer of what a path names. What `lib.rs` only re-exports is where it is defined.
fn layer_of_path(path: &str, modules: &BTreeMap<String, String>) -> u8 {
    let file = file_of(path, modules);
    if file == "lib.rs" {
        let name = path.rsplit("::").next().unwrap_or_default();
        let lib = fs::read_to_string("src/lib.rs").unwrap();
        let exported = code(&lib).join(" ");
        for statement in exported.split(';').filter_map(|part| part.trim().strip_prefix("pub use "))
        {
            for item in expand(statement) {
                if item.ends_with(&format!("::{name}")) && !item.starts_with("mio") {
                    return layer(&file_of(&format!("crate::{item}"), modules));
                }
            }
        }
    }
    layer(&file)
}

#[test]
fn imports_only_point_downwards() {
    let mut modules = BTreeMap::new();
    let mut sources = Vec::new();
    for path in files("src", "rs") {
        let path = path.strip_prefix("src").unwrap().to_str().unwrap().to_owned();
        // A package of its own, which uses nothing of this one.
        if path.starts_with("macros/") {
            continue;
        }
        let module = path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
        if module != "lib" {
            modules.insert(module, path.clone());
        }
        // Unit tests use the whole crate.
        if !path.ends_with("tests.rs") {
            sources.push(path);
        }
    }
    let (mut wrong, mut imports) = (Vec::new(), 0);
    for path in &sources {
        let text = fs::read_to_string(Path::new("src").join(path)).unwrap();
        let lines = code(&text);
        let (own, mut at) = (layer(path), 0);
        while at < lines.len() {
            // A `use` may take several lines.
            let (first, mut statement) = (at, lines[at].to_owned());
            let start = statement.trim_start();
            let is_use = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "]
                .iter()
                .any(|start_of_use| start.starts_with(start_of_use));
            while is_use && !statement.contains(';') && at + 1 < lines.len() {
                at += 1;
                statement += lines[at];
            }
            at += 1;
            let paths: Vec<String> = if is_use {
                let tree = statement.split_once("use ").unwrap_or_default().1;
                let paths = expand(tree.trim().trim_end_matches(';'));
                let own = path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
                paths.into_iter().filter_map(|path| from_the_root(&own, &path)).collect()
            } else {
                // A path in the code itself.
                let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                let paths = statement
                    .match_indices("crate::")
                    .filter(|(at, _)| !statement[..*at].ends_with(is_path));
                let paths = paths.map(|(at, _)| {
                    let path = &statement[at..];
                    path[..path.find(|c| !is_path(c)).unwrap_or(path.len())].to_owned()
                });
                paths.collect()
            };
            for target in paths {
                imports += 1;
                let there = layer_of_path(&target, &modules);
                if there > own {
                    let line = first + 1;
                    wrong.push(format!(
                        "src/{path}:{line} (layer {own}) imports {target} (layer {there})"
                    ));
                }
            }
        }
    }
    assert!(imports > 500, "only {imports} imports were found");
    assert!(wrong.is_empty(), "imports must point downwards:\n{}", wrong.join("\n"));
}
