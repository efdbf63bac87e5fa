//! Runs the compiler on a single file, against libraries that cargo has built, for the tests of what does not compile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Folder, output_of};

/// What the compiler says about a place of the file.
#[derive(Debug)]
pub struct Message {
    pub line: u64,
    /// The first column, and the one after the last.
    pub columns: (u64, u64),
    /// The number of the error or the name of the lint, if it has one.
    pub code: Option<String>,
    pub text: String,
}

/// The folder of the libraries of which this test was built.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// The file of such a library, such as `libheadwaiter-0123.rlib`. There may be others, of older builds and with other features: it is
/// the newest that was there when this test was built.
pub fn library(name: &str, extension: &str) -> PathBuf {
    let files = fs::read_dir(libraries()).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| {
        let name_of_file = path.file_name().unwrap().to_string_lossy();
        name_of_file.trim_start_matches("lib").starts_with(&format!("{name}-"))
            && path.extension().is_some_and(|of_file| of_file == extension)
    };
    let built_at = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    let test_built_at = built_at(&std::env::current_exe().unwrap());
    let files = files.filter(is_it).filter(|path| built_at(path) <= test_built_at);
    files.max_by_key(built_at).unwrap_or_else(|| panic!("{name} was not built"))
}

/// Compiles a file as a library with tests, in which `name` is this library. Returns what the compiler says, place by place.
#[track_caller]
pub fn compile(file: &Path, name: &str, library: &Path) -> Vec<Message> {
    let folder = Folder::new();
    let mut command = Command::new("rustc");
    command.args(["--edition=2024", "--test", "--crate-type=lib", "--emit=metadata"]);
    command.args(["--error-format=json", "--out-dir"]).arg(&folder.0);
    command.arg("-L").arg(format!("dependency={}", libraries().display()));
    command.arg("--extern").arg(format!("{name}={}", library.display())).arg(file);
    let text = String::from_utf8(output_of(command).stderr).unwrap();
    text.lines().flat_map(|line| messages(&serde_json::from_str(line).expect(line))).collect()
}

/// One for each of its main places.
fn messages(said: &Value) -> Vec<Message> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let spans = said["spans"].as_array().into_iter().flatten();
    let main = spans.filter(|span| span["is_primary"] == true);
    main.map(|span| {
        let number = |name: &str| span[name].as_u64().expect("a number");
        Message {
            line: number("line_start"),
            columns: (number("column_start"), number("column_end")),
            code: text(&said["code"]["code"]),
            text: text(&said["message"]).expect("a message"),
        }
    })
    .collect()
}
