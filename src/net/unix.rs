//! Unix sockets: between processes of one machine, named by paths. There are streams, listeners and
//! datagram sockets, with what only they have: credentials of the peer, and file descriptors that
//! are passed.

// In the order in which to read them.
mod retry;
mod address;
pub(super) mod stream;
pub(super) mod listener;
pub(super) mod datagram;
#[cfg(target_os = "linux")]
pub(super) mod cred;
#[cfg(target_os = "linux")]
pub(super) mod fds;
