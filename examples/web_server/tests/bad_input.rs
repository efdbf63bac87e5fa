//! Clients that violate the rules, on plain sockets: each gets an answer or a closed connection in
//! time, and a log line, while others are served.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use common::Server;

/// How long the server waits in these tests.
const PATIENCE: f64 = 1.0;

#[test]
fn what_is_no_http_is_answered_with_400() {
    let server = Server::start();
    let malformed: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SOUP\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost x\r\n\r\n",
        b"POST /plain HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n",
        b"POST /plain HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    ];
    for request in malformed {
        let answer = server.exchange(request);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request:?}: {answer}");
        server.serves();
    }
    // Half of it is HTTP/2.
    assert!(
        !server
            .exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nsoup for one, please, and bread")
            .contains("200")
    );
    server.serves();
    let said = server.end();
    let warnings = said.lines().filter(|line| line.contains("WARN  headwaiter::http"));
    assert!(warnings.count() >= malformed.len(), "{said}");
}

#[test]
fn a_header_without_end_is_cut_off() {
    let server = Server::start_with(PATIENCE, None);
    // The client stops sending.
    let began = Instant::now();
    server.exchange(b"GET / HTTP/1.1\r\nhost: x\r\nx-name: ");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    server.program.wait_for_line("the header of a request did not come within 1s");
    server.serves();

    // The client continues: the size limit applies first.
    let endless = format!("GET / HTTP/1.1\r\nhost: x\r\nx-name: {}", "a".repeat(70_000));
    let answer = server.exchange(endless.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    server.serves();
    server.end();
}

#[test]
fn a_header_too_large_is_answered_with_431() {
    let server = Server::start();
    let name = "a".repeat(70_000);
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nx-name: {name}\r\n\r\n");
    let answer = server.exchange(large.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many: String = (0..200).map(|n| format!("x-{n}: soup\r\n")).collect();
    let answer = server.exchange(format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    server.serves();
    server.end();
}

#[test]
fn a_body_too_large_is_answered_with_413() {
    let server = Server::start();
    // Declares more than the server accepts for any body.
    let answer = server.exchange(
        b"POST /plain HTTP/1.1\r\nhost: x\r\ncontent-length: 300000000\r\n\r\nsoup soup soup",
    );
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    server.program.wait_for_line("refused a body of 300000000 bytes");
    // More than a handler collects: with and without a declared length.
    let json =
        "POST /json HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let body = format!("{{\"dish\": \"{}\"", "s".repeat(100_000));
    let declared = format!("{json}content-length: {}\r\n\r\n{body}", body.len());
    let answer = server.exchange(declared.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let chunked =
        format!("{json}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let answer = server.exchange(chunked.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    server.serves();
    server.end();
}

#[test]
fn a_client_that_sends_one_byte_a_second_is_cut_off_and_others_are_served() {
    let server = Server::start_with(PATIENCE, None);
    // In the header, and in the body.
    let body = "POST /json HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    for beginning in ["GET / HTTP/1.1\r\n", body] {
        let mut client = server.connect();
        let mut writer = client.try_clone().unwrap();
        writer.write_all(beginning.as_bytes()).unwrap();
        // Stops when the connection is gone.
        let writer = thread::spawn(move || {
            while writer.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(200)); // A slow pace that the server must not wait for.
            }
        });
        let began = Instant::now();
        server.serves();
        let mut answer = Vec::new();
        if let Err(error) = client.read_to_end(&mut answer) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains("200 OK"), "{answer}");
        drop(client);
        writer.join().unwrap();
    }
    server.serves();
    let said = server.end();
    assert!(said.contains("the header of a request did not come within 1s"), "{said}");
    assert!(said.contains("POST /json 4"), "{said}");
}

#[test]
fn a_client_that_does_not_take_its_response_is_cut_off() {
    let server = Server::start_with(PATIENCE, None);
    let mut client = server.connect();
    client.write_all(b"GET /big?mib=64 HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    server.program.wait_for_line("the peer took nothing of a response for 1s");
    // Data sent before still arrives.
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert!(answer.len() < 64 * 1024 * 1024, "all of it was sent");
    server.serves();
    server.end();
}

#[test]
fn a_body_that_ends_early_harms_no_other() {
    let server = Server::start();
    let mut client = server.connect();
    client
        .write_all(b"POST /json HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
        .unwrap();
    client.write_all(b"content-length: 1000\r\n\r\n{\"dish\": ").unwrap();
    drop(client);
    server.serves();
    let mut client = server.connect();
    client.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    client.read_exact(&mut [0; 1024]).unwrap();
    drop(client); // In the middle of its response.
    server.serves();
    let said = server.end();
    assert!(!said.contains("ERROR"), "{said}");
}
