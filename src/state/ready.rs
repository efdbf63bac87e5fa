//! The readiness of a source: [`Ready`], the sticky bits of a slot, and how an attempted operation
//! changes them. The reactor calls this file for each event and each operation. It never makes a
//! system call. `docs/edge-triggered.md` explains why readiness is kept this way.

use std::fmt;
use std::io;

use mio::Interest;
use mio::event::Event;

/// The side of a source that an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To read, or to accept a connection.
    Read,
    /// To write.
    Write,
}

impl Direction {
    /// Whether `interest` includes this side.
    pub(crate) fn is_in(self, interest: Interest) -> bool {
        match self {
            Direction::Read => interest.is_readable(),
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

/// Whether `interest` includes urgent data and errors.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_priority(interest: Interest) -> bool {
    interest.is_priority()
}

/// Other systems have no such interest.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_priority(_: Interest) -> bool {
    false
}

/// The readiness of a source, as the kernel has reported it.
///
/// A closed side or an error also counts as readable or writable, because the operation does not
/// block: it returns the EOF or the error.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    const READABLE: u8 = 1;
    const WRITABLE: u8 = 2;
    const READ_CLOSED: u8 = 4;
    const WRITE_CLOSED: u8 = 8;
    const ERROR: u8 = 16;
    /// Urgent data. A read stops before it, so a short read does not mean that nothing is left.
    const URGENT: u8 = 32;
    /// The kernel has reported urgent data or an error that no operation for
    /// `Interest::PRIORITY` has dealt with. Apart from `URGENT` and `ERROR`, which reads and writes
    /// clear at other times.
    const EXCEPTIONAL: u8 = Ready::NEW_URGENT | Ready::NEW_ERROR;
    const NEW_URGENT: u8 = 64;
    const NEW_ERROR: u8 = 128;
    pub(crate) const NONE: Ready = Ready(0);
    pub(crate) const READ: Ready = Ready(Ready::READABLE);
    #[cfg(unix)]
    pub(crate) const WRITE: Ready = Ready(Ready::WRITABLE);
    pub(crate) const BOTH: Ready = Ready(Ready::READABLE | Ready::WRITABLE);

    /// Returns the readiness that an event reports.
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

    /// Like [`of`](Self::of), for an event with a closed side, an error or urgent data.
    #[cold]
    fn of_unusual(event: &Event) -> Ready {
        let mut bits = 0;
        if event.is_readable() {
            bits |= Ready::READABLE;
        }
        if event.is_writable() {
            bits |= Ready::WRITABLE;
        }
        // A closed side counts as ready too, because an operation on it returns immediately.
        if event.is_read_closed() {
            bits |= Ready::READ_CLOSED | Ready::READABLE;
        }
        if event.is_write_closed() {
            bits |= Ready::WRITE_CLOSED | Ready::WRITABLE;
        }
        if event.is_priority() {
            bits |= Ready::URGENT | Ready::NEW_URGENT;
        }
        if event.is_error() {
            bits |= Ready::ERROR | Ready::NEW_ERROR | Ready::READABLE | Ready::WRITABLE;
        }
        Ready(bits)
    }

