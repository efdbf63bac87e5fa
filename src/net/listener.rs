//! TCP listeners: [`TcpListener`] and its futures [`Bind`] and [`Accept`], and the stream [`Incoming`].
//! What goes wrong in accept, and what is done about it, is in `poll_accept`; `docs/accept.md` tells why.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use log::Level;

use super::resolve::{Resolve, ToSocketAddrs};
use super::socket::{own, socket};
use super::tcp::TcpStream;
use crate::core::Core;
use crate::observe;
use crate::reactor::{Direction, Ready, Registered, Wait};
use crate::time::{Sleep, sleep_until};

/// How many connections the kernel completes and keeps for us until we accept them. tokio's figure; std's 128
/// makes a crowd of clients wait a second each for their SYN to be sent again.
const BACKLOG: i32 = 1024;

/// How long accept holds back when the process or the machine has no more file descriptors.
const HOLD: Duration = Duration::from_millis(20);

/// A socket that takes TCP connections in.
///
/// ```
/// use headwaiter::net::{TcpListener, TcpStream};
///
/// headwaiter::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, peer) = listener.accept().await?;
///     assert_eq!(peer, client.local_addr()?);
///     assert_eq!(server.local_addr()?, listener.local_addr()?);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener {
    registered: Registered<mio::net::TcpListener>,
    /// Not before this time of the loop's clock (in nanoseconds) is accept tried again; 0 while all is
    /// well. Atomic only so that the listener is `Sync`.
    held_until: AtomicU64,
}

socket!(TcpListener, mio::net::TcpListener);

impl TcpListener {
    /// Listens on an address; on the first that can be had, if there are several. Port 0 lets the kernel choose:
    /// [`local_addr`](Self::local_addr) tells which. On Unix with SO_REUSEADDR.
    ///
    /// Unless there is a host name to resolve, it is ready at the first poll (or, in a task that has had its share of
    /// the turn, at the second). Cancel-safe: a listener that was not returned is closed.
    ///
    /// # Errors
    ///
    /// What the last attempt came to, with its address: for instance `AddrInUse`. With its name, a host that does not
    /// resolve. `InvalidInput` for what is no address: see [`ToSocketAddrs`].
    ///
    /// # Panics
    ///
    /// Polling it outside any event loop.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> Bind {
        let addresses = Resolve::new("`TcpListener::bind`", "bind to", address, Location::caller());
        Bind::new(addresses, TcpListener::bind_one)
    }

    fn bind_one(address: SocketAddr) -> io::Result<Self> {
        let io = mio::net::TcpListener::bind(address)?;
        // mio has called listen with std's backlog; on Linux a second call changes it.
        #[cfg(target_os = "linux")]
        rustix::net::listen(&io, BACKLOG)?;
        TcpListener::new(io)
    }

    #[track_caller]
    fn new(io: mio::net::TcpListener) -> io::Result<Self> {
        let registered = Registered::new(io, "TCP listener", Ready::BOTH)?;
        Ok(TcpListener { registered, held_until: AtomicU64::new(0) })
    }

    /// Takes over a listening socket of std, and sets it to non-blocking mode. For options that must be set before
    /// `bind`, make it with the crate socket2.
    ///
    /// # Errors
    ///
    /// If the kernel cannot set the mode or watch the socket.
    ///
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        TcpListener::new(mio::net::TcpListener::from_std(listener))
    }

    /// Waits for the next connection. Several tasks may wait; each connection goes to one of them.
    ///
    /// A connection that died before it was accepted is passed over. When there are no file descriptors left,
    /// that error is returned, and the next `accept` holds back for 20 ms before it tries again: so also a bare
    /// loop that ignores errors does not spin.
    ///
    /// Cancel-safe: a connection that was not returned stays in the kernel's queue.
    ///
    /// # Errors
    ///
    /// What accept(2) says, of the listener or the process: for instance "too many open files".
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the listener belongs to.
    #[track_caller]
    pub fn accept(&self) -> Accept<'_> {
        Accept { wait: Wait::at(Location::caller()), listener: self, hold: None }
    }

    /// All connections to come, as a stream that never ends. When there are no file descriptors left, it logs
    /// that, once, and goes on when there are. Other errors are items of the stream: what accept(2) says of the
    /// listener, or that the kernel cannot watch a connection, which is then closed.
    ///
    /// Cancel-safe: a connection that was not returned stays in the kernel's queue.
    ///
    /// ```no_run
    /// use futures_lite::StreamExt;
    /// use headwaiter::net::TcpListener;
    ///
    /// headwaiter::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:7777").await?;
    ///     while let Some(stream) = listener.incoming().next().await {
    ///         println!("{} is here", stream?.peer_addr()?);
    ///     }
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the listener belongs to.
    #[track_caller]
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { accept: self.accept() }
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registered.io().local_addr()
    }

    /// Gives the socket back to std, still in non-blocking mode.
    ///
    /// # Errors
    ///
    /// If the process has no free file descriptor, to which the socket could move. It is closed then.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        own(self.registered.io()).map(Into::into)
    }

    fn poll_accept(
        &self,
        wait: &mut Wait,
        hold: &mut Option<Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            if self.poll_hold(hold, cx).is_pending() {
                return Poll::Pending;
            }
            let accepted = self.registered.poll_io(wait, cx, Direction::Read, |io| io.accept(), |_| false);
            let Poll::Ready(accepted) = accepted else { return Poll::Pending };
            match accepted {
                Ok((io, peer)) => {
                    self.held_until.store(0, Ordering::Relaxed);
                    // A client mostly speaks first, so reading is tried at once.
                    return Poll::Ready(TcpStream::new(io, Ready::BOTH).map(|stream| (stream, peer)));
                }
                Err(error) if is_of_the_connection(&error) => {
                    observe::say(
                        Level::Debug,
                        observe::SOURCE,
                        format_args!("a connection died before it was accepted: {error}"),
                    );
                }
                Err(error) => {
                    if is_out_of_files(&error) {
                        self.hold_back(&error);
                    }
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Pending while accept is held back.
    fn poll_hold(&self, hold: &mut Option<Sleep>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let until = self.held_until.load(Ordering::Relaxed);
            if until == 0 {
                *hold = None;
                return Poll::Ready(());
            }
            let (now, until) =
                Core::expect("a TCP listener", |core| (core.clock.now(), core.clock.instant(until)));
            if now >= until {
                *hold = None;
                return Poll::Ready(());
            }
            // Another task may have tried meanwhile, and prolonged it.
            let sleep = hold.get_or_insert_with(|| sleep_until(until));
            if sleep.deadline() != until {
                sleep.reset(until);
            }
            if Pin::new(sleep).poll(cx).is_pending() {
                return Poll::Pending;
            }
            *hold = None;
        }
    }

    fn hold_back(&self, error: &io::Error) {
        let now = Core::expect("a TCP listener", |core| core.clock.now_nanos());
        let until = now + HOLD.as_nanos() as u64;
        let before = self.held_until.swap(until, Ordering::Relaxed);
        if before == 0 {
            observe::say(
                Level::Warn,
                observe::SOURCE,
                format_args!(
                    "accept: {error}: clients wait until file descriptors are free; trying again every {HOLD:?}"
                ),
            );
        }
    }
}

/// Errors of a connection that is no more, not of the listener: accept(2) lists them, and says to
/// treat them like EAGAIN.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable,
    };
    // EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, which have no kind. (Not EPERM: of a firewall it is of the
    // connection, of a sandbox it is for ever.)
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(71 | 92 | 112 | 64) = error.raw_os_error() {
        return true;
    }
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | NetworkDown | NetworkUnreachable
    )
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM: not of this connection, and not over by the next try.
fn is_out_of_files(error: &io::Error) -> bool {
    let exhausted: &[i32] = if cfg!(windows) {
        &[10024, 10055] // WSAEMFILE, WSAENOBUFS
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        &[24, 23, 105, 12]
    } else {
        &[24, 23, 55, 12] // The BSDs and macOS have another ENOBUFS.
    };
    error.raw_os_error().is_some_and(|code| exhausted.contains(&code))
}

