//! Every route, with curl, over both versions of HTTP.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use common::{Answer, Server, VERSIONS, curl, noise};
use peers::{Folder, PATIENCE, need, run, run_well};

/// Larger than all buffers between the two sides.
const LARGE: usize = 100 * 1000 * 1000;

#[test]
fn every_route_answers_over_http_1_and_http_2() {
    need!("curl");
    let folder = Folder::new("files");
    fs::write(folder.path().join("menu.txt"), "soup, bread\n").unwrap();
    let server = Server::start_with(30.0, Some(folder.path()));
    for (option, version) in VERSIONS {
        let ask = |args: &[&str], path: &str| curl(&[&[option, &*server.url(path)], args].concat());
        let says = |answer: Answer, status: u16, text: &str| {
            assert_eq!((answer.status, &*answer.version), (status, version), "{answer:?}");
            assert!(answer.body.contains(text), "{text:?} is not in {answer:?}");
        };
        says(ask(&[], "/"), 200, "<title>web_server</title>");
        says(ask(&[], "/plain"), 200, "One soup, please.\n");
        says(ask(&["--data", "hello"], "/plain"), 200, "hello");
        says(ask(&[], "/json"), 200, r#"[{"name":"soup","price":4.5},"#);
        let order = r#"{"dish": "soup", "portions": 3}"#;
        says(ask(&["--json", order], "/json"), 200, r#"{"dish":"soup","portions":3,"total":13.5}"#);
        says(
            ask(&["-d", "name=Ada", "-d", "guests=4"], "/form"),
            200,
            "A table for 4 in the name of Ada.\n",
        );
        says(ask(&[], "/file/menu.txt"), 200, "soup, bread\n");
        says(ask(&[], "/big?mib=1"), 200, &".".repeat(1024 * 1024));
        says(ask(&[], "/compute?below=100"), 200, "There are 25 primes below 100.\n");
        says(ask(&[], "/panic"), 500, "");
        says(ask(&[], "/dump"), 200, "spawned at");
        says(ask(&[], "/stats"), 200, "turn time");
        says(ask(&[], "/nothing"), 404, "There is no such page.\n");
        // Not a WebSocket.
        says(ask(&[], "/ws"), 400, "");
    }
    server.program.wait_for_line("GET /compute 200 ");
    server.program.wait_for_line("a handler panicked, answered with 500: the soup boils over");
    server.end();
}

#[test]
fn what_cannot_be_understood_is_refused_with_the_reason() {
    need!("curl");
    let server = Server::start();
    for (option, _) in VERSIONS {
        let refused = |args: &[&str], path: &str, status: u16, reason: &str| {
            let answer = curl(&[&[option, &*server.url(path)], args].concat());
            assert_eq!(answer.status, status, "{args:?}: {answer:?}");
            assert!(answer.body.contains(reason), "{reason:?} is not in {answer:?}");
        };
        refused(&["--json", "{soup"], "/json", 400, "Failed to parse the request body as JSON");
        refused(&["--json", r#"{"dish": "soup"}"#], "/json", 422, "missing field `portions`");
        refused(
            &["--data", "{}"],
            "/json",
            415,
            "Expected request with `Content-Type: application/json`",
        );
        refused(&["-d", "name=Ada"], "/form", 422, "missing field `guests`");
        refused(&["-d", "name=Ada", "-d", "guests=1000"], "/form", 422, "guests");
        refused(&[], "/compute?below=many", 400, "below: invalid digit");
        refused(&[], "/compute?below=99999999", 400, "That would take too long");
        refused(&[], "/big?mib=2000", 400, "Not more than 1024 MiB");
        refused(&["--request", "DELETE"], "/plain", 405, "");
    }
    server.end();
}

#[test]
fn a_body_of_100_mb_comes_back_intact() {
    need!("curl");
    let folder = Folder::new("upload");
    let (sent, received) = (folder.path().join("sent"), folder.path().join("received"));
    let bytes = noise(LARGE);
    fs::write(&sent, &bytes).unwrap();
    let server = Server::start();
    for (option, _) in VERSIONS {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", option, "--request", "POST"]);
        command
            .arg("--upload-file")
            .arg(&sent)
            .arg("--output")
            .arg(&received)
            .arg(server.url("/plain"));
        run_well(&mut command, 3 * PATIENCE);
        assert!(fs::read(&received).unwrap() == bytes, "not what was sent, with {option}");
        fs::remove_file(&received).unwrap();
    }
    server.end();
}

#[test]
fn a_file_of_100_mb_arrives_intact_and_in_parts() {
    need!("curl");
    let folder = Folder::new("download");
    let received = folder.path().join("received");
    let bytes = noise(LARGE);
    fs::create_dir(folder.path().join("files")).unwrap();
    fs::write(folder.path().join("files/large"), &bytes).unwrap();
    let server = Server::start_with(30.0, Some(folder.path()));
    let url = server.url("/file/files/large");
    for (option, _) in VERSIONS {
        let load = |args: &[&str]| {
            let mut command = Command::new("curl");
            command.args(["--silent", "--show-error", "--fail", option, &url]).args(args);
            let headers = run_well(command.arg("--output").arg(&received), 3 * PATIENCE);
            (headers, fs::read(&received).unwrap())
        };
        assert!(load(&[]).1 == bytes, "not what is in the file, with {option}");

        let (headers, body) = load(&["--dump-header", "-", "--range", "1000000-1999999"]);
        assert!(body == bytes[1_000_000..2_000_000], "not that part of the file, with {option}");
        assert!(headers.contains("206"), "{headers}");
        assert!(
            headers.contains("content-range: bytes 1000000-1999999/100000000\r\n"),
            "{headers}"
        );
        assert!(load(&["--range", "99999000-"]).1 == bytes[99_999_000..]);
        assert!(load(&["--range", "-500"]).1 == bytes[LARGE - 500..]);
        assert!(load(&["--range", "99999999-200000000"]).1 == bytes[LARGE - 1..]);

        let head = curl(&[option, "--head", &url]).body;
        assert!(head.contains("content-length: 100000000\r\n"), "{head}");
        let beyond = curl(&[option, "--range", "100000000-", "--include", &url]);
        assert_eq!(beyond.status, 416, "{beyond:?}");
        assert!(beyond.body.contains("content-range: bytes */100000000\r\n"), "{beyond:?}");
    }
    server.end();
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_but_the_files_of_the_folder_is_served() {
    need!("curl");
    let folder = Folder::new("outside");
    let public = folder.path().join("public");
    fs::create_dir_all(public.join("sub")).unwrap();
    fs::write(folder.path().join("secret"), "the recipe\n").unwrap();
    fs::write(public.join(".hidden"), "the recipe\n").unwrap();
    fs::write(public.join("menu"), "soup\n").unwrap();
    std::os::unix::fs::symlink("../secret", public.join("link")).unwrap();
    std::os::unix::fs::symlink("menu", public.join("inner")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        public.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let server = Server::start_with(30.0, Some(&public));
    let get = |path: &str| curl(&["--path-as-is", &server.url(path)]);
    let absolute = folder.path().join("secret");
    let absolute = absolute.display();
    let outside = [
        "/file/../secret",
        "/file/sub/../../secret",
        "/file/%2e%2e/secret",
        "/file/..%2fsecret",
        "/file/sub/..%2f..%2fsecret",
        "/file/%2e%2e%2fsecret%00",
        "/file/.hidden",
        "/file/link",
        "/file/sub",
        "/file/pipe",
        "/file/menu/x",
        "/file/",
        &format!("/file/{absolute}"),
        &format!("/file/%2f{absolute}"),
    ];
    for path in outside {
        let answer = get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        assert!(!answer.body.contains("recipe"), "{path}: {answer:?}");
    }
    assert_eq!(get("/file/menu").body, "soup\n");
    assert_eq!(get("/file/inner").body, "soup\n");
    server.end();

    // And none at all without a folder.
    let server = Server::start();
    assert_eq!(curl(&[&server.url("/file/Cargo.toml")]).status, 404);
    server.end();
}

#[test]
fn a_slow_download_and_a_slow_handler_slow_no_other() {
    need!("curl");
    let server = Server::start();
    for (option, _) in VERSIONS {
        let mut download = Command::new("curl");
        download.args(["--silent", option, "--limit-rate", "1M", &server.url("/big?mib=100")]);
        let mut download = download.stdout(Stdio::piped()).spawn().unwrap();
        let mut bytes = [0; 1024 * 1024];
        // The request is in flight.
        download.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
        let mut slow = Command::new("curl");
        slow.args(["--silent", option, &server.url("/slow")]);
        let mut slow = slow.stdout(Stdio::piped()).spawn().unwrap();
        for _ in 0..20 {
            server.serves();
        }
        assert!(download.try_wait().unwrap().is_none(), "the download was not slow");
        assert!(slow.try_wait().unwrap().is_none(), "the slow handler was not slow");
        let mut answer = String::new();
        slow.stdout.as_mut().unwrap().read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "Sorry to keep you waiting.\n");
        slow.wait().unwrap();
        download.kill().unwrap();
        download.wait().unwrap();
    }
    server.end();
}

#[test]
fn events_come_until_the_client_leaves_or_the_server_ends() {
    need!("curl");
    let server = Server::start();
    for (option, _) in VERSIONS {
        let listen = || {
            let mut events = Command::new("curl");
            events.args(["--silent", "--no-buffer", option, &server.url("/events")]);
            let mut events = events.stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
            for tick in 1..=2 {
                assert_eq!(lines.next().unwrap().unwrap(), "event: tick");
                let data = lines.next().unwrap().unwrap();
                assert!(
                    data.starts_with(&format!(r#"data: {{"tick": {tick}, "requests": "#)),
                    "{data}"
                );
                assert_eq!(lines.next().unwrap().unwrap(), "");
            }
            (events, lines)
        };
        let ended = |server: &Server| {
            server.program.said(|said| {
                said.lines
                    .iter()
                    .filter(|line| line.contains("the stream of events has ended"))
                    .count()
            })
        };
        let before = ended(&server);
        let (mut events, _) = listen();
        events.kill().unwrap();
        events.wait().unwrap();
        server.program.wait_for("the end of the stream", |said| {
            let ends =
                said.lines.iter().filter(|line| line.contains("the stream of events has ended"));
            ends.count() > before
        });
    }
    let mut events = Command::new("curl");
    events.args(["--silent", "--no-buffer", &server.url("/events")]).stdout(Stdio::piped());
    let mut events = events.spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "event: tick");
    let said = server.end();
    assert!(!said.contains("had to be cut off"), "{said}");
    // Ended properly, not broken off.
    assert_eq!(events.wait().unwrap().code(), Some(0));
}

#[test]
fn a_panic_costs_one_request() {
    need!("curl");
    let server = Server::start();
    let (plain, panic) = (server.url("/plain"), server.url("/panic"));
    // On one connection. (Over HTTP/2, `load.rs` does the same with h2load, because of a bug in
    // curl 7.88.)
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--write-out",
        " %{http_code} %{num_connects}\n",
        &plain,
        &panic,
        &plain,
    ]);
    let said = run_well(&mut command, PATIENCE);
    assert_eq!(said, "One soup, please.\n 200 1\n 500 0\nOne soup, please.\n 200 0\n");
    let said = server.end();
    let panics = said.lines().filter(|line| {
        line.contains("ERROR") && line.contains("answered with 500: the soup boils over")
    });
    assert_eq!(panics.count(), 1, "{said}");
}

#[test]
fn a_hundred_clients_are_served_at_once() {
    let server = Server::start();
    let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for _ in 0..3 {
        for client in &mut clients {
            client
                .write_all(b"POST /plain HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n")
                .unwrap();
        }
        for client in &mut clients {
            client.write_all(b"hello").unwrap();
        }
        for client in &mut clients {
            let mut answer = Vec::new();
            while !answer.ends_with(b"hello") {
                let mut bytes = [0; 1024];
                let n = client.read(&mut bytes).unwrap();
                assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&bytes[..n]);
            }
        }
    }
    server.end();
}

#[test]
fn ctrl_c_lets_a_request_finish_and_a_second_one_does_not() {
    for is_asked_twice in [false, true] {
        let server = Server::start();
        // This one is idle when the server shuts down, and is closed immediately.
        let mut idle = server.connect();
        idle.write_all(b"GET /plain HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut client = server.connect();
        client.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        // The slow request has started when this later one is answered.
        server.serves();
        server.program.interrupt();
        let mut answer = String::new();
        idle.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("One soup, please.\n"), "{answer}");
        server.program.wait_for_line("closing: ");
        if is_asked_twice {
            server.program.interrupt();
        }
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer);
        assert_eq!(answer.ends_with("Sorry to keep you waiting.\n"), !is_asked_twice, "{answer}");
        let (code, said) = server.program.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.ends_with("closed"), "{said}");
    }
}

#[test]
fn wrong_arguments_are_named() {
    let refused = |args: &[&str], reasons: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_web_server"));
        let output = run(command.args(args), PATIENCE);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(reasons.iter().all(|reason| said.contains(reason)), "{reasons:?} in {said}");
        assert!(!said.contains("listening"), "{said}");
    };
    refused(&["soup"], &["soup", "port"]);
    refused(&["127.0.0.1:0", "/no/such/folder"], &["/no/such/folder", "give a folder"]);
    refused(&["127.0.0.1:0", file!().rsplit('/').next().unwrap()], &["curl.rs", "give a folder"]);
}
