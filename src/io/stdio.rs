//! The standard streams: [`stdin`], [`stdout`], [`stderr`]. Each call finds out what the stream is, and how it can be
//! waited for without changing anything for the others who have it too: `docs/stdio.md` tells why, and how.

mod thread;

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use self::thread::{Desk, Original, Seat};
use super::{ByteRead, ByteWrite, Read, ReadExact, Write, WriteAll, async_read, async_write};
use crate::about::about;
use crate::door::Door;
use crate::reactor::{Direction, Wait};

/// One of the three, for the whole process.
struct Standard {
    name: &'static str,
    direction: Direction,
    /// A second descriptor of it.
    duplicate: fn() -> io::Result<OwnedFd>,
    desk: Desk,
}

static STDIN: Standard = Standard {
    name: "standard input",
    direction: Direction::Read,
    duplicate: || io::stdin().as_fd().try_clone_to_owned(),
    desk: Desk::new("standard input", Direction::Read),
};

static STDOUT: Standard = Standard {
    name: "standard output",
    direction: Direction::Write,
    duplicate: || io::stdout().as_fd().try_clone_to_owned(),
    desk: Desk::new("standard output", Direction::Write),
};

static STDERR: Standard = Standard {
    name: "standard error",
    direction: Direction::Write,
    duplicate: || io::stderr().as_fd().try_clone_to_owned(),
    desk: Desk::new("standard error", Direction::Write),
};

/// A handle to one of the three.
struct Stream {
    standard: &'static Standard,
    way: Way,
}

/// How a stream is read or written.
enum Way {
    #[cfg(target_os = "linux")]
    Watched(linux::Watched),
    Threaded(Seat),
    /// It is not open. Each operation says so.
    Closed(io::Error),
}

impl Stream {
    #[track_caller]
    fn open(standard: &'static Standard) -> Self {
        drop(Door::expect(standard.name));
        let way = Stream::find_way(standard).unwrap_or_else(Way::Closed);
        Stream { standard, way }
    }

    #[track_caller]
    fn find_way(standard: &'static Standard) -> io::Result<Way> {
        let file = File::from((standard.duplicate)()?);
        let kind = file.metadata()?.file_type();
        #[cfg(target_os = "linux")]
        let file = match linux::watch(standard, file) {
            Ok(watched) => return Ok(Way::Watched(watched)),
            Err(file) => file,
        };
        let original = Original { file, is_pipe: kind.is_fifo() };
        Seat::take(&standard.desk, original).map(Way::Threaded)
    }

    fn poll_read(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let read = match &self.way {
            #[cfg(target_os = "linux")]
            Way::Watched(watched) => watched.poll_read(wait, cx, buf),
            Way::Threaded(seat) => seat.poll_read(wait, cx, buf),
            Way::Closed(error) => poll_closed(error, cx),
        };
        read.map_err(|error| about("read", self.standard.name, error))
    }

    fn poll_write(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let written = match &self.way {
            #[cfg(target_os = "linux")]
            Way::Watched(watched) => watched.poll_write(wait, cx, buf),
            Way::Threaded(seat) => seat.poll_write(wait, cx, buf),
            Way::Closed(error) => poll_closed(error, cx),
        };
        written.map_err(|error| about("write to", self.standard.name, error))
    }
}

