//! Runs the programs of `examples/` for the tests.

use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// A program that does nothing for so long has failed. No test waits for this while all is well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How a deadlock, a lost waker and quiescence are reported. Only the example `deadlock` may log one.
const REPORTS: [&str; 3] =
    ["deadlock:", "nobody has kept its waker", "nothing can wake this event loop"];

/// A running program of `examples/`, and its output. Dropping it ends it.
pub struct Program {
    name: &'static str,
    pub child: Child,
    transcript: Arc<(Mutex<Said>, Condvar)>,
}

pub struct Said {
    pub lines: Vec<String>,
    /// The program may still write more.
    open: bool,
}

impl Program {
    /// Starts it without anything to read. Plain `cargo test` builds the examples; `cargo test --test examples` runs those
    /// that are there.
    pub fn start(name: &'static str, args: &[&str]) -> Program {
        Program::start_with(name, args, Stdio::null())
    }

    pub fn start_with(name: &'static str, args: &[&str], stdin: Stdio) -> Program {
        Program::run(name, args, stdin, None)
    }

    /// Starts it without anything to read, and with these log lines.
    pub fn start_logging(name: &'static str, log: &str) -> Program {
        Program::run(name, &[], Stdio::null(), Some(log))
    }

    fn run(name: &'static str, args: &[&str], stdin: Stdio, log: Option<&str>) -> Program {
        // The tests are in `target/PROFILE/deps`, the examples in `target/PROFILE/examples`.
        let test = std::env::current_exe().unwrap();
        let mut path = test.ancestors().nth(2).unwrap().join("examples").join(name);
        path.set_extension(std::env::consts::EXE_EXTENSION);
        assert!(
            path.exists(),
            "{} is not built: run plain `cargo test`, or `cargo build --examples` first",
            path.display()
        );
        let mut command = Command::new(path);
        command.args(args).stdin(stdin).env_remove("RUST_LOG_STYLE").env("RUST_BACKTRACE", "0");
        // Without it, it logs what it does for a reader.
        match log {
            Some(log) => command.env("RUST_LOG", log),
            None => command.env_remove("RUST_LOG"),
        };
        Program::start_command(name, command)
    }

    /// Starts any program, and listens to it.
    pub fn start_command(name: &'static str, mut command: Command) -> Program {
        // Its stdout and stderr are one pipe, so that all lines come in the order in which it said them.
        let (said, says) = pipe().unwrap();
        command.stdout(says.try_clone().unwrap()).stderr(says);
        let child = command.spawn().expect("the program starts");
        drop(command); // And with it our own end for writing.
        let transcript =
            Arc::new((Mutex::new(Said { lines: Vec::new(), open: true }), Condvar::new()));
        let program = Program { name, child, transcript };
        program.listen(said);
        program
    }

    /// Ctrl-C.
    #[cfg(target_os = "linux")]
    pub fn interrupt(&self) {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Reads all of its output, so that it never waits for a reader.
    fn listen(&self, pipe: PipeReader) {
        let transcript = Arc::clone(&self.transcript);
        thread::spawn(move || {
            let (said, changed) = &*transcript;
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                said.lock().unwrap().lines.push(line);
                changed.notify_all();
            }
            said.lock().unwrap().open = false;
            changed.notify_all();
        });
    }

    pub fn said<R>(&self, look: impl FnOnce(&Said) -> R) -> R {
        look(&self.transcript.0.lock().unwrap())
    }

    /// Waits until `there` holds for what it has said.
    #[track_caller]
    pub fn wait_for(&self, what: &str, there: impl Fn(&Said) -> bool) {
        let (said, changed) = &*self.transcript;
        let wait = |said: &mut Said| said.open && !there(said);
        let (said, _) = changed.wait_timeout_while(said.lock().unwrap(), PATIENCE, wait).unwrap();
        let last = said.lines[said.lines.len().saturating_sub(10)..].join("\n");
        let is_there = there(&said);
        drop(said); // A panic would poison the lock, which `listen` needs.
        assert!(is_there, "waited in vain for {what}; the last that it said:\n{last}");
    }

    /// Waits for a line with `text` in it, and returns it.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) -> String {
        let find = |said: &Said| said.lines.iter().find(|line| line.contains(text)).cloned();
        self.wait_for(&format!("{text:?}"), |said| find(said).is_some());
        self.said(find).unwrap()
    }

    /// Waits until it ends by itself, and returns its exit code and all that it said.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String) {
        self.wait_for("its end", |said| !said.open);
        let code = self.child.wait().unwrap().code();
        let name = self.name;
        for report in REPORTS.iter().filter(|_| name != "deadlock") {
            let accused =
                self.said(|said| said.lines.iter().find(|line| line.contains(report)).cloned());
            assert_eq!(accused, None, "of the example {name}");
        }
        (code, self.said(|said| said.lines.join("\n")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended by itself.
        let _ = self.child.wait();
    }
}

/// Whether the programs are installed. Prints which one is not.
pub fn have(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = programs
        .iter()
        .find(|program| !std::env::split_paths(&path).any(|folder| folder.join(program).exists()));
    if let Some(program) = missing {
        println!("skipped: no {program}");
    }
    missing.is_none()
}

/// The number that stands behind all of `labels`, which follow each other in one line, and only in one.
#[track_caller]
pub fn figure(said: &[String], labels: &[&str]) -> f64 {
    let behind_all =
        |line| labels.iter().try_fold(line, |rest: &str, label| Some(rest.split_once(label)?.1));
    let found: Vec<_> = said.iter().filter_map(|line| behind_all(line)).collect();
    let [rest] = found[..] else {
        panic!("not one line with {labels:?}, but {}:\n{said:#?}", found.len())
    };
    let number: String =
        rest.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    number
        .trim_end_matches('.')
        .parse()
        .unwrap_or_else(|_| panic!("no number behind {labels:?}: {rest:?}"))
}

/// Checks that the lines of an example contain all these texts, in this order.
#[track_caller]
pub fn tells(said: &[String], sentences: &[&str]) {
    let mut lines = said.iter();
    for sentence in sentences {
        assert!(
            lines.any(|line| line.contains(sentence)),
            "it does not say {sentence:?}, or not in this order:\n{}",
            said.join("\n")
        );
    }
}
