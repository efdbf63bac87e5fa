//! The transfers of a [`FileState`]: reading and writing, at the position and at an offset.
//!
//! A file that the kernel watches is read and written at once. Of other files, what is in memory is
//! read at once, with preadv2(2) and RWF_NOWAIT (Linux), and everything else is a job of the pool.
//! `docs/files.md` tells what can be relied on.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::task::{Context, Poll, ready};
use std::{mem, sync::Arc};

use super::direct;
use super::state::{FileState, JobOutput, Op, OpKind, retry_interrupted};
use crate::{door::Door, io::syscall::in_one_call};

/// The most bytes that a job reads ahead of what was asked for.
const READ_AHEAD: usize = 256 * 1024;

/// The most bytes that a job reads or writes, unless the user has set another number.
pub(super) const MOST: usize = 1024 * 1024;

/// What the pool has read at an offset: the memory, where in it the bytes begin, and how many there
/// are.
#[cfg(unix)]
pub(super) type ReadAtOutput = (Vec<u8>, usize, io::Result<usize>);

impl FileState {
    /// Reads at the position.
    pub(super) fn poll_read(
        &mut self,
        op: &mut Op,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let (range, asked) = in_one_call(bufs);
        if asked == 0 {
            return Poll::Ready(Ok(0));
        }
        let bufs = &mut bufs[range];
        loop {
            if self.job.is_some() {
                // What it has read is in `ahead` now, whichever operation has started it.
                match ready!(self.poll_job(cx))? {
                    // EOF, as this operation has found it. The EOF of an earlier read may be out of
                    // date.
                    (OpKind::Read, 0) if op.has_begun => return Poll::Ready(Ok(0)),
                    _ => {}
                }
            }
            #[cfg(unix)]
            if let Some(watched) = &self.watched {
                let result = ready!(watched.poll_read(&mut op.wait, cx, bufs));
                return Poll::Ready(result.map_err(|error| self.error(OpKind::Read, error)));
            }
            // What was read ahead comes first: the descriptor has passed it already.
            ready!(Door::expect("a `File`").poll_budget(cx));
            let n = self.take_ahead(bufs);
            if n > 0 {
                return Poll::Ready(Ok(n));
            }
            if self.has_nowait {
                match read_nowait(&self.std, at_once(bufs), CURRENT_POSITION) {
                    Ok(n) => {
                        charge(n);
                        return Poll::Ready(Ok(n));
                    }
                    // Not in memory. Any other error means that the kernel cannot tell, or the pool
                    // meets it again.
                    Err(error) => self.has_nowait = error.kind() == io::ErrorKind::WouldBlock,
                }
            }
            self.start_read(asked, op);
        }
    }

    /// Starts a job that reads what was asked for, and more if the file is read from front to back.
    fn start_read(&mut self, asked: usize, op: &mut Op) {
        // Without a position the descriptor could not be moved back, and a direct file has
        // alignment rules for its length: neither is read ahead. Each job asks for more than the
        // last, until a seek resets the window.
        let mut size = asked.min(self.most());
        if self.has_position && self.alignment == 1 {
            size = size.max(self.window);
            self.window = (size * 4).min(READ_AHEAD).min(self.most());
        }
        let mut bytes = direct::memory(mem::take(&mut self.ahead), size, self.alignment);
        let lead = direct::lead(&bytes, self.alignment);
        let file = Arc::clone(&self.std);
        self.start_job(OpKind::Read, op, move || {
            let result = retry_interrupted(|| (&*file).read(&mut bytes[lead..lead + size]));
            JobOutput { bytes, result: result.map(|n| n as u64) }
        });
    }

