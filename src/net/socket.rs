//! What all sockets share beneath their public types: [`socket!`] implements the traits of a type
//! around one source, and [`socket_methods!`] adds the methods that every socket has.
//!
//! Used by `tcp`, `unix`, `listener` and the datagram sockets. Nothing here waits.

use std::io;

/// Implements `AsFd`, `AsRawFd`, `Debug` and access to the source for a socket with a field
/// `registered`.
macro_rules! socket {
    ($socket:ident, $io:ty) => {
        impl $crate::io::readiness::HasSource for $socket {
            type Io = $io;

            fn registered(&self) -> &$crate::reactor::Registered<$io> {
                &self.registered
            }
        }

        #[cfg(unix)]
        impl ::std::os::fd::AsFd for $socket {
            fn as_fd(&self) -> ::std::os::fd::BorrowedFd<'_> {
                self.registered.io().as_fd()
            }
        }

        #[cfg(unix)]
        $crate::io::byte_stream::as_raw_fd!(impl for $socket;);

        impl ::std::fmt::Debug for $socket {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.registered.fmt(f)
            }
        }
    };
}
pub(super) use socket;

/// `from_std`, `into_std`, `local_addr` and `take_error`. Attributes in front of the type are added
/// to the documentation of `from_std`.
macro_rules! socket_methods {
    (
        $(#[$more:meta])*
        $std:ty as $name:ident,
        mio: $mio:ty,
        local_addr: $address:ty,
        $local_addr:literal $(,)?
    ) => {
        #[doc = concat!("Takes over a [`", stringify!($std), "`], and sets it to non-blocking mode.")]
        $(#[$more])*
        ///
        /// # Errors
        ///
        /// If the kernel cannot set the mode or watch the socket. It is closed then.
        ///
        /// # Panics
        ///
        /// Outside any event loop.
        #[track_caller]
        pub fn from_std($name: $std) -> ::std::io::Result<Self> {
            $name.set_nonblocking(true)?;
            Self::new(<$mio>::from_std($name))
        }

        /// Returns the socket of std, still in non-blocking mode. This is also the way to another
        /// loop.
        ///
        #[doc = concat!(
            "Blocking calls fail with `WouldBlock` until [`set_nonblocking(false)`](",
            stringify!($std),
            "::set_nonblocking)."
        )]
        ///
        /// # Errors
        ///
        /// If the process has no free file descriptor to which the socket could be duplicated. It
        /// is closed then.
        pub fn into_std(self) -> ::std::io::Result<$std> {
            $crate::net::socket::duplicate(self.registered.io()).map(Into::into)
        }

        #[doc = $local_addr]
        ///
        /// # Errors
        ///
        /// Those of getsockname(2).
        pub fn local_addr(&self) -> ::std::io::Result<$address> {
            self.registered.io().local_addr()
        }

        /// Takes the pending error of the socket (SO_ERROR), if there is one.
        ///
        /// # Errors
        ///
        /// Those of getsockopt(2).
        pub fn take_error(&self) -> ::std::io::Result<Option<::std::io::Error>> {
            self.registered.io().take_error()
        }
    };
}
pub(super) use socket_methods;

/// Makes a second descriptor of a socket whose first is about to be deregistered and closed.
#[cfg(unix)]
pub(crate) fn duplicate(socket: &impl std::os::fd::AsFd) -> io::Result<std::os::fd::OwnedFd> {
    socket.as_fd().try_clone_to_owned()
}

#[cfg(windows)]
pub(crate) fn duplicate(
    socket: &impl std::os::windows::io::AsSocket,
) -> io::Result<std::os::windows::io::OwnedSocket> {
    socket.as_socket().try_clone_to_owned()
}
