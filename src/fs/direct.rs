//! Files that were opened with O_DIRECT: their bytes move between the disk and the memory of the
//! process, past the page cache. The memory must be aligned to the blocks of the file system, and
//! so must the offset and the length: open(2), "NOTES".
//!
//! The memory is that of the pool's jobs, which is aligned here. The other two are up to the user.

use std::io;

use crate::about::about;

/// The alignment that the memory of a file's transfers needs, in bytes. 1 if the file was not
/// opened with O_DIRECT.
#[cfg(target_os = "linux")]
pub(super) fn alignment(file: &std::fs::File) -> usize {
    use rustix::fs::{OFlags, fcntl_getfl};
    use std::os::unix::fs::MetadataExt;
    if !fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::DIRECT)) {
        return 1;
    }
    let block = file.metadata().map_or(0, |metadata| metadata.blksize());
    // A network file system may report any preferred size; what a disk needs is within these.
    (block.clamp(4096, 65_536) as usize).next_power_of_two()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn alignment(_: &std::fs::File) -> usize {
    1
}

/// Where the aligned part of this memory begins. It stays there as long as the vector is not
/// reallocated.
pub(super) fn lead(memory: &[u8], alignment: usize) -> usize {
    memory.as_ptr().align_offset(alignment)
}

/// Returns memory for `size` bytes from [`lead`] on. It reuses the memory it is given, whose length
/// never shrinks, so that it need not be zeroed each time.
pub(super) fn memory(mut memory: Vec<u8>, size: usize, alignment: usize) -> Vec<u8> {
    let room = size + alignment - 1;
    if memory.capacity() < room {
        memory = vec![0; room];
    } else if memory.len() < room {
        memory.resize(room, 0);
    }
    memory
}

/// Explains the EINVAL of a transfer of a direct file.
pub(super) fn explain(error: io::Error, alignment: usize) -> io::Error {
    if error.kind() != io::ErrorKind::InvalidInput || alignment == 1 {
        return error;
    }
    let why = "a file opened with O_DIRECT: its offset and the number of bytes must be multiples of the block size, most often 512 or \
               4096 (or open it without O_DIRECT)";
    about("move bytes of", why, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_direct_transfer_is_aligned_and_used_again() {
        let mut kept = Vec::new();
        for size in [1, 4096, 10_000, 4096] {
            kept = memory(kept, size, 4096);
            let lead = lead(&kept, 4096);
            assert_eq!(kept[lead..lead + size].as_ptr().addr() % 4096, 0);
        }
        assert_eq!(kept.len(), 10_000 + 4095);
        // For other files it has just the size that was asked for.
        let plain = memory(Vec::new(), 100, 1);
        assert_eq!((plain.len(), lead(&plain, 1)), (100, 0));
    }
}
