//! Who waits for what, where neither the reactor nor the timers know it: for locks, permits, messages, jobs. Futures
//! enter their wait when they begin it, and take it out when it ends. Read by [`crate::observe::stuck`] and by the dump.

use std::panic::Location;
use std::rc::Rc;

use crate::core::Core;
use crate::reactor::Direction;
use crate::slots::{Key, Layout, Slot, Slots};
use crate::task::waker::TaskNumber;

/// The waits and the contended locks of a loop.
pub(crate) struct Waits {
    waits: Slots<Wait>,
    locks: Slots<Lock>,
}

/// One task waits for one thing.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) task: TaskNumber,
    pub(crate) what: What,
    /// Where its operation was called, if that is known.
    pub(crate) place: Option<&'static Location<'static>>,
    /// In nanoseconds of the loop's clock, as of the turn in which it began, if that is known.
    pub(crate) since: Option<u64>,
}

#[derive(Clone, Copy)]
pub(crate) enum What {
    /// A lock that a task holds.
    Lock(Slot),
    /// The end of a task.
    Task(Slot),
    /// Something that other tasks may give, but that none of them holds: a message, a permit, a notification.
    Gift(&'static str),
    /// Something that comes from outside the tasks: the end of a job.
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

/// A lock for which somebody waits.
pub(crate) struct Lock {
    pub(crate) name: Option<Rc<str>>,
    pub(crate) holder: Option<Holder>,
    /// How many wait for it: with the last, its record goes.
    waiting: usize,
}

/// Who holds a lock, and since which line.
#[derive(Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) task: TaskNumber,
    pub(crate) place: &'static Location<'static>,
}

impl Waits {
    pub(crate) fn new() -> Self {
        Waits { waits: Slots::new(), locks: Slots::new() }
    }

    pub(crate) fn lock(&self, slot: Slot) -> Option<&Lock> {
        self.locks.get(slot)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Wait> {
        self.waits.iter().copied()
    }
}

/// A task begins to wait. `None`: for a task of no loop, or of another than the one that runs here, or if there are four
/// billion waits; then it is not seen by anybody, which harms nothing.
pub(crate) fn begin(task: TaskNumber, what: What, place: &'static Location<'static>) -> Option<Key> {
    let begun = Core::with(|core| {
        if !task.is_of(core.id) {
            return None;
        }
        core.tasks.keep();
        let since = Some(core.clock.turn_nanos());
        let wait = Wait { task, what, place: Some(place), since };
        let slot = core.waits.waits.insert(Layout::UNPACKED, wait).ok()?;
        if let What::Lock(lock) = what {
            if let Some(lock) = core.waits.locks.get_mut(lock) {
                lock.waiting += 1;
            }
            core.tasks.waits_for_lock(task, lock);
        }
        Some(core.key(slot))
    });
    begun.flatten()
}

/// It was polled again, and still waits.
pub(crate) fn goes_on(wait: Key) {
    Core::if_at_home(wait, |core| {
        let Some(Wait { task, what, .. }) = core.waits.waits.get(wait.slot).copied() else { return };
        core.tasks.keep();
        if let What::Lock(lock) = what {
            core.tasks.waits_for_lock(task, lock);
        }
    });
}

/// It waits no more.
pub(crate) fn end(wait: Key) {
    Core::if_at_home(wait, |core| {
        let Some(Wait { what: What::Lock(lock), .. }) = core.waits.waits.remove(wait.slot) else { return };
        if let Some(record) = core.waits.locks.get_mut(lock) {
            record.waiting -= 1;
            if record.waiting == 0 {
                core.waits.locks.remove(lock);
            }
        }
    });
}

/// A lock that is held, and for which somebody is about to wait.
pub(crate) fn enter_lock(name: Option<Rc<str>>, holder: Option<Holder>) -> Option<Key> {
    let entered = Core::with(|core| {
        let lock = Lock { name, holder, waiting: 0 };
        core.waits.locks.insert(Layout::UNPACKED, lock).ok().map(|slot| core.key(slot))
    });
    entered.flatten()
}

/// Whether the record of a lock is still there.
pub(crate) fn has_lock(lock: Key) -> bool {
    Core::if_at_home(lock, |core| core.waits.locks.get(lock.slot).is_some()) == Some(true)
}

/// A lock for which somebody waits has another holder, or none.
pub(crate) fn hand_over(lock: Key, holder: Option<Holder>) {
    Core::if_at_home(lock, |core| {
        if let Some(lock) = core.waits.locks.get_mut(lock.slot) {
            lock.holder = holder;
        }
    });
}

impl Core {
    /// All that tasks of this loop wait for. (Not what foreign wakers wait for.)
    pub(crate) fn each_wait(&self, mut each: impl FnMut(Wait)) {
        self.reactor.each_wait(&mut each);
        self.timers.each_wait(&mut each);
        self.tasks.each_join(&mut each);
        self.waits.iter().for_each(each);
    }
}
