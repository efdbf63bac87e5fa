//! The entries of a folder: [`ReadDir`], of which a thread of the pool reads a batch whenever the last one has been
//! handed out, and [`DirEntry`]. Made by [`read_dir`](super::read_dir()).

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{FileType, Metadata};
use std::future::Future;
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Operation;
use crate::about::about;
use crate::door::Door;
use crate::offload::{self, Run};

/// How many entries a job reads. Most folders are read by one job.
const BATCH: usize = 256;

/// The entries of a folder: see [`read_dir`](super::read_dir()).
///
/// As in std, an entry that is made or removed meanwhile may be among them or not.
pub struct ReadDir {
    /// What was read and not yet handed out. An error is the last.
    batch: Batch,
    /// `None`: there are no more, or a job has it.
    rest: Option<Rest>,
    job: Option<Run<(Batch, Option<Rest>)>>,
    /// Where the folder was opened, for what has no better place.
    place: &'static Location<'static>,
}

type Batch = VecDeque<io::Result<DirEntry>>;

/// The part of a folder that was not read yet.
struct Rest {
    entries: std::fs::ReadDir,
    path: PathBuf,
}

impl Rest {
    /// Reads a batch. On a thread of the pool.
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
    /// With its first batch. On a thread of the pool.
    pub(super) fn open(path: &Path, place: &'static Location<'static>) -> io::Result<Self> {
        let rest = Rest { entries: std::fs::read_dir(path)?, path: path.to_owned() };
        let (batch, rest) = rest.read();
        Ok(ReadDir { batch, rest, job: None, place })
    }

    /// The next entry, `None` at the end. After an error there is no other.
    ///
    /// Cancel-safe: no entry is lost.
    ///
    /// # Errors
    ///
    /// As `next` of [`std::fs::ReadDir`], with the folder's path.
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
                self.job = None;
                match result {
                    Ok((batch, rest)) => (self.batch, self.rest) = (batch, rest),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
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

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir")
            .field("entries_at_hand", &self.batch.len())
            .finish_non_exhaustive()
    }
}

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

/// One entry of a folder.
pub struct DirEntry {
    std: Arc<std::fs::DirEntry>,
    /// Nearly every file system tells it with the name.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// On a thread of the pool: on a few file systems the type takes a call of its own.
    fn new(entry: std::fs::DirEntry) -> Self {
        DirEntry { file_type: entry.file_type().ok(), std: Arc::new(entry) }
    }

    /// Its path: that of the folder, as it was given, and its name.
    pub fn path(&self) -> PathBuf {
        self.std.path()
    }

    /// Its name, without the folder.
    pub fn file_name(&self) -> OsString {
        self.std.file_name()
    }

    /// Whether it is a file, a folder, a symbolic link or something else. Known already, but for rare cases. A link is
    /// not followed.
    ///
    /// Cancel-safe: nothing is changed by it.
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

    /// What the file system knows of it. A symbolic link is not followed.
    ///
    /// Cancel-safe: nothing is changed by it.
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirEntry::metadata`], with the path: `NotFound` if it was removed meanwhile.
    #[track_caller]
    pub fn metadata(&self) -> Operation<Metadata> {
        self.ask(std::fs::DirEntry::metadata)
    }

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
