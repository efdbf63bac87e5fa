//! [`WatchedFile`]: a file that the kernel can watch, because it is a stream with a name: a FIFO, a
//! terminal, a device.
//!
//! Used by `transfer.rs` in place of the pool. Regular files never come here.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::task::{Context, Poll};
use std::{fs::FileType, os::unix::fs::FileTypeExt, sync::Arc};

use crate::io::syscall::{read_fifo, set_nonblocking};
use crate::reactor::{Direction, FdSource, Ready, Registered, Wait};

/// The registration of such a file.
pub(super) struct WatchedFile {
    registered: Registered<FdSource<Arc<std::fs::File>>>,
}

impl WatchedFile {
    /// Registers the file. `None` if the kernel does not watch files of this type.
    #[track_caller]
    pub(super) fn new(file: &Arc<std::fs::File>, file_type: FileType) -> io::Result<Option<Self>> {
        // For most of these the kernel would return EPERM. But it watches some files in /proc and
        // /sys for something other than their contents, and they do not support O_NONBLOCK, so it
        // is not asked. `docs/files.md` tells why files are different.
        if file_type.is_file() || file_type.is_dir() || file_type.is_block_device() {
            return Ok(None);
        }
        let source = FdSource::new(Arc::clone(file));
        match Registered::try_new(source, "file", Ready::BOTH) {
            Ok(registered) => {
                set_nonblocking(file, true)?;
                Ok(Some(WatchedFile { registered }))
            }
            // A device that is always ready, such as /dev/null. It is left to the pool, whose calls
            // must not return `WouldBlock`.
            Err((error, _)) if error.kind() == io::ErrorKind::PermissionDenied => {
                set_nonblocking(file, false)?;
                Ok(None)
            }
            Err((error, _)) => Err(error),
        }
    }

    pub(super) fn poll_read(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let op = |io: &FdSource<Arc<std::fs::File>>| {
            read_fifo(&mut &**io.get(), |io| io.read_vectored(bufs))
        };
        // A short read of a terminal proves nothing, so the readiness stays.
        self.registered.poll_io(wait, cx, Direction::Read, op, |_| false)
    }

    pub(super) fn poll_write(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let op = |io: &FdSource<Arc<std::fs::File>>| (&**io.get()).write_vectored(bufs);
        self.registered.poll_io(wait, cx, Direction::Write, op, |_| false)
    }
}
