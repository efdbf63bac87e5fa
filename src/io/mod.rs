//! Byte streams: any file descriptor ([`Async`]), [`pipe()`]s, the standard streams, and [`copy()`]
//! from one stream to another.
//!
//! # Buffers of the crate bytes
//!
//! With the feature `bytes`, streams have tokio's `read_buf`, `try_read_buf`, `write_buf` and
//! `write_all_buf`, and datagram sockets have `recv_buf` and `recv_buf_from`. (This crate has no
//! `unsafe` with which to write into memory that is not initialized, so each of them copies what was
//! read.) Without the feature, read into a slice and append:
//!
//! ```
//! headwaiter::block_on(async {
//!     let (mut reader, mut writer) = headwaiter::io::pipe()?;
//!     writer.write_all(b"soup\nbre").await?;
//!     let (mut orders, mut chunk) = (Vec::new(), [0; 4096]); // Or a `BytesMut`.
//!     while !orders.contains(&b'\n') {
//!         match reader.read(&mut chunk).await? {
//!             0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
//!             n => orders.extend_from_slice(&chunk[..n]),
//!         }
//!     }
//!     assert!(orders.starts_with(b"soup\n"));
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Futures
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
#[cfg(any(feature = "bytes", feature = "hyper", feature = "tokio-io"))]
pub(crate) mod scratch;
#[cfg(feature = "bytes")]
pub(crate) mod buffers;
#[cfg(unix)]
mod async_fd;
#[cfg(unix)]
pub mod pipe;
#[cfg(unix)]
mod stdio;
mod copy;

#[cfg(unix)]
pub use self::async_fd::Async;
#[cfg(unix)]
pub use self::async_fd::{With, WithMut, make::AsyncTryNewError};
#[cfg(feature = "bytes")]
pub use self::buffers::{ReadBuf, WriteAllBuf, WriteBuf};
pub use self::copy::bidirectional::{
    CopyBidirectional, copy_bidirectional, copy_bidirectional_with_sizes,
};
pub use self::copy::{Copy, copy};
pub use self::futures::{Read, ReadExact, Write, WriteAll};
#[cfg(target_os = "linux")]
pub use self::pipe::writer::Closed;
#[cfg(unix)]
pub use self::pipe::{pipe, reader::PipeReader, writer::PipeWriter};
pub use self::readiness::{AsyncIo, Readiness, ReadyFor};
#[cfg(unix)]
pub use self::stdio::handles::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
pub use crate::about::os_error;
