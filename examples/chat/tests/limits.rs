//! Clients that violate the rules or ask for too much: how the server handles them, while it serves
//! the others.

mod client;

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::thread;

use client::{
    AT_ONCE, BINARY, CLOSE, Client, End, PING, TEXT, frame, header, impatient_server, server,
};
use peers::{PATIENCE, Program, need, run_well};

#[test]
fn a_client_that_does_not_read_is_dropped_and_the_others_get_every_message_at_once() {
    // The patience is so long that silence does not end anything.
    let (server, address) = server(&["127.0.0.1:0", "1", "600"]);
    let _stuck = Client::enter(address, "kitchen", "Stuck");
    let mut listener = Client::enter(address, "kitchen", "Listener");
    listener.stream.set_read_timeout(Some(AT_ONCE)).unwrap();
    // In JSON each is six times as long. A few hundred of them fill the buffers of the kernel.
    let filler = "\u{1}".repeat(4000);
    let mut heard = Vec::new();
    let is_dropped = |server: &Program| {
        server.said(|said| said.lines.iter().any(|line| line.contains("closed with 1013")))
    };
    for n in 0.. {
        if is_dropped(&server) {
            break;
        }
        assert!(n < 100, "it is still there after {} messages", heard.len());
        let mut speaker = Client::enter(address, "kitchen", &format!("Speaker-{n}"));
        for m in 0..20 {
            let text = format!("{n} {m} {filler}");
            speaker.say(&text);
            heard.push(listener.said() == text);
            while speaker.said() != text {}
        }
    }
    assert!(heard.len() > 256 && heard.iter().all(|heard| *heard), "{heard:?}");
    let line = server.wait_for_line("closed with 1013");
    assert!(line.contains("\"Stuck\" in \"kitchen\"") && line.contains("too slow"), "{line}");
    // It is not a member any more; all others still are.
    let mut last = Client::open(address, "/ws?room=kitchen&name=Stuck");
    assert_eq!(last.event()["type"], "welcome");
    listener.say("still here");
    assert_eq!(listener.said(), "still here");
}

#[test]
fn what_breaks_the_protocol_is_answered_with_the_code_for_it_and_costs_no_other_client() {
    let (server, address) = impatient_server();
    let mut bystander = Client::enter(address, "kitchen", "Ada");
    let masked = |mut header: Vec<u8>, payload: &[u8]| {
        header.extend([0; 4]); // A mask that changes nothing.
        header.extend(payload);
        header
    };
    let huge = frame(TEXT, "x".repeat(4_000_000).as_bytes());
    let parts = [
        masked(header(0x01, 0x80, 4000), &[b'x'; 4000]),
        masked(header(0x80, 0x80, 4000), &[b'x'; 4000]),
    ];
    let cases = [
        ("an unmasked frame", [&header(0x81, 0, 5)[..], b"hello"].concat(), 1002),
        ("a reserved bit", masked(header(0xc1, 0x80, 5), b"hello"), 1002),
        ("an unknown opcode", frame(3, b"hello"), 1002),
        ("an unknown control frame", frame(11, b"hello"), 1002),
        ("a ping in parts", masked(header(PING, 0x80, 5), b"hello"), 1002),
        ("a ping that is too long", frame(PING, &[b'x'; 126]), 1002),
        ("a continuation of nothing", frame(0, b"hello"), 1002),
        ("a message inside another", masked(header(0x01, 0x80, 0), &frame(TEXT, b"hello")), 1002),
        ("half a close code", frame(CLOSE, &[3]), 1002),
        ("text that is no UTF-8", frame(TEXT, b"soup \xff"), 1007),
        ("a message that is not text", frame(BINARY, b"soup"), 1003),
        ("a message that is too long", frame(TEXT, &[b'x'; 4097]), 1009),
        ("one that is, in parts", parts.concat(), 1009),
        ("one that is, and all of it is sent", huge, 1009),
        (
            "a frame that lies about its length",
            masked(header(0x81, 0x80, u64::MAX / 2), b"hello"),
            1009,
        ),
        ("and one that lies more", masked(header(0x81, 0x80, u64::MAX), b"hello"), 1009),
    ];
    for (what, bytes, code) in cases {
        let mut client = Client::enter(address, "kitchen", "Ben");
        // The server may have closed its side before it has received everything.
        let _ = client.stream.write_all(&bytes);
        match client.end() {
            End::Closed(closed, reason) => assert_eq!(closed, code, "{what}: {reason}"),
            End::Lost => panic!("{what}: lost without a close frame"),
        }
        // The client has left, so its name is free. And the others are served.
        while bystander.event() != serde_json::json!({ "type": "left", "name": "Ben" }) {}
        assert!(client.is_closed_in_order(), "{what}");
    }
    bystander.say("still here");
    assert_eq!(bystander.said(), "still here");
    server.wait_for_line("closed with 1002: Received an unmasked frame from client");
    let panicked = server.said(|said| said.lines.iter().any(|line| line.contains("panicked")));
    assert!(!panicked);
}

