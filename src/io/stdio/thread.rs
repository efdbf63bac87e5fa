//! The thread of a standard stream that cannot be watched: it reads or writes, blocking, what the handles of
//! that stream ask for, one thing after the other. There is at most one for each of the three streams in the whole
//! process; nobody waits for its end, and it retires when it has been idle for long. It reads no more than somebody
//! has asked for, and a write is done when its system call is.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, mem, thread};

use mio::unix::SourceFd;
use mio::{Interest, Token};
use slab::Slab;

use crate::io::pipe;
use crate::reactor::{Direction, Notice, Ready, Registered, Wait, give_from_afar};
use crate::state::slots::Key;

/// A thread that has had nothing to do for so long retires.
const IDLE: Duration = Duration::from_secs(10);

/// The most that is read or written at once.
const MOST: usize = 64 * 1024;

/// Where the handles of one stream, on any threads, meet the thread that serves them.
pub(super) struct Desk {
    name: &'static str,
    direction: Direction,
    /// How long the thread stays without anything to do.
    idle_for: Duration,
    state: Mutex<State>,
    /// Something was asked for.
    asked: Condvar,
}

struct State {
    places: Slab<Place>,
    /// Those who wait to be served.
    queue: VecDeque<usize>,
    /// What was read for somebody who had room for less, or is gone. The next reader gets it.
    spare: Vec<u8>,
    /// There is a thread.
    served: bool,
}

/// What is read or written: a duplicate of the stream's descriptor, with the description that others share.
pub(super) struct Original {
    pub(super) file: File,
    /// Writing must not raise SIGPIPE.
    pub(super) is_pipe: bool,
}

/// What the desk knows of one handle.
struct Place {
    original: Arc<Original>,
    key: Key,
    stage: Stage,
    /// The handle was dropped while it was served.
    left: bool,
}

enum Stage {
    Idle,
    /// Asked for: bytes to be filled, or to be written.
    Waiting(Vec<u8>),
    Served,
    /// The bytes, and how many of them were read or written.
    Done(Vec<u8>, io::Result<usize>),
}