fn poll_closed(error: &io::Error, cx: &Context<'_>) -> Poll<io::Result<usize>> {
    ready!(Door::expect("a standard stream").poll_budget(cx));
    Poll::Ready(Err(match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }))
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use crate::io::pipe;
    use crate::reactor::{FdSource, Ready, Registered};
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::net::{RecvFlags, SendFlags};
    use std::fs::OpenOptions;
    use std::io::{IsTerminal, Read as _, Write as _};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    /// A stream that the kernel tells us about.
    pub(super) struct Watched {
        registered: Registered<FdSource<File>>,
        kind: Kind,
    }

    #[derive(Clone, Copy)]
    enum Kind {
        /// Through a description of our own, in non-blocking mode.
        Terminal,
        Pipe,
        /// Through the description that others share, each call saying that it must not block.
        Socket,
    }

    /// `Err`: it is for the thread.
    pub(super) fn watch(standard: &'static Standard, file: File) -> Result<Watched, File> {
        let (ours, kind) = match sort(&file) {
            Some(Kind::Socket) => match file.try_clone() {
                Ok(duplicate) => (duplicate, Kind::Socket),
                Err(_) => return Err(file),
            },
            Some(kind) => match reopen(&file, standard.direction) {
                Some(ours) => (ours, kind),
                None => return Err(file),
            },
            None => return Err(file),
        };
        match Registered::new(FdSource::new(ours), standard.name, Ready::BOTH) {
            Ok(registered) => Ok(Watched { registered, kind }),
            Err(_) => Err(file),
        }
    }

    /// /dev/ptmx, whose every opening makes a new terminal.
    const PTMX: u64 = 5 << 8 | 2;

    fn sort(file: &File) -> Option<Kind> {
        let metadata = file.metadata().ok()?;
        let kind = metadata.file_type();
        if kind.is_socket() {
            Some(Kind::Socket)
        } else if kind.is_fifo() {
            Some(Kind::Pipe)
        } else if kind.is_char_device() && metadata.rdev() != PTMX && file.is_terminal() {
            Some(Kind::Terminal)
        } else {
            None
        }
    }

    /// A second description of the same file, in non-blocking mode, which is ours alone. `None` if there is no
    /// /proc, if we may not open the file (it may belong to another user), or if it is a FIFO without any reader.
    fn reopen(file: &File, direction: Direction) -> Option<File> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let not = match direction {
            Direction::Read => OFlags::WRONLY,
            Direction::Write => OFlags::RDONLY,
        };
        // Whoever was not given that right does not take it.
        if fcntl_getfl(file).ok()? & OFlags::RWMODE == not {
            return None;
        }
        let mut options = OpenOptions::new();
        options.read(direction == Direction::Read).write(direction == Direction::Write);
        options.custom_flags(flags.bits() as i32);
        let ours = options.open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        let (mine, other) = (ours.metadata().ok()?, file.metadata().ok()?);
        (mine.dev() == other.dev() && mine.ino() == other.ino()).then_some(ours)
    }

    impl Watched {
        /// Of a terminal or of a pipe that somebody else writes, a short read proves nothing.
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
                Kind::Pipe => pipe::write(io, buf),
            };
            self.registered.poll_io(wait, cx, Direction::Write, op, |_| false)
        }
    }
}

/// The standard input.
///
/// The loop never blocks on it, whatever it is; nothing is changed for other programs that have it too (not its
/// non-blocking mode: a shell would suffer from that); and a read that is waiting does not keep the process
/// from exiting. On Linux a terminal, a pipe and a socket are watched by the kernel; for anything else (a regular file, a device, or what
/// may not be opened again) and on other systems, one detached thread reads what is asked for.
///
/// Each call opens the stream anew. Of several handles, each byte goes to one, whichever reads first. Bytes that std's
/// [`Stdin`](std::io::Stdin) has in its buffer are not seen here.
///
/// A terminal can be read on after its end (Ctrl-D). A standard input that was closed when the program began is
/// at its end: Rust puts `/dev/null` in its place. One that was closed later is an error of each read.
///
/// ```no_run
/// headwaiter::block_on(async {
///     let mut line = [0; 1024];
///     let n = headwaiter::io::stdin().read(&mut line).await?;
///     println!("{} bytes", n);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
///
/// Outside any event loop.
#[track_caller]
pub fn stdin() -> Stdin {
    Stdin { stream: Stream::open(&STDIN) }
}

/// A handle to the standard input: see [`stdin`].
pub struct Stdin {
    stream: Stream,
}

impl Stdin {
    /// Reads some bytes, at least one; 0 is the end (or `buf` is empty).
    ///
    /// Cancel-safe: if it is dropped before it was ready, nothing is lost. What a thread was asked to read is given to
    /// the next read.
    ///
    /// # Errors
    ///
    /// What read(2) says, with "standard input"; or that no thread could be started.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop in which the handle was made.
    #[track_caller]
    pub fn read<'a>(&'a mut self, buf: &'a mut [u8]) -> Read<'a, Stdin> {
        Read::new(self, buf)
    }

    /// Reads until `buf` is full.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, what it had read is in `buf`, but nobody knows
    /// how much.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the stream ends before; else as [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn read_exact<'a>(&'a mut self, buf: &'a mut [u8]) -> ReadExact<'a, Stdin> {
        ReadExact::new(self, buf)
    }
}

