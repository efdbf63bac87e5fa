//! Connecting: an [`Attempt`] with one address, and the future [`Connect`] of [`TcpStream::connect`], which makes one or more of them.
//! [`TcpSocket`](crate::net::TcpSocket) makes its only attempt with a socket of its own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::TcpStream;
use crate::door::Door;
use crate::net::resolve::{Resolve, ToSocketAddrs};
use crate::reactor::{Direction, Ready, Wait};
use crate::time::Sleep;

/// How long an attempt to connect is alone before the next address is tried beside it: the Connection Attempt Delay that RFC
/// 8305, section 5, recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The future of [`TcpStream::connect`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Connect {
    /// What is left to try.
    addresses: Resolve,
    /// Those in flight, the oldest first. Dropping one closes its socket.
    attempts: Vec<Attempt>,
    /// Until the next attempt is made beside those. `None` when the next address is to be tried at once, or there is none.
    delay: Option<Sleep>,
    place: &'static Location<'static>,
}

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
        let stream = TcpStream::new(io, Ready::NONE)?;
        Ok(Attempt { wait: Wait::at(place), stream, address })
    }

    /// Whether it is connected, in the order that mio's documentation of `connect` gives.
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

    /// It is connected.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl Connect {
    pub(super) fn new(address: impl ToSocketAddrs, place: &'static Location<'static>) -> Self {
        let addresses = Resolve::interleaved("`TcpStream::connect`", "connect to", address, place);
        Connect { addresses, attempts: Vec::new(), delay: None, place }
    }

    /// The first of the attempts in flight that is connected. Those that have failed are closed and taken out.
    fn poll_attempts(&mut self, cx: &mut Context<'_>) -> Option<TcpStream> {
        let mut index = 0;
        while let Some(attempt) = self.attempts.get_mut(index) {
            match attempt.poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(())) => return Some(self.attempts.remove(index).into_stream()),
                Poll::Ready(Err(error)) => {
                    let attempt = self.attempts.remove(index);
                    self.addresses.failed(attempt.address, error);
                    // The next address need not wait any longer.
                    self.delay = None;
                }
            }
        }
        None
    }

    /// The next attempt is made beside this one after the delay. For the last address there is no timer.
    fn started(&mut self, attempt: Attempt) {
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
                // The others are closed now, not when the future is dropped.
                this.attempts.clear();
                this.delay = None;
                this.addresses.end();
                return Poll::Ready(Ok(stream));
            }
            if let Some(delay) = &mut this.delay {
                ready!(Pin::new(delay).poll(cx));
                this.delay = None;
            }
            if !this.attempts.is_empty() && !this.addresses.has_more() {
                return Poll::Pending;
            }
            match ready!(this.addresses.poll_next(cx)) {
                Ok(address) => match Attempt::start(address, this.place) {
                    Ok(attempt) => this.started(attempt),
                    Err(error) => this.addresses.failed(address, error),
                },
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}
