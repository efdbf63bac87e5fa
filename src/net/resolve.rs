//! [`Resolve`], the part of `bind`, `connect` and [`lookup_host`] that finds
//! the socket addresses of an operation and hands them out in order.
//!
//! A host name is resolved on a thread of the pool, because the system's resolver blocks. It never
//! opens a socket. [`lookup_host`] is a look-up without an attempt to use the addresses.

pub(super) mod address;

use std::fmt::Write as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::task::{Context, Poll, ready};
use std::{io, mem, panic::Location, pin::Pin};

use self::address::{Addresses, Name, Target, ToSocketAddrs, addresses, invalid};
use crate::offload::{self, Run};
use crate::{about::about, door::Door};

/// The error for an empty slice of addresses.
fn no_address(doing: &'static str) -> io::Error {
    invalid(format!("{doing}: no address was given"))
}

/// The addresses of an operation: looked up first if needed, then tried in order.
#[derive(Debug)]
pub(crate) struct Resolve {
    /// The user's call, for panic messages.
    call: &'static str,
    /// What is done to an address, for errors: "connect to".
    doing: &'static str,
    state: State,
    /// The name of the host, if the user did not pass a numeric address.
    name: Option<Name>,
    /// The last failed attempt: its address, as the error names it, and its error.
    last: Option<(String, io::Error)>,
    /// The failed attempts before it, as a text.
    earlier: String,
}

#[derive(Debug)]
enum State {
    /// There are no addresses: the text was none, or the look-up failed.
    Failed(io::Error),
    /// A thread of the pool asks the resolver.
    LookingUp(Run<io::Result<Addresses>>),
    /// The addresses that are left to try.
    Known(Addresses),
    /// The operation has ended.
    Over,
}

impl Resolve {
    pub(crate) fn new(
        call: &'static str,
        doing: &'static str,
        address: impl ToSocketAddrs,
        place: &'static Location<'static>,
    ) -> Self {
        Resolve::arranged(call, doing, address, place, |found| found)
    }

    /// As [`new`](Self::new), for attempts that are made concurrently: the addresses of a name
    /// alternate between the families. Addresses that the user passes keep their order.
    pub(crate) fn interleaved(
        call: &'static str,
        doing: &'static str,
        address: impl ToSocketAddrs,
        place: &'static Location<'static>,
    ) -> Self {
        Resolve::arranged(call, doing, address, place, interleave)
    }

    fn arranged(
        call: &'static str,
        doing: &'static str,
        address: impl ToSocketAddrs,
        place: &'static Location<'static>,
        arrange: fn(Vec<SocketAddr>) -> Vec<SocketAddr>,
    ) -> Self {
        let (state, name) = match address.target() {
            Ok(Target::Numbers(addresses)) => (State::Known(addresses), None),
            Ok(Target::Name(name)) => {
                let (host, port) = (name.host.clone(), name.port);
                // This closure runs on a thread of the pool, where getaddrinfo(3) may block.
                let ask = move || {
                    Ok(addresses(None, arrange((&*host, port).to_socket_addrs()?.collect())))
                };
                (State::LookingUp(offload::look_up(ask, place)), Some(name))
            }
            Err(error) => (State::Failed(error), None),
        };
        Resolve { call, doing, state, name, last: None, earlier: String::new() }
    }

