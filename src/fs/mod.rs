//! Files and folders. The kernel reports no readiness for them, so what is here runs on the loop's pool of threads, but
//! for the bytes of a [`File`] that the kernel has in memory: they are read at once, on the loop's own thread. The
//! functions have the names and meanings of [`std::fs`], whose call each of them makes.
//!
//! The pool runs some of them at a time, and a [`virtual clock`](crate::Clock::Virtual) stands still meanwhile. A dropped
//! future of a function has done nothing if no thread had begun with it; else its work is done to the end, and nobody
//! learns what came of it.
//!
//! # Errors
//!
//! An error names what was tried and the path, and keeps the kind. [`io::os_error`](crate::io::os_error) gives the number of
//! such an error (`ENOENT`, ...), where [`raw_os_error`](std::io::Error::raw_os_error) gives `None`. Where the path is not known,
//! as for a [`File::from_std`], it is the kernel's own error.
//!
//! Why files are different: `docs/files.md` in the repository.

// `mod.rs` has the functions, each a job for the pool; `file.rs` the one state machine, a `File`; `call.rs` the
// futures of its methods; `options.rs` how it is opened; `read_dir.rs` the stream of a folder.

mod call;
mod direct;
mod file;
mod options;
mod read_dir;
#[cfg(unix)]
mod stream;

use std::fmt;
use std::fs::{Metadata, Permissions};
use std::future::Future;
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

pub use self::call::{Change, IntoStd, Read, ReadExact, Seek, TryClone, Write, WriteAll};
#[cfg(unix)]
pub use self::call::{ReadAt, WriteAt};
pub use self::file::File;
pub use self::options::{Open, OpenOptions};
pub use self::read_dir::{DirEntry, NextEntry, ReadDir};
use crate::about::about;
use crate::offload::{self, Run};

/// The future of the functions of this module. It keeps the path that it was given, `P`: one that removes its file when it
/// is dropped, such as the `TempPath` of the crate tempfile, is dropped with this and not before.
#[must_use = "futures do nothing unless awaited"]
pub struct Operation<T, P = ()> {
    state: State<T>,
    /// Never looked at again. Two paths are a pair.
    _path: P,
}

enum State<T> {
    Run(Run<io::Result<T>>),
    /// There was nothing to wait for.
    Known(io::Result<T>),
    Over,
}

impl<T: Send + 'static> Operation<T> {
    fn run(
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
        place: &'static Location<'static>,
    ) -> Operation<T> {
        Operation { state: State::Run(offload::run(work, place)), _path: () }
    }

    fn known(result: io::Result<T>) -> Self {
        Operation { state: State::Known(result), _path: () }
    }

    fn keeping<P>(self, path: P) -> Operation<T, P> {
        Operation { state: self.state, _path: path }
    }
}

/// Something done with a path. `doing` is for errors.
#[track_caller]
fn on<T: Send + 'static, P: AsRef<Path>>(
    doing: &'static str,
    path: P,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Operation<T, P> {
    let theirs = path.as_ref().to_owned();
    let work =
        move || work(&theirs).map_err(|error| about(doing, format_args!("{theirs:?}"), error));
    Operation::run(work, Location::caller()).keeping(path)
}

/// Something done with two paths. `doing` and `and` are for errors.
#[track_caller]
fn between<T: Send + 'static, P: AsRef<Path>, Q: AsRef<Path>>(
    doing: &'static str,
    from: P,
    and: &'static str,
    to: Q,
    work: impl FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
) -> Operation<T, (P, Q)> {
    let theirs = (from.as_ref().to_owned(), to.as_ref().to_owned());
    let work = move || {
        let (from, to) = theirs;
        work(&from, &to).map_err(|error| about(doing, format_args!("{from:?} {and} {to:?}"), error))
    };
    Operation::run(work, Location::caller()).keeping((from, to))
}

/// Nothing in it is ever pinned.
impl<T, P> Unpin for Operation<T, P> {}

impl<T: Send + 'static, P> Future for Operation<T, P> {
    type Output = io::Result<T>;

    /// # Panics
    ///
    /// Outside any event loop, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Run(run) = &mut self.state {
            return Pin::new(run).poll(cx).map(|result| result.and_then(|result| result));
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Known(result) => Poll::Ready(result),
            _ => panic!("headwaiter: an operation of `fs` was polled again after it was ready"),
        }
    }
}

