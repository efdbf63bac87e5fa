//! [`dump`]: the contents of a loop, and which task waits for what, as text. Users call it, and so
//! do the reports of stuck tasks. The text is made only on request, from data that the loop keeps
//! for its own use. Making it never changes the loop.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::wait_graph::WaitGraph;
use super::words::{self, age, count, line, short};
use crate::door::Door;
use crate::state::{
    Awaited, Direction, Slot, SourceSnapshot, State, TaskLabel, TaskNumber, TaskWait, Waiter,
};

/// The contents of a loop, and which task waits for what, at one moment: see [`dump`]. Its
/// `Display` output is meant for people, in lines of up to 100 columns (longer only where a path or
/// a name is).
#[derive(Clone, Debug)]
pub struct Dump {
    text: String,
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
}

/// Returns the contents of the loop that runs on this thread:
///
/// - each task: its number, name, number of polls, age (to about a millisecond), and where it was
///   spawned. Below the task come the locks that it holds while other tasks wait for them, and what
///   it waits for, where, and since when. (If it waits for the end of a task, only that task is
///   known, neither place nor time.)
/// - the sources: their readiness as the loop knows it, and which tasks wait for them, or that they
///   have a callback. Sources for which no task waits come first. A hundred are listed, and the
///   others are counted by kind.
/// - the timers for which no task waits, and the jobs on the thread pool, including jobs whose
///   result is no longer wanted. Both are counted by the place that created them.
///
/// A loop with 100,000 sources and as many waits for them takes about 0.1 s. Sources, timers and
/// jobs are looked up only on request, so a program that never calls this pays nothing for it.
///
/// ```
/// use headwaiter::net::UdpSocket;
/// use headwaiter::sync::Mutex;
/// use headwaiter::task::{Builder, yield_now};
/// use std::rc::Rc;
///
/// headwaiter::block_on(async {
///     let till = Rc::new(Mutex::named("till", ()));
///     let _open = till.lock().await;
///     let _idle = UdpSocket::bind("127.0.0.1:0").await.unwrap();
///     let waiter = Builder::new().name("waiter").spawn({
///         let till = Rc::clone(&till);
///         async move { drop(till.lock().await) }
///     });
///     yield_now().await;
///     let dump = headwaiter::dump().to_string();
///     for part in [
///         "\"waiter\": waiting, 1 poll",
///         "the lock \"till\"",
///         "UDP socket 1: readable + writable, nobody waits",
///     ] {
///         assert!(dump.contains(part), "{dump}");
///     }
///     waiter.abort();
/// });
/// ```
///
/// This dump is:
///
/// ```text
/// 2 tasks, 1 source, 0 timers, 0 jobs
/// task 1 "main": running, 2 polls, 0 ms old, spawned at src/main.rs:7:5
///     holds the lock "till" since src/main.rs:9:33, 1 waits for it
/// task 2 "waiter": waiting, 1 poll, 0 ms old, spawned at src/main.rs:11:52
///     waits for the lock "till", which task 1 "main" holds since src/main.rs:9:33,
///         at src/main.rs:13:36, for 204 µs
/// UDP socket 1: readable + writable, nobody waits
/// ```
///
/// # Panics
///
/// Panics outside any event loop.
#[track_caller]
pub fn dump() -> Dump {
    Dump { text: text(&Door::expect("`dump`"), usize::MAX) }
}

/// Like [`dump`], for a log line or an error message. If there are many tasks or waits, the first
/// ones are listed and the others are counted.
pub(super) fn brief(state: &State) -> String {
    text(state, MOST_IN_BRIEF).trim_end().to_owned()
}

/// The number of tasks, and of waits and locks of each task, that a [`brief`] dump lists.
const MOST_IN_BRIEF: usize = 50;

impl Dump {
    /// Creates a dump from a text, for a loop that does not answer.
    pub(crate) fn of(text: String) -> Self {
        Dump { text }
    }
}

