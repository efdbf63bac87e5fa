//! The four echo servers of `examples/` under one client. Each leaves more of the work to the library than the
//! one before, and the clients of all must see the same: each promise is a function here, and a test of each
//! server. The servers run as programs.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::bounded;
use crate::support::program::{PATIENCE, Program};

/// A socket that takes nothing for so long counts as full. If the server was only slow, no test fails for it.
const STALL: Duration = Duration::from_millis(50);

const MIB: u64 = 1 << 20;

/// Makes `server::promise` a test, for each server and each promise.
macro_rules! of_each_server {
    ($($run:ident($promise:ident))*) => {
        of_each_server!(echo_blocking $($run $promise)*);
        of_each_server!(echo_callbacks $($run $promise)*);
        of_each_server!(echo_futures $($run $promise)*);
        of_each_server!(echo_server $($run $promise)*);
    };
    ($server:ident $($run:ident $promise:ident)*) => {
        mod $server {
            $(
                #[test]
                fn $promise() {
                    super::$run(stringify!($server), super::$promise);
                }
            )*
        }
    };
}

of_each_server! {
    beside_others(every_byte_comes_back)
    beside_others(a_half_closed_client_gets_all_its_bytes_and_then_the_end)
    beside_others(a_slow_client_is_served_and_slows_nobody)
    beside_others(clients_that_vanish_are_forgotten)
    beside_others(a_client_that_never_reads_costs_only_its_own_connection)
    beside_others(a_client_that_never_pauses_starves_nobody)
    alone(a_thousand_clients_at_once_are_all_served)
    beside_others(an_address_in_use_is_an_error_that_names_it)
    beside_others(the_load_finds_no_wrong_byte)
}

#[track_caller]
fn beside_others(server: &'static str, promise: fn(&Server)) {
    bounded(move || keeps(server, promise));
}

/// For one that needs nearly all the files that a process may open.
#[track_caller]
fn alone(server: &'static str, promise: fn(&Server)) {
    crate::support::alone(move || keeps(server, promise));
}

fn keeps(server: &'static str, promise: fn(&Server)) {
    let mut server = Server::start(server);
    promise(&server);
    // Whatever happened, it is there for the next client, and did not get over a panic.
    server.echoes(&mut server.connect(), b"still there?");
    assert!(server.program.child.try_wait().unwrap().is_none(), "the server has ended");
    let panicked =
        server.program.said(|said| said.lines.iter().any(|line| line.contains("panicked")));
    assert!(!panicked, "the server panicked");
}

fn every_byte_comes_back(server: &Server) {
    let (client, bytes) = (server.connect(), Endless::new());
    // All buffers are full before a byte is read, so the server has to stop and continue.
    let stuck = bytes.fill(&client);
    let all = stuck + 4 * MIB;
    thread::scope(|scope| {
        scope.spawn(|| bytes.send(&client, stuck..all));
        bytes.expect(&client, 0..all);
    });
}

fn a_half_closed_client_gets_all_its_bytes_and_then_the_end(server: &Server) {
    let (client, bytes) = (server.connect(), Endless::new());
    let all = bytes.fill(&client);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(bytes.expect_until_the_end(&client), all);
    let name = client.local_addr().unwrap();
    server.program.wait_for_line(&format!("{name} disconnected after {all} bytes"));
}

fn a_slow_client_is_served_and_slows_nobody(server: &Server) {
    let (mut slow, mut other) = (server.connect(), server.connect());
    for byte in 0..100 {
        slow.write_all(&[byte]).unwrap();
        server.echoes(&mut other, b"a whole sentence");
        let mut back = [0];
        slow.read_exact(&mut back).unwrap();
        assert_eq!(back, [byte]);
    }
}

fn clients_that_vanish_are_forgotten(server: &Server) {
    const EACH: usize = 20;
    for _ in 0..EACH {
        drop(server.connect());
    }
    for _ in 0..EACH {
        server.connect().write_all(&[1; 10_000]).unwrap();
    }
    for _ in 0..EACH {
        let mut client = server.connect();
        client.write_all(&[2; 10_000]).unwrap();
        // With unread bytes, the kernel sends a reset instead of an EOF.
        assert!(client.peek(&mut [0]).unwrap() > 0);
    }
    // However each was lost, the server has noticed, and has nothing of it any more.
    server.program.wait_for("the end of all clients", |said| {
        let ended =
            |line: &&String| line.contains(" disconnected after ") || line.contains(" failed: ");
        said.lines.iter().filter(ended).count() == 3 * EACH
    });
}

