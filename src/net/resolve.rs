//! From what users call an address to socket addresses: what std's `ToSocketAddrs` takes. Numbers are read at once; a
//! host name is asked for on a thread of the pool, because the system's resolver blocks. [`Resolve`] is the part of
//! `bind`, `connect` and [`lookup_host`] that does this and tries the addresses in turn. It never opens a socket.

use std::future::Future;
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs as _,
};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io, iter, mem, option, vec};

use crate::about::about;
use crate::door::Door;
use crate::offload::{self, Run};

/// What `bind`, `connect` and [`lookup_host`] take for an address: a [`SocketAddr`] or a slice of them, an IP address
/// with a port, or their text (`"127.0.0.1:80"`, `("::1", 80)`), or a host name with a port (`"localhost:80"`,
/// `("localhost", 80)`).
///
/// A host name is resolved by the system, as getaddrinfo(3) does it, on a thread of the loop's pool (see
/// [`spawn_blocking`](crate::spawn_blocking)), of which look-ups never occupy more than half. That call can neither be
/// stopped nor hurried: dropping the future stops waiting for it, and its answer is dropped then.
pub trait ToSocketAddrs: sealed::ToSocketAddrs {}

impl<A: sealed::ToSocketAddrs + ?Sized> ToSocketAddrs for A {}

/// The addresses to try, in turn. One alone, as each `send_to` has it, takes no allocation.
type Addresses = iter::Chain<option::IntoIter<SocketAddr>, vec::IntoIter<SocketAddr>>;

fn addresses(first: Option<SocketAddr>, others: Vec<SocketAddr>) -> Addresses {
    first.into_iter().chain(others)
}

/// What a user's address comes to.
pub enum Target {
    Numbers(Addresses),
    Name(Name),
}

/// A host, by its name, and a port.
#[derive(Debug)]
pub struct Name {
    host: Box<str>,
    port: u16,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

mod sealed {
    pub trait ToSocketAddrs {
        fn target(&self) -> std::io::Result<super::Target>;
    }
}

fn single(address: SocketAddr) -> io::Result<Target> {
    Ok(Target::Numbers(addresses(Some(address), Vec::new())))
}

macro_rules! numeric {
    ($($kind:ty),*) => {$(
        impl sealed::ToSocketAddrs for $kind {
            fn target(&self) -> io::Result<Target> {
                single((*self).into())
            }
        }
    )*};
}

numeric!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl sealed::ToSocketAddrs for [SocketAddr] {
    fn target(&self) -> io::Result<Target> {
        Ok(Target::Numbers(addresses(None, Vec::from(self))))
    }
}

impl sealed::ToSocketAddrs for str {
    fn target(&self) -> io::Result<Target> {
        if let Ok(address) = self.parse() {
            return single(address);
        }
        match self.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
            Some((host, Ok(port))) => (host, port).target(),
            _ => Err(invalid(format!(
                "{self:?} is no socket address: it needs a port, as in \"localhost:80\", \"127.0.0.1:80\" or \"[::1]:80\""
            ))),
        }
    }
}

impl sealed::ToSocketAddrs for (&str, u16) {
    fn target(&self) -> io::Result<Target> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => single((ip, port).into()),
            Err(_) => Ok(Target::Name(Name { host: host.into(), port })),
        }
    }
}

impl sealed::ToSocketAddrs for String {
    fn target(&self) -> io::Result<Target> {
        self.as_str().target()
    }
}

impl sealed::ToSocketAddrs for (String, u16) {
    fn target(&self) -> io::Result<Target> {
        (self.0.as_str(), self.1).target()
    }
}

