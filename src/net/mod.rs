//! Sockets: TCP, UDP and Unix sockets, on the reactor. Each operation is a future written by hand that
//! tries its system call when it is polled and leaves its waker in the reactor when that would block.
//!
//! A socket belongs to the loop in which it was made. It may be moved to and dropped on any thread, but using
//! it elsewhere panics and says so (asking for its addresses or setting its options does not need the loop).
//!
//! # Errors
//!
//! Where an address, a name or a path is given to an operation (`connect`, `bind`, `send_to`, ...), its error names it and keeps the
//! kind. [`io::os_error`](crate::io::os_error) gives the number of such an error (`ECONNREFUSED`, ...), where
//! [`raw_os_error`](std::io::Error::raw_os_error) gives `None`. Errors of a connected socket (`read`, `write`, `send`,
//! `recv`, ...) are the kernel's own.
//!
//! # Socket options
//!
//! Those that a TCP socket must have before it is connected or listens are set on a `TcpSocket` (Linux). For what has no method there or
//! here, there is the crate [socket2](https://docs.rs/socket2): an open socket is lent to it, and one whose options must be
//! set before it is bound is made with it and taken over by `from_std`.
//!
//! ```
//! # #[cfg(unix)] {
//! use headwaiter::net::{TcpListener, TcpStream};
//! use socket2::{Domain, SockRef, Socket, Type};
//!
//! headwaiter::block_on(async {
//!     let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
//!     socket.set_reuse_port(true)?; // Other processes may listen there too, and share the connections.
//!     socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into())?;
//!     socket.listen(1024)?;
//!     let listener = TcpListener::from_std(socket.into())?;
//!
//!     let stream = TcpStream::connect(listener.local_addr()?).await?;
//!     SockRef::from(&stream).set_recv_buffer_size(64 * 1024)?;
//!     assert!(SockRef::from(&stream).recv_buffer_size()? >= 64 * 1024);
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```

mod accept;
mod datagram;
mod linger;
mod listener;
#[cfg(target_os = "linux")]
mod received;
mod resolve;
mod socket;
mod split;
mod stream;
mod tcp;
#[cfg(target_os = "linux")]
mod tcp_socket;
mod udp;
#[cfg(unix)]
mod unix;

#[cfg(feature = "hyper")]
pub(crate) use self::accept::is_out_of_files;
pub use self::accept::{Accept, Incoming};
pub use self::datagram::{RecvDatagram, SendDatagram};
pub use self::listener::{Bind, TcpListener};
#[cfg(target_os = "linux")]
pub use self::received::Received;
pub use self::resolve::{HostAddresses, LookupHost, ToSocketAddrs, lookup_host};
pub use self::split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use self::tcp::{Connect, Peek, TcpStream};
#[cfg(target_os = "linux")]
pub use self::tcp_socket::{TcpSocket, TcpSocketConnect};
pub use self::udp::{SendTo, UdpConnect, UdpSocket};
#[cfg(target_os = "linux")]
pub use self::unix::{RecvFds, SendFds, UCred};
#[cfg(unix)]
pub use self::unix::{UnixConnect, UnixDatagram, UnixListener, UnixSendTo, UnixStream};