/// Lists at most `most` tasks, and at most `most` waits and locks of each task.
fn text(state: &State, most: usize) -> String {
    let now = state.clock.now_nanos();
    // Built once for all tasks, so that the time is linear in the number of waits.
    let graph = WaitGraph::new(state);
    let held = held_locks(state, &graph);
    let (sources, timers, jobs) = (state.sources.len(), state.timers.count(), state.jobs);
    let tasks = state.tasks.snapshot(now, state.shared.polled.load(Ordering::Relaxed) != 0);
    let mut text = format!(
        "{}, {}, {}, {}\n",
        count(tasks.len(), "task"),
        count(sources, "source"),
        count(timers, "timer"),
        count(jobs, "job")
    );
    for task in tasks.iter().take(most) {
        let label = TaskLabel { slot: task.slot, name: task.name.as_deref() };
        let (age, polls) = (age(task.age), count(task.polls as usize, "poll"));
        line(
            &mut text,
            &format!("{label}: {}, {polls}, {age} old, spawned at {}", task.state, task.place),
        );
        // Locks come before waits, because other tasks wait for this one through them.
        let held = held.get(&task.slot).map_or(&[][..], Vec::as_slice);
        for held in held.iter().take(most) {
            line(&mut text, held);
        }
        add_rest(&mut text, "    and holds", held.len(), most, "more lock");
        let waits = graph.waits_of(task.slot);
        for wait in graph.waits_of(task.slot).take(most) {
            line(&mut text, &format!("    waits for {}", wait_text(state, wait, now)));
        }
        add_rest(&mut text, "    and has", waits.len(), most, "more wait");
        // The loop cannot see such wakers, so the list of waits may be incomplete.
        if task.is_foreign {
            line(&mut text, "    may be woken by code outside this crate, which has had its waker");
        }
    }
    add_rest(&mut text, "and", tasks.len(), most, "more task");
    add_sources(&mut text, state);
    add_timers(&mut text, state, now);
    add_jobs(&mut text, state);
    text
}

/// Adds how many there are beyond the first `most`, if there are more.
fn add_rest(text: &mut String, before: &str, all: usize, most: usize, what: &str) {
    if let rest @ 1.. = all.saturating_sub(most) {
        line(text, &format!("{before} {}", count(rest, what)));
    }
}

/// Returns the locks that each task holds while others wait for them, as lines.
fn held_locks(state: &State, graph: &WaitGraph) -> HashMap<Slot, Vec<String>> {
    // Sorted by generation, so that the order of the lines does not change from dump to dump.
    let mut waiting: BTreeMap<u32, (Slot, usize)> = BTreeMap::new();
    for wait in graph.iter() {
        if let Awaited::Lock(lock) | Awaited::Read(lock) = wait.what {
            waiting.entry(lock.generation()).or_insert((lock, 0)).1 += 1;
        }
    }
    let mut held: HashMap<Slot, Vec<String>> = HashMap::new();
    for (lock, many) in waiting.into_values() {
        let Some(lock) = state.waits.lock(lock) else { continue };
        let name = words::lock_name(Some(lock));
        let wait = if many == 1 { "waits" } else { "wait" };
        for holder in lock.holders() {
            let Some(slot) = state.slot_of(holder.task) else { continue };
            let text = format!("    holds {name} since {}, {many} {wait} for it", holder.place);
            held.entry(slot).or_default().push(text);
        }
    }
    held
}

/// The number of sources that have a line of their own.
const MOST_SOURCES: usize = 100;

/// The number of waiting tasks that are named for one source.
const MOST_NAMED: usize = 4;

/// Adds the sources. Sources for which tasks wait come last, because they are already shown below
/// those tasks.
fn add_sources(text: &mut String, state: &State) {
    let mut sources = state.sources.snapshot();
    sources.sort_by_key(|source| {
        let is_awaited = source.waiting.iter().any(|(_, task)| task.is_some());
        (is_awaited, source.slot.generation())
    });
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    for (n, source) in sources.iter().enumerate() {
        // A long dump would not be read, but the kinds of the others still show a leak.
        if n < MOST_SOURCES {
            line(text, &source_text(state, source));
        } else {
            *others.entry(source.kind).or_default() += 1;
        }
    }
    if !others.is_empty() {
        let kinds: Vec<_> =
            others.into_iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
        let more = count(sources.len() - MOST_SOURCES, "more source");
        line(text, &format!("and {more}, {}", kinds.join(", ")));
    }
}

/// Describes a source in one line.
fn source_text(state: &State, source: &SourceSnapshot) -> String {
    let label = format!("{} {}", source.kind, source.slot.generation());
    if source.has_callback {
        // While the callback runs, it is not in its slot, so its place is not known.
        let callback = source.callback.map(|place| format!("registered at {place}"));
        return format!(
            "{label}: has a callback, {}",
            callback.unwrap_or_else(|| "which is in use".to_owned())
        );
    }
    let mut text = format!("{label}: {}", source.ready);
    for (direction, task) in source.waiting.iter().take(MOST_NAMED) {
        let name = waiter_name(state, *task);
        let _ = write!(text, ", {name} waits to {}", direction.verb());
    }
    // Counted, because any number of tasks can wait for one source.
    let more = source.waiting.len().saturating_sub(MOST_NAMED);
    if source.waiting.is_empty() {
        text += ", nobody waits";
    } else if more > 0 {
        let _ = write!(text, ", and {more} more");
    }
    text
}

