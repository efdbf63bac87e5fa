//! The examples of the loop's reports: of a stall, of a deadlock, and as a timeline. And the example of child processes.

use crate::support::program::{Program, have};
use crate::support::*;
use rustix::fs::{CWD, Mode};
use serde_json::Value;

#[test]
fn the_example_ends_its_mistakes_with_the_name_of_the_task_that_blocked() {
    bounded(|| {
        let (_, said) = Program::start_logging("blocked_loop", "warn").end();
        let told: Vec<_> = said.lines().filter(|line| line.contains("was blocked for")).collect();
        assert!(told.last().expect("a report").contains("\"work\""), "{told:#?}");
        let last = said.lines().last().expect("an end");
        assert!(last.contains("\"work\" (spawned at examples/blocked_loop.rs:"), "{last}");
    });
}

#[test]
fn the_example_shows_the_circle_and_then_the_cure() {
    bounded(|| {
        let (code, said) = Program::start("deadlock", &[]).end();
        assert_eq!(code, Some(0), "{said}");
        for part in [
            "2 tasks wait for each other",
            "Anna's account",
            "Ben's account",
            "Anna has 110, Ben has 90",
        ] {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
    });
}

#[test]
fn toast_is_quicker_asynchronously_and_shows_why() {
    bounded(|| {
        let folder = Folder::new();
        let (drawing, trace) = (folder.path("toast.svg"), folder.path("toast.json"));
        let args = ["--svg", drawing.to_str().unwrap(), "--trace", trace.to_str().unwrap()];
        // The longest dish takes 60 ms, all together 200 ms. Whatever else this machine does can hold one of them up, not
        // one of them in every run.
        let shows = |said: &str| {
            let millis = |what: &str| {
                let line = said.lines().find(|line| line.starts_with(what)).expect(what);
                line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
            };
            let (synchronous, asynchronous) = (millis("synchronous:"), millis("asynchronous:"));
            assert!(synchronous >= 200 && asynchronous >= 60, "{said}");
            let row =
                |row: &str| said.lines().find(|line| line.starts_with(row)).expect(row).to_owned();
            let times = |row: String, sign: char| row.matches(sign).count();
            // Synchronously the juice is ready all the time, and its cook stands before the others.
            let juice_waits = times(row("6 juice "), '▒') > 30 && times(row("6 juice "), '░') == 0;
            let coffee_runs = times(row("2 coffee "), '█') > 5 && times(row("7 coffee "), '█') == 0;
            synchronous >= 2 * asynchronous
                && juice_waits
                && coffee_runs
                && times(row("7 coffee "), '░') > 5
        };
        let runs = (0..10).any(|_| {
            let (code, said) = Program::start("toast", &args).end();
            assert_eq!(code, Some(0), "{said}");
            println!("{said}");
            shows(&said)
        });
        assert!(runs, "in none of ten runs it was");
        roxmltree::Document::parse(&std::fs::read_to_string(drawing).unwrap()).unwrap();
        serde_json::from_str::<Value>(&std::fs::read_to_string(trace).unwrap()).unwrap();
        let fails = |args: &[&str], expected: &str| {
            let (code, said) = Program::start("toast", args).end();
            assert!(code == Some(1) && said.contains(expected), "{said}");
        };
        fails(&["--butter"], "toast: [\"--butter\"]: say `--svg FILE`");
        fails(
            &["--svg", "no/such/folder"],
            "toast: write the SVG of a timeline to \"no/such/folder\": ",
        );
    });
}

/// The example, as the program it is.
#[test]
fn commands_run_at_the_same_time_and_their_lines_come_as_they_are_said() {
    if !have(&["sh"]) {
        return;
    }
    bounded(|| {
        let folder =
            std::env::temp_dir().join(format!("headwaiter-commands-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let _remove = OnDrop(|| std::fs::remove_dir_all(&folder).unwrap());
        // Each command waits until its gate is opened.
        let gates = ["first", "second"].map(|name| folder.join(name));
        for gate in &gates {
            rustix::fs::mkfifoat(CWD, gate, Mode::RUSR | Mode::WUSR).unwrap();
        }
        let commands = [
            format!("echo one; read go < {}; echo three; exit 3", gates[0].display()),
            format!("echo two >&2; read go < {}", gates[1].display()),
        ];
        let program = Program::start("run_commands", &[&commands[0], &commands[1]]);
        program.wait_for_line("[0] one");
        program.wait_for_line("[1] two");
        std::fs::write(&gates[0], "\n").unwrap();
        program.wait_for_line("[0] three");
        std::fs::write(&gates[1], "\n").unwrap();
        let (code, said) = program.end();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("[0] ended with exit status: 3 after "), "{said}");
        assert!(said.contains("[1] ended with exit status: 0 after "), "{said}");
        assert!(said.contains("one after another they would have taken "), "{said}");
    });
}

#[test]
fn without_commands_the_example_has_some() {
    if have(&["sh", "sleep"]) {
        bounded(|| {
            let (code, said) = Program::start("run_commands", &[]).end();
            assert_eq!(code, Some(0), "{said}");
            assert!(said.contains("[0] lift-off") && said.contains("[2] the oven is on"), "{said}");
        });
    }
}
