//! The program, and its pool, against a real PostgreSQL.

#[allow(dead_code)]
#[path = "../../src/connect.rs"]
mod connect;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/pool.rs"]
mod pool;
mod pool_tests;
mod server;

use std::env;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use peers::{Program, figure, need, tells};

use crate::server::Server;

/// Starts the program. A URL may come from the environment.
fn start_with(url: Option<&str>, args: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_database"));
    command.args(args).stdin(Stdio::null()).env_remove("RUST_LOG").env_remove("RUST_LOG_STYLE");
    command.env("RUST_BACKTRACE", "0").env_remove("DATABASE_URL");
    if let Some(url) = url {
        command.env("DATABASE_URL", url);
    }
    Program::start_command("database", command)
}

fn start(args: &[&str]) -> Program {
    start_with(None, args)
}

/// Runs the program to its end. Returns the exit code and the lines of output.
fn run(args: &[&str]) -> (Option<i32>, Vec<String>) {
    let (code, said) = start(args).end();
    (code, said.lines().map(str::to_owned).collect())
}

#[test]
fn each_section_shows_what_it_is_about_over_tcp_and_over_a_unix_socket() {
    need!("initdb");
    need!("postgres");
    let server = Server::shared();
    let tcp = format!("connected to 127.0.0.1:{}: PostgreSQL ", server.port());
    let unix = format!("/.s.PGSQL.{}: PostgreSQL ", server.port());
    // One after another, because both use the same table.
    for (url, connected) in [(server.tcp_url(), tcp), (server.unix_url(), unix)] {
        let (code, said) = run(&[&url]);
        assert_eq!(code, Some(0), "{said:#?}");
        tells(
            &said,
            &[
                &connected,
                "== speed",
                "32 statements each",
                "one after another",
                "at once, one connection",
                "at once, 8 connections",
                "== notify",
                "kitchen: \"soup\", from backend ",
                "kitchen: \"fish\", from backend ",
                "kitchen: \"cake\", from backend ",
                "== transaction",
                "timed out between two statements: 0 orders are left; backend ",
                "cancelled in a statement: 0 orders are left; backend ",
                "the server: ERROR: division by zero [22012]",
                "failed in a statement: 0 orders are left; backend ",
                "== outage",
                "7 of 8 connections were terminated",
                "the statement in flight failed: the connection is lost: ",
                "all 8 connections of the pool answer again: 1 as before, 7 new",
                "== sqlite",
            ],
        );
        assert!(
            said.iter().any(|line| line.ends_with(", where a statement may take 5s")),
            "{said:#?}"
        );
        assert_eq!(
            said.iter().filter(|line| line.contains(" is used again after ")).count(),
            3,
            "{said:#?}"
        );
        let lost =
            said.iter().find(|line| line.contains("the statement in flight failed")).unwrap();
        assert!(
            lost.contains("FATAL: terminating connection due to administrator command [57P01]"),
            "{lost}"
        );
        shows_sqlite(&said);

        // The second figure of each row: 32 times 20 ms, and an eighth of that.
        let slow = |row: &str| figure(&said, &[row, "ms"]);
        let (turns, pipelined, pooled) = (
            slow("one after another"),
            slow("at once, one connection"),
            slow("at once, 8 connections"),
        );
        assert!(turns >= 640.0 && pipelined >= 640.0, "{said:#?}");
        assert!(pooled < turns / 2.0, "{said:#?}");
    }
}

fn shows_sqlite(said: &[String]) {
    tells(
        said,
        &[
            "the orders are soup, fish, cake",
            "SQLite counted to 1000000 in ",
            "a wrong statement: no such table: no_such_table; afterwards there are 3 orders",
            "panicked: the soup is hot; afterwards there are 3 orders",
            "an endless statement: interrupted after 100ms; afterwards there are 3 orders",
        ],
    );
    // The loop continued while SQLite was counting.
    assert!(figure(said, &["the loop went on:"]) >= 3.0, "{said:#?}");
}

#[test]
fn without_a_url_it_says_how_to_start_a_server_and_shows_sqlite() {
    let program = start(&[]);
    let file = env::temp_dir().join(format!("headwaiter-database-{}.sqlite", program.child.id()));
    let (code, said) = program.end();
    let said: Vec<_> = said.lines().map(str::to_owned).collect();
    assert_eq!(code, Some(0), "{said:#?}");
    tells(&said, &["usage: database [URL] [SECTION...]", "docker run ", "initdb -D ", "== sqlite"]);
    shows_sqlite(&said);
    assert!(!file.exists());
}

