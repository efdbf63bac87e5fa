//! [`File`]: an open file, as users see it. Its state machine is in `state.rs`, its futures are in
//! `futures.rs` and `change.rs`, its traits in `traits.rs`, and how it is made from a file of std and
//! becomes one again in `convert.rs`.
//!
//! Nothing here waits for a disk on the loop's own thread.

use std::fs::{FileType, Metadata, Permissions};
use std::io::{self, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{panic::Location, path::Path};

use super::change::Change;
#[cfg(unix)]
use super::change::WriteAt;
#[cfg(unix)]
use super::direct;
#[cfg(unix)]
use super::futures::ReadAt;
use super::futures::{Seek, TryClone};
use super::options::{Open, OpenOptions};
#[cfg(unix)]
use super::state::retry_interrupted;
#[cfg(unix)]
use super::watched::WatchedFile;
use super::{operation::Operation, state::FileState};
use crate::io::futures::{read_methods, write_methods};

/// An open file.
///
/// What the kernel can watch is watched: a FIFO, a terminal, a character device. A read of a
/// regular file returns at once what the kernel has in memory, on the loop's own thread. What it
/// does not have is read by the pool, and so is every file on a file system that cannot tell (on
/// Linux ext4, XFS and Btrfs can; tmpfs and `/proc` cannot, nor can any other system). A write is
/// made by the pool, and has completed when its future is ready: there is no hidden write-behind,
/// and a flush is a no-op.
///
/// # Reading ahead
///
/// Where the pool must read a regular file, it reads more than was asked for once the file is read
/// from front to back, up to 256 KiB. Changes that others make in those bytes meanwhile are not
/// seen. Seeking or writing drops them. Reads that are served from the kernel's memory have nothing
/// between them and the file.
///
/// # Cancelling
///
/// A dropped `read` has read nothing, as far as the next operation can tell. A dropped `write`,
/// `write_at`, `seek` or `set_len` may or may not be done. The next operation waits for it, so the
/// order stays. If it failed, the next operation returns its error, and does nothing itself. The
/// traits of futures-io cannot tell a new operation from an old one that is polled again: with
/// them, the same bytes at the same time are the same write.
///
/// # Sharing
///
/// Operations that do not use the position take `&self`: `read_at`, `write_at`, `set_len`,
/// `sync_all` and the like. So several tasks may share a file in an `Rc` or `Arc`. The operations
/// run one after the other, except `read_at` and `metadata`.
///
/// # Dropping
///
/// On any thread, at any time. A job in flight is completed if it has begun, and the file is closed
/// after it. Its error is lost, as is that of std's `close`. If the file was written over a
/// network, that `close` may wait for the server, wherever it is dropped:
/// [`sync_all`](Self::sync_all) waits for it in the pool.
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
    /// For operations that need no lock.
    pub(super) std: Arc<std::fs::File>,
    /// Several tasks may share a file, so each poll locks the state. A poll never waits while it
    /// holds the lock.
    pub(super) state: Mutex<FileState>,
}

impl File {
    /// Opens a file for reading.
    ///
    /// A directory can be opened, as in std, but not read, which is the error `IsADirectory`. On
    /// Linux a FIFO is opened at once, and its first `read` waits for a writer.
    ///
    /// Cancel-safe: a file that was opened is closed again.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::open`], with the path.
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop. The same holds for all operations below. Operations on a
    /// FIFO, a terminal or a device also panic outside the loop in which it was opened.
    #[track_caller]
    pub fn open<P: AsRef<Path>>(path: P) -> Open<P> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing: creates it, or truncates it to zero length.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, the file may or may not be
    /// created or truncated.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create`], with the path.
    #[track_caller]
    pub fn create<P: AsRef<Path>>(path: P) -> Open<P> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Creates a file that must not exist yet, for reading and writing.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, the file may or may not be
    /// created.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create_new`], with the path: for instance `AlreadyExists`.
    #[track_caller]
    pub fn create_new<P: AsRef<Path>>(path: P) -> Open<P> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Options to open a file in any other way: see [`OpenOptions`].
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    #[track_caller]
    pub(super) fn new(
        file: std::fs::File,
        file_type: FileType,
        path: Option<Arc<Path>>,
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        let std = Arc::new(file);
        let mut state = FileState::new(&std, Some(file_type), path, place);
        #[cfg(unix)]
        {
            state.watched = WatchedFile::new(&std, file_type)?;
        }
        Ok(File { std, state: Mutex::new(state) })
    }

