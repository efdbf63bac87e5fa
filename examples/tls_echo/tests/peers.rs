//! The server against openssl, curl and misbehaving clients; the client against the server.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use peers::{Folder, PATIENCE, Program, address, need, run, run_well, tells};

const TLS_ECHO: &str = env!("CARGO_BIN_EXE_tls_echo");

struct Server {
    program: Program,
    address: SocketAddr,
    certificate: PathBuf,
    folder: Folder,
}

impl Server {
    fn start(options: &[&str]) -> Server {
        let folder = Folder::new("tls_echo");
        let certificate = folder.path().join("echo.pem");
        let mut args = vec!["server", "127.0.0.1:0", "--cert-out", certificate.to_str().unwrap()];
        args.extend(options);
        let program = peers::start(TLS_ECHO, &args);
        let address = address(&program, "listening on ");
        Server { program, address, certificate, folder }
    }

    /// The Rust client, which sends what is written to its standard input.
    fn client(&self) -> Program {
        let mut client = Command::new(TLS_ECHO);
        client
            .args(["client", &self.address.to_string(), "--ca"])
            .arg(&self.certificate)
            .stdin(Stdio::piped());
        let client = Program::start_command("client", client);
        client.wait_for_line("connected to ");
        client
    }

    fn openssl(&self, options: &[&str]) -> Command {
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_client",
            "-connect",
            &self.address.to_string(),
            "-verify_return_error",
            "-CAfile",
        ]);
        openssl.arg(&self.certificate).args(options);
        openssl
    }

    /// Waits for the line that it says about this client.
    #[track_caller]
    fn says(&self, client: &TcpStream, what: &str) {
        let line = self.program.wait_for_line(&format!("{} {what}", client.local_addr().unwrap()));
        assert!(line.contains("WARN"), "{line}");
    }

    /// Sends Ctrl-C. The server must exit successfully, with these words.
    #[track_caller]
    fn close(self, words: &str) {
        self.program.interrupt();
        let (code, said) = self.program.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

fn say(program: &mut Program, line: &str) {
    program.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
}

/// Sends `line`, and waits until it has come back.
#[track_caller]
fn echo(client: &mut Program, line: &str) {
    say(client, &format!("{line}\n"));
    client.wait_for(line, |said| said.lines.iter().any(|said| said == line));
}

/// Connects, with a time limit for reads.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the server ends the connection, cleanly or not.
#[track_caller]
fn wait_for_end(mut stream: TcpStream) {
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn openssl_gets_its_message_back_over_tls_1_2_and_1_3() {
    need!("openssl");
    let server = Server::start(&[]);
    for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let mut openssl = server.openssl(&["-brief", "-alpn", "echo", option]);
        openssl.stdin(Stdio::piped());
        let mut openssl = Program::start_command("openssl", openssl);
        openssl.wait_for_line(&format!("Protocol version: {version}"));
        openssl.wait_for_line("Verification: OK");
        echo(&mut openssl, "one soup, please");
        drop(openssl.child.stdin.take());
        assert_eq!(openssl.end().0, Some(0));
        let here =
            server.program.wait_for_line(&format!("connected: {}", version.replace('.', "_")));
        assert!(here.ends_with("ALPN echo"), "{here}");
    }
    server.program.wait_for("two clients that have left", |said| {
        said.lines.iter().filter(|line| line.contains("disconnected after 17 bytes")).count() == 2
    });
    server.close("0 were dropped");
}

#[test]
fn curl_trusts_the_certificate_and_an_idle_client_is_sent_away_with_a_clean_end() {
    need!("curl");
    let server = Server::start(&["--idle-timeout", "1"]);
    let mut curl = Command::new("curl");
    // curl receives its own request. It interprets that as an HTTP/0.9 response, which ends with
    // the connection.
    curl.args(["--silent", "--show-error", "--http0.9", "--no-alpn", "--cacert"])
        .arg(&server.certificate);
    let answer =
        run_well(curl.arg(format!("https://localhost:{}/soup", server.address.port())), PATIENCE);
    assert!(answer.starts_with("GET /soup HTTP/1.1\r\n"), "{answer}");
    server.program.wait_for_line("sent nothing for 1s");
    server.close("0 were dropped");
}

#[test]
fn a_client_that_wants_another_protocol_is_refused() {
    need!("openssl");
    let server = Server::start(&[]);
    let refused = run(&mut server.openssl(&["-alpn", "http/1.1"]), PATIENCE);
    assert_eq!(refused.status.code(), Some(1));
    server.program.wait_for_line("it wants another protocol than \"echo\"");
    server.close("0 were dropped");
}

#[test]
fn clients_that_do_not_speak_tls_are_named_and_the_others_are_served() {
    let server = Server::start(&[]);
    let mut good = server.client();
    echo(&mut good, "before");
    for plain in
        ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "hello\n", "\x16\x03\x01\x7f\x7f hello"]
    {
        let mut stream = connect(server.address);
        stream.write_all(plain.as_bytes()).unwrap();
        server.says(&stream, "handshake failed: what it sent is not TLS");
        wait_for_end(stream);
    }
    let gone = connect(server.address);
    gone.shutdown(std::net::Shutdown::Write).unwrap();
    server.says(&gone, "handshake failed: it closed the connection");
    echo(&mut good, "after");
    drop(good.child.stdin.take());
    let (code, said) = good.end();
    assert_eq!(code, Some(0), "{said}");
    server.close("0 were dropped");
}

