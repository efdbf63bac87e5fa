//! What other threads can reach of a loop: [`Shared`], with its inbox, and the table of living
//! loops. Other threads only leave messages here; nothing here touches what belongs to the loop's
//! own thread.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use log::Level;
use slab::Slab;

use super::contain::{contain, say};
use super::inbox::{Inbox, LastWake, Mail};
use super::log::LOOP;
use super::message::{Message, Release};
use super::number::{TaskNumber, Wake};
use super::slots::{Layout, LoopId};

/// The part of a loop that other threads may use.
pub(crate) struct Shared {
    pub(crate) id: LoopId,
    /// The thread on which the loop was built, and which it never leaves.
    pub(crate) thread: ThreadId,
    /// The task that is being polled: its number in the lower half, the place where it was spawned
    /// in the upper. 0 if there is none. Read by other threads to say why the loop does not answer.
    pub(crate) polled: AtomicU64,
    /// For the stall watcher: the number of turns begun, and whether the loop sleeps or is not
    /// being driven.
    pub(crate) turns: AtomicU64,
    pub(crate) sleeps: AtomicBool,
    /// How many [`Handle`](crate::Handle)s there are. Each can spawn a task that wakes another.
    pub(crate) handles: AtomicUsize,
    inbox: Inbox,
    waker: mio::Waker,
    /// Deregisters the fd of a handle that is dropped on another thread, before the fd is closed.
    pub(crate) registry: mio::Registry,
}

impl Shared {
    /// Sends a message to the loop and wakes it. A loop that is gone takes no message. Neither does
    /// the copy of a loop in a forked child: nothing drives it, and its eventfd belongs to its
    /// parent. In both cases the message is dropped here, outside any lock.
    pub(crate) fn send(&self, message: Message) {
        if !is_of_this_process(self.id) {
            return drop(message);
        }
        match self.inbox.push(message) {
            Ok(notify) => self.notify(notify),
            Err(refused) => drop(refused),
        }
    }

    /// Reports that an offloaded job has ended or will never begin, and wakes `task`.
    pub(crate) fn job_ended(&self, task: Option<TaskNumber>) {
        self.notify(self.inbox.push_job_end(task));
    }

    pub(crate) fn notify(&self, notify: bool) {
        if !notify {
            return;
        }
        if let Err(error) = retry_wake(|| self.waker.wake()) {
            // The loop takes the message when it next wakes up, at the latest for the next message.
            self.inbox.not_notified();
            let line = format_args!("cannot wake the loop from another thread: {error}");
            say(Level::Error, LOOP, line);
        }
    }

    /// Closes the inbox. Returns the last messages, which the caller must drop.
    pub(crate) fn close(&self) -> Mail {
        self.inbox.close()
    }

    pub(crate) fn has_handles(&self) -> bool {
        self.handles.load(Ordering::Acquire) > 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        find(self.id).is_none()
    }

    pub(crate) fn has_mail(&self) -> bool {
        self.inbox.has_mail()
    }

    pub(crate) fn take(&self) -> Mail {
        self.inbox.take()
    }
}

/// Retries after an interruption by a signal, and a few times after other failures, because a lost
/// wakeup may be the last one.
fn retry_wake(mut wake: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    const TRIES: u32 = 10;
    let mut tries = 0;
    loop {
        match wake() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if tries < TRIES => {
                tries += 1;
                thread::yield_now();
            }
            result => return result,
        }
    }
}

/// All living loops of the process. The index of a loop is its narrow id, which wakers carry and
/// which is reused. The id that handles carry is never reused.
static LOOPS: Mutex<Table> = Mutex::new(Table { loops: Slab::new(), born: 0 });

struct Table {
    loops: Slab<Arc<Shared>>,
    born: u64,
}

fn table() -> MutexGuard<'static, Table> {
    LOOPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the last wake of the loops with this narrow id, and of some others.
#[cfg(not(loom))]
fn last_wake(narrow: u64) -> &'static LastWake {
    static LAST_WAKES: [LastWake; 64] = [const { LastWake::new() }; 64];
    &LAST_WAKES[narrow as usize % LAST_WAKES.len()]
}

/// Loom's atomics cannot be in a `static`.
#[cfg(loom)]
fn last_wake(_: u64) -> &'static LastWake {
    Box::leak(Box::new(LastWake::new()))
}

/// The process that opened the last loop, and the serial of its first loop. fork(2) copies both. So
/// in a forked child the process differs until it opens a loop of its own, and after that the loops
/// of its parent have lower serials.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static FIRST: AtomicU64 = AtomicU64::new(0);

