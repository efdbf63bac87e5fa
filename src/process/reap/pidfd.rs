//! Reaping by pidfd (Linux): the descriptor of a process becomes readable when it has ended.
//!
//! Called by the parent module. It falls back to a timer only for a child that has ended and cannot
//! be reaped yet.

use std::{io, os::fd::OwnedFd, rc::Rc};

use mio::Interest;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Reaper, timer};
use crate::reactor::{FdSource, Next, Registration, relay};

/// Opens a pidfd. The process must not have been reaped, so that the id is still its own.
pub(super) fn open(id: u32) -> io::Result<OwnedFd> {
    #[cfg(test)]
    super::tests::without_pidfds()?;
    let id = Pid::from_raw(id.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(id, PidfdFlags::empty())?)
}

/// Reaps the child when its pidfd becomes readable.
#[track_caller]
pub(super) fn watch(pidfd: OwnedFd, reaper: Reaper) -> io::Result<()> {
    let reaper = Rc::new(reaper);
    let watched = relay("pidfd", FdSource::new(pidfd), Interest::READABLE, move |_, _| {
        if reaper.reap() {
            return Next::Remove;
        }
        // It has ended, but cannot be reaped as long as a debugger in another process is attached:
        // ptrace(2). The pidfd stays readable meanwhile, and `Next::Again` would keep the loop
        // turning.
        match poll_periodically(Rc::clone(&reaper)) {
            Ok(()) => Next::Remove,
            // Without a descriptor for the timer, a busy loop is better than a lost child.
            Err(_) => Next::Again,
        }
    });
    watched.map(Registration::detach)
}

/// Tries to reap the child at each tick of a timer.
fn poll_periodically(reaper: Rc<Reaper>) -> io::Result<()> {
    let watched =
        relay("timer of a child", timer::start()?, Interest::READABLE, move |timer, _| {
            // It fails at a spurious event. The timer runs on then.
            let _ = timer::tick(timer);
            if reaper.reap() { Next::Remove } else { Next::Continue }
        });
    watched.map(Registration::detach)
}
