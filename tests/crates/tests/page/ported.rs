//! The program that `docs/from-tokio.md` ports: the page shows the difference between the two
//! programs, and both do the same.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use peers::{address, start};

/// The text of a program below its heading.
fn program(text: &str) -> String {
    text.split_once("\n\n").unwrap().1.to_owned()
}

#[test]
fn the_page_shows_the_difference_between_the_two_programs() {
    let page = include_str!("../../../../docs/from-tokio.md");
    let diff = page.split("```diff\n").nth(1).unwrap().split("```").next().unwrap();
    // One side of the diff: without the lines of the other, and without the marks.
    let side = |mark: char, other: char| {
        let lines = diff.lines().filter(|line| !line.starts_with(other));
        let text = lines.map(|line| line.strip_prefix([mark, ' ']).unwrap_or(line));
        text.map(|line| format!("{line}\n")).collect::<String>()
    };
    assert_eq!(side('-', '+'), program(include_str!("../../examples/relay_on_tokio.rs")));
    assert_eq!(side('+', '-'), program(include_str!("../../examples/relay.rs")));
}

/// Two clients get each line that one of them sends.
#[track_caller]
fn assert_relays(name: &str) {
    let this = std::env::current_exe().unwrap();
    let path = this.parent().unwrap().with_file_name("examples").join(name);
    let server = start(path.to_str().unwrap().to_owned().leak(), &[]);
    let address = address(&server, "listening on ");
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    };
    let (one, other) = (connect(), connect());
    let read = |stream: &TcpStream| {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    };
    // A client is served from its first line on: until the other is, it gets none.
    writeln!(&other, "soup").unwrap();
    assert_eq!(read(&other), "soup\n");
    writeln!(&one, "salad").unwrap();
    assert_eq!(read(&other), "salad\n");
    assert!(["soup\n", "salad\n"].contains(&read(&one).as_str()));
}

#[test]
fn the_program_on_tokio_sends_each_line_to_all() {
    assert_relays("relay_on_tokio");
}

#[test]
fn the_ported_program_sends_each_line_to_all() {
    assert_relays("relay");
}
