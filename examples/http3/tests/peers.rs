//! The client against the server, in processes of their own; the server against Chromium and
//! against misbehaving clients.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use peers::{Folder, PATIENCE, Program, address, figure, need, run, run_well};

const HTTP3: &str = env!("CARGO_BIN_EXE_http3");

struct Server {
    program: Program,
    address: SocketAddr,
    certificate: PathBuf,
    folder: Folder,
}

impl Server {
    fn start(options: &[&str]) -> Server {
        let folder = Folder::new("http3");
        let certificate = folder.path().join("http3.pem");
        let mut command = Command::new(HTTP3);
        command.args(["server", "127.0.0.1:0", "--cert-out"]).arg(&certificate).args(options);
        command.stdin(Stdio::null()).env("RUST_LOG", "http3=debug").env_remove("RUST_LOG_STYLE");
        let program = Program::start_command("http3", command);
        let address = address(&program, "listening on ");
        Server { program, address, certificate, folder }
    }

    fn command(&self, path: &str, options: &[&str]) -> Command {
        let mut client = Command::new(HTTP3);
        client.arg("client").arg(format!("https://{}{path}", self.address)).args(options);
        client.arg("--ca").arg(&self.certificate).env_remove("RUST_LOG").stdin(Stdio::null());
        client
    }

    /// Returns the client's standard output and log, if it succeeds.
    #[track_caller]
    fn get(&self, path: &str, options: &[&str]) -> (String, Vec<String>) {
        let output = run(&mut self.command(path, options), PATIENCE);
        let said = log_of(&output);
        assert!(output.status.success(), "{said:#?}");
        (String::from_utf8(output.stdout).unwrap(), said)
    }

    /// Starts a client whose answer takes some time. Returns when the server has its request.
    fn slow(&self, seconds: &str, options: &[&str]) -> Program {
        let client = self.command(&format!("/slow?seconds={seconds}"), options);
        let client = Program::start_command("client", client);
        client.wait_for_line("connected to ");
        self.program.wait_for_line("GET /slow: started");
        client
    }

    /// Sends Ctrl-C. The server must exit successfully, with these words.
    #[track_caller]
    fn close(self, words: &str) -> Vec<String> {
        self.program.interrupt();
        let (code, said) = self.program.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(words), "{said}");
        said.lines().map(str::to_owned).collect()
    }
}

fn log_of(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect()
}

/// How many answers the client has received.
fn answers(said: &[String]) -> f64 {
    let line = said.iter().find(|line| line.contains(" answers with "));
    figure(&[line.unwrap().clone()], &["] "])
}

/// The client must fail with this message.
#[track_caller]
fn fails(client: &mut Command, what: &str) {
    let output = run(client, PATIENCE);
    let said = log_of(&output).join("\n");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(what), "{said}");
}

#[track_caller]
fn ends(client: Program, code: i32, words: &str) {
    let (ended, said) = client.end();
    assert_eq!(ended, Some(code), "{said}");
    assert!(said.contains(words), "{said}");
}

#[test]
fn a_page_is_answered_and_other_requests_are_refused() {
    let server = Server::start(&["--max-body", "1000"]);
    let (page, _) = server.get("/", &[]);
    assert!(page.contains("<h1>Today's menu</h1>"), "{page}");
    fails(&mut server.command("/cake", &[]), "/cake: 404 Not Found");
    fails(&mut server.command("/echo", &[]), "/echo: 405 Method Not Allowed");
    fails(&mut server.command("/slow?seconds=soup", &[]), "400 Bad Request");
    let body = server.folder.path().join("body");
    for (length, answer) in
        [(1000, None), (1001, Some("413")), (1_000_000, Some("/echo: 413 Payload Too Large"))]
    {
        fs::write(&body, vec![b'x'; length]).unwrap();
        let options = ["--post", body.to_str().unwrap()];
        match answer {
            None => assert_eq!(server.get("/echo", &options).0.len(), length),
            Some(answer) => fails(&mut server.command("/echo", &options), answer),
        }
    }
    server.close("0 were dropped");
}