fn a_client_that_never_reads_costs_only_its_own_connection(server: &Server) {
    let (greedy, mut other) = (server.connect(), server.connect());
    let bytes = Endless::new();
    thread::scope(|scope| {
        let filling = scope.spawn(|| bytes.fill(&greedy));
        while !filling.is_finished() {
            server.echoes(&mut other, b"while it sends");
        }
    });
    for _ in 0..100 {
        server.echoes(&mut other, b"while it is stuck");
    }
    let name = greedy.local_addr().unwrap();
    drop(greedy);
    // Its bytes are unread, so this is a reset. The server is stuck in a write, which fails.
    server.program.wait_for_line(&format!("{name} failed: "));
}

fn a_client_that_never_pauses_starves_nobody(server: &Server) {
    const MESSAGES: u64 = 100;
    /// A message of the other may have to wait for 1 MiB of the busy client, which may do 128 reads and writes
    /// of 16 KiB in a row. A client whose messages wait for ten times that is starved.
    const ENOUGH: u64 = MESSAGES * 10 * MIB;
    let (busy, bytes) = (server.connect(), Endless::new());
    let stop = AtomicBool::new(false);
    let (tell, told) = mpsc::channel();
    // The buffers are full from the start, so that the server has work from the start.
    let mut sent = bytes.fill(&busy);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while sent < ENOUGH && !stop.load(Ordering::Relaxed) {
                bytes.send(&busy, sent..sent + MIB);
                sent += MIB;
                tell.send(()).unwrap();
            }
            busy.shutdown(Shutdown::Write).unwrap();
            sent
        });
        let reader = scope.spawn(|| bytes.expect_until_the_end(&busy));
        let mut other = server.connect();
        for _ in 0..MESSAGES {
            // For each of these, a MiB of the busy client: so it is in full swing all the time.
            told.recv_timeout(PATIENCE).expect("the busy client sends on");
            server.echoes(&mut other, b"and me?");
        }
        let still_busy = !writer.is_finished();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(reader.join().unwrap(), writer.join().unwrap());
        assert!(
            still_busy,
            "{MESSAGES} short messages took as long as {ENOUGH} bytes of another client"
        );
    });
}

fn a_thousand_clients_at_once_are_all_served(server: &Server) {
    const AT_ONCE: usize = 1000;
    /// As many may wait to be accepted. Of those beyond the listener's backlog, 128 for one of std's, the
    /// kernel drops the first packet, and they try again a second later.
    const WAITING: usize = 100;
    let mut clients = Vec::with_capacity(AT_ONCE);
    while clients.len() < AT_ONCE {
        server.program.wait_for("the clients to be accepted", |said| {
            let accepted = said.lines.iter().filter(|line| line.ends_with(" connected")).count();
            clients.len() < accepted + WAITING
        });
        match server.try_connect() {
            Ok(client) => clients.push(client),
            Err(error) if is_too_many_open_files(&error) => {
                clients.truncate(clients.len().saturating_sub(50)); // Room for whatever else is opened.
                println!("{} clients at once, not {AT_ONCE}: {error}", clients.len());
                assert!(
                    clients.len() >= 400,
                    "too few files may be open for this test: see `ulimit -n`"
                );
                break;
            }
            Err(error) => panic!("client {}: {error}", clients.len()),
        }
    }
    let message = |n: usize| [n.to_le_bytes(), (!n).to_le_bytes()].concat();
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(&message(n)).unwrap();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let mut back = message(0);
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, message(n), "client {n} got other bytes than its own");
    }
}

fn an_address_in_use_is_an_error_that_names_it(server: &Server) {
    let address = server.address.to_string();
    let (code, said) = Program::start(server.name, &[&address]).end();
    assert!(code.is_some_and(|code| code != 0), "it ended with {code:?}");
    assert!(said.contains(&address), "it said only: {said}");
}

fn the_load_finds_no_wrong_byte(server: &Server) {
    let (code, said) =
        Program::start("echo_load", &[&server.address.to_string(), "50", "20", "64"]).end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1000 of 1000 messages"), "{said}");
}

#[test]
fn the_server_says_what_the_readme_shows() {
    bounded(|| {
        let shown =
            include_str!("../../README.md").lines().find(|line| line.contains("] listening on "));
        let server = Program::start("echo_server", &["127.0.0.1:0"]);
        let said = server.wait_for_line("listening on ");
        // The time and the port differ from run to run.
        let numbers_aside = |line: &str| line.replace(|c: char| c.is_ascii_digit(), "");
        assert_eq!(numbers_aside(&said), numbers_aside(shown.unwrap()));
    });
}

