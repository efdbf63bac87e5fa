//! [`FileState`], the state machine of a `File`: its position, what was read ahead, and the one job
//! that may be in flight. Reading and writing are in `transfer.rs`. An [`Op`] is the side of a job's
//! future, a [`Job`] the side of the thread pool, and [`OpKind`] says what the job does.
//!
//! Polled by the futures of a file and by the traits of futures-io. It never waits for a disk on
//! the loop's own thread.

// The kernel keeps the position, as for std: it knows O_APPEND and the other owners of the
// description. The position of the user is that of the descriptor, less the bytes that were read
// ahead: those that the descriptor has passed and the user has not got yet. Before anything but a
// read, the descriptor is moved back to the user's position.

use std::io::{self, Seek as _, SeekFrom};
use std::task::{Context, Poll, Waker, ready};
use std::{fs::FileType, mem, panic::Location, path::Path, pin::Pin, sync::Arc};

use super::direct;
use super::transfer::MOST;
#[cfg(unix)]
use super::watched::WatchedFile;
use crate::reactor::Wait;
use crate::{about::about, door::Door, io::byte_stream::OpState, offload, offload::Run};

/// The state machine of a file.
pub(super) struct FileState {
    /// Shared with the job in flight, so that the `File` may be dropped meanwhile.
    pub(super) std: Arc<std::fs::File>,
    /// The path that errors name.
    pub(super) path: Option<Arc<Path>>,
    /// The registration, if the kernel watches the file.
    #[cfg(unix)]
    pub(super) watched: Option<WatchedFile>,
    /// Whether the kernel can be asked for what it has in memory. Cleared when it answers that it
    /// cannot tell.
    pub(super) has_nowait: bool,
    /// Whether the position can be moved back. Only then the pool may read ahead.
    pub(super) has_position: bool,
    /// The alignment of the memory of the pool's transfers, in bytes: see `direct.rs`.
    pub(super) alignment: usize,
    /// The most bytes of one job, as the user has set it: see [`most`](Self::most).
    pub(super) max_buf_size: usize,
    /// `ahead[start..end]` was read by a job, and not yet by the user. The vector never shrinks, so
    /// that it need not be zeroed again.
    pub(super) ahead: Vec<u8>,
    pub(super) start: usize,
    pub(super) end: usize,
    /// The least that the next job reads, in bytes. It grows while the file is read from front to
    /// back.
    pub(super) window: usize,
    /// The bytes of the last write, kept for their allocation, and to tell one write from another.
    pub(super) written: Vec<u8>,
    pub(super) job: Option<Job>,
    /// The operations that take `&self` and wait for the job in flight. They are woken when it
    /// ends, except the one that the job wakes itself.
    waiting: Vec<Waker>,
    /// Where the file was opened, for operations without a place of their own.
    pub(super) place: &'static Location<'static>,
}

impl FileState {
    /// The state of a file that the kernel does not watch.
    pub(super) fn new(
        std: &Arc<std::fs::File>,
        file_type: Option<FileType>,
        path: Option<Arc<Path>>,
        place: &'static Location<'static>,
    ) -> Self {
        let is_file = file_type.is_some_and(|file_type| file_type.is_file());
        let is_block = file_type.is_some_and(is_block_device);
        let alignment = if is_file || is_block { direct::alignment(std) } else { 1 };
        // The page cache is bypassed for a direct file, so there is nothing to ask for.
        let is_direct = alignment > 1;
        FileState {
            std: Arc::clone(std),
            #[cfg(unix)]
            watched: None,
            has_nowait: cfg!(target_os = "linux") && is_file && !is_direct,
            has_position: is_file || is_block,
            alignment,
            max_buf_size: MOST,
            path,
            ahead: Vec::new(),
            start: 0,
            end: 0,
            window: 0,
            written: Vec::new(),
            job: None,
            waiting: Vec::new(),
            place,
        }
    }

    /// The most bytes that a job reads or writes. A direct file takes whole multiples of its
    /// alignment only.
    pub(super) fn most(&self) -> usize {
        let size = self.max_buf_size;
        (size - size % self.alignment).max(self.alignment)
    }

    pub(super) fn set_max_buf_size(&mut self, bytes: usize) {
        self.max_buf_size = bytes;
        self.window = self.window.min(bytes);
    }

    /// Whether the file can be taken apart without waiting: no operation is in flight, and none
    /// that was dropped has left an error or a position to be restored.
    pub(super) fn is_idle(&mut self) -> bool {
        // This state and the `File` own it, and so does the registration. Any other owner is a job.
        #[cfg(unix)]
        let owners = 2 + usize::from(self.watched.is_some());
        #[cfg(not(unix))]
        let owners = 2;
        self.job.is_none() && Arc::strong_count(&self.std) == owners && self.drop_ahead().is_ok()
    }

