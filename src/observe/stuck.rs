//! Which tasks can never go on, and why. Three things are reported: a **deadlock** (tasks wait for each other), a **lost
//! waker** (a task waits for nothing, so nothing will wake it), and **quiescence** (nothing can wake this loop any more).
//! Called after a poll that looks suspicious, and by the turn before it sleeps.
//!
//! A task has a *way out* if any of these is true: it is ready; code outside this crate has had its waker (it is *foreign* from then
//! on, because the copy cannot be followed); a [`RemoteHandle`](crate::RemoteHandle) that can abort it exists; one of its waits is for
//! something from outside the tasks, such as a timer or a socket; one of its waits is for something that any task may give, such
//! as a message. All other waits are for a lock that some task holds, or for the end of a task or
//! of a group. If such a wait is for a task that has a way out, it is a way out too. Tasks without any, each of which waits
//! only for itself or for others of them, are a *knot*: a deadlock. `docs/design.md` argues why no correct program is accused.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::mem;
use std::time::Duration;

use log::Level;

use super::TaskLabel;
use crate::core::Core;
use crate::observe::{self, Step};
use crate::slots::Slot;
use crate::task::waker::TaskNumber;
use crate::task::{self, Hint, Id, JoinError, Tasks};
use crate::waits::{Holder, Lock, Wait, What};

/// What a loop does about tasks that can never go on: see [`Builder::deadlock`](crate::Builder::deadlock).
///
/// There are three kinds:
///
/// - a *deadlock*: tasks wait for each other in a circle, for locks or for each other's end;
/// - *quiescence*: a `block_on` would sleep for ever, because nothing that its loop knows of can wake it;
/// - a *lost waker*: a future has returned `Pending`, and no waker of its task was kept. While the task's
///   [`JoinHandle`](crate::task::JoinHandle) exists and nothing awaits it, this is logged at `info` only: the task may be
///   meant to be aborted.
///
/// None of them is reported twice (quiescence: not in the same `block_on`).
///
/// A correct program is accused in one case only: of quiescence, when all that will wake its loop is
/// [`JoinHandle::abort`](crate::task::JoinHandle::abort) on another thread. Where a `JoinHandle` is cannot be seen. If that thread
/// also has a [`Handle`](crate::Handle) of the loop, quiescence is not reported while it exists.
///
/// ```
/// use headwaiter::sync::Mutex;
/// use headwaiter::task::yield_now;
/// use headwaiter::{Deadlock, EventLoop};
/// use std::rc::Rc;
///
/// async fn transfer(from: Rc<Mutex<i32>>, to: Rc<Mutex<i32>>) {
///     let mut from = from.lock().await;
///     yield_now().await;
///     *to.lock().await += 10;
///     *from -= 10;
/// }
///
/// let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build()?;
/// event_loop.block_on(async {
///     let (anna, ben) = (Rc::new(Mutex::named("Anna", 100)), Rc::new(Mutex::named("Ben", 100)));
///     let one = headwaiter::spawn(transfer(anna.clone(), ben.clone()));
///     let other = headwaiter::spawn(transfer(ben, anna)); // In opposite order.
///     let results = [one.await, other.await];
///     // One of them was dropped, so that the other could go on.
///     assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
///     let error = results.into_iter().find_map(Result::err).unwrap();
///     assert!(error.is_deadlock());
///     println!("{error}"); // Who waits for whom, and in which lines.
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deadlock {
    /// They are logged, deadlocks at `error` and the others at `warn`. The tasks stay where they are.
    #[default]
    Warn,
    /// In a deadlock, the future of the task that closed the circle is dropped, which frees its locks. Its
    /// [`JoinHandle`](crate::task::JoinHandle) gets the report as an error. If it is the main future, `block_on` panics with
    /// the report.
    ///
    /// At quiescence `block_on` panics too, with the report and a [`dump`](crate::dump). A lost waker is logged at `warn`.
    Fail,
    /// They are not looked for: neither deadlocks, nor quiescence, nor lost wakers. Nothing is logged.
    Ignore,
}

/// How far a chain of tasks, each waiting for the next, is followed after one poll. A longer one is followed to its end before
/// the loop sleeps. So a program of long chains, such as tasks that each join the one before, pays no more than this for each poll.
const LONGEST_CHAIN: usize = 48;

/// A closer look at a task goes through all records of the loop, which takes long if there are many. So looks are paid for.
/// Each turn that asks the kernel gives credit for so many records.
const CREDIT: isize = 1000;

