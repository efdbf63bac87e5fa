//! Code shared by the tests: the server, Redis for comparison, and a client that works on raw
//! bytes.

#![allow(dead_code)] // Each test uses its part.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use peers::{Folder, PATIENCE, Program};

pub struct Server {
    pub program: Program,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(options: &[&str]) -> Server {
        let program =
            peers::start(env!("CARGO_BIN_EXE_kv_server"), &[&["127.0.0.1:0"], options].concat());
        let address = peers::address(&program, "listening on ");
        Server { program, address }
    }

    pub fn connect(&self) -> Client {
        Client::tcp(TcpStream::connect(self.address).unwrap())
    }

    /// A program of Redis that connects to this server.
    pub fn command(&self, path: &std::path::Path) -> Command {
        let mut command = Command::new(path);
        command.args(["-h", "127.0.0.1", "-p", &self.address.port().to_string()]);
        command
    }

    /// Sends Ctrl-C, which must end the server successfully. Returns its output.
    #[track_caller]
    pub fn end(self) -> String {
        self.program.interrupt();
        let (code, said) = self.program.end();
        assert_eq!(code, Some(0), "{said}");
        // A panic ends only one client's connection, so a test might not notice it.
        assert!(!said.contains("panicked"), "{said}");
        said
    }
}

/// The real Redis.
pub struct Redis {
    _program: Program,
    folder: Folder,
}

impl Redis {
    /// Returns `None` if Redis is not installed.
    pub fn start() -> Option<Redis> {
        let path = peers::find("redis-server")?;
        let folder = Folder::new("redis");
        let mut command = Command::new(path);
        command.args(["--port", "0", "--save", "", "--dir"]).arg(folder.path()).arg("--unixsocket");
        command.arg(folder.path().join("socket")).stdin(Stdio::null());
        let program = Program::start_command("redis-server", command);
        program.wait_for_line("ready to accept connections");
        Some(Redis { _program: program, folder })
    }

    pub fn connect(&self) -> Client {
        let stream = UnixStream::connect(self.folder.path().join("socket")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client::new(stream.try_clone().unwrap(), stream)
    }
}

/// A client that sends and receives raw bytes.
pub struct Client {
    reader: BufReader<Box<dyn Read + Send>>,
    writer: Box<dyn Write + Send>,
}

impl Client {
    pub fn tcp(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client::new(stream.try_clone().unwrap(), stream)
    }

    fn new(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> Client {
        Client { reader: BufReader::new(Box::new(reader)), writer: Box::new(writer) }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a command, and returns its reply.
    #[track_caller]
    pub fn ask(&mut self, args: &[impl AsRef<[u8]>]) -> Vec<u8> {
        self.send(encoded(args));
        self.reply()
    }

    /// Like [`Client::ask`], for text; spaces separate the arguments.
    #[track_caller]
    pub fn say(&mut self, command: &str) -> String {
        let args: Vec<_> = command.split(' ').collect();
        String::from_utf8(self.ask(&args)).unwrap()
    }

    /// Returns the next reply or message.
    #[track_caller]
    pub fn reply(&mut self) -> Vec<u8> {
        let mut reply = Vec::new();
        self.reply_into(&mut reply);
        reply
    }

    #[track_caller]
    fn reply_into(&mut self, reply: &mut Vec<u8>) {
        let start = reply.len();
        self.reader.read_until(b'\n', reply).expect("a reply in time");
        let line = reply[start..]
            .strip_suffix(b"\r\n")
            .expect("a whole line, not the end of the connection");
        let length = || str::from_utf8(&line[1..]).unwrap().parse::<i64>().unwrap();
        match line[0] {
            b'$' | b'=' if length() >= 0 => {
                let start = reply.len();
                let rest = length() as usize + 2;
                reply.resize(start + rest, 0);
                self.reader.read_exact(&mut reply[start..]).unwrap();
            }
            b'*' | b'>' => (0..length()).for_each(|_| self.reply_into(reply)),
            b'%' => (0..2 * length()).for_each(|_| self.reply_into(reply)),
            _ => {}
        }
    }

    /// Returns the reply to a command in one line, or nothing if the server closes the connection
    /// before.
    pub fn reply_or_end(&mut self, line: &str) -> Vec<u8> {
        let mut reply = Vec::new();
        let _ = self.writer.write_all(format!("{line}\r\n").as_bytes());
        let _ = self.reader.read_until(b'\n', &mut reply);
        reply
    }

    /// Waits until the server has read everything that other clients sent before. That is the case
    /// after two answers: in each turn, the server takes all events that there are.
    #[track_caller]
    pub fn settle(&mut self) {
        (0..2).for_each(|_| assert_eq!(self.say("PING"), "+PONG\r\n"));
    }

    /// Returns everything that arrives until the server closes the connection.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("the end in time");
        rest
    }
}

pub fn encoded(args: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
