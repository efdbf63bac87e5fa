//! The thread of a standard stream that cannot be watched. It makes the blocking calls that the
//! handles of the stream request, one after the other. Each of the three streams has at most one,
//! for the whole process.
//!
//! Used by the parent module. Nothing waits for the thread to end; it retires when it has been idle
//! for long. It never reads more than was requested, and a write has completed when its system call
//! has.

use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::{collections::VecDeque, fs::File, mem, os::fd::AsRawFd, thread, time::Duration};

use mio::unix::SourceFd;
use mio::{Interest, Token};
use slab::Slab;

use crate::fmt::debug_struct;
use crate::reactor::{Direction, Notice, Ready, Registered, Wait, give_from_afar};
use crate::{io::pipe::nosignal, state::Key};

/// How long the thread stays without a request.
const IDLE: Duration = Duration::from_secs(10);

/// The most bytes of one read or write.
const MOST: usize = 64 * 1024;

/// What the handles of one stream, on any threads, share with the thread that serves them.
pub(super) struct StreamThread {
    name: &'static str,
    pub(super) direction: Direction,
    /// How long the thread stays without a request.
    idle_for: Duration,
    state: Mutex<State>,
    /// Signalled when a request was queued.
    requested: Condvar,
}

struct State {
    clients: Slab<Client>,
    /// The clients whose requests are queued.
    queue: VecDeque<usize>,
    /// Bytes that were read for a client that then had less room, or was dropped. The next read
    /// gets them.
    leftover: Vec<u8>,
    /// Whether the thread runs.
    is_running: bool,
}

/// The file that is read or written: a duplicate of the stream's descriptor, with the description
/// that others share.
pub(super) struct SharedFile {
    pub(super) file: File,
    /// Writing must then not raise SIGPIPE.
    pub(super) is_pipe: bool,
}

/// One handle, as the thread knows it.
struct Client {
    file: Arc<SharedFile>,
    /// Where to give notice of the result.
    key: Key,
    request: Request,
    /// The handle was dropped while its request ran.
    is_dropped: bool,
}

/// The life of a request. The memory moves along with it.
enum Request {
    None,
    /// Bytes to fill, or to write.
    Queued(Vec<u8>),
    Running,
    /// The bytes, and how many of them were read or written.
    Done(Vec<u8>, io::Result<usize>),
}

