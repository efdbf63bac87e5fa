//! The futures of a [`File`]'s other methods: [`Seek`], [`ReadAt`], [`TryClone`] and [`IntoStd`].
//! Those of reading and writing are the ones of [`crate::io`].
//!
//! Each holds the file and what it was asked for. The work is done by `state.rs` and `transfer.rs`
//! when one is polled.

use std::io::{self, SeekFrom};
use std::task::{Context, Poll, ready};
use std::{panic::Location, pin::Pin};

use super::state::{Op, OpKind};
#[cfg(unix)]
use super::transfer::ReadAtOutput;
use super::{change::wake_waiting, file::File};
#[cfg(unix)]
use crate::door::Door;
use crate::fmt::debug_struct;
use crate::io::byte_stream::OpState;
#[cfg(unix)]
use crate::offload::{self, Run};

/// The future of [`File::seek`].
#[must_use = "futures do nothing unless awaited"]
pub struct Seek<'a> {
    file: &'a mut File,
    to: SeekFrom,
    op: Op,
}

/// The future of [`File::read_at`].
#[cfg(unix)]
#[must_use = "futures do nothing unless awaited"]
pub struct ReadAt<'a> {
    file: &'a File,
    buf: &'a mut [u8],
    offset: u64,
    place: &'static Location<'static>,
    run: Option<Run<ReadAtOutput>>,
}

/// The future of [`File::try_clone`].
#[must_use = "futures do nothing unless awaited"]
pub struct TryClone<'a> {
    file: &'a File,
}

/// The future of [`File::into_std`].
#[must_use = "futures do nothing unless awaited"]
pub struct IntoStd {
    /// `None` once the future is ready.
    file: Option<File>,
}

impl<'a> Seek<'a> {
    #[track_caller]
    pub(super) fn new(file: &'a mut File, to: SeekFrom) -> Self {
        Seek { file, to, op: Op::at(Location::caller()) }
    }
}

#[cfg(unix)]
impl<'a> ReadAt<'a> {
    #[track_caller]
    pub(super) fn new(file: &'a File, buf: &'a mut [u8], offset: u64) -> Self {
        ReadAt { file, buf, offset, place: Location::caller(), run: None }
    }
}

impl<'a> TryClone<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        TryClone { file }
    }
}

impl IntoStd {
    pub(super) fn new(file: File) -> Self {
        IntoStd { file: Some(file) }
    }
}

impl Future for Seek<'_> {
    type Output = io::Result<u64>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.file.state_mut().poll_seek(&mut this.op, cx, this.to)
    }
}

#[cfg(unix)]
impl Future for ReadAt<'_> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let run = match &mut this.run {
            Some(run) => run,
            None => {
                // What is in memory is read at once, so it must spend budget like any operation.
                ready!(Door::expect("a `File`").poll_budget(cx));
                let mut state = this.file.lock();
                let turn = ready!(state.poll_turn(cx));
                let read = turn.map(|()| state.read_at(this.buf, this.offset));
                // It does not use the position, so the next operation need not wait for its job.
                drop(state);
                wake_waiting(this.file);
                match read? {
                    Ok(n) => return Poll::Ready(Ok(n)),
                    Err(work) => this.run.insert(offload::run(work, this.place)),
                }
            }
        };
        let read = ready!(Pin::new(run).poll(cx)).and_then(|(bytes, lead, read)| {
            let n = read?;
            this.buf[..n].copy_from_slice(&bytes[lead..lead + n]);
            Ok(n)
        });
        Poll::Ready(read.map_err(|error| this.file.lock().error(OpKind::Read, error)))
    }
}

impl Future for TryClone<'_> {
    type Output = io::Result<File>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let cloned = ready!(self.file.lock().poll_clone(cx));
        wake_waiting(self.file);
        let (clone, file_type) = cloned?;
        let (path, place) = {
            let state = self.file.lock();
            (state.path.clone(), state.place)
        };
        let clone = File::new(clone, file_type, path, place);
        let error = |error| self.file.lock().error(OpKind::Change("clone"), error);
        Poll::Ready(clone.map_err(error))
    }
}

/// Dropped before its turn, it may be the one that the job in flight would wake.
#[cfg(unix)]
impl Drop for ReadAt<'_> {
    fn drop(&mut self) {
        wake_waiting(self.file);
    }
}

/// As that of [`ReadAt`].
impl Drop for TryClone<'_> {
    fn drop(&mut self) {
        wake_waiting(self.file);
    }
}

impl Future for IntoStd {
    type Output = io::Result<std::fs::File>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let file = self
            .file
            .as_mut()
            .expect("headwaiter: an `IntoStd` was polled again after it was ready");
        let settled = ready!(file.state_mut().poll_idle(cx));
        let file = self.file.take().expect("it was polled just now");
        // An error drops the file, which closes it.
        settled?;
        Poll::Ready(file.take_std())
    }
}

debug_struct!(impl[] for Seek<'_> as "Seek", |this| file: this.file, to: this.to);
#[cfg(unix)]
debug_struct!(impl[] for ReadAt<'_> as "ReadAt", |this| file: this.file, offset: this.offset);
debug_struct!(impl[] for TryClone<'_> as "TryClone", |this| file: this.file, to: "clone");
debug_struct!(impl[] for IntoStd as "IntoStd", |this| file: this.file);
