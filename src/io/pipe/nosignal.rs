//! Writing to a pipe without SIGPIPE, where the kernel can do that: Linux since 6.18. Elsewhere,
//! and on older kernels, the plain calls are made, and Rust's default of ignoring the signal has to
//! do.
//!
//! Called by [`PipeWriter`](super::writer::PipeWriter) and by `stdio`. It never waits.

#[cfg(target_os = "linux")]
pub(crate) use self::linux::{has_reader, write, write_vectored};
#[cfg(not(target_os = "linux"))]
pub(crate) use self::other::{write, write_vectored};

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSlice};
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::event::{PollFd, PollFlags, Timespec};
    use rustix::io::{Errno, ReadWriteFlags, pwritev2, writev};

    /// RWF_NOSIGNAL, since Linux 6.18: what MSG_NOSIGNAL is for sockets.
    const NOSIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);

    /// The offset with which pwritev2(2) writes where write(2) would.
    const CURRENT_POSITION: u64 = u64::MAX;

    /// Whether the kernel knows [`NOSIGNAL`], as far as this process has found out.
    static IS_SUPPORTED: AtomicBool = AtomicBool::new(true);

    /// Whether a pipe still has a reader. If not, poll(2) reports POLLERR, whatever it was asked
    /// for.
    pub(crate) fn has_reader(pipe: impl AsFd) -> io::Result<bool> {
        let mut pipe = [PollFd::new(&pipe, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut pipe, Some(&at_once))?;
        Ok(!pipe[0].revents().contains(PollFlags::ERR))
    }

    /// write(2) without SIGPIPE.
    pub(crate) fn write(pipe: impl AsFd, buf: &[u8]) -> io::Result<usize> {
        write_vectored(pipe, &[IoSlice::new(buf)])
    }

    /// writev(2) without SIGPIPE. The caller passes no more slices than fit in one call.
    pub(crate) fn write_vectored(pipe: impl AsFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if !IS_SUPPORTED.load(Ordering::Relaxed) {
            return Ok(writev(&pipe, bufs)?);
        }
        match pwritev2(&pipe, bufs, CURRENT_POSITION, NOSIGNAL) {
            // Nothing was written, so the plain call can be made in its place.
            Err(error) if may_be_unsupported(error) => {
                let plain = writev(&pipe, bufs);
                // If both calls fail in the same way, the error is about this write.
                if plain != Err(error) {
                    IS_SUPPORTED.store(false, Ordering::Relaxed);
                }
                Ok(plain?)
            }
            result => Ok(result?),
        }
    }

    /// Whether the error may mean that the call or the flag is unknown, to an old kernel or to a
    /// sandbox: most seccomp filters of containers answer EPERM to calls they do not know.
    fn may_be_unsupported(error: Errno) -> bool {
        matches!(error, Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_call_that_a_sandbox_refuses_is_made_another_way() {
            for unknown in [Errno::PERM, Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL] {
                assert!(may_be_unsupported(unknown), "{unknown}");
            }
            for of_the_write in [Errno::AGAIN, Errno::PIPE, Errno::INTR] {
                assert!(!may_be_unsupported(of_the_write), "{of_the_write}");
            }
        }

        #[test]
        fn an_error_of_the_write_itself_is_returned_and_says_nothing_of_the_kernel() {
            use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
            let sealed =
                memfd_create("sealed", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
            fcntl_add_seals(&sealed, SealFlags::WRITE).unwrap();
            // The first write finds out what the kernel knows.
            let (_reader, writer) = io::pipe().unwrap();
            assert_eq!(write(&writer, b"soup").unwrap(), 4);
            let is_supported = IS_SUPPORTED.load(Ordering::Relaxed);
            let error = write(&sealed, b"soup").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::PERM.raw_os_error()));
            assert_eq!(IS_SUPPORTED.load(Ordering::Relaxed), is_supported);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io::{self, IoSlice};

    pub(crate) fn write(mut pipe: impl io::Write, buf: &[u8]) -> io::Result<usize> {
        pipe.write(buf)
    }

    pub(crate) fn write_vectored(
        mut pipe: impl io::Write,
        bufs: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        pipe.write_vectored(bufs)
    }
}
