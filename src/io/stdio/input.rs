//! [`stdin`] and its handle [`Stdin`]. How it waits is in the parent module.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};
use std::{fmt, sync::LazyLock};

use super::{STDIN, Stream};
use crate::io::byte_stream::{ByteRead, as_raw_fd, async_read};
use crate::{io::methods::read_methods, reactor::Wait};

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

/// A handle to the standard input: see [`stdin`].
pub struct Stdin {
    stream: Stream,
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

    fn poll_read(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_read(wait, cx, buf)
    }

    /// Reads into the first slice that is not empty.
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

/// The descriptor of the standard input itself, which the whole process shares.
impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // std's handle must outlive the borrow.
        static STD: LazyLock<io::Stdin> = LazyLock::new(io::stdin);
        STD.as_fd()
    }
}

as_raw_fd!(impl for Stdin;);

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}
