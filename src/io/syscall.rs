//! Rules about single system calls that several kinds of streams share: how many slices one call
//! takes, when a short transfer proves that the next would block, how a FIFO is read, and
//! O_NONBLOCK.
//!
//! Called by the streams of `io`, `net` and `fs`. Nothing here waits or touches the loop.

use std::io;
use std::ops::{Deref, Range};

/// A transfer of this many bytes or more proves nothing, even if it is shorter than what was asked
/// for.
///
/// Linux moves at most INT_MAX bytes per call, rounded down to a page (read(2), "NOTES"). Pages
/// have up to 256 KiB, so a round figure below that limit is safe everywhere.
const PROVES_NOTHING: usize = 1 << 30;

/// The most slices that one call takes; more are EINVAL: writev(2). std passes no more either.
const IOV_MAX: usize = 1024;

/// Whether a read or write of a stream was short, which means that the next one would block.
///
/// A transfer of zero bytes says nothing: it is EOF, or the buffer was empty.
#[inline]
pub(crate) fn is_short(done: usize, asked: usize) -> bool {
    done < asked && (1..PROVES_NOTHING).contains(&done)
}

/// The range of slices that one system call takes, and their total length in bytes.
///
/// The result of the call must be compared with this length, not with that of all slices. Empty
/// slices at the front are skipped: a call with 1,024 of them would return 0, which looks like EOF.
pub(crate) fn in_one_call<B: Deref<Target = [u8]>>(bufs: &[B]) -> (Range<usize>, usize) {
    let start = bufs.iter().take_while(|buf| buf.is_empty()).count();
    let end = bufs.len().min(start + IOV_MAX);
    // Several slices may share the same bytes, so the sum can overflow.
    let asked = bufs[start..end].iter().fold(0_usize, |sum, buf| sum.saturating_add(buf.len()));
    (start..end, asked)
}

/// Reads a non-blocking descriptor that may be a FIFO into a buffer that is not empty.
///
/// A FIFO without a writer reads as EOF. But if no writer has opened it since this reader did, the
/// stream has not begun yet: the kernel reports no hang-up (POLLHUP, poll(2)), and will report an
/// edge when a writer or data arrives. That case is `WouldBlock` here.
#[cfg(target_os = "linux")]
pub(crate) fn read_fifo<T: std::os::fd::AsFd>(
    io: &mut T,
    mut read: impl FnMut(&mut T) -> io::Result<usize>,
) -> io::Result<usize> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let first = read(io);
    let is_fifo = |io: &T| {
        let stat = rustix::fs::fstat(io);
        stat.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo())
    };
    // Only a 0 is ambiguous, so the common case costs no second system call.
    if !matches!(first, Ok(0)) || !is_fifo(io) {
        return first;
    }
    let asked =
        poll(&mut [PollFd::new(io, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    match asked {
        // Neither data nor a hang-up: no writer has opened it yet.
        Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
        // A writer that came and went since the first read may have left bytes.
        _ => read(io),
    }
}

/// On other systems a FIFO is opened by a thread that waits for its first writer, so 0 is always
/// EOF.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn read_fifo<T>(
    io: &mut T,
    mut read: impl FnMut(&mut T) -> io::Result<usize>,
) -> io::Result<usize> {
    read(io)
}

/// Sets or clears O_NONBLOCK, which belongs to the open file description: all duplicates share it.
#[cfg(target_os = "linux")]
pub(crate) fn set_nonblocking(fd: impl std::os::fd::AsFd, nonblocking: bool) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, nonblocking)?)
}

/// Sets or clears O_NONBLOCK. std offers this for sockets only, but its call takes any descriptor.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn set_nonblocking(fd: impl std::os::fd::AsFd, nonblocking: bool) -> io::Result<()> {
    let duplicate = fd.as_fd().try_clone_to_owned()?;
    std::os::unix::net::UnixStream::from(duplicate).set_nonblocking(nonblocking)
}

/// Rejects a byte count larger than the buffer. Foreign readers and writers are not trusted.
pub(super) fn within(most: usize, moved: io::Result<usize>) -> io::Result<usize> {
    match moved {
        Ok(n) if n > most => {
            let message =
                format!("a stream claims to have moved {n} bytes where there were {most}");
            Err(io::Error::new(io::ErrorKind::InvalidData, message))
        }
        moved => moved,
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;

    #[test]
    fn what_the_kernel_has_cut_is_not_short() {
        assert!(is_short(1, 2) && !is_short(2, 2));
        assert!(!is_short(0, 2), "the end is not short");
        // MAX_RW_COUNT, with pages of 4 KiB and of 64 KiB.
        for cut in [0x7fff_f000, 0x7fff_0000] {
            assert!(!is_short(cut, 3 << 30));
        }
        assert!(is_short(4096, 3 << 30), "it is short of any cut");
    }

    #[test]
    fn slices_that_are_cut_off_are_not_asked_for() {
        let full = vec![IoSlice::new(b"soup"); 2000];
        assert_eq!(in_one_call(&full), (0..1024, 4096));
        assert_eq!(in_one_call(&full[..3]), (0..3, 12));
        let mut behind_empty = vec![IoSlice::new(b""); 2000];
        assert_eq!(in_one_call(&behind_empty).1, 0);
        behind_empty.push(IoSlice::new(b"soup"));
        assert_eq!(in_one_call(&behind_empty), (2000..2001, 4));
    }
}
