//! The functions of `fs`, each of which makes one call of std on a thread of the pool. They have
//! the names and meanings of [`std::fs`], and add the path to errors.
//!
//! Nothing here touches the loop: [`Operation`] waits for the job.

use std::fs::{Metadata, Permissions};
use std::panic::Location;
use std::path::{Path, PathBuf};

use super::operation::{Operation, between, on};
use super::read_dir::ReadDir;

/// Reads a whole file.
///
/// The job occupies a thread of the pool until EOF. Open a FIFO or a terminal as a
/// [`File`](crate::fs::File) instead, which watches it.
///
/// Cancel-safe: it changes nothing.
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
/// Polling it outside any event loop. The same holds for all functions of this module.
#[track_caller]
pub fn read<P: AsRef<Path>>(path: P) -> Operation<Vec<u8>, P> {
    on("read", path, |path| std::fs::read(path))
}

/// Reads a whole file of UTF-8 text.
///
/// Cancel-safe: it changes nothing.
///
/// # Errors
///
/// As [`std::fs::read_to_string`], with the path: `InvalidData` if it is not UTF-8.
#[track_caller]
pub fn read_to_string<P: AsRef<Path>>(path: P) -> Operation<String, P> {
    on("read", path, |path| std::fs::read_to_string(path))
}

/// Writes a whole file: creates it, or replaces its contents. `contents` is copied.
///
/// Not cancel-safe: if the future is dropped before it is ready, the file may have the old
/// contents, the new, or a part of the new.
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

/// Returns the metadata of a file. Follows symbolic links.
///
/// Cancel-safe: it changes nothing.
///
/// # Errors
///
/// As [`std::fs::metadata`], with the path.
#[track_caller]
pub fn metadata<P: AsRef<Path>>(path: P) -> Operation<Metadata, P> {
    on("look at", path, |path| std::fs::metadata(path))
}

/// As [`metadata`], but does not follow a symbolic link.
///
/// Cancel-safe: it changes nothing.
///
/// # Errors
///
/// As [`std::fs::symlink_metadata`], with the path.
#[track_caller]
pub fn symlink_metadata<P: AsRef<Path>>(path: P) -> Operation<Metadata, P> {
    on("look at", path, |path| std::fs::symlink_metadata(path))
}

/// Returns whether a path exists. A broken symbolic link does not.
///
/// Cancel-safe: it changes nothing.
///
/// # Errors
///
/// As [`std::fs::exists`], with the path: if it cannot be found out, for instance because of a
/// missing permission.
#[track_caller]
pub fn try_exists<P: AsRef<Path>>(path: P) -> Operation<bool, P> {
    on("look for", path, |path| std::fs::exists(path))
}

/// Returns the absolute path, without symbolic links and dots.
///
/// Cancel-safe: it changes nothing.
///
/// # Errors
///
/// As [`std::fs::canonicalize`], with the path.
#[track_caller]
pub fn canonicalize<P: AsRef<Path>>(path: P) -> Operation<PathBuf, P> {
    on("look for", path, |path| std::fs::canonicalize(path))
}

/// Returns the target of a symbolic link.
///
/// Cancel-safe: it changes nothing.
///
/// # Errors
///
/// As [`std::fs::read_link`], with the path.
#[track_caller]
pub fn read_link<P: AsRef<Path>>(path: P) -> Operation<PathBuf, P> {
    on("read link", path, |path| std::fs::read_link(path))
}

/// Returns the entries of a directory, in no particular order, as a stream that also has
/// [`next_entry`](ReadDir::next_entry). The pool reads them in batches.
///
/// Cancel-safe: it changes nothing.
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

/// Creates a directory.
///
/// Not cancel-safe: if the future is dropped before it is ready, it may or may not be done. The
/// same holds for all functions below.
///
/// # Errors
///
/// As [`std::fs::create_dir`], with the path.
#[track_caller]
pub fn create_dir<P: AsRef<Path>>(path: P) -> Operation<(), P> {
    on("create folder", path, |path| std::fs::create_dir(path))
}

/// Creates a directory, and its parents if they are missing.
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

/// Removes an empty directory.
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

/// Removes a directory with its contents. Symbolic links are removed, not followed.
///
/// Not cancel-safe: if the future is dropped before it is ready, it may remove nothing, or go on in
/// the background until everything is removed.
///
/// # Errors
///
/// As [`std::fs::remove_dir_all`], with the path. What was removed before the error stays removed.
#[track_caller]
pub fn remove_dir_all<P: AsRef<Path>>(path: P) -> Operation<(), P> {
    on("remove folder", path, |path| std::fs::remove_dir_all(path))
}

/// Renames a file or directory, and replaces the target if it exists.
///
/// Not cancel-safe: see [`create_dir`].
///
/// # Errors
///
/// As [`std::fs::rename`], with both paths: `CrossesDevices` if they are on different file systems.
#[track_caller]
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> Operation<(), (P, Q)> {
    between("rename", from, "to", to, |from, to| std::fs::rename(from, to))
}

/// Copies the contents and permissions of a file, and returns the number of bytes.
///
/// Not cancel-safe: if the future is dropped before it is ready, it may do nothing, or go on in the
/// background until it is done.
///
/// # Errors
///
/// As [`std::fs::copy`], with both paths.
#[track_caller]
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> Operation<u64, (P, Q)> {
    between("copy", from, "to", to, |from, to| std::fs::copy(from, to))
}

/// Creates a hard link: a second name of a file.
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

/// Creates a symbolic link to `original`, which need not exist.
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

/// Changes the permissions of a file or directory.
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