#[test]
fn a_handshake_that_never_ends_is_cut_off_within_the_timeout() {
    let server = Server::start(&["--handshake-timeout", "1"]);
    let begin = Instant::now();
    let silent = connect(server.address);
    // Sends the header of a ClientHello of 508 bytes, and then single bytes.
    let mut slow = connect(server.address);
    let mut writer = slow.try_clone().unwrap();
    let drip = thread::spawn(move || {
        let head = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
        for byte in head.into_iter().chain([0; 400]) {
            if writer.write_all(&[byte]).is_err() {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    });
    for stream in [&silent, &slow] {
        server.says(stream, "handshake failed: it was not complete after 1s");
    }
    assert!(begin.elapsed() >= Duration::from_secs(1));
    wait_for_end(silent);
    let _ = slow.read(&mut [0]);
    assert!(drip.join().unwrap(), "it could go on writing for 8 seconds");
    echo(&mut server.client(), "after");
}

#[test]
fn a_megabyte_comes_back_intact() {
    let server = Server::start(&[]);
    let (input, output) = (server.folder.path().join("input"), server.folder.path().join("output"));
    // All blocks of it differ.
    let sent: Vec<u8> =
        (0..1_u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(&input, &sent).unwrap();
    // `run` gives its program nothing to read.
    let mut client = Command::new("sh");
    client.args([
        "-c",
        "exec \"$0\" client \"$ADDRESS\" --ca \"$CA\" < \"$INPUT\" > \"$OUTPUT\"",
        TLS_ECHO,
    ]);
    client.env("ADDRESS", server.address.to_string()).env("CA", &server.certificate);
    run_well(client.env("INPUT", &input).env("OUTPUT", &output), PATIENCE);
    assert!(fs::read(&output).unwrap() == sent, "other bytes came back");
    server.program.wait_for_line("disconnected after 1048576 bytes");
    server.close("0 were dropped");
}

#[test]
fn a_client_that_does_not_trust_the_server_says_so_and_exits_with_1() {
    let (server, other) = (Server::start(&[]), Server::start(&[]));
    let untrusting = |options: &[&str]| {
        let mut client = Command::new(TLS_ECHO);
        let output =
            run(client.args(["client", &server.address.to_string()]).args(options), PATIENCE);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        let what = format!("{}: its certificate is not trusted here", server.address);
        assert!(said.contains(&what), "{said}");
        assert!(said.contains("--ca"), "{said}");
    };
    untrusting(&["--ca", other.certificate.to_str().unwrap()]);
    untrusting(&[]); // With the certificates that the system trusts.
    server.program.wait_for("two clients that do not trust it", |said| {
        let names_it =
            |line: &&String| line.contains("handshake failed: it does not trust our certificate");
        said.lines.iter().filter(names_it).count() == 2
    });
    echo(&mut server.client(), "after");
}

#[test]
fn a_client_says_what_is_wrong_with_its_server_or_its_file() {
    let folder = Folder::new("tls_echo");
    let says = |args: &[&str], what: &str| {
        let output = run(Command::new(TLS_ECHO).arg("client").args(args), PATIENCE);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(what), "{said}");
    };
    // A server that speaks first, and plain text.
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        stream.write_all(b"220 soup.example ESMTP\r\n").unwrap();
        wait_for_end(stream);
    });
    says(&[&address], &format!("{address}: what it sent is not TLS"));
    server.join().unwrap();
    says(&[&address], &format!("connect to {address}: ")); // It is gone.

    let file = folder.path().join("ca.pem");
    let file = file.to_str().unwrap();
    says(&[&address, "--ca", file], &format!("read certificates from {file}: "));
    fs::write(file, "soup\n").unwrap();
    says(&[&address, "--ca", file], &format!("read certificates from {file}: there is none in it"));
    says(&["local host:1"], "local host:1: ");
}

