//! The handles [`Stdin`], [`Stdout`] and [`Stderr`], and the functions that make them. How they wait
//! is in the parent module. Nothing is buffered here.

use std::os::fd::{AsFd, BorrowedFd};
use std::{fmt, io, sync::LazyLock, task::Context};

use super::{STDERR, STDIN, STDOUT, Stream};
use crate::io::byte_stream::{ByteRead, ByteWrite, PollBytes, as_raw_fd, async_read, async_write};
use crate::io::futures::{read_methods, write_methods};
use crate::reactor::Wait;

/// The standard input.
///
/// The loop never blocks on it, whatever it is. Nothing changes for other programs that share it:
/// its mode stays as it is, because a shell would suffer from O_NONBLOCK. A pending read does not
/// keep the process from exiting.
///
/// On Linux the kernel watches a terminal, a pipe or a socket. Anything else (a regular file, a
/// device, what may not be opened again), and everything on other systems, is read by one detached
/// thread, as far as it is asked for.
///
/// Each call opens the stream anew. If there are several handles, each byte goes to the first that
/// reads. Bytes in the buffer of std's [`Stdin`](std::io::Stdin) are not seen here.
///
/// A terminal can be read on after EOF (Ctrl-D). A standard input that was closed when the program
/// started is at EOF, because Rust puts `/dev/null` in its place. If it was closed later, each read
/// is an error.
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
#[must_use]
#[track_caller]
pub fn stdin() -> Stdin {
    Stdin { stream: Stream::open(&STDIN) }
}

/// The standard output.
///
/// As for [`stdin`], the loop never blocks on it, also if it is a terminal that
/// was stopped with Ctrl-S; nothing changes for other programs that share it; and a pending write
/// does not keep the process from exiting.
///
/// Nothing is buffered: a write has completed when its system call has, and a flush is a no-op.
/// `println!` has a buffer of its own, which is flushed at the end of each line, so do not mix the
/// two within a line.
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
#[must_use]
#[track_caller]
pub fn stdout() -> Stdout {
    Stdout { stream: Stream::open(&STDOUT) }
}

/// The standard error: see [`stdout`].
///
/// # Panics
///
/// Outside any event loop.
#[must_use]
#[track_caller]
pub fn stderr() -> Stderr {
    Stderr { stream: Stream::open(&STDERR) }
}

/// Defines a handle to one of the three streams, of which std has a handle too.
macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $of_std:ident) => {
        $(#[$doc])*
        pub struct $name {
            stream: Stream,
        }

        /// The descriptor of the stream itself, which the whole process shares.
        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                // std's handle must outlive the borrow.
                static STD: LazyLock<io::$name> = LazyLock::new(io::$of_std);
                STD.as_fd()
            }
        }

        as_raw_fd!(impl for $name;);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.stream.fmt(f)
            }
        }
    };
}

handle! {
    /// A handle to the standard input: see [`stdin`].
    Stdin, stdin
}
handle! {
    /// A handle to the standard output: see [`stdout`].
    Stdout, stdout
}
handle! {
    /// A handle to the standard error: see [`stderr`].
    Stderr, stderr
}

impl Stdin {
    read_methods! {
        Stdin,
        eof: "EOF",
        cancelled: "nothing is lost. What a thread was asked to read goes to the next read.",
        errors: "Those of read(2), with \"standard input\"; or that no thread could be started.",
        panics: "Polling it outside the loop in which the handle was made.",
    }
}

impl ByteRead for Stdin {
    type State = Wait;

    fn poll_read(&self, wait: &mut Wait, cx: &mut Context<'_>, buf: &mut [u8]) -> PollBytes {
        self.stream.poll_read(wait, cx, buf)
    }
}

async_read!(Stdin);

/// Makes a handle writable.
macro_rules! writable {
    ($name:ident) => {
        impl $name {
            write_methods! {
                ///
                /// If the kernel watches the stream (see [`stdin`]), this is
                /// cancel-safe. If a thread writes, it is not: after the future was dropped, the
                /// bytes may still be written. The next write on this handle waits for that, and
                /// returns its error if there is one.
                ///
                /// For SIGPIPE see [`PipeWriter::write`](crate::io::PipeWriter::write).
                $name,
                cancelled: "Cancel-safe if the kernel watches the stream: if the future is dropped \
                            before it is ready, nothing was written.",
                errors: "Those of write(2), with the name of the stream: `BrokenPipe` if no reader \
                         is left, `StorageFull` if the disk is full; or that no thread could be \
                         started.",
                panics: "Polling it outside the loop in which the handle was made.",
            }
        }

        impl ByteWrite for $name {
            type State = Wait;

            fn poll_write(&self, wait: &mut Wait, cx: &mut Context<'_>, buf: &[u8]) -> PollBytes {
                self.stream.poll_write(wait, cx, buf)
            }

            // A close is a no-op: the stream belongs to the process, not to this handle.
        }

        // Not for a reference: if a thread writes, two writes at once on one handle look the same.
        async_write!($name, for $name);
    };
}

writable!(Stdout);
writable!(Stderr);
