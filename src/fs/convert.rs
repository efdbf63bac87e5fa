//! A [`File`] from a file of std, and back. Called by users, and by the future of
//! [`File::into_std`].
//!
//! The file of std is at the position of the user, whatever was read ahead.

use std::sync::{Arc, Mutex, PoisonError};
use std::{io, panic::Location};

use super::file::File;
use super::futures::IntoStd;
use super::state::FileState;
#[cfg(unix)]
use super::watched::WatchedFile;

/// Files of std.
impl File {
    /// Takes over a file of std, at its position.
    ///
    /// A FIFO, a terminal or a device that the kernel can watch is set to non-blocking mode. All
    /// owners of its description see that. Errors of a file without a path are the kernel's own.
    ///
    /// # Errors
    ///
    /// If the kernel cannot report its type, set the mode, or watch it.
    ///
    /// # Panics
    ///
    /// Outside any event loop, if it is to be watched.
    #[track_caller]
    pub fn from_std(file: std::fs::File) -> io::Result<Self> {
        let file_type = file.metadata()?.file_type();
        File::new(file, file_type, None, Location::caller())
    }

    /// Returns the file of std, once no job is in flight.
    pub(super) fn take_std(self) -> io::Result<std::fs::File> {
        // Otherwise there would be two owners, and the descriptor would have to be duplicated.
        drop(self.std);
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).into_std()
    }

    /// Returns the file of std, at its position. What the kernel watched stays in non-blocking
    /// mode.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, the file is closed.
    ///
    /// # Errors
    ///
    /// If a dropped operation has failed since. If the process has no free file descriptor, and
    /// needs one because a dropped [`metadata`](Self::metadata) still uses this one. The file is
    /// closed then.
    pub fn into_std(self) -> IntoStd {
        IntoStd::new(self)
    }

    /// As [`into_std`](Self::into_std), without waiting.
    ///
    /// # Errors
    ///
    /// Returns the file if an operation is in flight, also one whose future was dropped, or if the
    /// position cannot be restored. [`into_std`](Self::into_std) waits, and reports the error.
    #[expect(clippy::result_large_err, reason = "the file comes back, as in tokio")]
    pub fn try_into_std(mut self) -> Result<std::fs::File, File> {
        if !self.state_mut().is_idle() {
            return Err(self);
        }
        Ok(self.take_std().expect("nothing is in flight, and the position is restored"))
    }
}

/// As [`File::from_std`], but cannot fail: what the kernel refuses to watch is left to the pool, as
/// regular files are.
///
/// # Panics
///
/// Outside any event loop, if it is to be watched.
impl From<std::fs::File> for File {
    #[track_caller]
    fn from(file: std::fs::File) -> Self {
        let std = Arc::new(file);
        let file_type = std.metadata().map(|metadata| metadata.file_type()).ok();
        #[cfg_attr(not(unix), allow(unused_mut))]
        let mut state = FileState::new(&std, file_type, None, Location::caller());
        #[cfg(unix)]
        if let Some(file_type) = file_type {
            state.watched = WatchedFile::new(&std, file_type).unwrap_or(None);
        }
        File { std, state: Mutex::new(state) }
    }
}
