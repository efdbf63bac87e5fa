//! The program against its built-in API, and against other HTTPS servers.

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use peers::{Folder, PATIENCE, Program, free_port, need, run_well, start, tells};

fn api_calls(args: &[&str]) -> Program {
    start(env!("CARGO_BIN_EXE_api_calls"), args)
}

/// Returns the exit code and the lines of output.
fn ended(program: Program) -> (Option<i32>, Vec<String>) {
    let (code, said) = program.end();
    (code, said.lines().map(str::to_owned).collect())
}

/// Returns the line of the table for an address with this end, split into words.
fn row<'a>(said: &'a [String], end: &str) -> Vec<&'a str> {
    let rows = said
        .iter()
        .filter(|line| line.split_whitespace().next().is_some_and(|url| url.ends_with(end)));
    let rows: Vec<_> = rows.collect();
    let [row] = rows[..] else { panic!("not one row for {end}: {said:#?}") };
    row.split_whitespace().collect()
}

#[test]
fn passing_failures_are_tried_again_and_lasting_ones_are_told() {
    let (code, said) = ended(api_calls(&[]));
    assert_eq!(code, Some(1), "two of them fail for good: {said:#?}");
    assert_eq!(row(&said, "/dishes/1")[1], "1");
    // Overloaded twice; too slow once; not found; failing at each attempt.
    assert_eq!(row(&said, "/dishes/5")[1], "3");
    assert_eq!(row(&said, "/dishes/7")[1], "2");
    let (gone, broken) = (row(&said, "/dishes/13"), row(&said, "/dishes/26"));
    assert_eq!((gone[1], gone[3..].join(" ")), ("1", "FAILED: 404 Not Found".to_owned()));
    assert_eq!(
        (broken[1], broken[3..].join(" ")),
        ("4", "FAILED: 500 Internal Server Error".to_owned())
    );
    tells(&said, &["38 of 40 calls answered well, in 63 attempts", "up to 16 at once"]);
}

#[test]
fn a_server_that_is_not_there_is_named_after_all_attempts() {
    let url = format!("http://127.0.0.1:{}/", free_port());
    let (code, said) = ended(api_calls(&["--attempts", "2", &url]));
    assert_eq!(code, Some(1), "{said:#?}");
    let row = row(&said, &url);
    assert_eq!(row[1], "2");
    assert!(row.join(" ").contains("refused"), "{row:?}");
}

#[test]
fn a_server_that_keeps_silent_is_given_up_after_the_timeout_or_by_ctrl_c() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (code, said) = ended(api_calls(&["--attempts", "1", "--timeout", "1", &url]));
    assert_eq!(code, Some(1), "{said:#?}");
    assert!(row(&said, &url).join(" ").ends_with("FAILED: no answer within 1s"), "{said:#?}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let program = api_calls(&["--timeout", "600", &url]);
    let (came, comes) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let n = stream.read(&mut [0; 1024]).unwrap();
        came.send((n, stream)).unwrap();
    });
    let (n, _stream) = comes.recv_timeout(PATIENCE).expect("a request");
    assert!(n > 0);
    program.interrupt();
    let (code, said) = ended(program);
    assert_eq!(code, Some(1), "{said:#?}");
    assert!(row(&said, &url).join(" ").ends_with("FAILED: given up"), "{said:#?}");
}

#[test]
fn arguments_that_make_no_sense_are_named() {
    for (args, complaint) in [
        (&["--at-once", "0"][..], "--at-once \"0\": it must be a whole number of at least 1"),
        (&["--timeout"], "--timeout needs a value"),
        (&["--slow"], "there is no option --slow"),
        (&["/menu"], "\"/menu\" cannot be called: it must begin with http:// or https://"),
        (&["ftp://127.0.0.1/"], "\"ftp://127.0.0.1/\" cannot be called"),
        (&["http://a b/"], "\"http://a b/\" is not a URL"),
        (&["--ca", "nowhere.pem", "https://localhost/"], "--ca nowhere.pem: No such file"),
    ] {
        let (code, said) = ended(api_calls(args));
        assert_eq!(code, Some(1));
        tells(&said, &[complaint]);
    }
}

/// Creates a key, and a self-signed certificate for localhost.
fn certificate(openssl: &Path, folder: &Folder) -> (PathBuf, PathBuf) {
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    let mut command = Command::new(openssl);
    command.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]);
    command.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    // rustls does not accept the certificate of an authority as that of a server.
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    command.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    run_well(&mut command, PATIENCE);
    (key, certificate)
}

#[test]
fn https_is_called_if_the_certificate_is_trusted_and_refused_if_it_is_not() {
    let (openssl, python) = (need!("openssl"), need!("python3"));
    let folder = Folder::new("https");
    let (key, certificate) = certificate(&openssl, &folder);
    let script = r#"
import http.server, ssl, sys
class Menu(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"soup")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Menu)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("listening on", server.server_port, flush=True)
server.serve_forever()
"#;
    let mut server = Command::new(python);
    server.args(["-c", script]).args([&certificate, &key]);
    let server = Program::start_command("an HTTPS server", server);
    let line = server.wait_for_line("listening on");
    let port = line.split_whitespace().last().unwrap();
    let url = format!("https://localhost:{port}/menu");
    let ca = certificate.to_str().unwrap();

    let (code, said) = ended(api_calls(&["--ca", ca, "--timeout", "10", &url]));
    assert_eq!(code, Some(0), "{said:#?}");
    assert_eq!(row(&said, &url)[3..].join(" "), "HTTP/1.1 200 OK, 4 bytes");

    let (code, said) = ended(api_calls(&["--attempts", "1", "--timeout", "10", &url]));
    assert_eq!(code, Some(1), "{said:#?}");
    let row = row(&said, &url).join(" ");
    assert!(row.contains("TLS with localhost") && row.contains("certificate"), "{row}");
}

#[test]
fn http2_is_spoken_where_the_server_speaks_it() {
    let (openssl, nghttpd) = (need!("openssl"), need!("nghttpd"));
    let folder = Folder::new("http2");
    let (key, certificate) = certificate(&openssl, &folder);
    std::fs::write(folder.path().join("menu"), "soup").unwrap();
    let port = free_port().to_string();
    let mut server = Command::new(nghttpd);
    server.args(["--verbose", "--address=127.0.0.1", "-d"]).arg(folder.path());
    server.arg(&port).args([&key, &certificate]);
    let server = Program::start_command("nghttpd", server);
    server.wait_for_line("listen");
    let url = format!("https://localhost:{port}/menu");
    let urls = vec![&*url; 50];
    let ca = certificate.to_str().unwrap();
    let args = [&["--ca", ca, "--timeout", "10", "--at-once", "50"][..], &urls].concat();
    let (code, said) = ended(api_calls(&args));
    assert_eq!(code, Some(0), "{said:#?}");
    assert_eq!(
        said.iter().filter(|line| line.ends_with("HTTP/2.0 200 OK, 4 bytes")).count(),
        50,
        "{said:#?}"
    );
}
