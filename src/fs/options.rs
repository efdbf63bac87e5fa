//! Opening a file: [`OpenOptions`], and its future [`Open`]. A thread of the pool opens the file
//! and looks at its type; then the loop watches it, if the kernel can.

use std::task::{Context, Poll, ready};
use std::{fs::FileType, io, panic::Location, path::Path, pin::Pin, sync::Arc};

use super::{file::File, operation::Operation};
use crate::about::about;

/// Options to open a file: those of std's [`OpenOptions`](std::fs::OpenOptions), with the same
/// names and meanings.
///
/// ```
/// use headwaiter::fs::File;
///
/// let path = std::env::temp_dir().join(format!("headwaiter-log-{}", std::process::id()));
/// headwaiter::block_on(async {
///     for line in ["soup\n", "bread\n"] {
///         let mut log = File::options().append(true).create(true).open(&path).await?;
///         log.write_all(line.as_bytes()).await?;
///     }
///     assert_eq!(headwaiter::fs::read_to_string(&path).await?, "soup\nbread\n");
///     headwaiter::fs::remove_file(&path).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    std: std::fs::OpenOptions,
    /// Kept beside `std`, which cannot return them.
    #[cfg(unix)]
    custom_flags: i32,
}

impl OpenOptions {
    /// Options with which nothing is allowed yet.
    #[allow(clippy::new_without_default, reason = "as std's")]
    #[must_use]
    pub fn new() -> Self {
        OpenOptions {
            std: std::fs::OpenOptions::new(),
            #[cfg(unix)]
            custom_flags: 0,
        }
    }

    /// Sets whether the file may be read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.std.read(read);
        self
    }

    /// Sets whether the file may be written, over its contents.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.std.write(write);
        self
    }

    /// Sets whether the file may be written, with each write at its current end.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.std.append(append);
        self
    }

    /// Sets whether the file is truncated to zero length first.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.std.truncate(truncate);
        self
    }

    /// Sets whether the file is created if it does not exist.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.std.create(create);
        self
    }

    /// Sets whether the file must be created; an error if it exists.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.std.create_new(create_new);
        self
    }

    /// Sets the permissions of a file that is created, less the process's umask. The default is
    /// 0o666.
    #[cfg(unix)]
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::mode(&mut self.std, mode);
        self
    }

    /// Sets more flags for open(2), for instance O_NOFOLLOW.
    #[cfg(unix)]
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.custom_flags = flags;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut self.std, flags);
        self
    }

    /// Opens a file.
    ///
    /// On Linux a FIFO is opened at once. For reading, the first `read` waits for a writer. For
    /// writing, the error is ENXIO if there is no reader (fifo(7)), and you may try again later.
    /// (Otherwise a thread of the pool would be blocked until a reader comes.)
    ///
    /// Cancel-safe without `create` and `truncate`: a file that was opened is closed again.
    ///
    /// # Errors
    ///
    /// As `open` of [`std::fs::OpenOptions`], with the path.
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn open<P: AsRef<Path>>(&self, path: P) -> Open<P> {
        let (options, place) = (self.clone(), Location::caller());
        let name: Arc<Path> = path.as_ref().into();
        let owned = Arc::clone(&name);
        let work = move || options.open_blocking(&owned).map_err(|error| open_error(&owned, error));
        Open { operation: Operation::run(work, place).keeping(path), name, place }
    }

    /// Opens the file and looks at its type, on a thread of the pool.
    fn open_blocking(&self, path: &Path) -> io::Result<(std::fs::File, FileType)> {
        let file = self.without_waiting(path).open(path)?;
        let file_type = file.metadata()?.file_type();
        Ok((file, file_type))
    }

    /// The options for a path, with O_NONBLOCK for a FIFO, which would otherwise wait for its other
    /// end, and for a device, of which some wait too.
    ///
    /// The type is looked up first, because O_NONBLOCK affects other files: opening a file with a
    /// lease of another process would be an error.
    #[cfg(target_os = "linux")]
    fn without_waiting(&self, path: &Path) -> std::fs::OpenOptions {
        use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
        let mut options = self.std.clone();
        let waits = |file: std::fs::Metadata| {
            file.file_type().is_fifo() || file.file_type().is_char_device()
        };
        // If the file is replaced in between, the open may wait: that only costs a thread of the
        // pool.
        if std::fs::metadata(path).is_ok_and(waits) {
            options.custom_flags(
                self.custom_flags | rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
            );
        }
        options
    }

    #[cfg(not(target_os = "linux"))]
    fn without_waiting(&self, _: &Path) -> std::fs::OpenOptions {
        self.std.clone()
    }
}

fn open_error(path: &Path, error: io::Error) -> io::Error {
    about("open", format_args!("{path:?}"), error)
}

/// The future of [`OpenOptions::open`], [`File::open`] and the like. It keeps the path that was
/// passed, as [`Operation`] does.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Open<P = ()> {
    operation: Operation<(std::fs::File, FileType), P>,
    /// The path, for the file and for errors.
    name: Arc<Path>,
    place: &'static Location<'static>,
}

impl<P> Future for Open<P> {
    type Output = io::Result<File>;

    /// # Panics
    ///
    /// Outside any event loop, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Registering needs the loop, so it is done here and not by the job.
        let (file, file_type) = ready!(Pin::new(&mut self.operation).poll(cx))?;
        let file = File::new(file, file_type, Some(Arc::clone(&self.name)), self.place);
        Poll::Ready(file.map_err(|error| open_error(&self.name, error)))
    }
}