/// After a stop and SIGCONT, epoll_wait(2) fails with EINTR, handler or not: signal(7).
#[test]
#[cfg(target_os = "linux")]
fn a_server_that_is_stopped_and_continued_serves_on() {
    use rustix::process::{Pid, Signal, kill_process};
    bounded(|| {
        let mut server = Server::start("echo_server");
        let pid = Pid::from_child(&server.program.child);
        let mut client = server.connect();
        for n in 0_u32..200 {
            kill_process(pid, Signal::STOP).unwrap();
            kill_process(pid, Signal::CONT).unwrap();
            server.echoes(&mut client, &n.to_le_bytes());
        }
        assert!(server.program.child.try_wait().unwrap().is_none(), "the server has ended");
    });
}

/// Ctrl-C, to a server that gives its clients so many seconds. On an address that no other test has, so that no
/// other server can get its port and be taken for it.
#[cfg(target_os = "linux")]
fn interrupted(address: &str, grace: &str, clients: usize) -> (Server, Vec<TcpStream>) {
    let server = Server::start_with("echo_server", &[address, grace]);
    // It says where it listens before it listens for Ctrl-C. Once it has served a client, it does both.
    let mut first = server.connect();
    server.echoes(&mut first, b"is it open?");
    drop(first);
    server.program.wait_for_line(" disconnected after ");
    let mut clients: Vec<_> = (0..clients).map(|_| server.connect()).collect();
    for client in &mut clients {
        server.echoes(client, b"we are served");
    }
    server.program.interrupt();
    server.program.wait_for_line("closing; ");
    assert!(server.try_connect().is_err(), "it accepts still");
    (server, clients)
}

#[test]
#[cfg(target_os = "linux")]
fn after_ctrl_c_clients_may_finish_and_the_others_are_cut_off_in_the_end() {
    bounded(|| {
        let (server, mut clients) = interrupted("127.0.99.1:0", "1", 3);
        // No step here can come too late: a client that is cut off does nothing.
        let mut last = [0];
        assert_eq!(clients[0].read(&mut last).unwrap_or(0), 0);
        let (code, said) = server.program.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("3 clients have 1s to finish"), "{said}");
        assert!(said.contains("closed; 0 clients finished, 3 were dropped"), "{said}");

        let (server, clients) = interrupted("127.0.99.2:0", "3600", 2);
        for mut client in clients {
            server.echoes(&mut client, b"and still are");
        }
        // With the last client it ends, long before the hour is over.
        let (code, said) = server.program.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("closed; 2 clients finished, 0 were dropped"), "{said}");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_second_ctrl_c_ends_the_server_at_once() {
    bounded(|| {
        let (server, mut clients) = interrupted("127.0.99.3:0", "3600", 2);
        let name = clients[0].local_addr().unwrap();
        drop(clients.remove(0));
        server.program.wait_for_line(&format!("{name} disconnected after "));
        server.program.interrupt();
        let (code, said) = server.program.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("closed; 1 clients finished, 1 were dropped"), "{said}");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn without_clients_ctrl_c_ends_the_server_at_once() {
    bounded(|| {
        let (server, _) = interrupted("127.0.99.4:0", "3600", 0);
        let (code, said) = server.program.end();
        assert_eq!(code, Some(0), "{said}");
    });
}

#[test]
fn the_load_fails_at_one_wrong_byte() {
    bounded(|| {
        let (code, said) = load_against(|stream| {
            let mut message = [0; 64];
            for round in 0..3 {
                stream.read_exact(&mut message)?;
                message[63] ^= u8::from(round == 1);
                stream.write_all(&message)?;
            }
            Ok(())
        });
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("message 1 came back wrong"), "{said}");
    });
}

#[test]
fn the_load_fails_when_the_server_ends_a_connection() {
    bounded(|| {
        let (code, said) = load_against(|stream| stream.read_exact(&mut [0; 64]));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("1 clients failed"), "{said}");
    });
}

#[test]
fn the_load_explains_itself_when_its_arguments_are_wrong() {
    bounded(|| {
        for args in [
            &["127.0.0.1:1", "zero"][..],
            &["127.0.0.1:1", "0"],
            &["127.0.0.1:1", "1", "1", "1", "1"],
        ] {
            let (code, said) = Program::start("echo_load", args).end();
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("usage: echo_load"), "{said}");
        }
    });
}

