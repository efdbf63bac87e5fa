//! The standard streams, beneath their public handles in `stdio/handles.rs`.
//!
//! Each call of [`stdin`](handles::stdin), `stdout` or `stderr` finds out what the stream is, and how
//! it can be waited for without changing anything for the other processes that share it:
//! `docs/stdio.md` tells why, and how. It never sets O_NONBLOCK on a shared description.

pub(super) mod handles;
mod thread;
#[cfg(target_os = "linux")]
mod watched;

use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::{fmt, fs::File, io, os::unix::fs::FileTypeExt};

use self::thread::{SharedFile, StreamThread, ThreadedHandle};
#[cfg(target_os = "linux")]
use self::watched::WatchedStream;
use crate::reactor::{Direction, Wait};
use crate::{about::about, door::Door, io::byte_stream::PollBytes};

/// One of the three streams, for the whole process.
struct Standard {
    name: &'static str,
    /// Makes a second descriptor of it.
    duplicate: fn() -> io::Result<OwnedFd>,
    /// Serves the handles that the kernel cannot watch.
    thread: StreamThread,
}

static STDIN: Standard = Standard {
    name: "standard input",
    duplicate: || io::stdin().as_fd().try_clone_to_owned(),
    thread: StreamThread::new("standard input", Direction::Read),
};

static STDOUT: Standard = Standard {
    name: "standard output",
    duplicate: || io::stdout().as_fd().try_clone_to_owned(),
    thread: StreamThread::new("standard output", Direction::Write),
};

static STDERR: Standard = Standard {
    name: "standard error",
    duplicate: || io::stderr().as_fd().try_clone_to_owned(),
    thread: StreamThread::new("standard error", Direction::Write),
};

/// A handle to one of the three.
struct Stream {
    standard: &'static Standard,
    backend: Backend,
}

/// How a stream is read or written.
enum Backend {
    #[cfg(target_os = "linux")]
    Watched(WatchedStream),
    Threaded(ThreadedHandle),
    /// The stream is not open. Each operation fails with this error.
    Closed(io::Error),
}

impl Stream {
    #[track_caller]
    fn open(standard: &'static Standard) -> Self {
        drop(Door::expect(standard.name));
        // Opening cannot fail: a stream that is closed is reported by its operations, as std does.
        let backend = Stream::find_backend(standard).unwrap_or_else(Backend::Closed);
        Stream { standard, backend }
    }

    #[track_caller]
    fn find_backend(standard: &'static Standard) -> io::Result<Backend> {
        let file = File::from((standard.duplicate)()?);
        let is_pipe = file.metadata()?.file_type().is_fifo();
        #[cfg(target_os = "linux")]
        let file = match watched::watch(standard.name, standard.thread.direction, file) {
            Ok(watched) => return Ok(Backend::Watched(watched)),
            Err(file) => file,
        };
        let file = SharedFile { file, is_pipe };
        ThreadedHandle::new(&standard.thread, file).map(Backend::Threaded)
    }

    fn poll_read(&self, wait: &mut Wait, cx: &mut Context<'_>, buf: &mut [u8]) -> PollBytes {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let read = match &self.backend {
            #[cfg(target_os = "linux")]
            Backend::Watched(watched) => watched.poll_read(wait, cx, buf),
            Backend::Threaded(handle) => handle.poll_read(wait, cx, buf),
            Backend::Closed(error) => poll_closed(error, cx),
        };
        read.map_err(|error| about("read", self.standard.name, error))
    }

    fn poll_write(&self, wait: &mut Wait, cx: &mut Context<'_>, buf: &[u8]) -> PollBytes {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let written = match &self.backend {
            #[cfg(target_os = "linux")]
            Backend::Watched(watched) => watched.poll_write(wait, cx, buf),
            Backend::Threaded(handle) => handle.poll_write(wait, cx, buf),
            Backend::Closed(error) => poll_closed(error, cx),
        };
        written.map_err(|error| about("write to", self.standard.name, error))
    }
}

/// Fails an operation of a stream that is not open. It spends a unit of the budget, so that a task
/// that ignores the error and tries again in a loop still yields.
fn poll_closed(error: &io::Error, cx: &Context<'_>) -> Poll<io::Result<usize>> {
    ready!(Door::expect("a standard stream").poll_budget(cx));
    // `io::Error` cannot be cloned, so it is rebuilt from its number.
    Poll::Ready(Err(match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }))
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backend = match &self.backend {
            #[cfg(target_os = "linux")]
            Backend::Watched(_) => "watched",
            Backend::Threaded(_) => "by a thread",
            Backend::Closed(_) => "closed",
        };
        write!(f, "{} ({backend})", self.standard.name)
    }
}
