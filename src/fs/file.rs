//! [`File`]: an open file, with the one operation that may be under way with it. Its futures are in `call.rs`; they poll
//! the `poll_` methods here, as the traits of futures-io do. Nothing here waits for a disk on the loop's own thread.

// The position of the file descriptor is the truth, less what was read ahead. So the kernel keeps it, as for std: it
// knows of O_APPEND and of whoever shares the description. What is read ahead is bytes that the descriptor has
// passed and the user has not got yet; before anything but a read, the descriptor is moved back to where the user is.

use std::fmt;
use std::fs::{FileType, Metadata, Permissions};
use std::io::{self, IoSlice, IoSliceMut, Read as _, Seek as _, SeekFrom, Write as _};
use std::mem;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use super::call::{Call, Work};
use super::direct;
#[cfg(unix)]
use super::stream::Watched;
use super::{
    Change, IntoStd, Open, OpenOptions, Operation, Read, ReadExact, Seek, TryClone, Write, WriteAll,
};
#[cfg(unix)]
use super::{ReadAt, WriteAt};
use crate::about::about;
use crate::door::Door;
#[cfg(unix)]
use crate::io::as_raw_fd;
use crate::io::in_one_call;
use crate::offload::{self, Run};

/// The most that one call reads on the loop's own thread: as long as it copies, nobody else is served.
const AT_ONCE: usize = 128 * 1024;

/// The most that a job reads ahead of what was asked for.
const READ_AHEAD: usize = 256 * 1024;

/// The most that a job reads or writes.
const MOST: usize = 1024 * 1024;

/// An open file.
///
/// What the kernel can watch is watched: a FIFO, a terminal, a character device. Reading a regular file gives at once what
/// the kernel has in memory, on the loop's own thread; what it does not have is read by the pool, and so is every
/// file on a file system that does not tell (on Linux ext4, XFS and Btrfs do; tmpfs and `/proc` do not, nor does any other
/// system). A write is made by the pool, and has been done when its future is ready: there is no
/// hidden write-behind, and a flush has nothing to do.
///
/// # Reading ahead
///
/// Where the pool must read a regular file, it reads more than was asked for once the file is read from front
/// to back, up to 256 KiB. What somebody else changes in those bytes meanwhile is not seen. Seeking or writing drops
/// them. Reads that are served from the kernel's memory have nothing between them and the file.
///
/// # Cancelling
///
/// A dropped `read` has read nothing, as far as the next operation can tell. A dropped `write`, `write_at`, `seek` or `set_len` may be
/// done or not; the next operation waits for it, so the order stays. If it failed, the next operation says so
/// in its place, and does nothing itself. The traits of futures-io cannot tell a new operation from an old one that is polled
/// again: with them, the same bytes at the same time are the same write.
///
/// # Sharing
///
/// What has no position of its own takes `&self`: `read_at`, `write_at`, `set_len`, `sync_all` and their kin. So several tasks may
/// share a file in an `Rc` or `Arc`. They are done one after the other, but for `read_at` and `metadata`.
///
/// # Dropping
///
/// On any thread, at any time. What is under way is done to its end, if it has begun, and the file is closed after
/// it; its error is lost, as is that of std's `close`. A file that was written over a network may wait in that `close`
/// for its server, wherever it is dropped: [`sync_all`](Self::sync_all) waits for it in the pool.
///
/// ```
/// use std::io::SeekFrom;
///
/// let path = std::env::temp_dir().join(format!("headwaiter-file-{}", std::process::id()));
/// headwaiter::block_on(async {
///     let mut file = headwaiter::fs::File::options().read(true).write(true).create(true).open(&path).await?;
///     file.write_all(b"soup and bread").await?;
///     file.seek(SeekFrom::Start(9)).await?;
///     let mut order = [0; 5];
///     file.read_exact(&mut order).await?;
///     assert_eq!(&order, b"bread");
///     headwaiter::fs::remove_file(&path).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    /// For what needs no lock.
    std: Arc<std::fs::File>,
    /// Locked, for as long as a poll takes, only by what takes `&self`: that may be shared by several tasks.
    inner: Mutex<Inner>,
}

