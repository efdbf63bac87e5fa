//! Sources that the kernel does not watch: another part of the loop says when one is ready, with [`give`].
//! Listeners for signals are such sources, children, and tasks that wait for the thread of a standard
//! stream. Their futures wait, are woken and dropped, and show up in the log, as those of a socket do. The
//! poller knows nothing of them.

use std::io;
use std::task::{Context, Poll};

use mio::event::Source as Io;
use mio::{Interest, Registry, Token};

use super::{Registered, Wait};
use crate::door::Door;
use crate::state::{Direction, Key, Message, Ready, Slot, Source, shared, slot_of, token_of};

/// The source of a slot that is given notice. There is nothing to register and nothing to close.
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
    /// The slot, for [`give`].
    pub(crate) fn slot(&self) -> Slot {
        self.source.key.slot
    }

    /// The key, for [`give_from_afar`].
    pub(crate) fn key(&self) -> Key {
        self.source.key
    }

    /// A slot that has no notice yet.
    #[track_caller]
    pub(crate) fn notice(kind: &'static str) -> io::Result<Self> {
        Registered::new(Notice, kind, Ready::NONE)
    }

    /// A slot for the end of some work. Until it is given notice the work is in flight, and a virtual clock
    /// stands still.
    #[track_caller]
    pub(crate) fn notice_of_work(kind: &'static str) -> io::Result<Self> {
        let notice = Registered::notice(kind)?;
        if let Some(mut door) = Door::open()
            && let Some(source) = door.sources.slots.get_mut(notice.slot())
        {
            source.mark(Source::IS_WORK, true);
        }
        Ok(notice)
    }

    /// Waits for notice and uses it up. Several that were given in between count as one.
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
            && let Some(source) = door.sources.slots.get_mut(self.slot())
        {
            source.ready.disprove(Direction::Read);
        }
        polled
    }
}

/// Whether a notice can still be given to this slot.
#[cfg(feature = "signal")]
pub(crate) fn is_there(slot: Slot) -> bool {
    Door::open().is_some_and(|door| door.sources.slots.get(slot).is_some())
}

/// Gives notice: wakes what waits in this slot, or is remembered if nothing does. A slot that is gone is
/// skipped.
pub(crate) fn give(slot: Slot) {
    make_ready(slot, Ready::READ);
}

/// Like [`give`], on any thread, and for both directions.
pub(crate) fn give_from_afar(key: Key) {
    if let Some(shared) = shared::find(key.home) {
        let give = move || make_ready(key.slot, Ready::BOTH);
        shared.send(Message::Run(Box::new(give)));
    }
}

fn make_ready(slot: Slot, ready: Ready) {
    if let Some(mut door) = Door::open() {
        door.source_ready(slot_of(token_of(slot)), ready, true);
    }
}
