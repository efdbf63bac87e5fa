//! Sockets: TCP streams and listeners, on the reactor. Each operation is a future written by hand that
//! tries its system call when it is polled and leaves its waker in the reactor when that would block.
//!
//! A socket belongs to the loop in which it was made. It may be moved to and dropped on any thread, but using
//! it elsewhere panics and says so (asking for its addresses or setting its options does not need the loop).

mod listener;
mod resolve;
mod socket;
mod split;
mod tcp;

pub use self::listener::{Accept, Bind, Incoming, TcpListener};
pub use self::resolve::{HostAddresses, LookupHost, ToSocketAddrs, lookup_host};
pub use self::split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use self::tcp::{Connect, Peek, TcpStream};
