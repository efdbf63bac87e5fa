//! A small event loop on mio that breaks the rules of event loops on purpose, one at a time. The
//! result is never an error: a task waits for ever, or an event reaches the wrong connection. Then
//! it follows the rule, and shows where headwaiter does.
//!
//! `cargo run --example break_it`. It does not run any code of headwaiter, but it needs its source,
//! to print the lines.

use std::cell::Cell;
use std::io::{self, ErrorKind::WouldBlock, Read, Write};
use std::net::{TcpListener, TcpStream as Peer};
use std::{fs, path::Path, rc::Rc, time::Duration};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

/// Everything is sent before the kernel is asked. If it reports nothing for this long, there is
/// nothing to report.
const PATIENCE: Duration = Duration::from_millis(200);

/// The rules that can be broken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Drain,
    KeepTheWaker,
    Remember,
    Generations,
}

fn main() -> io::Result<()> {
    println!(
        "A loop that breaks one rule at a time, and then follows it. Its terms: the kernel watches a"
    );
    println!(
        "source, here a connection. An event says that a source is ready, and its token says which one."
    );
    println!(
        "A batch is all events that the kernel reports together. A waker asks to poll its task."
    );
    show(
        Rule::Drain,
        "after one read, the loop assumes that the source is empty. Two messages arrive together",
        |mini_loop| a_message_before_the_task(mini_loop, b"soupcake"),
        "the kernel reported both in one event, and does not report the second one again",
        "read until the kernel says \"would block\", and only then wait",
        ["src/reactor/registered.rs", "poll_io", "while source.ready.allows(direction)"],
    )?;
    show(
        Rule::KeepTheWaker,
        "a task that must wait does not store its waker. Then a message arrives",
        a_message_for_a_waiting_task,
        "the loop received the event, but does not know which task waits for it",
        "store the waker before you return `Pending`",
        ["src/reactor/registered.rs", "poll_io", "waiters.set_first(ticket, task"],
    )?;
    show(
        Rule::Remember,
        "a message arrives while no task waits, and the loop forgets it. Then a task waits for it",
        |mini_loop| a_message_before_the_task(mini_loop, b"soup"),
        "the waker was stored after the event, and the same bytes cause no second event",
        "remember what the kernel reported, and try before you wait",
        ["src/state/lifecycle.rs", "source_ready", "source.ready.learn("],
    )?;
    show(
        Rule::Generations,
        "a token is only an index. Ben hangs up, and in the same batch Carla gets his index",
        an_event_for_a_closed_connection,
        "Ben's event was in flight when he left, and its token now identifies Carla",
        "count the guests, add the count to the token as a generation, and ignore stale events",
        ["src/state/slots.rs", "find_mut", "layout.names(word, *occupant)"],
    )?;
    println!(
        "\nheadwaiter follows these rules for you. Only a callback of `on_ready` must itself read until"
    );
    println!("\"would block\", and a future that you write by hand must store its waker.");
    Ok(())
}

type Try = fn(MiniLoop) -> io::Result<String>;

fn show(
    rule: Rule,
    mistake: &str,
    try_it: Try,
    wrong: &str,
    cure: &str,
    there: [&str; 3],
) -> io::Result<()> {
    println!("\nthe mistake: {mistake}.");
    println!("  {}", line_of([file!(), "", &format!("broken != Some(Rule::{rule:?})")])?);
    println!("  {}", try_it(MiniLoop::new(Some(rule))?)?);
    println!("what went wrong: {wrong}.");
    println!("what to do: {cure}. Then:\n  {}", try_it(MiniLoop::new(None)?)?);
    println!("  In headwaiter, `{}` does this:\n  {}", there[1], line_of(there)?);
    Ok(())
}

/// The first line with this text in the function, or in the whole file.
fn line_of([file, function, text]: [&str; 3]) -> io::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let source = fs::read_to_string(&path);
    let source =
        source.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    let from_head =
        source.lines().zip(1..).skip_while(|(line, _)| !line.contains(&format!("fn {function}")));
    let mut lines =
        from_head.take_while(|(line, _)| function.is_empty() || !["}", "    }"].contains(line));
    match lines.find(|(line, _)| line.contains(text)) {
        Some((line, number)) => Ok(format!("{file}:{number}: {}", line.trim())),
        None => Err(io::Error::other(format!("{file}: no line of `{function}` says {text:?}"))),
    }
}

struct MiniLoop {
    broken: Option<Rule>,
    poll: Poll,
    guests: Slab<Guest>,
    /// How many guests there have been.
    count: usize,
}

struct Guest {
    stream: TcpStream,
    token: Token,
    ready: bool,
    waker: Option<Waker>,
}

/// Set when the task must be polled.
type Waker = Rc<Cell<bool>>;

/// The lower half of a token is an index.
const HALF: u32 = usize::BITS / 2;

impl MiniLoop {
    fn new(broken: Option<Rule>) -> io::Result<Self> {
        Ok(MiniLoop { broken, poll: Poll::new()?, guests: Slab::new(), count: 0 })
    }