#[test]
fn a_name_that_is_taken_or_is_none_is_refused_with_the_reason() {
    let (_server, address) = impatient_server();
    let mut ada = Client::enter(address, "kitchen", "Ada");
    let name_of = |n: usize| "%C3%B6".repeat(n); // This many times "ö".
    let longest = name_of(24);
    let _longest = Client::enter(address, &longest, &longest);
    for (room, name, reason) in [
        ("kitchen", "Ada", "this name is taken in this room"),
        ("kitchen", "%20aDA%20", "this name is taken in this room"),
        ("kitchen", "", "a name has at least one character"),
        ("%20", "Ben", "a name has at least one character"),
        ("kitchen", &name_of(25), "a name has at most 24 characters"),
        (&name_of(25), "Ben", "a name has at most 24 characters"),
        ("kitchen", "Be%0An", "a name has no control characters"),
    ] {
        let mut client = Client::open(address, &format!("/ws?room={room}&name={name}"));
        assert_eq!(client.end(), End::Closed(1008, reason.to_owned()), "{name} in {room}");
        assert!(client.is_closed_in_order());
    }
    let _ada_elsewhere = Client::enter(address, "bar", "Ada");
    // Ada received none of them.
    ada.say("soup");
    assert_eq!(ada.event()["text"], "soup");
}

#[test]
fn a_client_that_sends_too_fast_is_closed_and_the_others_hear_what_it_was_allowed() {
    let (_server, address) = impatient_server();
    let mut listener = Client::enter(address, "kitchen", "Ada");
    let mut spammer = Client::enter(address, "kitchen", "Ben");
    spammer.raw(&(0..200).flat_map(|n| frame(TEXT, format!("{n}").as_bytes())).collect::<Vec<_>>());
    let too_many = End::Closed(1008, "too many messages in too short a time".to_owned());
    assert_eq!(spammer.end(), too_many);
    let mut heard = 0;
    loop {
        let event = listener.event();
        match event["type"].as_str().unwrap() {
            "message" => {
                assert_eq!(event["text"], heard.to_string());
                heard += 1;
            }
            "left" => break,
            _ => {}
        }
    }
    // A burst of twenty, then five per second: fewer than half of the others, however slow this
    // machine is.
    assert!((20..100).contains(&heard), "{heard}");
    // Pings do not bypass the limit.
    let mut pinger = Client::enter(address, "kitchen", "Cleo");
    pinger.raw(&frame(PING, b"").repeat(200));
    assert_eq!(pinger.end(), too_many);
}

#[test]
fn a_full_room_and_one_room_too_many_are_refused_until_there_is_space() {
    let (_server, address) = server(&["127.0.0.1:0"]);
    let mut guests: Vec<_> =
        (0..500).map(|n| Client::enter(address, "kitchen", &n.to_string())).collect();
    let mut late = Client::open(address, "/ws?room=kitchen&name=late");
    let full = "this room is full: try again later, or enter another";
    assert_eq!(late.end(), End::Closed(1013, full.to_owned()));
    let mut first = guests.swap_remove(0);
    first.raw(&frame(CLOSE, b""));
    let _ = first.next_frame();
    let _late = Client::enter(address, "kitchen", "late");

    let _rooms: Vec<_> =
        (1..100).map(|n| Client::enter(address, &format!("room-{n}"), "Ada")).collect();
    let mut late = Client::open(address, "/ws?room=one-more&name=Ada");
    let too_many = "there are too many rooms: try again later, or enter one of them";
    assert_eq!(late.end(), End::Closed(1013, too_many.to_owned()));
}

