//! Sources that the kernel does not watch. Another part of the loop makes them ready, with
//! [`give`]: signals, the ends of child processes, and the threads of the standard streams. Their
//! futures wait, are woken and dropped, and appear in the log like those of a socket. The poller
//! knows nothing of them.

use std::io;
use std::task::{Context, Poll};

use mio::event::Source as Io;
use mio::{Interest, Registry, Token};

use super::{Registered, Wait};
use crate::door::Door;
use crate::state::{Direction, Key, Message, Ready, Slot, Source, shared, token_of};

/// The source of such a slot. It has nothing to register and nothing to close.
#[derive(Debug)]
pub(crate) struct Notice;

impl Io for Notice {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}

impl Registered<Notice> {
    /// Returns the slot, for [`give`].
    pub(crate) fn slot(&self) -> Slot {
        self.key.slot
    }

    /// Returns the key, for [`give_from_afar`].
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Makes a slot without a notice.
    #[track_caller]
    pub(crate) fn notice(kind: &'static str) -> io::Result<Self> {
        Registered::new(Notice, kind, Ready::NONE)
    }

    /// Makes a slot for the end of some work. Until its notice the work counts as in flight, so a
    /// virtual clock stands still.
    #[track_caller]
    pub(crate) fn notice_of_work(kind: &'static str) -> io::Result<Self> {
        let notice = Registered::notice(kind)?;
        if let Some(mut door) = Door::open()
            && let Some(source) = door.sources.get_mut(notice.slot())
        {
            source.mark(Source::IS_WORK, true);
        }
        Ok(notice)
    }

    /// Waits for a notice and consumes it. Notices given in the meantime coalesce into one.
    #[cfg_attr(not(feature = "signal"), expect(dead_code))]
    #[track_caller]
    pub(crate) fn poll_notice(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = self.poll_ready(wait, cx, Direction::Read);
        if polled.is_ready()
            && let Some(mut door) = Door::open()
            && let Some(source) = door.sources.get_mut(self.slot())
        {
            source.ready.disprove(Direction::Read);
        }
        polled
    }
}

/// Returns whether this slot still exists.
#[cfg(feature = "signal")]
pub(crate) fn is_there(slot: Slot) -> bool {
    Door::open().is_some_and(|door| door.sources.get(slot).is_some())
}

/// Gives a notice to a slot: wakes its waiter, or stores the notice if there is none. Ignores a
/// slot that is gone.
pub(crate) fn give(slot: Slot) {
    make_ready(slot, Ready::READ);
}

/// Like [`give`], but from any thread and for both directions.
pub(crate) fn give_from_afar(key: Key) {
    if let Some(shared) = shared::find(key.home) {
        let give = move || make_ready(key.slot, Ready::BOTH);
        shared.send(Message::Run(Box::new(give)));
    }
}

fn make_ready(slot: Slot, ready: Ready) {
    if let Some(mut door) = Door::open() {
        door.source_ready(token_of(slot), ready, true);
    }
}