/// The descriptor of the standard input itself, which the whole process shares.
impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        static STD: LazyLock<io::Stdin> = LazyLock::new(io::stdin);
        STD.as_fd()
    }
}

impl ByteRead for Stdin {
    fn poll_read(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_read(wait, cx, buf)
    }

    /// Into the first that has room.
    fn poll_read_vectored(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter_mut().find(|buf| !buf.is_empty());
        self.stream.poll_read(wait, cx, first.map_or(&mut [][..], |buf| buf))
    }
}

async_read!(Stdin);

/// The standard output.
///
/// As for [`stdin`]: the loop never blocks on it, also if it is a terminal that was stopped with Ctrl-S; nothing is changed for others
/// who have it too; and a write that is waiting does not keep the process from exiting.
///
/// Nothing is buffered: a write is done when its system call is, and a flush has nothing to do. `println!` has a
/// buffer of its own, which goes out with each line; so do not mix the two within a line.
///
/// ```
/// headwaiter::block_on(async {
///     headwaiter::io::stdout().write_all(b"soup\n").await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
///
/// Outside any event loop.
#[track_caller]
pub fn stdout() -> Stdout {
    Stdout { stream: Stream::open(&STDOUT) }
}

/// The standard error: see [`stdout`].
///
/// # Panics
///
/// Outside any event loop.
#[track_caller]
pub fn stderr() -> Stderr {
    Stderr { stream: Stream::open(&STDERR) }
}

/// What is alike in the two that are written.
macro_rules! written {
    ($(#[$doc:meta])* $name:ident, $of_std:ident) => {
        $(#[$doc])*
        pub struct $name {
            stream: Stream,
        }

        impl $name {
            /// Writes some of `buf`, at least one byte (unless it is empty), and returns how many.
            ///
            /// Cancel-safe where the kernel watches the stream (see [`stdin`]): if it is dropped before it was ready, nothing was
            /// written. Not so where a thread writes: what it was asked to write may be written still. The
            /// next write on this handle waits for that, and gets the error if there is one.
            ///
            /// # Errors
            ///
            /// What write(2) says, with the stream's name: `BrokenPipe` if no reader is left (for SIGPIPE see
            /// [`PipeWriter::write`](crate::io::PipeWriter::write)), `StorageFull` if the disk is full; or that no
            /// thread could be started.
            ///
            /// # Panics
            ///
            /// Polling it outside the loop in which the handle was made.
            #[track_caller]
            pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> Write<'a, $name> {
                Write::new(self, buf)
            }

            /// Writes all of `buf`.
            ///
            /// Not cancel-safe: if it is dropped before it was ready, some of it was written, and nobody knows
            /// how much.
            ///
            /// # Errors
            ///
            /// As [`write`](Self::write).
            ///
            /// # Panics
            ///
            /// As [`write`](Self::write).
            #[track_caller]
            pub fn write_all<'a>(&'a mut self, buf: &'a [u8]) -> WriteAll<'a, $name> {
                WriteAll::new(self, buf)
            }
        }

        /// The descriptor of the stream itself, which the whole process shares.
        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                static STD: LazyLock<io::$name> = LazyLock::new(io::$of_std);
                STD.as_fd()
            }
        }

        impl ByteWrite for $name {
            fn poll_write(
                &self,
                wait: &mut Wait,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.stream.poll_write(wait, cx, buf)
            }

            /// Only the first that has any bytes.
            fn poll_write_vectored(
                &self,
                wait: &mut Wait,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                self.stream.poll_write(wait, cx, first.map_or(&[][..], |buf| buf))
            }

            /// The stream is not ours to end.
            fn close(&self) -> io::Result<()> {
                Ok(())
            }
        }

        // Not for a reference: with a thread, two writes at once on one handle could not be told apart.
        async_write!($name, for $name);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.stream.fmt(f)
            }
        }
    };
}

written! {
    /// A handle to the standard output: see [`stdout`].
    Stdout, stdout
}
written! {
    /// A handle to the standard error: see [`stderr`].
    Stderr, stderr
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.way {
            #[cfg(target_os = "linux")]
            Way::Watched(_) => "watched",
            Way::Threaded(_) => "by a thread",
            Way::Closed(_) => "closed",
        };
        write!(f, "{} ({way})", self.standard.name)
    }
}