/// The one state machine of a file.
pub(super) struct Inner {
    /// Shared with the job under way, so that this may be dropped meanwhile.
    std: Arc<std::fs::File>,
    /// For errors.
    path: Option<Arc<Path>>,
    /// What the kernel watches, if it does.
    #[cfg(unix)]
    watched: Option<Watched>,
    /// Whether it may be asked for what it has in memory: until it says that it does not tell.
    has_nowait: bool,
    /// Whether the position can be moved back. Only there the pool may read ahead.
    has_position: bool,
    /// Of the memory of the pool's transfers: see [`direct`].
    alignment: usize,
    /// What a job has read, from `start` to `end`, and the user has not got yet. Its length never shrinks, so that it need
    /// not be zeroed again.
    ahead: Vec<u8>,
    start: usize,
    end: usize,
    /// How much the next job reads at least.
    window: usize,
    /// The bytes of the last write, kept for their allocation, and to tell one write from another.
    written: Vec<u8>,
    job: Option<Job>,
    /// The operations that take `&self` and wait for the job under way. They are woken when it is over, except the one that the job
    /// wakes itself.
    waiting: Vec<Waker>,
    /// Where it was opened, for operations that have no better place.
    place: &'static Location<'static>,
}

/// What is under way, on a thread of the pool.
struct Job {
    doing: Doing,
    run: Run<Done>,
    /// A future that takes `&self` has started it and will fetch what it comes to. What was left behind by one that was
    /// dropped is fetched by the next operation.
    is_owned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Doing {
    Read,
    Write,
    Seek(SeekFrom),
    /// An operation that takes `&self`, by its name in errors. "write" is [`File::write_at`].
    Change(&'static str),
}

/// What a job comes to.
struct Done {
    /// The memory that it was given.
    bytes: Vec<u8>,
    /// How many bytes were moved, or the new position.
    result: io::Result<u64>,
}

impl Doing {
    fn verb(self) -> &'static str {
        match self {
            Doing::Read => "read",
            Doing::Write => "write",
            Doing::Seek(_) => "seek in",
            Doing::Change(verb) => verb,
        }
    }
}

impl File {
    /// Opens a file for reading.
    ///
    /// A folder can be opened, as in std, but not read: that is the error `IsADirectory`. A FIFO is opened at once, on Linux;
    /// its first `read` waits until somebody writes to it.
    ///
    /// Cancel-safe: what was opened is closed.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::open`], with the path.
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop. So do all operations below; and those on a FIFO, a terminal or a device outside the
    /// loop in which it was opened.
    #[track_caller]
    pub fn open<P: AsRef<Path>>(path: P) -> Open<P> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing: creates it, or cuts it to nothing.
    ///
    /// Not cancel-safe: dropped before it was ready, it may have been done or not.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create`], with the path.
    #[track_caller]
    pub fn create<P: AsRef<Path>>(path: P) -> Open<P> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Creates a file that was not there, for reading and writing.
    ///
    /// Not cancel-safe: dropped before it was ready, it may have been done or not.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create_new`], with the path: `AlreadyExists`.
    #[track_caller]
    pub fn create_new<P: AsRef<Path>>(path: P) -> Open<P> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Opens a file in whichever way: see [`OpenOptions`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over a file of std, at its position.
    ///
    /// A FIFO, a terminal or a device that the kernel can watch is set to non-blocking mode, which all see who share
    /// its description. Errors of a file without a path are the plain ones of the kernel.
    ///
    /// # Errors
    ///
    /// If the kernel cannot say what it is, set the mode, or watch it.
    ///
    /// # Panics
    ///
    /// Outside any event loop, for what is to be watched.
    #[track_caller]
    pub fn from_std(file: std::fs::File) -> io::Result<Self> {
        let file_type = file.metadata()?.file_type();
        File::new(file, file_type, None, Location::caller())
    }

    #[track_caller]
    pub(super) fn new(
        file: std::fs::File,
        file_type: FileType,
        path: Option<Arc<Path>>,
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        let std = Arc::new(file);
        let mut inner = Inner::new(&std, Some(file_type), path, place);
        #[cfg(unix)]
        {
            inner.watched = Watched::new(&std, file_type)?;
        }
        Ok(File { std, inner: Mutex::new(inner) })
    }

    /// For what has the file to itself: no lock is taken.
    pub(super) fn own(&mut self) -> &mut Inner {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// For as long as a poll takes.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn give_back(self) -> io::Result<std::fs::File> {
        drop(self.std); // Or there would be two owners.
        self.inner.into_inner().unwrap_or_else(PoisonError::into_inner).give_back()
    }

    /// Gives the file back to std, at its position; what the kernel watched stays in non-blocking mode.
    ///
    /// Not cancel-safe: dropped before it was ready, the file is closed.
    ///
    /// # Errors
    ///
    /// If an operation that was dropped has failed since; if the process has no free file descriptor, and needs one because a
    /// dropped [`metadata`](Self::metadata) still has this. The file is closed then.
    pub fn into_std(self) -> IntoStd {
        IntoStd::new(self)
    }

    /// Reads some bytes, at least one; 0 is the end of the file (or `buf` is empty).
    ///
    /// Cancel-safe: if it is dropped before it was ready, the next read gets what it would have got.
    ///
    /// # Errors
    ///
    /// What read(2) says, with the path: `IsADirectory` for a folder.
    #[track_caller]
    pub fn read<'a>(&'a mut self, buf: &'a mut [u8]) -> Read<'a> {
        Read::new(self, buf)
    }

    /// Reads until `buf` is full.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, what it had read is in `buf`, but nobody knows
    /// how much.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends before; else as [`read`](Self::read).
    #[track_caller]
    pub fn read_exact<'a>(&'a mut self, buf: &'a mut [u8]) -> ReadExact<'a> {
        ReadExact::new(self, buf)
    }

    /// Writes some of `buf`, at least one byte (unless it is empty), and returns how many. The system call has been made
    /// then. At most 1 MiB is written at a time.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, it may be written or not: see [Cancelling](#cancelling).
    ///
    /// # Errors
    ///
    /// What write(2) says, with the path: `StorageFull`, for instance.
    #[track_caller]
    pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> Write<'a> {
        Write::new(self, buf)
    }