impl<T, P> fmt::Debug for Operation<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").finish_non_exhaustive()
    }
}

/// Reads a whole file.
///
/// It runs on the pool to its end: a FIFO or a terminal is better opened as a [`File`], which watches it.
///
/// Cancel-safe: nothing is changed by it.
///
/// ```
/// headwaiter::block_on(async {
///     let manifest = headwaiter::fs::read("Cargo.toml").await?;
///     assert!(manifest.starts_with(b"[package]"));
///
///     let error = headwaiter::fs::read("no such file").await.unwrap_err();
///     assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
///     assert!(error.to_string().starts_with("read \"no such file\": "));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// As [`std::fs::read`], with the path.
///
/// # Panics
///
/// Polling it outside any event loop. So do all functions of this module.
#[track_caller]
pub fn read<P: AsRef<Path>>(path: P) -> Operation<Vec<u8>, P> {
    on("read", path, |path| std::fs::read(path))
}

/// Reads a whole file of text.
///
/// Cancel-safe: nothing is changed by it.
///
/// # Errors
///
/// As [`std::fs::read_to_string`], with the path: `InvalidData` if it is not UTF-8.
#[track_caller]
pub fn read_to_string<P: AsRef<Path>>(path: P) -> Operation<String, P> {
    on("read", path, |path| std::fs::read_to_string(path))
}

/// Writes a whole file: creates it, or replaces what is in it. `contents` is copied.
///
/// Not cancel-safe: dropped before it was ready, it may leave the old contents, the new, or a part of the new.
///
/// ```
/// let path = std::env::temp_dir().join(format!("headwaiter-doc-{}", std::process::id()));
/// headwaiter::block_on(async {
///     headwaiter::fs::write(&path, "soup").await?;
///     assert_eq!(headwaiter::fs::read_to_string(&path).await?, "soup");
///     headwaiter::fs::remove_file(&path).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// As [`std::fs::write`], with the path.
#[track_caller]
pub fn write<P: AsRef<Path>>(path: P, contents: impl AsRef<[u8]>) -> Operation<(), P> {
    let contents = contents.as_ref().to_owned();
    on("write", path, move |path| std::fs::write(path, contents))
}

/// What the file system knows of a file. Follows symbolic links.
///
/// Cancel-safe: nothing is changed by it.
///
/// # Errors
///
/// As [`std::fs::metadata`], with the path.
#[track_caller]
pub fn metadata<P: AsRef<Path>>(path: P) -> Operation<Metadata, P> {
    on("look at", path, |path| std::fs::metadata(path))
}

/// As [`metadata`], of a symbolic link itself.
///
/// # Errors
///
/// As [`std::fs::symlink_metadata`], with the path.
#[track_caller]
pub fn symlink_metadata<P: AsRef<Path>>(path: P) -> Operation<Metadata, P> {
    on("look at", path, |path| std::fs::symlink_metadata(path))
}

/// Whether there is something. A broken symbolic link is nothing.
///
/// Cancel-safe: nothing is changed by it.
///
/// # Errors
///
/// As [`std::fs::exists`], with the path: if that cannot be told, for instance for want of a permission.
#[track_caller]
pub fn try_exists<P: AsRef<Path>>(path: P) -> Operation<bool, P> {
    on("look for", path, |path| std::fs::exists(path))
}

/// The absolute path, without symbolic links and dots in it.
///
/// Cancel-safe: nothing is changed by it.
///
/// # Errors
///
/// As [`std::fs::canonicalize`], with the path.
#[track_caller]
pub fn canonicalize<P: AsRef<Path>>(path: P) -> Operation<PathBuf, P> {
    on("look for", path, |path| std::fs::canonicalize(path))
}

/// Where a symbolic link leads.
///
/// Cancel-safe: nothing is changed by it.
///
/// # Errors
///
/// As [`std::fs::read_link`], with the path.
#[track_caller]
pub fn read_link<P: AsRef<Path>>(path: P) -> Operation<PathBuf, P> {
    on("read link", path, |path| std::fs::read_link(path))
}