/// The future of [`TcpListener::bind`] and [`UdpSocket::bind`](super::UdpSocket::bind).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Bind<S = TcpListener> {
    addresses: Resolve,
    bind: fn(SocketAddr) -> io::Result<S>,
}

impl<S> Bind<S> {
    pub(super) fn new(addresses: Resolve, bind: fn(SocketAddr) -> io::Result<S>) -> Self {
        Bind { addresses, bind }
    }
}

impl<S> Future for Bind<S> {
    type Output = io::Result<S>;

    /// # Panics
    ///
    /// Outside any event loop, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.addresses.poll_any(cx, this.bind)
    }
}

/// The future of [`TcpListener::accept`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Accept<'a> {
    listener: &'a TcpListener,
    wait: Wait,
    hold: Option<Sleep>,
}

impl Future for Accept<'_> {
    type Output = io::Result<(TcpStream, SocketAddr)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.listener.poll_accept(&mut this.wait, &mut this.hold, cx)
    }
}

/// The stream of [`TcpListener::incoming`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a> {
    accept: Accept<'a>,
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match Pin::new(&mut self.accept).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok((stream, _))) => return Poll::Ready(Some(Ok(stream))),
                // Logged; the next poll holds back. (If accept had gone well, and only the kernel could
                // not watch the connection, there is nothing to hold back for.)
                Poll::Ready(Err(error))
                    if is_out_of_files(&error)
                        && self.accept.listener.held_until.load(Ordering::Relaxed) != 0 => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_errors_of_accept_are_told_apart() {
        let is = |code, check: fn(&io::Error) -> bool| check(&io::Error::from_raw_os_error(code));
        // ECONNABORTED, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, ENETDOWN, ENETUNREACH, EHOSTUNREACH.
        for code in [103, 71, 92, 112, 64, 100, 101, 113] {
            assert!(is(code, is_of_the_connection) && !is(code, is_out_of_files), "{code}");
        }
        // EMFILE, ENFILE, ENOBUFS, ENOMEM.
        for code in [24, 23, 105, 12] {
            assert!(is(code, is_out_of_files) && !is(code, is_of_the_connection), "{code}");
        }
        // EINVAL, EBADF, EPERM: of the listener.
        for code in [22, 9, 1] {
            assert!(!is(code, is_out_of_files) && !is(code, is_of_the_connection), "{code}");
        }
    }
}
