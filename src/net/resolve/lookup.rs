//! [`lookup_host`] and its future [`LookupHost`]: a look-up without an attempt to use the
//! addresses.

use std::task::{Context, Poll, ready};
use std::{io, mem, net::SocketAddr, panic::Location, pin::Pin};

use super::Resolve;
use super::address::{Addresses, ToSocketAddrs, addresses};

/// Looks up the addresses of a host, in the order in which to try them.
///
/// `bind` and `connect` take names themselves; use this to see the addresses or to choose among
/// them. A numeric address is ready at the first poll.
///
/// Cancel-safe: dropping the future stops waiting for the answer.
///
/// ```
/// headwaiter::block_on(async {
///     for address in headwaiter::net::lookup_host("localhost:80").await? {
///         assert!(address.ip().is_loopback() && address.port() == 80);
///     }
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The error of the resolver, with the name; of the kind `Other` if no thread could be started to
/// ask it. `InvalidInput` for a text without a port.
///
/// # Panics
///
/// Polling it outside any event loop.
#[track_caller]
pub fn lookup_host(address: impl ToSocketAddrs) -> LookupHost {
    LookupHost { addresses: Resolve::new("`lookup_host`", "look up", address, Location::caller()) }
}

/// The future of [`lookup_host`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct LookupHost {
    addresses: Resolve,
}

impl Future for LookupHost {
    type Output = io::Result<HostAddresses>;

    /// # Panics
    ///
    /// Outside any event loop, and if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.addresses.poll_budget(cx));
        let known = ready!(self.addresses.poll_known(cx))
            .map(|known| mem::replace(known, addresses(None, Vec::new())));
        self.addresses.end();
        Poll::Ready(known.map(HostAddresses))
    }
}

/// The addresses that [`lookup_host`] has found, in the order in which to try them.
#[derive(Clone, Debug)]
pub struct HostAddresses(Addresses);

impl Iterator for HostAddresses {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for HostAddresses {}