/// One client of `echo_load`, with three messages of 64 bytes, against a server of our own.
fn load_against(serve: fn(&mut TcpStream) -> io::Result<()>) -> (Option<i32>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let load =
        Program::start("echo_load", &[&listener.local_addr().unwrap().to_string(), "1", "3", "64"]);
    thread::scope(|scope| {
        // That the client leaves in the middle is no failure of the server.
        scope.spawn(|| listener.accept().and_then(|(mut stream, _)| serve(&mut stream)));
        load.end()
    })
}

/// One of the four servers, on a port of the kernel's choice.
struct Server {
    name: &'static str,
    program: Program,
    address: SocketAddr,
}

impl Server {
    fn start(name: &'static str) -> Server {
        Server::start_with(name, &["127.0.0.1:0"])
    }

    fn start_with(name: &'static str, args: &[&str]) -> Server {
        let program = Program::start(name, args);
        let line = program.wait_for_line("listening on ");
        let (_, address) = line.split_once("listening on ").unwrap();
        let address =
            address.trim().parse().expect("an address, and no escape codes of a terminal");
        Server { name, program, address }
    }

    fn connect(&self) -> TcpStream {
        self.try_connect().expect("a connection")
    }

    fn try_connect(&self) -> io::Result<TcpStream> {
        let client = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        client.set_nodelay(true)?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        Ok(client)
    }

    #[track_caller]
    fn echoes(&self, client: &mut TcpStream, message: &[u8]) {
        let mut back = vec![0; message.len()];
        let result = client.write_all(message).and_then(|()| client.read_exact(&mut back));
        if let Err(error) = result {
            panic!("{} did not echo: {error}", self.name);
        }
        assert_eq!(back, message);
    }
}

/// Bytes without end, of which each place is known: so a message can be as long as it turns out to be.
struct Endless {
    /// The period, twice, so that a whole period can be taken from any place in the first.
    twice: Vec<u8>,
}

impl Endless {
    /// A prime, so that a buffer that is lost, doubled or swapped is seen, whatever its length.
    const PERIOD: u64 = 65_521;

    fn new() -> Endless {
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let once: Vec<u8> = (0..Self::PERIOD).map(|_| random()).collect();
        Endless { twice: once.repeat(2) }
    }

    /// At most a period of the bytes of `places`, from their start.
    fn piece(&self, places: &Range<u64>) -> &[u8] {
        let (at, length) = (places.start % Self::PERIOD, places.end - places.start);
        &self.twice[at as usize..][..length.min(Self::PERIOD) as usize]
    }

    #[track_caller]
    fn send(&self, mut client: &TcpStream, mut places: Range<u64>) {
        while !places.is_empty() {
            places.start +=
                client.write(self.piece(&places)).expect("the server takes bytes") as u64;
        }
    }

    /// Sends until nothing more goes out, because nothing is read, and returns how much did.
    #[track_caller]
    fn fill(&self, mut client: &TcpStream) -> u64 {
        /// More than all buffers together: a server that takes more stores without limit what it cannot send.
        const TOO_MUCH: u64 = 512 * MIB;
        client.set_write_timeout(Some(STALL)).unwrap();
        let mut sent = 0;
        loop {
            match client.write(self.piece(&(sent..u64::MAX))) {
                Ok(n) => sent += n as u64,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break;
                }
                Err(error) => panic!("the server does not take bytes: {error}"),
            }
            assert!(
                sent < TOO_MUCH,
                "the server takes bytes without end from a client that never reads"
            );
        }
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        sent
    }

    #[track_caller]
    fn expect(&self, client: &TcpStream, places: Range<u64>) {
        let read = self.expect_until_the_end(client.take(places.end - places.start));
        assert_eq!(read, places.end - places.start, "the server ended the connection");
    }

    /// Returns how many bytes there were, each of them the right one.
    #[track_caller]
    fn expect_until_the_end(&self, mut client: impl Read) -> u64 {
        let (mut buffer, mut read) = (vec![0; Self::PERIOD as usize], 0);
        loop {
            let n = client.read(&mut buffer).expect("the server gives bytes back");
            if n == 0 {
                return read;
            }
            let right = buffer[..n] == *self.piece(&(read..read + n as u64));
            assert!(right, "wrong bytes in the {n} from {read} on");
            read += n as u64;
        }
    }
}

/// EMFILE on Unix, WSAEMFILE on Windows, for which std has no kind.
fn is_too_many_open_files(error: &io::Error) -> bool {
    error.raw_os_error() == Some(if cfg!(windows) { 10024 } else { 24 })
}