    /// Writes all of `buf`.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, some of it was written, and nobody knows how much.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write). Of a full disk it is told as soon as nothing more fits.
    #[track_caller]
    pub fn write_all<'a>(&'a mut self, buf: &'a [u8]) -> WriteAll<'a> {
        WriteAll::new(self, buf)
    }

    /// Goes to another position, counted in bytes, and returns it.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, it may be done or not.
    ///
    /// # Errors
    ///
    /// What lseek(2) says, with the path: `InvalidInput` before the start, `NotSeekable` for a FIFO or a terminal.
    #[track_caller]
    pub fn seek(&mut self, to: SeekFrom) -> Seek<'_> {
        Seek::new(self, to)
    }

    /// What the file system knows of it. If an operation was dropped and is still under way, it tells of before or
    /// after.
    ///
    /// Cancel-safe: nothing is changed by it.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::metadata`], with the path.
    #[track_caller]
    pub fn metadata(&self) -> Operation<Metadata> {
        let (file, path) = (Arc::clone(&self.std), self.lock().path.clone());
        let work = move || file.metadata().map_err(|error| Inner::about("look at", &path, error));
        Operation::run(work, Location::caller())
    }

    /// Cuts or extends the file to `size` bytes; the position stays.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, it may be done or not.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_len`], with the path.
    #[track_caller]
    pub fn set_len(&self, size: u64) -> Change<'_> {
        Change::new(self, "set the length of", move |file| file.set_len(size).map(|()| 0))
    }

    /// Waits until all that was written is on the disk, with what the file system knows of it.
    ///
    /// Cancel-safe: it changes nothing that can be seen.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::sync_all`], with the path.
    #[track_caller]
    pub fn sync_all(&self) -> Change<'_> {
        Change::new(self, "sync", |file| file.sync_all().map(|()| 0))
    }

    /// As [`sync_all`](Self::sync_all), but only with what is needed to find the bytes again.
    ///
    /// Cancel-safe: it changes nothing that can be seen.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::sync_data`], with the path.
    #[track_caller]
    pub fn sync_data(&self) -> Change<'_> {
        Change::new(self, "sync", |file| file.sync_data().map(|()| 0))
    }

    /// Changes the permissions.
    ///
    /// Not cancel-safe: if it is dropped before it was ready, it may be done or not.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_permissions`], with the path.
    #[track_caller]
    pub fn set_permissions(&self, permissions: Permissions) -> Change<'_> {
        Change::new(self, "set the permissions of", move |file| {
            file.set_permissions(permissions).map(|()| 0)
        })
    }

    /// A second handle to the same open file: the two share its position, as those of [`std::fs::File::try_clone`] do. What was
    /// read ahead is dropped first.
    ///
    /// Cancel-safe: what was made is closed.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::try_clone`], with the path: if the process has no free file descriptor.
    #[track_caller]
    pub fn try_clone(&self) -> TryClone<'_> {
        TryClone::new(self)
    }

    /// Reads some bytes at `offset`, counted in bytes from the start of the file, whatever the position is, which stays; 0 is the
    /// end (or `buf` is empty). Several may be under way at a time.
    ///
    /// Cancel-safe: nothing is changed by it.
    ///
    /// # Errors
    ///
    /// What pread(2) says, with the path: `NotSeekable` for a FIFO or a terminal.
    #[cfg(unix)]
    #[track_caller]
    pub fn read_at<'a>(&'a self, buf: &'a mut [u8], offset: u64) -> ReadAt<'a> {
        ReadAt::new(self, buf, offset)
    }

    /// Writes some of `buf` at `offset`, counted in bytes from the start of the file, whatever the position is, which stays; returns
    /// how many bytes that were (0, at once, if `buf` is empty). A hole before `offset` reads as zeros. At most 1 MiB is
    /// written at a time, after what is under way. (To a file opened with `append`, Linux writes at the end all the same:
    /// pwrite(2), "BUGS".)
    ///
    /// Not cancel-safe: if it is dropped before it was ready, it may be written or not: see [Cancelling](#cancelling).
    ///
    /// ```
    /// # #[cfg(unix)]
    /// # headwaiter::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("headwaiter-at-{}", std::process::id()));
    /// let file = headwaiter::fs::File::create_new(&path).await?;
    /// file.write_at(b"bread", 5).await?;
    /// file.write_at(b"soup ", 0).await?;
    /// let mut order = [0; 10];
    /// assert_eq!(file.read_at(&mut order, 0).await?, 10);
    /// assert_eq!(&order, b"soup bread");
    /// # headwaiter::fs::remove_file(&path).await
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What pwrite(2) says, with the path: `NotSeekable` for a FIFO or a terminal.
    #[cfg(unix)]
    #[track_caller]
    pub fn write_at(&self, buf: &[u8], offset: u64) -> WriteAt<'_> {
        use std::os::unix::fs::FileExt;
        let (size, alignment) = (buf.len().min(MOST), self.lock().alignment);
        let mut bytes = direct::memory(Vec::new(), size, alignment);
        let lead = direct::lead(&bytes, alignment);
        bytes[lead..lead + size].copy_from_slice(&buf[..size]);
        let write = move |file: &std::fs::File| {
            persist(|| file.write_at(&bytes[lead..lead + size], offset)).map(|n| n as u64)
        };
        WriteAt::new(self, buf.is_empty(), write)
    }
}

