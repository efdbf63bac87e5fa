//! The credentials of the peer of a Unix stream (Linux): [`UCred`], from [`UnixStream::peer_cred`].
//!
//! The call needs no loop.

use std::{io, os::fd::AsFd};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use super::stream::UnixStream;

/// The credentials of the process at the other end of a Unix stream, from [`UnixStream::peer_cred`]
/// (Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UCred {
    pid: Option<i32>,
    uid: u32,
    gid: u32,
}

impl UCred {
    /// Its effective user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Its effective group id.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// Its process id.
    ///
    /// The process may have ended since, and another may have the id now, so do not base a decision
    /// about access on it. `None` if the process is outside the PID namespace of this one, for
    /// instance at the other end of a socket that is mounted into a container: the kernel has no id
    /// for it there.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }
}

/// Credentials (Linux).
impl UnixStream {
    /// The user, group and process id of the other end, as they were when it connected, called
    /// listen(2), or made the pair (SO_PEERCRED). The kernel vouches for them.
    ///
    /// ```
    /// use std::os::unix::fs::MetadataExt;
    ///
    /// use headwaiter::net::UnixStream;
    ///
    /// headwaiter::block_on(async {
    ///     let (guest, _kitchen) = UnixStream::pair()?;
    ///     let ours = std::fs::metadata("/proc/self")?.uid();
    ///     if guest.peer_cred()?.uid() != ours {
    ///         return Err(std::io::ErrorKind::PermissionDenied.into());
    ///     }
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn peer_cred(&self) -> io::Result<UCred> {
        of_peer(self)
    }
}

fn of_peer(stream: impl AsFd) -> io::Result<UCred> {
    // Not rustix's call, whose process id cannot be 0.
    let cred = getsockopt(&stream, PeerCredentials)?;
    Ok(UCred { pid: (cred.pid() != 0).then(|| cred.pid()), uid: cred.uid(), gid: cred.gid() })
}
