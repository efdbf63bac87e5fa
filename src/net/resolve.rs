//! From what users call an address to socket addresses: what std's `ToSocketAddrs` takes, but without its
//! blocking look-up of names. Used by `bind` and `connect`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{io, vec};

pub(super) use crate::about::about;

/// What `bind` and `connect` take for an address: a [`SocketAddr`] or a slice of them, an IP address
/// with a port, or their text (`"127.0.0.1:80"`, `("::1", 80)`).
///
/// Host names are not resolved yet: they are an `InvalidInput` error. std's resolver blocks, and would
/// stop the loop; look the name up on another thread, and give the address.
pub trait ToSocketAddrs: sealed::ToSocketAddrs {}

impl<A: sealed::ToSocketAddrs + ?Sized> ToSocketAddrs for A {}

/// The addresses to try, in turn; or why there are none.
pub(crate) type Candidates = io::Result<vec::IntoIter<SocketAddr>>;

mod sealed {
    pub trait ToSocketAddrs {
        fn candidates(&self) -> std::io::Result<std::vec::IntoIter<std::net::SocketAddr>>;
    }
}

pub(crate) fn candidates(address: impl ToSocketAddrs) -> Candidates {
    address.candidates()
}

fn single(address: SocketAddr) -> Candidates {
    Ok(vec![address].into_iter())
}

macro_rules! numeric {
    ($($kind:ty),*) => {$(
        impl sealed::ToSocketAddrs for $kind {
            fn candidates(&self) -> Candidates {
                single((*self).into())
            }
        }
    )*};
}

numeric!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl sealed::ToSocketAddrs for [SocketAddr] {
    fn candidates(&self) -> Candidates {
        Ok(Vec::from(self).into_iter())
    }
}

impl sealed::ToSocketAddrs for str {
    fn candidates(&self) -> Candidates {
        if let Ok(address) = self.parse() {
            return single(address);
        }
        match self.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
            Some((host, Ok(port))) => (host, port).candidates(),
            _ => Err(invalid(format!(
                "{self:?} is no socket address: it needs a port, as in \"127.0.0.1:80\" or \"[::1]:80\""
            ))),
        }
    }
}

impl sealed::ToSocketAddrs for (&str, u16) {
    fn candidates(&self) -> Candidates {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => single((ip, port).into()),
            Err(_) => Err(invalid(format!(
                "{host:?} (port {port}) is no IP address, and this version does not resolve host names: give the address in numbers, as in \"127.0.0.1:{port}\""
            ))),
        }
    }
}

impl sealed::ToSocketAddrs for String {
    fn candidates(&self) -> Candidates {
        self.as_str().candidates()
    }
}

impl sealed::ToSocketAddrs for (String, u16) {
    fn candidates(&self) -> Candidates {
        (self.0.as_str(), self.1).candidates()
    }
}

impl<A: sealed::ToSocketAddrs + ?Sized> sealed::ToSocketAddrs for &A {
    fn candidates(&self) -> Candidates {
        (**self).candidates()
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The error for an empty slice of addresses.
pub(crate) fn no_address(doing: &'static str) -> io::Error {
    invalid(format!("{doing}: no address was given"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(address: impl ToSocketAddrs) -> Vec<String> {
        candidates(address).unwrap().map(|address| address.to_string()).collect()
    }

    #[test]
    fn every_numeric_form_is_taken() {
        let v4: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let v6: SocketAddr = "[::1]:80".parse().unwrap();
        for address in
            [all(v4), all("127.0.0.1:80"), all(("127.0.0.1", 80)), all(String::from("127.0.0.1:80"))]
        {
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
    fn a_name_or_a_missing_port_is_an_error_that_says_so() {
        let name = candidates("localhost:80").unwrap_err();
        assert_eq!(name.kind(), io::ErrorKind::InvalidInput);
        assert!(
            name.to_string().contains("localhost")
                && name.to_string().contains("does not resolve host names")
        );
        let port = candidates("127.0.0.1").unwrap_err();
        assert!(port.to_string().contains("needs a port"), "{port}");
        assert!(candidates("127.0.0.1:99999").is_err());
    }
}