/// Each case is a URL and the program's error for it. The exit code is a failure.
#[test]
fn what_is_wrong_is_named() {
    need!("initdb");
    need!("postgres");
    let server = Server::shared();
    let port = server.port();
    let at = format!("127.0.0.1:{port}");
    let cases = [
        (
            format!("postgres://kitchen:stew@{at}/postgres"),
            format!(
                "cannot connect to {at} as \"kitchen\": FATAL: password authentication failed for user \"kitchen\" [28P01]"
            ),
        ),
        (
            format!("postgres://guest:soup@{at}/postgres"),
            "password authentication failed for user \"guest\"".to_owned(),
        ),
        (format!("postgres://kitchen@{at}/postgres"), "password missing".to_owned()),
        (
            format!("postgres://kitchen:soup@{at}/menu"),
            "FATAL: database \"menu\" does not exist [3D000]".to_owned(),
        ),
        (format!("{}?sslmode=require", server.tcp_url()), "server does not support TLS".to_owned()),
        (
            format!("{}?colour=red", server.tcp_url()),
            "the URL of the server: invalid connection string: unknown option `colour`".to_owned(),
        ),
        (
            "postgres://kitchen:soup@no-such-host.invalid/menu".to_owned(),
            "cannot connect to no-such-host.invalid:5432: ".to_owned(),
        ),
        (
            "postgres://kitchen:soup@127.0.0.1:1/menu".to_owned(),
            "Connection refused (os error 111) (is PostgreSQL running there?)".to_owned(),
        ),
        (
            "postgresql:///menu?host=/no/such/folder".to_owned(),
            "cannot connect to \"/no/such/folder/.s.PGSQL.5432\": No such file or directory"
                .to_owned(),
        ),
    ];
    for (url, names) in cases {
        let (code, said) = run(&[&url, "speed"]);
        assert_eq!(code, Some(1), "{url}: {said:#?}");
        let last = said.last().unwrap(); // A stall report may come before it, because in a debug build a login takes long.
        assert!(last.contains(" ERROR ") && last.contains(&names), "{url}: {said:#?}");
        let tells_password = |line: &String| line.contains(":soup@") || line.contains(":stew@");
        assert!(!said.iter().any(tells_password), "{said:#?}");
    }
}

#[test]
fn a_server_that_does_not_answer_or_speaks_another_language_is_named_too() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // The kernel accepts the connection.
    let address = silent.local_addr().unwrap();
    let (code, said) =
        run(&[&format!("postgres://kitchen:soup@{address}/menu?connect_timeout=1"), "speed"]);
    assert_eq!(code, Some(1), "{said:#?}");
    tells(&said, &[&format!("cannot connect to {address}: no answer within 1s")]);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        assert_ne!(client.read(&mut [0; 512]).unwrap(), 0);
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let (code, said) = run(&[&format!("postgres://kitchen:soup@{address}/menu"), "speed"]);
    server.join().unwrap();
    assert_eq!(code, Some(1), "{said:#?}");
    tells(&said, &[&format!("cannot connect to {address} as \"kitchen\": ")]);
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for (args, names) in [
        (&["spead"][..], "\"spead\" is neither a URL nor a section"),
        (&["postgres://a@b/c", "postgres://d@e/f"], "more than one URL"),
    ] {
        let (code, said) = run(args);
        assert_eq!(code, Some(2), "{said:#?}");
        tells(&said, &[names, "usage: database [URL] [SECTION...]"]);
    }
    let (code, said) = run(&["speed"]);
    assert_eq!(code, Some(1), "{said:#?}");
    tells(&said, &["the section speed needs the URL of a server"]);
}

#[test]
fn a_server_that_goes_away_and_comes_back_is_used_again() {
    need!("initdb");
    need!("postgres");
    let mut server = Server::start();
    let program = start(&[&server.tcp_url(), "watch"]);
    program.wait_for_line("query 1: the server has been up for 00:00:");

    server.crash();
    program.wait_for_line("the connection is lost: ");
    // The pool retries, and the error is reported when the time is over.
    let refused = format!("cannot connect to 127.0.0.1:{}: Connection refused", server.port());
    program.wait_for_line(&format!(
        "{refused} (os error 111) (is PostgreSQL running there?); next attempt in "
    ));
    let failed = program.wait_for_line(" failed: no connection within 5s, at last: ");
    assert!(failed.contains(&refused), "{failed}");

    server.go_on();
    let answered = |line: &String| {
        line.starts_with("query ") && line.contains(": the server has been up for ")
    };
    program.wait_for("an answer after the failure", |said| {
        let failed =
            said.lines.iter().position(|line| line.contains(" failed: no connection within 5s"));
        failed.is_some_and(|failed| said.lines[failed..].iter().any(answered))
    });
    // The pauses grow: the program does not retry in a tight loop.
    let attempts = program
        .said(|said| said.lines.iter().filter(|line| line.contains("next attempt in ")).count());
    assert!(attempts < 100, "{attempts}");

    program.interrupt();
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ended by Ctrl-C"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn ctrl_c_in_a_section_ends_the_program_and_its_statements() {
    need!("initdb");
    need!("postgres");
    let server = Server::start(); // A server that no other test uses.
    let program = start_with(Some(&server.tcp_url()), &["transaction", "speed"]);
    program.wait_for_line("== transaction");
    program.interrupt();
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ended by Ctrl-C"), "{said}");
    // Its transaction has ended, so nothing is locked for the next program.
    let (code, said) = run(&[&server.tcp_url(), "transaction"]);
    assert_eq!(code, Some(0), "{said:#?}");
    tells(&said, &["failed in a statement: 0 orders are left"]);
}
