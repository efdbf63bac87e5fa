//! Runs a workload on all peers, in turns, so that a busy moment of the machine slows each of them.

use std::thread;
use std::time::Duration;

use super::arguments::Arguments;
use super::child::{self, Server};
use super::load::{self, Clients};
use super::machine;
use super::peers::Built;
use super::result::{Cell, WorkloadResult};
use super::workloads::{Run, Workload};

pub fn interleaved(
    workload: Workload,
    peers: &[Built],
    arguments: &Arguments,
    file_limit: u64,
) -> WorkloadResult {
    let needed = workload.run.connections() as u64 + 64;
    if needed > file_limit {
        let skipped = format!("needs {needed} open files, and the limit is {file_limit}");
        return WorkloadResult { workload, cells: Vec::new(), skipped: Some(skipped) };
    }
    let mut cells: Vec<_> =
        peers.iter().map(|built| (built.peer, first_cell(&workload, built))).collect();
    for round in 0..arguments.rounds {
        // Each round begins with another, so that none always comes first.
        for n in 0..peers.len() {
            let n = (n + round) % peers.len();
            let Cell::Figures(rounds) = &mut cells[n].1 else { continue };
            match once(&workload, &peers[n], arguments.quick) {
                Ok(figures) => rounds.push(figures),
                Err(error) => cells[n].1 = Cell::Failed(error),
            }
        }
    }
    WorkloadResult { workload, cells, skipped: None }
}

/// With no figures yet, if the peer has the workload.
fn first_cell(workload: &Workload, built: &Built) -> Cell {
    match &built.workloads {
        Err(error) => Cell::Failed(error.clone()),
        Ok(has) if has.iter().any(|name| name == workload.run.program()) => {
            Cell::Figures(Vec::new())
        }
        Ok(_) => Cell::Missing,
    }
}

/// The figures of one run in a fresh process.
fn once(workload: &Workload, built: &Built, quick: bool) -> Result<Vec<f64>, String> {
    let program = workload.run.program();
    if matches!(workload.run, Run::Program(_)) {
        let arguments = if quick { &[program, "quick"][..] } else { &[program] };
        let output = child::output(&built.program, arguments, Duration::from_secs(60))?;
        let figures = output.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>();
        return figures.map_err(|_| format!("prints {output:?}"));
    }
    let size = workload.run.size().to_string();
    let mut server = Server::start(&built.program, &[program, &size])?;
    // In a thread of its own, whose processor no process inherits.
    let figures = thread::scope(|scope| {
        let client = scope.spawn(|| {
            machine::use_second_processor();
            load(&workload.run, &server, quick)
        });
        client.join().expect("no panic")
    });
    // A server that died can tell better why than its client.
    figures.map_err(|error| match server.complaint() {
        complaint if complaint.starts_with("it failed and") => error,
        complaint => complaint,
    })
}

/// Microseconds of the server's CPU a message, and messages a second.
fn load(run: &Run, server: &Server, quick: bool) -> Result<Vec<f64>, String> {
    let scaled = |count: usize| if quick { count / 100 } else { count };
    let address = &*server.address;
    let text = |error: std::io::Error| format!("its client: {error}");
    let figures = |count: usize, work: &dyn Fn(usize) -> std::io::Result<Duration>| {
        work(count / 10 + run.connections()).map_err(text)?;
        let before = server.cpu()?;
        let time = work(count).map_err(text)?;
        let cpu = server.cpu()? - before;
        Ok(vec![cpu / 1e3 / count as f64, count as f64 / time.as_secs_f64()])
    };
    match *run {
        Run::Program(_) => unreachable!("it is no server"),
        Run::Echo { connections, size, messages, .. } => {
            let connections = if quick { connections.min(100) } else { connections };
            let clients = Clients::echo(address, connections, size).map_err(text)?;
            figures(scaled(messages), &|count| clients.keep_busy(count))
        }
        Run::Http { connections } => {
            let clients = Clients::http(address, connections).map_err(text)?;
            figures(scaled(40_000), &|count| clients.keep_busy(count))
        }
        Run::Accept => {
            figures(scaled(6_400).max(64), &|count| load::come_and_go(address, count, run.size()))
        }
        Run::Udp { at_once } => {
            let count = if at_once == 1 { 10_000 } else { 40_000 };
            figures(scaled(count).max(at_once), &|count| load::datagrams(address, count, at_once))
        }
        Run::Wakeups { connections } => {
            let connections = if quick { 10 } else { connections };
            let _clients = Clients::echo(address, connections, run.size()).map_err(text)?;
            let time = Duration::from_millis(if quick { 10 } else { 1_000 });
            thread::sleep(time / 4);
            let before = server.sleeps()?;
            thread::sleep(time);
            Ok(vec![server.sleeps()? - before])
        }
    }
}
