//! What all sources that the kernel watches have in common, whatever they carry: waiting for
//! readiness, and trying an operation of the user. [`readiness!`] adds these methods to sockets,
//! pipes and [`Async`](super::Async); the futures are [`Readiness`], [`ReadyFor`] and [`AsyncIo`].
//!
//! Nothing here moves bytes.

use std::task::{Context, Poll, ready};
use std::{fmt, io, panic::Location, pin::Pin};

use mio::Interest;
use mio::event::Source;

use crate::fmt::debug_struct;
use crate::reactor::{Direction, Ready, Registered, Wait, is_priority};

/// A type around one source that the kernel watches.
pub(crate) trait HasSource {
    /// A socket of mio, or a file descriptor.
    type Io: Source;

    fn registered(&self) -> &Registered<Self::Io>;
}

/// The future of `readable` and `writable`.
#[must_use = "futures do nothing unless awaited"]
pub struct Readiness<'a, S> {
    source: &'a S,
    direction: Direction,
    wait: Wait,
}

impl<'a, S> Readiness<'a, S> {
    #[track_caller]
    pub(crate) fn new(source: &'a S, direction: Direction) -> Self {
        Readiness { source, direction, wait: Wait::at(Location::caller()) }
    }
}

impl<S: HasSource> Future for Readiness<'_, S> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.source.registered().poll_ready(&mut this.wait, cx, this.direction)
    }
}

/// A wait for whichever part of an interest is ready first.
struct InterestWait {
    interest: Interest,
    read: Option<Wait>,
    write: Option<Wait>,
    /// For urgent data and errors.
    priority: Option<Wait>,
}

impl InterestWait {
    fn at(interest: Interest, place: &'static Location<'static>) -> Self {
        let wait = |direction: Direction| direction.is_in(interest).then(|| Wait::at(place));
        InterestWait {
            interest,
            read: wait(Direction::Read),
            write: wait(Direction::Write),
            priority: is_priority(interest).then(|| Wait::at(place)),
        }
    }

    fn poll<S: Source>(
        &mut self,
        source: &Registered<S>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Ready>> {
        // Pending only after all were polled, so that any of them wakes the task.
        for (wait, direction) in
            [(&mut self.read, Direction::Read), (&mut self.write, Direction::Write)]
        {
            // A direction that was not asked for has no `Wait`.
            if let Some(wait) = wait
                && let Poll::Ready(result) = source.poll_ready(wait, cx, direction)
            {
                return Poll::Ready(result.map(|()| source.readiness(self.interest)));
            }
        }
        if let Some(wait) = &mut self.priority
            && let Poll::Ready(result) = source.poll_priority(wait, cx)
        {
            return Poll::Ready(result.map(|()| source.readiness(self.interest)));
        }
        Poll::Pending
    }
}

/// The future of `ready`.
#[must_use = "futures do nothing unless awaited"]
pub struct ReadyFor<'a, S> {
    source: &'a S,
    wait: InterestWait,
}

impl<'a, S> ReadyFor<'a, S> {
    #[track_caller]
    pub(crate) fn new(source: &'a S, interest: Interest) -> Self {
        ReadyFor { source, wait: InterestWait::at(interest, Location::caller()) }
    }
}

impl<S: HasSource> Future for ReadyFor<'_, S> {
    type Output = io::Result<Ready>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.wait.poll(this.source.registered(), cx)
    }
}

/// The future of `async_io`.
#[must_use = "futures do nothing unless awaited"]
pub struct AsyncIo<'a, S, F> {
    source: &'a S,
    op: F,
    wait: InterestWait,
}

/// Nothing in it is structurally pinned.
impl<S, F> Unpin for AsyncIo<'_, S, F> {}

impl<'a, S, F> AsyncIo<'a, S, F> {
    #[track_caller]
    pub(crate) fn new(source: &'a S, interest: Interest, op: F) -> Self {
        AsyncIo { source, op, wait: InterestWait::at(interest, Location::caller()) }
    }
}

