//! Programs of the peers as processes: those that print figures and end, and servers, whose CPU is read while they run.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// What a program prints, or the first line of what it complains about.
pub fn output(program: &Path, arguments: &[&str], limit: Duration) -> Result<String, String> {
    let child = start(program, arguments)?;
    let pid = Pid::from_child(&child);
    let (sender, output) = mpsc::channel();
    let waiting = thread::spawn(move || sender.send(child.wait_with_output()));
    let output = output.recv_timeout(limit).inspect_err(|_| {
        let _ = kill_process(pid, Signal::KILL);
    });
    let _ = waiting.join();
    let output = output.map_err(|_| format!("not done after {} s", limit.as_secs()))?;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(complaint(&String::from_utf8_lossy(&output.stderr)))
}

fn start(program: &Path, arguments: &[&str]) -> Result<Child, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| format!("{}: {error}", program.display()))
}

/// The message of a panic is on the line after the one that tells its place.
fn complaint(stderr: &str) -> String {
    let mut lines = stderr.lines().filter(|line| !line.is_empty() && !line.starts_with("thread '"));
    lines.next().unwrap_or("it failed and says nothing").to_owned()
}

/// A server, which is killed when this is dropped.
pub struct Server {
    child: Child,
    pub address: String,
}

impl Server {
    /// Starts it and waits until it tells its address.
    pub fn start(program: &Path, arguments: &[&str]) -> Result<Server, String> {
        let mut server = Server { child: start(program, arguments)?, address: String::new() };
        let mut stdout = BufReader::new(server.child.stdout.take().expect("it is piped"));
        stdout.read_line(&mut server.address).map_err(|error| error.to_string())?;
        server.address.truncate(server.address.trim_end().len());
        if server.address.is_empty() { Err(server.complaint()) } else { Ok(server) }
    }

    /// Nanoseconds of CPU, user and system, that all its threads have spent.
    pub fn cpu(&self) -> Result<f64, String> {
        self.of_threads("schedstat", |text| text.split(' ').next()?.parse().ok())
    }

    /// How often its threads have gone to sleep, to be woken again.
    pub fn sleeps(&self) -> Result<f64, String> {
        self.of_threads("status", |text| {
            let line = text.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        })
    }

    fn of_threads(&self, file: &str, read: fn(&str) -> Option<f64>) -> Result<f64, String> {
        let folder = format!("/proc/{}/task", self.child.id());
        let threads = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
        // A thread may end meanwhile.
        let texts =
            threads.flatten().flat_map(|thread| fs::read_to_string(thread.path().join(file)));
        texts.map(|text| read(&text).ok_or(format!("no figure in {folder}/*/{file}"))).sum()
    }

    /// Why it does not answer. Ends it.
    pub fn complaint(&mut self) -> String {
        let _ = self.child.kill();
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        complaint(&text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.address.starts_with('/') {
            let _ = fs::remove_file(&self.address);
        }
    }
}
