//! The small tools of `examples/`, run as the programs they are: what their users see.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::support::program::{PATIENCE, Program};
use crate::support::*;

/// A proxy before a server of the test's, and where it listens.
fn proxy(target: &str) -> (Program, SocketAddr) {
    let program = Program::start("proxy", &["127.0.0.1:0", target]);
    let line = program.wait_for_line("listening on ");
    let address =
        line.split("listening on ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    (program, address.parse().unwrap())
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    client
}

/// A server that gives everything back, in capitals, and ends each connection when its client does.
fn shouter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut bytes = [0; 5000];
                // A client that vanishes is no failure of the server.
                while let Ok(n @ 1..) = stream.read(&mut bytes) {
                    bytes[..n].make_ascii_uppercase();
                    if stream.write_all(&bytes[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn the_proxy_carries_each_clients_bytes_there_and_back() {
    bounded(|| {
        let (program, address) = proxy(&shouter().to_string());
        let clients: Vec<_> = (0..20_usize)
            .map(|n| {
                thread::spawn(move || {
                    let mut client = connect(address);
                    let letters: Vec<u8> =
                        (0..300_000).map(|at| b'a' + ((at * (n + 1)) % 26) as u8).collect();
                    let expected = letters.to_ascii_uppercase();
                    let mut writer = client.try_clone().unwrap();
                    let sending = thread::spawn(move || {
                        writer.write_all(&letters).unwrap();
                        writer.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut received = Vec::new();
                    client.read_to_end(&mut received).unwrap();
                    sending.join().unwrap();
                    assert!(received == expected);
                    client.local_addr().unwrap()
                })
            })
            .collect();
        for client in clients {
            let name = client.join().unwrap();
            program.wait_for_line(&format!(
                "{name} disconnected after sending 300000 and receiving 300000 bytes"
            ));
        }
    });
}

#[test]
fn the_proxy_survives_clients_that_vanish() {
    bounded(|| {
        let (mut program, address) = proxy(&shouter().to_string());
        for _ in 0..20 {
            drop(connect(address));
            let mut client = connect(address);
            client.write_all(&[b'x'; 10_000]).unwrap();
            // With unread bytes, the kernel sends a reset instead of an EOF.
            assert!(client.peek(&mut [0]).unwrap() > 0);
        }
        let ended =
            |line: &&String| line.contains(" disconnected after ") || line.contains(" failed: ");
        program.wait_for("the end of all clients", |said| {
            said.lines.iter().filter(ended).count() == 40
        });
        let mut client = connect(address);
        client.write_all(b"still there?").unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"STILL THERE?");
        assert!(program.child.try_wait().unwrap().is_none());
    });
}

#[test]
fn the_proxy_says_when_its_target_is_not_there_and_goes_on() {
    bounded(|| {
        // Bound and never listening, so that no other socket gets the port meanwhile.
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        let target = socket.local_addr().unwrap().as_socket().unwrap().to_string();
        let (program, address) = proxy(&target);
        for _ in 0..2 {
            let mut client = connect(address);
            let name = client.local_addr().unwrap();
            assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)), "it hangs up");
            let line = program.wait_for_line(&format!("{name} failed: "));
            assert!(line.contains(&target), "{line}");
        }
    });
}

#[test]
fn the_proxy_explains_itself_when_its_arguments_are_wrong() {
    bounded(|| {
        for args in [&[][..], &["127.0.0.1:0"], &["127.0.0.1:0", "127.0.0.1:1", "more"]] {
            let (code, said) = Program::start("proxy", args).end();
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("usage: proxy LISTEN TARGET"), "{said}");
        }
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        for (listen, word) in [(address.as_str(), address.as_str()), ("127.0.0.1", "needs a port")]
        {
            let (code, said) = Program::start("proxy", &[listen, "127.0.0.1:1"]).end();
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains(word), "{said}");
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn tail_f_prints_the_last_lines_and_what_is_appended() {
    bounded(|| {
        let folder = Folder::new();
        let log = folder.path("log");
        let lines: String = (0..5000).map(|n| format!("line {n}\n")).collect();
        fs::write(&log, lines).unwrap();
        let program = Program::start("tail_f", &[log.to_str().unwrap()]);
        program.wait_for_line("line 4999");
        let said = program.said(|said| said.lines.clone());
        let last: Vec<_> = (4990..5000).map(|n| format!("line {n}")).collect();
        assert_eq!(said, last);
        let mut file = fs::File::options().append(true).open(&log).unwrap();
        for n in 0..10 {
            write!(file, "new {n}, in two ").unwrap();
            writeln!(file, "pieces").unwrap();
            program.wait_for_line(&format!("new {n}, in two pieces"));
        }
        // What happens to others is not its business.
        fs::write(folder.path("other"), "not for you\n").unwrap();
        let much = "x".repeat(1_000_000);
        writeln!(file, "{much}").unwrap();
        writeln!(file, "the end").unwrap();
        program.wait_for_line("the end");
        let said = program.said(|said| said.lines.clone());
        assert_eq!(said.len(), 22, "each line once");
        assert!(said[20] == much);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn tail_f_follows_a_file_that_is_truncated_replaced_or_gone_for_a_while() {
    bounded(|| {
        let folder = Folder::new();
        let log = folder.path("log");
        fs::write(&log, "first\n").unwrap();
        let program = Program::start("tail_f", &[log.to_str().unwrap()]);
        program.wait_for_line("first");
        // With the copytruncate of logrotate.
        fs::File::create(&log).unwrap();
        program.wait_for_line("log was truncated");
        fs::write(&log, "second\n").unwrap();
        program.wait_for_line("second");
        // With its rename and create; the old one is read to its end.
        let mut old = fs::File::options().append(true).open(&log).unwrap();
        writeln!(old, "third").unwrap();
        fs::rename(&log, folder.path("log.1")).unwrap();
        writeln!(old, "fourth").unwrap();
        fs::write(&log, "fifth\n").unwrap();
        program.wait_for_line("log is a new file");
        program.wait_for_line("fifth");
        program.said(|said| {
            let place = |word| said.lines.iter().position(|line| line == word);
            let places = ["third", "fourth", "fifth"].map(|word| place(word).unwrap());
            assert!(places.is_sorted(), "{:?}", said.lines);
        });
        // And when it is moved over the old one.
        fs::write(folder.path("new"), "sixth\n").unwrap();
        fs::rename(folder.path("new"), &log).unwrap();
        program.wait_for_line("sixth");
        fs::remove_file(&log).unwrap();
        fs::write(&log, "seventh\n").unwrap();
        program.wait_for_line("seventh");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn tail_f_explains_itself_when_it_cannot_follow() {
    bounded(|| {
        for args in [&[][..], &["one", "two"]] {
            let (code, said) = Program::start("tail_f", args).end();
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("usage: tail_f FILE"), "{said}");
        }
        for (path, word) in [("no/such/file", "No such file"), (".", "Is a directory")] {
            let (code, said) = Program::start("tail_f", &[path]).end();
            assert_eq!(code, Some(1), "{said}");
            assert!(
                said.starts_with("tail_f: ") && said.contains(path) && said.contains(word),
                "{said}"
            );
        }
    });
}

/// Linux counts the threads.
#[test]
fn the_war_story_is_told_of_each_server() {
    bounded(|| {
        let (status, text) = Program::start("war_story", &["--quick"]).end();
        assert_eq!(status, Some(0), "{text}");
        for (server, threads) in
            [("8 threads", "9"), ("8 threads, at once", "33"), ("headwaiter", "1")]
        {
            let row =
                text.lines().find_map(|line| line.strip_prefix(&format!("      20 {server}  ")));
            let row = row.unwrap_or_else(|| panic!("no row for {server}: {text}"));
            let figures: Vec<&str> = row.split_whitespace().collect();
            // Not even a busy machine needs the whole patience of 20 clients for half of them.
            assert!(figures[0].parse::<f64>().unwrap() >= 20.0, "{row}");
            assert!(!cfg!(target_os = "linux") || figures[5] == threads, "{row}");
        }
        assert!(text.contains("\n20 clients (40 requests a second), headwaiter against"), "{text}");
    });
}