impl<S: HasSource, F: FnMut() -> io::Result<R>, R> Future for AsyncIo<'_, S, F> {
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let source = this.source.registered();
        loop {
            ready!(this.wait.poll(source, cx))?;
            // `op` is user code, so it runs here and not inside `poll_io`, which borrows the
            // reactor.
            if let Some(result) = source.note_result(this.wait.interest, (this.op)()) {
                return Poll::Ready(result);
            }
        }
    }
}

/// The methods of a source that has these directions.
macro_rules! readiness {
    (read and write) => {
        $crate::io::readiness::readiness!(read);
        $crate::io::readiness::readiness!(write);
    };
    (read) => {
        /// Waits until there may be something to read: data, EOF or an error.
        ///
        /// Spurious wakeups are possible: only a try of the operation is reliable. If it finds
        /// nothing, it clears the readiness, so that the next `readable` waits. That holds for the
        /// methods here and for your own operation in [`try_io`](Self::try_io). A system call that
        /// you make elsewhere changes nothing, and the next `readable` is ready at once.
        ///
        /// Cancel-safe.
        ///
        /// # Errors
        ///
        /// None at present.
        ///
        /// # Panics
        ///
        /// Polling it outside the loop that this belongs to.
        #[track_caller]
        pub fn readable(&self) -> $crate::io::readiness::Readiness<'_, Self> {
            $crate::io::readiness::Readiness::new(self, $crate::reactor::Direction::Read)
        }

        /// As [`readable`](Self::readable), for a future of your own: ready if there may be
        /// something to read; otherwise the task of `cx` is woken when there is.
        ///
        /// The waker stays registered after this returns, until there is an event. Only one is
        /// kept: of all methods of this source that begin with `poll_` and read, the last that was
        /// pending decides which task is woken. (`poll_read` of futures-io is different: it wakes
        /// every task that called it.)
        ///
        /// Call it in each poll in which you still wait. The search for deadlocks takes a task that
        /// was polled without this call to wait for something else.
        ///
        /// # Errors
        ///
        /// None at present.
        ///
        /// # Panics
        ///
        /// Outside the loop that this belongs to.
        #[track_caller]
        pub fn poll_readable(
            &self,
            cx: &mut ::std::task::Context<'_>,
        ) -> ::std::task::Poll<::std::io::Result<()>> {
            $crate::io::readiness::HasSource::registered(self).poll_latest(
                cx,
                $crate::reactor::Direction::Read,
                |_| Ok(()),
            )
        }

        $crate::io::readiness::readiness!(any);
    };
    (write only) => {
        $crate::io::readiness::readiness!(write);
        $crate::io::readiness::readiness!(any);
    };
    (write) => {
        /// Waits until there may be room to write, or an error to report.
        ///
        /// Spurious wakeups are possible: only a try of the operation is reliable. See
        /// [`try_io`](Self::try_io).
        ///
        /// Cancel-safe.
        ///
        /// # Errors
        ///
        /// None at present.
        ///
        /// # Panics
        ///
        /// Polling it outside the loop that this belongs to.
        #[track_caller]
        pub fn writable(&self) -> $crate::io::readiness::Readiness<'_, Self> {
            $crate::io::readiness::Readiness::new(self, $crate::reactor::Direction::Write)
        }

        /// As [`writable`](Self::writable), for a future of your own: ready if there may be room to
        /// write; otherwise the task of `cx` is woken when there is.
        ///
        /// The waker stays registered after this returns, until there is an event. Only one is
        /// kept: of all methods of this source that begin with `poll_` and write, the last that was
        /// pending decides which task is woken. (`poll_write` of futures-io is different: it wakes
        /// every task that called it.)
        ///
        /// Call it in each poll in which you still wait. The search for deadlocks takes a task that
        /// was polled without this call to wait for something else.
        ///
        /// # Errors
        ///
        /// Those of epoll_ctl(2).
        ///
        /// # Panics
        ///
        /// Outside the loop that this belongs to.
        #[track_caller]
        pub fn poll_writable(
            &self,
            cx: &mut ::std::task::Context<'_>,
        ) -> ::std::task::Poll<::std::io::Result<()>> {
            $crate::io::readiness::HasSource::registered(self).poll_latest(
                cx,
                $crate::reactor::Direction::Write,
                |_| Ok(()),
            )
        }
    };
    (any) => {
        /// Waits until this may be ready for any part of `interest`, and returns for which.
        ///
        /// Spurious wakeups are possible: only a try of the operation is reliable. See
        /// [`try_io`](Self::try_io). For a direction that this does not have, such as writing to a
        /// listener, the result is meaningless.
        ///
        /// `Interest::PRIORITY` (Linux) waits for urgent data (EPOLLPRI) or an error (EPOLLERR), for
        /// instance in the error queue of a socket. mio has no interest in errors alone. It is ready
        /// until an operation for that interest returns `WouldBlock`.
        ///
        /// Cancel-safe.
        ///
        /// # Errors
        ///
        /// None at present.
        ///
        /// # Panics
        ///
        /// Polling it outside the loop that this belongs to.
        #[track_caller]
        pub fn ready(
            &self,
            interest: $crate::Interest,
        ) -> $crate::io::readiness::ReadyFor<'_, Self> {
            $crate::io::readiness::ReadyFor::new(self, interest)
        }

        /// Tries an operation of your own on the descriptor, once and without waiting.
        ///
        /// If it returns `WouldBlock`, that is remembered: the next wait for `interest` lasts until
        /// the kernel reports readiness again.
        ///
        /// `op` should make one system call, for one direction. It must pass the kernel's
        /// `WouldBlock` on, and must not invent one: the kernel may have nothing new to report
        /// after that.
        ///
        /// Unlike tokio's, it always calls `op`, also if the last try would have blocked. That
        /// costs a system call, and finds what has arrived since.
        ///
        /// # Errors
        ///
        /// Those of `op`.
        ///
        /// # Panics
        ///
        /// Outside the loop that this belongs to.
        #[track_caller]
        pub fn try_io<R>(
            &self,
            interest: $crate::Interest,
            op: impl FnOnce() -> ::std::io::Result<R>,
        ) -> ::std::io::Result<R> {
            $crate::io::readiness::HasSource::registered(self).try_own(interest, op)
        }

        /// Tries an operation of your own until it returns anything but `WouldBlock`, and waits in
        /// between until this is ready for `interest`. See [`try_io`](Self::try_io) for what `op`
        /// must do.
        ///
        /// Cancel-safe if `op` is: the future is dropped only between two tries, after one that
        /// would have blocked.
        ///
        /// # Errors
        ///
        /// Any other error of `op`. `Interrupted` is tried again.
        ///
        /// # Panics
        ///
        /// Polling it outside the loop that this belongs to.
        #[track_caller]
        pub fn async_io<R, F>(
            &self,
            interest: $crate::Interest,
            op: F,
        ) -> $crate::io::readiness::AsyncIo<'_, Self, F>
        where
            F: FnMut() -> ::std::io::Result<R>,
        {
            $crate::io::readiness::AsyncIo::new(self, interest, op)
        }
    };
}
pub(crate) use readiness;