#[test]
fn a_large_body_comes_back_intact_and_many_datagrams_are_sent_by_one_call() {
    let server = Server::start(&[]);
    let path = server.folder.path().join("body");
    // All blocks of it differ.
    let body: Vec<u8> =
        (0..1_u32 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(&path, &body).unwrap();
    let output = run(&mut server.command("/echo", &["--post", path.to_str().unwrap()]), PATIENCE);
    let said = log_of(&output);
    assert!(output.status.success(), "{said:#?}");
    assert!(output.stdout == body, "other bytes came back than were sent");
    server.program.wait_for_line("disconnected after 1 requests");
    let server = server.close("0 were dropped");
    for (said, datagrams) in [(said, "for them, "), (server, "disconnected after 1 requests; ")] {
        let datagrams = figure(&said, &[datagrams]);
        let calls = figure(&said, &["datagrams were sent", "by "]);
        assert!(datagrams > 2000.0, "4 MB in {datagrams} datagrams");
        if cfg!(target_os = "linux") {
            assert!(datagrams > 3.0 * calls, "{datagrams} datagrams by {calls} system calls");
        }
    }
}

#[test]
fn a_thousand_requests_at_once_are_answered_over_one_connection() {
    let server = Server::start(&[]);
    let (_, said) = server.get("/", &["--requests", "1000"]);
    assert_eq!(answers(&said), 1000.0);
    server.program.wait_for_line("disconnected after 1000 requests");
    let said = server.close("0 were dropped");
    assert_eq!(said.iter().filter(|line| line.ends_with(" connected")).count(), 1);
}

#[test]
fn a_client_has_no_more_requests_at_once_than_the_server_allows() {
    let server = Server::start(&["--streams", "2"]);
    let begin = Instant::now();
    server.get("/slow?seconds=0.2", &["--requests", "6"]);
    assert!(begin.elapsed() >= Duration::from_millis(600), "6 requests, 2 at a time");
    server.close("0 were dropped");
}

#[test]
fn a_slow_answer_keeps_no_other_waiting() {
    let server = Server::start(&[]);
    let slow = server.slow("3", &[]);
    server.get("/", &["--requests", "100"]);
    ends(slow, 0, "Here is the soup.");
    let said = server.close("0 were dropped");
    let at = |what: &str| said.iter().rposition(|line| line.contains(what)).unwrap();
    assert!(at(" GET /: 200 OK") < at(" GET /slow: 200 OK"), "{said:#?}");
}

#[test]
fn a_server_that_takes_longer_than_the_idle_timeout_is_not_taken_for_lost() {
    let server = Server::start(&["--idle-timeout", "1"]);
    let (answer, _) = server.get("/slow?seconds=2.5", &["--idle-timeout", "1"]);
    assert_eq!(answer, "The soup is on the stove.\nHere is the soup.\n");
    server.close("0 were dropped");
}

#[test]
fn a_server_that_is_lost_is_told_within_the_idle_timeout() {
    let server = Server::start(&[]);
    let begin = Instant::now();
    let client = server.slow("60", &["--idle-timeout", "1"]);
    drop(server.program); // Killed.
    ends(client, 1, "the connection failed: it sent nothing within the idle timeout");
    assert!(begin.elapsed() < Duration::from_secs(10));
    // No server is running now.
    let mut late = Command::new(HTTP3);
    late.args(["client", &format!("https://{}/", server.address), "--idle-timeout", "1"]);
    fails(
        late.env_remove("RUST_LOG"),
        &format!("connect to {}: it sent nothing within", server.address),
    );
}

#[test]
fn a_client_that_is_lost_is_told_within_the_idle_timeout_and_its_request_is_dropped() {
    let server = Server::start(&["--idle-timeout", "1"]);
    drop(server.slow("60", &[])); // Killed.
    server.program.wait_for_line("failed after 1 requests: it sent nothing within");
    server.get("/", &[]);
    server.close("0 connections have 5s to finish");
}

#[test]
fn datagrams_that_are_no_quic_do_no_harm() {
    let server = Server::start(&[]);
    let slow = server.slow("1", &[]);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = 1_u64;
    for number in 0..3000 {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let length = (random >> 33) as usize % 1500;
        let mut datagram: Vec<u8> =
            (0..length).map(|n| (random >> (n % 57)) as u8 ^ n as u8).collect();
        // Some look like the first datagram of a connection of QUIC 1, with a connection ID of 8
        // bytes.
        if number % 3 == 0 && length > 20 {
            datagram[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
        }
        let _ = stranger.send_to(&datagram, server.address); // The server's receive buffer may be full.
    }
    let (_, said) = server.get("/", &["--requests", "100"]);
    assert_eq!(answers(&said), 100.0);
    ends(slow, 0, "Here is the soup.");
    server.close("0 were dropped");
}

#[test]
fn connections_beyond_the_limit_are_refused_and_let_in_when_others_have_left() {
    let server = Server::start(&["--connections", "1"]);
    let slow = server.slow("1", &[]);
    fails(&mut server.command("/", &[]), "connect to ");
    let line = server.program.wait_for_line("is refused");
    assert!(line.contains("1 connections are open, which is the limit"), "{line}");
    ends(slow, 0, "Here is the soup.");
    server.program.wait_for_line("disconnected after 1 requests");
    server.get("/", &[]);
    server.close("0 were dropped");
}

#[test]
fn a_client_that_does_not_trust_the_server_says_so_and_exits_with_1() {
    let (server, other) = (Server::start(&[]), Server::start(&[]));
    let untrusting = |options: &[&str]| {
        let mut client = Command::new(HTTP3);
        client
            .args(["client", &format!("https://{}/", server.address)])
            .args(options)
            .env_remove("RUST_LOG");
        fails(
            &mut client,
            &format!("connect to {}: its certificate is not trusted here", server.address),
        );
    };
    untrusting(&["--ca", other.certificate.to_str().unwrap()]);
    untrusting(&[]); // With the certificates that the system trusts.
    server.program.wait_for("two clients that do not trust it", |said| {
        let names_it =
            |line: &&String| line.contains("handshake failed: it does not trust our certificate");
        said.lines.iter().filter(names_it).count() == 2
    });
    server.get("/", &[]);
    server.close("0 were dropped");
}

#[test]
fn a_server_that_closes_finishes_what_it_has_begun() {
    let server = Server::start(&[]);
    let slow = server.slow("1", &[]);
    server.program.interrupt();
    server.program.wait_for_line("closing; 1 connections have 5s to finish");
    fails(&mut server.command("/", &[]), "connect to ");
    ends(slow, 0, "Here is the soup.");
    ends(server.program, 0, "closed; 1 connections finished, 0 were dropped");
}

#[test]
fn a_server_that_closes_cuts_off_what_is_not_done_after_the_grace() {
    let server = Server::start(&["--grace", "0.5"]);
    let slow = server.slow("60", &[]);
    server.program.interrupt();
    // 256 is H3_NO_ERROR.
    ends(
        slow,
        1,
        "the connection failed: closed by peer: Connection was closed by the server (code 256)",
    );
    ends(server.program, 0, "closed; 0 connections finished, 1 were dropped");
}

#[test]
fn chromium_shows_the_page() {
    need!("openssl");
    let chromium = need!("chromium");
    let server = Server::start(&[]);
    // Chromium accepts an unknown certificate only by the hash of its key.
    let hash = "openssl x509 -in \"$CA\" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64";
    let mut shell = Command::new("sh");
    let hash = run_well(shell.args(["-c", hash]).env("CA", &server.certificate), PATIENCE);
    let mut browser = Command::new(chromium);
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-quic", "--dump-dom"]);
    browser.arg(format!("--user-data-dir={}", server.folder.path().join("profile").display()));
    browser.arg(format!("--origin-to-force-quic-on={}", server.address));
    browser.arg(format!("--ignore-certificate-errors-spki-list={}", hash.trim()));
    let shown = run_well(browser.arg(format!("https://{}/", server.address)), 3 * PATIENCE);
    assert!(shown.contains("<h1>Today's menu</h1>"), "{shown}");
    server.program.wait_for_line("GET /: 200 OK");
    server.close("0 were dropped");
}

#[test]
fn a_temporary_certificate_is_gone_when_the_server_is() {
    let folder = Folder::new("http3");
    let mut command = Command::new(HTTP3);
    command.args(["server", "127.0.0.1:0"]).env("TMPDIR", folder.path()).stdin(Stdio::null());
    let server = Program::start_command("http3", command);
    let line = server.wait_for_line("the certificate for clients is in ");
    let file = Path::new(line.split_once(" is in ").unwrap().1);
    assert!(file.starts_with(folder.path()) && file.is_file(), "{line}");
    server.wait_for_line("listening on ");
    server.interrupt();
    assert_eq!(server.end().0, Some(0));
    assert!(!file.exists());
}

#[test]
fn the_demonstration_tells_what_it_does() {
    let (code, said) = peers::start(HTTP3, &[]).end();
    assert_eq!(code, Some(0), "{said}");
    let said: Vec<String> = said.lines().map(str::to_owned).collect();
    let told = [
        "GET /: 200 OK, 98 bytes",
        "POST /echo: 200 OK, 1048576 bytes came back unchanged",
        "GET /: 100 of 100 concurrent requests were answered",
        "GET /slow: 200 OK",
        "after 99 datagrams that are not QUIC: 404 Not Found",
        "after the server began to close: ",
        "closed; 1 connections finished, 0 were dropped",
    ];
    peers::tells(&said, &told);
}

#[test]
fn a_wrong_command_line_is_explained() {
    for (args, wrong) in [
        (&["serve"][..], "\"serve\" is neither \"server\" nor \"client\""),
        (&["client"], "a client needs a URL"),
        (&["client", "http://localhost/"], "does not begin with https://"),
        (&["client", "local host"], "is not a URL"),
        (&["server", "--connections", "many"], "--connections cannot be \"many\""),
        (&["server", "--idle-timeout", "0"], "--idle-timeout cannot be 0 seconds"),
        (&["server", "--cert-out"], "--cert-out needs a value"),
    ] {
        let output = run(Command::new(HTTP3).args(args), PATIENCE);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(wrong) && said.contains("usage: "), "{said}");
    }
}
