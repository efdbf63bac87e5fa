//! [`Listener`]: what [`serve`](super::serve()) accepts connections from, and [`Peer`], the address
//! in each request.

use std::{fmt::Display, io};

use futures_io::{AsyncRead, AsyncWrite};

use crate::net::{TcpListener, TcpStream};
#[cfg(unix)]
use crate::net::{UnixListener, UnixStream};
use crate::state::OneLine;

/// What [`serve`](super::serve()) accepts connections from: a [`TcpListener`], or a
/// [`UnixListener`].
pub trait Listener: sealed::Sealed + 'static {
    /// The type of a connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The address of a peer, which each request has as its extension [`Peer`].
    type Address: Clone + Send + Sync + 'static;

    #[doc(hidden)]
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Address)>>;

    /// The name of a peer in log lines, and of the task of its connection.
    #[doc(hidden)]
    fn label(peer: &Self::Address) -> String;
}

/// The extension that each request has: the address of the peer. `Peer<SocketAddr>` for TCP,
/// `Peer<std::os::unix::net::SocketAddr>` for Unix sockets.
///
/// Behind a proxy it is the address of the proxy.
///
/// ```
/// use headwaiter::compat::hyper::{Body, Peer};
/// use std::net::SocketAddr;
///
/// fn greeting(request: &hyper::Request<Body>) -> String {
///     match request.extensions().get::<Peer<SocketAddr>>() {
///         Some(Peer(address)) => format!("hello, {address}"),
///         None => "hello".to_owned(), // Not a request of a TCP connection.
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer<A>(pub A);

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Address = std::net::SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, Self::Address)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // A response is written at once and whole, so there is nothing to gather. This fails only
        // if the connection is gone.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }

    fn label(peer: &Self::Address) -> String {
        label(peer)
    }
}

#[cfg(unix)]
impl Listener for UnixListener {
    type Stream = UnixStream;
    type Address = std::os::unix::net::SocketAddr;

    async fn accept(&self) -> io::Result<(UnixStream, Self::Address)> {
        UnixListener::accept(self).await
    }

    fn label(peer: &Self::Address) -> String {
        match peer.as_pathname() {
            Some(path) => label(path.display()),
            // A client is usually bound to no path.
            None => label("unix"),
        }
    }
}

fn label(peer: impl Display) -> String {
    // A path may contain a line feed.
    format!("http {}", OneLine(peer))
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::TcpListener {}
    #[cfg(unix)]
    impl Sealed for super::UnixListener {}
}
