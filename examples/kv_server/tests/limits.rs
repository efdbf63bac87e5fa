//! What a client may and may not do, while the other clients are served.

mod common;

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Server, encoded};
use peers::{PATIENCE, run};

/// Repeats a command until the reply is the expected one.
#[track_caller]
fn wait_for(client: &mut Client, command: &str, expected: &str) {
    let began = Instant::now();
    loop {
        let reply = client.say(command);
        if reply == expected {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{command}: {reply:?} for too long");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The resident memory of a process, in bytes.
fn memory(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
fn ten_thousand_commands_in_one_write_have_ten_thousand_replies_in_order() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let commands: Vec<u8> =
        (0..10_000).flat_map(|n| encoded(&["ECHO".to_owned(), n.to_string()])).collect();
    client.send(commands);
    for n in 0..10_000 {
        let n = n.to_string();
        assert_eq!(client.reply(), format!("${}\r\n{n}\r\n", n.len()).as_bytes());
    }
    server.end();
}

#[test]
fn a_command_may_come_byte_by_byte() {
    let server = Server::start(&[]);
    let (mut slow, mut other) = (server.connect(), server.connect());
    for byte in encoded(&["SET", "soup", "hot\r\n"]).chunks(1).chain(b"GET soup\r\n".chunks(1)) {
        slow.send(byte);
        assert_eq!(other.say("PING"), "+PONG\r\n");
    }
    assert_eq!(slow.reply(), b"+OK\r\n");
    assert_eq!(slow.reply(), b"$5\r\nhot\r\n\r\n");
    server.end();
}

#[test]
fn a_value_may_have_any_bytes_and_many() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let all: Vec<u8> = (0..=255).collect();
    for value in [all.clone(), all.repeat(100_000)] {
        assert_eq!(client.ask(&[b"SET", &all[..], &value]), b"+OK\r\n");
        let expected = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
        assert!(client.ask(&[b"GET", &all[..]]) == expected, "{} bytes", value.len());
    }
    server.end();
}

/// Like `nc`: sends, closes its side, and then reads.
#[test]
fn a_client_that_closes_its_side_gets_all_replies() {
    let server = Server::start(&[]);
    let stream = TcpStream::connect(server.address).unwrap();
    let mut client = Client::tcp(stream.try_clone().unwrap());
    client.ask(&[b"SET", "soup".as_bytes(), &[b'x'; 1 << 20]]);
    client.send("GET soup\r\n".repeat(20));
    client.send("PING"); // The line has no end.
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest().len(), 20 * ((1 << 20) + "$1048576\r\n\r\n".len()));
    server.end();
}

/// The buffers are shared. The next client must not receive data of a client that is gone.
#[test]
fn the_replies_to_a_client_that_is_lost_go_to_no_other() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    other.ask(&["SET", "secret", "sesame"]);
    for _ in 0..50 {
        let mut lost = server.connect();
        lost.say("PING");
        // It closes with an unread reply, so the kernel resets the connection, and further replies
        // cannot be sent.
        for _ in 0..20 {
            lost.send("GET secret\r\n");
        }
        drop(lost);
        for _ in 0..5 {
            assert_eq!(other.say("PING"), "+PONG\r\n");
        }
    }
    server.end();
}

#[test]
fn keys_expire_when_they_should_and_without_being_asked_for() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let began = Instant::now();
    client.say("SET soup hot PX 200");
    wait_for(&mut client, "GET soup", "$-1\r\n");
    assert!(began.elapsed() >= Duration::from_millis(200), "after {:?}", began.elapsed());
    // More than a sweep removes at once.
    for n in 0..2500 {
        client.send(encoded(&[
            "SET".to_owned(),
            format!("soup:{n}"),
            "hot".to_owned(),
            "PX".to_owned(),
            "100".to_owned(),
        ]));
    }
    (0..2500).for_each(|_| assert_eq!(client.reply(), b"+OK\r\n"));
    client.say("SET cake sweet");
    wait_for(&mut client, "DBSIZE", ":1\r\n");
    server.end();
}

