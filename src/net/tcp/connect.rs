//! Connecting: an [`Attempt`] with one address, and the future [`Connect`] of
//! [`TcpStream::connect`], which makes one or more of them as in RFC 8305.
//!
//! `TcpSocket` makes a single attempt, with a socket of its own.

use std::task::{Context, Poll, ready};
use std::{io, net::SocketAddr, panic::Location, pin::Pin, time::Duration};

use super::TcpStream;
use crate::reactor::{Direction, Wait};
use crate::{door::Door, net::resolve::Resolve, net::resolve::address::ToSocketAddrs, time::Sleep};

/// How long one attempt goes on alone before the next address is tried concurrently: the Connection
/// Attempt Delay that RFC 8305, section 5, recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The future of [`TcpStream::connect`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Connect {
    /// The addresses that are left to try.
    addresses: Resolve,
    /// The attempts in flight, the oldest first. Dropping one closes its socket.
    attempts: Vec<Attempt>,
    /// The delay before the next attempt. `None` if the next address may be tried at once, or there
    /// is none.
    delay: Option<Sleep>,
    place: &'static Location<'static>,
}

/// A socket that the kernel is connecting.
#[derive(Debug)]
pub(crate) struct Attempt {
    wait: Wait,
    stream: TcpStream,
    address: SocketAddr,
}

impl Attempt {
    /// The kernel connects in the background, and reports the socket writable at the end.
    fn start(address: SocketAddr, place: &'static Location<'static>) -> io::Result<Self> {
        Attempt::started(mio::net::TcpStream::connect(address)?, address, place)
    }

    /// Takes over a socket that the kernel is connecting to this address.
    pub(crate) fn started(
        io: mio::net::TcpStream,
        address: SocketAddr,
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        let stream = TcpStream::connecting(io)?;
        Ok(Attempt { wait: Wait::at(place), stream, address })
    }

    /// Waits until it is connected or has failed. The order of the checks is that of mio's
    /// documentation of `connect`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.registered.poll_io(
            &mut self.wait,
            cx,
            Direction::Write,
            |io| {
                if let Some(error) = io.take_error()? {
                    return Err(error);
                }
                match io.peer_addr() {
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                        Err(io::ErrorKind::WouldBlock.into())
                    }
                    result => result.map(|_| ()),
                }
            },
            |()| false,
        )
    }

    /// The stream of an attempt that has succeeded.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl Connect {
    pub(super) fn new(address: impl ToSocketAddrs, place: &'static Location<'static>) -> Self {
        let addresses = Resolve::interleaved("`TcpStream::connect`", "connect to", address, place);
        Connect { addresses, attempts: Vec::new(), delay: None, place }
    }

    /// Polls all attempts, and returns the first that is connected. Those that have failed are
    /// removed, which closes them.
    fn poll_attempts(&mut self, cx: &mut Context<'_>) -> Option<TcpStream> {
        let mut index = 0;
        while let Some(attempt) = self.attempts.get_mut(index) {
            match attempt.poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(())) => return Some(self.attempts.remove(index).into_stream()),
                Poll::Ready(Err(error)) => {
                    let attempt = self.attempts.remove(index);
                    self.addresses.failed(attempt.address, error);
                    // A failure ends the delay: the next address is tried at once.
                    self.delay = None;
                }
            }
        }
        None
    }

    /// Adds an attempt, and starts the delay before the next one. The last address needs no timer.
    fn push(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        self.delay = self.addresses.has_more().then(|| {
            let now = Door::expect("`TcpStream::connect`").clock.now();
            Sleep::new(now + ATTEMPT_DELAY, self.place)
        });
    }
}

impl Future for Connect {
    type Output = io::Result<TcpStream>;

    /// # Panics
    ///
    /// Outside any event loop, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            if let Some(stream) = this.poll_attempts(cx) {
                // The other attempts are closed now, not when the future is dropped.
                this.attempts.clear();
                this.delay = None;
                this.addresses.end();
                return Poll::Ready(Ok(stream));
            }
            if let Some(delay) = &mut this.delay {
                ready!(Pin::new(delay).poll(cx));
                this.delay = None;
            }
            // The last attempts go on without a timer. If there are none, `poll_next` returns the
            // error.
            if !this.attempts.is_empty() && !this.addresses.has_more() {
                return Poll::Pending;
            }
            match ready!(this.addresses.poll_next(cx)) {
                Ok(address) => match Attempt::start(address, this.place) {
                    Ok(attempt) => this.push(attempt),
                    Err(error) => this.addresses.failed(address, error),
                },
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}
