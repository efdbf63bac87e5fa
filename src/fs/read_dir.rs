//! The entries of a directory: the stream [`ReadDir`], its future [`NextEntry`], and [`DirEntry`].
//! A thread of the pool reads a batch whenever the last one has been handed out.
//!
//! Made by `fs::read_dir`.

use std::fs::{FileType, Metadata};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};
use std::{collections::VecDeque, ffi::OsString, fmt, io, panic::Location, pin::Pin, sync::Arc};

use futures_core::Stream;

use super::operation::Operation;
use crate::fmt::debug_struct;
use crate::offload::{self, Run};
use crate::{about::about, door::Door};

/// How many entries a job reads. Most directories are read by one job.
const BATCH: usize = 256;

/// The entries of a directory, a stream: see [`read_dir`](crate::fs::read_dir()).
///
/// As in std, an entry that is created or removed meanwhile may or may not be among them.
pub struct ReadDir {
    /// Entries that were read and not yet handed out. An error is the last one.
    batch: Batch,
    /// `None` if there are no more, or if a job has it.
    rest: Option<Rest>,
    job: Option<Run<(Batch, Option<Rest>)>>,
    /// Where the directory was opened, for polls without a place of their own.
    place: &'static Location<'static>,
}

type Batch = VecDeque<io::Result<DirEntry>>;

/// The part of a directory that was not read yet.
struct Rest {
    entries: std::fs::ReadDir,
    path: PathBuf,
}

impl Rest {
    /// Reads a batch, on a thread of the pool.
    fn read(mut self) -> (Batch, Option<Rest>) {
        let mut batch = Batch::new();
        while batch.len() < BATCH {
            match self.entries.next() {
                Some(Ok(entry)) => batch.push_back(Ok(DirEntry::new(entry))),
                Some(Err(error)) => {
                    batch.push_back(Err(about(
                        "read folder",
                        format_args!("{:?}", self.path),
                        error,
                    )));
                    return (batch, None);
                }
                None => return (batch, None),
            }
        }
        (batch, Some(self))
    }
}

impl ReadDir {
    /// Opens a directory and reads the first batch, on a thread of the pool.
    pub(super) fn open(path: &Path, place: &'static Location<'static>) -> io::Result<Self> {
        let rest = Rest { entries: std::fs::read_dir(path)?, path: path.to_owned() };
        let (batch, rest) = rest.read();
        Ok(ReadDir { batch, rest, job: None, place })
    }

    /// Returns the next entry, `None` at the end. After an error there are no more.
    ///
    /// Cancel-safe: no entry is lost.
    ///
    /// # Errors
    ///
    /// As `next` of [`std::fs::ReadDir`], with the path of the directory.
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn next_entry(&mut self) -> NextEntry<'_> {
        NextEntry { entries: self, place: Location::caller() }
    }

    fn poll_next_at(
        &mut self,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
    ) -> Poll<Option<io::Result<DirEntry>>> {
        loop {
            if let Some(job) = &mut self.job {
                let result = ready!(Pin::new(job).poll(cx));
                // Whether it failed or not: polling it again would panic.
                self.job = None;
                match result {
                    Ok((batch, rest)) => (self.batch, self.rest) = (batch, rest),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            // An entry at hand spends budget, so that a long directory does not keep the loop.
            if !self.batch.is_empty() {
                ready!(Door::expect("`ReadDir`").poll_budget(cx));
                return Poll::Ready(self.batch.pop_front());
            }
            let Some(rest) = self.rest.take() else { return Poll::Ready(None) };
            self.job = Some(offload::run(|| rest.read(), place));
        }
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let place = self.place;
        self.poll_next_at(cx, place)
    }
}

debug_struct!(impl[] for ReadDir as "ReadDir", |this| entries_at_hand: this.batch.len(), ..);

/// The future of [`ReadDir::next_entry`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct NextEntry<'a> {
    entries: &'a mut ReadDir,
    place: &'static Location<'static>,
}

impl Future for NextEntry<'_> {
    type Output = io::Result<Option<DirEntry>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = self.place;
        self.entries.poll_next_at(cx, place).map(Option::transpose)
    }
}

/// One entry of a directory.
pub struct DirEntry {
    std: Arc<std::fs::DirEntry>,
    /// Nearly every file system returns it with the name.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// Looks at the type here, on a thread of the pool: a few file systems need a call of its own
    /// for it.
    fn new(entry: std::fs::DirEntry) -> Self {
        DirEntry { file_type: entry.file_type().ok(), std: Arc::new(entry) }
    }

    /// Its path: that of the directory, as it was passed, joined with the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.std.path()
    }

    /// Its name, without the directory.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.std.file_name()
    }

    /// Its inode number, as the directory has it.
    #[cfg(unix)]
    #[must_use]
    pub fn ino(&self) -> u64 {
        std::os::unix::fs::DirEntryExt::ino(&*self.std)
    }

    /// Returns whether it is a file, a directory, a symbolic link or something else. Except in rare
    /// cases it is known already. A link is not followed.
    ///
    /// Cancel-safe: it changes nothing.
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirEntry::file_type`], with the path.
    #[track_caller]
    pub fn file_type(&self) -> Operation<FileType> {
        match self.file_type {
            Some(file_type) => Operation::known(Ok(file_type)),
            None => self.ask(std::fs::DirEntry::file_type),
        }
    }

    /// Returns its metadata. A symbolic link is not followed.
    ///
    /// Cancel-safe: it changes nothing.
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirEntry::metadata`], with the path: `NotFound` if it has been removed.
    #[track_caller]
    pub fn metadata(&self) -> Operation<Metadata> {
        self.ask(std::fs::DirEntry::metadata)
    }

    /// Asks the file system, on a thread of the pool.
    #[track_caller]
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&std::fs::DirEntry) -> io::Result<T> + Send + 'static,
    ) -> Operation<T> {
        let entry = Arc::clone(&self.std);
        let work = move || {
            question(&entry)
                .map_err(|error| about("look at", format_args!("{:?}", entry.path()), error))
        };
        Operation::run(work, Location::caller())
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirEntry").field(&self.path()).finish()
    }
}
