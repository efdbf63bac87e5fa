//! The machine: its limits, its load, and what it is called.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::system::uname;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::peers::PEERS;

/// How many files a process may have open, after asking for as many as it may ask for.
pub fn raise_file_limit() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

/// Keeps this thread on the second processor, if there is one: servers have the first.
pub fn use_second_processor() {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    if let Some(cpu) = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).nth(1) {
        let mut second = CpuSet::new();
        second.set(cpu);
        let _ = sched_setaffinity(None, &second);
    }
}

/// Lines of a list in Markdown.
pub fn description(load: &str) -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = uname();
    let here = env!("CARGO_MANIFEST_DIR");
    format!(
        "- Machine: {}, {cores} processors, {} {}\n- Compiler: {}, release, thin LTO, one codegen unit\n- Peers: {}\n\
         - Date: {}, commit {}\n- Load average before: {load}\n",
        model.unwrap_or("an unknown processor"),
        kernel.sysname().to_string_lossy(),
        kernel.release().to_string_lossy(),
        first_line("rustc", &["--version"]),
        versions(&Path::new(here).join("Cargo.lock")),
        first_line("date", &["-u", "+%Y-%m-%d"]),
        first_line("git", &["-C", here, "rev-parse", "--short", "HEAD"]),
    )
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}

fn versions(lock: &Path) -> String {
    let lock = fs::read_to_string(lock).unwrap_or_default();
    let mut packages: Vec<_> = PEERS.iter().filter_map(|peer| peer.package).collect();
    packages.dedup();
    packages.sort();
    packages.dedup();
    let version = |package| {
        // The last of several, which is the newest: monoio stands on an old mio.
        let (_, rest) = lock.rsplit_once(&format!("name = \"{package}\"\nversion = \""))?;
        Some(format!("{package} {}", rest.split('"').next()?))
    };
    packages.into_iter().filter_map(version).collect::<Vec<_>>().join(", ")
}