/// The entries of a folder, in no order: a stream, and [`next_entry`](ReadDir::next_entry). They come from the pool in
/// batches.
///
/// Cancel-safe: nothing is changed by it.
///
/// ```
/// headwaiter::block_on(async {
///     let mut entries = headwaiter::fs::read_dir("src").await?;
///     let mut names = Vec::new();
///     while let Some(entry) = entries.next_entry().await? {
///         names.push(entry.file_name());
///     }
///     assert!(names.iter().any(|name| name == "lib.rs"));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// As [`std::fs::read_dir`], with the path.
#[track_caller]
pub fn read_dir<P: AsRef<Path>>(path: P) -> Operation<ReadDir, P> {
    let place = Location::caller();
    on("read folder", path, move |path| ReadDir::open(path, place))
}

/// Makes a folder.
///
/// Not cancel-safe: dropped before it was ready, it may have been done or not. So it is with all functions below.
///
/// # Errors
///
/// As [`std::fs::create_dir`], with the path.
#[track_caller]
pub fn create_dir<P: AsRef<Path>>(path: P) -> Operation<(), P> {
    on("create folder", path, |path| std::fs::create_dir(path))
}

/// Makes a folder, and those above it that are missing.
///
/// Not cancel-safe: see [`create_dir`].
///
/// # Errors
///
/// As [`std::fs::create_dir_all`], with the path.
#[track_caller]
pub fn create_dir_all<P: AsRef<Path>>(path: P) -> Operation<(), P> {
    on("create folder", path, |path| std::fs::create_dir_all(path))
}

/// Removes a file.
///
/// Not cancel-safe: see [`create_dir`].
///
/// # Errors
///
/// As [`std::fs::remove_file`], with the path.
#[track_caller]
pub fn remove_file<P: AsRef<Path>>(path: P) -> Operation<(), P> {
    on("remove", path, |path| std::fs::remove_file(path))
}

/// Removes an empty folder.
///
/// Not cancel-safe: see [`create_dir`].
///
/// # Errors
///
/// As [`std::fs::remove_dir`], with the path.
#[track_caller]
pub fn remove_dir<P: AsRef<Path>>(path: P) -> Operation<(), P> {
    on("remove folder", path, |path| std::fs::remove_dir(path))
}

/// Removes a folder with all that is in it. Symbolic links are removed, not followed.
///
/// Not cancel-safe: dropped before it was ready, it may have removed nothing, or it removes all, in the background.
///
/// # Errors
///
/// As [`std::fs::remove_dir_all`], with the path. What was removed by then is gone.
#[track_caller]
pub fn remove_dir_all<P: AsRef<Path>>(path: P) -> Operation<(), P> {
    on("remove folder", path, |path| std::fs::remove_dir_all(path))
}

/// Renames a file or folder, and replaces what was there.
///
/// Not cancel-safe: see [`create_dir`].
///
/// # Errors
///
/// As [`std::fs::rename`], with both paths: `CrossesDevices` for another file system.
#[track_caller]
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> Operation<(), (P, Q)> {
    between("rename", from, "to", to, |from, to| std::fs::rename(from, to))
}

/// Copies a file's contents and permissions, and returns how many bytes they were.
///
/// Not cancel-safe: dropped before it was ready, it may have done nothing, or it goes on to its end in the background.
///
/// # Errors
///
/// As [`std::fs::copy`], with both paths.
#[track_caller]
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> Operation<u64, (P, Q)> {
    between("copy", from, "to", to, |from, to| std::fs::copy(from, to))
}

/// Gives a file a second name.
///
/// Not cancel-safe: see [`create_dir`].
///
/// # Errors
///
/// As [`std::fs::hard_link`], with both paths.
#[track_caller]
pub fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> Operation<(), (P, Q)> {
    between("link", original, "as", link, |original, link| std::fs::hard_link(original, link))
}

/// Makes a symbolic link that leads to `original`, which need not exist.
///
/// Not cancel-safe: see [`create_dir`].
///
/// # Errors
///
/// As [`std::os::unix::fs::symlink`], with both paths.
#[cfg(unix)]
#[track_caller]
pub fn symlink<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> Operation<(), (P, Q)> {
    between("link", original, "as", link, |original, link| {
        std::os::unix::fs::symlink(original, link)
    })
}

/// Changes the permissions of a file or folder.
///
/// Not cancel-safe: see [`create_dir`].
///
/// # Errors
///
/// As [`std::fs::set_permissions`], with the path.
#[track_caller]
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> Operation<(), P> {
    on("set the permissions of", path, move |path| std::fs::set_permissions(path, permissions))
}