#[test]
fn a_client_that_ends_without_close_notify_is_told_as_truncated() {
    let server = Server::start(&[]);
    let mut client = server.client();
    echo(&mut client, "soup");
    drop(client); // Killed.
    let line = server.program.wait_for_line("without close_notify");
    assert!(line.contains("failed after 5 bytes"), "{line}");
    server.close("0 were dropped");
}

#[test]
fn a_client_that_does_not_take_its_echo_is_cut_off() {
    let server = Server::start(&["--idle-timeout", "1"]);
    let mut client = Command::new(TLS_ECHO);
    client.args(["client", &server.address.to_string(), "--ca"]).arg(&server.certificate);
    // Nothing reads its output, so it stops reading from the server.
    let mut client =
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = client.stdin.take().unwrap();
    let writer = thread::spawn(move || while input.write_all(&[7; 64 * 1024]).is_ok() {});
    server.program.wait_for_line("it does not take what it is sent");
    client.kill().unwrap();
    client.wait().unwrap();
    writer.join().unwrap();
    server.close("0 were dropped");
}

#[test]
fn more_clients_than_the_limit_wait_until_one_leaves() {
    let server = Server::start(&["--clients", "1"]);
    let mut first = server.client();
    server.program.wait_for_line("1 clients are connected, which is the limit");
    let mut second = connect(server.address);
    second.write_all(b"hello\n").unwrap();
    second.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let waits = second.read(&mut [0; 64]).expect_err("it is not served yet");
    assert!(matches!(waits.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{waits}");
    echo(&mut first, "soup");
    drop(first.child.stdin.take());
    server.says(&second, "handshake failed: what it sent is not TLS");
    server
        .program
        .said(|said| tells(&said.lines, &["disconnected after 5 bytes", "handshake failed"]));
    server.close("0 were dropped");
}

#[test]
fn a_server_that_closes_tells_its_clients_and_cuts_off_what_is_not_done_after_the_grace() {
    let server = Server::start(&["--grace", "0.5"]);
    let silent = connect(server.address); // In its handshake for ten seconds.
    let mut client = server.client();
    echo(&mut client, "soup");
    server.program.interrupt();
    let (code, said) = client.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("the server has closed the connection: 5 of 5 bytes came back"),
        "{said}"
    );
    wait_for_end(silent);
    let (code, said) = server.program.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("is disconnected after 5 bytes: the server is closing"), "{said}");
    assert!(said.contains("closed; 1 clients finished, 1 were dropped"), "{said}");
}

#[test]
fn a_temporary_certificate_is_gone_when_the_server_is() {
    let folder = Folder::new("tls_echo");
    let mut command = Command::new(TLS_ECHO);
    command.args(["server", "127.0.0.1:0"]).env("TMPDIR", folder.path()).stdin(Stdio::null());
    let server = Program::start_command("server", command);
    let line = server.wait_for_line("the certificate for clients is in ");
    let file = Path::new(line.split_once(" is in ").unwrap().1);
    assert!(file.starts_with(folder.path()) && file.is_file(), "{line}");
    server.wait_for_line("listening on ");
    server.interrupt();
    assert_eq!(server.end().0, Some(0));
    assert!(!file.exists());
}

#[test]
fn the_demonstration_serves_all_its_clients() {
    let (code, said) = peers::start(TLS_ECHO, &[]).end();
    assert_eq!(code, Some(0), "{said}");
    for sentence in [
        "TLSv1_2: 1048577 bytes came back unchanged",
        "TLSv1_3: 1048577 bytes came back unchanged",
        "a client that did not speak TLS was disconnected",
        "a client that trusted another certificate did not connect",
        "a client closed its connection without close_notify",
        "a silent client was disconnected",
        "a client that was connected when the server closed was notified",
        "closed; 1 clients finished, 0 were dropped",
    ] {
        assert!(said.contains(sentence), "it does not say {sentence:?}:\n{said}");
    }
}

#[test]
fn a_wrong_command_line_is_explained() {
    for (args, wrong) in [
        (&["serve"][..], "\"serve\" is neither \"server\" nor \"client\""),
        (&["client"], "a client needs the ADDRESS of a server"),
        (&["server", "--clients", "many"], "--clients cannot be \"many\""),
        (&["server", "--grace", "-1"], "--grace cannot be -1 seconds"),
        (&["server", "--cert-out"], "--cert-out needs a value"),
        (&["client", "localhost:7443", "--grace"], "a client has no option --grace"),
    ] {
        let output = run(Command::new(TLS_ECHO).args(args), PATIENCE);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(wrong) && said.contains("usage: "), "{said}");
    }
}