impl<A: sealed::ToSocketAddrs + ?Sized> sealed::ToSocketAddrs for &A {
    fn target(&self) -> io::Result<Target> {
        (**self).target()
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The order of RFC 8305, section 4, with one address of the first family: alternating between the families, from the
/// resolver's first choice on, and each family in the resolver's order.
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

/// The error for an empty slice of addresses.
fn no_address(doing: &'static str) -> io::Error {
    invalid(format!("{doing}: no address was given"))
}

/// The addresses of an operation: found out first, if need be, then tried in turn.
#[derive(Debug)]
pub(crate) struct Resolve {
    /// The user's call, for the panics.
    call: &'static str,
    /// What is done to an address, for the errors: "connect to".
    doing: &'static str,
    found: Found,
    /// What the user called the host, if not by numbers.
    name: Option<Name>,
    /// What the last attempt came to: its address, as the error names it, and the error.
    last: Option<(String, io::Error)>,
    /// What those before it came to.
    earlier: String,
}

#[derive(Debug)]
enum Found {
    /// The text was no address.
    Nothing(io::Error),
    Asked(Run<io::Result<Addresses>>),
    Known(Addresses),
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

    /// As [`new`](Self::new), for attempts that are made side by side: the addresses of a name alternate between the
    /// families. Those that a user gives keep their order.
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
        let (found, name) = match address.target() {
            Ok(Target::Numbers(addresses)) => (Found::Known(addresses), None),
            Ok(Target::Name(name)) => {
                let (host, port) = (name.host.clone(), name.port);
                let ask = move || {
                    Ok(addresses(None, arrange((&*host, port).to_socket_addrs()?.collect())))
                };
                (Found::Asked(offload::look_up(ask, place)), Some(name))
            }
            Err(error) => (Found::Nothing(error), None),
        };
        Resolve { call, doing, found, name, last: None, earlier: String::new() }
    }

    /// The next address to try; or, after the last, what the attempts came to.
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

    fn poll_known(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut Addresses>> {
        if let Found::Asked(run) = &mut self.found {
            drop(Door::expect(self.call));
            self.found = match ready!(Pin::new(run).poll(cx)).and_then(|answer| answer) {
                Ok(addresses) => Found::Known(addresses),
                Err(error) => Found::Nothing(match &self.name {
                    Some(name) => about(self.doing, name, error),
                    None => error,
                }),
            };
        }
        if let Found::Nothing(_) = self.found
            && let Found::Nothing(error) = mem::replace(&mut self.found, Found::Over)
        {
            return Poll::Ready(Err(error));
        }
        match &mut self.found {
            Found::Known(addresses) => Poll::Ready(Ok(addresses)),
            _ => panic!(
                "headwaiter: the future of {} was polled again after it was ready",
                self.call
            ),
        }
    }

    /// Whether there is an address after this one to try. It is asked only when the addresses are known.
    pub(crate) fn has_more(&self) -> bool {
        matches!(&self.found, Found::Known(addresses) if addresses.size_hint().0 > 0)
    }

    /// An attempt has failed, for the error if all do.
    pub(crate) fn failed(&mut self, address: SocketAddr, error: io::Error) {
        let what = match &self.name {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        };
        if let Some((what, error)) = self.last.replace((what, error)) {
            self.earlier += &format!("{what}: {error}; ");
        }
    }

    /// Names each address that was tried and what came of it. The last failure is the source, and gives its kind.
    fn failure(&mut self) -> io::Error {
        match self.last.take() {
            Some((what, error)) => about(self.doing, format_args!("{}{what}", self.earlier), error),
            None => no_address(self.doing),
        }
    }

    /// An attempt has succeeded: there are no more.
    pub(crate) fn end(&mut self) {
        self.found = Found::Over;
    }

    /// Pending for a task that has had its share of the turn. (The answer of a thread asks for itself.)
    fn poll_turn(&self, cx: &Context<'_>) -> Poll<()> {
        if matches!(self.found, Found::Asked(_)) {
            return Poll::Ready(());
        }
        Door::expect(self.call).poll_budget(cx)
    }

    /// Makes an attempt, a system call that does not wait, at each address until one succeeds.
    pub(crate) fn poll_any<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        ready!(self.poll_turn(cx));
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
                Err(error) => self.failed(address, error),
            }
        }
    }
}

/// Finds out the addresses of a host, in the order in which to try them.
///
/// Numbers are ready at the first poll. Cancel-safe: dropping it stops waiting for the answer. `bind` and `connect`
/// take names themselves; this is for whoever wants to see or choose.
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
/// With the name in it, what the resolver says; of the kind `Other` if no thread could be started to ask it.
/// `InvalidInput` for a text without a port.
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
        ready!(self.addresses.poll_turn(cx));
        let known = ready!(self.addresses.poll_known(cx))
            .map(|known| mem::replace(known, addresses(None, Vec::new())));
        self.addresses.end();
        Poll::Ready(known.map(HostAddresses))
    }
}

/// The addresses that [`lookup_host`] has found.
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

    fn all(address: impl ToSocketAddrs) -> Vec<String> {
        match address.target().unwrap() {
            Target::Numbers(addresses) => addresses.map(|address| address.to_string()).collect(),
            Target::Name(name) => panic!("{name} is numeric"),
        }
    }

    fn name(address: impl ToSocketAddrs) -> String {
        match address.target().unwrap() {
            Target::Numbers(addresses) => panic!("{addresses:?} for a name"),
            Target::Name(name) => name.to_string(),
        }
    }

    #[test]
    fn every_numeric_form_is_taken() {
        let v4: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let v6: SocketAddr = "[::1]:80".parse().unwrap();
        for address in [
            all(v4),
            all("127.0.0.1:80"),
            all(("127.0.0.1", 80)),
            all(String::from("127.0.0.1:80")),
        ] {
            assert_eq!(address, ["127.0.0.1:80"]);
        }
        assert_eq!(all((Ipv4Addr::LOCALHOST, 80)), ["127.0.0.1:80"]);
        assert_eq!(all((v6.ip(), 80)), ["[::1]:80"]);
        assert_eq!(all(("::1", 80)), ["[::1]:80"]);
        assert_eq!(all("[::1]:80"), ["[::1]:80"]);
        assert_eq!(all(&[v4, v6][..]), ["127.0.0.1:80", "[::1]:80"]);
        let by_reference = &v4;
        assert_eq!(all(by_reference), ["127.0.0.1:80"]);
    }

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

    #[test]
    fn a_name_is_left_to_the_resolver_and_a_missing_port_is_an_error_that_says_so() {
        assert_eq!(name("localhost:80"), "localhost:80");
        assert_eq!(name(("localhost", 80)), "localhost:80");
        assert_eq!(name((String::from("localhost"), 80)), "localhost:80");
        for wrong in ["127.0.0.1", "localhost", "127.0.0.1:99999", "localhost:http"] {
            let Err(error) = sealed::ToSocketAddrs::target(wrong) else {
                panic!("{wrong} was taken")
            };
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(
                error.to_string().contains("needs a port") && error.to_string().contains(wrong),
                "{error}"
            );
        }
    }
}
