//! The server and the programs of Redis.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::Server;
use peers::{PATIENCE, need, run_well};

#[test]
fn redis_cli_sets_gets_and_lists() {
    let cli = need!("redis-cli");
    let server = Server::start(&[]);
    let run = |args: &[&str]| run_well(server.command(&cli).args(args), PATIENCE);
    assert_eq!(run(&["set", "soup", "hot", "ex", "100"]), "OK\n");
    assert_eq!(run(&["get", "soup"]), "hot\n");
    assert_eq!(run(&["ttl", "soup"]), "100\n");
    assert_eq!(run(&["-3", "mget", "soup", "cake"]), "hot\n\n");
    assert_eq!(run(&["-r", "5", "incr", "count"]), "1\n2\n3\n4\n5\n");
    assert_eq!(run(&["--no-raw", "dbsize"]), "(integer) 2\n");
    assert_eq!(
        run(&["nonsense"]).trim_end(),
        "ERR unknown command 'nonsense', with args beginning with:"
    );
    let info = run(&["info"]);
    for line in ["redis_version:7.0.0", "connected_clients:1", "db0:keys=2,expires=1,avg_ttl=0"] {
        assert!(info.lines().any(|found| found.trim_end() == line), "{line}: {info}");
    }
    server.end();
}

/// What redis-cli does before the first command that is typed: it asks for the documentation of all
/// commands.
#[test]
fn redis_cli_can_be_typed_at() {
    let cli = need!("redis-cli");
    let server = Server::start(&[]);
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "printf 'set soup hot\\nget soup\\nquit\\n' | exec \"$0\" -h 127.0.0.1 -p \"$1\"",
    ]);
    command.arg(&cli).arg(server.address.port().to_string());
    assert_eq!(run_well(&mut command, PATIENCE), "OK\nhot\n");
    let docs = run_well(server.command(&cli).args(["command", "count"]), PATIENCE);
    assert_eq!(docs, "33\n");
    let get = run_well(server.command(&cli).args(["command", "info", "get"]), PATIENCE);
    assert_eq!(get.split_whitespace().collect::<Vec<_>>(), ["get", "2", "1", "1", "1"]);
    server.end();
}

#[test]
fn redis_cli_loads_ten_thousand_keys_at_once() {
    let cli = need!("redis-cli");
    let server = Server::start(&[]);
    let folder = peers::Folder::new("kv-pipe");
    let file = folder.path().join("commands");
    let commands: String = (0..10_000).map(|n| format!("SET key:{n} {n}\r\n")).collect();
    std::fs::write(&file, commands).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" -h 127.0.0.1 -p \"$1\" --pipe < \"$2\""]);
    command.arg(&cli).arg(server.address.port().to_string()).arg(&file);
    let said = run_well(&mut command, PATIENCE);
    assert!(said.contains("errors: 0, replies: 10000"), "{said}");
    assert_eq!(server.connect().say("DBSIZE"), ":10000\r\n");
    server.end();
}

#[test]
fn a_subscriber_of_redis_cli_prints_what_is_published() {
    let cli = need!("redis-cli");
    let server = Server::start(&[]);
    let mut subscriber = server.command(&cli);
    subscriber
        .args(["--csv", "psubscribe", "order*"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut subscriber = subscriber.spawn().unwrap();
    let mut lines = BufReader::new(subscriber.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |contains: &str| lines.by_ref().find(|line| line.contains(contains));
    assert!(next("psubscribe").is_some());
    let said = run_well(server.command(&cli).args(["publish", "orders", "two soups"]), PATIENCE);
    assert_eq!(said, "1\n");
    assert_eq!(next("two soups").as_deref(), Some(r#""pmessage","order*","orders","two soups""#));
    server.end(); // And with it the subscriber's connection.
    subscriber.kill().unwrap();
    subscriber.wait().unwrap();
}

#[test]
fn redis_benchmark_finds_no_error() {
    let benchmark = need!("redis-benchmark");
    let server = Server::start(&[]);
    for options in [["-P", "1", "-d", "3"], ["-P", "16", "-d", "3"], ["-P", "4", "-d", "20000"]] {
        let mut command = server.command(&benchmark);
        command.args([
            "--csv",
            "-t",
            "ping,set,get,incr,mset",
            "-n",
            "2000",
            "-c",
            "20",
            "-r",
            "100",
        ]);
        let said = run_well(command.args(options), Duration::from_secs(60));
        for test in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"] {
            assert!(said.contains(&format!("{test:?},")), "{test}: {said}");
        }
        assert!(!said.to_lowercase().contains("error"), "{said}");
    }
    server.end();
}