    /// The next address to try; after the last, the error of all attempts.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<SocketAddr>> {
        let addresses = match ready!(self.poll_known(cx)) {
            Ok(addresses) => addresses,
            Err(error) => return Poll::Ready(Err(error)),
        };
        Poll::Ready(match addresses.next() {
            Some(address) => Ok(address),
            None => {
                self.end();
                Err(self.failure())
            }
        })
    }

    /// Waits for the look-up, if there is one. Its error is returned once.
    fn poll_known(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut Addresses>> {
        if let State::LookingUp(run) = &mut self.state {
            // Outside a loop this panics with the name of the user's call.
            drop(Door::expect(self.call));
            self.state = match ready!(Pin::new(run).poll(cx)).and_then(|answer| answer) {
                Ok(addresses) => State::Known(addresses),
                Err(error) => State::Failed(match &self.name {
                    Some(name) => about(self.doing, name, error),
                    None => error,
                }),
            };
        }
        // The error is moved out, so it can be returned only once.
        if let State::Failed(_) = self.state
            && let State::Failed(error) = mem::replace(&mut self.state, State::Over)
        {
            return Poll::Ready(Err(error));
        }
        match &mut self.state {
            State::Known(addresses) => Poll::Ready(Ok(addresses)),
            _ => panic!(
                "headwaiter: the future of {} was polled again after it was ready",
                self.call
            ),
        }
    }

    /// Whether another address is left. Meaningful only once the addresses are known.
    pub(crate) fn has_more(&self) -> bool {
        matches!(&self.state, State::Known(addresses) if addresses.size_hint().0 > 0)
    }

    /// Notes a failed attempt, for the error if all fail.
    pub(crate) fn failed(&mut self, address: SocketAddr, error: io::Error) {
        let what = match &self.name {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        };
        // Only the last error is kept as an error: it becomes the source of the whole.
        if let Some((what, error)) = self.last.replace((what, error)) {
            // Writing to a `String` cannot fail.
            let _ = write!(self.earlier, "{what}: {error}; ");
        }
    }

    /// The error of all attempts: each address with its own error. The last one is the source, and
    /// gives the kind.
    fn failure(&mut self) -> io::Error {
        match self.last.take() {
            Some((what, error)) => about(self.doing, format_args!("{}{what}", self.earlier), error),
            None => no_address(self.doing),
        }
    }

    /// Ends the operation: an attempt has succeeded.
    pub(crate) fn end(&mut self) {
        self.state = State::Over;
    }

    /// Spends a unit of the task's budget; pending if none is left. (A look-up spends its own when
    /// it ends.)
    fn poll_budget(&self, cx: &Context<'_>) -> Poll<()> {
        if matches!(self.state, State::LookingUp(_)) {
            return Poll::Ready(());
        }
        Door::expect(self.call).poll_budget(cx)
    }

    /// Makes a system call that does not wait for each address, until one succeeds.
    pub(crate) fn poll_any<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        ready!(self.poll_budget(cx));
        loop {
            let address = match ready!(self.poll_next(cx)) {
                Ok(address) => address,
                Err(error) => return Poll::Ready(Err(error)),
            };
            match attempt(address) {
                Ok(done) => {
                    self.end();
                    return Poll::Ready(Ok(done));
                }
                // The next address may still work.
                Err(error) => self.failed(address, error),
            }
        }
    }
}

/// Arranges addresses as RFC 8305, section 4, does with a First Address Family Count of one:
/// alternating between the families, starting with the resolver's first choice. Each family keeps
/// the resolver's order.
fn interleave(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = found.first().map(SocketAddr::is_ipv4) else { return found };
    let (one, other): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| address.is_ipv4() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut arranged = Vec::with_capacity(one.len() + other.len());
    while one.len() + other.len() > 0 {
        arranged.extend(one.next());
        arranged.extend(other.next());
    }
    arranged
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_a_name_alternate_between_the_families_from_the_resolvers_first_choice_on() {
        let arranged = |found: &[&str]| {
            let found = found.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 80)).collect();
            interleave(found).iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        let (a, b, c, one, two) = ("::a", "::b", "::c", "0.0.0.1", "0.0.0.2");
        assert_eq!(arranged(&[a, b, c, one, two]), [a, one, b, two, c]);
        assert_eq!(arranged(&[one, a, b, c]), [one, a, b, c]);
        assert_eq!(arranged(&[one, two, a]), [one, a, two]);
        assert_eq!(arranged(&[b, one, a]), [b, one, a]);
        assert_eq!(arranged(&[a, c, b]), [a, c, b]);
        assert!(arranged(&[]).is_empty());
    }
}