#[test]
fn messages_reach_all_subscribers_until_they_leave() {
    let server = Server::start(&[]);
    let mut publisher = server.connect();
    let mut subscribers: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for subscriber in &mut subscribers {
        assert_eq!(
            subscriber.say("SUBSCRIBE orders"),
            "*3\r\n$9\r\nsubscribe\r\n$6\r\norders\r\n:1\r\n"
        );
    }
    for n in 0..500 {
        publisher.send(encoded(&["PUBLISH".to_owned(), "orders".to_owned(), format!("soup {n}")]));
    }
    (0..500).for_each(|_| assert_eq!(publisher.reply(), b":20\r\n"));
    for subscriber in &mut subscribers {
        for n in 0..500 {
            let text = format!("soup {n}");
            let expected =
                format!("*3\r\n$7\r\nmessage\r\n$6\r\norders\r\n${}\r\n{text}\r\n", text.len());
            assert_eq!(subscriber.reply(), expected.as_bytes());
        }
    }
    subscribers.truncate(5);
    wait_for(&mut publisher, "PUBLISH orders cake", ":5\r\n");
    subscribers.clear();
    wait_for(&mut publisher, "PUBLISH orders cake", ":0\r\n");
    server.end();
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped_and_others_are_served() {
    let server = Server::start(&["--mailbox", "1"]);
    let (mut deaf, mut publisher) = (server.connect(), server.connect());
    let (mut good, mut other) = (server.connect(), server.connect());
    deaf.say("SUBSCRIBE orders");
    good.say("SUBSCRIBE orders");
    let order = "soup ".repeat(10_000);
    let mut published = 0;
    // The kernel buffers some megabytes for a client that does not read.
    while publisher.ask(&["PUBLISH", "orders", &order]) == b":2\r\n" {
        assert!(good.reply().ends_with(b"soup \r\n"));
        assert_eq!(other.say("PING"), "+PONG\r\n");
        published += 1;
        assert!(published < 2000, "100 MB wait for a client that does not read");
    }
    server.program.wait_for_line("does not read");
    assert!(memory(server.program.child.id()) < 64 << 20);
    assert!(good.reply().ends_with(b"soup \r\n"));
    server.end();
}

/// A client asks for 2 GB and reads nothing. The server creates replies only when there is room for
/// them.
#[test]
fn a_client_that_does_not_read_its_replies_costs_no_memory() {
    let server = Server::start(&[]);
    let (mut greedy, mut other) = (server.connect(), server.connect());
    greedy.ask(&[b"SET", "soup".as_bytes(), &[b'x'; 1 << 20]]);
    greedy.send(encoded(&["GET", "soup"]).repeat(2000));
    for _ in 0..1000 {
        assert_eq!(other.say("INCR count").as_bytes()[0], b':');
    }
    assert!(memory(server.program.child.id()) < 64 << 20);
    // The server creates them when the client reads.
    (0..50).for_each(|_| assert_eq!(greedy.reply().len(), (1 << 20) + "$1048576\r\n\r\n".len()));
    assert!(memory(server.program.child.id()) < 64 << 20);
    drop(greedy);
    wait_for(&mut other, "DBSIZE", ":2\r\n");
    server.end();
}

/// The server does not read commands of a client that does not read replies: in the end, the client
/// cannot send any more.
#[test]
fn a_client_that_does_not_read_its_replies_is_not_read_from() {
    let server = Server::start(&[]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    let mut other = server.connect();
    other.ask(&[b"SET", "soup".as_bytes(), &[b'x'; 1 << 20]]);
    stream.set_nonblocking(true).unwrap();
    let commands = encoded(&["GET", "soup"]).repeat(1000);
    let (mut sent, mut refusals) = (0, 0);
    // It is refused repeatedly, while the server has enough time to process its commands.
    while refusals < 20 {
        match stream.write(&commands) {
            Ok(bytes) => (sent, refusals) = (sent + bytes, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refusals += 1;
            }
        }
        assert!(sent < 100 << 20, "100 MB of commands were taken in");
        assert_eq!(other.say("PING"), "+PONG\r\n");
    }
    assert!(memory(server.program.child.id()) < 64 << 20);
    drop(stream);
    server.end();
}

#[test]
fn what_is_no_command_is_answered_and_closed_and_others_are_served() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    let garbage: Vec<u8> = (0..100_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .filter(|byte| *byte != b'\n')
        .collect();
    let many = "*1048576\r\n".to_owned() + &"$0\r\n\r\n".repeat(1000) + "$-5\r\n";
    for (input, error) in [
        (&b"*1048577\r\n"[..], "invalid multibulk length"),
        (b"*99999999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n$67108865\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999999\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (many.as_bytes(), "invalid bulk length"),
        (b"*1\r\n$4\r\nPINGPONG", "expected the end of a line behind an argument"),
        (b"*2\r\n\x00\xff\r\n", "expected '$', got '\0'"),
        (b"*2\r\nGET / HTTP/1.1\r\n", "expected '$', got 'G'"),
        (&[&b"\xff\xfe"[..], &garbage].concat(), "too big inline request"),
        (b"ECHO \"\xff\r\n", "unbalanced quotes in request"),
    ] {
        let mut client = server.connect();
        client.send(input);
        // It continues to send. It must nevertheless receive the error.
        client.send(b"GET soup\r\n".repeat(1000));
        let all = String::from_utf8(client.rest()).unwrap();
        assert_eq!(
            all,
            format!("-ERR Protocol error: {error}\r\n"),
            "to {}",
            input[..20.min(input.len())].escape_ascii()
        );
        assert_eq!(other.say("PING"), "+PONG\r\n");
    }
    let said = server.end();
    assert_eq!(said.matches("is not RESP").count(), 11, "{said}");
}

/// For example a browser. Its lines are unknown commands, as in Redis.
#[test]
fn an_http_request_is_answered_with_errors() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("BREW /soup HTTP/1.1\r\nAccept: */*\r\n\r\n");
    for name in ["BREW", "Accept:"] {
        let reply = String::from_utf8(client.reply()).unwrap();
        assert!(reply.starts_with(&format!("-ERR unknown command '{name}'")), "{reply}");
    }
    server.end();
}

#[test]
fn one_client_more_than_allowed_is_told_so() {
    let server = Server::start(&["--max-clients", "2"]);
    let (mut one, mut other) = (server.connect(), server.connect());
    assert_eq!(one.say("PING") + &other.say("PING"), "+PONG\r\n+PONG\r\n");
    assert_eq!(server.connect().rest(), b"-ERR max number of clients reached\r\n");
    drop(one);
    // When the server has noticed that, there is room again.
    let began = Instant::now();
    loop {
        let mut next = server.connect();
        match next.reply_or_end("PING") {
            reply if reply == b"+PONG\r\n" => break,
            _ => assert!(began.elapsed() < PATIENCE),
        }
    }
    assert_eq!(other.say("PING"), "+PONG\r\n");
    server.end();
}

#[test]
fn a_silent_client_is_dropped_but_not_a_subscriber() {
    let server = Server::start(&["--idle", "1"]);
    let (mut silent, mut subscriber) = (server.connect(), server.connect());
    subscriber.say("SUBSCRIBE orders");
    let began = Instant::now();
    silent.send("PIN");
    assert_eq!(silent.rest(), b"");
    assert!(began.elapsed() >= Duration::from_secs(1));
    server.program.wait_for_line("sent and read nothing for 1s");
    assert_eq!(server.connect().say("PUBLISH orders soup"), ":1\r\n");
    assert!(subscriber.reply().ends_with(b"soup\r\n"));
    server.end();
}

#[test]
fn when_memory_is_used_up_nothing_more_is_stored() {
    let server = Server::start(&["--max-memory", "1"]);
    let mut client = server.connect();
    let value = "x".repeat(1 << 20);
    assert_eq!(client.ask(&["SET", "soup", &value]), b"+OK\r\n");
    let refused = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    assert_eq!(client.ask(&["SET", "cake", "sweet"]), refused);
    assert_eq!(client.ask(&["INCR", "count"]), refused);
    assert_eq!(client.say("GET cake"), "$-1\r\n");
    assert_eq!(client.say("DEL soup"), ":1\r\n");
    assert_eq!(client.ask(&["SET", "cake", "sweet"]), b"+OK\r\n");
    server.end();
}

#[test]
fn one_command_cannot_ask_for_a_gigabyte() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask(&[b"SET", "soup".as_bytes(), &[b'x'; 1 << 20]]);
    let reply = client.ask(&[vec!["MGET"], vec!["soup"; 1000]].concat());
    assert!(reply.starts_with(b"-ERR the values are larger than"), "{}", reply.escape_ascii());
    server.end();
}

/// One client is idle, one subscribes, one does not read, and one is in the middle of a command.
/// The command is served in time.
#[test]
fn ctrl_c_ends_it_with_clients_there_and_what_has_begun_is_finished() {
    let server = Server::start(&["--grace", "20"]);
    let (mut idle, mut subscriber) = (server.connect(), server.connect());
    let (mut reader, mut busy) = (server.connect(), server.connect());
    idle.say("PING");
    subscriber.say("SUBSCRIBE orders");
    reader.ask(&[b"SET", "soup".as_bytes(), &[b'x'; 1 << 20]]);
    reader.send(encoded(&["GET", "soup"]).repeat(50));
    busy.say("PING");
    busy.send("*2\r\n$4\r\nECHO\r\n$4\r\nso");
    idle.settle();
    server.program.interrupt();
    assert_eq!((idle.rest(), subscriber.rest()), (vec![], vec![]));
    assert!(TcpStream::connect(server.address).is_err(), "no client is let in any more");
    busy.send("up\r\n");
    assert_eq!(busy.rest(), b"$4\r\nsoup\r\n");
    assert_eq!(reader.rest().len(), 50 * ((1 << 20) + "$1048576\r\n\r\n".len()));
    let (code, said) = server.program.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("closed; 4 clients finished, 0 were dropped"), "{said}");
}

