//! Sources that the kernel does not watch: another part of the loop says when one is ready, by [`give`].
//! Listeners for signals are such, children, and who waits for the thread of a standard stream. So their futures
//! wait, are woken and dropped, and are shown in the log, as those of a socket are. Nothing in here is known to the
//! poller.

use std::io;
use std::task::{Context, Poll};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::{Direction, Reactor, Ready, Registered, Wait, slot_of, tell, token_of};
use crate::core::Core;
use crate::remote::{self, Message};
use crate::slots::{Key, Slot};

/// The place of one who waits to be given notice. There is nothing to register, and nothing to close.
#[derive(Debug)]
pub(crate) struct Notice;

impl Source for Notice {
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
    /// Where to [`give`] the notice.
    pub(crate) fn slot(&self) -> Slot {
        self.key.slot
    }

    /// Where to [`give_from_afar`].
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// A place without notice so far.
    #[track_caller]
    pub(crate) fn notice(kind: &'static str) -> io::Result<Self> {
        Registered::new(Notice, kind, Ready::NONE)
    }

    /// The same for the end of some work: until that is given notice of, it is under way, and a virtual clock stands still.
    #[track_caller]
    pub(crate) fn notice_of_work(kind: &'static str) -> io::Result<Self> {
        let notice = Registered::notice(kind)?;
        Core::with(|core| {
            if let Some(watched) = core.reactor.sources.get_mut(notice.slot()) {
                watched.is_work = true;
            }
        });
        Ok(notice)
    }

    /// Waits for notice, and uses it up: several that were given meanwhile are one.
    #[cfg_attr(not(feature = "signal"), expect(dead_code))]
    #[track_caller]
    pub(crate) fn poll_notice(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = self.poll_ready(wait, cx, Direction::Read);
        if polled.is_ready() {
            Core::with(|core| {
                if let Some(watched) = core.reactor.sources.get_mut(self.slot()) {
                    watched.ready.disprove(Direction::Read);
                }
            });
        }
        polled
    }
}

#[cfg_attr(not(feature = "signal"), expect(dead_code))]
impl Reactor {
    /// Whether anybody can be given notice in this slot still.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.sources.get(slot).is_some()
    }
}

/// Gives notice: whoever waits in this slot is woken; if nobody does, it is remembered. A slot that is gone is passed
/// over.
pub(crate) fn give(slot: Slot) {
    tell(slot_of(token_of(slot)), Ready::READ);
}

/// As [`give`], on any thread, and for both directions.
pub(crate) fn give_from_afar(key: Key) {
    if let Some(shared) = remote::find(key.home) {
        shared.send(Message::Run(Box::new(move || {
            tell(slot_of(token_of(key.slot)), Ready::BOTH);
        })));
    }
}
