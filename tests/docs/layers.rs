//! The layers of `docs/design.md`: a module imports only from its own layer and from those below it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::references::files;

/// The modules of each layer. The first entry with which a path begins decides.
const LAYERS: [(usize, &[&str]); 6] = [
    (0, &["state", "about"]),
    (1, &["door"]),
    (4, &["observe/timeline", "observe/mod"]),
    (2, &["reactor", "task", "time", "offload", "remote", "observe"]),
    (3, &["event_loop"]),
    (4, &["net", "io", "fs", "sync", "process", "signal", "compat", "explore"]),
];

/// The layer of a source file.
pub fn layer_of(file: &Path) -> usize {
    let path = file.strip_prefix("src").unwrap().with_extension("");
    let layer = LAYERS.iter().find(|(_, modules)| modules.iter().any(|m| path.starts_with(m)));
    layer.unwrap_or_else(|| panic!("{} is in no layer", file.display())).0
}

/// The source without its tests and comments.
fn code(file: &Path) -> String {
    let source = fs::read_to_string(file).unwrap();
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    source.lines().flat_map(|line| [line.split("//").next().unwrap(), "\n"]).collect()
}

/// The file of the module that a path below `parent` leads to. `None`: it leads to an item of the crate's root.
fn file_of(parent: &Path, path: &str) -> Option<PathBuf> {
    let mut module = parent.to_owned();
    for name in path.split("::").map(str::trim) {
        let deeper = module.join(name);
        if !deeper.is_dir() && !deeper.with_extension("rs").is_file() {
            break;
        }
        module = deeper;
    }
    let files = [module.with_extension("rs"), module.join("mod.rs")];
    files.into_iter().find(|file| file.is_file())
}

/// The paths that begin here: one, or those in braces, each up to its own first brace.
fn paths(code: &str) -> Vec<&str> {
    let end = |path: &str| path.find(|c: char| !(c.is_alphanumeric() || "_: ".contains(c)));
    let Some(list) = code.strip_prefix('{') else { return vec![&code[..end(code).unwrap()]] };
    let (mut depth, mut begin, mut found) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                let path = list[begin..at].trim();
                found.push(&path[..end(path).unwrap_or(path.len())]);
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// The files of the modules that a file names by `crate::` or `super::`.
fn imports(file: &Path) -> Vec<PathBuf> {
    let code = code(file);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let paths = paths(&code[at + "crate::".len()..]);
        found.extend(paths.into_iter().filter_map(|path| file_of(Path::new("src"), path)));
    }
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let own = if file.ends_with("mod.rs") { file.parent().unwrap() } else { file };
        let (mut parent, mut rest) = (own.with_extension(""), &code[at..]);
        while let Some(inner) = rest.strip_prefix("super::") {
            rest = inner;
            parent.pop();
        }
        found.extend(paths(rest).into_iter().filter_map(|path| file_of(&parent, path)));
    }
    found
}

#[test]
fn each_module_imports_only_from_its_own_layer_and_those_below() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for file in files("src", "rs") {
        // Tests may use anything, and the crate's root belongs to no layer.
        if file.ends_with("tests.rs") || file == Path::new("src/lib.rs") {
            continue;
        }
        for import in imports(&file) {
            if import == Path::new("src/lib.rs") {
                continue;
            }
            checked += 1;
            let (own, other) = (layer_of(&file), layer_of(&import));
            if other > own {
                let (file, import) = (file.display(), import.display());
                wrong.push(format!("{file} of layer {own} imports {import} of layer {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 500, "{checked} imports");
}
