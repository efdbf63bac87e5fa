//! Starts the server, and talks to it with curl or through plain sockets.

#![allow(dead_code)] // Each test file uses a part of it.

pub mod browser;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use peers::{PATIENCE, Program};

/// The server, which logs each request.
pub struct Server {
    pub program: Program,
    pub address: SocketAddr,
}

impl Server {
    pub fn start() -> Server {
        Server::start_with(30.0, None)
    }

    /// With this patience in seconds, and with files from a folder.
    pub fn start_with(patience: f64, folder: Option<&Path>) -> Server {
        Server::start_logging("info,web_server=debug", patience, folder)
    }

    /// Without a line for each request.
    pub fn start_silent() -> Server {
        Server::start_logging("info", 30.0, None)
    }

    fn start_logging(log: &str, patience: f64, folder: Option<&Path>) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_web_server"));
        command.arg("127.0.0.1:0").args(folder).stdin(Stdio::null());
        command.env("RUST_LOG", log).env("RUST_LOG_STYLE", "never").env("RUST_BACKTRACE", "0");
        command.env("WEB_SERVER_PATIENCE", patience.to_string());
        let program = Program::start_command("web_server", command);
        let address = peers::address(&program, "listening on http://");
        Server { program, address }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A connection on which nothing takes longer than a test may.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends this, and returns everything that arrives until the server closes the connection.
    #[track_caller]
    pub fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server closes the connection in time");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Checks that other clients are still served.
    #[track_caller]
    pub fn serves(&self) {
        let answer = self.exchange(b"GET /plain HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("One soup, please.\n"), "{answer}");
    }

    /// Sends Ctrl-C. Returns all output.
    #[track_caller]
    pub fn end(self) -> String {
        self.program.interrupt();
        let (code, said) = self.program.end();
        assert_eq!(code, Some(0), "{said}");
        said
    }
}

/// The result of a request with curl: the status, the version of HTTP, and the body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub version: String,
    pub body: String,
}

/// The two versions of HTTP: curl's argument for each, and its name.
pub const VERSIONS: [(&str, &str); 2] = [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")];

/// Makes a request with curl. The transfer must succeed, with any status.
#[track_caller]
pub fn curl(args: &[&str]) -> Answer {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--write-out", "\n%{http_code} %{http_version}"])
        .args(args);
    let said = peers::run_well(&mut command, PATIENCE);
    let (body, trailer) = said.rsplit_once('\n').unwrap();
    let (status, version) = trailer.split_once(' ').unwrap();
    Answer { status: status.parse().unwrap(), version: version.to_owned(), body: body.to_owned() }
}

/// Bytes that are incompressible and never repeat.
pub fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    let mut bytes: Vec<u8> = words.take(size.div_ceil(8)).flat_map(u64::to_ne_bytes).collect();
    bytes.truncate(size);
    bytes
}
