//! Reaping by SIGCHLD, where there is no pidfd: the signal says that some child has ended, not
//! which.
//!
//! Called by the parent module. Each child has a task of its own, which ends with the child.

use std::{future::poll_fn, io, panic::Location, task::Poll};

use super::{Reaper, timer};
use crate::reactor::{Direction, Ready, Registered, Wait};
use crate::signal::unix::{SignalKind, signal};
use crate::state::{SOURCE, say};
use crate::task;

/// Spawns a task that tries to reap the child whenever some child has ended.
#[track_caller]
pub(super) fn watch(id: u32, reaper: Reaper, no_pidfd: &io::Error) -> io::Result<()> {
    let line = format_args!("process {id} is watched by SIGCHLD, for it has no pidfd: {no_pidfd}");
    say(log::Level::Debug, SOURCE, line);
    let some_child_ended = signal(SignalKind::child())?;
    // The program may set SIGCHLD to SIG_IGN or to a handler of its own at any time, and no signal
    // arrives here then. So a timer ticks too. If no descriptor is left for it, only the signal
    // reports.
    let timer =
        timer::start().and_then(|timer| Registered::new(timer, "timer of a child", Ready::NONE));
    let timer = timer.ok();
    let place = Location::caller();
    let task = task::Builder::new().name(format!("reaper of process {id}"));
    drop(task.spawn(async move {
        let (mut for_signal, mut for_tick) = (Wait::at(place), Wait::at(place));
        // Reaped first: the child may have ended before this task listened.
        while !reaper.reap() {
            let look = poll_fn(|cx| match some_child_ended.poll(&mut for_signal, cx) {
                Poll::Ready(told) => Poll::Ready(told),
                Poll::Pending => match &timer {
                    Some(timer) => {
                        timer.poll_io(&mut for_tick, cx, Direction::Read, timer::tick, |()| true)
                    }
                    None => Poll::Pending,
                },
            });
            // The only error is that the loop is being dropped.
            if look.await.is_err() {
                break;
            }
        }
    }));
    Ok(())
}
