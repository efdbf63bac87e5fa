//! The transfers of a [`FileState`]: reading and writing, at the position and at an offset.
//!
//! A file that the kernel watches is read and written at once. Of other files, what is in memory is
//! read at once, and everything else is a job of the pool.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::task::{Context, Poll, ready};
use std::{mem, sync::Arc};

use super::job::{JobOutput, Op, OpKind, retry_interrupted};
use super::slices::{begin_with, charge, gather, scatter};
use super::{direct, nowait, state::FileState};
use crate::{door::Door, io::syscall::in_one_call};

/// The most bytes that a job reads ahead of what was asked for.
const READ_AHEAD: usize = 256 * 1024;

/// The most bytes that a job reads or writes.
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
                match nowait::read(&self.std, nowait::at_once(bufs), nowait::CURRENT_POSITION) {
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
        let mut size = asked.min(MOST);
        if self.has_position && self.alignment == 1 {
            size = size.max(self.window);
            self.window = (size * 4).min(READ_AHEAD);
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
            bytes.reserve(asked.min(MOST) + self.alignment - 1);
            let lead = direct::lead(&bytes, self.alignment);
            bytes.resize(lead, 0);
            gather(bufs, &mut bytes, MOST);
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
            match nowait::read(&self.std, &mut [IoSliceMut::new(buf)], offset) {
                Ok(n) => {
                    charge(n);
                    return Ok(n);
                }
                Err(error) => self.has_nowait = error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        let (file, size, alignment) = (Arc::clone(&self.std), buf.len().min(MOST), self.alignment);
        Err(move || {
            let mut bytes = direct::memory(Vec::new(), size, alignment);
            let lead = direct::lead(&bytes, alignment);
            let result = retry_interrupted(|| file.read_at(&mut bytes[lead..lead + size], offset));
            (bytes, lead, result)
        })
    }
}