impl Inner {
    /// Not watched by the kernel.
    fn new(
        std: &Arc<std::fs::File>,
        file_type: Option<FileType>,
        path: Option<Arc<Path>>,
        place: &'static Location<'static>,
    ) -> Self {
        let is_file = file_type.is_some_and(|file_type| file_type.is_file());
        let is_block = file_type.is_some_and(is_block_device);
        let alignment = if is_file || is_block { direct::alignment(std) } else { 1 };
        // Of a direct file the kernel has nothing in memory.
        let is_direct = alignment > 1;
        Inner {
            std: Arc::clone(std),
            #[cfg(unix)]
            watched: None,
            has_nowait: cfg!(target_os = "linux") && is_file && !is_direct,
            has_position: is_file || is_block,
            alignment,
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

    pub(super) fn poll_read(
        &mut self,
        call: &mut Call,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let (range, asked) = in_one_call(bufs);
        if asked == 0 {
            return Poll::Ready(Ok(0));
        }
        let bufs = &mut bufs[range];
        loop {
            if self.job.is_some() {
                match ready!(self.poll_job(cx))? {
                    // The end. That which another read has found may have moved since.
                    (Doing::Read, 0) if call.began => return Poll::Ready(Ok(0)),
                    _ => {}
                }
            }
            #[cfg(unix)]
            if let Some(watched) = &self.watched {
                let result = ready!(watched.poll_read(&mut call.wait, cx, bufs));
                return Poll::Ready(result.map_err(|error| self.error(Doing::Read, error)));
            }
            ready!(Door::expect("a `File`").poll_budget(cx));
            let n = self.take_ahead(bufs);
            if n > 0 {
                return Poll::Ready(Ok(n));
            }
            if self.has_nowait {
                match nowait::read(&self.std, at_once(bufs), nowait::AT_ITS_POSITION) {
                    Ok(n) => {
                        charge(n);
                        return Poll::Ready(Ok(n));
                    }
                    // Not in memory. Any other error the pool will meet again, if it is one.
                    Err(error) => self.has_nowait = error.kind() == io::ErrorKind::WouldBlock,
                }
            }
            self.start_read(asked, call);
        }
    }

    /// The bytes of the last write, as far as one job has written them.
    fn last_written(&self) -> &[u8] {
        &self.written[direct::lead(&self.written, self.alignment)..]
    }

    fn take_ahead(&mut self, bufs: &mut [IoSliceMut<'_>]) -> usize {
        let n = scatter(&self.ahead[self.start..self.end], bufs);
        self.start += n;
        charge(n);
        n
    }

    /// Before anything but a read: what was read ahead is dropped. What was read of a device stays, for its next
    /// read.
    fn drop_ahead(&mut self) -> io::Result<()> {
        if self.has_position { self.move_back() } else { Ok(()) }
    }

    /// Moves the descriptor back to where the user is.
    fn move_back(&mut self) -> io::Result<()> {
        self.window = 0;
        let unread = self.end - self.start;
        if unread > 0 {
            (&*self.std).seek(SeekFrom::Current(-(unread as i64)))?;
            (self.start, self.end) = (0, 0);
        }
        Ok(())
    }

    fn start_read(&mut self, asked: usize, call: &mut Call) {
        let mut size = asked.min(MOST);
        if self.has_position && self.alignment == 1 {
            size = size.max(self.window);
            self.window = (size * 4).min(READ_AHEAD);
        }
        let mut bytes = direct::memory(mem::take(&mut self.ahead), size, self.alignment);
        let lead = direct::lead(&bytes, self.alignment);
        let file = Arc::clone(&self.std);
        self.start_job(Doing::Read, call, move || {
            let result = persist(|| (&*file).read(&mut bytes[lead..lead + size]));
            Done { bytes, result: result.map(|n| n as u64) }
        });
    }

    pub(super) fn poll_write(
        &mut self,
        call: &mut Call,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (range, asked) = in_one_call(bufs);
        if asked == 0 {
            return Poll::Ready(Ok(0));
        }
        let bufs = &bufs[range];
        loop {
            if self.job.is_some()
                && let (Doing::Write, n) = ready!(self.poll_job(cx))?
                && call.began
                && begin_with(bufs, &self.last_written()[..n as usize])
            {
                return Poll::Ready(Ok(n as usize));
            }
            #[cfg(unix)]
            if let Some(watched) = &self.watched {
                let result = ready!(watched.poll_write(&mut call.wait, cx, bufs));
                return Poll::Ready(result.map_err(|error| self.error(Doing::Write, error)));
            }
            self.drop_ahead().map_err(|error| self.error(Doing::Write, error))?;
            let mut bytes = mem::take(&mut self.written);
            bytes.clear();
            bytes.reserve(asked.min(MOST) + self.alignment - 1);
            let lead = direct::lead(&bytes, self.alignment);
            bytes.resize(lead, 0);
            gather(bufs, &mut bytes);
            charge(bytes.len());
            let file = Arc::clone(&self.std);
            self.start_job(Doing::Write, call, move || {
                let result = persist(|| (&*file).write(&bytes[lead..]));
                Done { bytes, result: result.map(|n| n as u64) }
            });
        }
    }

    pub(super) fn poll_seek(
        &mut self,
        call: &mut Call,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        loop {
            if self.job.is_some() {
                match ready!(self.poll_job(cx))? {
                    (Doing::Seek(same), position) if call.began && same == to => {
                        return Poll::Ready(Ok(position));
                    }
                    _ => {}
                }
            }
            ready!(Door::expect("a `File`").poll_budget(cx));
            let moved = self.move_back().and_then(|()| match to {
                // Where the end is, a file system in the network may have to ask.
                SeekFrom::End(_) => Ok(None),
                _ => (&*self.std).seek(to).map(Some),
            });
            match moved.map_err(|error| self.error(Doing::Seek(to), error))? {
                Some(position) => return Poll::Ready(Ok(position)),
                None => {
                    let file = Arc::clone(&self.std);
                    self.start_job(Doing::Seek(to), call, move || Done {
                        bytes: Vec::new(),
                        result: (&*file).seek(to),
                    });
                }
            }
        }
    }

    /// Does something with the whole file, after what is under way. `work` is there until it has begun.
    pub(super) fn poll_change(
        &mut self,
        call: &mut Call,
        cx: &mut Context<'_>,
        verb: &'static str,
        work: &mut Option<Work>,
    ) -> Poll<io::Result<u64>> {
        if !call.began {
            ready!(self.poll_turn(cx))?;
            let work = work.take().expect("it was not begun yet");
            self.drop_ahead().map_err(|error| self.error(Doing::Change(verb), error))?;
            let file = Arc::clone(&self.std);
            let run = move || Done { bytes: Vec::new(), result: work(&file) };
            self.start_job(Doing::Change(verb), call, run);
            self.job.as_mut().expect("it was started just now").is_owned = true;
        }
        // No other operation fetches it as long as it is owned.
        let (_, n) = ready!(self.poll_job(cx))?;
        Poll::Ready(Ok(n))
    }

    /// The future that has started the job under way was dropped.
    pub(super) fn disown(&mut self) {
        if let Some(job) = &mut self.job {
            job.is_owned = false;
        }
    }

    /// As [`poll_idle`](Self::poll_idle), for what takes `&self`: others may wait for the same.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(job) = &self.job else { return Poll::Ready(Ok(())) };
        if !job.is_owned
            && let Poll::Ready(result) = self.poll_job(cx)
        {
            return Poll::Ready(result.map(drop));
        }
        // The job knows one waker only, the last; and what is owned tells its owner only.
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The operations that wait for their turn, to be woken outside the lock: at the end of each operation that takes `&self`, also by
    /// its drop. One of them becomes the next to be told by the job.
    pub(super) fn take_waiting(&mut self) -> Vec<Waker> {
        mem::take(&mut self.waiting)
    }

    pub(super) fn poll_clone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<File>> {
        ready!(self.poll_turn(cx))?;
        let doing = Doing::Change("clone");
        self.drop_ahead().map_err(|error| self.error(doing, error))?;
        let clone = || {
            let clone = self.std.try_clone()?;
            let file_type = clone.metadata()?.file_type();
            File::new(clone, file_type, self.path.clone(), self.place)
        };
        Poll::Ready(clone().map_err(|error| self.error(doing, error)))
    }

    /// What the kernel has in memory at `offset`, if it tells; else the work for the pool that reads there.
    #[cfg(unix)]
    pub(super) fn read_at(
        &mut self,
        buf: &mut [u8],
        offset: u64,
    ) -> Result<usize, impl FnOnce() -> ReadAtOffset + Send + 'static> {
        use std::os::unix::fs::FileExt;
        // No file is longer than `i64::MAX`, and the last number of all has a meaning of its own.
        if self.has_nowait && i64::try_from(offset).is_ok() {
            match nowait::read(&self.std, &mut [IoSliceMut::new(buf)], offset) {
                Ok(n) => {
                    charge(n);
                    return Ok(n);
                }
                Err(error) => self.has_nowait = error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        let (file, size, alignment) = (Arc::clone(&self.std), buf.len().min(MOST), self.alignment);
        Err(move || {
            let mut bytes = direct::memory(Vec::new(), size, alignment);
            let lead = direct::lead(&bytes, alignment);
            let result = persist(|| file.read_at(&mut bytes[lead..lead + size], offset));
            (bytes, lead, result)
        })
    }

    /// Waits until nothing is under way. If what was dropped has failed, this is where it is told.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.job.is_some() {
            ready!(self.poll_job(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn give_back(mut self) -> io::Result<std::fs::File> {
        self.drop_ahead().map_err(|error| self.error(Doing::Seek(SeekFrom::Current(0)), error))?;
        #[cfg(unix)]
        drop(self.watched);
        Arc::try_unwrap(self.std).or_else(|shared| shared.try_clone())
    }

    fn start_job(
        &mut self,
        doing: Doing,
        call: &mut Call,
        work: impl FnOnce() -> Done + Send + 'static,
    ) {
        call.began = true;
        let run = offload::run(work, call.place.unwrap_or(self.place));
        self.job = Some(Job { doing, run, is_owned: false });
    }

    /// Fetches what the job under way came to. There must be one.
    fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Doing, u64)>> {
        let job = self.job.as_mut().expect("the caller has seen it");
        let done = ready!(Pin::new(&mut job.run).poll(cx));
        let doing = job.doing;
        self.job = None;
        let result = done.and_then(|Done { bytes, result }| {
            match doing {
                Doing::Read => {
                    let n = result.as_ref().map_or(0, |n| *n as usize);
                    let lead = direct::lead(&bytes, self.alignment);
                    (self.ahead, self.start, self.end) = (bytes, lead, lead + n);
                }
                Doing::Write => self.written = bytes,
                Doing::Seek(_) | Doing::Change(_) => {}
            }
            result
        });
        Poll::Ready(match result {
            Ok(n) => Ok((doing, n)),
            Err(error) => Err(self.error(doing, error)),
        })
    }

    pub(super) fn ended_early(&self, filled: usize, wanted: usize) -> io::Error {
        let what = format!("the file ended after {filled} of {wanted} bytes");
        self.error(Doing::Read, io::Error::new(io::ErrorKind::UnexpectedEof, what))
    }

    pub(super) fn takes_no_more(&self) -> io::Error {
        self.error(Doing::Write, io::ErrorKind::WriteZero.into())
    }

    pub(super) fn error(&self, doing: Doing, error: io::Error) -> io::Error {
        let error = match doing {
            Doing::Read | Doing::Write | Doing::Change("write") => {
                direct::explain(error, self.alignment)
            }
            Doing::Seek(_) | Doing::Change(_) => error,
        };
        Inner::about(doing.verb(), &self.path, error)
    }

    fn about(doing: &'static str, path: &Option<Arc<Path>>, error: io::Error) -> io::Error {
        match path {
            Some(path) => about(doing, format_args!("{path:?}"), error),
            // The caller has opened it, and knows as much as this does.
            None => error,
        }
    }
}

impl futures_io::AsyncRead for File {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_vectored(cx, &mut [IoSliceMut::new(buf)])
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.own().poll_read(&mut Call::of_trait(), cx, bufs)
    }
}

impl futures_io::AsyncWrite for File {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.own().poll_write(&mut Call::of_trait(), cx, bufs)
    }

    /// Nothing is buffered on this side of the kernel: it only waits for what was dropped.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.own().poll_idle(cx)
    }

    /// As a flush: only dropping it closes the file.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.own().poll_idle(cx)
    }
}

impl futures_io::AsyncSeek for File {
    fn poll_seek(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        self.own().poll_seek(&mut Call::of_trait(), cx, to)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for File {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.std.as_fd()
    }
}

#[cfg(unix)]
as_raw_fd!(impl for File;);

/// As [`File::from_std`], but cannot fail: what the kernel refuses to watch is left to the pool, as regular files are.
///
/// # Panics
///
/// Outside any event loop, for what is to be watched.
impl From<std::fs::File> for File {
    #[track_caller]
    fn from(file: std::fs::File) -> Self {
        let std = Arc::new(file);
        let file_type = std.metadata().map(|metadata| metadata.file_type()).ok();
        #[cfg_attr(not(unix), allow(unused_mut))]
        let mut inner = Inner::new(&std, file_type, None, Location::caller());
        #[cfg(unix)]
        if let Some(file_type) = file_type {
            inner.watched = Watched::new(&std, file_type).unwrap_or(None);
        }
        File { std, inner: Mutex::new(inner) }
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsHandle for File {
    fn as_handle(&self) -> std::os::windows::io::BorrowedHandle<'_> {
        self.std.as_handle()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("File");
        let inner = self.lock();
        match &inner.path {
            Some(path) => debug.field("path", path),
            None => debug.field("std", &self.std),
        };
        debug
            .field("under_way", &inner.job.as_ref().map(|job| job.doing.verb()))
            .finish_non_exhaustive()
    }
}

/// What the pool has read at an offset: the memory, where in it the bytes begin, and how many there are.
#[cfg(unix)]
pub(super) type ReadAtOffset = (Vec<u8>, usize, io::Result<usize>);

/// Copies what fits in `bufs`, and returns how many bytes that were.
fn scatter(bytes: &[u8], bufs: &mut [IoSliceMut<'_>]) -> usize {
    let mut copied = 0;
    for buf in bufs {
        let n = buf.len().min(bytes.len() - copied);
        buf[..n].copy_from_slice(&bytes[copied..copied + n]);
        copied += n;
    }
    copied
}

/// Copies what is in `bufs`, as far as one job writes it.
fn gather(bufs: &[IoSlice<'_>], bytes: &mut Vec<u8>) {
    let mut room = MOST;
    for buf in bufs {
        let n = buf.len().min(room);
        bytes.extend_from_slice(&buf[..n]);
        room -= n;
    }
}

/// Whether `bytes` is what `bufs` have at their front.
fn begin_with(bufs: &[IoSlice<'_>], mut bytes: &[u8]) -> bool {
    for buf in bufs {
        let n = buf.len().min(bytes.len());
        if buf[..n] != bytes[..n] {
            return false;
        }
        bytes = &bytes[n..];
    }
    bytes.is_empty()
}

/// As many of `bufs` as may be filled on the loop's own thread: at least the first, which [`nowait::read`] cuts.
fn at_once<'a, 'b>(bufs: &'a mut [IoSliceMut<'b>]) -> &'a mut [IoSliceMut<'b>] {
    let mut room = AT_ONCE;
    let fits = bufs.iter().take_while(|buf| {
        let fits = buf.len() <= room;
        room = room.saturating_sub(buf.len());
        fits
    });
    let count = fits.count().max(1);
    &mut bufs[..count]
}

/// To copy many bytes takes as long as several operations.
fn charge(bytes: usize) {
    if bytes >= 8192 {
        if let Some(mut door) = Door::open() {
            door.budget.charge((bytes / 8192) as u32);
        }
    }
}

/// Tries again when a signal handler ran.
fn persist<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
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

/// What the kernel has in memory: `docs/files.md` tells what can be relied on.
#[cfg(target_os = "linux")]
mod nowait {
    use super::*;
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    /// "The current file offset is used and updated."
    pub(super) const AT_ITS_POSITION: u64 = u64::MAX;

    /// Reads without waiting; `WouldBlock` if not even the first byte is there.
    pub(super) fn read(
        file: &std::fs::File,
        bufs: &mut [IoSliceMut<'_>],
        at: u64,
    ) -> io::Result<usize> {
        if let [buf] = bufs
            && buf.len() > AT_ONCE
        {
            return read(file, &mut [IoSliceMut::new(&mut buf[..AT_ONCE])], at);
        }
        loop {
            match preadv2(file, bufs, at, ReadWriteFlags::NOWAIT) {
                // Linux 5.9 and 5.10 may say so in the middle of a file: preadv2(2), "BUGS".
                Ok(0) if !is_at_end(file, at)? => return Err(io::ErrorKind::WouldBlock.into()),
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    fn is_at_end(mut file: &std::fs::File, at: u64) -> io::Result<bool> {
        let position = if at == AT_ITS_POSITION { file.stream_position()? } else { at };
        Ok(position >= file.metadata()?.len())
    }
}

/// No other system tells.
#[cfg(not(target_os = "linux"))]
mod nowait {
    use super::*;

    pub(super) const AT_ITS_POSITION: u64 = u64::MAX;

    pub(super) fn read(_: &std::fs::File, _: &mut [IoSliceMut<'_>], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