/// Returns whether this process made the loop. If not, this is a forked child, which shares the
/// loop's kernel objects with its parent: the poller with all registrations, the eventfd, and each
/// socket. Makes a system call. Takes no lock, because a thread of the parent may have held it
/// during the fork.
pub(crate) fn is_of_this_process(id: LoopId) -> bool {
    PROCESS.load(Ordering::Relaxed) == std::process::id()
        && id.serial() >= FIRST.load(Ordering::Relaxed)
}

/// Adds a new loop to the table.
pub(crate) fn open(waker: mio::Waker, registry: mio::Registry) -> io::Result<Arc<Shared>> {
    let mut table = table();
    table.born += 1;
    let homes = Layout::WAKER.homes();
    let serial = table.born;
    let process = std::process::id();
    if PROCESS.load(Ordering::Relaxed) != process {
        // Both are stored under the table's lock and before any handle of the new loop exists, so
        // `Relaxed` is enough.
        FIRST.store(serial, Ordering::Relaxed);
        PROCESS.store(process, Ordering::Relaxed);
    }
    let entry = table.loops.vacant_entry();
    let narrow = entry.key() as u64;
    if narrow >= homes {
        return Err(io::Error::other(format!(
            "{homes} event loops are alive in this process, and no more can be told apart: drop some first"
        )));
    }
    let shared = Arc::new(Shared {
        id: LoopId::new(serial, narrow),
        thread: thread::current().id(),
        polled: AtomicU64::new(0),
        turns: AtomicU64::new(0),
        sleeps: AtomicBool::new(true),
        handles: AtomicUsize::new(0),
        inbox: Inbox::new(last_wake(narrow)),
        waker,
        registry,
    });
    entry.insert(Arc::clone(&shared));
    Ok(shared)
}

/// Removes a loop from the table. Afterwards, a new loop may get its narrow id.
pub(crate) fn forget(shared: &Shared) {
    drop(table().loops.remove(shared.id.narrow() as usize));
}

/// Returns the loop of a handle if it is still alive.
pub(crate) fn find(id: LoopId) -> Option<Arc<Shared>> {
    table().loops.get(id.narrow() as usize).filter(|shared| shared.id == id).cloned()
}

/// Wakes a task of the loop that has its narrow id now. If the id was reused, the worst result is
/// one spurious poll of a task of the newer loop. Out of line, because most wakes come from the
/// loop's own thread.
#[cold]
#[inline(never)]
pub(crate) fn wake_from_afar(task: TaskNumber) {
    // A future that takes its place in a queue before its first poll has no task yet.
    if !task.is_some() {
        return;
    }
    if last_wake(task.narrow()).is(task) {
        return;
    }
    let shared = table().loops.get(task.narrow() as usize).cloned();
    if let Some(shared) = shared {
        shared.notify(shared.inbox.push_wake(task));
    }
}

/// Wakes a task or a foreign waker from a thread that runs no loop. A foreign waker runs user code.
pub(crate) fn wake_from_other_thread(wake: Wake) {
    match wake {
        Wake::Task(task) => wake_from_afar(task),
        Wake::Foreign(waker) => {
            contain("a foreign waker", || waker.wake());
        }
    }
}

/// Marks a task as foreign, because its waker was cloned on another thread.
pub(crate) fn mark_foreign(task: TaskNumber) {
    let shared = table().loops.get(task.narrow() as usize).cloned();
    if let Some(shared) = shared {
        shared.notify(shared.inbox.push_foreign(task));
    }
}

/// Sends what a dropped handle gives back to the handle's loop, from another thread or loop.
pub(crate) fn send_home(home: LoopId, what: Release) {
    if let Some(shared) = find(home) {
        shared.send(Message::Release(what));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Runs `retry_wake` with these results, as OS error numbers (0: success). Returns its result
    /// and the number of tries.
    fn retry_with(results: &[i32]) -> (io::Result<()>, usize) {
        let mut tries = 0;
        let result = retry_wake(|| {
            let error = results.get(tries).copied().unwrap_or_default();
            tries += 1;
            if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
        });
        (result, tries)
    }

    #[test]
    #[cfg(unix)]
    fn a_wake_that_fails_is_tried_again_but_not_for_ever() {
        const EINTR: i32 = 4;
        const EIO: i32 = 5;
        assert!(matches!(retry_with(&[0]), (Ok(()), 1)));
        assert!(matches!(retry_with(&[EINTR; 100]), (Ok(()), 101)));
        assert!(matches!(retry_with(&[EIO, EINTR, EIO]), (Ok(()), 4)));
        let (failed, tries) = retry_with(&[EIO; 100]);
        assert_eq!((failed.unwrap_err().raw_os_error(), tries), (Some(EIO), 11));
    }
}
