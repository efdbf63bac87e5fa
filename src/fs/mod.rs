//! Files and directories.
//!
//! The kernel reports no readiness for regular files, so these operations run on the loop's pool of
//! threads. The exception is what the kernel has in memory of a [`File`]: that is read at once, on
//! the loop's own thread. The functions have the names and meanings of [`std::fs`], and each makes
//! one of its calls.
//!
//! The pool runs several operations at a time. A [virtual clock](crate::Clock::Virtual) stands
//! still meanwhile. If the future of a function is dropped before a thread has begun with it,
//! nothing happens; otherwise the work is completed, and its result is lost.
//!
//! # Errors
//!
//! An error names the operation and the path, and keeps the kind.
//! [`io::os_error`](crate::io::os_error) returns the number of such an error (`ENOENT`, ...), for
//! which [`raw_os_error`](std::io::Error::raw_os_error) returns `None`. If the path is not known,
//! as for a [`File::from_std`], it is the kernel's own error.
//!
//! `docs/files.md` in the repository tells why files are different.

// In the order in which to read them. Files of this folder import each other directly, never
// through here.
mod operation;
mod functions;
mod read_dir;
mod dir_builder;
mod options;
mod file;
mod convert;
mod state;
mod transfer;
mod direct;
#[cfg(unix)]
mod watched;
mod traits;
mod change;
mod futures;

pub use self::change::Change;
#[cfg(unix)]
pub use self::change::WriteAt;
pub use self::dir_builder::DirBuilder;
pub use self::file::File;
#[cfg(unix)]
pub use self::functions::symlink;
pub use self::functions::{
    canonicalize, copy, create_dir, create_dir_all, hard_link, metadata, read, read_dir, read_link,
    read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions,
    symlink_metadata, try_exists, write,
};
#[cfg(unix)]
pub use self::futures::ReadAt;
pub use self::futures::{IntoStd, Seek, TryClone};
pub use self::operation::Operation;
pub use self::options::{Open, OpenOptions};
pub use self::read_dir::{DirEntry, NextEntry, ReadDir};

/// The future of [`File::read`].
pub type Read<'a> = crate::io::futures::Read<'a, File>;

/// The future of [`File::read_exact`].
pub type ReadExact<'a> = crate::io::futures::ReadExact<'a, File>;

/// The future of [`File::write`].
pub type Write<'a> = crate::io::futures::Write<'a, File>;

/// The future of [`File::write_all`].
pub type WriteAll<'a> = crate::io::futures::WriteAll<'a, File>;
