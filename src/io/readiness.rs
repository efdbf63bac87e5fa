//! What everything that the kernel watches has in common, whatever it carries: waiting until it is ready, and trying an operation of the
//! user's own. [`readiness!`] gives these methods to the sockets, the pipes and [`Async`](super::Async); the futures are [`Readiness`],
//! [`ReadyFor`] and [`AsyncIo`].

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mio::Interest;
use mio::event::Source;

use crate::reactor::{Direction, Ready, Registered, Wait};

/// Has a source that the kernel watches.
pub(crate) trait Watched {
    /// mio's, or a descriptor.
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

impl<S: Watched> Future for Readiness<'_, S> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.source.registered().poll_ready(&mut this.wait, cx, this.direction)
    }
}

/// A wait for one direction or for both: for whatever is ready first.
struct InterestWait {
    interest: Interest,
    read: Option<Wait>,
    write: Option<Wait>,
}

impl InterestWait {
    fn at(interest: Interest, place: &'static Location<'static>) -> Self {
        let wait = |direction: Direction| direction.is_in(interest).then(|| Wait::at(place));
        InterestWait { interest, read: wait(Direction::Read), write: wait(Direction::Write) }
    }

    fn poll<S: Source>(
        &mut self,
        source: &Registered<S>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Ready>> {
        for (wait, direction) in
            [(&mut self.read, Direction::Read), (&mut self.write, Direction::Write)]
        {
            if let Some(wait) = wait
                && let Poll::Ready(result) = source.poll_ready(wait, cx, direction)
            {
                return Poll::Ready(result.map(|()| source.readiness(self.interest)));
            }
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

impl<S: Watched> Future for ReadyFor<'_, S> {
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

/// Nothing in it is ever pinned.
impl<S, F> Unpin for AsyncIo<'_, S, F> {}

impl<'a, S, F> AsyncIo<'a, S, F> {
    #[track_caller]
    pub(crate) fn new(source: &'a S, interest: Interest, op: F) -> Self {
        AsyncIo { source, op, wait: InterestWait::at(interest, Location::caller()) }
    }
}

impl<S: Watched, F: FnMut() -> io::Result<R>, R> Future for AsyncIo<'_, S, F> {
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let source = this.source.registered();
        loop {
            ready!(this.wait.poll(source, cx))?;
            if let Some(result) = source.settle(this.wait.interest, (this.op)()) {
                return Poll::Ready(result);
            }
        }
    }
}

/// The methods of a source that has these directions.
macro_rules! readiness {
    (read and write) => {
        $crate::io::readiness!(read);
        $crate::io::readiness!(write);
    };
    (read) => {
        /// Waits until there may be something to read: data, the end, or an error. It may be wrong: only an operation that is tried
        /// tells, and makes the next `readable` wait if there was nothing. (One of the methods here, or your own in
        /// [`try_io`](Self::try_io). A system call of your own outside of that changes nothing, and the next `readable` is ready at once.)
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
        pub fn readable(&self) -> $crate::io::Readiness<'_, Self> {
            $crate::io::Readiness::new(self, $crate::reactor::Direction::Read)
        }

        /// As [`readable`](Self::readable), for a future of your own: ready if there may be something to read; else the task of `cx` will
        /// be woken when there is.
        ///
        /// The waiter stays when this returns, until there is an event, and there is one of them: of all methods of this source that
        /// begin with `poll_` and read, the last that was pending decides which task is woken. Call it in each poll in which you still
        /// wait: a task that was polled without it is taken to wait for something else when deadlocks are looked for. (Not so the `poll_read` of
        /// futures-io, which wakes every task that came.)
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
            $crate::io::Watched::registered(self).poll_latest(
                cx,
                $crate::reactor::Direction::Read,
                |_| Ok(()),
            )
        }

        $crate::io::readiness!(any);
    };
    (write only) => {
        $crate::io::readiness!(write);
        $crate::io::readiness!(any);
    };
    (write) => {
        /// Waits until there may be room to write, or an error is to be told. It may be wrong: only an operation that is tried tells. See
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
        pub fn writable(&self) -> $crate::io::Readiness<'_, Self> {
            $crate::io::Readiness::new(self, $crate::reactor::Direction::Write)
        }

        /// As [`writable`](Self::writable), for a future of your own: ready if there may be room to write; else the task of `cx` will be
        /// woken when there is.
        ///
        /// The waiter stays when this returns, until there is an event, and there is one of them: of all methods of this source that
        /// begin with `poll_` and write, the last that was pending decides which task is woken. Call it in each poll in which you still
        /// wait: a task that was polled without it is taken to wait for something else when deadlocks are looked for. (Not so the `poll_write` of
        /// futures-io, which wakes every task that came.)
        ///
        /// # Errors
        ///
        /// What epoll_ctl(2) says.
        ///
        /// # Panics
        ///
        /// Outside the loop that this belongs to.
        #[track_caller]
        pub fn poll_writable(
            &self,
            cx: &mut ::std::task::Context<'_>,
        ) -> ::std::task::Poll<::std::io::Result<()>> {
            $crate::io::Watched::registered(self).poll_latest(
                cx,
                $crate::reactor::Direction::Write,
                |_| Ok(()),
            )
        }
    };
    (any) => {
        /// Waits until this may be ready for what `interest` asks, and tells for what. It may be wrong: only an operation that is
        /// tried tells. See [`try_io`](Self::try_io).
        ///
        /// Of a direction that this does not have, such as writing to a listener, it says nothing of use.
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
        pub fn ready(&self, interest: $crate::Interest) -> $crate::io::ReadyFor<'_, Self> {
            $crate::io::ReadyFor::new(self, interest)
        }

        /// Tries an operation of your own on the descriptor, once and without waiting. If it returns `WouldBlock`, that is remembered:
        /// the next wait for what `interest` asks lasts until the kernel reports it ready anew.
        ///
        /// `op` should make one system call, for one direction, and must hand the kernel's `WouldBlock` through and make up none:
        /// after a made-up one, the kernel may have nothing new to report.
        ///
        /// Other than tokio's, it always calls `op`, also where the last try would have blocked: that costs a system call, and finds what
        /// has come since.
        ///
        /// # Errors
        ///
        /// What `op` says.
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
            $crate::io::Watched::registered(self).try_own(interest, op)
        }

        /// Tries an operation of your own until it does something else than `WouldBlock`, and waits in between until this is ready for
        /// what `interest` asks. See [`try_io`](Self::try_io) for what `op` must do.
        ///
        /// Cancel-safe if `op` is: it is dropped only between two tries, after one that would have blocked.
        ///
        /// # Errors
        ///
        /// What `op` says. `Interrupted` is tried again.
        ///
        /// # Panics
        ///
        /// Polling it outside the loop that this belongs to.
        #[track_caller]
        pub fn async_io<R, F>(
            &self,
            interest: $crate::Interest,
            op: F,
        ) -> $crate::io::AsyncIo<'_, Self, F>
        where
            F: FnMut() -> ::std::io::Result<R>,
        {
            $crate::io::AsyncIo::new(self, interest, op)
        }
    };
}
pub(crate) use readiness;

impl<S: fmt::Debug> fmt::Debug for Readiness<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("source", self.source).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for ReadyFor<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ReadyFor");
        debug
            .field("source", self.source)
            .field("interest", &self.wait.interest)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, F> fmt::Debug for AsyncIo<'_, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("AsyncIo");
        debug
            .field("source", self.source)
            .field("interest", &self.wait.interest)
            .finish_non_exhaustive()
    }
}
