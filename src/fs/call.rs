//! The futures of a [`File`]'s methods. Each holds the file, what it was asked for, and its [`Call`]; the file itself
//! does the work when one is polled.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, SeekFrom};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::File;
use crate::reactor::Wait;

/// One operation of a file, from its first poll to its last.
pub(super) struct Call {
    /// Its place among the waiters of what the kernel watches.
    pub(super) wait: Wait,
    /// Where it was called, for the pool.
    pub(super) place: Option<&'static Location<'static>>,
    /// Whether what is under way may be its own: else it was left behind by one that was dropped.
    pub(super) began: bool,
}

impl Call {
    fn at(place: &'static Location<'static>) -> Self {
        Call { wait: Wait::at(place), place: Some(place), began: false }
    }

    /// For the `poll_` methods of traits, which keep nothing between calls.
    pub(super) fn of_trait() -> Self {
        Call { wait: Wait::unticketed(), place: None, began: true }
    }
}

/// What [`Change`] does with a file, on a thread of the pool.
pub(super) type Work = Box<dyn FnOnce(&std::fs::File) -> io::Result<()> + Send>;

/// The future of [`File::read`].
#[must_use = "futures do nothing unless awaited"]
pub struct Read<'a> {
    file: &'a mut File,
    buf: &'a mut [u8],
    call: Call,
}

/// The future of [`File::read_exact`].
#[must_use = "futures do nothing unless awaited"]
pub struct ReadExact<'a> {
    file: &'a mut File,
    buf: &'a mut [u8],
    filled: usize,
    call: Call,
}

/// The future of [`File::write`].
#[must_use = "futures do nothing unless awaited"]
pub struct Write<'a> {
    file: &'a mut File,
    buf: &'a [u8],
    call: Call,
}

/// The future of [`File::write_all`].
#[must_use = "futures do nothing unless awaited"]
pub struct WriteAll<'a> {
    file: &'a mut File,
    buf: &'a [u8],
    call: Call,
}

/// The future of [`File::seek`].
#[must_use = "futures do nothing unless awaited"]
pub struct Seek<'a> {
    file: &'a mut File,
    to: SeekFrom,
    call: Call,
}

/// The future of [`File::set_len`], [`File::sync_all`], [`File::sync_data`] and [`File::set_permissions`].
#[must_use = "futures do nothing unless awaited"]
pub struct Change<'a> {
    file: &'a mut File,
    verb: &'static str,
    work: Option<Work>,
    call: Call,
}

/// The future of [`File::into_std`].
#[must_use = "futures do nothing unless awaited"]
pub struct IntoStd {
    /// `None` once it was given back.
    file: Option<File>,
}

impl<'a> Read<'a> {
    #[track_caller]
    pub(super) fn new(file: &'a mut File, buf: &'a mut [u8]) -> Self {
        Read { file, buf, call: Call::at(Location::caller()) }
    }
}

impl<'a> ReadExact<'a> {
    #[track_caller]
    pub(super) fn new(file: &'a mut File, buf: &'a mut [u8]) -> Self {
        ReadExact { file, buf, filled: 0, call: Call::at(Location::caller()) }
    }
}

impl<'a> Write<'a> {
    #[track_caller]
    pub(super) fn new(file: &'a mut File, buf: &'a [u8]) -> Self {
        Write { file, buf, call: Call::at(Location::caller()) }
    }
}

impl<'a> WriteAll<'a> {
    #[track_caller]
    pub(super) fn new(file: &'a mut File, buf: &'a [u8]) -> Self {
        WriteAll { file, buf, call: Call::at(Location::caller()) }
    }
}

impl<'a> Seek<'a> {
    #[track_caller]
    pub(super) fn new(file: &'a mut File, to: SeekFrom) -> Self {
        Seek { file, to, call: Call::at(Location::caller()) }
    }
}

impl<'a> Change<'a> {
    #[track_caller]
    pub(super) fn new(
        file: &'a mut File,
        verb: &'static str,
        work: impl FnOnce(&std::fs::File) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Change { file, verb, work: Some(Box::new(work)), call: Call::at(Location::caller()) }
    }
}

impl IntoStd {
    pub(super) fn new(file: File) -> Self {
        IntoStd { file: Some(file) }
    }
}

impl Future for Read<'_> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.file.poll_read(&mut this.call, cx, &mut [IoSliceMut::new(this.buf)])
    }
}

impl Future for ReadExact<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while this.filled < this.buf.len() {
            let rest = &mut [IoSliceMut::new(&mut this.buf[this.filled..])];
            match ready!(this.file.poll_read(&mut this.call, cx, rest))? {
                0 => return Poll::Ready(Err(this.file.ended_early(this.filled, this.buf.len()))),
                n => this.filled += n,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Future for Write<'_> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.file.poll_write(&mut this.call, cx, &[IoSlice::new(this.buf)])
    }
}

impl Future for WriteAll<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while !this.buf.is_empty() {
            match ready!(this.file.poll_write(&mut this.call, cx, &[IoSlice::new(this.buf)]))? {
                0 => return Poll::Ready(Err(this.file.takes_no_more())),
                n => this.buf = &this.buf[n..],
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Future for Seek<'_> {
    type Output = io::Result<u64>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.file.poll_seek(&mut this.call, cx, this.to)
    }
}

impl Future for Change<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.file.poll_change(&mut this.call, cx, this.verb, &mut this.work)
    }
}

impl Future for IntoStd {
    type Output = io::Result<std::fs::File>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let file = self.file.as_mut().expect("headwaiter: an `IntoStd` was polled again after it was ready");
        let settled = ready!(file.poll_idle(cx));
        let file = self.file.take().expect("it was polled just now");
        settled?;
        Poll::Ready(file.give_back())
    }
}

/// `Debug` of a future: its file, and what is left to do.
macro_rules! debug {
    ($($name:ident: $field:literal |$this:ident| $left:expr;)*) => {$(
        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $this = self;
                f.debug_struct(stringify!($name)).field("file", self.file).field($field, &$left).finish()
            }
        }
    )*};
}

debug! {
    Read: "bytes_left" |this| this.buf.len();
    ReadExact: "bytes_left" |this| this.buf.len() - this.filled;
    Write: "bytes_left" |this| this.buf.len();
    WriteAll: "bytes_left" |this| this.buf.len();
    Seek: "to" |this| this.to;
    Change: "to" |this| this.verb;
}

impl fmt::Debug for IntoStd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoStd").field("file", &self.file).finish()
    }
}
