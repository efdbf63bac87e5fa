//! The same commands, sent to Redis and to this server, must have the same replies, byte for byte.

mod common;

use common::{Client, Redis, Server, encoded};

/// Each line is a command. Spaces separate the words; `\xNN` and `\e` (empty) stand for bytes that
/// cannot be written.
const SCRIPT: &str = include_str!("script.txt");

/// Parses a line of the script into arguments.
fn args(line: &str) -> Vec<Vec<u8>> {
    let arg = |word: &str| {
        let mut bytes = Vec::new();
        let mut rest = word;
        while let Some((before, escape)) = rest.split_once('\\') {
            bytes.extend_from_slice(before.as_bytes());
            rest = if let Some(hex) = escape.strip_prefix('x') {
                bytes.push(u8::from_str_radix(&hex[..2], 16).unwrap());
                &hex[2..]
            } else {
                escape.strip_prefix('e').expect("an escape of the script")
            };
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    };
    line.split(' ').map(arg).collect()
}

fn script() -> Vec<Vec<Vec<u8>>> {
    let lines = SCRIPT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(args).collect()
}

#[track_caller]
fn assert_same(what: &[u8], ours: &[u8], theirs: &[u8]) {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    assert_eq!(text(ours), text(theirs), "ours, and Redis's, to {}", text(what));
}

/// A client of each.
fn both(redis: &Redis, server: &Server) -> (Client, Client) {
    (server.connect(), redis.connect())
}

#[test]
fn each_command_has_the_same_reply_as_in_redis() {
    let Some(redis) = Redis::start() else { return };
    let server = Server::start(&[]);
    let script = script();
    assert!(script.len() > 300, "{} commands", script.len());
    for version in ["2", "3"] {
        let (mut ours, mut theirs) = both(&redis, &server);
        for client in [&mut ours, &mut theirs] {
            client.ask(&["HELLO", version]);
            client.ask(&["FLUSHALL"]);
        }
        for command in &script {
            let command = encoded(command);
            ours.send(&command);
            theirs.send(&command);
            assert_same(&command, &ours.reply(), &theirs.reply());
        }
    }
    server.end();
}

/// Sends the input in one write, and in pieces of every small size.
#[test]
fn commands_in_one_piece_have_the_same_replies_as_in_redis() {
    let Some(redis) = Redis::start() else { return };
    let server = Server::start(&[]);
    let script = script();
    let bytes: Vec<u8> = script.iter().flat_map(|command| encoded(command)).collect();
    for size in [bytes.len(), 7, 3] {
        let (mut ours, mut theirs) = both(&redis, &server);
        for client in [&mut ours, &mut theirs] {
            client.ask(&["FLUSHALL"]);
            bytes.chunks(size).for_each(|piece| client.send(piece));
        }
        for command in &script {
            assert_same(&encoded(command), &ours.reply(), &theirs.reply());
        }
    }
    server.end();
}

#[test]
fn commands_in_a_line_have_the_same_replies_as_in_redis() {
    let Some(redis) = Redis::start() else { return };
    let server = Server::start(&[]);
    let (mut ours, mut theirs) = both(&redis, &server);
    for line in [
        "PING",
        "  ping   soup  ",
        "SET soup \"two spoons\"",
        "GET 'soup'",
        r#"ECHO "\x00\xff\n\r\t\a\b\q\"""#,
        r"ECHO 'it\'s \n'",
        r#"ECHO """#,
        "GET",
        "no such command",
        "\r\n\r\nPING",
    ] {
        for end in ["\r\n", "\n"] {
            let line = [line, end].concat();
            ours.send(&line);
            theirs.send(&line);
            assert_same(line.as_bytes(), &ours.reply(), &theirs.reply());
        }
    }
    server.end();
}

/// After the error the connection is closed. Further input is not parsed.
#[test]
fn what_is_not_the_protocol_has_the_same_error_as_in_redis() {
    let Some(redis) = Redis::start() else { return };
    let server = Server::start(&[]);
    let long = "1".repeat(70_000);
    for input in [
        "*x\r\n",
        "*\r\n",
        "*+1\r\n",
        "*99999999999999999999\r\n",
        "*1\r\nPING\r\n",
        "*1\r\n\r\n",
        "*1\r\n:4\r\nPING\r\n",
        "*1\r\n$x\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$99999999999\r\n",
        "*1\r\n$04\r\nPING\r\n",
        "ECHO \"soup\r\n",
        "ECHO 'soup\r\n",
        "ECHO \"soup\"x\r\n",
        &["*1\r\n$4\r\nPING\r\n", "*1\r\n$x\r\n", "*1\r\n$4\r\nPING\r\n"].concat(),
        "GET soup\r\nQUIT\r\nPING\r\n",
        &long,
        &["*", &long].concat(),
        &["*1\r\n$", &long].concat(),
    ] {
        let (mut ours, mut theirs) = both(&redis, &server);
        ours.send(input);
        theirs.send(input);
        assert_same(input.as_bytes(), &ours.rest(), &theirs.rest());
    }
    server.end();
}

/// Compares what a subscriber receives, in both versions of the protocol, with two clients per
/// server.
#[test]
fn messages_are_the_same_as_in_redis() {
    let Some(redis) = Redis::start() else { return };
    let server = Server::start(&[]);
    for version in ["2", "3"] {
        let ((mut ours, mut theirs), (mut our_subscriber, mut their_subscriber)) =
            (both(&redis, &server), both(&redis, &server));
        for subscriber in [&mut our_subscriber, &mut their_subscriber] {
            subscriber.ask(&["HELLO", version]);
        }
        // The subscriber's command, how many replies and messages it receives, and what the other
        // client sends before that.
        let mut compare = |says: &str, how_many: usize, other_says: &str| {
            let mut all = [Vec::new(), Vec::new()];
            let pairs = [(&mut our_subscriber, &mut ours), (&mut their_subscriber, &mut theirs)];
            for ((subscriber, other), all) in pairs.into_iter().zip(&mut all) {
                if !other_says.is_empty() {
                    all.extend(other.ask(&args(other_says)));
                }
                if !says.is_empty() {
                    subscriber.send(encoded(&args(says)));
                }
                (0..how_many).for_each(|_| all.extend(subscriber.reply()));
            }
            assert_same(format!("{says} / {other_says}").as_bytes(), &all[0], &all[1]);
        };
        compare("SUBSCRIBE soup cake soup", 3, "");
        compare("", 1, "PUBLISH soup hot");
        compare("PING", 1, "");
        compare("PING hello", 1, "");
        compare("GET soup", 1, "");
        compare("NONSENSE", 1, "");
        compare("SUBSCRIBE", 1, "");
        compare("PSUBSCRIBE s* [a-c]ake", 2, "");
        compare("", 2, "PUBLISH soup \\x00\\xff\\x0d\\x0a");
        compare("", 1, "PUBLISH salad \\e");
        compare("", 0, "PUBLISH bread dry");
        compare("UNSUBSCRIBE soup bread", 2, "");
        compare("", 1, "PUBLISH soup cold");
        compare("UNSUBSCRIBE", 1, "");
        compare("PUNSUBSCRIBE s*", 1, "");
        compare("PUNSUBSCRIBE", 1, "");
        compare("PUNSUBSCRIBE", 1, "");
        compare("UNSUBSCRIBE", 1, "PUBLISH soup gone");
        compare("SUBSCRIBE a", 1, "");
        compare("UNSUBSCRIBE a", 2, "PUBLISH a last");
        compare("GET soup", 1, "");
    }
    // In version 3 a client may publish to itself.
    let (mut ours, mut theirs) = both(&redis, &server);
    for client in [&mut ours, &mut theirs] {
        client.ask(&["HELLO", "3"]);
        client
            .send([encoded(&["SUBSCRIBE", "soup"]), encoded(&["PUBLISH", "soup", "hot"])].concat());
    }
    for _ in 0..3 {
        assert_same(b"PUBLISH to itself", &ours.reply(), &theirs.reply());
    }
    server.end();
}

/// `KEYS` has no order.
#[test]
fn patterns_find_the_same_keys_as_in_redis() {
    let Some(redis) = Redis::start() else { return };
    let server = Server::start(&[]);
    let (mut ours, mut theirs) = both(&redis, &server);
    let keys = ["soup", "soap", "sp", "s*p", "cake", "[x]", "a-b", "", "\\", "soup:1", "soup:22"];
    for client in [&mut ours, &mut theirs] {
        client.ask(&["FLUSHALL"]);
        keys.iter().for_each(|key| drop(client.ask(&["SET", key, "x"])));
    }
    for pattern in [
        "*", "s*p", "s?up", "s??p", "so[ua]p", "so[^a]p", "so[a-u]p", "so[u-a]p", "s\\*p", "\\[x]",
        "[[]*", "a[-]b", "*:*", "*:?", "s**p", "", "?", "\\\\", "so[ua", "soup\\", "[", "[^",
        "*[0-9]", "nothing", "S*",
    ] {
        let sorted = |client: &mut Client| {
            let reply = String::from_utf8(client.ask(&["KEYS", pattern])).unwrap();
            let mut lines: Vec<_> = reply.split("\r\n").map(String::from).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&mut ours), sorted(&mut theirs), "KEYS {pattern}");
    }
    server.end();
}
