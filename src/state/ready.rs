//! What the kernel says of a source: [`Ready`], the sticky bits of a slot, and how a tried operation
//! changes them. `docs/edge-triggered.md` tells why.

use std::fmt;
use std::io;

use mio::Interest;
use mio::event::Event;

/// Which side of a source an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Something to read, or to accept.
    Read,
    /// Room to write.
    Write,
}

impl Direction {
    /// Whether `interest` asks for it. Urgent data is read.
    pub(crate) fn is_in(self, interest: Interest) -> bool {
        match self {
            Direction::Read => interest.is_readable() || is_urgent(interest),
            Direction::Write => interest.is_writable(),
        }
    }

    pub(crate) fn interest(self) -> Interest {
        match self {
            Direction::Read => Interest::READABLE,
            Direction::Write => Interest::WRITABLE,
        }
    }

    pub(crate) fn verb(self) -> &'static str {
        match self {
            Direction::Read => "read",
            Direction::Write => "write",
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_urgent(interest: Interest) -> bool {
    interest.is_priority()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_urgent(_: Interest) -> bool {
    false
}

/// What the kernel says of a source.
///
/// A side that was closed, or an error, also counts as readable or writable: the operation would not
/// block, it would report the end or the error.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    const READABLE: u8 = 1;
    const WRITABLE: u8 = 2;
    const READ_CLOSED: u8 = 4;
    const WRITE_CLOSED: u8 = 8;
    const ERROR: u8 = 16;
    /// Urgent data: a read stops before it, so that a short one does not mean that there is no more.
    const URGENT: u8 = 32;
    pub(crate) const NONE: Ready = Ready(0);
    pub(crate) const READ: Ready = Ready(Ready::READABLE);
    pub(crate) const BOTH: Ready = Ready(Ready::READ.0 | Ready::WRITABLE);

    #[inline]
    pub(crate) fn of(event: &Event) -> Ready {
        if event.is_error()
            || event.is_read_closed()
            || event.is_write_closed()
            || event.is_priority()
        {
            return Ready::of_unusual(event);
        }
        Ready(
            (u8::from(event.is_readable()) * Ready::READABLE)
                | (u8::from(event.is_writable()) * Ready::WRITABLE),
        )
    }

    #[cold]
    fn of_unusual(event: &Event) -> Ready {
        let mut bits = 0;
        if event.is_readable() {
            bits |= Ready::READABLE;
        }
        if event.is_writable() {
            bits |= Ready::WRITABLE;
        }
        if event.is_read_closed() {
            bits |= Ready::READ_CLOSED | Ready::READABLE;
        }
        if event.is_write_closed() {
            bits |= Ready::WRITE_CLOSED | Ready::WRITABLE;
        }
        if event.is_priority() {
            bits |= Ready::URGENT;
        }
        if event.is_error() {
            bits |= Ready::ERROR | Ready::READABLE | Ready::WRITABLE;
        }
        Ready(bits)
    }

    #[inline]
    fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// There is something to read, or the end, or an error.
    pub fn is_readable(self) -> bool {
        self.has(Ready::READABLE)
    }

    /// There is room to write, or an error.
    pub fn is_writable(self) -> bool {
        self.has(Ready::WRITABLE)
    }

    /// The peer will send no more.
    pub fn is_read_closed(self) -> bool {
        self.has(Ready::READ_CLOSED)
    }

    /// The peer will take no more.
    pub fn is_write_closed(self) -> bool {
        self.has(Ready::WRITE_CLOSED)
    }

    /// The source has an error to report.
    pub fn is_error(self) -> bool {
        self.has(Ready::ERROR)
    }

    /// What of it concerns `interest`.
    pub(crate) fn of_interest(self, interest: Interest) -> Ready {
        let mut bits = Ready::ERROR;
        if Direction::Read.is_in(interest) {
            bits |= Ready::READABLE | Ready::READ_CLOSED | Ready::URGENT;
        }
        if Direction::Write.is_in(interest) {
            bits |= Ready::WRITABLE | Ready::WRITE_CLOSED;
        }
        Ready(self.0 & bits)
    }

    /// The kernel has said this. Returns what of it is new.
    #[inline]
    pub(crate) fn learn(&mut self, said: Ready) -> Ready {
        let news = Ready(said.0 & !self.0);
        self.0 |= said.0;
        news
    }

    #[inline]
    pub(crate) fn allows(self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.is_readable(),
            Direction::Write => self.is_writable(),
        }
    }

    /// The kernel said "would block": whatever it said of this side before is over. It will report an
    /// edge when that changes.
    #[inline]
    pub(crate) fn disprove(&mut self, direction: Direction) {
        self.0 &= match direction {
            Direction::Read => !(Ready::READABLE | Ready::READ_CLOSED | Ready::URGENT),
            Direction::Write => !(Ready::WRITABLE | Ready::WRITE_CLOSED),
        };
    }

    /// An operation failed. Returns the error, unless it is one after which to look at the readiness again:
    /// the operation would have blocked, or a signal interrupted it.
    #[cold]
    #[inline(never)]
    pub(crate) fn after_error(
        &mut self,
        direction: Direction,
        error: io::Error,
    ) -> Option<io::Error> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.disprove(direction),
            io::ErrorKind::Interrupted => {}
            _ => return Some(error),
        }
        None
    }

    /// A short read or write emptied or filled the kernel's buffer, so the next would block: epoll(7)
    /// says so for stream-oriented files. But the end and errors are reported once only: where the kernel has
    /// reported one on this side, it is still to be read. And a read also ends short before urgent data:
    /// of that kqueue tells nothing, so there it is not relied on.
    #[inline]
    pub(crate) fn exhaust(&mut self, direction: Direction) {
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            return;
        }
        let last_word = match direction {
            Direction::Read => Ready::READ_CLOSED | Ready::URGENT | Ready::ERROR,
            Direction::Write => Ready::WRITE_CLOSED | Ready::ERROR,
        };
        if !self.has(last_word) {
            self.disprove(direction);
        }
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Ready::READABLE, "readable"),
            (Ready::WRITABLE, "writable"),
            (Ready::READ_CLOSED, "read-closed"),
            (Ready::WRITE_CLOSED, "write-closed"),
            (Ready::ERROR, "in error"),
            (Ready::URGENT, "urgent"),
        ];
        let mut first = true;
        for (_, name) in names.iter().filter(|(bit, _)| self.has(*bit)) {
            f.write_str(if first { "" } else { " + " })?;
            f.write_str(name)?;
            first = false;
        }
        if first { f.write_str("not ready") } else { Ok(()) }
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ready({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_read_or_write_saves_the_next_try_unless_the_kernel_has_reported_the_end() {
        let mut ready = Ready::BOTH;
        ready.exhaust(Direction::Read);
        assert!(!ready.is_readable() && ready.is_writable());
        let mut ended = Ready(Ready::READABLE | Ready::READ_CLOSED);
        ended.exhaust(Direction::Read);
        assert!(ended.is_readable());
        ended.disprove(Direction::Read);
        assert!(!ended.is_readable() && !ended.is_read_closed());
        assert_eq!(Ready(Ready::READABLE | Ready::ERROR).to_string(), "readable + in error");
        assert_eq!(Ready::NONE.to_string(), "not ready");
    }

    #[test]
    fn after_urgent_data_a_short_read_proves_nothing() {
        let mut urgent = Ready(Ready::READABLE | Ready::URGENT);
        urgent.exhaust(Direction::Read);
        assert!(urgent.is_readable());
        urgent.disprove(Direction::Read);
        assert_eq!(urgent, Ready::NONE);
    }
}
