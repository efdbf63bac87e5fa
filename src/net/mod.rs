//! TCP, UDP and Unix sockets. Each operation is a hand-written future that tries its system call
//! when it is polled, and leaves its waker with the reactor if that would block.
//!
//! A socket belongs to the loop in which it was made. It may be moved to any thread and dropped
//! there, but using it outside its loop panics with a message. (Addresses and options do not need
//! the loop.)
//!
//! # Errors
//!
//! If you pass an address, a name or a path to an operation (`connect`, `bind`, `send_to`, ...),
//! its error names it and keeps the kind. [`io::os_error`](crate::io::os_error) returns the number
//! of such an error (`ECONNREFUSED`, ...), for which [`raw_os_error`](std::io::Error::raw_os_error)
//! returns `None`. Errors of a connected socket (`read`, `write`, `send`, `recv`, ...) are the
//! kernel's own.
//!
//! # Socket options
//!
//! Options that a TCP socket must have before it is connected or listens are set on a `TcpSocket`
//! (Linux). For options without a method, use the crate [socket2](https://docs.rs/socket2): it can
//! borrow an open socket (`SockRef`), and make one whose options must be set before it is bound,
//! for `from_std`.
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

// In the order in which to read them. Files of this folder import each other directly, never
// through here.
mod socket;
mod options;
mod stream;
mod split;
mod tcp;
#[cfg(target_os = "linux")]
mod tcp_socket;
mod accept;
mod listener;
mod resolve;
mod datagram;
#[cfg(feature = "bytes")]
mod recv_buf;
mod udp;
#[cfg(target_os = "linux")]
mod received;
#[cfg(unix)]
mod unix;

#[cfg(feature = "hyper")]
pub(crate) use self::accept::is_out_of_files;
pub use self::accept::{Accept, Incoming};
pub use self::datagram::{RecvDatagram, SendDatagram};
pub use self::listener::{Bind, TcpListener};
#[cfg(target_os = "linux")]
pub use self::received::Received;
#[cfg(feature = "bytes")]
pub use self::recv_buf::RecvBuf;
pub use self::resolve::address::ToSocketAddrs;
pub use self::resolve::{HostAddresses, LookupHost, lookup_host};
pub use self::split::borrowed::{ReadHalf, WriteHalf};
pub use self::split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use self::tcp::connect::Connect;
pub use self::tcp::{Peek, TcpStream};
#[cfg(target_os = "linux")]
pub use self::tcp_socket::{TcpSocket, TcpSocketConnect};
pub use self::udp::{SendTo, UdpConnect, UdpSocket};
#[cfg(unix)]
pub use self::unix::datagram::{UnixDatagram, UnixSendTo};
#[cfg(unix)]
pub use self::unix::listener::UnixListener;
#[cfg(unix)]
pub use self::unix::stream::{UnixConnect, UnixStream};
#[cfg(target_os = "linux")]
pub use self::unix::{
    cred::UCred,
    fds::{RecvFds, SendFds},
};
