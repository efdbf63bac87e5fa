//! For the tests of the programs in `examples/`: starts them, and the programs of others that they speak to.
//!
//! A test whose peer is not installed is skipped, and says so. With `HEADWAITER_PEERS=required` in the environment, as in `.ci/run`, it
//! fails instead.

#[path = "../../support/program.rs"]
mod program;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fs, process, thread};

pub use program::{PATIENCE, Program, figure, have, tells};

/// The path of a program of others, or of a Python that has a module. If it is not installed, the test that asks returns here, and is
/// skipped.
#[macro_export]
macro_rules! need {
    (python $module:literal) => {
        $crate::need!(@ $crate::python($module))
    };
    ($name:expr) => {
        $crate::need!(@ $crate::find($name))
    };
    (@ $found:expr) => {
        match $found {
            Some(path) => path,
            None => return,
        }
    };
}

/// Where a program of others is: in `PATH`, or where Debian's packages put it. `None`, and a line that says so, if it is not installed.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // `initdb` and `postgres` are not in `PATH` on Debian.
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = env::split_paths(&path).chain(versions.map(|version| version.path().join("bin")));
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("no {name}"));
    }
    found
}

/// A Python that has this module of PyPI: the one that `HEADWAITER_PYTHON` names, else the one in `PATH`.
pub fn python(module: &str) -> Option<PathBuf> {
    let python = env::var_os("HEADWAITER_PYTHON").map(PathBuf::from).or_else(|| find("python3"))?;
    let imported = run(Command::new(&python).args(["-c", &format!("import {module}")]), PATIENCE);
    if !imported.status.success() {
        skip(&format!("no Python module {module}"));
        return None;
    }
    Some(python)
}

/// Says that a test is skipped. Fails it where that is not allowed.
pub fn skip(why: &str) {
    assert!(
        env::var_os("HEADWAITER_PEERS").is_none_or(|peers| peers != "required"),
        "skipped: {why}"
    );
    // Not `println!`, of which nothing is seen unless the test fails.
    let _ = writeln!(io::stderr(), "skipped: {why}");
}

/// Starts a program of `examples/`, whose path is in the environment variable `CARGO_BIN_EXE_...` of its tests.
pub fn start(path: &'static str, args: &[&str]) -> Program {
    let mut command = Command::new(path);
    command.args(args).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env_remove("RUST_LOG_STYLE").env("RUST_BACKTRACE", "0");
    Program::start_command(path.rsplit('/').next().unwrap_or(path), command)
}

/// The address at the end of the line in which a server says `label`, such as "listening on http://".
#[track_caller]
pub fn address(server: &Program, label: &str) -> SocketAddr {
    let line = server.wait_for_line(label);
    let (_, address) = line.split_once(label).expect("the label is in there");
    let address = address.split_whitespace().next().unwrap_or_default().trim_end_matches('/');
    address.parse().unwrap_or_else(|_| panic!("no address behind {label:?}: {line:?}"))
}

/// Runs a program to its end, which must come within this time.
#[track_caller]
pub fn run(command: &mut Command, within: Duration) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    #[cfg(target_os = "linux")]
    let pid = rustix::process::Pid::from_child(&child);
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    match ended.recv_timeout(within) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            #[cfg(target_os = "linux")]
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            panic!("{command:?} has not ended within {within:?}");
        }
    }
}

/// As [`run`], for a program that must succeed. Returns what it said on its standard output.
#[track_caller]
pub fn run_well(command: &mut Command, within: Duration) -> String {
    let output = run(command, within);
    let (said, complaints) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{complaints}", output.status);
    said
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port that was free just now, for a server that cannot be told to take any.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A temporary folder, removed with all that is in it when this is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("headwaiter-{name}-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The processes of a browser that was ended may still write for a moment.
        let is_gone = || fs::remove_dir_all(&self.0).is_ok() || !self.0.exists();
        for _ in 0..100 {
            if is_gone() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