    #[inline]
    fn has_any(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// Returns `true` if there is data, a connection, the EOF or an error to read.
    pub fn is_readable(self) -> bool {
        self.has_any(Ready::READABLE)
    }

    /// Returns `true` if there is room to write, or an error to report.
    pub fn is_writable(self) -> bool {
        self.has_any(Ready::WRITABLE)
    }

    /// Returns `true` if the peer will send nothing more.
    pub fn is_read_closed(self) -> bool {
        self.has_any(Ready::READ_CLOSED)
    }

    /// Returns `true` if the peer will accept nothing more.
    pub fn is_write_closed(self) -> bool {
        self.has_any(Ready::WRITE_CLOSED)
    }

    /// Returns `true` if the source has an error to report.
    pub fn is_error(self) -> bool {
        self.has_any(Ready::ERROR)
    }

    /// Returns `true` if there is urgent data (EPOLLPRI): out-of-band data of a TCP stream, or
    /// whatever else the file defines so.
    pub fn is_priority(self) -> bool {
        self.has_any(Ready::URGENT)
    }

    /// Whether an operation for `Interest::PRIORITY` has something to deal with.
    pub(crate) fn is_exceptional(self) -> bool {
        self.has_any(Ready::EXCEPTIONAL)
    }

    /// Clears that, after such an operation found nothing more. Reads and writes are not affected.
    pub(crate) fn settle_exceptional(&mut self) {
        self.0 &= !Ready::EXCEPTIONAL;
    }

    /// Whether an event with these bits wakes the waiters of a side. Those for urgent data
    /// are among the readers.
    pub(crate) fn wakes(self, direction: Direction) -> bool {
        self.allows(direction) || (direction == Direction::Read && self.is_exceptional())
    }

    /// Returns the bits that concern `interest`. An error concerns every interest.
    pub(crate) fn of_interest(self, interest: Interest) -> Ready {
        let mut bits = Ready::ERROR;
        if Direction::Read.is_in(interest) {
            bits |= Ready::READABLE | Ready::READ_CLOSED | Ready::URGENT;
        }
        if Direction::Write.is_in(interest) {
            bits |= Ready::WRITABLE | Ready::WRITE_CLOSED;
        }
        if !is_priority(interest) {
            return Ready(self.0 & bits);
        }
        // A read clears `URGENT` when it finds nothing more, and only an operation for
        // `Interest::PRIORITY` settles what this wait is for.
        let urgent = if self.has_any(Ready::NEW_URGENT) { Ready::URGENT } else { 0 };
        Ready((self.0 & (bits | Ready::READ_CLOSED) & !Ready::URGENT) | urgent)
    }

    /// Adds what the kernel has reported. Returns the bits that are new.
    #[inline]
    pub(crate) fn learn(&mut self, said: Ready) -> Ready {
        let news = Ready(said.0 & !self.0);
        self.0 |= said.0;
        news
    }

    /// Whether an operation of this side may succeed without waiting.
    #[inline]
    pub(crate) fn allows(self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.is_readable(),
            Direction::Write => self.is_writable(),
        }
    }

    /// Clears the readiness of a side after the kernel returned "would block". The kernel reports
    /// an edge when that changes.
    #[inline]
    pub(crate) fn disprove(&mut self, direction: Direction) {
        self.0 &= match direction {
            Direction::Read => !(Ready::READABLE | Ready::READ_CLOSED | Ready::URGENT),
            Direction::Write => !(Ready::WRITABLE | Ready::WRITE_CLOSED),
        };
    }

    /// Updates the readiness after an operation failed. Returns the error, or `None` if the caller
    /// must check the readiness again: the operation would have blocked, or a signal interrupted
    /// it.
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

    /// Clears the readiness of a side after a short read or write. Such a call has emptied or
    /// filled the kernel's buffer, so the next one would block: epoll(7) says so for
    /// stream-oriented files.
    ///
    /// EOF and errors are reported only once. If the kernel has reported one on this side, it is
    /// still to be read, so the readiness stays. A read also ends short before urgent data. kqueue
    /// does not report urgent data, so this does nothing on systems other than Linux and Android.
    #[inline]
    pub(crate) fn exhaust(&mut self, direction: Direction) {
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            return;
        }
        // What the next operation must still return, although this one was short.
        let unread = match direction {
            Direction::Read => Ready::READ_CLOSED | Ready::URGENT | Ready::ERROR,
            Direction::Write => Ready::WRITE_CLOSED | Ready::ERROR,
        };
        if !self.has_any(unread) {
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
        for (_, name) in names.iter().filter(|(bit, _)| self.has_any(*bit)) {
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

    #[test]
    fn what_is_exceptional_stays_until_it_is_dealt_with_and_hides_nothing_from_reads() {
        let mut ready = Ready(Ready::READABLE | Ready::ERROR | Ready::EXCEPTIONAL);
        ready.disprove(Direction::Read);
        assert!(ready.is_exceptional() && ready.wakes(Direction::Read) && !ready.is_readable());
        let mut ready = Ready(Ready::READABLE | Ready::ERROR | Ready::EXCEPTIONAL);
        ready.settle_exceptional();
        assert!(!ready.is_exceptional());
        ready.exhaust(Direction::Read);
        assert!(ready.is_readable(), "the error is still to be read");
    }
}