    /// The state, for a caller with exclusive access: no lock is taken.
    pub(super) fn state_mut(&mut self) -> &mut FileState {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the state, for as long as a poll takes.
    pub(super) fn lock(&self) -> MutexGuard<'_, FileState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how many bytes at most one call reads or writes through the pool, so that the file holds
    /// no larger buffers. The default is 1 MiB (tokio's is 2 MiB).
    ///
    /// Reading ahead takes no more either. Set it before the first transfer: a buffer that exists
    /// keeps its size. What is read from the kernel's memory, and a file that the kernel watches,
    /// need no buffer. For a direct file (O_DIRECT) it is rounded down to a multiple of the
    /// alignment, but not to 0.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("headwaiter-size-{}", std::process::id()));
    /// # headwaiter::block_on(async {
    /// let mut file = headwaiter::fs::File::create(&path).await?;
    /// file.set_max_buf_size(4096);
    /// assert_eq!(file.write(&[b'x'; 10_000]).await?, 4096);
    /// # headwaiter::fs::remove_file(&path).await
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If it is 0.
    #[track_caller]
    pub fn set_max_buf_size(&mut self, bytes: usize) {
        assert!(
            bytes > 0,
            "headwaiter: `File::set_max_buf_size(0)`: nothing could be read or written. Pass the most bytes that one call may move"
        );
        self.state_mut().set_max_buf_size(bytes);
    }

    /// The number of [`set_max_buf_size`](Self::set_max_buf_size).
    pub fn max_buf_size(&self) -> usize {
        self.lock().max_buf_size
    }

    read_methods! {
        File,
        eof: "the end of the file",
        cancelled: "the next read gets the same bytes.",
        errors: "Those of read(2), with the path: `IsADirectory` for a directory.",
        panics: "Polling it outside any event loop.",
    }

    write_methods! {
        ///
        /// The system call has been made when the future is ready. One call writes at most 1 MiB
        /// ([`set_max_buf_size`](Self::set_max_buf_size)). Of a full disk, `write_all` reports as soon as nothing more fits.
        File,
        cancelled: "Not cancel-safe: if the future is dropped before it is ready, the bytes may or \
                    may not be written: see [Cancelling](#cancelling).",
        errors: "Those of write(2), with the path: for instance `StorageFull`.",
        panics: "Polling it outside any event loop.",
    }

    /// Moves to another position, in bytes, and returns it.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, the position may or may not
    /// have moved.
    ///
    /// # Errors
    ///
    /// Those of lseek(2), with the path: `InvalidInput` before the start, `NotSeekable` for a FIFO
    /// or a terminal.
    #[track_caller]
    pub fn seek(&mut self, to: SeekFrom) -> Seek<'_> {
        Seek::new(self, to)
    }

    /// Returns the metadata of the file. If a dropped operation is still in flight, it may be that
    /// of before or after.
    ///
    /// Cancel-safe: it changes nothing.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::metadata`], with the path.
    #[track_caller]
    pub fn metadata(&self) -> Operation<Metadata> {
        let (file, path) = (Arc::clone(&self.std), self.lock().path.clone());
        let work = move || {
            file.metadata().map_err(|error| FileState::about("look at", path.as_deref(), error))
        };
        Operation::run(work, Location::caller())
    }

    /// Truncates or extends the file to `size` bytes. The position stays.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, the length may or may not have
    /// changed.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_len`], with the path.
    #[track_caller]
    pub fn set_len(&self, size: u64) -> Change<'_> {
        Change::new(self, "set the length of", move |file| file.set_len(size).map(|()| 0))
    }

    /// Waits until everything that was written is on the disk, with the metadata of the file.
    ///
    /// Cancel-safe: it changes nothing visible.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::sync_all`], with the path.
    #[track_caller]
    pub fn sync_all(&self) -> Change<'_> {
        Change::new(self, "sync", |file| file.sync_all().map(|()| 0))
    }

    /// As [`sync_all`](Self::sync_all), but only with the metadata that is needed to find the bytes
    /// again.
    ///
    /// Cancel-safe: it changes nothing visible.
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
    /// Not cancel-safe: if the future is dropped before it is ready, they may or may not have
    /// changed.
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

    /// Makes a second handle to the same open file. The two share its position, as those of
    /// [`std::fs::File::try_clone`] do. What was read ahead is dropped first.
    ///
    /// Cancel-safe: a handle that was made is closed again.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::try_clone`], with the path: if the process has no free file descriptor.
    #[track_caller]
    pub fn try_clone(&self) -> TryClone<'_> {
        TryClone::new(self)
    }

    /// Reads some bytes at `offset`, in bytes from the start of the file, and returns how many. The
    /// position is neither used nor moved. 0 means the end of the file, or that `buf` is empty.
    /// Several may be in flight at a time.
    ///
    /// Cancel-safe: it changes nothing.
    ///
    /// # Errors
    ///
    /// Those of pread(2), with the path: `NotSeekable` for a FIFO or a terminal.
    #[cfg(unix)]
    #[track_caller]
    pub fn read_at<'a>(&'a self, buf: &'a mut [u8], offset: u64) -> ReadAt<'a> {
        ReadAt::new(self, buf, offset)
    }

    /// Writes some of `buf` at `offset`, in bytes from the start of the file, and returns how many
    /// bytes that were (0, at once, if `buf` is empty). The position is neither used nor moved.
    ///
    /// A hole before `offset` reads as zeros. One call writes at most 1 MiB, after the job in
    /// flight. (If the file was opened with `append`, Linux writes at the end all the same:
    /// pwrite(2), "BUGS".)
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, the bytes may or may not be
    /// written: see [Cancelling](#cancelling).
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
    /// Those of pwrite(2), with the path: `NotSeekable` for a FIFO or a terminal.
    #[cfg(unix)]
    #[track_caller]
    pub fn write_at(&self, buf: &[u8], offset: u64) -> WriteAt<'_> {
        use std::os::unix::fs::FileExt;
        // The job outlives `buf`, so it gets a copy, aligned if the file needs that.
        let (size, alignment) = {
            let state = self.lock();
            (buf.len().min(state.most()), state.alignment)
        };
        let mut bytes = direct::memory(Vec::new(), size, alignment);
        let lead = direct::lead(&bytes, alignment);
        bytes[lead..lead + size].copy_from_slice(&buf[..size]);
        let write = move |file: &std::fs::File| {
            retry_interrupted(|| file.write_at(&bytes[lead..lead + size], offset)).map(|n| n as u64)
        };
        WriteAt::new(self, buf.is_empty(), write)
    }
}
