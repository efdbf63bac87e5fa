//! A standard stream that the kernel watches (Linux): a terminal or a pipe through a second
//! description of its own, a socket through the shared one.
//!
//! Called by the parent module only. It never sets O_NONBLOCK on the description that others share.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::task::{Context, Poll};

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::{RecvFlags, SendFlags};

use crate::io::pipe::nosignal;
use crate::reactor::{Direction, FdSource, Ready, Registered, Wait};

/// A stream with a registration of its own.
pub(super) struct WatchedStream {
    registered: Registered<FdSource<File>>,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Opened again: a private description, in non-blocking mode.
    Terminal,
    /// Opened again, as a terminal.
    Pipe,
    /// A duplicate of the shared description. Each call carries MSG_DONTWAIT.
    Socket,
}

/// Watches a stream, or gives the file back for the thread.
pub(super) fn watch(
    name: &'static str,
    direction: Direction,
    file: File,
) -> Result<WatchedStream, File> {
    let (ours, kind) = match kind_of(&file) {
        // A socket cannot be opened again (ENXIO). The duplicate is for the reactor to own.
        Some(Kind::Socket) => match file.try_clone() {
            Ok(duplicate) => (duplicate, Kind::Socket),
            Err(_) => return Err(file),
        },
        Some(kind) => match reopen(&file, direction) {
            Some(ours) => (ours, kind),
            None => return Err(file),
        },
        None => return Err(file),
    };
    match Registered::new(FdSource::new(ours), name, Ready::BOTH) {
        Ok(registered) => Ok(WatchedStream { registered, kind }),
        // Whatever the reason, the thread can still serve it.
        Err(_) => Err(file),
    }
}

/// The device number of /dev/ptmx, which makes a new terminal each time it is opened.
const PTMX: u64 = 5 << 8 | 2;

/// What the stream is, if the kernel can watch it without changes for others.
fn kind_of(file: &File) -> Option<Kind> {
    let metadata = file.metadata().ok()?;
    let file_type = metadata.file_type();
    if file_type.is_socket() {
        Some(Kind::Socket)
    } else if file_type.is_fifo() {
        Some(Kind::Pipe)
    } else if file_type.is_char_device() && metadata.rdev() != PTMX && file.is_terminal() {
        Some(Kind::Terminal)
    } else {
        None
    }
}

/// Opens the same file again: a second description, in non-blocking mode, that nothing else shares.
///
/// `None` if there is no /proc, if the file may not be opened (it may belong to another user), or
/// if it is a FIFO without a reader.
fn reopen(file: &File, direction: Direction) -> Option<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let opposite = match direction {
        Direction::Read => OFlags::WRONLY,
        Direction::Write => OFlags::RDONLY,
    };
    // Opening again must not gain an access that the program was not given.
    if fcntl_getfl(file).ok()? & OFlags::RWMODE == opposite {
        return None;
    }
    let mut options = OpenOptions::new();
    options.read(direction == Direction::Read).write(direction == Direction::Write);
    options.custom_flags(flags.bits().cast_signed());
    let ours = options.open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    // The path may have led to another file, for instance with a foreign /proc in a container.
    let (mine, other) = (ours.metadata().ok()?, file.metadata().ok()?);
    (mine.dev() == other.dev() && mine.ino() == other.ino()).then_some(ours)
}

impl WatchedStream {
    /// A short read of a terminal, or of a pipe with a foreign writer, proves nothing.
    pub(super) fn poll_read(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let op = |io: &FdSource<File>| match self.kind {
            Kind::Socket => Ok(rustix::net::recv(io, &mut *buf, RecvFlags::DONTWAIT)?.1),
            Kind::Terminal | Kind::Pipe => io.get().read(buf),
        };
        self.registered.poll_io(wait, cx, Direction::Read, op, |_| false)
    }

    pub(super) fn poll_write(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let op = |io: &FdSource<File>| match self.kind {
            Kind::Socket => {
                Ok(rustix::net::send(io, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
            }
            Kind::Terminal => io.get().write(buf),
            Kind::Pipe => nosignal::write(io, buf),
        };
        self.registered.poll_io(wait, cx, Direction::Write, op, |_| false)
    }
}
