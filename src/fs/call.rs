//! The futures of a [`File`]'s methods. Each holds the file, what it was asked for, and its [`Call`]; the file itself
//! does the work when one is polled.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, SeekFrom};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use super::File;
#[cfg(unix)]
use super::file::{Doing, ReadAtOffset};
#[cfg(unix)]
use crate::door::Door;
#[cfg(unix)]
use crate::offload::{self, Run};
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
pub(super) type Work = Box<dyn FnOnce(&std::fs::File) -> io::Result<u64> + Send>;

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
pub struct Change<'a>(Shared<'a>);

/// The future of [`File::write_at`].
#[cfg(unix)]
#[must_use = "futures do nothing unless awaited"]
pub struct WriteAt<'a> {
    shared: Shared<'a>,
    /// There is nothing to write, and nothing to wait for.
    is_empty: bool,
}

/// An operation that takes `&self` and changes something.
struct Shared<'a> {
    file: &'a File,
    verb: &'static str,
    work: Option<Work>,
    call: Call,
    is_over: bool,
}

/// The future of [`File::read_at`].
#[cfg(unix)]
#[must_use = "futures do nothing unless awaited"]
pub struct ReadAt<'a> {
    file: &'a File,
    buf: &'a mut [u8],
    offset: u64,
    place: &'static Location<'static>,
    run: Option<Run<ReadAtOffset>>,
}

/// The future of [`File::try_clone`].
#[must_use = "futures do nothing unless awaited"]
pub struct TryClone<'a> {
    file: &'a File,
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

impl<'a> Shared<'a> {
    #[track_caller]
    fn new(
        file: &'a File,
        verb: &'static str,
        work: impl FnOnce(&std::fs::File) -> io::Result<u64> + Send + 'static,
    ) -> Self {
        Shared {
            file,
            verb,
            work: Some(Box::new(work)),
            call: Call::at(Location::caller()),
            is_over: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        assert!(
            !self.is_over,
            "headwaiter: an operation of a `File` was polled again after it was ready"
        );
        let result =
            ready!(self.file.lock().poll_change(&mut self.call, cx, self.verb, &mut self.work));
        self.is_over = true;
        wake_waiting(self.file);
        Poll::Ready(result)
    }
}

impl Drop for Shared<'_> {
    /// What is under way goes on, and is left to the next operation.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if self.call.began {
            self.file.lock().disown();
        }
        wake_waiting(self.file);
    }
}

/// Lets those go on that wait for their turn.
fn wake_waiting(file: &File) {
    let waiting = file.lock().take_waiting();
    waiting.into_iter().for_each(Waker::wake);
}

impl<'a> Change<'a> {
    #[track_caller]
    pub(super) fn new(
        file: &'a File,
        verb: &'static str,
        work: impl FnOnce(&std::fs::File) -> io::Result<u64> + Send + 'static,
    ) -> Self {
        Change(Shared::new(file, verb, work))
    }
}

#[cfg(unix)]
impl<'a> WriteAt<'a> {
    #[track_caller]
    pub(super) fn new(
        file: &'a File,
        is_empty: bool,
        work: impl FnOnce(&std::fs::File) -> io::Result<u64> + Send + 'static,
    ) -> Self {
        WriteAt { shared: Shared::new(file, "write", work), is_empty }
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

impl Future for Read<'_> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.file.own().poll_read(&mut this.call, cx, &mut [IoSliceMut::new(this.buf)])
    }
}

impl Future for ReadExact<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while this.filled < this.buf.len() {
            let rest = &mut [IoSliceMut::new(&mut this.buf[this.filled..])];
            match ready!(this.file.own().poll_read(&mut this.call, cx, rest))? {
                0 => {
                    return Poll::Ready(Err(this
                        .file
                        .own()
                        .ended_early(this.filled, this.buf.len())));
                }
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
        this.file.own().poll_write(&mut this.call, cx, &[IoSlice::new(this.buf)])
    }
}

impl Future for WriteAll<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while !this.buf.is_empty() {
            match ready!(this.file.own().poll_write(&mut this.call, cx, &[IoSlice::new(this.buf)]))?
            {
                0 => return Poll::Ready(Err(this.file.own().takes_no_more())),
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
        this.file.own().poll_seek(&mut this.call, cx, this.to)
    }
}

impl Future for Change<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map_ok(drop)
    }
}

#[cfg(unix)]
impl Future for WriteAt<'_> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_empty {
            return Poll::Ready(Ok(0));
        }
        self.shared.poll(cx).map_ok(|n| n as usize)
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
                ready!(Door::expect("a `File`").poll_budget(cx));
                let mut inner = this.file.lock();
                let turn = ready!(inner.poll_turn(cx));
                let read = turn.map(|()| inner.read_at(this.buf, this.offset));
                drop(inner);
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
        Poll::Ready(read.map_err(|error| this.file.lock().error(Doing::Read, error)))
    }
}

impl Future for TryClone<'_> {
    type Output = io::Result<File>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let cloned = ready!(self.file.lock().poll_clone(cx));
        wake_waiting(self.file);
        Poll::Ready(cloned)
    }
}

/// Dropped before their turn, they may be the one that the job under way would tell.
#[cfg(unix)]
impl Drop for ReadAt<'_> {
    fn drop(&mut self) {
        wake_waiting(self.file);
    }
}

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
        let settled = ready!(file.own().poll_idle(cx));
        let file = self.file.take().expect("it was polled just now");
        settled?;
        Poll::Ready(file.give_back())
    }
}

/// `Debug` of a future: its file, and what is left to do.
macro_rules! debug {
    ($($(#[$cfg:meta])? $name:ident: |$this:ident| $file:expr, $field:literal: $left:expr;)*) => {$(
        $(#[$cfg])?
        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $this = self;
                f.debug_struct(stringify!($name)).field("file", &$file).field($field, &$left).finish()
            }
        }
    )*};
}

debug! {
    Read: |this| this.file, "bytes_left": this.buf.len();
    ReadExact: |this| this.file, "bytes_left": this.buf.len() - this.filled;
    Write: |this| this.file, "bytes_left": this.buf.len();
    WriteAll: |this| this.file, "bytes_left": this.buf.len();
    Seek: |this| this.file, "to": this.to;
    Change: |this| this.0.file, "to": this.0.verb;
    #[cfg(unix)] WriteAt: |this| this.shared.file, "to": this.shared.verb;
    #[cfg(unix)] ReadAt: |this| this.file, "offset": this.offset;
    TryClone: |this| this.file, "to": "clone";
}

impl fmt::Debug for IntoStd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoStd").field("file", &self.file).finish()
    }
}
