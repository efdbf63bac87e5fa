//! Copying between one buffer and several slices, for the transfers of a file by the pool; and what
//! such a copy costs of a task's budget.
//!
//! Called by `transfer.rs`. It makes no system calls.

use std::io::{IoSlice, IoSliceMut};

use crate::door::Door;

/// Copies what fits in `bufs`, and returns how many bytes that were.
pub(super) fn scatter(bytes: &[u8], bufs: &mut [IoSliceMut<'_>]) -> usize {
    let mut copied = 0;
    for buf in bufs {
        let n = buf.len().min(bytes.len() - copied);
        buf[..n].copy_from_slice(&bytes[copied..copied + n]);
        copied += n;
    }
    copied
}

/// Appends what is in `bufs` to `bytes`, at most `most` bytes.
pub(super) fn gather(bufs: &[IoSlice<'_>], bytes: &mut Vec<u8>, most: usize) {
    let mut room = most;
    for buf in bufs {
        let n = buf.len().min(room);
        bytes.extend_from_slice(&buf[..n]);
        room -= n;
    }
}

/// Whether the bytes of `bufs` begin with `bytes`.
pub(super) fn begin_with(bufs: &[IoSlice<'_>], mut bytes: &[u8]) -> bool {
    for buf in bufs {
        let n = buf.len().min(bytes.len());
        if buf[..n] != bytes[..n] {
            return false;
        }
        bytes = &bytes[n..];
    }
    bytes.is_empty()
}

/// Charges the budget for a copy on the loop's own thread: many bytes take as long as several
/// operations.
pub(super) fn charge(bytes: usize) {
    if bytes >= 8192
        && let Some(mut door) = Door::open()
    {
        door.budget.charge((bytes / 8192) as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spread_over_slices_and_collected_again_in_order() {
        let (mut first, mut second) = ([0; 2], [0; 3]);
        let bufs = &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(scatter(b"soup", bufs), 4);
        assert_eq!((&first, &second), (b"so", b"up\0"));

        let bufs = [IoSlice::new(&first), IoSlice::new(&second)];
        let mut bytes = Vec::new();
        gather(&bufs, &mut bytes, 4);
        assert_eq!(bytes, b"soup");
        assert!(begin_with(&bufs, b"sou") && begin_with(&bufs, b""));
        assert!(!begin_with(&bufs, b"soap") && !begin_with(&bufs, b"soup\0\0"));
    }
}
