//! Pipes: [`pipe()`] makes one; [`PipeReader`] and [`PipeWriter`] are its ends, in files of their
//! own.
//!
//! `pipe::OpenOptions` opens the ends of a FIFO (Linux).
//!
//! Used directly by users, and by `process` for the standard streams of a child. `nosignal.rs` has
//! the system calls that write without SIGPIPE, which `stdio` uses too.

pub(super) mod nosignal;
pub(super) mod reader;
pub(super) mod writer;
#[cfg(target_os = "linux")]
mod open;

use std::io;

#[cfg(target_os = "linux")]
pub use self::open::OpenOptions;
use self::reader::PipeReader;
use self::writer::PipeWriter;

/// Makes a pipe: what is written to the second value is read from the first. For bytes between
/// tasks, and to and from child processes. Both ends are closed on exec.
///
/// ```
/// headwaiter::block_on(async {
///     let (mut reader, mut writer) = headwaiter::io::pipe()?;
///     writer.write_all(b"soup").await?;
///     drop(writer);
///     let mut order = [0; 10];
///     assert_eq!(reader.read(&mut order).await?, 4);
///     assert_eq!(reader.read(&mut order).await?, 0, "the end: its writer is gone");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// If the process does not have two free file descriptors, or the user has too many pipes.
///
/// # Panics
///
/// Outside any event loop.
#[track_caller]
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((PipeReader::new(reader, true)?, PipeWriter::from_std(writer)?))
}
