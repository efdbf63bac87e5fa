//! [`stdout`] and [`stderr`], with their handles [`Stdout`] and [`Stderr`], which a macro makes
//! alike. How they wait is in the parent module. Nothing is buffered here.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};
use std::{fmt, sync::LazyLock};

use super::{STDERR, STDOUT, Stream};
use crate::io::byte_stream::{ByteWrite, as_raw_fd, async_write};
use crate::{io::methods::write_methods, reactor::Wait};

/// The standard output.
///
/// As for [`stdin`](crate::io::stdin()), the loop never blocks on it, also if it is a terminal that
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

/// Defines a handle that is written.
macro_rules! output_handle {
    ($(#[$doc:meta])* $name:ident, $of_std:ident) => {
        $(#[$doc])*
        pub struct $name {
            stream: Stream,
        }

        impl $name {
            write_methods! {
                ///
                /// If the kernel watches the stream (see [`stdin`](crate::io::stdin())), this is
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

            fn poll_write(
                &self,
                wait: &mut Wait,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.stream.poll_write(wait, cx, buf)
            }

            /// Writes only the first slice that is not empty.
            fn poll_write_vectored(
                &self,
                wait: &mut Wait,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                self.stream.poll_write(wait, cx, first.map_or(&[][..], |buf| buf))
            }

            /// A no-op: the stream belongs to the process, not to this handle.
            fn close(&self) -> io::Result<()> {
                Ok(())
            }
        }

        // Not for a reference: if a thread writes, two writes at once on one handle look the same.
        async_write!($name, for $name);

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

output_handle! {
    /// A handle to the standard output: see [`stdout`].
    Stdout, stdout
}
output_handle! {
    /// A handle to the standard error: see [`stderr`].
    Stderr, stderr
}
