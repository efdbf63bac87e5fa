//! Who waits for what, where neither the reactor nor the timers know it: for locks, permits, messages, jobs, groups. A
//! future that begins to wait *shows* it: it leaves a record here, and takes it back when the wait is over. The records
//! are for people: [`crate::observe::stuck`] and the dump read them, and nothing else depends on them. Outside a loop
//! of ours, and with a waker of other code, nothing is shown.

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

use slab::Slab;

use crate::core::{Core, release};
use crate::reactor::Direction;
use crate::remote::Release;
use crate::slots::{Key, Layout, Slot, Slots};
use crate::task::waker::TaskNumber;

/// The records of a loop.
pub(crate) struct Waits {
    records: Slots<Record>,
}

enum Record {
    Wait(Wait),
    Lock(Lock),
    Group(Group),
}

/// One task waits for one thing.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    /// [`TaskNumber::NOBODY`]: just now nobody waits.
    pub(crate) task: TaskNumber,
    pub(crate) what: What,
    /// Where its operation was called, if that is known.
    pub(crate) place: Option<&'static Location<'static>>,
    /// In nanoseconds of the loop's clock, as of the turn in which it began, if that is known.
    pub(crate) since: Option<u64>,
}

#[derive(Clone, Copy)]
pub(crate) enum What {
    /// A lock that a task holds: its record.
    Lock(Slot),
    /// The end of a task.
    Task(Slot),
    /// The end of all tasks of a group: the record of this wait.
    Group(Slot),
    /// Something that other tasks may give, but that none of them holds: a message, a permit, a notification.
    Gift(&'static str),
    /// Something that comes from outside the tasks, or may: the end of a job, the cancellation of a token.
    Outside(&'static str),
    Source {
        slot: Slot,
        kind: &'static str,
        direction: Direction,
    },
    /// A timer that is due then.
    Timer {
        due: u64,
    },
}

/// A lock for which somebody waits, or has waited.
pub(crate) struct Lock {
    pub(crate) name: Option<Rc<str>>,
    /// Brought up to date when somebody begins to wait, and when the lock is handed over. `None`: it is not known.
    pub(crate) holder: Option<Holder>,
}

/// Who holds a lock, and since which line.
#[derive(Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) task: TaskNumber,
    pub(crate) place: &'static Location<'static>,
}

/// The tasks of a group that have not ended.
pub(crate) type Children = Rc<RefCell<Slab<Slot>>>;

/// A task waits for the end of a group.
struct Group {
    wait: Wait,
    children: Children,
}

impl Record {
    const EMPTY: (Slot, Record) = {
        let (task, what) = (TaskNumber::NOBODY, What::Gift("nothing"));
        (Slot::NONE, Record::Wait(Wait { task, what, place: None, since: None }))
    };

    #[inline]
    fn wait(&mut self) -> Option<&mut Wait> {
        match self {
            Record::Wait(wait) | Record::Group(Group { wait, .. }) => Some(wait),
            Record::Lock(_) => None,
        }
    }
}

impl Waits {
    pub(crate) fn new() -> Self {
        Waits { records: Slots::new() }
    }

    pub(crate) fn lock(&self, slot: Slot) -> Option<&Lock> {
        match self.records.get(slot)? {
            Record::Lock(lock) => Some(lock),
            _ => None,
        }
    }