/// More credit than this is not kept. A look that cannot be paid for is put off until the loop is about to sleep; and if there is no
/// credit then, until it has slept for [`IDLE`] and nothing came.
const MOST_CREDIT: isize = 1_000_000;

/// The longest that a loop sleeps with suspects that it could not look at. Then it is idle enough for a look without credit.
pub(crate) const IDLE: Duration = Duration::from_millis(100);

/// Tasks that may be stuck, but when they were polled it could not be said for certain. They are looked at again before
/// the loop sleeps.
pub(crate) struct Suspects {
    /// Each task, and what is suspicious about it, as bits: see [`Tasks::UNKEPT`].
    tasks: Vec<(Slot, u8)>,
    /// For how many records, and steps along chains, looks are paid. Below 0 after a look that cost more.
    credit: isize,
}

impl Default for Suspects {
    fn default() -> Self {
        Suspects { tasks: Vec::new(), credit: MOST_CREDIT }
    }
}

impl Suspects {
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The loop has slept for [`IDLE`], and nothing came: all of them are looked at, once.
    pub(crate) fn pay_by_idleness(&mut self) {
        self.credit = MOST_CREDIT;
    }

    /// Done in each turn.
    pub(crate) fn give_credit(&mut self) {
        self.credit = MOST_CREDIT.min(self.credit + CREDIT);
    }
}

impl Core {
    /// One task of the group for which `joiner` waits has ended. That does not wake it, but may have closed a knot.
    pub(crate) fn suspect(&mut self, joiner: TaskNumber) {
        if let Some(task) = self.slot_of(joiner) {
            self.add_suspect(task, Tasks::BLOCKED);
        }
    }

    /// A task is awaited from now on, or can no longer be aborted by its `JoinHandle`. If it was told at `info` that it lacks a waker,
    /// that is now worth a warning.
    pub(crate) fn reconsider(&mut self, task: Slot) {
        if self.tasks.take_told_at_info(task) {
            self.add_suspect(task, Tasks::UNKEPT);
        }
    }

    /// The [`RemoteHandle`](crate::RemoteHandle) of a task was dropped: now it may be stuck, in either way.
    pub(crate) fn unhold(&mut self, task: Slot) {
        self.tasks.hold(task, false);
        self.add_suspect(task, Tasks::BLOCKED | Tasks::UNKEPT);
    }

    fn add_suspect(&mut self, task: Slot, suspicion: u8) {
        let suspects = &mut self.suspects.tasks;
        // While other threads can reach the loop nobody is looked at, so the list may grow. Here it is cleared of those who
        // can go on, or are gone.
        if suspects.len() > 2 * self.tasks.count() {
            suspects.retain(|(task, _)| self.tasks.can_be_stuck(*task));
        }
        if self.tasks.mark_suspect(task, true) {
            suspects.push((task, suspicion));
        }
    }

    /// Other threads can reach this loop, or have sent a message that was not taken in. They may help a task that looks stuck.
    fn can_be_reached(&self) -> bool {
        self.shared.has_mail() || self.shared.has_handles()
    }

    /// Whether there are suspects, and no credit to look at them.
    pub(crate) fn puts_looks_off(&self) -> bool {
        !self.suspects.is_empty() && self.suspects.credit <= 0 && !self.can_be_reached()
    }

    fn records(&self) -> isize {
        (self.tasks.count() + self.timers.slots() + self.reactor.count() + self.waits.count())
            as isize
    }
}

/// What a closer look has come to.
pub(crate) enum Verdict {
    Fine,
    /// Something was done about it.
    Acted,
    /// The main future is to panic with this.
    Panic(String),
}

enum Found {
    Lost(Slot),
    Knot(Knot),
}

/// Looks at the task that was polled last. It is suspicious: nobody seems to have kept its waker, or it waits for other tasks.
#[cold]
pub(crate) fn look() -> Verdict {
    let found = Core::with(|core| {
        let suspicion = mem::take(&mut core.tasks.suspicion);
        if core.deadlock == Deadlock::Ignore {
            return None;
        }
        let polled = core.tasks.polled;
        let (suspicion, certain) = suspect(core, polled, suspicion, glance)?;
        if !certain || core.can_be_reached() || core.suspects.credit < core.records() {
            core.add_suspect(polled, suspicion);
            return None;
        }
        examine(core, polled, suspicion)
    });
    found.flatten().map_or(Verdict::Fine, report)
}

