//! What the chat promises to well-behaved clients, and how it shuts down.

mod client;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use client::{CLOSE, Client, End, TEXT, frame, impatient_server, server};
use peers::{PATIENCE, Program, need, run_well, start};

/// Runs a task of `peer.py`.
fn peer(python: &Path, task: &str, server: SocketAddr) -> Command {
    let mut command = Command::new(python);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer.py");
    command.args([script, task, &server.to_string()]);
    command
}

#[test]
fn a_message_reaches_all_in_the_room_and_none_in_another() {
    let python = need!(python "websockets");
    let (_server, address) = server(&["127.0.0.1:0"]);
    run_well(&mut peer(&python, "rooms", address), PATIENCE);
}

#[test]
fn five_hundred_clients_at_once_hear_all_that_is_said_in_their_rooms() {
    let python = need!(python "websockets");
    let (_server, address) = server(&["127.0.0.1:0"]);
    run_well(&mut peer(&python, "crowd", address), 3 * PATIENCE);
}

#[test]
fn ctrl_c_sends_every_client_a_close_frame_and_ends_with_success() {
    let python = need!(python "websockets");
    let (server, address) = server(&["127.0.0.1:0"]);
    let guests = Program::start_command("peer.py", peer(&python, "closing", address));
    guests.wait_for_line("all are here");
    server.interrupt();
    let (code, said) = guests.end();
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("cut off") && !said.contains("dropped"), "{said}");
}

#[test]
fn a_client_that_does_not_answer_is_cut_off_after_the_grace() {
    let (server, address) = server(&["127.0.0.1:0", "1"]);
    let mut deaf = Client::enter(address, "kitchen", "Ada");
    server.interrupt();
    // The client receives the close frame and does nothing.
    assert_eq!(deaf.next_frame().unwrap(), (CLOSE, b"\x03\xe9the server is ending".to_vec()));
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("had not answered were dropped"), "{said}");
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let (server, address) = server(&["127.0.0.1:0", "3600"]);
    let mut deaf = Client::enter(address, "kitchen", "Ada");
    server.interrupt();
    assert_eq!(deaf.next_frame().unwrap().0, CLOSE);
    server.interrupt();
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_newcomer_is_shown_who_is_here_and_the_last_messages() {
    let (_server, address) = impatient_server();
    let mut speakers = ["Ada", "Ben", "Cleo"].map(|name| Client::enter(address, "kitchen", name));
    // Twenty each, because more would exceed the rate limit. Fifty are kept.
    for n in 0..60 {
        let speaker = &mut speakers[n / 20];
        speaker.say(&format!("message {n}"));
        while speaker.said() != format!("message {n}") {}
    }
    let mut newcomer = Client::open(address, "/ws?room=kitchen&name=Dan");
    let welcome = newcomer.event();
    let members = serde_json::json!(["Ada", "Ben", "Cleo", "Dan"]);
    assert_eq!((&welcome["room"], &welcome["members"]), (&"kitchen".into(), &members));
    for n in 10..60 {
        assert_eq!(newcomer.said(), format!("message {n}"));
    }
}

#[test]
fn who_comes_and_who_leaves_is_told_and_listed() {
    let curl = need!("curl");
    let (_server, address) = impatient_server();
    let rooms = || {
        let url = format!("http://{address}/rooms");
        let listed =
            run_well(Command::new(&curl).args(["-sS", "--max-time", "10", &url]), PATIENCE);
        serde_json::from_str::<serde_json::Value>(&listed).unwrap()
    };
    assert_eq!(rooms(), serde_json::json!([]));
    let mut ada = Client::enter(address, "the%20kitchen", "Ada");
    let mut ben = Client::enter(address, "the%20kitchen", "Ben");
    let _cleo = Client::enter(address, "bar", "Cleo");
    assert_eq!(ada.event(), serde_json::json!({ "type": "joined", "name": "Ben" }));
    let listed = serde_json::json!([{ "name": "bar", "members": 1 }, { "name": "the kitchen", "members": 2 }]);
    assert_eq!(rooms(), listed);

    ben.raw(&frame(CLOSE, &1000u16.to_be_bytes()));
    assert_eq!(ben.end(), End::Closed(1000, String::new()));
    assert_eq!(ada.event(), serde_json::json!({ "type": "left", "name": "Ben" }));
    // A failed connection has the same effect as a closed one.
    drop(Client::enter(address, "the%20kitchen", "Ben"));
    assert_eq!(ada.event(), serde_json::json!({ "type": "joined", "name": "Ben" }));
    assert_eq!(ada.event(), serde_json::json!({ "type": "left", "name": "Ben" }));
}

#[test]
fn what_a_client_says_just_before_it_leaves_is_heard() {
    let (_server, address) = impatient_server();
    let mut ada = Client::enter(address, "kitchen", "Ada");
    let mut ben = Client::enter(address, "kitchen", "Ben");
    let mut bytes = frame(TEXT, b"soup").repeat(10);
    bytes.extend(frame(CLOSE, &1000u16.to_be_bytes()));
    ben.raw(&bytes);
    assert_eq!(ada.event()["type"], "joined");
    for _ in 0..10 {
        assert_eq!(ada.event()["text"], "soup");
    }
    assert_eq!(ada.event()["type"], "left");
}

#[test]
fn wrong_arguments_are_named() {
    for (args, why) in [
        (
            &["127.0.0.1:0", "soon"][..],
            "GRACE is a whole number of seconds, 1 or more, and not \"soon\"",
        ),
        (
            &["127.0.0.1:0", "1", "0"],
            "PATIENCE is a whole number of seconds, 1 or more, and not \"0\"",
        ),
        (&["--help"], "usage: chat [ADDRESS [GRACE [PATIENCE]]]"),
        (&["127.0.0.1:99999"], "cannot listen on 127.0.0.1:99999: "),
    ] {
        let (code, said) = start(env!("CARGO_BIN_EXE_chat"), args).end();
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    }
}
