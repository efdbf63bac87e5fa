//! What the kernel knows of a process: proc(5). Only on Linux; elsewhere all figures are 0.

use std::fs;
use std::io;
use std::time::Duration;

/// Raises the limit of open files as far as it may be raised.
pub fn allow_many_files() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// What a process has used. Of two of them, the difference is what it used in between.
pub struct Usage {
    pub cpu: Duration,
    /// Switches to another thread, because this one waited or had run for long enough.
    pub switches: u64,
    /// The largest memory so far, in bytes.
    pub memory: u64,
    pub threads: u64,
}

impl Usage {
    pub fn of(process: u32) -> io::Result<Usage> {
        let mut usage = Usage { cpu: Duration::ZERO, switches: 0, memory: 0, threads: 0 };
        if !cfg!(target_os = "linux") {
            return Ok(usage);
        }
        usage.memory = 1024 * number(&format!("/proc/{process}/status"), "VmHWM:");
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let thread = thread?.path();
            usage.threads += 1;
            // The first number of schedstat is the time on a CPU, in nanoseconds.
            let times = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
            let time = times.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
            usage.cpu += Duration::from_nanos(time.unwrap_or(0));
            let status = thread.join("status").display().to_string();
            usage.switches += number(&status, "voluntary_ctxt_switches:")
                + number(&status, "nonvoluntary_ctxt_switches:");
        }
        Ok(usage)
    }

    pub fn since(self, before: &Usage) -> Usage {
        Usage {
            cpu: self.cpu.saturating_sub(before.cpu),
            switches: self.switches.saturating_sub(before.switches),
            ..self
        }
    }
}

/// The number in a line of a status file. 0 if it is not there.
fn number(file: &str, name: &str) -> u64 {
    let status = fs::read_to_string(file).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
