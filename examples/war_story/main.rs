//! The war story, measured: an API whose every request waits for three backends. The old server is a
//! pool of blocking threads that calls one backend after another. The new one is this loop, and calls
//! the three at once. Both get the same offered load.
//!
//! ```text
//! cargo run --release --example war_story                     # some five minutes
//! cargo run --release --example war_story -- --svg story.svg  # with a picture
//! cargo run --release --example war_story -- --quick          # small and short: shows that all runs, measures nothing
//! ```
//!
//! The load is an open loop: each client sends a request every 2.5 s, whether or not the server keeps
//! up, and the latency is counted from the moment at which the request was due. So a server that
//! stalls is charged for the requests that had to wait. A request without an answer after 2 s is a
//! timeout.
//!
//! Each role is a process of its own: `client.rs` makes the load, `threads.rs` is the old server,
//! `event_loop.rs` the new one, `backend.rs` the three backends, and `measure.rs` reads what the kernel
//! knows of the server. `report.rs` prints. docs/war-story.md tells what came out.

mod backend;
mod client;
mod event_loop;
mod measure;
mod report;
mod threads;

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use measure::Usage;
use report::Row;

/// How long a backend thinks.
const BACKEND_DELAY: Duration = Duration::from_millis(20);

/// How many backends an answer needs.
const BACKENDS: usize = 3;

/// What is tried on each server.
struct Plan {
    clients: &'static [usize],
    servers: &'static [Server],
    /// How often each client sends a request.
    period: Duration,
    /// How many requests of each client count.
    periods: u32,
}

const STORY: Plan = Plan {
    clients: &[100, 1000, 10_000],
    servers: &[
        Server::Threads(64),
        Server::Threads(256),
        Server::Threads(1024),
        Server::ThreadsAtOnce(256),
        Server::EventLoop,
    ],
    period: Duration::from_millis(2500),
    periods: 4,
};

const QUICK: Plan = Plan {
    clients: &[20],
    servers: &[Server::Threads(8), Server::ThreadsAtOnce(8), Server::EventLoop],
    period: Duration::from_millis(500),
    periods: 1,
};

/// A server under test.
#[derive(Clone, Copy, PartialEq)]
enum Server {
    /// A pool of threads, each of which calls the backends one after another.
    Threads(usize),
    /// The same, with three more threads for each that call the backends at once.
    ThreadsAtOnce(usize),
    /// This crate's loop. It calls the backends at once.
    EventLoop,
}

impl Server {
    fn name(self) -> String {
        match self {
            Server::Threads(count) => format!("{count} threads"),
            Server::ThreadsAtOnce(count) => format!("{count} threads, at once"),
            Server::EventLoop => "headwaiter".to_owned(),
        }
    }

    fn arguments(self) -> [String; 2] {
        match self {
            Server::Threads(count) => ["threads".to_owned(), count.to_string()],
            Server::ThreadsAtOnce(count) => ["threads-at-once".to_owned(), count.to_string()],
            Server::EventLoop => ["event-loop".to_owned(), "1".to_owned()],
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => tell(&STORY, None),
        ["--svg", file] => tell(&STORY, Some(file)),
        ["--quick"] => tell(&QUICK, None),
        ["role", "backend"] => backend::serve(),
        ["role", "client", server, clients, period, periods] => {
            client::load(server, clients, period, periods)
        }
        ["role", "event-loop", backend, "1"] => event_loop::serve(backend),
        ["role", "threads", backend, threads] => threads::serve(backend, threads, false),
        ["role", "threads-at-once", backend, threads] => threads::serve(backend, threads, true),
        _ => {
            eprintln!("usage: war_story [--quick | --svg FILE]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs each server under the load of each number of clients, and prints what it found.
fn tell(plan: &Plan, svg: Option<&str>) -> io::Result<()> {
    measure::allow_many_files();
    let mut rows = Vec::new();
    report::print_head();
    for &clients in plan.clients {
        for &server in plan.servers {
            let row = run(plan, server, clients)?;
            report::print(&row);
            rows.push(row);
        }
    }
    report::print_verdict(&rows, plan.period);
    if let Some(file) = svg {
        std::fs::write(file, report::picture(&rows))?;
        println!("{file} has the picture.");
    }
    Ok(())
}

/// Runs one server under the load of this number of clients.
fn run(plan: &Plan, server: Server, clients: usize) -> io::Result<Row> {
    let backend = Role::start(&["backend"])?;
    let [kind, threads] = server.arguments();
    let subject = Role::start(&[&kind, &backend.address.to_string(), &threads])?;
    let before = Usage::of(subject.child.id())?;
    let load = Command::new(std::env::current_exe()?)
        .args(["role", "client", &subject.address.to_string(), &clients.to_string()])
        .args([plan.period.as_millis().to_string(), plan.periods.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    let after = Usage::of(subject.child.id())?;
    if !load.status.success() {
        return Err(io::Error::other(format!("the clients of {} failed", server.name())));
    }
    let latencies = client::Latencies::parse(&String::from_utf8_lossy(&load.stdout))?;
    // The requests that do not count cost CPU time too.
    let requests = clients * (plan.periods as usize + 1);
    Ok(Row { server, clients, requests, latencies, usage: after.since(&before) })
}

/// A process in a role. Ends with its owner.
struct Role {
    child: Child,
    /// Where it listens.
    address: SocketAddr,
}

impl Role {
    fn start(arguments: &[&str]) -> io::Result<Role> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("role").args(arguments).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line)?;
        match line.trim().parse() {
            Ok(address) => Ok(Role { child, address }),
            Err(_) => {
                let _ = child.kill().and_then(|()| child.wait());
                Err(io::Error::other(format!("{} did not start", arguments[0])))
            }
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