    /// Moves what was read ahead to the user.
    fn take_ahead(&mut self, bufs: &mut [IoSliceMut<'_>]) -> usize {
        let n = scatter(&self.ahead[self.start..self.end], bufs);
        self.start += n;
        charge(n);
        n
    }

    /// Writes at the position.
    pub(super) fn poll_write(
        &mut self,
        op: &mut Op,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (range, asked) = in_one_call(bufs);
        if asked == 0 {
            return Poll::Ready(Ok(0));
        }
        let bufs = &bufs[range];
        loop {
            // The result is that of this write only if it has started one, with the same bytes.
            // (The traits of futures-io cannot tell a new write from an old one.) Any other job was
            // left behind.
            if self.job.is_some()
                && let (OpKind::Write, n) = ready!(self.poll_job(cx))?
                && op.has_begun
                && begin_with(bufs, &self.last_written()[..n as usize])
            {
                return Poll::Ready(Ok(n as usize));
            }
            #[cfg(unix)]
            if let Some(watched) = &self.watched {
                let result = ready!(watched.poll_write(&mut op.wait, cx, bufs));
                return Poll::Ready(result.map_err(|error| self.error(OpKind::Write, error)));
            }
            self.drop_ahead().map_err(|error| self.error(OpKind::Write, error))?;
            // The job outlives `bufs`, so it gets a copy.
            let mut bytes = mem::take(&mut self.written);
            bytes.clear();
            let most = self.most();
            bytes.reserve(asked.min(most) + self.alignment - 1);
            let lead = direct::lead(&bytes, self.alignment);
            bytes.resize(lead, 0);
            gather(bufs, &mut bytes, most);
            charge(bytes.len());
            let file = Arc::clone(&self.std);
            self.start_job(OpKind::Write, op, move || {
                let result = retry_interrupted(|| (&*file).write(&bytes[lead..]));
                JobOutput { bytes, result: result.map(|n| n as u64) }
            });
        }
    }

    /// The bytes of the last write, as far as its job was given them.
    fn last_written(&self) -> &[u8] {
        &self.written[direct::lead(&self.written, self.alignment)..]
    }

    /// Reads what the kernel has in memory at `offset`. `Err`: the work for the pool that reads
    /// there.
    #[cfg(unix)]
    pub(super) fn read_at(
        &mut self,
        buf: &mut [u8],
        offset: u64,
    ) -> Result<usize, impl FnOnce() -> ReadAtOutput + Send + 'static> {
        use std::os::unix::fs::FileExt;
        // No file is longer than `i64::MAX`, and `u64::MAX` means the current position.
        if self.has_nowait && i64::try_from(offset).is_ok() {
            match read_nowait(&self.std, &mut [IoSliceMut::new(buf)], offset) {
                Ok(n) => {
                    charge(n);
                    return Ok(n);
                }
                Err(error) => self.has_nowait = error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        let (file, size) = (Arc::clone(&self.std), buf.len().min(self.most()));
        let alignment = self.alignment;
        Err(move || {
            let mut bytes = direct::memory(Vec::new(), size, alignment);
            let lead = direct::lead(&bytes, alignment);
            let result = retry_interrupted(|| file.read_at(&mut bytes[lead..lead + size], offset));
            (bytes, lead, result)
        })
    }
}

/// The most bytes that one call reads on the loop's own thread, which serves nothing else while it
/// copies.
const AT_ONCE: usize = 128 * 1024;

/// The offset with which preadv2(2) uses and updates the position of the descriptor.
const CURRENT_POSITION: u64 = u64::MAX;

/// As many of `bufs` as may be filled on the loop's own thread: at least the first, which
/// [`read_nowait`] truncates.
fn at_once<'a, 'b>(bufs: &'a mut [IoSliceMut<'b>]) -> &'a mut [IoSliceMut<'b>] {
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
fn read_nowait(file: &std::fs::File, bufs: &mut [IoSliceMut<'_>], at: u64) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    if let [buf] = bufs
        && buf.len() > AT_ONCE
    {
        return read_nowait(file, &mut [IoSliceMut::new(&mut buf[..AT_ONCE])], at);
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
fn read_nowait(_: &std::fs::File, _: &mut [IoSliceMut<'_>], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Copies what fits in `bufs`, and returns how many bytes that were.
fn scatter(bytes: &[u8], bufs: &mut [IoSliceMut<'_>]) -> usize {
    let mut copied = 0;
    for buf in bufs {
        let n = buf.len().min(bytes.len() - copied);
        buf[..n].copy_from_slice(&bytes[copied..copied + n]);
        copied += n;
    }
    copied
}

/// Appends what is in `bufs` to `bytes`, at most `most` bytes.
fn gather(bufs: &[IoSlice<'_>], bytes: &mut Vec<u8>, most: usize) {
    let mut room = most;
    for buf in bufs {
        let n = buf.len().min(room);
        bytes.extend_from_slice(&buf[..n]);
        room -= n;
    }
}

/// Whether the bytes of `bufs` begin with `bytes`.
fn begin_with(bufs: &[IoSlice<'_>], mut bytes: &[u8]) -> bool {
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
fn charge(bytes: usize) {
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