    pub(crate) fn group(&self, slot: Slot) -> Option<&Children> {
        match self.records.get(slot)? {
            Record::Group(group) => Some(&group.children),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Wait> {
        let waits = self.records.iter_with_slots().filter_map(|(slot, record)| match record {
            Record::Wait(wait) => Some(*wait),
            Record::Lock(_) => None,
            Record::Group(group) => Some(Wait { what: What::Group(slot), ..group.wait }),
        });
        waits.filter(|wait| wait.task != TaskNumber::NOBODY)
    }

    /// How many records there are.
    pub(crate) fn count(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn remove(&mut self, record: Slot) {
        self.records.remove(record);
    }
}

/// What a future, a lock or a group shows to the loop that runs here: a record, or nothing. It may be dropped anywhere.
#[derive(Debug, Default)]
pub(crate) struct Shown(Option<Key>);

impl Shown {
    pub(crate) const NOTHING: Shown = Shown(None);

    /// A task begins to wait, or still waits. It is shown to its own loop, if that runs here.
    #[inline]
    pub(crate) fn wait(&mut self, task: TaskNumber, what: What, place: &'static Location<'static>) {
        let shown = Core::with(|core| self.wait_in(core, task, what, place));
        if shown != Some(true) && self.0.is_some() {
            // To another loop: the future has moved, or its task is of none that runs here.
            self.end();
            self.wait(task, what, place);
        }
    }

    /// As [`wait`](Self::wait), in the loop that runs here. `false`: not so, because the task is another loop's, or because
    /// what was shown to another loop must end first.
    #[inline(always)]
    pub(crate) fn wait_in(
        &mut self,
        core: &mut Core,
        task: TaskNumber,
        what: What,
        place: &'static Location<'static>,
    ) -> bool {
        if !task.is_of(core.id) {
            return false;
        }
        core.tasks.keep();
        if let What::Lock(lock) = what {
            core.tasks.blocked(task, lock);
        }
        let since = core.clock.turn_nanos();
        let Some(wait) = core.record_or_new(self).and_then(Record::wait) else { return false };
        if wait.task != task {
            (wait.task, wait.since) = (task, Some(since));
        }
        (wait.what, wait.place) = (what, Some(place));
        true
    }

    /// As [`wait`](Self::wait), for the end of all these.
    pub(crate) fn wait_for_all(
        &mut self,
        task: TaskNumber,
        children: &Children,
        place: &'static Location<'static>,
    ) {
        self.wait(task, What::Gift("a group"), place);
        let Some(key) = self.0 else { return };
        Core::with(|core| {
            core.tasks.blocked(task, key.slot);
            if let Some(record) = core.record(self)
                && let Record::Wait(wait) = *record
            {
                *record = Record::Group(Group { wait, children: Rc::clone(children) });
            }
        });
    }

    /// As [`end`](Self::end), if it is shown to this loop.
    #[inline(always)]
    pub(crate) fn end_in(&mut self, core: &mut Core) {
        if let Some(key) = self.0
            && key.home == core.id
        {
            core.waits.remove(key.slot);
            self.0 = None;
        }
    }

    /// Nobody waits here just now, but somebody may again.
    #[inline(always)]
    pub(crate) fn pause_in(&mut self, core: &mut Core) {
        if let Some(wait) = core.record(self).and_then(Record::wait) {
            wait.task = TaskNumber::NOBODY;
        }
    }

    /// Shows a lock for which somebody waits, and who holds it. Returns its record. `None`: it has none in this loop, for
    /// instance because it is shown to another loop of this thread.
    pub(crate) fn lock(&mut self, name: Option<&Rc<str>>, holder: Option<Holder>) -> Option<Slot> {
        let shown = Core::with(|core| {
            let is_new = self.0.is_none();
            match core.record_or_new(self) {
                Some(Record::Lock(lock)) => lock.holder = holder,
                Some(record) if is_new => {
                    *record = Record::Lock(Lock { name: name.cloned(), holder })
                }
                _ => return false,
            }
            true
        });
        self.0.filter(|_| shown == Some(true)).map(|key| key.slot)
    }

    /// The lock has another holder, or one that is not known.
    pub(crate) fn hand_over(&mut self, holder: Option<Holder>) {
        let Some(key) = self.0 else { return };
        let handed = Core::if_at_home(key, |core| {
            if let Some(Record::Lock(lock)) = core.record(self) {
                lock.holder = holder;
            }
        });
        if handed.is_none() {
            // In another loop. There it is as if nobody held it.
            self.end();
        }
    }

    /// Shows nothing any more.
    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some(key) = self.0.take()
            && Core::if_at_home(key, |core| core.waits.remove(key.slot)).is_none()
        {
            release(key, Release::Record(key.slot));
        }
    }
}

impl Drop for Shown {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

impl Core {
    #[inline]
    fn record(&mut self, shown: &Shown) -> Option<&mut Record> {
        let key = shown.0.filter(|key| key.home == self.id)?;
        self.waits.records.get_mut(key.slot)
    }

    /// As [`record`](Self::record), but for who shows nothing so far there is a new one, in which nobody waits. `None`: there are
    /// four billion of them, and this one is not shown; or what was shown to another loop must end first.
    #[inline(always)]
    fn record_or_new(&mut self, shown: &mut Shown) -> Option<&mut Record> {
        if shown.0.is_none() && self.waits.records.has_room(Layout::UNPACKED) {
            let (slot, record) = self.waits.records.insert_empty(Record::EMPTY);
            shown.0 = Some(Key { home: self.id, slot });
            return Some(record);
        }
        self.record(shown)
    }

    /// The task that a number means, if it is one of this loop.
    pub(crate) fn slot_of(&self, number: TaskNumber) -> Option<Slot> {
        if number.is_of(self.id) { self.tasks.slot_of(number) } else { None }
    }

    /// All that tasks of this loop wait for. (Not what foreign wakers wait for.)
    pub(crate) fn each_wait(&self, mut each: impl FnMut(Wait)) {
        self.reactor.each_wait(&self.tasks, &mut each);
        self.timers.each_wait(&mut each);
        self.tasks.each_join(&mut each);
        self.waits.iter().for_each(each);
    }

    /// All that tasks of this loop wait for, with the task.
    pub(crate) fn each_wait_of_ours(&self, mut each: impl FnMut(Slot, Wait)) {
        self.each_wait(|wait| {
            if let Some(task) = self.slot_of(wait.task) {
                each(task, wait);
            }
        });
    }
}
