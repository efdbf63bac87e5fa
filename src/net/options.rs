//! Socket options: [`socket_options!`] writes the method that sets one and the method that returns
//! it. [`packet_options!`] adds those of the packets, which `TcpSocket` and `UdpSocket` share
//! (Linux).
//!
//! No option needs the loop, so they work on any thread.

#[cfg(target_os = "linux")]
pub(super) use self::linux::{bind_device, device, one_byte};

/// Two methods for each option. The attributes in front belong to the setter; the getter refers to
/// it.
macro_rules! socket_options {
    ($(
        $(#[$doc:meta])*
        $set:ident/$get:ident: $type:ty,
        errors: $errors:literal,
        set: |$setter:ident, $value:ident| $set_call:expr,
        get: |$getter:ident| $get_call:expr;
    )*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        #[doc = $errors]
        pub fn $set(&self, $value: $type) -> ::std::io::Result<()> {
            let $setter = self;
            $set_call
        }

        #[doc = concat!(
            "The value of the option: see [`", stringify!($set), "`](Self::", stringify!($set), ")."
        )]
        ///
        /// # Errors
        ///
        /// Those of getsockopt(2).
        pub fn $get(&self) -> ::std::io::Result<$type> {
            let $getter = self;
            $get_call
        }
    )*};
}
pub(super) use socket_options;

/// The options of the packets of a socket. `$tos` is added to the documentation of `set_tos_v4`.
#[cfg(target_os = "linux")]
macro_rules! packet_options {
    ($($tos:literal)?) => {
        $crate::net::options::socket_options! {
            /// Sets the type of service of the packets of an IPv4 socket (IP_TOS), one byte: ip(7).
            $(#[doc = $tos])?
            set_tos_v4/tos_v4: u32,
            errors: "`InvalidInput` for more than 255; otherwise those of setsockopt(2).",
            set: |socket, tos| {
                let tos = $crate::net::options::one_byte(tos)?;
                Ok(::rustix::net::sockopt::set_ip_tos(socket, tos)?)
            },
            get: |socket| Ok(::rustix::net::sockopt::ip_tos(socket)?.into());

            /// Sets the traffic class of the packets of an IPv6 socket (IPV6_TCLASS), one byte:
            /// what [`set_tos_v4`](Self::set_tos_v4) is for IPv4.
            set_tclass_v6/tclass_v6: u32,
            errors: "`InvalidInput` for more than 255; otherwise those of setsockopt(2), for \
                     instance if this is an IPv4 socket.",
            set: |socket, class| {
                let class = $crate::net::options::one_byte(class)?;
                Ok(::rustix::net::sockopt::set_ipv6_tclass(socket, class.into())?)
            },
            get: |socket| Ok(::rustix::net::sockopt::ipv6_tclass(socket)?);
        }

        /// Restricts the socket to one network interface, whatever the routes are
        /// (SO_BINDTODEVICE). `None` removes the restriction.
        ///
        /// # Errors
        ///
        /// Those of setsockopt(2), with the name of the interface: for instance "no such device".
        /// `PermissionDenied` without CAP_NET_RAW if it is bound to an interface already; before
        /// Linux 5.7, always.
        pub fn bind_device(&self, interface: Option<&[u8]>) -> ::std::io::Result<()> {
            $crate::net::options::bind_device(self, interface)
        }

        /// The interface of [`bind_device`](Self::bind_device), if there is one.
        ///
        /// # Errors
        ///
        /// Those of getsockopt(2).
        pub fn device(&self) -> ::std::io::Result<Option<Vec<u8>>> {
            $crate::net::options::device(self)
        }
    };
}
#[cfg(target_os = "linux")]
pub(super) use packet_options;

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::OsStr;
    use std::io;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    use nix::sys::socket::sockopt::BindToDevice;
    use nix::sys::socket::{getsockopt, setsockopt};

    use crate::about::about;

    /// Checks the value of an option of one byte. The kernel would silently drop the other bytes.
    pub(crate) fn one_byte(value: u32) -> io::Result<u8> {
        value.try_into().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a type of service, or traffic class, is one byte: {value} is too much"),
            )
        })
    }

    pub(crate) fn bind_device(socket: impl AsFd, interface: Option<&[u8]>) -> io::Result<()> {
        // An empty name removes the restriction.
        let name = OsStr::from_bytes(interface.unwrap_or_default());
        let bound = setsockopt(&socket, BindToDevice, &name.to_owned());
        bound
            .map_err(|errno| about("bind to the interface", format_args!("{name:?}"), errno.into()))
    }

    pub(crate) fn device(socket: impl AsFd) -> io::Result<Option<Vec<u8>>> {
        let name = getsockopt(&socket, BindToDevice)?.into_vec();
        Ok((!name.is_empty()).then_some(name))
    }
}