#[test]
fn a_client_that_has_not_finished_within_the_grace_is_cut_off() {
    let server = Server::start(&["--grace", "1"]);
    let (mut busy, mut other) = (server.connect(), server.connect());
    busy.say("PING");
    busy.send("PIN");
    other.settle();
    let said = server.end();
    assert!(said.contains("closed; 1 clients finished, 1 were dropped"), "{said}");
    assert_eq!(busy.rest(), b"");
}

#[test]
fn a_second_ctrl_c_ends_the_grace() {
    let server = Server::start(&["--grace", "3600"]);
    let (mut busy, mut other) = (server.connect(), server.connect());
    busy.say("PING");
    busy.send("PIN");
    other.settle();
    server.program.interrupt();
    server.program.wait_for_line("closing");
    let said = server.end();
    assert!(said.contains("1 were dropped"), "{said}");
}

#[test]
fn a_mistake_in_the_command_line_is_named() {
    let kv_server = env!("CARGO_BIN_EXE_kv_server");
    let output = run(Command::new(kv_server).args(["--port", "6379"]), PATIENCE);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("what is \"--port\"?") && said.contains("usage:"), "{said}");

    let server = Server::start(&[]);
    let output = run(Command::new(kv_server).arg(server.address.to_string()), PATIENCE);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&server.address.to_string()), "{said}");
    server.end();
}
