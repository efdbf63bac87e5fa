//! Counts what operations cost, and compares with `recorded.txt`: user-space instructions by callgrind,
//! system calls by strace, and allocations by an allocator that counts. Unlike times, these figures are the same
//! in each run, so a difference is a change of the code (or of the compiler: the values are recorded with its version).
//!
//! - `instructions` counts, and fails if a figure differs by more than 3 %, in either direction.
//! - `instructions --record` writes `recorded.txt` anew.
//! - `instructions one OPERATION ROUNDS [virtual]` runs an operation 1,000 times a round, for a profiler.
//!
//! Each figure is the difference of a run of many rounds and one of few, which leaves out the start and the end.

mod operations;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use headwaiter::Clock;
use operations::{OPERATIONS, PER_ROUND, run};

const FEW: u32 = 2;
const MANY: u32 = 12;

/// By which part a figure may differ from the recorded one.
const TOLERANCE: f64 = 0.03;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recorded.txt");

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["--record"] => record(),
        ["one", operation, rounds] => one(operation, rounds, Clock::Real),
        ["one", operation, rounds, "virtual"] => one(operation, rounds, Clock::Virtual),
        ["client", address, rounds] => operations::client(address, number(rounds)),
        _ => fail("usage: instructions [--record] | instructions one OPERATION ROUNDS [virtual]"),
    }
}

fn one(operation: &str, rounds: &str, clock: Clock) {
    run(operation, number(rounds), clock);
    println!("{}", ALLOCATIONS.load(Ordering::Relaxed));
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| fail(&format!("{text:?} is not a number of rounds")))
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(2)
}

/// What an operation costs, on average.
struct Cost {
    operation: &'static str,
    instructions: f64,
    allocations: f64,
    /// `None` without strace.
    syscalls: Option<f64>,
}

fn measure() -> Vec<Cost> {
    if !has("valgrind") {
        println!("skipped: no valgrind");
        std::process::exit(0);
    }
    let has_strace = has("strace");
    if !has_strace {
        println!("system calls are not counted: no strace");
    }
    let cost = |operation| {
        let per_operation = |count: &dyn Fn(u32) -> u64| {
            (count(MANY) - count(FEW)) as f64 / f64::from((MANY - FEW) * PER_ROUND)
        };
        Cost {
            operation,
            instructions: per_operation(&|rounds| instructions(operation, rounds)),
            allocations: per_operation(&|rounds| allocations(operation, rounds)),
            syscalls: has_strace.then(|| per_operation(&|rounds| syscalls(operation, rounds))),
        }
    };
    OPERATIONS.into_iter().map(cost).collect()
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

fn compare() {
    let recorded = fs::read_to_string(RECORDED)
        .unwrap_or_else(|error| fail(&format!("{RECORDED}: {error}. `--record` writes it")));
    let mut lines = recorded.lines();
    let compiler = compiler();
    let is_comparable = lines.next() == Some(&compiler);
    if !is_comparable {
        println!("recorded with another compiler than {compiler}: the figures are not compared");
    }
    let recorded: Vec<(&str, f64)> = lines
        .filter_map(|line| line.split_once(' '))
        .map(|(operation, count)| (operation, count.trim().parse().expect("a number")))
        .collect();
    let mut is_as_recorded = true;
    println!(
        "{:12}{:>14}{:>10}{:>10}{:>13}{:>10}",
        "", "instructions", "recorded", "", "allocations", "syscalls"
    );
    for Cost { operation, instructions, allocations, syscalls } in measure() {
        let before = recorded
            .iter()
            .find(|(name, _)| *name == operation)
            .map_or(f64::NAN, |(_, count)| *count);
        let change = instructions / before - 1.0;
        let differs = is_comparable && (change.is_nan() || change.abs() > TOLERANCE);
        // Only a spawned task has memory of its own.
        let allocates = allocations > f64::from(u8::from(operation == "spawn")) + 0.01;
        // A read and a write; the rest is the wait for the kernel.
        let calls_more = operation == "echo" && syscalls.is_some_and(|count| count > 2.05);
        let syscalls = syscalls.map_or("-".to_owned(), |count| format!("{count:.2}"));
        print!(
            "{operation:12}{instructions:>14.1}{before:>10.1}{:>+9.1}%{allocations:>13.2}{syscalls:>10}",
            change * 100.0
        );
        println!(
            "{}{}{}",
            if differs { "  differs by more than 3 %" } else { "" },
            if allocates { "  allocates" } else { "" },
            if calls_more { "  more system calls than a read and a write" } else { "" },
        );
        is_as_recorded &= !differs && !allocates && !calls_more;
    }
    if !is_as_recorded {
        eprintln!(
            "If the change is meant, record it: cargo run --release --manifest-path benches/instructions/Cargo.toml -- --record"
        );
        std::process::exit(1);
    }
}

fn record() {
    let mut text = compiler() + "\n";
    for cost in measure() {
        text += &format!("{} {:.1}\n", cost.operation, cost.instructions);
    }
    print!("{text}");
    fs::write(RECORDED, text).unwrap_or_else(|error| fail(&format!("{RECORDED}: {error}")));
}

/// The compiler's version, which the figures depend on.
fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs this program's `one` with these arguments, under another program if `under` names one. Returns what it prints.
fn run_under(under: &[&str], one: &[&str]) -> String {
    let own = std::env::current_exe().expect("the path of this program").display().to_string();
    let words = [under, &[&own, "one"], one].concat();
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|error| fail(&format!("{}: {error}", words[0])));
    if !output.status.success() {
        fail(&format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn allocations(operation: &str, rounds: u32) -> u64 {
    run_under(&[], &[operation, &rounds.to_string()]).trim().parse().expect("a count")
}

fn instructions(operation: &str, rounds: u32) -> u64 {
    let file = Temporary::new();
    let to = format!("--callgrind-out-file={}", file.0);
    run_under(&["valgrind", "--tool=callgrind", &to], &[operation, &rounds.to_string()]);
    let text = fs::read_to_string(&file.0).expect("callgrind writes its file");
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    total.expect("a total in callgrind's file").trim().parse().expect("a count")
}

fn syscalls(operation: &str, rounds: u32) -> u64 {
    let file = Temporary::new();
    // A call takes many times longer under strace, so a turn would end after 5 ms and few polls: it has a virtual clock.
    run_under(&["strace", "-c", "-o", &file.0], &[operation, &rounds.to_string(), "virtual"]);
    let text = fs::read_to_string(&file.0).expect("strace writes its file");
    // % time, seconds, usecs/call, calls, errors (empty if there are none), "total"
    let total = text.lines().find(|line| line.trim_end().ends_with("total")).expect("a total");
    total.split_whitespace().nth(3).and_then(|calls| calls.parse().ok()).expect("a count")
}

/// The path of a file that is removed with it.
struct Temporary(String);

impl Temporary {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name =
            format!("headwaiter-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Temporary(Path::new(&std::env::temp_dir()).join(name).display().to_string())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: each call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(memory, layout, size) }
    }
}