    /// Adds a guest at the first free index.
    fn add(&mut self, stream: Peer) -> io::Result<Token> {
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        self.count += 1;
        let is_counted = self.broken != Some(Rule::Generations);
        let generation = if is_counted { self.count } else { 0 };
        let token = Token(self.guests.vacant_key() | generation << HALF);
        self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
        self.guests.insert(Guest { stream, token, ready: false, waker: None });
        Ok(token)
    }

    fn guest(&mut self, token: Token) -> Option<&mut Guest> {
        let guest = self.guests.get_mut(token.0 & ((1 << HALF) - 1));
        guest.filter(|guest| guest.token == token)
    }

    /// Asks the kernel, and wakes waiting tasks. Returns the token of each event, and whether that
    /// guest has hung up.
    fn turn(&mut self) -> io::Result<Vec<(Token, bool)>> {
        let (mut events, broken) = (Events::with_capacity(64), self.broken);
        self.poll.poll(&mut events, Some(PATIENCE))?;
        for event in &events {
            let Some(guest) = self.guest(event.token()) else { continue };
            guest.ready |= guest.waker.is_some() || broken != Some(Rule::Remember);
            if let Some(waker) = guest.waker.take() {
                waker.set(true);
            }
        }
        Ok(events.iter().map(|event| (event.token(), event.is_read_closed())).collect())
    }

    /// Reads up to 4 bytes. Returns `None` if the task must wait.
    fn try_read(&mut self, token: Token, waker: &Waker) -> io::Result<Option<usize>> {
        let broken = self.broken;
        let guest = self.guest(token).expect("the task's guest exists");
        while guest.ready {
            match guest.stream.read(&mut [0; 4]) {
                Err(error) if error.kind() == WouldBlock => guest.ready = false,
                result => {
                    guest.ready = broken != Some(Rule::Drain);
                    return result.map(Some);
                }
            }
        }
        guest.waker = (broken != Some(Rule::KeepTheWaker)).then(|| Rc::clone(waker));
        Ok(None)
    }

    /// Runs a task until it has read this many bytes or waits in vain. `later` sends a message once
    /// the task waits.
    fn run(
        &mut self,
        guest: Token,
        bytes: usize,
        mut later: Option<&mut Peer>,
    ) -> io::Result<String> {
        let (waker, mut read, mut polls, mut events) = (Rc::new(Cell::new(true)), 0, 0, 0);
        loop {
            if waker.replace(false) {
                polls += 1;
                while read < bytes
                    && let Some(more @ 1..) = self.try_read(guest, &waker)?
                {
                    read += more;
                }
            }
            if read == bytes {
                return Ok(format!("The task has all {bytes} bytes."));
            }
            if let Some(peer) = later.take() {
                peer.write_all(b"soup")?;
            }
            let reported = self.turn()?.len();
            if reported == 0 {
                let waits =
                    format!("and waits for ever (polls: {polls}, events meanwhile: {events}).");
                return Ok(format!("The task has {read} of {bytes} bytes, {waits}"));
            }
            events += reported;
        }
    }
}

/// Connects a guest that sends these bytes. Returns both ends of the connection, after the bytes
/// have arrived.
fn connect_guest(bytes: &[u8]) -> io::Result<(Peer, Peer)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut peer = Peer::connect(listener.local_addr()?)?;
    let (stream, _) = listener.accept()?;
    peer.write_all(bytes)?;
    stream.set_read_timeout(Some(10 * PATIENCE))?;
    if !bytes.is_empty() {
        stream.peek(&mut bytes.to_vec())?;
    }
    Ok((stream, peer))
}

fn a_message_for_a_waiting_task(mut mini_loop: MiniLoop) -> io::Result<String> {
    let (stream, mut peer) = connect_guest(b"")?;
    let guest = mini_loop.add(stream)?;
    mini_loop.run(guest, 4, Some(&mut peer))
}

fn a_message_before_the_task(mut mini_loop: MiniLoop, bytes: &[u8]) -> io::Result<String> {
    let (stream, _peer) = connect_guest(bytes)?;
    let guest = mini_loop.add(stream)?; // Registering reports bytes that are there.
    let before = mini_loop.turn()?.len();
    Ok(format!("Events before the task: {before}. {}", mini_loop.run(guest, bytes.len(), None)?))
}

fn an_event_for_a_closed_connection(mut mini_loop: MiniLoop) -> io::Result<String> {
    let (anna, _annas) = connect_guest(b"Carla takes Ben's place")?;
    let ((ben, bens), (carla, _carlas)) = (connect_guest(b"")?, connect_guest(b"")?);
    drop(bens);
    ben.peek(&mut [0])?; // EOF has arrived.
    let (anna, ben) = (mini_loop.add(anna)?, mini_loop.add(ben)?);
    let (mut batch, mut seated) = (mini_loop.turn()?, ben);
    batch.sort(); // Process Anna's event first.
    for (token, hung_up) in batch {
        if token == anna {
            mini_loop.guests.retain(|_, guest| guest.token != ben);
            seated = mini_loop.add(carla.try_clone()?)?;
        } else if hung_up {
            mini_loop.guests.retain(|_, guest| guest.token != token);
        }
    }
    let carla =
        if mini_loop.guest(seated).is_some() { "stays connected" } else { "is disconnected" };
    Ok(format!("Carla, who has not hung up, {carla}."))
}