#[test]
fn a_client_that_answers_no_ping_is_closed_and_one_that_does_stays() {
    let (_server, address) = impatient_server();
    let mut alive = Client::enter(address, "kitchen", "Alive");
    // It answers pings while it waits.
    let alive = thread::spawn(move || {
        let mut left = Vec::new();
        while left.len() < 2 {
            let event = alive.event();
            if event["type"] == "left" {
                left.push(event["name"].as_str().unwrap().to_owned());
            }
        }
        alive.say("still here");
        assert_eq!(alive.said(), "still here");
        left.sort();
        left
    });
    let mut silent = Client::enter(address, "kitchen", "Silent");
    let mut slow = Client::enter(address, "kitchen", "Slow");
    slow.raw(&frame(TEXT, &[b'x'; 1000])[..100]);
    let mut pings = 0;
    for client in [&mut silent, &mut slow] {
        let (code, reason) = loop {
            match client.next_frame().unwrap() {
                (PING, _) => {
                    pings += 1;
                    // `slow` answers with single bytes of a message, which is neither an answer nor
                    // a message.
                    let _ = client.stream.write_all(b"x");
                }
                (CLOSE, frame) => {
                    break (u16::from_be_bytes([frame[0], frame[1]]), text(&frame[2..]));
                }
                _ => {}
            }
        };
        assert_eq!((code, &*reason), (1008, "no answer to a ping"));
    }
    assert!(pings >= 2, "{pings}");
    assert_eq!(alive.join().unwrap(), ["Silent", "Slow"]);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_is_no_request_for_a_websocket_is_answered_with_the_reason() {
    let curl = need!("curl");
    let (_server, address) = impatient_server();
    let ask = |target: &str, args: &[&str]| {
        let url = format!("http://{address}{target}");
        let mut command = Command::new(&curl);
        command.args(["-sSi", "--max-time", "10"]).args(args).arg(url);
        run_well(&mut command, PATIENCE)
    };
    let upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"];
    let key = ["-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
    let version = ["-H", "Sec-WebSocket-Version: 13"];
    let all = [&upgrade[..], &key, &version].concat();
    let old = [&upgrade[..], &key, &["-H", "Sec-WebSocket-Version: 8"]].concat();
    let bad_key = [&upgrade[..], &version, &["-H", "Sec-WebSocket-Key: soup"]].concat();
    let foreign = [&all[..], &["-H", "Origin: http://example.org"]].concat();
    let sandboxed = [&all[..], &["-H", "Origin: null"]].concat();
    for (args, status, why) in [
        (&[][..], "426 ", "No \"Connection: upgrade\" header"),
        (&key[..], "426 ", "No \"Connection: upgrade\" header"),
        (&old, "426 ", "No \"Sec-WebSocket-Version: 13\" header"),
        (&bad_key, "426 ", "Invalid \"Sec-WebSocket-Key\" header"),
        (&foreign, "403 ", "a page of \"http://example.org\" may not connect to"),
        (&sandboxed, "403 ", "a page of \"null\" may not connect to"),
        (&["-X", "POST"], "405 ", ""),
        (&["-d", "soup"], "413 ", ""),
    ] {
        let response = ask("/ws?room=kitchen&name=Ada", args);
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{args:?}: {response}");
        assert!(response.contains(why), "{args:?}: {response}");
    }
    let response = ask("/ws?room=kitchen", &all);
    assert!(
        response.starts_with("HTTP/1.1 400 ") && response.contains("missing field `name`"),
        "{response}"
    );
    // A page of the server itself may connect, by whatever name the server was reached.
    let own = format!("Origin: http://{address}\r\n");
    let (response, _) = Client::request(address, "/ws?room=kitchen&name=Ada", &own);
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
}

#[test]
fn a_client_that_leaves_the_handshake_unfinished_costs_no_other_client() {
    let (_server, address) = impatient_server();
    let half: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /ws?room=kitchen&name=Ada HTTP/1.1\r\nUpgrade: webso").unwrap();
            stream
        })
        .collect();
    let mut ada = Client::enter(address, "kitchen", "Ada");
    ada.say("soup");
    assert_eq!(ada.said(), "soup");
    drop(half);
}
