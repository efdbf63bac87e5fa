//! Byte streams: any file descriptor ([`Async`]), [`pipe()`]s, the standard streams, and [`copy()`]
//! from one stream to another.
//!
//! The futures of their methods are [`Read`], [`ReadExact`], [`Write`], [`WriteAll`],
//! [`Readiness`], [`ReadyFor`] and [`AsyncIo`]. [`os_error`] returns the OS error number of an
//! error that names a path, an address or a command.

// In the order in which to read them. Files of this folder import each other directly, never
// through here.
pub(crate) mod byte_stream;
pub(crate) mod futures;
pub(crate) mod readiness;
pub(crate) mod syscall;
#[cfg(any(feature = "hyper", feature = "tokio-io"))]
pub(crate) mod scratch;
#[cfg(unix)]
mod async_fd;
#[cfg(unix)]
pub(crate) mod pipe;
#[cfg(unix)]
mod stdio;
mod copy;

#[cfg(unix)]
pub use self::async_fd::Async;
#[cfg(unix)]
pub use self::async_fd::{With, WithMut, make::AsyncTryNewError};
pub use self::copy::{Copy, CopyBidirectional, copy, copy_bidirectional};
pub use self::futures::{Read, ReadExact, Write, WriteAll};
#[cfg(target_os = "linux")]
pub use self::pipe::writer::Closed;
#[cfg(unix)]
pub use self::pipe::{pipe, reader::PipeReader, writer::PipeWriter};
pub use self::readiness::{AsyncIo, Readiness, ReadyFor};
#[cfg(unix)]
pub use self::stdio::handles::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
pub use crate::about::os_error;
