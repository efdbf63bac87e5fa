//! How a file is opened: [`OpenOptions`], and its future [`Open`]. A thread of the pool opens it and sees what it is;
//! then the loop watches it, if the kernel can.

use std::fs::FileType;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{File, Operation};
use crate::about::about;

/// How a file is opened: std's [`OpenOptions`](std::fs::OpenOptions), whose methods have the same names and meanings.
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
    /// As the user gave them.
    #[cfg(unix)]
    custom_flags: i32,
}

impl OpenOptions {
    /// Nothing is allowed yet.
    #[allow(clippy::new_without_default, reason = "as std's")]
    pub fn new() -> Self {
        OpenOptions {
            std: std::fs::OpenOptions::new(),
            #[cfg(unix)]
            custom_flags: 0,
        }
    }

    /// To be read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.std.read(read);
        self
    }

    /// To be written, over what is there.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.std.write(write);
        self
    }

    /// To be written, each write at the end as it then is.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.std.append(append);
        self
    }

    /// Cut to nothing first.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.std.truncate(truncate);
        self
    }

    /// Made if it is not there.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.std.create(create);
        self
    }

    /// Made, and an error if it is there.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.std.create_new(create_new);
        self
    }

    /// The permissions of a file that is made, less the process's umask. 0o666 by default.
    #[cfg(unix)]
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::mode(&mut self.std, mode);
        self
    }

    /// More flags for open(2), for instance O_NOFOLLOW.
    #[cfg(unix)]
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.custom_flags = flags;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut self.std, flags);
        self
    }

    /// Opens a file.
    ///
    /// On Linux a FIFO is opened at once. For reading: the first `read` waits until somebody writes to it. For writing: if
    /// nobody has it open for reading, that is the error of fifo(7), ENXIO, and one may try again later. (A thread that waits for
    /// somebody would be lost to the pool for as long.)
    ///
    /// Cancel-safe without `create` and `truncate`: what was opened is closed.
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
        let theirs = Arc::clone(&name);
        let work =
            move || options.open_blocking(&theirs).map_err(|error| open_error(&theirs, error));
        Open { operation: Operation::run(work, place).keeping(path), name, place }
    }

    /// On a thread of the pool.
    fn open_blocking(&self, path: &Path) -> io::Result<(std::fs::File, FileType)> {
        let file = self.without_waiting(path).open(path)?;
        let file_type = file.metadata()?.file_type();
        Ok((file, file_type))
    }

    /// A FIFO would wait for somebody at its other end, and some devices wait too. They are looked for first, because
    /// O_NONBLOCK has effects on other files: a lease of somebody else's would be an error.
    #[cfg(target_os = "linux")]
    fn without_waiting(&self, path: &Path) -> std::fs::OpenOptions {
        use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
        let mut options = self.std.clone();
        let waits = |file: std::fs::Metadata| {
            file.file_type().is_fifo() || file.file_type().is_char_device()
        };
        if std::fs::metadata(path).is_ok_and(waits) {
            options.custom_flags(self.custom_flags | rustix::fs::OFlags::NONBLOCK.bits() as i32);
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

/// The future of [`OpenOptions::open`] and its kin. It keeps the path that it was given, as [`Operation`] does.
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
        let (file, file_type) = ready!(Pin::new(&mut self.operation).poll(cx))?;
        let file = File::new(file, file_type, Some(Arc::clone(&self.name)), self.place);
        Poll::Ready(file.map_err(|error| open_error(&self.name, error)))
    }
}