/// Called before the loop sleeps: looks at all suspects. If none was stuck, and the loop is to sleep `for_ever`, in `block_on`,
/// it also looks whether anything can wake the loop; if not, it says so, once.
#[cold]
pub(crate) fn look_before_sleep(for_ever: bool) -> Verdict {
    let mut verdict = Verdict::Fine;
    while let Some(found) = Core::with(next_found).flatten() {
        verdict = report(found);
        if let Verdict::Panic(_) = verdict {
            return verdict;
        }
    }
    let are_put_off = Core::with(|core| core.puts_looks_off()) == Some(true);
    if for_ever && !are_put_off && matches!(verdict, Verdict::Fine) {
        look_for_the_end()
    } else {
        verdict
    }
}

fn next_found(core: &mut Core) -> Option<Found> {
    let mut chains = Chains::default();
    while !core.can_be_reached() && core.suspects.credit > 0 {
        let (task, suspicion) = core.suspects.tasks.pop()?;
        core.tasks.mark_suspect(task, false);
        let found = suspect(core, task, suspicion, |core, task| {
            (chains.come_to_a_circle(core, task), true)
        })
        .and_then(|(suspicion, _)| examine(core, task, suspicion));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// A cheap first look, which clears most suspects. `follow` says whether the chain that begins with a task comes to a circle, and
/// whether that is certain. Returns what is still suspicious about the task, and whether that is certain; `None`: nothing.
fn suspect(
    core: &mut Core,
    task: Slot,
    mut suspicion: u8,
    follow: impl FnOnce(&mut Core, Slot) -> (bool, bool),
) -> Option<(u8, bool)> {
    if !core.tasks.can_be_stuck(task) {
        return None;
    }
    let mut certain = true;
    if suspicion & Tasks::BLOCKED != 0 {
        let (circle, is_certain) = follow(core, task);
        certain = is_certain;
        if !circle && certain {
            suspicion &= !Tasks::BLOCKED;
        }
    }
    (suspicion != 0).then_some((suspicion, certain))
}

/// The closer look, at all that all tasks wait for.
fn examine(core: &mut Core, task: Slot, suspicion: u8) -> Option<Found> {
    core.suspects.credit -= core.records();
    let is_blocked = suspicion & Tasks::BLOCKED != 0;
    if let Some(knot) = is_blocked.then(|| knot(core, task)).flatten() {
        return Some(Found::Knot(knot));
    }
    (suspicion & Tasks::UNKEPT != 0 && is_lost(core, task)).then_some(Found::Lost(task))
}

fn report(found: Found) -> Verdict {
    match found {
        Found::Lost(slot) => {
            let looked =
                Core::with(|core| (core.tasks.origin(slot), core.tasks.is_abortable(slot)));
            let (origin, abortable) = looked.unwrap_or_default();
            let who = origin.map(|origin| origin.to_string()).unwrap_or_default();
            let (level, advice) = if abortable {
                Core::with(|core| core.tasks.mark_told_at_info(slot));
                (Level::Info, "It may be meant so, as long as its `JoinHandle` can abort it")
            } else {
                let advice = "A future must keep `cx.waker().clone()` for whoever makes it ready, or wake it";
                (Level::Warn, advice)
            };
            observe::say(
                level,
                observe::TASK,
                format_args!(
                    "{who} returned `Pending`, and nobody has kept its waker: it will never be polled again. {advice}"
                ),
            );
            Verdict::Fine
        }
        Found::Knot(knot) if !knot.fail => {
            observe::say(Level::Error, observe::TASK, format_args!("{}", knot.lines));
            Verdict::Fine
        }
        Found::Knot(knot) if knot.is_main => Verdict::Panic(knot.lines),
        Found::Knot(knot) => {
            observe::report(|| Step::Abort { task: Id::new(knot.victim) });
            task::give_up(knot.victim, |origin| JoinError::deadlocked(origin, knot.lines));
            Verdict::Acted
        }
    }
}

/// Follows one wait of each task, from task to task, for a limited number of steps. In a knot all waits are for tasks of the knot, so
/// whichever way is taken comes to some task a second time. Nearly always the way soon ends instead, at a task that waits for
/// something else. Returns whether it comes to a circle, and whether that is certain.
fn glance(core: &mut Core, start: Slot) -> (bool, bool) {
    let mut left = LONGEST_CHAIN;
    let all_hinted = core.tasks.hint_joiners(start, |_| {
        left -= 1;
        left > 0
    });
    if !all_hinted {
        return (false, false);
    }
    // By Brent, "An improved Monte Carlo factorization algorithm", 1980: to see that it comes back, each task is compared with one
    // that was passed before. That one is moved up to the present one after 1, 2, 4, 8... steps.
    let (mut mark, mut at, mut next_mark) = (start, start, 1);
    for steps in 1..=LONGEST_CHAIN {
        let Some(next) = next_in_chain(core, at) else { return (false, true) };
        if next == mark {
            return (true, true);
        }
        at = next;
        if steps == next_mark {
            mark = at;
            next_mark *= 2;
        }
    }
    (false, false)
}

/// Chains that are followed to their ends, one after another, while nothing changes. Each task is passed once, however many of the
/// chains lead through it.
#[derive(Default)]
struct Chains {
    /// Tasks whose joiners have got their hints.
    hinted: HashSet<Slot>,
    /// Tasks that were passed, and whether the chain from there comes to a circle. `None`: it is being followed.
    passed: HashMap<Slot, Option<bool>>,
}

impl Chains {
    fn come_to_a_circle(&mut self, core: &mut Core, start: Slot) -> bool {
        core.tasks.hint_joiners(start, |task| self.hinted.insert(task));
        let (mut path, mut at) = (Vec::new(), start);
        let circle = loop {
            match self.passed.get(&at) {
                Some(Some(circle)) => break *circle,
                Some(None) => break true,
                None => {}
            }
            self.passed.insert(at, None);
            path.push(at);
            match next_in_chain(core, at) {
                Some(next) => at = next,
                None => break false,
            }
        };
        core.suspects.credit -= path.len() as isize;
        for task in path {
            self.passed.insert(task, Some(circle));
        }
        circle
    }
}

fn next_in_chain(core: &Core, task: Slot) -> Option<Slot> {
    let next = match core.tasks.hint(task)? {
        Hint::Task(task) => task,
        Hint::Record(record) => match core.waits.lock(record) {
            Some(lock) => core.slot_of(lock.holder?.task)?,
            None => core.waits.group(record)?.borrow().iter().next().map(|(_, child)| *child)?,
        },
    };
    core.tasks.can_be_stuck(next).then_some(next)
}

/// Tasks that wait for each other, in words.
struct Knot {
    /// Whose future is dropped to cut it.
    victim: Slot,
    is_main: bool,
    fail: bool,
    lines: String,
}

/// Every wait of every task of this loop.
pub(super) fn all_waits(core: &Core) -> HashMap<Slot, Vec<Wait>> {
    let mut waits: HashMap<Slot, Vec<Wait>> = HashMap::new();
    core.each_wait_of_ours(|task, wait| waits.entry(task).or_default().push(wait));
    waits
}

/// The tasks that can end this wait. None: the wait is a way out.
fn blockers(core: &Core, wait: &Wait) -> Vec<Slot> {
    let blockers = match wait.what {
        What::Task(task) => vec![task],
        What::Lock(lock) => {
            let holder = core.waits.lock(lock).and_then(|lock| core.slot_of(lock.holder?.task));
            holder.into_iter().collect()
        }
        // Any of them may end the group by failing.
        What::Group(group) => {
            let children = core.waits.group(group);
            children.map_or(Vec::new(), |children| {
                children.borrow().iter().map(|(_, child)| *child).collect()
            })
        }
        _ => Vec::new(),
    };
    if blockers.iter().all(|task| core.tasks.can_be_stuck(*task)) { blockers } else { Vec::new() }
}

/// The knot that `start` stands in, or waits for. `None`: there is none, or its circle was reported before.
fn knot(core: &mut Core, start: Slot) -> Option<Knot> {
    let waits = all_waits(core);
    let reached = all_stuck(core, &waits, vec![start], |_| false)?;
    // All that were reached are stuck. The circle among them tells why.
    let circle = circle(core, &waits, start);
    if circle.iter().all(|(task, _)| core.tasks.was_reported(*task)) {
        return None;
    }
    let lines = report_text(core, &waits, &circle, &reached);
    // The one that closed it, unless it only leads there.
    let victim = if circle.iter().any(|(task, _)| *task == start) { start } else { circle[0].0 };
    let (is_main, fail) = (core.tasks.is_main(victim), core.deadlock == Deadlock::Fail);
    for task in reached {
        if fail {
            // Without the victim there may still be a circle.
            core.add_suspect(task, Tasks::BLOCKED);
        } else {
            core.tasks.mark_reported(task);
        }
    }
    Some(Knot { victim, is_main, fail, lines })
}

/// These tasks and all that they wait for, in turn. `None`: one of them has a way out. A wait that is `hopeless` is none.
fn all_stuck(
    core: &Core,
    waits: &HashMap<Slot, Vec<Wait>>,
    starts: Vec<Slot>,
    hopeless: impl Fn(&Wait) -> bool,
) -> Option<Vec<Slot>> {
    let mut known: HashSet<Slot> = starts.iter().copied().collect();
    let mut reached = starts;
    let mut next = 0;
    while let Some(task) = reached.get(next).copied() {
        next += 1;
        for wait in waits.get(&task)?.iter().filter(|wait| !hopeless(wait)) {
            let blockers = blockers(core, wait);
            if blockers.is_empty() {
                return None;
            }
            reached.extend(blockers.into_iter().filter(|blocker| known.insert(*blocker)));
        }
    }
    Some(reached)
}

/// Whether none of these tasks can go on before there is an end of `outside`, which is what waits from outside the tasks are for.
pub(crate) fn can_only_wait_for(core: &Core, tasks: Vec<Slot>, outside: &str) -> bool {
    let hopeless = |wait: &Wait| matches!(wait.what, What::Outside(what) if what == outside);
    tasks.iter().all(|task| core.tasks.can_be_stuck(*task))
        && all_stuck(core, &all_waits(core), tasks, hopeless).is_some()
}

fn report_text(
    core: &Core,
    waits: &HashMap<Slot, Vec<Wait>>,
    circle: &[(Slot, Wait)],
    reached: &[Slot],
) -> String {
    let mut lines = format!(
        "deadlock: {} task{} wait for each other",
        circle.len(),
        super::plural(circle.len())
    );
    if let [_] = circle {
        lines = "deadlock: a task waits for itself".to_owned();
    }
    for (task, wait) in circle.iter().take(MOST_IN_CIRCLE) {
        let _ = write!(lines, "\n  {}", describe(core, *task, wait));
    }
    if let more @ 1.. = circle.len().saturating_sub(MOST_IN_CIRCLE) {
        let _ =
            write!(lines, "\n  and {more} more task{}, up to the first again", super::plural(more));
    }
    let in_circle: HashSet<Slot> = circle.iter().map(|(task, _)| *task).collect();
    let others =
        reached.iter().filter(|task| !in_circle.contains(task) && !core.tasks.was_reported(**task));
    for (number, task) in others.enumerate() {
        if number == MOST_OTHERS {
            let _ = write!(lines, "\n  and more tasks wait for these: {} in all", reached.len());
            break;
        }
        let _ = write!(lines, "\n  so {}", describe(core, *task, &waits[task][0]));
    }
    lines
}

/// So many tasks of the circle are described.
const MOST_IN_CIRCLE: usize = 50;

/// So many tasks are described that do not stand in the circle, but wait for it.
const MOST_OTHERS: usize = 10;

/// Goes from `start` by the first wait of each task until it comes to a task again. Returns the circle, without the way to it.
fn circle(core: &Core, waits: &HashMap<Slot, Vec<Wait>>, start: Slot) -> Vec<(Slot, Wait)> {
    let mut path: Vec<(Slot, Wait)> = Vec::new();
    let mut known = HashMap::new();
    let mut at = start;
    loop {
        if let Some(first) = known.insert(at, path.len()) {
            return path.split_off(first);
        }
        let wait = waits[&at][0];
        path.push((at, wait));
        at = blockers(core, &wait)[0];
    }
}

/// One task of a knot, in words.
fn describe(core: &Core, task: Slot, wait: &Wait) -> String {
    let who = core.tasks.origin(task).map(|origin| origin.to_string()).unwrap_or_default();
    let place = wait.place.map(|at| format!(" at {at}")).unwrap_or_default();
    format!("{who} waits{place} for {}", what_text(core, wait.what))
}

pub(super) fn lock_name(lock: Option<&Lock>) -> String {
    let name = lock.and_then(|lock| lock.name.as_deref());
    name.map_or_else(
        || "a lock".to_owned(),
        |name| format!("the lock \"{}\"", observe::visible(name)),
    )
}

/// What a task waits for, where that is a lock or other tasks.
pub(super) fn what_text(core: &Core, what: What) -> String {
    match what {
        What::Lock(lock) => {
            let lock = core.waits.lock(lock);
            let name = lock_name(lock);
            let holder = lock.and_then(|lock| lock.holder).map(|Holder { task, place }| {
                format!(", which {} holds since {place}", label(core, task))
            });
            format!("{name}{}", holder.unwrap_or_default())
        }
        What::Task(task) => format!("the end of {}", slot_label(core, task)),
        What::Group(group) => {
            let children = core.waits.group(group).map(|children| children.borrow());
            let first = children
                .as_ref()
                .and_then(|children| children.iter().next())
                .map(|(_, child)| *child);
            let others = children.as_ref().map_or(0, |children| children.len()).saturating_sub(1);
            match (first, others) {
                (None, _) => "the end of a group".to_owned(),
                (Some(first), 0) => format!("the end of a group: of {}", slot_label(core, first)),
                (Some(first), _) => {
                    format!("the end of a group: of {} and {others} more", slot_label(core, first))
                }
            }
        }
        What::Gift(what) | What::Outside(what) => what.to_owned(),
        What::Source { kind, .. } => kind.to_owned(),
        What::Timer { .. } => "a timer".to_owned(),
    }
}

fn label(core: &Core, task: TaskNumber) -> String {
    core.slot_of(task).map_or_else(|| "a task".to_owned(), |slot| slot_label(core, slot))
}

fn slot_label(core: &Core, slot: Slot) -> String {
    TaskLabel { slot, name: core.tasks.name(slot) }.to_string()
}

/// Whether a task that is not ready waits for nothing at all.
fn is_lost(core: &mut Core, task: Slot) -> bool {
    if core.tasks.was_reported(task) {
        return false;
    }
    let mut waits = false;
    core.each_wait_of_ours(|waiting, _| waits |= waiting == task);
    if !waits {
        core.tasks.mark_reported(task);
    }
    !waits
}

/// A [`JoinHandle`](crate::task::JoinHandle) may be on any thread: where it is cannot be seen.
const ABORTABLE: &str = " (but for a thread that was given the `JoinHandle` of a task, and may abort it: give it a `Handle` too, and this is not reported)";

/// Looks whether anything that this loop knows of can ever wake it, and says so if not.
fn look_for_the_end() -> Verdict {
    let quiescent = Core::with(|core| {
        let may_be_woken = core.deadlock == Deadlock::Ignore
            || core.quiescent
            || core.jobs > 0
            || core.can_be_reached()
            || core.reactor.is_awaited()
            || core.tasks.is_any_foreign()
            || core.waits.iter().any(|wait| matches!(wait.what, What::Outside(_)));
        core.quiescent |= !may_be_woken;
        !may_be_woken
    });
    if quiescent != Some(true) {
        return Verdict::Fine;
    }
    let abortable = Core::with(|core| core.tasks.is_any_abortable()) == Some(true);
    let exception = if abortable { ABORTABLE } else { "" };
    let text = format!(
        "nothing can wake this event loop any more: no task is ready, no timer is armed, no source is waited for, and no other thread can reach it{exception}\n{}",
        super::dump::brief()
    );
    if Core::with(|core| core.deadlock) == Some(Deadlock::Fail) {
        return Verdict::Panic(text);
    }
    observe::say(Level::Warn, observe::LOOP, format_args!("{text}"));
    Verdict::Fine
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::event_loop::EventLoop;
    use crate::sync::Notify;
    use crate::task::{JoinHandle, spawn, yield_now};

    struct NotifyOnDrop(Rc<Notify>);

    impl Drop for NotifyOnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    /// Though nothing wakes the loop once it sleeps.
    #[test]
    fn a_circle_of_any_length_is_found_also_where_there_is_no_credit_for_a_look() {
        for length in [2, LONGEST_CHAIN, LONGEST_CHAIN + 1, 5000] {
            for credit in [MOST_CREDIT, -1_000_000_000] {
                let mut event_loop =
                    EventLoop::builder().deadlock(Deadlock::Fail).build().expect("a loop");
                event_loop.block_on(async {
                    Core::with(|core| core.suspects.credit = credit);
                    let ended = Rc::new(Notify::new());
                    let (last_of_all, notify) = (Rc::new(Cell::new(None)), Rc::clone(&ended));
                    let joined = Rc::clone(&last_of_all);
                    let mut last: JoinHandle<()> = spawn(async move {
                        let _notify = NotifyOnDrop(notify);
                        yield_now().await;
                        let last: Option<JoinHandle<()>> = joined.take();
                        drop(last.expect("a task").await);
                    });
                    for _ in 1..length {
                        let before = last;
                        last = spawn(async move { drop(before.await) });
                    }
                    last_of_all.set(Some(last));
                    ended.notified().await; // By the drop of a task that was cut out.
                });
            }
        }
    }
}