impl Desk {
    pub(super) const fn new(name: &'static str, direction: Direction) -> Self {
        let state =
            State { places: Slab::new(), queue: VecDeque::new(), spare: Vec::new(), served: false };
        Desk { name, direction, idle_for: IDLE, state: Mutex::new(state), asked: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was read, or asks for it.
    fn read(&'static self, place: usize, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        if buf.is_empty() || !state.spare.is_empty() {
            return Ok(state.take_spare(buf));
        }
        let stage = mem::replace(&mut state.places[place].stage, Stage::Idle);
        match stage {
            Stage::Idle => self.ask(&mut state, place, vec![0; buf.len().min(MOST)]),
            Stage::Done(mut bytes, result) => {
                bytes.truncate(result?);
                // It was read for an earlier call, which had room for it; this one may have less.
                state.spare = bytes;
                Ok(state.take_spare(buf))
            }
            under_way => {
                state.places[place].stage = under_way;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// Tells what came of writing this, or asks for it. `first`: it was not asked for before.
    fn write(&'static self, place: usize, buf: &[u8], first: bool) -> io::Result<usize> {
        let mut state = self.state();
        let stage = mem::replace(&mut state.places[place].stage, Stage::Idle);
        match stage {
            Stage::Done(bytes, result) if !first && buf.starts_with(&bytes) => return result,
            // Whoever asked for it has not waited: written is written, but an error must be heard.
            Stage::Done(_, result) => drop(result?),
            Stage::Idle => {}
            under_way => {
                state.places[place].stage = under_way;
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        if buf.is_empty() {
            return Ok(0);
        }
        self.ask(&mut state, place, buf[..buf.len().min(MOST)].to_vec())
    }

    /// Leaves a wish to the thread. That would block; unless there is no thread to be had.
    fn ask(&'static self, state: &mut State, place: usize, bytes: Vec<u8>) -> io::Result<usize> {
        if !state.served {
            let thread = thread::Builder::new().name(format!("headwaiter {}", self.name));
            if let Err(error) = thread.spawn(|| self.serve()) {
                // The kernel's kind is `WouldBlock`, which would be misunderstood.
                return Err(io::Error::other(format!(
                    "no thread could be started for it: {error}"
                )));
            }
            state.served = true;
        }
        state.places[place].stage = Stage::Waiting(bytes);
        state.queue.push_back(place);
        self.asked.notify_one();
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// The life of the thread.
    fn serve(&self) {
        let mut state = self.state();
        loop {
            if let Some((place, original, mut bytes)) = state.next() {
                drop(state);
                let result = self.perform(&original, &mut bytes);
                drop(original);
                state = self.state();
                let told = self.end(&mut state, place, bytes, result);
                drop(state);
                told.into_iter().for_each(give_from_afar);
                state = self.state();
                continue;
            }
            let waited =
                self.asked.wait_timeout_while(state, self.idle_for, |state| state.queue.is_empty());
            let (got_up, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = got_up;
            if waited.timed_out() {
                state.served = false;
                return;
            }
        }
    }

    /// Returns whom to tell.
    fn end(
        &self,
        state: &mut State,
        number: usize,
        bytes: Vec<u8>,
        result: io::Result<usize>,
    ) -> Vec<Key> {
        let place = &mut state.places[number];
        place.stage = Stage::Done(bytes, result);
        if place.left { self.remove(state, number) } else { vec![place.key] }
    }

    /// Returns whom to tell: what was read for this place is for everybody now.
    fn remove(&self, state: &mut State, number: usize) -> Vec<Key> {
        match (self.direction, state.places.remove(number).stage) {
            (Direction::Read, Stage::Done(bytes, Ok(n @ 1..))) => {
                state.spare.extend_from_slice(&bytes[..n]);
                state.places.iter().map(|(_, place)| place.key).collect()
            }
            _ => Vec::new(),
        }
    }

    fn perform(&self, original: &Original, bytes: &mut [u8]) -> io::Result<usize> {
        let mut file = &original.file;
        loop {
            let result = match self.direction {
                Direction::Read => file.read(bytes),
                Direction::Write if original.is_pipe => pipe::write(file, bytes),
                Direction::Write => file.write(bytes),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else has set the description to non-blocking mode.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait(file, self.direction).map_err(io::Error::other)?;
                }
                result => return result,
            }
        }
    }
}

/// Blocks until the kernel says "ready".
fn wait(file: &File, direction: Direction) -> io::Result<()> {
    let mut poll = mio::Poll::new()?;
    let interest = match direction {
        Direction::Read => Interest::READABLE,
        Direction::Write => Interest::WRITABLE,
    };
    poll.registry().register(&mut SourceFd(&file.as_raw_fd()), Token(0), interest)?;
    match poll.poll(&mut mio::Events::with_capacity(1), None) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

impl State {
    fn take_spare(&mut self, buf: &mut [u8]) -> usize {
        let n = self.spare.len().min(buf.len());
        buf[..n].copy_from_slice(&self.spare[..n]);
        self.spare.drain(..n);
        n
    }

    fn next(&mut self) -> Option<(usize, Arc<Original>, Vec<u8>)> {
        let number = self.queue.pop_front()?;
        let place = &mut self.places[number];
        match mem::replace(&mut place.stage, Stage::Served) {
            Stage::Waiting(bytes) => Some((number, Arc::clone(&place.original), bytes)),
            _ => unreachable!("who stands in the queue waits"),
        }
    }
}

/// The place of one handle, in which it waits as others wait for a socket.
pub(super) struct Seat {
    desk: &'static Desk,
    place: usize,
    notice: Registered<Notice>,
}

impl Seat {
    #[track_caller]
    pub(super) fn take(desk: &'static Desk, original: Original) -> io::Result<Self> {
        let notice = Registered::new(Notice, desk.name, Ready::BOTH)?;
        let place = Place {
            original: Arc::new(original),
            key: notice.key(),
            stage: Stage::Idle,
            left: false,
        };
        let place = desk.state().places.insert(place);
        Ok(Seat { desk, place, notice })
    }

    pub(super) fn poll_read(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.notice.poll_io(
            wait,
            cx,
            Direction::Read,
            |_| self.desk.read(self.place, buf),
            |_| false,
        )
    }

    pub(super) fn poll_write(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let first = wait.is_first();
        let op = |_: &Notice| self.desk.write(self.place, buf, first);
        self.notice.poll_io(wait, cx, Direction::Write, op, |_| false)
    }
}

impl Drop for Seat {
    /// What waits to be written and was not begun will not be.
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.queue.retain(|place| *place != self.place);
        let told = match &mut state.places[self.place] {
            place @ Place { stage: Stage::Served, .. } => {
                place.left = true;
                Vec::new()
            }
            _ => self.desk.remove(&mut state, self.place),
        };
        drop(state);
        told.into_iter().for_each(give_from_afar);
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("place", &self.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::LazyLock;

    #[test]
    fn an_idle_thread_retires_and_there_is_another_when_it_is_needed() {
        static DESK: LazyLock<Desk> = LazyLock::new(|| Desk {
            idle_for: Duration::ZERO,
            ..Desk::new("a menu", Direction::Read)
        });
        let desk: &'static Desk = &DESK;
        crate::block_on(async {
            let file = File::open("Cargo.toml").unwrap();
            let seat = Seat::take(desk, Original { file, is_pipe: false }).unwrap();
            for expected in [b"[package]", b"\nname = \"", b"headwaite"] {
                let mut bytes = [0; 9];
                let n = poll_fn(|cx| seat.poll_read(&mut Wait::unticketed(), cx, &mut bytes)).await;
                assert_eq!((n.unwrap(), &bytes), (9, expected));
                while desk.state().served {
                    thread::yield_now();
                }
            }
            drop(seat);
            assert!(desk.state().places.is_empty());
        });
    }
}