/// tokio's names for `poll_readable` and `poll_writable`, which differ from type to type.
macro_rules! poll_ready_names {
    ($($name:ident = $method:ident;)*) => {$(
        #[doc = concat!(
            "tokio's name for [`", stringify!($method), "`](Self::", stringify!($method), ")."
        )]
        ///
        /// # Errors
        ///
        #[doc = concat!("As [`", stringify!($method), "`](Self::", stringify!($method), ").")]
        ///
        /// # Panics
        ///
        /// Outside the loop that this belongs to.
        #[track_caller]
        pub fn $name(
            &self,
            cx: &mut ::std::task::Context<'_>,
        ) -> ::std::task::Poll<::std::io::Result<()>> {
            self.$method(cx)
        }
    )*};
}
pub(crate) use poll_ready_names;

debug_struct!(impl[S: fmt::Debug] for Readiness<'_, S> as "Readiness",
    |this| source: this.source, ..);

debug_struct!(impl[S: fmt::Debug] for ReadyFor<'_, S> as "ReadyFor",
    |this| source: this.source, interest: this.wait.interest, ..);

debug_struct!(impl[S: fmt::Debug, F] for AsyncIo<'_, S, F> as "AsyncIo",
    |this| source: this.source, interest: this.wait.interest, ..);
