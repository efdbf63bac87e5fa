//! A small event loop of its own, on mio, which breaks the rules on purpose, one at a time. No error comes of it: somebody
//! waits for ever, or a stranger is hit. Then it keeps the rule, and it is shown where headwaiter does.
//!
//! `cargo run --example break_it`. Nothing of headwaiter runs here; but its source must be there, for the lines.

use std::cell::Cell;
use std::io::{self, ErrorKind::WouldBlock, Read, Write};
use std::net::{TcpListener, TcpStream as Peer};
use std::{fs, path::Path, rc::Rc, time::Duration};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

/// All that is sent is there before the kernel is asked. When it says nothing for so long, it has nothing to say.
const PATIENCE: Duration = Duration::from_millis(200);

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Drain,
    KeepTheWaker,
    Remember,
    Generations,
}

fn main() -> io::Result<()> {
    println!(
        "A loop that breaks one rule at a time, and then keeps it. Its words: a source is what the"
    );
    println!(
        "kernel watches, here a connection; an event says that it is ready, its token which one it is;"
    );
    println!("a batch is what the kernel tells at once; a task is polled when its waker says so.");
    show(
        Rule::Drain,
        "after one read, the loop takes a source for empty. Two messages come at once",
        |mini_loop| a_message_before_the_task(mini_loop, b"soupcake"),
        "the kernel told of both at once, and does not tell again of what is still there",
        "read until the kernel says \"would block\", and only then wait",
        ["src/reactor/registered.rs", "attempt", "while watched.ready.allows(direction)"],
    )?;
    show(
        Rule::KeepTheWaker,
        "a task that must wait leaves no waker. Then a message comes",
        a_message_for_who_waits,
        "the loop was told of the message, but not who waits for it",
        "leave the waker before you say \"pending\"",
        ["src/reactor/registered.rs", "attempt", "leave_task(ticket, number"],
    )?;
    show(
        Rule::Remember,
        "a message comes while nobody waits, and the loop forgets it. Then a task waits for it",
        |mini_loop| a_message_before_the_task(mini_loop, b"soup"),
        "the waker was left after the event, and of the same bytes there is no second event",
        "remember what the kernel said, and try before you wait",
        ["src/reactor.rs", "dispatch_to_own", "watched.ready.learn("],
    )?;
    show(
        Rule::Generations,
        "a token is a place, and no more. Ben hangs up; in the same batch Carla gets his place",
        an_event_for_who_has_left,
        "Ben's event was on its way when he left, and its token means Carla now",
        "count the guests, put the number into the token too, and let a stale event miss",
        ["src/slots.rs", "get_packed_mut", "== packed.generation()"],
    )?;
    println!(
        "\nWith headwaiter you need do nothing of this. Only a callback of `on_ready` must read until"
    );
    println!(
        "the kernel says \"would block\", and a future that you write by hand must leave its waker."
    );
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
    println!("  In headwaiter, `{}` does it:\n  {}", there[1], line_of(there)?);
    Ok(())
}

/// The first line with that text in the function, or in the whole file.
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
    /// How many there ever were.
    count: usize,
}

struct Guest {
    stream: TcpStream,
    token: Token,
    ready: bool,
    waker: Option<Waker>,
}

/// Set for a task that is to be polled.
type Waker = Rc<Cell<bool>>;

/// Of a token, the lower half is a place.
const HALF: u32 = usize::BITS / 2;

impl MiniLoop {
    fn new(broken: Option<Rule>) -> io::Result<Self> {
        Ok(MiniLoop { broken, poll: Poll::new()?, guests: Slab::new(), count: 0 })
    }

    /// Takes a guest in, at the first place that is free.
    fn add(&mut self, stream: Peer) -> io::Result<Token> {
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        self.count += 1;
        let generation = if self.broken != Some(Rule::Generations) { self.count } else { 0 };
        let token = Token(self.guests.vacant_key() | generation << HALF);
        self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
        self.guests.insert(Guest { stream, token, ready: false, waker: None });
        Ok(token)
    }

    fn guest(&mut self, token: Token) -> Option<&mut Guest> {
        let guest = self.guests.get_mut(token.0 & ((1 << HALF) - 1));
        guest.filter(|guest| guest.token == token)
    }

    /// Asks the kernel, and wakes who waits. Returns whom it told of, and whether they have hung up.
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

    /// Reads up to 4 bytes. `None`: it must wait.
    fn try_read(&mut self, token: Token, waker: &Waker) -> io::Result<Option<usize>> {
        let broken = self.broken;
        let guest = self.guest(token).expect("tasks are for guests who are here");
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

    /// Runs a task that reads so many bytes, until it has or waits in vain. `later` sends when the task waits first.
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
            let told = self.turn()?.len();
            if told == 0 {
                let waits =
                    format!("and waits for ever (polls: {polls}, events meanwhile: {events}).");
                return Ok(format!("The task has {read} of {bytes} bytes, {waits}"));
            }
            events += told;
        }
    }
}

/// A guest who sends something, as the loop and as the guest sees the connection. All has come.
fn guest_who_sends(bytes: &[u8]) -> io::Result<(Peer, Peer)> {
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

fn a_message_for_who_waits(mut mini_loop: MiniLoop) -> io::Result<String> {
    let (stream, mut peer) = guest_who_sends(b"")?;
    let guest = mini_loop.add(stream)?;
    mini_loop.run(guest, 4, Some(&mut peer))
}

fn a_message_before_the_task(mut mini_loop: MiniLoop, bytes: &[u8]) -> io::Result<String> {
    let (stream, _peer) = guest_who_sends(bytes)?;
    let guest = mini_loop.add(stream)?; // It does no harm that this is late: the kernel tells what is there.
    let before = mini_loop.turn()?.len();
    Ok(format!("Events before the task: {before}. {}", mini_loop.run(guest, bytes.len(), None)?))
}

fn an_event_for_who_has_left(mut mini_loop: MiniLoop) -> io::Result<String> {
    let (anna, _annas) = guest_who_sends(b"Carla takes Ben's place")?;
    let ((ben, bens), (carla, _carlas)) = (guest_who_sends(b"")?, guest_who_sends(b"")?);
    drop(bens);
    ben.peek(&mut [0])?; // The end has come.
    let (anna, ben) = (mini_loop.add(anna)?, mini_loop.add(ben)?);
    let (mut batch, mut seated) = (mini_loop.turn()?, ben);
    batch.sort(); // Anna's event first.
    for (token, hung_up) in batch {
        if token == anna {
            mini_loop.guests.retain(|_, guest| guest.token != ben);
            seated = mini_loop.add(carla.try_clone()?)?;
        } else if hung_up {
            mini_loop.guests.retain(|_, guest| guest.token != token);
        }
    }
    let carla = if mini_loop.guest(seated).is_some() { "stays" } else { "is thrown out" };
    Ok(format!("Carla, who has not hung up, {carla}."))
}
