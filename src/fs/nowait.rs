//! Reading what the kernel has in memory, without waiting for a disk: preadv2(2) with RWF_NOWAIT
//! (Linux).
//!
//! Called by `transfer.rs` on the loop's own thread. `docs/files.md` tells what can be relied on.

use std::io::{self, IoSliceMut};

/// The most bytes that one call reads on the loop's own thread, which serves nothing else while it
/// copies.
const AT_ONCE: usize = 128 * 1024;

/// The offset with which preadv2(2) uses and updates the position of the descriptor.
pub(super) const CURRENT_POSITION: u64 = u64::MAX;

/// As many of `bufs` as may be filled on the loop's own thread: at least the first, which [`read`]
/// truncates.
pub(super) fn at_once<'a, 'b>(bufs: &'a mut [IoSliceMut<'b>]) -> &'a mut [IoSliceMut<'b>] {
    let mut room = AT_ONCE;
    let fits = bufs.iter().take_while(|buf| {
        let fits = buf.len() <= room;
        room = room.saturating_sub(buf.len());
        fits
    });
    let count = fits.count().max(1);
    &mut bufs[..count]
}

/// Reads without waiting. `WouldBlock` if not even the first byte is in memory.
#[cfg(target_os = "linux")]
pub(super) fn read(
    file: &std::fs::File,
    bufs: &mut [IoSliceMut<'_>],
    at: u64,
) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    if let [buf] = bufs
        && buf.len() > AT_ONCE
    {
        return read(file, &mut [IoSliceMut::new(&mut buf[..AT_ONCE])], at);
    }
    loop {
        match preadv2(file, bufs, at, ReadWriteFlags::NOWAIT) {
            // Linux 5.9 and 5.10 may return 0 in the middle of a file: preadv2(2), "BUGS".
            Ok(0) if !is_at_end(file, at)? => return Err(io::ErrorKind::WouldBlock.into()),
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(target_os = "linux")]
fn is_at_end(mut file: &std::fs::File, at: u64) -> io::Result<bool> {
    use std::io::Seek;
    let position = if at == CURRENT_POSITION { file.stream_position()? } else { at };
    Ok(position >= file.metadata()?.len())
}

/// Other systems cannot tell what is in memory.
#[cfg(not(target_os = "linux"))]
pub(super) fn read(_: &std::fs::File, _: &mut [IoSliceMut<'_>], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
