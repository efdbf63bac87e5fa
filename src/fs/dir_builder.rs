//! [`DirBuilder`]: options to create a directory. `create_dir` and `create_dir_all` are the short
//! forms without options.
//!
//! The directory is created by a thread of the pool.

use std::path::Path;

use super::operation::{Operation, on};

/// Options to create a directory: those of std's [`DirBuilder`](std::fs::DirBuilder).
///
/// ```
/// use headwaiter::fs::DirBuilder;
///
/// let kitchen = std::env::temp_dir().join(format!("headwaiter-dir-{}", std::process::id()));
/// headwaiter::block_on(async {
///     DirBuilder::new().recursive(true).create(kitchen.join("pantry")).await?;
///     assert!(headwaiter::fs::metadata(kitchen.join("pantry")).await?.is_dir());
///     headwaiter::fs::remove_dir_all(&kitchen).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct DirBuilder {
    recursive: bool,
    /// The permissions, where the system has them.
    #[cfg(unix)]
    mode: Option<u32>,
}

impl DirBuilder {
    /// Options with which one directory is created, with the default permissions.
    #[must_use]
    pub fn new() -> Self {
        DirBuilder::default()
    }

    /// Sets whether missing parents are created too, with the same permissions, and whether it is
    /// no error if the directory exists.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Sets the permissions, less the process's umask. The default is 0o777.
    #[cfg(unix)]
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }

    /// Creates the directory.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, it may or may not be created.
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirBuilder::create`], with the path: for instance `AlreadyExists`.
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn create<P: AsRef<Path>>(&self, path: P) -> Operation<(), P> {
        // std's builder cannot be cloned, so the job makes its own.
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.recursive);
        #[cfg(unix)]
        if let Some(mode) = self.mode {
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
        }
        on("create folder", path, move |path| builder.create(path))
    }
}