/// Adds the timers that are not shown below a task.
fn add_timers(text: &mut String, state: &State, now: u64) {
    let mut timers: BTreeMap<_, (usize, u64)> = BTreeMap::new();
    state.timers.each_armed(&mut |due, waiter| {
        // A timer of a task of this loop is printed with the task.
        let Some(place) = waiter.place.filter(|_| state.slot_of(waiter.task).is_none()) else {
            return;
        };
        let (count, first) =
            timers.entry((place, waiter_name(state, waiter.task))).or_insert((0, due));
        *count += 1;
        *first = due.min(*first);
    });
    for ((place, owner), (many, first)) in timers {
        let wake = if many == 1 { "wakes" } else { "wake" };
        let first_due = if many == 1 { "due" } else { "the first due" };
        let left = short(Duration::from_nanos(first.saturating_sub(now)));
        let timers = count(many, "timer");
        line(text, &format!("{timers} made at {place}, {wake} {owner}, {first_due} in {left}"));
    }
}

/// Adds the jobs of the pool, counted by the place that submitted them.
fn add_jobs(text: &mut String, state: &State) {
    let [running, waiting] = state.pool.places();
    // A job that has ended counts until the loop has taken the message about its end.
    let ended = state.jobs.saturating_sub(running.len() + waiting.len());
    for (places, state) in [(running, "running"), (waiting, "queued")] {
        let mut jobs: BTreeMap<&Location<'_>, usize> = BTreeMap::new();
        for place in places {
            *jobs.entry(place).or_default() += 1;
        }
        for (place, many) in jobs {
            line(text, &format!("{} {state}, offloaded at {place}", count(many, "job")));
        }
    }
    if ended > 0 {
        line(
            text,
            &format!(
                "{} ended, of which the loop takes note in its next turn",
                count(ended, "job")
            ),
        );
    }
}

const OUTSIDE: &str = "code outside this crate";

/// Names the task that waits, or says what else does.
fn waiter_name(state: &State, task: TaskNumber) -> String {
    if !task.is_some() {
        return OUTSIDE.to_owned();
    }
    if !task.is_of(state.id) {
        return "a task of another loop".to_owned();
    }
    let label = |slot| TaskLabel { slot, name: state.tasks.name(slot) }.to_string();
    state.slot_of(task).map_or_else(|| "a task that is gone".to_owned(), label)
}

/// Describes what is waited for, where, and since when.
fn wait_text(state: &State, wait: &TaskWait, now: u64) -> String {
    let what = match wait.what {
        Awaited::Source { slot, kind, direction } => {
            let what = match direction {
                Direction::Read => "read",
                Direction::Write => "be written",
            };
            format!("{kind} {} to {what}", slot.generation())
        }
        Awaited::Timer { deadline } => match deadline.checked_sub(now) {
            Some(left) => format!("a timer, due in {}", short(Duration::from_nanos(left))),
            None => "a timer, which is due".to_owned(),
        },
        what => words::awaited(state, what),
    };
    let place =
        wait.waiter.place.map(|place: &Location<'_>| format!(", at {place}")).unwrap_or_default();
    // Some waits, such as that for the end of a task, record neither place nor time.
    let since = wait.waiter.since;
    let since = (since != Waiter::UNKNOWN).then(|| now.saturating_sub(since));
    let since = since
        .map(|since| format!(", for {}", short(Duration::from_nanos(since))))
        .unwrap_or_default();
    format!("{what}{place}{since}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    #[cfg(unix)]
    fn of_a_hundred_thousand_sources_a_hundred_are_listed_and_those_first_that_no_task_waits_for() {
        use crate::reactor::{Notice, Registered, Wait};
        use std::future::poll_fn;
        use std::task::Poll;

        crate::block_on(async {
            let crowd: Vec<_> =
                (0..99_980).map(|_| Registered::<Notice>::notice("notice").unwrap()).collect();
            let idle: Vec<_> =
                (0..20).map(|_| Registered::<Notice>::notice("idle").unwrap()).collect();
            let mut waits: Vec<_> = crowd.iter().map(|_| Wait::at(Location::caller())).collect();
            poll_fn(|cx| {
                for (source, wait) in crowd.iter().zip(&mut waits) {
                    assert!(source.poll_ready(wait, cx, Direction::Read).is_pending());
                }
                Poll::Ready(())
            })
            .await;
            let start = Instant::now();
            let dump = dump().to_string();
            let took = start.elapsed();
            assert!(took < Duration::from_secs(10), "{took:?}");
            let (beneath, sources): (Vec<_>, Vec<_>) =
                dump.lines().skip(2).partition(|line| line.starts_with("    "));
            assert!(
                beneath.iter().filter(|line| line.contains("waits for notice")).count()
                    == crowd.len()
            );
            assert_eq!(sources.len(), 101);
            assert_eq!(sources[0], "idle 99981: not ready, nobody waits");
            assert_eq!(sources[20], "notice 1: not ready, task 1 \"main\" waits to read");
            assert_eq!(sources[100], "and 99900 more sources, notice: 99900");
            drop((waits, idle));
        });
    }
}
