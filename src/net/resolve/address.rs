//! What users pass for an address: [`ToSocketAddrs`], and what it means, a [`Target`]. It takes
//! what std's trait of the same name takes.
//!
//! Numeric addresses are parsed here, at once. A host name is only recognized: `resolve.rs` has it
//! resolved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{fmt, io, iter, option, vec};

/// The addresses that `bind`, `connect` and [`lookup_host`](crate::net::lookup_host) take: a
/// [`SocketAddr`] or a slice of them, an IP address with a port, or their text (`"127.0.0.1:80"`,
/// `("::1", 80)`), or a host name with a port (`"localhost:80"`, `("localhost", 80)`).
///
/// The system resolves a host name, with getaddrinfo(3), on a thread of the loop's pool (see
/// [`spawn_blocking`](crate::spawn_blocking)), of which look-ups never occupy more than half. That
/// call cannot be cancelled: dropping the future stops waiting for it, and its answer is discarded.
pub trait ToSocketAddrs: sealed::ToSocketAddrs {}

impl<A: sealed::ToSocketAddrs + ?Sized> ToSocketAddrs for A {}

/// The addresses to try, in order. A single one, as in each `send_to`, takes no allocation.
pub(super) type Addresses = iter::Chain<option::IntoIter<SocketAddr>, vec::IntoIter<SocketAddr>>;

pub(super) fn addresses(first: Option<SocketAddr>, others: Vec<SocketAddr>) -> Addresses {
    first.into_iter().chain(others)
}

/// What an address of the user means.
pub enum Target {
    /// Numeric addresses.
    Numbers(Addresses),
    /// To be resolved.
    Name(Name),
}

/// A host name and a port.
#[derive(Debug)]
pub struct Name {
    pub(super) host: Box<str>,
    pub(super) port: u16,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Keeps the trait from being implemented elsewhere.
pub(super) mod sealed {
    pub trait ToSocketAddrs {
        fn target(&self) -> std::io::Result<super::Target>;
    }
}

fn single(address: SocketAddr) -> Target {
    Target::Numbers(addresses(Some(address), Vec::new()))
}

macro_rules! numeric {
    ($($kind:ty),*) => {$(
        impl sealed::ToSocketAddrs for $kind {
            fn target(&self) -> io::Result<Target> {
                Ok(single((*self).into()))
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
            return Ok(single(address));
        }
        // The last colon: an IPv6 address without brackets has more of them, and is no valid
        // address.
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
            Ok(ip) => Ok(single((ip, port).into())),
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

pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

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
