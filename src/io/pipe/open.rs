//! [`OpenOptions`], which opens the ends of a FIFO by its path (Linux), and the check that a file is
//! such an end.
//!
//! Opening never waits for the other end of the FIFO, so nothing here is async.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::{io, path::Path};

use rustix::fs::OFlags;

use super::{PipeReader, PipeWriter};
use crate::about::about;

/// How to open an end of a FIFO (Linux): tokio's options of the same name.
///
/// ```
/// use headwaiter::io::pipe;
///
/// # let fifo = std::env::temp_dir().join(format!("headwaiter-fifo-{}", std::process::id()));
/// # std::process::Command::new("mkfifo").arg(&fifo).status()?;
/// headwaiter::block_on(async {
///     let mut kitchen = pipe::OpenOptions::new().open_receiver(&fifo)?;
///     let mut guest = pipe::OpenOptions::new().open_sender(&fifo)?;
///     guest.write_all(b"soup").await?;
///     let mut order = [0; 4];
///     kitchen.read_exact(&mut order).await?;
///     assert_eq!(&order, b"soup");
/// #   std::fs::remove_file(&fifo)?;
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    read_write: bool,
    unchecked: bool,
}

impl OpenOptions {
    /// Options with nothing set.
    #[must_use]
    pub fn new() -> Self {
        OpenOptions::default()
    }

    /// Sets whether the end is opened for reading *and* writing, so that the FIFO always has both
    /// ends: fifo(7), under Linux.
    ///
    /// A reader then never sees EOF, but waits for the next writer; a writer can be opened before
    /// there is a reader, and never gets `BrokenPipe`. The default is no.
    pub fn read_write(&mut self, read_write: bool) -> &mut Self {
        self.read_write = read_write;
        self
    }

    /// Sets whether the check that the file is a FIFO is left out. The default is no.
    pub fn unchecked(&mut self, unchecked: bool) -> &mut Self {
        self.unchecked = unchecked;
        self
    }

    /// Opens the reading end. (Not async: it does not wait for a writer. The first read does.)
    ///
    /// # Errors
    ///
    /// Those of open(2), with the path: for instance `NotFound`. `InvalidInput` if it is not a FIFO.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn open_receiver(&self, path: impl AsRef<Path>) -> io::Result<PipeReader> {
        let path = path.as_ref();
        let file = self.open(path, End::Reading)?;
        PipeReader::from_file_unchecked(file).map_err(|error| open_error(path, error))
    }

    /// Opens the writing end. (Not async: it does not wait for a reader.)
    ///
    /// # Errors
    ///
    /// Those of open(2), with the path: for instance `NotFound`. The number is ENXIO
    /// ([`os_error`](crate::io::os_error)) if nothing has the FIFO open for reading: try again later,
    /// or use [`read_write`](Self::read_write). `InvalidInput` if it is not a FIFO.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn open_sender(&self, path: impl AsRef<Path>) -> io::Result<PipeWriter> {
        let path = path.as_ref();
        let file = self.open(path, End::Writing)?;
        PipeWriter::from_file_unchecked(file).map_err(|error| open_error(path, error))
    }

    fn open(&self, path: &Path, end: End) -> io::Result<File> {
        let opened = std::fs::OpenOptions::new()
            .read(self.read_write || end == End::Reading)
            .write(self.read_write || end == End::Writing)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path);
        let checked = opened.and_then(|file| {
            if !self.unchecked {
                expect_end(&file, end)?;
            }
            Ok(file)
        });
        checked.map_err(|error| open_error(path, error))
    }
}

fn open_error(path: &Path, error: io::Error) -> io::Error {
    about("open", format_args!("{path:?}"), error)
}

/// An end of a pipe.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    Reading,
    Writing,
}

/// Checks that a file is this end of a FIFO. One that is open for both is either end.
pub(super) fn expect_end(file: &File, end: End) -> io::Result<()> {
    let invalid = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if !file.metadata()?.file_type().is_fifo() {
        return invalid("it is not a FIFO");
    }
    let mode = rustix::fs::fcntl_getfl(file.as_fd())? & OFlags::RWMODE;
    match end {
        End::Reading if mode == OFlags::WRONLY => invalid("it is not open for reading"),
        End::Writing if mode == OFlags::RDONLY => invalid("it is not open for writing"),
        _ => Ok(()),
    }
}
