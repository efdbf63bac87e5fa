//! The log lines, one for each step, written by an [`Observer`] that every loop has. Level `trace`
//! shows every step of the loop; `debug` shows when tasks, jobs and sources begin and end. The
//! targets are `headwaiter::loop`, `::task`, `::source`, `::timer` and `::offload`.

use log::{Level, log};

use crate::door::Door;
use crate::state::{
    Flags, Id, LOOP, OFFLOAD, Observer, Outcome, SOURCE, Step, TASK, TIMER, TaskLabel, WaitFor,
    contain, plural,
};

/// Writes the log lines. The builder of a loop installs it before the user's observers.
pub(crate) struct LogLines;

impl Observer for LogLines {
    fn step(&mut self, step: &Step<'_>) {
        // An observer that panics is removed. A panic of the logger must not remove this one.
        contain("a logger", || write(step));
    }
}

/// How many of the tasks that one event wakes are named.
const MOST_NAMED: usize = 10;

fn write(step: &Step<'_>) {
    match step {
        Step::Turn { number, wait } => {
            log!(target: LOOP, Level::Trace, "turn {number}: {}", wait_line(*wait));
        }
        // `Polled` logs the poll, with its outcome, after the steps of the poll.
        Step::Answer { events: 0, .. } | Step::Poll { .. } => {}
        Step::Answer { events, waited: _ } => {
            log!(target: LOOP, Level::Trace, "the kernel reports {events} event{}", plural(*events));
        }
        Step::Jump { by } => {
            log!(target: LOOP, Level::Trace, "nothing to do: the virtual clock jumps by {by:?}, to the next timer");
        }
        Step::Ready { source, kind, ready, woken, foreign, callback } => {
            let mut effect: Vec<_> =
                woken.iter().take(MOST_NAMED).map(|task| label(*task)).collect();
            if let more @ 1.. = woken.len().saturating_sub(MOST_NAMED) {
                effect.push(format!("{more} more task{}", plural(more)));
            }
            if *foreign > 0 {
                effect.push(format!("{foreign} waker{} from outside this crate", plural(*foreign)));
            }
            let effect = match effect[..] {
                _ if *callback => "calls its callback".to_owned(),
                [] => "nobody waits, so it is remembered".to_owned(),
                _ => format!("wakes {}", effect.join(", ")),
            };
            log!(target: SOURCE, Level::Trace, "{kind} {source} is {ready} → {effect}");
        }
        Step::Stale => {
            log!(target: SOURCE, Level::Trace, "an event for a source that is gone: ignored");
        }
        Step::Mail { wakes, messages, jobs } => {
            let ended = match jobs {
                0 => String::new(),
                jobs => format!("; {jobs} offloaded job{} ended", plural(*jobs)),
            };
            log!(
                target: LOOP,
                Level::Trace,
                "other threads sent {wakes} wake{} and {messages} message{}{ended}",
                plural(*wakes),
                plural(*messages)
            );
        }
        Step::Fire { timer, late, woken } => {
            let task = woken.map_or("nobody of this loop".to_owned(), label);
            log!(target: TIMER, Level::Trace, "timer {timer} fires, {late:?} late → wakes {task}");
        }
        Step::Wake { task } => {
            log!(target: TASK, Level::Trace, "{} is ready to run", label(*task));
        }
        Step::Polled { task, outcome, took: _ } => {
            let foreign = Door::open().is_some_and(|door| door.tasks.has(task.0, Flags::FOREIGN));
            let outcome = match outcome {
                Outcome::Pending if foreign => "pending (code outside this crate can wake it)",
                Outcome::Pending => "pending",
                Outcome::Finished => "finished",
                Outcome::Panicked => "panicked",
            };
            log!(target: TASK, Level::Trace, "{} polled → {outcome}", label(*task));
        }
        Step::Tried { source, kind, direction, done } => {
            let result = if *done { "done" } else { "would block" };
            log!(target: SOURCE, Level::Trace, "{kind} {source}: {} → {result}", direction.verb());
        }
        Step::AwaitSource { source, kind, direction, place } => {
            let place = place.map_or(String::new(), |place| format!(", at {place}"));
            let what = direction.verb();
            log!(target: SOURCE, Level::Trace, "waits until {kind} {source} can {what}{place}");
        }
        Step::AwaitTimer { timer, left, place } => {
            log!(target: TIMER, Level::Trace, "arms timer {timer}, due in {left:?}, at {place}");
        }
        Step::Disarm { timer } => log!(target: TIMER, Level::Trace, "timer {timer} is removed"),
        Step::AwaitTask { task } => {
            log!(target: TASK, Level::Trace, "waits for the end of {}", label(*task));
        }
        Step::AwaitSync { what, place } => {
            log!(target: TASK, Level::Trace, "waits for {what}, at {place}");
        }
        Step::Spawn { task, name: _, place } => {
            log!(target: TASK, Level::Debug, "{} spawned at {place}", label(*task));
        }
        Step::Abort { task } => {
            log!(target: TASK, Level::Debug, "{} aborted", label(*task));
        }
        Step::Offload { place } => {
            log!(target: OFFLOAD, Level::Debug, "a job was queued for the threads, at {place}");
        }
        Step::Fetch { place } => {
            log!(target: OFFLOAD, Level::Debug, "the job of {place} is done");
        }
        Step::Forget { place } => {
            log!(target: OFFLOAD, Level::Debug, "nobody waits any more for the job of {place}");
        }
        Step::Register { source, kind } => {
            log!(target: SOURCE, Level::Debug, "{kind} {source} registered");
        }
        Step::Deregister { source, kind } => {
            log!(target: SOURCE, Level::Debug, "{kind} {source} deregistered");
        }
    }
    if let Step::Polled { task, outcome: Outcome::Finished | Outcome::Panicked, .. } = step {
        log!(target: TASK, Level::Debug, "{} ended", label(*task));
    }
}

fn wait_line(wait: WaitFor) -> String {
    match wait {
        WaitFor::Skip { ready } => format!("{ready} ready task{}, kernel not asked", plural(ready)),
        WaitFor::Tasks { ready } => {
            format!("asks the kernel without waiting: {ready} ready task{}", plural(ready))
        }
        WaitFor::Timer { left } => {
            format!("asks the kernel, for at most {left:?}: then a timer is due")
        }
        WaitFor::Caller(max) => {
            format!("asks the kernel, for at most {max:?}: as the caller of `turn` wants")
        }
        WaitFor::Ever => "asks the kernel, for as long as it takes: no timer is armed".to_owned(),
        WaitFor::Work { under_way } => format!(
            "asks the kernel, for as long as it takes: the virtual clock waits for {under_way} offloaded job{} or child process{}",
            plural(under_way),
            if under_way == 1 { "" } else { "es" }
        ),
        WaitFor::Grace { given: grace, .. } => {
            format!("asks the kernel, for {grace:?} of real time before the virtual clock jumps")
        }
    }
}

fn label(task: Id) -> String {
    let slot = task.0;
    let name = Door::open().and_then(|door| door.tasks.name(slot).map(str::to_owned));
    TaskLabel { slot, name: name.as_deref() }.to_string()
}