impl StreamThread {
    pub(super) const fn new(name: &'static str, direction: Direction) -> Self {
        let state = State {
            clients: Slab::new(),
            queue: VecDeque::new(),
            leftover: Vec::new(),
            is_running: false,
        };
        let requested = Condvar::new();
        StreamThread { name, direction, idle_for: IDLE, state: Mutex::new(state), requested }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was read, or requests a read.
    fn read(&'static self, client: usize, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        if buf.is_empty() || !state.leftover.is_empty() {
            return Ok(state.take_leftover(buf));
        }
        let request = mem::replace(&mut state.clients[client].request, Request::None);
        match request {
            Request::None => self.request(&mut state, client, vec![0; buf.len().min(MOST)]),
            Request::Done(mut bytes, result) => {
                bytes.truncate(result?);
                // They were read for an earlier call; this one may have less room.
                state.leftover = bytes;
                Ok(state.take_leftover(buf))
            }
            pending => {
                state.clients[client].request = pending;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// Takes the result of writing `buf`, or requests the write. `is_first`: this operation has not
    /// requested it yet, so a result that is there belongs to an earlier one.
    fn write(&'static self, client: usize, buf: &[u8], is_first: bool) -> io::Result<usize> {
        let mut state = self.state();
        let request = mem::replace(&mut state.clients[client].request, Request::None);
        match request {
            Request::Done(bytes, result) if !is_first && buf.starts_with(&bytes) => return result,
            // An operation that was dropped: its bytes are written, but its error must not get
            // lost.
            Request::Done(_, result) => drop(result?),
            Request::None => {}
            pending => {
                state.clients[client].request = pending;
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        if buf.is_empty() {
            return Ok(0);
        }
        self.request(&mut state, client, buf[..buf.len().min(MOST)].to_vec())
    }

    /// Queues a request and starts the thread if needed. Returns `WouldBlock`, or why there is no
    /// thread.
    fn request(
        &'static self,
        state: &mut State,
        client: usize,
        bytes: Vec<u8>,
    ) -> io::Result<usize> {
        if !state.is_running {
            let thread = thread::Builder::new().name(format!("headwaiter {}", self.name));
            if let Err(error) = thread.spawn(|| self.serve()) {
                // The kernel's own kind is `WouldBlock`, which would be misunderstood here.
                return Err(io::Error::other(format!(
                    "no thread could be started for it: {error}"
                )));
            }
            state.is_running = true;
        }
        state.clients[client].request = Request::Queued(bytes);
        state.queue.push_back(client);
        self.requested.notify_one();
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// The main function of the thread.
    fn serve(&self) {
        let mut state = self.state();
        loop {
            if let Some((client, file, mut bytes)) = state.next() {
                // The system call may block for ever, so it is made without the lock.
                drop(state);
                let result = self.perform(&file, &mut bytes);
                drop(file);
                state = self.state();
                let notified = self.complete(&mut state, client, bytes, result);
                // Giving notice locks the inbox of a loop, which must not happen inside this lock.
                drop(state);
                notified.into_iter().for_each(give_from_afar);
                state = self.state();
                continue;
            }
            let is_empty = |state: &mut State| state.queue.is_empty();
            let waited = self.requested.wait_timeout_while(state, self.idle_for, is_empty);
            let (locked, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = locked;
            if waited.timed_out() {
                // Under the lock: a later request sees this, and starts another thread.
                state.is_running = false;
                return;
            }
        }
    }

    /// Stores the result of a request. Returns the handles to notify.
    fn complete(
        &self,
        state: &mut State,
        client: usize,
        bytes: Vec<u8>,
        result: io::Result<usize>,
    ) -> Vec<Key> {
        let entry = &mut state.clients[client];
        entry.request = Request::Done(bytes, result);
        if entry.is_dropped { self.remove(state, client) } else { vec![entry.key] }
    }

    /// Removes a client. Returns the handles to notify: what was read for it is now for any of
    /// them.
    fn remove(&self, state: &mut State, client: usize) -> Vec<Key> {
        match (self.direction, state.clients.remove(client).request) {
            (Direction::Read, Request::Done(bytes, Ok(n @ 1..))) => {
                state.leftover.extend_from_slice(&bytes[..n]);
                state.clients.iter().map(|(_, client)| client.key).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Makes the blocking system call.
    fn perform(&self, shared: &SharedFile, bytes: &mut [u8]) -> io::Result<usize> {
        let mut file = &shared.file;
        loop {
            let result = match self.direction {
                Direction::Read => file.read(bytes),
                Direction::Write if shared.is_pipe => nosignal::write(file, bytes),
                Direction::Write => file.write(bytes),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process has set the shared description to non-blocking mode.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait(file, self.direction).map_err(io::Error::other)?;
                }
                result => return result,
            }
        }
    }
}

/// Blocks until the kernel reports the file ready.
fn wait(file: &File, direction: Direction) -> io::Result<()> {
    let mut poll = mio::Poll::new()?;
    let interest = match direction {
        Direction::Read => Interest::READABLE,
        Direction::Write => Interest::WRITABLE,
    };
    poll.registry().register(&mut SourceFd(&file.as_raw_fd()), Token(0), interest)?;
    match poll.poll(&mut mio::Events::with_capacity(1), None) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        // Interrupted: the caller tries again, and comes back here if that blocks.
        _ => Ok(()),
    }
}

impl State {
    fn take_leftover(&mut self, buf: &mut [u8]) -> usize {
        let n = self.leftover.len().min(buf.len());
        buf[..n].copy_from_slice(&self.leftover[..n]);
        self.leftover.drain(..n);
        n
    }

    /// Takes the next request out of the queue.
    fn next(&mut self) -> Option<(usize, Arc<SharedFile>, Vec<u8>)> {
        let client = self.queue.pop_front()?;
        let entry = &mut self.clients[client];
        match mem::replace(&mut entry.request, Request::Running) {
            Request::Queued(bytes) => Some((client, Arc::clone(&entry.file), bytes)),
            _ => unreachable!("a client in the queue has a queued request"),
        }
    }
}

/// The part of a handle that has its stream read or written by the thread. It waits as if for a
/// socket.
pub(super) struct ThreadedHandle {
    thread: &'static StreamThread,
    client: usize,
    notice: Registered<Notice>,
}

impl ThreadedHandle {
    #[track_caller]
    pub(super) fn new(thread: &'static StreamThread, file: SharedFile) -> io::Result<Self> {
        let notice = Registered::new(Notice, thread.name, Ready::BOTH)?;
        let client = Client {
            file: Arc::new(file),
            key: notice.key(),
            request: Request::None,
            is_dropped: false,
        };
        let client = thread.state().clients.insert(client);
        Ok(ThreadedHandle { thread, client, notice })
    }

    pub(super) fn poll_read(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let op = |_: &Notice| self.thread.read(self.client, buf);
        self.notice.poll_io(wait, cx, Direction::Read, op, |_| false)
    }

    pub(super) fn poll_write(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let is_first = wait.is_first();
        let op = |_: &Notice| self.thread.write(self.client, buf, is_first);
        self.notice.poll_io(wait, cx, Direction::Write, op, |_| false)
    }
}

impl Drop for ThreadedHandle {
    /// Cancels a request that has not begun: its bytes are not written.
    fn drop(&mut self) {
        let mut state = self.thread.state();
        state.queue.retain(|client| *client != self.client);
        let notified = match &mut state.clients[self.client] {
            // The thread removes it when the call returns.
            client @ Client { request: Request::Running, .. } => {
                client.is_dropped = true;
                Vec::new()
            }
            _ => self.thread.remove(&mut state, self.client),
        };
        drop(state);
        notified.into_iter().for_each(give_from_afar);
    }
}

debug_struct!(impl[] for ThreadedHandle as "ThreadedHandle", |this| client: this.client, ..);

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::LazyLock;

    #[test]
    fn an_idle_thread_retires_and_there_is_another_when_it_is_needed() {
        static THREAD: LazyLock<StreamThread> = LazyLock::new(|| StreamThread {
            idle_for: Duration::ZERO,
            ..StreamThread::new("a menu", Direction::Read)
        });
        let stream_thread: &'static StreamThread = &THREAD;
        crate::block_on(async {
            let file = File::open("Cargo.toml").unwrap();
            let shared = SharedFile { file, is_pipe: false };
            let handle = ThreadedHandle::new(stream_thread, shared).unwrap();
            for expected in [b"[package]", b"\nname = \"", b"headwaite"] {
                let mut bytes = [0; 9];
                let read =
                    poll_fn(|cx| handle.poll_read(&mut Wait::unticketed(), cx, &mut bytes)).await;
                assert_eq!((read.unwrap(), &bytes), (9, expected));
                while stream_thread.state().is_running {
                    thread::yield_now();
                }
            }
            drop(handle);
            assert!(stream_thread.state().clients.is_empty());
        });
    }
}
