//! Files that were opened with O_DIRECT: their bytes go between the disk and the memory of the caller, past the page cache. So the
//! memory must be aligned to the blocks of the file system, and so must the offset and the length: open(2), "NOTES". The
//! memory is the pool's, which is aligned here for [`File`](super::File); the other two are the caller's.

use std::io;

use crate::about::about;

/// How the memory of a file's transfers must be aligned, in bytes. 1: in any way, because the file is not a direct one.
#[cfg(target_os = "linux")]
pub(super) fn alignment(file: &std::fs::File) -> usize {
    use rustix::fs::{OFlags, fcntl_getfl};
    use std::os::unix::fs::MetadataExt;
    if !fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::DIRECT)) {
        return 1;
    }
    let block = file.metadata().map_or(0, |metadata| metadata.blksize());
    // A file system in the network may call any size its best; what a disk asks for is within these.
    (block.clamp(4096, 65_536) as usize).next_power_of_two()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn alignment(_: &std::fs::File) -> usize {
    1
}

/// Where the aligned part of this memory begins. That stays so as long as the vector is not reallocated.
pub(super) fn lead(memory: &[u8], alignment: usize) -> usize {
    memory.as_ptr().align_offset(alignment)
}

/// Memory for so many bytes from [`lead`] on. What is there already is used again, and its length never shrinks, so that it need not be
/// zeroed each time.
pub(super) fn memory(mut memory: Vec<u8>, size: usize, alignment: usize) -> Vec<u8> {
    let room = size + alignment - 1;
    if memory.capacity() < room {
        memory = vec![0; room];
    } else if memory.len() < room {
        memory.resize(room, 0);
    }
    memory
}

/// Says of EINVAL what may be wrong with a transfer of a direct file.
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
        // Of other files it is just as long as it must be.
        let plain = memory(Vec::new(), 100, 1);
        assert_eq!((plain.len(), lead(&plain, 1)), (100, 0));
    }
}