    /// Drops what was read ahead, before anything but a read. The bytes of a device, which has no
    /// position, are kept for its next read.
    pub(super) fn drop_ahead(&mut self) -> io::Result<()> {
        if self.has_position { self.move_back() } else { Ok(()) }
    }

    /// Moves the descriptor back to the user's position.
    fn move_back(&mut self) -> io::Result<()> {
        self.window = 0;
        let unread = self.end - self.start;
        if unread > 0 {
            (&*self.std).seek(SeekFrom::Current(-(unread as i64)))?;
            (self.start, self.end) = (0, 0);
        }
        Ok(())
    }

    /// Moves the position.
    pub(super) fn poll_seek(
        &mut self,
        op: &mut Op,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        loop {
            if self.job.is_some() {
                match ready!(self.poll_job(cx))? {
                    (OpKind::Seek(same), position) if op.has_begun && same == to => {
                        return Poll::Ready(Ok(position));
                    }
                    _ => {}
                }
            }
            ready!(Door::expect("a `File`").poll_budget(cx));
            let moved = self.move_back().and_then(|()| match to {
                // A network file system may have to ask its server where the end is.
                SeekFrom::End(_) => Ok(None),
                _ => (&*self.std).seek(to).map(Some),
            });
            match moved.map_err(|error| self.error(OpKind::Seek(to), error))? {
                Some(position) => return Poll::Ready(Ok(position)),
                None => {
                    let file = Arc::clone(&self.std);
                    self.start_job(OpKind::Seek(to), op, move || JobOutput {
                        bytes: Vec::new(),
                        result: (&*file).seek(to),
                    });
                }
            }
        }
    }

    /// Runs `work` on the pool, after the job in flight. `work` is `Some` until it has begun.
    pub(super) fn poll_change(
        &mut self,
        op: &mut Op,
        cx: &mut Context<'_>,
        verb: &'static str,
        work: &mut Option<Work>,
    ) -> Poll<io::Result<u64>> {
        if !op.has_begun {
            ready!(self.poll_turn(cx))?;
            let work = work.take().expect("it was not begun yet");
            self.drop_ahead().map_err(|error| self.error(OpKind::Change(verb), error))?;
            let file = Arc::clone(&self.std);
            let run = move || JobOutput { bytes: Vec::new(), result: work(&file) };
            self.start_job(OpKind::Change(verb), op, run);
            self.job.as_mut().expect("it was started just now").is_owned = true;
        }
        // No other operation fetches the result as long as the job is owned.
        let (_, n) = ready!(self.poll_job(cx))?;
        Poll::Ready(Ok(n))
    }

    /// The future that has started the job in flight was dropped: the next operation fetches the
    /// result.
    pub(super) fn disown(&mut self) {
        if let Some(job) = &mut self.job {
            job.is_owned = false;
        }
    }

    /// As [`poll_idle`](Self::poll_idle), for operations that take `&self`, of which several may
    /// wait.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(job) = &self.job else { return Poll::Ready(Ok(())) };
        // Nothing else fetches the result of a job that was left behind.
        if !job.is_owned
            && let Poll::Ready(result) = self.poll_job(cx)
        {
            return Poll::Ready(result.map(drop));
        }
        // A job keeps one waker only, the last; and a job that is owned wakes its owner only.
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The operations that wait for their turn, to be woken outside the lock whenever an operation
    /// that takes `&self` ends or is dropped. One of them becomes the next that the job wakes.
    pub(super) fn take_waiting(&mut self) -> Vec<Waker> {
        mem::take(&mut self.waiting)
    }

