//! Short load tests with wrk and h2load: no request fails.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::Server;
use peers::{PATIENCE, figure, need, run_well};

#[test]
fn wrk_meets_no_failure() {
    let wrk = need!("wrk");
    let server = Server::start_silent();
    for path in ["/plain", "/json", "/"] {
        let mut command = Command::new(&wrk);
        command.args(["-t", "1", "-c", "100", "-d", "2", &server.url(path)]);
        let said = run_well(&mut command, PATIENCE);
        assert!(!said.contains("Non-2xx"), "{said}");
        assert!(!said.contains("Socket errors"), "{said}");
        let lines: Vec<String> = said.lines().map(str::to_owned).collect();
        assert!(figure(&lines, &["Requests/sec:"]) > 100.0, "{said}");
    }
    server.end();
}

/// Runs h2load, and returns its lines about the requests and about the status codes.
#[track_caller]
fn h2load(path: &Path, args: &[&str]) -> (String, String) {
    let said = run_well(Command::new(path).args(args), PATIENCE);
    let line = |label: &str| {
        let line = said.lines().find(|line| line.starts_with(label));
        line.unwrap_or_else(|| panic!("no {label} in {said}")).to_owned()
    };
    (line("requests:"), line("status codes:"))
}

#[test]
fn h2load_meets_no_failure() {
    let path = need!("h2load");
    let server = Server::start_silent();
    for url in ["/plain", "/json", "/big?mib=1"] {
        let requests = if url.starts_with("/big") { "20" } else { "5000" };
        let args = ["-n", requests, "-c", "10", "-m", "10", &server.url(url)];
        let (outcome, codes) = h2load(&path, &args);
        assert!(
            outcome.contains(&format!(" {requests} succeeded, 0 failed, 0 errored, 0 timeout")),
            "{outcome}"
        );
        assert!(codes.contains(&format!(" {requests} 2xx, 0 3xx, 0 4xx, 0 5xx")), "{codes}");
    }
    server.end();
}

#[test]
fn a_hundred_slow_requests_share_one_connection_and_wait_together() {
    let path = need!("h2load");
    let server = Server::start();
    let began = Instant::now();
    let (outcome, codes) =
        h2load(&path, &["-n", "100", "-c", "1", "-m", "100", &server.url("/slow")]);
    // Each takes three seconds, but they overlap.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(outcome.contains(" 100 succeeded, 0 failed"), "{outcome}");
    assert!(codes.contains(" 100 2xx"), "{codes}");
    server.end();
}

#[test]
fn a_panic_costs_one_stream_of_a_connection() {
    let path = need!("h2load");
    let server = Server::start();
    let (plain, panic) = (server.url("/plain"), server.url("/panic"));
    let (outcome, codes) =
        h2load(&path, &["-n", "30", "-c", "1", "-m", "10", &plain, &panic, &plain]);
    assert!(
        outcome.contains(" 30 done, 20 succeeded, 10 failed, 0 errored, 0 timeout"),
        "{outcome}"
    );
    assert!(codes.contains(" 20 2xx, 0 3xx, 0 4xx, 10 5xx"), "{codes}");
    let said = server.end();
    assert_eq!(said.matches("answered with 500: the soup boils over").count(), 10, "{said}");
}