    /// Duplicates the descriptor, after the job in flight.
    pub(super) fn poll_clone(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(std::fs::File, FileType)>> {
        ready!(self.poll_turn(cx))?;
        // The two share the position, so the descriptor must be at that of the user.
        let cloned = self.drop_ahead().and_then(|()| {
            let clone = self.std.try_clone()?;
            let file_type = clone.metadata()?.file_type();
            Ok((clone, file_type))
        });
        Poll::Ready(cloned.map_err(|error| self.error(OpKind::Change("clone"), error)))
    }

    /// Waits until no job is in flight. If it belonged to a dropped operation and failed, this
    /// returns its error.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.job.is_some() {
            ready!(self.poll_job(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Returns the file of std, at the user's position.
    pub(super) fn into_std(mut self) -> io::Result<std::fs::File> {
        self.drop_ahead().map_err(|error| self.error(OpKind::Seek(SeekFrom::Current(0)), error))?;
        // The registration owns the file too.
        #[cfg(unix)]
        drop(self.watched);
        Arc::try_unwrap(self.std).or_else(|shared| shared.try_clone())
    }

    /// Starts a job. There must be none.
    pub(super) fn start_job(
        &mut self,
        kind: OpKind,
        op: &mut Op,
        work: impl FnOnce() -> JobOutput + Send + 'static,
    ) {
        op.has_begun = true;
        let run = offload::run(work, op.place.unwrap_or(self.place));
        self.job = Some(Job { kind, run, is_owned: false });
    }

    /// Fetches the result of the job in flight. There must be one.
    pub(super) fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(OpKind, u64)>> {
        let job = self.job.as_mut().expect("the caller has seen it");
        let output = ready!(Pin::new(&mut job.run).poll(cx));
        let kind = job.kind;
        self.job = None;
        let result = output.and_then(|JobOutput { bytes, result }| {
            // The memory is kept, for the next transfer of the same kind.
            match kind {
                OpKind::Read => {
                    let n = result.as_ref().map_or(0, |n| *n as usize);
                    let lead = direct::lead(&bytes, self.alignment);
                    (self.ahead, self.start, self.end) = (bytes, lead, lead + n);
                }
                OpKind::Write => self.written = bytes,
                OpKind::Seek(_) | OpKind::Change(_) => {}
            }
            result
        });
        Poll::Ready(match result {
            Ok(n) => Ok((kind, n)),
            Err(error) => Err(self.error(kind, error)),
        })
    }

    /// The error of a `read_exact` that met EOF.
    pub(super) fn unexpected_eof(&self, filled: usize, wanted: usize) -> io::Error {
        let what = format!("the file ended after {filled} of {wanted} bytes");
        self.error(OpKind::Read, io::Error::new(io::ErrorKind::UnexpectedEof, what))
    }

    /// The error of a `write_all` when nothing more fits.
    pub(super) fn write_zero(&self) -> io::Error {
        self.error(OpKind::Write, io::ErrorKind::WriteZero.into())
    }

    /// Names the operation and the path in an error.
    pub(super) fn error(&self, kind: OpKind, error: io::Error) -> io::Error {
        let error = match kind {
            OpKind::Read | OpKind::Write | OpKind::Change("write") => {
                direct::explain(error, self.alignment)
            }
            OpKind::Seek(_) | OpKind::Change(_) => error,
        };
        FileState::about(kind.verb(), self.path.as_deref(), error)
    }

    /// Names the path in an error, if it is known.
    pub(super) fn about(doing: &'static str, path: Option<&Path>, error: io::Error) -> io::Error {
        match path {
            Some(path) => about(doing, format_args!("{path:?}"), error),
            // The caller has opened it, and knows what it is.
            None => error,
        }
    }
}

#[cfg(unix)]
fn is_block_device(file_type: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&file_type)
}

#[cfg(not(unix))]
fn is_block_device(_: FileType) -> bool {
    false
}

/// One operation of a file, from its first poll to its last.
pub(crate) struct Op {
    /// Its place among the waiters, if the kernel watches the file.
    pub(super) wait: Wait,
    /// Where it was called, for the job.
    pub(super) place: Option<&'static Location<'static>>,
    /// Whether it has started a job. Until then, a job in flight was left behind by a dropped
    /// operation.
    pub(super) has_begun: bool,
}

impl OpState for Op {
    fn at(place: &'static Location<'static>) -> Self {
        Op { wait: Wait::at(place), place: Some(place), has_begun: false }
    }

    /// A `poll_` method cannot tell whether it is called again, so any job may be its own.
    fn unticketed() -> Self {
        Op { wait: Wait::unticketed(), place: None, has_begun: true }
    }
}

/// What an operation that takes `&self` does with the file, on a thread of the pool.
pub(super) type Work = Box<dyn FnOnce(&std::fs::File) -> io::Result<u64> + Send>;

/// The job in flight.
pub(super) struct Job {
    pub(super) kind: OpKind,
    pub(super) run: Run<JobOutput>,
    /// Whether the future that started it still exists, takes `&self`, and will fetch the result.
    /// The result of any other job is fetched by the next operation.
    pub(super) is_owned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum OpKind {
    Read,
    Write,
    Seek(SeekFrom),
    /// An operation that takes `&self`, by its name in errors. "write" is `File::write_at`.
    Change(&'static str),
}

impl OpKind {
    /// What errors call it.
    pub(super) fn verb(self) -> &'static str {
        match self {
            OpKind::Read => "read",
            OpKind::Write => "write",
            OpKind::Seek(_) => "seek in",
            OpKind::Change(verb) => verb,
        }
    }
}

/// The result of a job.
pub(super) struct JobOutput {
    /// The memory that it was given.
    pub(super) bytes: Vec<u8>,
    /// How many bytes were moved, or the new position.
    pub(super) result: io::Result<u64>,
}

/// Makes a system call again if a signal handler has interrupted it.
pub(super) fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
